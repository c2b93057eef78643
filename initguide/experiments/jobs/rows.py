"""Runs as rows of a store, and back."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from initguide.experiments.jobs.job import Failure, Job
from initguide.experiments.store import SETTINGS
from initguide.training import Run

_NUMBERS = ("valid_loss", "valid_accuracy", "test_accuracy", "diverged_at", "seconds")
_ORIGIN = ("trainer", "rounding")


def row_of(key: str, job: Job, result: Run | Failure) -> dict[str, Any]:
    """Row of a store for what came of a job."""
    numbers: dict[str, Any] = dict.fromkeys((*_NUMBERS, *_ORIGIN, "train_losses", "error"))
    if isinstance(result, Run):
        numbers |= {name: getattr(result, name) for name in (*_NUMBERS, *_ORIGIN)}
        # Little-endian on every machine: a store may be read on another one.
        numbers["train_losses"] = result.train_losses.astype("<f4").tobytes()
    else:
        numbers["error"] = result.reason
    return (
        {name: job.settings.get(name) for name in SETTINGS}
        | numbers
        | {
            "key": key,
            "label": job.label,
            "seed": job.seed,
            "settings": _settings(job),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )


def run_of(row: Mapping[str, Any]) -> Run:
    """Run in a row of a store."""

    def number(name: str) -> float:
        return math.nan if row[name] is None else float(row[name])  # SQLite has no NaN

    diverged_at = row["diverged_at"]
    return Run(
        label=str(row["label"]),
        seed=int(row["seed"]),
        train_losses=np.frombuffer(row["train_losses"], dtype="<f4").astype(np.float32),
        valid_loss=number("valid_loss"),
        valid_accuracy=number("valid_accuracy"),
        test_accuracy=number("test_accuracy"),
        diverged_at=None if diverged_at is None else int(diverged_at),
        seconds=number("seconds"),
        trainer=str(row["trainer"] or ""),
        rounding=str(row["rounding"] or ""),
    )


def is_called(row: Mapping[str, Any], job: Job) -> bool:
    """Whether a row has the label and the settings of a job of the same key."""
    settings = json.loads(_settings(job))  # as they came back: tuples are lists
    return bool(row["label"] == job.label and json.loads(row["settings"]) == settings)


def key_of_copy(key: str, job: Job) -> str:
    """Key of the row in which a run stands once more, under what this job calls it.

    The first row of a run has the key of the run alone, so that it is found by any name.
    """
    return hashlib.sha256(f"{key} {job.label} {_settings(job)}".encode()).hexdigest()


def _settings(job: Job) -> str:
    return json.dumps(dict(job.settings), ensure_ascii=False)
