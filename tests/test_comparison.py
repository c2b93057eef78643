"""Comparisons: pairing, statistics against scipy, tables, files, and how runs are spread."""

import functools
import html.parser
import json
import math
import os
import re
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

import initguide
from initguide import initializers as init
from initguide import training
from initguide.experiments import (
    METRICS,
    Comparison,
    compare_init_weights,
    comparison,
    files,
    judge,
    mean_interval,
)
from initguide.experiments.jobs import running, work, worker
from initguide.training import Run, cores, train


@pytest.fixture(scope="module")
def data(noise):
    """64 + 40 + 30 images of noise."""
    return SimpleNamespace(
        train=noise(64, 0), valid=noise(40, 1), test=noise(30, 2), source="made up: 134 images"
    )


class Small(nn.Module):
    """A small network with dropout."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 12)
        self.fc2 = nn.Linear(12, 10)
        self.dropout = nn.Dropout(0.2)

    def forward(self, images):
        """Scores of the images."""
        return self.fc2(self.dropout(F.relu(self.fc1(images.flatten(1)))))


@pytest.fixture
def compare(data):
    """`compare_init_weights` with everything small."""
    defaults = {"model": Small, "epochs": 1, "batch_size": 16, "seeds": 2}
    return lambda schemes, **changes: compare_init_weights(schemes, data, **defaults | changes)


def _numbers(result):
    """Everything that a comparison measured, without the times."""
    return [
        (r.label, r.seed, r.train_losses.tolist(), r.valid_loss, r.valid_accuracy, r.test_accuracy)
        for r in result.runs
    ]


# Made-up comparisons, whose numbers are known


def _run(label, seed, accuracy, *, loss=1.0, losses=(2.0, 1.5), at=None):
    bad = accuracy is None
    return Run(
        label=label,
        seed=seed,
        train_losses=np.asarray(losses if not bad else [*losses, math.nan], np.float32),
        valid_loss=math.nan if bad else loss,
        valid_accuracy=math.nan if bad else accuracy,
        test_accuracy=math.nan if bad else accuracy - 0.01,
        diverged_at=len(losses) if bad else at,
        seconds=1.5,
    )


def _made(accuracies, schemes=None, **changes):
    """Make up a comparison from label -> accuracies over seeds; None is a run that diverged."""
    count = len(next(iter(accuracies.values())))
    common = {
        "model": "Net",
        "epochs": 2,
        "batch_size": 100,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "device": "cpu",
        "seeds": list(range(count)),
        "torch": "2.6.0",
    }
    return Comparison(
        runs=tuple(_run(k, s, a) for k, v in accuracies.items() for s, a in enumerate(v)),
        schemes=schemes or {label: f"{label}()" for label in accuracies},
        settings=common | changes,
        data_source="Fashion-MNIST, made up",
    )


# Pairing and order


def test_runs_stand_in_the_order_given(compare):
    """Scheme by scheme as given, and seed by seed within a scheme as given."""
    result = compare({"B": "ones", "A": "zeros"}, seeds=[5, 2, 9])
    assert [(run.label, run.seed) for run in result.runs] == [
        (label, seed) for label in "BA" for seed in (5, 2, 9)
    ]
    assert result.labels == ("B", "A")
    assert dict(result.schemes) == {"B": "ones()", "A": "zeros()"}
    assert [run.seed for run in result.of("A")] == [5, 2, 9]
    assert result.values("A").tolist() == [run.valid_accuracy for run in result.of("A")]


def test_schemes_are_paired(compare):
    """For one seed, each scheme sees the same images in the same order, and the same masks."""
    result = compare({"first": "he_normal", "again": "kaiming_normal", "other": "lecun_normal"})
    for first, again, other in zip(*(result.of(k) for k in result.labels), strict=True):
        assert np.array_equal(first.train_losses, again.train_losses)
        assert first.valid_loss == again.valid_loss
        assert not np.array_equal(first.train_losses, other.train_losses)


def test_seeds_differ(compare):
    """Two seeds are two weights, two orders, two results."""
    first, second = compare(["he_normal"]).runs
    assert not np.array_equal(first.train_losses, second.train_losses)


def test_one_scheme_does_not_depend_on_the_others(compare):
    """A scheme's runs are the same whatever it is compared with, and with how many seeds."""
    alone = _numbers(compare(["he_normal"], seeds=[1]))
    among = _numbers(compare(["zeros", "he_normal", "sparse"], seeds=3).select("he_normal"))
    assert alone == [among[1]]


def test_a_run_is_what_train_gives(data, compare):
    """Each run is a model made and initialized from the seed, then trained with the seed."""
    result = compare({"mine": "xavier_uniform"}, seeds=[4], learning_rate=0.01, epochs=2)
    torch.manual_seed(4)
    model = initguide.initialize(Small(), "xavier_uniform")
    expected = train(model, data, epochs=2, batch_size=16, learning_rate=0.01, seed=4, label="mine")
    (run,) = result.runs
    # To rounding only: so small a network is trained in a stack.
    np.testing.assert_allclose(run.train_losses, expected.train_losses, rtol=1e-4)
    assert run.valid_loss == pytest.approx(expected.valid_loss, rel=1e-4)
    assert run.test_accuracy == pytest.approx(expected.test_accuracy, abs=0.04)


# Reproducible on any number of cores


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_change_nothing(compare, workers):
    """One run at a time or several: the same numbers to the last bit."""
    schemes = ["default", "he_normal", "orthogonal"]
    expected = _numbers(compare(schemes, workers=1, seeds=4))
    for _ in range(5):
        assert _numbers(compare(schemes, workers=workers, seeds=4)) == expected


