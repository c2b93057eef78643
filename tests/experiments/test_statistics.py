"""Means, intervals and paired differences, against scipy."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from initguide.experiments import (
    METRICS,
    Comparison,
    estimate,
    mean_interval,
)
from initguide.training import Run

ACCURACIES = {
    "a": [0.80, 0.82, 0.81, 0.84],
    "b": [0.79, 0.80, 0.805, 0.82],
    "c": [0.5, None, 0.7, 0.9],
    "d": [None, None, 0.3, None],
    "e": [None] * 4,
}


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_rows_against_scipy(confidence, made):
    """Mean and Student's interval of each scheme, over the runs that did not diverge."""
    rows = {row.label: row for row in made(ACCURACIES).rows(confidence=confidence)}
    assert list(rows) == list(ACCURACIES)
    for label in "abc":
        values = [v for v in ACCURACIES[label] if v is not None]
        expected = stats.t.interval(confidence, len(values) - 1, np.mean(values), stats.sem(values))
        assert rows[label].mean == pytest.approx(np.mean(values))
        assert rows[label].interval == pytest.approx(expected)
    assert rows["d"].mean == 0.3
    assert rows["d"].interval is None
    assert math.isnan(rows["e"].mean)
    assert rows["e"].interval is None


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("valid_accuracy", 0.8175),
        ("test_accuracy", 0.8075),
        ("valid_loss", 1),
        ("train_loss", 1.75),
        ("first_loss", 2),
        ("early_loss", 1.75),
    ],
)
def test_rows_of_other_metrics(metric, expected, made):
    """Every metric of `METRICS` can be asked for."""
    assert made(ACCURACIES).rows(metric)[0].mean == pytest.approx(expected)


def test_every_metric_was_tried():
    """The list above is whole."""
    assert set(METRICS) == {
        "valid_accuracy",
        "test_accuracy",
        "valid_loss",
        "train_loss",
        "first_loss",
        "early_loss",
    }


@pytest.mark.parametrize(("metric", "expected"), [("first_loss", 1), ("early_loss", 50.5)])
def test_losses_at_the_start(metric, expected):
    """Those of the first mini-batch, and of the first hundred; none where the run diverged."""
    losses = np.arange(1, 301, dtype=np.float32)
    run = Run("a", 0, losses, 1.0, 0.5, 0.5, None, 0.0)
    assert METRICS[metric].of(run) == expected
    assert math.isnan(METRICS[metric].of(dataclasses.replace(run, diverged_at=299)))


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("b", "a"), ("a", "c")])
def test_difference_against_scipy(a, b, confidence, made):
    """The interval is that of scipy's paired t test, over the seeds that both survived."""
    difference = made(ACCURACIES).difference(a, b, confidence=confidence)
    pairs = [
        (x, y, seed)
        for seed, (x, y) in enumerate(zip(ACCURACIES[a], ACCURACIES[b], strict=True))
        if x is not None and y is not None
    ]
    xs, ys, seeds = zip(*pairs, strict=True)
    expected = stats.ttest_rel(xs, ys)
    interval = expected.confidence_interval(confidence)
    assert difference.seeds == seeds
    assert difference.per_seed == pytest.approx(np.subtract(xs, ys))
    assert difference.mean == pytest.approx(np.mean(xs) - np.mean(ys))
    assert difference.interval == pytest.approx((interval.low, interval.high))
    assert difference.excludes_zero == (expected.pvalue < 1 - confidence)
    assert (difference.a, difference.b, difference.confidence) == (a, b, confidence)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12),
    confidence=st.floats(0.01, 0.99),
)
def test_interval_against_scipy(values, confidence):
    """`mean_interval` is scipy's t interval; numbers that are not finite are left out."""
    mean, interval = mean_interval([*values, math.nan, math.inf], confidence)
    assert mean == pytest.approx(np.mean(values), abs=1e-9)
    error = stats.sem(values)
    if error > 1e-9:
        expected = stats.t.interval(confidence, len(values) - 1, np.mean(values), error)
        assert interval == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert interval[0] <= mean <= interval[1]


