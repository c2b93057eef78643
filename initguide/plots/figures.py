"""Every drawing: results in, Axes out.

Each ``plot_*`` function takes the data first and the rest by keyword, draws on ``ax`` (or on a new
figure in the house style if ``ax`` is ``None``), stores an alt text that says with numbers what is
to be seen, and returns the Axes. Nothing global is changed: for drawings of your own in the same
style, use `subplots`, or ``with plt.rc_context(plots.STYLE)``.

A scheme has one colour on every page (`color_of`). Within a figure, curves also differ in line
style and marker, so that nothing is told by colour alone.
"""

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from initguide.arguments import check_whole
from initguide.checkup import Checkup
from initguide.data import Split
from initguide.experiments import METRICS, Comparison, Sweep
from initguide.propagation import VALUES, Measurement, Record
from initguide.training import Run

__all__ = [
    "PALETTE",
    "STYLE",
    "alt_text",
    "color_of",
    "describe",
    "hist_dist",
    "plot_accuracy",
    "plot_checkup",
    "plot_differences",
    "plot_histogram",
    "plot_histograms",
    "plot_images",
    "plot_layers",
    "plot_losses",
    "plot_map",
    "plot_ridges",
    "subplots",
]

Values = Tensor | ArrayLike

PALETTE = ("#3c96dc", "#dc7800", "#aa328c", "#50785a", "#643cfa", "#c8141e", "#b2869a")
"""Blue, orange, magenta, green, violet, red, mauve: the colours of data.

Each has a contrast of at least 3 : 1 against white and against a dark page (#131416). Any two are
at least 16 units of CAM02-UCS apart, in normal vision and with no working red, green or blue cones.
An eighth colour that keeps both promises was not found.
"""

_BLUE, _ORANGE, _MAGENTA, _GREEN, _VIOLET, _RED, _MAUVE = PALETTE
_INK, _MUTED, _GRID = "#262626", "#6e6e6e", "#d9d9d9"  # greys: a dark page recolours them

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
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.edgecolor": _MUTED,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
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
    "ones": _RED,
    "constant": _ORANGE,
    "uniform": _GREEN,
    "uniform around 0": _MAGENTA,
    "general_rule": _VIOLET,
    "normal": _RED,
    "truncated_normal": _ORANGE,
    "xavier_uniform": _BLUE,
    "xavier_normal": _BLUE,
    "he_uniform": _ORANGE,
    "he_normal": _ORANGE,
    "lecun_uniform": _MAGENTA,
    "lecun_normal": _MAGENTA,
    "orthogonal": _GREEN,
    "delta_orthogonal": _VIOLET,
    "sparse": _BLUE,
    "identity": _GREEN,
    "default": _MAUVE,
    "residual_scaled": _BLUE,
    "zero_last": _GREEN,
}
_LINE_STYLES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "<")  # 5 and 7: the first 35 curves all differ
_TEXTS: WeakKeyDictionary[Figure | Axes, str] = WeakKeyDictionary()
_LOG_RATIO = 50  # from here on, a linear axis shows the largest curve and flattens the others
_ALT_LENGTH = 400


# Style


def subplots(
    nrows: int = 1, ncols: int = 1, *, height: float | None = None, width: float = 7.0, **kw: Any
) -> tuple[Figure, Any]:
    """`matplotlib.pyplot.subplots` in the house style.

    Parameters
    ----------
    nrows, ncols
        Panels.
    height, width
        Of the figure, in inches. By default 4 high for one row, 2.9 a row for several.
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


class _Look(NamedTuple):
    """How one curve of a figure is drawn."""

    color: str
    style: Any  # a dash pattern: a name, or (offset, lengths)
    marker: str


def _looks(schemes: Mapping[str, str]) -> dict[str, _Look]:
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
        label: _Look(
            colors[description],
            _LINE_STYLES[i % len(_LINE_STYLES)],
            _MARKERS[i % len(_MARKERS)],
        )
        for i, (label, description) in enumerate(schemes.items())
    }


# Alt texts


def describe(target: Figure | Axes, text: str) -> None:
    """Say in words what is to be seen, for those who cannot see it.

    The text is kept beside the figure and changes nothing in the drawing. It replaces an earlier
    one.

    Parameters
    ----------
    target
        A figure, or one Axes of it.
    text
        Plain text, best under 400 characters, with the numbers that matter.

    Raises
    ------
    TypeError
        If ``target`` is something else, such as an array of Axes.
    """
    if not isinstance(target, Figure | Axes):
        raise TypeError(
            f"target is a {type(target).__name__}; describe takes a Figure or one Axes of it"
        )
    _TEXTS[target] = text


def alt_text(figure: Figure) -> str:
    """Alt text of a figure.

    Parameters
    ----------
    figure
        Any figure.

    Returns
    -------
    str
        The figure's own text if it has one, else its Axes' texts joined by a space, else ``""``.

    Examples
    --------
    >>> figure, (left, right) = subplots(1, 2)
    >>> describe(left, "A line that rises.")
    >>> describe(right, "A line that falls.")
    >>> alt_text(figure)
    'A line that rises. A line that falls.'
    >>> plt.close(figure)
    """
    if figure in _TEXTS:
        return _TEXTS[figure]
    return " ".join(_TEXTS[ax] for ax in figure.axes if _TEXTS.get(ax))


def _say(ax: Axes, text: str, *, after: str) -> None:
    """Describe what a plot function drew, after the text for what was there already."""
    describe(ax, f"{after} {text}".strip())


def _text_so_far(ax: Axes) -> str:
    """Return the text for what is drawn already; none after ``ax.clear()``."""
    return _TEXTS.get(ax, "") if ax.has_data() else ""


def _fit(start: str, parts: Sequence[str], instead: str) -> str:
    """Join a sentence from its parts, or say it in short where it gets too long."""
    full = f"{start}{'; '.join(parts)}."
    return (
        full
        if len(full) <= _ALT_LENGTH
        else textwrap.shorten(start + instead, _ALT_LENGTH, placeholder=" …")
    )


def _number(value: float, digits: int | None = None) -> str:
    """Write a number for people, with a true minus sign."""
    if digits is not None:
        text = f"{value:.{digits}f}"
    elif value == 0 or 0.1 <= abs(value) < 1e6:  # three digits, more if they stand before the point
        text = f"{value:,.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
    else:
        text = f"{value:#.2g}"
    return text.replace("-", "−")


# Comparisons


def _axes(ax: Axes | None, height: float) -> Axes:
    return subplots(height=height)[1] if ax is None else ax


def _check_result(result: Comparison) -> None:
    if not result.runs:
        raise ValueError("the result holds no runs, so there is nothing to draw")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _count(number: int, noun: str) -> str:
    return f"one {noun}" if number == 1 else f"{number} {noun}s"


def _diverged(runs: Sequence[Run]) -> str:
    """Say in words how many of the runs diverged; empty if none did."""
    number = sum(run.diverged for run in runs)
    if not number:
        return ""
    return "diverged" if number == len(runs) == 1 else f"{number} of {len(runs)} diverged"


def _finite_losses(run: Run, first: int | None, smooth: int) -> NDArray[np.float64]:
    """Losses before the run diverged, each the mean of the last ``smooth``."""
    losses = run.train_losses[: run.diverged_at][:first].astype(np.float64)
    if smooth == 1 or not len(losses):
        return losses
    sums = np.convolve(losses, np.ones(smooth))[: len(losses)]
    means: NDArray[np.float64] = sums / np.minimum(np.arange(1, len(losses) + 1), smooth)
    return means


def _stack(curves: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(curves, batches), NaN after a curve's end."""
    stacked = np.full((len(curves), max(map(len, curves))), np.nan)
    for row, curve in zip(stacked, curves, strict=True):
        row[: len(curve)] = curve
    return stacked


