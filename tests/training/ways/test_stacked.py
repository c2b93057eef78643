"""Stacks of networks: each gets what it gets alone, to rounding, or is trained alone."""

import copy
import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from training_networks import (
    APART,
    Custom,
    assert_close,
    assert_halved,
    assert_same,
    assert_same_weights,
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
from initguide.training import evaluate, train_many
from initguide.training.stack import Stack
from initguide.training.ways.stacked import Stacked, stackable

pytestmark = pytest.mark.usefixtures("without_a_compiler")


STACKS = {
    "dropout": lambda: mlp([784, 8, 8, 10], dropout=0.3),
    "dropout of the inputs": lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.2), *_layers()),
    "layer norm": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 10, bias=False)
    ),
    "tied weights": tied,
    "root parameter": with_root_parameter,
    "mixes examples": lambda: Custom(mixing),
    "useless parameter": lambda: with_root_parameter(
        lambda model, images: model.fc2(F.layer_norm(hidden(model, images) + model.gain[:1], (16,)))
    ),
}


def _layers():
    return nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10)


@pytest.mark.parametrize("seeds", [(0, 1, 1), (0, 0, 0)])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum"])
@pytest.mark.parametrize("name", STACKS)
def test_stacked_to_rounding(data, ways, name, optimizer, seeds):
    """Losses and weights are those of each alone, with the same masks; so is the evaluation."""
    models, others = several(STACKS[name]), several(STACKS[name])
    runs = train_together(models, data, optimizer=optimizer, seeds=seeds, way="stacked")
    assert ways == [("stacked", 3)]
    assert_close(runs, train_each_alone(others, data, optimizer=optimizer, seeds=seeds))
    if optimizer != "adam" or name not in ("mixes examples", "useless parameter"):
        # With Adam, a parameter that nothing depends on goes where rounding sends it.
        assert_same_weights(models, others, rtol=1e-3, atol=1e-4)
    for model, run in zip(models, runs, strict=True):
        found = evaluate(model, data.valid)
        assert run.valid_loss == pytest.approx(found.loss, rel=1e-5)
        assert run.valid_accuracy == pytest.approx(found.accuracy, abs=0.051)


def test_whoever_else_is_in_the_stack(data):
    """A network's numbers do not depend on the others, nor on its place among them."""
    models = several(STACKS["dropout"], 5)
    others = copy.deepcopy([models[3], models[1]])
    keywords = {"way": "stacked", "optimizer": "sgd"}
    runs = train_together(models, data, rates=[0.1] * 5, seeds=range(5), **keywords)
    fewer = train_together(others, data, rates=[0.1] * 2, seeds=[3, 1], **keywords)
    for run, other in zip((runs[3], runs[1]), fewer, strict=True):
        np.testing.assert_allclose(run.train_losses, other.train_losses, rtol=1e-4)


@pytest.mark.parametrize("parts", [([0, 2, 4], [1, 3, 5]), ([0], [1, 2, 3, 4, 5])])
def test_who_else_is_in_a_stack_moves_no_digit(data, parts):
    """Also where all of a part share the seed, and so the mini-batches, and where one is alone."""

    def trained(numbers):
        models = [seeded(partial(Net, 16, 16), i) for i in numbers]
        rates, seeds = [1e-2 / (1 + i) for i in numbers], [i % 2 for i in numbers]
        runs = train_together(models, data, way="stacked", rates=rates, seeds=seeds)
        return dict(zip(numbers, runs, strict=True))

    expected = trained(range(6))
    for part in parts:
        for i, run in trained(part).items():
            np.testing.assert_array_equal(run.train_losses, expected[i].train_losses)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
def test_stacks_are_statistically_what_runs_alone_are(sample, device):
    """The lesson's network, dropout on, other masks: no difference between the means of 24 runs."""
    few = sample.subset(train=1000, valid=500, test=500)
    found = {}
    for way, where, seeds in (("alone", "cpu", range(24)), ("stacked", device, range(24, 48))):
        models = [seeded(Net, seed).to(where) for seed in seeds]
        settings = {"learning_rates": [1e-3] * 24, "seeds": seeds, "labels": ["net"] * 24}
        runs = train_many(models, few, epochs=2, batch_size=50, way=way, **settings)
        found[way] = np.array([(run.valid_accuracy, run.train_loss) for run in runs])
    difference = found["stacked"].mean(0) - found["alone"].mean(0)
    error = np.sqrt(sum(values.var(0, ddof=1) for values in found.values()) / 24)
    assert (np.abs(difference) < 3.5 * error).all()  # a chance of 1 in 1,000 with other seeds
    assert error[0] < 0.01
    assert found["stacked"][:, 0].mean() > 0.5


# Divergence


