"""Level with the best: asked of all pairs at once, at a rate of false alarms that is stated."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from initguide.experiments.multiplicity import holm, level_labels, paired_p_values

# Each simulation of families holds if its rate lies within 4 standard errors of what it says. Were
# it exactly at the limit, one in 30,000 of such tests would fail; seeds are fixed.
FAMILIES, TOLERANCE = 1000, 4


def _share_denied(draw, families=FAMILIES, *, corrected, seed=0):
    """In how many families some point among those that are best is denied to be level."""
    rng = np.random.default_rng(seed)
    denied = 0
    for _ in range(families):
        values, equal = draw(rng)
        best = max(values, key=lambda label: values[label].mean())
        level = level_labels(values, best, 0.95, corrected=corrected)
        denied += not set(equal) <= set(level)
    return denied / families


def _schemes(*, seeds, equal, worse=(), spread=lambda _: 0.3, shared=0.0):
    """Draw accuracies in points: equal schemes, and some that are worse, with noise of their own.

    What a seed does to all schemes alike is added, for it must cancel; ``shared`` of the rest's
    variance is common to pairs of neighbours, as for two scales of the same random numbers.
    """

    def draw(rng):
        means = [*[0.0] * equal, *worse]
        noise = rng.normal(size=(len(means), seeds))
        halves = np.repeat(rng.normal(size=(math.ceil(len(means) / 2), seeds)), 2, axis=0)
        noise = math.sqrt(1 - shared) * noise + math.sqrt(shared) * halves[: len(means)]
        common = rng.normal(size=seeds)
        values = {f"{i}": 85 + mean + common + spread(i) * noise[i] for i, mean in enumerate(means)}
        return values, list(values)[:equal]

    return draw


@pytest.mark.parametrize(
    "draw",
    [
        _schemes(seeds=5, equal=12),
        _schemes(seeds=10, equal=4),
        _schemes(seeds=5, equal=8, spread=lambda i: 0.1 * 2 ** (i / 2)),
        _schemes(seeds=5, equal=8, shared=0.9),
        _schemes(seeds=5, equal=6, worse=(-75, -75.01, -2, -0.5)),
    ],
    ids=["twelve equal", "ten seeds", "unequal noise", "shared draws", "some are worse"],
)
def test_hardly_a_family_denies_an_equal(draw):
    """The chance that any of the best is denied is at most 5 %, whatever the noise is like."""
    rate = _share_denied(draw, corrected=True)
    assert rate <= 0.05 + TOLERANCE * math.sqrt(0.05 * 0.95 / FAMILIES)


def test_two_of_three_families_deny_an_equal_without_correction():
    """Twelve equal schemes, five seeds, each pair alone: this is why it is corrected."""
    rate = _share_denied(_schemes(seeds=5, equal=12), corrected=False)
    assert pytest.approx(rate, abs=TOLERANCE * math.sqrt(0.64 * 0.36 / FAMILIES)) == 0.64


def test_what_is_worse_is_found_all_the_same():
    """A correction that called everything level would hold every rate, and be of no use."""
    rng = np.random.default_rng(0)
    draw = _schemes(seeds=5, equal=6, worse=(-75, -5))
    for _ in range(20):
        values, _ = draw(rng)
        best = max(values, key=lambda label: values[label].mean())
        assert not {"6", "7"} & set(level_labels(values, best, 0.95, corrected=True))


def test_p_values_against_scipy():
    """Those of scipy's paired t test, for every pair."""
    values = np.random.default_rng(0).normal(size=(5, 4))
    found = paired_p_values(values)
    for i, one in enumerate(values):
        for j, other in enumerate(values):
            expected = 1 if i == j else stats.ttest_rel(one, other).pvalue
            assert found[i, j] == pytest.approx(expected)


def test_p_values_without_noise():
    """Equal runs are not told apart, and runs that always differ by the same are."""
    found = paired_p_values(np.array([[0.5, 0.75], [0.5, 0.75], [0.25, 0.5]]))
    assert found.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_as_it_is_told(p_values):
    """Smallest first, each is held against α / (those that are left), until one is too large."""
    p_values = np.array(p_values)
    corrected = holm(p_values)
    for alpha in (0.01, 0.05, 0.3):
        rejected = set()
        for done, i in enumerate(np.argsort(p_values)):
            if p_values[i] * (len(p_values) - done) >= alpha:
                break
            rejected.add(int(i))
        assert {int(i) for i in np.flatnonzero(corrected < alpha)} == rejected
    assert corrected.max() <= 1


def test_two_points_are_asked_as_by_their_difference(made):
    """One pair needs no correction, so the table and the difference say the same."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        result = made({"a": rng.normal(0.8, 0.01, 4), "b": rng.normal(0.82, 0.01, 4)})
        level = len(result.level_with_best()) == 2
        assert level == (not result.difference("a", "b").excludes_zero)
        assert "at 5 % does not tell the two apart." in result.table().note


def test_the_table_asks_all_pairs_and_says_so(made):
    """What one pair alone would call worse is level when twelve schemes were looked at."""
    rng = np.random.default_rng(0)
    accuracies = {f"s{i}": rng.normal(0.85, 0.003, 5) for i in range(12)}
    result = made(accuracies)
    table = result.table()
    assert "for all 66 pairs of 12 schemes together (Holm)." in table.note
    assert table.columns["remark"].count("not told from the best") == 11
    assert set(result.level_with_best()) == set(accuracies)
    assert len(result.level_with_best(corrected=False)) < 12
    assert result.best() in result.level_with_best()


def test_what_lost_runs_is_not_asked(made):
    """It is no fair sample; and the pairs that it would make are not counted."""
    result = made(
        {"a": [0.8, 0.82, 0.81], "b": [0.8, 0.81, 0.82], "c": [0.8, 0.83, 0.8], "d": [0.9, None, 1]}
    )
    assert result.level_with_best() == ("a", "b", "c")
    assert "all 3 pairs of 3 schemes" in result.table().note
    assert made({"a": [0.8, None], "b": [None, 0.7]}).level_with_best() == ()
    assert made({"a": [0.8], "b": [0.7]}).level_with_best() == ()


def test_losses_are_level_where_they_are_low(made):
    """The best of a loss is the lowest; here all of them are equal."""
    result = made({"a": [0.8, 0.9], "b": [0.1, 0.2]})
    assert result.level_with_best("valid_loss") == ("a", "b")


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_level_refuses_what_is_no_fraction(confidence, made):
    """95 for 95 % is refused; so is an unknown metric."""
    message = rf"^confidence is {confidence}; it must be above 0 and below 1$"
    with pytest.raises(ValueError, match=message):
        made().level_with_best(confidence=confidence)
    with pytest.raises(ValueError, match=re.escape("unknown metric 'accuracy'")):
        made().level_with_best("accuracy")
