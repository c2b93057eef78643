"""Planted faults, each named, and what is like them and is none."""

import copy

import pytest
import torch
from torch import nn

import initguide


def codes(model, **settings):
    """The codes of what is found, with the parameter."""
    return {(f.code, f.parameter) for f in initguide.audit(model, **settings).findings}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30, 1e-42])
def test_bytes_of_something_else(value):
    """One number that no scheme draws is enough."""
    net = nn.Linear(40, 30)
    with torch.no_grad():
        net.weight[3, 4] = value
    assert codes(net) == {("uninitialized", "weight")}


def test_memory_that_nothing_was_written_to():
    """Whatever it holds, memory of `torch.empty` is told apart where it was watched."""
    with initguide.audit.watch() as writes:
        net = nn.Linear(40, 30, device="meta").to_empty(device="cpu")
        other = nn.Linear(40, 30)
    assert {("uninitialized", "weight"), ("uninitialized", "bias")} <= codes(net, writes=writes)
    assert codes(other, writes=writes) == set()


def test_a_hole_and_a_padding_row():
    """Rows of zeros inside a draw are a hole; an embedding's padding row is none."""
    net = nn.Linear(40, 30)
    with torch.no_grad():
        net.weight[10:14] = 0
    assert codes(net) == {("hole", "weight")}
    assert codes(nn.Embedding(40, 30, padding_idx=3)) == set()


def test_copies_and_tied_weights():
    """A deep copy has equal values; a tied weight is one tensor; both are named."""
    layer = nn.Linear(40, 30, bias=False)
    assert codes(nn.Sequential(layer, copy.deepcopy(layer))) == {("equal-copies", "1.weight")}
    assert codes(nn.Sequential(layer, layer)) == {("tied", "0.weight")}
    zeros = nn.Linear(40, 30, bias=False)
    nn.init.zeros_(zeros.weight)
    assert codes(nn.Sequential(zeros, copy.deepcopy(zeros))) == set()


def test_the_biases_of_torch_own_transformer():
    """`nn.Transformer` redraws the matrices of its copied layers, and not the biases."""
    net = nn.Transformer(64, 4, 2, 1, 128, batch_first=True)
    assert codes(net) == {
        ("equal-copies", "encoder.layers.1.linear1.bias"),
        ("equal-copies", "encoder.layers.1.linear2.bias"),
    }


def test_a_seed_that_was_set_again():
    """Two layers of different widths and scales, from one seed."""
    layers = []
    for width in (40, 50):
        torch.manual_seed(7)
        layers.append(nn.Linear(width, 30, bias=False))
    assert codes(nn.Sequential(*layers)) == {("same-draw", "1.weight")}


def test_equal_experts():
    """Matrices stacked in one parameter that are all equal."""
    net = nn.Module()
    net.experts = nn.Parameter(torch.randn(20, 30).expand(4, 20, 30).clone())
    assert ("equal-parts", "experts") in codes(net)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision(dtype):
    """A draw in a type has its numbers; one that was rounded to fewer has not."""
    net = nn.Linear(100, 100, bias=False)
    nn.init.normal_(net.weight, std=0.1)
    assert codes(net.to(dtype)) == set()
    with torch.no_grad():
        net.weight.copy_((net.weight * 50).round() / 50)
    assert ("low-precision", "weight") in codes(net)


def test_who_wrote_last():
    """A later fill replaces an earlier one; loading is named; a missing key is a warning."""
    with initguide.audit.watch() as writes:
        net = nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 20))
        initguide.initialize(net, "he_normal")
    report = initguide.audit(net, writes=writes)
    assert report.ok, report
    assert "he_normal" not in str(report["0.weight"].last_write)
    with initguide.audit.watch() as writes:
        net = nn.Sequential(nn.Linear(40, 30), nn.Linear(30, 20))
        initguide.initialize(net, "he_normal")
        state = {k: torch.randn_like(v) for k, v in net.state_dict().items() if k != "1.bias"}
        net.load_state_dict(state, strict=False)
        nn.init.normal_(net[0].weight)
    found = {
        (f.code, f.severity, f.parameter) for f in initguide.audit(net, writes=writes).findings
    }
    assert ("overwritten", "warning", "0.weight") in found
    assert ("not-loaded", "warning", "1.bias") in found
    assert ("overwritten", "note", "1.weight") in found


def test_the_command(tmp_path, monkeypatch, capsys):
    """The status says whether something was found; JSON on demand; one line if it cannot be run."""
    from initguide import cli

    monkeypatch.chdir(tmp_path)
    (tmp_path / "audited_nets.py").write_text(
        "import initguide\n"
        "def good(): return initguide.initialize(initguide.Net(), 'he_normal')\n"
        "number = 3\n",
        encoding="utf-8",
    )
    assert cli.main(["audit", "audited_nets:good", "--intended", "*", "he_normal"]) == 0
    assert "He normal" in capsys.readouterr().out
    assert cli.main(["audit", "audited_nets:good", "--intended", "*", "zeros", "--json"]) == 1
    assert '"not-as-intended"' in capsys.readouterr().out
    assert cli.main(["audit", "audited_nets:number"]) == 2
    assert "it is of type int" in capsys.readouterr().err
    assert cli.main(["audit", "audited_nets:good", "--intended", "nothing", "zeros"]) == 2
    assert "fits no parameter" in capsys.readouterr().err
