"""Activations that are flat somewhere: recognized by their names, counted by their outputs.

Only the output of an activation is looked at, since an in-place one has overwritten its input. For
those below that is enough: the output determines the slope.

A further activation is one entry of ``_ACTIVATIONS``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from initguide.propagation.units import by_unit, unit_blocks

__all__ = ["FLAT", "Activity", "Bounds", "activity_of", "recognized"]

FLAT = 0.05
"""An activation is saturated where its slope is below this part of its steepest slope."""


class Bounds(NamedTuple):
    """Where an activation is flat, told by its outputs.

    Attributes
    ----------
    low, high
        The slope is 0 from here on; infinite where there is no such bound.
    flat_low, flat_high
        The slope is below `FLAT` of the steepest from here on; NaN where that is not counted.
    """

    low: float
    high: float
    flat_low: float
    flat_high: float


_NO = math.nan
_TANH = math.sqrt(1 - FLAT)  # the slope is 1 - a², at most 1
_SIGMOID = (1 - math.sqrt(1 - FLAT)) / 2  # a(1 - a), at most 1/4
_SOFTSIGN = 1 - math.sqrt(FLAT)  # (1 - |a|)², at most 1

# Name of the function in torch, which the modules call, too -> its bounds. GELU and SiLU cannot be
# here: they are not monotonic, so one output may belong to two slopes.
_ACTIVATIONS = {
    # A ReLU is meant to be flat at 0: that makes units dead, not activations saturated.
    "relu": Bounds(0, math.inf, _NO, _NO),
    "relu6": Bounds(0, 6, _NO, 6),
    "hardsigmoid": Bounds(0, 1, 0, 1),
    "tanh": Bounds(-1, 1, -_TANH, _TANH),
    "sigmoid": Bounds(0, 1, _SIGMOID, 1 - _SIGMOID),
    "softsign": Bounds(-1, 1, -_SOFTSIGN, _SOFTSIGN),
}


def recognized(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, Bounds] | None:
    """Return the name of an activation, and where it is flat; None for any other function."""
    name = str(getattr(function, "__name__", "")).rstrip("_")  # relu_ is relu in place
    if name == "hardtanh":
        given = dict(zip(("min_val", "max_val"), args[1:], strict=False)) | dict(kwargs)
        low, high = float(given.get("min_val", -1.0)), float(given.get("max_val", 1.0))
        # From 0 up it is a ReLU with an upper bound, and a ReLU is meant to be flat at 0.
        return name, Bounds(low, high, low if low < 0 else _NO, high)
    if name in ("clamp", "clamp_min"):  # x.clamp(min=0) is a ReLU written by hand
        given = dict(zip(("min", "max"), args[1:], strict=False)) | dict(kwargs)
        bound = given.get("min")
        is_relu = isinstance(bound, Real) and bound == 0 and given.get("max") is None
        return ("relu", _ACTIVATIONS["relu"]) if is_relu else None
    return (name, _ACTIVATIONS[name]) if name in _ACTIVATIONS else None


class Activity(NamedTuple):
    """How many units an activation blocks, and how many of its outputs are saturated.

    Attributes
    ----------
    counts
        (2,) dead units, saturated outputs; on the device.
    units, values
        How many there are of both.
    bounded
        Whether saturation is counted.
    """

    counts: Tensor
    units: int
    values: int
    bounded: bool

    def dead_fraction(self) -> float:
        """Return the share of the units whose slope was 0 for the whole batch."""
        return int(self.counts[0]) / self.units if self.units else math.nan

    def saturated_fraction(self) -> float:
        """Return the share of the outputs where a bounded function is flat; NaN for others."""
        return int(self.counts[1]) / max(1, self.values) if self.bounded else math.nan


def activity_of(x: Tensor, axis: int, bounds: Bounds) -> Activity:
    """Count dead units and saturated activations, by what the activation gave."""
    x = by_unit(x.detach(), axis)
    alive = torch.zeros(x.shape[1], dtype=torch.bool, device=x.device)
    flat = torch.zeros((), dtype=torch.int64, device=x.device)
    for _, columns, block in unit_blocks(x):
        # As `not (x <= low)`: comparisons with NaN are false, and a unit with NaN is not dead.
        if math.isinf(bounds.high):
            moving = ~(block.amax(dim=(0, 2)) <= bounds.low)
        else:
            moving = (~((block <= bounds.low) | (block >= bounds.high))).any(dim=2).any(dim=0)
        alive[columns] |= moving
        for low_end, bound in ((True, bounds.flat_low), (False, bounds.flat_high)):
            if not math.isnan(bound):
                flat += torch.count_nonzero(block <= bound if low_end else block >= bound)
    counts = torch.stack([torch.count_nonzero(~alive), flat])
    return Activity(counts, x.shape[1], x.numel(), not math.isnan(bounds.flat_high))
