"""Damage of a store: found by checksums, named, kept aside, and never another number."""

import errno
import os
import sqlite3
import threading

import numpy as np
import pytest
from store_rows import ABOUT, keys_in, refused, row_of

from initguide.experiments import Store, StoreError, StoreWarning
from initguide.experiments.store import read

COUNT = 12


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Bytes of a store with runs of all kinds, and its rows by their keys."""
    path = tmp_path_factory.mktemp("stored") / "runs.sqlite"
    rows = [
        row_of(
            f"{i:02}" * 32,
            label=f"scheme {i}",
            seed=i,
            scale=1,  # a whole number in a column of floats
            valid_loss=None if i == 3 else 0.1 * i,
            valid_accuracy=None if i == 3 else 1 / (i + 3),
            diverged_at=7 if i == 3 else None,
            error="no good" if i == 5 else None,
            train_losses=np.random.default_rng(i).random(300 * (1 + i), np.float32).tobytes(),
        )
        for i in range(COUNT)
    ]
    Store(path, ABOUT).add(rows)
    return path.read_bytes(), {row["key"]: row for row in rows}


def _flip(content, rng):
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)


def _overwrite(content, rng):
    at = rng.integers(len(content))
    content[at : at + 50] = rng.bytes(len(content[at : at + 50]))


def _swap(content, rng):
    size = 4096
    chosen = rng.choice(np.arange(1, len(content) // size), 2, replace=False)
    one, two = (slice(i * size, (i + 1) * size) for i in chosen)
    content[one], content[two] = content[two], content[one]


def _cut(content, rng):
    del content[rng.integers(len(content)) :]


@pytest.mark.filterwarnings("ignore::initguide.experiments.StoreWarning")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            _flip,
            marks=pytest.mark.fault(
                "store",
                tried="a random bit of a store is flipped, 250 times",
                happens="never another number: as it was, or done again, or the store refused",
            ),
            id="_flip",
        ),
        pytest.param(
            _overwrite,
            marks=pytest.mark.fault(
                "store",
                tried="50 bytes at a random place of a store are overwritten, 250 times",
                happens="never another number: as it was, or done again, or the store refused",
            ),
            id="_overwrite",
        ),
        pytest.param(
            _swap,
            marks=pytest.mark.fault(
                "store",
                tried="two random pages of a store are swapped, 250 times",
                happens="never another number: as it was, or done again, or the store refused",
            ),
            id="_swap",
        ),
        pytest.param(
            _cut,
            marks=pytest.mark.fault(
                "store",
                tried="a store is cut off at a random place, 250 times",
                happens="never another number: as it was, or done again, or the store refused",
            ),
            id="_cut",
        ),
    ],
)
def test_damage_never_gives_another_number(stored, tmp_path, damage, seed):
    """1,000 times: a run is there as it was, or not at all; the rest is done and stored again."""
    content, rows = stored
    rng = np.random.default_rng(seed)
    path = tmp_path / "runs.sqlite"
    refused = 0
    for _ in range(50):
        damaged = bytearray(content)
        damage(damaged, rng)
        path.write_bytes(damaged)
        try:
            for row in read(path)[1]:
                assert row == rows[row["key"]]
            assert path.read_bytes() == damaged
            store = Store(path, ABOUT)
        except (StoreError, OSError) as error:
            told = str(error)
            refused += 1
        else:
            told = ""
        if told:
            assert str(path) in told
            assert path.read_bytes() == damaged
            continue
        found = store.find(rows)
        assert all(row == rows[key] for key, row in found.items())
        store.add(row for key, row in rows.items() if key not in found)
        assert Store(path, ABOUT).find(rows) == rows
        for file in tmp_path.glob("*.damaged-*"):
            assert file.read_bytes() == damaged
            file.unlink()
    assert refused < 15  # only what hits the header or the settings, on the first of 34 pages


def _spoil(path, key):
    connection = sqlite3.connect(path)
    connection.execute("UPDATE runs SET valid_accuracy = 0.75 WHERE key = ?", (key,))
    connection.commit()
    connection.close()


@pytest.mark.fault(
    "store",
    tried="a number in a row is changed by another program",
    happens="the run is named, its row is kept aside, and it is done again",
)
def test_a_damaged_run_is_named_and_kept_aside(path):
    """Another number without its checksum: left out, named, kept, and free to be done again."""
    _spoil(path, "b")
    before = path.read_bytes()
    words = r"runs\.sqlite has damaged runs: 'run b' with seed 1\. "
    with pytest.warns(StoreWarning, match=words + "They are left out; the call that made them"):
        assert keys_in(path) == ["a"]
    assert path.read_bytes() == before
    with pytest.warns(StoreWarning, match=words + "They are kept in its table 'damaged'"):
        store = Store(path, ABOUT)
    assert store.claim(["a", "b"]) == ["b"]
    store.add([row_of("b", seed=1)])
    assert read(path)[1] == [row_of("a"), row_of("b", seed=1)]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT key, valid_accuracy FROM damaged").fetchall() == [("b", 0.75)]
    connection.close()


@pytest.mark.fault(
    "store",
    tried="a row is damaged while the store is in use",
    happens="it is as good as none, and the run is done again",
)
def test_damage_after_opening(path):
    """A row that is damaged while the store is in use is as good as none."""
    store = Store(path, ABOUT)
    _spoil(path, "b")
    assert set(store.find(["a", "b"])) == {"a"}
    assert store.claim(["a", "b"]) == ["b"]
    store.add([row_of("b", seed=1)])
    assert store.find(["b"]) == {"b": row_of("b", seed=1)}


@pytest.mark.fault(
    "store",
    tried="what all runs have in common is changed by another program",
    happens="the store is refused, and left as it is",
)
def test_damaged_settings(path):
    """Without its settings nothing is known of the runs: refused, and left as it is."""
    connection = sqlite3.connect(path)
    connection.execute("UPDATE about SET value = '3' WHERE name = 'epochs'")
    connection.commit()
    connection.close()
    refused(path, "is damaged: the settings in its table 'about' are not what was written")
    with pytest.raises(StoreError, match="is damaged: the settings"):
        read(path)


@pytest.mark.fault(
    "store",
    tried="a page of the index is wiped out",
    happens="the intact runs move to a new file, and the old one stays beside it",
)
def test_a_file_out_of_order_is_replaced(path):
    """What is intact moves to a new file, with the old one's rights; the old one stays."""
    connection = sqlite3.connect(path)
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_runs_1'"
    ).fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = bytes(4096)
    path.write_bytes(content)
    path.chmod(0o600)
    user = Store.__new__(Store)  # one that has opened it before
    user.path, user.owner = path, "here:1:x"
    with pytest.warns(StoreWarning, match=r"2 runs were intact, and stand in a new file of its"):
        Store(path, ABOUT)
    assert path.with_name("runs.sqlite.damaged-1").read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o600
    user.add([row_of("c")])
    assert keys_in(path) == ["a", "b", "c"]
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.fault(
    "store",
    tried="a damaged store is opened with other settings",
    happens="it is refused, and not repaired first",
)
def test_a_damaged_store_of_other_settings_is_left_alone(path):
    """What is refused is not repaired first."""
    _spoil(path, "b")
    refused(path, "holds runs made with other settings", {"kind": "test", "epochs": 3})


