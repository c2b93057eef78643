"""Normalizations are known by what they do, activations of a part by what they were applied to."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide.propagation import measure


class _Own(nn.Module):
    """A layer of one's own: a function, two vectors, and what a batch leaves behind."""

    def __init__(self, function):
        super().__init__()
        self.function, self.calls = function, 0
        self.gamma, self.beta = nn.Parameter(torch.full((12,), 0.5)), nn.Parameter(torch.ones(12))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.seen.add_(1)
        return self.gamma * self.function(x) + self.beta


def _standardized(x):
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)


OWN = {
    "by token": (_standardized, True),
    "root mean square": (lambda x: x * x.square().mean(-1, keepdim=True).rsqrt(), True),
    "by batch": (lambda x: (x - x.mean(0)) / x.std(0), True),
    "a length of 1": (F.normalize, True),
    "a gate": (lambda x: x, False),
    "tanh": (torch.tanh, False),
    "softmax": (lambda x: x.softmax(-1), False),
    "nothing": (torch.zeros_like, False),
    "noise": (F.dropout, False),
}


@pytest.mark.parametrize("name", OWN)
def test_a_layer_of_ones_own_is_asked(draws, name):
    """It is one if four times the input gives the same; its buffers and attributes stay."""
    function, is_one = OWN[name]
    net = nn.Sequential(nn.Linear(8, 12), _Own(function), nn.Linear(12, 4))
    found = measure(net, draws(20, 8), parameters=True)
    assert found["1"].normalizes is is_one
    assert found["0"].normalized is is_one
    assert (net[1].calls, net[1].seen.item()) == (0, 0)
    used = {p.name: p.used_as for p in found.parameters}
    assert used["1.gamma"] == "gate"
    assert used["1.beta"] == "shift"
    assert used["0.weight"] == ""


def test_torchs_own_and_functions(draws):
    """Modules by their types; a function marks the layer whose output it normalizes."""
    norms = [nn.LayerNorm(12), nn.BatchNorm1d(12), nn.GroupNorm(3, 12), nn.RMSNorm(12)]
    for norm in norms:
        found = measure(nn.Sequential(nn.Linear(8, 12), norm), draws(20, 8))
        assert found["1"].normalizes
        assert found["0"].normalized

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 12), nn.Linear(12, 4)

        def forward(self, x):
            return self.b(F.layer_norm(self.a(x), (12,)))

    found = measure(Functional(), draws(20, 8))
    assert (found["a"].normalized, found["b"].normalized) == (True, False)


class _Parts(nn.Module):
    def __init__(self, parts):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.parts = nn.Linear(8, 12), parts

    def forward(self, x):
        return self.parts(self.a(x))


def _glu(z):
    u, v = z.chunk(2, dim=1)
    return u.tanh() * v


def _gates(z):
    u, v = z.split(6, 1)
    return u.sigmoid() * v.relu()


PARTS = {  # what is done with parts of the output -> the first activation, its units, dead ones
    "a slice": (lambda z: F.relu(z[:, :4]), "relu", 4, 0.5),
    "a column": (lambda z: z[:, 0].relu(), "relu", 1, 1.0),
    "a chunk": (_glu, "tanh", 6, 1 / 3),
    "gates": (_gates, "sigmoid", 6, 1 / 3),
    "all of it": (lambda z: z.relu(), "relu", 12, 1 / 3),
    "another shape": (lambda z: z.view(-1, 3, 4).relu(), "relu", 4, 0.0),
    "a copy": (lambda z: (2 * z).relu(), None, 0, None),
}


@pytest.mark.parametrize("name", PARTS)
def test_an_activation_of_a_part_belongs_to_its_layer(draws, name):
    """Told by the memory that a view shares, with the units of that part; the worst part counts."""
    parts, activation, units, dead = PARTS[name]
    net = _Parts(parts)
    net.a.bias.data[[0, 1, 8, 9]] = -100
    found = measure(net, draws(20, 8))["a"]
    assert (found.activation, found.activated) == (activation, units)
    if dead is not None:
        assert found.dead_fraction == pytest.approx(dead)


class _Hidden(nn.Module):
    def __init__(self, held):
        super().__init__()
        self.out, self.held = nn.Linear(8, 4), held

    def forward(self, x):
        held = self.held
        if isinstance(held, torch.Tensor):
            return self.out(x @ held)
        for layer in held.values() if isinstance(held, dict) else held:
            x = layer(x)
        return self.out(x)


@pytest.mark.parametrize(
    ("make", "kind", "shapes"),
    [
        (lambda: [nn.Linear(8, 8)], "list", {(8, 8), (8,)}),
        (lambda: {"a": nn.Linear(8, 8, bias=False)}, "dict", {(8, 8)}),
        (lambda: torch.randn(8, 8, requires_grad=True), "tensor", {(8, 8)}),
        (lambda: [torch.tanh], "", set()),
    ],
)
def test_layers_in_a_plain_list_are_noticed(draws, make, kind, shapes):
    """Leaves of the graph that are no parameters, with the attribute that holds them."""
    net = nn.Sequential(nn.Linear(8, 8), _Hidden(make()))
    found = measure(net, draws(5, 8)).strangers
    assert {s.shape for s in found} == shapes
    assert {(s.owner, s.attribute, s.kind) for s in found} == (
        {("1", "held", kind)} if kind else set()
    )


def test_inputs_and_frozen_parts_are_no_strangers(draws):
    """What wants a gradient outside of the model, and what wants none, is left out."""
    net = nn.Sequential(nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 4))
    assert measure(net, draws(5, 8).requires_grad_()).strangers == ()
    assert measure(net.requires_grad_(False), draws(5, 8)).strangers == ()