def test_looking_does_not_disturb_building(compare):
    """While one thread looks for randomness in its model, another's weights stay what they are."""

    # Both use torch's global state; sleeping makes the two overlap for certain.
    class Slow(Small):
        def __init__(self):
            super().__init__()
            time.sleep(0.03)
            self.out = nn.Linear(10, 10)

        def forward(self, images):
            if not torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
                time.sleep(0.04)  # the look
            return self.out(super().forward(images))

    state = torch.get_rng_state()
    expected = _numbers(compare(["default"], model=Slow, workers=1, seeds=4))
    assert _numbers(compare(["default"], model=Slow, workers=4, seeds=4)) == expected
    assert torch.equal(torch.get_rng_state(), state)


def test_real_data_in_parallel(sample):
    """The lesson's network on real images: parallel runs equal single ones, and learn."""
    results = [
        compare_init_weights(["zeros", "he_normal"], sample, epochs=1, seeds=2, workers=workers)
        for workers in (1, 2)
    ]
    assert _numbers(results[0]) == _numbers(results[1])
    zeros, he = results[0].rows()
    assert zeros.mean == pytest.approx(0.1, abs=0.03)
    assert he.mean > 0.6
    assert results[0].data_source == sample.source


@pytest.mark.parametrize("workers", [1, 3])
def test_nothing_global_changes(compare, workers):
    """The number of threads and the global random state are as before; so is the result."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        results = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002  the old global state is what must not be read
            state = torch.get_rng_state()
            results.append(_numbers(compare(["he_normal"], workers=workers, seeds=1)))
            assert torch.equal(torch.get_rng_state(), state)
        assert results[0] == results[1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_several_at_a_time(compare):
    """With two workers, two runs are under way together; with one, never."""
    for workers in (1, 2):
        most = _most_at_once(compare, workers, lambda scores: scores, expected=workers)
        assert most == workers


def _most_at_once(compare, workers, change, *, expected):
    """Train with so many workers; count the most that trained at the same time.

    Whoever trains waits until as many as are expected do, however busy the machine is, and then a
    moment for one that should not be there.
    """
    active, most, lock = set(), [0], threading.Lock()
    enough, too_many = threading.Event(), threading.Event()

    class Counted(Small):
        def forward(self, images):
            if torch.is_grad_enabled():
                with lock:
                    active.add(threading.get_ident())
                    most[0] = max(most[0], len(active))
                    if len(active) >= expected:
                        enough.set()
                    if len(active) > expected:
                        too_many.set()
                if not enough.wait(60):
                    enough.set()  # it has failed: no other step needs to wait
                too_many.wait(0.01)
            else:
                active.discard(threading.get_ident())  # measured after training
            return change(super().forward(images))

    compare(["zeros"], model=Counted, workers=workers, seeds=3)
    return most[0]


class Noisy(Small):
    """Draws from torch's global generator while it trains."""

    def forward(self, images):
        """Scores, some of them dropped."""
        return F.dropout(super().forward(images), 0.5, self.training)


def test_models_that_draw_run_one_at_a_time(compare):
    """A model that draws from the global generator is not trained beside others, and is right."""

    def drops(scores):
        return scores if torch.is_inference_mode_enabled() else F.dropout(scores, 0.1)

    assert _most_at_once(compare, 3, drops, expected=1) == 1
    expected = _numbers(compare(["he_normal"], model=Noisy, workers=1, seeds=3))
    state = torch.get_rng_state()
    assert _numbers(compare(["he_normal"], model=Noisy, workers=3, seeds=3)) == expected
    assert torch.equal(torch.get_rng_state(), state)


# Statistics, against scipy

ACCURACIES = {
    "a": [0.80, 0.82, 0.81, 0.84],
    "b": [0.79, 0.80, 0.805, 0.82],
    "c": [0.5, None, 0.7, 0.9],
    "d": [None, None, 0.3, None],
    "e": [None] * 4,
}


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_rows_against_scipy(confidence):
    """Mean and Student's interval of each scheme, over the runs that did not diverge."""
    rows = {row.label: row for row in _made(ACCURACIES).rows(confidence=confidence)}
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
    ],
)
def test_rows_of_other_metrics(metric, expected):
    """Every metric of `METRICS` can be asked for."""
    assert _made(ACCURACIES).rows(metric)[0].mean == pytest.approx(expected)


