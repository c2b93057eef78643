"""Scaled branches: numbers and parameters multiply the mean square, and signs stay free."""

import pytest
import torch
from torch import Generator, nn

from initguide import initializers as init
from initguide import theory


class Branch(nn.Module):
    """A residual block with a scaled branch, and a layer that sees the sum."""

    def __init__(self, scale, step):
        super().__init__()
        self.branch, self.last = nn.Linear(300, 300), nn.Linear(300, 300)
        self.scale, self.step = nn.Parameter(scale), step

    def forward(self, x):
        """The last layer sees x + s f(x)."""
        return self.last(x + self.step(self.branch(x), self.scale))


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (lambda h, _: h * 3, 3),
        (lambda h, _: 3 * h, 3),
        (lambda h, _: h.mul_(3), 3),
        (lambda h, _: h / 2, 0.5),
        (lambda h, _: h.div_(2), 0.5),
        (lambda h, _: -h, 1),
        (lambda h, _: h.negative_(), 1),
        (lambda h, _: h * torch.tensor(0.5), 0.5),
        (lambda h, s: s * h, 2),
        (lambda h, s: h / s, 0.5),
        (lambda h, s: h.clone().divide_(s[:1]), 0.5),
    ],
)
def test_scaled_branches(step, factor):
    """E[(x + s f(x))²] = E[x²] + s² E[f(x)²], however s is written."""
    generator = Generator().manual_seed(0)
    net, x = Branch(torch.full((300,), -2.0), step), torch.randn(60, 300, generator=generator)
    net.apply(init.lecun_normal(generator=generator))
    record = theory.predict_variances(net, x)["last"]
    assert record.basis == "the inputs"
    assert record.second_moment == pytest.approx(1 + factor**2, rel=0.03)
    assert record.second_moment == pytest.approx(record.measured, rel=0.1)


@pytest.mark.parametrize(
    "step",
    [
        lambda h, _: h * h,
        lambda h, _: h * torch.sigmoid(h),
        lambda h, _: 1 / h.square().add_(1),
        lambda h, _: h * torch.linspace(0, 1, 300),
    ],
)
def test_products_of_activations_are_not_followed(step):
    """A gate knows what it multiplies; a tensor made on the way may."""
    net, x = Branch(torch.ones(1), step), torch.randn(60, 300, generator=Generator().manual_seed(0))
    assert theory.predict_variances(net, x)["last"].basis.startswith("what was measured after")
