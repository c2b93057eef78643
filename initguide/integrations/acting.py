"""What is done about a report while a program runs on: nothing, a warning, or the end."""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import nn

from initguide.checkup import Checkup

__all__ = ["InitError", "act", "library", "waits_for_others"]


class InitError(RuntimeError):
    """A network is not fit to be trained as it was initialized.

    Attributes
    ----------
    report
        What was found.
    """

    def __init__(self, report: Checkup) -> None:
        super().__init__(f"the initialization is at fault, so training was not begun\n{report}")
        self.report = report

    def __reduce__(self) -> tuple[Any, ...]:  # it is made of the report, not of its own message
        return InitError, (self.report,)


def act(check: Callable[[], Checkup], *, stop: bool) -> Checkup | None:
    """Check, and raise `InitError` or warn if something worse than a note is found.

    A check that cannot be made is warned of and returns None: it is no reason to train nothing.
    """
    try:
        report = check()
    except Exception as error:  # noqa: BLE001  whatever somebody's model raises
        first, *_ = str(error).split("\n", maxsplit=1)
        warnings.warn(
            f"the initialization was not checked: {type(error).__name__}: {first}", stacklevel=3
        )
        return None
    if not report.ok:
        if stop:
            raise InitError(report)
        warnings.warn(f"the initialization is at fault\n{report}", stacklevel=3)
    return report


def library(name: str, install: str) -> Any:
    """Import an optional library; say how to get it if it is not there."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"this needs {name}: pip install {install}", name=name) from error


def waits_for_others(model: nn.Module) -> bool:
    """Whether a pass in one process alone would wait for the others for ever.

    So it is where statistics or weights are shared among them: the check then belongs before.
    """
    shared = {"SyncBatchNorm", "FullyShardedDataParallel"}
    parts = any(type(module).__name__ in shared for module in model.modules())
    # DTensor has placements, DeepSpeed numbers the parameters that it partitions.
    weights = any(hasattr(p, "placements") or hasattr(p, "ds_id") for p in model.parameters())
    return parts or weights
