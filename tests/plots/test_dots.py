"""`plot_accuracy` and `plot_differences`."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

from initguide import plots


def test_accuracy_rows(rows_of, typical, labels):
    """One row a scheme in the order given, first on top, in percent, with mean, ± and seeds."""
    result = typical()
    ax = plots.plot_accuracy(result)
    assert rows_of(ax) == list(labels)
    assert ax.yaxis_inverted()
    row = result.rows()[1]
    interval, seeds, mean = ax.lines[3:6]
    np.testing.assert_allclose(interval.get_xdata(), 100 * np.array(row.interval))
    np.testing.assert_allclose(seeds.get_xdata(), 100 * result.values("Centred"))
    np.testing.assert_allclose(mean.get_xdata(), 100 * row.mean)
    half = 50 * (row.interval[1] - row.interval[0])
    assert ax.texts[1].get_text() == f"{100 * row.mean:.1f} ± {half:.1f}"
    assert (
        ax.get_xlabel() == "validation accuracy (%)\nline and ±: 95 % interval; small dots: seeds"
    )
    low, high = ax.get_xlim()
    assert low < min(100 * result.rows()[0].interval[0], 70)
    assert high < 100
    assert "Centred 76.7 (" in plots.alt_text(ax.figure)


def test_accuracy_sorted(comparison, rows_of, run):
    """``sort`` puts the best on top, and what has no number at the end."""
    runs = [run("none", 0, [math.nan], diverged_at=0), run("low", 0, [1], 0.2)]
    runs += [run("high", 0, [1], 0.9)]
    ax = plots.plot_accuracy(comparison(runs), sort=True)
    assert rows_of(ax) == ["high", "low", "none\n(diverged)"]


def test_accuracy_of_one_seed(typical, labels):
    """One seed has no interval; the figure says that it is one seed."""
    ax = plots.plot_accuracy(typical(seeds=1), metric="test_accuracy")
    assert len(ax.lines) == len(labels)
    assert ax.get_xlabel() == "test accuracy (%)\none seed"
    assert ax.get_title() == "Test accuracy"
    assert ax.texts[0].get_text() == "70.0"


def test_accuracy_says_who_diverged(comparison, rows_of, run):
    """How many seeds diverged stands under the label; a row without a number stays."""
    runs = [
        run("some", 0, [1], 0.5),
        run("some", 1, [math.nan], diverged_at=0),
        run("all", 0, [math.nan], diverged_at=0),
        run("all", 1, [math.nan], diverged_at=0),
    ]
    ax = plots.plot_accuracy(comparison(runs))
    assert rows_of(ax) == ["some\n(1 of 2 diverged)", "all\n(2 of 2 diverged)"]
    assert [text.get_text() for text in ax.texts] == ["50.00", "–"]
    assert "all: 2 of 2 diverged" in plots.alt_text(ax.figure)


def test_accuracy_when_all_diverged(comparison, run):
    """A figure without any number can still be drawn and described."""
    runs = [run("a", 0, [math.nan], diverged_at=0), run("b", 0, [math.nan], diverged_at=0)]
    plots.plot_accuracy(comparison(runs)).figure.canvas.draw()
    ax = plots.plot_differences(comparison(runs), "a")
    ax.figure.canvas.draw()
    assert "b: 1 of 1 pairs diverged" in plots.alt_text(ax.figure)


def test_accuracy_of_many_schemes_is_summed_up(typical):
    """With many schemes the text gives the highest and the lowest."""
    many = {f"a rather long label, number {i}": "mine" for i in range(12)}
    text = plots.alt_text(plots.plot_accuracy(typical(schemes=many)).figure)
    assert "of 12 schemes, highest a rather long label, number 11" in text
    assert "lowest a rather long label, number 0" in text


def test_accuracy_refuses_other_metrics(typical):
    """The message lists the metrics that are accuracies."""
    with pytest.raises(ValueError, match=r"'valid_loss'; the accuracies are valid_acc.*, test_acc"):
        plots.plot_accuracy(typical(), metric="valid_loss")


def test_differences_are_paired_and_in_points(rows_of, typical):
    """Means, intervals and seeds are those of ``result.difference``, around a line at 0."""
    result = typical()
    ax = plots.plot_differences(result, "Rule", confidence=0.9)
    assert rows_of(ax) == ["Baseline", "Centred"]
    found = result.difference("Baseline", "Rule", confidence=0.9)
    zero, interval, seeds, mean = ax.lines[:4]
    assert list(zero.get_xdata()) == [0, 0]
    np.testing.assert_allclose(interval.get_xdata(), 100 * np.array(found.interval))
    np.testing.assert_allclose(seeds.get_xdata(), 100 * found.per_seed)
    np.testing.assert_allclose(mean.get_xdata(), 100 * found.mean)
    low, high = ax.get_xlim()
    assert low < 100 * found.interval[0] < 0 < high
    assert ax.get_title() == "Validation accuracy minus that of “Rule”"
    assert "percentage points; right is better" in ax.get_xlabel()
    assert "90 % interval" in ax.get_xlabel()
    assert ax.texts[0].get_text().startswith("−10.0 ± ")


def test_differences_of_losses(typical):
    """Losses are in nats, and less is better."""
    ax = plots.plot_differences(typical(), "Rule", metric="valid_loss")
    assert "nats; left is better" in ax.get_xlabel()
    assert ax.texts[0].get_text().startswith("+0.100")


def test_differences_of_one_seed(typical):
    """One seed has no interval, and none is claimed."""
    ax = plots.plot_differences(typical(seeds=1), "Rule")
    assert ax.get_xlabel().endswith("\npaired by seed")
    assert "interval" not in plots.alt_text(ax.figure)


def test_differences_refuse_bad_arguments(comparison, run, typical):
    """Each message says what came and what is allowed."""
    with pytest.raises(ValueError, match=r"labelled 'X'.* the labels are 'Baseline', 'Centred'"):
        plots.plot_differences(typical(), "X")
    with pytest.raises(ValueError, match=r"metric is 'f1'; the metrics are valid_accuracy, test_a"):
        plots.plot_differences(typical(), "Rule", metric="f1")
    with pytest.raises(ValueError, match="confidence is 95; it must be between 0 and 1"):
        plots.plot_differences(typical(), "Rule", confidence=95)
    with pytest.raises(ValueError, match="'a' is the only scheme"):
        plots.plot_differences(comparison([run("a", 0, [1])]), "a")
    assert not plt.get_fignums()
