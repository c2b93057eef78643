"""Sweeps that are killed, interrupted, or done by several processes side by side."""

import os
import re
import signal
import sqlite3
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from initguide.experiments import Store, StoreError
from initguide.experiments.store import read

SWEEPING = """
import abc
import functools
import itertools
import multiprocessing
import signal
import tempfile
import types
import warnings
from concurrent.futures import ProcessPoolExecutor
import torch
from initguide import sweep
from initguide.experiments.jobs import ledger
from initguide.experiments.store import transactions
from faulty import Faulty

def noise():
    data = types.SimpleNamespace(source="noise")
    for seed, part in enumerate(("train", "valid", "test")):
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand(64, 1, 28, 28, generator=generator)
        labels = torch.randint(0, 10, (64,), generator=generator)
        setattr(data, part, types.SimpleNamespace(images=images, labels=labels))
    return data

def main(store=None, executor=None):
    grid = {"fault": ["", "other"]}
    # Two, whatever the machine has: with many cores, all runs would end at once.
    workers = 2 if executor is None else None
    keywords = {"epochs": 2, "batch_size": 4, "seeds": 10, "executor": executor, "workers": workers}
    return sweep(grid, noise(), model=Faulty, store=store, **keywords)

def work(store, told, method=None, temporary=None, impatient=False):
    # Whoever runs the tests behind a shell's "&" or "nohup" has signals switched off, and so have
    # children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    tempfile.tempdir = temporary
    if impatient:
        transactions.PATIENCE = ledger.HURRY = 0.1
        warnings.showwarning = lambda message, *_, **__: told.write_text(str(message))
    if method is not None:
        context = multiprocessing.get_context(method)
        main(store, executor=functools.partial(ProcessPoolExecutor, 2, mp_context=context))
    try:
        told.write_text(main(store).remark or "all done here")
    except KeyboardInterrupt:
        told.write_text("stopped")
"""


@pytest.fixture
def sweeping(faulty, context, monkeypatch):
    """Start processes that do the same sweep of twenty runs; and the sweep itself."""
    (faulty.folder / "sweeping.py").write_text(SWEEPING)
    monkeypatch.delitem(sys.modules, "sweeping", raising=False)
    import sweeping

    processes = []

    def start(path, *more):
        told = faulty.folder / f"told {len(processes)}"
        process = context.Process(target=sweeping.work, args=(path, told, *more))
        processes.append(process)
        process.start()
        return process, told

    yield SimpleNamespace(start=start, main=sweeping.main, folder=faulty.folder)
    sys.modules.pop("sweeping", None)
    for process in processes:
        process.kill()
        process.join()


def _stored(path):
    with_runs = path.exists() and path.stat().st_size
    try:
        return len(read(path)[1]) if with_runs else 0
    except StoreError:  # it is just being made
        return 0


@pytest.mark.fault(
    "stopping",
    tried="SIGKILL in the middle of a sweep",
    happens="the next call does what is missing, and the result is the same as without",
)
def test_killed_and_resumed(sweeping, tmp_path, measured, until):
    """SIGKILL: what had ended is there, the next call does the rest, and the result is the same."""
    path = tmp_path / "runs.sqlite"
    (sweeping.folder / "slow").touch()
    process, told = sweeping.start(path)
    until(lambda: _stored(path) >= 3, process)
    process.kill()
    process.join()
    (sweeping.folder / "slow").unlink()
    assert not told.exists()
    stored = _stored(path)
    assert 3 <= stored < 20
    result = sweeping.main(path)
    assert result.remark == f"{stored} of the 20 runs were found in {path}."
    assert measured(result) == measured(sweeping.main())
    assert _stored(path) == 20


def _is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(
            signal.SIGTERM,
            143,
            marks=pytest.mark.fault(
                "stopping",
                tried="SIGTERM, as a batch system sends it, while worker processes train",
                happens="it ends like Ctrl-C: runs that ended are stored, the workers end, the "
                "temporary folder is empty",
            ),
        ),
        pytest.param(
            signal.SIGHUP,
            129,
            marks=pytest.mark.fault(
                "stopping",
                tried="SIGHUP, as from a terminal that is closed",
                happens="it ends like Ctrl-C: runs that ended are stored, the workers end, the "
                "temporary folder is empty",
            ),
        ),
        pytest.param(
            signal.SIGKILL,
            -9,
            marks=pytest.mark.fault(
                "stopping",
                tried="SIGKILL while worker processes train",
                happens="the workers end by themselves, and the next call removes what was left "
                "in the temporary folder",
            ),
        ),
    ],
)
def test_ended_with_a_pool(sweeping, tmp_path, number, status, request):
    """When the process that sweeps ends, its workers do, and nothing is left behind."""
    until, swept = request.getfixturevalue("until"), request.getfixturevalue("swept")
    path, temporary = tmp_path / "runs.sqlite", tmp_path / "temporary"
    temporary.mkdir()
    (sweeping.folder / "slow").touch()
    process, told = sweeping.start(path, "fork", str(temporary))
    until(lambda: _stored(path) >= 3, process)
    marks = [*sweeping.folder.glob("-*"), *sweeping.folder.glob("other-*")]
    workers = {int(mark.name.rpartition("-")[2]) for mark in marks}
    assert len(workers) == 2
    assert all(map(_is_alive, workers))
    (folder,) = temporary.iterdir()
    assert (folder / "data.pt").stat().st_size > 3 * 64 * 28 * 28 * 4
    os.kill(process.pid, number)
    process.join(240)
    assert process.exitcode == status
    assert not told.exists()
    until(lambda: not any(map(_is_alive, workers)))
    assert 3 <= _stored(path) < 20
    if number == signal.SIGKILL:
        assert list(temporary.iterdir()) == [folder]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(temporary))
            swept({"scale": [1]})  # any call, by threads too
    assert not list(temporary.iterdir())


