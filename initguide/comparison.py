"""Compare initialization schemes over seeds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from initguide.training import Run


@dataclass(frozen=True, eq=False)
class Comparison:
    runs: tuple[Run, ...]
    schemes: Mapping[str, str]  # label -> what the scheme is, e.g. "uniform(low=-0.5, high=0.5)"
    settings: Mapping[str, Any]  # model, epochs, batch_size, learning_rate, optimizer, seeds, ...
    data_source: str  # in words: where the images came from, and how many there are
