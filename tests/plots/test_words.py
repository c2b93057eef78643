"""Alt texts, and numbers for people."""

import gc
import io

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from initguide import plots
from initguide.plots import words


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


@given(st.floats(min_value=-1e300, max_value=1e300))
def test_numbers_in_words_are_close(value):
    """What an alt text says is right to two digits at least, or to 0.005."""
    text = words.number_text(value)
    assert "-" not in text
    said = float(text.replace(",", "").replace("−", "-"))
    assert said == pytest.approx(value, rel=0.051, abs=0.005)
