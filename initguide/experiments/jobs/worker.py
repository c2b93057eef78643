"""What a worker does: some runs at once, in whatever process it lives."""

from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from typing import NamedTuple, NoReturn

import torch
from torch import nn

from initguide.experiments.jobs.errors import Told, told
from initguide.experiments.jobs.job import Job
from initguide.experiments.jobs.limits import HUNG, Deadline, supervised, too_long
from initguide.experiments.jobs.shipping import Elsewhere, Here
from initguide.experiments.jobs.software import check_code
from initguide.experiments.jobs.stopping import StopFile, end_with_parent, is_child_of
from initguide.training import Dataset, Run, Stop, train_many


class Terms(NamedTuple):
    """What holds for all runs of a call.

    Attributes
    ----------
    strict
        Whether the first error ends a group, and is raised.
    limit
        How many seconds a run may take; as long as it likes if ``None``. Runs that are trained
        together have so many for each.
    """

    strict: bool = False
    limit: float | None = None


def run_together(
    jobs: Sequence[Job], data: Here | Elsewhere, stop: Stop, terms: Terms
) -> list[Run | Exception]:
    """Do some jobs that share a `shape`, at once.

    Parameters
    ----------
    jobs
        The jobs.
    data
        How to get the data.
    stop
        Ends the training early; the runs are then dropped.
    terms
        What holds for all of them.

    Returns
    -------
    list of Run or Exception
        For each job its run, or the error that it raised.

    Raises
    ------
    concurrent.futures.CancelledError
        If it was stopped.
    """
    if stop.is_set():
        raise CancelledError
    with jobs[0].named():
        loaded = data.load()
    limit = terms.limit
    deadline = None if limit is None else Deadline(stop, limit * len(jobs))
    results: dict[Job, Run | Exception] = {}
    models: dict[Job, nn.Module] = {}
    for job in jobs:
        if stop.is_set():
            raise CancelledError
        try:
            models[job] = job.build()
        except Exception as error:  # noqa: BLE001  whatever it is, it is this job's result
            results[job] = _raised(error, terms)
    try:
        runs = _train(models, loaded, deadline or stop)
        if limit is not None and deadline is not None and deadline.stopped_it:
            _over(limit)
        results |= zip(models, runs, strict=True)
    except Exception as error:  # noqa: BLE001  the same
        if len(models) > 1:  # one by one, so that only the job at fault fails
            for job in models:
                results[job], *_ = run_together([job], data, stop, terms)
        else:
            results |= dict.fromkeys(models, _raised(error, terms))
    if stop.is_set():
        raise CancelledError
    return [results[job] for job in jobs]


def run_elsewhere(
    jobs: Sequence[Job],
    data: Elsewhere,
    stop: StopFile,
    terms: Terms,
    codes: Sequence[tuple[str, ...]] = (),
) -> list[Run | Told]:
    """Do some jobs in a process that is not the one which made the call.

    Parameters
    ----------
    jobs, data, stop, terms
        As in `run_together`.
    codes
        What `initguide.experiments.jobs.software.codes_of` said of each job; none if nothing will
        be stored.

    Returns
    -------
    list of Run or Told
        For each job its run, or the error that it raised, as it can be sent.

    Raises
    ------
    concurrent.futures.CancelledError
        If it was stopped.
    """
    if stop.is_set():
        raise CancelledError
    end_with_parent()
    try:
        # Before the clock starts; what it loads stays in the process.
        with jobs[0].named():
            data.load()
        if codes and not is_child_of(stop.home):  # a child has the code of its parent
            for job, code in zip(jobs, codes, strict=True):
                check_code(job, code)

        def do() -> list[Run | Exception]:
            torch.set_num_threads(1)  # for good: in such a worker, threads may come and go
            return run_together(jobs, data, stop, terms)

        if terms.limit is None:
            return [told(result) for result in do()]
        seconds = HUNG * terms.limit * len(jobs)
        return [told(result) for result in supervised(do, terms.limit, seconds, stop.home)]
    except CancelledError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  sent, as other errors are
        return [told(error)] * len(jobs)


def _over(limit: float) -> NoReturn:
    raise TimeoutError(too_long(limit))


def _raised(error: Exception, terms: Terms) -> Exception:
    if terms.strict:
        raise error
    return error


def _train(models: Mapping[Job, nn.Module], data: Dataset, stop: Stop) -> list[Run]:
    if not models:
        return []
    first = next(iter(models))
    with first.named():
        return train_many(
            list(models.values()),
            data,
            epochs=first.epochs,
            batch_size=first.batch_size,
            learning_rates=[job.learning_rate for job in models],
            optimizer=first.optimizer,
            seeds=[job.seed for job in models],
            labels=[job.label for job in models],
            stop=stop,
        )
