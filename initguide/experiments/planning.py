"""How many seeds a comparison takes, before it is made."""

import bisect
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri, nctdtr, nctdtrinc, stdtrit

from initguide.arguments import check_number
from initguide.experiments.statistics import Estimate

# Nobody trains more often than this, and the search has to end somewhere.
MOST_SEEDS = 100_000


def power(seeds: int, effect: float, confidence: float = 0.95) -> float:
    """Chance that the interval of a paired difference lies wholly on the right side of 0.

    Parameters
    ----------
    seeds
        How many paired seeds, at least 2.
    effect
        The true difference divided by the standard deviation over seeds of the paired difference,
        at least 0.
    confidence
        Of the interval, in (0, 1).

    Returns
    -------
    float
        In (0, 1). Differences are taken as normally distributed, so that their mean divided by its
        standard error follows the noncentral t distribution.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    See Also
    --------
    seeds_needed : The other way round.

    Examples
    --------
    >>> print(f"{power(5, 1.0):.2f}, {power(10, 1.0):.2f}")
    0.40, 0.80
    """
    if seeds < 2:
        raise ValueError(f"seeds is {seeds!r}; an interval takes at least 2")
    if not effect >= 0:
        raise ValueError(f"effect is {effect!r}; give its size, at least 0")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; it must be above 0 and below 1")
    threshold = stdtrit(seeds - 1, (1 + confidence) / 2)
    return float(1 - nctdtr(seeds - 1, effect * math.sqrt(seeds), threshold))


def seeds_needed(
    difference: float, sd: float, wanted: float = 0.8, confidence: float = 0.95
) -> int:
    """Smallest number of paired seeds that shows a difference with the wanted power.

    Parameters
    ----------
    difference
        The smallest difference that would matter to you, above 0.
    sd
        Standard deviation over seeds of the paired difference, above 0, in the same unit; a pilot
        of a few seeds tells it roughly, see `estimate_sd`.
    wanted
        The `power`, in (0, 1).
    confidence
        Of the interval, in (0, 1).

    Returns
    -------
    int
        At least 2.

    Raises
    ------
    ValueError
        If an argument is out of its range, or if it takes more than 100,000 seeds.

    Examples
    --------
    A third of a point of accuracy, where the paired difference strays by half a point:

    >>> seeds_needed(0.3, 0.5)
    24
    """
    if not (difference > 0 and sd > 0):
        raise ValueError(f"difference is {difference!r} and sd {sd!r}; both must be above 0")
    if not 0 < wanted < 1:
        raise ValueError(f"wanted is {wanted!r}; it must be above 0 and below 1")
    effect = difference / sd
    # Power grows with the number of seeds, so the first that has enough is found by bisection.
    candidates = range(2, MOST_SEEDS + 1)
    found = bisect.bisect_left(candidates, wanted, key=lambda n: power(n, effect, confidence))
    if found == len(candidates):
        raise ValueError(
            f"a difference of {difference!r} with a standard deviation of {sd!r} takes more than "
            f"{MOST_SEEDS:,} seeds; ask for a larger difference"
        )
    return candidates[found]


def estimate_sd(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Standard deviation of independent, normal numbers, with its interval.

    Parameters
    ----------
    values
        (n,) finite numbers, at least 2: the paired differences of a pilot, say.
    confidence
        How often such intervals hold the true standard deviation, in (0, 1).

    Returns
    -------
    Estimate
        Its `mean` is the standard deviation (of n - 1). The interval is that of the χ² distribution
        with n - 1 degrees of freedom.

    Raises
    ------
    ValueError
        If there are fewer than 2 numbers, one is not finite, or ``confidence`` is out of its range.

    Examples
    --------
    >>> print(f"{estimate_sd([0.1, 0.9, 0.4, 0.5, 0.2]):.2f}")
    0.31 (0.19 to 0.89)
    """
    numbers = _finite(values, confidence)
    free, tail = len(numbers) - 1, (1 - confidence) / 2
    sd = float(numbers.std(ddof=1))
    low, high = (sd * math.sqrt(free / chdtri(free, share)) for share in (tail, 1 - tail))
    return Estimate(sd, (low, high), confidence)


def estimate_effect(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean divided by standard deviation, of independent, normal numbers, with its interval.

    Parameters
    ----------
    values
        (n,) finite numbers, at least 2 and not all equal: the paired differences of a pilot, say.
    confidence
        How often such intervals hold the true ratio, in (0, 1).

    Returns
    -------
    Estimate
        Its `mean` is the ratio, what `power` calls ``effect``, with its sign. The interval has the
        ratios of which Student's t of these numbers is neither too high nor too low, by the
        noncentral t distribution.

    Raises
    ------
    ValueError
        If there are fewer than 2 numbers, all are equal, one is not finite, or ``confidence`` is
        out of its range.

    Examples
    --------
    >>> print(f"{estimate_effect([0.1, 0.9, 0.4, 0.5, 0.2]):.2f}")
    1.35 (0.06 to 2.57)
    """
    numbers = _finite(values, confidence)
    n, sd = len(numbers), float(numbers.std(ddof=1))
    if sd == 0:
        raise ValueError("values are all equal, so their ratio to the noise is infinite")
    ratio, tail = float(numbers.mean()) / sd, (1 - confidence) / 2
    # For a t below 0 mirrored, since the quantiles are found for one above it.
    sign = math.copysign(1, ratio)
    t = abs(ratio) * math.sqrt(n)
    low, high = (
        sign * float(nctdtrinc(n - 1, share, t)) / math.sqrt(n) for share in (1 - tail, tail)
    )
    return Estimate(ratio, (min(low, high), max(low, high)), confidence)


def _finite(values: ArrayLike, confidence: float) -> NDArray[np.float64]:
    check_number("confidence", confidence, above=0, below=1)
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < 2 or not np.isfinite(numbers).all():
        raise ValueError(
            f"values has the shape {numbers.shape}, with {np.isfinite(numbers).sum()} finite "
            "numbers; give a flat list of at least 2, all of them finite"
        )
    return numbers
