"""Claims held against measurements."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from initguide.experiments.statistics import Interval, mean_interval


class JudgedSetting(NamedTuple):
    """What a claim says of a number in one setting, and what was measured there.

    Attributes
    ----------
    setting
        The words after "when": ``"there are 30 layers"``.
    claimed
        The range in which the number lies if the claim is right; an end may be infinite.
    mean
        Mean of the measured values.
    interval
        The interval of the mean, or ``None`` if there are fewer than two values, or one that is not
        finite.
    holds
        ``True`` if the whole interval lies within the range, ``False`` if all of it lies outside,
        ``None`` if it reaches across an end, or there is none.
    """

    setting: str
    claimed: Interval
    mean: float
    interval: Interval | None
    holds: bool | None


@dataclass(frozen=True, repr=False)
class Judgement:
    """A claim held against measurements: what `judge` returns.

    Printed, it is one line per setting, and the verdict.

    Attributes
    ----------
    findings
        One for each setting, in the order of the claim.
    """

    findings: tuple[JudgedSetting, ...]

    @property
    def verdict(self) -> str:
        """The findings in words.

        ``"holds"`` or ``"does not hold"`` if all settings agree, ``"these runs cannot tell"`` if
        none is decided, ``"holds only when …"`` if it holds in some and not in others. Settings
        that are not decided are named where others are.
        """
        settings = {
            outcome: [f.setting for f in self.findings if f.holds is outcome]
            for outcome in (True, False, None)
        }
        if not settings[False] and not settings[None]:
            return "holds"
        if not settings[True] and not settings[None]:
            return "does not hold"
        if not settings[True] and not settings[False]:
            return "these runs cannot tell"
        when = {outcome: " and when ".join(names) for outcome, names in settings.items()}
        words = []
        if settings[True]:
            words.append(f"holds {'only ' if settings[False] else ''}when {when[True]}")
        else:
            words.append(f"does not hold when {when[False]}")
        if settings[None]:
            words.append(f"these runs cannot tell when {when[None]}")
        return "; ".join(words)

    def __str__(self) -> str:
        words = {True: "holds", False: "does not hold", None: "cannot tell"}
        lines = []
        for setting, (low, high), mean, interval, holds in self.findings:
            around = "no interval"
            if interval is not None:
                around = f"{_signed(interval[0])} to {_signed(interval[1])}"
            claimed = f"{low:g} to {high:g}"
            if math.isinf(low) or math.isinf(high):
                claimed = f"above {low:g}" if math.isinf(high) else f"below {high:g}"
            claimed = claimed.replace("-", "−")
            lines.append(
                f"when {setting}:\n  {_signed(mean)} ({around}), claimed {claimed}: {words[holds]}"
            )
        return "\n".join([*lines, f"Verdict: {self.verdict}."])

    __repr__ = __str__


def _signed(number: float) -> str:
    """Three significant digits, with a true minus sign."""
    digits = "#.3g" if abs(number) < 100 else ".0f"
    return f"{number:{digits}}".replace("-", "−")


def judge(
    claimed: Mapping[str, Interval], measured: Mapping[str, ArrayLike], *, confidence: float = 0.95
) -> Judgement:
    """Hold a claim against measurements, by a rule that was fixed before.

    A claim says for each setting in which range a number lies: above 0.01 for "A is better by more
    than a point", from -0.01 to 0.01 for "it makes no difference". It holds where the interval of
    the measured mean lies within that range, and does not where it lies outside.

    Parameters
    ----------
    claimed
        Setting -> (low, high), the range; infinite ends are allowed.
    measured
        Setting -> (n,) independent measurements of the number, one per seed, such as
        ``result.values("a") - result.values("b")``. If one of them is not finite (a run diverged),
        nothing is decided.
    confidence
        How often such intervals hold the true mean, in (0, 1).

    Returns
    -------
    Judgement
        A finding for each setting, and the verdict.

    Raises
    ------
    ValueError
        If there is no setting, the settings of the two differ, a range's ends are not in order, or
        the measurements of a setting are not a flat list.

    Examples
    --------
    >>> judge(
    ...     {"there are 2 layers": (-1, 1), "there are 30": (-1, 1)},
    ...     {"there are 2 layers": [0.1, -0.2, 0.3], "there are 30": [-31.0, -28.0, -33.0]},
    ... )
    when there are 2 layers:
      0.0667 (−0.558 to 0.692), claimed −1 to 1: holds
    when there are 30:
      −30.7 (−36.9 to −24.4), claimed −1 to 1: does not hold
    Verdict: holds only when there are 2 layers.
    """
    if not claimed:
        raise ValueError("claimed is empty; give at least one setting and its range")
    if set(claimed) != set(measured):
        raise ValueError(
            f"claimed has the settings {list(claimed)} and measured has {list(measured)}; they "
            "must be the same"
        )
    findings = []
    for setting, (low, high) in claimed.items():
        if not low <= high:
            raise ValueError(
                f"claimed gives the range ({low!r}, {high!r}) for {setting!r}; the first must not "
                "be above the second"
            )
        values = np.asarray(measured[setting], dtype=np.float64)
        if values.ndim != 1:
            raise ValueError(
                f"measured gives an array of shape {values.shape} for {setting!r}; it must be "
                "flat, with one number a seed"
            )
        mean, interval = mean_interval(values, confidence)
        if not np.isfinite(values).all():
            interval = None  # what is left is not a fair sample
        holds = None
        if interval is not None and low <= interval[0] and interval[1] <= high:
            holds = True
        elif interval is not None and (interval[1] < low or high < interval[0]):
            holds = False
        findings.append(JudgedSetting(setting, (low, high), mean, interval, holds))
    return Judgement(tuple(findings))
