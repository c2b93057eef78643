"""How far layers move as a network gets wider: `plot_coordinates`."""

import numpy as np
from matplotlib.axes import Axes

from initguide.experiments import CoordinateCheck
from initguide.plots.predictions import plot_prediction
from initguide.plots.scales import ticks_at


def plot_coordinates(
    check: CoordinateCheck, label: str, *, legend: bool = True, ax: Axes | None = None
) -> Axes:
    """Draw the change of each layer against the width, one dot per seed.

    A dashed line has the predicted exponent, and goes through the mean at the largest width. Where
    nothing was predicted it is level, as with muP, so that what rises or falls stands out.

    Parameters
    ----------
    check
        What `initguide.experiments.coordinate_check` returned.
    label
        Which of its ways.
    legend
        Whether to draw the legend; see `plot_prediction`.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the widths on x and the changes on y, both logarithmic.

    Raises
    ------
    ValueError
        If the check has no such way.

    Examples
    --------
    >>> import numpy as np
    >>> from initguide import experiments, plots
    >>> changes = np.array([[[1.0, 2.0], [1.0, 4.0]]])  # one seed, two widths, two layers
    >>> check = experiments.CoordinateCheck((64, 128), ("fc1", "fc2"), {"Adam": changes}, {}, 1)
    >>> ax = plots.plot_coordinates(check, "Adam")
    >>> print(plots.alt_text(ax.figure))
    Adam: fc1 predicted 1.00 in 64 and 1.00 in 128, measured off by at most 0.00 %; fc2 predicted
    4.00 in 64 and 4.00 in 128, measured off by at most 50.0 %.
    """
    if label not in check.changes:
        raise ValueError(f"unknown way {label!r}; there are {', '.join(check.changes)}")
    found = check.changes[label]
    widths, last = np.array(check.widths), found[:, -1].mean(0)
    powers = check.predicted.get(label, [0.0] * len(check.layers))
    ax = plot_prediction(
        {layer: found[..., i] for i, layer in enumerate(check.layers)},
        {
            layer: last[i] * (widths / widths[-1]) ** float(powers[i])
            for i, layer in enumerate(check.layers)
        },
        at=check.widths,
        log=True,
        title=label,
        xlabel="width (logarithmic)",
        ylabel="change",
        legend=legend,
        ax=ax,
    )
    ticks_at(ax.xaxis, check.widths)
    return ax