@pytest.mark.fault(
    "store",
    tried="it cannot be read who had claimed a run",
    happens="the run is free",
)
def test_a_damaged_claim(path):
    """Who claimed something cannot be told: the run is free."""
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO claims VALUES ('c', 'no owner', 1e300)")
    connection.commit()
    connection.close()
    assert Store(path, ABOUT).claim(["c"]) == ["c"]


def _killed_while_it_grew(path, where):
    """Copy a store, with its journal, as a process leaves it that is killed while it commits.

    SQLite writes the first page, with the new length, before the pages that make the file longer.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA cache_size = 5")  # so that pages and journal are written at once
    connection.execute("BEGIN IMMEDIATE")
    for i in range(40):
        connection.execute(
            "INSERT INTO runs (key, label, seed, settings, train_losses, finished) "
            "VALUES (?, 'x', 0, '{}', ?, 'now')",
            (f"x{i}", bytes(9000)),
        )
    copy = where / "killed.sqlite"
    copy.write_bytes(path.read_bytes())
    copy.with_name("killed.sqlite-journal").write_bytes(
        path.with_name("runs.sqlite-journal").read_bytes()
    )
    connection.execute("ROLLBACK")
    connection.close()
    content = bytearray(copy.read_bytes())
    content[28:32] = (len(content) // 4096 + 50).to_bytes(4)
    copy.write_bytes(content)
    return copy


@pytest.mark.parametrize("first", ["read", "write"])
@pytest.mark.fault(
    "store",
    tried="a process is killed while it makes the file longer, which is then too short",
    happens="its journal makes the file whole, and nothing is replaced",
)
def test_a_killed_process_is_undone_and_no_damage(path, tmp_path, first):
    """A file that is too short beside a journal is made whole by it; nothing is replaced."""
    copy = _killed_while_it_grew(path, tmp_path)
    rows = [row_of("a"), row_of("b", seed=1)]
    if first == "read":
        assert read(copy)[1] == rows
    store = Store(copy, ABOUT)
    assert list(store.find(["a", "b"]).values()) == rows
    store.add([row_of("c")])
    assert keys_in(copy) == ["a", "b", "c"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["killed.sqlite", "runs.sqlite"]


@pytest.mark.fault(
    "store",
    tried="a store is opened while another process has half-written a run",
    happens="the writer is waited for, and its run is there",
)
def test_a_writer_is_no_damage(path):
    """While another process is writing, the file is not judged: the writer's run is there after."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA cache_size = 5")
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE claims SET seen = 0")
    done = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    done.start()
    Store(path, ABOUT).add([row_of("c")])
    done.join()
    other.close()
    assert keys_in(path) == ["a", "b", "c"]


@pytest.mark.fault(
    "store",
    tried="two processes keep a damaged file at once, also where files have no second names",
    happens="neither overwrites the other's",
)
def test_a_kept_file_is_never_overwritten(path, monkeypatch):
    """Another process may keep its damaged file under the same name in the same moment."""
    content = path.read_bytes()[:-5000]
    path.write_bytes(content)
    taken = path.with_name("runs.sqlite.damaged-1")
    taken.write_text("another's")
    for refuse in (False, True):  # with and without second names for files
        if refuse:
            monkeypatch.setattr(os, "link", raising)
            path.write_bytes(content)
        with pytest.warns(StoreWarning, match="were intact"):
            Store(path, ABOUT)
    assert taken.read_text() == "another's"
    assert [path.with_name(f"runs.sqlite.damaged-{i}").read_bytes() for i in (2, 3)] == [
        content
    ] * 2


def raising(*_arguments):
    """What a file system without second names says."""
    raise PermissionError(errno.EPERM, "Operation not permitted")
