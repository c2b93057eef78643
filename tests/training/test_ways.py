"""What every way of training is held to: the same numbers as alone, and nothing else touched."""

import copy
import math
from functools import partial
from threading import Event

import numpy as np
import pytest
import torch
from torch import nn
from training_networks import (
    APART,
    assert_close,
    assert_same,
    assert_same_weights,
    needs_compiler,
    noise_of,
    several,
    train_together,
)

from initguide.models import Net, mlp
from initguide.training import evaluate, train_many
from initguide.training.ways import WAYS

# Ways whose numbers are those of each network alone to the last bit; those of others, to rounding.
# (The mini-batches here are no larger than a piece.)
EXACT = {"alone", "side by side", "in pieces"}
NETWORKS = {
    "lesson": partial(Net, 16, 8),
    "deep": partial(mlp, [784, 20, 20, 10], dropout=0.5),
    "no bias": partial(mlp, [784, 33, 10], bias=False),
    "linear": partial(mlp, [784, 16, 16, 10], nn.Identity, dropout=0.2),
}

pytestmark = pytest.mark.parametrize(
    "way", [pytest.param(w, marks=needs_compiler if w == "compiled" else ()) for w in WAYS]
)


@pytest.fixture(scope="module")
def data():
    """80 + 40 + 30 images of noise: two mini-batches of 32 an epoch, and one of 16."""
    return noise_of(80)


def _assert_agree(way, runs, expected):
    (assert_same if way in EXACT else assert_close)(runs, expected)


def _assert_weights_agree(way, models, expected):
    # Where a gradient is nearly 0, Adam makes a whole step of what is left by rounding.
    tolerance = {} if way in EXACT else {"rtol": 1e-2, "atol": 2e-3}
    assert_same_weights(models, expected, **tolerance)


