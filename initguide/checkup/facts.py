"""What is known of a network after its passes: computed once, here, for all findings."""

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from initguide import theory
from initguide.checkup.batches import batch_size
from initguide.propagation import Measurement, ParameterRecord, Record


class Weight(NamedTuple):
    """A parameter that is a layer's weights."""

    parameter: ParameterRecord
    at: int  # number of its record; of the one that it is in for a part that is not called
    size: float  # ‖w‖
    grad: float  # ‖∂L/∂w‖, in units of the sum of the absolute gradients of the outputs
    natural: float  # ‖w‖ if the variance were 1 / fan-in
    pull: float = math.nan  # how far one answer moves if the weights do by a length of 1, at most

    @property
    def effect(self) -> float:
        """Change of the loss under random changes of the weights' own size, beside outputs' by 1.

        √number is what a direction drawn at random loses: without it, wide layers have more.
        """
        return self.size * self.grad / math.sqrt(math.prod(self.parameter.shape))

    @property
    def move(self) -> float:
        """By how much one answer moves, at most, if the weights change by their usual size."""
        return self.pull * self.natural


class Scale(NamedTuple):
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


KINDS = {  # class of a module -> name in theory
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
def healthy_gains(activation: str | None) -> tuple[float, float]:
    """Smallest and largest σ_w that neither lose nor blow up the signal or the gradient."""
    if activation is None:
        return 1.0, 1.0
    gains = [theory.gain(activation)]
    with contextlib.suppress(ValueError):  # some have no critical point
        gains.append(float(theory.critical_sigma_w(activation)))
    return min(gains), max(gains)


class Facts:
    """One network, measured: plain facts, without thresholds or advice.

    ``before`` is what it was before equal outputs were made different. ``fed`` is what layers were
    given where the inputs are the batch of a step, not all of which is for the model.
    """

    def __init__(
        self,
        model: nn.Module,
        measured: Measurement,
        inputs: Any,
        targets: Any,
        *,
        before: Measurement | None = None,
        fed: Sequence[Tensor] | None = None,
    ) -> None:
        self.model, self.measured, self.inputs, self.targets = model, measured, inputs, targets
        self.before = before or measured
        self.batch_of_a_step = fed is not None
        self.judged: Any = inputs if fed is None else tuple(distinct(fed))
        self.records = measured.layers
        self.named = dict(model.named_modules())
        self.place: dict[str, int] = {}
        for i, record in enumerate(self.records):
            self.place.setdefault(record.name, i)
        self.weights = self._weights(measured)
        self.trained = [w for w in self.weights if w.parameter.trained and not math.isnan(w.grad)]
        self.normalized = {
            record.given_by for record in self.records if record.normalizes and record.given_by
        } | {record.name for record in self.records if record.normalized}
        self.centred = {r.given_by for r in self.records if r.given_by and self._centres(r)}
        self.batch = batch_size(self.judged)
        if fed is not None:  # a step may go through its inputs one by one
            self.batch = max(self.batch, len(self.judged))

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

    def where(self, layer: str) -> int | None:
        """Place of a layer, or of the one that it is in; None for what never ran."""
        while layer not in self.place and "." in layer:
            layer = layer.rpartition(".")[0]
        return self.place.get(layer)

    @functools.cached_property
    def first_weights(self) -> list[Weight]:
        """As `weights`, before anything was opened."""
        return self._weights(self.before)

    def _weights(self, measured: Measurement) -> list[Weight]:
        unit, found = measured.output_grad_sum, []
        if math.isnan(unit):  # the loss is not taken of an output that is seen
            unit = 1.0
        for parameter in measured.parameters:
            at = self.where(parameter.layer)
            if len(parameter.shape) < 2 or at is None or not is_weight(parameter):
                continue
            record = self.records[at]
            if record.normalizes and math.isnan(record.fan_in):  # 1 each, whatever their shape
                continue
            number = math.prod(parameter.shape)
            units = parameter.units or parameter.shape[0]
            grad = math.sqrt(number * parameter.grad_second_moment)
            if grad != 0:
                grad = grad / unit if unit else math.nan
            size = math.sqrt(number * parameter.second_moment)
            natural = math.sqrt(units)
            found.append(Weight(parameter, at, size, grad, natural, parameter.sensitivity))
        return sorted(found, key=lambda weight: weight.at)

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

    def shut(self) -> list[str]:
        """Names of matrices and factors that are all 0, but will not stay so."""
        return [
            p.name
            for p in self.measured.parameters
            if p.second_moment == 0 and p.grad_second_moment > 0 and lets_through(p)
        ]

    def asleep(self) -> list[str]:
        """Names of matrices that take part, but get a gradient of exactly 0."""
        return [
            p.name
            for p in self.measured.parameters
            if p.grad_second_moment == 0 and len(p.shape) > 1 and 0 not in p.shape
        ]

    def activation(self, record: Record) -> str | None:
        """Which activation is behind a layer, as theory calls it."""
        if record.activation in KINDS.values():
            return record.activation
        if record.activation in ("clamp", "clamp_min"):
            return "relu"
        for other in self.records:
            if other.given_by == record.name and other.kind in KINDS:
                return KINDS[other.kind]
        return None

    @functools.cached_property
    def scales(self) -> list[Scale]:
        """Every layer whose scale matters: not those in front of a normalization."""
        known = [s for i in range(len(self.records)) if (s := self.scale(i)) is not None]
        return [s for s in known if s.record.normalizes or s.record.name not in self.normalized]

    def scale(self, at: int) -> Scale | None:
        """What one layer does to the size of the signal, also if a normalization hides it."""
        record = self.records[at]
        if record.normalizes:
            return Scale(record, at, math.sqrt(record.output_second_moment), 1.0, 1.0)
        if math.isnan(record.fan_in) or not record.input_second_moment > 0:
            return None
        ratio = record.output_second_moment / record.input_second_moment
        return Scale(record, at, math.sqrt(ratio), *healthy_gains(self.activation(record)))

    def first_layer(self) -> int:
        """Place of the first layer with weights."""
        return self.weights[0].at if self.weights else 0

    def reach(self) -> float:
        """By how much an answer moves if one layer's weights change by their usual size, at most.

        Or the factors of a gate or a norm, whose usual size is 1.
        """
        moves = [w.move for w in self.trained]
        moves += [
            math.sqrt(math.prod(p.shape)) * p.sensitivity
            for p in self.measured.parameters
            if is_factor(p)
        ]
        return max((move for move in moves if move > 0), default=math.nan)

    def start(self) -> float:
        """Root mean square of the outputs."""
        return math.sqrt(self.before.output_second_moment)

    def size(self) -> float:
        """Root mean square of the outputs, in units of the targets'."""
        unit = 1.0
        if isinstance(self.targets, Tensor) and self.targets.is_floating_point():
            unit = max(unit, float(self.targets.double().square().mean().sqrt()))
        return self.start() / unit

    def input_size(self) -> float:
        """Root mean square of the inputs: of the largest tensor among them."""
        sizes = [t.detach().float().square().mean().sqrt() for t in float_tensors(self.judged)]
        return max(map(float, sizes), default=math.nan)

    def is_judged(self, tensor: Tensor) -> bool:
        """Whether a tensor among the inputs is one that layers were given, as it is."""
        if not self.batch_of_a_step:
            return True
        values = tensor.detach().ravel().nan_to_num()  # nothing equals what is no number
        return any(torch.equal(values, t.ravel().nan_to_num()) for t in self.judged)

    @functools.cached_property
    def spreads(self) -> list[tuple[Record, float]]:
        """What is left of the differences between inputs, before each layer."""
        return self._spreads(self.records)

    @property
    def opening(self) -> float:
        """Root mean square of the smallest factor that gets a gradient, at most 1."""
        sizes = [
            math.sqrt(p.second_moment)
            for p in self.measured.parameters
            if is_factor(p) and p.second_moment > 0 and p.grad_second_moment > 0
        ]
        return min([1.0, *sizes])

    @property
    def position_spreads(self) -> list[tuple[Record, float]]:
        """What is left of the differences between positions of one input, before each layer."""
        return [(r, r.position_spread) for r in self.records if not math.isnan(r.position_spread)]

    def reached_nothing(self) -> bool:
        """Whether different inputs were exactly the same to the last layer, if that is another."""
        spreads = self._spreads(self.before.layers)
        return len(spreads) > 1 and spreads[0][1] > 0 == spreads[-1][1]

    def _spreads(self, records: Sequence[Record]) -> list[tuple[Record, float]]:
        # Recurrent layers and attention multiply by several matrices, so they have no one fan-in.
        holding = {self.records[w.at].name for w in self.weights}
        return [
            (record, record.input_spread)
            for record in records
            if not math.isnan(record.input_spread)
            and (not math.isnan(record.fan_in) or record.name in holding)
        ]


def is_weight(parameter: ParameterRecord) -> bool:
    """Whether a parameter is a weight: by its use, or its name, also of a parametrized layer."""
    name = parameter.name.rpartition(".")[2]
    return parameter.fan_in > 0 or "weight" in name or name.startswith("original")


def is_factor(parameter: ParameterRecord) -> bool:
    """Whether a parameter multiplies a signal, all of it or each unit: a gate, a norm's gain."""
    long = sum(length > 1 for length in parameter.shape)
    return parameter.role == "multiplies" and long <= 1


def lets_through(parameter: ParameterRecord) -> bool:
    """Whether nothing gets past a parameter if it is 0: a matrix, or a factor."""
    return is_factor(parameter) or (parameter.role != "adds" and len(parameter.shape) > 1)


def distinct(tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """Each tensor once, whatever views of it there are: those of the same numbers in memory."""
    seen = set()
    for tensor in tensors:
        key = tensor.data_ptr(), tensor.numel()
        if key not in seen:
            seen.add(key)
            yield tensor


def float_tensors(value: Any) -> Iterator[Tensor]:
    """Floating-point tensors in the inputs."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping | tuple | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from float_tensors(item)
