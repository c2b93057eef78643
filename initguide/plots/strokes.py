"""Brushes for drawings of networks: units, arrows, boxes and words, in inches.

Everything is a patch or a text. Lines and collections would count as data, of which a drawing has
none; so the site can tell drawings from plots, and shows them as vectors.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path

from initguide.plots.style import INK, MUTED, subplots

Point = tuple[float, float]

FAINT = "#bdbdbd"  # weights that are there and not spoken of
PAPER = "#f2f2f2"  # inside of units and boxes: hardly grey, on a dark page hardly lighter than it

WORDS = 12.0  # points; on a phone, where a drawing is scaled to 0.7 of its size, 11.6 pixels
LEADING = 0.24  # inches from line to line
WIDTH = 5.0  # inches of every drawing, so that a phone shows its words at one size

_LINE = 1.6  # points
_TOUCH = 0.02  # inches between the head of an arrow and what it points at


def canvas(ax: Axes | None, height: float) -> Axes:
    """Axes without frame whose unit is an inch, if they are as large as the drawing."""
    if ax is None:
        ax = subplots(width=WIDTH, height=height)[1]
    ax.set_aspect("equal")
    ax.set(xlim=(0, WIDTH), ylim=(0, height))
    ax.set_axis_off()
    return ax


def unit(ax: Axes, at: Point, radius: float, text: str = "", *, color: str = MUTED) -> None:
    """Draw a circle with a text inside."""
    width = _LINE if color == MUTED else 1.5 * _LINE
    ax.add_patch(Circle(at, radius, facecolor=PAPER, edgecolor=color, linewidth=width, zorder=3))
    if text:
        label(ax, at, text)


def arrow(
    ax: Axes,
    start: Point,
    end: Point,
    *,
    radii: tuple[float, float] = (0.0, 0.0),
    color: str = MUTED,
    width: float = _LINE,
    head: bool = True,
) -> None:
    """Draw a straight line between two units of these radii, with a head unless told otherwise."""
    (x0, y0), (x1, y1) = start, end
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    near, far = radii[0], radii[1] + _TOUCH * head
    ax.add_patch(
        FancyArrowPatch(
            (x0 + near * dx, y0 + near * dy),
            (x1 - far * dx, y1 - far * dy),
            arrowstyle="-|>" if head else "-",
            mutation_scale=3 + 5 * width,
            shrinkA=0,
            shrinkB=0,
            color=color,
            linewidth=width,
            zorder=1 if color == FAINT else 2,
        )
    )


def way(ax: Axes, points: Sequence[Point], *, color: str = MUTED) -> None:
    """Draw a line along these points with a head at its end."""
    ax.add_patch(
        PathPatch(
            Path(list(points[:-1])), facecolor="none", edgecolor=color, linewidth=_LINE, zorder=2
        )
    )
    arrow(ax, points[-2], points[-1], color=color)


def box(ax: Axes, centre: Point, width: float, height: float, text: str) -> None:
    """Draw a box with rounded corners around a text."""
    x, y = centre
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor=PAPER,
            edgecolor=MUTED,
            linewidth=_LINE,
            zorder=3,
        )
    )
    label(ax, centre, text)


def label(ax: Axes, at: Point, text: str, *, ha: str = "center", va: str = "center") -> None:
    """Write a text; formulas stand between dollar signs."""
    ax.text(*at, text, ha=ha, va=va, color=INK, fontsize=WORDS, zorder=4)


def lines(ax: Axes, at: Point, texts: Sequence[str]) -> None:
    """Write texts below each other, on the same lines as those that begin at the same height."""
    for i, text in enumerate(texts):
        label(ax, (at[0], at[1] - LEADING * i), text, va="baseline")


def dots(ax: Axes, at: Point) -> None:
    """Draw three dots above each other: more of the same."""
    for step in (-0.09, 0.0, 0.09):
        place = (at[0], at[1] + step)
        ax.add_patch(Circle(place, 0.022, facecolor=MUTED, edgecolor="none", zorder=3))


def column(x: float, middle: float, slots: int, step: float) -> list[Point]:
    """Places of a column, from above, around its middle."""
    return [(x, middle + step * ((slots - 1) / 2 - i)) for i in range(slots)]
