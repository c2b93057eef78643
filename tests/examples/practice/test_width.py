"""What page 2 of "In practice" concludes, at reduced size: width, learning rate and muP."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide import experiments, training

BASE = 32
NARROW, WIDE = 32, 384


@pytest.fixture(scope="module")
def small(sample):
    """Return 2,000 training images of 14 × 14 pixels, standardized."""
    shrink = nn.AvgPool2d(2)
    chosen = sample.subset(train=1600, valid=200, test=100)
    mean, std = chosen.train.images.mean(), chosen.train.images.std()
    return chosen.transformed(lambda x: shrink((x - mean) / std), "standardized, 14 × 14")


def network(width):
    """Return a network with two hidden layers of one width."""
    return initguide.mlp([196, width, width, 10])


def way(size, hidden, last, kind=torch.optim.Adam, first=0):
    """Scheme and optimizer: powers of n for the last weights, and for the rates by layer."""

    def weights_init(module):
        if isinstance(module, nn.Linear):
            n, is_last = module.in_features, module.out_features == 10
            final = (n / BASE) ** size / math.sqrt(BASE)
            nn.init.normal_(module.weight, 0, final if is_last else math.sqrt(2 / n))
            nn.init.zeros_(module.bias)

    def make(parameters, lr):
        w1, b1, w2, b2, w3, b3 = parameters
        times = w2.shape[1] / BASE
        groups = [
            {"params": [w1, b1, b2, b3], "lr": lr * times**first},
            {"params": [w2], "lr": lr * times**hidden},
            {"params": [w3], "lr": lr * times**last},
        ]
        return kind(groups, lr=lr)

    return weights_init, make


WAYS = {
    "standard": way(-1 / 2, 0, 0),
    "muP": way(-1, -1, -1),
    "hidden forgotten": way(-1, 0, -1),
    "last forgotten": way(-1, -1, 0),
    "Adam's rule with SGD": way(-1, -1, -1, torch.optim.SGD),
    "rule of SGD": way(-1, 0, -1, torch.optim.SGD, first=1),
}


def exponents(small, label, widths, *, rate=1e-4):
    """(3,) fitted powers of the width by which one step moves the three layers."""
    check = experiments.coordinate_check(
        network, small, {label: WAYS[label]}, widths=widths, learning_rate=rate, seeds=2
    )
    return np.array([mean for mean, _ in check.exponents(label)])


def test_a_step_of_adam_moves_wide_layers_further(small):
    """Hidden layers and outputs move the further, the wider; the first layer equally far."""
    found = exponents(small, "standard", (256, 1024))
    assert found[0] == pytest.approx(0, abs=0.1)
    assert 0.5 < found[1] < 1.1
    assert found[2] > found[1] + 0.15


def test_growth_comes_closer_to_the_prediction_at_large_widths(small):
    """At small widths, terms that do not grow hide those that do."""
    near, far = (exponents(small, "standard", w) for w in ((32, 64), (512, 1024)))
    assert far[1] > near[1] + 0.15
    assert far[2] > near[2] + 0.15


def test_mup_makes_the_changes_independent_of_the_width(small):
    """With muP, all lines of the coordinate check are level."""
    found = exponents(small, "muP", (128, 1024))
    assert found == pytest.approx([0, 0, 0], abs=0.2)


def test_a_failing_check_names_the_layer(small):
    """The first line that rises is that of the layer whose rate was forgotten."""
    hidden = exponents(small, "hidden forgotten", (256, 1024))
    last = exponents(small, "last forgotten", (256, 1024))
    assert abs(hidden[0]) < 0.1
    assert hidden[1] > 0.4
    assert abs(last[0]) < 0.1
    assert abs(last[1]) < 0.15
    assert last[2] > 0.3


def test_sgd_needs_other_rates(small):
    """With SGD, Adam's rates let the lower layers stand still as the width grows."""
    assert exponents(small, "Adam's rule with SGD", (64, 1024), rate=0.1)[1] < -0.8
    assert abs(exponents(small, "rule of SGD", (64, 1024), rate=0.1)[1]) < 0.5


@pytest.fixture(scope="module")
def losses(small):
    """Return (way, width) -> loss over the second half of an epoch at a small and a large rate."""

    def of(label, width, rate):
        runs = initguide.compare_init_weights(
            {label: WAYS[label][0]},
            small,
            model=lambda: network(width),
            epochs=1,
            batch_size=20,
            learning_rate=rate,
            optimizer=WAYS[label][1],
            seeds=2,
        ).of(label)
        return np.mean([run.train_losses[-40:].mean() for run in runs])

    found = {
        (label, width): np.array([of(label, width, 2.0**k) for k in (-11, -7)])
        for label, width in (("standard", NARROW), ("standard", WIDE), ("muP", WIDE))
    }
    return found | {("muP", NARROW): found["standard", NARROW]}  # the same network


def test_best_rate_falls_without_mup_and_hardly_with_it(losses):
    """The narrow network prefers the large rate; the wide one still does with muP alone."""
    excess = {key: small_rate - large_rate for key, (small_rate, large_rate) in losses.items()}
    assert excess["standard", NARROW] > 0.15
    assert excess["standard", WIDE] < -0.03
    assert excess["muP", WIDE] > 0.1


def test_standard_tuned_at_its_own_width_is_no_worse(losses):
    """Each at the better of two rates, muP is not ahead of the standard network."""
    assert losses["muP", WIDE].min() > losses["standard", WIDE].min() - 0.03


def test_base_width_is_the_same_network(small):
    """At the width that both are tied to, muP and the standard way are the same network."""
    nets = []
    for label in ("standard", "muP"):
        scheme, make = WAYS[label]
        net = initguide.initialize(network(BASE), scheme, seed=0)
        training.train(net, small, epochs=1, optimizer=make)
        nets.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.allclose(*nets)