@pytest.mark.parametrize("seeds", [(0, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_numbers_that_each_gets_alone(  # noqa: PLR0917  each is a parameter
    data, ways, way, name, optimizer, seeds
):
    """The same images, order and masks, so the same losses, accuracies and weights."""
    models, others = several(NETWORKS[name]), several(NETWORKS[name])
    keywords = {"optimizer": optimizer, "seeds": seeds}
    runs = train_together(models, data, way=way, **keywords)
    assert {name for name, _ in ways} == {way}
    assert sum(count for _, count in ways) == 3
    _assert_agree(way, runs, train_together(others, data, way="alone", **keywords))
    _assert_weights_agree(way, models, others)


def test_same_seed_same_order_and_masks(data, way):
    """Copies of one network with one seed get the same losses; with another seed, others."""
    models = [copy.deepcopy(model) for model in several(Net, 1) for _ in range(3)]
    a, b, c = train_together(models, data, rates=[0.01] * 3, seeds=[1, 1, 2], way=way)
    np.testing.assert_array_equal(a.train_losses, b.train_losses)
    assert (a.train_losses != c.train_losses).all()


def test_whoever_else_is_trained(data, way):
    """A network's losses do not depend on the others, nor on its place among them."""
    models = several(NETWORKS["lesson"], 5)
    few = copy.deepcopy([models[3], models[1]])
    runs = train_together(models, data, rates=[0.1] * 5, seeds=range(5), way=way, optimizer="sgd")
    fewer = train_together(few, data, rates=[0.1] * 2, seeds=[3, 1], way=way, optimizer="sgd")
    for run, other in zip((runs[3], runs[1]), fewer, strict=True):
        np.testing.assert_array_equal(run.train_losses, other.train_losses)


# Divergence


def test_divergence(data, way):
    """It is recorded at the same mini-batch, ends that run, and disturbs no other."""
    build = NETWORKS["linear"]
    rates, seeds = [0.1, 1e20, 0.05, 3.5, 0.1], [0, 0, 1, 1, 2]
    keywords = {"rates": rates, "seeds": seeds, "optimizer": "sgd", "epochs": 5}
    models, others = several(build, 5), several(build, 5)
    runs = train_together(models, data, way=way, **keywords)
    expected = train_together(others, data, way="alone", **keywords)
    ends = [run.diverged_at for run in runs]
    assert ends == [run.diverged_at for run in expected]
    assert ends[1] < 3 <= ends[3] < 15  # in the first epoch, and in a later one
    assert ends[::2] == [None] * 3
    _assert_agree(way, runs[::2], expected[::2])
    _assert_weights_agree(way, models[::2], others[::2])
    for run, end in ((runs[1], ends[1]), (runs[3], ends[3])):
        assert len(run.train_losses) == end + 1
        assert np.isfinite(run.train_losses[:-1]).all()
        assert not np.isfinite(run.train_losses[-1])
        assert np.isnan([run.valid_loss, run.valid_accuracy, run.test_accuracy]).all()


def test_divergence_of_all(data, way):
    """Training ends, and all runs say where."""
    runs = train_together(
        several(NETWORKS["linear"]), data, rates=[1e20] * 3, optimizer="sgd", epochs=50, way=way
    )
    assert all(0 < run.diverged_at < 3 for run in runs)


def test_divergence_in_the_last_step(data, way):
    """It shows on the validation images, and the run says so."""
    runs = train_together(
        several(partial(mlp, [784, 8, 10])), data,
        rates=[0.1, 1e38, 0.1], batch_size=80, epochs=1, optimizer="sgd", way=way,
    )  # fmt: skip
    assert [run.diverged_at for run in runs] == [None, 1, None]
    assert len(runs[1].train_losses) == 1
    assert np.isnan([runs[1].valid_loss, runs[1].valid_accuracy, runs[1].test_accuracy]).all()


# The end


def test_stop(data, way):
    """All end at the next look, with the weights of the steps that were done, and are measured."""
    stop = Event()
    stop.set()
    models, others = several(NETWORKS["lesson"]), several(NETWORKS["lesson"])
    runs = train_together(models, data, epochs=9, way=way, stop=stop)
    expected = train_together(others, data, epochs=1, way=way)  # a look comes after each epoch
    assert_same(runs, expected)
    assert_same_weights(models, others)


class _Looking:
    """A stop that notes the weights at each look, and may raise."""

    def __init__(self, model, raises=math.inf):
        self.model, self.raises, self.seen = model, raises, []

    def is_set(self):
        self.seen.append(float(self.model.fc1.weight.detach().abs().sum()))
        if len(self.seen) >= self.raises:
            raise KeyboardInterrupt
        return False


def test_a_stop_that_looks_at_the_model(data, way):
    """It sees the weights as they are then."""
    models = several(NETWORKS["lesson"])
    stop = _Looking(models[-1])
    train_together(models, data, epochs=3, way=way, stop=stop)
    assert len(set(stop.seen)) == 3 + (not WAYS[way].together)  # before its turn, as it began


def test_interrupted(data, way):
    """Somebody who presses Ctrl-C has models that were trained up to there."""
    models, others = several(NETWORKS["lesson"]), several(NETWORKS["lesson"])
    with pytest.raises(KeyboardInterrupt):
        train_together(models, data, epochs=9, way=way, stop=_Looking(models[0], raises=2))
    train_together(others, data, epochs=2, way=way)
    trained = slice(None) if WAYS[way].together else slice(1)  # the others had no turn yet
    assert_same_weights(models[trained], others[trained])


def test_steps_that_raise(data, way, monkeypatch):
    """The error comes through, and the models have what was trained before."""
    real, calls = WAYS[way].steps, []

    def steps(self, orders):
        calls.append(orders)
        if len(calls) == 2:
            raise RuntimeError("planted")
        return real(self, orders)

    monkeypatch.setattr(WAYS[way], "steps", steps)
    [model] = several(NETWORKS["lesson"], 1)
    before = copy.deepcopy(model)
    models = [model, *several(NETWORKS["lesson"], 1)]
    with pytest.raises(RuntimeError, match="planted"):
        train_together(models, data, rates=[0.01] * 2, seeds=[0, 1], epochs=9, way=way)
    assert not torch.equal(model.fc1.weight, before.fc1.weight)


# What is left


def test_what_is_left(data, way):
    """Trained models in training mode, without gradients; parameters and layers are the same."""
    models = several(NETWORKS["lesson"])
    models[1].eval()
    for model in models:
        model.fc1.weight.grad = torch.ones_like(model.fc1.weight)
    held = [[*model.parameters(), *model.modules()] for model in models]
    before = copy.deepcopy(models)
    train_together(models, data, way=way)
    for model, old, parts in zip(models, before, held, strict=True):
        assert not torch.equal(model.fc1.weight, old.fc1.weight)
        assert all(
            a is b for a, b in zip(parts, [*model.parameters(), *model.modules()], strict=True)
        )
        assert all(module.training for module in model.modules())
        assert all(p.grad is None and p.requires_grad and p.is_leaf for p in model.parameters())
        assert not any("forward" in vars(module) for module in model.modules())


def test_nothing_global_is_touched(data, way):
    """Torch's generator and its threads are as they were, and the data too."""
    images = data.train.images.clone()
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train_together(several(NETWORKS["deep"]), data, way=way)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(data.train.images, images)


def test_measured_in_evaluation_mode(data, way):
    """A run's numbers are those of `evaluate` on the trained model: dropout is off."""
    models = several(NETWORKS["deep"])
    for model, run in zip(models, train_together(models, data, way=way), strict=True):
        valid, test = evaluate(model, data.valid), evaluate(model, data.test)
        assert run.valid_loss == pytest.approx(valid.loss, rel=1e-5)
        assert run.valid_accuracy == pytest.approx(valid.accuracy, abs=0.026)  # one image
        assert run.test_accuracy == pytest.approx(test.accuracy, abs=0.034)
        assert run.seconds > 0


# What a way is not for


def _normed():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16), nn.Linear(16, 10))


def test_running_statistics(data, way):
    """Each network counts its own training batches, and those alone, in whatever way it goes."""
    models, others = several(_normed), several(_normed)
    runs = train_together(models, data, way=way)
    assert_same(runs, train_together(others, data, way="alone"))
    assert_same_weights(models, others)
    assert all(model[2].num_batches_tracked == 6 for model in models)


@pytest.mark.parametrize("name", APART)
def test_what_may_not_go_together(data, ways, way, name):
    """Each is trained alone, or in pieces, whatever is asked for."""
    models, others = (several(APART[name]()) for _ in range(2))
    if way == "compiled" and name in {"shapes", "dropout rates", "cannot be copied"}:
        pytest.skip("a way that trains one after the other can")
    state = torch.get_rng_state()
    runs = train_together(models, data, way=way)
    assert torch.equal(torch.get_rng_state(), state)
    assert ways == [(way if way == "in pieces" else "alone", 1)] * 3
    assert_same(runs, train_together(others, data, way="alone"))
    assert_same_weights(models, others)


def test_an_optimizer_by_function(data, ways, way):
    """It may look at a whole tensor at once: only ways that leave the tensors alone take it."""
    models, others = (several(NETWORKS["lesson"]) for _ in range(2))
    runs = train_together(models, data, optimizer=torch.optim.RMSprop, way=way)
    assert {name for name, _ in ways} == {way if way in EXACT else "alone"}
    assert_same(runs, train_together(others, data, optimizer=torch.optim.RMSprop, way="alone"))
    assert_same_weights(models, others)


def test_no_models(data, way):
    """No models are no runs."""
    nothing = {"learning_rates": [], "seeds": [], "labels": []}
    assert train_many([], data, way=way, **nothing) == []
