"""Columns of a table of results: a new one is a function here under ``@column``."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from initguide.experiments.metrics import numbers_of
from initguide.experiments.statistics import mean_interval
from initguide.training import Run

OfRuns = TypeVar("OfRuns", bound=Callable[[Sequence[Run]], float | None])


class Column(NamedTuple):
    """How the runs of one row become a number, and how that is written.

    Attributes
    ----------
    of
        The runs of a row, one per seed -> the number; ``None`` or NaN where there is none.
    write
        The number -> the text of the cell.
    always
        Whether the column is there even if no row has a number.
    """

    of: Callable[[Sequence[Run]], float | None]
    write: Callable[[float], str]
    always: bool = True


COLUMNS: dict[str, Column] = {}
"""Heading -> column, in the order of the table."""


def column(
    heading: str, write: Callable[[float], str], *, always: bool = True
) -> Callable[[OfRuns], OfRuns]:
    """Register a function of the runs of a row as a column of every table of results.

    With ``always=False`` it is a column only where some row has a number.
    """

    def register(of: OfRuns) -> OfRuns:
        COLUMNS[heading] = Column(of, write, always)
        return of

    return register


def percent_text(fraction: float, *, sign: str = "") -> str:
    """A fraction in percent; a dash where it is not finite."""
    return f"{sign}{100 * fraction:.2f}" if math.isfinite(fraction) else "–"


def loss_text(loss: float) -> str:
    """A loss; a dash where it is not finite."""
    return f"{loss:.3f}" if math.isfinite(loss) else "–"


@column("accuracy, %", percent_text)
def _accuracy(runs: Sequence[Run]) -> float:
    return mean_interval(numbers_of(runs, "valid_accuracy"))[0]


@column("±", functools.partial(percent_text, sign="± "))
def _half_interval(runs: Sequence[Run]) -> float | None:
    interval = mean_interval(numbers_of(runs, "valid_accuracy"))[1]
    return (interval[1] - interval[0]) / 2 if interval else None


@column("sd", percent_text)
def _deviation(runs: Sequence[Run]) -> float | None:
    accuracies = numbers_of(runs, "valid_accuracy")
    finite = accuracies[np.isfinite(accuracies)]
    return float(finite.std(ddof=1)) if len(finite) > 1 else None


@column("training loss", loss_text)
def _train_loss(runs: Sequence[Run]) -> float:
    return mean_interval(numbers_of(runs, "train_loss"))[0]


@column("validation loss", loss_text)
def _valid_loss(runs: Sequence[Run]) -> float:
    return mean_interval(numbers_of(runs, "valid_loss"))[0]


@column("diverged at", "{:.0f}".format, always=False)
def _diverged_at(runs: Sequence[Run]) -> float | None:
    """After how many steps, on average over those that did; the remark says how many those are."""
    batches = [run.diverged_at for run in runs if run.diverged_at is not None]
    return float(np.mean(batches)) if batches else None
