"""The report: text, HTML, JSON, figure."""

import json
import math

import matplotlib.pyplot as plt
import pytest
import torch
import torch.nn.functional as F
from checkup_networks import Using, draws, images, labels, mlp, net, said
from torch import nn

import initguide
from initguide import plots
from initguide.checkup import CODES, Draft, check_init


def test_report(capsys):
    """The text fits 100 columns; HTML and JSON say the same; nothing is printed."""
    report = check_init(mlp(12, nn.ReLU, "ones"), draws(32, 20), labels(32, 5))
    text = str(report)
    assert repr(report) == text
    assert max(map(len, text.splitlines())) <= 100
    assert "equal-units: fc1, fc2, fc3 and 8 more" in text
    page = report._repr_html_()
    content = json.loads(report.to_json())
    assert content["ok"] is False
    assert len(content["layers"]) == len(report.layers)
    assert content["findings"][0]["code"] in CODES
    for finding in report.findings[:2]:
        assert finding.code in text
        assert finding.code in page
        assert finding.evidence.split()[0] in text
    assert page.count("<tr>") == 1 + len(report._groups())
    assert capsys.readouterr().out == ""


def test_evidence_names_its_layer_where_there_are_several():
    """Its numbers are those of the first one."""
    report = check_init(initguide.Net(constant_weight=1), *images(20))
    text = " ".join(str(report).split())
    assert "equal-units: fc1, fc2 fc1: only 1 of 256 units is distinct; the others are" in text
    assert "fc1: only 1 of 256 units is distinct" in report._repr_html_()


def test_long_names_fit():
    """Long names of layers neither break the 100 columns nor the advice."""
    inner = nn.Linear(20, 20)
    nn.init.zeros_(inner.weight)
    model = inner
    for name in ("a_very_long_name_of_a_block", "an_even_longer_name_of_a_stage", "encoder"):
        model = nn.Sequential()
        model.add_module(name, inner)
        inner = model
    model = nn.Sequential(nn.Linear(20, 20), model, nn.ReLU(), nn.Linear(20, 5))
    report = check_init(model, draws(32, 20), labels(32, 5))
    assert not report.ok
    assert max(map(len, str(report).splitlines())) <= 100
    advice = report.findings[0].advice
    exec(advice, {"model": model, "initguide": initguide})  # noqa: S102
    assert check_init(model, draws(32, 20), labels(32, 5)).ok


@pytest.mark.parametrize("length", [10, 31, 33, 34, 50, 90])
def test_every_advice_fits(length):
    """Whatever the length of a name, no line of any advice is wider than the table."""
    for make in (lambda: nn.Linear(20, 20), lambda: nn.LayerNorm(20)):
        for change in (
            lambda m: m.weight.zero_(),
            lambda m: m.weight.mul_(1e4),
            lambda m: m.weight.fill_(math.nan),
            lambda m: m.bias.fill_(-100),
        ):
            torch.manual_seed(0)
            part, unused = make(), nn.Linear(20, 20)
            model = Using(
                lambda m, x, n="n" * length: m.b(F.relu(getattr(m, n)(m.a(x)))),
                **{"a": nn.Linear(20, 20), "n" * length: part, "u" * length: unused},
                b=nn.Linear(20, 5),
            )
            with torch.no_grad():
                change(part)
            report = check_init(model, draws(32, 20), labels(32, 5))
            assert not report.ok
            assert max(map(len, str(report).splitlines())) <= 100, report
            for finding in report.findings:
                compile(finding.advice, "advice", "exec")


def test_json_has_no_infinities():
    """Numbers that JSON does not know become null or words."""
    model = mlp(3, nn.ReLU, "he_normal")
    model.fc2.weight.data[0, 0] = math.inf
    report = check_init(model, draws(8, 20), labels(8, 5))
    assert said(report, "error") == {"non-finite"}
    assert json.loads(report.to_json())["layers"]


def test_figure():
    """The figure marks the layers that were found and says so in its alt text."""
    report = check_init(net("zeros"), *images())
    ax = plots.plot_checkup(report)
    assert [text.get_text() for text in ax.texts].count("×") == 3
    text = plots.alt_text(ax.figure)
    assert "zero-layer (error)" in text
    plt.close(ax.figure)
    ax = plots.plot_checkup(check_init(net(), *images()))
    assert "found: nothing" in plots.alt_text(ax.figure)
    assert not ax.texts
    plt.close(ax.figure)


def test_one_remedy_or_several():
    """A finding's function may give one string or several; what is doubled is there once."""
    assert Draft("targets", "note", "fc", "...", "a = 1").remedies == ("a = 1",)
    assert Draft("targets", "note", "fc", "...", ["a", "b", "a"]).remedies == ("a", "b")
    assert Draft("targets", "note", "fc", "...").remedies == ()
