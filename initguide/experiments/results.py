"""Runs over a grid and seeds: statistics, tables and files of comparisons and sweeps alike."""

import math
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from initguide.arguments import check_number
from initguide.experiments.differences import Difference, paired_difference
from initguide.experiments.files import (
    VERSION,
    damage_named,
    read_document,
    read_store,
    split_in,
    to_json,
    write_document,
)
from initguide.experiments.metrics import METRICS, metric_named
from initguide.experiments.multiplicity import level_labels
from initguide.experiments.points import RunsByPoint
from initguide.experiments.statistics import Row, mean_interval
from initguide.experiments.store import StoreError, is_store
from initguide.experiments.tabling import caption_of, columns_of, footnote, remark_on
from initguide.tables import Table


class Results(RunsByPoint):
    """Runs over the points of a grid, each with the same seeds.

    A comparison is the grid ``{"scheme": ...}``. Subclasses say what their points are; all that
    can be asked of the runs at a point is the same for all and stands here. Printed, results are a
    table; a notebook shows the same table in HTML.

    Attributes
    ----------
    runs
        Every run, point by point, and seed by seed within a point.
    settings
        What the runs have in common: model, seeds and so on.
    data_source
        Where the images came from and how many there are, in words.
    remark
        What else is to be said below the table. Not saved.
    """

    settings: Mapping[str, Any]
    data_source: str
    remark: str

    best_may_diverge: ClassVar[bool]  # whether there is a best where every point has lost runs
    says_level: ClassVar[bool]  # whether the table names points not told from the best

    # What subclasses say

    @abstractmethod
    def _document(self) -> dict[str, Any]:
        """What only results of this kind have, as JSON."""

    @classmethod
    @abstractmethod
    def _from_document(cls, document: Mapping[str, Any]) -> Self:
        """Inverse of `save`; whatever an incomplete document raises is reported as damage."""

    @classmethod
    @abstractmethod
    def _from_store(
        cls, path: str | os.PathLike[str], about: Mapping[str, Any], rows: Sequence[Any]
    ) -> Self:
        """Results from what a store says about itself and from its rows."""

    def _failed_at(self, label: str) -> int:  # noqa: ARG002  a comparison has no failed runs
        """How many runs at a point could not be done."""
        return 0

    def _notes(self) -> str:
        """What is said below the table after the settings."""
        return ""

    # Statistics

    def means(self, metric: str = "valid_accuracy", *, confidence: float = 0.95) -> list[Row]:
        """Mean and interval at each point, in the order of the table.

        Parameters
        ----------
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        confidence
            How often such intervals hold the true mean, in (0, 1).
        """
        return [
            Row(label, *mean_interval(self.values_at(label, metric), confidence))
            for label in self.labels
        ]

    def difference(
        self,
        a: str | Mapping[str, Any],
        b: str | Mapping[str, Any],
        metric: str = "valid_accuracy",
        *,
        confidence: float = 0.95,
    ) -> Difference:
        """Compare two points seed by seed: the metric of ``a`` minus that of ``b``.

        With one seed, both saw the same mini-batches and dropout masks in the same order (if the
        batch size is the same). What that has done to both cancels, so the interval is often
        narrower than the points' own intervals suggest.

        Parameters
        ----------
        a, b
            Two labels; or the settings of two points, such as ``{"scheme": "zeros"}``.
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        confidence
            How often such intervals hold the true mean, in (0, 1). For k differences that were
            chosen beforehand, ``1 - 0.05 / k`` keeps the chance of any false "not 0" below 5 %. If
            one side is the best, picked by looking at the results, k counts all pairs of points;
            `level_with_best` does so.

        Returns
        -------
        Difference
            It names the runs that diverged or are missing; its verdict is "undecided" then.

        Raises
        ------
        ValueError
            If a point or the metric is unknown.
        """
        a, b = self.label_at(a), self.label_at(b)
        of = metric_named(metric).of
        numbers = {label: {run.seed: of(run) for run in self.runs_at(label)} for label in (a, b)}
        split = split_in(self.settings)
        return paired_difference(numbers, metric, self.settings["seeds"], confidence, split)

    def level_with_best(
        self,
        metric: str = "valid_accuracy",
        *,
        confidence: float = 0.95,
        corrected: bool = True,
    ) -> tuple[str, ...]:
        """Find the points that these seeds do not tell from the one with the best mean.

        Each pair of points is asked by a paired t test over the seeds. Which one is the best is
        known only from looking at all of them, so all pairs count as questions asked, and their p
        values are corrected for their number by Holm's rule. That supposes nothing of how the tests
        depend on one another: all share the seeds, some share random numbers, and noise is not the
        same for all of them. (Dunnett's test wants independent groups and one reference that was
        chosen beforehand, Tukey's wants the same noise in all of them; and shuffling five seeds of
        two points has 32 outcomes, none of them rarer than 5 %.)

        Parameters
        ----------
        metric
            A name from `METRICS`.
        confidence
            1 minus the chance, in (0, 1), that any point that is as good as the best is denied it.
        corrected
            With ``False``, that is the chance for each point alone: of twelve equal schemes, some
            scheme is then denied it in two comparisons out of three.

        Returns
        -------
        tuple of str
            Labels in the order of the table, the best among them. Points whose runs diverged or are
            missing are not asked. Empty if there are fewer than two seeds, or no best without such
            runs.

        Raises
        ------
        ValueError
            If the metric is unknown or ``confidence`` is out of its range.

        References
        ----------
        Holm (1979), A simple sequentially rejective multiple test procedure. Scandinavian Journal
        of Statistics 6, 65–70.

        See Also
        --------
        difference : One pair, asked alone.
        """
        check_number("confidence", confidence, above=0, below=1)
        best, whole = self._best_label(metric), self._whole_labels(metric)
        if best not in whole or len(self.settings["seeds"]) < 2:
            return ()
        values = {label: self.values_at(label, metric) for label in whole}
        return level_labels(values, best, confidence, corrected=corrected)

    def _whole_labels(self, metric: str = "valid_accuracy") -> list[str]:
        """Labels of the points that have a number for each seed."""
        seeds = len(self.settings["seeds"])
        return [
            label
            for label in self.labels
            if np.count_nonzero(np.isfinite(self.values_at(label, metric))) == seeds
        ]

    def _best_label(self, metric: str) -> str | None:
        """Label of the best mean among the points that are whole.

        Where no point is, the best of those that are not, or ``None``. What is left of a point
        after runs diverged is its lucky seeds, so it never beats one that is whole.
        """
        sign = 1 if metric_named(metric).higher_is_better else -1
        rows = [row for row in self.means(metric) if math.isfinite(row.mean)]
        whole = [row for row in rows if not self._lost_at(row.label)]
        # A comparison names a best even where every scheme lost runs; a sweep has points enough
        # without.
        rows = whole or (rows if self.best_may_diverge else [])
        return max(rows, key=lambda row: sign * row.mean).label if rows else None

    def _lost_at(self, label: str) -> int:
        diverged = sum(run.diverged for run in self._runs_by_label[label])
        return diverged + self._failed_at(label)

    # Tables

    def table(self) -> Table:
        """Accuracy, losses and a remark for each point."""
        best = self._best_label("valid_accuracy")
        level = self.level_with_best() if self.says_level else ()
        remarks = [
            remark_on(
                best=label == best,
                level=label in level,
                diverged=self._lost_at(label) - self._failed_at(label),
                failed=self._failed_at(label),
                seeds=len(self.settings["seeds"]),
            )
            for label in self.labels
        ]
        note = footnote(self.settings, self.data_source, self._notes(), self.runs, self.remark)
        columns, formats = columns_of(self.points, self._runs_by_label)
        return Table(
            columns | {"remark": remarks},
            caption=caption_of(self.settings),
            note=note,
            formats=formats,
            marked=[i for i, label in enumerate(self.labels) if label == best],
        )

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write one line per run as comma-separated text: what the table is made of.

        Parameters
        ----------
        path
            A file to write; only the text is returned if ``None``.

        Returns
        -------
        str
            The text, with a header. Accuracies are fractions; empty where a run diverged.
        """
        columns: dict[str, Sequence[Any]] = dict(self._places())
        columns["seed"] = [run.seed for run in self.runs]
        columns |= {name: [metric.of(run) for run in self.runs] for name, metric in METRICS.items()}
        columns["diverged_at"] = [run.diverged_at for run in self.runs]
        columns["seconds"] = [run.seconds for run in self.runs]
        return Table(columns, caption=caption_of(self.settings)).to_csv(path)

    @abstractmethod
    def _places(self) -> Mapping[str, Sequence[Any]]:
        """Columns that say, for each run, where it belongs."""

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the results to a JSON file.

        The file appears whole or not at all: one that was there before is replaced only once the
        new one is complete, which then has its mode. A link stays, and the file that it leads to is
        replaced.

        Parameters
        ----------
        path
            Where to.

        Raises
        ------
        ValueError
            If ``path`` is something else than a file, such as a folder, a pipe or a device.
        FileNotFoundError
            If the folder does not exist.
        OSError
            If the file cannot be written. What was there before is intact.
        """
        document = {
            "format": f"initguide {self.kind}",
            "version": VERSION,
            "data_source": self.data_source,
            **self._document(),
            "settings": dict(self.settings),
            "runs": [
                {key: to_json(value) for key, value in vars(run).items()} for run in self.runs
            ],
        }
        write_document(path, document)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote, or a store, complete or not.

        From the store of a comparison that is not complete, those seeds are taken that have a run
        of every scheme.

        Parameters
        ----------
        path
            A JSON file, or a store (see `initguide.experiments`). It is not changed.

        Raises
        ------
        ValueError
            If the file is damaged, is no regular file, holds something else, or was written by a
            newer version; the message says which.
        """
        if is_store(path):
            with damage_named(StoreError, f"{path} is damaged"):
                about, rows = read_store(path, cls.kind)
                return cls._from_store(path, about, rows)
        document = read_document(path, cls.kind)
        with damage_named(ValueError, f"{path} is a damaged {cls.kind}"):
            found = cls._from_document(document)
            str(found)  # shows now, not later, that something is missing which the table needs
        return found
