"""What examples/theory/plot_5_depth.py concludes, at reduced size."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from initguide import theory

SIGMA_B = 0.3
EDGE = theory.critical_sigma_w("tanh", SIGMA_B)
WIDTH = 200


def inputs(count=3):
    """Random inputs of mean square 1, correlated by about one half."""
    draws = torch.randn(count + 1, WIDTH, generator=torch.Generator().manual_seed(5)).double()
    mixed = draws[:1] + draws[1:]
    return mixed / mixed.square().mean(1, keepdim=True).sqrt()


def forward(x, phi, sigma_w, sigma_b, seed, *, depth=50):
    """(networks, inputs, units) pre-activations of each layer."""
    draws = torch.Generator().manual_seed(seed)
    w, b = (torch.as_tensor(s).to(x).reshape(-1, 1, 1) for s in (sigma_w, sigma_b))
    layers = []
    for _ in range(depth):
        weights = torch.randn(WIDTH, WIDTH, generator=draws, dtype=x.dtype) / WIDTH**0.5
        biases = torch.randn(WIDTH, generator=draws, dtype=x.dtype)
        layers.append((w * (x @ weights.T) + b * biases).requires_grad_())
        x = phi(layers[-1])
    return layers


def gradients(layers):
    """(layers, networks) mean square of a random gradient, relative to the last layer."""
    draws = torch.Generator().manual_seed(0)
    last = torch.randn(layers[-1].shape[1:], generator=draws, dtype=layers[-1].dtype)
    found = torch.autograd.grad((layers[-1] * last).sum(), layers)
    squares = torch.stack([g.square().mean((1, 2)) for g in found]).numpy()
    return squares / squares[-1]


def correlation(layers, a=0, b=1):
    """(layers, networks) correlation of two of the inputs."""
    cosine = functools.partial(nn.functional.cosine_similarity, dim=-1)
    return torch.stack([cosine(z[:, a], z[:, b]) for z in layers]).detach().numpy()


def test_measured_steps_lie_on_the_two_maps():
    """Two maps, of length and of correlation, predict what a layer does."""
    sigmas = np.array([0.8, EDGE, 2.5])
    lengths, alike = [], []
    for seed in range(6):
        layers = forward(inputs(), torch.tanh, sigmas, [SIGMA_B] * 3, seed, depth=5)
        lengths.append([z.detach().square().mean((1, 2)).numpy() for z in layers])
        alike.append(correlation(layers))
    lengths, alike = np.mean(lengths, axis=0), np.mean(alike, axis=0)
    for before, after in itertools.pairwise(lengths):
        expected = theory.length_map(before, "tanh", sigmas, SIGMA_B)
        np.testing.assert_allclose(after, expected, rtol=0.1)
    expected = [
        theory.correlation_map(c, "tanh", s, SIGMA_B, q=q)
        for c, s, q in zip(alike[3], sigmas, lengths[3], strict=True)
    ]
    np.testing.assert_allclose(alike[4], expected, atol=0.07)


def test_equal_images_stay_equal_and_the_slope_there_is_chi():
    """All lines end in the corner, and the slope there is χ."""
    for sigma in (0.8, EDGE, 2.5):
        near = theory.correlation_map(1 - 1e-5, "tanh", sigma, SIGMA_B)
        assert theory.correlation_map(1.0, "tanh", sigma, SIGMA_B) == 1
        assert (1 - near) / 1e-5 == pytest.approx(theory.chi("tanh", sigma, SIGMA_B), rel=1e-3)


def test_order_edge_and_chaos():
    """Below 1 images become alike and gradients vanish; above 1 the opposite; at the edge neither.

    In order, what told two images apart is gone after ten layers.
    """
    layers = forward(inputs(), torch.tanh, [0.8, EDGE, 2.5], [SIGMA_B] * 3, seed=0)
    alike, grads = correlation(layers), gradients(layers)[0]
    assert 1 - alike[10, 0] < 1e-3
    assert alike[-1, 2] < 0.6 < alike[-1, 1] < 0.999
    chis = [theory.chi("tanh", s, SIGMA_B) for s in (0.8, EDGE, 2.5)]
    assert grads[0] < 1e-8
    assert grads[2] > 1e6
    np.testing.assert_allclose(np.log(grads) / 49, np.log(chis), atol=0.06)


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_the_edge_lies_where_predicted(name):
    """The edge lies where predicted, for tanh and for ReLU."""
    spreads_b = np.array([0.2, 1.0])
    predicted = theory.critical_sigma_w(name, spreads_b)
    grid = predicted[:, None] * np.linspace(0.8, 1.2, 7)
    biases = np.broadcast_to(spreads_b[:, None], grid.shape)
    rates = []
    for seed in range(3):
        layers = forward(inputs(), getattr(torch, name), grid.ravel(), biases.ravel().copy(), seed)
        rates.append(np.log(gradients(layers)[19]).reshape(grid.shape))
    for row, spreads, expected in zip(np.mean(rates, axis=0), grid, predicted, strict=True):
        assert row[0] < 0 < row[-1]
        assert np.interp(0, row, spreads) == pytest.approx(expected, rel=0.04)


def test_the_exception_is_tanh_without_biases():
    """Without biases, the length of tanh fades like 1/depth at the edge: 1/(2 depth)."""
    layers = forward(inputs(), torch.tanh, 1.0, 0.0, seed=0)
    last = layers[-1].detach().square().mean().item()
    assert last == pytest.approx(1 / (2 * 50), rel=0.6)
    assert gradients(layers)[0, 0] < 0.3


def test_the_edge_of_relu_is_root_2_whatever_the_biases():
    """For ReLU the edge is √2 whatever the biases: He's variance of 2/n."""
    np.testing.assert_allclose(theory.critical_sigma_w("relu", np.linspace(0, 1, 4)), math.sqrt(2))


