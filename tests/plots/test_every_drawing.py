"""What all drawings have in common."""

import colorsys
import pickle

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from initguide import plots


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


def test_new_figure_in_the_house_style(draw):
    """Without Axes, there is one new figure, 7 inches wide, and settings do not change."""
    before = dict(mpl.rcParams)
    ax = draw(None)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == [ax.figure.number]
    assert ax.figure.get_figwidth() == 7.0
    assert not ax.spines["top"].get_visible() or not ax.axison


def test_alt_text_is_there_and_short(draw):
    """Every drawing describes itself in one sentence of at most 400 characters."""
    text = plots.alt_text(draw(None).figure)
    assert 20 < len(text) <= 400
    assert text.endswith(".")


def test_texts_do_not_leave_the_figure(draw):
    """Nothing that is written is cut off at the figure's edge."""
    figure = draw(None).figure
    figure.canvas.draw()
    box = figure.get_tightbbox()
    assert box.x0 > -0.02
    assert box.y0 > -0.02
    assert box.x1 < figure.get_figwidth() + 0.02
    assert box.y1 < figure.get_figheight() + 0.02


def test_figures_can_be_pickled(draw):
    """A figure can be kept and drawn again, as in another language."""
    figure = draw(None).figure
    again = pickle.loads(pickle.dumps(figure))  # noqa: S301  our own
    for part in (figure, again):
        part.canvas.draw()
    assert np.array_equal(figure.canvas.buffer_rgba(), again.canvas.buffer_rgba())


def test_only_greys_and_palette(draw):
    """Colours with a hue come from the palette: a dark page recolours the greys and no others."""
    ax = draw(None)
    ax.figure.canvas.draw()
    colors = {to_hex(line.get_color()) for line in ax.lines}
    colors |= {to_hex(text.get_color()) for text in ax.figure.findobj(mpl.text.Text)}
    for color in colors - set(plots.PALETTE):
        assert colorsys.rgb_to_hls(*to_rgb(color))[2] == 0, color


@pytest.mark.parametrize("draw", ["layers", "prediction", "ridges"], indirect=True)
def test_can_be_drawn_and_described(draw, tmp_path):
    """Every figure can be saved, has a title, labels, and an alt text of at most 400 characters."""
    ax = draw(None)
    ax.figure.savefig(tmp_path / "figure.png")
    text = plots.alt_text(ax.figure)
    assert 30 < len(text) <= 400
    assert text.endswith(".")
    assert ax.get_title()
    assert ax.get_xlabel()


def test_a_second_drawing_adds_its_text(draw):
    """What is drawn on the same Axes is said after what is there."""
    ax = draw(None)
    first = plots.alt_text(ax.figure)
    draw(ax)
    assert plots.alt_text(ax.figure) == f"{first} {first}"
