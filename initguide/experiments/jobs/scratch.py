"""Temporary folders that do not outlive their process for long, however it ends."""

import contextlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from initguide.experiments.processes import has_ended, started


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder in the system's temporary folder (``TMPDIR``) that is removed in the end.

    Its name says whose it is, so that `remove_those_of_the_dead` finds it if the process is killed
    before it can remove it.
    """
    process = os.getpid()
    prefix = f"{_prefix()}{process}-{started(process)}-"
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        yield Path(folder)


def remove_those_of_the_dead() -> None:
    """Remove temporary folders of processes that were killed.

    Only folders, no links, that are this user's, and were made on this machine by a process that is
    known to have ended.
    """
    if os.name != "posix":
        return
    of_this_machine = re.compile(rf"{re.escape(_prefix())}(\d+)-(\d+)-\w+")
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            match = of_this_machine.fullmatch(entry.name)
            if match is None or not entry.is_dir(follow_symlinks=False):
                continue
            process, start = map(int, match.groups())
            is_mine = entry.stat(follow_symlinks=False).st_uid == os.geteuid()
            if is_mine and (has_ended(process) or started(process) != start):
                shutil.rmtree(entry.path, ignore_errors=True)


def _prefix() -> str:
    """What names begin with whose processes can be told to have ended: of this machine."""
    host = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())
    # Containers may share a temporary folder and the name of their machine, but not its processes.
    try:
        container = "".join(filter(str.isdecimal, str(Path("/proc/self/ns/pid").readlink())))
    except OSError:
        container = "0"
    return f"initguide-{host}-{container}-"
