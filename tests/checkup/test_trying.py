"""Advice is tried before it is given."""

import copy
import json
import random
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checkup_networks import Using, draws, mlp, said
from torch import nn

import initguide
from initguide.checkup import Draft, check_init
from initguide.checkup.descent import gained
from initguide.checkup.remedies import together
from initguide.checkup.trying import candidates


def data(count=64):
    """Inputs, and classes that can be learnt from them."""
    x = draws(count, 8)
    return x, (x[:, 0] > 0).long() * 2 + (x[:, 1] > 0).long()


def small(*last):
    """Two layers, as torch makes them."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4), *last)


def pasted(report, model, inputs, targets=None):
    """Execute all that a report prints as advice, in its order; return what it leaves."""
    names = {"model": model, "inputs": inputs, "targets": targets}
    names |= {"torch": torch, "initguide": initguide}
    lines = [line[9:] for line in str(report).splitlines() if line.startswith(" " * 9)]
    code = [line[4:] for line in lines if line.startswith((">>> ", "    "))]
    torch.manual_seed(1)
    exec("\n".join(code), names)  # noqa: S102  pasting it is what is tested
    return names["model"], names["inputs"], names["targets"]


def trained(model, inputs, targets, steps=60):
    """Loss after some steps of AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
    return loss.item()


FAULTS = {
    "two layers": lambda m: (m.fc2.weight.data.zero_(), m.fc4.weight.data.mul_(100)),
    "a dead and an equal layer": lambda m: (
        m.fc2.bias.data.sub_(100),
        m.fc3.weight.data.fill_(0.1),
    ),
    "everything": lambda m: [p.data.zero_() for p in m.parameters()],
    "numbers": lambda m: (m.fc3.weight.data.fill_(float("nan")), m.fc5.weight.data.mul_(100)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_whole_report_pasted(fault):
    """All that is printed, executed literally in its order, leaves a model that learns better."""
    model = mlp(5, nn.ReLU, "he_normal")
    FAULTS[fault](model)
    x = draws(64, 20)
    y = x[:, :5].argmax(dim=1)
    before = copy.deepcopy(model)
    model, inputs, targets = pasted(check_init(model, x, y), model, x, y)
    report = check_init(model, inputs, targets)
    assert not said(report, "error"), report
    faulty = trained(before, x, y)
    assert not trained(model, inputs, targets) >= faulty  # which may be no number


@pytest.mark.parametrize("fault", FAULTS)
def test_each_advice_alone(fault):
    """The advice of any finding clears or lessens it, also without the others'."""
    model = mlp(5, nn.ReLU, "he_normal")
    FAULTS[fault](model)
    x = draws(64, 20)
    y = x[:, :5].argmax(dim=1)
    first = check_init(model, x, y)
    for finding in {f.advice: f for f in first.findings if f.advice}.values():
        other = copy.deepcopy(model)
        exec(finding.advice, {"model": other, "torch": torch, "initguide": initguide})  # noqa: S102
        left = check_init(other, x, y, advice=False).findings
        assert (finding.code, finding.layer, finding.severity) not in {
            (f.code, f.layer, f.severity) for f in left
        }


def test_what_did_not_help_is_said_and_not_advised():
    """A remedy that leaves the finding is named, with why it is not the advice."""

    class Cosine(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 32))

        def forward(self, x):
            return 30 * F.normalize(x, dim=1) @ F.normalize(self.weight, dim=1).T

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), Cosine())
    report = check_init(model, *data())
    (finding,) = [f for f in report.findings if f.code == "initial-loss"]
    assert finding.advice == ""
    assert finding.tried
    assert not any(attempt.kept for attempt in finding.tried)
    assert not any("zeros_" in attempt.code for attempt in finding.tried)
    assert "tried, and none of it helped" in str(report)
    assert "tried, and none of it helped" in report._repr_html_()
    assert json.loads(report.to_json())["findings"][0]["tried"][0]["outcome"]


def test_without_advice():
    """``advice=False`` finds the same and tries nothing."""
    model = small()
    model[2].weight.data.mul_(100)
    tried, untried = check_init(model, *data()), check_init(model, *data(), advice=False)
    assert [f.code for f in tried.findings] == [f.code for f in untried.findings]
    assert all(f.advice and f.tried[-1].kept for f in tried.findings)
    assert all(f.advice == "" and f.tried == () for f in untried.findings)


def test_what_hides_behind_a_fault_is_mended_with_it():
    """Scaling huge inputs alone brings dead units to light: the advice mends these, too."""
    model = mlp(5, nn.ReLU, "he_normal")
    model.fc2.bias.data.fill_(-30)
    x = draws(64, 20)
    y = x[:, :5].argmax(dim=1)
    report = check_init(model, 300 * x, y)
    assert report.findings[0].code == "inputs"
    alone, *_, together_ = report.findings[0].tried
    assert "brings to light" in alone.outcome
    assert together_.kept
    assert "fc2" in together_.code
    model, inputs, _ = pasted(report, model, 300 * x, y)
    assert check_init(model, inputs, y).ok


