"""Runs in the file of a store: found, claimed and added, each in one transaction."""

import json
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from initguide.experiments.processes import has_ended
from initguide.experiments.store.checksums import (
    Row,
    about_of,
    checksum,
    rows_of,
    structural_damage,
)
from initguide.experiments.store.places import check_place
from initguide.experiments.store.repairing import (
    create_tables,
    repair,
    warn_of,
    write_about,
    write_rows,
)
from initguide.experiments.store.schema import COLUMNS
from initguide.experiments.store.transactions import StoreError, check_is_ours, transaction
from initguide.writing import no_file

_RELEASED: set[str] = set()  # owners of this process that have released their claims
STALE = 60.0  # seconds after which a process that gave no sign of life is taken for dead


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Row]]:
    """Read a store: what its runs have in common, and the runs in the order in which they ended.

    Parameters
    ----------
    path
        The file. It is not changed.

    Returns
    -------
    about : dict
        Name of a setting -> its value.
    rows : list of dict
        One for each run, with the columns of the table ``runs``.

    Raises
    ------
    StoreError
        If the file is no store, or its settings are damaged.
    FileNotFoundError
        If it does not exist.

    Warns
    -----
    StoreWarning
        If runs are damaged. They are left out.
    """
    about, rows, damaged = examine(Path(path))
    warn_of(Path(path), damaged, "They are left out")
    return about, rows


def examine(path: Path) -> tuple[dict[str, Any], list[Row], list[str]]:
    """Read a store, as `read` does, and say what its damaged runs seem to be called."""
    if not check_is_ours(path):
        raise StoreError(f"{path} is empty; it holds no runs")
    with transaction(path, write=False, damaged_too=True) as connection:
        about = about_of(connection)
        problem = structural_damage(connection)
        intact, damaged = rows_of(connection, whole=problem is None)
    names = list(damaged.values())
    if problem is not None:
        names.append(f"and maybe more, for the file is out of order ({problem})")
    return about, list(intact.values()), names


