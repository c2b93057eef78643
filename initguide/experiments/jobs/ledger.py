"""The results of a call so far, mirrored in a store if there is one."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

from initguide.experiments.jobs.insisting import Result, until_it_works
from initguide.experiments.jobs.job import MADE_BY, Failure, Job
from initguide.experiments.jobs.origins import Origins
from initguide.experiments.jobs.rows import is_called, key_of_copy, row_of, run_of
from initguide.experiments.store import Store, StoreError, take_up, write_unsaved
from initguide.training import Dataset, Run

HURRY = 5.0  # seconds to wait for a lock in the end: a batch system may wait for 30 s only
HEARTBEAT = 5.0  # seconds between two signs of life; after a minute without, others take over


class Keeping(NamedTuple):
    """The store that is wanted; see `initguide.experiments.store.Store` for the three."""

    path: str | os.PathLike[str]
    about: Mapping[str, Any]
    merge: Mapping[str, Callable[[Any, Any], Any]]

    def open(self, data: Dataset, mark: str) -> Store:
        """Open it, with the data among what all its runs have in common.

        What earlier calls could not store is stored first.
        """
        words = str(getattr(data, "source", "not stated"))
        about = {**self.about, **MADE_BY, "data": {"source": words, "sha256": mark}}
        merge = {**self.merge, "data": _same_data}
        store = Store(self.path, about, merge)
        take_up(store, merge)
        return store


def _same_data(old: Any, new: Any) -> Any:
    if old is None or old["sha256"] == new["sha256"]:
        return old or new
    sums = (d["sha256"][:12] for d in (old, new))
    there, here = (f"{d['source']!r} (SHA-256 {s}…)" for d, s in zip((old, new), sums, strict=True))
    raise ValueError(f"data is {there} there and {here} here")


class Ledger:
    """The results of a call, by the numbers of its jobs.

    Jobs of one key differ in what they are called and in nothing else. Only the first of them is
    done; the others get its numbers under their own label. In the store, such a run has a row for
    each of its names: a file is read by labels and settings, as the tables are.

    Parameters
    ----------
    jobs
        All jobs of the call.
    store
        Where finished runs are kept; ``None`` for nowhere.
    keys
        The key of each job; none without a store.
    """

    def __init__(self, jobs: Sequence[Job], store: Store | None, keys: Sequence[str]) -> None:
        self.jobs = jobs
        self.store = store
        self.keys = keys
        self.results: dict[int, Run | Failure] = {}
        sharing: dict[str | int, list[int]] = {}
        for i in range(len(jobs)):
            sharing.setdefault(keys[i] if store else i, []).append(i)
        self.sharing = {members[0]: members for members in sharing.values()}
        self.origins = Origins("" if store is None else store.path)
        self.unsaved: list[int] = []
        self.last_sign = monotonic()

    @property
    def missing(self) -> list[int]:
        """Numbers of the jobs that are to be done: the first of each key."""
        return [i for i in self.sharing if i not in self.results]

    def look_up(self, numbers: Collection[int]) -> None:
        """Take finished runs from the store, under whatever labels they were stored."""
        if self.store is None:
            return
        store = self.store
        rows = self._insist(lambda: store.find([self.keys[i] for i in numbers]))
        copies = []
        for i in numbers:
            row = rows.get(self.keys[i])
            if row is None or row["error"] is not None:  # what failed is tried again
                continue
            for k in self.sharing[i]:
                job = self.jobs[k]
                self.results[k] = run = run_of(row | {"label": job.label})
                self.origins.add(run, found=True)
                if not is_called(row, job):
                    copy = row_of(key_of_copy(self.keys[i], job), job, run)
                    copies.append(copy | {"finished": row["finished"]})
        # Another process may have added the same copies.
        there = self._insist(lambda: store.find([copy["key"] for copy in copies]))
        new = [c for c in copies if c["key"] not in there or there[c["key"]]["error"] is not None]
        if new:
            self._insist(lambda: store.add(new))

    def claim(self, numbers: Sequence[int]) -> list[int]:
        """Claim jobs in the store; return those that no other process has claimed."""
        if self.store is None:
            return list(numbers)
        store = self.store
        won = set(self._insist(lambda: store.claim([self.keys[i] for i in numbers])))
        return [i for i in numbers if self.keys[i] in won]

    def record(self, i: int, result: Run | Failure) -> None:
        """Note what came of a job, also for those that share its key."""
        for k in self.sharing[i]:
            job = self.jobs[k]
            if isinstance(result, Run):
                self.results[k] = dataclasses.replace(result, label=job.label)
            else:
                self.results[k] = result._replace(label=job.label, settings=job.settings)
        self.unsaved.append(i)
        if isinstance(result, Run):
            self.origins.add(result, found=False)

    def save(self) -> None:
        """Store what has been noted since the last time; if nothing has, give a sign of life.

        A store that is locked or full is tried again until it works.
        """
        if self.store is None:
            return
        store = self.store
        if self.unsaved:
            rows = self._unsaved_rows()
            self._insist(lambda: store.add(rows))
            self.unsaved = []  # not before they are stored: whatever happens, `close` has them
        elif monotonic() - self.last_sign > HEARTBEAT:
            with contextlib.suppress(OSError):  # it matters only if it fails for a minute
                store.keep()
        else:
            return
        self.last_sign = monotonic()

    def close(self) -> None:
        """Store the rest, or write it beside the store; release claims on jobs that were not done.

        Somebody may have ended the call, so it does not wait for long.
        """
        if self.store is None:
            return
        self.store.patience = HURRY
        rows = self._unsaved_rows()
        try:
            if rows:
                self.store.add(rows)
        except (OSError, StoreError) as error:
            write_unsaved(self.store, rows, error)
        self.unsaved = []
        with contextlib.suppress(OSError, StoreError):
            self.store.release()

    def _insist(self, do: Callable[[], Result]) -> Result:
        return until_it_works(do, sum(len(self.sharing[i]) for i in self.unsaved))

    def _unsaved_rows(self) -> list[dict[str, Any]]:
        return [
            row_of(
                self.keys[k] if k == i else key_of_copy(self.keys[k], self.jobs[k]),
                self.jobs[k],
                self.results[k],
            )
            for i in self.unsaved
            for k in self.sharing[i]
        ]
