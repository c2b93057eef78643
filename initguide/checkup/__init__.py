"""Is initialization at fault? A check of any network with one batch."""

from initguide.checkup.check import (
    ALIKE,
    CODES,
    CONFIDENT,
    DRIFT,
    FLATTENED,
    FROZEN,
    HUGE,
    INPUTS,
    LARGE,
    QUIET,
    SLOW,
    WRONG,
    Checkup,
    Finding,
    check_init,
)

__all__ = [
    "ALIKE",
    "CODES",
    "CONFIDENT",
    "DRIFT",
    "FLATTENED",
    "FROZEN",
    "HUGE",
    "INPUTS",
    "LARGE",
    "QUIET",
    "SLOW",
    "WRONG",
    "Checkup",
    "Finding",
    "check_init",
]
