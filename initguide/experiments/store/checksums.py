"""Checksums of what a store holds, and the two ways in which damage shows.

SQLite checks the structure of its file, not the numbers in it: a flipped bit in a number is another
number. So each row carries a checksum over all its columns, and the settings carry one together.
"""

import hashlib
import json
import sqlite3
import struct
from typing import Any

from initguide.experiments.store.schema import COLUMNS, READABLE

Row = dict[str, Any]

SETTINGS_CHECKSUM = "checksum"
"""The line of the table ``about`` that holds the checksum of all others."""


def checksum(*values: object) -> str:
    """SHA-256 of values as SQLite gives them: of their types, lengths and bits.

    Parameters
    ----------
    *values
        Whole numbers, floats, texts, bytes and ``None``.
    """
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, float):
            kind, content = b"f", struct.pack("<d", value)
        elif isinstance(value, str):
            kind, content = b"s", value.encode("utf-8", "surrogateescape")
        elif isinstance(value, bytes):
            kind, content = b"b", value
        else:
            kind, content = b"i", str(value).encode()  # a whole number, or None
        # With the length, so that no content can pass for the end of one value and the next.
        digest.update(kind + struct.pack("<q", len(content)) + content)
    return digest.hexdigest()


def about_lines(about: dict[str, Any]) -> list[tuple[str, str]]:
    """Lines of the table ``about``, the checksum last."""
    lines = [(name, json.dumps(value, ensure_ascii=False)) for name, value in about.items()]
    return [
        *lines,
        (SETTINGS_CHECKSUM, checksum(*(text for line in sorted(lines) for text in line))),
    ]


def about_of(connection: sqlite3.Connection) -> dict[str, Any]:
    """Settings in the table ``about``; none if it is empty.

    Raises
    ------
    sqlite3.DatabaseError
        If they are not what was written. Without them, nothing is known of the runs.
    """
    lines = dict(connection.execute("SELECT name, value FROM about ORDER BY name"))
    if not lines:
        return {}
    found = lines.pop(SETTINGS_CHECKSUM, None)
    if found != checksum(*(text for line in sorted(lines.items()) for text in line)):
        raise sqlite3.DatabaseError("the settings in its table 'about' are not what was written")
    return {name: json.loads(value) for name, value in lines.items()}


def rows_of(
    connection: sqlite3.Connection, *, whole: bool = True
) -> tuple[dict[int, Row], dict[int, str]]:
    """All runs, by the number of their row: those that are as they were written, and the others.

    Parameters
    ----------
    whole
        Whether SQLite finds the file in order. Where it does not, the rows are read from both
        ends, as far as they can be.

    Returns
    -------
    intact
        Number of a row -> its columns.
    damaged
        Number of a row -> what the run seems to be called.
    """
    intact: dict[int, Row] = {}
    damaged: dict[int, str] = {}
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    columns = READABLE[version]
    names = ", ".join(columns)
    for order in ("ASC",) if whole else ("ASC", "DESC"):
        query = f"SELECT rowid, checksum, {names} FROM runs ORDER BY rowid {order}"  # noqa: S608  constants
        try:
            for number, found, *values in connection.execute(query):
                row = dict.fromkeys(COLUMNS) | dict(zip(columns, values, strict=True))
                if found == checksum(*values):
                    intact[number] = row
                else:
                    damaged[number] = name_of(row)
        except sqlite3.DatabaseError:
            if whole:
                raise
    return dict(sorted(intact.items())), dict(sorted(damaged.items()))


def name_of(row: Row) -> str:
    """What to call a run in a message, also if the row is damaged."""
    return f"{row['label']!r} with seed {row['seed']!r}"


def structural_damage(connection: sqlite3.Connection) -> str | None:
    """What SQLite finds wrong with the file, in its words; ``None`` if it is in order."""
    try:
        (problem,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if not getattr(error, "sqlite_errorname", "").startswith(
            ("SQLITE_CORRUPT", "SQLITE_NOTADB")
        ):
            raise
        return str(error)
    return None if problem == "ok" else str(problem)
