"""Schemes against torch.nn.init and closed forms."""

import math

import pytest
import torch
from initializer_cases import LAYERS, _generator
from scipy import stats
from torch import nn

from initguide import initializers as init
from initguide.initializers import fans, initialize


def _filled(scheme, layer):
    """Apply a scheme to one layer; return its weight."""
    scheme(layer)
    return layer.weight.detach()


SAME_AS_TORCH = {
    "uniform": (
        lambda g: init.uniform(-0.3, 0.7, generator=g),
        lambda w, g: nn.init.uniform_(w, -0.3, 0.7, generator=g),
    ),
    "normal": (
        lambda g: init.normal(0.3, generator=g),
        lambda w, g: nn.init.normal_(w, 0.0, 0.3, generator=g),
    ),
    "truncated_normal": (
        lambda g: init.truncated_normal(0.3, bound=1.5, generator=g),
        lambda w, g: nn.init.trunc_normal_(w, 0.0, 0.3, -0.45, 0.45, generator=g),
    ),
    "general_rule": (
        lambda g: init.general_rule(generator=g),
        lambda w, g: nn.init.kaiming_uniform_(w, a=math.sqrt(5), generator=g),
    ),
    "lecun_uniform": (
        lambda g: init.lecun_uniform(generator=g),
        lambda w, g: nn.init.kaiming_uniform_(w, nonlinearity="linear", generator=g),
    ),
    "lecun_normal": (
        lambda g: init.lecun_normal(generator=g),
        lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="linear", generator=g),
    ),
    "xavier_uniform": (
        lambda g: init.xavier_uniform(1.7, generator=g),
        lambda w, g: nn.init.xavier_uniform_(w, 1.7, generator=g),
    ),
    "xavier_normal": (
        lambda g: init.xavier_normal(1.7, generator=g),
        lambda w, g: nn.init.xavier_normal_(w, 1.7, generator=g),
    ),
    "orthogonal": (
        lambda g: init.orthogonal(1.7, generator=g),
        lambda w, g: nn.init.orthogonal_(w, 1.7, generator=g),
    ),
}


