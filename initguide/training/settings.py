"""What a call asks for: the runs that are wanted, and the settings that they share."""

import math
from numbers import Real
from typing import NamedTuple

from torch import nn

from initguide.arguments import check_whole
from initguide.training.optimizers import OptimizerFactory
from initguide.training.run import Dataset, Stop

__all__ = ["check_settings"]


class Task(NamedTuple):
    """One of the runs that are wanted; its parts are those of `initguide.training.train`."""

    model: nn.Module
    rate: float
    seed: int
    label: str


class Settings(NamedTuple):
    """Settings that several runs share."""

    data: Dataset
    epochs: int
    batch_size: int
    optimizer: str | OptimizerFactory
    stop: Stop | None


def check_settings(*, epochs: int, batch_size: int, learning_rate: float, seed: int) -> None:
    """Refuse numbers that no training can be done with, naming the argument and its range."""
    for name, value, least in (
        ("epochs", epochs, 1),
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
    ):
        check_whole(name, value, least)
    if (
        isinstance(learning_rate, bool)
        or not isinstance(learning_rate, Real)
        or not 0 < learning_rate < math.inf
    ):
        raise ValueError(f"learning_rate is {learning_rate!r}; it must be a finite number above 0")