def test_every_metric_was_tried():
    """The list above is whole."""
    assert set(METRICS) == {"valid_accuracy", "test_accuracy", "valid_loss", "train_loss"}


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("b", "a"), ("a", "c")])
def test_difference_against_scipy(a, b, confidence):
    """The interval is that of scipy's paired t test, over the seeds that both survived."""
    difference = _made(ACCURACIES).difference(a, b, confidence=confidence)
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
def test_confidence_is_a_fraction(confidence):
    """95 for 95 % is refused, in every place that takes it."""
    result = _made(ACCURACIES)
    message = rf"^confidence is {confidence}; it must be above 0 and below 1$"
    for call in (
        lambda: mean_interval([1, 2], confidence),
        lambda: result.rows(confidence=confidence),
        lambda: result.difference("a", "b", confidence=confidence),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_difference_without_pairs():
    """No common seed: a mean of nothing, no interval, and nothing excluded."""
    difference = _made(ACCURACIES).difference("a", "e")
    assert difference.seeds == ()
    assert math.isnan(difference.mean)
    assert difference.interval is None
    assert not difference.excludes_zero


IN_WORDS = {
    ("a", "b", "test_accuracy"): (
        "a − b: +1.38 points of test accuracy\n  95 % interval {} to {} (4 paired seeds): not 0"
    ),
    ("b", "c", "valid_accuracy"): (
        "b − c: +10.50 points of validation accuracy\n  95 % interval {} to {} (3 paired seeds): "
        "0 is not ruled out"
    ),
    ("a", "d", "valid_accuracy"): (
        "a − d: +51.00 points of validation accuracy\n  1 paired seed: no interval"
    ),
    ("a", "b", "valid_loss"): (
        "a − b: +0.0000 of validation loss\n  95 % interval +0.0000 to +0.0000 (4 paired seeds): "
        "0 is not ruled out"
    ),
}


@pytest.mark.parametrize("question", IN_WORDS, ids=str)
def test_difference_in_words(question):
    """The sentence has the numbers, their unit, the interval and the verdict."""
    accuracies = {**ACCURACIES, "a": [0.80002, 0.82002, 0.81002, 0.84002]}  # no ties in rounding
    a, b, _ = question
    pairs = zip(accuracies[a], accuracies[b], strict=True)
    pairs = [pair for pair in pairs if None not in pair]
    ends = ()
    if len(pairs) > 1:
        ends = stats.ttest_rel(*zip(*pairs, strict=True)).confidence_interval()
    difference = _made(accuracies).difference(*question)
    assert str(difference) == IN_WORDS[question].format(*(f"{100 * end:+.2f}" for end in ends))
    assert repr(difference) == str(difference)


def test_best():
    """The highest accuracy, the lowest loss; nothing where all diverged; the first of equals."""
    result = _made(ACCURACIES)
    assert result.best() == "a"
    assert result.best("test_accuracy") == "a"
    losses = _made({"x": [0.5], "y": [0.6]})
    runs = tuple(
        Run(r.label, 0, r.train_losses, loss, r.valid_accuracy, 0.1, None, 1.0)
        for r, loss in zip(losses.runs, (0.4, 0.9), strict=True)
    )
    losses = Comparison(runs, losses.schemes, losses.settings, "")
    assert losses.best("valid_loss") == "x"
    assert losses.best() == "y"
    assert _made({"x": [None], "y": [None]}).best() is None
    assert _made({"x": [None, None], "y": [0.1, None]}).best() == "y"


def test_select():
    """Some schemes, in the order asked for, with their runs and all that is common."""
    result = _made(ACCURACIES)
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
def test_unknown_labels(call):
    """An unknown label is refused, and the known ones are listed."""
    with pytest.raises(ValueError, match=r"no scheme labelled 'z'.*'a', 'b', 'c', 'd', 'e'$"):
        call(_made(ACCURACIES))


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.rows("accuracy"),
        lambda r: r.values("a", "accuracy"),
        lambda r: r.difference("a", "b", "accuracy"),
        lambda r: r.best("accuracy"),
    ],
)
def test_unknown_metrics(call):
    """An unknown metric is refused, and the known ones are listed."""
    with pytest.raises(
        ValueError,
        match=r"^unknown metric 'accuracy'; the metrics are "
        r"valid_accuracy, test_accuracy, valid_loss, train_loss$",
    ):
        call(_made(ACCURACIES))


def test_results_are_frozen():
    """Nobody changes a result by accident."""
    result = _made(ACCURACIES)
    with pytest.raises(AttributeError, match="cannot assign"):
        result.runs = ()
    with pytest.raises(AttributeError, match="cannot assign"):
        result.runs[0].valid_loss = 0


# The table as text


def _table(result):
    """Header and lines of the printed table, between its rules."""
    lines = str(result).split("\n")
    rules = [i for i, line in enumerate(lines) if line and set(line) == {"─"}]
    assert len(rules) == 3
    return lines[rules[0] + 1], lines[rules[1] + 1 : rules[2]]


def _note(result):
    """What stands below the printed table, its line breaks undone."""
    return " ".join(str(result).split("─\n")[-1].split("\n"))


def test_table_numbers():
    """Each line has the mean, its interval, the standard deviation and the mean losses."""
    result = _made({"first scheme": [0.80, 0.82, 0.81], "second": [0.7, 0.71, 0.75]})
    header, lines = _table(result)
    assert header.split() == "scheme accuracy, % ± sd training loss validation loss remark".split()  # noqa: SIM905
    values = np.array([0.80, 0.82, 0.81])
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    expected = f"81.00 ± {100 * half:.2f} {100 * values.std(ddof=1):.2f} 1.750 1.000 best"
    assert lines[0].removeprefix("first scheme").split() == expected.split()
    assert lines[1].startswith("second ")
    assert str(result) == repr(result)


def test_table_is_aligned():
    """Numbers end in the same column in every line; no line is wider than its rule."""
    result = _made({"a": [0.9, 0.95], "a much longer label": [0.1, 0.05], "c": [None, 0.5]})
    header, lines = _table(result)
    ends = [[m.end() for m in re.finditer(r"\d+\.\d+|–", line)] for line in lines]
    assert len(ends[0]) == 5
    assert all(set(end) <= set(ends[0]) for end in ends)
    rule = len(str(result).split("\n")[1])
    assert max(map(len, [header, *lines])) == rule <= 110
    assert all(line == line.rstrip() for line in str(result).split("\n"))


def test_table_says_what_it_shows():
    """Above: what was measured. Below: data, settings, seeds, and what ± means."""
    result = _made(ACCURACIES)
    first, last = str(result).split("\n")[0], _note(result)
    assert first == "Validation accuracy after 2 epochs, mean of 4 seeds"
    assert last.startswith("Data: Fashion-MNIST, made up. Settings: model Net, epochs 2, ")
    for part in (
        "batch size 100",
        "optimizer adam",
        "learning rate 0.001",
        "device cpu",
        "seeds 0 to 3;",
        "torch 2.6.0.",
        "±: half of the 95 % interval of the mean over seeds.",
    ):
        assert part in last
    assert str(_made({"a": [0.5]}, epochs=1)).startswith("Validation accuracy after 1 epoch, one")


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([0], "0"),
        ([0, 1], "0, 1"),
        ([0, 1, 2], "0 to 2"),
        ([3, 4, 5], "3 to 5"),
        ([2, 1, 0], "2, 1, 0"),
        ([1, 3, 5], "1, 3, 5"),
    ],
)
def test_table_names_the_seeds(seeds, words):
    """Seeds in a row are a range; others are listed."""
    assert f"; seeds {words}; torch" in _note(_made({"a": [0.5] * len(seeds)}, seeds=seeds))


