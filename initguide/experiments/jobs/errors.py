"""Errors on their way from a worker in another process, and what is wrong with a worker itself."""

import pickle
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from initguide.training import Run

LARGEST = 1_000_000  # bytes of an error that is sent; of a larger one, only what it says
LINE = 500  # characters of an error that a table shows


class WorkerError(RuntimeError):
    """A worker that must not do runs: it has other versions, or lacks a module."""


class HungError(TimeoutError):
    """A run that went on when it was told to stop; its worker cannot be used any more."""


class Told(NamedTuple):
    """An error as it is sent: in words, so that it arrives whatever it holds.

    Attributes
    ----------
    kind, words
        The name of its class, and its message.
    trace
        Where it was raised.
    notes
        What was added to it.
    pickled
        The error itself, if it can be sent.
    """

    kind: str
    words: str
    trace: str
    notes: Sequence[str]
    pickled: bytes | None


class _There(Exception):  # noqa: N818  shown as the cause: "Where it was raised, in the worker"
    """Where an error was raised, in the worker."""

    def __str__(self) -> str:
        return f"in the worker:\n{self.args[0]}"


def told(result: Run | BaseException) -> Run | Told:
    """Turn an error into something that can be sent.

    Parameters
    ----------
    result
        What came of a run; a `Run` is left as it is.
    """
    if isinstance(result, Run):
        return result
    kind = type(result).__name__
    pickled: bytes | None = None
    try:
        # What ends a process is for the worker's, not for the one that is told of it.
        if isinstance(result, Exception):
            pickled = pickle.dumps(result)
            # An error whose class takes other arguments than it hands on is found out here.
            if len(pickled) > LARGEST or type(pickle.loads(pickled)) is not type(result):  # noqa: S301  made on the line above
                pickled = None
    except Exception:  # noqa: BLE001  a class of the user's may raise anything
        pickled = None
    try:
        words = str(result)
    except Exception:  # noqa: BLE001  the same
        words = "(it could not say what went wrong)"
    trace = "".join(traceback.format_exception(result))[-10_000:]
    return Told(kind, words[:LARGEST], trace, tuple(getattr(result, "__notes__", ())), pickled)


def heard(result: Run | Told) -> Run | Exception:
    """Make an error again of what `told` made of it.

    Parameters
    ----------
    result
        What was sent.

    Returns
    -------
    Run or Exception
        The error itself, or a `RuntimeError` that says the same if it cannot be had here.
    """
    if isinstance(result, Run):
        return result
    error: Exception | None = None
    if result.pickled is not None:
        try:
            error = pickle.loads(result.pickled)  # noqa: S301  a worker's results are trusted as it is
        except Exception:  # noqa: BLE001  its class may be known to the worker only
            error = None
    if error is None:
        error = RuntimeError(f"{result.kind}: {result.words}")
        for note in result.notes:
            error.add_note(note)
    error.__cause__ = _There(result.trace)
    return error


def in_a_line(error: Exception) -> str:
    """What went wrong, as tables show it.

    Parameters
    ----------
    error
        What a run raised.
    """
    first, *_ = str(error).split("\n", maxsplit=1)
    first = first if len(first) <= LINE else f"{first[:LINE]}…"
    stands_for = type(error) is RuntimeError and isinstance(error.__cause__, _There)
    return first if stands_for else f"{type(error).__name__}: {first}"
