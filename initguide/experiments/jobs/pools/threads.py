"""Threads of this process: training releases Python's lock, and nothing has to be sent."""

from concurrent.futures import Executor, ThreadPoolExecutor

from initguide.experiments.jobs.pools.pool import SizedPool


class Threads(SizedPool):
    """A pool of threads, which share the memory of this process."""

    @staticmethod
    def fits(executor: object) -> bool:
        """Whether it is a `ThreadPoolExecutor`."""
        return isinstance(executor, ThreadPoolExecutor)


def threads(workers: int) -> Executor:
    """Make as many threads.

    Parameters
    ----------
    workers
        How many.
    """
    return ThreadPoolExecutor(workers, thread_name_prefix="initguide")
