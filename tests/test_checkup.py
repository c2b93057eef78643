"""The check-up: what it finds, what it leaves alone, and that its advice helps."""

import copy
import importlib.util
import json
import math
import random
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import initguide
from initguide import cli, plots
from initguide.checkup import CODES, Checkup, check_init

mpl.use("Agg")

ROOT = Path(initguide.__file__).parent.parent
SANE = (
    *("general_rule", "lecun_normal", "lecun_uniform", "xavier_normal", "xavier_uniform"),
    *("he_normal", "he_uniform", "orthogonal", "default"),
)


def draws(*shape, seed=7):
    """Numbers from N(0, 1), not those that a seed of 0 would give the weights."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels(count, classes):
    """Draw classes, the same in every run."""
    return torch.randint(0, classes, (count,), generator=torch.Generator().manual_seed(3))


def mlp(depth, activation, scheme, width=64, times=1.0, **kw):
    """Many equally wide layers, each with its weights multiplied."""
    model = initguide.mlp([20, *[width] * (depth - 1), 5], activation, **kw)
    initguide.initialize(model, scheme, seed=0)
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.weight.data.mul_(times)
    return model


def net(scheme="he_normal", seed=0):
    """The lesson's network."""
    return initguide.initialize(initguide.Net(), scheme, seed=seed)


def images(count=32):
    """Noise of the size of standardized images, and labels."""
    return draws(count, 1, 28, 28), labels(count, 10)


def said(report, *severities):
    """Codes of findings, of some severities or of all."""
    return {f.code for f in report.findings if not severities or f.severity in severities}


class Using(nn.Module):
    """A module of some modules, with its forward pass given as a function."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *args, **kwargs):
        """Call the function."""
        return self.function(self, *args, **kwargs)


# One network, ten schemes


@pytest.mark.parametrize("scheme", SANE)
def test_sane_schemes(scheme):
    """The lesson's network from every sane scheme: nothing worse than a note."""
    report = check_init(net(scheme), *images())
    assert report.ok, report
    assert isinstance(report, Checkup)
    assert [r.name for r in report.layers if r.kind == "Linear"] == ["fc1", "fc2", "fc3"]


@pytest.mark.parametrize("scheme", ["zeros", "ones", "uniform(0, 1)", "constant(0.1)"])
def test_schemes_that_do_not_train(scheme):
    """Zeros, ones, any constant, and weights between 0 and 1 are errors."""
    report = check_init(net(scheme), *images())
    assert "error" in {f.severity for f in report.findings}, report
    assert not report.ok


def test_zeros_are_named():
    """All three layers of a network of zeros are named."""
    report = check_init(net("zeros"), *images())
    assert [f.layer for f in report.findings if f.code == "zero-layer"] == ["fc1", "fc2", "fc3"]


def test_depth_decides():
    """Fifty layers of tanh: an error at σ_w = 0.5, nothing at 1, the edge of chaos."""
    inputs, targets = draws(32, 20), labels(32, 5)
    small = check_init(mlp(50, nn.Tanh, "lecun_normal", times=0.5), inputs, targets)
    assert "vanishing-signal" in said(small, "error")
    critical = check_init(mlp(50, nn.Tanh, "lecun_normal"), inputs, targets)
    assert critical.ok, critical


# One fault each


def _set(layer, what, change):
    """Change a parameter of a layer in place."""
    with torch.no_grad():
        change(getattr(layer, what))


def _on(depth, activation, scheme, *changes, **kw):
    """Return what makes a deep network and changes parameters of it."""

    def build():
        model = mlp(depth, activation, scheme, **kw)
        for layer, what, change in changes:
            _set(getattr(model, layer), what, change)
        return model

    return build


def _unused():
    """Return a network with a layer that runs, but does not reach the output."""
    torch.manual_seed(0)
    return Using(
        lambda m, x: (m.side(x), m.main(x))[1], main=nn.Linear(20, 5), side=nn.Linear(20, 5)
    )


def _normalized():
    """Return a network with a layer of tiny weights in front of a normalization."""
    torch.manual_seed(0)
    layers = [nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20), nn.LayerNorm(20), nn.ReLU()]
    _set(layers[2], "weight", lambda w: w.mul_(0.01))
    return nn.Sequential(*layers, nn.Linear(20, 5))


