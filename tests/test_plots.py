"""Figures: what they draw, what they say, and what they leave alone."""

import colorsys
import gc
import io
import itertools
import math
import pickle
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb
from scipy import stats

from initguide import plots
from initguide.data import Split
from initguide.experiments import Comparison, Sweep, SweptRun
from initguide.plots import style, words
from initguide.training import Run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its docstrings have invalid escape sequences
    from colorspacious import cspace_convert

mpl.use("Agg")

CLASSES = ["T-shirt/top", "Trouser", "Ankle boot"]
LABELS = {
    "Baseline": "uniform(low=0.0, high=1.0)",
    "Centred": "uniform(low=-0.5, high=0.5)",
    "Rule": "general_rule()",
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def run(label, seed, losses, accuracy=0.5, diverged_at=None):
    """Make up a run."""
    return Run(
        label=label,
        seed=seed,
        train_losses=np.asarray(losses, dtype=np.float32),
        valid_loss=math.nan if diverged_at is not None else 1 - accuracy,
        valid_accuracy=math.nan if diverged_at is not None else accuracy,
        test_accuracy=math.nan if diverged_at is not None else accuracy,
        diverged_at=diverged_at,
        seconds=1.0,
    )


def comparison(runs, schemes=None):
    """Make up a comparison; each label is its own scheme unless told otherwise."""
    labels = list(dict.fromkeys(r.label for r in runs))
    return Comparison(
        runs=tuple(runs),
        schemes=schemes or {label: label for label in labels},
        settings={"epochs": 1, "seeds": sorted({r.seed for r in runs})},
        data_source="made up",
    )


def typical(seeds=3, schemes=None, batches=30):
    """Make up a comparison in which all runs end well."""
    schemes = schemes or LABELS
    return comparison(
        [
            run(
                label,
                seed,
                1 + (1 + i) * np.exp(-np.arange(batches) / 10) + 0.01 * seed,
                0.7 + 0.05 * i + 0.01 * seed**2,
            )
            for i, label in enumerate(schemes)
            for seed in range(seeds)
        ],
        schemes,
    )


def curves(ax):
    """Return the lines with a label: one a scheme."""
    return [line for line in ax.lines if not line.get_label().startswith("_")]


def split(count=6):
    """Make up images."""
    images = torch.linspace(0, 1, count * 28 * 28).reshape(count, 1, 28, 28)
    return Split(images, torch.arange(count) % 3)


DRAWINGS = {
    "losses": lambda ax: plots.plot_losses(typical(), ax=ax),
    "accuracy": lambda ax: plots.plot_accuracy(typical(), ax=ax),
    "differences": lambda ax: plots.plot_differences(typical(), "Rule", ax=ax),
    "images": lambda ax: plots.plot_images(split(), CLASSES, count=6, columns=3, ax=ax),
    "histogram": lambda ax: plots.plot_histogram([1.0, 2, 3], label="normal", ax=ax),
    "histograms": lambda ax: plots.plot_histograms({"a": [1.0, 2], "b": [3.0]}, ax=ax),
    "hist_dist": lambda ax: plots.hist_dist("Draws", torch.zeros(10), ax=ax),
    "map": lambda ax: plots.plot_map(typical_sweep(diverged={(0, 0)}), ax=ax),
}
every_drawing = pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)


# What all drawings have in common


@every_drawing
def test_axes_in_axes_out(draw):
    """A drawing goes where it is told, and neither settings nor the current figure change."""
    figure, ax = plt.subplots()
    elsewhere = plt.figure()
    before = dict(mpl.rcParams)
    assert draw(ax) is ax
    assert dict(mpl.rcParams) == before
    assert plt.gcf() is elsewhere
    assert plt.get_fignums() == [figure.number, elsewhere.number]
    assert figure.axes == [ax]


@every_drawing
def test_new_figure_in_the_house_style(draw):
    """Without Axes, there is one new figure, 7 inches wide, and settings do not change."""
    before = dict(mpl.rcParams)
    ax = draw(None)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == [ax.figure.number]
    assert ax.figure.get_figwidth() == 7.0
    assert not ax.spines["top"].get_visible() or not ax.axison


@every_drawing
def test_alt_text_is_there_and_short(draw):
    """Every drawing describes itself in one sentence of at most 400 characters."""
    text = plots.alt_text(draw(None).figure)
    assert 20 < len(text) <= 400
    assert text.endswith(".")