def test_best_and_level_in_words():
    """The best is named, and so is each scheme whose paired difference does not exclude 0."""
    result = _made(
        {"best": [0.80, 0.82, 0.84], "close": [0.79, 0.83, 0.83], "far": [0.2, 0.21, 0.22]}
    )
    _, lines = _table(result)
    assert lines[0].endswith("  best")
    assert lines[1].endswith("  level with the best")
    assert re.search(r"\d$", lines[2])
    assert not result.difference("close", "best").excludes_zero
    assert result.difference("far", "best").excludes_zero


def test_one_seed_has_no_interval():
    """One seed: dashes for interval and deviation, the best is named, nobody is called level."""
    result = _made({"a": [0.8], "b": [0.8]})
    _, lines = _table(result)
    assert lines[0].split() == ["a", "80.00", "–", "–", "1.750", "1.000", "best"]
    assert lines[1].split() == ["b", "80.00", "–", "–", "1.750", "1.000"]
    assert "±: half" not in str(result)


def test_diverged_runs_are_counted():
    """A scheme with diverged runs says how many, next to "best" too; never NaN."""
    result = _made({"a": [0.8, None, 0.9], "b": [None, 0.3, 0.4], "c": [None] * 3})
    _, lines = _table(result)
    assert lines[0].endswith("best; 1 of 3 diverged")
    assert lines[1].endswith("  1 of 3 diverged")
    assert lines[2].split() == ["c", "–", "–", "–", "–", "–", "3", "of", "3", "diverged"]
    assert "nan" not in str(result).lower()


def test_all_diverged():
    """Nothing left to compare: a table all the same, with no best."""
    result = _made({"a": [None, None], "b": [None, None]})
    _, lines = _table(result)
    assert [line.split()[-3:] for line in lines] == [["of", "2", "diverged"]] * 2
    assert "best" not in "".join(lines)
    assert "2 of 2 diverged" in lines[0]


def test_a_scheme_that_diverges_is_not_the_best():
    """One good run out of three is not better than three fair ones; all being so, it is."""
    result = _made({"a": [0.9, None, None], "b": [0.2, 0.21, 0.2]})
    assert result.best() == "b"
    lines = _table(result)[1]
    assert "2 of 3 diverged" in lines[0]
    assert "level" not in lines[0]
    assert _made({"a": [0.9, None, None], "b": [0.2, 0.21, None]}).best() == "a"


def test_a_real_divergence(compare):
    """Trained with a huge learning rate, runs are shown as diverged and say where."""
    result = compare(["normal", "zeros"], optimizer="sgd", learning_rate=1e30, seeds=2, epochs=3)
    runs = result.of("normal")
    assert all(run.diverged and run.diverged_at is not None for run in runs)
    assert all(not np.isfinite(run.train_losses[-1]) for run in runs)
    assert "2 of 2 diverged" in str(result)


# The table as HTML


class _Parser(html.parser.HTMLParser):
    """Reads a table, and refuses tags that do not nest."""

    def __init__(self):
        super().__init__()
        self.open, self.cells, self.rows, self.texts, self.tags = [], [], [], {}, []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append((dict(attrs), []))
        if tag in ("th", "td"):
            self.rows[-1][1].append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + text
        if self.open[-1] in ("th", "td"):
            self.rows[-1][1][-1][2] += text


def _parsed(result):
    parser = _Parser()
    parser.feed(result._repr_html_())
    parser.close()
    assert not parser.open
    return parser


def test_html_structure():
    """A caption, a head with column scopes, a row scope for each scheme, the note below."""
    result = _made(ACCURACIES)
    parser = _parsed(result)
    assert parser.texts["caption"] == str(result).split("\n")[0]
    assert parser.texts["p"] == _note(result)
    tags = [tag for tag, _ in parser.tags]
    for tag in ("table", "caption", "thead", "tbody"):
        assert tags.count(tag) == 1
    assert tags.index("table") + 1 == tags.index("caption")
    (_, head), *body = parser.rows
    assert {(tag, attrs["scope"]) for tag, attrs, _ in head} == {("th", "col")}
    assert len(body) == len(ACCURACIES)
    for (_, row), label in zip(body, ACCURACIES, strict=True):
        assert len(row) == len(head)
        assert row[0] == ["th", {"scope": "row"}, label]
        assert {tag for tag, *_ in row[1:]} == {"td"}


def test_html_has_the_numbers_of_the_text():
    """Both tables say the same, cell by cell; the best is marked in words and by a class."""
    result = _made(ACCURACIES)
    _, lines = _table(result)
    _, *body = _parsed(result).rows
    for (_, row), line in zip(body, lines, strict=True):
        assert " ".join(cell[2] for cell in row).split() == line.split()
    assert [attrs.get("class") for attrs, _ in body] == ["best", None, None, None, None]
    assert body[0][1][-1][2] == "best"


def test_html_headers_are_not_empty():
    """Each column has a header that can be read out, the remarks too."""
    (_, head), *_ = _parsed(_made(ACCURACIES)).rows
    assert all(text.strip() for *_, text in head)


NASTY = "<b>&\"'</td><script>alert(1)</script>"


def test_html_is_escaped():
    """Labels, the data source and settings are text, whatever they hold."""
    result = _made({NASTY: [0.5, 0.6], "&amp;": [0.1, 0.1]}, model=NASTY)
    result = Comparison(result.runs, result.schemes, result.settings, NASTY)
    parser = _parsed(result)
    assert {tag for tag, _ in parser.tags} <= {
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "p",
    }
    assert [row[0][2] for _, row in parser.rows[1:]] == [NASTY, "&amp;"]
    assert parser.texts["p"].count(NASTY) == 2


# Files


def _saved(result, path):
    result.save(path)
    return Comparison.load(path)


