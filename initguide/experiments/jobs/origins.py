"""Who trained the runs of a table: compiled steps or PyTorch's, and on which kind of processor."""

import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from initguide.experiments.store import StoreWarning
from initguide.training import Run


def origins_in_words(runs: Iterable[Run]) -> str:
    """Who trained some runs, in a sentence or two; nothing where it is not known of any."""
    counts = Counter(run.trained_by for run in runs)
    if not any(counts):
        return ""
    if len(counts) == 1:
        return f"Trained by {next(iter(counts))}."
    parts = [
        f"{count} by {who}" if who else f"{count} in a way that was not recorded"
        for who, count in counts.most_common()
    ]
    return (
        f"Trained: {', '.join(parts)}. Runs of one seed that were trained differently can lie as "
        "far apart as runs of two seeds."
    )


class Origins:
    """Who trained the runs of a call; says once if its store mixes what should not be mixed.

    Parameters
    ----------
    path
        The store, for the warning.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.found: set[str] = set()
        self.made: set[str] = set()
        self.has_warned = False

    def add(self, run: Run, *, found: bool) -> None:
        """Note a run that was found in the store, or was made by this call.

        Warns
        -----
        StoreWarning
            At the first run that was trained by others than the runs on the other side were.
        """
        if run.trained_by:
            (self.found if found else self.made).add(run.trained_by)
        if self.has_warned or not self.found or not self.made:
            return
        if len(self.found | self.made) > 1:
            self.has_warned = True
            there, here = (" and ".join(sorted(side)) for side in (self.found, self.made))
            warnings.warn(
                f"{self.path} has runs trained by {there}, and those that this call adds are "
                f"trained by {here}: the table says how many of each. Runs of one seed that were "
                "trained differently can lie as far apart as runs of two seeds; for runs of one "
                "kind, give a store the name of a new file",
                StoreWarning,
                stacklevel=2,
            )
