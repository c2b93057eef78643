"""The numbers of a run that results can be asked for: a new one is an entry of `METRICS`."""

import math
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from initguide.training import Run


class Metric(NamedTuple):
    """How a number of a run is named, shown and found.

    Attributes
    ----------
    title
        What it is called in tables and figures.
    higher_is_better
        Which way is up.
    is_fraction
        Whether it lies in [0, 1] and is shown in percent.
    of
        Run -> the number, NaN where the run diverged.
    """

    title: str
    higher_is_better: bool
    is_fraction: bool
    of: Callable[[Run], float]


def _accuracy(title: str, name: str) -> Metric:
    return Metric(title, higher_is_better=True, is_fraction=True, of=attrgetter(name))


def _loss(title: str, name: str) -> Metric:
    return Metric(title, higher_is_better=False, is_fraction=False, of=attrgetter(name))


# After epochs of training an accuracy is a blunt instrument: schemes differ most at the start.
def _loss_of_first(count: int, title: str) -> Metric:
    """Mean loss of the first mini-batches, or of all if there are fewer."""

    def of(run: Run) -> float:
        losses = run.train_losses[:count]
        return math.nan if run.diverged else float(losses.mean(dtype=np.float64))

    return Metric(title, higher_is_better=False, is_fraction=False, of=of)


METRICS: dict[str, Metric] = {
    "valid_accuracy": _accuracy("validation accuracy", "valid_accuracy"),
    "test_accuracy": _accuracy("test accuracy", "test_accuracy"),
    "valid_loss": _loss("validation loss", "valid_loss"),
    "train_loss": _loss("training loss", "train_loss"),
    "first_loss": _loss_of_first(1, "training loss of the first mini-batch"),
    "early_loss": _loss_of_first(100, "training loss of the first 100 mini-batches"),
}
"""Every number that a table, a figure or a difference can be of.

``"train_loss"`` is the mean of the last 100 mini-batches, ``"early_loss"`` that of the first 100,
and ``"first_loss"`` was measured before the first step.
"""


def metric_named(name: str) -> Metric:
    """Look up a metric; refuse an unknown name, and list the known ones."""
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; the metrics are {', '.join(METRICS)}")
    return METRICS[name]


def numbers_of(runs: Iterable[Run], metric: str) -> NDArray[np.float64]:
    """One number per run, NaN where it diverged."""
    of = metric_named(metric).of
    return np.array([of(run) for run in runs], dtype=np.float64)
