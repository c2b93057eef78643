"""Runs over a grid of settings."""

import dataclasses
import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from initguide.experiments.files import run_from_json
from initguide.experiments.jobs import (
    ExecutorLike,
    Failure,
    Job,
    Keeping,
    SchemeLike,
    fingerprint,
    run_jobs,
    run_of,
    written,
)
from initguide.experiments.metrics import metric_named, numbers_of
from initguide.experiments.results import Results
from initguide.experiments.resuming import (
    SWEEP_RULES,
    found_in_store,
)
from initguide.experiments.settings import (
    axes_of,
    check_data,
    check_model,
    check_values,
    check_workers,
    is_same_value,
    named_schemes,
    plain_name,
    point_label,
    seed_list,
)
from initguide.experiments.statistics import Interval
from initguide.models import Net
from initguide.training import (
    Dataset,
    OptimizerFactory,
    Run,
)


@dataclass(frozen=True, eq=False)
class SweptRun(Run):
    """A run of a `sweep`, which knows where in the grid it lies.

    Attributes
    ----------
    settings
        Name of each setting that was varied -> its value.
    """

    settings: Mapping[str, Any]


class Point(NamedTuple):
    """One point of a grid: a line of the table.

    Attributes
    ----------
    settings
        Name of each setting that was varied -> its value.
    mean
        Mean over the seeds whose run did not diverge; NaN if there is none.
    interval
        The interval of the mean over seeds, or ``None`` where fewer than two seeds give a number.
    diverged, failed
        How many of the runs diverged, and how many could not be done.
    """

    settings: Mapping[str, Any]
    mean: float
    interval: Interval | None
    diverged: int
    failed: int


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Results):
    """Runs over a grid of settings: what `sweep` returns.

    Printed, it is a table; a notebook shows the same table in HTML.

    Attributes
    ----------
    runs
        Every run, point by point in the order of the grid, and seed by seed within a point.
    failures
        The runs that could not be done, and why.
    grid
        Name of each setting that was varied -> its values. Values other than numbers, texts and
        ``None`` are named.
    settings
        What all runs have in common: model, epochs, seeds and so on.
    data_source
        Where the images came from and how many there are, in words.
    remark
        What else is to be said below the table: how many runs came from a store. Not saved.
    """

    runs: tuple[SweptRun, ...]
    failures: tuple[Failure, ...]
    grid: Mapping[str, tuple[Any, ...]]
    settings: Mapping[str, Any]
    data_source: str
    remark: str = ""

    kind = "sweep"
    point_noun = "point"
    best_may_diverge = False

    @cached_property
    def points(self) -> dict[str, dict[str, Any]]:
        """Label of each point, such as ``"scheme zeros, scale 2"``, with its settings."""
        grid = (dict.fromkeys(values) for values in self.grid.values())
        settings = [dict(zip(self.grid, point, strict=True)) for point in itertools.product(*grid)]
        short = {point_label(point): point for point in settings}
        # Numbers that are alike in six digits are written in full.
        return short if len(short) == len(settings) else {str(point): point for point in settings}

    @property
    def described(self) -> dict[str, str]:
        """Each label with what colours it, which is the scheme where nothing else was varied."""
        alone = list(self.grid) == ["scheme"]
        return {k: str(v["scheme"]) if alone else k for k, v in self.points.items()}

    def of(self, **settings: Any) -> tuple[SweptRun, ...]:
        """Runs with some settings.

        Parameters
        ----------
        **settings
            Any of those that were varied, and ``seed``; all runs if there is none.

        Raises
        ------
        ValueError
            If a name or a value is not in the grid; the message lists those that are.
        """
        axes = {**self.grid, "seed": tuple(self.settings["seeds"])}
        for name, value in settings.items():
            if name not in axes:
                raise ValueError(
                    f"{name!r} was not varied in this sweep; what was: {', '.join(axes)}"
                )
            if not any(is_same_value(value, other) for other in axes[name]):
                values = ", ".join(map(repr, axes[name]))
                raise ValueError(f"{name} {value!r} is not in the grid; its values are {values}")
        return tuple(
            run
            for run in self.runs
            if all(
                is_same_value(value, run.seed if name == "seed" else run.settings[name])
                for name, value in settings.items()
            )
        )

    def values(self, metric: str = "valid_accuracy", **settings: Any) -> NDArray[np.float64]:
        """One number a run, NaN where it diverged.

        Parameters
        ----------
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        **settings
            Which runs; see `of`.
        """
        metric_named(metric)
        return numbers_of(self.of(**settings), metric)

    def array(self, metric: str = "valid_accuracy") -> NDArray[np.float64]:
        """All numbers, with an axis for each varied setting and a last one for the seeds.

        Parameters
        ----------
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].

        Returns
        -------
        numpy.ndarray
            In the order of the grid; NaN where a run diverged or could not be done.
        """
        of = metric_named(metric).of
        found = {(label, run.seed): of(run) for label in self.labels for run in self.runs_at(label)}
        seeds = self.settings["seeds"]
        numbers = [found.get((label, seed), math.nan) for label in self.labels for seed in seeds]
        return np.reshape(numbers, (*map(len, self.grid.values()), len(seeds)))

    def rows(self, metric: str = "valid_accuracy", *, confidence: float = 0.95) -> list[Point]:
        """Mean and interval of each point, in the order of the grid.

        Parameters
        ----------
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        confidence
            How often such intervals hold the true mean, in (0, 1).
        """
        return [
            Point(
                self.points[label],
                mean,
                interval,
                sum(run.diverged for run in self.runs_at(label)),
                self._failed_at(label),
            )
            for label, mean, interval in self.means(metric, confidence=confidence)
        ]

    def best(self, metric: str = "valid_accuracy") -> Point | None:
        """The point with the best mean among those without diverged or failed runs.

        ``None`` if there is no such point. The best of many means is partly luck: see
        `difference` for whether it matters.
        """
        label = self._best_label(metric)
        if label is None:
            return None
        return next(row for row in self.rows(metric) if row.settings == self.points[label])

    # What `Results` asks for

    @cached_property
    def _labels_by_place(self) -> dict[tuple[Any, ...], str]:
        return {tuple(point.values()): label for label, point in self.points.items()}

    def _label_of(self, run: Run) -> str:
        return self._label_at_settings(cast(SweptRun, run).settings)

    def _label_at_settings(self, settings: Mapping[str, Any]) -> str:
        return self._labels_by_place[tuple(settings[name] for name in self.grid)]

    @cached_property
    def _failures_by_label(self) -> Counter[str]:
        return Counter(self._label_at_settings(failure.settings) for failure in self.failures)

    def _failed_at(self, label: str) -> int:
        return self._failures_by_label[label]

    def _places(self) -> dict[str, list[Any]]:
        return {name: [run.settings[name] for run in self.runs] for name in self.grid}

    def _notes(self) -> str:
        missing = len(self.points) * len(self.settings["seeds"])
        missing -= len(self.runs) + len(self.failures)
        words = f" {missing} runs are missing." if missing else ""
        if self.failures:
            reasons = "; ".join(dict.fromkeys(failure.reason for failure in self.failures))
            words += f" Why runs failed: {reasons}."
        return words

    def _document(self) -> dict[str, Any]:
        return {
            "grid": {name: list(values) for name, values in self.grid.items()},
            "failures": [failure._asdict() for failure in self.failures],
        }

    @classmethod
    def _from_document(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            runs=tuple(_swept(run_from_json(run), run["settings"]) for run in document["runs"]),
            failures=tuple(Failure(**failure) for failure in document["failures"]),
            grid={name: tuple(values) for name, values in document["grid"].items()},
            settings=dict(document["settings"]),
            data_source=str(document["data_source"]),
        )

    @classmethod
    def _from_store(
        cls,
        path: str | os.PathLike[str],  # noqa: ARG003  a sweep need not be complete
        about: Mapping[str, Any],
        rows: Sequence[Any],
    ) -> Self:

        grid = {name: tuple(values) for name, values in about["grid"]}
        places = {
            (*point, seed): i
            for i, (*point, seed) in enumerate(itertools.product(*grid.values(), about["seeds"]))
        }
        runs: dict[int, SweptRun] = {}
        failures: dict[int, Failure] = {}
        for row in rows:
            settings = {name: json.loads(row["settings"])[name] for name in grid}
            i = places[*settings.values(), row["seed"]]
            if row["error"] is None:
                runs[i] = _swept(run_of(row), settings)
            else:
                failures[i] = Failure(row["label"], row["seed"], settings, row["error"])
        return cls(
            runs=tuple(runs[i] for i in sorted(runs)),
            failures=tuple(failures[i] for i in sorted(failures)),
            grid=grid,
            settings=about["settings"] | {"seeds": about["seeds"]} | {"torch": about["torch"]},
            data_source=about["data"]["source"],
        )


