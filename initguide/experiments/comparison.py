"""Schemes trained over the same seeds: the result of a comparison."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from initguide.experiments.files import run_from_json, split_in
from initguide.experiments.jobs import run_of
from initguide.experiments.results import Results
from initguide.experiments.statistics import Row
from initguide.experiments.store import StoreError
from initguide.training import Run

COMMON = ("model", "epochs", "batch_size", "optimizer", "learning_rate", "device")
"""The settings that all runs of a comparison share."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Results):
    """Schemes trained over the same seeds: what `compare_init_weights` returns.

    Printed, it is a table; a notebook shows the same table in HTML.

    Attributes
    ----------
    runs
        Every run, scheme by scheme in the order given, and seed by seed within a scheme.
    schemes
        What each label stands for, such as ``{"Centred": "uniform(low=-0.5, high=0.5)"}``.
    settings
        What the runs have in common: model, epochs, batch size, learning rate, optimizer and so on.
    data_source
        Where the images came from and how many there are, in words.
    remark
        What else is to be said below the table: how many runs came from a store. Not saved.
    """

    runs: tuple[Run, ...]
    schemes: Mapping[str, str]
    settings: Mapping[str, Any]
    data_source: str
    remark: str = ""

    kind = "comparison"
    point_noun = "scheme"
    best_may_diverge = True
    says_level = True

    @property
    def points(self) -> dict[str, dict[str, Any]]:
        """Each label with the one setting that was varied, as the grid of a comparison."""
        return {label: {"scheme": label} for label in self.schemes}

    @property
    def described(self) -> Mapping[str, str]:
        """Each label with its scheme."""
        return self.schemes

    def of(self, label: str) -> tuple[Run, ...]:
        """All runs of one scheme, by seed.

        Raises
        ------
        ValueError
            If there is no such label; the message lists those that there are.
        """
        return self.runs_at(label)

    def values(self, label: str, metric: str = "valid_accuracy") -> NDArray[np.float64]:
        """One number per seed, NaN where the run diverged.

        Parameters
        ----------
        label
            The scheme.
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        """
        return self.values_at(label, metric)

    def rows(self, metric: str = "valid_accuracy", *, confidence: float = 0.95) -> list[Row]:
        """Mean and interval of each scheme, in the order given.

        Parameters
        ----------
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        confidence
            How often such intervals hold the true mean, in (0, 1).
        """
        return self.means(metric, confidence=confidence)

    def best(self, metric: str = "valid_accuracy") -> str | None:
        """Label of the scheme with the best mean; ``None`` if every run of every scheme diverged.

        A scheme with diverged runs is the best only if all schemes have some. The best of several
        means is partly luck: see `difference` for whether it matters.
        """
        return self._best_label(metric)

    def select(self, *labels: str) -> "Comparison":
        """Keep some of the schemes, in the order given: for a table or figure of a few.

        Raises
        ------
        ValueError
            If there is no such label; the message lists those that there are.
        """
        return dataclasses.replace(
            self,
            runs=tuple(run for label in labels for run in self.of(label)),
            schemes={label: self.schemes[label] for label in labels},
        )

    # What `Results` asks for

    def _label_of(self, run: Run) -> str:
        return run.label

    def _places(self) -> dict[str, list[str]]:
        return {"label": [run.label for run in self.runs]}

    def _notes(self) -> str:
        schemes = len(self._whole_labels())
        if len(self.settings["seeds"]) == 1 or schemes < 2:
            return ""
        words = " Not told from the best: a paired t test at 5 % does not tell the two apart"
        if schemes > 2:
            words += (
                f", corrected for all {math.comb(schemes, 2)} pairs of {schemes} schemes together "
                "(Holm)"
            )
        return f"{words}."

    def _document(self) -> dict[str, Any]:
        return {"schemes": dict(self.schemes)}

    @classmethod
    def _from_document(cls, document: Mapping[str, Any]) -> Self:
        comparison = cls(
            runs=tuple(run_from_json(run) for run in document["runs"]),
            schemes={str(k): str(v) for k, v in document["schemes"].items()},
            settings=dict(document["settings"]),
            data_source=str(document["data_source"]),
        )
        seeds = list(comparison.settings["seeds"])
        expected = [(label, seed) for label in comparison.labels for seed in seeds]
        if [(run.label, run.seed) for run in comparison.runs] != expected:
            raise ValueError("its runs are not one for each scheme and seed")
        comparison.settings["epochs"]  # must be there, though the table does without
        return comparison

    @classmethod
    def _from_store(
        cls, path: str | os.PathLike[str], about: Mapping[str, Any], rows: Sequence[Any]
    ) -> Self:
        runs = {(row["label"], row["seed"]): run_of(row) for row in rows if row["error"] is None}
        labels = list(about["schemes"])
        # Whole seeds only: differences between schemes are taken seed by seed.
        seeds = [s for s in about["seeds"] if all((label, s) in runs for label in labels)]
        if not seeds:
            raise StoreError(
                f"{path} has no seed yet with a run of every scheme; it has {len(runs)} of "
                f"{len(labels) * len(about['seeds'])} runs. The same call completes it"
            )
        left = len(runs) - len(labels) * len(seeds)
        return cls(
            runs=tuple(runs[label, seed] for label in labels for seed in seeds),
            schemes=about["schemes"],
            settings={name: about[name] for name in COMMON}
            | {"seeds": seeds, "split": split_in(about), "torch": about["torch"]},
            data_source=about["data"]["source"],
            remark=f"Left out: {left} runs whose seeds lack a run of another scheme."
            if left
            else "",
        )
