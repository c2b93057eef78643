"""What a statistic is: some tensors of a layer in, one number out.

A number of a `Record` is a field made by `number`, which says of which tensors it is and by which
function. Adding one means adding such a field to `Record`, and nothing else:

    zero_fraction: float = number(
        "outputs that are 0 (fraction)",
        of="outputs",
        by=lambda seen: (seen.tensors[0] == 0).double().mean(),
        column="zeros",
    )
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from torch import Tensor, nn

from initguide.propagation.activations import Activity, Bounds, activity_of
from initguide.propagation.moments import Moments, moments_of
from initguide.propagation.units import UnitSums, unit_sums

__all__ = ["Kind", "Later", "Number", "Seen", "by_kind", "number", "numbers_of"]

Kind = Literal[
    "layer", "weights", "weight_grads", "inputs", "outputs", "output_grads", "activations"
]
"""What a statistic may be of.

Each is seen at a moment of its own: ``"layer"`` (the module alone), ``"weights"``, ``"inputs"`` and
``"outputs"`` when the layer has run, ``"activations"`` when its output was activated, the gradients
on the way back.
"""

Later = Callable[[], float] | Tensor
"""A number that is read after the pass: a function that gives it, or a tensor of one element.

To read a number from a GPU at once would make the pass wait for it, layer by layer.
"""


@dataclasses.dataclass(eq=False)
class Seen:
    """Some tensors while they are there, and the sums over them that several statistics share.

    Attributes
    ----------
    module
        The layer.
    tensors
        One, but for the weights of layers with several matrices. None of them may be held by what
        a statistic returns: that would keep a whole pass in memory.
    axis
        Along which the units lie; ``None`` if no units are counted.
    bounds
        Of an activation.
    fans
        Fan-in and fan-out, where they were found from what the layer did.
    """

    module: nn.Module | None = None
    tensors: Sequence[Tensor] = ()
    axis: int | None = None
    bounds: Bounds | None = None
    fans: tuple[float, float] | None = None

    @functools.cached_property
    def units(self) -> UnitSums:
        """Sums over each unit."""
        (tensor,) = self.tensors
        assert self.axis is not None  # what has units was given their axis  # noqa: S101
        return unit_sums(tensor, self.axis)

    @functools.cached_property
    def moments(self) -> Moments:
        """Sums over all elements, which those over the units contain."""
        return moments_of(self.tensors) if self.axis is None else self.units.moments

    @functools.cached_property
    def activity(self) -> Activity:
        """Where an activation is flat."""
        (tensor,) = self.tensors
        assert self.axis is not None  # noqa: S101
        assert self.bounds is not None  # an activation has bounds  # noqa: S101
        return activity_of(tensor, self.axis, self.bounds)


class Number(NamedTuple):
    """How a number of a record is made and shown: see `number`."""

    of: Kind
    by: Callable[[Seen], Later]
    words: str
    column: str
    cell: Callable[[Any], Any] | None
    format: str | Callable[[float], str]


def number(
    words: str = "",
    *,
    of: Kind,
    by: Callable[[Seen], Later],
    column: str = "",
    cell: Callable[[Any], Any] | None = None,
    format: str | Callable[[float], str] = ".3g",  # noqa: A002  as in `Table`
) -> Any:
    """Field of a `Record` that a pass fills; NaN where a layer does not have it.

    Parameters
    ----------
    words
        What it is, for the axis of a figure; it is then one of `VALUES`.
    of
        Which tensors it is computed of.
    by
        The function that computes it, called while these tensors are there. What it returns is read
        after the pass.
    column
        Header of its column in a printed `Measurement`; without one, it is not printed.
    cell
        What is printed of a record in place of the number.
    format
        How the number is printed, as in `initguide.Table`.
    """
    made = Number(of, by, words, column, cell, format)
    return dataclasses.field(default=math.nan, metadata={"number": made})


def numbers_of(record: type) -> dict[str, Number]:
    """Return the numbers among the fields of a class of records, by name."""
    fields = dataclasses.fields(record)
    return {f.name: f.metadata["number"] for f in fields if "number" in f.metadata}


def by_kind(numbers: Mapping[str, Number]) -> dict[Kind, dict[str, Callable[[Seen], Later]]]:
    """Sort the functions of numbers by what they are of."""
    found: dict[Kind, dict[str, Callable[[Seen], Later]]] = {kind: {} for kind in get_args(Kind)}
    for name, number in numbers.items():
        found[number.of][name] = number.by
    return found
