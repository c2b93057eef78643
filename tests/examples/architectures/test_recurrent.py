"""What page 7 of "Architectures" concludes, at reduced size: recurrent networks."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import theory
from initguide.models import Reader
from initguide.propagation import gradients_through_time

UNITS = 48


@pytest.fixture(scope="module")
def small(sample):
    """Return 2,000 images of 14 × 14 for training."""
    return sample.subset(train=2000, valid=1000, test=100).transformed(
        lambda x: (nn.functional.avg_pool2d(x, 2) - 0.286) / 0.3, "halved"
    )


def gaussian(module):
    """Xavier's weights, and N(0, 1/n) between the states."""
    init.xavier_uniform()(module)
    if isinstance(module, nn.RNN):
        nn.init.normal_(module.weight_hh_l0, 0, module.hidden_size**-0.5)


def recurrent_matrix(scheme, seed, units):
    """Return the matrix between the states of a plain recurrent network."""
    return initguide.initialize(nn.RNN(14, units), scheme, seed=seed).weight_hh_l0.detach()


def test_default_loses_two_thirds_of_the_mean_square_a_step():
    """PyTorch's default has variance 1/(3n), so t steps leave 3^−t of a state's mean square."""
    logs = []
    for seed in range(6):
        w = recurrent_matrix(init.default(), seed, 256)
        assert w.var().item() == pytest.approx(1 / (3 * 256), rel=0.03)
        power = torch.linalg.matrix_power(w.double(), 20)
        logs.append(math.log(power.square().sum().item() / 256))
    assert sum(logs) / len(logs) == pytest.approx(-20 * math.log(3), abs=1.0)


def test_gradients_over_39_steps(small):
    """The default's shrink by about eight orders; the orthogonal ones are predicted."""
    x = Reader("RNN").rows(small.train.images[:10])

    def gradients(scheme):
        nets = [nn.RNN(14, UNITS, batch_first=True) for _ in range(8)]
        for seed, net in enumerate(nets):
            initguide.initialize(net, scheme, seed=seed)
        return np.array([gradients_through_time(net, x)[-1] for net in nets])

    default, normal = gradients("default"), gradients(gaussian)
    assert default.mean() < 1e-8
    for draws in (default, normal):
        assert draws.max() > 10 * draws.min()  # the errors of one matrix repeat themselves
    q, *later = (2 / (14 + UNITS) * x.square().sum(2).double().numpy()).T
    share = 1.0
    for added in later:
        q = theory.length_map(q, "tanh", 1.0, np.sqrt(added))
        share = share * theory.length_map(q, lambda x: 1 - x.tanh() ** 2, 1.0)
    predicted = math.sqrt(share.mean())
    assert 0.5 < gradients("xavier_uniform").mean() / predicted < 2
    assert normal.min() < predicted < normal.max()


def test_orthogonal_keeps_size_and_directions_exactly():
    """All singular values of Wᵗ are 1."""
    w = recurrent_matrix("xavier_uniform", 0, 128).double()
    values = torch.linalg.svdvals(torch.linalg.matrix_power(w, 40))
    assert values.tolist() == pytest.approx([1.0] * 128, abs=1e-3)


def test_gaussian_keeps_size_for_a_while_and_no_directions():
    """The mean square stays near 1 for ten steps; each step adds 1 to the relative variance."""
    sizes, spreads = [], []
    for seed in range(6):
        w = recurrent_matrix(gaussian, seed, 256).double()
        s = torch.linalg.svdvals(torch.linalg.matrix_power(w, 10)).square()
        sizes.append(s.mean().item())
        spreads.append((s.var(correction=0) / s.mean() ** 2).item())
    assert sum(sizes) / 6 == pytest.approx(1, abs=0.4)
    assert sum(spreads) / 6 == pytest.approx(10, rel=0.25)


def test_default_of_a_plain_network_learns_nothing(small):
    """It ends at ln 10 at the smaller rate, where orthogonal recurrences learn."""
    result = initguide.compare_init_weights(
        ["default", "xavier_uniform"],
        small,
        model=lambda: Reader("RNN"),
        epochs=2,
        batch_size=50,
        learning_rate=1e-3,
        seeds=1,
    )
    assert result.values("default", "valid_loss") == pytest.approx(math.log(10), abs=0.05)
    assert result.values("xavier_uniform", "valid_loss").max() < 1.9
