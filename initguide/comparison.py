"""Compare initialization schemes over seeds."""

import contextlib
import dataclasses
import functools
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit
from torch import nn
from tqdm.auto import tqdm

from initguide.initializers import from_name, initialize, seeded
from initguide.models import Net
from initguide.tables import Table
from initguide.training import (
    Dataset,
    OptimizerFactory,
    Run,
    check_settings,
    make_optimizer,
    one_thread,
    train,
    uses_global_generator,
)

__all__ = [
    "METRICS",
    "Comparison",
    "Difference",
    "Finding",
    "Judgement",
    "Metric",
    "Row",
    "compare_init_weights",
    "judge",
    "mean_interval",
]

SchemeLike = str | Callable[[nn.Module], object]
Interval = tuple[float, float]


class Metric(NamedTuple):
    """How a number of a run is named and shown."""

    title: str
    higher_is_better: bool
    is_fraction: bool


METRICS: dict[str, Metric] = {
    "valid_accuracy": Metric("validation accuracy", higher_is_better=True, is_fraction=True),
    "test_accuracy": Metric("test accuracy", higher_is_better=True, is_fraction=True),
    "valid_loss": Metric("validation loss", higher_is_better=False, is_fraction=False),
    "train_loss": Metric("training loss", higher_is_better=False, is_fraction=False),
}
"""The numbers of a run that a comparison can be asked for."""


class Row(NamedTuple):
    """One scheme's line of a table.

    Attributes
    ----------
    label
        The scheme.
    mean
        Mean over the seeds whose run did not diverge; NaN if all did.
    interval
        The interval of the mean over seeds, or ``None`` where fewer than two seeds give a number.
    """

    label: str
    mean: float
    interval: Interval | None


