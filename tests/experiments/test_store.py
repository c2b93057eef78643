"""The store of finished runs: what is in it stays, and what is no store is left alone."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from initguide.experiments import Comparison, Store, StoreError, StoreWarning, Sweep, is_store
from initguide.experiments import store as store_module
from initguide.experiments.store import COLUMNS, read, transactions

ABOUT = {"kind": "test", "epochs": 2, "model": "Net"}


def _row(key, **changes):
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


@pytest.fixture
def path(tmp_path):
    """A store with two runs."""
    file = tmp_path / "runs.sqlite"
    Store(file, ABOUT).add([_row("a"), _row("b", seed=1)])
    return file


def _keys(path):
    return [row["key"] for row in read(path)[1]]


# What is stored


def test_what_is_added_is_found(path):
    """Rows come back as they were, in the order in which they were added."""
    about, rows = read(path)
    assert about == ABOUT
    assert rows == [_row("a"), _row("b", seed=1)]
    assert Store(path, ABOUT).find(["b", "c"]) == {"b": _row("b", seed=1)}
    assert [file.name for file in path.parent.iterdir()] == ["runs.sqlite"]  # nothing beside it


def test_any_sqlite_tool_reads_it(path):
    """Columns have names and types of their own; the mark of the file is there."""
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT label, seed, valid_accuracy FROM runs").fetchall() == [
        ("run a", 0, 0.5),
        ("run b", 1, 0.5),
    ]
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(runs)")]
    assert columns == [*COLUMNS, "checksum"]
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    assert mode == "delete"  # everything stands in the one file
    connection.close()


def test_columns_are_documented():
    """The module's docstring names every column."""
    table = store_module.__doc__.split("What")[0]
    assert all(name in table for name in COLUMNS)


def test_a_copy_is_a_store(path, tmp_path):
    """The file alone is everything."""
    copy = shutil.copy(path, tmp_path / "copy.sqlite")
    assert read(copy) == read(path)


def test_the_first_result_stays(path):
    """A run that is there is not replaced, but one that had failed is."""
    store = Store(path, ABOUT)
    store.add([_row("a", valid_accuracy=0.9), _row("c", error="no", valid_accuracy=None)])
    store.add([_row("c", valid_accuracy=0.7)])
    assert store.find(["a"])["a"]["valid_accuracy"] == 0.5
    assert store.find(["c"])["c"]["valid_accuracy"] == 0.7
    assert store.find(["c"])["c"]["error"] is None
    store.add([_row("c", error="again")])
    assert store.find(["c"])["c"]["error"] is None


def test_an_empty_file_becomes_a_store(tmp_path):
    """What a process leaves that was killed while it made the store."""
    path = tmp_path / "runs.sqlite"
    path.touch()
    with pytest.raises(StoreError, match="is empty; it holds no runs"):
        read(path)
    Store(path, ABOUT).add([_row("a")])
    assert _keys(path) == ["a"]


def test_many(tmp_path):
    """More keys than fit into a statement."""
    store = Store(tmp_path / "runs.sqlite", ABOUT)
    keys = [f"key {i}" for i in range(2500)]
    assert store.claim(keys) == keys
    store.add([_row(key) for key in keys])
    assert set(store.find(keys)) == set(keys)
    assert store.claim(keys) == []


# What does not belong


def _refused(path, match, about=ABOUT, error=StoreError, **more):
    before = path.read_bytes()
    with pytest.raises(error, match=match) as caught:
        Store(path, about, **more)
    assert path.read_bytes() == before
    return str(caught.value)


def test_other_settings(path):
    """A store of other settings is refused, with each difference, and left as it is."""
    message = _refused(
        path, "holds runs made with other settings", {"kind": "test", "epochs": 3, "seeds": [1]}
    )
    assert "epochs is 2 there and 3 here" in message
    assert 'model is "Net" there and not there here' in message
    assert "seeds is not there there and [1] here" in message
    assert message.endswith("Use another file, or the same settings")


