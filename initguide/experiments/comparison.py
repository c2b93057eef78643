"""Compare initialization schemes over seeds."""

import contextlib
import dataclasses
import difflib
import functools
import inspect
import itertools
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit
from torch import nn

from initguide.arguments import check_whole
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
from initguide.experiments.store import StoreError, is_store, read
from initguide.initializers import from_name
from initguide.models import Net
from initguide.randomness import seeded
from initguide.tables import Table
from initguide.training import (
    Dataset,
    OptimizerFactory,
    Run,
    check_optimizer,
    check_settings,
    uses_global_generator,
)

__all__ = [
    "METRICS",
    "Comparison",
    "Difference",
    "JudgedSetting",
    "Judgement",
    "Metric",
    "Point",
    "Row",
    "Sweep",
    "SweptRun",
    "compare_init_weights",
    "judge",
    "mean_interval",
    "sweep",
]

Interval = tuple[float, float]
Merge = Callable[[Any, Any], Any]
Scheme = Callable[[nn.Module], object]


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
    remark
        What else is to be said below the table: how many runs came from a store. Not saved.
    """

    runs: tuple[Run, ...]
    schemes: Mapping[str, str]
    settings: Mapping[str, Any]
    data_source: str
    remark: str = ""

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
        return f"Data: {self.data_source}. {words}" + (f" {self.remark}" if self.remark else "")

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
        _write(path, document)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Comparison":
        """Read a comparison that `save` wrote, or the store of one.

        From a store that is not complete, those seeds are taken that have a run of every scheme.

        Parameters
        ----------
        path
            A JSON file, or a store (see `initguide.experiments`). It is not changed.

        Raises
        ------
        ValueError
            If the file is damaged, is no comparison, or was written by a newer version; the
            message says which.
        """
        if is_store(path):
            with _damaged(path):
                return _comparison_in(path)
        document = _read(path, _FORMAT)
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


def _write(path: str | os.PathLike[str], document: Mapping[str, Any]) -> None:
    """Write a JSON file that appears whole or not at all."""
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


def _read(path: str | os.PathLike[str], wanted: str) -> dict[str, Any]:
    """Read what `_write` wrote: the document of a comparison or of a sweep."""
    kind = wanted.removeprefix("initguide ")
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a saved {kind}, or is damaged: it is not JSON ({error})"
        ) from error
    if not isinstance(document, dict) or document.get("format") != wanted:
        raise ValueError(
            f'{path} is JSON, but not a saved {kind}: it has no "format": "{wanted}"; load what '
            f"{kind.title()}.save wrote"
        )
    if document.get("version") != _VERSION:
        raise ValueError(
            f"{path} has version {document.get('version')!r} of the file format; this "
            f"initguide reads version {_VERSION}: install the version that wrote it"
        )
    return document


def _in_store(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], list[Any]]:
    """Read a store that must be of a kind."""
    about, rows = read(path)
    if about.get("kind") != kind:
        other = {"comparison": "Sweep", "sweep": "Comparison"}[kind]
        raise StoreError(
            f"{path} is the store of a {about.get('kind')}, not of a {kind}; read it by "
            f"{other}.load"
        )
    return about, rows


@contextlib.contextmanager
def _damaged(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say that a store is damaged where it lacks something that is always there."""
    try:
        yield
    except StoreError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise StoreError(f"{path} is damaged: {reason}") from error


def _comparison_in(path: str | os.PathLike[str]) -> Comparison:
    about, rows = _in_store(path, "comparison")
    runs = {(row["label"], row["seed"]): run_of(row) for row in rows if row["error"] is None}
    labels = list(about["schemes"])
    seeds = [s for s in about["seeds"] if all((label, s) in runs for label in labels)]
    if not seeds:
        raise StoreError(
            f"{path} has no seed yet with a run of every scheme; it has {len(runs)} of "
            f"{len(labels) * len(about['seeds'])} runs. The same call completes it"
        )
    left = len(runs) - len(labels) * len(seeds)
    return Comparison(
        runs=tuple(runs[label, seed] for label in labels for seed in seeds),
        schemes=about["schemes"],
        settings={name: about[name] for name in _COMMON} | {"seeds": seeds} | _torch(about),
        data_source=about["data"]["source"],
        remark=f"Left out: {left} runs whose seeds lack a run of another scheme." if left else "",
    )