@dataclass(frozen=True, eq=False)
class Difference:
    """One scheme against another, seed by seed.

    Attributes
    ----------
    a, b, metric
        What was compared: the metric of ``a`` minus that of ``b``.
    seeds
        The seeds in which neither run diverged.
    per_seed
        (seeds,) the differences.
    mean
        Their mean; NaN if there are none.
    interval
        The interval of the mean, or ``None`` with fewer than two seeds.
    confidence
        How often such intervals hold the true mean, in (0, 1).
    complete
        Whether no run of either scheme diverged.
    """

    a: str
    b: str
    metric: str
    seeds: tuple[int, ...]
    per_seed: NDArray[np.float64]
    mean: float
    interval: Interval | None
    confidence: float
    complete: bool = True

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of 0: the difference is more than noise."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)

    def verdict(self, margin: float = 0.0) -> str:
        """Say in a word what the interval shows.

        Parameters
        ----------
        margin
            How small a difference is too small to matter, at least 0, in the unit of the metric
            (0.003 is 0.3 points of accuracy).

        Returns
        -------
        str
            ``"higher"`` or ``"lower"`` if the whole interval lies beyond the margin on that side;
            ``"level"`` if it lies within the margin; ``"undecided"`` if it reaches across, if there
            is none, or if runs diverged: the seeds that are left are no fair sample.

        Raises
        ------
        ValueError
            If ``margin`` is negative.
        """
        if not margin >= 0:
            raise ValueError(f"margin is {margin!r}; it must be at least 0")
        if self.interval is None or not self.complete:
            return "undecided"
        low, high = self.interval
        if low > margin:
            return "higher"
        if high < -margin:
            return "lower"
        return "level" if -margin <= low and high <= margin else "undecided"

    def __str__(self) -> str:
        fraction = METRICS[self.metric].is_fraction
        scale, unit, digits = (100, " points", 2) if fraction else (1, "", 4)
        text = f"{self.a} − {self.b}: {scale * self.mean:+.{digits}f}{unit} of "
        text += METRICS[self.metric].title
        seeds = f"{len(self.seeds)} paired seed{'s' * (len(self.seeds) != 1)}"
        if self.interval is None:
            return f"{text}\n  {seeds}: no interval"
        low, high = (f"{scale * end:+.{digits}f}" for end in self.interval)
        verdict = "not 0" if self.excludes_zero else "0 is not ruled out"
        interval = f"{100 * self.confidence:.4g} % interval {low} to {high}"
        return f"{text}\n  {interval} ({seeds}): {verdict}"

    __repr__ = __str__


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
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
    """

    runs: tuple[Run, ...]
    schemes: Mapping[str, str]
    settings: Mapping[str, Any]
    data_source: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The schemes' labels, in the order given."""
        return tuple(self.schemes)

    def of(self, label: str) -> tuple[Run, ...]:
        """All runs of one scheme, by seed.

        Raises
        ------
        ValueError
            If there is no such label; the message lists those that there are.
        """
        if label not in self.schemes:
            raise ValueError(
                f"there is no scheme labelled {label!r} in this comparison; "
                f"the labels are {', '.join(map(repr, self.labels))}"
            )
        return tuple(run for run in self.runs if run.label == label)

    def values(self, label: str, metric: str = "valid_accuracy") -> NDArray[np.float64]:
        """One number a seed, NaN where the run diverged.

        Parameters
        ----------
        label
            The scheme.
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        """
        _check_metric(metric)
        return np.array([getattr(run, metric) for run in self.of(label)], dtype=np.float64)

    def rows(self, metric: str = "valid_accuracy", *, confidence: float = 0.95) -> list[Row]:
        """Mean and interval of each scheme, in the order given.

        Parameters
        ----------
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        confidence
            How often such intervals hold the true mean, in (0, 1).
        """
        return [
            Row(label, *mean_interval(self.values(label, metric), confidence))
            for label in self.labels
        ]

    def difference(
        self, a: str, b: str, metric: str = "valid_accuracy", *, confidence: float = 0.95
    ) -> Difference:
        """Compare two schemes seed by seed: the metric of ``a`` minus that of ``b``.

        With one seed, both saw the same mini-batches and dropout masks in the same order. What
        that has done to both cancels, so the interval is often narrower than the schemes' own
        intervals suggest.

        Parameters
        ----------
        a, b
            Two labels.
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        confidence
            How often such intervals hold the true mean, in (0, 1). For k differences that were
            chosen beforehand, ``1 - 0.05 / k`` keeps the chance of any false "not 0" below 5 %. If
            one side is the best, picked by looking at the results, k counts all pairs of schemes.

        Raises
        ------
        ValueError
            If a label or the metric is unknown.
        """
        both = {
            run.seed: delta
            for run, delta in zip(
                self.of(a), self.values(a, metric) - self.values(b, metric), strict=True
            )
            if math.isfinite(delta)
        }
        per_seed = np.array(list(both.values()), dtype=np.float64)
        mean, interval = mean_interval(per_seed, confidence)
        complete = len(both) == len(self.settings["seeds"])
        return Difference(a, b, metric, tuple(both), per_seed, mean, interval, confidence, complete)

    def best(self, metric: str = "valid_accuracy") -> str | None:
        """Label of the scheme with the best mean; ``None`` if every run of every scheme diverged.

        A scheme with diverged runs is the best only if all schemes have some. The best of several
        means is partly luck: see `difference` for whether it matters.
        """
        sign = 1 if METRICS[_check_metric(metric)].higher_is_better else -1
        rows = [row for row in self.rows(metric) if math.isfinite(row.mean)]
        rows = [r for r in rows if not any(run.diverged for run in self.of(r.label))] or rows
        return max(rows, key=lambda row: sign * row.mean).label if rows else None

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

    # Tables

    def table(self) -> Table:
        """Accuracy, losses and a remark for each scheme."""
        best = self.best()
        lines = []
        for label, mean, interval in self.rows():
            accuracies = self.values(label)
            finite = accuracies[np.isfinite(accuracies)]
            diverged = len(accuracies) - len(finite)
            remark = f"{diverged} of {len(accuracies)} diverged" if diverged else ""
            if label == best:
                remark = "; ".join(filter(None, ["best", remark]))
            elif best is not None and not diverged and interval is not None:
                level = not self.difference(label, best).excludes_zero
                remark = "level with the best" if level else ""
            losses = [mean_interval(self.values(label, m))[0] for m in ("train_loss", "valid_loss")]
            half = (interval[1] - interval[0]) / 2 if interval else None
            spread = float(finite.std(ddof=1)) if len(finite) > 1 else None
            lines.append((label, mean, half, spread, *losses, remark))
        columns = zip(*lines, strict=True) if lines else [()] * len(_COLUMNS)
        return Table(
            dict(zip(_COLUMNS, columns, strict=True)),
            caption=self._caption,
            note=self._footnote,
            formats={
                "accuracy, %": _percent,
                "±": functools.partial(_percent, sign="± "),
                "sd": _percent,
                "training loss": _loss,
                "validation loss": _loss,
            },
            marked=[i for i, label in enumerate(self.labels) if label == best],
        )

    @property
    def _caption(self) -> str:
        epochs, seeds = self.settings["epochs"], len(self.settings["seeds"])
        return f"Validation accuracy after {epochs} epoch{'s' * (epochs != 1)}, " + (
            f"mean of {seeds} seeds" if seeds > 1 else "one seed"
        )

    @property
    def _footnote(self) -> str:
        shown = {k: v for k, v in self.settings.items() if k not in ("seeds", "torch")}
        settings = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())
        seeds = _ranges(self.settings["seeds"])
        words = f"Settings: {settings}; seeds {seeds}; torch {self.settings['torch']}."
        if len(self.settings["seeds"]) > 1:
            words += (
                " ±: half of the 95 % interval of the mean over seeds."
                " Level with the best: the 95 % interval of the paired difference holds 0."
            )
        return f"Data: {self.data_source}. {words}"

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write one line a run as comma-separated text: what the table is made of.

        Parameters
        ----------
        path
            A file to write; only the text is returned if ``None``.

        Returns
        -------
        str
            The text, with a header. Accuracies are fractions; empty where a run diverged.
        """
        names = ("label", "seed", *METRICS, "diverged_at", "seconds")
        columns = {name: [getattr(run, name) for run in self.runs] for name in names}
        return Table(columns, caption=self._caption).to_csv(path)

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the comparison to a JSON file.

        The file appears whole or not at all: one that was there before is replaced only once the
        new one is complete.

        Parameters
        ----------
        path
            Where to.

        Raises
        ------
        FileNotFoundError
            If the folder does not exist.
        """
        document = {
            "format": _FORMAT,
            "version": _VERSION,
            "data_source": self.data_source,
            "schemes": dict(self.schemes),
            "settings": dict(self.settings),
            "runs": [
                {key: _to_json(value) for key, value in vars(run).items()} for run in self.runs
            ],
        }
        target = Path(path)
        if not target.parent.is_dir():
            raise FileNotFoundError(
                f"cannot save {target}: there is no folder {target.parent}; make it first"
            )
        text = json.dumps(document, allow_nan=False, ensure_ascii=False)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)  # noqa: PTH101  mkstemp lets only the owner read
            os.replace(temporary, target)  # noqa: PTH105
        except BaseException:
            os.unlink(temporary)  # noqa: PTH108
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Comparison":
        """Read a comparison that `save` wrote.

        Raises
        ------
        ValueError
            If the file is damaged, is no comparison, or was written by a newer version; the
            message says which.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path} is not a saved comparison, or is damaged: it is not JSON ({error})"
            ) from error
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise ValueError(
                f"{path} is JSON, but not a saved comparison: it has no "
                f'"format": "{_FORMAT}"; load what Comparison.save wrote'
            )
        if document.get("version") != _VERSION:
            raise ValueError(
                f"{path} has version {document.get('version')!r} of the file format; this "
                f"initguide reads version {_VERSION}: install the version that wrote it"
            )
        try:
            comparison = cls(
                runs=tuple(_run_from_json(run) for run in document["runs"]),
                schemes={str(k): str(v) for k, v in document["schemes"].items()},
                settings=dict(document["settings"]),
                data_source=str(document["data_source"]),
            )
            seeds = list(comparison.settings["seeds"])
            expected = [(label, seed) for label in comparison.labels for seed in seeds]
            if [(run.label, run.seed) for run in comparison.runs] != expected:
                raise ValueError("its runs are not one for each scheme and seed")  # noqa: TRY301
            str(comparison)  # whatever a table needs is there
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"{path} is a damaged comparison: {reason}") from error
        return comparison


_COLUMNS = ("scheme", "accuracy, %", "±", "sd", "training loss", "validation loss", "remark")
_FORMAT = "initguide comparison"
_VERSION = 1


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, Interval | None]:
    """Mean of independent numbers, with Student's interval for it.

    Parameters
    ----------
    values
        (n,) numbers; those that are not finite (diverged runs) are left out.
    confidence
        How often such intervals hold the true mean, in (0, 1).

    Returns
    -------
    mean : float
        NaN if nothing is left.
    interval : tuple of float, or None
        mean ± t · sd / √n, with t the quantile of Student's distribution with n - 1 degrees of
        freedom; ``None`` with fewer than two numbers.

    Examples
    --------
    >>> mean, (low, high) = mean_interval([1.0, 2.0, 3.0])
    >>> print(f"{mean:.2f}, {low:.2f} to {high:.2f}")
    2.00, -0.48 to 4.48
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}; it must be above 0 and below 1")
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if not len(array):
        return math.nan, None
    mean = float(array.mean())
    if len(array) == 1:
        return mean, None
    error = float(array.std(ddof=1)) / math.sqrt(len(array))
    half = float(stdtrit(len(array) - 1, (1 + confidence) / 2)) * error
    return mean, (mean - half, mean + half)