RELU, TANH = (4, nn.ReLU, "he_normal"), (4, nn.Tanh, "lecun_normal")
PLANTED = {  # code -> what makes the network, the layer to blame (None: any)
    "non-finite": (_on(*RELU, ("fc2", "weight", lambda w: w[3, 4].fill_(math.nan))), "fc2"),
    "equal-units": (
        _on(
            *RELU,
            ("fc2", "weight", lambda w: w.fill_(0.1)),
            ("fc3", "weight", lambda w: w.fill_(0.1)),
        ),
        "fc2",
    ),
    "zero-layer": (_on(*RELU, ("fc2", "weight", lambda w: w.zero_())), "fc2"),
    "dead-units": (_on(*RELU, ("fc2", "bias", lambda b: b.fill_(-100))), "fc2"),
    "saturated-units": (_on(*TANH, ("fc2", "weight", lambda w: w.mul_(100))), "fc2"),
    "vanishing-signal": (_on(30, nn.Tanh, "lecun_normal", times=0.3), None),
    "exploding-signal": (_on(*RELU, ("fc2", "weight", lambda w: w.mul_(1000))), "fc2"),
    "vanishing-gradients": (_on(20, nn.Sigmoid, "default"), None),
    "exploding-gradients": (_on(50, nn.Tanh, "lecun_normal", times=3), None),
    "collapsed-outputs": (_on(20, nn.Sigmoid, "default"), None),
    "initial-loss": (_on(*RELU, ("fc4", "weight", lambda w: w.mul_(100))), "fc4"),
    "inputs": (_on(*RELU), "inputs"),
    "wrong-gain": (_on(20, nn.ReLU, "xavier_normal"), None),
    "no-gradient": (_unused, "side"),
    "effective-rate": (_normalized, "2"),
}


def planted(code):
    """Return a model, inputs and targets with one fault, and the layer to blame (None: any)."""
    build, layer = PLANTED[code]
    inputs = draws(64, 20)
    targets = inputs[:, :5].argmax(dim=1)  # something that can be learnt
    return build(), 128 + 60 * inputs if code == "inputs" else inputs, targets, layer


def test_every_code_has_a_fault():
    """No code goes untested."""
    assert set(PLANTED) == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_every_fault_is_found(code):
    """Each fault is found under its code, worse than a note if it does harm, and in its layer."""
    model, inputs, targets, layer = planted(code)
    report = check_init(model, inputs, targets)
    found = [f for f in report.findings if f.code == code]
    assert found, report
    worse = ("note",) if code == "effective-rate" else ("error", "warning")  # it depends
    assert found[0].severity in worse, report
    if layer is not None:
        assert found[0].layer == layer
    assert all(f.evidence and f.advice for f in report.findings)
    assert all(re.search(r"\d", f.evidence) or code == "non-finite" for f in found)


@pytest.mark.parametrize("code", CODES)
def test_advice_helps(code):
    """The advice is code that runs, and once followed, the finding is gone."""
    model, inputs, targets, _ = planted(code)
    before = check_init(model, inputs, targets)
    scope = {"model": model, "inputs": inputs, "torch": torch, "initguide": initguide}
    torch.manual_seed(0)
    for finding in before.findings:
        if finding.code == code:
            exec(finding.advice, scope)  # noqa: S102  pasting it is what is tested
    after = check_init(model, scope["inputs"], targets)
    assert code not in said(after), after


class RootMeanSquareNorm(nn.Module):
    """A normalization of someone's own, without a bias and without ``reset_parameters``."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        """Scale to a mean square of 1."""
        return self.weight * x / x.square().mean(-1, keepdim=True).sqrt()


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm, nn.RMSNorm, RootMeanSquareNorm])
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda norm: norm.weight.zero_(), "zero-layer"),
        (lambda norm: norm.bias.fill_(-100), "dead-units"),
        (lambda norm: norm.weight.mul_(1e4), "exploding-signal"),
    ],
)
def test_advice_helps_for_norms(norm, change, code):
    """What a normalization of any kind does is found there, and the advice puts it right."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 20), norm(20), nn.ReLU(), nn.Linear(20, 5))
    if code == "dead-units" and getattr(model[1], "bias", None) is None:
        return
    with torch.no_grad():
        change(model[1])
    inputs, targets = draws(64, 20), labels(64, 5)
    found = [f for f in check_init(model, inputs, targets).findings if f.code == code]
    assert [f.layer for f in found] == ["1"]
    exec(found[0].advice, {"model": model, "torch": torch})  # noqa: S102
    assert code not in said(check_init(model, inputs, targets))


def test_a_first_layer_of_zeros():
    """Zeros that hide the inputs are a warning, even if a gradient gets there; alone, a note."""
    torch.manual_seed(0)
    model = Using(
        lambda m, x: m.head(torch.tanh(m.hidden(m.embed(x) + 1))),
        embed=nn.Linear(20, 20),
        hidden=nn.Linear(20, 20),
        head=nn.Linear(20, 5),
    )
    initguide.initialize(model.embed, "zeros")
    report = check_init(model, draws(32, 20), labels(32, 5))
    assert [(f.code, f.severity, f.layer) for f in report.findings] == [
        ("zero-layer", "warning", "embed")
    ]
    single = initguide.initialize(nn.Linear(20, 5), "zeros")
    assert check_init(single, draws(32, 20), labels(32, 5)).ok