def _torch(about: Mapping[str, Any]) -> dict[str, str]:
    return {"torch": about["torch"]}


_COMMON = ("model", "epochs", "batch_size", "optimizer", "learning_rate", "device")
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


class JudgedSetting(NamedTuple):
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

    findings: tuple[JudgedSetting, ...]

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
        findings.append(JudgedSetting(setting, (low, high), mean, interval, holds))
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
    named = _named(schemes)
    numbers = _seeds(seeds)
    for seed in numbers:
        check_settings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed)
    epochs, batch_size = int(epochs), int(batch_size)
    _check_workers(workers)
    _check_data(data)
    _check_model(model)
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
        merge: dict[str, Merge] = {
            "seeds": _more,
            "schemes": functools.partial(_same_or_new, "the scheme"),
            "scheme_code": functools.partial(_same_or_new, "the code of the scheme"),
        }
        keeping = Keeping(store, about, merge)
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
        remark=_found(outcome.found, len(jobs), store),
    )


RUN_SETTINGS = ("scheme", "scale", "learning_rate", "optimizer", "epochs", "batch_size")
"""What a `sweep` can vary besides ``seed`` and the keywords of the model."""


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
class Sweep:
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
            if not any(_is_same(value, other) for other in axes[name]):
                values = ", ".join(map(repr, axes[name]))
                raise ValueError(f"{name} {value!r} is not in the grid; its values are {values}")
        return tuple(
            run
            for run in self.runs
            if all(
                _is_same(value, run.seed if name == "seed" else run.settings[name])
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
        _check_metric(metric)
        return np.array([getattr(run, metric) for run in self.of(**settings)], dtype=np.float64)

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
        _check_metric(metric)
        seeds = {seed: i for i, seed in enumerate(self.settings["seeds"])}
        places = [{value: i for i, value in enumerate(values)} for values in self.grid.values()]
        numbers = np.full((*map(len, places), len(seeds)), np.nan)
        for run in self.runs:
            point = (p[v] for p, v in zip(places, run.settings.values(), strict=True))
            numbers[(*point, seeds[run.seed])] = getattr(run, metric)
        return numbers

    def rows(self, metric: str = "valid_accuracy", *, confidence: float = 0.95) -> list[Point]:
        """Mean and interval of each point, in the order of the grid.

        Parameters
        ----------
        metric
            A name from `METRICS`. Accuracies are fractions in [0, 1].
        confidence
            How often such intervals hold the true mean, in (0, 1).
        """
        numbers = self.array(metric).reshape(-1, len(self.settings["seeds"]))
        done = dict.fromkeys(itertools.product(*self.grid.values()), 0)
        bad = dict(done)
        for run in self.runs:
            point = tuple(run.settings.values())
            done[point] += 1
            bad[point] += run.diverged
        failed = dict.fromkeys(done, 0)
        for failure in self.failures:
            failed[tuple(failure.settings[name] for name in self.grid)] += 1
        return [
            Point(
                dict(zip(self.grid, point, strict=True)),
                *mean_interval(values, confidence),
                bad[point],
                failed[point],
            )
            for point, values in zip(done, numbers, strict=True)
        ]

    def best(self, metric: str = "valid_accuracy") -> Point | None:
        """The point with the best mean among those without diverged or failed runs.

        ``None`` if there is no such point. The best of many means is partly luck.
        """
        sign = 1 if METRICS[_check_metric(metric)].higher_is_better else -1
        rows = [r for r in self.rows(metric) if not r.diverged and not r.failed]
        rows = [r for r in rows if math.isfinite(r.mean)]
        return max(rows, key=lambda row: sign * row.mean) if rows else None

    def table(self) -> Table:
        """Accuracy, losses and a remark for each point."""
        rows, best = self.rows(), self.best()
        losses = {m: [r.mean for r in self.rows(m)] for m in ("train_loss", "valid_loss")}
        spreads = self.array().reshape(len(rows), -1)
        marked = [i for i, row in enumerate(rows) if best and row.settings == best.settings]
        seeds = len(self.settings["seeds"])
        remarks = [
            "; ".join(
                ["best"] * (i in marked)
                + [f"{row.diverged} of {seeds} diverged"] * bool(row.diverged)
                + [f"{row.failed} of {seeds} failed"] * bool(row.failed)
            )
            for i, row in enumerate(rows)
        ]
        columns: dict[str, Sequence[Any]] = {
            name.replace("_", " "): [row.settings[name] for row in rows] for name in self.grid
        }
        columns |= {
            "accuracy, %": [row.mean for row in rows],
            "±": [(r.interval[1] - r.interval[0]) / 2 if r.interval else None for r in rows],
            "sd": [_deviation(values) for values in spreads],
            "training loss": losses["train_loss"],
            "validation loss": losses["valid_loss"],
            "remark": remarks,
        }
        return Table(
            columns,
            caption=self._caption,
            note=self._footnote,
            formats={
                **{name.replace("_", " "): _setting for name in self.grid},
                "accuracy, %": _percent,
                "±": functools.partial(_percent, sign="± "),
                "sd": _percent,
                "training loss": _loss,
                "validation loss": _loss,
            },
            marked=marked,
        )

    @property
    def _caption(self) -> str:
        seeds = len(self.settings["seeds"])
        epochs = self.settings.get("epochs")
        after = "" if epochs is None else f" after {epochs} epoch{'s' * (epochs != 1)}"
        return f"Validation accuracy{after}, " + (
            f"mean of {seeds} seeds" if seeds > 1 else "one seed"
        )

    @property
    def _footnote(self) -> str:
        shown = {k: v for k, v in self.settings.items() if k not in ("seeds", "torch")}
        settings = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())
        seeds = _ranges(self.settings["seeds"])
        words = f"Settings: {settings}; seeds {seeds}; torch {self.settings['torch']}."
        if len(self.settings["seeds"]) > 1:
            words += " ±: half of the 95 % interval of the mean over seeds."
        missing = math.prod(map(len, self.grid.values())) * len(self.settings["seeds"])
        missing -= len(self.runs) + len(self.failures)
        words += f" {missing} runs are missing." if missing else ""
        if self.failures:
            words += (
                f" Why runs failed: {'; '.join(dict.fromkeys(f.reason for f in self.failures))}."
            )
        return f"Data: {self.data_source}. {words}" + (f" {self.remark}" if self.remark else "")

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
        columns = {name: [run.settings[name] for run in self.runs] for name in self.grid}
        names = ("seed", *METRICS, "diverged_at", "seconds")
        columns |= {name: [getattr(run, name) for run in self.runs] for name in names}
        return Table(columns, caption=self._caption).to_csv(path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sweep to a JSON file, which appears whole or not at all.

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
            "format": _SWEEP,
            "version": _VERSION,
            "data_source": self.data_source,
            "grid": {name: list(values) for name, values in self.grid.items()},
            "settings": dict(self.settings),
            "runs": [
                {key: _to_json(value) for key, value in vars(run).items()} for run in self.runs
            ],
            "failures": [failure._asdict() for failure in self.failures],
        }
        _write(path, document)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Sweep":
        """Read a sweep that `save` wrote, or the store of one, complete or not.

        Parameters
        ----------
        path
            A JSON file, or a store (see `initguide.experiments`). It is not changed.

        Raises
        ------
        ValueError
            If the file is damaged, is no sweep, or was written by a newer version; the message
            says which.
        """
        if is_store(path):
            with _damaged(path):
                return _sweep_in(path)
        document = _read(path, _SWEEP)
        try:
            found = cls(
                runs=tuple(
                    _swept(_run_from_json(run), run["settings"]) for run in document["runs"]
                ),
                failures=tuple(Failure(**failure) for failure in document["failures"]),
                grid={name: tuple(values) for name, values in document["grid"].items()},
                settings=dict(document["settings"]),
                data_source=str(document["data_source"]),
            )
            str(found)  # whatever a table needs is there
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"{path} is a damaged sweep: {reason}") from error
        return found


