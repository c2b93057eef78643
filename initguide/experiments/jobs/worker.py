"""What a worker does: some runs at once, in whatever process it lives."""

from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError

import torch
from torch import nn

from initguide.experiments.jobs.job import Job
from initguide.experiments.jobs.shipping import Elsewhere, Here
from initguide.experiments.jobs.stopping import end_with_parent
from initguide.training import Dataset, Run, Stop, train_many


def run_together(
    jobs: Sequence[Job], data: Here | Elsewhere, stop: Stop, *, strict: bool
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
    strict
        Whether to raise the first error, and do no more.

    Returns
    -------
    list of Run or Exception
        For each job its run, or the error that it raised.

    Raises
    ------
    concurrent.futures.CancelledError
        If it was stopped.
    """
    if isinstance(data, Elsewhere):
        if stop.is_set():
            raise CancelledError
        end_with_parent()
        torch.set_num_threads(1)  # for good: in such a worker, threads may come and go
    with jobs[0].named():
        loaded = data.load()
    results: dict[Job, Run | Exception] = {}
    models: dict[Job, nn.Module] = {}
    for job in jobs:
        if stop.is_set():
            raise CancelledError
        try:
            models[job] = job.build()
        except Exception as error:  # noqa: BLE001  whatever it is, it is this job's result
            results[job] = _raised(error, strict=strict)
    try:
        results |= zip(models, _train(models, loaded, stop), strict=True)
    except Exception as error:  # noqa: BLE001  the same
        if len(models) > 1:  # one by one, so that only the job at fault fails
            for job in models:
                results[job], *_ = run_together([job], data, stop, strict=strict)
        else:
            results |= dict.fromkeys(models, _raised(error, strict=strict))
    if stop.is_set():
        raise CancelledError
    return [results[job] for job in jobs]


def _raised(error: Exception, *, strict: bool) -> Exception:
    if strict:
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
