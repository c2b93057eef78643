"""The house style: colours, line styles and markers, and the Axes to draw on."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PALETTE = ("#3c96dc", "#dc7800", "#aa328c", "#50785a", "#643cfa", "#c8141e", "#b2869a")
"""Blue, orange, magenta, green, violet, red, mauve: the colours of data.

Each has a contrast of at least 3 : 1 against white and against a dark page (#131416). Any two are
at least 16 units of CAM02-UCS apart, in normal vision and with no working red, green or blue cones.
An eighth colour that keeps both promises was not found.
"""


BLUE, ORANGE, MAGENTA, GREEN, VIOLET, RED, _MAUVE = PALETTE


INK, MUTED, _GRID = "#262626", "#6e6e6e", "#d9d9d9"  # greys: a dark page recolours them


STYLE: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.title_fontsize": 10,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
}
"""matplotlib settings of the house style; fonts are readable in a figure 7 inches wide."""


# One colour for one scheme, on every page. There are more schemes than colours that everybody can
# tell apart, so some share one: the two variants of a rule, and schemes that the pages do not draw
# in one set of curves. In a figure, line style and marker tell those apart.
_COLORS = {
    "zeros": _MAUVE,
    "ones": RED,
    "constant": ORANGE,
    "uniform": GREEN,
    "uniform around 0": MAGENTA,
    "general_rule": VIOLET,
    "normal": RED,
    "truncated_normal": ORANGE,
    "xavier_uniform": BLUE,
    "xavier_normal": BLUE,
    "he_uniform": ORANGE,
    "he_normal": ORANGE,
    "lecun_uniform": MAGENTA,
    "lecun_normal": MAGENTA,
    "orthogonal": GREEN,
    "delta_orthogonal": VIOLET,
    "sparse": BLUE,
    "identity": GREEN,
    "default": _MAUVE,
    "residual_scaled": BLUE,
    "zero_last": GREEN,
}


# matplotlib names four; the fifth is a long dash and two dots.
_LINE_STYLES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)))


_MARKERS = ("o", "s", "^", "D", "v", "P", "<")  # 5 styles, 7 markers: 35 curves differ


def subplots(
    nrows: int = 1, ncols: int = 1, *, height: float | None = None, width: float = 7.0, **kw: Any
) -> tuple[Figure, Any]:
    """`matplotlib.pyplot.subplots` in the house style.

    Parameters
    ----------
    nrows, ncols
        Panels.
    height, width
        Of the figure, in inches. By default 4 high for one row, 2.9 per row for several.
    **kw
        Passed on, such as ``sharex=True`` or ``squeeze=False``.

    Returns
    -------
    tuple
        The figure, and the Axes or an array of them, as matplotlib gives them.

    Examples
    --------
    >>> figure, axes = subplots(1, 2, sharey=True)
    >>> axes.shape, float(figure.get_figwidth())
    ((2,), 7.0)
    >>> plt.close(figure)
    """
    if height is None:
        height = 4.0 if nrows == 1 else 2.9 * nrows
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(nrows, ncols, figsize=(width, height), **kw)
        for ax in figure.axes:
            # Ticks are made when they are drawn, after the context is gone.
            ax.tick_params(
                which="both",
                labelsize=STYLE["xtick.labelsize"],
                color=STYLE["xtick.color"],
                labelcolor=STYLE["xtick.labelcolor"],
                grid_color=STYLE["grid.color"],
                grid_linewidth=STYLE["grid.linewidth"],
            )
    return figure, axes


def _name_of(scheme: str) -> str:
    """Bring a description or a label to the form of the keys of ``_COLORS``."""
    name = scheme.split("(", maxsplit=1)[0].strip().lower().replace(" ", "_").replace("-", "_")
    name = name.removeprefix("all_")
    if name == "uniform" and "low=-" in scheme:
        return "uniform around 0"
    return name


def color_of(scheme: str, *, taken: Iterable[str] = ()) -> str:
    """Colour of a scheme, the same on every page.

    The package's schemes have fixed colours; the uniform and the normal variant of one rule share
    theirs. Uniform weights have one colour if their range reaches below 0, and another if not.
    Anything else gets the first colour that is not taken.

    Parameters
    ----------
    scheme
        A description such as ``"uniform(low=-0.5, high=0.5)"``, a name or a label. What stands
        before the bracket counts; upper case, spaces, hyphens and a leading "All" do not.
    taken
        Colours already in the figure. They matter for unknown schemes only; if all are taken,
        the first is used again.

    Returns
    -------
    str
        A colour of `PALETTE`, ``"#rrggbb"``.

    Examples
    --------
    >>> color_of("he_normal(mode='fan_in')") == color_of("He uniform")
    True
    >>> color_of("uniform(low=0.0, high=1.0)") == color_of("uniform(low=-0.5, high=0.5)")
    False
    >>> color_of("my own", taken=PALETTE[:2]) == PALETTE[2]
    True
    """
    name = _name_of(scheme)
    if name in _COLORS:
        return _COLORS[name]
    used = set(taken)
    return next((color for color in PALETTE if color not in used), PALETTE[0])


class Look(NamedTuple):
    """How one curve of a figure is drawn."""

    color: str
    style: Any  # a dash pattern: a name, or (offset, lengths)
    marker: str


def looks_of(schemes: Mapping[str, str]) -> dict[str, Look]:
    """Give each label of a figure its look, from label -> description.

    Every scheme of the package has its own colour. Another one of the same name (with other
    arguments) and people's own take what is free, in the order of the palette. Two labels of one
    scheme share its colour.
    """
    names: dict[str, str] = {}  # description -> the name that decides the colour
    for label, description in schemes.items():
        known = _name_of(description) in _COLORS
        names.setdefault(description, _name_of(description if known else label))
    colors: dict[str, str] = {}
    # Those with a colour of their own come first: others must not take it.
    for description, name in names.items():
        if name in _COLORS and name not in (names[other] for other in colors):
            colors[description] = _COLORS[name]
    used = list(colors.values())
    for description in names:
        if description not in colors:
            free = [color for color in PALETTE if color not in used]
            used.append(free[0] if free else PALETTE[len(used) % len(PALETTE)])
            colors[description] = used[-1]
    return {
        label: Look(
            colors[description],
            _LINE_STYLES[i % len(_LINE_STYLES)],
            _MARKERS[i % len(_MARKERS)],
        )
        for i, (label, description) in enumerate(schemes.items())
    }


def axes_for(ax: Axes | None, height: float) -> Axes:
    """Return the Axes given, or new ones of this height in inches."""
    return subplots(height=height)[1] if ax is None else ax
