"""What an audit says of parameters that were filled in a known way."""

import json

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

import initguide
from initguide import auditing

# Rate of false alarms: at most 7e-6 a parameter; all tests here together ask about a thousand.
SCHEMES = {
    "he_normal": ("normal", "He normal"),
    "he_uniform": ("uniform", "He uniform"),
    "he_normal('fan_out')": ("normal", "He normal fan-out"),
    "xavier_normal": ("normal", "Xavier normal"),
    "xavier_uniform": ("uniform", "Xavier uniform"),
    "lecun_normal": ("normal", "LeCun normal"),
    "lecun_uniform": ("uniform", "LeCun uniform"),
    "default": ("uniform", "PyTorch's default"),
    "normal(0.02)": ("normal", "N(0, 0.02²) (GPT-2, BERT)"),
    "truncated_normal(0.02)": ("truncated normal", "N(0, 0.02²) cut at ±2σ (ViT, T5X)"),
    "zeros": ("zero", "zeros"),
    "ones": ("constant", "ones"),
    "orthogonal": ("orthogonal", None),
    "identity": ("identity", None),
    "sparse": ("sparse", None),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_are_recognized(scheme, seed):
    """The distribution and the rule are those that were drawn, and the only ones."""
    net = initguide.initialize(nn.Linear(300, 40), scheme, seed=seed)
    report = initguide.audit(net, scheme, seed=seed + 100)
    distribution, rule = SCHEMES[scheme]
    weight = report["weight"]
    assert weight.distribution == distribution
    assert weight.rules == ((rule,) if rule else ())
    assert weight.as_intended
    assert report.ok, report


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(sorted(SCHEMES)), st.integers(1, 80), st.integers(1, 80), st.integers(0, 10**6)
)
@example("sparse", 1, 29, 132)  # two numbers among 27 zeros
@example("sparse", 1, 18, 381709)
def test_what_was_intended_is_not_blamed(scheme, inputs, outputs, seed):
    """At any width, and from few values too, no scheme is refused that was used."""
    net = nn.Sequential(nn.Linear(inputs, outputs), nn.Conv1d(inputs, outputs, 3))
    initguide.initialize(net, scheme, seed=seed)
    report = initguide.audit(net, scheme, seed=seed + 1)
    assert not [f for f in report.findings if f.code == "not-as-intended"], report


@pytest.mark.parametrize("meant", ["he_uniform", "xavier_normal", "normal(0.1)", "orthogonal"])
def test_another_scheme_is_refused(meant):
    """He normal weights are none of these."""
    net = initguide.initialize(nn.Linear(120, 70), "he_normal", seed=0)
    report = initguide.audit(net, meant)
    assert [(f.code, f.parameter) for f in report.findings] == [("not-as-intended", "weight")]
    assert report["weight"].as_intended is False
    assert not report.ok


def test_false_alarms_are_as_rare_as_said():
    """Thousand draws of 64 to 500 values: none is refused, where 0.007 would be expected."""
    generator = torch.Generator().manual_seed(0)
    for i in range(1000):
        net = nn.Linear(8 + i % 40, 8, bias=False)
        nn.init.xavier_normal_(net.weight, generator=generator)
        assert "Xavier normal" in initguide.audit(net)["weight"].rules


def test_mapping_and_untouched_parameters():
    """Patterns name parameters or modules; what a scheme leaves alone is not judged."""
    net = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 64))
    initguide.initialize(net, "he_normal", seed=0)
    report = initguide.audit(net, {"0": "he_normal", "2.weight": "zeros", "*": "he_normal"})
    assert [p.as_intended for p in report.parameters] == [True, True, None, None, False, True]


