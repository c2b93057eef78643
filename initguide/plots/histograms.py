"""Distributions: `plot_histogram`, `plot_histograms` and the lesson's `hist_dist`."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from initguide.arguments import check_whole
from initguide.plots.curves import legend_below
from initguide.plots.style import INK, STYLE, axes_for, color_of, looks_of
from initguide.plots.words import capital, counted, fitting, number_text, say_after, text_so_far

Values = Tensor | ArrayLike

ROW_HEIGHT = 0.82  # of the room from row to row: the highest bin does not touch the row above


def _numbers(values: Values, name: str) -> NDArray[np.float64]:
    """Return the finite values in one dimension, or say why there are none."""
    if isinstance(values, Tensor):
        if values.is_complex():
            raise ValueError(
                f"{name} is of complex numbers; give a histogram real ones, such as their abs()"
            )
        if values.is_sparse or values.is_sparse_csr:
            values = values.to_dense()  # zeros that are not stored are values all the same
        # In float64 first: NumPy has no bfloat16.
        values = values.detach().to("cpu").double().numpy()
    array = np.asarray(values, dtype=np.float64).ravel()
    if not array.size:
        raise ValueError(f"{name} is empty; a histogram needs at least one number")
    finite = array[np.isfinite(array)]
    if not finite.size:
        raise ValueError(f"{name} has {array.size:,} values, and all are NaN or infinite")
    return finite


def check_range(value_range: tuple[float, float] | None, name: str) -> None:
    """Refuse a range whose ends are not finite and rising."""
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
        Whether the heights are fractions of all values per unit of x, instead of counts.
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
    >>> import matplotlib.pyplot as plt
    >>> from initguide.plots import alt_text
    >>> ax = plot_histogram([0, 0, 1, 1, 1, 2], bins=3, value_range=(0, 3))
    >>> alt_text(ax.figure)
    'Histogram of 6 values in 3 bins from 0.00 to 3.00: mean 0.83, standard deviation 0.69, ...'
    >>> plt.close(ax.figure)
    """
    check_whole("bins", bins, 1)
    check_range(value_range, "value_range")
    numbers = _numbers(values, "values")
    ax = axes_for(ax, height=3.6 if label is None and expected is None else 3.9)
    before = text_so_far(ax)
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
        # A count is the density times the number of values and the width of a bin.
        scale = 1 if density else numbers.size * widths[0]
        ax.plot(x, scale * curve, color=INK, linestyle="--", linewidth=1.4, label="expected")
    ax.set(xlabel=xlabel, ylabel="density" if density else "number of values")
    ax.set_xlim(edges[0], edges[-1])
    if title is not None:
        ax.set_title(title)
    if ax.get_legend_handles_labels()[1]:
        legend_below(ax)
    outside = numbers.size - int(counts.sum())
    text = (
        f"Histogram of {_count_values(numbers)} in {counted(bins, 'bin')} from "
        f"{number_text(edges[0])} to {number_text(edges[-1])}{f', {label}' if label else ''}: "
        f"mean {number_text(numbers.mean())}, standard deviation {number_text(numbers.std())}, "
        f"smallest {number_text(numbers.min())}, largest {number_text(numbers.max())}"
    )
    if outside:
        text += f"; {outside:,} outside"
    if expected is not None:
        text += "; a dashed line shows the expected density"
    say_after(ax, text + ".", after=before)
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
    check_range(value_range, "value_range")
    if not named_values:
        raise ValueError("named_values is empty; give at least one name with its values")
    rows = {name: _numbers(values, repr(name)) for name, values in named_values.items()}
    if value_range is None:
        value_range = (
            float(min(row.min() for row in rows.values())),
            float(max(row.max() for row in rows.values())),
        )
    looks = looks_of({name: (schemes or {}).get(name, name) for name in rows})
    ax = axes_for(ax, height=1.3 + 0.62 * len(rows))
    before = text_so_far(ax)
    for i, (name, numbers) in enumerate(rows.items()):
        counts, edges = np.histogram(numbers, bins=bins, range=value_range)
        heights = np.log1p(counts) if log else counts.astype(np.float64)
        # Below 1 there are rows that all values missed: value_range does not reach them.
        draw_row(ax, i, heights / max(1.0, heights.max()), edges, looks[name].color)
        text_beside(ax, i, f"sd {number_text(numbers.std())}")
    ax.set_xlim(edges[0], edges[-1])
    name_rows(ax, list(rows))
    scaled = "heights: log(1 + count)" if log else "heights: counts"
    ax.set(xlabel=f"{xlabel}\n{scaled}, each row scaled to its highest bin")
    if title is not None:
        ax.set_title(title)
    spreads = {name: numbers.std() for name, numbers in rows.items()}
    widest, narrowest = (f(spreads, key=lambda name: spreads[name]) for f in (max, min))
    text = (
        f"{counted(len(rows), 'histogram')} in rows from {number_text(edges[0])} to "
        f"{number_text(edges[-1])}, standard deviations: "
    )
    say_after(
        ax,
        fitting(
            capital(text),
            [f"{name} {number_text(spread)}" for name, spread in spreads.items()],
            f"widest {widest} with {number_text(spreads[widest])}, "
            f"narrowest {narrowest} with {number_text(spreads[narrowest])}.",
        ),
        after=before,
    )
    return ax


def draw_row(
    ax: Axes, i: int, heights: NDArray[np.float64], edges: NDArray[np.float64], color: str
) -> None:
    """Draw one histogram, of heights up to 1, as the row at -i."""
    heights = ROW_HEIGHT * heights - i
    ax.stairs(heights, edges, baseline=-i, fill=True, color=color, alpha=0.45, linewidth=0)
    ax.stairs(heights, edges, baseline=None, color=color, linewidth=1.1)


def text_beside(ax: Axes, i: int, text: str) -> None:
    """Write a number of the row at -i into the right margin, where no histogram lies under it."""
    ax.text(
        1.01,
        -i + 0.05,
        text,
        transform=ax.get_yaxis_transform(),  # x in parts of the panel, y in rows
        color=INK,
        fontsize=STYLE["ytick.labelsize"],
    )


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name rows at their base lines; the y axis has no other meaning, so it has no tick marks."""
    ax.set_ylim(-len(names) + 0.92, 1.0)
    ax.set_yticks([-i for i in range(len(names))], names, va="bottom")
    ax.tick_params(axis="y", length=0)


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
    check_range(hist_range, "hist_range")
    size = _numbers(distribution_tensor, "distribution_tensor").size
    return plot_histogram(
        distribution_tensor, bins=max(1, size // 2), value_range=hist_range, title=title, ax=ax
    )
