"""Advice: which layer is to blame, and what to paste to put it right.

A finding says what is wrong and where; how it is mended is written here alone.
"""

import math
import textwrap
from collections.abc import Sequence

from torch import Tensor

from initguide.checkup.facts import Facts, Scale, healthy_gains
from initguide.checkup.report import WIDTH
from initguide.initializers import plan_of

# A layer is named as the cause if it is beyond the healthy range by more than the √2 between the
# usual rules, such as He's and LeCun's.
_BEYOND = 1.5

# What a parameter is added to is drowned below this part of it: 0.1 % of the mean square is left.
_DROWNED = 30.0


class Remedies:
    """Writes advice for one network."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def scheme(self, activation: str | None) -> str:
        """Name a scheme that keeps signal and gradient before an activation."""
        low, high = healthy_gains(activation)
        if activation is None or low == 1:
            return "lecun_normal"
        if activation == "sigmoid":
            return f"xavier_normal(gain={high:.3g})"
        return "he_normal"

    def fill(self, layer: str, scheme: str | None = None, *, biases: bool = False) -> str:
        """Code that initializes one layer; on request, also biases that were set on purpose.

        Empty for a layer that is frozen: somebody has trained it before.
        """
        if self.is_frozen(layer):
            return ""
        at = self.facts.where(layer)
        if scheme is None:
            scheme = self.scheme(
                self.facts.activation(self.facts.records[at]) if at is not None else None
            )
        used = [p for p in self.facts.measured.parameters if p.layer == layer and p.fan_in > 0]
        if layer not in self.facts.named and used:
            return self.fill_parameter(layer, scheme)
        module = self.facts.named.get(layer)
        if module is not None and used and not plan_of(module, scheme).filled:
            return "\n".join(self.fill_parameter(p.name, scheme) for p in used)
        return call(self.code(layer), scheme, biases=biases and self._has_set_bias(layer, scheme))

    def is_frozen(self, layer: str) -> bool:
        """Whether a layer has parameters, and none of them is trained."""
        trained = [p.trained for p in self.facts.measured.parameters if p.layer == layer]
        return bool(trained) and not any(trained)

    def fill_parameter(self, name: str, scheme: str) -> str:
        """Code that fills a parameter that no layer of torch's multiplies by."""
        (found,) = (p for p in self.facts.measured.parameters if p.name == name)
        fans = f"({found.fan_in:.0f}, {found.fan_out:.0f})"
        return (
            f'initguide.initialize(\n    model,\n    "{scheme}",\n    only="{name}",\n'
            f'    fans={{"{name}": {fans}}},\n)'
        )

    def _has_set_bias(self, layer: str, scheme: str) -> bool:
        """Whether `initialize` would keep a bias of a layer, as set on purpose."""
        module = self.facts.named.get(layer)
        kept = plan_of(module, scheme).left if module is not None else {}
        return any("bias" in name and why != "frozen" for name, why in kept.items())

    def fill_all(self) -> str:
        """Code that initializes the model, for the activation that most layers have."""
        known = [self.facts.activation(self.facts.records[w.at]) for w in self.facts.weights]
        known = [name for name in known if name]
        return call("model", self.scheme(max(known, key=known.count) if known else None))

    def code(self, layer: str) -> str:
        """Code that gets a layer."""
        if not layer or layer not in self.facts.named:
            return "model"
        if len(layer) <= WIDTH // 3:  # what is put around it has a place on the line, too
            return f'model.get_submodule("{layer}")'
        parts = textwrap.wrap(layer, WIDTH // 2)  # a long name in several strings
        return "model.get_submodule(\n    " + "\n    ".join(f'"{p}"' for p in parts) + "\n)"

    def culprits(self, sign: int, among: range | None = None) -> list[Scale]:
        """Layers that make the signal too large (+1) or too small (-1), the worst half of them."""
        scales = [s for s in self.facts.scales if among is None or s.at in among]
        wrong = [s for s in scales if sign * s.excess > math.log(_BEYOND)]
        worst = max((sign * s.excess for s in wrong), default=0.0)
        return [s for s in wrong if sign * s.excess >= worst / 2]

    def blame(
        self, sign: int, otherwise: str, among: range | None = None
    ) -> tuple[str, str, Sequence[str]]:
        """Name a layer, of some records or of all, say why in words, and write advice."""
        if (drowning := self.drowning()) is not None:
            return drowning
        culprits = self.culprits(sign, among)
        if not culprits:
            return otherwise, "", self.fill_all()
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
            return first, words + ".", self.fill_all()
        names = list(dict.fromkeys(s.record.name for s in culprits))
        return first, words + ".", "\n".join(filter(None, map(self.repair, names)))

    def drowning(self) -> tuple[str, str, str] | None:
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
        line = f'model.get_parameter("{found.name}").data.mul_({1 / ratio:.2g})'
        return found.name, words, line

    def repair(self, layer: str, *, biases: bool = False) -> str:
        """Code that puts a layer right, be it a normalization."""
        if self.is_frozen(layer):
            return ""
        if not self.facts.measured[layer].normalizes:
            return self.fill(layer, biases=biases)
        code, module = self.code(layer), self.facts.named[layer]
        if callable(getattr(module, "reset_parameters", None)):
            return f"{code}.reset_parameters()"
        found = [p for p in self.facts.measured.parameters if p.layer == layer]
        gates = [p.name.rpartition(".")[2] for p in found if p.used_as == "gate"]
        shifts = [p.name.rpartition(".")[2] for p in found if p.used_as == "shift"]
        if not gates and isinstance(getattr(module, "weight", None), Tensor):
            gates = ["weight"]
        lines = [f"torch.nn.init.ones_({code}.{name})" for name in gates]
        return "\n".join(lines + [f"torch.nn.init.zeros_({code}.{name})" for name in shifts])


def range_text(low: float, high: float) -> str:
    """Write a range, or its one number."""
    return f"{low:.3g}" if math.isclose(low, high, rel_tol=1e-2) else f"{low:.3g} to {high:.3g}"


def call(code: str, scheme: str, *, biases: bool = False) -> str:
    """Code that initializes what some code gets, in lines that fit the report."""
    more = ', bias="fill"' * biases
    line = f'initguide.initialize({code}, "{scheme}"{more})'
    if len(line) <= WIDTH - 14:
        return line
    inner = textwrap.indent(code, "    ")
    return f'initguide.initialize(\n{inner},\n    "{scheme}"{more},\n)'
