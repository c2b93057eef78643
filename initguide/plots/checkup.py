"""A check-up at a glance: `plot_checkup`."""

import numpy as np
from matplotlib.axes import Axes

from initguide.checkup import Checkup
from initguide.plots.curves import legend_below
from initguide.plots.layers import name_layers
from initguide.plots.style import BLUE, INK, MAGENTA, ORANGE, RED, axes_for
from initguide.plots.words import fitting, number_text, say_after, text_so_far


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
    ax = axes_for(ax, height=4.2)
    before = text_so_far(ax)
    curves = {
        "root mean square of the outputs": np.sqrt([r.output_second_moment for r in records]),
        "standard deviation of their gradients": np.sqrt([r.output_grad_var for r in records]),
    }
    words = []
    for (label, numbers), color, style in zip(
        curves.items(), (BLUE, ORANGE), ("-", "--"), strict=True
    ):
        shown = np.where(np.isfinite(numbers) & (numbers > 0), numbers, np.nan)
        ax.plot(x, shown, color=color, linestyle=style, marker="o", markersize=4, label=label)
        at = np.flatnonzero(np.isfinite(shown))
        words.append(
            f"{label} from {number_text(shown[at[0]])} to {number_text(shown[at[-1]])}"
            if len(at)
            else f"{label}: nothing finite above 0"
        )
    ax.set_yscale("log")
    # Backwards, so that a layer that is used twice is marked at its first use.
    place = {record.name: i for i, record in reversed(list(enumerate(records, start=1)))}
    for severity, sign, color in (
        ("error", "×", RED),
        ("warning", "!", MAGENTA),
        ("note", "·", INK),
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
    name_layers(ax, [[record.name for record in records]])
    ax.set_ylabel("size, logarithmic scale")
    # The pad leaves room for the signs, which stand above the panel.
    ax.set_title("Signal and gradient, layer by layer", pad=18)
    legend_below(ax, "× error, ! warning, · note" if report.findings else None)
    found = ", ".join(codes) or "nothing"
    start = "Signal and gradient, layer by layer, logarithmic scale: "
    say_after(
        ax,
        fitting(start, [*words, f"found: {found}"], f"{words[0]}; found: {found}."),
        after=before,
    )
    return ax
