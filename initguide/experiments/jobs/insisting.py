"""What is to be stored is tried again until it works, or until somebody ends the call."""

import warnings
from collections.abc import Callable
from time import sleep
from typing import TypeVar

from initguide.experiments.store import StoreWarning, reason_of

FIRST_PAUSE = 1.0  # seconds; each is twice as long as the one before
LONGEST_PAUSE = 30.0

Result = TypeVar("Result")


def until_it_works(do: Callable[[], Result], waiting: int) -> Result:
    """Do something with a store, again and again while it cannot be read or written.

    Parameters
    ----------
    do
        What to do.
    waiting
        How many finished runs wait to be stored.

    Returns
    -------
    object
        What it returns.

    Raises
    ------
    StoreError
        If the file is no store any more: to wait does not help.

    Warns
    -----
    StoreWarning
        Once, when it has failed for the first time.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return do()
        except OSError as error:
            if pause == FIRST_PAUSE:
                runs = f"{waiting or 'no'} finished run{'s' * (waiting != 1)}"
                warnings.warn(
                    f"{reason_of(error)}. It is tried again until it works; {runs} "
                    f"wait{'s' * (waiting == 1)} in memory. Make room, or end whatever holds it; "
                    "to end this call (Ctrl-C) writes them into a file beside the store, which "
                    "the next call takes up",
                    StoreWarning,
                    stacklevel=2,
                )
        sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
