"""Training losses: `plot_losses`."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from initguide.arguments import check_whole
from initguide.experiments import Results
from initguide.plots.scales import LOG_RATIO, make_logarithmic, ratio_of_ends
from initguide.plots.style import STYLE, axes_for, looks_of
from initguide.plots.words import fitting, lost_text, number_text, say_after, text_so_far
from initguide.training import Run


def check_result(result: Results) -> None:
    """Refuse a result without runs."""
    if not result.runs:
        raise ValueError("the result holds no runs, so there is nothing to draw")


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
    stacked = np.full((len(curves), max(map(len, curves), default=0)), np.nan)
    for row, curve in zip(stacked, curves, strict=True):
        row[: len(curve)] = curve
    return stacked


def plot_losses(
    result: Results, *, first: int | None = None, smooth: int = 1, ax: Axes | None = None
) -> Axes:
    """Training loss against the number of the mini-batch, one curve per scheme.

    The line is the mean over seeds, the band reaches from the smallest to the largest. A run that
    diverged ends with an × at its last finite loss (at the top of the panel if it has none), and
    after a gap the mean goes on with the other seeds. The y axis is logarithmic, and says so, if
    the largest of the means is more than 50 times the smallest.

    Parameters
    ----------
    result
        What `initguide.compare_init_weights` or `initguide.sweep` returns; a point of a grid is
        drawn as a scheme is.
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
    check_result(result)
    ax = axes_for(ax, height=3.7 + 0.2 * math.ceil(len(result.labels) / 3))
    before = text_so_far(ax)
    looks = looks_of(result.described)
    ends: dict[str, tuple[float, float]] = {}
    peaks: dict[str, float] = {}
    remarks = {label: lost_text(result.runs_at(label)) for label in result.labels}
    means = []
    for i, label in enumerate(result.labels):
        look, runs = looks[label], result.runs_at(label)
        losses = _stack([_finite_losses(run, first, smooth) for run in runs])
        # All runs at a point of a sweep may have failed: then there is nothing to average.
        mean = np.nanmean(losses, axis=0) if runs else np.empty(0)
        means.append(mean)
        if len(mean):
            ends[label], peaks[label] = (mean[0], mean[-1]), mean.max()
        # Where a run ends, the mean jumps to that of the others: the curve has a gap there.
        gaps = np.unique(np.isfinite(losses).sum(axis=1))[:-1]
        batches = np.insert(np.arange(1.0, losses.shape[1] + 1), gaps, np.nan)
        if len(runs) > 1:
            low, high = (np.insert(f(losses, axis=0), gaps, np.nan) for f in (np.nanmin, np.nanmax))
            ax.fill_between(batches, low, high, color=look.color, alpha=0.18, linewidth=0)
        # Seven markers per curve, each scheme's shifted against the others': curves that coincide
        # would hide all markers but the last's.
        step = max(1, len(mean) // 7)
        ax.plot(
            batches,
            np.insert(mean, gaps, np.nan),
            color=look.color,
            linestyle=look.style,
            marker=look.marker,
            markevery=(i * step // len(result.labels), step),
            label=legend_label(label, remarks[label]),
            zorder=2.5,
        )
        for run, row in zip(runs, losses, strict=True):
            if run.diverged_at is not None and (first is None or run.diverged_at < first):
                _mark_end(ax, row[np.isfinite(row)], look.color)
    logarithmic = ratio_of_ends(means) > LOG_RATIO
    if logarithmic:
        make_logarithmic(ax)
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
    legend_below(ax, note)
    say_after(
        ax,
        _losses_in_words(title, note, ends, peaks, remarks, logarithmic=logarithmic),
        after=before,
    )
    return ax


def legend_label(label: str, remark: str) -> str:
    """How a scheme is named in the legend, with what went wrong."""
    text = f"{label} ({remark})" if remark else label
    return f" {text}" if text.startswith("_") else text  # matplotlib hides a leading underscore


def _mark_end(ax: Axes, losses: NDArray[np.float64], color: str) -> None:
    # Without a finite loss there is no height to mark: at batch 1, at the top of the panel.
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
        # The whole × is seen, also where a curve ends at the edge of the panel.
        clip_on=False,
        zorder=3,
        **where,  # type: ignore[arg-type]
    )


def legend_below(ax: Axes, note: str | None = None) -> None:
    """Put the legend under the x label, in as many columns as fit."""
    # Columns have to be chosen before the layout is known, so the width of a label is estimated:
    # 0.75 inches for its handle, 0.075 per letter. Placed in inches below the axis, not in parts of
    # the panel: ticks and x label take the same room in a small panel as in a large one.
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
    peaks: Mapping[str, float],
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
        a, b = map(number_text, ends[label])
        if peaks[label] > 2 * max(ends[label]):
            words = f"rises from {a} to {number_text(peaks[label])} and falls to {b}"
        elif a == b:
            words = f"stays at {a}"
        else:
            words = f"{'falls' if ends[label][1] < ends[label][0] else 'rises'} from {a} to {b}"
        parts.append(f"{label} {words}" + (f", {remark}" if remark else ""))
    if not ends:
        return fitting(start, parts, f"none of {len(remarks)} schemes has a finite loss")
    lowest, highest = (f(ends, key=lambda label: ends[label][1]) for f in (min, max))
    first = [a for a, _ in ends.values()]
    instead = (
        f"{len(remarks)} schemes start between {number_text(min(first))} and "
        f"{number_text(max(first))}; "
        f"lowest at the end {lowest} with {number_text(ends[lowest][1])}, "
        f"highest {highest} with {number_text(ends[highest][1])}"
    )
    if any(remarks.values()):
        instead += f"; runs of {sum(map(bool, remarks.values()))} schemes diverged"
    return fitting(start, parts, instead + ".")
