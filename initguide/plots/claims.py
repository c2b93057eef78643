"""Claims beside what was measured: `plot_claims`."""

import math
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from initguide.experiments import JudgedSetting, Judgement
from initguide.plots.curves import legend_below
from initguide.plots.style import INK, PALETTE, axes_for
from initguide.plots.words import fitting, number_text, say_after, text_so_far

_LOOKS = {  # what each outcome looks like: told by the marker as well as by the colour
    "holds": ("o", PALETTE[0]),
    "smaller than claimed": ("v", PALETTE[3]),
    "does not hold": ("X", PALETTE[1]),
    "cannot tell": ("s", PALETTE[2]),
}
_WIDE = 20  # where numbers reach so many times further than what is claimed, the axis is bent


def plot_claims(
    judged: Mapping[str, Judgement],
    *,
    title: str = "Claimed and measured",
    xlabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw what each claim predicts as a grey bar, and the interval that was measured on it.

    Where measurements lie far beyond the ends of the claims, the axis is logarithmic outside a
    middle part around 0, which is linear.

    Parameters
    ----------
    judged
        The claim -> what `initguide.experiments.judge` returned.
    title, xlabel
        Words at the figure; the unit of the numbers belongs into ``xlabel``.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the numbers on x, and on y a row for each setting, the first on top.

    Raises
    ------
    TypeError
        If ``judged`` is no dictionary.
    ValueError
        If there is no claim, or not one finite measurement.

    Examples
    --------
    >>> from initguide import experiments, plots
    >>> claimed = {"depth is 2": (-1, 1), "depth is 30": (-1, 1)}
    >>> measured = {"depth is 2": [0.1, -0.2, 0.3], "depth is 30": [-31.0, -28.0, -33.0]}
    >>> ax = plots.plot_claims({"no difference": experiments.judge(claimed, measured)})
    >>> print(plots.alt_text(ax.figure))
    Claimed and measured: no difference, depth is 2: 0.067, holds; no difference, depth is 30:
    −30.7, does not hold.
    """
    if not isinstance(judged, Mapping):
        raise TypeError(
            f"judged is of type {type(judged).__name__}; give a dictionary of claims and what "
            "judge() returned, such as {'no difference': judgement}"
        )
    rows = [(claim, found) for claim, one in judged.items() for found in one.findings]
    if not rows:
        raise ValueError("judged is empty; give at least one claim with what judge() returned")
    if not any(math.isfinite(found.mean) for _, found in rows):
        raise ValueError("no measurement is finite, so there is nothing to draw")
    ax = axes_for(ax, 1.9 + 0.42 * len(rows))
    before = text_so_far(ax)
    low, high = _limits(ax, [found for _, found in rows])
    for y, (_, found) in enumerate(rows):
        ends = [min(max(end, low), high) for end in found.claimed]
        ax.plot(ends, [y, y], color="0.8", linewidth=9, solid_capstyle="butt")
        marker, color = _LOOKS[found.outcome]
        if found.interval is not None:
            ax.plot(found.interval, [y, y], color=color, linewidth=2)
        face = "none" if found.holds is None else color
        ax.plot(found.mean, y, marker, color=color, markerfacecolor=face)
    ax.plot([], [], color="0.8", linewidth=9, label="claimed")
    for outcome in dict.fromkeys(found.outcome for _, found in rows):
        marker, color = _LOOKS[outcome]
        face = "none" if outcome == "cannot tell" else color
        ax.plot([], [], marker, color=color, markerfacecolor=face, label=outcome)
    ax.axvline(0, color=INK, linewidth=0.8, zorder=0.5)
    ax.set_yticks(range(len(rows)), [f"{claim}\n{found.setting}" for claim, found in rows])
    ax.set(title=title, xlabel=xlabel, ylim=(len(rows) - 0.4, -0.6), xlim=(low, high))
    legend_below(ax)
    words = [f"{c}, {f.setting}: {number_text(f.mean)}, {f.outcome}" for c, f in rows]
    outcomes = [found.outcome for _, found in rows]
    counts = [f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes)]
    say_after(
        ax, fitting(f"{title}: ", words, f"of {len(rows)}, {', '.join(counts)}."), after=before
    )
    return ax


def _limits(ax: Axes, rows: list[JudgedSetting]) -> tuple[float, float]:
    """Ends of the x axis, which is bent if it has to be."""
    ends = [end for found in rows for end in found.claimed if math.isfinite(end)]
    numbers = [n for found in rows for n in (found.mean, *(found.interval or ()))]
    every = [n for n in (*numbers, *ends, 0.0) if math.isfinite(n)]
    sizes = [abs(end) for end in ends if end]
    if sizes and max(map(abs, every)) > _WIDE * min(sizes):
        ax.set_xscale("symlog", linthresh=min(sizes))
        ax.xaxis.set_major_formatter(FuncFormatter(_tick))
        low = 2 * min(every) if min(every) < 0 else -min(sizes)
        return low, 2 * max(every) if max(every) > 0 else min(sizes)
    margin = 0.08 * (max(every) - min(every)) or 1.0
    return min(every) - margin, max(every) + margin


def _tick(value: float, _place: int | None = None) -> str:
    return f"{value:,.6g}".replace("-", "−")