def _swept(run: Run, settings: Mapping[str, Any]) -> SweptRun:
    own = {field.name: getattr(run, field.name) for field in dataclasses.fields(Run)}
    return SweptRun(**own, settings=dict(settings))


def sweep(
    grid: Mapping[str, Iterable[Any]],
    data: Dataset,
    *,
    model: Callable[..., nn.Module] = Net,
    scheme: SchemeLike = "default",
    scale: float = 1.0,
    epochs: int = 2,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    optimizer: str | OptimizerFactory = "adam",
    seeds: int | Iterable[int] = 5,
    device: str | torch.device = "cpu",
    workers: int | None = None,
    executor: ExecutorLike | None = None,
    store: str | os.PathLike[str] | None = None,
    retries: int = 2,
    progress: bool | None = None,
) -> Sweep:
    """Train a model with every combination of some settings and every seed.

    For one seed, all points of the grid see the same mini-batches in the same order (if the batch
    size is the same). A run whose loss turns to NaN or infinity is a result: it diverged. A run
    that raises an error is recorded as failed, with the reason, and the others go on.

    `initguide.training.plan` chooses how each core trains its networks: by compiled steps where it
    can, or several at a time. On a GPU, all are trained at once. The numbers do not depend on where
    on a processor the runs are done: each uses one thread, and all its random numbers come from its
    seed. On a GPU, dropout masks also depend on which runs are trained together.

    Parameters
    ----------
    grid
        Name of a setting -> the values to try. The settings are ``scheme``, ``scale``,
        ``learning_rate``, ``optimizer``, ``epochs``, ``batch_size``, ``seed``, and any keyword of
        the model, such as ``hidden_1`` or ``dropout`` of `initguide.Net`. Values that have no short
        name of their own can be given as a dictionary of labels and values.
    data
        What `initguide.fashion_mnist` returns, or anything with the same three splits, ``.train``,
        ``.valid`` and ``.test``, each with ``.images`` (N, …) and ``.labels`` (N,).
    model
        Makes a new network: a class or a function, called with the keywords in the grid.
    scheme
        The scheme, where it is not varied: a name or a function of a module.
    scale
        A factor on the weights (parameters of two or more dimensions) once the scheme has filled
        them, at least 0.
    epochs, batch_size, learning_rate, optimizer
        As in `initguide.training.train`, where they are not varied.
    seeds
        How many (they are then 0, 1, 2, …), or which; the grid's ``seed`` if it has one.
    device
        Where the networks are trained.
    workers
        How many threads of this process train networks; as many as there are cores if ``None``.
    executor
        Where the runs go on instead: any `concurrent.futures.Executor`, or better, a function that
        makes one, because a process pool one of whose workers died cannot be used again. Model,
        schemes and data must then be sent to other processes, so functions and classes must be
        defined at the top level of a module.

        On this machine, ``functools.partial(ProcessPoolExecutor, 8)`` (with a GPU, add
        ``mp_context=multiprocessing.get_context("spawn")``). On many, with Dask (``pip install
        "initguide[dask]"``):

        .. code-block:: python

           from dask.distributed import Client

           with Client() as client:  # a local cluster; or Client("tcp://scheduler:8786")
               initguide.sweep(grid, data, executor=client.get_executor())

        A worker loads the data once: by the arguments of `initguide.fashion_mnist` if they came
        from there, otherwise from a temporary file, which all machines must then see (``TMPDIR``).
    store
        A file in which each run is kept as soon as it ends (see `initguide.experiments`). The same
        call later does only what is missing, runs that had failed included; more values and more
        seeds can be added. A store of other settings is refused. Several processes, also on several
        machines, may work on one store: they share the runs.
    retries
        How often a run is done again if the worker that did it died. The last time it is done
        alone, so that it is known to be at fault. If the worker dies then, too, the run is
        recorded as failed.
    progress
        Whether to show a progress bar; by default in a terminal or a notebook only.

    Returns
    -------
    Sweep
        Every run, and tables of them.

    Raises
    ------
    ValueError
        If a setting is unknown, has no value or the same twice, or a value is not allowed; if no
        network can be made with a value; or if the store holds runs of other settings
        (`StoreError`).
    TypeError
        If something cannot be sent to the executor's processes.
    OSError
        If the store cannot be written. What it held before is intact.

    Warns
    -----
    WorkerWarning
        If a worker died.

    Examples
    --------
    >>> import initguide
    >>> data = initguide.fashion_mnist(source="sample").subset(train=500)
    >>> grid = {"scheme": ["zeros", "he_normal"], "learning_rate": [1e-3, 1e-2]}
    >>> result = sweep(grid, data, epochs=1, seeds=2)
    >>> [round(float(a), 1) for a in result.values(scheme="zeros")]
    [0.1, 0.1, 0.1, 0.1]
    """
    check_workers(workers)
    check_data(data)
    check_model(model)
    fixed = {
        "scheme": scheme,
        "scale": scale,
        "learning_rate": learning_rate,
        "optimizer": optimizer,
        "epochs": epochs,
        "batch_size": batch_size,
    }
    axes = axes_of(grid, model)
    numbers = seed_list(list(axes.pop("seed").values()) if "seed" in axes else seeds)
    schemes = axes["scheme"] if "scheme" in axes else {plain_name(scheme): scheme}
    named = named_schemes({str(label): value for label, value in schemes.items()})
    check_values(fixed, axes, numbers, model)

    common = {name: plain_name(value) for name, value in fixed.items() if name not in axes}
    settings = {"model": written(model), **common, "device": str(device)}
    jobs = []
    for seed in numbers:
        for point in itertools.product(*(values.items() for values in axes.values())):
            labels = {name: label for name, (label, _) in zip(axes, point, strict=True)}
            values = fixed | {name: value for name, (_, value) in zip(axes, point, strict=True)}
            jobs.append(
                Job(
                    label=point_label(labels),
                    seed=seed,
                    scheme=named[str(labels.get("scheme", plain_name(scheme)))],
                    model=model,
                    epochs=int(values["epochs"]),
                    batch_size=int(values["batch_size"]),
                    learning_rate=float(values["learning_rate"]),
                    optimizer=values["optimizer"],
                    device=str(torch.device(device)),
                    scale=float(values["scale"]),
                    keywords={name: values[name] for name in values if name not in fixed},
                    settings=settings | labels,
                )
            )
    if torch.device(device).type != "cpu" and executor is None:
        workers = 1
    keeping = None
    if store is not None:
        is_named = "optimizer" in axes or isinstance(optimizer, str)
        about = {
            "kind": "sweep",
            "settings": settings,
            "grid": [[name, list(values)] for name, values in axes.items()],
            "seeds": numbers,
            "code": {
                f"{name} {label}": fingerprint(named[str(label)] if name == "scheme" else value)
                for name, values in axes.items()
                for label, value in values.items()
            },
            "common_code": {
                "model": fingerprint(model),
                "scheme": "" if "scheme" in axes else fingerprint(next(iter(named.values()))),
                "optimizer": "" if is_named else fingerprint(optimizer),
            },
            "torch": str(torch.__version__),
        }
        keeping = Keeping(store, about, SWEEP_RULES)
    outcome = run_jobs(
        jobs,
        data,
        workers=workers,
        executor=executor,
        store=keeping,
        retries=retries,
        progress=progress,
    )
    points = len(jobs) // len(numbers)
    ordered = sorted(range(len(jobs)), key=lambda i: (i % points, i // points))
    pairs = [({name: jobs[i].settings[name] for name in axes}, outcome.results[i]) for i in ordered]
    return Sweep(
        runs=tuple(_swept(run, where) for where, run in pairs if isinstance(run, Run)),
        failures=tuple(
            failed._replace(settings=where)
            for where, failed in pairs
            if isinstance(failed, Failure)
        ),
        grid={name: tuple(values) for name, values in axes.items()},
        settings=settings | {"seeds": numbers, "torch": str(torch.__version__)},
        data_source=getattr(data, "source", "not stated"),
        remark=found_in_store(outcome.found, len(jobs), store),
    )
