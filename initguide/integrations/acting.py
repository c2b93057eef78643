"""What is done about a report while a program runs on: nothing, a warning, or the end."""

import warnings
from collections.abc import Callable

from initguide.checkup import Checkup

__all__ = ["InitError", "act"]


class InitError(RuntimeError):
    """A network is not fit to be trained as it was initialized.

    Attributes
    ----------
    report
        What was found.
    """

    def __init__(self, report: Checkup) -> None:
        super().__init__(f"the initialization is at fault; training was not begun\n{report}")
        self.report = report


def act(check: Callable[[], Checkup], *, stop: bool) -> Checkup | None:
    """Check, and raise `InitError` or warn if something worse than a note is found.

    A check that cannot be made is warned of and returns None: it is no reason to train nothing.
    """
    try:
        report = check()
    except Exception as error:  # noqa: BLE001  whatever somebody's model raises
        warnings.warn(
            f"the initialization was not checked: {type(error).__name__}: {error}", stacklevel=3
        )
        return None
    if not report.ok:
        if stop:
            raise InitError(report)
        warnings.warn(f"check the initialization:\n{report}", stacklevel=3)
    return report