@pytest.mark.parametrize("broken", [5, 8])
def test_a_stack_loses_those_that_diverge(data, ways, monkeypatch, broken):
    """Where many have diverged, the others go on in a smaller stack, or nothing is left to do."""
    kept, real = [], Stack.keep
    monkeypatch.setattr(
        Stack, "keep", lambda self, which: (kept.append(len(which)), real(self, which))
    )
    rates = [1e20] * (broken - 1) + [3.5] + [0.1] * (8 - broken)
    rates = [rates[i] for i in (6, 2, 7, 0, 4, 5, 1, 3)]
    build = partial(mlp, [784, 16, 16, 10], nn.Identity, dropout=0.2)
    models, others = several(build, 8), several(build, 8)
    keywords = {"rates": rates, "seeds": range(8), "optimizer": "sgd", "epochs": 5}
    runs = train_together(models, data, way="stacked", **keywords)
    assert ways == [("stacked", 8)]
    assert kept[0] == 8 - broken + 1
    expected = train_each_alone(others, data, **keywords)
    assert [run.diverged_at for run in runs] == [run.diverged_at for run in expected]
    alive = [i for i, run in enumerate(runs) if not run.diverged]
    assert len(alive) == 8 - broken
    assert_close([runs[i] for i in alive], [expected[i] for i in alive])
    for i in alive:
        assert_same_weights([models[i]], [others[i]], rtol=1e-3, atol=1e-4)
    for i in set(range(8)) - set(alive):
        assert not all(p.isfinite().all() for p in models[i].parameters())
        assert math.isnan(runs[i].valid_loss)
        assert math.isnan(runs[i].test_accuracy)


def test_divergence_in_the_last_step_of_a_stack(data):
    """It shows on the validation images, and the run says so."""
    runs = train_together(
        several(partial(mlp, [784, 8, 10])), data,
        rates=[0.1, 1e38, 0.1], batch_size=80, epochs=1, optimizer="sgd", way="stacked",
    )  # fmt: skip
    assert [run.diverged_at for run in runs] == [None, 1, None]
    assert math.isnan(runs[1].valid_loss)


# What cannot be stacked


def _branching(model, images):
    h = hidden(model, images)
    return model.fc2(h * 2 if model.training and h.sum() > 0 else h)


def _with_parameter_hook():
    model = mlp([784, 16, 10])
    model.fc1.weight.register_hook(lambda grad: grad * 0)
    return model


def _with_buffer():
    model = Custom(lambda model, images: model.fc2(hidden(model, images) * model.mask))
    model.register_buffer("mask", torch.ones(16))
    return model


def _of_activations():
    functions = itertools.cycle([torch.tanh, torch.relu])

    def build():
        model = Custom(lambda model, images: model.fc2(model.act(hidden(model, images))))
        model.act = next(functions)
        return model

    return build


UNSTACKABLE = {
    "buffer": lambda: _with_buffer,
    "batch norm": lambda: (
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16), nn.Linear(16, 10)
        )
    ),
    "frozen": lambda: lambda: frozen(mlp([784, 16, 10]), "fc1.weight"),
    "control flow in training": lambda: lambda: Custom(_branching),
    "hook of a parameter": lambda: _with_parameter_hook,
    "functions": _of_activations,
    **APART,
}


@pytest.mark.parametrize("name", UNSTACKABLE)
def test_what_cannot_be_stacked(data, ways, name):
    """It is found out, and each network is trained as if alone."""
    models, others = (several(UNSTACKABLE[name]()) for _ in range(2))
    before = torch.random.get_rng_state()
    assert name == "global generator" or not stackable(models, data.train.images[:2])
    runs = train_together(models, data, way="stacked")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert ways == [("alone", 1)] * 3
    assert_same(runs, train_each_alone(others, data))
    assert_same_weights(models, others)


def test_a_function_as_optimizer_is_not_stacked(data, ways):
    """It may look at a whole tensor at once."""
    models, others = (several(partial(mlp, [784, 8, 10])) for _ in range(2))
    runs = train_together(models, data, optimizer=torch.optim.RMSprop, way="stacked")
    assert ways == [("alone", 1)] * 3
    assert_same(runs, train_each_alone(others, data, optimizer=torch.optim.RMSprop))


# Memory


@pytest.mark.parametrize("where", ["steps", "evaluate"])
@pytest.mark.parametrize(("room", "halved"), [(1, {5, 2, 3}), (3, {5})])
def test_a_stack_that_does_not_fit_into_memory(  # noqa: PLR0917  two are fixtures
    data, small_memory, recwarn, room, halved, where
):
    """It is halved until it does, with a warning each time; the numbers are the same."""
    models, others = (several(partial(Net, 8, 8), 5) for _ in range(2))
    keywords = {"rates": [0.01] * 5, "seeds": range(5), "way": "stacked"}
    expected = train_together(others, data, **keywords)
    small_memory(Stacked, where, room, lambda stacked, *_: len(stacked.tasks))
    runs = train_together(models, data, **keywords)
    assert_halved(recwarn, halved)
    assert_close(runs, expected)
    assert_same_weights(models, others, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batches", [0, 2])
def test_a_stack_of_one_that_does_not_fit(data, small_memory, recwarn, batches):
    """Each is trained alone, from its own weights, also where memory ends on the way."""
    models, others = (several(partial(Net, 8, 8)) for _ in range(2))
    done = []

    def needed(stacked, _):
        done.append(stacked)
        return len(done) > batches

    small_memory(Stacked, "steps", 0, needed)
    runs = train_together(models, data, way="stacked", epochs=4)
    assert_halved(recwarn, {3, 2})
    assert_same(runs, train_each_alone(others, data, epochs=4))
