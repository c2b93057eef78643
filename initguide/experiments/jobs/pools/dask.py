"""Workers of a Dask cluster, through the executor of its client."""

from concurrent.futures import Executor

from initguide.experiments.jobs.pools.pool import UNKNOWN, Pool


class Dask(Pool):
    """What ``client.get_executor()`` gives. Dask itself is not imported."""

    @staticmethod
    def fits(executor: Executor) -> bool:
        """Whether it has a client that tells the cores of its workers."""
        return callable(getattr(getattr(executor, "_client", None), "nthreads", None))

    @property
    def workers(self) -> int:
        """The cores of all workers, which may come and go."""
        client = getattr(self.executor, "_client")  # noqa: B009  it has no public name
        return sum(client.nthreads().values()) or UNKNOWN

    def is_death(self, error: BaseException) -> bool:
        """Whether it gave a task up because its workers died; the executor itself goes on."""
        return super().is_death(error) or type(error).__name__ == "KilledWorker"
