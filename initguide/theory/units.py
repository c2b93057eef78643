"""How many units do nothing: `dead_share`."""

import math
from typing import Any

import numpy as np
from scipy.special import ndtr

from initguide.arguments import check_whole
from initguide.theory.broadcasting import Numbers, over
from initguide.theory.quadrature import Array, integrate

__all__ = ["dead_share"]

_EDGES = np.linspace(-9.0, 9.0, 37)  # of N(0, 1), beyond which there is 1e-19


def dead_share(bias: Numbers, c: Numbers, inputs: int) -> Any:
    """Share of a layer's ReLUs that are silent for every one of so many inputs.

    The model: a unit's pre-activations for the inputs are normal, with the bias as mean, one
    variance σ², and one correlation c for each two of them. They are then σ (√c u + √(1−c) vᵢ) + b
    with independent normal u and vᵢ, and all are at most 0 with probability

        E[Φ((−b/σ − √c u) / √(1−c))ⁿ],    u ~ N(0, 1).

    Parameters
    ----------
    bias
        b/σ: the bias in standard deviations of the pre-activations.
    c
        The correlation, in [0, 1]; in the first layer, the mean cosine of the inputs.
    inputs
        How many there are, at least 1.

    Returns
    -------
    float or ndarray
        The share, in [0, 1]; an array of the arguments' common shape if any of them is an array.

    Raises
    ------
    ValueError
        If a number is not finite or out of range.

    Examples
    --------
    >>> round(dead_share(0.0, 0.0, 3), 6)  # three independent signs
    0.125
    >>> round(dead_share(0.0, 0.5, 3), 6), round(dead_share(0.0, 1.0, 3), 6)
    (0.25, 0.5)
    """
    count = check_whole("inputs", inputs, 1)

    def share(c: float, bias: float) -> float:
        if c < 0:
            raise ValueError(f"c is {c:g}; it must be a correlation of many inputs, in [0, 1]")
        if c == 1:
            return float(ndtr(-bias))

        def density(u: Array) -> Array:
            silent = ndtr((-bias - math.sqrt(c) * u) / math.sqrt(1 - c))
            return np.asarray(silent**count * np.exp(-(u**2) / 2))

        return integrate(density, _EDGES, 1e-12)[0] / math.sqrt(2 * math.pi)

    return over(share, c=c, bias=bias)