def test_a_frozen_layer_is_not_filled():
    """What is frozen was trained before: what can be trained makes up for it."""
    model = small()
    model[0].weight.data *= 40
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    report = check_init(model, *data())
    assert "0" in {f.layer for f in report.findings}
    assert any(f.advice for f in report.findings)
    pasted(report, model, *data())
    assert torch.equal(model[0].weight, before)
    assert check_init(model, *data()).ok


def test_inputs_of_several_kinds():
    """Advice for a tuple and for a dictionary runs, and scales the input that is wrong."""
    x, y = data()
    torch.manual_seed(0)
    net = small()
    ones = torch.ones(64, 1)
    both = Using(lambda m, x, mask: m.net(x * mask), net=net)
    for inputs in ((300 * x, ones), {"x": 300 * x, "mask": ones}):
        report = check_init(both, inputs, y)
        assert report.findings[0].code == "inputs"
        _, given, _ = pasted(report, copy.deepcopy(both), copy.deepcopy(inputs), y)
        parts = list(given.values()) if isinstance(given, dict) else list(given)
        assert parts[0].std().item() == pytest.approx(1)
        assert torch.equal(parts[1], ones)
        assert check_init(both, given, y).ok


def test_tied_weights_are_named():
    """Advice that fills a weight says whose it is, too."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(30, 16), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 30))
    model[3].weight = model[0].weight
    tokens = torch.randint(30, (64,), generator=torch.Generator().manual_seed(0))
    model[0].weight.data.mul_(100)
    report = check_init(model, tokens, tokens)
    alone = [
        a.code
        for f in report.findings
        for a in f.tried
        if 'initialize(model.get_submodule("3")' in a.code
    ]
    assert all("# the same weights as those of 0" in code for code in alone)
    assert alone


class Uncopied(nn.Module):
    """A network that cannot be copied, for it holds a lock."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x):
        """Run the network."""
        return self.net(x)


@pytest.mark.parametrize("copied", [True, False])
def test_nothing_is_left_of_a_trial(copied):
    """Weights, buffers, gradients, what is trained, parts, and generators are as they were."""
    torch.manual_seed(0)
    model = Uncopied()
    if copied:
        model = model.net
    part = model if copied else model.net
    part[3].weight.data.mul_(300)
    part[3].weight.grad = torch.ones_like(part[3].weight)
    part[0].bias.requires_grad_(False)
    x, y = data()
    before = copy.deepcopy(model.state_dict())
    kept = [(p, p._version, p.requires_grad) for p in model.parameters()]
    modules = [(name, id(m)) for name, m in model.named_modules()]
    random.seed(2)
    np.random.seed(2)  # noqa: NPY002  the global one is meant
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    inputs = x.clone()
    report = check_init(model, inputs, y)
    assert any(f.advice for f in report.findings), report
    assert torch.equal(inputs, x)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [(name, id(m)) for name, m in model.named_modules()] == modules
    for mine, (p, _, trained_) in zip(model.parameters(), kept, strict=True):
        assert mine is p
        assert p.requires_grad is trained_
        assert p.grad is None or torch.equal(p.grad, torch.ones_like(p))
    assert part[3].weight.grad is not None
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_in_inference_mode():
    """A report asked for without gradients has advice all the same."""
    model = small()
    model[2].weight.data.mul_(100)
    with torch.no_grad():
        report = check_init(model, *data())
    assert all(f.advice for f in report.findings)


def test_several_layers_in_one_piece_of_code():
    """What is the same for many layers is a loop that runs and fits the report."""
    names = [f"blocks.{i}.a_long_name_of_a_layer" for i in range(9)]
    code = together(
        [(name, f'torch.nn.init.ones_(model.get_submodule("{name}").weight)') for name in names]
    )
    assert max(map(len, code.splitlines())) <= 87
    model = nn.Module()
    model.blocks = nn.ModuleList(nn.Sequential() for _ in names)
    for block in model.blocks:
        block.add_module("a_long_name_of_a_layer", nn.Linear(2, 2))
    exec(code, {"model": model, "torch": torch})  # noqa: S102
    assert all((block[0].weight == 1).all() for block in model.blocks)


def test_remedies_of_several_findings():
    """First ones go together, then second ones; who has fewer stays with the last."""
    drafts = [Draft("x", "note", "a", "", ("a1", "a2")), Draft("x", "note", "b", "", "b1")]
    assert list(candidates(drafts)) == ["a1\nb1", "a2\nb1"]
    assert list(candidates([Draft("x", "note", "a", "")])) == []


def test_gains_are_between_minus_one_and_one():
    """Whatever the losses: infinite, negative, or 0."""
    assert gained(float("inf"), 1.0) == -1
    assert gained(1.0, float("inf")) == 1
    assert gained(float("inf"), float("inf")) == 0
    assert gained(0.0, 0.0) == 0
    assert gained(-3.0, -1.0) == pytest.approx(0.5)
