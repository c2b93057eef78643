"""Runs of compiled steps: against PyTorch's, and which runs they are for."""

import copy
import math
from functools import partial
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from training_networks import APART, frozen, needs_compiler, split_for_all, train_together

import initguide
from initguide.models import Net, mlp
from initguide.training import engine, train, train_many
from initguide.training.engine.connected import Connected


def _both(build, data, seed=0, **keywords):
    """One model trained by compiled steps and its copy by PyTorch, each with its run."""
    torch.manual_seed(seed)
    model = build()
    given = {"epochs": 2, "batch_size": 32, "learning_rates": [0.01], "seeds": [seed]} | keywords
    found = []
    for way in ("compiled", "alone"):
        trained = copy.deepcopy(model)
        [run] = train_many([trained], data, labels=[""], way=way, **given)
        found.append((trained, run))
    return found


@needs_compiler
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum"])
@pytest.mark.parametrize(
    "build",
    [
        Net,
        partial(Net, 8, 4, dropout=0.0),
        partial(mlp, [784, 40, 40, 40, 10], dropout=0.5),
        partial(mlp, [784, 33, 10], bias=False),
        partial(mlp, [784, 20, 10], nn.Identity, dropout=0.3),
        partial(mlp, [784, 10]),
        lambda: nn.Sequential(
            nn.Flatten(), nn.Sequential(nn.Linear(784, 17), nn.Identity(), nn.ReLU(inplace=True)),
            nn.Linear(17, 10, bias=False),
        ),
    ],
)  # fmt: skip
def test_runs_against_pytorch(data, ways, build, optimizer):
    """The same data, order and masks, so the same run up to rounding; and the same weights."""
    (model, run), (other, expected) = _both(build, data, optimizer=optimizer)
    assert ways == [("compiled", 1), ("alone", 1)]
    np.testing.assert_allclose(run.train_losses, expected.train_losses, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(run.valid_loss, expected.valid_loss, rtol=1e-3)
    assert abs(run.valid_accuracy - expected.valid_accuracy) <= 0.051
    for parameter, own in zip(other.parameters(), model.parameters(), strict=True):
        assert (parameter - own).norm() <= 0.01 * parameter.norm()
        assert own.grad is None
    assert all(module.training for module in model.modules())


@needs_compiler
def test_nothing_depends_on_the_other_networks(data):
    """A network gets the same to the last bit alone, among others, and on any number of cores."""
    schemes, given = ["default", "he_normal"], {"epochs": 1, "seeds": 3, "batch_size": 32}
    runs = [
        initguide.compare_init_weights(schemes, data, workers=workers, **given).runs
        for workers in (1, 3)
    ]
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a.train_losses, b.train_losses)
        assert (a.valid_loss, a.test_accuracy) == (b.valid_loss, b.test_accuracy)
    torch.manual_seed(0)
    models = [Net(16, 16), Net(300, 20), Net(16, 16)]
    alone = [train(copy.deepcopy(m), data, epochs=1, seed=k) for k, m in enumerate(models)]
    together = train_many(
        models, data, epochs=1, learning_rates=[1e-3] * 3, seeds=range(3), labels=[""] * 3
    )
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a.train_losses, b.train_losses)
        assert a.valid_loss == b.valid_loss


@needs_compiler
def test_units_that_are_equal_stay_equal(data):
    """To the last bit: sums are taken in the same order for each unit."""
    model = Net(37, 19, constant_weight=0.01, dropout=0)
    train(model, data, learning_rate=0.01)
    for layer in (model.fc1, model.fc2):
        assert not torch.equal(layer.weight, torch.full_like(layer.weight, 0.01))
        assert torch.equal(layer.weight, layer.weight[:1].expand_as(layer.weight))


@needs_compiler
@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_divergence(data, rate):
    """It ends with the same number as in PyTorch, and disturbs no other network."""
    build = partial(Net, 8, 8)
    (_, run), (_, expected) = _both(build, data, learning_rates=[rate], optimizer="sgd")
    assert run.diverged_at == expected.diverged_at is not None
    assert len(run.train_losses) == len(expected.train_losses)
    assert math.isnan(run.valid_accuracy)
    torch.manual_seed(0)
    models = [build() for _ in range(2)]
    alone = train(copy.deepcopy(models[1]), data, optimizer="sgd", learning_rate=0.01)
    _, beside = train_many(
        models, data, learning_rates=[rate, 0.01], seeds=[0, 0], labels="ab", optimizer="sgd"
    )
    np.testing.assert_array_equal(beside.train_losses, alone.train_losses)


