"""Keep finished runs in one SQLite file: nothing that is done is lost, nothing is done twice.

A store is an ordinary SQLite 3 file, readable by any tool that reads those. Its table ``runs`` has
a row for each finished run:

==============================  ==================================================================
column                          what it holds
==============================  ==================================================================
key                             SHA-256 of the settings and data that determine the run
label, seed                     what the run is called in tables, and its seed
scheme, scale, model, epochs,   the settings that every run has; those that only a comparison or
batch_size, learning_rate,      only a sweep has are empty elsewhere
optimizer, device
settings                        all settings of the run, as JSON
valid_loss, valid_accuracy,     as in `initguide.training.Run`; empty if the run diverged
test_accuracy
diverged_at                     the mini-batch whose loss was not finite; empty if there was none
seconds                         wall-clock time of the run
train_losses                    the loss of each mini-batch: a blob of little-endian float32
error                           why the run failed; empty if it did not
finished                        when it ended, UTC
==============================  ==================================================================

The table ``about`` has what the runs have in common, a line a setting, as JSON. The table
``claims`` says which runs are in progress, and in which process.

For instance, with the program sqlite3:

.. code-block:: sql

   SELECT scheme, learning_rate, count(*), avg(valid_accuracy) FROM runs GROUP BY 1, 2;

How safe it is: each run is one transaction, with a rollback journal and SQLite's most careful way
to wait for the disk (``synchronous=EXTRA``). Whatever happens to the process or the machine, a run
is there whole or not at all. A rollback journal and not a write-ahead log, because then everything
that is stored stands in the one file: it can be copied, and lie on a network drive.
"""

import contextlib
import errno
import json
import os
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Store", "StoreError", "is_store", "read"]

Row = dict[str, Any]

SETTINGS = (
    "scheme",
    "scale",
    "model",
    "epochs",
    "batch_size",
    "learning_rate",
    "optimizer",
    "device",
)
COLUMNS = (
    "key",
    "label",
    "seed",
    *SETTINGS,
    "settings",
    "valid_loss",
    "valid_accuracy",
    "test_accuracy",
    "diverged_at",
    "seconds",
    "train_losses",
    "error",
    "finished",
)
MAGIC = b"SQLite format 3\x00"
APPLICATION = 0x1A17_601D  # "initguide": marks the file as ours, where SQLite keeps such marks
VERSION = 1
PATIENCE = 60.0  # seconds to wait for another process that is writing
STALE = 60.0  # seconds after which a process that gave no sign of life is taken for dead

_SCHEMA = f"""
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    key TEXT PRIMARY KEY, label TEXT NOT NULL, seed INTEGER NOT NULL,
    scheme TEXT, scale REAL, model TEXT, epochs INTEGER, batch_size INTEGER, learning_rate REAL,
    optimizer TEXT, device TEXT, settings TEXT NOT NULL,
    valid_loss REAL, valid_accuracy REAL, test_accuracy REAL, diverged_at INTEGER, seconds REAL,
    train_losses BLOB, error TEXT, finished TEXT NOT NULL
);
CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, seen REAL NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""

# A connection is opened for each transaction and closed after it, one at a time in a process: so
# none is ever inherited by a forked worker, and closing a file never drops a lock that is in use.
_ONE_AT_A_TIME = threading.RLock()


class StoreError(ValueError):
    """A file that is no store, is damaged, or holds runs of other settings."""


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an SQLite file: a store, unless `read` says otherwise."""
    return _start(Path(path)).startswith(MAGIC)


