"""A sweep over two settings: `plot_map`."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from numpy.typing import NDArray

from initguide.experiments import METRICS, Sweep
from initguide.plots.histograms import check_range
from initguide.plots.scales import LOG_RATIO, is_geometric, log_ticks
from initguide.plots.style import INK, MUTED, STYLE, axes_for
from initguide.plots.words import capital, fitting, number_text, say_after, text_so_far
from initguide.training import Run


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
        return f"{self.name} {number_text(value) if isinstance(value, float) else value}"


def _side(name: str, values: Sequence[Any]) -> _Side:
    """Numbers lie where they belong, on the axis that spaces them more evenly; others in a row."""
    is_numeric = all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
    ordered = sorted(values) if is_numeric else list(values)
    places = np.array(ordered, np.float64) if is_numeric else np.arange(len(values), dtype=float)
    scale = "linear" if is_numeric else "names"
    if is_numeric and places[0] > 0 and is_geometric(places):
        scale = "log"
    at = np.log(places) if scale == "log" else places
    # Edges lie half-way between values; the outermost cells reach as far on their other side.
    ends = np.diff(at)[[0, -1]] / 2 if len(at) > 1 else np.full(2, 0.5)
    edges = np.concatenate([at[:1] - ends[0], (at[1:] + at[:-1]) / 2, at[-1:] + ends[1]])
    words = name.replace("_", " ")
    return _Side(words, ordered, places, np.exp(edges) if scale == "log" else edges, scale)


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
    check_range(value_range, "value_range")
    where = where or {}
    x, y = _map_axes(result, x, y, where)
    runs = result.of(**where)  # refuses an unknown value, and lists the known ones
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
    ax = axes_for(ax, 4.8)
    before = text_so_far(ax)
    mesh = ax.pcolormesh(
        across.edges,
        up.edges,
        np.ma.masked_invalid(means),
        cmap="viridis",
        norm=_norm(means, value_range, is_fraction=about.is_fraction),
        rasterized=True,
    )
    marked = [cell for cell, here in cells.items() if any(run.diverged for run in here)]
    _mark_diverged(ax, marked, across, up)
    _name_sides(ax, across, up)
    seeds = len(result.settings["seeds"])
    note = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
    if marked:
        note += "; ×: diverged"
    ax.set_title(f"{capital(about.title)}\n{note}")
    unit = "%" if about.is_fraction else "nats"
    if colorbar:
        # Inside the panel's own box: a bar that takes room from the figure would make this panel
        # smaller than those beside it.
        bar = ax.figure.colorbar(mesh, cax=ax.inset_axes((1.03, 0, 0.04, 1)))
        bar.set_label(f"{about.title} ({unit})", color=INK, fontsize=STYLE["axes.labelsize"])
        bar.ax.tick_params(labelsize=STYLE["ytick.labelsize"], color=MUTED, labelcolor=INK)
        bar.outline.set_visible(False)
    start = f"Map of {about.title} ({unit}), {note}, over {shape[1]} values of {across.name} and "
    say_after(
        ax, _map_in_words(f"{start}{shape[0]} of {up.name}: ", means, across, up), after=before
    )
    return ax


def _mean_of(runs: Sequence[Run], metric: str) -> float:
    """Mean over the runs that have such a number; NaN if none has."""
    numbers = [number for run in runs if math.isfinite(number := METRICS[metric].of(run))]
    return sum(numbers) / len(numbers) if numbers else math.nan


def _norm(
    means: NDArray[np.float64], ends: tuple[float, float] | None, *, is_fraction: bool
) -> Normalize:
    finite = means[np.isfinite(means)]
    low, high = ends or ((finite.min(), finite.max()) if len(finite) else (0.0, 1.0))
    if not is_fraction and low > 0 and high > LOG_RATIO * low:
        return LogNorm(low, high)
    return Normalize(low, high)


def _mark_diverged(ax: Axes, cells: Sequence[tuple[int, ...]], across: _Side, up: _Side) -> None:
    rows, columns = np.array(cells, dtype=int).reshape(-1, 2).T
    # A third of a cell, so that its colour is seen around the ×, and neighbours do not touch.
    shape = len(up.values), len(across.values)
    points = 72 * min(ax.bbox.height / shape[0], ax.bbox.width / shape[1]) / ax.figure.dpi
    ax.plot(
        across.places[columns],
        up.places[rows],
        linestyle="none",
        marker="x",
        color=MUTED,
        markersize=float(np.clip(0.35 * points, 2, 8)),
        markeredgewidth=1.0,
        label="diverged" if cells else None,
    )


def _name_sides(ax: Axes, across: _Side, up: _Side) -> None:
    for axis, side in ((ax.xaxis, across), (ax.yaxis, up)):
        if side.scale == "log":
            (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
            log_ticks(axis, *side.edges[[0, -1]])
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
        return f"{number_text(means[row, column])} at {across.says(column)}, {up.says(row)}"

    filled = int(np.isfinite(means).sum())
    parts = [f"no number at {means.size - filled} of {means.size} points"] * (filled < means.size)
    if filled:
        parts = [f"lowest {at(np.nanargmin(means))}", f"highest {at(np.nanargmax(means))}", *parts]
    return fitting(start, parts, f"{filled} of {means.size} points have a number.")
