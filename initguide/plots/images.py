"""Images with their labels: `plot_images`."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from initguide.arguments import check_whole
from initguide.data import Split
from initguide.plots.style import INK, STYLE, axes_for
from initguide.plots.words import capital, counted, fitting, say_after, text_so_far


def plot_images(
    split: Split,
    classes: Sequence[str],
    *,
    count: int = 20,
    columns: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw the first images of a split, with the class under each.

    Parameters
    ----------
    split
        Images (N, 1, height, width) in [0, 1] and labels (N,).
    classes
        Name of each class, indexed by the label.
    count
        How many images, at least 1 and at most N.
    columns
        Images in a row, at least 1.
    ax
        Where to draw; a new figure if ``None``.

    Returns
    -------
    Axes
        Without ticks and frame; one unit is one pixel of an image.

    Raises
    ------
    ValueError
        If ``count`` or ``columns`` is out of range, or a label has no class.
    """
    check_whole("count", count, 1)
    check_whole("columns", columns, 1)
    if count > len(split.labels):
        raise ValueError(f"count is {count}, but the split holds {len(split.labels):,} images")
    images = split.images[:count].detach().to("cpu").numpy()
    labels = [int(label) for label in split.labels[:count]]
    if not 0 <= min(labels) <= max(labels) < len(classes):
        raise ValueError(
            f"the labels reach from {min(labels)} to {max(labels)}, but classes has "
            f"{len(classes)} names"
        )
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    height, width = images.shape[-2:]
    cell_width, cell_height = width + width // 7, height + height // 2  # room for two lines of text
    # One canvas for all, with gaps of NaN, so that the images fill whatever Axes they are given.
    canvas = np.full((rows * cell_height, columns * cell_width), np.nan)
    ax = axes_for(ax, height=0.4 + 7.0 * canvas.shape[0] / canvas.shape[1])
    before = text_so_far(ax)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        y, x = (i // columns) * cell_height, (i % columns) * cell_width
        canvas[y : y + height, x : x + width] = image.reshape(height, width)
        ax.text(
            x + width / 2,
            y + height + 1.5,
            classes[label].replace("/", "/\n").replace(" ", "\n"),
            ha="center",
            va="top",
            color=INK,
            linespacing=1.0,
            fontsize=min(STYLE["font.size"], 90 / columns),
        )
    # A mesh, not an image: what lies on an image keeps its colour on a dark page, and these names
    # lie beside the images.
    ax.pcolormesh(np.ma.masked_invalid(canvas), cmap="gray", vmin=0, vmax=1, rasterized=True)
    ax.set_aspect("equal")
    ax.set(xlim=(0, canvas.shape[1] - width // 7), ylim=(canvas.shape[0], 0))
    ax.set_axis_off()
    shown = [name for i, name in enumerate(classes) if i in labels]
    text = f"{counted(count, 'grey image')} of {height} by {width} pixels, showing: "
    say_after(
        ax, fitting(capital(text), [", ".join(shown)], f"{len(shown)} classes."), after=before
    )
    return ax
