"""Networks that several files train, and how they are trained and compared."""

import itertools
from functools import partial
from threading import Lock
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

from initguide.models import mlp
from initguide.training import StackWarning, engine, train, train_many

needs_compiler = pytest.mark.skipif(not engine.works(), reason="needs a C compiler and AVX2")

# Data


def split_of(count, seed=0):
    """Images of noise, and labels."""
    generator = Generator().manual_seed(seed)
    return SimpleNamespace(
        images=torch.rand(count, 1, 28, 28, generator=generator),
        labels=torch.randint(0, 10, (count,), generator=generator),
    )


def noise_of(count):
    """So many images of noise to train on, and 40 and 30 to look at."""
    return SimpleNamespace(
        train=split_of(count), valid=split_of(40, 1), test=split_of(30, 2), source="made up"
    )


def split_for_all(images, labels):
    """The same images in all three splits."""
    split = SimpleNamespace(images=images, labels=labels)
    return SimpleNamespace(train=split, valid=split, test=split)


# Networks


def seeded(build, seed=0):
    """A network with weights that follow from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def several(build, count=3):
    """Networks of one shape with different weights."""
    return [seeded(build, seed) for seed in range(count)]


class Model(nn.Module):
    """A linear classifier whose scores go through any function of (model, scores)."""

    def __init__(self, change=lambda model, scores: scores, **modules):  # noqa: ARG005
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.change = change
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, images):  # noqa: D102
        return self.change(self, self.fc(images.flatten(1)))


class Spy(nn.Module):
    """Hands its input on, and keeps a copy of each that it sees while training."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, x):  # noqa: D102
        # The look that `train` takes beforehand records no gradients: it does not count.
        if self.training and torch.is_grad_enabled():
            self.seen.append(x.detach().clone())
        return x


class Custom(nn.Module):
    """Two linear layers and whatever else, with any forward: a function of it and the images."""

    def __init__(self, compute, **modules):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 16), nn.Linear(16, 10)
        self.compute = compute
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, images):  # noqa: D102
        return self.compute(self, images)


def hidden(model, images):
    """What a custom network's first layer gives."""
    return model.fc1(images.flatten(1))


def tied():
    """A network two of whose layers share their weights."""
    model = mlp([784, 16, 16, 16, 10])
    model.fc3.weight = model.fc2.weight
    return model


def with_root_parameter(
    compute=lambda model, images: model.fc2(hidden(model, images) * model.gain),
):
    """A network that holds a parameter itself."""
    model = Custom(compute)
    model.gain = nn.Parameter(torch.ones(16))
    return model


def mixing(model, images):
    """What an image gives depends on the others of its mini-batch."""
    h = hidden(model, images)
    return model.fc2(h - h.mean(0))


def constant(model, value=0.01):
    """The same network with parameters that are all equal."""
    for p in model.parameters():
        nn.init.constant_(p, value)
    return model


def frozen(model, *names):
    """The same network, some of whose parameters are not trained."""
    for name in names:
        model.get_parameter(name).requires_grad = False
    return model


def _with_hook():
    model = mlp([784, 16, 10])
    model.fc1.register_forward_hook(lambda *_: None)
    return model


def _with_own_forward():
    model = constant(mlp([784, 16, 10]))
    model.fc1.forward = lambda x: F.linear(x, model.fc1.weight * 2, model.fc1.bias)
    return model


def _with_lock():
    model = mlp([784, 16, 10])
    model.lock = Lock()
    return model


def _of_widths():
    widths = itertools.cycle([16, 32])
    return lambda: mlp([784, next(widths), 10])


def _of_rates():
    rates = itertools.cycle([0.1, 0.5, 0.9])
    return lambda: mlp([784, 16, 10], dropout=next(rates))


def _counting(model, images):
    model.calls = getattr(model, "calls", 0) + 1
    return model.fc2(hidden(model, images)) * (1 + model.calls / 10)


def _compiled_by_torch():
    model = mlp([784, 16, 10])
    model.compile(backend="eager")
    return model


# Networks that nobody may train together: name -> function that gives a function that builds one.
APART = {
    "hook": lambda: _with_hook,
    "own forward": lambda: _with_own_forward,
    "compiled by torch": lambda: _compiled_by_torch,
    "shapes": _of_widths,
    "dropout rates": _of_rates,
    "global generator": lambda: (
        lambda: Custom(
            lambda model, images: model.fc2(F.dropout(hidden(model, images), 0.5, model.training))
        )
    ),
    "cannot be copied": lambda: _with_lock,
    "counts its calls": lambda: partial(Custom, _counting),
}


# Training


RATES, SEEDS = (0.01, 0.02, 0.01), (0, 1, 1)


def train_together(models, data, *, rates=RATES, seeds=SEEDS, **keywords):
    """Train networks by one call."""
    defaults = {"epochs": 2, "batch_size": 32, "labels": "abcdefgh"[: len(models)]}
    return train_many(models, data, learning_rates=rates, seeds=seeds, **(defaults | keywords))


def train_each_alone(models, data, *, rates=RATES, seeds=SEEDS, **keywords):
    """Train each network by a call of its own."""
    defaults = {"epochs": 2, "batch_size": 32}
    return [
        train(model, data, learning_rate=rate, seed=seed, label=label, **(defaults | keywords))
        for model, rate, seed, label in zip(models, rates, seeds, "abcdefgh", strict=False)
    ]


# Comparing


NUMBERS = ("label", "seed", "diverged_at", "valid_loss", "valid_accuracy", "test_accuracy")


def assert_same(runs, expected):
    """The same to the last bit."""
    for run, other in zip(runs, expected, strict=True):
        np.testing.assert_array_equal(run.train_losses, other.train_losses)
        for name in NUMBERS:
            np.testing.assert_equal(getattr(run, name), getattr(other, name))


def assert_close(runs, expected):
    """The same to rounding; an image or so may fall on the other side."""
    for run, other in zip(runs, expected, strict=True):
        assert (run.label, run.seed) == (other.label, other.seed)
        assert run.diverged_at == other.diverged_at
        np.testing.assert_allclose(run.train_losses, other.train_losses, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(run.valid_loss, other.valid_loss, rtol=1e-3)
        for name in ("valid_accuracy", "test_accuracy"):
            np.testing.assert_allclose(getattr(run, name), getattr(other, name), atol=0.051)


def assert_same_weights(models, expected, **tolerance):
    """The same parameters and buffers, to the last bit or to a tolerance."""
    for model, other in zip(models, expected, strict=True):
        for (key, a), b in zip(
            model.state_dict().items(), other.state_dict().values(), strict=True
        ):
            if tolerance:
                torch.testing.assert_close(
                    a, b, equal_nan=True, msg=lambda m, key=key: f"{key}: {m}", **tolerance
                )
            else:
                np.testing.assert_array_equal(a, b, err_msg=key)


def assert_halved(warned, halved):
    """Each part that was halved was said to be."""
    assert {w.category for w in warned} == {StackWarning}
    assert {str(w.message) for w in warned} == {
        f"{count} networks do not fit into the memory of the device together; they are trained in "
        "two parts"
        for count in halved
    }


def state_of(model):
    """A copy of the parameters and buffers."""
    return {key: value.clone() for key, value in model.state_dict().items()}


def assert_same_state(before, after):
    """Two states are the same to the last bit."""
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert torch.equal(value, after[key]), key
