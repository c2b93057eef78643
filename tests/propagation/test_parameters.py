"""Records of parameters."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from initguide.propagation import measure


def test_parameters(draws, two_layers):
    """On request, each parameter with its gradient, as autograd gives it."""
    model, x, y = two_layers(nn.ReLU()), draws(40, 6), torch.arange(40) % 3
    assert measure(model, x, y).parameters == ()
    records = {p.name: p for p in measure(model, x, y, parameters=True).parameters}
    loss = F.cross_entropy(model(x), y)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
        record = records[name]
        assert record.layer == name.split(".")[0]
        assert record.shape == tuple(parameter.shape)
        assert record.second_moment == pytest.approx(parameter.double().square().mean().item())
        assert record.grad_second_moment == pytest.approx(gradient.double().square().mean().item())
    assert records["0.weight"].units == records["0.weight"].distinct == 8
    assert records["0.bias"].units == 0
    assert math.isnan(records["0.bias"].distinct)
    assert model[0].weight.grad is None


def test_parameters_of_odd_layers(draws, using):
    """Units of embeddings and transposed convolutions; equal, frozen, unused, shared weights."""
    model = using(
        lambda m, x: m.up(m.words(x).transpose(1, 2)),
        words=nn.Embedding(20, 4),
        up=nn.ConvTranspose1d(4, 6, 3),
        unused=nn.Linear(2, 2),
    )
    nn.init.constant_(model.up.weight, 0.5)
    model.words.weight.requires_grad_(requires_grad=False)
    found = measure(model, torch.randint(0, 20, (5, 7)), parameters=True)
    records = {p.name: p for p in found.parameters}
    assert records["words.weight"].units == 4
    assert not records["words.weight"].trained
    assert math.isnan(records["words.weight"].grad_second_moment)
    up = records["up.weight"]
    assert (up.units, up.distinct, up.grad_distinct, up.shared) == (6, 1, 6, pytest.approx(1))
    assert records["unused.weight"].trained
    assert math.isnan(records["unused.weight"].grad_second_moment)
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3)), nn.Linear(3, 2))
    layers = [p.layer for p in measure(model, draws(5, 4), parameters=True).parameters]
    assert layers == ["0", "0", "0", "1", "1"]
    only = parametrizations.weight_norm(nn.Linear(4, 3))
    names = {p.layer for p in measure(only, draws(5, 4), parameters=True).parameters}
    assert len(names) == 1