def test_what_lies_behind_zeros_is_judged():
    """A branch that starts as nothing is looked into: what waits there may be far too large."""
    blocks = [
        nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20, bias=False)) for _ in range(3)
    ]
    model = Using(
        lambda m, x: m.head(x + m.b0(x) + m.b1(x) + m.b2(x)),
        **{f"b{i}": block for i, block in enumerate(blocks)},
        head=nn.Linear(20, 5),
    )
    initguide.initialize(model, initguide.initializers.zero_last(last="b?.2"), seed=0)
    inputs, targets = draws(32, 20), labels(32, 5)
    assert check_init(model, inputs, targets).ok
    model.b1[0].weight.data.mul_(100)
    report = check_init(model, inputs, targets)
    found = [f for f in report.findings if f.severity != "note"]
    assert [(f.code, f.layer) for f in found] == [("exploding-signal", "b1.0")], report
    exec(found[0].advice, {"model": model, "initguide": initguide})  # noqa: S102
    assert check_init(model, inputs, targets).ok


def test_who_is_to_blame_for_a_gradient():
    """A recurrent layer whose gates are shut is named, not the healthy head behind it."""
    torch.manual_seed(0)
    model = Using(
        lambda m, x: m.head(m.rnn(x)[0][:, -1]),
        rnn=nn.GRU(14, 48, batch_first=True),
        head=nn.Linear(48, 10),
    )
    for bias in (model.rnn.bias_ih_l0, model.rnn.bias_hh_l0):
        bias.data.sub_(10)
    report = check_init(model, draws(32, 14, 14), labels(32, 10))
    assert {f.layer for f in report.findings if f.severity == "error"} == {"rnn"}, report


# What is meant is no fault


def test_zero_residual_branches():
    """Branches that start as nothing are notes, with a norm's γ or a linear layer of zeros."""
    model = Using(
        lambda m, x: m.head(x + m.gamma(m.inside(x)) + m.last(F.relu(m.first(x)))),
        inside=nn.Linear(20, 20),
        gamma=nn.LayerNorm(20),
        first=nn.Linear(20, 20),
        last=nn.Linear(20, 20),
        stem=nn.Identity(),
        head=nn.Linear(20, 5),
    )
    stem = nn.Linear(20, 20)
    nn.init.zeros_(model.gamma.weight)
    nn.init.zeros_(model.last.weight)
    report = check_init(nn.Sequential(stem, model), draws(32, 20), labels(32, 5))
    assert report.ok, report
    assert {f.layer for f in report.findings if f.code == "zero-layer"} == {"1.gamma", "1.last"}


def test_zero_last_layer():
    """A last layer of zeros is a note, and what lies behind it is judged all the same."""
    model = mlp(4, nn.ReLU, "he_normal")
    nn.init.zeros_(model.fc4.weight)
    report = check_init(model, draws(32, 20), labels(32, 5))
    assert report.ok
    assert [(f.code, f.layer) for f in report.findings] == [("zero-layer", "fc4")]
    assert not model.fc4.weight.any()
    for fc in (model.fc2, model.fc3):
        fc.weight.data.fill_(0.1)
    report = check_init(model, draws(32, 20), labels(32, 5))
    assert "equal-units" in said(report, "error")


def test_scale_before_a_norm():
    """Weights of any size in front of a normalization are no fault; a note says what they do."""
    layers = []
    for _ in range(3):
        layers += [nn.Linear(20, 20), nn.BatchNorm1d(20), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(20, 5))
    model[3].weight.data.mul_(10)
    assert not check_init(model, draws(32, 20), labels(32, 5)).findings
    model[3].weight.data.mul_(10)
    report = check_init(model, draws(32, 20), labels(32, 5))
    assert report.ok, report
    assert [(f.code, f.layer) for f in report.findings] == [("effective-rate", "3")]
    model[4].num_batches_tracked.add_(1)  # trained, and used as it is: nothing is normalized
    assert "effective-rate" not in said(check_init(model.eval(), draws(32, 20), labels(32, 5)))


