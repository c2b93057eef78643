"""Rows and stores that tests of the store share."""

import pytest

from initguide.experiments import Store, StoreError
from initguide.experiments.store import COLUMNS, read

ABOUT = {"kind": "test", "epochs": 2, "model": "Net"}


def row_of(key, **changes):
    """Row of a run that is made up."""
    row = dict.fromkeys(COLUMNS) | {
        "key": key,
        "label": f"run {key}",
        "seed": 0,
        "settings": "{}",
        "valid_accuracy": 0.5,
        "train_losses": b"\0\0\x80?",
        "finished": "2026-01-01T00:00:00+00:00",
    }
    return row | changes


def keys_in(path):
    """Keys of the runs in a store."""
    return [row["key"] for row in read(path)[1]]


def refused(path, match, about=ABOUT, error=StoreError, **more):
    """Open a store that must be refused and stay as it is; return the message."""
    before = path.read_bytes()
    with pytest.raises(error, match=match) as caught:
        Store(path, about, **more)
    assert path.read_bytes() == before
    return str(caught.value)
