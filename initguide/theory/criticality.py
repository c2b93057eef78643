"""The edge between order and chaos, and how many layers signals, angles and gradients last."""

import math
from typing import Any, Literal

from scipy.optimize import brentq

from initguide.theory.activations import Activation, Phi
from initguide.theory.broadcasting import Numbers, over
from initguide.theory.correlations import gradient_factor, next_correlation, slope_square, workable
from initguide.theory.lengths import FLAT, root, settled_length
from initguide.theory.quadrature import NoMoment

__all__ = ["critical_sigma_w", "depth_scale"]


def critical_sigma_w(phi: Phi, sigma_b: Numbers = 0.0) -> Any:
    """The σ_w at which χ₁ = 1: the edge between order and chaos.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_b
        Standard deviation of the biases, at least 0.

    Returns
    -------
    float or ndarray
        The smallest such σ_w. For ReLU it is √2 for every σ_b: above 0 lengths then grow without
        bound, but gradients keep theirs.

    Raises
    ------
    ValueError
        If there is none, a number is out of range, ``phi`` is not elementwise or its derivative
        does not add up to it.

    Examples
    --------
    >>> import torch
    >>> round(critical_sigma_w(torch.tanh, 0.0), 6), round(critical_sigma_w(torch.relu, 0.0), 6)
    (1.0, 1.414214)
    >>> round(critical_sigma_w(torch.tanh, 0.05**0.5) ** 2, 2)  # σ_w² for σ_b² = 0.05
    1.76
    """
    activation = Activation(phi)
    activation.check_slope()
    return over(lambda b: _critical(activation, b), sigma_b=sigma_b)


def _critical(activation: Activation, b: float) -> float:
    """At a fixed point σ_w² E[φ²] + σ_b² = q; χ₁ = 1 says σ_w² = 1 / E[φ'²]. So solve for q."""

    def gap(q: float) -> float:
        try:
            change = activation.second(q) / activation.second(q, prime=True) + b**2 - q
        except (NoMoment, ZeroDivisionError):
            return math.nan
        return 0.0 if abs(change) < 10 * FLAT * q else change / q

    # Below b = 3e-9 the length at which χ₁ = 1 cannot be told from 0.
    lengths = [0.0] if activation.second(0.0) == 0 and b**2 < 1e-17 else []
    start = b**2 if b**2 >= 1e-17 else 1e-6  # no length is below that of the biases
    steps = 80 if start >= 1e-6 else 80 + math.ceil(math.log(1e-6 / start, 1.3))
    grid = [start * 1.3**k for k in range(steps)]
    gaps = [gap(q) for q in grid]
    for low, high, before, after in zip(grid, grid[1:], gaps, gaps[1:], strict=False):
        if before * after < 0:
            lengths.append(root(gap, low, high))
        elif (before == 0) != (after == 0):  # it ends, or begins, to be told from 0
            lengths.append(low if before == 0 else high)
    lengths.append(math.inf)
    # Where lengths grow without bound gradients may still keep theirs, as for ReLU with biases.
    candidates = [
        (1 / math.sqrt(prime), q) for q in lengths if (prime := slope_square(activation, q)) > 0
    ]
    for w, q in sorted(candidates):
        # Lengths settle at a half-stable point, too, from one side; a search does not see it.
        half = 1e-6 <= q < math.inf and abs(w**2 * activation.second_slope(q) - 1) < 1e-5
        if half or abs(gradient_factor(activation, w, b) - 1) < 1e-6:
            return w
    raise ValueError(
        f"phi ({activation.name}) has no critical sigma_w at sigma_b = {b:g}: χ₁ does not pass "
        "through 1 at a stable fixed point"
    )


Kind = Literal["gradient", "correlation", "signal"]


def depth_scale(
    phi: Phi, sigma_w: Numbers, sigma_b: Numbers = 0.0, *, kind: Kind = "gradient"
) -> Any:
    """How many layers it takes to change something by the factor e: ξ = 1 / abs(ln slope).

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.
    kind
        What: ``"gradient"``, the mean square of gradients, slope χ₁; ``"correlation"``, the
        distance of correlations from where they settle, slope of the correlation map there (in the
        ordered phase, where that is 1, again χ₁; where lengths shrink to 0 or grow without bound,
        that is divided out); ``"signal"``, the distance of lengths from q*,
        slope of the length map there.

    Returns
    -------
    float or ndarray
        ξ in layers, at least 0. In the ordered phase this is the −1 / ln χ₁ of Schoenholz et al.;
        in the chaotic phase, where that is negative, gradients *grow* by e in ξ layers. ``inf`` at
        criticality, 0 if nothing is left after one layer, NaN where there is no slope (`chi`).

    Raises
    ------
    ValueError
        If a number is out of range, ``kind`` is unknown, ``phi`` is not elementwise or its
        derivative does not add up to it.

    Examples
    --------
    >>> import torch
    >>> round(depth_scale(torch.tanh, 0.9), 4)
    4.7456
    """
    slopes = {
        "gradient": gradient_factor,
        "correlation": _correlation_slope,
        "signal": _signal_slope,
    }
    if kind not in slopes:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(map(repr, slopes))}")
    activation = Activation(phi)
    if kind != "signal":
        activation.check_slope()

    def scale(w: float, b: float) -> float:
        slope = abs(slopes[kind](activation, w, b))
        if math.isnan(slope) or slope == 0:
            return slope
        log = abs(math.log(slope))
        return 1 / log if log > 1e-11 else math.inf

    return over(scale, sigma_w=sigma_w, sigma_b=sigma_b)


def _signal_slope(activation: Activation, w: float, b: float) -> float:
    q = settled_length(activation, w, b)
    if math.isfinite(q):
        return w**2 * activation.second_slope(q)
    return math.nan


def _correlation_slope(activation: Activation, w: float, b: float) -> float:
    """Slope of the correlation map where it settles; lengths that grow are divided out."""
    q = workable(settled_length(activation, w, b))
    if math.isnan(q):
        return q
    try:
        scale = w**2 * q / (w**2 * activation.second(q) + b**2)
        slope = scale * activation.second(q, prime=True)
        if slope <= 1 + 1e-9:
            return slope

        def rise(c: float) -> float:
            return next_correlation(activation, c, q, w, b) - c

        # The map has no negative Taylor coefficient, so below 1 it meets the diagonal once.
        if rise(1 - 1e-9) >= 0:
            return slope  # it does so within rounding of 1
        c = 0.0 if rise(0.0) < 1e-12 else brentq(rise, 0.0, 1 - 1e-9, xtol=1e-12)
        return scale * activation.pair(q, c, prime=True)
    except NoMoment:
        return math.nan
