"""One look at some tensors: all statistics of their kind, and what was requested besides."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from initguide.propagation.histograms import Histogram, histogram_of, quantiles_of
from initguide.propagation.records import NUMBERS
from initguide.propagation.statistics import Kind, Later, Seen, by_kind

__all__ = ["Look", "Request", "look_at", "read"]

_STATISTICS = by_kind(NUMBERS)  # sorted once, not for every layer

# Inputs need no histogram: the layer before has one of its outputs.
_WITH_HISTOGRAM = ("weights", "weight_grads", "outputs", "output_grads", "activations")


class Request(NamedTuple):
    """What is wanted beyond the statistics."""

    bins: int
    quantiles: tuple[float, ...]


class Look(NamedTuple):
    """What was found; the tensors themselves are not held."""

    kind: Kind
    numbers: dict[str, Later]
    histogram: Histogram | None
    quantiles: NDArray[np.float64] | None


def look_at(kind: Kind, seen: Seen, request: Request) -> Look:
    """Compute everything that is wanted of one kind of tensors."""
    numbers = {name: by(seen) for name, by in _STATISTICS[kind].items()}
    histogram = quantiles = None
    if kind in _WITH_HISTOGRAM:
        if request.bins:
            histogram = histogram_of(seen.tensors, request.bins)
        if request.quantiles:
            quantiles = quantiles_of(seen.tensors, request.quantiles)
    return Look(kind, numbers, histogram, quantiles)


def read(looks: Iterable[Look]) -> dict[str, Any]:
    """Read all looks at one layer, after the pass: the fields of its record."""
    looks = list(looks)
    numbers = {
        name: float(later) if isinstance(later, Tensor) else later()
        for look in looks
        for name, later in look.numbers.items()
    }
    histograms = {look.kind: look.histogram for look in looks if look.histogram is not None}
    quantiles = {look.kind: look.quantiles for look in looks if look.quantiles is not None}
    # Read-only views: records are immutable, and a caller could change a plain dictionary.
    return numbers | {
        "histograms": MappingProxyType(histograms),
        "quantiles": MappingProxyType(quantiles),
    }
