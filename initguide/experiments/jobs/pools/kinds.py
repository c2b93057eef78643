"""Which kinds of pool there are, and the one for the executor that a call was given."""

import functools
from collections.abc import Callable
from concurrent.futures import Executor

from initguide.experiments.jobs.pools.dask import Dask
from initguide.experiments.jobs.pools.pool import Pool, SizedPool
from initguide.experiments.jobs.pools.processes import Processes
from initguide.experiments.jobs.pools.threads import Threads, threads

ExecutorLike = Executor | Callable[[], Executor]

KINDS: tuple[type[Pool], ...] = (Dask, Threads, Processes, SizedPool, Pool)
"""The first that fits is taken; the last fits everything. A new kind is a file and a name here."""


def check_executor(executor: object) -> None:
    """Refuse what is no executor and no function that may make one.

    Parameters
    ----------
    executor
        What was given; ``None`` for threads of this process.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if callable(executor) or isinstance(executor, Executor | None):
        return
    # A Dask client is what people have at hand; it has the executor that is meant.
    hint = "; give its get_executor()" if hasattr(executor, "get_executor") else ""
    raise TypeError(
        f"executor is {executor!r}; it must be a concurrent.futures.Executor such as "
        f"ProcessPoolExecutor(4), or a function that makes one{hint}"
    )


def shares_memory(executor: ExecutorLike | None) -> bool:
    """Whether workers see the objects of this process, so that nothing has to be pickled.

    What a function will make is not known before it is called, and what is sent is checked before.

    Parameters
    ----------
    executor
        What was given; ``None`` for threads of this process.
    """
    return executor is None or Threads.fits(executor)


def open_pool(executor: ExecutorLike | None, workers: int) -> Pool:
    """Make a pool of what was given.

    Parameters
    ----------
    executor
        An executor, or a function that makes one; ``None`` for threads of this process.
    workers
        How many threads.

    Raises
    ------
    TypeError
        If the function made something else.
    """
    make: Callable[[], Executor] | None = None
    if executor is None:
        make = functools.partial(threads, workers)
    elif not isinstance(executor, Executor):
        make = executor
    ready = make() if make is not None else executor
    if not isinstance(ready, Executor):
        raise TypeError(
            f"executor made an object of type {type(ready).__name__}; it must make a "
            "concurrent.futures.Executor"
        )
    return next(kind for kind in KINDS if kind.fits(ready))(ready, make)