@pytest.mark.parametrize(
    ("norm", "takes_it_away"),
    [
        (lambda: nn.LayerNorm(32), True),
        (lambda: nn.GroupNorm(1, 32), True),
        (lambda: nn.GroupNorm(4, 32), True),
        (lambda: nn.BatchNorm1d(32), False),
    ],
)
def test_what_units_share_before_a_norm(norm, takes_it_away):
    """What all units share does no harm where a mean over units is subtracted from them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), norm(), nn.ReLU())
    model.append(nn.Linear(32, 5))
    _set(model[2], "weight", lambda w: w.add_(3 * w.std()))
    report = check_init(model, draws(64, 20), labels(64, 5))
    assert ("equal-units" not in said(report)) is takes_it_away, report


def test_what_channels_share_before_a_norm():
    """A mean over positions too leaves what all channels share at one place and not at another."""
    for norm in (nn.GroupNorm(1, 16), nn.GroupNorm(4, 16), nn.LayerNorm([16, 6, 6])):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), norm, nn.ReLU(), nn.Flatten())
        model.append(nn.Linear(576, 5))
        assert not check_init(model, draws(64, 3, 6, 6), labels(64, 5)).findings
        _set(model[0], "weight", lambda w: w.add_(3 * w.std()))
        report = check_init(model, draws(64, 3, 6, 6), labels(64, 5))
        assert [f.layer for f in report.findings if f.code == "equal-units"] == ["0"], report


def test_a_dead_layer_explains_gradients():
    """Behind and before a layer of dead units, no other layer is blamed for small gradients."""
    model = mlp(20, nn.ReLU, "default")
    model.fc3.bias.data.sub_(100)
    report = check_init(model, draws(64, 20), labels(64, 5))
    assert ("dead-units", "fc3") in {(f.code, f.layer) for f in report.findings}
    assert not {code for code in said(report) if code.endswith("gradients")}, report
    model = mlp(6, nn.ReLU, "he_normal")  # a few are alive, and hardly anything gets past
    model.fc3.bias.data[:60] = -100
    model.fc3.weight.data[60:] *= 1e-3
    report = check_init(model, draws(64, 20), labels(64, 5))
    found = [f for f in report.findings if f.code == "vanishing-gradients"]
    assert [f.layer for f in found] == ["fc3"], report
    assert "dead" in found[0].evidence
    exec(found[0].advice, {"model": model, "initguide": initguide})  # noqa: S102
    assert check_init(model, draws(64, 20), labels(64, 5)).ok


def test_equal_units_without_gradients():
    """Of units that are equal and get no gradient, it is not said that they get the same one."""
    model = mlp(5, nn.ReLU, "he_normal")
    model.fc2.weight.data.fill_(0.1)
    alike = [f for f in check_init(model, draws(64, 20)).findings if f.code == "equal-units"]
    model.fc4.bias.data.fill_(-100)
    report = check_init(model, draws(64, 20), labels(64, 5))
    found = [f for f in report.findings if f.code == "equal-units"]
    assert [f.layer for f in found] == [f.layer for f in alike] == ["fc2"]
    assert "get the same gradients" in alike[0].evidence or alike[0].severity == "warning"
    assert "same gradients" not in found[0].evidence
    assert "gradients here are 0" in found[0].evidence


def test_narrow_advice_comes_first():
    """Of findings of one severity, those whose advice is for the whole model come last."""
    model = mlp(12, nn.ReLU, "he_normal")
    for i in range(2, 12):
        getattr(model, f"fc{i}").weight.data.mul_(0.5)
    model.fc9.bias.data[:60] = -100
    report = check_init(model, draws(64, 20), labels(64, 5))
    whole = [
        f.advice.startswith("initguide.initialize(model,")
        for f in report.findings
        if f.severity == "warning"
    ]
    assert len(set(whole)) == 2, report
    assert whole == sorted(whole), report


def test_a_wrong_gain_is_placed():
    """Named is the first layer whose gain is wrong, not the first before the activation."""
    model = mlp(12, nn.ReLU, "he_normal")
    for i in range(2, 12):
        getattr(model, f"fc{i}").weight.data.mul_(0.3)
    report = check_init(model, draws(64, 20), labels(64, 5))
    assert [f.layer for f in report.findings if f.code == "wrong-gain"] == ["fc2"], report


def test_a_collapse_that_the_first_step_undoes():
    """Outputs that are all alike, but that a layer can move at once, are no error."""
    bench = _benchmark()
    pictures, classes, *_ = bench.load()
    with bench.seeded(0):
        model = bench.NETWORKS["transformer, pre-norm"]()
    with torch.no_grad():
        bench.duplicate(model.embed)  # what all units share, a normalization takes away
    report = check_init(model, pictures[:64], classes[:64])
    assert "collapsed-outputs" in said(report, "warning")
    assert not said(report, "error"), report


def test_batch_norm_in_evaluation_mode():
    """A new batch normalization is judged by the batch, as it will train; the model stays so."""
    layers = []
    for _ in range(20):
        layers += [nn.Linear(20, 20, bias=False), nn.BatchNorm1d(20), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(20, 5)).eval()
    for mode in (True, False):
        report = check_init(model.train(mode), draws(32, 20), labels(32, 5))
        assert report.ok, report
        assert model[1].training is mode
        assert model[1].num_batches_tracked == 0
        assert any("Batch normalization used the batch" in r for r in report.remarks) is not mode


def test_depth_of_a_good_stack_is_no_fault():
    """Fifty layers of ReLU by He's rule, where any two inputs come close: no error."""
    report = check_init(mlp(50, nn.ReLU, "he_normal", width=128), draws(64, 20), labels(64, 5))
    assert "error" not in {f.severity for f in report.findings}, report