def plot_losses(
    result: Comparison, *, first: int | None = None, smooth: int = 1, ax: Axes | None = None
) -> Axes:
    """Training loss against the number of the mini-batch, one curve a scheme.

    The line is the mean over seeds, the band reaches from the smallest to the largest. A run that
    diverged ends with an × at its last finite loss (at the top of the panel if it has none), and
    after a gap the mean goes on with the other seeds. The y axis is logarithmic, and says so, if
    the largest of the means is more than 50 times the smallest.

    Parameters
    ----------
    result
        What `initguide.compare_init_weights` returns.
    first
        How many mini-batches to show, at least 1; all if ``None``.
    smooth
        Each point is the mean of the last ``smooth`` mini-batches (of fewer at the start), at
        least 1. The legend says so.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the mini-batch, counted from 1, on x and the loss in nats on y.

    Raises
    ------
    ValueError
        If ``first`` or ``smooth`` is below 1, or the result is empty.
    """
    if first is not None:
        check_whole("first", first, 1)
    check_whole("smooth", smooth, 1)
    _check_result(result)
    ax = _axes(ax, height=3.7 + 0.2 * math.ceil(len(result.labels) / 3))
    before = _text_so_far(ax)
    looks = _looks(result.schemes)
    ends: dict[str, tuple[float, float]] = {}
    remarks = {label: _diverged(result.of(label)) for label in result.labels}
    means = []
    for i, label in enumerate(result.labels):
        look, runs = looks[label], result.of(label)
        losses = _stack([_finite_losses(run, first, smooth) for run in runs])
        mean = np.nanmean(losses, axis=0)
        means.append(mean)
        if len(mean):
            ends[label] = mean[0], mean[-1]
        # Where a run ends, the mean jumps to that of the others: the curve has a gap there.
        gaps = np.unique(np.isfinite(losses).sum(axis=1))[:-1]
        batches = np.insert(np.arange(1.0, losses.shape[1] + 1), gaps, np.nan)
        if len(runs) > 1:
            low, high = (np.insert(f(losses, axis=0), gaps, np.nan) for f in (np.nanmin, np.nanmax))
            ax.fill_between(batches, low, high, color=look.color, alpha=0.18, linewidth=0)
        step = max(1, len(mean) // 7)
        ax.plot(
            batches,
            np.insert(mean, gaps, np.nan),
            color=look.color,
            linestyle=look.style,
            marker=look.marker,
            markevery=(i * step // len(result.labels), step),
            label=_legend_label(label, remarks[label]),
            zorder=2.5,
        )
        for run, row in zip(runs, losses, strict=True):
            if run.diverged_at is not None and (first is None or run.diverged_at < first):
                _mark_end(ax, row[np.isfinite(row)], look.color)
    logarithmic = _spread(means) > _LOG_RATIO
    if logarithmic:
        _make_logarithmic(ax)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    seeds = len({run.seed for run in result.runs})
    shown = max(map(len, means))
    over = f"over the first {shown}" if first is not None else f"over {shown:,}"
    title = f"Training loss {over} mini-batches" if shown != 1 else "Training loss"
    ax.set(
        title=title,
        xlabel="mini-batch",
        ylabel="training loss (nats" + (",\nlogarithmic scale)" if logarithmic else ")"),
    )
    note = f"mean of {seeds} seeds; band: smallest to largest" if seeds > 1 else "one seed"
    if smooth > 1:
        note += f"; smoothed over {smooth} mini-batches"
    if any(remarks.values()):
        note += "; ×: diverged"
    _legend_below(ax, note)
    _say(ax, _losses_in_words(title, note, ends, remarks, logarithmic=logarithmic), after=before)
    return ax


def _legend_label(label: str, remark: str) -> str:
    text = f"{label} ({remark})" if remark else label
    return f" {text}" if text.startswith("_") else text  # matplotlib hides a leading underscore


def _spread(curves: Sequence[NDArray[np.float64]]) -> float:
    """Largest over smallest positive value."""
    values = np.concatenate([curve[curve > 0] for curve in curves])
    return float(values.max() / values.min()) if len(values) else 1.0


def _make_logarithmic(ax: Axes) -> None:
    """Make the y axis logarithmic, with at least two labels on it."""
    ax.set_yscale("log", nonpositive="clip")
    _log_ticks(ax.yaxis, *ax.get_ylim())


def _log_ticks(axis: Axis, low: float, high: float) -> None:
    decades = math.log10(high / low)
    axis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if decades < 2 else (1, 3) if decades < 3 else (1,), numticks=9)
    )
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: _tick(x)))


def _tick(value: float) -> str:
    if 1e-3 <= value < 1e6:
        return f"{value:,.10g}"
    power = math.floor(math.log10(value) + 1e-9)
    digit = round(value / 10**power)
    factor = "" if digit == 1 else rf"{digit} \cdot "
    return f"${factor}10^{{{power}}}$"


def _mark_end(ax: Axes, losses: NDArray[np.float64], color: str) -> None:
    where = {"transform": ax.get_xaxis_transform()} if not len(losses) else {}
    x, y = (len(losses), losses[-1]) if len(losses) else (1, 1)
    ax.plot(
        [x],
        [y],
        linestyle="none",
        marker="x",
        markersize=9,
        markeredgewidth=2.2,
        color=color,
        clip_on=False,
        zorder=3,
        **where,  # type: ignore[arg-type]
    )


def _legend_below(ax: Axes, note: str | None = None) -> None:
    """Put the legend under the x label, in as many columns as fit."""
    figure = ax.figure
    longest = max(map(len, ax.get_legend_handles_labels()[1]))
    inches = 1.12 * ax.bbox.width / figure.dpi  # the layout is still to come, and will widen it
    columns = max(1, min(4, int(inches / (0.75 + 0.075 * longest))))
    with plt.rc_context(STYLE):
        ax.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            bbox_transform=ax.transAxes + ScaledTranslation(0, -0.46, figure.dpi_scale_trans),
            borderaxespad=0,
            ncols=columns,
            title=note,
        )


def _losses_in_words(
    title: str,
    note: str,
    ends: Mapping[str, tuple[float, float]],
    remarks: Mapping[str, str],
    *,
    logarithmic: bool,
) -> str:
    start = f"{title}, {note}{', logarithmic scale' if logarithmic else ''}: "
    parts = []
    for label, remark in remarks.items():
        if label not in ends:
            parts.append(f"{label} has no finite loss")
            continue
        a, b = map(_number, ends[label])
        way = "falls" if ends[label][1] < ends[label][0] else "rises"
        words = f"stays at {a}" if a == b else f"{way} from {a} to {b}"
        parts.append(f"{label} {words}" + (f", {remark}" if remark else ""))
    if not ends:
        return _fit(start, parts, f"none of {len(remarks)} schemes has a finite loss")
    lowest, highest = (f(ends, key=lambda label: ends[label][1]) for f in (min, max))
    first = [a for a, _ in ends.values()]
    instead = (
        f"{len(remarks)} schemes start between {_number(min(first))} and {_number(max(first))}; "
        f"lowest at the end {lowest} with {_number(ends[lowest][1])}, "
        f"highest {highest} with {_number(ends[highest][1])}"
    )
    if any(remarks.values()):
        instead += f"; runs of {sum(map(bool, remarks.values()))} schemes diverged"
    return _fit(start, parts, instead + ".")


class _Dots(NamedTuple):
    """One row of a dot plot, in the units of the axis."""

    label: str
    mean: float
    interval: tuple[float, float] | None
    seeds: NDArray[np.float64]
    remark: str


def _scaled(
    label: str,
    mean: float,
    interval: tuple[float, float] | None,
    seeds: NDArray[np.float64],
    remark: str,
    *,
    scale: float,
) -> _Dots:
    ends = None if interval is None else (scale * interval[0], scale * interval[1])
    return _Dots(label, scale * mean, ends, scale * seeds[np.isfinite(seeds)], remark)


