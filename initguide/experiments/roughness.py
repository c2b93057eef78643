"""How rough the border between two kinds of results is: box counting.

Cover a line with boxes. A smooth one takes twice as many boxes of half the size; one that takes
2^d times as many, whatever the size, has the box-counting dimension d.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from initguide.arguments import check_whole

__all__ = ["BoxCount", "border", "box_count", "pixels_per_box"]


@dataclass(frozen=True, eq=False)
class BoxCount:
    """How many boxes of each size it takes to cover a set of pixels: what `box_count` returns.

    Attributes
    ----------
    sizes
        (B,) sides of the boxes in pixels, rising.
    counts
        (B,) how many boxes of this size hold at least one of the pixels.
    """

    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def slopes(self) -> NDArray[np.float64]:
        """(B - 1,) the dimension from each size to the next.

        Where they agree, the set looks the same at all of these sizes.
        """
        return -np.diff(np.log(self.counts)) / np.diff(np.log(self.sizes))

    @property
    def dimension(self) -> float:
        """Box-counting dimension, by least squares over the logarithms of sizes and counts."""
        return float(-np.polyfit(np.log(self.sizes), np.log(self.counts), 1)[0])


def border(verdicts: ArrayLike) -> NDArray[np.bool_]:
    """Where neighbours disagree.

    Parameters
    ----------
    verdicts
        (rows, columns) yes or no for each pixel, such as `TrainabilityMap.converged`.

    Returns
    -------
    numpy.ndarray
        (rows, columns) bool: whether a pixel and its neighbours to the right, below and across do
        not all agree. False in the last row and the last column, which lack them.

    Raises
    ------
    ValueError
        If ``verdicts`` has no two sides.

    Examples
    --------
    >>> border([[1, 1, 0], [1, 1, 0], [1, 1, 0]]).astype(int)
    array([[0, 1, 0],
           [0, 1, 0],
           [0, 0, 0]])
    """
    v = _two_sided("verdicts", verdicts)
    four = np.stack([v[:-1, :-1], v[:-1, 1:], v[1:, :-1], v[1:, 1:]])
    return np.pad(four.any(0) & ~four.all(0), (0, 1))


def pixels_per_box(pixels: ArrayLike, size: int) -> NDArray[np.int64]:
    """Number of pixels of a set in each box.

    Parameters
    ----------
    pixels
        (rows, columns) which pixels belong to the set.
    size
        Side of the boxes in pixels; it must divide both sides of ``pixels``.

    Returns
    -------
    numpy.ndarray
        (rows / size, columns / size) from 0 to size².

    Raises
    ------
    ValueError
        If ``pixels`` has no two sides, or ``size`` does not divide them.

    Examples
    --------
    >>> import numpy as np
    >>> pixels_per_box(np.eye(4), 2)
    array([[2, 0],
           [0, 2]])
    """
    found = _two_sided("pixels", pixels)
    size = check_whole("size", size, 1)
    rows, columns = found.shape
    if rows % size or columns % size:
        raise ValueError(
            f"size is {size}, and pixels has {rows} rows and {columns} columns; boxes must fill it "
            "without a rest, so give a size that divides both"
        )
    boxes = found.reshape(rows // size, size, columns // size, size)
    return np.asarray(boxes.sum((1, 3)))


def box_count(pixels: ArrayLike, sizes: Sequence[int] = (1, 2, 4, 8)) -> BoxCount:
    """Cover a set of pixels by boxes of several sizes, for its box-counting dimension.

    The dimension of a set is d if N(s), the number of boxes of side s that it takes, grows as s⁻ᵈ
    while s shrinks: 1 for a smooth curve, 2 for an area. Of pixels, only what lies between one
    pixel and the largest box can be known, and a rough line is read as smoother than it is.

    Parameters
    ----------
    pixels
        (rows, columns) which pixels belong to the set, such as a `border`.
    sizes
        Sides of the boxes in pixels, at least two, rising; each must divide both sides of
        ``pixels``. The boxes lie on one grid, with a corner at the first pixel.

    Returns
    -------
    BoxCount
        Sizes and counts, with the dimension that was fitted.

    Raises
    ------
    ValueError
        If the set is empty, or sizes are fewer than two, do not rise, or do not divide the sides.

    Examples
    --------
    A straight line, and the Sierpinski triangle, whose dimension is log 3 / log 2:

    >>> import numpy as np
    >>> box_count(np.eye(64)).dimension.__round__(6)
    1.0
    >>> i = np.arange(64)
    >>> triangle = box_count((i[:, None] & i) == 0)
    >>> triangle.counts
    array([729, 243,  81,  27])
    >>> print(f"{triangle.dimension:.4f}")
    1.5850
    """
    if len(sizes) < 2 or any(b <= a for a, b in itertools.pairwise(sizes)):
        raise ValueError(f"sizes is {tuple(sizes)}; give at least two, the smallest first")
    counts = np.array([np.sum(pixels_per_box(pixels, size) > 0) for size in sizes])
    if not counts[0]:
        raise ValueError("pixels holds no pixel, so there is nothing to cover")
    return BoxCount(np.array(sizes), counts)


def _two_sided(name: str, given: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(given).astype(bool)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; it must be (rows, columns)")
    return array
