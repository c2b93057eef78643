"""Which layer is to blame, and what may put it right."""

import math
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn

from initguide.checkup.facts import Facts, Scale
from initguide.checkup.remedies import values
from initguide.checkup.remedies.pasting import call, calling, getter, together
from initguide.checkup.remedies.schemes import filled, filled_parameter, neutral, scheme_for
from initguide.initializers import plan_of

# A layer is named as the cause if it is beyond the healthy range by more than the √2 between the
# usual rules, such as He's and LeCun's.
_BEYOND = 1.5

# What a parameter is added to is drowned below this part of it: 0.1 % of the mean square is left.
_DROWNED = 30.0


class Remedies:
    """Writes remedies for one network: each method gives several, the best first."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    # Weights

    def scheme(self, activation: str | None) -> str:
        """Name a scheme that keeps signal and gradient before an activation."""
        return scheme_for(activation)

    def fill(
        self, layer: str, scheme: str | None = None, *, biases: bool = False
    ) -> tuple[str, ...]:
        """Initialize one layer; nothing if its weights are frozen, as those trained before are.

        On request, biases that were set on purpose are filled, too.
        """
        if self.is_frozen(layer):
            return ()
        at = self.facts.where(layer)
        if scheme is None:
            scheme = scheme_for(
                self.facts.activation(self.facts.records[at]) if at is not None else None
            )
        module = self.facts.named.get(layer)
        used = [
            p
            for p in self.facts.measured.parameters
            if p.layer == layer and p.fan_in > 0 and p.trained
        ]
        if used and (module is None or not plan_of(module, scheme).filled):
            return ("\n".join(filled_parameter(p, scheme) for p in used),)
        if module is None:
            return self.fill_all()
        return filled(self.facts.model, layer, scheme, biases=biases)

    def fill_all(self, scheme: str | None = None) -> tuple[str, ...]:
        """Initialize all that is trained, for the activation that most layers have."""
        if scheme is None:
            known = [self.facts.activation(self.facts.records[w.at]) for w in self.facts.weights]
            known = [name for name in known if name]
            scheme = scheme_for(max(known, key=known.count) if known else None)
        model = self.facts.model
        if not plan_of(model, scheme).words() and all(p.requires_grad for p in model.parameters()):
            return (call("model", scheme),)
        names = list(dict.fromkeys(w.parameter.layer for w in self.facts.trained))
        layers = [name for name in names if name]
        return self.joined(layers, lambda name: self.fill(name, scheme))

    def repair(self, layer: str, *, biases: bool = False) -> tuple[str, ...]:
        """Put a layer right, be it a normalization."""
        if self.is_frozen(layer):
            return ()
        if not self.facts.measured[layer].normalizes or layer not in self.facts.named:
            return self.fill(layer, biases=biases)
        return self.neutral(layer)

    def neutral(self, layer: str) -> tuple[str, ...]:
        """Let a normalization or a gate do nothing: 1 what multiplies, 0 what adds."""
        if layer not in self.facts.named:
            return ()
        found = [p for p in self.facts.measured.parameters if p.layer == layer and p.trained]
        keys = {p.name.rpartition(".")[2]: p.used_as for p in found}
        return neutral(self.facts.model, layer, keys)

    def fit(self, scales: Iterable[Scale]) -> tuple[str, ...]:
        """Give weights the standard deviation that keeps the signal, as measured on this batch."""
        lines = []
        for scale in scales:
            module = self.facts.named.get(scale.record.name)
            weight = getattr(module, "weight", None)
            std = scale.record.weight_std
            if isinstance(weight, nn.Parameter) and weight.requires_grad and scale.measured > 0:
                std *= math.exp(-scale.excess)
                code = f"{getter(scale.record.name)}.weight"
                if std > 0 and not scale.record.normalizes:
                    lines.append(calling("torch.nn.init.normal_", code, f"std={std:.3g}"))
        return ("\n".join(lines),) if lines else ()

    def resize(self, factor: float) -> tuple[str, ...]:
        """Let the outputs be so many times as large, by all layers' weights alike."""
        weights = [
            w
            for w in self.facts.trained
            if w.size > 0 and self.facts.records[w.at].name not in self.facts.normalized
        ]
        if not weights or not 0 < factor < math.inf:
            return ()
        each = factor ** (1 / len(weights))
        codes = []
        for w in weights:
            std = each * math.sqrt(w.parameter.second_moment)
            path, _, key = w.parameter.name.rpartition(".")
            if path in self.facts.named and not key.startswith("original"):
                call_ = calling("torch.nn.init.normal_", f"{getter(path)}.{key}", f"std={std:.3g}")
                codes.append((path, call_))
        return (together(codes),) if codes else ()

    def joined(
        self, names: Sequence[str], write: Callable[[str], Sequence[str]]
    ) -> tuple[str, ...]:
        """Remedies for several layers at once: the first of each, then the second."""
        known = [(name, texts) for name in names if (texts := write(name))]
        number = max((len(texts) for _, texts in known), default=0)
        return tuple(
            together([(name, texts[min(i, len(texts) - 1)]) for name, texts in known])
            for i in range(number)
        )

    def is_frozen(self, layer: str) -> bool:
        """Whether a layer has parameters, and none of them is trained."""
        trained = [p.trained for p in self.facts.measured.parameters if p.layer == layer]
        return bool(trained) and not any(trained)

    # Inputs and targets

    def scale_inputs(self, wrong: Callable[[Tensor], bool] | None = None) -> tuple[str, ...]:
        """Give the inputs mean 0 and variance 1; those of several that are wrong."""
        fed = self.facts.is_judged
        return values.centred(
            self.facts.inputs, lambda tensor: fed(tensor) and (wrong is None or wrong(tensor))
        )

    def finite_inputs(self) -> tuple[str, ...]:
        """Put 0 where the inputs are not numbers."""
        return values.finite(self.facts.inputs, self.facts.is_judged)

    def other_inputs(self) -> tuple[str, ...]:
        """Draw inputs that differ."""
        return values.drawn(self.facts.inputs, self.facts.is_judged)

    def scale_targets(self) -> tuple[str, ...]:
        """Give the targets mean 0 and variance 1."""
        return ("targets = (targets - targets.mean()) / targets.std()",)

    # Blame

    def code(self, layer: str) -> str:
        """Code that gets a layer."""
        return getter(layer if layer in self.facts.named else "")

    def culprits(self, sign: int, among: range | None = None) -> list[Scale]:
        """Layers that make the signal too large (+1) or too small (-1), the worst half of them."""
        scales = [s for s in self.facts.scales if among is None or s.at in among]
        wrong = [s for s in scales if sign * s.excess > math.log(_BEYOND)]
        worst = max((sign * s.excess for s in wrong), default=0.0)
        return [s for s in wrong if sign * s.excess >= worst / 2]

    def blame(
        self, sign: int, otherwise: str, among: range | None = None
    ) -> tuple[str, str, tuple[str, ...]]:
        """Name a layer, of some records or of all, say why in words, and write remedies."""
        if (drowning := self.drowning()) is not None:
            return drowning
        culprits = self.culprits(sign, among)
        whole = (*self.resize(self._missing(sign)), *self.fill_all())
        if any(self.facts.activation(self.facts.records[w.at]) for w in self.facts.weights):
            whole = whole[::-1]  # theory says what fits an activation
        if not culprits:
            return otherwise, "", whole
        worst = max(culprits, key=lambda s: sign * s.excess)
        first = culprits[0].record.name if len(culprits) > 3 else worst.record.name
        said = worst if len(culprits) <= 3 else culprits[0]
        words = (
            f" Layer {said.record.name} multiplies the size of its input by {said.measured:.3g}, "
            f"where {range_text(said.low, said.high)} keeps it"
        )
        if len(culprits) > 1:
            words += f", and {len(culprits) - 1} more such layer{'s' * (len(culprits) > 2)}"
        if len(culprits) > max(3, len(self.facts.scales) // 2):
            return first, words + ".", whole
        names = list(dict.fromkeys(s.record.name for s in culprits))
        repairs = self.joined(names, self.repair)
        return first, words + ".", (*repairs, *self.fit(culprits), *whole)

    def drowning(self) -> tuple[str, str, tuple[str, ...]] | None:
        """Blame a parameter that is added to a signal far smaller than itself, if there is one.

        By itself that is no fault: a token that branches add to starts so, too. But where something
        is wrong, it is what everything behind it sees.
        """
        ratios = [
            (math.sqrt(p.second_moment / p.beside), p)
            for p in self.facts.measured.parameters
            if p.trained and p.beside > 0
        ]
        ratio, found = max(ratios, key=lambda pair: pair[0], default=(0.0, None))
        if found is None or not _DROWNED < ratio < math.inf:
            return None
        words = f" Parameter {found.name} is {ratio:.3g} times as large as what it is added to."
        std = f"std={math.sqrt(found.beside):.2g}"
        code = calling("torch.nn.init.normal_", f'model.get_parameter("{found.name}")', std)
        return found.name, words, (code,)

    def _missing(self, sign: int) -> float:
        """By which factor the outputs are too small (-1) or too large (+1)."""
        size = self.facts.size()
        return 1 / size if size > 0 and sign * (size - 1) > 0 else math.nan


def range_text(low: float, high: float) -> str:
    """Write a range, or its one number."""
    return f"{low:.3g}" if math.isclose(low, high, rel_tol=1e-2) else f"{low:.3g} to {high:.3g}"
