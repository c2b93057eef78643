"""Tests of one sample against a distribution, and of two samples against each other.

Each returns, by the name of the test, a bound of the probability of so large a deviation by chance.
A sample of the distribution is refused by any one of them with a probability of at most `ALPHA`.
"""

import math
from typing import NamedTuple

import torch
from scipy.special import chdtr, chdtrc, fdtr, fdtrc, stdtr
from torch import Tensor

from initguide.auditing.distributions import Distribution
from initguide.auditing.reading import Summary

__all__ = ["ALPHA", "FALSE_ALARM", "Verdict", "compare", "fit"]

ALPHA = 1e-6
"""Rate of false alarms of one test: a model has hundreds of parameters, and each takes several."""

FALSE_ALARM = 7 * ALPHA
"""Bound of the rate at which values are refused that were drawn from the distribution asked for.

Seven tests are asked: shape, standard deviation, mean, and each extreme for too near and too far.
"""


class Verdict(NamedTuple):
    """The most unlikely deviation of several.

    Attributes
    ----------
    test
        Which test found it: ``"shape"``, ``"std"``, ``"mean"``, ``"smallest"`` or ``"largest"``.
    p
        How likely so large a deviation is by chance, at most.
    """

    test: str
    p: float

    @property
    def fits(self) -> bool:
        """Whether it is not too unlikely."""
        return self.p >= ALPHA


def fit(distribution: Distribution, seen: Summary) -> Verdict:
    """Ask whether values were drawn independently from a distribution.

    Parameters
    ----------
    distribution
        What they may have been drawn from.
    seen
        The values, all finite.

    Returns
    -------
    Verdict
        Of the worst of these tests:

        - *shape*: the Kolmogorov-Smirnov distance D of the sample of m values, which chance exceeds
          with a probability of at most 2 exp(−2mD²) (Dvoretzky, Kiefer & Wolfowitz 1956, with the
          constant of Massart 1990), at every m;
        - *std*: (n − 1)s²/σ² has about the χ² distribution, of 2n / (kurtosis − 1) degrees of
          freedom where n is large, which gives the variance its sampling error;
        - *mean*: √n (mean − μ)/σ is about a unit normal;
        - *smallest* and *largest* of all n values, whose distribution functions are
          1 − (1 − F)ⁿ and Fⁿ.
    """
    chances = {
        "shape": _shape(distribution, seen.sample),
        "std": _std(distribution, seen),
        "mean": math.erfc(
            abs(seen.mean - distribution.mean)
            * math.sqrt(seen.count)
            / (distribution.std * math.sqrt(2))
        ),
        "smallest": _extreme(distribution, seen, seen.low),
        "largest": _extreme(distribution, seen, seen.high),
    }
    worst = min(chances, key=lambda test: chances[test])
    return Verdict(worst, chances[worst])


def _shape(distribution: Distribution, sample: Tensor) -> float:
    ordered = sample.sort().values
    number = len(ordered)
    steps = torch.arange(number + 1, dtype=torch.float64) / number
    expected = distribution.below(ordered)
    distance = max(float((steps[1:] - expected).max()), float((expected - steps[:-1]).max()))
    return _massart(distance, number)


def _massart(distance: float, number: float) -> float:
    return min(1.0, 2 * math.exp(-2 * number * distance**2))


def _freedom(kurtosis: float, count: int) -> float:
    """Degrees of freedom of the χ² distribution that a sample variance has."""
    # The variance of s² is σ⁴(kurtosis − 1)/n, and that of χ²/ν is 2/ν. For few values the lower
    # tail is that of a normal sample at best: all of them near to each other.
    return count - 1 if count < 32 else 2 * count / (kurtosis - 1)


def _std(distribution: Distribution, seen: Summary) -> float:
    if seen.count < 2:
        return 1.0
    freedom = _freedom(distribution.kurtosis, seen.count)
    square = freedom * (seen.std / distribution.std) ** 2
    return min(1.0, 2 * min(float(chdtr(freedom, square)), float(chdtrc(freedom, square))))


def _extreme(distribution: Distribution, seen: Summary, value: float) -> float:
    """Bound of the chance that the extreme lies as far out, or as far in."""
    lower = value == seen.low
    # Rounding may put a value onto the end of its range or past it; so it counts as a little
    # further in when it may be too far out, and a little further out when too far in.
    slack = 4 * seen.rounding * max(abs(value - distribution.mean), abs(value))
    sign = -1.0 if lower else 1.0
    further_in, further_out = (
        float(tail(torch.tensor(value + sign * by, dtype=torch.float64)))
        for by in (-slack, slack)
        for tail in [distribution.below if lower else distribution.above]
    )
    too_far = -math.expm1(seen.count * math.log1p(-min(further_in, 1 - 1e-16)))
    too_near = math.exp(seen.count * math.log1p(-min(further_out, 1 - 1e-16)))
    # Normal values in single precision come from 24 random bits, and end between 5.5 and 5.8
    # standard deviations: an extreme beyond 5 is never too near.
    if abs(value - distribution.mean) > 5 * distribution.std:
        too_near = 1.0
    return min(too_far, too_near)


def compare(seen: Summary, reference: Summary) -> Verdict:
    """Ask whether two tensors may have been drawn from one distribution, whichever it is.

    Parameters
    ----------
    seen, reference
        Values of each, all finite.

    Returns
    -------
    Verdict
        Of the worst of three tests: the distance of the two samples' distribution functions
        (*shape*), the F test of the variances with degrees of freedom by the kurtosis of the
        reference (*std*), and the t test of the means (*mean*).
    """
    chances = {"shape": _two_shapes(seen.sample, reference.sample)}
    if min(seen.count, reference.count) > 1:
        centred = reference.sample - reference.sample.mean()
        square = float(centred.square().mean())
        kurtosis = float(centred.pow(4).mean()) / square**2 if square else 3.0
        # No distribution is flatter than two points, of kurtosis 1.
        one, other = (_freedom(max(kurtosis, 1.05), _telling(s)) for s in (seen, reference))
        ratio = (seen.std / reference.std) ** 2 if reference.std else math.inf * (seen.std > 0)
        if math.isfinite(ratio):
            tails = float(fdtr(one, other, ratio)), float(fdtrc(one, other, ratio))
            chances["std"] = min(1.0, 2 * min(tails))
        else:
            chances["std"] = 0.0
        error = math.hypot(
            seen.std / math.sqrt(seen.count), reference.std / math.sqrt(reference.count)
        )
        freedom = min(seen.count, reference.count) - 1
        t = abs(seen.mean - reference.mean) / error if error else 0.0
        chances["mean"] = 2 * float(stdtr(freedom, -t))
    worst = min(chances, key=lambda test: chances[test])
    return Verdict(worst, chances[worst])


def _telling(seen: Summary) -> int:
    """How many values tell of the spread: of few among many zeros, these few."""
    others = seen.count - seen.zeros
    return seen.count if others >= 32 else max(2, others)


def _two_shapes(one: Tensor, other: Tensor) -> float:
    one, other = one.sort().values, other.sort().values
    both = torch.cat((one, other))
    # Ties, as the zeros of a sparse matrix, are counted in both before they are compared.
    gaps = torch.searchsorted(one, both, right=True) / len(one) - (
        torch.searchsorted(other, both, right=True) / len(other)
    )
    number = len(one) * len(other) / len(both)
    return _massart(float(gaps.abs().max()), number)
