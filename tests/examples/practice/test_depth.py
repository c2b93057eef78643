"""What page 5 of "In practice" concludes, at reduced size: how deep networks can be."""

import functools

import numpy as np
import pytest
from torch import nn

import initguide
from initguide import theory


@pytest.fixture(scope="module")
def small(sample):
    """Return 4,000 training images of 14 × 14 pixels, standardized."""
    shrink = nn.AvgPool2d(2)
    chosen = sample.subset(train=4000, valid=500, test=10)
    mean, std = chosen.train.images.mean(), chosen.train.images.std()
    return chosen.transformed(lambda x: shrink((x - mean) / std), "standardized, 14 × 14")


def deep(depth, activation):
    """Return a network with so many hidden layers of 64 units."""
    return initguide.mlp([196, *[64] * depth, 10], activation)


ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


def accuracies(small, name, sigma, depths, **changes):
    """Return (depths, seeds) accuracies; a run that diverged guesses."""
    chosen = {"optimizer": "momentum", "learning_rate": 0.01, "epochs": 1, **changes}
    result = initguide.sweep(
        {"depth": depths},
        small,
        model=functools.partial(deep, activation=ACTIVATIONS[name]),
        scheme="lecun_normal",
        scale=sigma,
        batch_size=64,
        seeds=2,
        **chosen,
    )
    return np.nan_to_num(result.array(), nan=0.1)


@pytest.mark.parametrize(
    ("name", "sigma"),
    [("tanh", 0.7), ("tanh", 2.5), ("relu", 1.0), ("relu", 2.0)],
)
def test_the_border_is_a_few_depth_scales(small, name, sigma):
    """At 3 ξ a network learns, and at 12 ξ it does not: in order and chaos, tanh and ReLU."""
    xi = theory.depth_scale(name, sigma)
    shallow, beyond = accuracies(small, name, sigma, [round(3 * xi), round(12 * xi)])
    assert shallow.min() > 0.4
    assert beyond.max() < 0.25


def test_xi_varies_fivefold():
    """The columns of the page span a factor of five in ξ."""
    xi = np.concatenate(
        [
            theory.depth_scale("tanh", np.array([0.6, 0.8, 1.7, 2.5])),
            theory.depth_scale("relu", np.array([0.9, 1.1, 1.7, 2.0])),
        ]
    )
    assert 4.5 < xi.max() / xi.min() < 5.5


def test_time_helps_in_order_and_not_in_chaos(small):
    """A second epoch trains deeper networks in order only."""
    once, twice = (accuracies(small, "tanh", 0.8, [16], epochs=k).mean() for k in (1, 2))
    assert twice > once + 0.1
    assert accuracies(small, "tanh", 2.5, [25], epochs=2).max() < 0.25


def test_adam_helps_in_order_and_not_in_chaotic_tanh(small):
    """Where gradients are small, Adam trains deeper networks; and chaotic ReLU."""
    adam = {"optimizer": "adam", "learning_rate": 2e-3}
    for name, sigma, depth in (("tanh", 0.8, 20), ("relu", 1.1, 17), ("relu", 2.0, 12)):
        plain, better = (accuracies(small, name, sigma, [depth], **c).mean() for c in ({}, adam))
        assert better > plain + 0.1
    assert accuracies(small, "tanh", 2.5, [25], **adam).max() < 0.25


def test_chaotic_relu_diverges_and_tanh_does_not(small):
    """ReLU's outputs are not bounded."""
    for name, diverges in (("relu", True), ("tanh", False)):
        result = initguide.sweep(
            {"depth": [24]},
            small,
            model=functools.partial(deep, activation=ACTIVATIONS[name]),
            scheme="lecun_normal",
            scale=2.3,
            epochs=1,
            batch_size=64,
            optimizer="momentum",
            learning_rate=0.01,
            seeds=2,
        )
        assert all(run.diverged == diverges for run in result.runs)


@pytest.mark.parametrize(("name", "edge"), [("tanh", 1.0), ("relu", 2**0.5)])
def test_at_the_edge_depth_is_not_free(small, name, edge):
    """ξ is infinite there, and fifty layers learn less than four."""
    assert theory.depth_scale(name, edge) > 1e6
    few, many = accuracies(small, name, edge, [4, 50])
    assert few.mean() > many.mean() + 0.1


def test_biases_make_order_shallower(small):
    """With σ_w = 0.8 and biases of 0.3, ξ falls, and so does what ten layers learn."""
    assert theory.depth_scale("tanh", 0.8, 0.3) < 0.7 * theory.depth_scale("tanh", 0.8)

    def with_biases(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.8 / module.in_features**0.5)
            nn.init.normal_(module.bias, 0, 0.3)

    result = initguide.sweep(
        {"depth": [10]},
        small,
        model=functools.partial(deep, activation=nn.Tanh),
        scheme=with_biases,
        epochs=1,
        batch_size=64,
        optimizer="momentum",
        learning_rate=0.01,
        seeds=3,
    )
    without = accuracies(small, "tanh", 0.8, [10])
    assert result.array().mean() < without.mean() - 0.05


@pytest.mark.slow
def test_of_fifty_layers_only_the_edge_learns(sample):
    """Of three networks of fifty layers, the one at the edge learnt, and the others did not.

    Five layers learn from anywhere.
    """

    def weights_init(module, sigma_w):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, sigma_w / module.in_features**0.5)
            nn.init.normal_(module.bias, 0, 0.3)

    edge = theory.critical_sigma_w("tanh", 0.3)
    small = sample.subset(train=2500, valid=500)
    small = small.transformed(lambda x: (x - 0.286) / 0.353, "standardized")
    sigmas = {"order": 0.8, "edge": edge, "chaos": 2.5}
    accuracy = {}
    for depth in (5, 50):
        result = initguide.compare_init_weights(
            {k: functools.partial(weights_init, sigma_w=s) for k, s in sigmas.items()},
            small,
            model=lambda depth=depth: initguide.mlp([784, *[80] * depth, 10], nn.Tanh),
            learning_rate=3e-4,
            epochs=2,
            seeds=1,
        )
        accuracy[depth] = {k: result.values(k)[0] for k in sigmas}
    assert min(accuracy[5].values()) > 0.35
    assert accuracy[50]["edge"] > 0.35
    assert max(accuracy[50]["order"], accuracy[50]["chaos"]) < 0.2