@every_drawing
def test_texts_do_not_leave_the_figure(draw):
    """Nothing that is written is cut off at the figure's edge."""
    figure = draw(None).figure
    figure.canvas.draw()
    box = figure.get_tightbbox()
    assert box.x0 > -0.02
    assert box.y0 > -0.02
    assert box.x1 < figure.get_figwidth() + 0.02
    assert box.y1 < figure.get_figheight() + 0.02


@every_drawing
def test_figures_can_be_pickled(draw):
    """A figure can be kept and drawn again, as in another language."""
    figure = draw(None).figure
    again = pickle.loads(pickle.dumps(figure))  # noqa: S301  our own
    for part in (figure, again):
        part.canvas.draw()
    assert np.array_equal(figure.canvas.buffer_rgba(), again.canvas.buffer_rgba())


@every_drawing
def test_only_greys_and_palette(draw):
    """Colours with a hue come from the palette: a dark page recolours the greys and no others."""
    ax = draw(None)
    ax.figure.canvas.draw()
    colors = {to_hex(line.get_color()) for line in ax.lines}
    colors |= {to_hex(text.get_color()) for text in ax.figure.findobj(mpl.text.Text)}
    for color in colors - set(plots.PALETTE):
        assert colorsys.rgb_to_hls(*to_rgb(color))[2] == 0, color


# Colours


def luminance(color):
    """Relative luminance as WCAG 2 defines it."""
    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("background", ["#ffffff", "#131416"])
@pytest.mark.parametrize("color", plots.PALETTE)
def test_contrast_on_light_and_dark_pages(color, background):
    """Each colour stands out by 3 : 1, the least that WCAG 2.2 asks of graphics."""
    darker, lighter = sorted([luminance(color), luminance(background)])
    assert (lighter + 0.05) / (darker + 0.05) >= 3


@pytest.mark.parametrize("vision", [None, "deuteranomaly", "protanomaly", "tritanomaly"])
def test_colors_differ_for_everybody(vision):
    """Any two colours are far apart, also where one kind of cones does not work."""
    seen = np.array([to_rgb(color) for color in plots.PALETTE])
    if vision:
        space = {"name": "sRGB1+CVD", "cvd_type": vision, "severity": 100}
        seen = np.clip(cspace_convert(seen, space, "sRGB1"), 0, 1)
    points = cspace_convert(seen, "sRGB1", "CAM02-UCS")
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2))
    assert nearest >= 16


@pytest.mark.parametrize("color", plots.PALETTE)
def test_colors_have_a_hue(color):
    """No colour of data is near grey, which the site takes for a neutral part."""
    assert colorsys.rgb_to_hls(*to_rgb(color))[2] > 0.15


def test_color_of_families():
    """A description, a name and a label give one colour; different families differ."""
    assert plots.color_of("he_normal(mode='fan_in')") == plots.color_of("He-uniform")
    assert plots.color_of("All zeros") == plots.color_of("zeros()")
    modern = ["xavier_normal", "he_normal", "lecun_normal", "orthogonal", "general_rule"]
    modern += ["normal", "default"]
    assert len({plots.color_of(name) for name in modern}) == 7


def test_every_initializer_has_a_color():
    """A fixed one, whatever else is in the figure; a new scheme takes a free one."""
    from initguide.initializers import INITIALIZERS

    fixed = {name for name in INITIALIZERS if name in style._COLORS}
    assert len(fixed) >= 20
    for name in INITIALIZERS:
        same = plots.color_of(name, taken=plots.PALETTE[:1]) == plots.color_of(name)
        assert same == (name in fixed)


def test_color_of_others():
    """An unknown scheme gets the first free colour, and the first one if none is free."""
    assert plots.color_of("mine") == plots.PALETTE[0]
    assert plots.color_of("mine", taken=plots.PALETTE[:3]) == plots.PALETTE[3]
    assert plots.color_of("mine", taken=plots.PALETTE) == plots.PALETTE[0]


def test_same_scheme_twice_in_a_figure():
    """The first of several ranges keeps the scheme's colour; the others get free ones."""
    looks = style.looks_of(
        {
            "wide": "uniform(low=-1.0, high=1.0)",
            "narrow": "uniform(low=-0.1, high=0.1)",
            "He": "he_normal()",
            "mine": "weights_init",
        }
    )
    assert looks["wide"].color == plots.color_of("uniform(low=-1.0, high=1.0)")
    assert looks["He"].color == plots.color_of("he_normal")
    assert len({look.color for look in looks.values()}) == 4


