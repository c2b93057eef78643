"""Several draws as one curve: `draw_band`, a brush for figures of your own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike


def draw_band(
    draws: ArrayLike, *, at: Sequence[float] | ArrayLike, ax: Axes, label: str = "", **look: Any
) -> None:
    """Draw the mean of several draws as a line, and a band from the smallest to the largest.

    This is a brush for a figure of your own: it sets no title and describes nothing (see
    `describe`).

    Parameters
    ----------
    draws
        (draws, places) numbers, one row per seed, say; or (places,) for one draw, without a band.
    at
        The places on x.
    ax
        Where to draw.
    label
        The line's name in the legend; none if empty.
    **look
        For the line, as in `matplotlib.axes.Axes.plot`, such as ``color``. The band has its colour.

    Raises
    ------
    ValueError
        If ``draws`` has another shape, or another number of places than ``at``.

    Examples
    --------
    >>> from initguide.plots import subplots
    >>> figure, ax = subplots()
    >>> draw_band([[0.1, 0.4], [0.3, 0.6]], at=[1, 2], label="He", ax=ax)
    >>> ax.lines[0].get_ydata().round(2).tolist()
    [0.2, 0.5]
    """
    rows, x = np.atleast_2d(np.asarray(draws, np.float64)), np.asarray(at, np.float64)
    if rows.ndim != 2 or not rows.size or rows.shape[1] != len(x):
        raise ValueError(
            f"draws has shape {np.shape(draws)} and at {x.shape}; draws must be (draws, places) "
            "with a place for each entry of at"
        )
    (line,) = ax.plot(x, rows.mean(axis=0), label=label, **look)
    if len(rows) > 1:
        # Below the lines (2), so that no band covers another label's curve.
        band = rows.min(axis=0), rows.max(axis=0)
        ax.fill_between(x, *band, color=line.get_color(), alpha=0.2, linewidth=0)
