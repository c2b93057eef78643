"""`fit_many` against torch's own loops and against NumPy."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, nn
from training_networks import assert_halved, seeded

from initguide.training import fit_many, many, quick_layers
from initguide.training.stack import Stack


def _problem(count=5, seed=0):
    """A tiny network, weights for several like it, and data."""
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    draws = Generator().manual_seed(seed)
    start = {
        name: torch.randn(count, *p.shape, generator=draws) for name, p in model.named_parameters()
    }
    x = torch.randn(10, 3, generator=draws)
    return model, start, x, torch.randn(10, 2, generator=draws)


def _streams(seed):
    """Generators of the order of the data and of the masks."""
    state = np.random.SeedSequence(seed).generate_state(2)
    return [Generator().manual_seed(int(number)) for number in state]


def _batches(generator, count, batch, steps):
    """Whole mini-batches of all the data, or of as many as fit into it, anew each epoch."""
    if batch == count:
        return [torch.arange(count)] * steps
    each = count // batch
    epochs = [torch.randperm(count, generator=generator) for _ in range(math.ceil(steps / each))]
    return [part for order in epochs for part in order.split(batch)[:each]][:steps]


TORCHS = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
}


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("batch_size", [None, 4, 10, 99])
@pytest.mark.parametrize("optimizer", TORCHS)
def test_fit_many_is_the_plain_loop(optimizer, batch_size, dropout):
    """Losses and weights are those of torch's optimizers, network by network."""
    model, start, x, y = _problem()
    model.append(nn.Dropout(dropout))
    rates, seeds = torch.tensor([0.01, 0.1, 0.01, 0.05, 0.2]), [3, 0, 3, 1, 2]
    fits = fit_many(
        model, start, x, y, steps=7, learning_rate=rates, loss=F.mse_loss,
        optimizer=optimizer, batch_size=batch_size, seeds=seeds,
    )  # fmt: skip
    assert fits.losses.shape == (7, 5)
    assert fits.losses.dtype == np.float32
    for k, seed in enumerate(seeds):
        one = copy.deepcopy(model)
        one.load_state_dict({name: tensor[k] for name, tensor in start.items()})
        steps = TORCHS[optimizer](one.parameters(), lr=float(rates[k]))
        order, masks = _streams(seed)
        losses = []
        with quick_layers([one], [masks]):
            for part in _batches(order, 10, min(batch_size or 10, 10), 7):
                loss = F.mse_loss(one(x[part]), y[part])
                steps.zero_grad()
                loss.backward()
                steps.step()
                losses.append(loss.item())
        np.testing.assert_allclose(fits.losses[:, k], losses, rtol=1e-4)
        for name, p in one.named_parameters():
            torch.testing.assert_close(fits.parameters[name][k], p.data, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("cache", [1, 60, 100])
def test_parts_and_workers_change_nothing(monkeypatch, cache, workers):
    """A network's numbers follow from its own weights, rate and seed, dropout and all."""
    model, start, x, y = _problem(7)
    model.insert(1, nn.Dropout(0.5))
    start = {name.replace("2.", "3."): tensor for name, tensor in start.items()}
    keywords = {"steps": 9, "learning_rate": torch.linspace(0.01, 0.1, 7), "loss": F.mse_loss}
    keywords |= {"batch_size": 3, "seeds": [0, 1, 1, 2, 0, 5, 1]}
    together = fit_many(model, start, x, y, **keywords)
    sizes, real = [], many._fit
    monkeypatch.setattr(
        many, "_fit", lambda *args: (sizes.append(len(args[-1].seeds)), real(*args))[1]
    )
    monkeypatch.setattr(many, "PART", cache)  # a network has 26 parameters
    parts = fit_many(model, start, x, y, workers=workers, **keywords)
    size = max(1, cache // 26)
    assert sorted(sizes) == sorted([size] * (7 // size) + [7 % size] * (7 % size > 0))
    np.testing.assert_allclose(parts.losses, together.losses, rtol=1e-4)
    for name, tensor in together.parameters.items():
        torch.testing.assert_close(parts.parameters[name], tensor, rtol=1e-4, atol=1e-5)


def test_order_and_masks_follow_from_the_seeds():
    """The same seed gives the same numbers, another one others: of the order and of the masks."""
    model, start, x, y = _problem(1)
    start = {name: tensor.expand(3, *tensor.shape[1:]) for name, tensor in start.items()}
    for dropout, batch_size in ((0.5, None), (0.0, 4)):
        dropped = nn.Sequential(nn.Dropout(dropout), *model)
        own = {f"{int(name[0]) + 1}{name[1:]}": tensor for name, tensor in start.items()}
        losses = fit_many(
            dropped, own, x, y, steps=5, learning_rate=0.01, loss=F.mse_loss,
            batch_size=batch_size, seeds=[4, 5, 4],
        ).losses  # fmt: skip
        np.testing.assert_array_equal(losses[:, 0], losses[:, 2])
        assert (losses[:, 0] != losses[:, 1]).all()


@pytest.mark.parametrize("whole", [True, False])
def test_dropout_is_on_in_training_mode(whole):
    """In the whole model, or in the one part that is in training mode; off in evaluation mode."""
    model, start, x, y = _problem(2)
    model = nn.Sequential(*model, nn.Dropout(0.5))
    keywords = {"steps": 1, "learning_rate": 0.1, "loss": F.mse_loss}
    plain = fit_many(model.eval(), start, x, y, **keywords)
    expected = F.mse_loss(
        torch.func.functional_call(model, {n: t[0] for n, t in start.items()}, (x,)), y
    )
    assert plain.losses[0, 0] == pytest.approx(expected.item(), rel=1e-5)
    (model if whole else model[-1]).train()
    assert (fit_many(model, start, x, y, **keywords).losses != plain.losses).all()


def test_divergence_in_fit_many_disturbs_no_other():
    """One network with a huge rate becomes NaN; the others get what they get without it."""
    model, start, x, y = _problem()
    rates = torch.tensor([0.1, 0.1, 1e30, 0.1, 0.1])
    keywords = {"steps": 10, "loss": F.mse_loss}
    fits = fit_many(model, start, x, y, learning_rate=rates, **keywords)
    assert not np.isfinite(fits.losses[-1, 2])
    others = [0, 1, 3, 4]
    rest = {name: tensor[others] for name, tensor in start.items()}
    expected = fit_many(model, rest, x, y, learning_rate=0.1, **keywords)
    np.testing.assert_allclose(fits.losses[:, others], expected.losses, rtol=1e-4)
    for name, tensor in expected.parameters.items():
        torch.testing.assert_close(fits.parameters[name][others], tensor, rtol=1e-4, atol=1e-6)


def test_fit_many_touches_nothing():
    """Not the model, the weights given, the data, torch's threads or its generator."""
    model, start, x, y = _problem()
    model = nn.Sequential(*model, nn.Dropout(0.5))
    before = copy.deepcopy((model.state_dict(), start, x, y))
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fit_many(model, start, x, y, steps=3, learning_rate=0.1, loss=F.mse_loss, batch_size=4)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.testing.assert_close((model.state_dict(), start, x, y), before, rtol=0, atol=0)
    assert not any(t.requires_grad for t in (*start.values(), x, y))
    assert all(p.grad is None for p in model.parameters())
    assert not any("forward" in vars(part) for part in model.modules())


@pytest.mark.parametrize(("room", "halved"), [(1, {7, 3, 4, 2}), (3, {7, 4})])
def test_parts_that_do_not_fit_into_memory(small_memory, recwarn, room, halved):
    """They are halved until they do, with a warning each time; the numbers are the same."""
    model, start, x, y = _problem(7)
    keywords = {"steps": 4, "learning_rate": torch.linspace(0.1, 0.2, 7), "loss": F.mse_loss}
    keywords |= {"seeds": range(7), "batch_size": 5}
    expected = fit_many(model, start, x, y, **keywords)
    small_memory(many, "_fit", room, lambda *args: len(args[-1].seeds))
    fits = fit_many(model, start, x, y, **keywords)
    assert_halved(recwarn, halved)
    np.testing.assert_allclose(fits.losses, expected.losses, rtol=1e-4)
    for name, tensor in expected.parameters.items():
        torch.testing.assert_close(fits.parameters[name], tensor, rtol=1e-4, atol=1e-6)


def test_one_network_that_does_not_fit(small_memory):
    """There is nothing to halve: torch's own error comes through."""
    model, start, x, y = _problem(1)
    small_memory(many, "_fit", 0, lambda *args: len(args[-1].seeds))
    with pytest.raises(torch.OutOfMemoryError, match="planted"):
        fit_many(model, start, x, y, steps=1, learning_rate=0.1)


WRONG = {
    "optimizer": ({"optimizer": "adagrad"}, "optimizer is 'adagrad'; .* adam, sgd, momentum"),
    "targets": ({"targets": torch.zeros(9, 2)}, "10 inputs and 9 targets; give as many of both"),
    "nothing": (
        {"inputs": torch.zeros(0, 3), "targets": torch.zeros(0, 2)},
        "0 inputs and 0 targets; .* at least one",
    ),
    "steps": ({"steps": 0}, "steps is 0; it must be a whole number, at least 1"),
    "steps, none": ({"steps": None}, "steps is None; it must be a whole number"),
    "steps, half": ({"steps": 1.5}, "steps is 1.5; it must be a whole number"),
    "steps, bool": ({"steps": True}, "steps is True; it must be a whole number"),
    "batch_size": ({"batch_size": 0}, "batch_size is 0; it must be a whole number, at least 1"),
    "workers": ({"workers": -1}, "workers is -1; it must be a whole number, at least 1"),
    "rates": ({"learning_rate": torch.ones(4)}, r"learning_rate has shape \(4,\); .* or \(5,\)"),
    "rate 0": ({"learning_rate": 0.0}, "learning_rate is or has 0.0; it must be finite and above"),
    "rate nan": ({"learning_rate": torch.tensor([1, 1, 1, math.nan, 1])}, "has nan; it must be"),
    "rate inf": ({"learning_rate": math.inf}, "has inf; it must be finite"),
    "seeds": ({"seeds": [1, 2]}, "seeds has 2 numbers; give one, or 5"),
    "seed, negative": (
        {"seeds": [0, 1, -2, 3, 4]},
        "seeds is -2; it must be a whole number, at least 0",
    ),
    "seed, half": ({"seeds": 0.5}, "seeds is 0.5; it must be a whole number, at least 0"),
    "seed, bool": ({"seeds": True}, "seeds is True; it must be a whole number, at least 0"),
    "no parameters": ({"model": nn.Tanh()}, "model has no parameters, so there is nothing"),
    "buffers": (
        {"model": nn.BatchNorm1d(3)},
        "model has buffers .running_mean, running_var, .*without running statistics",
    ),
    "names": ({"parameters": {}}, r"parameters has nothing; the model has 0\.bias, 0\.weight, 2\."),
    "shape": ({"0.bias": torch.zeros(5, 3)}, r"has 0.bias of shape \(5, 3\); it must be \(S, 4\)"),
    "counts": ({"0.bias": torch.zeros(6, 4)}, r"of shape \(.*\); .* the same S for all"),
    "none": ({"0.bias": torch.zeros(0, 4)}, r"of shape \(.*\); .* at least 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_fit_many_says_what_is_wrong(name):
    """Each message names the argument, what came and what is allowed."""
    changes, message = WRONG[name]
    model, start, x, y = _problem()
    given = {"model": model, "parameters": start, "inputs": x, "targets": y}
    given |= {"steps": 1, "learning_rate": 0.1, "loss": F.mse_loss} | changes
    if (bias := given.pop("0.bias", None)) is not None:
        given["parameters"] = start | {"0.bias": bias}
    with pytest.raises(ValueError, match=message):
        fit_many(**given)


class _Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.gain * x


def test_a_parameter_that_is_one_number():
    """It has the shape (S,) for S networks, and without that dimension it is refused."""
    x = torch.ones(2, 1)
    keywords = {"steps": 1, "learning_rate": 0.25, "loss": F.mse_loss}
    fits = fit_many(_Scaled(), {"gain": torch.tensor([1.0, 3.0])}, x, x * 2, **keywords)
    assert fits.parameters["gain"].tolist() == [1.5, 2.5]
    with pytest.raises(ValueError, match=r"gain of shape \(\); it must be \(S, \)"):
        fit_many(_Scaled(), {"gain": torch.tensor(1.0)}, x, x, **keywords)


@settings(deadline=None, max_examples=20)
@given(
    count=st.integers(1, 6), inputs=st.integers(1, 5), outputs=st.integers(1, 4),
    examples=st.integers(1, 8), steps=st.integers(1, 6), seed=st.integers(0, 2**32 - 1),
    bias=st.booleans(),
)  # fmt: skip
def test_a_linear_model_in_numpy(*, count, inputs, outputs, examples, steps, seed, bias):
    """The gradient of the squared error is known: SGD by hand gives the same."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(examples, inputs)), rng.normal(size=(examples, outputs))
    weights = rng.normal(size=(count, outputs, inputs))
    biases = rng.normal(size=(count, outputs)) * bias
    rates = rng.uniform(0.001, 0.1, count)
    start = {"weight": weights, "bias": biases} if bias else {"weight": weights}
    fits = fit_many(
        nn.Linear(inputs, outputs, bias=bias),
        {name: torch.tensor(value, dtype=torch.float32) for name, value in start.items()},
        *(torch.tensor(array, dtype=torch.float32) for array in (x, y)),
        steps=steps, learning_rate=torch.tensor(rates), loss=F.mse_loss,
    )  # fmt: skip
    for losses, weight, shift, rate in zip(fits.losses.T, weights, biases, rates, strict=True):
        for loss in losses:
            error = x @ weight.T + shift - y
            assert loss == pytest.approx((error**2).mean(), rel=1e-3, abs=1e-5)
            weight[:] -= rate * 2 / error.size * error.T @ x
            shift[:] -= rate * 2 / error.size * error.sum(0) * bias
    np.testing.assert_allclose(fits.parameters["weight"], weights, rtol=1e-3, atol=1e-4)
    if bias:
        np.testing.assert_allclose(fits.parameters["bias"], biases, rtol=1e-3, atol=1e-4)


# Networks that diverged, and the others of their stack


STEPS = 60


@pytest.fixture
def task():
    """Return a network, 40 times its parameters, and eight examples."""
    draw = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    start = {
        name: torch.randn(40, *p.shape, generator=draw) for name, p in model.named_parameters()
    }
    x, y = (torch.randn(8, n, generator=draw) for n in (4, 1))
    return model, start, x, y


def _fit_some(task, chosen=slice(None), **how):
    """Train some of the networks; every second one with a rate that is far too large."""
    model, start, x, y = task
    rates = torch.where(torch.arange(40) % 2 == 0, 0.05, 50.0)[chosen]
    start = {name: tensor[chosen] for name, tensor in start.items()}
    how = {"steps": STEPS, "loss": F.mse_loss} | how
    return fit_many(model, start, x, y, learning_rate=rates, **how)


@pytest.mark.parametrize(
    "how",
    [{}, {"optimizer": "momentum"}, {"batch_size": 4, "seeds": range(40)}],
    ids=["full batch", "momentum", "own order"],
)
def test_diverged_networks_are_dropped_and_change_nothing(task, how, monkeypatch):
    """Losses and weights are those of a stack in which every network is computed to the end."""
    sizes = []
    losses = Stack.losses

    def noted(self, *given, **more):
        sizes.append(len(self))
        return losses(self, *given, **more)

    monkeypatch.setattr(Stack, "losses", noted)
    quick = _fit_some(task, **how)
    assert sizes[0] == 40
    assert sizes[-1] == 20  # the others are no longer computed
    monkeypatch.setattr(many, "SPARE", 0)
    slow = _fit_some(task, **how)
    assert sizes[-1] == 40
    np.testing.assert_allclose(quick.losses, slow.losses, rtol=1e-4)
    for name, tensor in slow.parameters.items():
        torch.testing.assert_close(
            quick.parameters[name], tensor, rtol=1e-3, atol=1e-5, equal_nan=True
        )
    assert np.isnan(quick.losses[-1, 1::2]).all()
    assert np.isfinite(quick.losses[-1, ::2]).all()


def test_nothing_is_left(task):
    """If all diverge, training ends early; the rest of the losses and all weights are NaN."""
    fits = _fit_some(task, slice(1, None, 2))
    assert fits.losses.shape == (STEPS, 20)
    assert np.isfinite(fits.losses[0]).all()
    assert np.isnan(fits.losses[-1]).all()
    assert all(tensor.shape[0] == 20 for tensor in fits.parameters.values())
    assert all(tensor.isnan().all() for tensor in fits.parameters.values())


def test_a_network_with_weights_left_is_kept(task):
    """A loss that is NaN for a while is no reason to drop a network whose weights are finite."""
    model, start, x, y = task

    def sometimes(outputs, targets):
        return F.mse_loss(outputs, targets) + torch.where(targets[0, 0] == y[0, 0], torch.nan, 0.0)

    fits = fit_many(
        model, start, x, y, steps=40, learning_rate=0.01, loss=sometimes, batch_size=1, seeds=3
    )
    assert np.isnan(fits.losses).any(0).all()
    assert np.isfinite(fits.losses[-8:]).any(0).all()  # it was trained on
    assert all(tensor.isfinite().all() for tensor in fits.parameters.values())