def test_save_and_load(compare, tmp_path):
    """What comes back is what was saved, to the last bit."""
    result = compare({"é <&> \n 名": "he_normal", "B": "zeros"}, learning_rate=0.1)
    again = _saved(result, tmp_path / "result.json")
    assert _numbers(again) == _numbers(result)
    assert [r.seconds for r in again.runs] == [r.seconds for r in result.runs]
    assert again.schemes == result.schemes
    assert again.settings == result.settings
    assert again.data_source == result.data_source
    assert str(again) == str(result)
    assert again._repr_html_() == result._repr_html_()
    assert again.runs[0].train_losses.dtype == np.float32


def test_save_and_load_diverged(tmp_path):
    """NaN and both infinities survive, in valid JSON; so do indices."""
    result = _made(ACCURACIES)
    strange = Run("a", 0, np.float32([1, math.inf]), math.nan, math.nan, math.nan, 1, 0.1)
    minus = Run("a", 1, np.float32([1, -math.inf]), math.inf, -math.inf, 0.5, 1, 0.1)
    result = Comparison((strange, minus, *result.runs[2:]), result.schemes, result.settings, "x")
    path = tmp_path / "result.json"
    again = _saved(result, path)
    np.testing.assert_array_equal(again.runs[0].train_losses, strange.train_losses)
    np.testing.assert_array_equal(again.runs[1].train_losses, minus.train_losses)
    assert math.isnan(again.runs[0].valid_loss)
    assert (again.runs[1].valid_loss, again.runs[1].valid_accuracy) == (math.inf, -math.inf)
    assert [r.diverged_at for r in again.runs] == [r.diverged_at for r in result.runs]
    assert str(again) == str(result)

    def refuse(name):
        raise AssertionError(name)

    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)  # no bare NaN


@settings(deadline=None, max_examples=60)
@given(losses=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_float32_is_exact(losses, tmp_path_factory):
    """Every float32 comes back as the same float32, from the smallest to the largest."""
    result = _made({"a": [0.5]})
    run = Run("a", 0, np.float32(losses), 1.0, 0.5, 0.5, len(losses), 1.0)
    result = Comparison((run,), result.schemes, result.settings, "")
    again = _saved(result, tmp_path_factory.mktemp("exact") / "result.json")
    np.testing.assert_array_equal(again.runs[0].train_losses, run.train_losses)


def test_floats_are_exact(tmp_path):
    """Accuracies and losses in double precision come back to the last bit."""
    run = Run("a", 0, np.float32([1]), 0.1 + 0.2, 1 / 3, 2 / 7, None, math.pi)
    result = _made({"a": [0.5]})
    again = _saved(
        Comparison((run,), result.schemes, result.settings, ""), tmp_path / "r.json"
    ).runs[0]
    assert (again.valid_loss, again.valid_accuracy) == (0.1 + 0.2, 1 / 3)
    assert (again.test_accuracy, again.seconds) == (2 / 7, math.pi)


def test_file_has_a_version(tmp_path):
    """The file says what it is, and of which version."""
    path = tmp_path / "result.json"
    _made(ACCURACIES).save(path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["format"] == "initguide comparison"
    assert document["version"] == 1
    assert set(document["runs"][0]) == {field for field in Run.__dataclass_fields__}  # noqa: C416


def test_path_as_text(tmp_path, monkeypatch):
    """A path may be a text, and a name alone is in the working directory."""
    monkeypatch.chdir(tmp_path)
    result = _made(ACCURACIES)
    result.save("result.json")
    assert str(Comparison.load("result.json")) == str(result)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_saved_file_can_be_read_by_others(tmp_path):
    """The file has ordinary permissions, not those of a temporary one."""
    path = tmp_path / "result.json"
    _made(ACCURACIES).save(path)
    assert path.stat().st_mode & 0o777 == 0o644


def _document():
    result = _made({"a": [0.5, None], "b": [0.6, 0.7]})
    return {
        "format": "initguide comparison",
        "version": 1,
        "data_source": "x",
        "schemes": dict(result.schemes),
        "settings": dict(result.settings),
        "runs": [
            {key: files.to_json(value) for key, value in vars(run).items()} for run in result.runs
        ],
    }


def _without(document, *path):
    """The document without one entry."""
    inner = functools.reduce(lambda part, key: part[key], path[:-1], document)
    del inner[path[-1]]
    return document


def _with(document, value, *path):
    """The document with another value in one place."""
    inner = functools.reduce(lambda part, key: part[key], path[:-1], document)
    inner[path[-1]] = value
    return document


def test_the_document_for_these_tests_is_whole(tmp_path):
    """Unless something is taken away, it loads."""
    path = tmp_path / "whole.json"
    path.write_text(json.dumps(_document()))
    assert Comparison.load(path).labels == ("a", "b")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"hello", "it is not JSON"),
        (json.dumps(_document()).encode()[:-40], "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"\x89PNG\r\n\x1a\n", "it is not JSON"),
    ],
    ids=["empty", "text", "truncated", "bytes", "picture"],
)
def test_files_that_are_not_json(tmp_path, content, reason):
    """A truncated file, and one of another kind, is refused with its name and the reason."""
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        Comparison.load(path)
    assert str(caught.value).startswith(f"{path} is not a saved comparison, or is damaged: ")


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"', "{}", '{"format": "other"}'])
def test_files_that_are_other_json(tmp_path, content):
    """JSON that is something else is refused as such."""
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"is JSON, but not a saved comparison.*Comparison.save"):
        Comparison.load(path)


@pytest.mark.parametrize("version", [2, 0, None, "1"])
def test_files_of_another_version(tmp_path, version):
    """A file of another version says which it is, which is read, and what to do."""
    path = tmp_path / "newer.json"
    path.write_text(json.dumps(_with(_document(), version, "version")))
    with pytest.raises(
        ValueError,
        match=rf"has version {version!r} of the file format; this initguide reads version 1",
    ):
        Comparison.load(path)