def test_settings_that_may_grow(path):
    """What may differ is brought together by a function, or refused by it."""
    both = {"epochs": lambda old, new: (old or 0) + new}
    Store(path, ABOUT, both)
    assert read(path)[0]["epochs"] == 4

    def never(old, new):
        raise ValueError(f"{old} and {new} do not mix")

    _refused(path, r"other settings: 4 and 2 do not mix\.", merge={"epochs": never})


OTHERS = {
    "text": b"hello, this is text\n" * 50,
    "JSON": json.dumps({"format": "initguide comparison"}).encode(),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files(tmp_path, kind):
    """A file of another kind is refused and left as it is, byte for byte."""
    path = tmp_path / "runs.sqlite"
    path.write_bytes(OTHERS[kind])
    message = _refused(path, "is no SQLite file, or a damaged one; it is left as it is")
    assert str(path) in message
    assert not is_store(path)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_database_of_another_program(tmp_path, mode):
    """So is a database of another program, even one with a log that waits to be written back."""
    original, path = tmp_path / "original.sqlite", tmp_path / "runs.sqlite"
    connection = sqlite3.connect(original)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    for ending in ("", "-wal", "-shm"):
        if Path(f"{original}{ending}").exists():
            shutil.copy(f"{original}{ending}", f"{path}{ending}")
    connection.close()
    files = {file: file.read_bytes() for file in tmp_path.glob("runs*")}
    assert len(files) == (1 if mode == "delete" else 3)
    if path.stat().st_size:
        _refused(path, "is an SQLite file of another program; it is left as it is")
        with pytest.raises(StoreError, match="of another program"):
            read(path)
    assert {file: file.read_bytes() for file in tmp_path.glob("runs*")} == files


def test_a_newer_version(path):
    """A file of another version says which it is, which is read, and what to do."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    _refused(path, "has version 7 of the file format; this initguide reads version 2: install")


def test_places(tmp_path):
    """A folder is no file, and a folder that is missing is not made."""
    with pytest.raises(StoreError, match=r"a folder; give the name of a file"):
        Store(tmp_path, ABOUT)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*; make it first"):
        Store(tmp_path / "nothing" / "runs.sqlite", ABOUT)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "runs.sqlite")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are those of POSIX")
@pytest.mark.parametrize("kind", ["a named pipe (FIFO)", "a device", "a link to a device"])
def test_what_is_no_file(tmp_path, kind):
    """It is neither opened, which would wait for ever for a pipe, nor replaced."""
    target = tmp_path / "x"
    if kind == "a named pipe (FIFO)":
        os.mkfifo(target)
    elif kind == "a device":
        target = Path("/dev/null")
    else:
        target.symlink_to("/dev/null")
    with pytest.raises(StoreError, match=rf"store is .*, {re.escape(kind)}; give the name of a"):
        Store(target, ABOUT)
    for look in (is_store, read, Comparison.load, Sweep.load):
        with pytest.raises(StoreError, match=rf"is {re.escape(kind)}; give the name of a file"):
            look(target)


@pytest.mark.skipif(os.name != "posix", reason="links are those of POSIX")
def test_a_link_to_a_store(path, tmp_path):
    """What it leads to is written, and mended; a link into no folder is refused."""
    link = tmp_path / "link"
    link.symlink_to(path)
    Store(link, ABOUT).add([_row("c")])
    assert _keys(path) == ["a", "b", "c"]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(StoreWarning, match="stand in a new file of its name"):
        Store(link, ABOUT)
    assert link.is_symlink()
    assert path.with_name(f"{path.name}.damaged-1").exists()
    link.unlink()
    link.symlink_to(tmp_path / "nothing" / "x")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nothing; make it first"):
        Store(link, ABOUT)


# Damage

COUNT = 12


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Bytes of a store with runs of all kinds, and its rows by their keys."""
    path = tmp_path_factory.mktemp("stored") / "runs.sqlite"
    rows = [
        _row(
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
@pytest.mark.parametrize("damage", [_flip, _overwrite, _swap, _cut], ids=lambda f: f.__name__)
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


def test_a_damaged_run_is_named_and_kept_aside(path):
    """Another number without its checksum: left out, named, kept, and free to be done again."""
    _spoil(path, "b")
    before = path.read_bytes()
    words = r"runs\.sqlite has damaged runs: 'run b' with seed 1\. "
    with pytest.warns(StoreWarning, match=words + "They are left out; the call that made them"):
        assert _keys(path) == ["a"]
    assert path.read_bytes() == before
    with pytest.warns(StoreWarning, match=words + "They are kept in its table 'damaged'"):
        store = Store(path, ABOUT)
    assert store.claim(["a", "b"]) == ["b"]
    store.add([_row("b", seed=1)])
    assert read(path)[1] == [_row("a"), _row("b", seed=1)]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT key, valid_accuracy FROM damaged").fetchall() == [("b", 0.75)]
    connection.close()


def test_damage_after_opening(path):
    """A row that is damaged while the store is in use is as good as none."""
    store = Store(path, ABOUT)
    _spoil(path, "b")
    assert set(store.find(["a", "b"])) == {"a"}
    assert store.claim(["a", "b"]) == ["b"]
    store.add([_row("b", seed=1)])
    assert store.find(["b"]) == {"b": _row("b", seed=1)}


def test_damaged_settings(path):
    """Without its settings nothing is known of the runs: refused, and left as it is."""
    connection = sqlite3.connect(path)
    connection.execute("UPDATE about SET value = '3' WHERE name = 'epochs'")
    connection.commit()
    connection.close()
    _refused(path, "is damaged: the settings in its table 'about' are not what was written")
    with pytest.raises(StoreError, match="is damaged: the settings"):
        read(path)


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
    user.add([_row("c")])
    assert _keys(path) == ["a", "b", "c"]
    assert len(list(path.parent.iterdir())) == 2


def test_a_damaged_store_of_other_settings_is_left_alone(path):
    """What is refused is not repaired first."""
    _spoil(path, "b")
    _refused(path, "holds runs made with other settings", {"kind": "test", "epochs": 3})


def test_a_damaged_claim(path):
    """Who claimed something cannot be told: the run is free."""
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO claims VALUES ('c', 'no owner', 1e300)")
    connection.commit()
    connection.close()
    assert Store(path, ABOUT).claim(["c"]) == ["c"]


# Writing that fails


def test_a_full_disk(path, monkeypatch):
    """SQLite says that the disk is full: one sentence, and what was there is intact."""
    store = Store(path, ABOUT)
    before = read(path)
    real = sqlite3.connect

    def small(*arguments, **keywords):
        connection = real(*arguments, **keywords)
        connection.execute("PRAGMA max_page_count = 1")  # as many as there are
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(OSError, match=r"the disk is full; what was stored before is intact"):
        store.add([_row(f"x{i}", train_losses=bytes(8000)) for i in range(10)])
    monkeypatch.undo()
    assert read(path) == before
    store.add([_row("c")])
    assert _keys(path) == ["a", "b", "c"]


LIMITED = """
import resource, signal
from initguide.experiments import Store
from initguide.experiments.store import COLUMNS
store = Store(path, {"kind": "test", "epochs": 2, "model": "Net"})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))
row = dict.fromkeys(COLUMNS) | {"label": "x", "seed": 0, "settings": "{}", "finished": "now"}
done = 0
try:
    for i in range(100):
        store.add([row | {"key": f"x{i}", "train_losses": bytes(5000)}])
        done += 1
except OSError as error:
    told.send((done, str(error)))
"""


@pytest.mark.skipif(os.name != "posix", reason="limits are those of POSIX")
def test_a_file_that_cannot_grow(path, start):
    """The system refuses to write on: each run that was reported as stored is there."""
    process, told = start(LIMITED, path=path)
    ((count, words),) = _all(told)
    process.join(60)
    assert process.exitcode == 0
    assert "what was stored before is intact" in words
    assert 5 < count < 100
    assert _keys(path) == ["a", "b", *(f"x{i}" for i in range(count))]


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a folder nobody can write to")
def test_a_folder_that_cannot_be_written():
    """Not even by root: it is said at once."""
    with pytest.raises(PermissionError, match=r"and its folder must be writable, and are not"):
        Store("/proc/runs.sqlite", ABOUT)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_may_only_be_read(path):
    """It can be read, and is not written."""
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        assert _keys(path) == ["a", "b"]
        with pytest.raises(PermissionError, match="must be writable"):
            Store(path, ABOUT)
    finally:
        path.parent.chmod(0o700)


# Several processes


@pytest.fixture
def start(context):
    """Function that runs code in another process, which has `told` to send things by.

    It is forked from one that has imported everything: a new interpreter takes seconds to do that.
    """
    processes = []

    def begin(code, **names):
        told, end = context.Pipe(duplex=False)
        process = context.Process(target=exec, args=(code, names | {"told": end}))
        process.start()
        end.close()  # so that nothing is left to come once the process has ended
        processes.append(process)
        return process, told

    yield begin
    for process in processes:
        process.kill()
        process.join()


def _all(told):
    """What a process sends until it ends."""
    things = []
    with contextlib.suppress(EOFError):
        while told.poll(60):
            things.append(told.recv())
    return things


ADDING = """
from initguide.experiments import Store
from initguide.experiments.store import COLUMNS
store = Store(path, {"kind": "test", "epochs": 2, "model": "Net"})
row = dict.fromkeys(COLUMNS) | {"label": name, "seed": 0, "settings": "{}", "finished": "now"}
for i in range(count):
    key = f"{name}{i}"
    assert store.claim([key]) == [key]
    store.add([row | {"key": key, "train_losses": bytes(4000)}])
    told.send(key)
"""


def test_two_processes_write_at_once(path, start):
    """Nothing is lost, and the file is whole."""
    started = [start(ADDING, path=path, name=name, count=25) for name in "xy"]
    for process, _ in started:
        process.join(300)
        assert process.exitcode == 0
    expected = {"a", "b"} | {f"{name}{i}" for name in "xy" for i in range(25)}
    assert set(_keys(path)) == expected


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("after", [1, 4, 9])
def test_killed_while_writing(path, start, after):
    """Killed at any moment: what it had reported is there, and at most one run more."""
    process, told = start(ADDING, path=path, name="x", count=100_000)
    reported = [told.recv() for _ in range(after)]
    process.kill()
    reported += _all(told)
    process.join(60)
    stored = _keys(path)[2:]
    assert stored[: len(reported)] == reported == [f"x{i}" for i in range(len(reported))]
    assert len(stored) <= len(reported) + 1
    Store(path, ABOUT).add([_row("c")])  # and it can be written


def test_claims(path):
    """Two share the work; what is there is claimed by nobody; what is left is left to others."""
    one, two = Store(path, ABOUT), Store(path, ABOUT)
    assert one.claim(["a", "c", "d", "e"], at_most=2) == ["c", "d"]
    assert two.claim(["c", "d", "e"]) == ["e"]
    assert one.claim(["c", "d", "e"]) == ["c", "d"]  # its own, again
    one.add([_row("c")])
    one.release()
    assert two.claim(["c", "d", "e"]) == ["d", "e"]
    two.add([_row("d", error="no")])
    assert one.claim(["d"]) == ["d"]  # what failed may be tried again


CLAIMING = """
import os, signal
from initguide.experiments import Store
store = Store(path, {"kind": "test", "epochs": 2, "model": "Net"})
told.send(store.claim(["c"]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_claims_of_the_dead(path, start, monkeypatch):
    """What a killed process had claimed is free at once; of one elsewhere, after a minute."""
    process, told = start(CLAIMING, path=path)
    assert _all(told) == [["c"]]
    process.join(60)
    assert Store(path, ABOUT).claim(["c"]) == ["c"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    there = Store(path, ABOUT)
    there.owner = "another-machine:1:abc"
    assert there.claim(["d", "e"]) == ["d", "e"]
    here = Store(path, ABOUT)
    now += 59
    there.keep()
    now += 59
    assert here.claim(["d"]) == []
    now += 2
    assert here.claim(["d"]) == ["d"]


def test_a_store_that_is_kept_locked(path, monkeypatch):
    """Another program keeps it locked for longer than anyone should: said in a sentence."""
    monkeypatch.setattr(transactions, "PATIENCE", 0.05)
    store = Store(path, ABOUT)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TimeoutError, match=r"another process has kept it locked for 0\.05 s"):
        store.add([_row("c")])
    other.execute("ROLLBACK")
    other.close()
    store.add([_row("c")])
