"""Is initialization at fault? A check of any network with one batch: what, where, and what to do.

>>> import initguide
>>> net = initguide.initialize(initguide.Net(), "ones")
>>> images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
>>> report = check_init(net, images, torch.arange(20) % 10)
>>> report.ok
False
>>> sorted({finding.code for finding in report.findings if finding.severity == "error"})
['equal-units', 'exploding-signal']

One forward and one backward pass are run (two if the network ends with a layer of zeros), and the
model is left as it was.
"""

import contextlib
import functools
import html
import json
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy

from initguide import theory
from initguide.propagation import Loss, Measurement, ParameterRecord, Record, measure

__all__ = [
    "ALIKE",
    "CODES",
    "CONFIDENT",
    "DRIFT",
    "FLATTENED",
    "FROZEN",
    "HUGE",
    "INPUTS",
    "LARGE",
    "QUIET",
    "SLOW",
    "WRONG",
    "Checkup",
    "Finding",
    "check_init",
]

Severity = Literal["error", "warning", "note"]

CODES: Mapping[str, str] = MappingProxyType(
    {
        "non-finite": "weights, outputs, the loss or gradients are infinite or not numbers",
        "equal-units": "units of a layer are equal, and their gradients keep them so (symmetry)",
        "zero-layer": "a layer's weights are all 0",
        "dead-units": "units whose activation is flat for the whole batch: no gradient passes",
        "saturated-units": "activations at the flat ends of a bounded function",
        "vanishing-signal": "the signal gets so small that no layer can change the outputs",
        "exploding-signal": "the outputs are far larger than what they are compared with",
        "vanishing-gradients": "the gradient fades on its way back to the first layers",
        "exploding-gradients": "the gradient grows on its way back to the first layers",
        "collapsed-outputs": "different inputs are nearly the same to the last layer",
        "initial-loss": "the loss is far above that of a network that knows nothing",
        "inputs": "the inputs are not scaled, not centred, or all the same",
        "wrong-gain": "the scale of the weights does not fit the activation behind them",
        "no-gradient": "parameters that the loss does not reach",
        "effective-rate": "weights before a normalization, of a size that makes steps odd (a note)",
    }
)
"""The code of each finding, with what it says. Codes are stable; a new version may add some."""

SLOW, FROZEN = 1e-3, 1e-6
"""Below the first, a part of the network learns too slowly (a warning); below the second, it does
not learn (an error).

Both compare changes of the outputs, or of the weights in units of their own size, with those of the
part that learns fastest. A step that is stable for the fastest part moves a part that is slower by
10⁻⁶ by its own size in about 10⁶ steps; and a signal of 10⁻⁶ of its offset is within a few bits of
what float32 (10⁻⁷) can hold. 10⁻³ is a long training instead.
"""

QUIET = (0.5, SLOW)
"""The signal vanishes, as a warning or an error, if no change of a layer's weights by their usual
size moves the outputs by this much.

The usual size is a variance of 1 / fan-in, which moves the outputs of a network that keeps its
signal by about 1. ``benchmarks/check_networks.py`` prints how far the smallest of its healthy
networks is from the first number; the second is that of `SLOW`.
"""

ALIKE = 0.7
"""A warning, if the weights that all units share have this part of the mean square.

Independent weights around 0 share 1 / units; those whose mean is m standard deviations share
m² / (1 + m²), which is 0.7 for m = 1.5. In ``benchmarks/check_networks.py``, a mean of 2 spoils
convolutions in front of batch normalization and recurrent layers, though the size of their outputs
is healthy.
"""

WRONG, CONFIDENT = 2.0, 30.0
"""An initial loss this many times that of a network that knows nothing is a warning, or an error.

Knowing nothing costs ln C. With normal logits of variance v it costs about ln C + v/2, so twice
that needs logits of variance 2 ln C, far beyond the 1 of a signal that is kept. The second number
is calibrated: ``benchmarks/check_networks.py`` prints how many of its networks beyond it train.
"""

FLATTENED = (0.5, 0.98)
"""Fraction of saturated activations from which on there is a warning, or an error.

The slope of tanh is below 5 % of its steepest beyond ±2.2. Normal pre-activations of standard
deviation σ lie there for the larger half at σ = 3.2, ten times the variance of 1 that is usual, and
for 98 % at σ = 87, where tanh is little else than the sign.
"""

LARGE, HUGE = 10.0, 1 / SLOW
"""Outputs whose root mean square is this many times that of the targets (or 1, if that is larger)
are a warning, or an error.

Normal logits of standard deviation σ cost about σ√(2 ln C) when C is large, which is twice ln C at
σ = √(2 ln C): below 10 for any number of classes. At 1 / `SLOW` the answer is a thousandth of the
outputs, so weights must be right to a thousandth of their size before it counts.
"""

INPUTS = (0.1, 10.0)
"""The healthy root mean square of the inputs, at its ends.

A step of gradient descent changes what a first layer gives by its inputs' mean square times as much
as inputs of mean square 1 would: 0.01 to 100.
"""

DRIFT = (1 / math.sqrt(SLOW), 1 / SLOW)
"""A stack of layers whose gain does not fit is a note, or a warning, if the size of the signal
changes by this factor from the first to the last of them: half-way to `SLOW`, and all the way.

Weights in front of a normalization that are off by the first factor are a note: a step of gradient
descent there, in units of their own size, is off by its square.
"""