def test_family_shares_its_hue():
    """The uniform and the normal variant of a rule differ in line style and marker only."""
    looks = style.looks_of({"u": "he_uniform()", "n": "he_normal()"})
    assert looks["u"].color == looks["n"].color
    assert looks["u"].style != looks["n"].style
    assert looks["u"].marker != looks["n"].marker


@given(st.lists(st.sampled_from([*style._COLORS, "mine", "f(x=1)"]), min_size=1, max_size=35))
def test_every_curve_can_be_told_without_color(names):
    """Up to 35 curves differ in line style or marker, and known ones keep their colour."""
    looks = style.looks_of({f"{i}": name for i, name in enumerate(names)})
    assert len({(str(look.style), look.marker) for look in looks.values()}) == len(names)
    for i, name in enumerate(names):
        if style._name_of(name) in style._COLORS and names.index(name) == i:
            assert looks[f"{i}"].color == plots.color_of(name)


def test_a_scheme_has_one_color_in_every_figure():
    """The lesson's twelve schemes have the colours together that they have in twos and threes."""
    lesson = {
        "All zeros": "zeros()",
        "All ones": "ones()",
        "Uniform [0, 1)": "uniform(low=0.0, high=1.0)",
        "Uniform [-0.5, 0.5)": "uniform(low=-0.5, high=0.5)",
        "General rule": "general_rule()",
        "Xavier normal": "xavier_normal(gain=1.0)",
        "He normal": "he_normal(mode='fan_in', nonlinearity='relu')",
        "Orthogonal": "orthogonal(gain=1.0)",
        "Automatic": "default()",
    }
    together = style.looks_of(lesson)
    for label, description in lesson.items():
        assert style.looks_of({label: description})[label].color == together[label].color
    for drawn in (  # the curves of one page differ in colour too
        ("All zeros", "All ones"),
        ("All ones", "Uniform [0, 1)"),
        ("Uniform [0, 1)", "Uniform [-0.5, 0.5)", "General rule"),
        ("All zeros", "Uniform [0, 1)", "Uniform [-0.5, 0.5)", "General rule", "He normal"),
        ("General rule", "Xavier normal", "He normal", "Orthogonal"),
        ("Automatic", "General rule"),
    ):
        assert len({together[label].color for label in drawn}) == len(drawn)


# Alt texts


def test_figure_text_wins_over_axes_texts():
    """The figure's own text is used if there is one, else those of its Axes in order."""
    figure, axes = plots.subplots(1, 3)
    assert plots.alt_text(figure) == ""
    plots.describe(axes[0], "First.")
    plots.describe(axes[2], "Third.")
    assert plots.alt_text(figure) == "First. Third."
    plots.describe(figure, "All.")
    assert plots.alt_text(figure) == "All."


def test_describe_changes_nothing_in_the_drawing():
    """The same pixels come out, nothing enters the legend, and the text outlives saving."""
    ax = plots.plot_histogram([1.0, 2.0], label="draws")

    def pixels():
        file = io.BytesIO()
        ax.figure.savefig(file, format="png")
        return file.getvalue()

    before = pixels()
    plots.describe(ax.figure, "Two draws.")
    assert pixels() == before
    assert plots.alt_text(ax.figure) == "Two draws."
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["draws"]


def test_texts_of_closed_figures_are_forgotten():
    """The store does not keep figures alive."""
    figure = mpl.figure.Figure()
    plots.describe(figure, "Empty.")
    size = len(words._TEXTS)
    del figure
    gc.collect()
    assert len(words._TEXTS) < size


def test_two_drawings_on_one_axes_are_both_described():
    """A second drawing adds its text; on cleared Axes it replaces what was there."""
    ax = plots.plot_histogram([1.0, 2.0], label="left")
    plots.plot_histogram([3.0], label="right", ax=ax)
    assert ", left:" in plots.alt_text(ax.figure)
    assert ", right:" in plots.alt_text(ax.figure)
    ax.clear()
    plots.plot_histogram([3.0], label="alone", ax=ax)
    assert ", left:" not in plots.alt_text(ax.figure)


def test_describe_refuses_other_things():
    """An array of Axes is a likely slip; the message says what is wanted."""
    _, axes = plots.subplots(1, 2)
    with pytest.raises(
        TypeError, match=r"target is a ndarray; describe takes a Figure or one Axes"
    ):
        plots.describe(axes, "Two panels.")


def test_long_labels_are_cut():
    """However long the labels are, the text stays short."""
    runs = [run(f"{i} " + "very long label " * 20, 0, [2.0, 1.0]) for i in range(3)]
    text = plots.alt_text(plots.plot_losses(comparison(runs)).figure)
    assert len(text) <= 400
    assert text.endswith("…")


