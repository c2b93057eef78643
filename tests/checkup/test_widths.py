"""Layers of unequal widths: their parts in learning are the same, and no layer is blamed."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from checkup_networks import draws, labels, said
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import initguide
from initguide.checkup import check_init
from initguide.checkup.facts import Facts


def relu_net(widths, seed):
    """Draw weights by He's rule, without biases."""
    layers = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after, bias=False), nn.ReLU()]
    return initguide.initialize(nn.Sequential(*layers[:-1]), "he_normal", seed=seed)


@pytest.mark.parametrize("widths", [(3, 12, 2, 5, 1), (8, 2, 20, 2)])
def test_the_measure_is_the_same_in_the_mean(widths):
    """Over draws of narrow networks, all layers' s²‖∂L/∂w‖² have the mean of L², as is proved."""
    number, generator = 60_000, torch.Generator().manual_seed(0)
    scales = [0.7 + 0.3 * i for i in range(len(widths) - 1)]
    weights = [
        (scale * torch.randn(number, after, before, generator=generator)).requires_grad_()
        for scale, before, after in zip(scales, widths, widths[1:], strict=False)
    ]
    signal = torch.ones(number, widths[0], 1)
    for weight in weights[:-1]:
        signal = F.relu(weight @ signal)
    losses = (weights[-1] @ signal * torch.randn(widths[-1], 1, generator=generator)).sum((1, 2))
    gradients = torch.autograd.grad(losses.sum(), weights)
    expected = float(losses.detach().square().mean())
    for scale, gradient, weight in zip(scales, gradients, weights, strict=True):
        squares = gradient.square().sum((1, 2))
        assert float(scale**2 * squares.mean()) == pytest.approx(expected, rel=0.15)
        euler = (weight.detach() * gradient).sum((1, 2))
        torch.testing.assert_close(euler, losses.detach(), rtol=1e-3, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    powers=st.lists(st.floats(3, 9), min_size=3, max_size=6),
    outputs=st.integers(2, 12),
    seed=st.integers(0, 2**16),
)
def test_widths_are_no_fault(powers, outputs, seed):
    """Whatever the widths, no layer of a network by He's rule is too slow or too fast."""
    widths = [round(2**power) for power in powers] + [outputs]
    model = relu_net(widths, seed)
    inputs, targets = draws(32, widths[0]), labels(32, outputs)
    report = check_init(model, inputs, targets)
    assert not {code for code in said(report) if code.endswith("gradients")}, report
    facts = Facts(model, report.measurement, inputs, targets)
    effects = [w.effect for w in facts.trained]
    assert max(effects) < 30 * min(effects), (widths, effects)


def test_a_wide_network_with_a_narrow_end():
    """A wide network that ends with 8 and 2 units trains, and nothing is found."""
    for seed in range(3):
        model = relu_net((784, 2048, 2048, 8, 2), seed)
        inputs = draws(64, 784)
        report = check_init(model, inputs, (inputs[:, 0] > 0).long())
        assert not said(report, "error", "warning"), report