def test_interval_coverage():
    """What "95 %" means: of many intervals from a normal distribution, 95 % hold the true mean."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        _, (low, high) = mean_interval(rng.normal(1, 2, 4))
        held += low < 1 < high
    assert held / 2000 == pytest.approx(0.95, abs=5 * math.sqrt(0.95 * 0.05 / 2000))


def test_interval_of_few():
    """One number has no interval; none has no mean."""
    assert mean_interval([3]) == (3, None)
    mean, interval = mean_interval([math.nan])
    assert math.isnan(mean)
    assert interval is None
    assert mean_interval([2, 2, 2]) == (2, (2, 2))


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.5, math.nan])
def test_confidence_is_a_fraction(confidence, made):
    """95 for 95 % is refused, in every place that takes it."""
    result = made(ACCURACIES)
    message = rf"^confidence is {confidence}; it must be above 0 and below 1$"
    for call in (
        lambda: mean_interval([1, 2], confidence),
        lambda: result.rows(confidence=confidence),
        lambda: result.difference("a", "b", confidence=confidence),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_difference_without_pairs(made):
    """No common seed: a mean of nothing, no interval, and nothing excluded."""
    difference = made(ACCURACIES).difference("a", "e")
    assert difference.seeds == ()
    assert math.isnan(difference.mean)
    assert difference.interval is None
    assert not difference.excludes_zero


IN_WORDS = {
    ("a", "b", "test_accuracy"): (
        "a − b: +1.38 points of test accuracy\n"
        "  95 % interval {} to {} (4 paired seeds, one split): not 0"
    ),
    ("b", "c", "valid_accuracy"): (
        "b − c: +10.50 points of validation accuracy\n"
        "  95 % interval {} to {} (3 paired seeds, one split)\n"
        "  undecided: c diverged with seed 1; the seeds that are left are no fair sample"
    ),
    ("a", "d", "valid_accuracy"): (
        "a − d: +51.00 points of validation accuracy\n  1 paired seed: no interval\n"
        "  undecided: d diverged with seeds 0, 1, 3; the seeds that are left are no fair sample"
    ),
    ("c", "e", "valid_accuracy"): (
        "c − e: no number for validation accuracy\n  0 paired seeds: no interval\n"
        "  undecided: c diverged with seed 1, e diverged with seeds 0 to 3; no pair is left"
    ),
    ("a", "b", "valid_loss"): (
        "a − b: +0.0000 of validation loss\n"
        "  95 % interval +0.0000 to +0.0000 (4 paired seeds, one split): 0 is not ruled out"
    ),
}


@pytest.mark.parametrize("question", IN_WORDS, ids=str)
def test_difference_in_words(question, made):
    """The sentence has the numbers, their unit, the interval and the verdict."""
    accuracies = {**ACCURACIES, "a": [0.80002, 0.82002, 0.81002, 0.84002]}  # no ties in rounding
    a, b, _ = question
    pairs = zip(accuracies[a], accuracies[b], strict=True)
    pairs = [pair for pair in pairs if None not in pair]
    ends = ()
    if len(pairs) > 1:
        ends = stats.ttest_rel(*zip(*pairs, strict=True)).confidence_interval()
    difference = made(accuracies).difference(*question)
    assert str(difference) == IN_WORDS[question].format(*(f"{100 * end:+.2f}" for end in ends))
    assert repr(difference) == str(difference)


def test_best(made):
    """The highest accuracy, the lowest loss; nothing where all diverged; the first of equals."""
    result = made(ACCURACIES)
    assert result.best() == "a"
    assert result.best("test_accuracy") == "a"
    losses = made({"x": [0.5], "y": [0.6]})
    runs = tuple(
        Run(r.label, 0, r.train_losses, loss, r.valid_accuracy, 0.1, None, 1.0)
        for r, loss in zip(losses.runs, (0.4, 0.9), strict=True)
    )
    losses = Comparison(runs, losses.schemes, losses.settings, "")
    assert losses.best("valid_loss") == "x"
    assert losses.best() == "y"
    assert made({"x": [None], "y": [None]}).best() is None
    assert made({"x": [None, None], "y": [0.1, None]}).best() == "y"


def test_select(made):
    """Some schemes, in the order asked for, with their runs and all that is common."""
    result = made(ACCURACIES)
    few = result.select("c", "a")
    assert few.labels == ("c", "a")
    assert [run.label for run in few.runs] == ["c"] * 4 + ["a"] * 4
    assert few.settings == result.settings
    assert few.rows()[1] == result.rows()[0]
    assert result.labels == tuple("abcde")


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.of("z"),
        lambda r: r.values("z"),
        lambda r: r.difference("a", "z"),
        lambda r: r.difference("z", "a"),
        lambda r: r.select("a", "z"),
    ],
)
def test_unknown_labels(call, made):
    """An unknown label is refused, and the known ones are listed."""
    with pytest.raises(ValueError, match=r"no scheme labelled 'z'.*'a', 'b', 'c', 'd', 'e'$"):
        call(made(ACCURACIES))


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.rows("accuracy"),
        lambda r: r.values("a", "accuracy"),
        lambda r: r.difference("a", "b", "accuracy"),
        lambda r: r.best("accuracy"),
    ],
)
def test_unknown_metrics(call, made):
    """An unknown metric is refused, and the known ones are listed."""
    with pytest.raises(
        ValueError,
        match=r"^unknown metric 'accuracy'; the metrics are "
        r"valid_accuracy, test_accuracy, valid_loss, train_loss, first_loss, early_loss$",
    ):
        call(made(ACCURACIES))


def test_results_are_frozen(made):
    """Nobody changes a result by accident."""
    result = made(ACCURACIES)
    with pytest.raises(AttributeError, match="cannot assign"):
        result.runs = ()
    with pytest.raises(AttributeError, match="cannot assign"):
        result.runs[0].valid_loss = 0


@pytest.mark.parametrize(
    ("per_seed", "margin", "verdict"),
    [
        ([0.02, 0.021, 0.019], 0.0, "higher"),
        ([-0.02, -0.021, -0.019], 0.0, "lower"),
        ([0.02, 0.021, 0.019], 0.05, "level"),
        ([0.02, 0.021, 0.019], 0.0199, "undecided"),
        ([0.02, -0.021, 0.001], 0.0, "undecided"),
        ([0.02], 0.0, "undecided"),
        ([0.0, 0.0, 0.0], 0.0, "level"),
    ],
)
def test_verdict(per_seed, margin, verdict, made):
    """Beyond the margin, within it, or across it."""
    result = made({"a": [0.5 + delta for delta in per_seed], "b": [0.5] * len(per_seed)})
    assert result.difference("a", "b").verdict(margin) == verdict


def test_verdict_refuses_a_negative_margin(made):
    """It would call everything undecided or worse."""
    with pytest.raises(ValueError, match=r"margin is -0.1; it must be at least 0"):
        made({"a": [0.1, 0.2]}).difference("a", "a").verdict(-0.1)


def test_verdict_of_what_is_left_is_undecided(made):
    """Where a run diverged, the other seeds are no fair sample."""
    difference = made({"a": [0.9, 0.91, math.nan], "b": [0.5, 0.51, 0.5]}).difference("a", "b")
    assert difference.interval[0] > 0
    assert not difference.excludes_zero
    assert not difference.complete
    assert difference.verdict() == "undecided"


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8), st.floats(-10, 10), st.floats(0.1, 5))
def test_what_an_interval_decides(values, threshold, width):
    """Yes if all of it lies there, no if none does, and None else."""
    found = estimate(values)
    low, high = found.interval
    expected = True if low > threshold else False if high < threshold else None
    assert found.above(threshold) is expected
    assert found.below(threshold) is (None if expected is None else not expected)
    inside = found.within(threshold, threshold + width)
    if threshold < low and high < threshold + width:
        assert inside is True
    elif high < threshold or low > threshold + width:
        assert inside is False
    else:
        assert inside is None


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, math.nan], [1.0, math.inf]])
def test_what_nothing_decides(values):
    """One number, none, or a run that diverged: no interval, and all is open."""
    found = estimate(values)
    assert found.above(0) is found.below(0) is found.within(-1, 9) is None


def test_estimates_are_written_with_their_interval():
    """Each number as asked; a minus is no hyphen, but the sign of an exponent stays."""
    assert f"{estimate([-1.0, 1.0, 0.5]):.1f}" == "0.2 (−2.4 to 2.8)"
    assert str(estimate([0.5])) == "0.5"
    assert f"{estimate([-0.04, -0.04]):.1f}" == "0.0 (0.0 to 0.0)"
    assert f"{estimate([1e-7, 1e-7]):.0e}" == "1e-07 (1e-07 to 1e-07)"
    with pytest.raises(ValueError, match="low must be below high"):
        estimate([1, 2]).within(1, 1)


def test_differences_decide_in_the_direction_of_their_metric(made):
    """Better is higher for an accuracy and lower for a loss; runs that diverged leave it open."""
    result = made({"a": [0.9, 0.91, 0.92], "b": [0.8, 0.81, 0.83], "c": [0.9, None, 0.9]})
    found = result.difference("a", "b")
    assert (found.better(), found.better(0.05), found.better(0.2)) == (True, True, False)
    assert result.difference("b", "a").better() is False
    assert result.difference("a", "c").better() is None
    assert f"{found:.1f}" == "9.7 (8.2 to 11.1)"
    loss = result.difference("a", "b", "valid_loss")
    assert loss.better() is None  # they are equal
