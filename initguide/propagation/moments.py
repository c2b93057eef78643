"""Sums over tensors: mean, variance and mean square, and how much a batch varies.

Everything is summed in float64 and in blocks. Squares of float32 lose half of their digits in
float32, and a variance is the small difference of large numbers; a float64 copy of a whole output,
on the other hand, would double the memory of the pass.

Sums stay on the device where the tensor is. Asking a GPU for a number makes the processor wait
until all work queued before is done, so `Moments` computes its numbers only when they are asked
for, after the pass.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "Moments",
    "batch_spread",
    "block_size",
    "flattened",
    "mean_square",
    "memory_order",
    "moments_of",
    "not_below_0",
    "shift_of",
    "wide_dtype",
]

# Elements that are worked on at once, in float64. On a CPU, 1 MB of them stays in the cache; a GPU
# needs more of them to be busy.
_BLOCK_CPU, _BLOCK = 2**17, 2**22

# Numbers that `batch_spread` looks at: a share needs no more digits than so many draws give.
_SPREAD = 2**18


def block_size(x: Tensor) -> int:
    """How many elements of a tensor are worked on at once."""
    return _BLOCK_CPU if x.device.type == "cpu" else _BLOCK


def wide_dtype(x: Tensor) -> torch.dtype:
    """Type in which sums over a tensor are taken: the widest that its device has."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def memory_order(x: Tensor, dims: Sequence[int]) -> list[int]:
    """Order dimensions as they lie in memory, so that reshaping them makes no copy."""
    strides = x.stride()
    return sorted(dims, key=lambda dim: strides[dim], reverse=True)


def flattened(x: Tensor) -> Tensor:
    """View as one row in the order of the memory, which no sum depends on."""
    if x.layout != torch.strided:  # the gradient of an embedding may be sparse
        x = x.to_dense()
    return x.permute(memory_order(x, range(x.ndim))).reshape(-1)


def shift_of(x: Tensor) -> Tensor:
    """Return the value that distances are taken from: the first one, or 0 if it is not finite."""
    # It stays a tensor: `item` would wait for the GPU.
    first = x[(0,) * x.ndim].to(wide_dtype(x))
    return torch.where(first.isfinite(), first, torch.zeros_like(first))


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums of the distances of values from one of them.

    Distances, because the difference of mean square and squared mean leaves a rounding error where
    all values are equal, or far from 0. Equal values have distances of exactly 0 and so a variance
    of exactly 0, which is what tells equal weights from nearly equal ones.

    Attributes
    ----------
    number
        How many values there are.
    shift
        () the value that distances are taken from.
    sums
        (2,) sum of the distances, and of their squares.
    """

    number: int
    shift: Tensor
    sums: Tensor

    @functools.cached_property
    def finished(self) -> tuple[float, float, float]:
        """Mean, variance (of all values, without Bessel's correction) and mean square."""
        if not self.number:
            return math.nan, math.nan, math.nan
        shift = float(self.shift)
        first, second = (total / self.number for total in self.sums.tolist())
        if math.isinf(second):  # an infinite value, or squares that no float64 holds
            return first + shift, math.nan if math.isinf(first) else second, second
        square = second + 2 * shift * first + shift * shift
        return first + shift, not_below_0(second - first * first), not_below_0(square)

    def mean(self) -> float:
        """Mean of the values; NaN if there are none."""
        return self.finished[0]

    def variance(self) -> float:
        """Mean squared distance from the mean."""
        return self.finished[1]

    def std(self) -> float:
        """Root of the variance."""
        return math.sqrt(self.variance())

    def mean_square(self) -> float:
        """Mean of the squares."""
        return self.finished[2]


def moments_of(tensors: Sequence[Tensor]) -> Moments:
    """Sum over all elements of some tensors, as if they were one."""
    flats = [flattened(tensor.detach()) for tensor in tensors if tensor.numel()]
    if not flats:
        return Moments(0, torch.zeros(()), torch.zeros(2))
    shift = shift_of(flats[0])
    sums = torch.zeros(2, dtype=shift.dtype, device=shift.device)
    for flat in flats:
        for block in flat.split(block_size(flat)):
            distance = block.to(shift.dtype) - shift
            sums[0] += distance.sum()
            sums[1] += distance.dot(distance)
    return Moments(sum(flat.numel() for flat in flats), shift, sums)


def not_below_0(value: float) -> float:
    """Clip what rounding may have left below 0; NaN stays."""
    return value if math.isnan(value) else max(0.0, value)


def mean_square(x: Tensor) -> Tensor:
    """Mean of the squares of a tensor: (), on its device; NaN without elements.

    The norm is one call that makes no copy. It is less exact than `moments_of`, but what is asked
    of a layer's input is only its order of magnitude.
    """
    if not x.numel() or x.layout != torch.strided:
        return torch.tensor(math.nan)
    norm = torch.linalg.vector_norm(x, dtype=torch.promote_types(x.dtype, torch.float32))
    square: Tensor = norm.to(wide_dtype(x)).square()
    return square / x.numel()


def batch_spread(x: Tensor) -> Tensor:
    """Share of the mean square that differs between the entries of the batch: (), in [0, 1].

    The variance over the first axis at each place, averaged over the places and divided by the mean
    square. Where there are many places, as in images, it is taken of some that are drawn.
    """
    if not x.numel() or x.layout != torch.strided or x.ndim == 0 or x.shape[0] < 2:
        return torch.tensor(math.nan)
    entries = x.permute(0, *memory_order(x, range(1, x.ndim))).reshape(x.shape[0], -1)
    width = max(1, _SPREAD // len(entries))
    if entries.shape[1] > width:
        # The global generator draws the model's dropout masks, which a look must not change.
        generator = torch.Generator().manual_seed(0)
        places = torch.randint(entries.shape[1], (width,), generator=generator)
        entries = entries.index_select(1, places.to(entries.device))
    entries = entries.to(wide_dtype(x))
    size = entries.square().mean()
    distance = entries - entries[0]  # of equal entries, exactly 0
    varying = (distance.square().mean(dim=0) - distance.mean(dim=0).square()).mean()
    return torch.where(size == 0, size, varying.clamp(min=0) / size)
