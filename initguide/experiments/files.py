"""Results as JSON files, and what is common to reading them from stores."""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from initguide.experiments.store import StoreError, read
from initguide.training import Run
from initguide.writing import write_whole


def write_document(path: str | os.PathLike[str], document: Mapping[str, Any]) -> None:
    """Write a JSON file that appears whole or not at all."""
    write_whole(path, json.dumps(document, allow_nan=False, ensure_ascii=False))


def read_document(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Read what `write_document` wrote: the document of a comparison or of a sweep."""
    wanted = f"initguide {kind}"
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
    if document.get("version") != VERSION:
        raise ValueError(
            f"{path} has version {document.get('version')!r} of the file format; this "
            f"initguide reads version {VERSION}: install the version that wrote it"
        )
    return document


def read_store(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], list[Any]]:
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
def damage_named(kind: type[ValueError], start: str) -> Iterator[None]:
    """Report as damage what is raised where a document lacks something, or has it in another form.

    Parameters
    ----------
    kind
        What to raise instead.
    start
        How its message begins; what is missing or wrong follows.
    """
    try:
        yield
    except StoreError:  # says already what is wrong
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise kind(f"{start}: {reason}") from error


VERSION = 1


def to_json(value: Any) -> Any:
    """Write numbers that JSON lacks as texts, and float32 with no more digits than it has."""
    if isinstance(value, np.ndarray):
        # By way of the shortest digits that give the same float32.
        return [to_json(float(str(number))) for number in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def run_from_json(run: dict[str, Any]) -> Run:
    """Inverse of `to_json` for a run."""
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
        trainer=str(run.get("trainer", "")),  # earlier versions did not say
        rounding=str(run.get("rounding", "")),
    )


def split_in(settings: Mapping[str, Any]) -> str:
    """How training and validation images were divided; earlier versions had one split for all."""
    return str(settings.get("split", "shared"))
