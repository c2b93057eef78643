"""Runs that a store could not take, in files beside it that the next call takes up.

Such a file is a store, too, with a checksum for each row. It is named after the store that the runs
are for: ``runs.sqlite.unsaved-1``. Where nothing can be written beside the store, it goes into the
home folder, or the temporary one, under a name that says where the store lies.
"""

import contextlib
import hashlib
import os
import re
import stat
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from initguide.experiments.store.repairing import (
    StoreWarning,
    create_tables,
    named_anew,
    warn_of,
    write_about,
    write_rows,
)
from initguide.experiments.store.runs import Store, examine
from initguide.experiments.store.transactions import StoreError, transaction


class _Place(NamedTuple):
    """A folder in which unsaved runs may lie, and what the names of their files begin with."""

    folder: Path
    stem: str
    is_ours: bool  # whether the store lies there, so that whoever may write there may write it


def write_unsaved(store: Store, rows: Sequence[Mapping[str, Any]], reason: object) -> Path | None:
    """Write finished runs into a file beside their store, which could not take them.

    Parameters
    ----------
    store
        The store.
    rows
        As for `Store.add`.
    reason
        Why it could not.

    Returns
    -------
    Path or None
        The file; ``None`` if there is no folder that it could be written to.

    Warns
    -----
    StoreWarning
        In any case: that says where they are.
    """
    count = f"{len(rows)} finished run{'s' * (len(rows) > 1)}"
    refused = []
    for place in _places(store.path):
        try:
            path = _write(place, store, rows)
        except (OSError, StoreError) as error:
            refused.append(f"{place.folder}: {reason_of(error)}")
            continue
        elsewhere = f" (not beside it: {'; '.join(refused)})" if refused else ""
        warnings.warn(
            f"{reason_of(reason)}. So {count} could not be stored, and went into {path}"
            f"{elsewhere}; the next call with this store takes them up and removes that file",
            StoreWarning,
            stacklevel=2,
        )
        return path
    warnings.warn(
        f"{reason_of(reason)}. {count} could not be stored, nor written anywhere else "
        f"({'; '.join(refused)}), and are lost",
        StoreWarning,
        stacklevel=2,
    )
    return None


def take_up(store: Store, merge: Mapping[str, Callable[[Any, Any], Any]]) -> None:
    """Store the runs that earlier calls could not, and remove their files once they are there.

    Several processes may do this at once: a run that is there is not added again.

    Parameters
    ----------
    store
        Where to.
    merge
        As for `Store`.

    Raises
    ------
    OSError
        If they cannot be stored now either. Their files stay.

    Warns
    -----
    StoreWarning
        If a run in such a file is damaged, or the file, or its runs are of other settings. Such a
        file is kept.
    """
    for path in _files(store.path):
        try:
            about, rows, damaged = examine(path)
            Store(store.path, about, merge).add(rows)
        except (OSError, StoreError) as error:
            if not path.exists():  # another process has just taken it up
                continue
            if isinstance(error, OSError):
                raise
            warnings.warn(
                f"{path} was to be taken up into {store.path}, and stays where it is: {error}",
                StoreWarning,
                stacklevel=2,
            )
            continue
        with contextlib.suppress(OSError):  # if it stays, it is taken up once more
            if damaged:
                kept = named_anew(path, f"{path.name}.damaged")
                warn_of(path, damaged, f"The file is kept as {kept}")
            path.unlink()


def reason_of(error: object) -> str:
    """What an error says, without its number."""
    return str(getattr(error, "strerror", None) or error)


def _places(path: Path) -> Iterator[_Place]:
    """Where runs that a store could not take may be written, the best place first."""
    path = path.resolve()
    yield _Place(path.parent, path.name, is_ours=True)
    stem = f"{path.name}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
    for find in (Path.home, lambda: Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError, RuntimeError):  # there is none
            yield _Place(find(), stem, is_ours=False)


def _files(path: Path) -> list[Path]:
    """Files with runs that a store could not take."""
    found = []
    for place in _places(path):
        pattern = re.compile(rf"{re.escape(place.stem)}\.unsaved-\d+")
        with contextlib.suppress(OSError), os.scandir(place.folder) as entries:
            for entry in entries:
                if not pattern.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
                    continue
                # In the temporary folder, anybody may put a file.
                status = entry.stat(follow_symlinks=False)
                if place.is_ours or os.name != "posix" or status.st_uid == os.geteuid():
                    found.append(Path(entry.path))
    return sorted(found)


def _write(place: _Place, store: Store, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a file that appears whole or not at all, under a name that no other has."""
    mode = 0o600
    if place.is_ours and store.path.exists():  # whoever works on the store may take it up
        mode = stat.S_IMODE(store.path.stat().st_mode)
    part = place.folder / f".{uuid.uuid4().hex}.part"
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        # Not as a `Store`, which is refused in a home folder on the network, for others may write
        # it at the same time. This file has no name yet that others know.
        with transaction(part, write=True) as connection:
            create_tables(connection)
            write_about(connection, store.about)
            write_rows(connection, rows)
        return named_anew(part, f"{place.stem}.unsaved")
    finally:
        for file in (part, part.with_name(f"{part.name}-journal")):
            with contextlib.suppress(OSError):
                file.unlink()