def _draw_dots(
    ax: Axes, rows: Sequence[_Dots], looks: Mapping[str, _Look], number: Callable[[float], str]
) -> None:
    """Draw one row a label, from the top: the mean, its interval, and every seed under it."""
    for y, row in enumerate(rows):
        look = looks[row.label]
        if row.interval is not None:
            ax.plot(row.interval, [y, y], color=look.color, linewidth=2.6, solid_capstyle="butt")
        if len(row.seeds) > 1:
            ax.plot(
                row.seeds,
                np.full(len(row.seeds), y + 0.24),
                color=look.color,
                linestyle="none",
                marker=".",
                markersize=7,
                alpha=0.75,
                markeredgewidth=0,
            )
        if math.isfinite(row.mean):
            ax.plot(row.mean, y, color=look.color, linestyle="none", marker=look.marker, ms=7)
        ax.text(
            1.01,
            y,
            _with_interval(row, number),
            transform=ax.get_yaxis_transform(),
            va="center",
            color=_INK,
            fontsize=STYLE["ytick.labelsize"],
        )
    names = [f"{row.label}\n({row.remark})" if row.remark else row.label for row in rows]
    ax.set_yticks(range(len(rows)), names)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)


def _with_interval(row: _Dots, number: Callable[[float], str]) -> str:
    if not math.isfinite(row.mean):
        return "–"
    if row.interval is None:
        return number(row.mean)
    half = number((row.interval[1] - row.interval[0]) / 2).removeprefix("+")
    return f"{number(row.mean)} ± {half}"


def _limits(rows: Sequence[_Dots], include: Sequence[float], narrowest: float) -> tuple[float, ...]:
    """Ends of the x axis: the data with a margin, at least ``narrowest`` wide."""
    values = [np.asarray([*row.seeds, row.mean, *(row.interval or ())]) for row in rows]
    every = np.concatenate([*values, np.asarray(include, dtype=np.float64)])
    every = every[np.isfinite(every)]
    if not len(every):
        return (0.0, narrowest)
    low, high = every.min(), every.max()
    margin = max(0.06 * (high - low), (narrowest - (high - low)) / 2)
    return float(low - margin), float(high + margin)


def _digits(span: float) -> int:
    """Decimals that show differences of a hundredth of the axis, between 1 and 4."""
    return min(4, max(1, math.ceil(-math.log10(span / 100)) if span > 0 else 1))


def _dots_height(rows: int) -> float:
    return 1.5 + 0.42 * rows


