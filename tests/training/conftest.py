"""For the tests of training: which way networks go, and a machine without a compiler."""

import sys
from pathlib import Path

import pytest
import torch

from initguide.training import loop
from initguide.training.engine import library

sys.path.append(str(Path(__file__).parent))  # what several files need is in training_networks.py


@pytest.fixture
def ways(monkeypatch):
    """List of how networks are trained, and how many at once, in the order of beginning."""
    seen, real = [], loop._train

    def watched(tasks, settings, way):
        seen.append((way.name, len(tasks)))
        return real(tasks, settings, way)

    monkeypatch.setattr(loop, "_train", watched)
    return seen


@pytest.fixture
def without_a_compiler(monkeypatch):
    """What happens where no compiler is; use it by `pytest.mark.usefixtures`."""
    monkeypatch.setattr(library, "works", lambda: False)
    monkeypatch.setenv("INITGUIDE_CC", "off")  # for processes that are started


@pytest.fixture
def small_memory(monkeypatch):
    """Function that lets a function have room for a few networks, and no more."""

    def plant(module, name, room, count):
        real = getattr(module, name)

        def planted(*args, **keywords):
            if count(*args) > room:
                raise torch.OutOfMemoryError("planted")
            return real(*args, **keywords)

        monkeypatch.setattr(module, name, planted)

    return plant
