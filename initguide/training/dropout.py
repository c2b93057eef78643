"""Dropout whose masks follow from a run's seed, for one network or several at once."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn


def dropout_rule(p: float) -> tuple[int, float]:
    """How 16 random bits drop a unit, and by what the others are multiplied.

    A unit is dropped where its bits, read as a signed number, are below the first number. So p is
    met to within 1/131072.
    """
    dropped = round(p * 2**16)
    return dropped - 2**15, 2**16 / (2**16 - dropped) if dropped < 2**16 else 0.0


class SeededDropout:
    """Dropout whose masks come from generators.

    16 random bits decide about a unit (`dropout_rule`), so one number of the generator's 64 bits
    serves four units.
    """

    def __init__(self, layer: nn.Dropout, masks: Sequence[Generator]) -> None:
        self.layer = layer
        places = {generator: place for place, generator in enumerate(dict.fromkeys(masks))}
        self.masks = list(places)  # each once: networks of one seed share theirs
        self.which = [places[generator] for generator in masks]
        self.distinct = self.which == list(range(len(self.masks)))

    def __call__(self, x: Tensor) -> Tensor:
        """Drop units of all networks, whose parts of a batch lie one behind the other."""
        if not self.layer.training or self.layer.p == 0:
            return x
        dropped, scale = dropout_rule(self.layer.p)
        count = x.numel() // len(self.which)  # units of one network
        if x.device.type != "cpu":
            # One call for all: launching one per network would take a GPU longer than drawing.
            bits = torch.randint(
                -(2**15), 2**15, (len(self.masks), count),
                dtype=torch.int16, device=x.device, generator=self.masks[0],
            )  # fmt: skip
        else:
            # Each network's own generator: what it draws does not depend on who else is there.
            words = torch.empty(len(self.masks), math.ceil(count / 4), dtype=torch.int64)
            for row, generator in zip(words, self.masks, strict=True):
                # From the smallest int64 without an upper end: all 64 bits are random.
                row.random_(-(2**63), None, generator=generator)
            bits = words.view(torch.int16)[:, :count]
        kept = torch.empty(bits.shape, dtype=x.dtype, device=x.device)
        # Compared straight into floats: a tensor of bools in between takes four times as long.
        torch.ge(bits, dropped, out=kept)
        kept.mul_(scale)
        if not self.distinct:
            kept = kept[self.which]
        return x * kept.view(x.shape)


class StackedDropout(torch.autograd.Function):
    """Under `torch.vmap`, dropout on the units of all networks at once.

    ``stacked`` is anything that has a part for each network: `torch.vmap` uses the rule below only
    if an argument is stacked, and the units may be the inputs, which all networks share.
    """

    @staticmethod
    def forward(dropout: SeededDropout, stacked: Tensor, x: Tensor) -> Tensor:
        """Only stacks are computed, by `vmap`."""
        raise NotImplementedError

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is needed: `vmap` computes by operations that differentiate themselves."""

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Any,
        dropout: SeededDropout,
        stacked: Tensor,  # noqa: ARG004
        x: Tensor,
    ) -> tuple[Tensor, int]:
        """Drop units of all networks, which lie along a dimension that `torch.vmap` names."""
        *_, dim = in_dims
        # The first dropout of a network may see inputs that all networks share (``dim`` is None);
        # each network drops others of them.
        units = x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        return dropout(units.contiguous()), 0
