"""Compare initialization schemes over seeds."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from initguide.experiments.files import run_from_json
from initguide.experiments.jobs import (
    ExecutorLike,
    Job,
    Keeping,
    SchemeLike,
    fingerprint,
    run_jobs,
    run_of,
    written,
)
from initguide.experiments.results import Results
from initguide.experiments.resuming import COMPARISON_RULES, found_in_store
from initguide.experiments.settings import (
    check_data,
    check_model,
    check_workers,
    named_schemes,
    seed_list,
)
from initguide.experiments.statistics import Row
from initguide.experiments.store import StoreError
from initguide.models import Net
from initguide.training import (
    Dataset,
    OptimizerFactory,
    Run,
    check_optimizer,
    check_settings,
    uses_global_generator,
)


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
        """One number a seed, NaN where the run diverged.

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

    def _level_with(self, best: str, row: Row) -> bool:
        return row.interval is not None and not self.difference(row.label, best).excludes_zero

    def _notes(self) -> str:
        if len(self.settings["seeds"]) == 1:
            return ""
        return " Level with the best: the 95 % interval of the paired difference holds 0."

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
        comparison.settings["epochs"]  # a table does without where they are varied, but not here
        return comparison

    @classmethod
    def _from_store(
        cls, path: str | os.PathLike[str], about: Mapping[str, Any], rows: Sequence[Any]
    ) -> Self:
        runs = {(row["label"], row["seed"]): run_of(row) for row in rows if row["error"] is None}
        labels = list(about["schemes"])
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
            settings={name: about[name] for name in _COMMON}
            | {"seeds": seeds, "torch": about["torch"]},
            data_source=about["data"]["source"],
            remark=f"Left out: {left} runs whose seeds lack a run of another scheme."
            if left
            else "",
        )


_COMMON = ("model", "epochs", "batch_size", "optimizer", "learning_rate", "device")


def compare_init_weights(
    schemes: Mapping[str, SchemeLike] | Iterable[SchemeLike],
    data: Dataset,
    *,
    model: Callable[[], nn.Module] = Net,
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
) -> Comparison:
    """Train a model from each scheme and each seed, and compare what comes out.

    For one seed, every scheme sees the same mini-batches in the same order and the same dropout
    masks, so differences between schemes come from the weights. Accuracies are measured in
    evaluation mode. A run whose loss turns to NaN or infinity is a result too: it is reported as
    diverged.

    Runs are spread over the processor's cores, and the results do not depend on how many there are.
    `initguide.training.plan` chooses how a core trains its networks. On a GPU, all networks are
    trained at once. torch's global generators are left as they were. If a run raises
    an error, that is raised, and the others are stopped.

    Parameters
    ----------
    schemes
        A label for each scheme: a function of a module (see `initguide.initializers`) or a name.
        Or a list of names and functions, which are then labelled by their names.
    data
        What `initguide.fashion_mnist` returns, or anything with the same three splits, ``.train``,
        ``.valid`` and ``.test``, each with ``.images`` (N, …) and ``.labels`` (N,).
    model
        Makes a new network when called without arguments: a class, or a function such as
        ``lambda: Net(dropout=0.0)``.
    epochs
        How often each training image is used, at least 1.
    batch_size
        Images in a mini-batch, at least 1.
    learning_rate
        Above 0.
    optimizer
        ``"adam"``, ``"sgd"``, ``"momentum"`` (SGD with momentum 0.9), or a function such as
        `torch.optim.RMSprop`, called as ``optimizer(parameters, lr=learning_rate)``.
    seeds
        How many (they are then 0, 1, 2, …), or which.
    device
        Where the networks are trained.
    workers
        How many threads train networks; as many as there are cores if ``None``. A model that
        draws from torch's global generator while it trains (by more than `torch.nn.Dropout`) is
        trained one run at a time.
    executor
        Where the runs go on instead: in other processes, or on other machines. See `sweep`.
    store
        A file in which each run is kept as soon as it ends, so that the same call later does only
        what is missing; more schemes and more seeds can be added. See `sweep` and
        `initguide.experiments`.
    retries
        How often a run is done again if the worker that did it died.
    progress
        Whether to show a progress bar; by default in a terminal or a notebook only.

    Returns
    -------
    Comparison
        Every run, and tables of them.

    Raises
    ------
    ValueError
        If there is no scheme or no seed, a scheme's name is unknown, a number is out of range, or
        the store holds runs of other settings (`StoreError`).
    TypeError
        If something cannot be sent to the executor's processes.
    OSError
        If the store cannot be written. What it held before is intact.

    Examples
    --------
    >>> import initguide
    >>> data = initguide.fashion_mnist(source="sample")
    >>> result = compare_init_weights(["zeros", "he_normal"], data, epochs=1, seeds=2)
    >>> [round(row.mean, 1) for row in result.rows()]
    [0.1, 0.7]
    """
    named = named_schemes(schemes)
    numbers = seed_list(seeds)
    for seed in numbers:
        check_settings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    epochs, batch_size = int(epochs), int(batch_size)
    check_workers(workers)
    check_data(data)
    check_model(model)
    settings = {
        "model": written(model),
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer if isinstance(optimizer, str) else written(optimizer),
        "learning_rate": float(learning_rate),
        "device": str(device),
        "seeds": list(numbers),
        "torch": str(torch.__version__),
    }
    described = {label: written(scheme) for label, scheme in named.items()}
    jobs = [
        Job(
            label=label,
            seed=seed,
            scheme=scheme,
            model=model,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=float(learning_rate),
            optimizer=optimizer,
            device=str(torch.device(device)),
            settings={"scheme": described[label]} | {name: settings[name] for name in _COMMON},
        )
        # Seeds go in the outer loop: cut short, every scheme has about as many runs.
        for seed in numbers
        for label, scheme in named.items()
    ]
    trial = jobs[0].build()
    check_optimizer(optimizer, trial, learning_rate)
    if executor is None and (
        torch.device(device).type != "cpu" or uses_global_generator(trial, data.train.images[:2])
    ):
        workers = 1
    keeping = None
    if store is not None:
        about = {
            "kind": "comparison",
            **settings,
            "schemes": described,
            "scheme_code": {label: fingerprint(scheme) for label, scheme in named.items()},
            "model_code": fingerprint(model),
            "optimizer_code": "" if isinstance(optimizer, str) else fingerprint(optimizer),
        }
        keeping = Keeping(store, about, COMPARISON_RULES)
    outcome = run_jobs(
        jobs,
        data,
        workers=workers,
        executor=executor,
        store=keeping,
        retries=retries,
        strict=True,
        progress=progress,
    )
    runs = {(run.label, run.seed): cast(Run, run) for run in outcome.results}
    return Comparison(
        runs=tuple(runs[label, seed] for label in named for seed in numbers),
        schemes=described,
        settings=settings,
        data_source=getattr(data, "source", "not stated"),
        remark=found_in_store(outcome.found, len(jobs), store),
    )
