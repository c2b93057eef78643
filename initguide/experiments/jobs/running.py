"""Do many jobs: where data, pool, store and queue come together."""

import contextlib
import pickle
from collections.abc import Iterable, Sequence
from threading import Event
from typing import Any, NamedTuple

import torch

from initguide.arguments import check_number, check_whole
from initguide.experiments.jobs.fingerprints import fingerprint_of_data
from initguide.experiments.jobs.job import Failure, Job
from initguide.experiments.jobs.ledger import Keeping, Ledger
from initguide.experiments.jobs.pools import (
    ExecutorLike,
    check_executor,
    open_pool,
    shares_memory,
)
from initguide.experiments.jobs.scratch import remove_those_of_the_dead, temporary_folder
from initguide.experiments.jobs.shipping import Elsewhere, Here, ship
from initguide.experiments.jobs.signals import ending_like_interrupts
from initguide.experiments.jobs.stopping import StopFile
from initguide.experiments.jobs.work import Work
from initguide.experiments.jobs.worker import Terms
from initguide.initializers import written
from initguide.training import Dataset, Run, cores, one_thread

LARGEST = 50_000_000  # bytes of a scheme, model or value that are sent with each run


class Outcome(NamedTuple):
    """What came of some jobs: for each a run or why there is none, and how many were stored."""

    results: list[Run | Failure]
    found: int


def run_jobs(
    jobs: Sequence[Job],
    data: Dataset,
    *,
    workers: int | None = None,
    executor: ExecutorLike | None = None,
    store: Keeping | None = None,
    retries: int = 2,
    time_limit: float | None = None,
    strict: bool = False,
    progress: bool | None = None,
) -> Outcome:
    """Do all jobs, several at a time.

    Parameters
    ----------
    jobs
        What to do, in the order in which it is begun.
    data
        Three splits of images.
    workers
        How many threads of this process; as many as there are cores if ``None``, and one where
        networks are trained on a GPU, which trains them all at once.
    executor
        Where to do it instead, see `initguide.sweep`.
    store
        Where finished runs are kept; those that are there are not done again.
    retries
        How often a run is done again whose worker died.
        With 0, a pool of processes that breaks makes all runs in progress fail, for it does not say
        which of them did it.
    time_limit
        How many seconds a run may take, see `initguide.sweep`.
    strict
        Whether to raise what a run raises, and stop the others. Otherwise it is recorded.
    progress
        Whether to show a progress bar; by default in a terminal or a notebook only.

    Returns
    -------
    Outcome
        A `Run` or a `Failure` for each job, in the order of the jobs; and how many were found.

    Raises
    ------
    TypeError
        If the executor is none, or a job cannot be sent to another process.
    KeyboardInterrupt
        After Ctrl-C, SIGTERM or SIGHUP.
    """
    check_executor(executor)
    if executor is not None and workers is not None:
        raise ValueError(
            "workers is how many threads of this process are used, and executor is what is used "
            "instead; give one of the two"
        )
    check_whole("retries", retries, 0)
    if time_limit is not None:
        time_limit = check_number("time_limit", time_limit, above=0)
    if executor is None and any(torch.device(job.device).type != "cpu" for job in jobs):
        workers = 1
    with ending_like_interrupts(), contextlib.ExitStack() as stack:
        remove_those_of_the_dead()
        source: Here | Elsewhere
        stop: Any
        if shares_memory(executor):
            source, stop = Here(data), Event()
        else:
            _check_picklable(jobs)
            folder = stack.enter_context(temporary_folder())
            source, stop = ship(data, folder), StopFile(folder / "go on")
        opened, keys = None, []
        if store is not None:
            mark = source.mark if isinstance(source, Elsewhere) else fingerprint_of_data(data)
            known: dict[int, str] = {}  # one walk for each scheme and model, not for each job
            keys = [job.key(mark, known) for job in jobs]
            opened = store.open(data, mark)
        stack.enter_context(one_thread())  # new threads start with the number that this one has
        ledger = Ledger(jobs, opened, keys)
        pool = open_pool(executor, workers or cores())
        terms = Terms(strict, time_limit)
        work = Work(ledger, source, stop, pool, retries=int(retries), terms=terms)
        found = work.run(progress)
        return Outcome([ledger.results[i] for i in range(len(jobs))], found)


def _check_picklable(jobs: Iterable[Job]) -> None:
    """Refuse what cannot be sent to another process before anything is sent."""
    seen: set[int] = set()
    for job in jobs:
        parts = [("the scheme", job.scheme), ("model", job.model), ("optimizer", job.optimizer)]
        parts += [(f"the value of {name}", value) for name, value in job.keywords.items()]
        for what, part in parts:
            if id(part) in seen:
                continue
            seen.add(id(part))
            try:
                size = len(pickle.dumps(part))
            except Exception as error:
                remedy = "define it by def or class at the top level of a module"
                if what == "the scheme":
                    remedy += ", or give the name of a scheme, such as 'he_normal'"
                elif what == "model":
                    remedy += ", or use functools.partial in place of a lambda"
                raise TypeError(
                    f"{what} {written(part)} cannot be sent to another process ({error}); {remedy}"
                ) from error
            if size > LARGEST:
                raise ValueError(
                    f"{what} {written(part)[:80]} holds {size / 1e6:.0f} MB, which would be sent "
                    f"with each run; at most {LARGEST / 1e6:.0f} MB are: let it load them from a "
                    "file when it is called, or make them from a seed"
                )
