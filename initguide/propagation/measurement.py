"""The records of one pass together, as a sequence and as a table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from initguide.propagation.comparing import Comparison
from initguide.propagation.parameters import ParameterRecord
from initguide.propagation.records import NUMBERS, VALUES, Record
from initguide.propagation.strangers import Stranger
from initguide.tables import Table

__all__ = ["Measurement"]


@dataclass(frozen=True, eq=False, repr=False)
class Measurement(Sequence[Record]):
    """The records of one pass, in the order in which the layers ran: what `measure` returns.

    An immutable sequence: ``m[0]`` and ``m[2:5]`` as in a tuple, and ``m["fc1"]`` is the first
    record of that name. Printed, it is a table; a notebook shows the same table in HTML.

    Attributes
    ----------
    layers
        The records.
    loss
        Value of the loss.
    loss_name
        Which loss that is, in words.
    source
        The model, its mode and its inputs, in words.
    jacobian_singular_values
        On request: (k, min(inputs, outputs)) in falling order, one row for each of the first k
        inputs of the batch.
    parameters
        On request: a record of each parameter, in the model's order.
    blank_loss
        What the loss would be if all outputs were 0, as from a network that knows nothing: ln C
        for the cross-entropy of C classes. NaN without targets, or if the loss is of a kind of
        which that cannot be said.
    output_shape, output_second_moment
        Shape and mean square of the output that the loss is mainly about; empty and NaN if that is
        no tensor.
    output_grad_sum
        Sum of the absolute gradients of the loss with respect to that output: by how much the loss
        falls, to first order, if every output moves by 1 in its best direction. NaN if there are
        none.
    comparisons
        What each loss that is a function or a module of torch was given.
    strangers
        Tensors that the output depends on and that want a gradient, but that are no parameters of
        the model, as those of layers in a plain list: training leaves them as they are.
    """

    layers: tuple[Record, ...]
    loss: float
    loss_name: str
    source: str
    jacobian_singular_values: NDArray[np.float64] | None = None
    parameters: tuple[ParameterRecord, ...] = ()
    blank_loss: float = math.nan
    output_shape: tuple[int, ...] = ()
    output_second_moment: float = math.nan
    output_grad_sum: float = math.nan
    strangers: tuple[Stranger, ...] = ()
    comparisons: tuple[Comparison, ...] = ()

    def __len__(self) -> int:
        return len(self.layers)

    @overload
    def __getitem__(self, key: int | str) -> Record: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Record | tuple[Record, ...]:
        if not isinstance(key, str):
            return self.layers[key]
        for record in self.layers:
            if record.name == key:
                return record
        names = list(dict.fromkeys(record.name for record in self.layers))
        raise KeyError(f"no layer {key!r} ran; those that did are {', '.join(names)}")

    def values(self, value: str) -> NDArray[np.float64]:
        """One number per record.

        Parameters
        ----------
        value
            A name from `VALUES`.

        Raises
        ------
        ValueError
            If there is no such number; the message lists those that there are.
        """
        if value not in VALUES:
            raise ValueError(f"unknown value {value!r}; the values are {', '.join(VALUES)}")
        return np.array([getattr(record, value) for record in self.layers], dtype=np.float64)

    def _table(self) -> Table:
        """Make the table that is printed, without the columns that are empty."""
        columns: dict[str, Sequence[Any]] = {
            "layer": [f"{r.name} #{r.call + 1}" if r.call else r.name for r in self.layers],
            "kind": [r.kind for r in self.layers],
        }
        formats = {}
        for name, number in NUMBERS.items():
            found = [getattr(record, name) for record in self.layers]
            if number.column and not np.isnan(found).all():
                columns[number.column] = (
                    [number.cell(r) for r in self.layers] if number.cell else found
                )
                formats[number.column] = number.format
        return Table(
            columns,
            caption="What the batch does, layer by layer",
            note=f"{self.source}. Loss: {self.loss:.4g} ({self.loss_name}).",
            formats=formats,
            width=100,
        )

    def __str__(self) -> str:
        return str(self._table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()
