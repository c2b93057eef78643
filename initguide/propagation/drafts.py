"""Records in the making."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.utils import parametrize

from initguide.propagation.looks import Look, read
from initguide.propagation.records import Record

__all__ = ["Active", "Draft", "Origin", "Weights"]


@dataclass
class Weights:
    """The weights of one layer, looked at once however often the layer is used."""

    tensors: tuple[Tensor, ...]
    looks: list[Look]


class Active(NamedTuple):
    """An activation that was applied, and to how many units."""

    name: str
    look: Look
    units: int


@dataclass
class Draft:
    """A record in the making; its numbers stay on their device until the pass is over."""

    name: str
    module: nn.Module | None  # None for a parameter that the model multiplies by itself
    call: int
    shape: tuple[int, ...]
    axis: int
    weights: Weights
    given_by: str | None
    active: Active | None
    stride: int = 0  # in memory, from one unit of the output to the next
    normalizes: bool = False
    normalized: bool = False
    parts: list[Active] = field(default_factory=list)  # what was applied to a part of the output
    looks: list[Look] = field(default_factory=list)

    def record(self, kind_of_record: type[Record]) -> Record:
        """Read the numbers."""
        looks = [*self.weights.looks, *self.looks]
        active = self.active or (self.parts[0] if self.parts else None)
        if active is not None:
            looks.append(active.look)
        numbers = read(looks)
        units = active.units if active else 0
        if self.active is None and self.parts:
            # Of several parts, as of gates, the worst is what harms.
            parts = [(read([part.look]), part.units) for part in self.parts]
            dead, units = max(
                ((part["dead_fraction"], count) for part, count in parts),
                key=lambda pair: (not math.isnan(pair[0]), pair[0]),
            )
            flat = [part["saturated_fraction"] for part, _ in parts]
            numbers["dead_fraction"] = dead
            numbers["saturated_fraction"] = max(
                (share for share in flat if not math.isnan(share)), default=math.nan
            )
        kind = (
            parametrize.type_before_parametrizations(self.module) if self.module else nn.Parameter
        )
        return kind_of_record(
            name=self.name,
            kind=kind.__name__,
            call=self.call,
            shape=self.shape,
            units=self.shape[self.axis] if self.shape else 1,
            activation=active.name if active else None,
            activated=units,
            given_by=self.given_by,
            normalizes=self.normalizes,
            normalized=self.normalized,
            **numbers,
        )


class Origin(NamedTuple):
    """Where a tensor comes from."""

    draft: Draft | None  # of the layer that it comes from
    active: Active | None = None  # what made it, if that was an activation
    number: int = 0  # of that activation, counted over the pass