# A layer is named as the cause if it is beyond the healthy range by more than the √2 between the
# usual rules, such as He's and LeCun's.
_BEYOND = 1.5
_ORDER = {"error": 0, "warning": 1, "note": 2}
_WIDTH = 100


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes
    ----------
    code
        From `CODES`.
    severity
        ``"error"``: it will not train; ``"warning"``: it will train worse; ``"note"``: good to
        know.
    layer
        The layer's name in ``model.named_modules()``, the first one if there are several;
        ``"inputs"`` for the inputs.
    evidence
        What was measured, beside what is predicted or healthy.
    advice
        Python to paste, where ``model``, ``inputs``, ``torch`` and ``initguide`` are at hand.
    """

    code: str
    severity: Severity
    layer: str
    evidence: str
    advice: str


@dataclass(frozen=True, eq=False, repr=False)
class Checkup:
    """What `check_init` found: printed, a table; the same in a notebook.

    Attributes
    ----------
    findings
        Errors first, then warnings and notes; within these in the order of the layers.
    measurement
        All that was measured.
    remarks
        What could not be judged, and why; which loss was used.
    """

    findings: tuple[Finding, ...]
    measurement: Measurement
    remarks: tuple[str, ...] = field(default=())

    @property
    def layers(self) -> tuple[Record, ...]:
        """What each layer did, in the order in which they ran."""
        return self.measurement.layers

    @property
    def ok(self) -> bool:
        """Whether nothing worse than a note was found."""
        return all(finding.severity == "note" for finding in self.findings)

    def to_json(self) -> str:
        """Everything as JSON: ``ok``, ``loss``, ``findings``, ``layers``, ``remarks``.

        Numbers that are not finite become ``null`` (NaN) or the words ``"inf"`` and ``"-inf"``.
        """
        layers = []
        for record in self.layers:
            numbers = asdict(replace(record, histograms={}, quantiles={}))
            del numbers["histograms"], numbers["quantiles"]
            layers.append(numbers)
        return json.dumps(
            _plain(
                {
                    "ok": self.ok,
                    "source": self.measurement.source,
                    "loss": self.measurement.loss,
                    "loss_name": self.measurement.loss_name,
                    "findings": [asdict(finding) for finding in self.findings],
                    "layers": layers,
                    "remarks": self.remarks,
                }
            ),
            ensure_ascii=False,
            allow_nan=False,
            indent=2,
        )

    @property
    def _verdict(self) -> str:
        number = len(self.layers)
        name = self.measurement.source.split(" in ", maxsplit=1)[0]
        parts = []
        for severity in _ORDER:
            count = sum(finding.severity == severity for finding in self.findings)
            if count:
                parts.append(f"{count} {severity}{'s' * (count > 1)}")
        found = ", ".join(parts) or "nothing found"
        return f"{name}, {number} layer{'s' * (number > 1)}: {found}"

    def _groups(self) -> list[list[Finding]]:
        """Gather what says the same of different layers."""
        groups: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            groups.setdefault((finding.severity, finding.code), []).append(finding)
        return list(groups.values())

    def _rows(self) -> Iterator[tuple[Finding, str, list[str]]]:
        """Yield the first finding of each group, its layers, and the lines of advice."""
        for group in self._groups():
            names = list(dict.fromkeys(finding.layer for finding in group))
            more = f" and {len(names) - 3} more" if len(names) > 4 else ""
            shown = names[:3] if more else names
            advice = list(dict.fromkeys(finding.advice for finding in group))
            lines = advice[: 3 if len(advice) > 4 else 4]
            if len(advice) > 4:
                lines.append(f"# and the same for {len(advice) - 3} more")
            yield group[0], ", ".join(shown) + more, lines

    def __str__(self) -> str:
        rule = "─" * _WIDTH
        lines = [self._verdict, rule]
        indent = " " * 9
        for finding, names, advice in self._rows():
            head = f"{finding.severity:<9}{finding.code}: {names}"
            lines += textwrap.wrap(head, _WIDTH, subsequent_indent=indent) or [head]
            for text in textwrap.wrap(finding.evidence, _WIDTH - 9):
                lines.append(indent + text)
            for code in advice:
                first, *rest = code.split("\n")
                lines += [f"{indent}>>> {first}", *(f"{indent}    {text}" for text in rest)]
        lines += [rule] * bool(self.findings)
        for remark in self.remarks:
            lines += textwrap.wrap(remark, _WIDTH)
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        text = functools.partial(html.escape, quote=False)
        notes = f'<p class="initguide-note">{text(" ".join(self.remarks))}</p>'
        if not self.findings:
            return f"<p><strong>{text(self._verdict)}</strong></p>{notes}"
        head = "".join(
            f'<th scope="col" class="words">{name}</th>'
            for name in ("finding", "severity", "layer", "evidence, and what to do")
        )
        body = ""
        for finding, names, advice in self._rows():
            code = "\n".join(advice)
            body += (
                f'<tr><th scope="row">{text(finding.code)}</th>'
                f'<td class="word">{finding.severity}</td><td class="names">{text(names)}</td>'
                f'<td class="words">{text(finding.evidence)}<pre>{text(code)}</pre></td></tr>'
            )
        return (
            f'<div class="initguide-table"><table><caption>{text(self._verdict)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{notes}"
        )


def _plain(value: Any) -> Any:
    """Turn what JSON does not know into what it does."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def check_init(
    model: nn.Module,
    inputs: Any,
    targets: Any = None,
    loss: Loss | None = None,
    *,
    seed: int = 0,
) -> Checkup:
    """Say whether a network can be trained from the weights that it has, and if not, why.

    Judged is what the network does with a batch, not which scheme made its weights. Weights of odd
    sizes in front of a normalization change nothing of what the network gives, so they are a note
    at most. They may still do harm: the steps that gradient descent makes there, in units of the
    weights' own size, are proportional to 1 / size² (1 / size with Adam). Whether that is too much
    or too little depends on the learning rate, which is not known here.

    Dropout is switched off, to see the weights alone. Batch normalization whose statistics are
    still those of a new layer normalizes by the batch, in evaluation mode too, as it will in
    training.

    Parameters
    ----------
    model
        Any module, before training; see `initguide.propagation.measure` for what is left alone.
    inputs
        A batch as the network will see it, of at least two different inputs: a tensor, a tuple of
        positional arguments or a dictionary of keyword arguments.
    targets
        What the loss compares the output with. Without them, the initial loss is not judged.
    loss
        As in `initguide.propagation.measure`, which also says what is used if it is ``None``; the
        report says it, too.
    seed
        For everything that torch draws during the passes; at least 0.

    Returns
    -------
    Checkup
        ``.findings``, ``.ok``, ``.layers``, ``.to_json()``; print it.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As `initguide.propagation.measure` does: lazy or meta parameters, inputs of a wrong shape, a
        loss that is not one number.

    Notes
    -----
    A layer's part in learning is told by ‖w‖‖∂L/∂w‖, the change of the loss, to first order, when
    its weights change by their own size; it is the same for all layers of a network of ReLUs
    without biases, whatever their scales (Du, Hu & Lee 2018, arXiv:1806.00900), and the same
    before and after the weights in front of a normalization are scaled. Divided by the change of
    the loss when every output changes by 1, it is a pure number: see `SLOW`.

    Examples
    --------
    >>> import initguide
    >>> net = initguide.initialize(initguide.Net(), "he_normal", seed=0)
    >>> images = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    >>> print(check_init(net, images, torch.arange(20) % 10))  # doctest: +ELLIPSIS
    Net, 5 layers: nothing found
    ...
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; it must be a torch.nn.Module")
    with _as_in_training(model) as switched:
        with _gradients_of_equal(model) as gradients:
            found = measure(model, inputs, targets, loss, seed=seed, parameters=True)
        case = _Case(model, found, inputs, targets)
        head = [name for name in case.equal_head() if name in gradients]
        if head:  # gradients cancel behind equal outputs, until the first step parts them
            with _stepped(model, {name: gradients[name] for name in head}):
                again = measure(model, inputs, targets, loss, seed=seed, parameters=True)
            case = _Case(model, again, inputs, targets, found)
    findings = case.findings()
    remarks = [f"{found.source}.", f"Loss: {found.loss:.4g} ({found.loss_name})."]
    if not math.isfinite(found.blank_loss):
        why = (
            "there are no targets" if targets is None else "this loss is not known at outputs of 0"
        )
        remarks.append(f"The initial loss was not judged: {why}.")
    if case.batch == 1:
        remarks.append("A batch of one does not tell whether different inputs stay different.")
    if switched:
        remarks.append("Batch normalization used the batch, as it will in training.")
    return Checkup(tuple(findings), found, tuple(remarks))


# Run the model as it will be trained, and as it will be after the first step


@contextlib.contextmanager
def _as_in_training(model: nn.Module) -> Iterator[bool]:
    """Switch dropout off, and new batch normalization to the batch; yield whether that was done."""
    before = [
        (module, module.training)
        for module in model.modules()
        if isinstance(module, _DropoutNd | _BatchNorm)
    ]
    switched = False
    try:
        for module, training in before:
            if isinstance(module, _DropoutNd):
                module.training = False
            elif not training and module.num_batches_tracked == 0:
                module.training = switched = True
        yield switched
    finally:
        for module, training in before:
            module.training = training


@contextlib.contextmanager
def _gradients_of_equal(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Keep the gradients of matrices whose rows are all the same: name -> gradient."""
    kept: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[[Tensor], None]:
        def keep(gradient: Tensor) -> None:
            kept[name] = gradient.detach().clone()

        return keep

    with contextlib.ExitStack() as stack:
        for name, tensor in model.named_parameters():
            usable = tensor.requires_grad and not is_lazy(tensor) and not tensor.is_meta
            if usable and tensor.ndim > 1 and len(tensor) > 1 and not tensor.is_inference():
                first = tensor.detach()[:1]
                # Most differ in their first two rows already; only then look at all.
                if torch.equal(first[0], tensor.detach()[1]) and bool((tensor == first).all()):
                    stack.callback(tensor.register_hook(keeper(name)).remove)
        yield kept


