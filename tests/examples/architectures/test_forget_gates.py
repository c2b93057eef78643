"""What page 8 of "Architectures" concludes, at reduced size: forget gates."""

import math

import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide.models import Reader
from initguide.propagation import gradients_through_time

UNITS = 48


@pytest.fixture(scope="module")
def rows(small):
    """Return 100 images as 14 rows of 14 pixels, and blank rows after them."""
    return Reader("LSTM").rows(small.train.images[:100])


@pytest.fixture(scope="module")
def small(sample):
    """Return 2,000 images of 14 × 14 for training."""
    return sample.subset(train=2000, valid=1000, test=100).transformed(
        lambda x: (nn.functional.avg_pool2d(x, 2) - 0.286) / 0.3, "halved"
    )


def lstm(scheme, seed):
    """Return a layer that reads the rows."""
    return initguide.initialize(nn.LSTM(14, UNITS, batch_first=True), scheme, seed=seed)


def forget(bias, *, chrono=False):
    """Xavier's weights, and a forget bias."""

    def weights_init(module):
        init.xavier_uniform()(module)
        if isinstance(module, nn.LSTM):
            n = module.hidden_size
            with torch.no_grad():
                module.bias_ih_l0[n : 2 * n] = bias
                if chrono:
                    module.bias_ih_l0[n : 2 * n] = torch.empty(n).uniform_(1, 39).log()
                    module.bias_ih_l0[:n] = -module.bias_ih_l0[n : 2 * n]

    return weights_init


def forget_product(net, x):
    """Mean over units and images of the product of all forget gates but the first."""
    with torch.no_grad():
        sums = x[:, 1:] @ net.weight_ih_l0.T + net(x)[0][:, :-1] @ net.weight_hh_l0.T
        gates = (sums + net.bias_ih_l0 + net.bias_hh_l0)[..., UNITS : 2 * UNITS].sigmoid()
    return gates.double().prod(1).mean().item()


@pytest.mark.parametrize("bias", [0.0, 1.0, 3.0])
def test_forget_gates_let_their_bias_through(rows, bias):
    """The product of the gates over 20 blank steps is σ(b)ᵗ, to a factor of two."""
    blank = rows[:, -21:]
    kept = forget_product(lstm(forget(bias), 0), blank)
    assert math.log(kept) == pytest.approx(20 * -math.log1p(math.exp(-bias)), abs=0.7)


def test_whole_gradient_is_larger_and_the_defaults_smallest(rows):
    """More of the cell's gradient arrives than σ(b)ᵗ; least with PyTorch's default."""

    def gradients(scheme):
        return [gradients_through_time(lstm(scheme, seed), rows)[-1] for seed in range(2)]

    found = {bias: gradients(forget(bias)) for bias in (0.0, 1.0, 3.0)}
    default = gradients(init.default())
    for bias, rest in found.items():
        assert min(rest) > (1 + math.exp(-bias)) ** -39
        assert max(default) < min(rest)
    assert max(found[0.0]) < min(found[1.0]) < max(found[1.0]) < min(found[3.0])


@pytest.mark.slow
def test_default_lstm_learns_nothing_and_open_gates_beat_closed_ones(small):
    """It ends at ln 10; a bias of 3 and chrono are better than b = 0."""
    schemes = {
        "default": init.default(),
        "0": forget(0.0),
        "3": forget(3.0),
        "chrono": forget(0.0, chrono=True),
    }
    result = initguide.compare_init_weights(
        schemes,
        small,
        model=lambda: Reader("LSTM"),
        epochs=2,
        batch_size=50,
        learning_rate=3e-3,
        seeds=2,
    )
    found = {label: result.values(label, "valid_loss") for label in schemes}
    assert found["default"] == pytest.approx(math.log(10), abs=0.05)
    for label in ("3", "chrono"):
        assert found[label].mean() < found["0"].mean() - 0.2
