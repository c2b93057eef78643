"""Ending workers in other processes: on request, and when the process that began them is gone."""

import functools
import math
import multiprocessing
import os
import socket
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

from initguide.experiments.processes import has_ended


class StopFile:
    """An event for other processes: set when a file has gone, looked for ten times a second.

    On another machine that does not see the file, it never is set.

    Parameters
    ----------
    path
        The file, which is made.
    """

    # A `multiprocessing.Event` can only be inherited, not sent with a job, and Dask has none.

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.home = (socket.gethostname(), os.getpid())
        self.looked = -math.inf
        self.there = False
        self.gone = False
        path.touch()

    def is_set(self) -> bool:
        """Whether to stop, as far as can be seen from this process."""
        if not self.gone and monotonic() - self.looked > 0.1:
            self.looked = monotonic()
            host, process = self.home
            near = host == socket.gethostname()
            # A killed process cannot remove its file.
            there = Path(self.path).exists() and not (near and has_ended(process))
            # Another machine may never see the file: there, it must have been seen before.
            self.gone = not there and (near or self.there)
            self.there = there
        return self.gone

    def set(self) -> None:
        """Let all processes that see the file stop."""
        Path(self.path).unlink(missing_ok=True)
        self.gone = True


@functools.cache
def end_with_parent() -> None:
    """Let a worker of a process pool end when the process that made the pool was killed.

    It would wait for work for ever: the pipe that it reads from has other ends, in its siblings.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return
    number = parent.pid

    def watch() -> None:
        while not has_ended(number):
            sleep(1)
        # sys.exit would end this thread alone.
        os._exit(1)

    Thread(target=watch, name="initguide-parent", daemon=True).start()


def is_child_of(home: tuple[str, int]) -> bool:
    """Whether this process is, or was started by, another one of this machine.

    Parameters
    ----------
    home
        Host and number of the other.
    """
    host, process = home
    parent = multiprocessing.parent_process()
    near = host == socket.gethostname()
    return near and process in (os.getpid(), None if parent is None else parent.pid)
