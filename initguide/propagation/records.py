"""What one layer did with a batch, and of which numbers that consists."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from initguide.initializers import fans
from initguide.propagation.histograms import Histogram
from initguide.propagation.layers import default_axis, unit_axis
from initguide.propagation.moments import batch_spread, mean_square
from initguide.propagation.positions import position_spread
from initguide.propagation.statistics import Number, Seen, number, numbers_of

__all__ = ["NUMBERS", "VALUES", "Record"]


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _fan(module: nn.Module | None, found: tuple[float, float] | None, which: int) -> float:
    """Fan-in or fan-out; NaN for layers that have none."""
    if found is not None:
        return found[which]
    assert module is not None  # a look at a "layer" has one of them  # noqa: S101
    try:
        return fans(module)[which]
    except TypeError:
        return math.nan


def _position_spread(seen: Seen) -> Tensor:
    (given,) = seen.tensors
    axis = unit_axis(seen.module, given) if seen.module is not None else None
    return position_spread(given, default_axis(given) if axis is None else axis)


@dataclass(frozen=True, eq=False)
class Record:
    """What one layer did with the batch; a layer that is used twice has two records.

    A number that a layer does not have is NaN: a ReLU has no weights, and a layer with no
    activation behind it has no dead units. Variances are means of squared distances from the mean,
    over all elements of the batch.

    Attributes
    ----------
    name, kind
        As in ``model.named_modules()`` (the model's class if it is itself a layer), and the class.
        A parameter that the model multiplies by itself has a record of its own: its name, as in
        ``model.named_parameters()``, and "Parameter".
    call
        0 for the first use of the layer in the pass, 1 for the second, and so on.
    shape
        Shape of the output; of the first floating-point tensor where there are several.
    units
        How many units (channels, features) the output has.
    fan_in, fan_out
        As in `initguide.initializers.fans`, or as the layer's weights were multiplied; NaN for a
        layer that has none.
    weight_std
        Standard deviation of the weights that the layer computed with (not of the biases).
    output_mean, output_var, output_second_moment
        Mean, variance and mean square of the output, taken before anything changes it in place.
    output_grad_var
        Variance of the gradient of the loss with respect to this output; NaN if none came here.
    weight_grad_var
        Variance of the gradient of the loss with respect to the weights, summed over all uses of
        them. NaN if they are not trained, or did not take part.
    activation
        Which activation was applied to the output (or is this layer): ReLU, ReLU6, hard tanh, hard
        sigmoid, tanh, sigmoid or softsign, as a module or as a function; ``None`` if none was.
    activated
        To how many units it was applied: all of them, or those of a slice or a chunk. Where it was
        applied to several parts, those with the most dead units.
    dead_fraction
        In [0, 1]: units whose activation had slope 0 for the whole batch, so that no gradient gets
        through. For a ReLU, those that never exceeded 0.
    saturated_fraction
        In [0, 1]: activations where a bounded function is flat, its slope below `FLAT` of its
        steepest: beyond ±0.975 for tanh, outside 0.013 to 0.987 for sigmoid, at a bound for hard
        tanh (only the upper one for ReLU6). NaN for ReLU, which has no upper bound.
    distinct_units
        How many different units (channels, features) the output has, told by their outputs on the
        batch: see `SAME`. Units that are not finite count as one together.
    input_second_moment
        Mean square of the first floating-point tensor that a layer with weights was given.
    input_spread
        In [0, 1]: how much of that mean square differs between the entries of the batch (the first
        axis): the variance over the batch, at the same place, divided by the mean square. 0 if all
        entries are the same to the layer; NaN for a batch of one. At most 2¹⁸ numbers are looked
        at.
    position_spread
        In [0, 1]: how much of it differs between the positions (tokens, steps, places of an image)
        of one entry, in the same way. NaN if there are no two.
    given_by
        The layer whose output, or activated output, this layer was given as it was; ``None`` if
        something was done to it in between.
    normalizes
        Whether the layer is a normalization, which makes of an input and of four times that input
        the same.
    normalized
        Whether a normalization was applied to the output, by a module or by a function.
    histograms
        On request: ``"weights"``, ``"outputs"``, ``"activations"`` (the outputs after their
        activation), ``"weight_grads"`` and ``"output_grads"``, as far as there are any.
    quantiles
        On request, under the same names: the quantiles asked for.
    """

    name: str
    kind: str
    call: int
    shape: tuple[int, ...]
    units: int
    fan_in: float = number(
        "fan-in", of="layer", by=lambda seen: functools.partial(_fan, seen.module, seen.fans, 0)
    )
    fan_out: float = number(
        "fan-out", of="layer", by=lambda seen: functools.partial(_fan, seen.module, seen.fans, 1)
    )
    weight_std: float = number(
        "standard deviation of the weights",
        of="weights",
        by=lambda seen: seen.moments.std,
        column="weight sd",
    )
    output_mean: float = number(
        "mean of the outputs", of="outputs", by=lambda seen: seen.moments.mean, column="mean"
    )
    output_var: float = number(
        "variance of the outputs",
        of="outputs",
        by=lambda seen: seen.moments.variance,
        column="variance",
    )
    output_second_moment: float = number(
        "mean square of the outputs", of="outputs", by=lambda seen: seen.moments.mean_square
    )
    output_grad_var: float = number(
        "variance of the outputs' gradients",
        of="output_grads",
        by=lambda seen: seen.moments.variance,
        column="grad var",
    )
    weight_grad_var: float = number(
        "variance of the weights' gradients",
        of="weight_grads",
        by=lambda seen: seen.moments.variance,
        column="w-grad var",
    )
    activation: str | None = None
    dead_fraction: float = number(
        "dead units (fraction)",
        of="activations",
        by=lambda seen: seen.activity.dead_fraction,
        column="dead",
        format=_percent,
    )
    saturated_fraction: float = number(
        "saturated activations (fraction)",
        of="activations",
        by=lambda seen: seen.activity.saturated_fraction,
        column="flat",
        format=_percent,
    )
    distinct_units: int = number(
        "distinct units",
        of="outputs",
        by=lambda seen: seen.units.distinct,
        column="distinct",
        cell=lambda record: f"{record.distinct_units}/{record.units}",
    )
    input_second_moment: float = number(of="inputs", by=lambda seen: mean_square(*seen.tensors))
    input_spread: float = number(of="inputs", by=lambda seen: batch_spread(*seen.tensors))
    position_spread: float = number(of="inputs", by=_position_spread)
    given_by: str | None = None
    activated: int = 0
    normalizes: bool = False
    normalized: bool = False
    histograms: Mapping[str, Histogram] = field(default_factory=dict, repr=False)
    quantiles: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Hold plain dictionaries, for read-only views of them cannot be pickled or copied."""
        views = {name: dict(getattr(self, name)) for name in ("histograms", "quantiles")}
        return vars(self) | views

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take them as views again."""
        views = {name: MappingProxyType(state[name]) for name in ("histograms", "quantiles")}
        vars(self).update({**state, **views})


NUMBERS: Mapping[str, Number] = MappingProxyType(numbers_of(Record))
"""The numbers that a pass fills in, by the names of their fields."""

VALUES: Mapping[str, str] = MappingProxyType({k: n.words for k, n in NUMBERS.items() if n.words})
"""The numbers of a `Record`, with what each is in words."""