_SWEEP = "initguide sweep"


def _swept(run: Run, settings: Mapping[str, Any]) -> SweptRun:
    own = {field.name: getattr(run, field.name) for field in dataclasses.fields(Run)}
    return SweptRun(**own, settings=dict(settings))


def _sweep_in(path: str | os.PathLike[str]) -> Sweep:
    about, rows = _in_store(path, "sweep")
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
    return Sweep(
        runs=tuple(runs[i] for i in sorted(runs)),
        failures=tuple(failures[i] for i in sorted(failures)),
        grid=grid,
        settings=about["settings"] | {"seeds": about["seeds"]} | _torch(about),
        data_source=about["data"]["source"],
    )


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
    _check_workers(workers)
    _check_data(data)
    _check_model(model)
    fixed = {
        "scheme": scheme,
        "scale": scale,
        "learning_rate": learning_rate,
        "optimizer": optimizer,
        "epochs": epochs,
        "batch_size": batch_size,
    }
    axes = _axes(grid, model)
    numbers = _seeds(list(axes.pop("seed").values()) if "seed" in axes else seeds)
    schemes = axes["scheme"] if "scheme" in axes else {_plain(scheme): scheme}
    named = _named({str(label): value for label, value in schemes.items()})
    _check_values(fixed, axes, numbers, model)

    common = {name: _plain(value) for name, value in fixed.items() if name not in axes}
    settings = {"model": written(model), **common, "device": str(device)}
    jobs = []
    for seed in numbers:
        for point in itertools.product(*(values.items() for values in axes.values())):
            labels = {name: label for name, (label, _) in zip(axes, point, strict=True)}
            values = fixed | {name: value for name, (_, value) in zip(axes, point, strict=True)}
            where = [f"{name.replace('_', ' ')} {_setting(v)}" for name, v in labels.items()]
            jobs.append(
                Job(
                    label=", ".join(where) or "the only point",
                    seed=seed,
                    scheme=named[str(labels.get("scheme", _plain(scheme)))],
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
        merge: dict[str, Merge] = {
            "seeds": _more,
            "grid": _more_values,
            "code": functools.partial(_same_or_new, "the code of"),
            "settings": functools.partial(_same_settings, ""),
            "common_code": functools.partial(_same_settings, "the code of the "),
        }
        keeping = Keeping(store, about, merge)
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
        remark=_found(outcome.found, len(jobs), store),
    )


def _axes(
    grid: Mapping[str, Iterable[Any]], model: Callable[..., nn.Module]
) -> dict[str, dict[Any, Any]]:
    """Each setting of a grid with its values by what they are called."""
    if not isinstance(grid, Mapping):
        raise TypeError(
            f"grid is {grid!r}; give a dictionary of settings and their values, such as "
            "{'scheme': ['he_normal'], 'learning_rate': [1e-3, 1e-2]}"
        )
    known, takes_any = _keywords(model)
    axes: dict[str, dict[Any, Any]] = {}
    for name, given in grid.items():
        if not isinstance(name, str) or not (
            name in (*RUN_SETTINGS, "seed", *known) or (takes_any and name.isidentifier())
        ):
            near = difflib.get_close_matches(str(name), [*RUN_SETTINGS, "seed", *known], n=1)
            hint = f", did you mean {near[0]!r}?" if near else "."
            raise ValueError(
                f"grid has the unknown setting {name!r}{hint} The settings are "
                f"{', '.join([*RUN_SETTINGS, 'seed'])}, and of {written(model)}: "
                f"{', '.join(known) or 'none'}"
            )
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise TypeError(f"grid has {given!r} for {name!r}; give a list of values")
        if isinstance(given, Mapping):
            values = [(str(label), value) for label, value in given.items()]
        else:
            values = [(_plain(value), _unwrapped(value)) for value in given]
        if not values:
            raise ValueError(f"grid has no value for {name!r}; give at least one")
        axes[name] = dict(values)
        if len(axes[name]) < len(values) or len({str(label) for label in axes[name]}) < len(values):
            raise ValueError(
                f"grid has {[label for label, _ in values]} for {name!r}; one stands there twice "
                "(to tell apart values of one name, give a dictionary of labels and values)"
            )
    return axes


def _keywords(model: Callable[..., nn.Module]) -> tuple[list[str], bool]:
    """Keywords that a model can be made with, and whether it takes any."""
    try:
        parameters = inspect.signature(model).parameters.values()
    except (TypeError, ValueError):
        return [], True
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _check_values(
    fixed: Mapping[str, Any],
    axes: Mapping[str, Mapping[Any, Any]],
    seeds: Iterable[int],
    model: Callable[..., nn.Module],
) -> None:
    """Refuse what no run can be done with, value by value, before the first run."""
    first = {**fixed, **{name: next(iter(values.values())) for name, values in axes.items()}}
    for name, values in (axes or {"": {"": None}}).items():
        for value in values.values():
            tried = first | ({name: value} if name else {})
            plain = {k: tried[k] for k in ("epochs", "batch_size", "learning_rate")}
            for seed in seeds:
                check_settings(**plain, seed=seed)
            scale = tried["scale"]
            is_number = isinstance(scale, int | float) and not isinstance(scale, bool)
            if not is_number or not 0 <= scale < math.inf:
                raise ValueError(f"scale is {scale!r}; it must be a finite number, at least 0")
            if name in fixed and name != "optimizer" and value is not next(iter(values.values())):
                continue  # the same network as before
            chosen = {k: v for k, v in tried.items() if k not in fixed}
            try:
                with seeded(0):
                    network = model(**chosen)
            except (ValueError, TypeError):
                raise
            except Exception as error:
                words = ", ".join(f"{k}={_setting(_plain(v))}" for k, v in chosen.items())
                line, *_ = str(error).split("\n", maxsplit=1)
                raise ValueError(
                    f"model {written(model)}({words}) cannot be made: "
                    f"{type(error).__name__}: {line or 'no reason was given'}"
                ) from error
            if not isinstance(network, nn.Module):
                kind = type(network).__name__
                raise TypeError(f"model is of type {kind}; it must be a torch.nn.Module")
            check_optimizer(tried["optimizer"], network, tried["learning_rate"])


def _unwrapped(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _plain(value: Any) -> Any:
    """What a value is called: itself if it is a number, a text or nothing."""
    value = _unwrapped(value)
    return value if isinstance(value, str | int | float | None) else written(value)


def _setting(value: Any) -> str:
    """A setting in a table or label, as short as it can be without losing anything much."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _is_same(value: Any, other: Any) -> bool:
    value = _plain(value)
    if isinstance(value, Real) and isinstance(other, Real):
        return math.isclose(value, other, rel_tol=1e-9)
    return bool(value == other)


def _deviation(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.std(ddof=1)) if len(finite) > 1 else None


def _more_values(old: list[Any] | None, new: list[Any]) -> list[Any]:
    """Bring two grids together, which must have the same settings."""
    if old is None:
        return new
    there, here = dict(old), dict(new)
    if list(there) != list(here):
        raise ValueError(f"the grid is over {list(there)} there and over {list(here)} here")
    return [[name, _more(there[name], here[name])] for name in there]


def _same_settings(what: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Any:
    differences = [
        f"{what}{name.replace('_', ' ')} is {old.get(name)!r} there and {new.get(name)!r} here"
        for name in dict.fromkeys([*(old or {}), *new])
        if old is not None and old.get(name) != new.get(name)
    ]
    if differences:
        raise ValueError("; ".join(differences))
    return new


def _found(count: int, of: int, store: str | os.PathLike[str] | None) -> str:
    return f"{count} of the {of} runs were found in {os.fspath(store)}." if store and count else ""


def _more(old: list[Any] | None, new: list[Any]) -> list[Any]:
    return list(dict.fromkeys([*(old or []), *new]))


def _same_or_new(what: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Any:
    for label in new:
        if old and label in old and old[label] != new[label]:
            raise ValueError(f"{what} {label!r} is {old[label]} there and {new[label]} here")
    return {**(old or {}), **new}


def _check_workers(workers: int | None) -> None:
    if workers is not None:
        check_whole("workers", workers, 1)


def _check_model(model: Any) -> None:
    if isinstance(model, nn.Module):
        raise TypeError(
            f"model is one {type(model).__name__}; it must make a new network for each run: give "
            f"the class, or a function such as lambda: {type(model).__name__}(...)"
        )


def _check_data(data: Any) -> None:
    for name in ("train", "valid", "test"):
        split = getattr(data, name, None)
        if not (hasattr(split, "images") and hasattr(split, "labels")):
            raise TypeError(
                f"data is of type {type(data).__name__}, without a split .{name} that has .images "
                "and .labels; give what initguide.fashion_mnist() returns, or an object with "
                ".train, .valid and .test of that kind, such as types.SimpleNamespace"
            )


def _named(
    schemes: Mapping[str, SchemeLike] | Iterable[SchemeLike],
) -> dict[str, Scheme]:
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
        else [(name if isinstance(name, str) else written(name), name) for name in schemes]
    )
    if len(dict(pairs)) < len(pairs):
        labels = [label for label, _ in pairs]
        raise ValueError(f"schemes is labelled {labels}; a name stands there twice")
    named: dict[str, Scheme] = {}
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