# Style


def test_subplots_pass_options_on():
    """Sharing, size and shape are matplotlib's; several rows get a height of their own."""
    figure, axes = plots.subplots(2, 2, sharex=True, width=6)
    assert axes.shape == (2, 2)
    assert tuple(figure.get_size_inches()) == (6, 5.8)
    assert axes[0, 0].get_shared_x_axes().joined(axes[0, 0], axes[1, 1])
    figure, ax = plots.subplots(height=2)
    assert figure.get_figheight() == 2
    assert ax.get_figure() is figure


def test_style_outlives_the_context():
    """Ticks that matplotlib makes later, while it draws, are in the house style too."""
    figure, ax = plots.subplots()
    with plt.rc_context({"xtick.labelsize": 30, "grid.color": "red"}):
        ax.plot([0, 1000], [0, 1])
        figure.canvas.draw()
    tick = ax.xaxis.get_major_ticks()[1]
    assert tick.label1.get_fontsize() == plots.STYLE["xtick.labelsize"]
    assert tick.gridline.get_color() == plots.STYLE["grid.color"]


# Losses


def test_losses_are_means_with_bands():
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


def test_losses_first():
    """``first`` cuts the curves, and the title says so."""
    ax = plots.plot_losses(typical(batches=30), first=10)
    assert [len(line.get_xdata()) for line in curves(ax)] == [10, 10, 10]
    assert ax.get_title() == "Training loss over the first 10 mini-batches"


def test_losses_first_beyond_the_end():
    """More than there is means all; the title gives the true number."""
    ax = plots.plot_losses(typical(batches=30), first=100)
    assert ax.get_title() == "Training loss over the first 30 mini-batches"


def test_losses_smooth():
    """Each point is the mean of the last few; the start has fewer, and the legend says it."""
    ax = plots.plot_losses(comparison([run("a", 0, [4, 2, 3, 7])]), smooth=2)
    np.testing.assert_allclose(curves(ax)[0].get_ydata(), [4, 3, 2.5, 5])
    assert ax.get_legend().get_title().get_text() == "one seed; smoothed over 2 mini-batches"
    assert not ax.collections


@pytest.mark.parametrize(
    ("highest", "scale"), [(40, "linear"), (60, "log"), (3000, "log"), (1e30, "log")]
)
def test_losses_scale_follows_the_range(highest, scale):
    """A wide range is drawn logarithmically; axis and alt text say so, and ticks have labels."""
    ax = plots.plot_losses(comparison([run("a", 0, [1.0, 1.0]), run("b", 0, [highest, 1.0])]))
    assert ax.get_yscale() == scale
    ax.figure.canvas.draw()
    low, high = ax.get_ylim()
    ticks = [t.get_text() for t in ax.get_yticklabels() if low <= t.get_position()[1] <= high]
    assert sum(map(bool, ticks)) >= 2
    assert ("logarithmic" in ax.get_ylabel()) == (scale == "log")
    assert ("logarithmic" in plots.alt_text(ax.figure)) == (scale == "log")


def test_losses_of_zero_do_not_break_the_log_scale():
    """A loss of exactly 0, which float32 can reach, is left to run off the panel."""
    ax = plots.plot_losses(comparison([run("a", 0, [100.0, 1.0, 0.0])]))
    assert ax.get_yscale() == "log"
    ax.figure.canvas.draw()
    ax = plots.plot_losses(comparison([run("a", 0, [0.0, 0.0])]))
    assert ax.get_yscale() == "linear"


def test_losses_of_diverged_runs():
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


def test_losses_where_training_went_on_after_divergence():
    """What comes after the first loss that is not finite is not drawn."""
    ax = plots.plot_losses(comparison([run("a", 0, [2, 3, math.nan, 1], diverged_at=2)]))
    np.testing.assert_allclose(curves(ax)[0].get_ydata(), [2, 3])


def test_losses_without_any_finite_loss():
    """A run that diverged at once is marked at the top and named."""
    ax = plots.plot_losses(comparison([run("a", 0, [math.nan], diverged_at=0)]))
    assert curves(ax)[0].get_label() == "a (diverged)"
    assert "a has no finite loss" in plots.alt_text(ax.figure)
    ax.figure.canvas.draw()


def test_losses_marks_only_what_is_shown():
    """A run that diverges after the shown part has no ×, but the legend counts it."""
    runs = [run("a", 0, [2, 1, 1, math.nan], diverged_at=3)]
    ax = plots.plot_losses(comparison(runs), first=2)
    assert not [line for line in ax.lines if line.get_marker() == "x"]
    assert curves(ax)[0].get_label() == "a (diverged)"


