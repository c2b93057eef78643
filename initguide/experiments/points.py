"""Runs and the points of a grid that they lie at."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from initguide.experiments.metrics import metric_named, numbers_of
from initguide.experiments.settings import is_same_value
from initguide.training import Run


class RunsByPoint(ABC):
    """Runs over the points of a grid, and how one asks for those at a point.

    Attributes
    ----------
    runs
        Every run, point by point, and seed by seed within a point.
    """

    runs: tuple[Run, ...]

    kind: ClassVar[str]  # in files and messages: "comparison" or "sweep"
    point_noun: ClassVar[str]  # what a point is called in messages

    @property
    @abstractmethod
    def points(self) -> Mapping[str, Mapping[str, Any]]:
        """Label of each point with its settings, in the order of the table."""

    @property
    @abstractmethod
    def described(self) -> Mapping[str, str]:
        """Label of each point with what it stands for, by which figures choose colours."""

    @abstractmethod
    def _label_of(self, run: Run) -> str:
        """Label of the point that a run belongs to."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The points' labels, in the order of the table."""
        return tuple(self.points)

    @cached_property  # a large sweep is asked for each of its points in turn
    def _runs_by_label(self) -> dict[str, tuple[Run, ...]]:
        found: dict[str, list[Run]] = {label: [] for label in self.points}
        for run in self.runs:
            found.setdefault(self._label_of(run), []).append(run)
        return {label: tuple(runs) for label, runs in found.items()}

    def label_at(self, point: str | Mapping[str, Any]) -> str:
        """Find the label of a point that is given by it, or by its settings.

        Parameters
        ----------
        point
            A label, or settings, such as ``{"scheme": "zeros", "scale": 2.0}``. Settings that have
            only one value may be left out.

        Raises
        ------
        ValueError
            If there is no such point, or more than one.
        """
        points = self.points
        # Asked for each point of a large sweep in turn: the list of all is only for who is wrong.
        if not isinstance(point, Mapping):
            if point not in points:
                raise ValueError(
                    f"there is no {self.point_noun} labelled {point!r} in this {self.kind}; "
                    f"{self._known_labels()}"
                )
            return point
        fitting = [
            label
            for label, settings in points.items()
            if all(
                name in settings and is_same_value(value, settings[name])
                for name, value in point.items()
            )
        ]
        if len(fitting) != 1:
            raise ValueError(
                f"{len(fitting)} points of this {self.kind} have the settings {dict(point)!r}; "
                f"name settings that one point has, or a label: {self._known_labels()}"
            )
        return fitting[0]

    def _known_labels(self) -> str:
        return f"the labels are {', '.join(map(repr, self.points))}"

    def runs_at(self, point: str | Mapping[str, Any]) -> tuple[Run, ...]:
        """All runs at one point, by seed; see `label_at` for how it is given."""
        return self._runs_by_label[self.label_at(point)]

    def values_at(
        self, point: str | Mapping[str, Any], metric: str = "valid_accuracy"
    ) -> NDArray[np.float64]:
        """One number for each run at a point, NaN where it diverged.

        Parameters
        ----------
        point
            A label or settings; see `label_at`.
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        """
        metric_named(metric)
        return numbers_of(self.runs_at(point), metric)
