"""What is to be trained: every point of a grid, with every seed."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from initguide.experiments.jobs import ExecutorLike, Failure, Job, Keeping, run_jobs, written
from initguide.experiments.resuming import found_in_store
from initguide.experiments.settings import Scheme, check_values, plain_name
from initguide.training import Dataset, Run

Labels = dict[str, Any]
"""Name of each varied setting -> what its value is called."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Settings that are varied and settings that are not; `compare_init_weights` varies one.

    Parameters
    ----------
    axes
        Name of each varied setting -> what each value is called -> the value.
    fixed
        The values of `RUN_SETTINGS`, where they are not varied.
    schemes
        The function behind each scheme's label, varied or not.
    model
        Makes a network, called with those of the axes that are no `RUN_SETTINGS`.
    seeds
        The seeds that every point is trained with.
    device
        Where networks are trained.

    Raises
    ------
    ValueError
        If no run can be done with one of the values.
    """

    axes: Mapping[str, Mapping[Any, Any]]
    fixed: Mapping[str, Any]
    schemes: Mapping[str, Scheme]
    model: Callable[..., nn.Module]
    seeds: Sequence[int]
    device: str | torch.device

    def __post_init__(self) -> None:
        check_values(self.fixed, self.axes, self.seeds, self.model)

    @property
    def common(self) -> dict[str, Any]:
        """What all runs have in common, as tables and files say it."""
        fixed = {k: plain_name(value) for k, value in self.fixed.items() if k not in self.axes}
        return {"model": written(self.model), **fixed, "device": str(self.device)}

    @property
    def points(self) -> list[Labels]:
        """What the values of each point are called."""
        values = itertools.product(*self.axes.values())
        return [dict(zip(self.axes, point, strict=True)) for point in values]

    def job(self, labels: Labels, seed: int, *, label: str, settings: Mapping[str, Any]) -> Job:
        """One run: a point and a seed, under the name and the settings that tables show."""
        varied = {name: self.axes[name][label] for name, label in labels.items()}
        values = {**self.fixed, **varied}
        scheme = labels.get("scheme", plain_name(self.fixed["scheme"]))
        return Job(
            label=label,
            seed=seed,
            scheme=self.schemes[str(scheme)],
            model=self.model,
            epochs=int(values["epochs"]),
            batch_size=int(values["batch_size"]),
            learning_rate=float(values["learning_rate"]),
            optimizer=values["optimizer"],
            device=str(torch.device(self.device)),
            scale=float(values["scale"]),
            keywords={name: value for name, value in varied.items() if name not in self.fixed},
            settings=settings,
        )


def run_grid(
    grid: Grid,
    data: Dataset,
    say: Callable[[Labels], tuple[str, Mapping[str, Any]]],
    *,
    keeping: Keeping | None,
    workers: int | None,
    executor: ExecutorLike | None,
    retries: int,
    time_limit: float | None,
    strict: bool,
    progress: bool | None,
) -> tuple[list[tuple[Labels, Run | Failure]], str]:
    """Train every point with every seed.

    Parameters
    ----------
    say
        The name and the settings of a point, from what its values are called.
    keeping, workers, executor, retries, time_limit, strict, progress
        As in `run_jobs`, where ``keeping`` is called ``store``.

    Returns
    -------
    results
        Point by point, and seed by seed within a point, what it was and what came of it.
    remark
        How many runs were found in the store, in words.
    """
    points = grid.points
    # Seeds in the outer loop: if the call is cut short, every point has about as many runs.
    jobs = [
        grid.job(labels, seed, label=label, settings=settings)
        for seed in grid.seeds
        for labels, (label, settings) in ((point, say(point)) for point in points)
    ]
    outcome = run_jobs(
        jobs,
        data,
        workers=workers,
        executor=executor,
        store=keeping,
        retries=retries,
        time_limit=time_limit,
        strict=strict,
        progress=progress,
    )
    # Jobs went seed by seed; results are handed back point by point.
    results = [
        (labels, result)
        for i, labels in enumerate(points)
        for result in outcome.results[i :: len(points)]
    ]
    return results, found_in_store(outcome.found, len(jobs), keeping and keeping.path)