def test_losses_label_with_underscore():
    """Such labels are hidden by matplotlib; a function's name may start so."""
    ax = plots.plot_losses(comparison([run("_mine", 0, [2, 1])]))
    assert [text.get_text().strip() for text in ax.get_legend().get_texts()] == ["_mine"]


def test_losses_of_many_schemes_are_summed_up():
    """With many schemes the text gives the ends of the range instead of every curve."""
    many = {f"a rather long label, number {i}": "mine" for i in range(12)}
    text = plots.alt_text(plots.plot_losses(typical(schemes=many)).figure)
    assert "12 schemes start between" in text
    assert "lowest at the end" in text


@pytest.mark.parametrize("option", ["first", "smooth"])
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_losses_refuse_bad_counts(option, value):
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


# Accuracies and differences


def rows_of(ax):
    """Return the labels of a dot plot or ridge, in the order of its rows."""
    return [label.get_text() for label in ax.get_yticklabels()]


def test_accuracy_rows():
    """One row a scheme in the order given, first on top, in percent, with mean, ± and seeds."""
    result = typical()
    ax = plots.plot_accuracy(result)
    assert rows_of(ax) == list(LABELS)
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


def test_accuracy_sorted():
    """``sort`` puts the best on top, and what has no number at the end."""
    runs = [run("none", 0, [math.nan], diverged_at=0), run("low", 0, [1], 0.2)]
    runs += [run("high", 0, [1], 0.9)]
    ax = plots.plot_accuracy(comparison(runs), sort=True)
    assert rows_of(ax) == ["high", "low", "none\n(diverged)"]


def test_accuracy_of_one_seed():
    """One seed has no interval; the figure says that it is one seed."""
    ax = plots.plot_accuracy(typical(seeds=1), metric="test_accuracy")
    assert len(ax.lines) == len(LABELS)
    assert ax.get_xlabel() == "test accuracy (%)\none seed"
    assert ax.get_title() == "Test accuracy"
    assert ax.texts[0].get_text() == "70.0"


def test_accuracy_says_who_diverged():
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


def test_accuracy_when_all_diverged():
    """A figure without any number can still be drawn and described."""
    runs = [run("a", 0, [math.nan], diverged_at=0), run("b", 0, [math.nan], diverged_at=0)]
    plots.plot_accuracy(comparison(runs)).figure.canvas.draw()
    ax = plots.plot_differences(comparison(runs), "a")
    ax.figure.canvas.draw()
    assert "b: 1 of 1 pairs diverged" in plots.alt_text(ax.figure)


def test_accuracy_of_many_schemes_is_summed_up():
    """With many schemes the text gives the highest and the lowest."""
    many = {f"a rather long label, number {i}": "mine" for i in range(12)}
    text = plots.alt_text(plots.plot_accuracy(typical(schemes=many)).figure)
    assert "of 12 schemes, highest a rather long label, number 11" in text
    assert "lowest a rather long label, number 0" in text


def test_accuracy_refuses_other_metrics():
    """The message lists the metrics that are accuracies."""
    with pytest.raises(ValueError, match=r"'valid_loss'; the accuracies are valid_acc.*, test_acc"):
        plots.plot_accuracy(typical(), metric="valid_loss")


def test_differences_are_paired_and_in_points():
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


def test_differences_of_losses():
    """Losses are in nats, and less is better."""
    ax = plots.plot_differences(typical(), "Rule", metric="valid_loss")
    assert "nats; left is better" in ax.get_xlabel()
    assert ax.texts[0].get_text().startswith("+0.100")


def test_differences_of_one_seed():
    """One seed has no interval, and none is claimed."""
    ax = plots.plot_differences(typical(seeds=1), "Rule")
    assert ax.get_xlabel().endswith("\npaired by seed")
    assert "interval" not in plots.alt_text(ax.figure)


def test_differences_refuse_bad_arguments():
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


# Images


def test_images_are_laid_out_in_order():
    """Each image is where its number puts it, untouched, with its class below."""
    data = split(5)
    ax = plots.plot_images(data, CLASSES, count=5, columns=3)
    (mesh,) = ax.collections
    canvas = np.ma.getdata(mesh.get_array())
    np.testing.assert_allclose(canvas[42:70, 32:60], data.images[4, 0])
    assert mesh.get_clim() == (0, 1)
    assert np.ma.getmaskarray(mesh.get_array())[0, 28:32].all()
    names = [text.get_text() for text in ax.texts]
    assert names == ["T-shirt/\ntop", "Trouser", "Ankle\nboot", "T-shirt/\ntop", "Trouser"]
    assert plots.alt_text(ax.figure).startswith("5 grey images of 28 by 28 pixels, showing: T-s")


