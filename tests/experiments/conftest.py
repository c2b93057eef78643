"""For tests of runs: small data, a small sweep, processes, and networks with faults."""

import functools
import multiprocessing
import os
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

import initguide
from initguide.experiments import sweep
from initguide.experiments.jobs import worker

HOME = str(Path(initguide.__file__).parents[1])
Tiny = functools.partial(initguide.Net, 4, 4)  # a tiny network that any process can make


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
    import contextlib, os, signal, time
    from pathlib import Path
    import torch
    import initguide

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
