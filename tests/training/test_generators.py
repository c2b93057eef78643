"""Models that draw from torch's global generator: found out, repeatable, and nothing is touched."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn
from training_networks import Model, assert_same_state, noise_of, seeded, state_of

from initguide.models import Net
from initguide.training import train, uses_global_generator


@pytest.fixture(scope="module")
def data():
    """96 + 40 + 30 images of noise."""
    return noise_of(96)


GLOBAL = {
    "F.dropout": lambda: Model(lambda m, s: F.dropout(s, 0.5, m.training)),
    "torch.rand": lambda: Model(lambda m, s: s + 0.1 * torch.rand(10) if m.training else s),
    "randn_like": lambda: Model(lambda m, s: s + torch.randn_like(s) if m.training else s),
    "normal_": lambda: Model(lambda m, s: s + torch.empty(10).normal_() if m.training else s),
    "bernoulli": lambda: Model(
        lambda m, s: s * torch.bernoulli(torch.full((10,), 0.5)) if m.training else s
    ),
    "randperm": lambda: Model(lambda m, s: s[:, torch.randperm(10)] if m.training else s),
    "Dropout1d": lambda: Model(lambda m, s: m.drop(s[:, :, None])[:, :, 0], drop=nn.Dropout1d()),
    "AlphaDropout": lambda: Model(lambda m, s: m.drop(s), drop=nn.AlphaDropout(0.3)),
    "RReLU": lambda: Model(lambda m, s: m.act(s), act=nn.RReLU()),
    "LSTM": lambda: Model(
        lambda m, s: m.rnn(s[:, None])[0][:, 0], rnn=nn.LSTM(10, 10, 2, dropout=0.5)
    ),
    "attention": lambda: Model(
        lambda m, s: m.att(s[:, None], s[:, None], s[:, None])[0][:, 0],
        att=nn.MultiheadAttention(10, 2, dropout=0.5, batch_first=True),
    ),
}


OWN = {
    "nothing random": Model,
    "nn.Dropout": lambda: Model(lambda m, s: m.drop(s), drop=nn.Dropout(0.5)),
    "lesson": Net,
    "batch norm": lambda: Model(lambda m, s: m.norm(s), norm=nn.BatchNorm1d(10)),
    "LSTM": lambda: Model(lambda m, s: m.rnn(s[:, None])[0][:, 0], rnn=nn.LSTM(10, 10)),
    "own generator": lambda: Model(
        lambda m, s: s + torch.rand(10, generator=Generator().manual_seed(0))  # noqa: ARG005
    ),
    "constants": lambda: Model(lambda m, s: s + torch.ones_like(s) + torch.arange(10)),  # noqa: ARG005
}


@pytest.mark.parametrize("name", GLOBAL)
def test_models_that_draw_are_found_out(data, name):
    """A model that draws from the global generator in a training step is recognized."""
    assert uses_global_generator(GLOBAL[name](), data.train.images[:2])


@pytest.mark.parametrize("name", OWN)
def test_models_that_do_not_draw_are_too(data, name):
    """A model that draws nothing, or from its own generator, is not: it may run beside others."""
    assert not uses_global_generator(OWN[name](), data.train.images[:2])


@pytest.mark.parametrize("build", [*GLOBAL.values(), *OWN.values()], ids=[*GLOBAL, *OWN])
def test_looking_leaves_the_model_alone(data, build):
    """Weights, buffers, gradients, mode and the global state are as they were before the look."""
    model = build().eval()
    before, state = state_of(model), torch.get_rng_state()
    uses_global_generator(model, data.train.images[:2])
    assert_same_state(before, model.state_dict())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("build", [*GLOBAL.values(), *OWN.values()], ids=[*GLOBAL, *OWN])
def test_a_run_repeats_and_touches_nothing_global(data, build):
    """Same weights and seed, same run to the last bit; torch's global state is as it was."""
    runs = []
    for global_seed in (0, 1):
        model = seeded(build)
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        runs.append(train(model, data, epochs=2, batch_size=20, seed=3))
        assert torch.equal(torch.get_rng_state(), state)
    first, second = runs
    assert np.array_equal(first.train_losses, second.train_losses)
    assert first.valid_loss == second.valid_loss
    assert first.test_accuracy == second.test_accuracy
    other = train(seeded(build), data, epochs=2, batch_size=20, seed=4)
    assert not np.array_equal(first.train_losses, other.train_losses)


def test_a_model_that_draws_in_evaluation_too(data):
    """The promise holds "whatever the model does": also for noise that is always on."""
    runs = []
    for global_seed in (0, 1):
        model = seeded(lambda: Model(lambda m, s: s + torch.randn_like(s)))  # noqa: ARG005
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        runs.append(train(model, data, epochs=1, batch_size=20))
        assert torch.equal(torch.get_rng_state(), state)
    assert runs[0].valid_loss == runs[1].valid_loss
