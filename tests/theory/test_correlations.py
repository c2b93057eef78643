"""Correlations and gradients: closed forms, independent integrals, and drawn wide networks."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import integrate, stats
from torch import Generator

from initguide import theory
from initguide.theory import activations

ROOT_2 = math.sqrt(2)


def relu_correlation(c):
    """The arc-cosine kernel of degree 1 (Cho and Saul 2009)."""
    return (np.sqrt(1 - c**2) + c * (np.pi - np.arccos(c))) / np.pi


C = np.array([-1, -0.9999, -0.6, 0, 0.3, 0.9, 0.9999, 1 - 1e-9, 1])


def test_correlation_map_closed_forms():
    """Kinked, smooth and jumping functions, from c = -1 to 1."""
    ours = theory.correlation_map(C, torch.relu, ROOT_2)
    assert ours == pytest.approx(relu_correlation(C), abs=1e-12)
    steps = [0.0]
    for _ in range(3):
        steps.append(theory.correlation_map(steps[-1], torch.relu, ROOT_2))
    assert steps[1:] == pytest.approx([0.3183, 0.4937, 0.6048], abs=5e-5)
    for q in (1e-3, 2.0, 1e6):
        s = 2 * q / (1 + 2 * q)
        exact = np.arcsin(C * s) / np.arcsin(s)
        assert theory.correlation_map(C, "erf", 1.3, q=q) == pytest.approx(exact, abs=1e-9)
    sign = theory.correlation_map(C, torch.sign, 1.0, q=2.0)
    assert sign == pytest.approx(2 / np.pi * np.arcsin(C), abs=1e-9)
    exp = theory.correlation_map(C, torch.exp, 1.0, q=1.0)
    assert exp == pytest.approx(np.exp(C - 1), rel=1e-10)


def test_correlation_map_of_unaligned_kinks():
    """A step at 0.7: the probability that two correlated normals both exceed it."""
    c = np.array([-0.5, 0.2, 0.95])
    ours = theory.correlation_map(c, lambda x: (x > 0.7).double(), 1.0, q=1.0)
    both = [
        integrate.quad(
            lambda x, r=r: stats.norm.pdf(x) * stats.norm.sf((0.7 - r * x) / math.sqrt(1 - r * r)),
            0.7,
            12,
        )[0]
        for r in c
    ]
    assert ours == pytest.approx(np.array(both) / stats.norm.sf(0.7), abs=1e-8)


def test_correlation_map_with_biases():
    """Independent double integration by scipy for tanh with biases."""
    q = theory.fixed_point("tanh", 1.5, 0.3)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    for c in (-0.4, 0.0, 0.8):
        u = math.sqrt(q) * nodes[:, None]
        v = math.sqrt(q) * (c * nodes[:, None] + math.sqrt(1 - c * c) * nodes)
        mean = weights @ (np.tanh(u) * np.tanh(v)) @ weights
        exact = (2.25 * mean + 0.09) / q
        assert theory.correlation_map(c, "tanh", 1.5, 0.3) == pytest.approx(exact, abs=1e-8)


def test_chi():
    """Closed forms, and the slope of the correlation map at 1."""
    assert theory.chi("relu", 1.0, 0.4) == pytest.approx(0.5, rel=1e-12)
    assert theory.chi("relu", 2.0) == pytest.approx(2.0)
    assert theory.chi("tanh", 0.9) == pytest.approx(0.81, rel=1e-12)
    assert theory.chi("gelu", 1.9, 1.0) == pytest.approx(1.9**2 / 2)  # lengths grow: the limit
    assert math.isnan(theory.chi(torch.exp, 1.0))
    h = 1e-4
    slope = (1 - theory.correlation_map(1 - h, "tanh", 1.5, 0.3)) / h
    assert theory.chi("tanh", 1.5, 0.3) == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("q", [0.0, 0.3, 1.0, 20.0])
def test_chi_at_any_length(q):
    """With erf, E[φ'²] has a closed form; where lengths settle, it is the χ without a length."""
    expected = 1.5**2 * 4 / math.pi / math.sqrt(1 + 4 * q)
    assert theory.chi("erf", 1.5, 0.3, q=q) == pytest.approx(expected, rel=1e-9)
    settled = theory.fixed_point("erf", 1.5, 0.3)
    assert theory.chi("erf", 1.5, 0.3, q=settled) == theory.chi("erf", 1.5, 0.3)


@pytest.mark.parametrize(
    ("phi", "w", "b"), [(torch.tanh, 1.5, 0.3), (torch.relu, ROOT_2, 0.0), (F.gelu, 1.2, 0.5)]
)
def test_maps_against_wide_networks(assert_mean, phi, w, b):
    """Length, correlation and gradient of 60 drawn networks, 400 units wide."""
    generator = Generator().manual_seed(1)
    draws, n, c, q = 60, 400, 0.5, 1.0
    shared, own = torch.randn(2, draws, n, generator=generator)
    pair = torch.stack([shared, c * shared + math.sqrt(1 - c**2) * own], dim=1)
    for _ in range(3):
        h = pair.requires_grad_()
        weight = torch.randn(draws, n, n, generator=generator) * (w / math.sqrt(n))
        bias = b * torch.randn(draws, 1, n, generator=generator)
        after = phi(h) @ weight.mT + bias
        c, previous, q = (
            theory.correlation_map(c, phi, w, b, q=q),
            q,
            theory.length_map(q, phi, w, b),
        )
        pair = after.detach()
        assert_mean(pair.square().mean((1, 2)), q, bias=0.01)
        assert_mean((pair[:, 0] * pair[:, 1]).mean(1), c * q, bias=0.01)
    delta = torch.randn(draws, 2, n, generator=generator)
    (gradient,) = torch.autograd.grad(after, h, delta)
    slope = activations.Activation(phi).second(previous, prime=True)
    assert_mean(gradient.square().mean((1, 2)), w**2 * slope, bias=0.02)
