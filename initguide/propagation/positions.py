"""How much the positions of one input differ: tokens of a text, steps, places of an image."""

import math

import torch
from torch import Tensor

from initguide.propagation.moments import wide_dtype

__all__ = ["position_spread"]

# Numbers that are looked at, as in `batch_spread`.
_SPREAD = 2**18


def position_spread(x: Tensor, axis: int) -> Tensor:
    """Share of the mean square that differs between the positions of one entry: (), in [0, 1].

    The variance over the positions of each unit of each entry, averaged over these and divided by
    the mean square. Of a large tensor, some entries are looked at, or some units.

    Parameters
    ----------
    x
        (N, ...) one entry after another.
    axis
        Which axis counts the units; all others but the first are positions.

    Returns
    -------
    Tensor
        NaN if there are no two positions.
    """
    if not x.numel() or x.layout != torch.strided or x.ndim < 3 or axis == 0:
        return torch.tensor(math.nan)
    rows = x.movedim(axis, -1)
    rows = rows.reshape(len(rows), -1, rows.shape[-1])
    _, positions, units = rows.shape
    if positions < 2:
        return torch.tensor(math.nan)
    rows = rows[: max(1, _SPREAD // (positions * units)), :, : max(1, _SPREAD // positions)]
    rows = rows.to(wide_dtype(x))
    size = rows.square().mean()
    distance = rows - rows[:, :1]  # of equal positions, exactly 0
    varying = (distance.square().mean(dim=1) - distance.mean(dim=1).square()).mean()
    return torch.where(size == 0, size, varying.clamp(min=0) / size)
