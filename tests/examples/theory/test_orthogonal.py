"""What examples/theory/plot_6_orthogonal.py concludes, at reduced size."""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import theory

WIDTH = 128
GAUSSIAN_AND_ORTHOGONAL = {"gaussian": init.lecun_normal(), "orthogonal": init.orthogonal()}
NETWORKS = {  # activation, gain, schemes
    "linear": (nn.Identity, 1.0, GAUSSIAN_AND_ORTHOGONAL),
    "tanh": (nn.Tanh, 1.0, GAUSSIAN_AND_ORTHOGONAL),
    "relu": (
        nn.ReLU,
        math.sqrt(2),
        {"gaussian": init.he_normal(), "orthogonal": init.orthogonal(math.sqrt(2))},
    ),
}


@functools.cache
def singular_values(name, kind, depth):
    """(seeds, units) singular values of the Jacobian at a random input of mean square 1."""
    activation, _, schemes = NETWORKS[name]
    found = []
    for seed in range(3):
        net = initguide.mlp([WIDTH] * (depth + 1), activation)
        initguide.initialize(net, schemes[kind], seed=seed)
        x = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(100 + seed))
        x = x / x.square().mean().sqrt()
        found.append(initguide.measure(net, x, jacobian=1).jacobian_singular_values[0])
    return np.array(found, dtype=float)


def relative_variance(s):
    """Of the squared singular values: the mean over draws."""
    return ((s**2).var(axis=-1) / (s**2).mean(axis=-1) ** 2).mean()


def slopes_add(name, depth):
    """What the slopes of the hidden layers add, by quadrature."""
    if name != "tanh":
        return (depth - 1) * {"linear": 0.0, "relu": 1.0}[name]
    z, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    q, total = 1.0, 0.0
    for _ in range(depth - 1):
        slope = 1 - np.tanh(math.sqrt(q) * z) ** 2
        total += weights @ slope**4 / (weights @ slope**2) ** 2 - 1
        q = theory.length_map(q, "tanh", 1.0)
    return total


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", GAUSSIAN_AND_ORTHOGONAL)
@pytest.mark.parametrize("depth", [1, 4, 10])
def test_relative_variances_add_up_over_layers(name, kind, depth):
    """Gaussian weights add 1 per layer, orthogonal 0, slopes of ReLU 1, slopes of tanh little."""
    expected = (kind == "gaussian") * depth + slopes_add(name, depth)
    activation, gain, _ = NETWORKS[name]
    by_theory = theory.jacobian_spread(activation(), gain, depth, orthogonal=kind == "orthogonal")
    assert by_theory[-1] == pytest.approx(expected, rel=1e-4, abs=1e-9)
    found = relative_variance(singular_values(name, kind, depth))
    assert found == pytest.approx(expected, rel=0.3, abs=1e-6)


def test_orthogonal_weights_give_linear_networks_isometry():
    """In a linear network with orthogonal weights, all singular values are 1."""
    np.testing.assert_allclose(singular_values("linear", "orthogonal", 10), 1, rtol=1e-4)
    assert singular_values("linear", "gaussian", 10).max() > 3


def test_gaussian_weights_keep_the_mean_and_not_the_directions():
    """Two networks that keep the same mean can differ in directions by orders of magnitude."""
    s = singular_values("linear", "gaussian", 10)
    assert (s**2).mean() == pytest.approx(1, abs=0.25)
    assert s.max() > 100 * np.median(s)


def test_relu_gets_no_isometry():
    """With ReLU orthogonal weights give no dynamical isometry; they halve the growth."""
    spread = {
        kind: relative_variance(singular_values("relu", kind, 10)) for kind in NETWORKS["relu"][2]
    }
    assert spread["orthogonal"] > 5
    assert spread["gaussian"] / spread["orthogonal"] == pytest.approx(19 / 9, rel=0.3)


@pytest.mark.parametrize("depth", [2, 10])
def test_mirrored_pairs_give_relu_isometry(depth):
    """Orthogonal weights in pairs of both signs: relu(z) - relu(-z) = z, and all values are 1."""
    generator = torch.Generator().manual_seed(0)
    net = initguide.mlp([32, *[64] * (depth - 1), 32], nn.ReLU, bias=False)
    product = torch.eye(32)
    for i in range(1, depth + 1):
        q = nn.init.orthogonal_(torch.empty(32, 32), generator=generator)
        product = q @ product
        wide = q if i == 1 else torch.cat([q, -q], dim=1)
        net.get_submodule(f"fc{i}").weight.data = wide if i == depth else torch.cat([wide, -wide])
    x = torch.randn(1, 32, generator=generator)
    torch.testing.assert_close(net(x), x @ product.T)  # it starts as a linear network
    s = initguide.measure(net, x, jacobian=1).jacobian_singular_values
    np.testing.assert_allclose(s, 1, rtol=1e-4)


def test_tanh_keeps_its_spread_below_2_with_orthogonal_weights():
    """For tanh at gain 1, orthogonal weights keep the spread below 2, at 32 layers too."""
    assert slopes_add("tanh", 32) < 2
    assert relative_variance(singular_values("tanh", "orthogonal", 16)) < 2
    assert relative_variance(singular_values("tanh", "gaussian", 16)) > 10


@pytest.mark.slow
@pytest.mark.parametrize(("name", "depth", "verdict"), [("tanh", 32, "higher"), ("tanh", 4, "")])
def test_orthogonal_weights_pay_in_deep_networks_only(sample, name, depth, verdict):
    """Orthogonal weights made a deep network learn faster, and no difference to a shallow one."""
    activation, _, schemes = NETWORKS[name]
    small = sample.subset(train=2000, valid=1000)
    small = small.transformed(lambda x: (x - 0.286) / 0.353, "standardized")
    result = initguide.compare_init_weights(
        schemes,
        small,
        model=lambda: initguide.mlp([784, *[50] * depth, 10], activation),
        seeds=4,
    )
    gap = result.difference("orthogonal", "gaussian")
    if verdict:
        assert gap.verdict(0.02) == verdict
    else:
        assert abs(gap.mean) < 0.03
