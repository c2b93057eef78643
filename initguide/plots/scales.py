"""Ticks and limits of logarithmic axes."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis, YAxis
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

LOG_RATIO = 50  # from here on, a linear axis shows the largest curve and flattens the others


def ratio_of_ends(curves: Sequence[NDArray[np.float64]]) -> float:
    """Largest over smallest positive value."""
    values = np.concatenate([curve[curve > 0] for curve in curves])
    return float(values.max() / values.min()) if len(values) else 1.0


def make_logarithmic(ax: Axes) -> None:
    """Make the y axis logarithmic, with at least two labels on it."""
    ax.set_yscale("log", nonpositive="clip")
    log_ticks(ax.yaxis, *ax.get_ylim())


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Put ticks at round numbers, as many as an axis over these decades has room for."""
    decades = math.log10(high / low)
    axis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if decades < 2 else (1, 3) if decades < 3 else (1,), numticks=9)
    )
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_tick))  # by name, so that figures can be pickled


def ticks_at(
    axis: XAxis | YAxis, values: Sequence[float], labels: Sequence[str] | None = None
) -> None:
    """Make an axis logarithmic, with ticks at the values that were tried and nowhere else.

    Parameters
    ----------
    axis
        ``ax.xaxis`` or ``ax.yaxis``.
    values
        Where the ticks are, above 0.
    labels
        What is written at each; the values if ``None``.

    Raises
    ------
    ValueError
        If a value is not above 0.

    Examples
    --------
    >>> from initguide.plots import subplots
    >>> figure, ax = subplots()
    >>> ticks_at(ax.xaxis, [64, 256, 1024])
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['64', '256', '1,024']
    """
    if not all(value > 0 for value in values):
        raise ValueError(f"values is {list(values)}; a logarithmic axis has ticks above 0 only")
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_ticks(list(values), list(labels) if labels else [_tick(value) for value in values])
    axis.set_ticks([], minor=True)


def _tick(value: float, _place: int | None = None) -> str:
    if 1e-3 <= value < 1e6:
        return f"{value:,.10g}"
    # Nudged up: log10 of a power of ten may come out just below the whole number.
    power = math.floor(math.log10(value) + 1e-9)
    digit = round(value / 10**power)
    factor = "" if digit == 1 else rf"{digit} \cdot "
    return f"${factor}10^{{{power}}}$"


def is_geometric(places: NDArray[np.float64]) -> bool:
    """Whether rising positive numbers are spaced more evenly by their logarithms."""
    # Two places are evenly spaced by any measure: a factor of ten decides.
    if len(places) < 3:
        return bool(places[-1] >= 10 * places[0])
    plain, logs = np.diff(places), np.diff(np.log(places))
    return bool(logs.std() / logs.mean() < plain.std() / plain.mean())


def is_logarithmic(curves: Sequence[NDArray[np.float64]], log: bool | None, value: str) -> bool:
    """Whether curves span so much that a linear axis would flatten all but one."""
    every = np.concatenate(curves)
    negative, positive = bool((every < 0).any()), bool((every > 0).any())
    if log and negative:
        raise ValueError(f"log is True, but {value} is negative in some layers; leave it out")
    wanted = log if log is not None else not negative and ratio_of_ends(curves) > LOG_RATIO
    return wanted and positive
