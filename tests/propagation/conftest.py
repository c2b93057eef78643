"""Models and numbers that the tests of the wing share."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import initguide


def _draws(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _lesson_net(scheme="he_normal", **settings):
    return initguide.initialize(initguide.Net(**settings), scheme, seed=0)


def _two_layers(*between, seed=0):
    model = nn.Sequential(nn.Linear(6, 8), *between, nn.Linear(8, 3))
    return initguide.initialize(model, "he_normal", seed=seed)


class Using(nn.Module):
    """A module of some modules, with its forward pass given as a function."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *args, **kwargs):
        """Call the function."""
        return self.function(self, *args, **kwargs)


@pytest.fixture(scope="session")
def draws():
    """Numbers from N(0, 1), the same in every run."""
    return _draws


@pytest.fixture(scope="session")
def lesson_net():
    """Make the lesson's network, filled by a scheme."""
    return _lesson_net


@pytest.fixture(scope="session")
def two_layers():
    """Make two linear layers with something between them."""
    return _two_layers


@pytest.fixture(scope="session")
def using():
    """Make a module of some modules, with its forward pass given as a function."""
    return Using


@pytest.fixture(scope="session")
def make():
    """All of these, for cases that are listed outside of tests."""
    return SimpleNamespace(draws=_draws, lesson_net=_lesson_net, using=Using)
