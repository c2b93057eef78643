"""For tests of runs: small data, a small sweep, processes, and networks with faults."""

import functools
import math
import multiprocessing
import os
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import initguide
from initguide.experiments import Comparison, Store, sweep
from initguide.experiments.jobs import worker
from initguide.training import Run

HOME = str(Path(initguide.__file__).parents[1])
sys.path.append(str(Path(__file__).parent))  # rows that several files need are in store_rows.py
Tiny = functools.partial(initguide.Net, 4, 4)  # a tiny network that any process can make


@pytest.fixture
def path(tmp_path):
    """A store with two runs."""
    from store_rows import ABOUT, row_of

    file = tmp_path / "runs.sqlite"
    Store(file, ABOUT).add([row_of("a"), row_of("b", seed=1)])
    return file


@pytest.fixture(scope="session")
def made_up(noise):
    """64 + 40 + 30 images of noise, which no other process knows how to make."""
    return SimpleNamespace(
        train=noise(64, 0), valid=noise(40, 1), test=noise(30, 2), source="made up: 134 images"
    )


@pytest.fixture
def swept(made_up):
    """`sweep` with everything small."""
    defaults = {"model": Tiny, "epochs": 1, "batch_size": 16, "seeds": 2, "scheme": "he_normal"}
    return lambda grid, **changes: sweep(grid, made_up, **defaults | changes)


@pytest.fixture
def trained(monkeypatch):
    """List of (label, seed) of the networks that are trained in this process."""
    done, real = [], worker.train_many

    def train(*arguments, **keywords):
        done.extend(zip(keywords["labels"], keywords["seeds"], strict=True))
        return real(*arguments, **keywords)

    monkeypatch.setattr(worker, "train_many", train)
    return done


@pytest.fixture(scope="session")
def measured():
    """Function that tells everything that was measured in a result, without the times."""
    return _numbers


def _numbers(result):
    return [
        (
            dict(getattr(run, "settings", {})),
            run.seed,
            repr(run.train_losses.tolist()),
            repr(run.valid_loss),
            repr(run.valid_accuracy),
            repr(run.test_accuracy),
        )
        for run in result.runs
    ]


@pytest.fixture(scope="session")
def until():
    """Function that waits until something is the case."""
    return _until


def _until(condition, process=None):
    """Wait, on a busy machine for long, until something is the case."""
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.is_alive()
        time.sleep(0.02)


@pytest.fixture(scope="session")
def context():
    """Processes are forked from one that has imported torch and has no threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("needs a system with forkserver")
    found = multiprocessing.get_context("forkserver")
    # torch._dynamo is what any process imports at its first step of an optimizer.
    found.set_forkserver_preload(["initguide.experiments", "torch._dynamo", "distributed"])
    first = found.Process(target=int)  # starts the server, which Dask is to use too
    first.start()
    first.join()
    return found


@pytest.fixture
def pool(context):
    """Makes pools of two processes."""
    return functools.partial(ProcessPoolExecutor, 2, mp_context=context)


FAULTY = """
    import contextlib, ctypes, os, signal, threading, time
    from pathlib import Path
    import torch
    import initguide

    class Odd(Exception):
        '''An error that holds what cannot be sent.'''

        def __init__(self, lock):
            super().__init__("an odd error")
            self.lock = lock

    class OneWay(Exception):
        '''An error that can be packed, but not unpacked: it takes more than it hands on.'''

        def __init__(self, what, why):
            super().__init__(f"{what} {why}")

    def kept_lock():
        '''Hang in a library that keeps Python's lock.'''
        ctypes.PyDLL(None).sleep(1000)

    def ended():
        raise SystemExit(7)

    ACTS = {
        "hangs": lambda: time.sleep(1000),
        "hangs with the lock": kept_lock,
        "exits": ended,
    }
    ERRORS = {
        "odd": lambda: Odd(threading.Lock()),
        "one-way": lambda: OneWay("one way", "only"),
        "huge": lambda: ValueError("huge", bytes(10_000_000)),
    }

    class Faulty(initguide.Net):
        '''A network that does something while it is trained.'''

        def __init__(self, fault=""):
            super().__init__(4, 4)
            self.fault = fault

        def forward(self, images):
            if torch.is_grad_enabled():
                folder = Path(__file__).parent
                (folder / f"{self.fault}-{os.getpid()}").touch()
                if self.fault == "raises":
                    raise ValueError("no good\\nat all")
                if self.fault in ERRORS:
                    raise ERRORS[self.fault]()
                ACTS.get(self.fault, int)()
                if self.fault == "dies":
                    os.kill(os.getpid(), signal.SIGKILL)
                if self.fault == "dies once" and not (folder / "died").exists():
                    (folder / "died").touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                while (folder / f"hold {self.fault}").exists():
                    time.sleep(0.01)
                with contextlib.suppress(FileNotFoundError):
                    time.sleep(float((folder / "slow").read_text() or 0.02))
            return super().forward(images)
"""


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """Class of networks with faults, importable by every process, and a folder of its own."""
    folder = tmp_path / "faulty"
    folder.mkdir()
    (folder / "faulty.py").write_text(textwrap.dedent(FAULTY))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{HOME}")
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    import faulty

    yield SimpleNamespace(model=faulty.Faulty, folder=folder)
    sys.modules.pop("faulty", None)


# Results that are made up, whose numbers are known

TYPICAL = {
    "a": [0.80, 0.82, 0.81, 0.84],
    "b": [0.79, 0.80, 0.805, 0.82],
    "c": [0.5, None, 0.7, 0.9],
    "d": [None, None, 0.3, None],
    "e": [None] * 4,
}


@pytest.fixture(scope="session")
def made():
    """Function that makes up a comparison, by default with runs of all kinds."""
    return _made


def _made(accuracies=None, schemes=None, **changes):
    """Make up a comparison from label -> accuracies over seeds; None is a run that diverged."""
    accuracies = TYPICAL if accuracies is None else accuracies
    count = len(next(iter(accuracies.values())))
    common = {
        "model": "Net",
        "epochs": 2,
        "batch_size": 100,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "device": "cpu",
        "seeds": list(range(count)),
        "torch": "2.6.0",
    }
    return Comparison(
        runs=tuple(_run(k, s, a) for k, v in accuracies.items() for s, a in enumerate(v)),
        schemes=schemes or {label: f"{label}()" for label in accuracies},
        settings=common | changes,
        data_source="Fashion-MNIST, made up",
    )


def _run(label, seed, accuracy, *, loss=1.0, losses=(2.0, 1.5), at=None):
    bad = accuracy is None
    return Run(
        label=label,
        seed=seed,
        train_losses=np.asarray(losses if not bad else [*losses, math.nan], np.float32),
        valid_loss=math.nan if bad else loss,
        valid_accuracy=math.nan if bad else accuracy,
        test_accuracy=math.nan if bad else accuracy - 0.01,
        diverged_at=len(losses) if bad else at,
        seconds=1.5,
    )
