"""What page 2 of "In practice" concludes, at reduced size: width, learning rate and muP."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide import training

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


def weights(mup):
    """He's weights; last layer of standard deviation 1/√n, or √base/n."""

    def weights_init(module):
        if isinstance(module, nn.Linear):
            n = module.in_features
            std = math.sqrt(2 / n)
            if module.out_features == 10:
                std = math.sqrt(BASE) / n if mup else 1 / math.sqrt(n)
            nn.init.normal_(module.weight, 0, std)
            nn.init.zeros_(module.bias)

    return weights_init


def optimizer(kind, hidden, last):
    """Make an optimizer with rates ∝ n**hidden and n**last for the last two matrices."""

    def make(parameters, lr):
        parameters = list(parameters)
        w2, w3 = (p for p in parameters[1:] if p.ndim == 2)
        n = w2.shape[1] / BASE
        groups = [
            {"params": [p for p in parameters if p is not w2 and p is not w3]},
            {"params": [w2], "lr": lr * n**hidden},
            {"params": [w3], "lr": lr * n**last},
        ]
        return kind(groups, lr=lr)

    return make


ADAM = torch.optim.Adam
WAYS = {
    "standard": (weights(mup=False), optimizer(ADAM, 0, 0)),
    "muP": (weights(mup=True), optimizer(ADAM, -1, -1)),
    "hidden forgotten": (weights(mup=True), optimizer(ADAM, 0, -1)),
    "last forgotten": (weights(mup=True), optimizer(ADAM, -1, 0)),
}


def exponents(small, scheme, make, widths, *, rate=1e-4, seeds=2):
    """(3,) fitted powers of the width by which one step moves the three layers."""
    probe, batch = small.valid.images, slice(0, 64)
    moved = []
    for width in widths:
        for seed in range(seeds):
            net = initguide.initialize(network(width), scheme, seed=seed)
            found = []
            for trains in (True, False):
                with torch.no_grad():
                    z1 = net.fc1(probe.flatten(1))
                    z2 = net.fc2(z1.relu())
                    found.append((z1, z2, net.fc3(z2.relu())))
                if trains:
                    stepper = training.make_optimizer(make, net.parameters(), rate)
                    step = (small.train.images[batch], small.train.labels[batch])
                    training.fit(net, [step], stepper)
            changes = [(a - b).square().mean().sqrt() for a, b in zip(*found, strict=True)]
            moved.append(torch.stack(changes).tolist())
    x = np.repeat(np.log(widths), seeds)
    return np.polyfit(x, np.log(moved), 1)[0]


def test_a_step_of_adam_moves_wide_layers_further(small):
    """Hidden layers and outputs move the further, the wider; the first layer equally far."""
    found = exponents(small, *WAYS["standard"], (256, 1024))
    assert found[0] == pytest.approx(0, abs=0.1)
    assert 0.5 < found[1] < 1.1
    assert found[2] > found[1] + 0.15


def test_growth_comes_closer_to_the_prediction_at_large_widths(small):
    """At small widths, terms that do not grow hide those that do."""
    near, far = (exponents(small, *WAYS["standard"], w) for w in ((32, 64), (512, 1024)))
    assert far[1] > near[1] + 0.15
    assert far[2] > near[2] + 0.15


def test_mup_makes_the_changes_independent_of_the_width(small):
    """With muP, all lines of the coordinate check are flat."""
    found = exponents(small, *WAYS["muP"], (128, 1024))
    assert found == pytest.approx([0, 0, 0], abs=0.2)


def test_a_failing_check_names_the_layer(small):
    """The first line that rises is that of the layer whose rate was forgotten."""
    hidden = exponents(small, *WAYS["hidden forgotten"], (256, 1024))
    last = exponents(small, *WAYS["last forgotten"], (256, 1024))
    assert abs(hidden[0]) < 0.1
    assert hidden[1] > 0.4
    assert abs(last[0]) < 0.1
    assert abs(last[1]) < 0.15
    assert last[2] > 0.3


def test_sgd_needs_other_rates(small):
    """With SGD, Adam's rates let the lower layers stand still as the width grows."""
    scheme, widths = weights(mup=True), (64, 1024)
    by_adams = exponents(small, scheme, optimizer(torch.optim.SGD, -1, -1), widths, rate=0.1)
    assert by_adams[1] < -0.8

    def times_n(parameters, lr):
        made = optimizer(torch.optim.SGD, -1, -1)(parameters, lr)
        n = made.param_groups[1]["params"][0].shape[1] / BASE
        for group in made.param_groups[:2]:
            group["lr"] *= n
        return made

    found = exponents(small, scheme, times_n, widths, rate=0.1)
    assert abs(found[1]) < 0.5


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
