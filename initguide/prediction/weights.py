"""Sums of inputs with weights: what linear layers and convolutions have in common."""

import math

import numpy as np
from torch import Tensor

from initguide.prediction.belief import Belief, Gap
from initguide.prediction.protocol import Call
from initguide.theory import Array

__all__ = ["check_weights", "weighted_sum"]


def weighted_sum(call: Call, rows: Tensor, seen: Array) -> Belief:
    """E[z²] = E[w²] Σ E[x²] + E[b²]: weights are independent of inputs and of each other.

    Parameters
    ----------
    call
        The layer's call; its bias is taken from there.
    rows
        (units, fan-in) weights.
    seen
        (groups,) mean of the sum of x² that a unit sees.

    Returns
    -------
    Belief
        Normal, for many inputs add up; its sign is that of the weights unless the bias has a mean.
    """
    bias = call.get("bias")
    second = np.full(len(seen), float(rows.square().mean())) * seen
    mean = 0.0
    if bias is not None:
        second = second + float(bias.detach().double().square().mean())
        mean = float(bias.detach().double().mean())
    key = frozenset({call.knowledge.key(call["weight"])})
    # A bias of mean m keeps its sign. Up to 1e-4, leaving 2 E[x] m out of a sum costs 1 % at most.
    return Belief(
        second,
        mean=mean,
        normal=True,
        sources=call.before.sources | key,
        heads=key if mean**2 <= 1e-4 * call.knowledge.groups.overall(second) else None,
        basis=call.before.basis,
    )


def check_weights(rows: Tensor) -> None:
    """Refuse weights for which E[z²] = n E[w²] E[x²] does not hold for every kind of input.

    Thresholds are far beyond what independent draws do by chance, so that ordinary schemes pass.

    Parameters
    ----------
    rows
        (units, fan-in) weights.
    """
    units, fan_in = rows.shape
    square = float(rows.square().mean())
    if square == 0 or not math.isfinite(square):
        return
    mean = float(rows.mean())
    # With equal inputs the mean would add this share to E[z²]. Five standard deviations from 0, it
    # is no accident of the draw.
    matters = fan_in > 1 and fan_in * mean**2 > 0.05 * square
    if matters and rows.numel() * mean**2 > 25 * (square - mean**2):
        raise Gap(f"its weights have mean {mean:.3g}, not 0, and add up what inputs share")
    # Of independent weights, the mean over n of them has a mean square of 1/n of theirs.
    for axis, count, what in ((1, units, "of a unit"), (0, fan_in, "of an input")):
        size = rows.shape[axis]
        # √(2 / count) is the standard deviation of a mean of so many squared normal numbers.
        ratio = size * float(rows.mean(axis).square().mean()) / square
        if ratio > 2 + 5 * math.sqrt(2 / count) and ratio > 0.1 * size:
            raise Gap(f"the weights {what} are alike, not drawn independently of each other")
    # Sparse rows that pick some inputs would multiply those inputs' mean square, not the mean one.
    # Independent normal weights give 2 / units below; 1 is half of the inputs without any weight.
    energy = rows.square().mean(0)
    if float((energy / square - 1).square().mean()) > 1 + 5 / units:
        raise Gap("its weights single out some of its inputs")
