"""Fixtures of this folder; what its tests share can be imported."""

import sys
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

from initguide.experiments.jobs import worker

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _leave_no_trace(tmp_path, monkeypatch):
    """Work in an empty folder; put back what the command line sets for its own process."""
    monkeypatch.chdir(tmp_path)
    backend, threads = mpl.get_backend(), torch.get_num_threads()
    yield
    mpl.use(backend)
    torch.set_num_threads(threads)


@pytest.fixture
def never_trains(monkeypatch):
    """Fail the test if a network is trained."""

    def trained(*_, **__):
        pytest.fail("a network was trained")

    monkeypatch.setattr(worker, "train_many", trained)
