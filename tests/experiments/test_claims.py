"""Claims held against measurements."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from initguide.experiments import judge

RANGES = [(1, math.inf), (-1, math.inf), (-math.inf, -1), (-1, 1), (0.9, 1.1)]


def inside(low, high):
    """Return measurements that a claim of this range predicts."""
    if math.isinf(low) or math.isinf(high):
        middle, width = (low + 3, 1) if math.isinf(high) else (high - 3, 1)
    else:
        middle, width = (low + high) / 2, (high - low) / 20
    return middle + width * np.array([-0.1, 0.0, 0.1, 0.05, -0.05])


def outside(low, high):
    """Return measurements that contradict it."""
    end = low if math.isfinite(low) else high
    return end + (-3 if math.isfinite(low) else 3) + np.array([-0.1, 0.0, 0.1, 0.05, -0.05])


def astride(low, high):
    """Return measurements whose interval reaches across an end of the range."""
    end = low if math.isfinite(low) else high
    return end + np.array([-2.0, 2.0, -1.0, 1.0, 0.0])


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_every_claim_can_hold_and_can_fail(low, high):
    """Opposite measurements turn the verdict around, in each of several settings."""
    claimed = {"a": (low, high), "b": (low, high)}
    for values, verdict in [
        (inside(low, high), "holds"),
        (outside(low, high), "does not hold"),
        (astride(low, high), "these runs cannot tell"),
    ]:
        assert judge(claimed, dict.fromkeys("ab", values)).verdict == verdict
    for failing, other in ("ab", "ba"):
        measured = dict.fromkeys("ab", inside(low, high)) | {failing: outside(low, high)}
        assert judge(claimed, measured).verdict == f"holds only when {other}"


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ("+", "holds"),
        ("-", "does not hold"),
        ("?", "these runs cannot tell"),
        ("+-", "holds only when a"),
        ("++-", "holds only when a and when b"),
        ("+?", "holds when a; these runs cannot tell when b"),
        ("-?", "does not hold when a; these runs cannot tell when b"),
        ("+-?", "holds only when a; these runs cannot tell when c"),
        ("s", "smaller than claimed"),
        ("+s", "holds only when a; smaller than claimed when b"),
        ("s-", "smaller than claimed when a; does not hold when b"),
        ("s?", "smaller than claimed when a; these runs cannot tell when b"),
    ],
)
def test_verdict_in_words(outcomes, verdict):
    """Each mixture of outcomes has its own words."""
    values = {
        "s": [0.5, 0.6, 0.4],
        "+": [2.0, 2.1, 1.9],
        "-": [-2.0, -2.1, -1.9],
        "?": [-1.0, 3.0, 1.0],
    }
    measured = {name: values[o] for name, o in zip("abc", outcomes, strict=False)}
    found = judge(dict.fromkeys(measured, (1.0, math.inf)), measured)
    assert found.verdict == verdict
    assert str(found).endswith(f"Verdict: {verdict}.")


@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=8),
    st.floats(-50, 50),
    st.floats(0, 50),
)
def test_outcome_is_that_of_students_interval(values, low, width):
    """Against scipy: within, outside or across the range."""
    finding = judge({"a": (low, low + width)}, {"a": values}).findings[0]
    error = stats.sem(values)
    ends = np.mean(values) + error * np.array(stats.t.interval(0.95, len(values) - 1))
    gaps = np.abs(np.subtract.outer(ends, [low, low + width]))
    if gaps.min() < 1e-6:  # rounding decides
        return
    if low < ends[0] and ends[1] < low + width:
        assert finding.holds is True
    elif ends[1] < low or low + width < ends[0]:
        assert finding.holds is False
    else:
        assert finding.holds is None
    assert finding.mean == pytest.approx(np.mean(values), abs=1e-9)


def test_more_confidence_decides_less():
    """A wider interval reaches across the end of the range."""
    values = {"a": [1.5, 2.0, 2.5, 1.0]}
    assert judge({"a": (0.5, math.inf)}, values).verdict == "holds"
    assert judge({"a": (0.5, math.inf)}, values, confidence=0.999).findings[0].holds is None


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.1, math.nan], [5.0, 5.1, math.inf], []])
def test_failed_or_single_measurements_decide_nothing(values):
    """A run that diverged is not left out, and one seed proves nothing."""
    found = judge({"a": (1.0, math.inf)}, {"a": values})
    assert found.verdict == "these runs cannot tell"
    assert "no interval" in str(found)


def test_printed_lines_name_range_and_interval():
    """One line per setting: mean, interval, claimed range; true minus signs, hyphens untouched."""
    found = judge(
        {"he-like": (-math.inf, -1.0), "b": (-1.0, 1.0)},
        {"he-like": [-200.0, -201.0, -199.0], "b": [0.0, 0.0, 0.0]},
    )
    assert str(found).splitlines() == [
        "when he-like:",
        "  −200 (−202 to −198), claimed below −1: holds",
        "when b:",
        "  0.00 (0.00 to 0.00), claimed −1 to 1: holds",
        "Verdict: holds.",
    ]
    assert repr(found) == str(found)


@pytest.mark.parametrize(
    ("claimed", "measured", "message"),
    [
        ({}, {}, "claimed is empty; give at least one setting"),
        ({"a": (0, 1)}, {"b": [1]}, r"settings \['a'\] and measured has \['b'\]; they must be the"),
        ({"a": 5}, {"a": [1]}, r"claimed has 5 for 'a'; give the range \(low, high\)"),
        ({"a": (1, 2, 3)}, {"a": [1]}, r"claimed has \(1, 2, 3\) for 'a'; give the range"),
        ({"a": (2, 1)}, {"a": [1]}, r"the range \(2, 1\) for 'a'; the first must not be above"),
        ({"a": (math.nan, 1)}, {"a": [1]}, r"the range \(nan, 1\) for 'a'"),
    ],
)
def test_judge_says_what_is_wrong(claimed, measured, message):
    """Bad input is named, with what is allowed."""
    with pytest.raises(ValueError, match=message):
        judge(claimed, measured)


@pytest.mark.parametrize(
    ("value", "words"), [(99.94, "99.9"), (99.96, "100"), (-99.96, "−100"), (123.4, "123")]
)
def test_printed_digits_are_those_of_the_rounded_number(value, words):
    """Three digits, and no point behind which nothing stands."""
    assert f"  {words} (no interval)," in str(judge({"a": (0, 1)}, {"a": [value]}))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_small_effect_is_not_called_none(sign):
    """An interval between 0 and the least effect that was claimed has words of its own."""
    claimed = (1, math.inf) if sign > 0 else (-math.inf, -1)
    values = sign * np.array([0.5, 0.4, 0.6, 0.5])
    for moved, outcome in (
        (values, "smaller than claimed"),
        (values - sign, "does not hold"),  # the wrong sign
        (values - 0.5 * sign, "does not hold"),  # 0 is not ruled out
        (values + sign, "holds"),
    ):
        assert judge({"a": claimed}, {"a": moved}).findings[0].outcome == outcome
    # Without an open end, a number below the range is just another number.
    assert judge({"a": (0.9, 1.1)}, {"a": np.abs(values)}).verdict == "does not hold"


def test_table_has_a_row_for_each_setting():
    """The table of a notebook has what is printed, under the verdict."""
    found = judge(
        {"he": (1, math.inf), "b": (-1, 1)},
        {"he": [0.5, 0.4, 0.6], "b": [math.nan, 1.0]},
        confidence=0.9,
    )
    table = found.table()
    assert table.columns["when"] == ["he", "b"]
    assert table.columns["claimed"] == ["above 1", "−1 to 1"]
    assert table.columns["90 % interval"] == ["0.331 to 0.669", "no interval"]
    assert table.columns["outcome"] == ["smaller than claimed", "cannot tell"]
    verdict = "smaller than claimed when he; these runs cannot tell when b"
    assert table.caption == f"Verdict: {verdict}."
    assert found._repr_html_() == table._repr_html_()


def test_judge_does_not_flatten_and_names_every_setting():
    """A table of numbers is not a list of independent ones; a setting's name may be empty."""
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 's'; it must be flat"):
        judge({"s": (0, 1)}, {"s": np.zeros((2, 3))})
    assert judge({"": (0, 1)}, {"": [5, 6, 7]}).verdict == "does not hold"
