"""Activations in wide networks, beside what was measured."""

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

import initguide
from initguide import initializers as init
from initguide import theory


@pytest.mark.parametrize(
    "activation",
    [nn.Tanh(), nn.GELU(), nn.SELU(), nn.Hardswish(), nn.LeakyReLU(0.2), nn.PReLU(), nn.Softplus(),
     nn.Sigmoid(), nn.ReLU(inplace=True), nn.Sequential(nn.Identity(), nn.ELU())],
)  # fmt: skip
def test_activations_in_wide_networks(activation):
    """Predicted and measured agree within noise, with inputs of very different lengths."""
    generator = Generator().manual_seed(0)
    x = torch.randn(64, 600, generator=generator) * torch.linspace(0.1, 3, 64)[:, None]
    net = nn.Sequential(
        nn.Linear(600, 800), activation, nn.Linear(800, 800), activation, nn.Linear(800, 800)
    )
    initguide.initialize(net, init.he_normal(generator=generator))
    with torch.no_grad():
        net[2].bias.normal_(0.3, 0.2, generator=generator)  # a mean, too
    for record in theory.predict_variances(net, x):
        assert record.basis == "the inputs"
        assert record.second_moment == pytest.approx(record.measured, rel=0.06)


@pytest.mark.parametrize(
    ("in_place", "apart"),
    [
        (torch.tanh_, torch.tanh),
        (lambda h: F.elu(h, 1.0, True), F.elu),
        (nn.ReLU6(inplace=True), F.relu6),
    ],
)
def test_positions_of_images_are_weighed_before_the_activation(in_place, apart):
    """An activation in place is the same function: the borders are weighed by what went in."""
    generator = Generator().manual_seed(0)
    x = torch.randn(20, 3, 8, 8, generator=generator) * torch.linspace(0.1, 6, 8)

    def predicted(activation):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.one, self.two = nn.Conv2d(3, 50, 3, padding=1), nn.Conv2d(50, 50, 3)

            def forward(self, x):
                return self.two(activation(self.one(x)))

        net = initguide.initialize(Net(), init.he_normal(generator=Generator().manual_seed(1)))
        return theory.predict_variances(net, x)["two"].second_moment

    assert predicted(in_place) == pytest.approx(predicted(apart), rel=1e-6)
