"""Workers of a Dask cluster, through the executor of its client."""

import contextlib
import math
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from time import monotonic, sleep
from typing import Any

from initguide.experiments.jobs.pools.pool import UNKNOWN, Pool

LOOK = 5.0  # seconds between two questions to the scheduler how many workers it has


class Dask(Pool):
    """What ``client.get_executor()`` gives. Dask itself is not imported."""

    looked = -math.inf
    count = UNKNOWN

    @staticmethod
    def fits(executor: Executor) -> bool:
        """Whether it has a client that tells the cores of its workers."""
        return callable(getattr(getattr(executor, "_client", None), "nthreads", None))

    @property
    def client(self) -> Any:
        """The client, which lives in this process."""
        return getattr(self.executor, "_client")  # noqa: B009  it has no public name

    @property
    def workers(self) -> int:
        """The cores of all workers, which may come and go."""
        if monotonic() - self.looked > LOOK:
            self.looked = monotonic()
            with contextlib.suppress(OSError):  # no connection just now: as many as before
                self.count = sum(self.client.nthreads().values()) or UNKNOWN
        return self.count

    @property
    def window(self) -> float:
        """Several for each core, so that a cluster may grow; the scheduler need not hold all."""
        return max(2 * UNKNOWN, 4 * self.workers)

    def submit(self, do: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Let a worker call a function, also if it has been asked to do the same before."""
        # By default, Dask names a task by a digest of its arguments: slow to take, and a task that
        # is tried again would be the one that failed.
        options: dict[str, Any] = {"pure": False}
        return self.executor.submit(do, *arguments, **options)

    def is_death(self, error: BaseException) -> bool:
        """Whether it gave a task up because its workers died; the executor itself goes on."""
        return super().is_death(error) or type(error).__name__ == "KilledWorker"

    def is_loss(self, error: BaseException) -> bool:
        """Whether its client lost the scheduler, and with it all tasks: it cancels them then."""
        return isinstance(error, CancelledError)

    def renew(self, error: BaseException) -> None:
        """Wait until the client has found the scheduler again, as long as it looks for it.

        Parameters
        ----------
        error
            What the executor broke with.

        Raises
        ------
        RuntimeError
            If the client gave up.
        """
        client = self.client
        while "connecting" in (status := str(getattr(client, "status", "running"))):
            sleep(0.1)
        if status == "running":
            return
        if self.make is None:
            raise RuntimeError(
                "the connection to Dask's scheduler was lost, and the client gave up (it is "
                f"{status}). Runs that had ended are in the store, if there is one: start the "
                "scheduler and call again. Client(..., timeout='10 minutes') would wait longer"
            ) from error
        super().renew(error)