class Finding(NamedTuple):
    """What a claim says of a number in one setting, and what was measured there.

    Attributes
    ----------
    setting
        The words after "when": ``"there are 30 layers"``.
    claimed
        The range in which the number lies if the claim is right; an end may be infinite.
    mean
        Mean of the measured values.
    interval
        The interval of the mean, or ``None`` if there are fewer than two values, or one that is not
        finite.
    holds
        ``True`` if the whole interval lies within the range, ``False`` if all of it lies outside,
        ``None`` if it reaches across an end, or there is none.
    """

    setting: str
    claimed: Interval
    mean: float
    interval: Interval | None
    holds: bool | None


@dataclass(frozen=True, repr=False)
class Judgement:
    """A claim held against measurements: what `judge` returns.

    Printed, it is a line a setting, and the verdict.

    Attributes
    ----------
    findings
        One for each setting, in the order of the claim.
    """

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """The findings in words.

        ``"holds"`` or ``"does not hold"`` if all settings agree, ``"these runs cannot tell"`` if
        none is decided, ``"holds only when …"`` if it holds in some and not in others. Settings
        that are not decided are named where others are.
        """
        settings = {
            outcome: [f.setting for f in self.findings if f.holds is outcome]
            for outcome in (True, False, None)
        }
        if not settings[False] and not settings[None]:
            return "holds"
        if not settings[True] and not settings[None]:
            return "does not hold"
        if not settings[True] and not settings[False]:
            return "these runs cannot tell"
        when = {outcome: " and when ".join(names) for outcome, names in settings.items()}
        words = []
        if settings[True]:
            words.append(f"holds {'only ' if settings[False] else ''}when {when[True]}")
        else:
            words.append(f"does not hold when {when[False]}")
        if settings[None]:
            words.append(f"these runs cannot tell when {when[None]}")
        return "; ".join(words)

    def __str__(self) -> str:
        words = {True: "holds", False: "does not hold", None: "cannot tell"}
        lines = []
        for setting, (low, high), mean, interval, holds in self.findings:
            around = "no interval"
            if interval is not None:
                around = f"{_signed(interval[0])} to {_signed(interval[1])}"
            claimed = f"{low:g} to {high:g}"
            if math.isinf(low) or math.isinf(high):
                claimed = f"above {low:g}" if math.isinf(high) else f"below {high:g}"
            claimed = claimed.replace("-", "−")
            lines.append(
                f"when {setting}:\n  {_signed(mean)} ({around}), claimed {claimed}: {words[holds]}"
            )
        return "\n".join([*lines, f"Verdict: {self.verdict}."])

    __repr__ = __str__


