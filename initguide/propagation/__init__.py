"""What a batch does on its way through any module, measured."""

from initguide.propagation.watch import (
    FLAT,
    SAME,
    VALUES,
    Histogram,
    Loss,
    Measurement,
    ParameterRecord,
    Record,
    measure,
)

__all__ = [
    "FLAT",
    "SAME",
    "VALUES",
    "Histogram",
    "Loss",
    "Measurement",
    "ParameterRecord",
    "Record",
    "measure",
]
