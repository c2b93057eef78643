"""What the table of results says: its columns, its remarks, and the lines around it."""

from collections.abc import Mapping, Sequence
from typing import Any

from initguide.experiments.columns import COLUMNS
from initguide.experiments.files import split_in
from initguide.experiments.jobs import origins_in_words
from initguide.experiments.seeds import in_ranges
from initguide.experiments.settings import setting_text
from initguide.training import Run


def columns_of(
    points: Mapping[str, Mapping[str, Any]], runs: Mapping[str, Sequence[Run]]
) -> tuple[dict[str, Sequence[Any]], dict[str, Any]]:
    """The settings of each point, and what is said of its runs.

    Parameters
    ----------
    points
        Label of each point with its settings.
    runs
        Label of each point with its runs.

    Returns
    -------
    columns : dict
        Heading -> cells. A column of `COLUMNS` that has nothing to say of any point is left out.
    formats : dict
        Heading -> how its cells are written.
    """
    names = list(next(iter(points.values()), {"scheme": ""}))
    columns: dict[str, Sequence[Any]] = {
        name.replace("_", " "): [settings[name] for settings in points.values()] for name in names
    }
    formats: dict[str, Any] = dict.fromkeys(columns, setting_text)
    for heading, column in COLUMNS.items():
        cells = [column.of(runs[label]) for label in points]
        if column.always or any(cell is not None for cell in cells):
            columns[heading], formats[heading] = cells, column.write
    return columns, formats


def remark_on(*, best: bool, level: bool, diverged: int, failed: int, seeds: int) -> str:
    """What stands behind a point: the best, what it lost, or not told from the best."""
    words = ["best"] * best
    words += [f"{diverged} of {seeds} diverged"] * bool(diverged)
    words += [f"{failed} of {seeds} failed"] * bool(failed)
    if not words and level:
        words = ["not told from the best"]
    return "; ".join(words)


def caption_of(settings: Mapping[str, Any]) -> str:
    """What was measured, after how many epochs, over how many seeds."""
    seeds = len(settings["seeds"])
    epochs = settings.get("epochs")  # none where they were varied
    after = "" if epochs is None else f" after {epochs} epoch{'s' * (epochs != 1)}"
    over = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
    return f"Validation accuracy{after}, {over}"


def footnote(
    settings: Mapping[str, Any], source: str, notes: str, runs: Sequence[Run], remark: str
) -> str:
    """Where the numbers are from: the data, the settings, the seeds, and how they were trained."""
    shown = {k: v for k, v in settings.items() if k not in ("seeds", "split", "torch")}
    named = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())
    seeds = settings["seeds"]
    words = f"Settings: {named}; seeds {in_ranges(seeds)}; torch {settings['torch']}."
    if len(seeds) > 1:
        words += f" ±: half of the 95 % interval of the mean over seeds, {_split(settings)}."
    words += notes
    if origins := origins_in_words(runs):
        words += f" {origins}"
    return f"Data: {source}. {words}" + (f" {remark}" if remark else "")


def _split(settings: Mapping[str, Any]) -> str:
    if split_in(settings) == "per seed":
        return "each of which divides training and validation images anew"
    return "on one split into training and validation images, the same for all"
