"""One row per scheme: `plot_accuracy` and `plot_differences`."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from initguide.experiments import METRICS, Results
from initguide.plots.curves import check_result
from initguide.plots.style import INK, STYLE, Look, axes_for, looks_of
from initguide.plots.words import (
    capital,
    fitting,
    lost_text,
    number_text,
    say_after,
    text_so_far,
)


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
    ax: Axes, rows: Sequence[_Dots], looks: Mapping[str, Look], number: Callable[[float], str]
) -> None:
    """Draw one row per label, from the top: the mean, its interval, and every seed under it."""
    for y, row in enumerate(rows):
        look = looks[row.label]
        if row.interval is not None:
            ax.plot(row.interval, [y, y], color=look.color, linewidth=2.6, solid_capstyle="butt")
        # Seeds lie below the interval, not on it: there they would hide where it ends.
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
        # The number stands in the margin: beside its dot it would lie on another row's interval.
        ax.text(
            1.01,
            y,
            _with_interval(row, number),
            transform=ax.get_yaxis_transform(),
            va="center",
            color=INK,
            fontsize=STYLE["ytick.labelsize"],
        )
    names = [f"{row.label}\n({row.remark})" if row.remark else row.label for row in rows]
    ax.set_yticks(range(len(rows)), names)
    ax.set_ylim(len(rows) - 0.5, -0.5)  # the first row on top, as in a table
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)


def _with_interval(row: _Dots, number: Callable[[float], str]) -> str:
    if not math.isfinite(row.mean):
        return "–"
    if row.interval is None:
        return number(row.mean)
    # `number` may put a sign, which belongs to the mean alone.
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
    # Without a least width, two accuracies that differ by 0.01 points would fill the panel.
    margin = max(0.06 * (high - low), (narrowest - (high - low)) / 2)
    return float(low - margin), float(high + margin)


def _digits(span: float) -> int:
    """Decimals that show differences of a hundredth of the axis, between 1 and 4."""
    return min(4, max(1, math.ceil(-math.log10(span / 100)) if span > 0 else 1))


def _dots_height(rows: int) -> float:
    return 1.5 + 0.42 * rows


def plot_accuracy(
    result: Results,
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
        What `initguide.compare_init_weights` or `initguide.sweep` returns; a point of a grid is
        a row as a scheme is.
    metric
        ``"valid_accuracy"`` or ``"test_accuracy"``.
    sort
        Whether the best scheme stands on top, instead of the order given.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the accuracy in percent on x and one row per scheme on y.

    Raises
    ------
    ValueError
        If the metric is not an accuracy, or the result is empty.
    """
    allowed = [name for name, about in METRICS.items() if about.is_fraction]
    if metric not in allowed:
        raise ValueError(f"metric is {metric!r}; the accuracies are {', '.join(allowed)}")
    check_result(result)
    rows = [
        _scaled(
            *row,
            result.values_at(row.label, metric),
            lost_text(result.runs_at(row.label)),
            scale=100,
        )
        for row in result.means(metric)
    ]
    if sort:
        # Schemes without a mean go last; NaN itself would leave the order undefined.
        rows.sort(key=lambda row: -row.mean if math.isfinite(row.mean) else math.inf)
    ax = axes_for(ax, _dots_height(len(rows)))
    before = text_so_far(ax)
    low, high = _limits(rows, [], narrowest=1.0)
    digits = _digits(high - low)
    _draw_dots(ax, rows, looks_of(result.described), lambda x: number_text(x, digits))
    seeds = len({run.seed for run in result.runs})
    name = METRICS[metric].title
    note = "line and ±: 95 % interval; small dots: seeds" if seeds > 1 else "one seed"
    ax.set(
        title=f"{capital(name)}, mean of {seeds} seeds" if seeds > 1 else capital(name),
        xlabel=f"{name} (%)\n{note}",
        xlim=(low, high),
    )
    words = f"{capital(name)} in percent, " + (
        f"mean of {seeds} seeds with its 95 % interval: " if seeds > 1 else "one seed: "
    )
    say_after(ax, _dots_in_words(words, rows, digits), after=before)
    return ax


def plot_differences(
    result: Results,
    reference: str | Mapping[str, Any],
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
        What `initguide.compare_init_weights` or `initguide.sweep` returns; a point of a grid is
        a row as a scheme is.
    reference
        The label, or the settings, of what the others are compared with.
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
        per scheme on y.

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
    check_result(result)
    reference = result.label_at(reference)  # refuses an unknown label, and lists the known ones
    others = [label for label in result.labels if label != reference]
    if not others:
        raise ValueError(f"{reference!r} is the only scheme; there is nothing to compare it with")
    about = METRICS[metric]
    rows = []
    for label in others:
        found = result.difference(label, reference, metric, confidence=confidence)
        seeds = len(result.settings["seeds"])
        lost = seeds - len(found.seeds)
        # In a sweep, a pair may also lack a run that failed.
        is_whole = len(result.runs_at(label)) == len(result.runs_at(reference)) == seeds
        how = "diverged" if is_whole else "incomplete"
        remark = f"{lost} of {seeds} pairs {how}" if lost else ""
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
    ax = axes_for(ax, _dots_height(len(rows)))
    before = text_so_far(ax)
    low, high = _limits(rows, [0.0], narrowest=1.0 if about.is_fraction else 0.01)
    digits = _digits(high - low)
    ax.axvline(0, color=INK, linewidth=1.2)

    def signed(x: float) -> str:
        return ("+" if x > 0 else "") + number_text(x, digits)

    _draw_dots(ax, rows, looks_of(result.described), signed)
    unit = "percentage points" if about.is_fraction else "nats"
    better = "right" if about.higher_is_better else "left"
    several = any(row.interval for row in rows)
    note = f"line and ±: {100 * confidence:.4g} % interval, " if several else ""
    ax.set(
        title=f"{capital(about.title)} minus that of “{reference}”",
        xlabel=f"difference ({unit}; {better} is better)\n{note}paired by seed",
        xlim=(low, high),
    )
    words = f"{capital(about.title)} minus that of “{reference}” in {unit}, paired by seed" + (
        f", with {100 * confidence:.4g} % intervals: " if several else ": "
    )
    say_after(ax, _dots_in_words(words, rows, digits), after=before)
    return ax


def _dots_in_words(start: str, rows: Sequence[_Dots], digits: int) -> str:
    def one(row: _Dots) -> str:
        if not math.isfinite(row.mean):
            return f"{row.label}: {row.remark or 'no number'}"
        text = f"{row.label} {number_text(row.mean, digits)}"
        if row.interval is not None:
            low, high = (number_text(end, digits) for end in row.interval)
            text += f" ({low} to {high})"
        return text + (f", {row.remark}" if row.remark else "")

    finite = sorted((row for row in rows if math.isfinite(row.mean)), key=lambda row: -row.mean)
    instead = f"none of {len(rows)} schemes has a number."
    if finite:
        instead = f"of {len(rows)} schemes, highest {one(finite[0])}, lowest {one(finite[-1])}."
    return fitting(start, [one(row) for row in rows], instead)