@needs_compiler
def test_nan_in_the_images(data):
    """It comes out at the end, as in PyTorch, and is not taken for 0 by ReLU."""
    images = data.train.images.clone()
    images[:, :, 3, 3] = math.nan
    for _, run in _both(Net, split_for_all(images, data.train.labels)):
        assert run.diverged_at == 0


@needs_compiler
@pytest.mark.parametrize("size", [0.0, 1e3, 1e30, 1e37])
def test_scores_of_any_size(data, size):
    """The loss overflows where PyTorch's does, and nowhere else."""
    large = split_for_all(data.train.images * size, data.train.labels)
    (_, run), (_, expected) = _both(Net, large, learning_rates=[1e-30])
    np.testing.assert_allclose(run.train_losses, expected.train_losses, rtol=1e-4)


@needs_compiler
@pytest.mark.parametrize(("width", "batch", "steps"), [(8, 32, 16), (1500, 4000, 1)])
def test_looks_at_stop_every_now_and_then(noise, monkeypatch, width, batch, steps):
    """Large networks and mini-batches are handed to C one at a time."""
    images = noise(20, 0)
    images.images, images.labels = images.images.repeat(800, 1, 1, 1), images.labels.repeat(800)
    given = SimpleNamespace(train=images, valid=noise(5, 1), test=noise(5, 2))
    stop, seen = Event(), []

    def watched(_, order):
        seen.append(len(order) / batch)
        stop.set()
        return torch.zeros(1)

    monkeypatch.setattr(Connected, "steps", watched)
    train(Net(width, width), given, batch_size=batch, stop=stop)
    assert seen == [steps]


@needs_compiler
def test_pruned_networks(data):
    """They have the shapes of their parameters, not those that the layers once had."""

    def build():
        model = mlp([784, 9, 10])
        model.fc1.weight, model.fc1.bias = (
            nn.Parameter(p.detach()[:5]) for p in model.fc1.parameters()
        )
        model.fc2.weight = nn.Parameter(model.fc2.weight.detach()[:, :5].contiguous())
        assert engine.knows(model)
        return model

    (_, run), (_, expected) = _both(build, data)
    np.testing.assert_allclose(run.train_losses, expected.train_losses, rtol=1e-3, atol=1e-4)


def test_lazy_layers(data):
    """They have no parameters before the first batch; nobody asks them for any."""
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
    assert not train(model, data, optimizer=torch.optim.SGD).diverged


@needs_compiler
def test_other_defaults_of_torch(data):
    """What C reads is float32 on the CPU, whatever new tensors are by default."""
    model = Net(16, 16)
    expected = train(copy.deepcopy(model), data, epochs=1)
    torch.set_default_dtype(torch.float64)
    try:
        run = train(copy.deepcopy(model), data, epochs=1)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(run.train_losses, expected.train_losses)


# Which runs


@needs_compiler
@pytest.mark.parametrize(
    "build",
    [APART["hook"](), lambda: frozen(Net(), "fc1.weight"), partial(mlp, [784, 9, 10], nn.Tanh)],
    ids=["hook", "frozen", "tanh"],
)
def test_what_is_not_known_is_trained_by_pytorch(data, ways, build):
    """Also when compiled steps are asked for."""
    train_together([build()], data, rates=[0.01], seeds=[0], way="compiled")
    assert ways == [("alone", 1)]


@needs_compiler
def test_a_label_of_no_class(data, ways):
    """PyTorch refuses it, as ever; C would read whatever lies there."""
    wrong = split_for_all(data.train.images, data.train.labels + 1)
    with pytest.raises(IndexError, match="Target 10 is out of bounds"):
        train(Net(), wrong)
    assert ways == [("alone", 1)]


@needs_compiler
def test_images_that_are_not_taken_are_trained_by_pytorch(data, ways):
    """In the way that is best without compiled steps."""
    turned = split_for_all(data.train.images.transpose(2, 3), data.train.labels)
    torch.manual_seed(0)
    models = [Net(64, 64) for _ in range(2)]
    train_many(models, turned, epochs=1, learning_rates=[0.01] * 2, seeds=[0, 1], labels="ab")
    assert ways == [("side by side", 2)]
