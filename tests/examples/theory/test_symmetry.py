"""What the page "1. Symmetry" concludes, at reduced size."""

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide.models import with_copies
from initguide.propagation import measure
from initguide.training import train


@pytest.fixture(scope="module")
def data(sample):
    """A thousand images to train on."""
    return sample.subset(train=1000, valid=400, test=10)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_copies_train_as_the_narrow_network(data, optimizer, seed):
    """A network of copied units makes the losses of the narrow network, batch by batch."""
    narrow = initguide.initialize(initguide.mlp([784, 8, 8, 10]), "he_normal", seed=seed)
    wide = with_copies(narrow, 4)
    settings = {"epochs": 2, "optimizer": optimizer, "learning_rate": 0.02, "seed": seed}
    one, other = train(narrow, data, **settings), train(wide, data, **settings)
    np.testing.assert_allclose(other.train_losses, one.train_losses, rtol=1e-4)
    assert one.train_losses[-1] < one.train_losses[0] - 0.1  # so something was trained
    assert other.valid_accuracy == pytest.approx(one.valid_accuracy, abs=0.005)
    found = measure(wide.eval(), data.valid.images)
    assert all(found[name].distinct_units <= 8 for name in ("fc1", "fc2"))


def test_copies_train_otherwise_with_adam(data):
    """The exact equivalence is for optimizers whose steps are proportional to the gradients."""
    narrow = initguide.initialize(initguide.mlp([784, 8, 8, 10]), "he_normal", seed=0)
    wide = with_copies(narrow, 4)
    one, other = (train(net, data, epochs=2, seed=0) for net in (narrow, wide))
    assert abs(one.train_losses - other.train_losses).max() > 0.01


def random_in(*names):
    """He's weights in the layers named, the constant 0.02 in the others."""

    def scheme(module):
        if isinstance(module, initguide.Net):
            module.apply(init.constant(0.02))
            for name in names:
                init.he_normal()(module.get_submodule(name))

    return scheme


def different_biases(constant):
    """One constant for all weights, and no two biases alike."""

    def scheme(module):
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, constant)
            module.bias.data = torch.linspace(0.01, 0.1, len(module.bias))

    return scheme


def zero_last(module):
    """He's weights, but zeros in the last layer."""
    if isinstance(module, initguide.Net):
        module.apply(init.he_normal())
        nn.init.zeros_(module.fc3.weight)


def different_units(data, scheme, dropout=0.0):
    """Different units of fc1 and fc2 after training, and the accuracy."""
    net = initguide.Net(32, 16, dropout=dropout)
    initguide.initialize(net, scheme, seed=0)
    run = train(net, data, epochs=4, learning_rate=3e-3, seed=0)
    found = measure(net.eval(), data.valid.images)
    return [found[name].distinct_units for name in ("fc1", "fc2")], run.valid_accuracy


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        pytest.param(random_in(), [1, 1], id="nothing"),
        pytest.param(random_in("fc1"), [32, 1], id="fc1"),
        pytest.param(random_in("fc2"), [32, 16], id="fc2"),
        pytest.param(random_in("fc3"), [1, 16], id="fc3"),
        pytest.param(different_biases(0.02), [32, 16], id="biases"),
        pytest.param(different_biases(0.0), [32, 16], id="biases, zero weights"),
        pytest.param(zero_last, [32, 16], id="zero last layer"),
        pytest.param(init.he_normal(), [32, 16], id="He"),
    ],
)
def test_what_tells_units_apart(data, scheme, expected):
    """Units are told apart by what comes in, by what goes out, or by their biases."""
    assert different_units(data, scheme)[0] == expected


def test_being_different_is_not_enough(data):
    """All units are different with different biases, and learn far less than from He's weights."""
    units, accuracy = different_units(data, different_biases(0.02))
    reference, good = different_units(data, init.he_normal())
    assert units == reference
    assert accuracy < good - 0.15


@pytest.mark.parametrize(
    ("constant", "dropout", "apart"),
    [(0.0, 0.0, False), (0.0, 0.2, False), (0.02, 0.0, False), (0.02, 0.2, True), (1.0, 0.2, True)],
)
def test_dropout_breaks_every_symmetry_but_that_of_zeros(data, constant, dropout, apart):
    """Dropout tells equal units apart, unless the weights are zero."""
    units, accuracy = different_units(data, init.constant(constant), dropout)
    assert units[0] > 24 if apart else units == [1, 1]
    if apart:  # "and not much comes of it"
        assert accuracy < different_units(data, init.he_normal())[1] - 0.15


def noisy_loss(data, epsilon, seed):
    """Training loss after some epochs from the constant 0.02 with noise."""

    def scheme(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.02, epsilon)
            nn.init.zeros_(module.bias)

    net = initguide.initialize(initguide.Net(48, 24, dropout=0.0), scheme, seed=seed)
    run = train(net, data, epochs=25, learning_rate=2e-3, seed=seed)
    return float(run.train_losses[-20:].mean())


def test_small_noise_takes_long(data):
    """Noise as large as ordinary weights matters soon, smaller noise later, tiny noise not yet."""
    seeds = range(3)
    losses = {
        epsilon: np.array([noisy_loss(data, epsilon, seed) for seed in seeds])
        for epsilon in (0.0, 1e-7, 1e-2, 5e-2)
    }
    assert abs(losses[1e-7] - losses[0.0]).max() < 0.02
    for larger, smaller in ((5e-2, 1e-2), (1e-2, 0.0)):
        assert losses[larger].max() < losses[smaller].min()
