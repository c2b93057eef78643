"""What the units of a tensor do: how many differ, and what they have in common.

A unit is a feature of a linear layer or a channel of a convolution: one index along one axis of an
output, with its values for the whole batch along the other axes.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from initguide.propagation.moments import (
    Moments,
    block_size,
    memory_order,
    shift_of,
    wide_dtype,
)

__all__ = ["SAME", "UnitSums", "by_unit", "shared_fraction", "unit_blocks", "unit_sums"]

SAME = 1e-5
"""Two units count as one if their outputs agree to within this part of their size."""


def by_unit(x: Tensor, axis: int) -> Tensor:
    """View as (before, units, after): what stands before and after the units' axis.

    The order of the elements within *before* and within *after* is that of the memory, which saves
    a copy for channels-last images and transposed sequences; no statistic of units depends on it.
    """
    if x.ndim == 0:
        return x.reshape(1, 1, 1)
    before, after = range(axis), range(axis + 1, x.ndim)
    x = x.permute([*memory_order(x, before), axis, *memory_order(x, after)])
    shape = x.shape
    return x.reshape(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))


def unit_blocks(x: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Cut (before, units, after) up: which of before, which units, and the block of them."""
    size = block_size(x)
    before, units, after = x.shape
    height = min(before, max(1, size // max(1, units * after)))
    width = min(units, max(1, size // max(1, height * after)))
    for top in range(0, before, max(1, height)):
        for left in range(0, units, max(1, width)):
            rows, columns = slice(top, top + height), slice(left, left + width)
            yield rows, columns, x[rows, columns]


class UnitSums(NamedTuple):
    """Sums over each unit, by which units are told apart without comparing all pairs.

    Attributes
    ----------
    moments
        Of all values, whichever unit they belong to.
    signature
        (3, units): sum, squared norm, and product with a random vector. Equal units have equal
        signatures; for the random product of different ones to agree is a coincidence.
    values
        How many values each unit has.
    """

    moments: Moments
    signature: Tensor
    values: int

    def distinct(self) -> int:
        """Count the units whose signatures differ by more than rounding does (see `SAME`).

        Units are sorted by one number of the signature, and parted where neighbours differ; then
        each part by the next number. Units that are not finite count as one together.
        """
        signature = self.signature.double().cpu().numpy()
        finite = np.isfinite(signature).all(axis=0)
        total, squares, product = signature[:, finite]
        if not total.size:
            return int(finite.size > 0)
        # The squares were put together from sums, and rounding may have left less than 0.
        norm = np.sqrt(np.maximum(squares, 0))
        part = np.zeros(total.size, dtype=np.int64)
        # Differences are compared with the norm. A product with a random vector of variance 1 is
        # about as large as the norm, a sum of n values up to sqrt(n) times as large.
        for number, scale in ((product, 1.0), (norm, 1.0), (total, math.sqrt(self.values))):
            order = np.lexsort((number, part))
            ranked, size = number[order], norm[order]
            apart = np.diff(ranked) > SAME * scale * np.maximum(size[1:], size[:-1])
            steps = apart | (np.diff(part[order]) > 0)
            part[order] = np.concatenate([[0], np.cumsum(steps)])
        return int(part.max()) + 1 + int(not finite.all())


def unit_sums(x: Tensor, axis: int) -> UnitSums:
    """Sum over each unit of a tensor, in one pass over it."""
    x = by_unit(x.detach(), axis)
    before, units, after = x.shape
    if not x.numel():
        sums = x.new_zeros(3, units, dtype=wide_dtype(x))
        return UnitSums(Moments(0, sums.new_zeros(()), sums.new_zeros(2)), sums, 0)
    shift = shift_of(x)
    sums = torch.zeros(3, units, dtype=shift.dtype, device=shift.device)
    # The random vector is the product of one over *before* and one over *after*: fewer draws. They
    # come from a generator of their own, so that the same output has the same signature every time.
    generator = torch.Generator().manual_seed(0)
    over_before = torch.randn(before, generator=generator).to(sums)
    over_after = torch.randn(after, generator=generator).to(sums)
    for rows, columns, block in unit_blocks(x):
        distance = block.to(shift.dtype) - shift
        if after == 1:  # two axes are enough, and a matrix product is faster on them
            distance = distance[:, :, 0]
            total, products = distance.sum(dim=0), over_before[rows] @ distance
            squares = (distance * distance).sum(dim=0)
        else:
            total = distance.sum(dim=2).sum(dim=0)
            products = over_before[rows] @ (distance @ over_after)
            squares = distance.mul_(distance).sum(dim=2).sum(dim=0)
        sums[:, columns] += torch.stack([total, squares, products])
    values = before * after
    moments = Moments(values * units, shift, sums[:2].sum(dim=1))
    # From squared distances back to squares, since norms are what differences are compared with.
    sums[1] += 2 * shift * sums[0] + values * shift * shift
    return UnitSums(moments, sums, values)


def shared_fraction(x: Tensor, axis: int) -> float:
    """Mean square of the mean over the units, divided by the mean square: in [0, 1].

    1 if all units are equal, and about 1 / units if they are independent around 0.
    """
    x = x.detach() if x.dtype == torch.float64 else x.detach().float()
    second = float(torch.linalg.vector_norm(x)) ** 2 / x.numel()
    mean = x.mean(dim=axis)
    return float(torch.linalg.vector_norm(mean)) ** 2 / mean.numel() / second if second else 0.0
