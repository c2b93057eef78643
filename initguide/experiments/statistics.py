"""Means over seeds with their intervals, and paired differences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from initguide.experiments.metrics import METRICS
from initguide.experiments.seeds import in_ranges
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
        return _with_interval(self.mean, self.interval, spec or ".3g")

    def __str__(self) -> str:
        return format(self)


def _with_interval(mean: float, interval: Interval | None, spec: str) -> str:
    """``"0.68 (0.60 to 0.76)"``, with minus signs that are no hyphens."""
    text = format(mean, spec)
    if interval is not None:
        text += f" ({interval[0]:{spec}} to {interval[1]:{spec}})"
    return with_minus(text)


@dataclass(frozen=True, eq=False)
class Difference(ThreeWay):
    """One scheme against another, seed by seed.

    In a format string, the specification is that of each number, in points where the metric is a
    fraction: ``f"{difference:+.1f}"`` is ``"+0.4 (−0.1 to +0.9)"``.

    Attributes
    ----------
    a, b, metric
        What was compared: the metric of ``a`` minus that of ``b``.
    seeds
        The seeds in which neither run diverged.
    per_seed
        (seeds,) the differences.
    mean
        Their mean; NaN if there are none.
    interval
        The interval of the mean, or ``None`` with fewer than two seeds.
    confidence
        How often such intervals hold the true mean, in (0, 1).
    diverged
        ``a`` or ``b`` -> the seeds whose run diverged; neither where no run did.
    missing
        ``a`` or ``b`` -> the seeds without a run: it failed, or has not been done.
    split
        ``"shared"`` if all seeds were trained and validated on the same images, or ``"per seed"``.
    """

    a: str
    b: str
    metric: str
    seeds: tuple[int, ...]
    per_seed: NDArray[np.float64]
    mean: float
    interval: Interval | None
    confidence: float
    diverged: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    missing: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    split: str = "shared"

    @property
    def complete(self) -> bool:
        """Whether both have a run for each seed, and none diverged."""
        return not self.diverged and not self.missing

    @property
    def _fair(self) -> Interval | None:
        # The seeds that are left where runs diverged are no fair sample.
        return self.interval if self.complete else None

    def better(self, margin: float = 0.0) -> bool | None:
        """Whether ``a`` is better than ``b`` by more than a margin; ``None`` if undecided.

        Parameters
        ----------
        margin
            In the unit of the metric (0.003 is 0.3 points of accuracy).
        """
        return self.above(margin) if METRICS[self.metric].higher_is_better else self.below(-margin)

    def __format__(self, spec: str) -> str:
        scale = 100 if METRICS[self.metric].is_fraction else 1
        default = "+.2f" if scale == 100 else "+.3g"
        interval = self.interval and (scale * self.interval[0], scale * self.interval[1])
        return _with_interval(scale * self.mean, interval, spec or default)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of 0: the difference is more than noise.

        Not so where runs diverged or are missing: the seeds that are left are no fair sample.
        """
        return self.above() is not None

    def verdict(self, margin: float = 0.0) -> str:
        """Say in a word what the interval shows.

        Parameters
        ----------
        margin
            How small a difference is too small to matter, at least 0, in the unit of the metric
            (0.003 is 0.3 points of accuracy).

        Returns
        -------
        str
            ``"higher"`` or ``"lower"`` if the whole interval lies beyond the margin on that side;
            ``"level"`` if it lies within the margin; ``"undecided"`` if it reaches across, if there
            is none, or if runs diverged or are missing: the seeds that are left are no fair sample.

        Raises
        ------
        ValueError
            If ``margin`` is negative.
        """
        if not margin >= 0:
            raise ValueError(f"margin is {margin!r}; it must be at least 0")
        if self.above(margin):
            return "higher"
        if self.below(-margin):
            return "lower"
        low, high = self._fair or (-math.inf, math.inf)
        return "level" if -margin <= low and high <= margin else "undecided"

    def __str__(self) -> str:
        fraction = METRICS[self.metric].is_fraction
        scale, unit, digits = (100, " points", 2) if fraction else (1, "", 4)
        mean = f"{scale * self.mean:+.{digits}f}{unit} of" if self.seeds else "no number for"
        text = f"{self.a} − {self.b}: {mean} {METRICS[self.metric].title}"
        seeds = f"{len(self.seeds)} paired seed{'s' * (len(self.seeds) != 1)}"
        if self.interval is None:
            text += f"\n  {seeds}: no interval"
        else:
            low, high = (f"{scale * end:+.{digits}f}" for end in self.interval)
            split = "a split for each" if self.split == "per seed" else "one split"
            text += f"\n  {100 * self.confidence:.4g} % interval {low} to {high} ({seeds}, {split})"
            if self.complete:
                text += ": not 0" if self.excludes_zero else ": 0 is not ruled out"
        return text if self.complete else f"{text}\n  {self._undecided()}"

    __repr__ = __str__

    def _undecided(self) -> str:
        """Why there is no verdict: which runs diverged or are missing."""
        reasons = [
            f"{label} {did} with seed{'s' * (len(seeds) != 1)} {in_ranges(seeds)}"
            for did, found in (("diverged", self.diverged), ("has no run", self.missing))
            for label, seeds in found.items()
        ]
        left = "the seeds that are left are no fair sample" if self.seeds else "no pair is left"
        return f"undecided: {', '.join(reasons)}; {left}"


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
