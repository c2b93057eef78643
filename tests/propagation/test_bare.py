"""Weights that no layer of torch's holds are layers like others."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide.propagation import measure

NUMBERS = ("fan_in", "fan_out", "weight_std", "output_mean", "output_var", "input_second_moment")
NUMBERS += ("output_grad_var", "weight_grad_var", "distinct_units", "units")


class _Bare(nn.Module):
    """A linear layer between two others, by itself or by a module."""

    def __init__(self, middle=None):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.W, self.b = nn.Linear(8, 12), nn.Parameter(torch.randn(12, 6)), nn.Linear(6, 4)
        self.middle = middle

    def forward(self, x):
        h = F.relu(self.a(x))
        return self.b(F.relu(h @ self.W if self.middle is None else self.middle(h)))


class Conv1D(nn.Module):
    """As in transformers: the inputs first, and the batch flattened."""

    def __init__(self, outputs, inputs):
        super().__init__()
        self.nf = outputs
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        """Multiply."""
        out = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return out.view(*x.size()[:-1], self.nf)


def _same(record, other):
    for number in NUMBERS:
        assert getattr(record, number) == pytest.approx(getattr(other, number), rel=1e-4), number
    assert record.activation == other.activation == "relu"
    assert record.dead_fraction == other.dead_fraction


@pytest.mark.parametrize("bare", ["a parameter", "Conv1D"])
def test_the_record_is_that_of_a_linear_layer(draws, bare):
    """All numbers are those of `nn.Linear` with the same weights, forward and back."""
    net, twin = _Bare(), _Bare()
    linear = nn.Linear(12, 6, bias=False)
    linear.weight = nn.Parameter(net.W.detach().T.clone())
    twin.middle = linear
    name = "W"
    if bare == "Conv1D":
        net.middle, name = Conv1D(6, 12), "middle"
        net.middle.weight.data = net.W.detach().clone()
    x = draws(20, 8)
    found, meant = (measure(n, x, parameters=True) for n in (net, twin))
    _same(found[name], meant["middle"])
    assert found[name].kind == ("Parameter" if name == "W" else "Conv1D")
    assert "b" in [r.name for r in found if r.fan_in == 6]
    key = "W" if name == "W" else "middle.weight"
    mine = next(p for p in found.parameters if p.name == key)
    theirs = next(p for p in meant.parameters if p.name == "middle.weight")
    assert mine.layer == name
    for number in ("units", "shared", "distinct", "grad_distinct", "grad_second_moment"):
        assert getattr(mine, number) == pytest.approx(getattr(theirs, number), rel=1e-4), number
    assert (mine.fan_in, mine.fan_out) == (12, 6)
    assert math.isnan(theirs.fan_in)


def test_sequences_have_their_units_last(draws):
    """Of tokens, too, though the product was taken of a flattened batch."""
    record = measure(nn.Sequential(Conv1D(6, 12)), draws(5, 7, 12))["0"]
    assert (record.shape, record.units, record.fan_in) == ((5, 7, 6), 6, 12)


class _Experts(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.router = nn.Parameter(torch.randn(8, 3))
        self.up, self.down = (nn.Parameter(torch.randn(3, *s)) for s in ((8, 16), (16, 8)))

    def forward(self, x):
        h = F.relu(torch.einsum("nd,edh->neh", x, self.up))
        y = torch.einsum("neh,ehd->ned", h, self.down)
        return (y * (x @ self.router).softmax(-1)[..., None]).sum(1)


def test_experts_in_one_tensor(draws):
    """Each parameter has a record; the units of equal experts are equal."""
    net = _Experts()
    found = measure(net, draws(20, 8), parameters=True)
    assert [(r.name, r.fan_in) for r in found][:3] == [("up", 8), ("down", 16), ("router", 8)]
    assert found["up"].activation == "relu"
    assert {p.name: (p.units, p.distinct) for p in found.parameters} == {
        "router": (3, 3),
        "up": (48, 48),
        "down": (24, 24),
    }
    net.up.data[1:] = net.up.data[0]
    again = measure(net, draws(20, 8), parameters=True)
    assert next(p for p in again.parameters if p.name == "up").distinct == 16


class _GraphAttention(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lin, self.att = nn.Linear(8, 12, bias=False), nn.Parameter(torch.randn(1, 3, 4))

    def forward(self, x, edges):
        h = self.lin(x).view(-1, 3, 4)
        scores = F.leaky_relu((h * self.att).sum(-1), 0.2)
        weights = torch.softmax(scores[edges[0]], 0)[..., None]
        return torch.zeros_like(h).index_add(0, edges[1], h[edges[0]] * weights).flatten(1)


def test_attention_of_a_graph(draws):
    """A vector a head, multiplied and summed, is a layer with its fan-in."""
    edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    found = measure(_GraphAttention(), (draws(4, 8), edges), parameters=True)
    assert (found["att"].fan_in, found["att"].fan_out, found["att"].units) == (4, 1, 3)


def test_a_shared_parameter_has_a_record_for_each_use(draws):
    """As a layer that is used twice has."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.W = nn.Linear(8, 8), nn.Parameter(torch.eye(8))

        def forward(self, x):
            return self.a(torch.tanh(x @ self.W) @ self.W)

    found = measure(Twice(), draws(5, 8))
    assert [(r.name, r.call) for r in found if r.kind == "Parameter"] == [("W", 0), ("W", 1)]


def test_frozen_and_unused_parameters(draws):
    """A frozen one is measured without a gradient; one that is not used has no record."""
    net = _Bare()
    net.W.requires_grad_(False)
    found = measure(net, draws(5, 8), parameters=True)
    assert math.isnan(found["W"].weight_grad_var)
    assert found["W"].output_grad_var > 0
    net = _Bare(nn.Linear(12, 6))
    assert "W" not in [r.name for r in measure(net, draws(5, 8))]
