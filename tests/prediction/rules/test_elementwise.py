"""Activations in wide networks, beside what was measured."""

import pytest
import torch
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