# Any module


def attention(m, x):
    """Self-attention with its packed projection."""
    return m.head(m.attention(x, x, x)[0].mean(dim=1))


ODD = {
    "tuple": lambda: (Using(lambda m, x, y: m.a(x + y), a=nn.Linear(8, 4)), (draws(9, 8),) * 2),
    "dict": lambda: (Using(lambda m, x: m.a(x), a=nn.Linear(8, 4)), {"x": draws(9, 8)}),
    "outputs": lambda: (Using(lambda m, x: (m.a(x), 1), a=nn.Linear(8, 4)), draws(9, 8)),
    "named outputs": lambda: (
        Using(lambda m, x: {"out": m.a(x)}, a=nn.Linear(8, 4)),
        draws(9, 8),
    ),
    "logits": lambda: (
        Using(lambda m, x: SimpleNamespace(logits=m.a(x)), a=nn.Linear(8, 4)),
        draws(9, 8),
    ),
    "used twice": lambda: (
        Using(lambda m, x: m.b(m.a(m.a(x))), a=nn.Linear(8, 8), b=nn.Linear(8, 4)),
        draws(9, 8),
    ),
    "grouped": lambda: (
        nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ConvTranspose2d(8, 4, 3)),
        draws(9, 4, 6, 6),
    ),
    "embedding": lambda: (
        nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 4)),
        torch.randint(0, 50, (9, 5), generator=torch.Generator().manual_seed(0)),
    ),
    "attention": lambda: (
        Using(
            attention,
            attention=nn.MultiheadAttention(8, 2, batch_first=True),
            head=nn.Linear(8, 4),
        ),
        draws(9, 5, 8),
    ),
    "lstm": lambda: (nn.LSTM(8, 16, batch_first=True), draws(9, 5, 8)),
    "gru": lambda: (nn.GRU(8, 16, num_layers=2), draws(9, 5, 8)),
    "weight norm": lambda: (
        nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 4)),
        draws(9, 8),
    ),
    "float64": lambda: (nn.Linear(8, 4).double(), draws(9, 8).double()),
    "bfloat16": lambda: (
        nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).bfloat16(),
        draws(9, 8).bfloat16(),
    ),
    "float16": lambda: (
        nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).half(),
        draws(9, 8).half(),
    ),
    "keywords": lambda: (
        Using(lambda m, *, x, y=None: m.a(x + y), a=nn.Linear(8, 4)),
        {"x": draws(9, 8), "y": draws(9, 8)},
    ),
    "depthwise": lambda: (
        nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 4, 1)),
        draws(9, 8, 6, 6),
    ),
    "one layer": lambda: (nn.Linear(8, 4), draws(9, 8)),
    "no layer with weights": lambda: (nn.ReLU(), draws(9, 8)),
    "batch of one": lambda: (nn.Linear(8, 4), draws(1, 8)),
}


@pytest.mark.parametrize("kind", ODD)
def test_any_module(kind):
    """Odd inputs, outputs and layers, as torch makes them: nothing worse than a note."""
    torch.manual_seed(1)
    model, inputs = ODD[kind]()
    report = check_init(model, inputs)
    assert report.ok, report
    assert "targets" in str(report)
    assert f"({report.measurement.loss_name})" in str(report)  # the loss that it chose
    assert len(report.measurement.loss_name) > 5


@pytest.mark.parametrize("kind", ["attention", "lstm", "gru"])
def test_packed_layers(kind):
    """Equal units of attention and recurrent layers are found; the advice initializes them."""
    torch.manual_seed(1)
    model, inputs = ODD[kind]()
    if kind != "attention":  # a head that treats all units alike, or their gradients differ
        model = Using(lambda m, x: m.head(m.rnn(x)[0]), rnn=model, head=nn.Linear(16, 4))
        nn.init.constant_(model.head.weight, 0.2)
    layer = next(m for m in model.modules() if isinstance(m, nn.MultiheadAttention | nn.RNNBase))
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(0.1 if "weight" in name else 0)
    report = check_init(model, inputs)
    found = [f for f in report.findings if f.code == "equal-units" and f.severity == "error"]
    assert found, report
    for finding in found:
        exec(finding.advice, {"model": model, "initguide": initguide})  # noqa: S102
    assert "equal-units" not in said(check_init(model, inputs), "error", "warning")


