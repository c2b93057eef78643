"""The numbers that the check-up's thresholds are held against, and how many networks lie beyond."""

import math
from collections.abc import Sequence
from typing import Any

from checked.outcome import Outcome
from initguide import checkup
from initguide.checkup import Checkup
from initguide.checkup.facts import Facts

# What is judged -> the thresholds for it; below them something is found, or above.
THRESHOLDS: dict[str, tuple[str, tuple[float, ...]]] = {
    "move of the outputs (QUIET)": ("below", checkup.QUIET),
    "first layer's effect / largest (SLOW, FROZEN)": ("below", (checkup.SLOW, checkup.FROZEN)),
    "size of the outputs (LARGE, HUGE)": ("above", (checkup.LARGE, checkup.HUGE)),
    "loss / that of knowing nothing (WRONG, CONFIDENT)": (
        "above",
        (checkup.WRONG, checkup.CONFIDENT),
    ),
    "saturated activations (FLATTENED)": ("above", checkup.FLATTENED),
    "shared by the units (ALIKE)": ("above", (checkup.ALIKE,)),
}


def judged(model: Any, report: Checkup, inputs: Any, targets: Any) -> dict[str, float]:
    """Return the numbers that the thresholds of the check-up are held against."""
    # The check-up's own, so that what is printed is what is judged.
    facts = Facts(model, report.measurement, inputs, targets)
    equal = bool(facts.equal_head())  # gradients cancel, so the check-up looks again
    effects = [w.effect for w in facts.trained if w.effect > 0 and not equal]
    hidden = [w.parameter.shared for w in facts.weights[:-1]]
    flat = [r.saturated_fraction for r in report.layers]
    found = report.measurement
    numbers = (
        math.nan if equal else facts.reach(),
        effects[0] / max(effects) if effects else math.nan,
        facts.size(),
        found.loss / found.blank_loss if found.blank_loss else math.nan,
        max((x for x in flat if not math.isnan(x)), default=math.nan),
        max((x for x in hidden if not math.isnan(x)), default=math.nan),
    )
    return dict(zip(THRESHOLDS, numbers, strict=True))


def calibration(outcomes: Sequence[Outcome]) -> dict[str, list[Any]]:
    """Count how many networks lie beyond each threshold: columns of a table."""
    groups = {
        "healthy": [r for r in outcomes if not r.fault],
        "harmless": [r for r in outcomes if r.fault and not r.hurt],
        "hurt": [r for r in outcomes if r.fault and r.hurt and not r.spoiled],
        "spoil": [r for r in outcomes if r.fault and r.spoiled],
    }
    columns: dict[str, list[Any]] = {"beyond a threshold": [], **{name: [] for name in groups}}
    columns["worst healthy"] = []
    for name, (side, values) in THRESHOLDS.items():
        sign = -1 if side == "below" else 1
        healthy = [r.numbers[name] for r in groups["healthy"] if not math.isnan(r.numbers[name])]
        worst = max((sign * x for x in healthy), default=math.nan) * sign
        for value in values:
            columns["beyond a threshold"].append(f"{name} {side} {value:g}")
            for group, rows in groups.items():
                beyond = sum(sign * r.numbers[name] > sign * value for r in rows)
                columns[group].append(beyond)
            columns["worst healthy"].append(f"{worst:.2g}")
    return columns