@pytest.mark.fault(
    "store",
    tried="SIGTERM while another program holds the store",
    happens="what had ended goes into a file beside the store, and the next call takes it up",
)
def test_ended_while_the_store_is_locked(sweeping, tmp_path, until):
    """No run that had ended is done again."""
    path = tmp_path / "runs.sqlite"
    (sweeping.folder / "slow").touch()
    process, told = sweeping.start(path, None, None, True)
    until(lambda: _stored(path) >= 2, process)
    other = sqlite3.connect(path, isolation_level=None, timeout=60)
    other.execute("BEGIN EXCLUSIVE")
    (stored,) = other.execute("SELECT count(*) FROM runs").fetchone()
    until(lambda: told.exists() and "in memory" in told.read_text(), process)
    waiting = re.search(r"(\d+|no) finished runs? waits? in memory", told.read_text())
    process.terminate()
    process.join(240)
    assert told.read_text() == "stopped"  # what catches Ctrl-C caught it
    other.execute("ROLLBACK")
    other.close()
    (sweeping.folder / "slow").unlink()
    beside = path.with_name("runs.sqlite.unsaved-1")
    count = int(waiting[1].replace("no", "0"))
    assert beside.exists() or not count
    found = int(sweeping.main(path).remark.split()[0])
    assert stored + count <= found
    assert not beside.exists()


@pytest.mark.fault(
    "stopping",
    tried="Ctrl-C in the middle of a sweep",
    happens="it ends soon; runs that had ended are stored, those in progress are not",
)
def test_interrupted(sweeping, tmp_path, until):
    """Ctrl-C: it ends soon, runs that had ended are stored, those in progress are not."""
    path = tmp_path / "runs.sqlite"
    (sweeping.folder / "slow").write_text("0.04")  # ten seconds or more if nobody interrupts
    process, told = sweeping.start(path)
    until(lambda: _stored(path) >= 2, process)
    start = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    until(told.exists)
    assert time.monotonic() - start < 20  # 2 s on a machine that has nothing else to do
    process.join(240)
    assert told.read_text() == "stopped"
    lengths = {len(row["train_losses"]) for row in read(path)[1]}
    assert lengths == {4 * 2 * 16}  # whole runs only
    assert 2 <= _stored(path) < 20


@pytest.mark.fault(
    "store",
    tried="two processes do the same sweep in one store",
    happens="each does some of the runs, and none is done twice",
)
def test_two_processes_share_a_sweep(sweeping, tmp_path, measured):
    """Each does some of the runs, both end with all of them, none is done twice."""
    path = tmp_path / "runs.sqlite"
    (sweeping.folder / "slow").write_text("0.005")
    started = [sweeping.start(path) for _ in range(2)]
    for process, told in started:
        process.join(480)
        assert re.fullmatch(r"all done here|\d+ of the 20 runs were found in .*", told.read_text())
    assert len(read(path)[1]) == 20
    (sweeping.folder / "slow").unlink()
    assert measured(sweeping.main(path)) == measured(sweeping.main())


def test_runs_that_another_process_does(swept, tmp_path, measured):
    """Claimed by a process that lives: waited for, taken when they are there, done if it dies."""
    path = tmp_path / "runs.sqlite"
    full = swept({"scale": [1, 2, 3]}, store=path)
    rows = read(path)[1]
    path.unlink()
    swept({"scale": [1]}, store=path)
    other = Store(path, *_about_of(path))
    assert len(other.claim([row["key"] for row in rows])) == 4
    with ThreadPoolExecutor(1) as executor:
        ours = executor.submit(swept, {"scale": [1, 2, 3]}, store=path)
        time.sleep(0.1)
        other.add(rows[2:4])
        other.release()
        assert measured(ours.result()) == measured(full)


def _about_of(path):
    about, _ = read(path)
    return about, {name: lambda old, new: old or new for name in about}
