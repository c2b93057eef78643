"""Layers that torch has no module for are blamed by name, with advice that fits them."""

import pytest
import torch
import torch.nn.functional as F
from checkup_networks import draws
from torch import nn

import initguide
from initguide.checkup import check_init


def _data():
    inputs = draws(64, 8)
    return inputs, (inputs[:, 0] > 0).long() * 2 + (inputs[:, 1] > 0).long()


def _follow(report, model):
    """Execute the advice of all findings."""
    for finding in report.findings:
        exec(finding.advice, {"model": model, "initguide": initguide, "torch": torch})  # noqa: S102


class _Bare(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.a, self.W = nn.Linear(8, 32), nn.Parameter(size * torch.randn(32, 32) / 32**0.5)
        self.b = nn.Linear(32, 4)

    def forward(self, x):
        return self.b(F.relu(self.a(x)) @ self.W)


@pytest.mark.parametrize("size", [1e-4, 1e-3])
def test_a_bare_parameter_that_is_too_small(size):
    """An error there, advice that changes it and nothing else, and then all is well."""
    torch.manual_seed(0)
    model = _Bare(size)
    report = check_init(model, *_data())
    assert [(f.severity, f.layer) for f in report.findings] == [("error", "W")], report
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    _follow(report, model)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"W"}
    assert check_init(model, *_data()).ok


def test_a_bare_parameter_that_is_right():
    """Nothing is found at the size that keeps the signal."""
    torch.manual_seed(0)
    assert check_init(_Bare(1.0), *_data()).ok


@pytest.mark.parametrize("size", [1e-4, 1e-3])
def test_a_last_layer_may_be_small(size):
    """Nothing is behind it that would see nothing."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    net[4].weight.data *= size
    found = check_init(net, *_data()).findings
    assert "multiplies the size of its input" not in "".join(f.evidence for f in found)


class _Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.randn(8, 8) / 8**0.5)

    def forward(self, x):
        return (x @ self.W).mean(0, keepdim=True).expand(len(x), -1)


def test_a_collapse_is_placed_at_a_layer_of_ones_own():
    """A module that averages over the batch, whose weights are its own."""
    torch.manual_seed(0)
    report = check_init(nn.Sequential(_Mean(), nn.Linear(8, 4)), *_data())
    assert ("collapsed-outputs", "0") in {(f.code, f.layer) for f in report.findings}, report


class _Whiten(nn.Module):
    """A normalization that is not called one."""

    def __init__(self, size):
        super().__init__()
        self.gain, self.start = nn.Parameter(torch.full((32,), size)), nn.Parameter(torch.zeros(32))

    def forward(self, x):
        return self.gain * (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True) + self.start


@pytest.mark.parametrize("size", [0.01, 1.0])
def test_a_normalization_of_ones_own(size):
    """Found at the two of them, and the advice sets their own scale; at 1, nothing."""
    torch.manual_seed(0)
    first = [nn.Linear(8, 32), _Whiten(size), nn.ReLU()]
    second = [nn.Linear(32, 32), _Whiten(size), nn.ReLU(), nn.Linear(32, 4)]
    net = nn.Sequential(*first, *second)
    report = check_init(net, *_data())
    if size == 1:
        assert report.ok, report
        return
    advice = "".join(f.advice for f in report.findings)
    assert 'get_submodule("1").gain' in advice
    assert 'get_submodule("4").gain' in advice
    _follow(report, net)
    assert (net[1].gain == 1).all()
    assert check_init(net, *_data()).ok


class _Density(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.out = nn.Linear(8, 32), nn.Linear(32, 4)
        nn.init.constant_(self.out.bias, -3.0)

    def forward(self, x):
        raw = self.out(F.relu(self.fc(x)))
        return F.relu(raw[:, :1]) * raw[:, 1:].sigmoid()


def test_dead_units_of_a_slice():
    """An error at the layer whose first output is dead, as all gradients go through it."""
    torch.manual_seed(0)
    report = check_init(_Density(), _data()[0], torch.rand(64, 3))
    first = report.findings[0]
    assert (first.severity, first.code, first.layer) == ("error", "dead-units", "out"), report
    assert "requires_grad" not in "".join(f.advice for f in report.findings)


def test_a_frozen_layer_is_not_filled():
    """One that was trained before is named, and no advice touches it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    net[0].weight.data *= 40
    net[0].requires_grad_(False)
    before = net[0].weight.clone()
    report = check_init(net, *_data())
    assert "0" in {f.layer for f in report.findings}, report
    assert 'get_submodule("0")' not in "".join(f.advice for f in report.findings)
    _follow(report, net)
    assert torch.equal(net[0].weight, before)


class _Added(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.a, self.p = nn.Linear(8, 32), nn.Parameter(torch.full((32,), size))
        self.out = nn.Linear(32, 4)

    def forward(self, x):
        h = self.a(x)
        return self.out(torch.exp(-F.softplus(h + self.p)) * h)


@pytest.mark.parametrize("size", [0.02, 40.0])
def test_a_parameter_that_drowns_what_it_is_added_to(size):
    """Where something is wrong it is to blame, and is brought to the size of the signal."""
    torch.manual_seed(0)
    net = _Added(size)
    report = check_init(net, *_data())
    if size < 1:
        assert report.ok, report
        return
    assert {f.layer for f in report.findings if f.severity != "note"} == {"p"}, report
    _follow(report, net)
    assert net.p.abs().max() < 2
    assert check_init(net, *_data()).ok