def test_images_refuse_bad_arguments():
    """Counts out of range and labels without a name are refused with the numbers."""
    with pytest.raises(ValueError, match="count is 7, but the split holds 6 images"):
        plots.plot_images(split(6), CLASSES, count=7)
    with pytest.raises(ValueError, match="count is 0; it must be a whole number, at least 1"):
        plots.plot_images(split(6), CLASSES, count=0)
    with pytest.raises(ValueError, match="columns is 0; it must be a whole number, at least 1"):
        plots.plot_images(split(6), CLASSES, count=2, columns=0)
    with pytest.raises(ValueError, match="labels reach from 0 to 2, but classes has 2 names"):
        plots.plot_images(split(6), CLASSES[:2], count=6)


# Histograms


def heights(ax, index=0):
    """Return what a histogram draws."""
    return ax.patches[index].get_data().values


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 1.5, 1.5, 9.0],
        np.array([[0.5, 1.5], [1.5, 9.0]]),
        torch.tensor([0.5, 1.5, 1.5, 9.0], requires_grad=True),
        torch.tensor([0.5, 1.5, 1.5, 9.0], dtype=torch.bfloat16),
        [0.5, 1.5, 1.5, 9.0, math.nan, math.inf],
    ],
    ids=["list", "array", "grad", "bfloat16", "not finite"],
)
def test_histogram_counts(values):
    """Any kind of numbers is counted; those outside and not finite are left out."""
    ax = plots.plot_histogram(values, bins=2, value_range=(0, 2))
    np.testing.assert_array_equal(heights(ax), [1, 2])
    assert ax.get_xlim() == (0, 2)
    assert ax.get_ylabel() == "number of values"
    assert "Histogram of 4 values in 2 bins from 0.00 to 2.00: mean 3.12" in plots.alt_text(
        ax.figure
    )
    assert "1 outside" in plots.alt_text(ax.figure)


def test_histogram_density():
    """Densities are fractions of all values, so those outside take their part away."""
    ax = plots.plot_histogram([0.5, 1.5, 1.5, 9.0], bins=2, value_range=(0, 2), density=True)
    np.testing.assert_allclose(heights(ax), [0.25, 0.5])
    assert ax.get_ylabel() == "density"


@pytest.mark.parametrize("density", [False, True])
def test_histogram_with_expected_curve(density):
    """The curve has the units of the heights: it passes through bars of the right draws."""
    draws = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    ax = plots.plot_histogram(
        draws, bins=40, value_range=(-4, 4), expected=stats.norm.pdf, density=density
    )
    (curve,) = ax.lines
    bars = heights(ax)
    centers = np.linspace(-3.9, 3.9, 40)
    expected = np.interp(centers, curve.get_xdata(), curve.get_ydata())
    np.testing.assert_allclose(bars, expected, atol=0.01 * bars.max())
    assert "dashed line shows the expected density" in plots.alt_text(ax.figure)


def test_histograms_on_one_axes_differ_in_color():
    """The second gets another colour, and a scheme its own."""
    ax = plots.plot_histogram([1.0], label="first")
    plots.plot_histogram([2.0], label="second", ax=ax)
    plots.plot_histogram([2.0], label="normal(std=1.0)", ax=ax)
    colors = [to_hex(patch.get_edgecolor()) for patch in ax.patches[1::2]]
    assert colors == [*plots.PALETTE[:2], plots.color_of("normal")]


def test_rows_of_histograms_share_their_bins():
    """One x range for all rows, a shared set of bins, heights scaled row by row."""
    ax = plots.plot_histograms({"a": [0.0, 1, 1], "b": torch.tensor([3.0, 3, 10])}, bins=5)
    assert ax.get_xlim() == (0, 10)
    assert rows_of(ax) == ["a", "b"]
    np.testing.assert_allclose(heights(ax, 0), [0.82, 0, 0, 0, 0])
    np.testing.assert_allclose(heights(ax, 2), [-1, -0.18, -1, -1, -0.59])
    assert [text.get_text() for text in ax.texts] == ["sd 0.47", "sd 3.30"]
    assert "standard deviations: a 0.47; b 3.30" in plots.alt_text(ax.figure)
    assert "heights: counts, each row scaled" in ax.get_xlabel()


