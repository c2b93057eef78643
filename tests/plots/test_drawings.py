"""Drawings of a unit, a network, a layer's fans and a residual block."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from initguide import plots

DRAWN = {
    "neuron": plots.draw_neuron,
    "network": lambda **kw: plots.draw_network([784, 256, 128, 10], **kw),
    "fans": lambda **kw: plots.draw_fans(784, 256, **kw),
    "block": plots.draw_residual_block,
}


def parts(ax):
    """Units, arrows and lines of a colour of the palette, and boxes."""
    circles = [p for p in ax.patches if isinstance(p, Circle) and p.radius > 0.05]
    arrows = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    marked = [p for p in arrows if to_hex(p.get_edgecolor()) in plots.PALETTE]
    return circles, arrows, marked, [p for p in ax.patches if isinstance(p, FancyBboxPatch)]


def is_grey(color):
    """Whether a dark page recolours it."""
    return len(set(to_rgb(color))) == 1


def words(ax):
    """All that is written, in one string."""
    return " ".join(text.get_text() for text in ax.texts)


@pytest.mark.parametrize("name", DRAWN)
def test_it_goes_where_it_is_told(name):
    """On given Axes or on a new figure, without frame, and with a description."""
    figure, ax = plt.subplots()
    assert DRAWN[name](ax=ax) is ax
    assert plt.get_fignums() == [figure.number]
    assert not ax.axison
    text = plots.alt_text(figure)
    assert 100 < len(text) <= 400
    assert text.endswith(".")
    DRAWN[name](ax=ax)
    assert plots.alt_text(figure) == f"{text} {text}"
    new = DRAWN[name]()
    assert new.figure is not figure
    assert plots.alt_text(new.figure) == text


@pytest.mark.parametrize("name", DRAWN)
def test_its_words_are_readable_on_a_phone(name):
    """On 350 pixels, what a phone leaves beside the margins, no word has less than 10."""
    ax = DRAWN[name]()
    ax.figure.canvas.draw()
    width = ax.figure.get_figwidth() * 72  # points
    assert min(text.get_fontsize() for text in ax.texts) * 350 / width > 10
    box, (wide, high) = ax.figure.get_tightbbox(), ax.figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.02
    assert box.x1 < wide + 0.02
    assert box.y1 < high + 0.02


@pytest.mark.parametrize("name", DRAWN)
def test_it_fits_a_dark_page(name):
    """All that is no mark is grey; nothing counts as data, so it is shown as a vector."""
    ax = DRAWN[name]()
    colors = {part.get_edgecolor() for part in ax.patches}
    colors |= {part.get_facecolor() for part in ax.patches} | {t.get_color() for t in ax.texts}
    marks = {to_hex(color) for color in colors if not is_grey(color)}
    assert marks
    assert marks <= set(plots.PALETTE)
    assert not [*ax.lines, *ax.collections, *ax.images, *ax.containers]


@pytest.mark.parametrize("name", DRAWN)
def test_no_words_overlap(name):
    """Each text has its place, beside the others."""
    ax = DRAWN[name]()
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


@pytest.mark.parametrize(
    ("fan_in", "drawn", "last"), [(None, 3, "n"), (2, 2, "2"), (784, 3, "784")]
)
def test_neuron(fan_in, drawn, last):
    """An arrow for each input that is drawn, one for the bias, and two behind the sum."""
    ax = plots.draw_neuron(fan_in)
    circles, arrows, marked, _ = parts(ax)
    assert (len(circles), len(arrows), len(marked)) == (drawn + 2, drawn + 3, drawn + 1)
    for word in (
        f"x_{{{last}}}",
        f"w_{{{last}}}",
        "bias",
        "pre-activation",
        "activation",
        "inputs",
    ):
        assert word in words(ax)
    assert f"{last} inputs" in plots.alt_text(ax.figure)


def test_arrows_of_a_neuron_end_at_its_sum():
    """Each weight's arrow begins at an input's rim and points to the sum, before its rim."""
    circles, arrows, _, _ = parts(plots.draw_neuron(3))
    total = np.array(circles[3].center)
    for circle, arrow in zip(circles[:3], arrows, strict=False):
        start, _, end = arrow.get_path().vertices[:3]  # of the line, which the head shortens
        assert np.linalg.norm(start - circle.center) == pytest.approx(circle.radius)
        assert 0 < np.linalg.norm(end - total) - circles[3].radius < 0.2


def test_network():
    """Few units stand for many; lines join neighbours; sizes and the first matrix are written."""
    ax = plots.draw_network([784, 256, 128, 10])
    circles, arrows, marked, _ = parts(ax)
    columns = [
        sum(circle.center[0] == x for circle in circles)
        for x in sorted({circle.center[0] for circle in circles})
    ]
    assert len(columns) == 4
    assert columns == sorted(columns, reverse=True)
    assert columns[0] > columns[-1] >= 3
    first, second, third, last = columns
    assert len(arrows) == first * second + second * third + third * last
    assert len(marked) == first * second
    for word in ("784", "256", "128", "10", "256 × 784", "ReLU", "dropout"):
        assert word in words(ax)
    text = plots.alt_text(ax.figure)
    assert "784, 256, 128 and 10 units" in text
    assert "256 rows and 784 columns" in text
    assert "ReLU and dropout behind each hidden layer" in text


def test_small_network_is_drawn_whole():
    """All units of small layers have a place, and without hidden layers nothing follows one."""
    ax = plots.draw_network([3, 2])
    circles, arrows, _, _ = parts(ax)
    assert (len(circles), len(arrows)) == (5, 6)
    assert "ReLU" not in words(ax) + plots.alt_text(ax.figure)
    deep = plots.draw_network([4, 4, 4], behind=())
    assert "hidden" not in plots.alt_text(deep.figure)
    assert len(parts(deep)[0]) == 12


def test_fans():
    """The weights into one unit are marked, and those out of one input."""
    ax = plots.draw_fans(3, 2)
    circles, arrows, marked, _ = parts(ax)
    assert len(circles) == 2 * 5 + 2  # the two that are marked are drawn over
    assert (len(arrows), len(marked)) == (2 * 6, 3 + 2)
    assert "fan-in: 3" in words(ax)
    assert "fan-out: 2" in words(ax)
    text = plots.alt_text(plots.draw_fans(784, 256).figure)
    assert "fan-in is 784" in text
    assert "fan-out is 256" in text


def test_residual_block():
    """A box for each layer in its order, the way around them, and the sum."""
    ax = plots.draw_residual_block()
    circles, arrows, marked, boxes = parts(ax)
    assert (len(circles), len(boxes)) == (1, 4)
    assert len(arrows) == 1 + 5 + 1 + 1  # in, along the branch, the end of the skip, out
    assert len(marked) == 6
    assert words(ax).startswith("ReLU linear ReLU linear")
    assert "skip" in words(ax)
    assert "4 layers (ReLU, linear, ReLU, linear)" in plots.alt_text(ax.figure)
    one = plots.draw_residual_block(["conv"])
    assert "one layer (conv)" in plots.alt_text(one.figure)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.draw_neuron(1), r"fan_in is 1; it must be a whole number, at least 2"),
        (lambda: plots.draw_network([784]), r"sizes has 1 layers; .* room for 2 to 5"),
        (lambda: plots.draw_network([9] * 6), r"sizes has 6 layers; .* room for 2 to 5"),
        (lambda: plots.draw_network([784, 0]), r"a layer's size is 0; .* at least 1"),
        (lambda: plots.draw_fans(0, 2), r"fan_in is 0; .* at least 1"),
        (lambda: plots.draw_fans(2, 2.5), r"fan_out is 2\.5; .* whole number"),
        (lambda: plots.draw_residual_block([]), r"layers has 0 entries; .* room for 1 to 4"),
        (lambda: plots.draw_residual_block(["ReLU"] * 5), r"layers has 5 entries"),
        (lambda: plots.draw_residual_block(["BatchNorm"]), r"'BatchNorm'; .* 7 letters"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    """The message names the argument, what came and what is allowed; no figure is left."""
    with pytest.raises(ValueError, match=message):
        call()
    assert not plt.get_fignums()