def test_tied_and_frozen():
    """Tied weights are one parameter; a frozen layer is looked through, not reported."""
    torch.manual_seed(0)
    embedding, head = nn.Embedding(50, 16), nn.Linear(16, 50, bias=False)
    nn.init.normal_(embedding.weight, std=0.25)
    head.weight = embedding.weight
    tokens = torch.randint(0, 50, (8, 6), generator=torch.Generator().manual_seed(0))
    assert check_init(nn.Sequential(embedding, nn.Linear(16, 16), head), tokens, tokens).ok
    model = mlp(4, nn.ReLU, "he_normal")
    model.fc1.requires_grad_(requires_grad=False)
    assert check_init(model, draws(32, 20), labels(32, 5)).ok


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    """The report of a model on a GPU is that of the same model on the CPU."""
    model, (inputs, targets) = net("ones"), images()
    here = check_init(model, inputs, targets)
    there = check_init(model.cuda(), inputs.cuda(), targets.cuda())
    assert said(here) == said(there)


@pytest.mark.parametrize("head", ["zeros", "he_normal"])
def test_the_model_comes_back_untouched(head):
    """Weights, buffers, gradients, modes, hooks, the parameters themselves, and generators."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(2704, 10)
    )
    initguide.initialize(model[4], head, seed=0)
    model[1].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    model[0].register_forward_hook(lambda *_: None)
    before = copy.deepcopy(model.state_dict())
    parameters = list(model.parameters())
    modes = [module.training for module in model.modules()]
    attributes = [set(vars(module)) for module in model.modules()]
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  the global one is meant
    torch.manual_seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    check_init(model, *images(8))
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [set(vars(module)) for module in model.modules()] == attributes
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[4].weight.grad is None
    assert len(model[0]._forward_hooks) == 1


def _raises_in_backward(output):
    output.register_hook(lambda gradient: gradient[10**6])
    return output.sum()


@pytest.mark.parametrize(
    ("width", "loss"),
    [
        (5, None),
        (3, lambda output: output),
        (3, _raises_in_backward),
        (3, lambda output: output.no_such_attribute),
    ],
    ids=["forward", "vector loss", "backward", "loss"],
)
def test_untouched_after_an_error(width, loss):
    """Where a pass or the loss raises, everything is put back, too."""
    head = nn.Linear(3, 2)
    nn.init.constant_(head.weight, 0.1)  # equal outputs: a second look would be taken
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3).eval(), nn.Linear(3, 3), head)
    before, parameters = copy.deepcopy(model.state_dict()), list(model.parameters())
    attributes = [set(vars(module)) for module in model.modules()]
    state = torch.get_rng_state()
    with pytest.raises((RuntimeError, ValueError, IndexError, AttributeError)):
        check_init(model, draws(4, width), loss=loss)
    assert model[0].training
    assert not model[1].training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in parameters)
    assert not any(p._backward_hooks for p in parameters)
    for module, names in zip(model.modules(), attributes, strict=True):
        assert set(vars(module)) == names
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert torch.equal(torch.get_rng_state(), state)


# Refusals


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_init("net", draws(2, 3)), TypeError, "must be a torch.nn.Module"),
        (lambda: check_init(nn.LazyLinear(3), draws(2, 3)), ValueError, "run the model once"),
        (
            lambda: check_init(nn.Linear(3, 2, device="meta"), draws(2, 3)),
            ValueError,
            "meta device",
        ),
        (
            lambda: check_init(nn.Linear(4, 2), draws(2, 3)),
            RuntimeError,
            r"inputs: \(2, 3\) float32",
        ),
        (
            lambda: check_init(nn.Linear(3, 2), draws(2, 3), loss=lambda output: output),
            ValueError,
            "must return one floating-point number",
        ),
        (
            lambda: check_init(nn.Linear(3, 2), draws(2, 3), torch.tensor([0, 5])),
            ValueError,
            "targets reach from 0 to 5",
        ),
    ],
)
def test_refusals(call, error, message):
    """What cannot be checked is refused with a message that says what to do."""
    with pytest.raises(error, match=message):
        call()


# Losses


def test_losses_that_know_nothing():
    """The initial loss is held against the same loss at outputs of 0, for the usual losses."""
    model, inputs = mlp(3, nn.ReLU, "he_normal"), draws(32, 20)
    classes, numbers = labels(32, 5), draws(32, 5)
    found = check_init(model, inputs, classes).measurement
    assert found.blank_loss == pytest.approx(math.log(5))
    assert check_init(model, inputs, classes, nn.CrossEntropyLoss()).measurement.blank_loss == (
        pytest.approx(math.log(5))
    )
    found = check_init(model, inputs, numbers).measurement
    assert found.blank_loss == pytest.approx(numbers.square().mean().item())
    softmax = nn.Sequential(model, nn.LogSoftmax(dim=1))
    found = check_init(softmax, inputs, classes, F.nll_loss).measurement
    assert found.blank_loss == pytest.approx(math.log(5))
    assert math.isnan(check_init(model, inputs).measurement.blank_loss)
    own = check_init(model, inputs, classes, lambda output, _: output.square().mean())
    assert math.isnan(own.measurement.blank_loss)
    assert "The initial loss was not judged" in str(own)


def test_without_targets_outputs_are_judged():
    """Without targets there is no initial loss to judge, but outputs that explode are found."""
    model = mlp(4, nn.ReLU, "he_normal")
    model.fc3.weight.data.mul_(1e4)
    report = check_init(model, draws(32, 20))
    assert [f.layer for f in report.findings if f.code == "exploding-signal"] == ["fc3"]


@pytest.mark.parametrize(("fill", "code"), [("zeros", "zero-layer"), ("ones", "equal-units")])
def test_classes_that_the_batch_lacks_are_no_fault(fill, code):
    """With fewer images than classes, most rows of a last layer get the same first gradient."""
    model = mlp(4, nn.ReLU, "he_normal")
    model.append(initguide.initialize(nn.Linear(5, 100), fill))
    report = check_init(model, draws(8, 20), torch.arange(8))
    found = {(f.code, f.severity) for f in report.findings if f.layer == str(len(model) - 1)}
    assert found == {(code, "note")}


# Tables


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


# The command line


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Work in a folder with a module of networks and a batch."""
    monkeypatch.chdir(tmp_path)
    Path("nets_of_mine.py").write_text(
        "import torch, initguide\n"
        "def good(): return initguide.initialize(initguide.Net(), 'he_normal')\n"
        "def bad(): return initguide.initialize(initguide.Net(), 'zeros')\n"
        "from torch import nn\n"
        "def words(): return nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 4))\n"
        "def broken(): raise KeyError('gone')\n"
        "def none(): return None\n"
        "network = good()\n"
        "class Loss(torch.nn.CrossEntropyLoss): pass\n"
        "number = 3\n",
        encoding="utf-8",
    )
    inputs, targets = images()
    torch.save((inputs, targets), "batch.pt")
    torch.save({"inputs": inputs, "targets": targets}, "named.pt")
    torch.save(inputs, "inputs.pt")
    torch.save({"images": inputs}, "keywords.pt")
    yield "nets_of_mine"
    sys.modules.pop("nets_of_mine", None)


