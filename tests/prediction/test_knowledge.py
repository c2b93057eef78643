"""Beliefs are about tensors as they were: changes in place, through views and into others."""

import pytest
import torch
from torch import Generator, nn

from initguide import initializers as init
from initguide import theory
from initguide.prediction.belief import Belief, apart
from initguide.prediction.groups import Groups
from initguide.prediction.knowledge import Knowledge


def test_groups():
    """Inputs of about equal length are together, and the groups' means make up that of all."""
    x = torch.randn(40, 5, generator=Generator().manual_seed(0)) * torch.arange(1, 41)[:, None]
    groups = Groups(x)
    squares = x.double().square()
    assert (len(groups), groups.inputs) == (8, 40)
    second = groups.mean_square(x)
    assert second == pytest.approx(squares.mean(1).sort().values.reshape(8, 5).mean(1).numpy())
    assert groups.overall(second) == pytest.approx(float(squares.mean()))
    other = torch.full((7, 3), 2.0)  # not one row an input
    assert groups.mean_square(other) == pytest.approx([4.0] * 8)
    assert len(Groups(torch.ones(3))) == 1
    assert len(Groups(torch.ones(3, 2))) == 3


def test_a_change_through_a_view():
    """No function was given the tensor, and still its belief is no longer held."""
    x = torch.ones(4, 3)
    knowledge = Knowledge([x])
    assert knowledge.about(x).second == pytest.approx([1.0] * 4)
    x.view(-1).mul_(2)
    assert knowledge.outdated(x)
    assert knowledge.about(x).second == pytest.approx([4.0] * 4)
    assert knowledge.about(x).basis == "what was measured after a change in place"
    assert not knowledge.outdated(x)
    assert knowledge.about(x.clone()) is None


def test_keys_of_weights():
    """Views of a weight are that weight; a weight that was computed and let go is another one."""
    knowledge, weight = Knowledge([torch.ones(2, 2)]), torch.ones(64, 64)
    assert knowledge.key(weight) == knowledge.key(weight.T) == knowledge.key(weight[:3])
    keys = {knowledge.key(torch.ones(64, 64)) for _ in range(20)}
    assert len(keys) == 20


def test_signs():
    """Two things are apart if one flips its sign with weights that the other does not know."""
    second = torch.ones(1).numpy()
    free = Belief(second, sources=frozenset({1, 2}), heads=frozenset({2}))
    before = Belief(second, sources=frozenset({1}))
    tied = Belief(second, sources=frozenset({1, 2}))
    assert apart(free, before)
    assert not apart(free, tied)
    assert not apart(before, tied)


class InPlace(nn.Module):
    """A layer, something done to its output, and a layer that sees that output."""

    def __init__(self, change):
        super().__init__()
        self.a, self.b, self.change = nn.Linear(200, 200), nn.Linear(200, 200), change
        self.apply(init.he_normal(generator=Generator().manual_seed(0)))

    def forward(self, x):
        """What the change returns is not used."""
        h = self.a(x)
        self.change(h)
        return self.b(h)


@pytest.mark.parametrize(
    ("change", "basis"),
    [
        (lambda h: h.relu_(), "the inputs"),
        (lambda h: h.mul_(0.5), "the inputs"),
        (torch.tanh, "the inputs"),
        (lambda h: h.copy_(torch.ones_like(h)), "what was measured after copy_"),
        (lambda h: torch.exp(h, out=h), "what was measured after exp"),
        (lambda h: h[:, :50].zero_(), "what was measured after a change in place"),
        (lambda h: h.__setitem__(0, 0.0), "what was measured after __setitem__"),
    ],
)
def test_changes_in_place(change, basis):
    """A rule speaks for what its function changed; where there is none, the change is measured."""
    x = torch.randn(50, 200, generator=Generator().manual_seed(1))
    record = theory.predict_variances(InPlace(change), x)["b"]
    assert record.basis.startswith(basis)
    if "copy_" not in basis:  # ones are inputs that are all alike
        assert record.second_moment == pytest.approx(record.measured, rel=0.1)
