"""Means over seeds, with their intervals and what these decide."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from initguide.sentences import with_minus

Interval = tuple[float, float]


class Row(NamedTuple):
    """One scheme's line of a table.

    Attributes
    ----------
    label
        The scheme.
    mean
        Mean over the seeds whose run did not diverge; NaN if all did.
    interval
        The interval of the mean over seeds, or ``None`` where fewer than two seeds give a number.
    """

    label: str
    mean: float
    interval: Interval | None


class ThreeWay:
    """What an interval decides: yes, no, or that it cannot tell."""

    mean: float
    interval: Interval | None

    @property
    def _fair(self) -> Interval | None:
        """The interval, if it may decide anything."""
        return self.interval

    def above(self, threshold: float = 0.0) -> bool | None:
        """Whether the true mean lies above a number; ``None`` if the interval reaches across."""
        if self._fair is None:
            return None
        low, high = self._fair
        return True if low > threshold else False if high < threshold else None

    def below(self, threshold: float = 0.0) -> bool | None:
        """Whether the true mean lies below a number; ``None`` if the interval reaches across."""
        above = self.above(threshold)
        return None if above is None else not above

    def within(self, low: float, high: float) -> bool | None:
        """Whether the true mean lies between two; ``None`` if the interval reaches across one.

        Raises
        ------
        ValueError
            If they are not in order.
        """
        if not low < high:
            raise ValueError(f"low is {low!r} and high is {high!r}; low must be below high")
        above, below = self.above(low), self.below(high)
        if above is False or below is False:
            return False
        return True if above and below else None


@dataclass(frozen=True)
class Estimate(ThreeWay):
    """A mean with its interval: what `estimate` returns.

    In a format string, the specification is that of each number:
    ``f"{e:.2f}"`` is ``"0.68 (0.60 to 0.76)"``.

    Attributes
    ----------
    mean
        NaN if there are no numbers.
    interval
        The interval of the mean, or ``None`` if it has none.
    confidence
        How often such intervals hold the true mean, in (0, 1).
    """

    mean: float
    interval: Interval | None
    confidence: float = 0.95

    def __format__(self, spec: str) -> str:
        return with_interval(self.mean, self.interval, spec or ".3g")

    def __str__(self) -> str:
        return format(self)


def with_interval(mean: float, interval: Interval | None, spec: str) -> str:
    """``"0.68 (0.60 to 0.76)"``, with minus signs that are no hyphens."""
    text = format(mean, spec)
    if interval is not None:
        text += f" ({interval[0]:{spec}} to {interval[1]:{spec}})"
    return with_minus(text)


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, Interval | None]:
    """Mean of independent numbers, with Student's interval for it.

    Parameters
    ----------
    values
        (n,) numbers; those that are not finite (diverged runs) are left out.
    confidence
        How often such intervals hold the true mean, in (0, 1).

    Returns
    -------
    mean : float
        NaN if nothing is left.
    interval : tuple of float, or None
        mean ± t · sd / √n, with t the quantile of Student's distribution with n - 1 degrees of
        freedom; ``None`` with fewer than two numbers.

    Examples
    --------
    >>> mean, (low, high) = mean_interval([1.0, 2.0, 3.0])
    >>> print(f"{mean:.2f}, {low:.2f} to {high:.2f}")
    2.00, -0.48 to 4.48
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; it must be above 0 and below 1")
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if not len(array):
        return math.nan, None
    mean = float(array.mean())
    if len(array) == 1:
        return mean, None
    error = float(array.std(ddof=1)) / math.sqrt(len(array))
    half = float(stdtrit(len(array) - 1, (1 + confidence) / 2)) * error
    return mean, (mean - half, mean + half)


def estimate(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean of independent numbers with its interval, which can be asked.

    Parameters
    ----------
    values
        (n,) numbers, one per seed, say.
    confidence
        How often such intervals hold the true mean, in (0, 1).

    Returns
    -------
    Estimate
        As `mean_interval` has it; but if one of the numbers is not finite (a run diverged) there
        is no interval: those that are left are no fair sample.

    Examples
    --------
    >>> ratio = estimate([2.1, 1.9, 2.0, 2.2])
    >>> print(f"{ratio:.2f}", ratio.above(1), ratio.above(2))
    2.05 (1.84 to 2.26) True None
    """
    mean, interval = mean_interval(values, confidence)
    finite = bool(np.isfinite(np.asarray(values, dtype=np.float64)).all())
    return Estimate(mean, interval if finite else None, confidence)