DAMAGES = {
    "no runs": (lambda d: _without(d, "runs"), "'runs' is missing"),
    "no schemes": (lambda d: _without(d, "schemes"), "'schemes' is missing"),
    "no settings": (lambda d: _without(d, "settings"), "'settings' is missing"),
    "no source": (lambda d: _without(d, "data_source"), "'data_source' is missing"),
    "no seeds": (lambda d: _without(d, "settings", "seeds"), "'seeds' is missing"),
    "no epochs": (lambda d: _without(d, "settings", "epochs"), "'epochs' is missing"),
    "no torch": (lambda d: _without(d, "settings", "torch"), "'torch' is missing"),
    "no losses": (lambda d: _without(d, "runs", 0, "train_losses"), "'train_losses' is missing"),
    "no diverged": (lambda d: _without(d, "runs", 0, "diverged_at"), "'diverged_at' is missing"),
    "a run less": (lambda d: _without(d, "runs", 1), "one for each scheme and seed"),
    "a run twice": (lambda d: _with(d, d["runs"][0], "runs", 1), "one for each scheme and seed"),
    "empty runs": (lambda d: _with(d, [], "runs"), "one for each scheme and seed"),
    "another label": (lambda d: _with(d, "z", "runs", 0, "label"), "one for each scheme and seed"),
    "runs is null": (lambda d: _with(d, None, "runs"), "NoneType"),
    "runs is a number": (lambda d: _with(d, 3, "runs"), "int"),
    "a run is a list": (lambda d: _with(d, [], "runs", 0), "list"),
    "schemes is a list": (lambda d: _with(d, ["a", "b"], "schemes"), "list"),
    "settings is a text": (lambda d: _with(d, "abc", "settings"), "sequence"),
    "loss is a word": (lambda d: _with(d, "low", "runs", 0, "valid_loss"), "'low'"),
    "losses hold a word": (lambda d: _with(d, ["low"], "runs", 0, "train_losses"), "'low'"),
    "seed is null": (lambda d: _with(d, None, "runs", 0, "seed"), "NoneType"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files(tmp_path, damage):
    """A file that lacks something or holds something else is refused with what is wrong."""
    change, reason = DAMAGES[damage]
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(change(_document())))
    with pytest.raises(ValueError, match=reason) as caught:
        Comparison.load(path)
    assert str(caught.value).startswith(f"{path} is a damaged comparison: ")


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(_with(_document(), 0.0, "runs", 0, "seed")).replace(
            '"seed": 0.0', '"seed": 1e999'
        ),
        '{"a":' * 200_000,
    ],
    ids=["infinite seed", "deep"],
)
def test_files_that_are_damaged_otherwise(tmp_path, content):
    """Whatever a file holds, it is refused as a ValueError that names it."""
    path = tmp_path / "damaged.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="damaged") as caught:
        Comparison.load(path)
    assert str(path) in str(caught.value)


def test_load_a_missing_file(tmp_path):
    """A file that is not there is the usual error, with its name."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        Comparison.load(tmp_path / "nothing.json")


def _no_space(*_, **__):
    raise OSError(28, "No space left on device")


class _FullDisk:
    """A file that can be opened but not written."""

    def __init__(self, handle):
        self.handle = handle

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.handle)

    def write(self, text):
        os.write(self.handle, text[:10].encode())
        _no_space()


@pytest.mark.parametrize("fault", ["write", "rename", "interrupt", "settings", "nan", "surrogate"])
def test_a_failed_save_destroys_nothing(tmp_path, monkeypatch, fault):
    """Whatever goes wrong, the file from before is whole and nothing is left beside it."""
    path = tmp_path / "result.json"
    old = _made({"old": [0.5]})
    old.save(path)
    before = path.read_bytes()
    new, expected = _made({"new": [0.6]}), OSError
    if fault == "write":
        monkeypatch.setattr(files.os, "fdopen", lambda handle, *_, **__: _FullDisk(handle))
    elif fault == "rename":
        monkeypatch.setattr(files.os, "replace", _no_space)
    elif fault == "interrupt":
        expected = KeyboardInterrupt

        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(files.os, "replace", interrupt)
    elif fault == "settings":
        new, expected = _made({"new": [0.6]}, callback=object()), TypeError
    elif fault == "nan":
        new, expected = _made({"new": [0.6]}, ratio=math.nan), ValueError
    elif fault == "surrogate":
        new, expected = _made({"\ud800": [0.6]}), ValueError
    with pytest.raises(expected):
        new.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
    assert Comparison.load(path).labels == ("old",)


def test_save_into_no_folder(tmp_path):
    """A folder that does not exist is the usual error, and is not made."""
    with pytest.raises(FileNotFoundError):
        _made(ACCURACIES).save(tmp_path / "nothing" / "result.json")
    assert not list(tmp_path.iterdir())


def test_save_onto_a_folder(tmp_path):
    """A folder is not replaced by a file, and nothing is left in it or beside it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="folder"):
        _made(ACCURACIES).save(folder)
    assert folder.is_dir()
    assert list(tmp_path.rglob("*")) == [folder]


# Errors on the way


def _fails_for(seed):
    """Fail as a scheme for one seed: the one that the global generator is seeded with."""

    def scheme(module):  # noqa: ARG001
        if torch.initial_seed() == seed:
            raise RuntimeError("boom")

    return scheme


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_scheme(compare, workers):
    """An exception comes out as it is, with a note that names the scheme and the seed."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(RuntimeError, match=r"^boom") as caught:
        compare({"fine": "zeros", "bad": _fails_for(1)}, workers=workers, seeds=3)
    assert caught.value.__notes__ == ["while training 'bad' with seed 1"]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_an_error_in_the_first_scheme(compare):
    """The first scheme's first seed is named like the others."""
    with pytest.raises(RuntimeError, match=r"^boom") as caught:
        compare({"bad": _fails_for(0), "fine": "zeros"})
    assert caught.value.__notes__ == ["while training 'bad' with seed 0"]


