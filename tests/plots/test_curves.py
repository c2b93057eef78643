"""`plot_losses`: training losses."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

from initguide import plots
from initguide.experiments import Comparison


def test_long_labels_are_cut(comparison, run):
    """However long the labels are, the text stays short."""
    runs = [run(f"{i} " + "very long label " * 20, 0, [2.0, 1.0]) for i in range(3)]
    text = plots.alt_text(plots.plot_losses(comparison(runs)).figure)
    assert len(text) <= 400
    assert text.endswith("…")


def test_a_peak_is_told(comparison, run):
    """A curve that leaps and comes down again neither rises nor falls."""
    ax = plots.plot_losses(comparison([run("a", 0, [2, 90, 9])]))
    assert "a rises from 2.00 to 90.0 and falls to 9.00" in plots.alt_text(ax.figure)


def test_losses_are_means_with_bands(comparison, curves, run):
    """Counts mini-batches from 1 on x; y is the mean over seeds, the band spans them."""
    ax = plots.plot_losses(comparison([run("a", 0, [2, 1, 1]), run("a", 1, [4, 3, 2])]))
    (line,) = curves(ax)
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(line.get_ydata(), [3, 2, 1.5])
    band = ax.collections[0].get_datalim(ax.transData)
    assert (band.y0, band.y1) == (1, 4)
    assert ax.get_xlabel() == "mini-batch"
    assert ax.get_ylabel() == "training loss (nats)"
    assert ax.get_legend().get_title().get_text() == "mean of 2 seeds; band: smallest to largest"
    assert "a falls from 3.00 to 1.50" in plots.alt_text(ax.figure)


def test_losses_first(curves, typical):
    """``first`` cuts the curves, and the title says so."""
    ax = plots.plot_losses(typical(batches=30), first=10)
    assert [len(line.get_xdata()) for line in curves(ax)] == [10, 10, 10]
    assert ax.get_title() == "Training loss over the first 10 mini-batches"


def test_losses_first_beyond_the_end(typical):
    """More than there is means all; the title gives the true number."""
    ax = plots.plot_losses(typical(batches=30), first=100)
    assert ax.get_title() == "Training loss over the first 30 mini-batches"


def test_losses_smooth(comparison, curves, run):
    """Each point is the mean of the last few; the start has fewer, and the legend says it."""
    ax = plots.plot_losses(comparison([run("a", 0, [4, 2, 3, 7])]), smooth=2)
    np.testing.assert_allclose(curves(ax)[0].get_ydata(), [4, 3, 2.5, 5])
    assert ax.get_legend().get_title().get_text() == "one seed; smoothed over 2 mini-batches"
    assert not ax.collections


@pytest.mark.parametrize(
    ("highest", "scale"), [(40, "linear"), (60, "log"), (3000, "log"), (1e30, "log")]
)
def test_losses_scale_follows_the_range(highest, scale, comparison, run):
    """A wide range is drawn logarithmically; axis and alt text say so, and ticks have labels."""
    ax = plots.plot_losses(comparison([run("a", 0, [1.0, 1.0]), run("b", 0, [highest, 1.0])]))
    assert ax.get_yscale() == scale
    ax.figure.canvas.draw()
    low, high = ax.get_ylim()
    ticks = [t.get_text() for t in ax.get_yticklabels() if low <= t.get_position()[1] <= high]
    assert sum(map(bool, ticks)) >= 2
    assert ("logarithmic" in ax.get_ylabel()) == (scale == "log")
    assert ("logarithmic" in plots.alt_text(ax.figure)) == (scale == "log")


def test_losses_of_zero_do_not_break_the_log_scale(comparison, run):
    """A loss of exactly 0, which float32 can reach, is left to run off the panel."""
    ax = plots.plot_losses(comparison([run("a", 0, [100.0, 1.0, 0.0])]))
    assert ax.get_yscale() == "log"
    ax.figure.canvas.draw()
    ax = plots.plot_losses(comparison([run("a", 0, [0.0, 0.0])]))
    assert ax.get_yscale() == "linear"


def test_losses_of_diverged_runs(comparison, curves, run):
    """A diverged run ends in an ×; the mean goes on after a gap; words say how many."""
    runs = [
        run("a", 0, [2, 1, 1, 1]),
        run("a", 1, [2, 9, math.nan], diverged_at=2),
        run("b", 0, [3, math.inf], diverged_at=1),
        run("b", 1, [3, 2, 2, 2]),
    ]
    ax = plots.plot_losses(comparison(runs))
    a, b = curves(ax)
    np.testing.assert_allclose(a.get_xdata(), [1, 2, math.nan, 3, 4])
    np.testing.assert_allclose(a.get_ydata(), [2, 5, math.nan, 1, 1])
    assert a.get_label() == "a (1 of 2 diverged)"
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in crosses] == [(2, 9), (1, 3)]
    assert [line.get_color() for line in crosses] == [a.get_color(), b.get_color()]
    assert ax.get_legend().get_title().get_text().endswith("; ×: diverged")
    assert "1 of 2 diverged" in plots.alt_text(ax.figure)


def test_losses_where_training_went_on_after_divergence(comparison, curves, run):
    """What comes after the first loss that is not finite is not drawn."""
    ax = plots.plot_losses(comparison([run("a", 0, [2, 3, math.nan, 1], diverged_at=2)]))
    np.testing.assert_allclose(curves(ax)[0].get_ydata(), [2, 3])


def test_losses_without_any_finite_loss(comparison, curves, run):
    """A run that diverged at once is marked at the top and named."""
    ax = plots.plot_losses(comparison([run("a", 0, [math.nan], diverged_at=0)]))
    assert curves(ax)[0].get_label() == "a (diverged)"
    assert "a has no finite loss" in plots.alt_text(ax.figure)
    ax.figure.canvas.draw()


def test_losses_marks_only_what_is_shown(comparison, curves, run):
    """A run that diverges after the shown part has no ×, but the legend counts it."""
    runs = [run("a", 0, [2, 1, 1, math.nan], diverged_at=3)]
    ax = plots.plot_losses(comparison(runs), first=2)
    assert not [line for line in ax.lines if line.get_marker() == "x"]
    assert curves(ax)[0].get_label() == "a (diverged)"


def test_losses_label_with_underscore(comparison, run):
    """Such labels are hidden by matplotlib; a function's name may start so."""
    ax = plots.plot_losses(comparison([run("_mine", 0, [2, 1])]))
    assert [text.get_text().strip() for text in ax.get_legend().get_texts()] == ["_mine"]


def test_losses_of_many_schemes_are_summed_up(typical):
    """With many schemes the text gives the ends of the range instead of every curve."""
    many = {f"a rather long label, number {i}": "mine" for i in range(12)}
    text = plots.alt_text(plots.plot_losses(typical(schemes=many)).figure)
    assert "12 schemes start between" in text
    assert "lowest at the end" in text


@pytest.mark.parametrize("option", ["first", "smooth"])
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_losses_refuse_bad_counts(option, value, typical):
    """The message names the argument, what came and what is allowed; no figure is left behind."""
    message = rf"^{option} is {value}; it must be a whole number, at least 1$"
    with pytest.raises(ValueError, match=message):
        plots.plot_losses(typical(), **{option: value})
    assert not plt.get_fignums()


def test_empty_result():
    """A comparison without runs cannot be drawn, and the message says why."""
    empty = Comparison(runs=(), schemes={}, settings={"seeds": []}, data_source="")
    for draw in (plots.plot_losses, plots.plot_accuracy):
        with pytest.raises(ValueError, match="the result holds no runs"):
            draw(empty)
