"""What work asks of a pool, and how any executor of `concurrent.futures` answers."""

import math
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any

UNKNOWN = 64  # workers to expect of an executor that does not say how many it has


class Pool:
    """An executor in use, and how to get another when it breaks.

    This class takes any executor, and supposes nothing about it. A kind of executor that can say
    more of itself has a subclass in a file of its own, listed in
    `initguide.experiments.jobs.pools.kinds`: it overrides `fits` and whichever of `workers`,
    `window`, `another` and `is_death` it knows better.

    Parameters
    ----------
    executor
        Where runs are submitted.
    make
        Makes another such executor. Then this one was made by it, too, and is shut down by `close`.
    """

    def __init__(self, executor: Executor, make: Callable[[], Executor] | None = None) -> None:
        self.executor = executor
        self.is_ours = make is not None
        self.make = make or self.another()

    @staticmethod
    def fits(executor: Executor) -> bool:  # noqa: ARG004  subclasses look at it
        """Whether an executor is of this kind."""
        return True

    @property
    def workers(self) -> int:
        """How many groups of runs go on at once, as far as is known."""
        return UNKNOWN

    @property
    def window(self) -> float:
        """How many groups are submitted at a time."""
        return math.inf

    def another(self) -> Callable[[], Executor] | None:
        """How to make an executor like the one that was given, if that is known."""
        return None

    def is_death(self, error: BaseException) -> bool:
        """Whether an error says that a worker died, not that a run went wrong."""
        return isinstance(error, BrokenExecutor)

    def is_loss(self, error: BaseException) -> bool:  # noqa: ARG002  subclasses look at it
        """Whether an error says that the executor lost what it had, through no fault of a run."""
        return False

    def submit(self, do: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Let a worker call a function."""
        return self.executor.submit(do, *arguments)

    def renew(self, error: BaseException) -> None:
        """Replace an executor that broke.

        Parameters
        ----------
        error
            What it broke with.

        Raises
        ------
        RuntimeError
            If it is not known how to make another.
        """
        if self.is_ours:
            self.executor.shutdown(wait=False)
        if self.make is None:
            raise RuntimeError(
                "the executor broke, and no run can be done with it any more; give executor= a "
                "function that makes one, and another will be made"
            ) from error
        self.executor, self.is_ours = self.make(), True

    def close(self) -> None:
        """Shut down an executor that was made here; its futures have ended or been cancelled."""
        if self.is_ours:
            self.executor.shutdown(wait=True)  # Dask's takes no cancel_futures


class SizedPool(Pool):
    """An executor of the standard library, which knows how many workers it has."""

    @staticmethod
    def fits(executor: Executor) -> bool:
        """Whether it has the attribute that says so."""
        return isinstance(getattr(executor, "_max_workers", None), int)

    @property
    def workers(self) -> int:
        """As many as it was made for."""
        return int(getattr(self.executor, "_max_workers"))  # noqa: B009  it has no public name

    @property
    def window(self) -> float:
        """Two for each worker: no worker waits, and other processes may claim what is left."""
        return 2 * self.workers
