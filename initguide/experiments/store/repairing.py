"""A damaged store goes on: what is intact stays, and what is not is kept aside and named."""

import contextlib
import itertools
import os
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from initguide.experiments.store.checksums import (
    about_lines,
    about_of,
    checksum,
    rows_of,
    structural_damage,
)
from initguide.experiments.store.schema import COLUMNS, SCHEMA

SHOWN = 5  # damaged runs that a warning names one by one


class StoreWarning(UserWarning):
    """A store is damaged, or cannot be written: what it was, and what is done about it."""


def write_rows(connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows with their checksums, in place of those of the same keys."""
    rows = list(rows)
    marks = ", ".join(f":{name}" for name in COLUMNS)
    names = ", ".join(COLUMNS)
    connection.create_function("checksum_of", -1, checksum, deterministic=True)
    connection.executemany(
        f"INSERT OR REPLACE INTO runs ({names}) VALUES ({marks})",  # noqa: S608  constants
        rows,
    )
    # Of the values as SQLite took them: it makes a float of a whole number in a column of floats.
    connection.executemany(
        f"UPDATE runs SET checksum = checksum_of({names}) WHERE key = ?",  # noqa: S608  constants
        [(row["key"],) for row in rows],
    )


def write_about(connection: sqlite3.Connection, about: dict[str, Any]) -> None:
    """Write what all runs have in common."""
    connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about_lines(about))


def create_tables(connection: sqlite3.Connection) -> None:
    """Make an empty file a store."""
    for statement in filter(str.strip, SCHEMA.split(";")):
        connection.execute(statement)


def set_aside(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Move rows, by their numbers, to the table ``damaged``, as they are."""
    names = ", ".join((*COLUMNS, "checksum"))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for number in numbers:
        connection.execute(
            f"INSERT INTO damaged SELECT ?, {names} FROM runs WHERE rowid = ?",  # noqa: S608  constants
            (now, number),
        )
        connection.execute("DELETE FROM runs WHERE rowid = ?", (number,))


def repair(path: Path, connection: sqlite3.Connection) -> bool:
    """Put a store right, in a transaction of ours; whether another file now stands at its path.

    Rows that are not what was written go to the table ``damaged``. Where the file is out of order,
    all that is intact is copied to a new one, and the old one stays beside it.
    """
    problem = structural_damage(connection)
    if problem is not None:
        replace_by_what_is_intact(path, connection, problem)
        connection.execute("ROLLBACK")  # of the old file, which stays as it was
        return True
    _, damaged = rows_of(connection)
    set_aside(connection, damaged)
    warn_of(path, list(damaged.values()), "They are kept in its table 'damaged'")
    return False


def replace_by_what_is_intact(path: Path, connection: sqlite3.Connection, problem: str) -> None:
    """Put what can be read of a store into a new file of its name; keep the old one beside it."""
    intact, _ = rows_of(connection, whole=False)
    kept = _replace(path, about_of(connection), intact.values())
    warnings.warn(
        f"{path} was damaged ({problem}): {len(intact)} runs were intact, and stand in a new file "
        f"of its name; the old one is {kept}. What is missing is done again",
        StoreWarning,
        stacklevel=2,
    )


def warn_of(path: Path, damaged: list[str], what_is_done: str) -> None:
    """Name the damaged rows of a store."""
    if not damaged:
        return
    more = f" and {len(damaged) - SHOWN} more" if len(damaged) > SHOWN else ""
    warnings.warn(
        f"{path} has damaged runs: {', '.join(damaged[:SHOWN])}{more}. {what_is_done}; the call "
        "that made them does them again",
        StoreWarning,
        stacklevel=2,
    )


def _replace(path: Path, about: dict[str, Any], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Put a new store in the place of a damaged one, which stays beside it; return where."""
    path = path.resolve()  # a link stays, and leads to the new file
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    new = Path(name)
    try:
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("BEGIN IMMEDIATE")
            create_tables(connection)
            write_about(connection, about)
            write_rows(connection, rows)
            connection.execute("COMMIT")
        shutil.copymode(path, new)
        kept = named_anew(path, f"{path.name}.damaged")
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return kept


def named_anew(path: Path, stem: str) -> Path:
    """Give a file a second name, which no other file has, and return it.

    So its path is never without a file, which another process would take for a store to be begun.

    Parameters
    ----------
    stem
        What the name begins with; a number follows.
    """
    for number in itertools.count(1):
        name = path.with_name(f"{stem}-{number}")
        try:
            os.link(path, name)
        except FileExistsError:
            continue
        except OSError:  # a file system without second names
            if name.exists():
                continue
            shutil.copy2(path, name)
        break
    return name
