"""Networks of the kinds of today: nothing is said of those that train, and their faults are found.

What trains was told by training: ``python benchmarks/check_networks.py --part today``.
"""

import pytest
import torch
from checkup_networks import Using, _benchmark, draws, labels, said
from torch import nn
from torch.nn import functional as F

from initguide.checkup import check_init
from initguide.randomness import seeded

_benchmark()

from checked import today  # noqa: E402  through the line above


@pytest.mark.parametrize("name", today.HEALTHY)
def test_what_trains(name):
    """No error and no warning, and the model is left as it was."""
    with seeded(1):
        case = today.HEALTHY[name]()
    before = {key: value.clone() for key, value in case.model.state_dict().items()}
    report = check_init(*case)
    assert not said(report, "error", "warning"), report
    after = case.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert all(p.grad is None for p in case.model.parameters())


@pytest.mark.parametrize("name", today.FAULTY)
def test_what_does_not(name):
    """Faults of the same kinds are found in their places."""
    _, build, places = today.FAULTY[name]
    with seeded(1):
        case = build()
    found = [f for f in check_init(*case).findings if f.severity != "note"]
    assert found
    named = [f.layer for f in found]
    assert any(layer == p or layer.startswith(f"{p}.") for layer in named for p in places.split())


def test_a_gate_is_known_by_what_it_does():
    """A factor of any name and shape is a start as nothing, if it gets a gradient."""
    for shape in ((), (1,), (20,), (1, 20)):
        model = Using(
            lambda m, x: m.head(torch.relu(x) + m.any_name * m.inside(x)),
            inside=nn.Linear(20, 20),
            head=nn.Linear(20, 5),
        )
        model.any_name = nn.Parameter(torch.zeros(shape))
        report = check_init(model, draws(32, 20), labels(32, 5))
        assert report.ok, report
        assert [f.layer for f in report.findings] == ["Using"]
        model.any_name.requires_grad_(False)
        report = check_init(model, draws(32, 20), labels(32, 5))
        assert said(report, "warning") == {"no-gradient"}, report
        assert "any_name is all 0 and frozen" in report.findings[0].evidence
        exec(report.findings[0].advice, {"model": model})  # noqa: S102
        assert check_init(model, draws(32, 20), labels(32, 5)).ok


def test_zeros_that_add_are_no_gate():
    """A position of zeros, like a bias, shuts nothing and is not told about."""
    torch.manual_seed(0)
    model = Using(lambda m, x: m.head(x + m.position), head=nn.Linear(20, 5))
    model.position = nn.Parameter(torch.zeros(6, 20))
    report = check_init(model, draws(16, 6, 20), labels(96, 5).reshape(16, 6))
    assert not report.findings, report


def test_parameters_are_addressed_one_by_one():
    """One token that a batch has no use for is a note, and nothing is advised to be frozen."""
    torch.manual_seed(0)
    model = Using(lambda m, x: m.head(torch.relu(m.inside(x))), inside=nn.Linear(20, 20))
    model.head = nn.Linear(20, 5)
    model.inside.mask_token = nn.Parameter(torch.randn(20))
    report = check_init(model, draws(16, 20), labels(16, 5))
    assert [(f.severity, f.code, f.layer) for f in report.findings] == [
        ("note", "no-gradient", "inside")
    ]
    assert "mask_token" in report.findings[0].evidence
    assert "weight" not in report.findings[0].evidence
    assert not report.findings[0].advice


@pytest.mark.parametrize("detached", [False, True])
def test_nothing_is_trained(detached):
    """A model that is frozen, or whose loss reaches nothing, is an error."""
    model = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 5))
    if detached:
        whole = Using(lambda m, x: m.net(x).detach().requires_grad_(), net=model)
    else:
        whole = model.requires_grad_(False)
    report = check_init(whole, draws(16, 20), labels(16, 5))
    assert "not-trained" in said(report, "error"), report
    assert "no-gradient" not in said(report)


def test_a_weight_that_is_used_without_a_call_has_no_place():
    """A side branch through a layer's bare weight is not the last layer, as Mamba's step."""

    def run(m, x):
        h = m.embed(x)
        for block in m.blocks:
            h = h + block(h)
        return m.head(h)

    def block(m, x):
        return m.w * m.out(torch.relu(m.value(x)) * (1 + 1e-4 * F.linear(x, m.side.weight)))

    torch.manual_seed(0)
    parts = [
        Using(block, value=nn.Linear(20, 20), out=nn.Linear(20, 20), side=nn.Linear(20, 20))
        for _ in range(3)
    ]
    for part in parts:
        part.w = nn.Parameter(torch.ones(20, 20).diag())
    net = Using(run, embed=nn.Linear(20, 20), blocks=nn.ModuleList(parts), head=nn.Linear(20, 5))
    net.head = Using(lambda m, x: x[:, :5] * m.w)
    net.head.w = nn.Parameter(torch.ones(5))
    report = check_init(net, draws(64, 20), labels(64, 5))
    assert not {code for code in said(report) if code.endswith("gradients")}, report
