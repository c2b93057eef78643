"""Histograms and quantiles of tensors of any size, without the values that are not finite."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from initguide.propagation.moments import block_size, flattened, not_below_0

__all__ = ["Histogram", "histogram_of", "quantiles_of"]


class Histogram(NamedTuple):
    """Counts of the finite values.

    Attributes
    ----------
    counts
        (bins,) how many values there are in each bin.
    edges
        (bins + 1,) the ends of the bins, from the smallest to the largest finite value.
    mean, std
        Of all values.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    mean: float
    std: float


def _finite_blocks(tensors: Sequence[Tensor]) -> Iterator[NDArray[np.float64]]:
    """Hand the finite values over to NumPy block by block, so that no whole copy is needed."""
    for tensor in tensors:
        flat = flattened(tensor.detach())
        for block in flat.split(block_size(flat)):
            # Apple's GPUs have no float64.
            array = block.float().cpu().numpy() if flat.is_mps else block.double().cpu().numpy()
            yield array[np.isfinite(array)]


def histogram_of(tensors: Sequence[Tensor], bins: int) -> Histogram | None:
    """Count the values of some tensors, as if they were one; None without a finite value."""
    ends = [(block.min(), block.max()) for block in _finite_blocks(tensors) if block.size]
    if not ends:
        return None
    low, high = float(min(e[0] for e in ends)), float(max(e[1] for e in ends))
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # too narrow for bins, or one value
        half = max(0.5, 1e-3 * abs(low))
        low, high = low - half, high + half
    counts, number, total, squares = np.zeros(bins, dtype=np.int64), 0, 0.0, 0.0
    shift = low / 2 + high / 2  # near the values, as in `moments`; low + high may overflow
    # A second pass, since the bins depend on the ends, and no copy is kept.
    for block in _finite_blocks(tensors):
        counts += np.histogram(block, bins=bins, range=(low, high))[0]
        number += block.size
        distance = block - shift
        total += float(distance.sum())
        squares += float(distance @ distance)
    mean = total / number
    variance = not_below_0(squares / number - mean * mean)
    return Histogram(counts, np.linspace(low, high, bins + 1), shift + mean, math.sqrt(variance))


def quantiles_of(tensors: Sequence[Tensor], wanted: Sequence[float]) -> NDArray[np.float64] | None:
    """Quantiles of the values of some tensors, as if they were one; None without a finite value."""
    flats = [flattened(tensor.detach()) for tensor in tensors if tensor.numel()]
    if not flats:
        return None
    every = np.concatenate([flat.float().cpu().numpy() for flat in flats])
    finite = every[np.isfinite(every)]
    return np.quantile(finite.astype(np.float64, copy=False), wanted) if finite.size else None
