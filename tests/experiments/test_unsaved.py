"""What is finished is never dropped: a store that cannot be written for a while, or for good."""

import contextlib
import os
import re
import signal
import sqlite3
import stat
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from store_rows import ABOUT, keys_in, row_of

from initguide.experiments import Store, StoreError, StoreWarning
from initguide.experiments.jobs import Keeping, insisting, ledger
from initguide.experiments.store import read, take_up, transactions, unsaved, write_unsaved
from initguide.training import Run

DATA = SimpleNamespace(source="made up")
KEEPING_ABOUT = {"kind": "test"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch, tmp_path_factory):
    """Waiting is short, and the other folders that may be used are the test's."""
    monkeypatch.setattr(transactions, "PATIENCE", 0.02)
    monkeypatch.setattr(ledger, "HURRY", 0.02)
    monkeypatch.setattr(insisting, "FIRST_PAUSE", 0.01)
    folders = SimpleNamespace(
        home=tmp_path_factory.mktemp("home"), temporary=tmp_path_factory.mktemp("temporary")
    )
    monkeypatch.setattr(Path, "home", lambda: folders.home)
    monkeypatch.setattr(tempfile, "tempdir", str(folders.temporary))
    return folders


@contextlib.contextmanager
def _locked(path):
    """Another program holds the file."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield other
    finally:
        if other.in_transaction:
            other.execute("ROLLBACK")
        other.close()


def _opened(path):
    return Keeping(path, KEEPING_ABOUT, {}).open(DATA, "0" * 64)


def _run(i):
    losses = np.full(3, i, np.float32)
    return Run(f"run {i}", i, losses, 0.5, 0.5, 0.5, diverged_at=None, seconds=1.0)


def _with_runs(path, count=200):
    """Ledger of runs that have ended, and are not in the store yet."""
    jobs = [SimpleNamespace(label=f"run {i}", seed=i, settings={}) for i in range(count)]
    found = ledger.Ledger(jobs, _opened(path), [f"key {i}" for i in range(count)])
    for i in range(count):
        found.record(i, _run(i))
    return found


def _seeds(path):
    return sorted(row["seed"] for row in read(path)[1])


def _beside(path):
    return sorted(file.name for file in path.parent.iterdir() if file != path)


@pytest.mark.fault(
    "store",
    tried="another program holds the store for longer than we wait, when 200 runs have ended",
    happens="one warning, and it is tried again until all 200 are stored",
)
def test_locked_for_longer_than_the_patience(tmp_path):
    """None is lost, and it is said once what is going on."""
    path = tmp_path / "runs.sqlite"
    runs = _with_runs(path)
    with _locked(path) as other:
        timer = threading.Timer(0.4, lambda: other.execute("ROLLBACK"))
        timer.start()
        with pytest.warns(StoreWarning) as caught:
            runs.save()
        timer.join()
    (warning,) = caught
    assert str(warning.message) == (
        f"{path}: another process has kept it locked for 0.02 s; what was stored before is intact. "
        "It is tried again until it works; 200 finished runs wait in memory. Make room, or end "
        "whatever holds it; to end this call (Ctrl-C) writes them into a file beside the store, "
        "which the next call takes up"
    )
    assert _seeds(path) == list(range(200))
    runs.close()
    assert not _beside(path)


@pytest.mark.fault(
    "store",
    tried="the store stays locked, and somebody ends the call",
    happens="the 200 finished runs go into a file beside it, which the next call takes up",
)
def test_ended_while_it_is_locked(tmp_path, monkeypatch):
    """The next call has all of them, and the file beside it is gone."""
    path = tmp_path / "runs.sqlite"
    runs = _with_runs(path)
    _interrupt_pauses(monkeypatch)
    with _locked(path):
        with pytest.raises(KeyboardInterrupt), pytest.warns(StoreWarning, match="200 finished"):
            runs.save()
        with pytest.warns(
            StoreWarning,
            match=r"locked for 0\.02 s; what .*\. So 200 finished runs could not be stored, and "
            r"went into .*/runs\.sqlite\.unsaved-1; the next call with this store takes them up "
            "and removes that file",
        ):
            runs.close()
    assert _beside(path) == ["runs.sqlite.unsaved-1"]
    assert not _seeds(path)
    _opened(path)
    assert not _beside(path)
    assert _seeds(path) == list(range(200))
    losses = [row["train_losses"] for row in read(path)[1]]
    assert losses == [np.full(3, i, "<f4").tobytes() for i in range(200)]


def _interrupt_pauses(monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(insisting, "sleep", interrupt)


def test_a_sweep_that_is_ended(swept, trained, tmp_path, monkeypatch, measured):
    """The disk fills up half-way: what had ended by then is found, and is not done again."""
    path = tmp_path / "runs.sqlite"
    real, count = Store.add, []

    def full(self, rows):
        count.append(self.path)
        if self.path == path and len(count) > 1:
            raise OSError(28, f"{path}: the disk is full; what was stored before is intact")
        real(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", full)
        _interrupt_pauses(patch)
        with pytest.raises(KeyboardInterrupt), pytest.warns(StoreWarning, match="disk is full"):
            swept({"scale": [1, 2, 3, 4], "epochs": [1, 2, 3]}, store=path, workers=1)
    assert _beside(path) == ["runs.sqlite.unsaved-1"]
    done = len(trained)
    del trained[:]
    result = swept({"scale": [1, 2, 3, 4], "epochs": [1, 2, 3]}, store=path)
    assert not _beside(path)
    found = int(result.remark.split()[0])
    assert 1 < found <= done
    assert len(trained) == 24 - found
    assert measured(result) == measured(swept({"scale": [1, 2, 3, 4], "epochs": [1, 2, 3]}))


@pytest.mark.fault(
    "store",
    tried="the disk is full for a while",
    happens="it is tried again until there is room, and all runs are stored",
)
def test_a_full_disk_that_gets_room(tmp_path, monkeypatch):
    """SQLite says that it is full, twice."""
    path = tmp_path / "runs.sqlite"
    runs = _with_runs(path)
    _full(monkeypatch, [path], times=2)
    with pytest.warns(StoreWarning, match="the disk is full; .*It is tried again") as caught:
        runs.save()
    assert len(caught) == 1
    assert _seeds(path) == list(range(200))


def _full(monkeypatch, places, times=10**6):
    """The disk under these files or folders has no room left, so often as it is tried."""
    real, left = sqlite3.connect, [times]

    def small(name, *arguments, **keywords):
        connection = real(name, *arguments, **keywords)
        if left[0] and any(f"{place}" in str(name) for place in places):
            left[0] -= 1
            connection.execute("PRAGMA max_page_count = 1")  # as many as there are
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)


def _close(runs, message):
    with pytest.warns(StoreWarning, match=message):
        runs.close()


@pytest.mark.fault(
    "store",
    tried="the store's disk is full, and somebody ends the call",
    happens="the finished runs go into the home folder, and the next call takes them up from there",
)
def test_no_room_beside_it(tmp_path, monkeypatch, impatient):
    """Nor anywhere in its folder. A home folder on the network, where no store may be, will do."""
    path = tmp_path / "runs.sqlite"
    runs = _with_runs(path)
    _full(monkeypatch, [tmp_path])
    monkeypatch.setattr(Store, "__init__", None)
    _close(
        runs,
        rf"the disk is full; .* went into {impatient.home}/runs.*1 \(not beside it: {tmp_path}",
    )
    assert not _beside(path)
    (file,) = impatient.home.iterdir()
    assert re.fullmatch(r"runs\.sqlite-[0-9a-f]{12}\.unsaved-1", file.name)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.undo()
    monkeypatch.setattr(Path, "home", lambda: impatient.home)
    _opened(tmp_path / "others.sqlite")  # another store does not take them
    assert file.exists()
    _opened(path)
    assert _seeds(path) == list(range(200))
    assert not file.exists()


def test_no_room_at_home(tmp_path, monkeypatch, impatient):
    """The temporary folder comes last."""
    path = tmp_path / "runs.sqlite"
    runs = _with_runs(path)
    _full(monkeypatch, [tmp_path, impatient.home])
    _close(
        runs, rf"went into {impatient.temporary}/runs.*1 \(not beside it: .*; {impatient.home}: "
    )
    _opened_again = [*impatient.temporary.iterdir()]
    assert len(_opened_again) == 1
    assert not [*impatient.home.iterdir()]


@pytest.mark.fault(
    "store",
    tried="no folder has room left, and somebody ends the call",
    happens="it is said how many runs are lost, and why",
)
def test_no_room_anywhere(tmp_path, monkeypatch, impatient):
    """There is nothing left to do but to say it."""
    runs = _with_runs(tmp_path / "runs.sqlite")
    _full(monkeypatch, [""])
    _close(
        runs,
        rf"200 finished runs could not be stored, nor written anywhere else \({tmp_path}: .*full.*"
        rf"{impatient.home}: .*; {impatient.temporary}: .*\), and are lost",
    )


@pytest.mark.fault(
    "store",
    tried="the store is overwritten by something else during a call",
    happens="the call ends at once, and the finished runs are in a file beside it",
)
def test_a_store_that_is_none_any_more(tmp_path):
    """To wait does not help: it ends, and nothing is lost."""
    path = tmp_path / "runs.sqlite"
    runs = _with_runs(path)
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(StoreError, match="is damaged"):
        runs.save()
    _close(runs, "200 finished runs could not be stored, and went into")
    path.unlink()
    _opened(path)
    assert _seeds(path) == list(range(200))


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
@pytest.mark.fault(
    "store",
    tried="Ctrl-C while SQLite waits for a lock",
    happens="it ends at once, not when the lock has been waited for",
)
def test_waiting_listens(path, monkeypatch):
    """SQLite alone would wait for the minute."""
    monkeypatch.setattr(transactions, "PATIENCE", 60)
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _locked(path):
            store = Store.__new__(Store)
            store.path, store.owner = path, "me:1:2"
            real = sqlite3.connect

            def connect(*arguments, **keywords):
                threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
                return real(*arguments, **keywords)

            monkeypatch.setattr(sqlite3, "connect", connect)
            start = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                store.add([row_of("c")])
            assert time.monotonic() - start < 30
    finally:
        signal.signal(signal.SIGINT, kept)


# Taken up


def _write(path, *keys, about=ABOUT):
    """A file with runs that a store could not take."""
    store = Store.__new__(Store)
    store.path, store.about = path, about
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        return write_unsaved(store, [row_of(key) for key in keys], "no reason")


def test_several_files(path):
    """Each call that was ended has one of its own; a run that is there is not replaced."""
    Store(path, ABOUT).add([row_of("c", valid_accuracy=0.9)])
    assert [_write(path, *keys).name for keys in ("cd", "de", "f")] == [
        f"runs.sqlite.unsaved-{number}" for number in (1, 2, 3)
    ]
    take_up(Store(path, ABOUT), {})
    assert keys_in(path) == list("abcdef")
    assert Store(path, ABOUT).find(["c"])["c"]["valid_accuracy"] == 0.9
    assert not _beside(path)


def test_several_processes(path):
    """All take them up at once: nothing fails, nothing is there twice."""
    for key in "cdefgh":
        _write(path, key)
    with ThreadPoolExecutor(4) as executor:
        for done in [executor.submit(take_up, Store(path, ABOUT), {}) for _ in range(8)]:
            done.result()
    assert sorted(keys_in(path)) == list("abcdefgh")
    assert not _beside(path)


def test_it_has_the_mode_of_the_store(path):
    """Whoever works on the store may take it up, and nobody else may read it."""
    path.chmod(0o640)
    assert stat.S_IMODE(_write(path, "c").stat().st_mode) == 0o640


@pytest.mark.fault(
    "store",
    tried="one bit flips in a file of unsaved runs",
    happens="the run is named, the others are stored, and the file is kept under another name",
)
def test_a_damaged_one(path):
    """What is intact is taken up, and nothing is thrown away."""
    file = _write(path, "c", "d")
    content = file.read_bytes()
    label = b"run d"
    assert content.count(label) == 1
    file.write_bytes(content.replace(label, b"run e"))
    with pytest.warns(
        StoreWarning, match=r"unsaved-1 has damaged runs: 'run e' with seed 0\. The file is kept as"
    ):
        take_up(Store(path, ABOUT), {})
    assert keys_in(path) == ["a", "b", "c"]
    assert _beside(path) == ["runs.sqlite.unsaved-1.damaged-1"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        take_up(Store(path, ABOUT), {})  # it is said once


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            "other settings",
            marks=pytest.mark.fault(
                "store",
                tried="unsaved runs lie beside a store of other settings",
                happens="a warning names the difference, and their file stays",
            ),
        ),
        pytest.param(
            "no store",
            marks=pytest.mark.fault(
                "store",
                tried="a file that is no store has the name of one with unsaved runs",
                happens="a warning names it, and it stays",
            ),
        ),
        "empty",
    ],
)
def test_what_is_not_taken_up(path, fault):
    """It is named, stays as it is, and the call goes on."""
    file = _write(path, "c", about=ABOUT | {"epochs": 3 if fault == "other settings" else 2})
    if fault != "other settings":
        file.write_bytes(b"my notes" if fault == "no store" else b"")
    before = file.read_bytes()
    words = {
        "other settings": "made with other settings: epochs is 2 there and 3 here",
        "no store": "is no SQLite file",
        "empty": "is empty; it holds no runs",
    }
    with pytest.warns(
        StoreWarning, match=rf"unsaved-1 was to be taken up into .*stays where .*{words[fault]}"
    ):
        take_up(Store(path, ABOUT), {})
    assert file.read_bytes() == before
    assert keys_in(path) == ["a", "b"]


@pytest.mark.fault(
    "store",
    tried="the store is locked when unsaved runs are to be taken up",
    happens="that is raised, and their file stays for the next call",
)
def test_it_stays_until_its_runs_are_stored(path, monkeypatch):
    """The file is removed after the transaction only."""
    file = _write(path, "c")

    def locked(*_):
        raise TimeoutError(110, "locked")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", locked)
        with pytest.raises(TimeoutError):
            take_up(Store(path, ABOUT), {})
    assert file.exists()
    take_up(Store(path, ABOUT), {})
    assert keys_in(path) == ["a", "b", "c"]


@pytest.mark.skipif(os.name != "posix", reason="owners are those of POSIX")
@pytest.mark.fault(
    "store",
    tried="another user puts a file, or somebody a link, under the name of unsaved runs into the "
    "temporary folder",
    happens="it is not taken up",
)
def test_of_another_user(path, monkeypatch, impatient, tmp_path):
    """In the temporary folder anybody may write."""
    file = _write(path, "c")
    *_, last = unsaved._places(path)
    assert last.folder == impatient.temporary
    planted = file.rename(last.folder / f"{last.stem}.unsaved-1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12345)
        take_up(Store(path, ABOUT), {})
    moved = planted.rename(tmp_path / "elsewhere")
    planted.symlink_to(moved)
    take_up(Store(path, ABOUT), {})
    assert keys_in(path) == ["a", "b"]
    moved.rename(planted)
    take_up(Store(path, ABOUT), {})
    assert keys_in(path) == ["a", "b", "c"]
