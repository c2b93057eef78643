"""Which processes of this machine still live, and which are meant."""

import os
from pathlib import Path


def has_ended(process: int) -> bool:
    """Whether a process of this machine is known to have ended.

    Parameters
    ----------
    process
        Its number.
    """
    # Windows has no signal that only asks: os.kill(pid, 0) would end the process there.
    if os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, and is somebody else's
        pass
    return False


def started(process: int) -> int:
    """When a process of this machine began, in ticks of the system's clock.

    Together with its number, which is given to another process later, it says which one is meant.

    Parameters
    ----------
    process
        Its number.

    Returns
    -------
    int
        0 where it cannot be told: on systems without ``/proc``, and of a process that has ended.
    """
    try:
        words = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # Behind the name of the program, which stands in brackets and may have any character in it.
    state, *numbers = words.rpartition(")")[2].split()
    return 0 if state in "ZX" else int(numbers[18])  # a zombie has ended, and is not yet forgotten
