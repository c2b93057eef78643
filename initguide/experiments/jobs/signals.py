"""SIGTERM and SIGHUP end a call like Ctrl-C: what was done is kept, and nothing is left behind.

A batch system, a service manager and ``kill`` ask a process to end by SIGTERM, a terminal that is
closed by SIGHUP. Python, unless told otherwise, is then gone at once, without tidying up.
"""

import contextlib
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))

BURST = 5.0  # seconds within which signals are one request to end


class Ended(SystemExit, KeyboardInterrupt):
    """Raised in the call when the process is asked to end.

    What is written to catch Ctrl-C catches it. If nothing does, the process tidies up and ends
    without a traceback, with the status that shells report of one that the signal ended.

    Parameters
    ----------
    number
        The signal; ``code`` is 128 more.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextlib.contextmanager
def ending_like_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Ended` meanwhile, wherever the main thread is.

    A signal that the user handles or ignores is left alone. So are all of them in other threads,
    where Python cannot handle signals. What follows within seconds, as when a terminal is closed,
    does not disturb the tidying up. What comes later breaks it off, like a second Ctrl-C.

    Raises
    ------
    Ended
        If one came.
    """
    first = _First()
    try:
        with _handled(first, lambda handler: handler is signal.SIG_DFL):
            yield
    except Ended:
        raise
    except BaseException as error:
        if first.number is not None:  # raised while tidying up; the process is to end all the same
            raise Ended(first.number) from error
        raise
    if first.number is not None:  # raised where Python ignores errors, such as in a destructor
        raise Ended(first.number)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let Ctrl-C and the like wait until something short is done that must not be done by half."""
    came: list[int] = []
    try:
        with _handled(lambda number, _: came.append(number), callable, signal.SIGINT):
            yield
    finally:
        for number in dict.fromkeys(came):
            signal.raise_signal(number)


class _First:
    """Handler that ends the process that made it; a burst of signals counts as one."""

    def __init__(self) -> None:
        self.home = os.getpid()
        self.number: int | None = None
        self.raised = -math.inf

    def __call__(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self.home:  # a forked worker: for it, nothing was to change
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.number = self.number or number
        if monotonic() - self.raised > BURST:
            self.raised = monotonic()
            raise Ended(self.number)


@contextlib.contextmanager
def _handled(
    ours: Callable[[int, FrameType | None], object], replaces: Callable[[object], bool], *more: int
) -> Iterator[None]:
    """Handle the signals by a function of ours, where theirs may be replaced."""
    # Elsewhere, Python refuses to change handlers.
    is_main = threading.current_thread() is threading.main_thread()
    all_kept = {number: signal.getsignal(number) for number in (*ENDING, *more) if is_main}
    kept = {number: handler for number, handler in all_kept.items() if replaces(handler)}
    try:
        for number in kept:
            signal.signal(number, ours)
        yield
    finally:
        for number, handler in kept.items():
            if signal.getsignal(number) is ours:
                signal.signal(number, handler)
