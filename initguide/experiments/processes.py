"""Whether another process of this machine still lives."""

import os


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