def test_an_error_in_the_model(compare):
    """A model that fails while training: the same, and its layers are put back."""

    class Fails(Small):
        def forward(self, images):
            if torch.is_grad_enabled():
                raise ValueError(f"cannot take {tuple(images.shape)}")
            return super().forward(images)

    with pytest.raises(ValueError, match=r"^cannot take \(16, 1, 28, 28\)") as caught:
        compare({"mine": "zeros"}, model=Fails, seeds=1)
    assert caught.value.__notes__ == ["while training 'mine' with seed 0"]


def _threads_of_ours():
    return [t for t in threading.enumerate() if t.name.startswith("initguide")]


class Endless(Small):
    """Takes its time: 0.02 s a batch."""

    started = threading.Event()

    def forward(self, images):
        """Scores, later."""
        if torch.is_grad_enabled():
            self.started.set()
            time.sleep(0.02)
        return super().forward(images)


def test_an_error_stops_the_others(compare):
    """When one run fails, those under way end soon and those that wait never start."""
    begun = []

    def bad(module):
        if isinstance(module, Small) and torch.initial_seed() == 1:
            raise RuntimeError("boom")
        if isinstance(module, Small):
            begun.append(torch.initial_seed())

    start = time.perf_counter()
    with pytest.raises(RuntimeError, match="boom"):
        # Each run alone would take 200 · 32 · 0.02 = 128 s.
        compare({"x": bad}, model=Endless, workers=2, seeds=20, epochs=200, batch_size=2)
    assert time.perf_counter() - start < 10
    assert len(begun) <= 13  # those of the other worker, one of this, and two to look at first
    assert not _threads_of_ours()


def test_ctrl_c(compare, monkeypatch):
    """Ctrl-C while runs are under way: they end soon, and everything is put back."""

    def interrupted(*_, **__):
        assert Endless.started.wait(60)
        raise KeyboardInterrupt

    monkeypatch.setattr(work.Work, "_next", interrupted)
    Endless.started.clear()
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        compare(["zeros"], model=Endless, workers=2, seeds=9, epochs=200, batch_size=2)
    assert time.perf_counter() - start < 10
    assert not _threads_of_ours()
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


# Schemes, models and settings


def test_kinds_of_schemes(compare):
    """Names, calls by name, schemes, functions and lambdas do; each is described."""

    def mine(module):
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 0.5)

    schemes = {
        "name": "he_normal",
        "call": "uniform(-0.5, 0.5)",
        "alias": "glorot_normal",
        "scheme": init.normal(0.1),
        "function": mine,
        "partial": functools.partial(_fill, value=0.25),
    }
    result = compare(schemes, seeds=1)
    assert dict(result.schemes) == {
        "name": "he_normal(mode='fan_in', nonlinearity='relu')",
        "call": "uniform(low=-0.5, high=0.5)",
        "alias": "xavier_normal(gain=1.0)",
        "scheme": "normal(std=0.1)",
        "function": "mine",
        "partial": "_fill(value=0.25)",
    }


def _fill(module, value):
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.weight, value)


def test_names_are_their_own_labels(compare):
    """A list of names needs no labels; a generator or tuple of names does too."""
    for names in (
        ["zeros", "normal(0.1)"],
        ("zeros", "normal(0.1)"),
        iter(["zeros", "normal(0.1)"]),
    ):
        assert compare(names, seeds=1).labels == ("zeros", "normal(0.1)")


def test_settings_are_recorded(compare):
    """What the runs have in common is written down, in plain values."""
    result = compare(
        ["zeros"],
        model=functools.partial(initguide.Net, 8, hidden_2=4),
        epochs=2,
        batch_size=32,
        learning_rate=1,
        optimizer=functools.partial(torch.optim.RMSprop, alpha=0.5),
        seeds=[3],
    )
    assert result.settings == {
        "model": "Net(8, hidden_2=4)",
        "epochs": 2,
        "batch_size": 32,
        "optimizer": "RMSprop(alpha=0.5)",
        "learning_rate": 1.0,
        "device": "cpu",
        "seeds": [3],
        "torch": torch.__version__,
    }
    assert type(result.settings["torch"]) is str
    assert compare(["zeros"], seeds=1).settings["model"] == "Small"
    assert compare(["zeros"], seeds=1).data_source == "made up: 134 images"
    json.dumps(result.settings)


def test_a_saved_real_comparison(compare, tmp_path):
    """Settings from a real comparison can be saved, functions too."""
    result = compare(["zeros"], optimizer=torch.optim.Adagrad, model=lambda: Small(), seeds=1)  # noqa: PLW0108
    assert _saved(result, tmp_path / "r.json").settings == result.settings


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [(3, [0, 1, 2]), ([4], [4]), (range(2, 4), [2, 3]), (np.arange(2), [0, 1]), ((7, 1), [7, 1])],
    ids=repr,
)
def test_seeds(compare, seeds, expected):
    """How many, or which."""
    result = compare(["zeros"], seeds=seeds)
    assert result.settings["seeds"] == expected
    assert [run.seed for run in result.runs] == expected
    assert all(type(seed) is int for seed in result.settings["seeds"])