@contextlib.contextmanager
def _stepped(model: nn.Module, gradients: Mapping[str, Tensor]) -> Iterator[None]:
    """Replace some parameters for a while by where a large step of gradient descent leads.

    The step has the size of weights of variance 1 / fan-in. Units that are equal lead to equal
    steps, so symmetries stay.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    held: list[tuple[nn.Module, str, nn.Parameter]] = []
    try:
        for name, gradient in gradients.items():
            old = parameters[name]
            norm = torch.linalg.vector_norm(gradient.float())
            step = gradient.float() * (math.sqrt(len(old)) / norm)
            new = nn.Parameter((old.detach().float() - step).to(old))
            for other, tensor in parameters.items():  # a tied one has several names
                if tensor is old:
                    path, _, key = other.rpartition(".")
                    held.append((model.get_submodule(path), key, old))
                    held[-1][0]._parameters[key] = new  # noqa: SLF001  setattr keeps no order
        yield
    finally:
        for owner, key, tensor in held:
            owner._parameters[key] = tensor  # noqa: SLF001


# What is known of a case


class _Weight(NamedTuple):
    """A parameter that is a layer's weights."""

    parameter: ParameterRecord
    at: int  # number of its record; of the one that it is in for a part that is not called
    size: float  # ‖w‖
    grad: float  # ‖∂L/∂w‖, in units of the sum of the absolute gradients of the outputs
    natural: float  # ‖w‖ if the variance were 1 / fan-in

    @property
    def effect(self) -> float:
        """Change of the loss per own size, in units of that per change of the outputs by 1."""
        return self.size * self.grad


class _Scale(NamedTuple):
    """By how much a layer changes the size of the signal, beside what it should."""

    record: Record
    at: int
    measured: float  # √(mean square of outputs / of inputs)
    low: float  # healthy ends
    high: float

    @property
    def excess(self) -> float:
        """Logarithm of measured over healthy: 0 within the healthy range."""
        if not self.measured > 0:
            return -math.inf
        return math.log(self.measured / min(max(self.measured, self.low), self.high))


_KINDS = {  # class of a module -> name in theory
    "ReLU": "relu",
    "ReLU6": "relu6",
    "LeakyReLU": "leaky_relu",
    "ELU": "elu",
    "SELU": "selu",
    "GELU": "gelu",
    "SiLU": "silu",
    "Mish": "mish",
    "Hardswish": "hardswish",
    "Softplus": "softplus",
    "Tanh": "tanh",
    "Hardtanh": "hardtanh",
    "Softsign": "softsign",
    "Sigmoid": "sigmoid",
    "Hardsigmoid": "hardsigmoid",
}


@functools.cache
def _healthy(activation: str | None) -> tuple[float, float]:
    """Smallest and largest σ_w that neither lose nor blow up the signal or the gradient."""
    if activation is None:
        return 1.0, 1.0
    gains = [theory.gain(activation)]
    with contextlib.suppress(ValueError):  # some have no critical point
        gains.append(float(theory.critical_sigma_w(activation)))
    return min(gains), max(gains)


