"""Map of what trains, over initial scale and learning rate."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from initguide.experiments import TrainabilityMap
from initguide.plots.scales import ticks_at
from initguide.plots.style import INK, MUTED, STYLE, axes_for
from initguide.plots.words import say_after, text_so_far

# Blue learns, orange diverges. Both halves run from pale to dark, so that the border, where the
# slow ones are, is dark on one side and pale on the other, for color-blind readers, too.
BLUE_AND_ORANGE = LinearSegmentedColormap.from_list(
    "trainability", [(0, "#a6d0ea"), (0.5, "#08204f"), (0.5, "#fff3d6"), (1, "#b34700")]
)
TICKS = 5


def plot_trainability(result: TrainabilityMap, *, ax: Axes | None = None) -> Axes:
    """Map of the networks that learn and those that diverge, coloured by how fast they do.

    Parameters
    ----------
    result
        What `initguide.experiments.trainability_map` returns.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        With the initial scale on x and the learning rate on y, both logarithmic. The map is its
        first collection.
    """
    ax = axes_for(ax, 4.6)
    before = text_so_far(ax)
    mesh = ax.pcolormesh(
        result.scales,
        result.learning_rates,
        # Transposed, since the rows of a mesh go up the y axis.
        result.speed.T,
        cmap=BLUE_AND_ORANGE,
        vmin=-1,
        vmax=1,
        rasterized=True,
    )
    for axis, values in ((ax.xaxis, result.scales), (ax.yaxis, result.learning_rates)):
        ticks = values[np.linspace(0, len(values) - 1, min(TICKS, len(values))).astype(int)]
        ticks_at(axis, ticks.tolist(), _distinct(ticks))
    shape = f"{len(result.scales)} × {len(result.learning_rates)}"
    ax.set(
        title=f"{shape} networks",
        xlabel="initial scale (logarithmic)",
        ylabel="learning rate (logarithmic)",
    )
    ax.grid(visible=False)
    # In the panel's own box, as in `plot_map`.
    bar = ax.figure.colorbar(mesh, cax=ax.inset_axes((1.03, 0, 0.04, 1)))
    bar.set_ticks(
        [-0.95, -0.05, 0.05, 0.95],
        labels=["learns fast", "learns slowly", "diverges slowly", "diverges fast"],
    )
    bar.ax.tick_params(labelsize=STYLE["ytick.labelsize"], color=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)
    learnt = result.converged
    # The user's order need not be a rising one.
    lowest, highest = result.learning_rates.argmin(), result.learning_rates.argmax()
    spans = (
        _distinct(np.array([axis.min(), axis.max()]))
        for axis in (result.scales, result.learning_rates)
    )
    (left, right), (low, high) = spans
    say_after(
        ax,
        f"Map of {shape} networks over initial scale, {left} to {right}, and learning rate, {low} "
        f"to {high}. {learnt.mean():.0%} learn: {learnt[:, lowest].mean():.0%} of those with the "
        f"lowest rate, {learnt[:, highest].mean():.0%} of those with the highest.",
        after=before,
    )
    return ax


def _distinct(values: NDArray[np.float64]) -> list[str]:
    """Write numbers with as many digits as tell them apart, at least three."""
    for digits in range(3, 17):
        words = [f"{value:.{digits}g}" for value in values]
        if len(set(words)) == len(words):
            break
    return words