class Store:
    """The store in a file, made if it is not there.

    Parameters
    ----------
    path
        The file. Its folder must exist.
    about
        What all runs have in common: name of a setting -> a value that JSON can hold. Names that
        end in ``code`` are mentioned as different only where no other is.
    merge
        Settings that may differ from what the file says: called with the file's value (``None`` if
        it has none) and the new one, returns what is to be written, or raises `ValueError` with
        the reason why the two do not go together.

    Attributes
    ----------
    about
        What all runs in the file have in common, as of when it was opened.
    patience
        Seconds to wait for another process that is writing; a minute if ``None``.

    Raises
    ------
    StoreError
        If the file is no store, its settings are damaged, or it was made with others, or if it is
        on a file system of the network (Linux). It is left as it is.
    OSError
        If it cannot be written.

    Warns
    -----
    StoreWarning
        If runs are damaged. They are kept aside, and are as if they had never been done.
    """

    patience: float | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        about: Mapping[str, Any],
        merge: Mapping[str, Callable[[Any, Any], Any]] | None = None,
    ) -> None:
        self.path = Path(path)
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        if (kind := no_file(self.path)) is not None:
            raise StoreError(f"store is {self.path}, {kind}; give the name of a file")
        folder = (self.path.resolve() if self.path.is_symlink() else self.path).parent
        if not folder.is_dir():
            raise FileNotFoundError(
                f"store is {self.path}, but there is no folder {folder}; make it first"
            )
        check_place(self.path)
        if self.path.exists():
            check_is_ours(self.path, write=True)
        with transaction(self.path, write=True, damaged_too=True) as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            is_new = (
                pages <= 1 and not tables
            )  # of more pages without a table, the first is damaged
            if is_new:
                create_tables(connection)
            agreed = self._agree(about_of(connection), about, merge or {})
            moved = not is_new and repair(self.path, connection)
            # Written even if nothing is new: what cannot be written is to be known at once.
            if not moved:
                write_about(connection, agreed)
        if moved:
            with transaction(self.path, write=True) as connection:
                write_about(connection, agreed)
        self.about = agreed

    def _agree(
        self,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        merge: Mapping[str, Callable[[Any, Any], Any]],
    ) -> dict[str, Any]:
        """Bring the file's settings and the new ones together, or say how they differ."""
        new = json.loads(json.dumps(new))  # as they will come back: tuples are lists
        agreed: dict[str, Any] = {}
        differences: dict[str, str] = {}
        for name in dict.fromkeys([*old, *new]):
            try:
                if name in merge:
                    agreed[name] = merge[name](old.get(name), new.get(name))
                    continue
            except ValueError as error:
                differences[name] = str(error)
                continue
            if old and old.get(name) != new.get(name):
                there, here = (_shown(about, name) for about in (old, new))
                differences[name] = f"{name.replace('_', ' ')} is {there} there and {here} here"
            agreed[name] = new.get(name)
        if differences:
            # That a function's code differs is news only where nothing else does.
            told = {k: v for k, v in differences.items() if not k.endswith("code")} or differences
            raise StoreError(
                f"{self.path} holds runs made with other settings: {'; '.join(told.values())}. Use "
                "another file, or the same settings"
            )
        return agreed

    def find(self, keys: Collection[str]) -> dict[str, Row]:
        """Rows of those runs that are there, by their keys.

        Parameters
        ----------
        keys
            What to look for.
        """
        with transaction(self.path, write=False, patience=self.patience) as connection:
            return self._find(connection, keys)

    def claim(self, keys: Iterable[str], at_most: int | None = None) -> list[str]:
        """Say that this process does these runs, and return those that it may do.

        Runs that are there, or that another living process has claimed, are left out. A process
        is taken for dead if it was on this machine and is gone, or gave no sign of life (see
        `add` and `keep`) for a minute.

        Parameters
        ----------
        keys
            The runs wanted, in the order in which they are to be tried.
        at_most
            How many to claim.
        """
        won: list[str] = []
        wanted = list(keys)
        with transaction(self.path, write=True, patience=self.patience) as connection:
            claims = {
                key: (owner, seen)
                for key, owner, seen in connection.execute("SELECT key, owner, seen FROM claims")
            }
            done = self._find(connection, wanted)
            for key in wanted:
                if at_most is not None and len(won) == at_most:
                    break
                if (key in done and done[key]["error"] is None) or (
                    key in claims and claims[key][0] != self.owner and _is_alive(*claims[key])
                ):
                    continue
                won.append(key)
            connection.executemany(
                "INSERT OR REPLACE INTO claims VALUES (?, ?, ?)",
                [(key, self.owner, time.time()) for key in won],
            )
        return won

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Store finished runs durably; a run that is there already stays, unless it had failed.

        Parameters
        ----------
        rows
            One for each run, with the columns of the table ``runs``.

        Raises
        ------
        OSError
            If they cannot be written. Whatever was stored before is intact.
        """
        rows = list(rows)
        with transaction(self.path, write=True, patience=self.patience) as connection:
            there = self._find(connection, [row["key"] for row in rows])
            new = [r for r in rows if r["key"] not in there or there[r["key"]]["error"] is not None]
            write_rows(connection, new)
            connection.executemany(
                "DELETE FROM claims WHERE key = ?", [(row["key"],) for row in rows]
            )
            self._beat(connection)

    def keep(self) -> None:
        """Give a sign of life, so that nobody else does what this process is doing."""
        with transaction(self.path, write=True, patience=self.patience) as connection:
            self._beat(connection)

    def release(self) -> None:
        """Leave what this store has claimed and not done to others; it claims nothing any more.

        Raises
        ------
        OSError
            If it cannot be written. Others then take the claims a minute after the last sign of
            life; this process does so at once.
        """
        _RELEASED.add(self.owner)
        with transaction(self.path, write=True, patience=self.patience) as connection:
            connection.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))

    def _beat(self, connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE claims SET seen = ? WHERE owner = ?", (time.time(), self.owner))

    @staticmethod
    def _find(connection: sqlite3.Connection, keys: Collection[str]) -> dict[str, Row]:
        """Rows that are there and as they were written; a damaged one is as good as none."""
        found: dict[str, Row] = {}
        wanted = list(keys)
        names = ", ".join(COLUMNS)
        for start in range(0, len(wanted), 500):  # SQLite takes 999 values or more in a statement
            part = wanted[start : start + 500]
            marks = ", ".join("?" * len(part))
            query = f"SELECT checksum, {names} FROM runs WHERE key IN ({marks})"  # noqa: S608  constants
            for written, *values in connection.execute(query, part):
                row = dict(zip(COLUMNS, values, strict=True))
                if written == checksum(*values):
                    found[row["key"]] = row
        return found


def _shown(about: Mapping[str, Any], name: str) -> str:
    return json.dumps(about[name], ensure_ascii=False) if name in about else "not there"


def _is_alive(owner: str, seen: float) -> bool:
    """Whether the process that claimed something is at it still, as far as can be told."""
    if owner in _RELEASED:
        return False
    host, _, process = owner.rpartition(":")[0].rpartition(":")
    if not process.isdecimal():  # damaged: whoever it was, the run may be done twice at worst
        return False
    if host == socket.gethostname() and has_ended(int(process)):
        return False
    # Of another machine only this is known. A number of this one may be a new process's by now.
    return abs(time.time() - seen) < STALE