def plot_accuracy(
    result: Comparison,
    *,
    metric: str = "valid_accuracy",
    sort: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Accuracy of each scheme: the mean, its 95 % interval, and every seed as a small dot.

    The x axis shows the range of the data and need not start at 0. A mean is over the seeds that
    did not diverge; how many did stands under the label.

    Parameters
    ----------
    result
        What `initguide.compare_init_weights` returns.
    metric
        ``"valid_accuracy"`` or ``"test_accuracy"``.
    sort
        Whether the best scheme stands on top, instead of the order given.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the accuracy in percent on x and one row a scheme on y.

    Raises
    ------
    ValueError
        If the metric is not an accuracy, or the result is empty.
    """
    allowed = [name for name, about in METRICS.items() if about.is_fraction]
    if metric not in allowed:
        raise ValueError(f"metric is {metric!r}; the accuracies are {', '.join(allowed)}")
    _check_result(result)
    rows = [
        _scaled(*row, result.values(row[0], metric), _diverged(result.of(row[0])), scale=100)
        for row in result.rows(metric)
    ]
    if sort:
        rows.sort(key=lambda row: -row.mean if math.isfinite(row.mean) else math.inf)
    ax = _axes(ax, _dots_height(len(rows)))
    before = _text_so_far(ax)
    low, high = _limits(rows, [], narrowest=1.0)
    digits = _digits(high - low)
    _draw_dots(ax, rows, _looks(result.schemes), lambda x: _number(x, digits))
    seeds = len({run.seed for run in result.runs})
    name = METRICS[metric].title
    note = "line and ±: 95 % interval; small dots: seeds" if seeds > 1 else "one seed"
    ax.set(
        title=f"{_capital(name)}, mean of {seeds} seeds" if seeds > 1 else _capital(name),
        xlabel=f"{name} (%)\n{note}",
        xlim=(low, high),
    )
    words = f"{_capital(name)} in percent, " + (
        f"mean of {seeds} seeds with its 95 % interval: " if seeds > 1 else "one seed: "
    )
    _say(ax, _dots_in_words(words, rows, digits), after=before)
    return ax


def plot_differences(
    result: Comparison,
    reference: str,
    *,
    metric: str = "valid_accuracy",
    confidence: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw how far each scheme is from a reference, paired seed by seed.

    The dot is the mean of the differences, the line its interval, the small dots are the seeds.
    An interval that crosses 0 means that the difference may be noise.

    Parameters
    ----------
    result
        What `initguide.compare_init_weights` returns.
    reference
        The label that the others are compared with.
    metric
        A name from `initguide.experiments.METRICS`.
    confidence
        Of the intervals, in (0, 1).
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the difference on x, accuracies in percentage points and losses in nats, and one row
        a scheme on y.

    Raises
    ------
    ValueError
        If the label or the metric is unknown, there is no other scheme, or ``confidence`` is not
        between 0 and 1.
    """
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; the metrics are {', '.join(METRICS)}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; it must be between 0 and 1")
    _check_result(result)
    result.of(reference)  # an unknown label: the message lists those that there are
    others = [label for label in result.labels if label != reference]
    if not others:
        raise ValueError(f"{reference!r} is the only scheme; there is nothing to compare it with")
    about = METRICS[metric]
    rows = []
    for label in others:
        found = result.difference(label, reference, metric, confidence=confidence)
        seeds = len(result.of(label))
        lost = seeds - len(found.seeds)
        remark = f"{lost} of {seeds} pairs diverged" if lost else ""
        rows.append(
            _scaled(
                label,
                found.mean,
                found.interval,
                found.per_seed,
                remark,
                scale=100 if about.is_fraction else 1,
            )
        )
    ax = _axes(ax, _dots_height(len(rows)))
    before = _text_so_far(ax)
    low, high = _limits(rows, [0.0], narrowest=1.0 if about.is_fraction else 0.01)
    digits = _digits(high - low)
    ax.axvline(0, color=_INK, linewidth=1.2)

    def signed(x: float) -> str:
        return ("+" if x > 0 else "") + _number(x, digits)

    _draw_dots(ax, rows, _looks(result.schemes), signed)
    unit = "percentage points" if about.is_fraction else "nats"
    better = "right" if about.higher_is_better else "left"
    several = any(row.interval for row in rows)
    note = f"line and ±: {100 * confidence:.4g} % interval, " if several else ""
    ax.set(
        title=f"{_capital(about.title)} minus that of “{reference}”",
        xlabel=f"difference ({unit}; {better} is better)\n{note}paired by seed",
        xlim=(low, high),
    )
    words = f"{_capital(about.title)} minus that of “{reference}” in {unit}, paired by seed" + (
        f", with {100 * confidence:.4g} % intervals: " if several else ": "
    )
    _say(ax, _dots_in_words(words, rows, digits), after=before)
    return ax


def _dots_in_words(start: str, rows: Sequence[_Dots], digits: int) -> str:
    def one(row: _Dots) -> str:
        if not math.isfinite(row.mean):
            return f"{row.label}: {row.remark or 'no number'}"
        text = f"{row.label} {_number(row.mean, digits)}"
        if row.interval is not None:
            low, high = (_number(end, digits) for end in row.interval)
            text += f" ({low} to {high})"
        return text + (f", {row.remark}" if row.remark else "")

    finite = sorted((row for row in rows if math.isfinite(row.mean)), key=lambda row: -row.mean)
    instead = f"none of {len(rows)} schemes has a number."
    if finite:
        instead = f"of {len(rows)} schemes, highest {one(finite[0])}, lowest {one(finite[-1])}."
    return _fit(start, [one(row) for row in rows], instead)


# Sweeps


class _Side(NamedTuple):
    """One side of a map: a setting, with its values in the order in which they are drawn."""

    name: str
    values: list[Any]
    places: NDArray[np.float64]  # the middle of each cell, rising
    edges: NDArray[np.float64]
    scale: str  # "log", "linear", or "names" of values that are no numbers

    def says(self, i: int) -> str:
        """Words for one value."""
        value = self.values[i]
        return f"{self.name} {_number(value) if isinstance(value, float) else value}"


def _side(name: str, values: Sequence[Any]) -> _Side:
    """Numbers lie where they belong, on the axis that spaces them more evenly; others in a row."""
    is_numeric = all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
    ordered = sorted(values) if is_numeric else list(values)
    places = np.array(ordered, np.float64) if is_numeric else np.arange(len(values), dtype=float)
    scale = "linear" if is_numeric else "names"
    if is_numeric and places[0] > 0 and _is_geometric(places):
        scale = "log"
    at = np.log(places) if scale == "log" else places
    ends = np.diff(at)[[0, -1]] / 2 if len(at) > 1 else np.full(2, 0.5)
    edges = np.concatenate([at[:1] - ends[0], (at[1:] + at[:-1]) / 2, at[-1:] + ends[1]])
    words = name.replace("_", " ")
    return _Side(words, ordered, places, np.exp(edges) if scale == "log" else edges, scale)


def _is_geometric(places: NDArray[np.float64]) -> bool:
    """Whether rising positive numbers are spaced more evenly by their logarithms."""
    if len(places) < 3:
        return bool(places[-1] >= 10 * places[0])
    plain, logs = np.diff(places), np.diff(np.log(places))
    return bool(logs.std() / logs.mean() < plain.std() / plain.mean())


def _map_axes(
    result: Sweep, x: str | None, y: str | None, where: Mapping[str, Any]
) -> tuple[str, str]:
    """The two settings that a map is drawn over, or why there are not two."""
    grid = result.grid
    for argument, name in (("x", x), ("y", y), *(("where", name) for name in where)):
        if name is not None and name not in grid:
            raise ValueError(
                f"{argument} is to be {name!r}, which was not varied in this sweep; what was: "
                f"{', '.join(grid)}"
            )
    if x is not None and x == y:
        raise ValueError(f"x and y are both {x!r}; give two different settings")
    varied = [name for name, values in grid.items() if name not in where and len(values) > 1]
    rest = [name for name in varied if name not in (x, y)]
    if (x is None) + (y is None) > len(rest):
        raise ValueError(
            f"a map needs two settings with several values, but this sweep has {len(varied)} that "
            f"where= leaves free: {', '.join(varied) or 'none'}; name others as x= and y="
        )
    x = rest.pop(0) if x is None else x
    y = rest.pop(0) if y is None else y
    if rest:
        raise ValueError(
            f"the sweep also varies {' and '.join(rest)}; say which value the map is to show, such "
            f"as where={{{rest[0]!r}: {grid[rest[0]][0]!r}}}"
        )
    return x, y


def plot_map(
    result: Sweep,
    *,
    x: str | None = None,
    y: str | None = None,
    metric: str = "valid_accuracy",
    where: Mapping[str, Any] | None = None,
    value_range: tuple[float, float] | None = None,
    colorbar: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Map of a sweep over two of its settings, with a colour for the mean over seeds.

    A setting whose values are numbers gets an axis on which they lie where they belong, a
    logarithmic one if that spaces them more evenly; other values stand in a row. Points at which a
    run diverged have an ×. The colour is the mean over the other seeds, and there is none where all
    diverged. Losses are coloured on a logarithmic scale if the largest is more than 50 times the
    smallest.

    Parameters
    ----------
    result
        What `initguide.sweep` returns.
    x, y
        Settings that were varied; by default the first two that are left.
    metric
        A name from `initguide.experiments.METRICS`.
    where
        Setting -> value, for settings that are neither ``x`` nor ``y``.
    value_range
        The ends of the colours, in percent or nats; the smallest and largest mean if ``None``.
    colorbar
        Whether a bar at the right says what the colours mean. Where several maps share a
        ``value_range``, one bar is enough.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the two settings on x and y. The map is its first collection.

    Raises
    ------
    ValueError
        If a setting or value is not in the sweep, there are no two settings or more than two that
        are varied, the metric is unknown, ``value_range`` is not low < high, or no run has a
        number and none diverged.
    """
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; the metrics are {', '.join(METRICS)}")
    _check_range(value_range, "value_range")
    where = where or {}
    x, y = _map_axes(result, x, y, where)
    runs = result.of(**where)  # an unknown value: the message lists those that there are
    if not runs:
        raise ValueError("no run of the sweep lies on this map, so there is nothing to draw")
    across, up = _side(x, result.grid[x]), _side(y, result.grid[y])
    shape = len(up.values), len(across.values)
    cells: dict[tuple[int, ...], list[Run]] = {cell: [] for cell in np.ndindex(shape)}
    for run in runs:
        cells[up.values.index(run.settings[y]), across.values.index(run.settings[x])].append(run)
    about = METRICS[metric]
    factor = 100 if about.is_fraction else 1
    means = np.reshape([factor * _mean_of(here, metric) for here in cells.values()], shape)
    ax = _axes(ax, 4.8)
    before = _text_so_far(ax)
    mesh = ax.pcolormesh(
        across.edges,
        up.edges,
        np.ma.masked_invalid(means),
        cmap="viridis",
        norm=_norm(means, value_range, is_fraction=about.is_fraction),
        rasterized=True,
    )
    marked = [cell for cell, here in cells.items() if any(run.diverged for run in here)]
    rows, columns = np.array(marked, dtype=int).reshape(-1, 2).T
    points = 72 * min(ax.bbox.height / shape[0], ax.bbox.width / shape[1]) / ax.figure.dpi
    ax.plot(
        across.places[columns],
        up.places[rows],
        linestyle="none",
        marker="x",
        color=_MUTED,
        markersize=float(np.clip(0.35 * points, 2, 8)),
        markeredgewidth=1.0,
        label="diverged" if marked else None,
    )
    _name_sides(ax, across, up)
    seeds = len(result.settings["seeds"])
    note = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
    if marked:
        note += "; ×: diverged"
    ax.set_title(f"{_capital(about.title)}\n{note}")
    unit = "%" if about.is_fraction else "nats"
    if colorbar:
        bar = ax.figure.colorbar(mesh, cax=ax.inset_axes((1.03, 0, 0.04, 1)))
        bar.set_label(f"{about.title} ({unit})", color=_INK, fontsize=STYLE["axes.labelsize"])
        bar.ax.tick_params(labelsize=STYLE["ytick.labelsize"], color=_MUTED, labelcolor=_INK)
        bar.outline.set_visible(False)
    start = f"Map of {about.title} ({unit}), {note}, over {shape[1]} values of {across.name} and "
    _say(ax, _map_in_words(f"{start}{shape[0]} of {up.name}: ", means, across, up), after=before)
    return ax


def _mean_of(runs: Sequence[Run], metric: str) -> float:
    """Mean over the runs that have such a number; NaN if none has."""
    numbers = [number for run in runs if math.isfinite(number := getattr(run, metric))]
    return sum(numbers) / len(numbers) if numbers else math.nan


def _norm(
    means: NDArray[np.float64], ends: tuple[float, float] | None, *, is_fraction: bool
) -> Normalize:
    finite = means[np.isfinite(means)]
    low, high = ends or ((finite.min(), finite.max()) if len(finite) else (0.0, 1.0))
    if not is_fraction and low > 0 and high > _LOG_RATIO * low:
        return LogNorm(low, high)
    return Normalize(low, high)


def _name_sides(ax: Axes, across: _Side, up: _Side) -> None:
    for axis, side in ((ax.xaxis, across), (ax.yaxis, up)):
        if side.scale == "log":
            (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
            _log_ticks(axis, *side.edges[[0, -1]])
        elif side.scale == "names":
            axis.set_ticks(side.places, list(map(str, side.values)))
    if across.scale == "names":
        ax.tick_params(axis="x", labelrotation=30)
    labels = [f"{s.name} (logarithmic)" if s.scale == "log" else s.name for s in (across, up)]
    ax.set(
        xlabel=labels[0],
        ylabel=labels[1],
        xlim=across.edges[[0, -1]],
        ylim=up.edges[[0, -1]],
    )
    ax.grid(visible=False)


def _map_in_words(start: str, means: NDArray[np.float64], across: _Side, up: _Side) -> str:
    def at(place: Any) -> str:
        row, column = divmod(int(place), means.shape[1])
        return f"{_number(means[row, column])} at {across.says(column)}, {up.says(row)}"

    filled = int(np.isfinite(means).sum())
    parts = [f"no number at {means.size - filled} of {means.size} points"] * (filled < means.size)
    if filled:
        parts = [f"lowest {at(np.nanargmin(means))}", f"highest {at(np.nanargmax(means))}", *parts]
    return _fit(start, parts, f"{filled} of {means.size} points have a number.")


# Images and distributions


def _numbers(values: Values, name: str) -> NDArray[np.float64]:
    """Return the finite values in one dimension, or say why there are none."""
    if isinstance(values, Tensor):
        values = values.detach().to("cpu").double().numpy()
    array = np.asarray(values, dtype=np.float64).ravel()
    if not array.size:
        raise ValueError(f"{name} is empty; a histogram needs at least one number")
    finite = array[np.isfinite(array)]
    if not finite.size:
        raise ValueError(f"{name} has {array.size:,} values, and all are NaN or infinite")
    return finite


def plot_images(
    split: Split,
    classes: Sequence[str],
    *,
    count: int = 20,
    columns: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw the first images of a split, with the class under each.

    Parameters
    ----------
    split
        Images (N, 1, height, width) in [0, 1] and labels (N,).
    classes
        Name of each class, indexed by the label.
    count
        How many images, at least 1 and at most N.
    columns
        Images in a row, at least 1.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        Without ticks and frame; one unit is one pixel of an image.

    Raises
    ------
    ValueError
        If ``count`` or ``columns`` is out of range, or a label has no class.
    """
    check_whole("count", count, 1)
    check_whole("columns", columns, 1)
    if count > len(split.labels):
        raise ValueError(f"count is {count}, but the split holds {len(split.labels):,} images")
    images = split.images[:count].detach().to("cpu").numpy()
    labels = [int(label) for label in split.labels[:count]]
    if not 0 <= min(labels) <= max(labels) < len(classes):
        raise ValueError(
            f"the labels reach from {min(labels)} to {max(labels)}, but classes has "
            f"{len(classes)} names"
        )
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    height, width = images.shape[-2:]
    cell_width, cell_height = width + width // 7, height + height // 2  # room for two lines of text
    canvas = np.full((rows * cell_height, columns * cell_width), np.nan)
    ax = _axes(ax, height=0.4 + 7.0 * canvas.shape[0] / canvas.shape[1])
    before = _text_so_far(ax)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        y, x = (i // columns) * cell_height, (i % columns) * cell_width
        canvas[y : y + height, x : x + width] = image.reshape(height, width)
        ax.text(
            x + width / 2,
            y + height + 1.5,
            classes[label].replace("/", "/\n").replace(" ", "\n"),
            ha="center",
            va="top",
            color=_INK,
            linespacing=1.0,
            fontsize=min(STYLE["font.size"], 90 / columns),
        )
    # A mesh, not an image: what lies on an image keeps its colour on a dark page, and these names
    # lie beside the images.
    ax.pcolormesh(np.ma.masked_invalid(canvas), cmap="gray", vmin=0, vmax=1, rasterized=True)
    ax.set_aspect("equal")
    ax.set(xlim=(0, canvas.shape[1] - width // 7), ylim=(canvas.shape[0], 0))
    ax.set_axis_off()
    shown = [name for i, name in enumerate(classes) if i in labels]
    text = f"{_count(count, 'grey image')} of {height} by {width} pixels, showing: "
    _say(ax, _fit(_capital(text), [", ".join(shown)], f"{len(shown)} classes."), after=before)
    return ax


def _check_range(value_range: tuple[float, float] | None, name: str) -> None:
    if value_range is None:
        return
    low, high = value_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{name} is {value_range!r}; it must be two finite numbers, low < high")


def plot_histogram(
    values: Values,
    *,
    bins: int = 50,
    value_range: tuple[float, float] | None = None,
    label: str | None = None,
    title: str | None = None,
    xlabel: str = "value",
    density: bool = False,
    expected: Callable[[NDArray[np.float64]], ArrayLike] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Histogram of numbers, if wanted with the density that they should have.

    Several can be drawn on one Axes, one call each.

    Parameters
    ----------
    values
        A tensor, array or sequence of any shape. NaN and infinities are left out.
    bins
        How many, at least 1.
    value_range
        The ends of the bins and of the x axis; the smallest and largest value if ``None``.
    label
        For the legend. A scheme's name or description gives it that scheme's colour.
    title, xlabel
        Texts for the Axes.
    density
        Whether the heights are fractions of all values a unit of x, instead of counts.
    expected
        A probability density as a function of an array, such as ``scipy.stats.norm.pdf``. It is
        drawn as a dashed line, in the units of the heights.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the values on x, and counts or densities on y.

    Raises
    ------
    ValueError
        If no value is finite, ``bins`` is below 1, or ``value_range`` is not low < high.

    Examples
    --------
    >>> ax = plot_histogram([0, 0, 1, 1, 1, 2], bins=3, value_range=(0, 3))
    >>> alt_text(ax.figure)
    'Histogram of 6 values in 3 bins from 0.00 to 3.00: mean 0.83, standard deviation 0.69, ...'
    >>> plt.close(ax.figure)
    """
    check_whole("bins", bins, 1)
    _check_range(value_range, "value_range")
    numbers = _numbers(values, "values")
    ax = _axes(ax, height=3.6 if label is None and expected is None else 3.9)
    before = _text_so_far(ax)
    taken = [to_hex(patch.get_edgecolor()) for patch in ax.patches]
    color = color_of(label or "", taken=taken)
    counts, edges = np.histogram(numbers, bins=bins, range=value_range)
    widths = np.diff(edges)
    heights = counts / (numbers.size * widths) if density else counts.astype(np.float64)
    ax.stairs(heights, edges, fill=True, color=color, alpha=0.35, linewidth=0)
    ax.stairs(heights, edges, color=color, linewidth=1.2 if bins <= 100 else 0.7, label=label)
    if expected is not None:
        x = np.linspace(edges[0], edges[-1], 401)
        curve = np.asarray(expected(x), dtype=np.float64)
        scale = 1 if density else numbers.size * widths[0]
        ax.plot(x, scale * curve, color=_INK, linestyle="--", linewidth=1.4, label="expected")
    ax.set(xlabel=xlabel, ylabel="density" if density else "number of values")
    ax.set_xlim(edges[0], edges[-1])
    if title is not None:
        ax.set_title(title)
    if ax.get_legend_handles_labels()[1]:
        _legend_below(ax)
    outside = numbers.size - int(counts.sum())
    text = (
        f"Histogram of {_count_values(numbers)} in {_count(bins, 'bin')} from "
        f"{_number(edges[0])} to {_number(edges[-1])}{f', {label}' if label else ''}: "
        f"mean {_number(numbers.mean())}, standard deviation {_number(numbers.std())}, "
        f"smallest {_number(numbers.min())}, largest {_number(numbers.max())}"
    )
    if outside:
        text += f"; {outside:,} outside"
    if expected is not None:
        text += "; a dashed line shows the expected density"
    _say(ax, text + ".", after=before)
    return ax


def _count_values(numbers: NDArray[np.float64]) -> str:
    return "one value" if numbers.size == 1 else f"{numbers.size:,} values"


def plot_histograms(
    named_values: Mapping[str, Values],
    *,
    schemes: Mapping[str, str] | None = None,
    bins: int = 80,
    value_range: tuple[float, float] | None = None,
    log: bool = False,
    title: str | None = None,
    xlabel: str = "value",
    ax: Axes | None = None,
) -> Axes:
    """Histograms in rows over one x axis, such as the pre-activations of each layer.

    All rows have the same bins. Each is scaled to its own highest bin, so compare shapes and
    widths, not heights; the standard deviation stands at the right.

    Parameters
    ----------
    named_values
        Name of each row, from the top -> a tensor, array or sequence.
    schemes
        Name of each row -> the description of its scheme, whose colour it gets, as in
        `Comparison.schemes`. The names themselves if ``None``.
    bins
        How many, at least 1.
    value_range
        The ends of the x axis; the smallest and largest value of all rows if ``None``.
    log
        Whether the heights are logarithms of 1 + count, to show tails beside a high peak.
    title, xlabel
        Texts for the Axes.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the values on x, and the rows on y at 0, −1, −2, …

    Raises
    ------
    ValueError
        If there are no rows, a row has no finite value, ``bins`` is below 1, or ``value_range`` is
        not low < high.
    """
    check_whole("bins", bins, 1)
    _check_range(value_range, "value_range")
    if not named_values:
        raise ValueError("named_values is empty; give at least one name with its values")
    rows = {name: _numbers(values, repr(name)) for name, values in named_values.items()}
    if value_range is None:
        value_range = (
            float(min(row.min() for row in rows.values())),
            float(max(row.max() for row in rows.values())),
        )
    looks = _looks({name: (schemes or {}).get(name, name) for name in rows})
    ax = _axes(ax, height=1.3 + 0.62 * len(rows))
    before = _text_so_far(ax)
    for i, (name, numbers) in enumerate(rows.items()):
        counts, edges = np.histogram(numbers, bins=bins, range=value_range)
        heights = np.log1p(counts) if log else counts.astype(np.float64)
        heights = 0.82 * heights / max(1.0, heights.max()) - i
        color = looks[name].color
        ax.stairs(heights, edges, baseline=-i, fill=True, color=color, alpha=0.45, linewidth=0)
        ax.stairs(heights, edges, baseline=None, color=color, linewidth=1.1)
        ax.text(
            1.01,
            -i + 0.05,
            f"sd {_number(numbers.std())}",
            transform=ax.get_yaxis_transform(),
            color=_INK,
            fontsize=STYLE["ytick.labelsize"],
        )
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(-len(rows) + 0.92, 1.0)
    ax.set_yticks([-i for i in range(len(rows))], list(rows), va="bottom")
    ax.tick_params(axis="y", length=0)
    scaled = "heights: log(1 + count)" if log else "heights: counts"
    ax.set(xlabel=f"{xlabel}\n{scaled}, each row scaled to its highest bin")
    if title is not None:
        ax.set_title(title)
    spreads = {name: numbers.std() for name, numbers in rows.items()}
    widest, narrowest = (f(spreads, key=lambda name: spreads[name]) for f in (max, min))
    text = (
        f"{_count(len(rows), 'histogram')} in rows from {_number(edges[0])} to "
        f"{_number(edges[-1])}, standard deviations: "
    )
    _say(
        ax,
        _fit(
            _capital(text),
            [f"{name} {_number(spread)}" for name, spread in spreads.items()],
            f"widest {widest} with {_number(spreads[widest])}, "
            f"narrowest {narrowest} with {_number(spreads[narrowest])}.",
        ),
        after=before,
    )
    return ax


def hist_dist(
    title: str,
    distribution_tensor: Values,
    hist_range: tuple[float, float] = (-4, 4),
    *,
    ax: Axes | None = None,
) -> Axes:
    """The original lesson's histogram: half as many bins as there are values.

    Parameters
    ----------
    title
        The title.
    distribution_tensor
        A tensor, array or sequence of any shape.
    hist_range
        The ends of the bins and of the x axis.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the values on x and how many there are on y.

    Raises
    ------
    ValueError
        If no value is finite, or ``hist_range`` is not low < high.
    """
    _check_range(hist_range, "hist_range")
    size = _numbers(distribution_tensor, "distribution_tensor").size
    return plot_histogram(
        distribution_tensor, bins=max(1, size // 2), value_range=hist_range, title=title, ax=ax
    )


# Layers

Measured = Measurement | Sequence[Measurement]

_HISTOGRAMS = {
    "weights": ("weights", _GREEN),
    "outputs": ("outputs of the layers (pre-activations)", _BLUE),
    "activations": ("outputs after the activation", _VIOLET),
    "weight_grads": ("gradients of the weights", _ORANGE),
    "output_grads": ("gradients of the outputs", _MAGENTA),
}


def _chosen(measurement: Measurement, kinds: Sequence[str] | None) -> list[Record]:
    """Return the records of some kinds, or of the layers that have a fan-in."""
    if kinds is None:
        return [r for r in measurement if math.isfinite(r.fan_in)] or list(measurement)
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)
    found = [record for record in measurement if record.kind in wanted]
    if not found:
        there = ", ".join(dict.fromkeys(record.kind for record in measurement))
        raise ValueError(f"kinds is {kinds!r}, but no such layer ran; there are: {there}")
    return found


def _by_layer(
    label: str, measured: Measured, value: str, kinds: Sequence[str] | None
) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the layers, and (measurements, layers) numbers."""
    several = [measured] if isinstance(measured, Measurement) else list(measured)
    if not several:
        raise ValueError(f"{label!r} holds no measurement, so there is nothing to draw")
    records = [_chosen(measurement, kinds) for measurement in several]
    names = [[record.name for record in row] for row in records]
    if any(row != names[0] for row in names):
        raise ValueError(
            f"the measurements of {label!r} are of different layers; give networks of other "
            "layers a label of their own"
        )
    return names[0], np.array([[getattr(r, value) for r in row] for row in records], np.float64)


def _predictions(predicted: Any, names: Sequence[str]) -> NDArray[np.float64]:
    """One number a layer, NaN where there is none."""
    if not isinstance(predicted, Mapping):
        items = list(predicted)
        if not items or not all(hasattr(item, "name") for item in items):
            if len(items) != len(names):
                raise ValueError(
                    f"predicted has {_count(len(items), 'number')}, but "
                    f"{_count(len(names), 'layer')} are drawn: {', '.join(names)}"
                )
            return _without_infinities([float(item) for item in items])
        by_name: dict[str, list[float]] = {}
        for item in items:
            by_name.setdefault(item.name, []).append(float(item))
    else:
        by_name = {name: [float(number)] for name, number in predicted.items()}
    if not set(by_name) & set(names):
        raise ValueError(
            f"predicted is for {', '.join(map(str, by_name)) or 'no layer'}, but the layers drawn "
            f"are {', '.join(names)}"
        )
    used: dict[str, int] = {}
    found = []
    for name in names:  # a layer that is used twice has two predictions, or one for both
        numbers = by_name.get(name, [math.nan])
        found.append(numbers[min(used.get(name, 0), len(numbers) - 1)])
        used[name] = used.get(name, 0) + 1
    return _without_infinities(found)


def _without_infinities(numbers: Sequence[float]) -> NDArray[np.float64]:
    array = np.array(numbers, dtype=np.float64)
    return np.where(np.isfinite(array), array, np.nan)


def plot_layers(
    measured: Measured | Mapping[str, Measured],
    *,
    value: str = "output_second_moment",
    predicted: Any = None,
    kinds: Sequence[str] | None = None,
    schemes: Mapping[str, str] | None = None,
    log: bool | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One number of each layer, against the layers in the order in which they ran.

    Of several measurements under one label, such as one a seed, the line is the mean and the band
    reaches from the smallest to the largest. On a logarithmic axis, which says that it is one, a
    mean of 0 is an × at the bottom. What is not finite is left out, and the legend says so.

    Parameters
    ----------
    measured
        What `initguide.propagation.measure` returns, a list of those (one a seed), or label ->
        either.
    value
        Which number of a `initguide.propagation.Record`: a name from
        `initguide.propagation.VALUES`.
    predicted
        The same number as theory has it, drawn through the curves with hollow markers: one a
        layer, layer's name -> number, or what `initguide.theory.predict_variances` returns. With
        several labels, also label -> any of these.
    kinds
        Kinds of layers to show, such as ``["ReLU"]``. If ``None``, linear layers, convolutions and
        embeddings, or all layers if there are none of these.
    schemes
        Label -> the description of its scheme, whose colour it gets. The labels themselves if
        ``None``.
    log
        Whether the y axis is logarithmic. If ``None``, it is if nothing is negative and the largest
        number is more than 50 times the smallest above 0.
    title
        The title; made from ``value`` if ``None``.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the layers, counted from 1, on x and the numbers on y.

    Raises
    ------
    ValueError
        If there is nothing to draw, ``value`` or ``kinds`` is unknown, the measurements of a label
        or the predictions are of other layers, or ``log`` is asked for with negative numbers.
    """
    if value not in VALUES:
        raise ValueError(f"unknown value {value!r}; the values are {', '.join(VALUES)}")
    labelled = dict(measured) if isinstance(measured, Mapping) else {"measured": measured}
    if not labelled:
        raise ValueError("measured is empty; give at least one measurement")
    layers = {label: _by_layer(label, m, value, kinds) for label, m in labelled.items()}
    every = np.concatenate([numbers.ravel() for _, numbers in layers.values()])
    if not np.isfinite(every).any():
        raise ValueError(
            f"none of the layers drawn has a finite {value} ({VALUES[value]}); choose other kinds= "
            "or another value="
        )
    looks = _looks({label: (schemes or {}).get(label, label) for label in labelled})
    means = {label: _finite_mean(numbers) for label, (_, numbers) in layers.items()}
    theory = _theory_curves(predicted, layers, looks)
    curves = means | {label: numbers for label, (numbers, _) in theory.items()}
    logarithmic = _is_logarithmic(list(curves.values()), log, value)
    ax = _axes(ax, height=3.7 + 0.2 * math.ceil(len(curves) / 3))
    before = _text_so_far(ax)
    for label, (_, numbers) in layers.items():
        _draw_layers(ax, label, numbers, looks[label], logarithmic=logarithmic)
    for label, (numbers, look) in theory.items():
        ax.plot(
            np.arange(1, len(numbers) + 1),
            np.where(numbers > 0, numbers, np.nan) if logarithmic else numbers,
            color=look.color,
            linestyle=(0, (1.5, 1.5)),
            linewidth=1.4,
            marker=look.marker,
            markersize=9,
            markerfacecolor="none",
            markevery=max(1, len(numbers) // 12),
            label=_legend_label(label, ""),
            zorder=2.7,
        )
    if logarithmic:
        _make_logarithmic(ax)
    _name_layers(ax, [names for names, _ in layers.values()])
    text = title if title is not None else f"{_capital(VALUES[value])}, layer by layer"
    ax.set(
        title=text,
        ylabel=VALUES[value] + (",\nlogarithmic scale" if logarithmic else ""),
    )
    notes = _layer_notes([numbers for _, numbers in layers.values()], logarithmic=logarithmic)
    if len(curves) > 1 or notes:
        _legend_below(ax, "; ".join(notes) or None)
    words = _layers_in_words(text, notes, layers, curves, logarithmic=logarithmic)
    _say(ax, words, after=before)
    return ax


def _layer_notes(values: Sequence[NDArray[np.float64]], *, logarithmic: bool) -> list[str]:
    """Say what is to be known to read the curves."""
    notes = []
    counts = sorted({len(numbers) for numbers in values})
    if counts[-1] > 1:
        number = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
        notes.append(f"mean of {number} measurements; band: smallest to largest")
    if infinite := sum(int(np.isinf(numbers).sum()) for numbers in values):
        notes.append(f"{_count(infinite, 'infinite value')} left out")
    if logarithmic and any((_finite_mean(numbers) == 0).any() for numbers in values):
        notes.append("×: 0")
    return notes


def _theory_curves(
    predicted: Any,
    layers: Mapping[str, tuple[list[str], NDArray[np.float64]]],
    looks: Mapping[str, _Look],
) -> dict[str, tuple[NDArray[np.float64], _Look]]:
    """Label -> the predictions and their look: one curve for all, or one for each label."""
    if predicted is None:
        return {}
    if isinstance(predicted, Mapping) and set(predicted) & set(layers):
        return {
            f"{label}, predicted": (_predictions(predicted[label], names), looks[label])
            for label, (names, _) in layers.items()
            if label in predicted
        }
    names = next(iter(layers.values()))[0]
    return {"predicted": (_predictions(predicted, names), _Look(_INK, "--", "s"))}


def _is_logarithmic(curves: Sequence[NDArray[np.float64]], log: bool | None, value: str) -> bool:
    every = np.concatenate(curves)
    negative, positive = bool((every < 0).any()), bool((every > 0).any())
    if log and negative:
        raise ValueError(f"log is True, but {value} is negative in some layers; leave it out")
    wanted = log if log is not None else not negative and _spread(curves) > _LOG_RATIO
    return wanted and positive


def _draw_layers(
    ax: Axes, label: str, numbers: NDArray[np.float64], look: _Look, *, logarithmic: bool
) -> None:
    """Draw the mean of the rows as a line, and a band from the smallest to the largest."""
    x, mean = np.arange(1, numbers.shape[1] + 1), _finite_mean(numbers)
    if len(numbers) > 1:
        low, high = _ends(np.where(np.isfinite(numbers), numbers, np.nan))
        ax.fill_between(x, low, high, color=look.color, alpha=0.18, linewidth=0)
    ax.plot(
        x,
        np.where(mean > 0, mean, np.nan) if logarithmic else mean,
        color=look.color,
        linestyle=look.style,
        marker=look.marker,
        markevery=max(1, len(x) // 12),
        label=_legend_label(label, ""),
        zorder=2.5,
    )
    if logarithmic and (mean == 0).any():
        ax.plot(
            x[mean == 0],
            np.zeros(int((mean == 0).sum())),
            transform=ax.get_xaxis_transform(),
            linestyle="none",
            marker="x",
            markersize=9,
            markeredgewidth=2.2,
            color=look.color,
            clip_on=False,
            zorder=3,
        )


def _finite_mean(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the rows of what is finite; NaN where nothing is."""
    finite = np.isfinite(numbers)
    count = finite.sum(axis=0)
    sums = np.where(finite, numbers, 0.0).sum(axis=0)
    mean: NDArray[np.float64] = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
    return mean


def _ends(numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest of each column; NaN where nothing is a number."""
    there = np.isfinite(numbers).any(axis=0)
    low = np.where(there, np.where(np.isnan(numbers), np.inf, numbers).min(axis=0), np.nan)
    high = np.where(there, np.where(np.isnan(numbers), -np.inf, numbers).max(axis=0), np.nan)
    return low, high


def _name_layers(ax: Axes, names: Sequence[Sequence[str]]) -> None:
    """Put the layers' names on the x axis where they fit, else their numbers."""
    same = all(row == names[0] for row in names)
    if same and len(names[0]) <= 12 and sum(map(len, names[0])) <= 66:
        ax.set_xticks(range(1, len(names[0]) + 1), names[0])
        ax.set_xlabel("layer")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
        ax.set_xlabel("number of the layer")


def _layers_in_words(
    title: str,
    notes: Sequence[str],
    layers: Mapping[str, tuple[list[str], NDArray[np.float64]]],
    curves: Mapping[str, NDArray[np.float64]],
    *,
    logarithmic: bool,
) -> str:
    remarks = [title, *notes, *["logarithmic scale"] * logarithmic]
    parts, last = [], {}
    for label, curve in curves.items():
        at = np.flatnonzero(np.isfinite(curve))
        if not len(at):
            parts.append(f"{label} has no finite number")
            continue
        a, b = (_number(curve[i]) for i in (at[0], at[-1]))
        names = layers[label][0] if label in layers else None
        first, end = (names[i] if names else f"layer {i + 1}" for i in (at[0], at[-1]))
        parts.append(
            f"{label} {a} in {first}"
            if len(at) == 1
            else f"{label} from {a} in {first} to {b} in {end}"
        )
        last[label] = float(curve[at[-1]])
    instead = f"none of {len(curves)} curves has a finite number."
    if last:
        low, high = (f(last, key=lambda label: last[label]) for f in (min, max))
        instead = (
            f"of {len(curves)} curves, lowest at the end {low} with {_number(last[low])}, "
            f"highest {high} with {_number(last[high])}."
        )
    return _fit(", ".join(remarks) + ": ", parts, instead)


def plot_ridges(
    measurement: Measurement,
    *,
    of: str = "outputs",
    kinds: Sequence[str] | None = None,
    standardize: bool | None = None,
    log: bool = False,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Histograms of each layer's weights, outputs or gradients, in rows from the first layer.

    Each row is scaled to its own highest bin, so compare shapes and widths, not heights; the
    standard deviation stands at the right.

    Parameters
    ----------
    measurement
        What `initguide.propagation.measure` returns with ``histograms=50`` or so.
    of
        ``"weights"``, ``"outputs"`` (the pre-activations of linear layers and convolutions),
        ``"activations"`` (after the activation), ``"weight_grads"`` or ``"output_grads"``.
    kinds
        Kinds of layers to show. If ``None``, linear layers, convolutions and embeddings, or all
        layers if there are none of these.
    standardize
        Whether each row is drawn in units of its own standard deviation, which the axis then says.
        If ``None``, it is if the largest one is more than 50 times the smallest: on one axis, the
        narrow rows would be needles.
    log
        Whether the heights are logarithms of 1 + count, to show tails beside a high peak.
    title
        The title; made from ``of`` if ``None``.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the values on x, and the rows on y at 0, −1, −2, …

    Raises
    ------
    ValueError
        If ``of`` or ``kinds`` is unknown, or the measurement has no such histogram.
    """
    if of not in _HISTOGRAMS:
        raise ValueError(f"unknown histograms {of!r}; of is one of {', '.join(_HISTOGRAMS)}")
    records = [record for record in _chosen(measurement, kinds) if of in record.histograms]
    if of.startswith("weight"):  # the second use of a layer has the same weights
        records = [record for record in records if not record.call]
    if not records:
        raise ValueError(
            f"none of the layers has a histogram of {of}; measure with histograms=50, or choose "
            "other kinds="
        )
    rows = [record.histograms[of] for record in records]
    names = [f"{r.name} #{r.call + 1}" if r.call else r.name for r in records]
    spreads = [row.std for row in rows if row.std > 0]
    if standardize is None:
        standardize = bool(spreads) and max(spreads) / min(spreads) > _LOG_RATIO
    words, color = _HISTOGRAMS[of]
    ax = _axes(ax, height=1.5 + max(0.26, min(0.62, 9.0 / len(rows))) * len(rows))
    before = _text_so_far(ax)
    ends: list[float] = []
    for i, row in enumerate(rows):
        scale = row.std if standardize else 1.0
        if row.std > 0:
            heights = np.log1p(row.counts) if log else row.counts.astype(np.float64)
            heights = 0.82 * heights / heights.max() - i
            edges = row.edges / scale
            ax.stairs(heights, edges, baseline=-i, fill=True, color=color, alpha=0.45, linewidth=0)
            ax.stairs(heights, edges, baseline=None, color=color, linewidth=1.1)
            ends += [edges[0], edges[-1]]
        elif not standardize or row.mean == 0:  # one value has no width, and perhaps no unit
            ax.plot([row.mean] * 2, [-i, 0.82 - i], color=color, linewidth=2)
            ends.append(row.mean)
        ax.text(
            1.01,
            -i + 0.05,
            f"sd {_number(row.std)}" if row.std > 0 else f"all {_number(row.mean)}",
            transform=ax.get_yaxis_transform(),
            color=_INK,
            fontsize=STYLE["ytick.labelsize"],
        )
    low, high = (min(ends), max(ends)) if ends else (-1.0, 1.0)
    margin = 0.02 * (high - low) or 0.5
    ax.set_xlim(low - margin, high + margin)
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.set_ylim(-len(rows) + 0.92, 1.0)
    ax.set_yticks([-i for i in range(len(rows))], names, va="bottom")
    ax.tick_params(axis="y", length=0)
    scaled = "heights: log(1 + count)" if log else "heights: counts"
    unit = " / each row's standard deviation" if standardize else ""
    text = title if title is not None else f"{_capital(words)}, layer by layer"
    ax.set(title=text, xlabel=f"{words}{unit}\n{scaled}, each row scaled to its highest bin")
    start = f"{text}: {_count(len(rows), 'histogram')} in rows" + (
        ", each in units of its standard deviation" if standardize else ""
    )
    parts = [f"{name} {_number(row.std)}" for name, row in zip(names, rows, strict=True)]
    _say(
        ax,
        _fit(
            f"{start}; standard deviations: ",
            parts,
            f"first {parts[0]}, last {parts[-1]}.",
        ),
        after=before,
    )
    return ax


def plot_checkup(report: Checkup, *, ax: Axes | None = None) -> Axes:
    """Size of the signal and of the gradient in each layer, with what a check-up found.

    Parameters
    ----------
    report
        What `initguide.check_init` returns.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the layers, counted from 1, on x. Root mean squares of the outputs and standard
        deviations of their gradients on a logarithmic y; what is 0 or not finite is left out.
        Layers with a finding are marked on top: × for errors, ! for warnings, · for notes.
    """
    records = report.layers
    x = np.arange(1, len(records) + 1)
    ax = _axes(ax, height=4.2)
    before = _text_so_far(ax)
    curves = {
        "root mean square of the outputs": np.sqrt([r.output_second_moment for r in records]),
        "standard deviation of their gradients": np.sqrt([r.output_grad_var for r in records]),
    }
    words = []
    for (label, numbers), color, style in zip(
        curves.items(), (_BLUE, _ORANGE), ("-", "--"), strict=True
    ):
        shown = np.where(np.isfinite(numbers) & (numbers > 0), numbers, np.nan)
        ax.plot(x, shown, color=color, linestyle=style, marker="o", markersize=4, label=label)
        at = np.flatnonzero(np.isfinite(shown))
        words.append(
            f"{label} from {_number(shown[at[0]])} to {_number(shown[at[-1]])}"
            if len(at)
            else f"{label}: nothing finite above 0"
        )
    ax.set_yscale("log")
    place = {record.name: i for i, record in reversed(list(enumerate(records, start=1)))}
    for severity, sign, color in (
        ("error", "×", _RED),
        ("warning", "!", _MAGENTA),
        ("note", "·", _INK),
    ):
        marked = {f.layer for f in report.findings if f.severity == severity and f.layer in place}
        for layer in marked:
            ax.axvline(place[layer], color=color, linewidth=0.8, alpha=0.6, zorder=1)
            ax.text(
                place[layer],
                1.0,
                sign,
                transform=ax.get_xaxis_transform(),
                color=color,
                ha="center",
                va="bottom",
                fontweight="bold",
            )
    codes = list(dict.fromkeys(f"{f.code} ({f.severity})" for f in report.findings))
    _name_layers(ax, [[record.name for record in records]])
    ax.set_ylabel("size, logarithmic scale")
    ax.set_title("Signal and gradient, layer by layer", pad=18)
    _legend_below(ax, "× error, ! warning, · note" if report.findings else None)
    found = ", ".join(codes) or "nothing"
    start = "Signal and gradient, layer by layer, logarithmic scale: "
    _say(ax, _fit(start, [*words, f"found: {found}"], f"{words[0]}; found: {found}."), after=before)
    return ax