def _signed(number: float) -> str:
    """Three significant digits, with a true minus sign."""
    digits = "#.3g" if abs(number) < 100 else ".0f"
    return f"{number:{digits}}".replace("-", "−")


def judge(
    claimed: Mapping[str, Interval], measured: Mapping[str, ArrayLike], *, confidence: float = 0.95
) -> Judgement:
    """Hold a claim against measurements, by a rule that was fixed before.

    A claim says for each setting in which range a number lies: above 0.01 for "A is better by more
    than a point", from -0.01 to 0.01 for "it makes no difference". It holds where the interval of
    the measured mean lies within that range, and does not where it lies outside.

    Parameters
    ----------
    claimed
        Setting -> (low, high), the range; infinite ends are allowed.
    measured
        Setting -> (n,) independent measurements of the number, one a seed, such as
        ``result.values("a") - result.values("b")``. If one of them is not finite (a run diverged),
        nothing is decided.
    confidence
        How often such intervals hold the true mean, in (0, 1).

    Returns
    -------
    Judgement
        A finding for each setting, and the verdict.

    Raises
    ------
    ValueError
        If there is no setting, the settings of the two differ, a range's ends are not in order, or
        the measurements of a setting are not a flat list.

    Examples
    --------
    >>> judge(
    ...     {"there are 2 layers": (-1, 1), "there are 30": (-1, 1)},
    ...     {"there are 2 layers": [0.1, -0.2, 0.3], "there are 30": [-31.0, -28.0, -33.0]},
    ... )
    when there are 2 layers:
      0.0667 (−0.558 to 0.692), claimed −1 to 1: holds
    when there are 30:
      −30.7 (−36.9 to −24.4), claimed −1 to 1: does not hold
    Verdict: holds only when there are 2 layers.
    """
    if not claimed:
        raise ValueError("claimed is empty; give at least one setting and its range")
    if set(claimed) != set(measured):
        raise ValueError(
            f"claimed has the settings {list(claimed)} and measured has {list(measured)}; they "
            "must be the same"
        )
    findings = []
    for setting, (low, high) in claimed.items():
        if not low <= high:
            raise ValueError(
                f"claimed gives the range ({low!r}, {high!r}) for {setting!r}; the first must not "
                "be above the second"
            )
        values = np.asarray(measured[setting], dtype=np.float64)
        if values.ndim != 1:
            raise ValueError(
                f"measured gives an array of shape {values.shape} for {setting!r}; it must be "
                "flat, with one number a seed"
            )
        mean, interval = mean_interval(values, confidence)
        if not np.isfinite(values).all():
            interval = None  # what is left is not a fair sample
        holds = None
        if interval is not None and low <= interval[0] and interval[1] <= high:
            holds = True
        elif interval is not None and (interval[1] < low or high < interval[0]):
            holds = False
        findings.append(Finding(setting, (low, high), mean, interval, holds))
    return Judgement(tuple(findings))


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
    progress: bool | None = None,
) -> Comparison:
    """Train a model from each scheme and each seed, and compare what comes out.

    For one seed, every scheme sees the same mini-batches in the same order and the same dropout
    masks, so differences between schemes come from the weights. Accuracies are measured in
    evaluation mode. A run whose loss turns to NaN or infinity is a result too: it is reported as
    diverged.

    Runs are spread over the processor's cores, one thread each, so the results do not depend on
    how many cores there are. torch's global generators are left as they were.

    Parameters
    ----------
    schemes
        A label for each scheme: a function of a module (see `initguide.initializers`) or a name.
        Or a list of names and functions, which are then labelled by their names.
    data
        What `initguide.fashion_mnist` returns, or anything with the same three splits.
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
        How many runs go on at once; as many as there are cores if ``None``. A model that draws
        from torch's global generator while it trains (by more than `torch.nn.Dropout`), or that
        is not on the CPU, is trained one run at a time.
    progress
        Whether to show a progress bar; by default in a terminal or a notebook only.

    Returns
    -------
    Comparison
        Every run, and tables of them.

    Raises
    ------
    ValueError
        If there is no scheme or no seed, a scheme's name is unknown, or a number is out of range.

    Examples
    --------
    >>> import initguide
    >>> data = initguide.fashion_mnist(source="sample")
    >>> result = compare_init_weights(["zeros", "he_normal"], data, epochs=1, seeds=2)
    >>> [round(row.mean, 1) for row in result.rows()]
    [0.1, 0.7]
    """
    named = _named(schemes)
    numbers = _seeds(seeds)
    for seed in numbers:
        check_settings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    if workers is not None and (
        isinstance(workers, bool) or not isinstance(workers, Integral) or workers < 1
    ):
        raise ValueError(f"workers is {workers!r}; it must be a whole number, at least 1")
    if isinstance(model, nn.Module):
        raise TypeError(
            f"model is one {type(model).__name__}; it must make a new network for each run: give "
            f"the class, or a function such as lambda: {type(model).__name__}(...)"
        )
    target = torch.device(device)

    def build(label: str, seed: int) -> nn.Module:
        # Layers, and people's own schemes, draw from torch's global generator.
        with _noting(label, seed), seeded(seed):
            return initialize(model(), named[label]).to(target)

    trial = build(next(iter(named)), numbers[0])
    make_optimizer(optimizer, trial.parameters(), learning_rate)  # refuses a wrong one at once
    if target.type != "cpu" or uses_global_generator(trial, data.train.images[:2]):
        workers = 1
    stop = Event()

    def run_one(label: str, seed: int) -> Run:
        net = build(label, seed)
        with _noting(label, seed):
            return train(
                net,
                data,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                optimizer=optimizer,
                seed=seed,
                label=label,
                stop=stop,
            )

    # Seeds go in the outer loop: cut short, every scheme has about as many runs.
    jobs = [(label, seed) for seed in numbers for label in named]
    runs = _run_all(run_one, jobs, workers or _cores(), stop, progress)
    return Comparison(
        runs=tuple(runs[label, seed] for label in named for seed in numbers),
        schemes={label: _describe(scheme) for label, scheme in named.items()},
        settings={
            "model": _describe(model),
            "epochs": int(epochs),
            "batch_size": int(batch_size),
            "optimizer": optimizer if isinstance(optimizer, str) else _describe(optimizer),
            "learning_rate": float(learning_rate),
            "device": str(device),
            "seeds": list(numbers),
            "torch": str(torch.__version__),
        },
        data_source=getattr(data, "source", "not stated"),
    )