@pytest.mark.parametrize("seed", range(3))
def test_relu_makes_images_alike_on_both_sides_of_its_edge(seed):
    """Without biases σ_w changes sizes and gradients, but not how alike two images become."""
    ends, factors = [], []
    for sigma_w in (1.2, math.sqrt(2), 2.0):
        layers = forward(inputs(), torch.relu, sigma_w, 0.0, seed)
        alike = correlation(layers)[:, 0]
        assert alike[-1] > alike[0] + 0.1
        ends.append(alike[-1])
        factors.append(gradients(layers)[0, 0])
    np.testing.assert_allclose(ends, ends[0], rtol=1e-6)
    assert factors[0] < 0.01
    assert factors[2] > 100


def test_correlations_have_a_depth_scale_of_their_own_in_chaos():
    """In order it is that of gradients, the slope in the corner; in chaos that at the crossing."""
    order, chaos = theory.depth_scale("tanh", [0.8, 2.5], SIGMA_B)
    same, longer = theory.depth_scale("tanh", [0.8, 2.5], SIGMA_B, kind="correlation")
    assert same == pytest.approx(order)
    assert longer > 1.2 * chaos


@pytest.mark.parametrize("sigma_w", [0.7, 1.0, 2.0, 2.4])
def test_depth_scales_are_measured_as_predicted(sigma_w):
    """Away from the edge, both kinds of points sit on one line."""
    expected = theory.depth_scale("tanh", sigma_w, SIGMA_B)
    rates, drops = [], []
    for seed in range(3):
        layers = forward(inputs(), torch.tanh, sigma_w, SIGMA_B, seed, depth=35)
        rates.append(np.log(gradients(layers)[9, 0]) / 25)
        gap = 1 - correlation(layers)[:, 0]
        last = int((gap > 1e-11).sum()) - 1
        drops.append(np.log(gap[5] / gap[last]) / (last - 5))
    assert 1 / abs(np.mean(rates)) == pytest.approx(expected, rel=0.15)
    if sigma_w < EDGE:
        assert 1 / np.mean(drops) == pytest.approx(expected, rel=0.15)
