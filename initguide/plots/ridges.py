"""One histogram per layer, one above the other: `plot_ridges`."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from initguide.plots.histograms import ROW_HEIGHT, draw_row, name_rows, text_beside
from initguide.plots.layers import chosen
from initguide.plots.scales import LOG_RATIO
from initguide.plots.style import BLUE, GREEN, MAGENTA, ORANGE, VIOLET, axes_for
from initguide.plots.words import capital, counted, fitting, number_text, say_after, text_so_far
from initguide.propagation import Histogram, Measurement

_HISTOGRAMS = {
    "weights": ("weights", GREEN),
    "outputs": ("outputs of the layers (pre-activations)", BLUE),
    "activations": ("outputs after the activation", VIOLET),
    "weight_grads": ("gradients of the weights", ORANGE),
    "output_grads": ("gradients of the outputs", MAGENTA),
}


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
    records = [record for record in chosen(measurement, kinds) if of in record.histograms]
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
        standardize = bool(spreads) and max(spreads) / min(spreads) > LOG_RATIO
    words, color = _HISTOGRAMS[of]
    # A row gets 0.62 inches while there are few, and never less than its label is high (0.26).
    ax = axes_for(ax, height=1.5 + max(0.26, min(0.62, 9.0 / len(rows))) * len(rows))
    before = text_so_far(ax)
    ends: list[float] = []
    for i, row in enumerate(rows):
        ends += _draw_row(ax, i, row, color, standardize=standardize, log=log)
        spread = f"sd {number_text(row.std)}" if row.std > 0 else f"all {number_text(row.mean)}"
        text_beside(ax, i, spread)
    low, high = (min(ends), max(ends)) if ends else (-1.0, 1.0)
    margin = 0.02 * (high - low) or 0.5
    ax.set_xlim(low - margin, high + margin)
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    name_rows(ax, names)
    scaled = "heights: log(1 + count)" if log else "heights: counts"
    unit = " / each row's standard deviation" if standardize else ""
    text = title if title is not None else f"{capital(words)}, layer by layer"
    ax.set(title=text, xlabel=f"{words}{unit}\n{scaled}, each row scaled to its highest bin")
    start = f"{text}: {counted(len(rows), 'histogram')} in rows" + (
        ", each in units of its standard deviation" if standardize else ""
    )
    parts = [f"{name} {number_text(row.std)}" for name, row in zip(names, rows, strict=True)]
    say_after(
        ax,
        fitting(
            f"{start}; standard deviations: ",
            parts,
            f"first {parts[0]}, last {parts[-1]}.",
        ),
        after=before,
    )
    return ax


def _draw_row(
    ax: Axes, i: int, row: Histogram, color: str, *, standardize: bool, log: bool
) -> list[float]:
    """Draw one histogram as the row at -i, and return where it begins and ends on x."""
    if row.std > 0:
        edges = row.edges / (row.std if standardize else 1.0)
        heights = np.log1p(row.counts) if log else row.counts.astype(np.float64)
        draw_row(ax, i, heights / heights.max(), edges, color)
        return [float(edges[0]), float(edges[-1])]
    if not standardize or row.mean == 0:  # one value has no width, and perhaps no unit
        ax.plot([row.mean] * 2, [-i, ROW_HEIGHT - i], color=color, linewidth=2)
        return [row.mean]
    return []
