"""Dead and saturated activations, however the activation is called."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide.propagation import FLAT, measure


def layer_with(bias, *, weight=0.0):
    """A layer of equal weights with the biases given."""
    layer = nn.Linear(2, len(bias))
    nn.init.constant_(layer.weight, weight)
    layer.bias.data = torch.tensor(bias)
    return layer


RELUS = {
    "module": lambda layer, _: nn.Sequential(layer, nn.ReLU()),
    "in place": lambda layer, _: nn.Sequential(layer, nn.ReLU(inplace=True)),
    "function": lambda layer, using: using(lambda self, x: F.relu(self.layer(x)), layer=layer),
    "function in place": lambda layer, using: using(
        lambda self, x: F.relu(self.layer(x), inplace=True), layer=layer
    ),
    "torch.relu_": lambda layer, using: using(
        lambda self, x: torch.relu_(self.layer(x)), layer=layer
    ),
    "method": lambda layer, using: using(lambda self, x: self.layer(x).relu(), layer=layer),
    "clamp": lambda layer, using: using(lambda self, x: self.layer(x).clamp(min=0), layer=layer),
    "keyword": lambda layer, using: using(lambda self, x: F.relu(input=self.layer(x)), layer=layer),
}


@pytest.mark.parametrize("build", RELUS.values(), ids=RELUS)
def test_dead_units_of_a_relu(draws, using, build):
    """However the ReLU is called, units at or below 0 on the whole batch are dead."""
    found = measure(build(layer_with([-1.0, 0.0, 2.0, -3.0, 1.0]), using), draws(6, 2))
    assert found[0].activation == "relu"
    assert found[0].dead_fraction == 0.6
    assert math.isnan(found[0].saturated_fraction)
    if len(found) > 1:
        assert (found[1].activation, found[1].dead_fraction) == ("relu", 0.6)


def test_one_image_is_enough_to_be_alive():
    """A unit that is positive for one input, or at one position of a channel, is not dead."""
    layer = nn.Conv2d(1, 2, 1, bias=False)
    layer.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    images = torch.zeros(3, 1, 4, 4)
    images[1, 0, 2, 3] = 1.0
    assert measure(nn.Sequential(layer, nn.ReLU()), images)[0].dead_fraction == 0.5


@pytest.mark.parametrize(
    ("activation", "function", "biases"),
    [
        (nn.Tanh(), torch.tanh, [0.0, 1.0, -2.0, 2.5, -9.0, 30.0]),
        (nn.Sigmoid(), torch.sigmoid, [0.0, 1.0, -4.0, 4.5, -9.0, 30.0]),
        (nn.Softsign(), F.softsign, [0.0, 1.0, -3.0, 4.5, -9.0, 30.0]),
        (nn.Hardtanh(), F.hardtanh, [0.0, 0.9, -0.9, 1.5, -9.0, 30.0]),
        (nn.Hardtanh(-2, 2), lambda x: F.hardtanh(x, -2, 2), [0.0, 1.9, -1.5, 2.5, -9.0, 30.0]),
        (nn.Hardsigmoid(), F.hardsigmoid, [0.0, 1.0, -2.9, 3.1, -9.0, 30.0]),
    ],
)
def test_saturated(draws, using, activation, function, biases):
    """Saturated is where autograd's slope is below a part of the steepest; dead, where it is 0."""
    z = torch.tensor(biases, requires_grad=True)
    (slope,) = torch.autograd.grad(activation(z).sum(), z)
    x = torch.linspace(-3, 3, 2001, requires_grad=True)
    steepest = torch.autograd.grad(activation(x).sum(), x)[0].max()
    flat = (slope < FLAT * steepest).float().mean().item()
    layer = layer_with(biases)
    for model in (
        nn.Sequential(layer, activation),
        using(lambda self, x: function(self.layer(x)), layer=layer),
    ):
        record = measure(model, draws(4, 2))[0]
        assert record.saturated_fraction == pytest.approx(flat)
        assert record.dead_fraction == pytest.approx((slope == 0).float().mean().item())
    assert flat >= 0.5


def test_relu6_is_flat_above_only(draws):
    """At 0, a ReLU6 is a ReLU: only its upper bound saturates."""
    record = measure(nn.Sequential(layer_with([-1.0, 1.0, 7.0, 8.0]), nn.ReLU6()), draws(4, 2))[0]
    assert record.saturated_fraction == 0.5
    assert record.dead_fraction == 0.75  # nor does a gradient pass at the bound


def test_others_do_not_count(draws, using):
    """No number is made up for activations that are flat nowhere, or only in the limit."""
    for activation in (nn.GELU(), nn.LeakyReLU(), nn.Softmax(dim=1), nn.ELU()):
        record = measure(nn.Sequential(layer_with([-1.0, 1.0]), activation), draws(4, 2))[0]
        assert record.activation is None
        assert math.isnan(record.dead_fraction)
    clamped = using(lambda self, x: self.layer(x).clamp(0, 1), layer=layer_with([-1.0]))
    assert measure(clamped, draws(4, 2))[0].activation is None


def test_an_activation_belongs_to_what_it_was_applied_to(draws, using):
    """Not to a layer whose output was changed before, nor to what comes after it."""
    model = using(
        lambda self, x: self.drop(F.relu(self.fc(x).add_(1))), fc=nn.Linear(2, 3), drop=nn.Dropout()
    ).eval()
    found = measure(model, draws(4, 2))
    assert [record.activation for record in found] == [None, None]
    model = using(
        lambda self, x: self.drop(F.relu(self.fc(x))), fc=nn.Linear(2, 3), drop=nn.Dropout()
    ).eval()
    assert [record.activation for record in measure(model, draws(4, 2))] == ["relu", None]


def test_nan_is_not_dead(draws):
    """A unit with NaN is broken, not dead."""
    record = measure(nn.Sequential(layer_with([math.nan, -1.0]), nn.ReLU()), draws(4, 2))[0]
    assert record.dead_fraction == 0.5


def test_dead_units_are_a_share_of_those_that_were_counted(draws):
    """A module that ends with an activation may take another axis for its units than that did."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))  # a layer of its own
            self.conv = nn.Conv1d(3, 6, 3)
            nn.init.zeros_(self.conv.weight)
            nn.init.constant_(self.conv.bias, -1.0)

        def forward(self, x):
            return F.relu(self.conv(x))

    found = measure(Block(), draws(5, 3, 4))
    assert [(r.kind, r.units, r.dead_fraction) for r in found] == [
        ("Conv1d", 6, 1.0),
        ("Block", 2, 1.0),
    ]
