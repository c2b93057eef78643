"""One transaction on the file of a store, with all that can go wrong told in sentences."""

import contextlib
import errno
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from initguide.experiments.store.schema import APPLICATION, MAGIC, READABLE, VERSION
from initguide.writing import no_file

PATIENCE = 60.0  # seconds to wait for another process that is writing
TURN = 0.5  # seconds of that within SQLite

# A connection is opened for each transaction and closed after it, one at a time in a process: so
# none is ever inherited by a forked worker, and closing a file never drops a lock that is in use.
_ONE_AT_A_TIME = threading.RLock()


class StoreError(ValueError):
    """A file that is no store, is damaged, or holds runs of other settings."""


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an SQLite file: a store, unless `read` says otherwise.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    StoreError
        If it is something else than a file, such as a folder, a pipe or a device.
    FileNotFoundError
        If nothing is there.
    """
    return _start(Path(path)).startswith(MAGIC)


def _start(path: Path) -> bytes:
    # Before it is opened, which waits for ever if it is a pipe that nobody writes to.
    if (kind := no_file(path)) is not None:
        raise StoreError(f"{path} is {kind}; give the name of a file")
    with _ONE_AT_A_TIME, path.open("rb") as file:
        return file.read(100)


@contextlib.contextmanager
def transaction(
    path: Path, *, write: bool, damaged_too: bool = False, patience: float | None = None
) -> Iterator[sqlite3.Connection]:
    """Open the file, do everything in one transaction, and tell what goes wrong in sentences.

    Parameters
    ----------
    damaged_too
        Whether to open a file that is shorter than its header says, too, to save what is left.
    patience
        Seconds to wait for another process; `PATIENCE` if ``None``.
    """
    patience = PATIENCE if patience is None else patience
    with _ONE_AT_A_TIME, _in_words(path, patience):
        # "rw" to read, too: what a killed process left half-written is first undone.
        mode = "rwc" if write else "rw" if os.access(path, os.W_OK) else "ro"
        connection = _begun(path, mode, patience, write=write, damaged_too=damaged_too)
        try:
            yield connection
            if write and connection.in_transaction:
                _patiently(connection, "COMMIT", patience)
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.close()  # ends what was only read


def _begun(
    path: Path, mode: str, patience: float, *, write: bool, damaged_too: bool
) -> sqlite3.Connection:
    """Open the file and begin a transaction, in the file that stands there once it has begun."""
    while True:
        before = _identity(path)
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", isolation_level=None, uri=True
        )
        # What is damaged is to be found by its checksum, not by an error in decoding it.
        connection.text_factory = lambda content: content.decode("utf-8", "surrogateescape")
        try:
            if damaged_too:
                # SQLite then does not refuse a short file. Whether one is short can be told in a
                # transaction only: before, another process may be about to make it longer, or a
                # killed one may have left a journal that makes it whole again.
                connection.execute("PRAGMA writable_schema = ON")
            _patiently(connection, "PRAGMA synchronous = EXTRA", patience)
            if write:
                _patiently(connection, "BEGIN IMMEDIATE", patience)
            else:
                connection.execute("BEGIN")
                _patiently(connection, "PRAGMA schema_version", patience)  # the lock to read
        except BaseException:
            connection.close()
            raise
        if before is None or _identity(path) == before:
            return connection
        connection.close()  # it was repaired meanwhile: what would be written here would be lost


def _patiently(connection: sqlite3.Connection, statement: str, patience: float) -> None:
    """Execute a statement that may have to wait for another process."""
    # SQLite would wait just as well, but deaf to signals: Ctrl-C would have to wait, too.
    end = time.monotonic() + patience
    connection.execute(f"PRAGMA busy_timeout = {int(1000 * min(patience, TURN))}")
    while True:
        try:
            connection.execute(statement).fetchall()
            break
        except sqlite3.OperationalError as error:
            name = getattr(error, "sqlite_errorname", "")
            if not name.startswith("SQLITE_BUSY") or time.monotonic() >= end:
                raise
    connection.execute(f"PRAGMA busy_timeout = {int(1000 * patience)}")


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at a path."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def _in_words(path: Path, patience: float) -> Iterator[None]:
    try:
        yield
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise StoreError(f"{path} is damaged: {error}; it is left as it is") from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        intact = "what was stored before is intact"
        if name.startswith("SQLITE_FULL"):
            message = f"{path}: the disk is full; {intact}"
            raise OSError(errno.ENOSPC, message) from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            message = f"{path} and its folder must be writable, and are not ({error}); {intact}"
            raise PermissionError(errno.EACCES, message) from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            message = f"{path}: another process has kept it locked for {patience:g} s; {intact}"
            raise TimeoutError(errno.ETIMEDOUT, message) from error
        if name.startswith("SQLITE_IOERR"):
            message = f"{path} cannot be read or written ({error}; is the disk full?); {intact}"
            raise OSError(errno.EIO, message) from error
        raise StoreError(f"{path} is damaged: {error}; it is left as it is") from error


def check_is_ours(path: Path, *, write: bool = False) -> bool:
    """Refuse a file that is no store, without opening it as one; whether anything is in it.

    Parameters
    ----------
    write
        Whether runs are to be added, which a file of an earlier version does not take.
    """
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
    if version not in READABLE:
        raise StoreError(
            f"{path} has version {version} of the file format; this initguide reads versions "
            f"{' and '.join(map(str, READABLE))}: install the version that wrote it"
        )
    if write and version != VERSION:
        raise StoreError(
            f"{path} was made by an earlier version of initguide (file format {version}), which "
            "told runs apart in another way; it is left as it is. It can still be loaded; to add "
            "runs, give a store the name of a new file"
        )
    return True
