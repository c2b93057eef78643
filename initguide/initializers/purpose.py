"""What was set on purpose: biases that no start draws, and zeros among weights that are not 0."""

import math

import torch
from torch import Tensor, nn

__all__ = ["is_zero", "on_purpose"]

_FEW = 4
"""Fewer entries than this tell nothing by their signs alone, which chance makes equal."""

_RUN = 8
"""A part of a bias counts as set if it is at least one in so many of its entries."""


def is_zero(weight: Tensor) -> bool:
    """Whether all weights are 0; not of what has no numbers."""
    return bool(weight.numel()) and not weight.is_meta and not bool(weight.detach().any())


def on_purpose(layer: nn.Module, bias: Tensor) -> Tensor | None:
    """Mark the entries of a bias that somebody has set; ``None`` if there are none.

    By themselves, biases start at 0 or are drawn from U[-1/√n, 1/√n), n the fan-in. So a run of
    equal entries that are not 0 was set, such as the forget gate's 1 or a detector's prior; and so
    was a bias, or one gate's part of it, whose entries all lie on one side, beyond what is drawn:
    the logarithms of frequencies, say, or the steps of a state space model. Entries beyond that
    range on both sides are what training leaves behind. Fewer than four must be equal, or beyond 1
    too. A layer whose weights are all the same number was filled as a whole, with no such intent.

    Parameters
    ----------
    layer
        That the bias belongs to.
    bias
        Of one axis.
    """
    weight = next((p for p in layer.parameters(recurse=False) if p.ndim > 1), None)
    if getattr(bias, "_no_reinit", False):  # Mamba's own mark
        return torch.ones_like(bias, dtype=torch.bool)
    if weight is None or bias.ndim != 1 or not weight.numel() or not bias.numel():
        return None
    if bias.is_meta or weight.is_meta or not _is_random(weight):
        return None
    values = bias.detach().double().cpu()
    if not bool(values.isfinite().all()) or not bool(values.any()):
        return None
    bound = 1 / math.sqrt(weight[0].numel())
    if isinstance(layer, nn.RNNBase):
        bound = 1 / math.sqrt(layer.hidden_size)
    found = _runs(values) | _beyond(values, bound)
    return found.to(bias.device) if bool(found.any()) else None


def _is_random(weight: Tensor) -> bool:
    """Whether weights are not all one number, unless that is 0."""
    low, high = weight.detach().aminmax()
    return bool(low != high) or bool(low == 0)


def _runs(values: Tensor) -> Tensor:
    """Mark runs of equal entries that are not 0 and long enough."""
    found = torch.zeros(len(values), dtype=torch.bool)
    if len(values) < 2:
        return found
    least = min(len(values), max(_FEW, math.ceil(len(values) / _RUN)))
    _, counts = torch.unique_consecutive(values, return_counts=True)
    start = 0
    for count in counts.tolist():
        if count >= least and values[start] != 0:
            found[start : start + count] = True
        start += count
    return found


def _beyond(values: Tensor, bound: float) -> Tensor:
    """Mark the whole, or a gate's part, if it is on one side and beyond what is drawn."""
    found = torch.zeros(len(values), dtype=torch.bool)
    parts = [1] + [n for n in (2, 3, 4) if len(values) % n == 0 and len(values) // n >= _RUN]
    for count in parts:
        for part in range(count):
            size = len(values) // count
            piece = values[part * size : (part + 1) * size]
            edge = bound * (1 + 1e-3) if size >= _FEW else max(1.0, bound)
            if bool((piece > edge).all()) or bool((piece < -edge).all()):
                found[part * size : (part + 1) * size] = True
    return found
