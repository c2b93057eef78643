"""The numbers of a run that results can be asked for."""

from typing import NamedTuple


class Metric(NamedTuple):
    """How a number of a run is named and shown."""

    title: str
    higher_is_better: bool
    is_fraction: bool


METRICS: dict[str, Metric] = {
    "valid_accuracy": Metric("validation accuracy", higher_is_better=True, is_fraction=True),
    "test_accuracy": Metric("test accuracy", higher_is_better=True, is_fraction=True),
    "valid_loss": Metric("validation loss", higher_is_better=False, is_fraction=False),
    "train_loss": Metric("training loss", higher_is_better=False, is_fraction=False),
}
"""The numbers of a run that a comparison can be asked for."""


def check_metric(metric: str) -> str:
    """Refuse a metric that there is not, listing those that there are."""
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; the metrics are {', '.join(METRICS)}")
    return metric
