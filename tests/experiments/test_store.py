"""The store of finished runs: what is in it stays, and what is no store is left alone."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from store_rows import ABOUT, keys_in, refused, row_of

from initguide.experiments import Comparison, Store, StoreError, Sweep, is_store
from initguide.experiments import store as store_module
from initguide.experiments.store import COLUMNS, read, transactions

# What is stored


def test_what_is_added_is_found(path):
    """Rows come back as they were, in the order in which they were added."""
    about, rows = read(path)
    assert about == ABOUT
    assert rows == [row_of("a"), row_of("b", seed=1)]
    assert Store(path, ABOUT).find(["b", "c"]) == {"b": row_of("b", seed=1)}
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
    store.add([row_of("a", valid_accuracy=0.9), row_of("c", error="no", valid_accuracy=None)])
    store.add([row_of("c", valid_accuracy=0.7)])
    assert store.find(["a"])["a"]["valid_accuracy"] == 0.5
    assert store.find(["c"])["c"]["valid_accuracy"] == 0.7
    assert store.find(["c"])["c"]["error"] is None
    store.add([row_of("c", error="again")])
    assert store.find(["c"])["c"]["error"] is None


@pytest.mark.fault(
    "store",
    tried="a process is killed before it has written anything into a new store",
    happens="the empty file becomes a store at the next call",
)
def test_an_empty_file_becomes_a_store(tmp_path):
    """What a process leaves that was killed while it made the store."""
    path = tmp_path / "runs.sqlite"
    path.touch()
    with pytest.raises(StoreError, match="is empty; it holds no runs"):
        read(path)
    Store(path, ABOUT).add([row_of("a")])
    assert keys_in(path) == ["a"]


def test_many(tmp_path):
    """More keys than fit into a statement."""
    store = Store(tmp_path / "runs.sqlite", ABOUT)
    keys = [f"key {i}" for i in range(2500)]
    assert store.claim(keys) == keys
    store.add([row_of(key) for key in keys])
    assert set(store.find(keys)) == set(keys)
    assert store.claim(keys) == []


# What does not belong


@pytest.mark.fault(
    "store",
    tried="a store is opened with other settings",
    happens="it is refused with each difference, and not touched",
)
def test_other_settings(path):
    """A store of other settings is refused, with each difference, and left as it is."""
    message = refused(
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

    refused(path, r"other settings: 4 and 2 do not mix\.", merge={"epochs": never})


OTHERS = {
    "text": b"hello, this is text\n" * 50,
    "JSON": json.dumps({"format": "initguide comparison"}).encode(),
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "zeros": bytes(5000),
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "text",
            marks=pytest.mark.fault(
                "store",
                tried="a text is named as a store",
                happens="it is refused, and left as it is, byte for byte",
            ),
        ),
        pytest.param(
            "JSON",
            marks=pytest.mark.fault(
                "store",
                tried="a JSON file is named as a store",
                happens="it is refused, and left as it is, byte for byte",
            ),
        ),
        pytest.param(
            "picture",
            marks=pytest.mark.fault(
                "store",
                tried="a picture is named as a store",
                happens="it is refused, and left as it is, byte for byte",
            ),
        ),
        pytest.param(
            "zeros",
            marks=pytest.mark.fault(
                "store",
                tried="a file of zeros is named as a store",
                happens="it is refused, and left as it is, byte for byte",
            ),
        ),
    ],
)
def test_other_files(tmp_path, kind):
    """A file of another kind is refused and left as it is, byte for byte."""
    path = tmp_path / "runs.sqlite"
    path.write_bytes(OTHERS[kind])
    message = refused(path, "is no SQLite file, or a damaged one; it is left as it is")
    assert str(path) in message
    assert not is_store(path)


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(
            "delete",
            marks=pytest.mark.fault(
                "store",
                tried="the database of another program is named as a store",
                happens="it is refused and not touched",
            ),
        ),
        pytest.param(
            "wal",
            marks=pytest.mark.fault(
                "store",
                tried="such a database is named whose log waits to be written back",
                happens="it is refused, and log and database are not touched",
            ),
        ),
    ],
)
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
        refused(path, "is an SQLite file of another program; it is left as it is")
        with pytest.raises(StoreError, match="of another program"):
            read(path)
    assert {file: file.read_bytes() for file in tmp_path.glob("runs*")} == files


@pytest.mark.fault(
    "store",
    tried="a store of another version of the file format",
    happens="it is refused with both versions, and not touched",
)
def test_a_newer_version(path):
    """A file of another version says which it is, which is read, and what to do."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    refused(path, "has version 7 of the file format; this initguide reads versions 2 and 3")


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
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "a named pipe (FIFO)",
            marks=pytest.mark.fault(
                "store",
                tried="a named pipe (FIFO) is named as a store",
                happens="it is refused without being opened",
            ),
        ),
        pytest.param(
            "a device",
            marks=pytest.mark.fault(
                "store",
                tried="a device is named as a store",
                happens="it is refused without being opened",
            ),
        ),
        pytest.param(
            "a link to a device",
            marks=pytest.mark.fault(
                "store",
                tried="a link to a device is named as a store",
                happens="it is refused without being opened",
            ),
        ),
    ],
)
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
@pytest.mark.fault(
    "store",
    tried="a store is named by a link, and damaged",
    happens="the file that the link leads to is mended, and the link stays",
)
def test_a_link_to_a_store(path, tmp_path):
    """What it leads to is written, and mended; a link into no folder is refused."""
    link = tmp_path / "link"
    link.symlink_to(path)
    Store(link, ABOUT).add([row_of("c")])
    assert keys_in(path) == ["a", "b", "c"]
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.warns(match="stand in a new file of its name"):
        Store(link, ABOUT)
    assert link.is_symlink()
    assert path.with_name(f"{path.name}.damaged-1").exists()
    link.unlink()
    link.symlink_to(tmp_path / "nothing" / "x")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nothing; make it first"):
        Store(link, ABOUT)


