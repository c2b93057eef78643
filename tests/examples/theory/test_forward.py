"""What the page "2. Variance forward" concludes, at reduced size."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import theory
from initguide.experiments import mean_interval
from initguide.propagation import measure

ACTIVATIONS = {"identity": nn.Identity, "tanh": nn.Tanh, "relu": nn.ReLU}


@pytest.fixture(scope="module")
def images(sample):
    """A few images, as they are."""
    return sample.train.images[:100]


@pytest.mark.parametrize("n", [10, 100, 784])
def test_mean_square_of_a_sum(images, n):
    """E[z²] = n · Var(w) · E[x²] for weights of mean 0, any inputs; a mean adds (μ Σx)²."""
    generator = torch.Generator().manual_seed(n)
    x = images.flatten(1)[:, torch.randperm(784, generator=generator)[:n]]
    centred = n * x.square().mean().item()
    measured = (x @ torch.randn(n, 4000, generator=generator)).square().mean().item()
    assert measured == pytest.approx(centred, rel=0.1)
    extra = x.sum(1).square().mean().item() / 4
    measured = (x @ torch.rand(n, 4000, generator=generator)).square().mean().item()
    assert measured == pytest.approx(centred / 12 + extra, rel=0.1)
    assert extra > centred / 12  # most of it comes from the mean


def test_what_activations_keep():
    """ReLU keeps one half whatever the size; tanh all of a small sum and little of a large one."""
    draws = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    for q in (0.01, 1.0, 4.0):
        for name, phi in ACTIVATIONS.items():
            measured = phi()(draws * math.sqrt(q)).square().mean().item()
            assert measured == pytest.approx(theory.length_map(q, name, 1.0), rel=0.02)
        assert theory.length_map(q, "relu", 1.0) == pytest.approx(q / 2)
    assert theory.length_map(0.01, "tanh", 1.0) / 0.01 > 0.97
    assert theory.length_map(4.0, "tanh", 1.0) / 4 < 0.2


def mean_squares(images, phi, scheme, *, depth=20, width=128, seeds=6):
    """Mean square of the sums of each layer, mean over seeds."""
    inputs = (images[:40] - images.mean()) / images.std()
    rows = []
    for seed in range(seeds):
        net = initguide.mlp([784] + [width] * depth, phi)
        initguide.initialize(net, scheme, seed=seed)
        rows.append([r.output_second_moment for r in measure(net, inputs) if r.kind == "Linear"])
    return np.array(rows)


@pytest.mark.parametrize(("scheme", "factor"), [("lecun_normal", 1.0), ("he_normal", 2.0)])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_twenty_layers_follow_the_length_map(images, name, scheme, factor):
    """The length map predicts every layer; the identity and ReLU repeat one factor in each."""
    measured = mean_squares(images, ACTIVATIONS[name], scheme).mean(0)
    predicted = [factor]
    while len(predicted) < 20:
        predicted.append(theory.length_map(predicted[-1], name, math.sqrt(factor)))
    assert abs(np.log(measured / predicted)).max() < math.log(2)  # up to a million is predicted
    if name != "tanh":
        kept = {"identity": 1.0, "relu": 0.5}[name]
        slope = np.log(measured[-1] / measured[0]) / 19
        assert slope == pytest.approx(math.log(factor * kept), abs=0.05)


def test_tanh_settles_or_fades(images):
    """With 2/n the mean square of tanh settles at the fixed point, with 1/n it fades: 1/(2 l)."""
    settled = mean_squares(images, nn.Tanh, "he_normal")[:, -1].mean()
    faded = mean_squares(images, nn.Tanh, "lecun_normal")[:, -1].mean()
    assert settled == pytest.approx(theory.fixed_point("tanh", math.sqrt(2)), rel=0.1)
    assert faded == pytest.approx(1 / 40, rel=0.3)
    assert theory.fixed_point("tanh", 1.0) == pytest.approx(0, abs=1e-9)


FANS = {"fc1": (784, 256), "fc2": (256, 128), "fc3": (128, 10)}
RULES = {
    "uniform": (init.uniform(-0.5, 0.5), lambda _n, _m: 1 / 12),
    "general": (init.general_rule(), lambda n, _m: 1 / (3 * n)),
    "lecun": (init.lecun_normal(), lambda n, _m: 1 / n),
    "xavier": (init.xavier_normal(), lambda n, m: 2 / (n + m)),
    "he": (init.he_normal(), lambda n, _m: 2 / n),
}


def predict(variance, mean_square):
    """Mean square of each layer of the lesson's network."""
    expected = {}
    for layer, (n, m) in FANS.items():
        expected[layer] = n * variance(n, m) * mean_square
        mean_square = expected[layer] / 2
    return expected


@pytest.mark.parametrize("name", RULES)
def test_formula_gives_the_lessons_network(images, name):
    """On the lesson's network the formula gives the mean over draws, of every layer and scheme."""
    scheme, variance = RULES[name]
    expected = predict(variance, images.square().mean().item())
    nets = [initguide.initialize(initguide.Net(), scheme, seed=s).eval() for s in range(20)]
    found = [measure(net, images) for net in nets]
    for layer, number in expected.items():
        ratio = [one[layer].output_second_moment / number for one in found]
        mean, (low, high) = mean_interval(ratio, confidence=0.999)
        assert low < 1 < high, (layer, mean)
        assert mean == pytest.approx(1, abs=0.3)
    from_weights = theory.predict_variances(nets[0], images)
    for layer, number in expected.items():
        assert from_weights[layer].second_moment == pytest.approx(number, rel=0.35)


def test_xavier_lies_between_in_a_network_that_shrinks():
    """Where layers get narrower, 2 / (n_in + n_out) lies between 1/n_in and 2/n_in."""
    for n, m in FANS.values():
        assert 1 / n < RULES["xavier"][1](n, m) < 2 / n
    assert RULES["xavier"][1](256, 256) == 1 / 256