def test_rows_of_histograms_with_log_heights():
    """Heights are logarithms of 1 + count, and the axis says so."""
    ax = plots.plot_histograms({"a": [0.0] * 9 + [1.0]}, bins=2, value_range=(0, 1), log=True)
    np.testing.assert_allclose(heights(ax), [0.82, 0.82 * math.log(2) / math.log(10)])
    assert "heights: log(1 + count)" in ax.get_xlabel()


def test_rows_named_as_schemes_have_their_colors():
    """A scheme's row has its colour; the others have the first of the palette."""
    ax = plots.plot_histograms({"he_normal": [0.0, 1], "layer 1": [0.0, 1]})
    colors = [to_hex(patch.get_facecolor()) for patch in ax.patches[::2]]
    assert colors == [plots.color_of("he_normal"), plots.PALETTE[0]]


def test_hist_dist_has_half_as_many_bins_as_values():
    """1,000 values give 500 bins between the ends, as in the original lesson."""
    ax = plots.hist_dist("Draws", torch.rand(1000))
    assert len(heights(ax)) == 500
    assert ax.get_xlim() == (-4, 4)
    assert ax.get_title() == "Draws"
    ax = plots.hist_dist("Draws", [0.5], (0, 1))
    np.testing.assert_array_equal(heights(ax), [1])


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (plots.plot_histogram, "values"),
        (lambda values: plots.plot_histograms({"layer 1": values}), "'layer 1'"),
        (lambda values: plots.hist_dist("Draws", values), "distribution_tensor"),
    ],
)
def test_histograms_refuse_values_that_cannot_be_counted(draw, name):
    """Nothing, and nothing finite: the message names the argument and tells the two apart."""
    with pytest.raises(ValueError, match=f"^{name} is empty; a histogram needs at least one numb"):
        draw([])
    with pytest.raises(ValueError, match=f"^{name} has 2 values, and all are NaN or infinite$"):
        draw([math.nan, math.inf])
    assert not plt.get_fignums()


def test_histograms_refuse_bad_settings():
    """Bins and ranges are checked before anything is drawn."""
    with pytest.raises(ValueError, match="bins is 0; it must be a whole number, at least 1"):
        plots.plot_histogram([1.0], bins=0)
    with pytest.raises(ValueError, match=r"value_range is \(1, 1\); it must be two finite numbers"):
        plots.plot_histogram([1.0], value_range=(1, 1))
    with pytest.raises(ValueError, match=r"hist_range is \(4, -4\); it must be two finite numbers"):
        plots.hist_dist("Draws", [1.0], (4, -4))
    with pytest.raises(ValueError, match="named_values is empty; give at least one name"):
        plots.plot_histograms({})
    assert not plt.get_fignums()


@given(st.floats(min_value=-1e300, max_value=1e300))
def test_numbers_in_words_are_close(value):
    """What an alt text says is right to two digits at least, or to 0.005."""
    text = words.number_text(value)
    assert "-" not in text
    said = float(text.replace(",", "").replace("−", "-"))
    assert said == pytest.approx(value, rel=0.051, abs=0.005)


# Sweeps


def swept(grid, numbers, *, seeds=2, diverged=()):
    """Make up a sweep: a number for each point of the grid in order, and which diverged."""
    points = list(itertools.product(*grid.values()))
    runs = [
        SweptRun(
            **vars(
                run("", seed, [1.0], number + 0.02 * seed, 0 if (i, seed) in diverged else None)
            ),
            settings=dict(zip(grid, point, strict=True)),
        )
        for i, (point, number) in enumerate(zip(points, numbers, strict=True))
        for seed in range(seeds)
    ]
    return Sweep(
        runs=tuple(runs),
        failures=(),
        grid={name: tuple(values) for name, values in grid.items()},
        settings={"seeds": list(range(seeds))},
        data_source="made up",
    )


def typical_sweep(**kw):
    """Make up a sweep over a scale with decades and three learning rates."""
    grid = {"scale": [0.1, 1.0, 10.0, 100.0], "learning_rate": [0.1, 0.2, 0.3]}
    return swept(grid, np.linspace(0.1, 0.65, 12), **kw)


