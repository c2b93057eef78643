"""The loss of a pass: chosen by the targets, given, and what it would be at outputs of 0."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide.propagation import measure


def test_without_targets_the_gradient_at_the_output_is_about_1(draws, lesson_net):
    """The default loss sends gradients of variance 1 back, whatever the outputs are."""
    for scheme in ("zeros", "he_normal", "normal(10.0)"):
        found = measure(lesson_net(scheme).eval(), draws(200, 784))
        assert found["fc3"].output_grad_var == pytest.approx(1, abs=0.1)
    assert found.loss_name == "sum of the outputs, each times a draw from N(0, 1)"


def test_he_keeps_the_gradient_too(draws):
    """Without targets, the gradients' variance is read as a gain: He in fan-out mode keeps it."""
    layers = [layer for _ in range(5) for layer in (nn.Linear(300, 300), nn.ReLU())]
    model = initguide.initialize(nn.Sequential(*layers), "he_normal(mode='fan_out')", seed=0)
    found = measure(model, draws(100, 300))
    grads = [r.output_grad_var for r in found if r.kind == "Linear"]
    assert all(0.4 < g < 0.65 for g in grads)  # half of what passes the ReLU


def test_sequence_targets():
    """Whole-number targets fit outputs with the classes second or last."""
    model = nn.Embedding(11, 11)
    tokens, targets = torch.arange(10).reshape(2, 5), torch.arange(1, 11).reshape(2, 5)
    expected = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).item()
    assert measure(model, tokens, targets).loss == pytest.approx(expected)
    images = nn.Conv2d(3, 4, 1)
    expected = F.cross_entropy(images(torch.ones(2, 3, 5, 5)), torch.ones(2, 5, 5).long()).item()
    found = measure(images, torch.ones(2, 3, 5, 5), torch.ones(2, 5, 5, dtype=torch.uint8))
    assert found.loss == pytest.approx(expected)


def test_own_loss(draws, using):
    """A loss gets what the model returned, with the targets if there are any."""
    model = using(lambda self, x: {"a": self.fc(x), "b": 1}, fc=nn.Linear(3, 2))
    found = measure(model, draws(4, 3), targets="t", loss=lambda y, t: y["a"].sum() * len(t))
    assert found["fc"].weight_grad_var > 0
    assert found.loss_name == "<lambda>"
    assert measure(nn.Linear(3, 2), draws(4, 3), draws(4, 2), nn.L1Loss()).loss_name == "L1Loss"


def test_the_output(draws, two_layers):
    """Shape, size and gradient of the output, and the loss if it were 0."""
    model, x, y = two_layers(nn.ReLU()), draws(40, 6), torch.arange(40) % 3
    found = measure(model, x, y)
    output = model(x)
    (gradient,) = torch.autograd.grad(F.cross_entropy(output, y), output)
    assert found.output_shape == (40, 3)
    assert found.output_second_moment == pytest.approx(output.square().mean().item(), rel=1e-5)
    assert found.output_grad_sum == pytest.approx(gradient.abs().sum().item(), rel=1e-5)
    assert found.blank_loss == pytest.approx(math.log(3))
    assert math.isnan(measure(model, x).blank_loss)