SEEDS = "it must be how many, at least 1, or a list of different numbers"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"schemes": []},
            ValueError,
            r"schemes is empty; give at least one, such as \['he_normal'\]",
        ),
        ({"schemes": {}}, ValueError, r"schemes is empty; give at least one, such as .*"),
        (
            {"schemes": "he_normal"},
            TypeError,
            r"schemes is the text 'he_normal'; give a list of names, such as \['he_normal'\]",
        ),
        (
            {"schemes": ["zeros", "ones", "zeros"]},
            ValueError,
            r"schemes is labelled \[.*\]; a name stands there twice",
        ),
        (
            {"schemes": ["he_norml"]},
            ValueError,
            "unknown scheme 'he_norml', did you mean 'he_normal'.*",
        ),
        ({"schemes": {"x": "he_norml"}}, ValueError, "unknown scheme 'he_norml', .*"),
        ({"schemes": {"x": 3}}, TypeError, "schemes is to have 3 under 'x'; a scheme is a name .*"),
        ({"seeds": 0}, ValueError, f"seeds is 0; {SEEDS}"),
        ({"seeds": -2}, ValueError, f"seeds is -2; {SEEDS}"),
        ({"seeds": []}, ValueError, rf"seeds is \[\]; {SEEDS}"),
        ({"seeds": [1, 1]}, ValueError, rf"seeds is \[1, 1\]; {SEEDS}"),
        ({"seeds": [0, -1]}, ValueError, "seed is -1; it must be a whole number, at least 0"),
        ({"workers": 0}, ValueError, "workers is 0; it must be a whole number, at least 1"),
        ({"epochs": 0}, ValueError, "epochs is 0; it must be a whole number, at least 1"),
        ({"batch_size": -1}, ValueError, "batch_size is -1; it must be a whole number, at least 1"),
        (
            {"learning_rate": 0},
            ValueError,
            "learning_rate is 0; it must be a finite number above 0",
        ),
        (
            {"optimizer": "Adam"},
            ValueError,
            "unknown optimizer 'Adam'; the names are adam, sgd, .*",
        ),
        (
            {"model": lambda: None},
            TypeError,
            "model is of type NoneType; it must be a torch.nn.Module(?s:.*)",
        ),
    ],
    ids=lambda value: repr(value).split(" at 0x")[0],
)
def test_bad_arguments(data, monkeypatch, changes, error, message):
    """What is wrong is refused before the first network is trained, with what is allowed."""
    monkeypatch.setattr(worker, "train_many", _no_space)
    arguments = {"schemes": ["zeros"], "model": Small, "seeds": 1} | changes
    schemes = arguments.pop("schemes")
    with pytest.raises(error, match=f"^{message}$"):
        compare_init_weights(schemes, data, **arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [0.5, 1.5]},
        {"seeds": "12"},
        {"seeds": True},
        {"seeds": 2.0},
        {"seeds": [2**64]},
        {"workers": 1.5},
        {"workers": "2"},
        {"schemes": {1: "zeros", "1": "ones"}},
        {"schemes": 3},
        {"schemes": {"fine": "zeros", "bad": 3}},
        {"model": Small()},
    ],
    ids=lambda changes: str(changes).split("\n", maxsplit=1)[0],
)
def test_bad_arguments_that_slip_through(data, monkeypatch, changes):
    """The argument is named, in a message of the package's own, before anything is trained."""
    trained = []
    monkeypatch.setattr(worker, "train_many", lambda *_, **settings: trained.append(settings))
    arguments = {"schemes": ["zeros"], "model": Small, "seeds": 1} | changes
    schemes = arguments.pop("schemes")
    (name,) = changes
    with pytest.raises((ValueError, TypeError), match=rf"^{name.rstrip('s')}s? is "):
        compare_init_weights(schemes, data, **arguments)
    assert not trained


def test_a_count_from_an_array(compare):
    """A number of seeds may be a NumPy integer."""
    assert compare(["zeros"], seeds=np.int64(2)).settings["seeds"] == [0, 1]


# Progress


def test_no_progress_in_a_file(compare, capfd):
    """Where nobody watches, nothing is printed."""
    compare(["zeros"], seeds=1)
    assert capfd.readouterr() == ("", "")


def test_progress_when_asked_for(compare, capfd):
    """With `progress=True` a bar on standard error counts the runs; with False, never."""
    compare(["zeros", "ones"], seeds=2, progress=True)
    printed = capfd.readouterr()
    assert "4/4" in printed.err
    assert not printed.out
    compare(["zeros"], seeds=1, progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_in_a_terminal(compare, monkeypatch, capfd):
    """In a terminal the bar is shown without being asked for, unless it is refused."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    compare(["zeros"], seeds=1)
    assert "1/1" in capfd.readouterr().err
    compare(["zeros"], seeds=1, progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_in_a_notebook(monkeypatch):
    """A notebook counts as being watched."""
    assert not work.somebody_watches()
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    assert work.somebody_watches()


def test_cores(monkeypatch):
    """As many workers as the process may use; as many as there are where that is unknown."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3}, raising=False)
    assert cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


def test_workers_by_default(compare, monkeypatch):
    """Without `workers`, as many runs go on as there are cores."""
    monkeypatch.setattr(running, "cores", lambda: 3)
    assert _most_at_once(compare, None, lambda scores: scores, expected=3) == 3


def test_probe_is_the_one_of_training():
    """The look that decides about threads is the one that `train` takes."""
    assert comparison.uses_global_generator is training.uses_global_generator


def test_schemes_in_a_list_are_labelled_by_their_names(compare):
    """A function of one's own in a list has its name for a label, not its address."""

    def mine(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.1)

    assert compare(["zeros", mine], seeds=1).labels == ("zeros", "mine")


# Verdicts


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
def test_verdict(per_seed, margin, verdict):
    """Beyond the margin, within it, or across it."""
    result = _made({"a": [0.5 + delta for delta in per_seed], "b": [0.5] * len(per_seed)})
    assert result.difference("a", "b").verdict(margin) == verdict


def test_verdict_refuses_a_negative_margin():
    """It would call everything undecided or worse."""
    with pytest.raises(ValueError, match=r"margin is -0.1; it must be at least 0"):
        _made({"a": [0.1, 0.2]}).difference("a", "a").verdict(-0.1)


def test_verdict_of_what_is_left_is_undecided():
    """Where a run diverged, the other seeds are no fair sample."""
    difference = _made({"a": [0.9, 0.91, math.nan], "b": [0.5, 0.51, 0.5]}).difference("a", "b")
    assert difference.excludes_zero
    assert not difference.complete
    assert difference.verdict() == "undecided"


def test_judge_does_not_flatten_and_names_every_setting():
    """A table of numbers is not a list of independent ones; a setting's name may be empty."""
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 's'; it must be flat"):
        judge({"s": (0, 1)}, {"s": np.zeros((2, 3))})
    assert judge({"": (0, 1)}, {"": [5, 6, 7]}).verdict == "does not hold"
