"""Networks side by side: each gets what it gets alone, to the last bit, or is trained alone."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from training_networks import (
    APART,
    Custom,
    assert_same,
    assert_same_weights,
    constant,
    frozen,
    hidden,
    mixing,
    seeded,
    several,
    tied,
    train_each_alone,
    train_together,
    with_root_parameter,
)

from initguide.models import Net, mlp
from initguide.training import side_by_side
from initguide.training.ways import abreast
from initguide.training.ways.stacked import stackable

pytestmark = pytest.mark.usefixtures("without_a_compiler")


def _twice(model, images):
    return model.fc2(model.middle(torch.tanh(model.middle(hidden(model, images)))))


def _rows(model, images):
    return model.fc2(model.rows(images.squeeze(1)).relu().mean(1))


def _half(model, images):
    with torch.autocast("cpu", torch.bfloat16):
        return model.fc2(hidden(model, images).relu()).float()


ABREAST = {
    "autocast": lambda: Custom(_half),
    "dropout": lambda: Net(32, 16),
    "batch norm": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    ),
    "layer norm": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 10)
    ),
    "no bias": lambda: mlp([784, 32, 16, 10], bias=False, dropout=0.5),
    "three dimensions": lambda: Custom(_rows, rows=nn.Linear(28, 16)),
    "used twice": lambda: Custom(_twice, middle=nn.Linear(16, 16)),
    "tied weights": tied,
    "half frozen": lambda: frozen(Net(32, 16), "fc1.weight", "fc2.bias"),
    "nested": lambda: nn.Sequential(mlp([784, 32, 16], dropout=0.2), nn.ReLU(), mlp([16, 16, 10])),
}


OPTIMIZERS = ["adam", "sgd", "momentum", torch.optim.RMSprop]


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [(name, "adam") for name in ABREAST]
    + [(name, other) for name in ("dropout", "half frozen") for other in OPTIMIZERS[1:]],
)
def test_side_by_side_to_the_last_bit(data, ways, name, optimizer):
    """Losses, accuracies and weights are those of each alone, whatever the layers."""
    models, others = several(ABREAST[name]), several(ABREAST[name])
    runs = train_together(models, data, optimizer=optimizer, way="side by side")
    assert ways == [("side by side", 3)]
    assert_same(runs, train_each_alone(others, data, optimizer=optimizer))
    assert_same_weights(models, others)


def test_same_seed_same_masks(data):
    """Copies of one network with one seed get the same losses; with another seed, others."""
    models = [seeded(lambda: Net(32, 16)) for _ in range(3)]
    a, b, c = train_together(models, data, rates=[0.01] * 3, seeds=[1, 1, 2], way="side by side")
    np.testing.assert_array_equal(a.train_losses, b.train_losses)
    assert (a.train_losses != c.train_losses).all()


@pytest.mark.parametrize("batch_size", [1, 7, 25])
@pytest.mark.parametrize(
    ("width", "activation"), [(16, nn.Sigmoid), (16, nn.SiLU), (16, nn.Softplus), (13, nn.ReLU)]
)
def test_whatever_the_batch_size(data, width, activation, batch_size):
    """Torch rounds some functions otherwise at the end of a batch: that must be noticed."""
    build = partial(mlp, [784, 16, width, 10], activation)
    models, others = several(build), several(build)
    runs = train_together(models, data, epochs=1, batch_size=batch_size, way="side by side")
    assert_same(runs, train_each_alone(others, data, epochs=1, batch_size=batch_size))
    assert_same_weights(models, others)


# What must not go side by side


class _Gain(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(16))
        self.part = part

    def forward(self, x):
        return self.part(x * self.gain)


class _Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent, self.head = nn.GRU(28, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, images):
        return self.head(self.recurrent(images.squeeze(1))[0][:, -1])


def _mixing_gradients(model, images):
    h = hidden(model, images)
    return model.fc2(h + (h.mean(0) - h.mean(0).detach()))


def _mixing_in_training(model, images):
    h = hidden(model, images)
    return model.fc2(h - h.mean(0) if model.training else h)


REFUSED = {
    **APART,
    "mixes examples": lambda: lambda: Custom(mixing),
    "mixes examples, from zeros": lambda: lambda: constant(Custom(mixing), 0.0),
    "mixes gradients": lambda: lambda: Custom(_mixing_gradients),
    "mixes examples in training": lambda: lambda: Custom(_mixing_in_training),
    "uses a child's weight": lambda: (
        lambda: constant(
            Custom(lambda model, images: model.fc2(F.linear(images.flatten(1), model.fc1.weight)))
        )
    ),
    "parameter on the root": lambda: with_root_parameter,
    "dropout in a part with parameters": lambda: (
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(784, 16), _Gain(nn.Dropout(0.5)), nn.Linear(16, 10)
        )
    ),
    "dropout on another dimension": lambda: (
        lambda: Custom(
            lambda model, images: model.fc2(model.drop(hidden(model, images).T).T),
            drop=nn.Dropout(0.5),
        )
    ),
    "tuples": lambda: _Recurrent,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_go_side_by_side(data, ways, name):
    """It is found out, and each network is trained as if alone; nothing global is touched."""
    models, others = (several(REFUSED[name]()) for _ in range(2))
    before = torch.random.get_rng_state()
    assert not side_by_side(models, data.train.images, 32)
    runs = train_together(models, data, way="side by side")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert ways == [("alone", 1)] * 3
    assert_same(runs, train_each_alone(others, data))
    assert_same_weights(models, others)


def test_networks_that_diverged_are_left_out(data, ways, monkeypatch):
    """From the next look on, they are not computed."""
    sizes, real = [], abreast.quick_layers
    monkeypatch.setattr(
        abreast,
        "quick_layers",
        lambda models, *more: (sizes.append(len(models)), real(models, *more))[1],
    )
    rates, seeds = [0.1, 1e20, 0.05, 3.5, 0.1], [0, 0, 1, 1, 2]
    models = several(partial(mlp, [784, 16, 16, 10], nn.Identity, dropout=0.2), 5)
    keywords = {"rates": rates, "seeds": seeds, "optimizer": "sgd", "epochs": 5}
    runs = train_together(models, data, way="side by side", **keywords)
    assert ways == [("side by side", 5)]
    ends = [run.diverged_at for run in runs]
    assert ends[1] < 3 <= ends[3] < 12  # in the first epoch, and in a later one
    assert sizes == [sum(end is None or end >= 3 * epoch for end in ends) for epoch in range(5)]


@pytest.mark.parametrize("tried", [side_by_side, stackable])
def test_trying_leaves_the_models_alone(data, tried):
    """Weights, gradients, modes and running statistics are as before."""
    build = ABREAST["batch norm"] if tried is side_by_side else partial(mlp, [784, 8, 10])
    models = several(build)
    models[1].eval()
    before = copy.deepcopy(models)
    assert tried(models, data.train.images[:32])
    assert_same_weights(models, before)
    assert [m.training for m in models] == [True, False, True]
    assert all(p.grad is None for m in models for p in m.parameters())
    assert not any("forward" in vars(part) for m in models for part in m.modules())
