"""What `predict_variances` returns: one record per layer, and the table of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from initguide.prediction.belief import INPUTS
from initguide.tables import Table

__all__ = ["Prediction", "Predictions"]


@dataclass(frozen=True)
class Prediction:
    """What the weights of one layer predict about its pre-activations.

    Attributes
    ----------
    name
        The layer's name in the model; for a weight that a model uses by itself, the weight's.
    kind
        The layer's class, such as ``"Linear"``, or the function that used the weight.
    second_moment
        Predicted mean square of the pre-activations, over inputs, units and draws of the weights
        that have these statistics; NaN if it is not predicted.
    measured
        The mean square that this one pass had.
    predicted
        Whether there is a prediction.
    reason
        Why not, in words; empty if there is one.
    basis
        What the prediction starts from: ``"the inputs"``, or what was measured last because theory
        could not follow, and why.
    """

    name: str
    kind: str
    second_moment: float
    measured: float
    predicted: bool
    reason: str
    basis: str

    def __float__(self) -> float:
        return self.second_moment


class Predictions(Sequence[Prediction]):
    """The predictions for a model, in execution order: what `predict_variances` returns.

    A layer is found by its place or its name (the first use, if there are several). Printed, it is
    a table.
    """

    def __init__(self, records: Sequence[Prediction]) -> None:
        self._records = tuple(records)

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int | str) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> "Predictions": ...
    def __getitem__(self, index: int | str | slice) -> "Prediction | Predictions":
        if isinstance(index, slice):
            return Predictions(self._records[index])
        if isinstance(index, str):
            for record in self._records:
                if record.name == index:
                    return record
            names = ", ".join(record.name for record in self._records)
            raise KeyError(f"no layer {index!r} was predicted; the layers are: {names}")
        return self._records[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Predictions) and self._records == other._records

    def __hash__(self) -> int:
        return hash(self._records)

    def table(self) -> Table:
        """Predicted beside measured, and why where there is no prediction."""
        return Table(
            {
                "layer": [record.name for record in self],
                "kind": [record.kind for record in self],
                "predicted": [record.second_moment for record in self],
                "measured": [record.measured for record in self],
                "remark": [
                    record.reason or ("" if record.basis == INPUTS else f"from {record.basis}")
                    for record in self
                ],
            },
            caption="Mean square of the pre-activations",
        )

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Comma-separated text of the table, written to a file if ``path`` is given."""
        return self.table().to_csv(path)
