"""The length map, q' = σ_w² E[φ(√q z)²] + σ_b², and its fixed points."""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from initguide.theory.activations import Activation, Phi
from initguide.theory.broadcasting import Numbers, checked, over
from initguide.theory.quadrature import NoMoment

__all__ = [
    "FLAT",
    "FixedPoint",
    "fixed_point",
    "fixed_points",
    "length_map",
    "root",
    "settled_length",
]

_SMALLEST, _LARGEST = 1e-12, 1e16  # lengths between which fixed points are looked for
FLAT = 2e-13  # relative changes of a length below this are rounding


def length_map(q: Numbers, phi: Phi, sigma_w: Numbers, sigma_b: Numbers = 0.0) -> Any:
    """Mean square of the next layer's pre-activations, σ_w² E[φ(√q z)²] + σ_b².

    Parameters
    ----------
    q
        Mean square of this layer's pre-activations, at least 0.
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.

    Returns
    -------
    float or ndarray
        The next mean square; an array of the arguments' common shape if any of them is an array.

    Raises
    ------
    ValueError
        If a number is out of range, ``phi`` is not elementwise or its moment is not finite.

    Examples
    --------
    >>> import torch
    >>> round(length_map(1.0, torch.relu, sigma_w=2.0, sigma_b=1.0), 6)
    3.0
    """
    activation = Activation(phi)
    return over(
        lambda q, w, b: w**2 * activation.second(q) + b**2, q=q, sigma_w=sigma_w, sigma_b=sigma_b
    )


def fixed_point(phi: Phi, sigma_w: Numbers, sigma_b: Numbers = 0.0) -> Any:
    """Where the lengths of a deep network settle: the stable q* that q = 1 leads to.

    Of several stable fixed points (see `fixed_points`) it is the one that normalized inputs, q = 1,
    end at. Where every length stays as it is (ReLU at σ_w = √2, σ_b = 0) it is 1.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.

    Returns
    -------
    float or ndarray
        q*, at least 0. **There is none where this is infinite**: lengths grow without bound. NaN
        if they grow to where moments cannot be computed.

    Notes
    -----
    Lengths never jump to and fro around a fixed point that repels them: whatever ``phi``, E[φ²]
    falls no faster than 1/√q (the density of a normal x at any place does not), so the map's slope
    at q* is at least -1/2.

    Raises
    ------
    ValueError
        If a number is out of range or ``phi`` is not elementwise.

    Examples
    --------
    >>> import torch
    >>> round(fixed_point(torch.relu, sigma_w=1.0, sigma_b=1.0), 6)
    2.0
    >>> fixed_point(torch.relu, sigma_w=1.5)  # none: lengths grow without bound
    inf
    """
    activation = Activation(phi)
    return over(lambda w, b: settled_length(activation, w, b), sigma_w=sigma_w, sigma_b=sigma_b)


class FixedPoint(NamedTuple):
    """A length that stays as it is.

    Attributes
    ----------
    q
        The mean square of pre-activations.
    slope
        Derivative of the length map there.
    stable
        Whether lengths near it come nearer: ``|slope| < 1``.
    """

    q: float
    slope: float
    stable: bool


def fixed_points(phi: Phi, sigma_w: float, sigma_b: float = 0.0) -> tuple[FixedPoint, ...]:
    """All fixed points of the length map, stable or not, by size; an empty tuple if there are none.

    Searched for at 0 and between 1e-12 and 1e16, at 12 places a decade: two that are nearer to
    each other than that can be missed. A point that draws lengths in though its slope is 1, as 0
    for tanh at σ_w = 1, σ_b = 0, is called stable.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.

    Returns
    -------
    tuple of FixedPoint
        Where every length is a fixed point (ReLU at σ_w = √2), only 0 is listed.

    Raises
    ------
    ValueError
        If a number is out of range or ``phi`` is not elementwise.

    Examples
    --------
    >>> import torch
    >>> [(round(p.q, 4), p.stable) for p in fixed_points(torch.tanh, sigma_w=1.5)]
    [(0.0, False), (0.7934, True)]
    >>> fixed_points(torch.relu, sigma_w=2.0, sigma_b=0.1)
    ()
    """
    activation = Activation(phi)
    sigmas = checked(sigma_w=sigma_w, sigma_b=sigma_b)
    if any(array.ndim for array in sigmas):
        raise ValueError("sigma_w and sigma_b must be numbers here, not arrays")
    w, b = map(float, sigmas)
    grid = np.geomspace(_SMALLEST, _LARGEST, 337)
    growth = [_growth(activation, w, b, float(q)) for q in grid]
    found = []
    if w**2 * activation.second(0.0) + b**2 == 0:
        rises = next((g for g in growth if g), 0.0)
        slope = w**2 * activation.second_slope(0.0)
        found.append(FixedPoint(0.0, slope, rises < 0))
    # Zeros and NaN are left out: where every length stays as it is, growth is 0 within rounding.
    signs = [(q, g) for q, g in zip(grid, growth, strict=True) if abs(g) > 0]
    for (low, before), (high, after) in itertools.pairwise(signs):
        if (before < 0) != (after < 0):
            q = root(lambda q: _growth(activation, w, b, q), float(low), float(high))
            slope = w**2 * activation.second_slope(q)
            found.append(FixedPoint(q, slope, before > 0))
    return tuple(found)


def _growth(activation: Activation, w: float, b: float, q: float) -> float:
    """(q' − q) / q; infinite where q' is, NaN where it cannot be computed."""
    try:
        change = (w**2 * activation.second(q) + b**2 - q) / q
    except NoMoment as error:
        return math.inf if error.diverges else math.nan
    return 0.0 if abs(change) < FLAT else change


def root(f: Callable[[float], float], low: float, high: float) -> float:
    """Where f changes its sign, 0 < low < high; searched for on a logarithmic scale."""
    log = brentq(
        # Infinite values, which brentq refuses, keep their sign.
        lambda t: max(-1e300, min(1e300, f(math.exp(t)))),
        math.log(low),
        math.log(high),
        xtol=1e-14,
        rtol=1e-15,
    )
    return math.exp(log)


def settled_length(activation: Activation, w: float, b: float) -> float:
    """Where lengths go from q = 1: a fixed point or ∞; NaN where that cannot be computed."""

    def growth(q: float) -> float:
        return _growth(activation, w, b, q)

    # Steps are small near 1, so as not to jump over two fixed points at once; far from there,
    # moments follow powers of q, and steps of 10 will do.
    at_zero = w**2 * activation.second(0.0) + b**2
    low = high = 1.0
    first = growth(1.0)
    if first == 0:
        return 1.0
    if first < 0:
        # No fixed point lies far below what the map makes of 0.
        bottom = at_zero * 1e-3 if at_zero else _SMALLEST
        while low > bottom:
            high, low = low, low / (1.5 if low > 1e-3 else 10)
            if growth(low) > 0:
                break
        else:
            return 0.0
    else:
        while high < _LARGEST:
            low, high = high, high * (1.5 if high < 1e3 else 10)
            if growth(high) < 0:
                break
            if math.isnan(growth(high)):
                return math.nan
        else:
            return math.inf
    return root(growth, low, high)