class _Case:
    """One network, measured; ``first`` is what it was before equal outputs were made different."""

    def __init__(
        self,
        model: nn.Module,
        found: Measurement,
        inputs: Any,
        targets: Any,
        first: Measurement | None = None,
    ) -> None:
        self.model, self.found, self.inputs, self.targets = model, found, inputs, targets
        self.first = first or found
        self.records = found.layers
        self.named = dict(model.named_modules())
        self.place: dict[str, int] = {}
        for i, record in enumerate(self.records):
            self.place.setdefault(record.name, i)
        self.weights = sorted(self._weights(), key=lambda weight: weight.at)
        self.trained = [w for w in self.weights if w.parameter.trained and not math.isnan(w.grad)]
        self.normalized = {
            record.given_by for record in self.records if "Norm" in record.kind and record.given_by
        }
        self.centred = {r.given_by for r in self.records if r.given_by and self._centres(r)}
        tensor = next(_floats(inputs), None)
        self.batch = tensor.shape[0] if tensor is not None and tensor.ndim else 0

    def _centres(self, norm: Record) -> bool:
        """Whether a normalization takes away what all units before it have in common.

        It does if each of its means is over units alone. A mean over positions too, as that of a
        group of channels, leaves what the units share at one position and not at another.
        """
        module, given = self.named.get(norm.name), self.place.get(norm.given_by or "")
        if isinstance(module, nn.GroupNorm):
            return module.num_groups < module.num_channels and math.prod(norm.shape[2:]) == 1
        if not isinstance(module, nn.LayerNorm) or given is None:
            return False
        units = self.records[given].units
        return tuple(module.normalized_shape) == (units,) and (
            norm.shape[-1:] == (units,) or type(module) is not nn.LayerNorm
        )

    def _where(self, layer: str) -> int | None:
        while layer not in self.place and "." in layer:
            layer = layer.rpartition(".")[0]
        return self.place.get(layer)

    def _weights(self) -> Iterator[_Weight]:
        unit = self.found.output_grad_sum
        for parameter in self.found.parameters:
            at = self._where(parameter.layer)
            if len(parameter.shape) < 2 or at is None or not _is_weight(parameter):
                continue
            record = self.records[at]
            if "Norm" in record.kind and math.isnan(record.fan_in):  # 1 each, whatever their shape
                continue
            number = math.prod(parameter.shape)
            units = parameter.units or parameter.shape[0]
            grad = math.sqrt(number * parameter.grad_second_moment)
            if grad != 0:
                grad = grad / unit if unit else math.nan
            size = math.sqrt(number * parameter.second_moment)
            yield _Weight(parameter, at, size, grad, math.sqrt(units))

    def equal_head(self) -> list[str]:
        """Weights of the last layer that are the same for all outputs, but will not stay so."""
        if len(self.trained) < 2:
            return []
        last = self.trained[-1].at
        return [
            w.parameter.name
            for w in self.trained
            if w.at == last and w.parameter.distinct == 1 < w.parameter.grad_distinct
        ]

    def findings(self) -> list[Finding]:
        """Everything that is to be said, the worst first."""
        broken = list(self._non_finite())
        found = broken or [
            *self._inputs(),
            *self._zero_layers(),
            *self._equal_units(),
            *self._dead_units(),
            *self._saturated_units(),
            *self._signal(),
            *self._gradients(),
            *self._collapse(),
            *self._initial_loss(),
        ]
        if not broken:
            found += self._wrong_gain(found)
            found += self._effective_rate()
        found += self._unreached(found)
        whole = self._fill_all().partition(" ")[0]  # advice for one layer comes before such

        def order(finding: Finding) -> tuple[int, bool, int]:
            everything = finding.advice.startswith(whole)
            return _ORDER[finding.severity], everything, self._where(finding.layer) or 0

        return sorted(found, key=order)

    # Advice

    def _activation(self, record: Record) -> str | None:
        """Which activation is behind a layer, as theory calls it."""
        if record.activation in _KINDS.values():
            return record.activation
        if record.activation in ("clamp", "clamp_min"):
            return "relu"
        for other in self.records:
            if other.given_by == record.name and other.kind in _KINDS:
                return _KINDS[other.kind]
        return None

    def _scheme(self, activation: str | None) -> str:
        """Name a scheme that keeps signal and gradient before an activation."""
        low, high = _healthy(activation)
        if activation is None or low == 1:
            return "lecun_normal"
        if activation == "sigmoid":
            return f"xavier_normal(gain={high:.3g})"
        return "he_normal"

    def _fill(self, layer: str, scheme: str | None = None) -> str:
        """Code that initializes one layer."""
        at = self._where(layer)
        if scheme is None:
            scheme = self._scheme(self._activation(self.records[at]) if at is not None else None)
        return _call(self._code(layer), scheme)

    def _fill_all(self) -> str:
        """Code that initializes the model, for the activation that most layers have."""
        known = [self._activation(self.records[w.at]) for w in self.weights]
        known = [name for name in known if name]
        return _call("model", self._scheme(max(known, key=known.count) if known else None))

    def _code(self, layer: str) -> str:
        """Code that gets a layer."""
        if not layer or layer not in self.named:
            return "model"
        if len(layer) <= _WIDTH // 3:  # what is put around it has a place on the line, too
            return f'model.get_submodule("{layer}")'
        parts = textwrap.wrap(layer, _WIDTH // 2)  # a long name in several strings
        return "model.get_submodule(\n    " + "\n    ".join(f'"{p}"' for p in parts) + "\n)"

    # Scales

    @functools.cached_property
    def scales(self) -> list[_Scale]:
        """Every layer whose scale matters: not those in front of a normalization."""
        found = []
        for i, record in enumerate(self.records):
            if "Norm" in record.kind:
                found.append(_Scale(record, i, math.sqrt(record.output_second_moment), 1.0, 1.0))
            elif (
                record.name not in self.normalized
                and not math.isnan(record.fan_in)
                and record.input_second_moment > 0
            ):
                ratio = record.output_second_moment / record.input_second_moment
                low, high = _healthy(self._activation(record))
                found.append(_Scale(record, i, math.sqrt(ratio), low, high))
        return found

    def _culprits(self, sign: int, among: range | None = None) -> list[_Scale]:
        """Layers that make the signal too large (+1) or too small (-1), the worst half of them."""
        scales = [s for s in self.scales if among is None or s.at in among]
        wrong = [s for s in scales if sign * s.excess > math.log(_BEYOND)]
        worst = max((sign * s.excess for s in wrong), default=0.0)
        return [s for s in wrong if sign * s.excess >= worst / 2]

    def _blame(self, sign: int, otherwise: str, among: range | None = None) -> tuple[str, str, str]:
        """Name a layer, of some records or of all, say why in words, and write advice."""
        culprits = self._culprits(sign, among)
        if not culprits:
            return otherwise, "", self._fill_all()
        worst = max(culprits, key=lambda s: sign * s.excess)
        first = culprits[0].record.name if len(culprits) > 3 else worst.record.name
        said = worst if len(culprits) <= 3 else culprits[0]
        words = (
            f" Layer {said.record.name} multiplies the size of its input by {said.measured:.3g}, "
            f"where {_range(said.low, said.high)} keeps it"
        )
        if len(culprits) > 1:
            words += f", and {len(culprits) - 1} more such layer{'s' * (len(culprits) > 2)}"
        if len(culprits) > max(3, len(self.scales) // 2):
            return first, words + ".", self._fill_all()
        names = list(dict.fromkeys(s.record.name for s in culprits))
        return first, words + ".", "\n".join(map(self._repair, names))

    def _repair(self, layer: str) -> str:
        """Code that puts a layer right, be it a normalization."""
        if "Norm" not in self.found[layer].kind:
            return self._fill(layer)
        code, module = self._code(layer), self.named[layer]
        if callable(getattr(module, "reset_parameters", None)):
            return f"{code}.reset_parameters()"
        lines = [f"torch.nn.init.ones_({code}.weight)"]
        if isinstance(getattr(module, "bias", None), Tensor):
            lines.append(f"torch.nn.init.zeros_({code}.bias)")
        return "\n".join(lines)

    # Findings

    def _non_finite(self) -> Iterator[Finding]:
        bad = [
            p
            for p in self.found.parameters
            if 0 not in p.shape and not math.isfinite(p.second_moment)
        ]
        for layer in dict.fromkeys(p.layer for p in bad):
            names = ", ".join(p.name.rpartition(".")[2] for p in bad if p.layer == layer)
            yield Finding(
                "non-finite",
                "error",
                layer,
                f"its {names} has values that are infinite or not numbers.",
                self._fill(layer),
            )
        if bad:
            return
        for tensor in _floats(self.inputs):
            if not bool(tensor.isfinite().all()):
                count = int((~tensor.isfinite()).sum())
                yield Finding(
                    "non-finite",
                    "error",
                    "inputs",
                    f"{count} of {tensor.numel()} numbers are infinite or not numbers.",
                    "inputs = torch.nan_to_num(inputs, posinf=0.0, neginf=0.0)",
                )
                return
        for record in self.records:
            if not math.isfinite(record.output_second_moment) and 0 not in record.shape:
                layer, words, advice = self._blame(+1, record.name)
                yield Finding(
                    "non-finite",
                    "error",
                    layer,
                    f"the outputs of {record.name} overflow or are not numbers.{words}",
                    advice,
                )
                return
        reached = [w for w in self.weights if w.parameter.trained]
        if not math.isfinite(self.found.loss):
            layer, words, advice = self._blame(+1, self.records[-1].name)
            text = f"the loss is {self.found.loss}.{words}"
            yield Finding("non-finite", "error", layer, text, advice)
            return
        for w in reached:
            if math.isinf(w.parameter.grad_second_moment) or math.isinf(w.grad):
                layer, words, advice = self._blame(+1, w.parameter.layer)
                text = f"the gradient of {w.parameter.name} overflows.{words}"
                yield Finding("non-finite", "error", layer, text, advice)
                return

    def _inputs(self) -> Iterator[Finding]:
        tensor = next(_floats(self.inputs), None)
        if tensor is None or tensor.numel() < 2:
            return
        values = tensor.detach().double() if not tensor.is_mps else tensor.detach().float()
        mean, std = float(values.mean()), float(values.std(correction=0))
        size = math.hypot(mean, std)
        advice = "inputs = (inputs - inputs.mean()) / inputs.std()"
        if self.batch > 1 and bool((values == values[:1]).all()):
            yield Finding(
                "inputs",
                "warning",
                "inputs",
                f"all {self.batch} inputs of the batch are the same; nothing can be told apart.",
                "inputs = torch.randn_like(inputs)  # or a batch of different ones",
            )
            return
        normalized_first = any("BatchNorm" in record.kind for record in self.records[:2])
        mild: Severity = "note" if normalized_first else "warning"
        if not INPUTS[0] <= size <= INPUTS[1]:
            ends = f"{INPUTS[0]:g} to {INPUTS[1]:g}"
            text = f"the root mean square of the inputs is {size:.3g}; {ends} is healthy."
            yield Finding("inputs", mild, "inputs", text, advice)
        elif abs(mean) > std:  # more than half of the mean square is the same for all inputs,
            far = abs(mean) > 3 * std  # or more than nine tenths
            yield Finding(
                "inputs",
                mild if far else "note",
                "inputs",
                f"the mean of the inputs is {mean:.3g}, their standard deviation {std:.3g}; what "
                "all inputs share outweighs what tells them apart.",
                advice,
            )

    def _zero_layers(self) -> Iterator[Finding]:
        weights = {w.parameter.name: w for w in self.weights}
        trained = [w for w in self.trained if w.parameter.name in weights]
        stuck_share = sum(w.grad == 0 for w in trained) / max(1, len(trained))
        first = {p.name: p for p in self.first.parameters}
        nonzero = [w for w in trained if w.grad > 0 and w.size > 0]
        opens = any(w.grad > 0 and w.size == 0 for w in trained)  # the first step lets signal in
        for parameter in self.found.parameters:
            before = first[parameter.name]
            if before.second_moment != 0 or not parameter.trained or not _is_weight(parameter):
                continue
            at = self._where(parameter.layer)
            if (
                at is None
                or math.isnan(before.grad_second_moment)
                or not math.prod(parameter.shape)
            ):
                continue
            layer, advice = parameter.layer, self._fill(parameter.layer)
            if len(parameter.shape) < 2 or "Norm" in self.records[at].kind:
                advice = f"torch.nn.init.ones_({self._code(layer)}.weight)"
            if before.grad_second_moment == 0:
                yield Finding(
                    "zero-layer",
                    "error" if stuck_share > 0.5 and not opens else "warning",
                    layer,
                    f"{parameter.name} is all 0, and so is its gradient: it stays 0. "
                    f"{100 * stuck_share:.0f} % of the layers get no gradient at all.",
                    advice,
                )
            elif before is not parameter and parameter.second_moment > 0:
                yield Finding(
                    "zero-layer",
                    "note",
                    layer,
                    f"{parameter.name} is all 0, at the network's end: the outputs start equal. "
                    "The layers before it get no gradient in the first step, and one from then on.",
                    advice,
                )
            elif any(w.at < at for w in nonzero) or not self._blank():
                yield Finding(
                    "zero-layer",
                    "note",
                    layer,
                    f"{parameter.name} is all 0, but gets a gradient, and the inputs reach the "
                    "last layer beside it: as in a residual branch that is meant to start as "
                    "nothing.",
                    advice,
                )
            else:
                yield Finding(
                    "zero-layer",
                    "warning",
                    layer,
                    f"{parameter.name} is all 0: nothing of the inputs gets through, and layers "
                    "before it get no gradient, until it has moved.",
                    advice,
                )

    def _copies(self, w: _Weight, kept: int, few: int) -> Finding:
        """Say that only some units of a layer differ, and that this will stay so."""
        units = w.parameter.units
        severity: Severity = "note"
        if kept <= few:
            # In a branch that is switched off, they do no harm to the trunk.
            off = w.grad == 0 and any(o.grad > 0 and o.at < w.at for o in self.trained)
            severity = "warning" if off else "error"
        elif kept <= units / 2:
            severity = "warning"
        still = "get the same gradients, so they stay copies"
        if w.grad == 0:
            still = (
                "their gradients are all 0, as are those of the units that differ: nothing "
                "parts them before a gradient gets here"
                if kept > 1
                else "all gradients here are 0: nothing parts them before one gets here"
            )
        return Finding(
            "equal-units",
            severity,
            w.parameter.layer,
            f"{kept} of {units} units {'is' if kept == 1 else 'are'} different, where all "
            f"should be; the others have the same weights and {still}.",
            self._fill(w.parameter.layer),
        )

    def _equal_units(self) -> Iterator[Finding]:
        first = {p.name: p for p in self.first.parameters}
        for w in self.weights:
            p, before = w.parameter, first[w.parameter.name]
            units = p.units
            if not p.trained or w.size == 0 or math.isnan(p.distinct) or units < 2:
                continue
            here = p.distinct
            grads = 0.0 if math.isnan(p.grad_distinct) else p.grad_distinct
            kept = int(max(here, grads))
            advice = self._fill(p.layer)
            # Packed projections and gates have up to four parts, each of which may be symmetric.
            few = 1 if units < 16 else 4
            if before.distinct < p.distinct:  # the last layer, which the first step parts
                # Classes that the batch lacks still look alike; they part when they come.
                if before.second_moment > 0:  # zeros are told elsewhere
                    yield Finding(
                        "equal-units",
                        "note",
                        p.layer,
                        f"all {units} outputs start with the same weights; their gradients differ, "
                        "so they part. The layers before get no gradient in the first step.",
                        advice,
                    )
            elif kept < units:
                yield self._copies(w, kept, few)
            elif (
                p.shared > ALIKE
                and here > few
                and math.prod(p.shape) > units >= 8
                and w.at < self.weights[-1].at
                and self.records[w.at].name not in self.centred
                and getattr(self.named.get(p.layer), "groups", 1) == 1
            ):
                yield Finding(
                    "equal-units",
                    "warning",
                    p.layer,
                    f"{100 * p.shared:.3g} % of the mean square of the weights is shared by all "
                    f"{units} units, where {100 / units:.2g} % is expected: they do nearly "
                    "the same.",
                    advice,
                )
            elif here <= few < units and w.at < self.weights[-1].at:
                yield Finding(
                    "equal-units",
                    "warning",
                    p.layer,
                    f"all {units} units start with the same weights; their gradients differ, so "
                    "they part, but the layer starts with one unit's worth of information.",
                    advice,
                )

    def _dead_units(self) -> Iterator[Finding]:
        for i, record in enumerate(self.records):
            dead, units = record.dead_fraction, record.units
            if math.isnan(dead) or units < 2 or record.kind in _KINDS or record.call:
                continue
            # With weights around 0, a unit is as often on as off for any one input, so it is off
            # for all inputs with a probability of at most 1/2; beyond come 3 standard deviations.
            bound = 0.5 + 1.5 / math.sqrt(units)
            if dead < min(bound, 1.0) or record.output_second_moment == 0:  # 0: told already
                continue
            before = [w for w in self.trained if w.at <= i]
            cut = dead == 1 and bool(before) and all(w.grad == 0 for w in before)
            yield Finding(
                "dead-units",
                "error" if cut else "warning",
                record.name,
                f"{100 * dead:.3g} % of {units} units give nothing for the whole batch; at most "
                f"{100 * min(bound, 1.0):.0f} % are to be expected."
                + (" No gradient gets past them." if cut else ""),
                self._repair(record.name),
            )

    def _saturated_units(self) -> Iterator[Finding]:
        for record in self.records:
            flat = record.saturated_fraction
            if math.isnan(flat) or record.kind in _KINDS or record.call or flat < FLATTENED[0]:
                continue
            if record.activation in ("relu6", "hardsigmoid", "hardtanh") and flat < FLATTENED[1]:
                continue
            scheme = "lecun_normal" if record.activation != "sigmoid" else "xavier_normal"
            advice = self._fill(record.name, scheme)
            if (
                record.input_second_moment > INPUTS[1] ** 2
                and self._where(record.name) == self._first()
            ):
                advice = "inputs = (inputs - inputs.mean()) / inputs.std()\n" + advice
            yield Finding(
                "saturated-units",
                "error" if flat >= FLATTENED[1] else "warning",
                record.name,
                f"{100 * flat:.3g} % of its {record.activation} activations are at the flat ends, "
                f"where the slope is below 5 % of the steepest; below {100 * FLATTENED[0]:.0f} % "
                f"is healthy. The root mean square of what they are applied to is "
                f"{math.sqrt(record.output_second_moment):.3g}, where about 1 is.",
                advice,
            )

    def _first(self) -> int:
        return self.weights[0].at if self.weights else 0

    def _samples(self) -> float:
        """Root of the number of answers, by which a loss of random draws adds up less than others.

        No change of the weights moves all answers in directions that have nothing in common.
        """
        shape = self.found.output_shape
        if self.targets is not None or len(shape) < 2 or self.found.loss_name[:3] != "sum":
            return 1.0
        classes = shape[1] if len(shape) > 3 else shape[-1]
        return math.sqrt(math.prod(shape) / max(1, classes))

    def reach(self) -> float:
        """By how much the outputs move if a layer's weights change by their usual size, at most."""
        moves = [w.grad * w.natural for w in self.trained if w.grad > 0]
        return max(moves, default=0.0) * self._samples()

    def size(self) -> float:
        """Root mean square of the outputs, in units of the targets'."""
        unit = 1.0
        if isinstance(self.targets, Tensor) and self.targets.is_floating_point():
            unit = max(unit, float(self.targets.double().square().mean().sqrt()))
        return math.sqrt(self.first.output_second_moment) / unit

    def _signal(self) -> Iterator[Finding]:
        live = [w for w in self.trained if w.grad > 0]
        if live:
            reach = self.reach()
            if reach < QUIET[0]:
                layer, words, advice = self._blame(-1, self.records[live[0].at].name)
                yield Finding(
                    "vanishing-signal",
                    "error" if reach < QUIET[1] else "warning",
                    layer,
                    f"no layer's weights can move the outputs: a change of usual size moves them "
                    f"by {reach:.2g} at most, where {QUIET[0]:g} or more is healthy.{words}",
                    advice,
                )
        # What a layer of zeros is applied to counts as soon as it has moved.
        others = max((w.grad * w.natural for w in live if w.size > 0), default=0.0)
        asleep = [w for w in live if w.size == 0 and w.grad * w.natural > LARGE * others > 0]
        for w in asleep:
            layer, words, advice = self._blame(+1, w.parameter.layer)
            yield Finding(
                "exploding-signal",
                "warning",
                layer,
                f"{w.parameter.name} is all 0, but when it has moved by its usual size, the "
                f"outputs change by {w.grad * w.natural:.3g}; no other layer has more than "
                f"{others:.3g}.{words}",
                advice,
            )
        size, rms = self.size(), math.sqrt(self.first.output_second_moment)
        judged, blank = self.first.loss, self.first.blank_loss
        harmless = judged <= WRONG * blank  # such as an offset that all outputs share
        if size > (HUGE if harmless else LARGE):
            layer, words, advice = self._blame(+1, self.records[self.weights[-1].at].name)
            yield Finding(
                "exploding-signal",
                "error" if size > HUGE else "warning",
                layer,
                f"the root mean square of the outputs is {rms:.3g}, where about {rms / size:.3g} "
                f"is expected.{words}",
                advice,
            )

    def _gradients(self) -> Iterator[Finding]:
        effects = [(w, w.effect) for w in self.trained if w.effect > 0]
        if len(effects) < 3 or any(f.severity == "error" for f in self._equal_units()):
            return  # equal outputs get gradients that cancel
        dead = list(self._dead_units())
        if any(f.severity == "error" for f in dead):
            return  # no gradient gets past them, and what is behind them sees biases alone
        largest = max(effect for _, effect in effects)
        peak = next(i for i, (_, effect) in enumerate(effects) if effect == largest)
        # Only what reaches no layer at all up to here (or from here on) counts: a residual branch
        # may be scaled down, and the trunk beside it is fine.
        for code, side, words in (
            ("vanishing-gradients", effects[: peak + 1], "first"),
            ("exploding-gradients", effects[peak:][::-1], "last"),
        ):
            best, last = 0.0, side[0][0]
            steps = []  # (factor by which the next layer has more, layer, between which records)
            for w, effect in side:
                if effect > best:
                    if best:  # what lies between the two is the doing of the earlier layer
                        early, late = (last, w) if words == "first" else (w, last)
                        steps.append((effect / best, early, range(early.at, late.at + 1)))
                    best, last = effect, w
            ratio = side[0][1] / largest
            if ratio >= SLOW or not steps:
                continue
            sign = -1 if code == "vanishing-gradients" else +1
            _, jump, between = max(steps, key=lambda step: step[0])
            edge = side[0][0]
            # A gradient changes on its way from the layer where it is largest to the other end, so
            # nothing else is to blame; and if it vanishes, not that layer itself.
            at = effects[peak][0].at
            among = range(edge.at, at) if sign < 0 else range(at, edge.at + 1)
            layer, blame, advice = self._blame(sign, jump.parameter.layer, among)
            for finding in dead:
                if self._where(finding.layer) in between:
                    layer, advice = finding.layer, finding.advice
                    blame = f" Units of {layer}, on the way between them, are dead."
                    break
            slow = sum(effect < SLOW * largest for _, effect in side)
            yield Finding(
                code,
                "error" if ratio < FROZEN else "warning",
                layer,
                f"the {words} layer, {edge.parameter.layer}, changes the loss {ratio:.1e} times as "
                f"much as the layer with the largest effect; {SLOW:g} or more is healthy. "
                f"{slow} of {len(effects)} layers are below that.{blame}",
                advice,
            )

    @functools.cached_property
    def spreads(self) -> list[tuple[Record, float]]:
        """What is left of the differences between inputs, before each layer."""
        return [
            (record, record.input_spread)
            for record in self.records
            if not math.isnan(record.input_spread) and not math.isnan(record.fan_in)
        ]

    def _blank(self) -> bool:
        """Whether different inputs are exactly the same to the last layer, if that is another."""
        return len(self.spreads) > 1 and self.spreads[0][1] > 0 == self.spreads[-1][1]

    def _collapse(self) -> Iterator[Finding]:
        if len(self.spreads) < 2 or self.spreads[-1][0].name in self.normalized:
            return
        record, last = self.spreads[-1]
        start = self.spreads[0][1]
        if not start > 0 or not last < SLOW * start:
            return
        if any(w.size == 0 and w.grad >= 0 for w in self.trained):  # said already
            return
        falls = [
            ((after + 1e-30) / (before + 1e-30), layer)
            for (layer, before), (_, after) in zip(self.spreads, self.spreads[1:], strict=False)
        ]
        factor, worst = min(falls, key=lambda fall: fall[0])
        # If one of the layers up to there can move the outputs, the first steps undo it.
        at = self._where(worst.name) or 0
        movable = any(w.grad * w.natural >= QUIET[0] for w in self.trained if w.at <= at)
        yield Finding(
            "collapsed-outputs",
            "error" if last < FROZEN * start and not movable else "warning",
            worst.name,
            f"a share of {start:.2g} of the inputs' mean square differs between inputs; of what "
            f"reaches the last layer ({record.name}), {last:.1e} does. Layer {worst.name} alone "
            f"takes a factor of {factor:.1e}.",
            self._fill_all() if factor > SLOW else self._repair(worst.name),
        )

    def _initial_loss(self) -> Iterator[Finding]:
        now, blank = self.first.loss, self.first.blank_loss
        if not blank > 0 or not now > WRONG * blank:
            return
        last = self.records[self.weights[-1].at].name if self.weights else self.records[-1].name
        layer, words, advice = self._blame(+1, last)
        if not self._culprits(+1):
            advice = f"torch.nn.init.zeros_({self._code(last)}.weight)"
        yield Finding(
            "initial-loss",
            "error" if now > CONFIDENT * blank else "warning",
            layer,
            f"the loss is {now:.4g}; with all outputs 0 it would be {blank:.4g}, and a network "
            f"that knows nothing should be near that.{words}",
            advice,
        )

    def _wrong_gain(self, found: Sequence[Finding]) -> Iterator[Finding]:
        stacks: dict[str, list[_Scale]] = {}
        for scale in self.scales:
            activation = self._activation(scale.record)
            if activation is not None and "Norm" not in scale.record.kind:
                stacks.setdefault(activation, []).append(scale)
        for activation, stack in stacks.items():
            if len(stack) < 3 or not all(math.isfinite(s.excess) for s in stack):
                continue
            excesses = sorted(s.excess for s in stack)
            middle, total = excesses[len(stack) // 2], sum(excesses)
            if middle == 0 or middle * total <= 0:
                continue
            # In a residual network the branches are small on purpose, and the trunk goes on.
            gone = 0.5 * math.log(
                stack[-1].record.input_second_moment / stack[0].record.input_second_moment
            )
            if gone * total <= 0 or min(abs(gone), abs(total)) < math.log(DRIFT[0]):
                continue
            bad = any(f.severity == "error" for f in found) or abs(gone) > math.log(DRIFT[1])
            low, high = stack[0].low, stack[0].high
            first = next(s for s in stack if s.excess / middle >= 0.5)
            yield Finding(
                "wrong-gain",
                "warning" if bad else "note",
                first.record.name,
                f"the {len(stack)} layers before {activation} multiply the size of their inputs by "
                f"{math.exp(middle) * (low if middle < 0 else high):.3g} (the median), where "
                f"{_range(low, high)} fits {activation}; from the first to the last of them, the "
                f"signal changes {math.exp(gone):.2g} times.",
                _call("model", self._scheme(activation)),
            )

    def _effective_rate(self) -> Iterator[Finding]:
        for w in self.trained:
            name = self.records[w.at].name
            if name not in self.normalized or not w.size > 0 or not w.grad > 0:
                continue
            norms = [self.named.get(r.name) for r in self.records if r.given_by == name]
            if any(  # trained before: it does not normalize by the batch
                isinstance(n, _BatchNorm) and not n.training and n.num_batches_tracked
                for n in norms
            ):
                continue
            ratio = w.size / w.natural
            if 1 / DRIFT[0] <= ratio <= DRIFT[0]:
                continue
            yield Finding(
                "effective-rate",
                "note",
                w.parameter.layer,
                f"the size of {w.parameter.name} is {ratio:.2g} times that of a variance of "
                "1 / fan-in. The normalization behind it hides this from the outputs, but a step "
                f"of gradient descent is {ratio**-2:.2g} times as large in units of the weights, "
                f"and a step of Adam {1 / ratio:.2g} times.",
                self._fill(w.parameter.layer),
            )

    def _unreached(self, found: Sequence[Finding]) -> Iterator[Finding]:
        explained = any(f.severity == "error" or f.code == "zero-layer" for f in found)
        layers: dict[str, list[ParameterRecord]] = {}
        for parameter in self.found.parameters:
            zero = parameter.grad_second_moment == 0 and len(parameter.shape) > 1
            if parameter.trained and (
                math.isnan(parameter.grad_second_moment) or (zero and not explained)
            ):
                layers.setdefault(parameter.layer, []).append(parameter)
        for layer, parameters in layers.items():
            if not sum(math.prod(p.shape) for p in parameters):
                continue
            names = ", ".join(p.name.rpartition(".")[2] for p in parameters)
            ran = self._where(layer) is not None and not math.isnan(self.found.output_grad_sum)
            none = all(math.isnan(p.grad_second_moment) for p in parameters)
            size = sum(math.prod(p.shape) for p in parameters)
            how = "no gradient" if none else "a gradient of exactly 0"
            code = self._code(layer)
            yield Finding(
                "no-gradient",
                "warning" if ran or not none else "note",
                layer,
                f"its {names} ({size} numbers) {'gets' if len(parameters) == 1 else 'get'} {how}"
                + (": it ran, but the loss does not depend on it." if ran else "; it never ran."),
                f"{code}.requires_grad_(False)\n# or use its output in the loss",
            )


def _is_weight(parameter: ParameterRecord) -> bool:
    name = parameter.name.rpartition(".")[2]
    return "weight" in name or name.startswith("original")


def _floats(value: Any) -> Iterator[Tensor]:
    """Floating-point tensors in the inputs."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping | tuple | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _floats(item)


def _range(low: float, high: float) -> str:
    return f"{low:.3g}" if math.isclose(low, high, rel_tol=1e-2) else f"{low:.3g} to {high:.3g}"


def _call(code: str, scheme: str) -> str:
    line = f'initguide.initialize({code}, "{scheme}")'
    if len(line) <= _WIDTH - 14:
        return line
    inner = textwrap.indent(code, "    ")
    return f'initguide.initialize(\n{inner},\n    "{scheme}",\n)'
