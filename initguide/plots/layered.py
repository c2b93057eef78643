"""Drawings of layers: `draw_network` and `draw_fans`."""

import math
from collections.abc import Sequence
from itertools import pairwise, product

from matplotlib.axes import Axes

from initguide.arguments import check_whole
from initguide.plots.strokes import (
    FAINT,
    LEADING,
    WIDTH,
    Point,
    arrow,
    canvas,
    column,
    dots,
    lines,
    unit,
)
from initguide.plots.style import BLUE, ORANGE
from initguide.plots.words import say_after, text_so_far

# Inches
_RADIUS = 0.105  # of a unit among many
_STEP = 0.31  # from one unit of a column to the next
_APART = 1.4  # between the two columns of one layer


def _slots(size: int) -> int:
    """Places that a layer's column has: all of a few units, and more for more, up to 7."""
    return max(min(size, 4), min(round(2 * math.log10(size)) + 1, 7))


def _units(ax: Axes, x: float, middle: float, size: int, slots: int) -> list[Point]:
    """Draw a layer as a column of units, with dots for those without a place of their own."""
    places = column(x, middle, slots, _STEP)
    if slots < size:
        dots(ax, places.pop(-2))
    for place in places:
        unit(ax, place, _RADIUS)
    return places


def draw_network(
    sizes: Sequence[int],
    *,
    behind: Sequence[str] = ("ReLU", "dropout"),
    ax: Axes | None = None,
) -> Axes:
    """Draw a fully connected network: a column of units per layer, and the first weight matrix.

    Parameters
    ----------
    sizes
        Units of each layer, from the inputs to the outputs: two to five whole numbers, at least 1.
        Of a large layer a few units are drawn.
    behind
        What follows a hidden layer, in words that are written below it.
    ax
        Where to draw; a new figure, 5 inches wide, if ``None``. Existing Axes are given the
        drawing's limits, without frame.

    Returns
    -------
    Axes
        Without ticks and frame; one unit is an inch of the new figure.

    Raises
    ------
    ValueError
        If there are fewer than two sizes, more than five, or one that is no whole number of at
        least 1.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = draw_network([784, 256, 128, 10])
    >>> [text.get_text() for text in ax.texts if "×" in text.get_text()]
    ['weights $W_1$: 256 × 784']
    >>> plt.close(ax.figure)
    """
    sizes = [check_whole("a layer's size", size, 1) for size in sizes]
    behind = [behind] if isinstance(behind, str) else list(behind)
    if not 2 <= len(sizes) <= 5:
        raise ValueError(f"sizes has {len(sizes)} layers; a drawing has room for 2 to 5")
    tall = _STEP * max(_slots(size) for size in sizes)
    words = max(1, len(behind)) if len(sizes) > 2 else 1
    ax = canvas(ax, height := tall + LEADING * (words + 1) + 0.65)
    before = text_so_far(ax)
    spacing, middle = (WIDTH - 0.9) / (len(sizes) - 1), height - 0.45 - tall / 2
    columns = [
        _units(ax, 0.45 + spacing * i, middle, size, _slots(size)) for i, size in enumerate(sizes)
    ]
    for i, (left, right) in enumerate(pairwise(columns)):
        for start, end in product(left, right):
            color, width = (FAINT, 0.7) if i else (BLUE, 1.1)
            arrow(ax, start, end, radii=(_RADIUS, _RADIUS), color=color, width=width, head=False)
    for i, (size, places) in enumerate(zip(sizes, columns, strict=True)):
        hidden = 0 < i < len(sizes) - 1
        below = behind if hidden else ["inputs" if i == 0 else "outputs"]
        at = (places[0][0], middle - tall / 2 - 0.25)
        lines(ax, at, [f"{size:,}", *below])
    lines(ax, (0.45 + spacing / 2, height - 0.2), [f"weights $W_1$: {sizes[1]:,} × {sizes[0]:,}"])
    between = f", with {' and '.join(behind)} behind each hidden layer" if behind else ""
    say_after(
        ax,
        f"A fully connected network, drawn as {len(sizes)} columns of units, of "
        f"{', '.join(f'{size:,}' for size in sizes[:-1])} and {sizes[-1]:,} units, from the inputs "
        f"to the outputs{between if len(sizes) > 2 else ''}. Lines join each unit to all of the "
        f"next column; the first set is the weight matrix W₁ of {sizes[1]:,} rows and "
        f"{sizes[0]:,} columns.",
        after=before,
    )
    return ax


def draw_fans(fan_in: int, fan_out: int, *, ax: Axes | None = None) -> Axes:
    """Draw a fully connected layer twice: what goes into one unit, and what goes out of one input.

    Parameters
    ----------
    fan_in
        The layer's inputs: as many weights go into each of its units. At least 1.
    fan_out
        The layer's units: as many weights go out of each input. At least 1.
    ax
        Where to draw; a new figure, 5 inches wide, if ``None``. Existing Axes are given the
        drawing's limits, without frame.

    Returns
    -------
    Axes
        Without ticks and frame; one unit is an inch of the new figure.

    Raises
    ------
    ValueError
        If one of the two is no whole number of at least 1.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = draw_fans(784, 256)
    >>> [text.get_text() for text in ax.texts if "fan" in text.get_text()]
    ['fan-in: 784', 'fan-out: 256']
    >>> plt.close(ax.figure)
    """
    sizes = [check_whole("fan_in", fan_in, 1), check_whole("fan_out", fan_out, 1)]
    tall = _STEP * max(_slots(size) for size in sizes)
    ax = canvas(ax, height := tall + 2 * LEADING + 0.65)
    before = text_so_far(ax)
    middle = height - 0.45 - tall / 2
    for x, color, title in ((0.5, BLUE, "fan-in"), (3.1, ORANGE, "fan-out")):
        into = title == "fan-in"
        left, right = (
            _units(ax, x + _APART * i, middle, size, _slots(size)) for i, size in enumerate(sizes)
        )
        one = right[len(right) // 2] if into else left[len(left) // 2]
        unit(ax, one, _RADIUS, color=color)
        for ends in product(left, right):
            its = one in ends
            hue, width = (color, 1.2) if its else (FAINT, 0.7)
            arrow(ax, *ends, radii=(_RADIUS, _RADIUS), color=hue, width=width, head=its)
        for i, (size, name) in enumerate(zip(sizes, ("inputs", "units"), strict=True)):
            lines(ax, (x + _APART * i, middle - tall / 2 - 0.25), [f"{size:,}", name])
        lines(ax, (x + _APART / 2, height - 0.2), [f"{title}: {sizes[not into]:,}"])
    say_after(
        ax,
        f"A layer of {fan_out:,} units with {fan_in:,} inputs, twice. On the left the {fan_in:,} "
        f"weights into one unit are marked: the fan-in is {fan_in:,}. On the right the "
        f"{fan_out:,} weights out of one input: the fan-out is {fan_out:,}.",
        after=before,
    )
    return ax
