"""What becomes of the runs of a worker that died: done again, done again alone, or given up."""

import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from initguide.experiments.jobs.job import Job

BREAKS = 10  # executors in a row that may break before any run ends


class WorkerWarning(UserWarning):
    """A worker died, and what it was doing is done again."""


class Fates(NamedTuple):
    """What becomes of jobs whose worker died.

    Parameters
    ----------
    again
        Those that go back into the queue, with others beside them.
    alone
        Those that have one try left, with nothing beside them.
    given_up
        Number of a job -> why it is not tried again.
    """

    again: list[int]
    alone: list[int]
    given_up: dict[int, str]


class Requeueing:
    """How often workers died, and what follows from it.

    Parameters
    ----------
    jobs
        All jobs of the call; the methods take their numbers.
    retries
        How often a job is done again whose worker died.
    strict
        Whether to raise that a job is to be given up, in place of giving it up.
    """

    def __init__(self, jobs: Sequence[Job], *, retries: int, strict: bool) -> None:
        self.jobs = jobs
        self.retries = retries
        self.strict = strict
        self.deaths: dict[int, int] = {}
        self.breaks = 0

    def fates(self, dead: Iterable[int]) -> Fates:
        """Decide about jobs whose worker died.

        Raises
        ------
        RuntimeError
            If one is to be given up, and that ends the call.

        Warns
        -----
        WorkerWarning
            If some are done again.
        """
        fates = Fates([], [], {})
        for i in sorted(dead):
            deaths = self.deaths[i] = self.deaths.get(i, 0) + 1
            if deaths > self.retries:
                times = f"{deaths} times" if deaths > 1 else "once"
                fates.given_up[i] = f"a worker died {times} while it did this run"
                if self.strict:
                    error = RuntimeError(fates.given_up[i])
                    error.add_note(f"while training {self.jobs[i].label!r}")
                    raise error
            # A pool that breaks does not say which of its jobs did it. The last try is made alone,
            # so that no job is given up for the fault of another.
            elif deaths == self.retries:
                fates.alone.append(i)
            else:
                fates.again.append(i)
        again = len(fates.again) + len(fates.alone)
        if again:
            warnings.warn(
                f"a worker died; {again} run{'s' * (again > 1)} in progress with it "
                f"{'are' if again > 1 else 'is'} done again",
                WorkerWarning,
                stacklevel=6,  # _collect, run, run_jobs and the public function that called it
            )
        return fates

    def one_ended(self) -> None:
        """Note that a run ended: the executors are not all at fault."""
        self.breaks = 0

    def one_broke(self, error: BaseException) -> None:
        """Note that an executor broke.

        Raises
        ------
        RuntimeError
            If so many broke in a row that another would do no better.
        """
        self.breaks += 1
        if self.breaks > BREAKS:
            raise RuntimeError(
                f"{self.breaks} executors in a row broke before any run ended, so the fault is "
                "hardly in one of the runs; a script that starts processes must do so under "
                'if __name__ == "__main__"'
            ) from error
