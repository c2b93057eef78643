"""Paired differences: one scheme against another, seed by seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from initguide.experiments.metrics import METRICS
from initguide.experiments.seeds import in_ranges
from initguide.experiments.statistics import Interval, ThreeWay, mean_interval, with_interval


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
        return with_interval(scale * self.mean, interval, spec or default)

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


def paired_difference(
    numbers: Mapping[str, Mapping[int, float]],
    metric: str,
    seeds: Sequence[int],
    confidence: float,
    split: str,
) -> Difference:
    """Compare two schemes seed by seed.

    Parameters
    ----------
    numbers
        Label -> seed -> its number, which is not finite if the run diverged. The second label's are
        taken from the first's. One that is compared with itself stands there once.
    metric
        What the numbers are: a name from `METRICS`.
    seeds
        All seeds that were asked for. One without a number failed, or has not been done.
    confidence
        How often such intervals hold the true mean, in (0, 1).
    split
        As in `Difference`.
    """
    labels = list(numbers)
    a, b = labels[0], labels[-1]
    first, second = numbers[a], numbers[b]
    # A seed that diverged, failed or is missing on either side has no partner.
    both = {
        seed: first[seed] - second[seed]
        for seed in first
        if seed in second and math.isfinite(first[seed] - second[seed])
    }
    diverged, missing = {}, {}
    for label, found in numbers.items():
        if lost := tuple(seed for seed, number in found.items() if not math.isfinite(number)):
            diverged[label] = lost
        if lost := tuple(seed for seed in seeds if seed not in found):
            missing[label] = lost
    per_seed = np.array(list(both.values()), dtype=np.float64)
    mean, interval = mean_interval(per_seed, confidence)
    return Difference(
        a, b, metric, tuple(both), per_seed, mean, interval, confidence, diverged, missing, split
    )
