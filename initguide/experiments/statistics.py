"""Means over seeds with their intervals, and paired differences."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from initguide.experiments.metrics import METRICS

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


@dataclass(frozen=True, eq=False)
class Difference:
    """One scheme against another, seed by seed.

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
    complete
        Whether no run of either scheme diverged.
    """

    a: str
    b: str
    metric: str
    seeds: tuple[int, ...]
    per_seed: NDArray[np.float64]
    mean: float
    interval: Interval | None
    confidence: float
    complete: bool = True

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of 0: the difference is more than noise."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)

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
            is none, or if runs diverged: the seeds that are left are no fair sample.

        Raises
        ------
        ValueError
            If ``margin`` is negative.
        """
        if not margin >= 0:
            raise ValueError(f"margin is {margin!r}; it must be at least 0")
        if self.interval is None or not self.complete:
            return "undecided"
        low, high = self.interval
        if low > margin:
            return "higher"
        if high < -margin:
            return "lower"
        return "level" if -margin <= low and high <= margin else "undecided"

    def __str__(self) -> str:
        fraction = METRICS[self.metric].is_fraction
        scale, unit, digits = (100, " points", 2) if fraction else (1, "", 4)
        text = f"{self.a} − {self.b}: {scale * self.mean:+.{digits}f}{unit} of "
        text += METRICS[self.metric].title
        seeds = f"{len(self.seeds)} paired seed{'s' * (len(self.seeds) != 1)}"
        if self.interval is None:
            return f"{text}\n  {seeds}: no interval"
        low, high = (f"{scale * end:+.{digits}f}" for end in self.interval)
        verdict = "not 0" if self.excludes_zero else "0 is not ruled out"
        interval = f"{100 * self.confidence:.4g} % interval {low} to {high}"
        return f"{text}\n  {interval} ({seeds}): {verdict}"

    __repr__ = __str__


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