@contextlib.contextmanager
def _noting(label: str, seed: int) -> Iterator[None]:
    """Name the run in whatever goes wrong with it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while training {label!r} with seed {seed}")
        raise


def _run_all(
    run_one: Callable[[str, int], Run],
    jobs: list[tuple[str, int]],
    workers: int,
    stop: Event,
    progress: bool | None,
) -> dict[tuple[str, int], Run]:
    """Do the jobs, several at a time; on an error or Ctrl-C, stop them all and raise."""
    shown = _somebody_watches() if progress is None else progress
    pool = ThreadPoolExecutor(workers, thread_name_prefix="initguide")
    bar = tqdm(total=len(jobs), unit="run", disable=not shown)
    futures: dict[Future[Run], tuple[str, int]] = {}
    with one_thread():  # new threads start with the number that this one has
        try:
            for job in jobs:
                future = pool.submit(run_one, *job)
                future.add_done_callback(lambda _: bar.update())
                futures[future] = job
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()  # raises what the run raised
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            bar.close()
    return {job: future.result() for future, job in futures.items()}


def _named(schemes: Mapping[str, SchemeLike] | Iterable[SchemeLike]) -> dict[str, SchemeLike]:
    if isinstance(schemes, str):
        raise TypeError(
            f"schemes is the text {schemes!r}; give a list of names, such as [{schemes!r}]"
        )
    if not isinstance(schemes, Iterable):
        raise TypeError(
            f"schemes is {schemes!r}; give a list of names, such as ['he_normal'], or a dictionary "
            "of labels and schemes"
        )
    pairs = (
        [(str(label), scheme) for label, scheme in schemes.items()]
        if isinstance(schemes, Mapping)
        else [(name if isinstance(name, str) else _describe(name), name) for name in schemes]
    )
    if len(dict(pairs)) < len(pairs):
        labels = [label for label, _ in pairs]
        raise ValueError(f"schemes is labelled {labels}; a name stands there twice")
    named: dict[str, SchemeLike] = {}
    for label, scheme in pairs:
        if not isinstance(scheme, str) and not callable(scheme):
            raise TypeError(
                f"schemes is to have {scheme!r} under {label!r}; a scheme is a name such as "
                "'he_normal', or a function of a module"
            )
        named[label] = from_name(scheme) if isinstance(scheme, str) else scheme
    if not named:
        raise ValueError("schemes is empty; give at least one, such as ['he_normal']")
    return named


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    def whole(number: object) -> bool:
        return isinstance(number, Integral) and not isinstance(number, bool)

    given = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str) else seeds
    if whole(given):
        given = list(range(cast(int, given)))
    if (
        not isinstance(given, list)
        or not given
        or not all(map(whole, given))
        or len(set(given)) < len(given)
    ):
        raise ValueError(
            f"seeds is {seeds!r}; it must be how many, at least 1, or a list of different numbers"
        )
    return [int(seed) for seed in given]


def _describe(thing: Any) -> str:
    """Name a function or class, with its arguments where they can be seen."""
    if isinstance(thing, functools.partial):
        arguments = [repr(a) for a in thing.args]
        arguments += [f"{key}={value!r}" for key, value in thing.keywords.items()]
        return f"{_describe(thing.func)}({', '.join(arguments)})"
    return str(getattr(thing, "__name__", thing))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # the cores this process may use, where that is known
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _somebody_watches() -> bool:
    """Whether standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _check_metric(metric: str) -> str:
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; the metrics are {', '.join(METRICS)}")
    return metric


def _percent(fraction: float, *, sign: str = "") -> str:
    return f"{sign}{100 * fraction:.2f}" if math.isfinite(fraction) else "–"


def _loss(loss: float) -> str:
    return f"{loss:.3f}" if math.isfinite(loss) else "–"


def _ranges(numbers: list[int]) -> str:
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def _to_json(value: Any) -> Any:
    """Write numbers that JSON lacks as texts, and float32 with no more digits than it has."""
    if isinstance(value, np.ndarray):
        return [_to_json(float(str(number))) for number in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _run_from_json(run: dict[str, Any]) -> Run:
    losses = np.array([float(loss) for loss in run["train_losses"]], dtype=np.float32)
    diverged_at = run["diverged_at"]
    return Run(
        label=str(run["label"]),
        seed=int(run["seed"]),
        train_losses=losses,
        valid_loss=float(run["valid_loss"]),
        valid_accuracy=float(run["valid_accuracy"]),
        test_accuracy=float(run["test_accuracy"]),
        diverged_at=None if diverged_at is None else int(diverged_at),
        seconds=float(run["seconds"]),
    )
