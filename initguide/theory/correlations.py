"""How correlations of two inputs go from layer to layer, and χ₁, the slope where inputs agree."""

import math
from typing import Any

import numpy as np

from initguide.theory.activations import TINY, Activation, Phi
from initguide.theory.broadcasting import Numbers, over
from initguide.theory.lengths import settled_length
from initguide.theory.quadrature import NoMoment

__all__ = [
    "chi",
    "correlation_map",
    "gradient_factor",
    "next_correlation",
    "slope_square",
    "workable",
]


def correlation_map(
    c: Numbers,
    phi: Phi,
    sigma_w: Numbers,
    sigma_b: Numbers = 0.0,
    *,
    q: Numbers | None = None,
) -> Any:
    """Correlation of two inputs' pre-activations in the next layer.

    (σ_w² E[φ(u) φ(v)] + σ_b²) / q', for normal u and v of variance q and correlation c, where
    q' is what the length map makes of q.

    Parameters
    ----------
    c
        The correlation in this layer, in [-1, 1].
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.
    q
        The length of both inputs; by default the one at which they settle (`fixed_point`), and its
        limit where that is 0 or infinite.

    Returns
    -------
    float or ndarray
        The next correlation, in [-1, 1]; NaN where lengths do not settle and no limit is known.

    Raises
    ------
    ValueError
        If a number is out of range or ``phi`` is not elementwise.

    Examples
    --------
    >>> import torch
    >>> round(correlation_map(0.0, torch.relu, sigma_w=2**0.5), 4)
    0.3183
    """
    activation = Activation(phi)
    if q is not None:
        return over(
            lambda c, w, b, q: next_correlation(activation, c, q, w, b),
            c=c,
            sigma_w=sigma_w,
            sigma_b=sigma_b,
            q=q,
        )
    return over(
        lambda c, w, b: next_correlation(activation, c, settled_length(activation, w, b), w, b),
        c=c,
        sigma_w=sigma_w,
        sigma_b=sigma_b,
    )


def chi(phi: Phi, sigma_w: Numbers, sigma_b: Numbers = 0.0, *, q: Numbers | None = None) -> Any:
    """χ₁ = σ_w² E[φ'(√q* z)²]: what a layer multiplies the mean square of gradients by.

    At q*, where lengths settle, it is the slope of the correlation map at c = 1, too: below 1
    inputs become alike (order), above 1 they come apart (chaos).

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0. They matter by the length only.
    q
        Another length than q*, at least 0, for a layer in which lengths have not settled yet. By
        default the one at which they settle (`fixed_point`), and its limit where that is 0 or
        infinite.

    Returns
    -------
    float or ndarray
        χ₁, at least 0. Where lengths grow without bound, its limit (ReLU: σ_w²/2); NaN if there is
        none.

    Raises
    ------
    ValueError
        If a number is out of range, ``phi`` is not elementwise, or the derivative that autograd
        gives does not add up to ``phi``, as where it jumps.

    Examples
    --------
    >>> import torch
    >>> round(chi(torch.relu, sigma_w=1.0, sigma_b=0.3), 6)
    0.5
    >>> round(chi(torch.tanh, sigma_w=1.0, q=1.0), 4)  # at q* = 0 it is 1
    0.4644
    """
    activation = Activation(phi)
    activation.check_slope()
    if q is not None:
        return over(
            lambda w, _, q: w**2 * slope_square(activation, q),
            sigma_w=sigma_w,
            sigma_b=sigma_b,
            q=q,
        )
    return over(lambda w, b: gradient_factor(activation, w, b), sigma_w=sigma_w, sigma_b=sigma_b)


def workable(q: float) -> float:
    """A finite length above 0 that stands for an infinite one, or for 0, where the limit counts."""
    return 1e14 if math.isinf(q) else q or TINY


def next_correlation(activation: Activation, c: float, q: float, w: float, b: float) -> float:
    """The next correlation; NaN where lengths have no limit."""
    if math.isnan(q):
        return math.nan
    q = workable(q)
    try:
        same = w**2 * activation.second(q) + b**2
        return max(-1.0, min(1.0, (w**2 * activation.pair(q, c) + b**2) / same))
    except (NoMoment, ZeroDivisionError):
        return math.nan


def slope_square(activation: Activation, q: float) -> float:
    """E[φ'(√q z)²], also in the limit of infinite q; NaN if there is none."""
    if math.isnan(q):
        return math.nan
    if math.isfinite(q):
        return activation.second(q, prime=True)
    # Piecewise linear functions and those that saturate have a slope far out; two places tell.
    near, far = (activation.slope(np.array([-x, x])) ** 2 for x in (1e6, 1e8))
    settled = np.isfinite(far).all() and np.allclose(near, far, rtol=1e-6, atol=1e-12)
    return float(far.mean()) if settled else math.nan


def gradient_factor(activation: Activation, w: float, b: float) -> float:
    """χ₁ at the length where q = 1 leads."""
    return w**2 * slope_square(activation, settled_length(activation, w, b))
