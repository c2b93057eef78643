"""Processes of this machine."""

from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor

from initguide.experiments.jobs.pools.pool import SizedPool


class Processes(SizedPool):
    """A `ProcessPoolExecutor`, which breaks as a whole when one of its processes dies."""

    @staticmethod
    def fits(executor: Executor) -> bool:
        """Whether it is one; a subclass may need arguments that nobody knows here."""
        return type(executor) is ProcessPoolExecutor

    def another(self) -> Callable[[], Executor] | None:
        """Make a pool with the arguments of the one given."""
        # It has no public way to tell what it was made with; where a later Python keeps this under
        # other names, a pool that was given and broke is no longer replaced, and that is said.
        names = ("_max_workers", "_mp_context", "_initializer", "_initargs")
        if not all(hasattr(self.executor, name) for name in names):
            return None
        workers, context, initializer, arguments = (getattr(self.executor, name) for name in names)
        return lambda: ProcessPoolExecutor(
            workers, mp_context=context, initializer=initializer, initargs=arguments
        )
