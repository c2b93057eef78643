"""How long a run may take, and what is done with one that goes on for ever."""

import faulthandler
import os
import socket
import sys
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock, Thread, Timer
from time import monotonic
from typing import TypeVar

from initguide.experiments.jobs.errors import HungError
from initguide.training import Stop

T = TypeVar("T")
# Times its limit: a run that was told to stop and goes on is taken to hang. Above 2, for runs that
# were too slow together are tried one by one.
HUNG = 3.0
LEAVE = 3.0  # seconds in which a result leaves a worker that is going to end itself


class Deadline:
    """A stop that is also set when the time is over.

    Parameters
    ----------
    stop
        The other reason to stop.
    seconds
        From now; ``None`` for no limit.
    """

    def __init__(self, stop: Stop, seconds: float | None) -> None:
        self.stop = stop
        self.end = None if seconds is None else monotonic() + seconds
        self.stopped_it = False
        """Whether the time was over when somebody asked: what was trained is not whole."""

    def is_set(self) -> bool:
        """Whether to stop."""
        if self.end is not None and monotonic() > self.end:
            self.stopped_it = True
        return self.stopped_it or self.stop.is_set()


def too_long(limit: float) -> str:
    """Why a run has no result.

    Parameters
    ----------
    limit
        Seconds.
    """
    return f"the run was not finished within time_limit={limit:g} seconds"


def supervised(do: Callable[[], T], limit: float, seconds: float, home: tuple[str, int]) -> T:
    """Call a function in a thread, and leave it alone if it hangs.

    A worker process in which it hangs ends itself, for nothing else ends a thread. So does one that
    hangs in a library that keeps Python's lock: this cannot be told then, but the process dies.

    Parameters
    ----------
    do
        What to do.
    limit
        Seconds that a run has, for the message.
    seconds
        After how many it is taken to hang.
    home
        Host and number of the process that must not end, for it is the one that waits.

    Raises
    ------
    HungError
        If it hangs.
    """
    ended: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def call() -> None:
        try:
            ended.put((do(), None))
        except BaseException as error:  # noqa: BLE001  raised again below
            ended.put((None, error))

    may_end = home != (socket.gethostname(), os.getpid())
    ticket = _watch(seconds + 2 * LEAVE) if may_end else None
    Thread(target=call, name="initguide-run", daemon=True).start()
    try:
        result, error = ended.get(timeout=seconds)
    except Empty:
        words = f"{too_long(limit)}, and went on when it was told to stop: it hangs"
        if may_end:
            leaving = Timer(LEAVE, os._exit, [1])
            leaving.daemon = True
            leaving.start()
            words += "; its worker ends itself"
        raise HungError(words) from None
    finally:
        _unwatch(ticket)
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


# faulthandler has one alarm for the process, whose threads may all be at work: it is set to the
# first that is due. It needs no Python lock, and prints where each thread hangs before it exits.
_due: dict[object, float] = {}
_setting = Lock()


def _watch(seconds: float) -> object:
    ticket = object()
    with _setting:
        _due[ticket] = monotonic() + seconds
        _set_alarm()
    return ticket


def _unwatch(ticket: object | None) -> None:
    with _setting:
        if _due.pop(ticket, None) is not None:
            _set_alarm()


def _set_alarm() -> None:
    faulthandler.cancel_dump_traceback_later()
    if _due:
        wait = max(min(_due.values()) - monotonic(), 0.001)
        try:
            faulthandler.dump_traceback_later(wait, exit=True, file=sys.__stderr__ or 2)
        except (OSError, ValueError):  # standard error is closed, or no file
            faulthandler.dump_traceback_later(wait, exit=True, file=2)