def test_own_function_and_whole_model_schemes():
    """A function of one's own, and a scheme that needs the architecture, are intentions too."""
    net = nn.Sequential(*(nn.TransformerEncoderLayer(32, 4, batch_first=True) for _ in range(2)))
    initguide.initialize(net, "residual_scaled", seed=0)
    assert initguide.audit(net, "residual_scaled", seed=1).ok

    def mine(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3)

    net.apply(mine)
    report = initguide.audit(net, mine)
    assert report.ok, report
    assert report["0.linear1.weight"].intended.endswith("mine")
    assert report["0.linear1.bias"].intended is None


def test_gpt2_residual_rule_counts_the_blocks():
    """0.02/√(2L), with L from the list of blocks."""
    net = nn.ModuleList(nn.Linear(128, 128) for _ in range(12))
    nn.init.normal_(net[3].weight, std=0.02 / 24**0.5)
    assert initguide.audit(net)["3.weight"].rules == ("GPT-2's residual 0.02/√(2L)",)


def test_the_model_is_left_alone():
    """Weights, gradients and the generator are as they were."""
    net = nn.Linear(30, 20)
    net.weight.grad = torch.ones(20, 30)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.get_rng_state()
    initguide.audit(net, "he_normal")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(net.weight.grad, torch.ones(20, 30))


def test_the_report():
    """Text, HTML and JSON say the same; an unknown parameter is refused with the known ones."""
    net = initguide.initialize(nn.Linear(64, 32), "he_normal", seed=0)
    report = initguide.audit(net, "zeros")
    assert "He normal" in str(report)
    assert "He normal" in report._repr_html_()
    plain = json.loads(report.to_json())
    assert plain["ok"] is False
    assert plain["parameters"][0]["rules"] == ["He normal"]
    assert plain["parameters"][1]["scaled"] is None
    with pytest.raises(KeyError, match=r"'x'; there are weight, bias"):
        report["x"]
    assert "0 parameters: nothing found" in str(initguide.audit(nn.ReLU()))


def test_unreadable_parameters_are_named():
    """Meta, lazy, empty and whole numbers: named with the reason."""
    net = nn.Module()
    net.a = nn.Linear(3, 2, device="meta")
    net.b = nn.LazyLinear(2, bias=False)
    net.c = nn.Parameter(torch.empty(0))
    net.d = nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False)
    report = initguide.audit(net)
    reasons = {f.parameter: f.evidence for f in report.findings if f.code == "not-read"}
    assert set(reasons) == {"a.weight", "a.bias", "b.weight", "c", "d"}
    assert "meta device" in reasons["a.weight"]
    assert report.ok


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("net",), TypeError, "model is of type str; it must be a torch.nn.Module"),
        ((nn.Linear(2, 2), "he_norml"), ValueError, "did you mean 'he_normal'"),
        ((nn.Linear(2, 2), 3), TypeError, "intended is 3; it must be a scheme's name"),
        ((nn.Linear(2, 2), {}), ValueError, "intended is empty"),
        ((nn.Linear(2, 2), {"wieght": "zeros"}), ValueError, "the nearest are 'weight'"),
    ],
)
def test_what_is_refused(arguments, error, message):
    """The message names the argument, what came and what is allowed."""
    with pytest.raises(error, match=message):
        initguide.audit(*arguments)
    with pytest.raises(TypeError, match="writes is of type int"):
        initguide.audit(nn.Linear(2, 2), writes=3)
    with pytest.raises(ValueError, match="seed is -1"):
        initguide.audit(nn.Linear(2, 2), seed=-1)


def test_a_new_rule_is_one_entry(monkeypatch):
    """A registered rule is found; its name cannot be taken twice."""
    from initguide.auditing import rules

    monkeypatch.setattr(rules, "_rules", dict(rules._rules))
    monkeypatch.setattr(rules, "RULES", rules._rules)
    auditing.known_rule("mine")(lambda place: rules.Normal(0.3))  # noqa: ARG005
    net = nn.Linear(50, 40, bias=False)
    nn.init.normal_(net.weight, std=0.3)
    assert initguide.audit(net)["weight"].rules == ("mine",)
    with pytest.raises(ValueError, match="there is a rule 'mine' already"):
        auditing.known_rule("mine")