def _start(path: Path) -> bytes:
    with _ONE_AT_A_TIME, path.open("rb") as file:
        return file.read(100)


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
        If the file is no store, or is damaged.
    FileNotFoundError
        If it does not exist.
    """
    target = Path(path)
    if not _check_is_ours(target):
        raise StoreError(f"{target} is empty; it holds no runs")
    with _transaction(target, write=False) as connection:
        _check_whole(target, connection)
        names = ", ".join(COLUMNS)
        rows = connection.execute(f"SELECT {names} FROM runs ORDER BY rowid").fetchall()  # noqa: S608  constants
        return _about(connection), [dict(zip(COLUMNS, row, strict=True)) for row in rows]


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

    Raises
    ------
    StoreError
        If the file is no store, is damaged, or was made with other settings. It is left as it is.
    OSError
        If it cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        about: Mapping[str, Any],
        merge: Mapping[str, Callable[[Any, Any], Any]] | None = None,
    ) -> None:
        self.path = Path(path)
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        if self.path.is_dir():
            raise StoreError(f"store is {self.path}, a folder; give the name of a file")
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"store is {self.path}, but there is no folder {self.path.parent}; make it first"
            )
        if self.path.exists():
            _check_is_ours(self.path)
        with self._write() as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
            else:
                _check_whole(self.path, connection)
            new = self._agree(_about(connection), about, merge or {})
            # Written even if nothing is new: what cannot be written is to be known at once.
            connection.executemany(
                "INSERT OR REPLACE INTO about VALUES (?, ?)",
                [(name, json.dumps(value, ensure_ascii=False)) for name, value in new.items()],
            )

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
        with self._read() as connection:
            return self._find(connection, keys, COLUMNS)

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
        with self._write() as connection:
            claims = {
                key: (owner, seen)
                for key, owner, seen in connection.execute("SELECT key, owner, seen FROM claims")
            }
            done = self._find(connection, wanted, ("key", "error"))
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
        marks = ", ".join(f":{name}" for name in COLUMNS)
        updates = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
        with self._write() as connection:
            connection.executemany(
                f"INSERT INTO runs ({', '.join(COLUMNS)}) VALUES ({marks}) "  # noqa: S608  constants
                f"ON CONFLICT (key) DO UPDATE SET {updates} WHERE runs.error IS NOT NULL",
                rows,
            )
            connection.executemany(
                "DELETE FROM claims WHERE key = ?", [(row["key"],) for row in rows]
            )
            self._beat(connection)

    def keep(self) -> None:
        """Give a sign of life, so that nobody else does what this process is doing."""
        with self._write() as connection:
            self._beat(connection)

    def release(self) -> None:
        """Leave what this process has claimed and not done to others."""
        with self._write() as connection:
            connection.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))

    def _beat(self, connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE claims SET seen = ? WHERE owner = ?", (time.time(), self.owner))

    @staticmethod
    def _find(
        connection: sqlite3.Connection, keys: Collection[str], names: tuple[str, ...]
    ) -> dict[str, Row]:
        found: dict[str, Row] = {}
        wanted = list(keys)
        for start in range(0, len(wanted), 500):  # SQLite takes 999 values or more in a statement
            part = wanted[start : start + 500]
            marks = ", ".join("?" * len(part))
            query = f"SELECT {', '.join(names)} FROM runs WHERE key IN ({marks})"  # noqa: S608  constants
            for row in connection.execute(query, part):
                found[row[0]] = dict(zip(names, row, strict=True))
        return found

    @contextlib.contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with _transaction(self.path, write=False) as connection:
            yield connection

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with _transaction(self.path, write=True) as connection:
            yield connection


@contextlib.contextmanager
def _transaction(path: Path, *, write: bool) -> Iterator[sqlite3.Connection]:
    """Open the file, do everything in one transaction, and tell what goes wrong in sentences."""
    with _ONE_AT_A_TIME, _in_words(path):
        # "rw" to read, too: what a killed process left half-written is first undone.
        mode = "rwc" if write else "rw" if os.access(path, os.W_OK) else "ro"
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", PATIENCE, isolation_level=None, uri=True
        )
        try:
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.close()


@contextlib.contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise StoreError(f"{path} is damaged: {error}; it is left as it is") from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        intact = "what was stored before is intact"
        if name.startswith("SQLITE_FULL"):
            message = f"{path}: the disk is full; {intact}, so make room and call again"
            raise OSError(errno.ENOSPC, message) from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            message = f"{path} and its folder must be writable, and are not ({error}); {intact}"
            raise PermissionError(errno.EACCES, message) from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            message = f"{path}: another process has kept it locked for {PATIENCE:g} s; {intact}"
            raise TimeoutError(errno.ETIMEDOUT, message) from error
        if name.startswith("SQLITE_IOERR"):
            message = f"{path} cannot be read or written ({error}; is the disk full?); {intact}"
            raise OSError(errno.EIO, message) from error
        raise StoreError(f"{path} is damaged: {error}; it is left as it is") from error


def _check_is_ours(path: Path) -> bool:
    """Refuse a file that is no store, without opening it as one; whether anything is in it."""
    start = _start(path)
    if not start:
        return False
    if not start.startswith(MAGIC):
        raise StoreError(
            f"{path} is no SQLite file, or a damaged one; it is left as it is. Give a store the "
            "name of a new file"
        )
    if int.from_bytes(start[68:72]) != APPLICATION:
        raise StoreError(
            f"{path} is an SQLite file of another program; it is left as it is. Give a store the "
            "name of a new file"
        )
    version = int.from_bytes(start[60:64])
    if version != VERSION:
        raise StoreError(
            f"{path} has version {version} of the file format; this initguide reads version "
            f"{VERSION}: install the version that wrote it"
        )
    return True


def _check_whole(path: Path, connection: sqlite3.Connection) -> None:
    (problem,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if problem != "ok":
        raise StoreError(f"{path} is damaged: {problem}; it is left as it is")


def _about(connection: sqlite3.Connection) -> dict[str, Any]:
    return {
        name: json.loads(value)
        for name, value in connection.execute("SELECT name, value FROM about ORDER BY name")
    }


def _shown(about: Mapping[str, Any], name: str) -> str:
    return json.dumps(about[name], ensure_ascii=False) if name in about else "not there"


def _is_alive(owner: str, seen: float) -> bool:
    """Whether the process that claimed something is at it still, as far as can be told."""
    host, process, _ = owner.rsplit(":", 2)
    if host == socket.gethostname() and os.name == "posix":
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
    return abs(time.time() - seen) < STALE