SHAPE = ("--input", "16,1,28,28")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("good", *SHAPE), 0),
        (("network", *SHAPE, "--eval"), 0),
        (("good", "--data", "batch.pt"), 0),
        (("good", "--data", "named.pt", "--loss", "cross_entropy"), 0),
        (("good", "--data", "batch.pt", "--loss", "nets_of_mine:Loss"), 0),
        (("good", "--data", "inputs.pt"), 0),
        (("good", "--data", "keywords.pt"), 0),
        (("good", *SHAPE, "--dtype", "bfloat16"), 0),
        (("words", "--input", "8,5", "--dtype", "int64"), 0),
        (("bad", *SHAPE), 1),
    ],
)
def test_command(module, capsys, words, status):
    """The command prints the report, and its status says whether something was found."""
    state = torch.get_rng_state()
    before = list(sys.path)
    assert cli.main(["check", f"{module}:{words[0]}", *words[1:]]) == status
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "Loss: " in printed.out
    assert ("error" in printed.out) is bool(status)
    assert sys.path == before
    assert torch.equal(torch.get_rng_state(), state)


def test_command_imports_only_what_it_is_told_to(module, tmp_path):
    """Neither modules beside the network's nor code inside a saved batch are run."""
    (tmp_path / "other_of_mine.py").write_text("raise SystemExit(9)", encoding="utf-8")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(9)", encoding="utf-8")
    before = set(sys.modules)
    assert cli.main(["check", f"{module}:good", *SHAPE]) == 0
    theirs = {n for n in set(sys.modules) - before if not n.startswith(("torch", "initguide"))}
    assert module in theirs
    files = [getattr(sys.modules[name], "__file__", None) or "" for name in theirs]
    assert [f for f in files if f.startswith(str(tmp_path))] == [str(tmp_path / f"{module}.py")]


