"""Columns of a table of results."""

import math

import numpy as np
from numpy.typing import NDArray

_COLUMNS = ("scheme", "accuracy, %", "±", "sd", "training loss", "validation loss", "remark")


def deviation(values: NDArray[np.float64]) -> float | None:
    """Standard deviation of what is finite, where that are two numbers or more."""
    finite = values[np.isfinite(values)]
    return float(finite.std(ddof=1)) if len(finite) > 1 else None


def percent_text(fraction: float, *, sign: str = "") -> str:
    """A fraction in percent; a dash where there is none."""
    return f"{sign}{100 * fraction:.2f}" if math.isfinite(fraction) else "–"


def loss_text(loss: float) -> str:
    """A loss; a dash where there is none."""
    return f"{loss:.3f}" if math.isfinite(loss) else "–"


def in_ranges(numbers: list[int]) -> str:
    """Seeds in words, the usual 0, 1, 2, … by their ends."""
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
