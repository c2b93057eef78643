"""Records in the making."""

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
    """An activation that was applied."""

    name: str
    look: Look


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
    looks: list[Look] = field(default_factory=list)

    def record(self, kind_of_record: type[Record]) -> Record:
        """Read the numbers."""
        looks = [*self.weights.looks, *self.looks]
        if self.active is not None:
            looks.append(self.active.look)
        kind = (
            parametrize.type_before_parametrizations(self.module) if self.module else nn.Parameter
        )
        return kind_of_record(
            name=self.name,
            kind=kind.__name__,
            call=self.call,
            shape=self.shape,
            units=self.shape[self.axis] if self.shape else 1,
            activation=self.active.name if self.active else None,
            given_by=self.given_by,
            **read(looks),
        )


class Origin(NamedTuple):
    """Where a tensor comes from."""

    draft: Draft | None  # of the layer that it comes from
    active: Active | None = None  # what made it, if that was an activation
    number: int = 0  # of that activation, counted over the pass