def test_command_does_not_run_what_is_in_a_batch(module, tmp_path, capsys):
    """A saved batch that is a program in disguise is refused, not run."""
    path = tmp_path / "trap.pt"
    path.write_bytes(b"cos\nmkdir\n(S'" + str(tmp_path / "ran").encode() + b"'\ntR.")
    assert cli.main(["check", f"{module}:good", "--data", "trap.pt"]) == 2
    assert capsys.readouterr().err.startswith("initguide: error: --data trap.pt holds something")
    assert not (tmp_path / "ran").exists()


def test_command_json_and_figure(module, capsys):
    """`--json` prints JSON, `--plot` saves a figure."""
    assert cli.main(["check", f"{module}:bad", *SHAPE, "--json", "--plot", "out.png"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nets_of_mine", *SHAPE), "MODULE:NAME"),
        (("nets_of_mine.py:good", *SHAPE), "in its folder, say nets_of_mine:good"),
        (("./here/nets_of_mine.py:good", *SHAPE), "in its folder, say nets_of_mine:good"),
        (("no_such_module_here:x", *SHAPE), "No module named 'no_such_module_here'"),
        (("nets_of_mine:nothing", *SHAPE), "has no attribute 'nothing'"),
        (("nets_of_mine:number", *SHAPE), "it is of type int"),
        (("nets_of_mine:none", *SHAPE), "NoneType, not a network"),
        (("nets_of_mine:broken", *SHAPE), "KeyError: 'gone'"),
        (("nets_of_mine:good", "--input", "4,x"), "'4,x' is no shape"),
        (("nets_of_mine:good", "--input", "4,3"), "shapes cannot be multiplied"),
        (("nets_of_mine:good", "--data", "none.pt"), "No such file"),
        (
            ("nets_of_mine:good", "--data", "nets_of_mine.py"),
            'write it with torch.save((inputs, targets), "batch.pt")',
        ),
        (("nets_of_mine:good", *SHAPE, "--loss", "crossentropy"), "has no attribute"),
        (("nets_of_mine:good", *SHAPE, "--loss", "nets_of_mine:number"), "it is no function"),
        (("nets_of_mine:good", *SHAPE, "--seed", "-1"), "--seed is -1"),
        (("nets_of_mine:good", *SHAPE, "--plot", "out.xyz"), "no picture format"),
    ],
)
@pytest.mark.usefixtures("module")
def test_command_refuses(capsys, words, message):
    """What cannot be run ends with status 2 and one line that says why."""
    assert cli.main(["check", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("initguide: error: ")
    assert message in printed.err


# Networks of others


def _benchmark():
    """Import the benchmark's script."""
    path = ROOT / "benchmarks" / "check_networks.py"
    if not path.exists():
        pytest.skip("the package is installed without its repository")
    spec = importlib.util.spec_from_file_location("check_networks", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_networks"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["vgg11", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"]
)
def test_torchvision(name):
    """Torchvision's networks, as their authors initialize them: no error, no warning."""
    from torchvision import models

    torch.manual_seed(0)
    report = check_init(models.get_model(name), draws(8, 3, 64, 64), labels(8, 1000))
    assert report.ok, report


@pytest.mark.slow
def test_command_on_torchvision(capsys):
    """The example of the command's help: a ResNet-18, in at most 2 seconds of a processor."""
    start = time.process_time()
    words = ["check", "torchvision.models:resnet18", "--input", "8,3,64,64"]
    assert cli.main(words) == 0
    assert "ResNet, " in capsys.readouterr().out
    assert time.process_time() - start < 8  # torchvision's import and the weights' drawing, too


def test_healthy_networks():
    """No error on any of the benchmark's small networks, from seeds that it does not use."""
    bench = _benchmark()
    images, classes, *_ = bench.load()
    for seed, (name, build) in enumerate(bench.NETWORKS.items(), start=100):
        with bench.seeded(seed):
            model = build()
        report = check_init(model, images[:64], classes[:64])
        assert not said(report, "error"), f"{name}\n{report}"


@pytest.mark.slow
def test_planted_faults(capsys):
    """Faults that spoil the training of two networks are found and placed; others are no errors."""
    bench = _benchmark()
    results = []
    for only in ("mlp 3 relu", "mlp 4 tanh"):
        results += bench.small(200, 1, only, verbose=False)
    spoiled = [r for r in results if r.spoiled]
    assert len(spoiled) >= 6
    assert sum(r.found for r in spoiled) >= 0.95 * len(spoiled)
    assert sum(r.named for r in spoiled) >= 0.9 * len(spoiled)
    assert not any(r.error for r in results if not r.case.fault)
    bench.table(results)
    bench.calibration(results)
    assert "healthy networks:   0/2   with an error" in capsys.readouterr().out
