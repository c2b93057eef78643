"""Fixtures of this folder; what its tests share can be imported."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent))

from checkup_networks import images


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Work in a folder with a module of networks and a batch."""
    monkeypatch.chdir(tmp_path)
    Path("nets_of_mine.py").write_text(
        "import torch, initguide\n"
        "def good(): return initguide.initialize(initguide.Net(), 'he_normal')\n"
        "def bad(): return initguide.initialize(initguide.Net(), 'zeros')\n"
        "from torch import nn\n"
        "def words(): return nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 4))\n"
        "def broken(): raise KeyError('gone')\n"
        "def none(): return None\n"
        "network = good()\n"
        "class Loss(torch.nn.CrossEntropyLoss): pass\n"
        "number = 3\n",
        encoding="utf-8",
    )
    inputs, targets = images()
    torch.save((inputs, targets), "batch.pt")
    torch.save({"inputs": inputs, "targets": targets}, "named.pt")
    torch.save(inputs, "inputs.pt")
    torch.save({"images": inputs}, "keywords.pt")
    yield "nets_of_mine"
    sys.modules.pop("nets_of_mine", None)
