"""Runs over a grid of settings: the result of a sweep."""

import dataclasses
import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from initguide.experiments.files import run_from_json, split_in
from initguide.experiments.jobs import (
    Failure,
    run_of,
)
from initguide.experiments.metrics import metric_named, numbers_of
from initguide.experiments.results import Results
from initguide.experiments.settings import (
    is_same_value,
    point_label,
)
from initguide.experiments.statistics import Interval
from initguide.training import (
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
    says_level = False  # a grid is a search: its table names the best, and what was lost

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
        """One number per run, NaN where it diverged.

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
            runs=tuple(swept(run_from_json(run), run["settings"]) for run in document["runs"]),
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
        # Rows come in the order in which runs ended; results go in the order of the grid.
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
                runs[i] = swept(run_of(row), settings)
            else:
                failures[i] = Failure(row["label"], row["seed"], settings, row["error"])
        return cls(
            runs=tuple(runs[i] for i in sorted(runs)),
            failures=tuple(failures[i] for i in sorted(failures)),
            grid=grid,
            settings=about["settings"]
            | {"seeds": about["seeds"], "split": split_in(about), "torch": about["torch"]},
            data_source=about["data"]["source"],
        )


def swept(run: Run, settings: Mapping[str, Any]) -> SweptRun:
    """Say where in the grid a run lies."""
    own = {field.name: getattr(run, field.name) for field in dataclasses.fields(Run)}
    return SweptRun(**own, settings=dict(settings))