# Writing that fails


@pytest.mark.fault(
    "store",
    tried="the disk is full",
    happens="one sentence says so, and what was stored before is intact",
)
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
        store.add([row_of(f"x{i}", train_losses=bytes(8000)) for i in range(10)])
    monkeypatch.undo()
    assert read(path) == before
    store.add([row_of("c")])
    assert keys_in(path) == ["a", "b", "c"]


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
@pytest.mark.fault(
    "store",
    tried="the system limits the size of files in the middle of writing",
    happens="each run that was reported as stored is there",
)
def test_a_file_that_cannot_grow(path, start):
    """The system refuses to write on: each run that was reported as stored is there."""
    process, told = start(LIMITED, path=path)
    ((count, words),) = _all(told)
    process.join(60)
    assert process.exitcode == 0
    assert "what was stored before is intact" in words
    assert 5 < count < 100
    assert keys_in(path) == ["a", "b", *(f"x{i}" for i in range(count))]


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a folder nobody can write to")
@pytest.mark.fault(
    "store",
    tried="the store's folder cannot be written",
    happens="it is said before anything is trained",
)
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
        assert keys_in(path) == ["a", "b"]
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


@pytest.mark.fault(
    "store",
    tried="two processes write into one store at once",
    happens="nothing is lost, and the file is whole",
)
def test_two_processes_write_at_once(path, start):
    """Nothing is lost, and the file is whole."""
    started = [start(ADDING, path=path, name=name, count=25) for name in "xy"]
    for process, _ in started:
        process.join(300)
        assert process.exitcode == 0
    expected = {"a", "b"} | {f"{name}{i}" for name in "xy" for i in range(25)}
    assert set(keys_in(path)) == expected


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("after", [1, 4, 9])
@pytest.mark.fault(
    "store",
    tried="SIGKILL at any moment while runs are being stored",
    happens="what had been reported is there, and the file is whole",
)
def test_killed_while_writing(path, start, after):
    """Killed at any moment: what it had reported is there, and at most one run more."""
    process, told = start(ADDING, path=path, name="x", count=100_000)
    reported = [told.recv() for _ in range(after)]
    process.kill()
    reported += _all(told)
    process.join(60)
    stored = keys_in(path)[2:]
    assert stored[: len(reported)] == reported == [f"x{i}" for i in range(len(reported))]
    assert len(stored) <= len(reported) + 1
    Store(path, ABOUT).add([row_of("c")])  # and it can be written


def test_claims(path):
    """Two share the work; what is there is claimed by nobody; what is left is left to others."""
    one, two = Store(path, ABOUT), Store(path, ABOUT)
    assert one.claim(["a", "c", "d", "e"], at_most=2) == ["c", "d"]
    assert two.claim(["c", "d", "e"]) == ["e"]
    assert one.claim(["c", "d", "e"]) == ["c", "d"]  # its own, again
    one.add([row_of("c")])
    one.release()
    assert two.claim(["c", "d", "e"]) == ["d", "e"]
    two.add([row_of("d", error="no")])
    assert one.claim(["d"]) == ["d"]  # what failed may be tried again


CLAIMING = """
import os, signal
from initguide.experiments import Store
store = Store(path, {"kind": "test", "epochs": 2, "model": "Net"})
told.send(store.claim(["c"]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.fault(
    "store",
    tried="a process that had claimed runs is killed",
    happens="its runs are free at once, and after a minute if it was on another machine",
)
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


@pytest.mark.fault(
    "store",
    tried="another program keeps the store locked",
    happens="it is said in a sentence, and what was stored before is intact",
)
def test_a_store_that_is_kept_locked(path, monkeypatch):
    """Another program keeps it locked for longer than anyone should: said in a sentence."""
    monkeypatch.setattr(transactions, "PATIENCE", 0.05)
    store = Store(path, ABOUT)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TimeoutError, match=r"another process has kept it locked for 0\.05 s"):
        store.add([row_of("c")])
    other.execute("ROLLBACK")
    other.close()
    store.add([row_of("c")])
