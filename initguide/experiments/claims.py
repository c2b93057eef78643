"""Claims held against measurements."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from initguide.experiments.statistics import Interval, mean_interval
from initguide.tables import Table


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

    @property
    def outcome(self) -> str:
        """What the interval says, in words.

        ``"holds"``, ``"does not hold"`` or ``"cannot tell"``; and ``"smaller than claimed"`` where
        the claim is an effect of at least some size, and the whole interval lies between 0 and
        that size: there is an effect, and it has the right sign.
        """
        if self.holds is None or self.holds:
            return "cannot tell" if self.holds is None else "holds"
        low, high = self.claimed
        ends = self.interval or (math.nan, math.nan)
        if (math.isinf(high) and 0 < ends[0] <= ends[1] < low) or (
            math.isinf(low) and high < ends[0] <= ends[1] < 0
        ):
            return "smaller than claimed"
        return "does not hold"


@dataclass(frozen=True, repr=False)
class Judgement:
    """A claim held against measurements: what `judge` returns.

    Printed, it is one line per setting, and the verdict; a notebook shows a table.

    Attributes
    ----------
    findings
        One for each setting, in the order of the claim.
    confidence
        How often such intervals hold the true mean, in (0, 1).
    """

    findings: tuple[JudgedSetting, ...]
    confidence: float = 0.95

    @property
    def verdict(self) -> str:
        """The findings in words.

        If all settings have one outcome, that; ``"holds only when …"`` if it holds in some and
        not in others. Settings that are not decided, or in which the effect is smaller than
        claimed, are named where others are.
        """
        settings: dict[str, list[str]] = {}
        for finding in self.findings:
            settings.setdefault(finding.outcome, []).append(finding.setting)
        if len(settings) == 1:
            return next(iter(settings)).replace("cannot tell", "these runs cannot tell")
        when = {outcome: " and when ".join(names) for outcome, names in settings.items()}
        words = []
        if "holds" in when:
            only = "only " if {"does not hold", "smaller than claimed"} & set(when) else ""
            words.append(f"holds {only}when {when['holds']}")
        if "smaller than claimed" in when:
            words.append(f"smaller than claimed when {when['smaller than claimed']}")
        if "does not hold" in when and "holds" not in when:
            words.append(f"does not hold when {when['does not hold']}")
        if "cannot tell" in when:
            words.append(f"these runs cannot tell when {when['cannot tell']}")
        return "; ".join(words)

    def table(self) -> Table:
        """A row for each setting: what was claimed, what was measured, and what follows."""
        found = self.findings
        return Table(
            {
                "when": [finding.setting for finding in found],
                "claimed": [_range(finding.claimed) for finding in found],
                "measured": [_signed(finding.mean) for finding in found],
                f"{100 * self.confidence:.4g} % interval": [_ends(f.interval) for f in found],
                "outcome": [finding.outcome for finding in found],
            },
            caption=f"Verdict: {self.verdict}.",
        )

    def __str__(self) -> str:
        lines = [
            f"when {finding.setting}:\n  {_signed(finding.mean)} ({_ends(finding.interval)}), "
            f"claimed {_range(finding.claimed)}: {finding.outcome}"
            for finding in self.findings
        ]
        return "\n".join([*lines, f"Verdict: {self.verdict}."])

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    __repr__ = __str__


def _signed(number: float) -> str:
    """Three significant digits, with a true minus sign."""
    # Rounded first: 99.96 has three digits before its point, too.
    digits = "#.3g" if abs(float(f"{number:.3g}")) < 100 else ".0f"
    return f"{number:{digits}}".replace("-", "−")


def _ends(interval: Interval | None) -> str:
    return f"{_signed(interval[0])} to {_signed(interval[1])}" if interval else "no interval"


def _range(claimed: Interval) -> str:
    low, high = claimed
    words = f"{low:g} to {high:g}"
    if math.isinf(low) or math.isinf(high):
        words = f"above {low:g}" if math.isinf(high) else f"below {high:g}"
    return words.replace("-", "−")


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
        If there is no setting, the settings of the two differ, a range is no pair or its ends are
        not in order, or the measurements of a setting are not a flat list.

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
    for setting, range_ in claimed.items():
        try:
            low, high = range_
        except (TypeError, ValueError):
            raise ValueError(
                f"claimed has {range_!r} for {setting!r}; give the range (low, high), such as "
                "(0, math.inf) for 'above 0'"
            ) from None
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
    return Judgement(tuple(findings), confidence)