def test_map_shows_means_where_they_belong():
    """Column by x, row by y, in percent; an axis is logarithmic if that spaces it evenly."""
    ax = plots.plot_map(typical_sweep())
    shown = ax.collections[0].get_array()
    np.testing.assert_allclose(shown, 100 * np.linspace(0.11, 0.66, 12).reshape(4, 3).T)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    corners = ax.collections[0].get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], np.geomspace(0.01, 100, 5) * 10**0.5)
    np.testing.assert_allclose(corners[:, 0, 1], [0.05, 0.15, 0.25, 0.35])
    assert "lowest 11.0 at scale 0.10, learning rate 0.10" in plots.alt_text(ax.figure)
    turned = plots.plot_map(typical_sweep(), x="learning_rate").collections[0].get_array()
    assert (turned == shown.T).all()


def test_map_sorts_numbers():
    """Values may be given in any order."""
    ax = plots.plot_map(swept({"depth": [9, 1, 4], "scale": [2.0, 1.0]}, range(6)))
    np.testing.assert_allclose(ax.collections[0].get_array(), [[301, 501, 101], [201, 401, 1]])


def test_map_marks_what_diverged():
    """The colour is the mean of the others, and there is none where all diverged."""
    ax = plots.plot_map(typical_sweep(diverged={(0, 0), (11, 0), (11, 1)}))
    shown = ax.collections[0].get_array()
    assert shown[0, 0] == pytest.approx(12)
    assert np.flatnonzero(np.ma.getmaskarray(shown)).tolist() == [11]
    assert ax.lines[0].get_xydata().tolist() == [[0.1, 0.1], [100.0, 0.3]]
    assert "×: diverged" in ax.get_title()
    assert ax.get_legend_handles_labels()[1] == ["diverged"]
    assert plots.plot_map(typical_sweep()).get_legend_handles_labels()[1] == []
    assert plots.alt_text(ax.figure).endswith("no number at 1 of 12 points.")
    plots.plot_map(typical_sweep(seeds=1, diverged={(i, 0) for i in range(12)}))


def test_map_of_names():
    """Values that are no numbers stand in a row, in the order of the grid."""
    ax = plots.plot_map(swept({"scheme": ["zeros", "ones"], "epochs": [1, 2]}, range(4)))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["zeros", "ones"]
    assert ax.get_xlim() == (-0.5, 1.5)


def test_map_of_losses():
    """In nats, with logarithmic colours where the range is large; a range can be shared."""
    grid = {"scale": [1.0, 2.0], "learning_rate": [0.1, 0.2]}
    wide = swept(grid, [0.0, 0.5, 0.9, 0.99], seeds=1)
    assert isinstance(
        plots.plot_map(wide, metric="valid_loss").collections[0].norm, mpl.colors.LogNorm
    )
    ax = plots.plot_map(wide, metric="train_loss", value_range=(0, 2))
    assert ax.collections[0].get_clim() == (0, 2)


def test_map_of_a_sweep_over_more():
    """The rest must be fixed; the message shows how."""
    grid = {"optimizer": ["sgd", "adam"], "scale": [1.0, 2.0], "learning_rate": [0.1, 0.2]}
    result = swept(grid, np.arange(8) / 10)
    ax = plots.plot_map(result, x="scale", y="learning_rate", where={"optimizer": "adam"})
    np.testing.assert_allclose(ax.collections[0].get_array(), [[41, 61], [51, 71]])
    assert plots.plot_map(result, where={"optimizer": "adam"}).get_xlabel() == "scale"
    with pytest.raises(ValueError, match=r"also varies optimizer; .*where=\{'optimizer': 'sgd'\}"):
        plots.plot_map(result, x="scale", y="learning_rate")
    with pytest.raises(ValueError, match="'adagrad' is not in the grid"):
        plots.plot_map(result, where={"optimizer": "adagrad"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": "depth"}, "x is to be 'depth', which was not varied .* scale, learning_rate"),
        ({"where": {"depth": 1}}, "where is to be 'depth'"),
        ({"x": "scale", "y": "scale"}, "x and y are both 'scale'"),
        (
            {"where": {"scale": 1.0}},
            r"two settings .* has 1 that where= leaves free: learning_rate",
        ),
        ({"metric": "speed"}, "metric is 'speed'; the metrics are valid_accuracy"),
        ({"value_range": (1, 0)}, "value_range is"),
    ],
)
def test_map_refuses(arguments, message):
    """The message says which argument, what came, and what is allowed."""
    with pytest.raises(ValueError, match=message):
        plots.plot_map(typical_sweep(), **arguments)


def test_maps_share_one_bar():
    """Without its bar, a map adds nothing to its panel."""
    ax = plots.plot_map(typical_sweep(), colorbar=False)
    assert not ax.child_axes
    assert plots.plot_map(typical_sweep()).child_axes[0].get_ylabel() == "validation accuracy (%)"
