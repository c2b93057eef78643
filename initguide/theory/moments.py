"""Moments with a formula: truncated normal draws, finite width, stacks of residual blocks."""

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from initguide.theory.broadcasting import Numbers, as_array
from initguide.theory.quadrature import NODES, WEIGHTS

__all__ = [
    "FiniteWidth",
    "Moments",
    "finite_width_moments",
    "residual_growth",
    "truncated_normal_moments",
]


class Moments(NamedTuple):
    """Moments of a distribution.

    Attributes
    ----------
    mean
        The mean.
    std
        The standard deviation around it.
    second
        The mean square.
    """

    mean: float
    std: float
    second: float


def truncated_normal_moments(
    low: float, high: float, *, mean: float = 0.0, std: float = 1.0
) -> Moments:
    """Moments of N(mean, std²), redrawn outside of [low, high].

    As for `torch.nn.init.trunc_normal_`, the ends are absolute, not in units of ``std``.

    Parameters
    ----------
    low, high
        The ends, ``low`` below ``high``; infinite ones are allowed.
    mean, std
        Of the normal distribution before its tails are cut off; ``std`` above 0.

    Returns
    -------
    Moments
        What is left, by quadrature: no digits are lost far out in a tail.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> round(truncated_normal_moments(-2, 2).std, 6)
    0.879626
    """
    if not (std > 0 and math.isfinite(std) and math.isfinite(mean)):
        raise ValueError(f"mean is {mean!r} and std is {std!r}; they must be finite, std above 0")
    if not low < high:
        raise ValueError(f"low is {low!r} and high is {high!r}; low must be below high")
    a, b = (low - mean) / std, (high - mean) / std
    peak = min(max(0.0, a), b)  # where the density is highest, and 1e-20 of it is the end of it
    far = 92 / (abs(peak) + math.hypot(peak, math.sqrt(92)))
    # Distances from the peak, so that far out nothing is subtracted from its like.
    left = max(a - peak, -(far if peak < 0 else 10))
    right = min(b - peak, far if peak > 0 else 10)
    edges = np.linspace(left, right, 33)
    half = np.diff(edges) / 2
    t = (edges[:-1] + half)[:, None] + half[:, None] * NODES
    weights = half[:, None] * WEIGHTS * np.exp(-t * (peak + t / 2))
    weights /= weights.sum()
    offset = float((weights * t).sum())
    spread = math.sqrt(float((weights * (t - offset) ** 2).sum()))
    center = mean + std * (peak + offset)
    return Moments(center, std * spread, center**2 + (std * spread) ** 2)


class FiniteWidth(NamedTuple):
    """Moments of the mean square that leaves a ReLU network, relative to the input's.

    Attributes
    ----------
    mean
        E[M], over draws of the weights.
    second
        E[M²].
    """

    mean: float
    second: float


def finite_width_moments(widths: Sequence[int]) -> FiniteWidth:
    """Moments of the mean square in a He-initialized ReLU network of finite width.

    With weights from N(0, 2/fan_in), zero biases and ReLU after each of the layers of widths n₁ …
    n_L, M = (‖x_L‖² / n_L) / (‖x₀‖² / n₀) is a product of independent factors (2/n) Σ relu(gᵢ)²
    with normal gᵢ, so that *exactly* E[M] = 1 and E[M²] = Π (1 + 5/n) (after Hanin and Rolnick
    2018, arXiv:1803.01719). x_L is taken after the last ReLU. A linear layer of width m with the
    same weights makes it 2 M χ²_m / m: twice the mean, and 4 (1 + 2/m) times the mean square.

    Parameters
    ----------
    widths
        Units of each ReLU layer, at least 1 each, without the input; any number of layers.

    Returns
    -------
    FiniteWidth
        ``(1, Π (1 + 5/n))``.

    Raises
    ------
    ValueError
        If a width is not a whole number, at least 1.
    TypeError
        If ``widths`` is not a sequence.

    Examples
    --------
    >>> finite_width_moments([10, 10])
    FiniteWidth(mean=1.0, second=2.25)
    """
    if isinstance(widths, str) or not isinstance(widths, Iterable):
        raise TypeError(f"widths is {widths!r}; it must be a sequence of whole numbers")
    widths = list(widths)
    for width in widths:
        if not (isinstance(width, Real) and 1 <= width < math.inf and width == int(width)):
            raise ValueError(f"widths has {width!r}; a width is a whole number, at least 1")
    return FiniteWidth(1.0, math.prod((1 + 5 / n for n in widths), start=1.0))


def residual_growth(depth: Numbers, branch_scale: Numbers = 1.0) -> Any:
    """Variance after a stack of residual blocks x + s f(x), relative to the variance before.

    Each branch f keeps the variance of its input and is uncorrelated with it (its last layer has
    its own zero-mean weights), so a block multiplies the variance by 1 + s².

    Parameters
    ----------
    depth
        Number of blocks L, at least 0.
    branch_scale
        s: 1 for plain blocks (2^L); 1/√L gives (1 + 1/L)^L, which tends to e; 0, as a last
        layer of zeros in each branch, gives 1.

    Returns
    -------
    float or ndarray
        (1 + s²)^L; infinite where a float cannot hold it.

    Raises
    ------
    ValueError
        If ``depth`` is negative or a number is not finite.

    Examples
    --------
    >>> residual_growth(10), round(residual_growth(10, 10**-0.5), 4)
    (1024.0, 2.5937)
    """
    blocks, scale = as_array("depth", depth), as_array("branch_scale", branch_scale)
    if not (np.isfinite(blocks) & (blocks >= 0)).all():
        raise ValueError(f"depth is {depth!r}; it must be a number of blocks, at least 0")
    if not np.isfinite(scale).all():
        raise ValueError(f"branch_scale is {branch_scale!r}; it must be finite")
    with np.errstate(over="ignore"):
        growth = np.exp(blocks * np.log1p(scale**2))
    return float(growth) if growth.ndim == 0 else growth