@pytest.mark.parametrize("layer", ["linear", "conv1d", "conv2d", "conv3d"])
@pytest.mark.parametrize("name", SAME_AS_TORCH)
def test_draws_what_torch_draws(name, layer):
    """With the same generator, a scheme gives the weights that torch.nn.init gives."""
    ours, theirs = SAME_AS_TORCH[name]
    weight = _filled(ours(_generator()), LAYERS[layer]())
    expected = theirs(torch.empty_like(weight), _generator())
    torch.testing.assert_close(weight, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize(
    "nonlinearity", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
)
@pytest.mark.parametrize("shape", ["uniform", "normal"])
def test_he_draws_what_kaiming_draws(shape, nonlinearity, mode):
    """Every mode and non-linearity of He's schemes agrees with torch's kaiming functions."""
    make, torchs = getattr(init, f"he_{shape}"), getattr(nn.init, f"kaiming_{shape}_")
    for layer in (nn.Linear(20, 30), nn.Conv2d(4, 6, 3)):
        scheme = make(mode, nonlinearity, negative_slope=0.2, generator=_generator())
        weight = _filled(scheme, layer)
        slope = 0.2 if nonlinearity == "leaky_relu" else 0
        expected = torchs(torch.empty_like(weight), slope, mode, nonlinearity, _generator())
        torch.testing.assert_close(weight, expected, rtol=1e-6, atol=0)


def test_constants_fill_with_their_number():
    """`zeros`, `ones` and `constant` give exactly the number."""
    for scheme, number in ((init.zeros(), 0.0), (init.ones(), 1.0), (init.constant(-0.25), -0.25)):
        assert (_filled(scheme, nn.Conv2d(3, 4, 2)) == number).all()


N, M = 400, 300


DISTRIBUTIONS = {
    "uniform()": stats.uniform(0, 1),
    "uniform(-3, 3)": stats.uniform(-3, 6),
    "normal()": stats.norm(0, 1),
    "normal(0.02)": stats.norm(0, 0.02),
    "truncated_normal(0.5)": stats.truncnorm(-2, 2, scale=0.5),
    "truncated_normal(0.5, bound=1)": stats.truncnorm(-1, 1, scale=0.5),
    "general_rule": stats.uniform(-1 / math.sqrt(N), 2 / math.sqrt(N)),
    "lecun_uniform": stats.uniform(-math.sqrt(3 / N), 2 * math.sqrt(3 / N)),
    "lecun_normal": stats.norm(0, math.sqrt(1 / N)),
    "xavier_uniform": stats.uniform(-math.sqrt(6 / (N + M)), 2 * math.sqrt(6 / (N + M))),
    "xavier_normal": stats.norm(0, math.sqrt(2 / (N + M))),
    "xavier_normal(2)": stats.norm(0, 2 * math.sqrt(2 / (N + M))),
    "he_uniform": stats.uniform(-math.sqrt(6 / N), 2 * math.sqrt(6 / N)),
    "he_uniform('fan_out')": stats.uniform(-math.sqrt(6 / M), 2 * math.sqrt(6 / M)),
    "he_normal": stats.norm(0, math.sqrt(2 / N)),
    "he_normal('fan_out')": stats.norm(0, math.sqrt(2 / M)),
    "he_normal(nonlinearity='tanh')": stats.norm(0, 5 / 3 / math.sqrt(N)),
    "he_normal(nonlinearity='leaky_relu', negative_slope=1)": stats.norm(0, 1 / math.sqrt(N)),
    "default": stats.uniform(-1 / math.sqrt(N), 2 / math.sqrt(N)),
}


@pytest.mark.parametrize("text", DISTRIBUTIONS)
def test_distribution(text):
    """Mean, standard deviation, ends and shape of the weights are those of the formula."""
    expected = DISTRIBUTIONS[text]
    weights = initialize(nn.Linear(N, M), text, seed=1).weight.detach().double().numpy().ravel()
    low, high = expected.support()
    assert weights.min() >= low - 1e-6
    assert weights.max() <= high + 1e-6
    assert abs(weights.mean() - expected.mean()) < 5 * expected.std() / math.sqrt(weights.size)
    assert weights.std() == pytest.approx(expected.std(), rel=0.01)
    assert stats.kstest(weights, expected.cdf).pvalue > 1e-4


def test_truncated_normal_is_narrower_than_its_std():
    """The docstring's 0.879626 is what scipy says and what the weights show."""
    assert stats.truncnorm(-2, 2).std() == pytest.approx(0.879626, abs=5e-7)
    weight = initialize(nn.Linear(1000, 500), init.truncated_normal(0.1), seed=0).weight
    assert weight.std().item() == pytest.approx(0.0879626, rel=0.005)
    assert "0.879626" in init.truncated_normal.__doc__


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(64, 96, 3, groups=4),
        nn.ConvTranspose2d(48, 64, 4, stride=2),
        nn.ConvTranspose1d(64, 96, 6, stride=3, groups=2),
        nn.Conv3d(16, 32, (3, 2, 3)),
    ],
    ids=["grouped", "transposed", "transposed grouped", "3d"],
)
@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("general_rule", lambda fan_in, fan_out: 1 / (3 * fan_in)),  # noqa: ARG005
        ("lecun_normal", lambda fan_in, fan_out: 1 / fan_in),  # noqa: ARG005
        ("xavier_uniform", lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        ("he_normal", lambda fan_in, fan_out: 2 / fan_in),  # noqa: ARG005
        ("he_uniform('fan_out')", lambda fan_in, fan_out: 2 / fan_out),  # noqa: ARG005
    ],
)
def test_variance_follows_the_fans(layer, name, variance):
    """Grouped and transposed layers get the variance that their own fans ask for."""
    initialize(layer, name, seed=0)
    assert layer.weight.var().item() == pytest.approx(variance(*fans(layer)), rel=0.05)


def test_he_keeps_the_mean_square_through_relu():
    """What He's rule is for: E[z²] stays the same over ten wide layers with ReLU."""
    net = nn.Sequential(*(m for _ in range(10) for m in (nn.Linear(1024, 1024), nn.ReLU())))
    initialize(net, "he_normal", seed=0)
    x = torch.randn(64, 1024, generator=_generator(1))  # with 0, x would be rows of the weight
    with torch.no_grad():
        assert (net[:-1](x) ** 2).mean().item() == pytest.approx(2, rel=0.3)  # 2 E[x²]
