"""What is found, and what is not."""

import math
import re

import matplotlib as mpl
import pytest
import torch
import torch.nn.functional as F
from checkup_networks import Using, _benchmark, draws, images, labels, mlp, net, said
from torch import nn

import initguide
from initguide.checkup import CODES, Checkup, check_init
from initguide.randomness import seeded

mpl.use("Agg")


SANE = (
    *("general_rule", "lecun_normal", "lecun_uniform", "xavier_normal", "xavier_uniform"),
    *("he_normal", "he_uniform", "orthogonal", "default"),
)


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


def _probabilities():
    """Return a network that takes the softmax itself."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 5), nn.Dropout(), nn.Softmax(1)
    )


def _in_a_list():
    """Return a network with a layer in a plain list, which no optimizer will see."""
    torch.manual_seed(0)
    model = Using(lambda m, x: m.last(m.hidden[0](x).relu()), last=nn.Linear(20, 5))
    model.hidden = [nn.Linear(20, 20)]
    return model


RELU, TANH = (4, nn.ReLU, "he_normal"), (4, nn.Tanh, "lecun_normal")

# What the loss does not reach is mended in the forward pass; a start as nothing is meant; and the
# few steps that advice is tried with do not show what skips, or parting copies, are good for.
WITHOUT_ADVICE = {"no-gradient", "small-gate", "equal-positions", "equal-modules"}


def _frozen():
    """Return a network of which nothing is trained."""
    return mlp(*RELU).requires_grad_(False)


def _copied():
    """Return a network with branches that are copies."""
    torch.manual_seed(0)
    model = Using(
        lambda m, x: m.head(torch.relu(m.a0(x)) + torch.relu(m.a1(x)) + x),
        a0=nn.Linear(20, 20),
        a1=nn.Linear(20, 20),
        head=nn.Linear(20, 5),
    )
    model.a1.load_state_dict(model.a0.state_dict())
    return model


class Mixed(nn.Module):
    """Averages over positions, as attention does at its start, or a graph."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(draws(20, 20) / 20**0.5)

    def forward(self, x):
        """A tenth of each position, and what all share."""
        return (0.1 * x + 0.9 * x.mean(dim=1, keepdim=True)) @ self.weight


def _averaged():
    """Return a network whose positions become equal."""
    torch.manual_seed(0)
    parts = [part for _ in range(6) for part in (Mixed(), nn.LayerNorm(20))]
    return nn.Sequential(*parts, nn.Linear(20, 5))


def _gated():
    """Return a network with a factor that is small."""
    torch.manual_seed(0)
    norm = nn.LayerNorm(20)
    _set(norm, "weight", lambda w: w.fill_(1e-3))
    return nn.Sequential(nn.Linear(20, 20), nn.ReLU(), norm, nn.Linear(20, 5))


def _drowned():
    """Return a residual network whose trunk is three hundred times too large for its branches."""
    torch.manual_seed(0)
    branches = [
        nn.Sequential(nn.LayerNorm(20), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20))
        for _ in range(4)
    ]
    ends = {"embed": nn.Linear(20, 20), "head": nn.Sequential(nn.LayerNorm(20), nn.Linear(20, 5))}
    _set(ends["embed"], "weight", lambda w: w.mul_(300))

    def run(m, x):
        x = m.embed(x)
        for branch in m.branches:
            x = x + branch(x)
        return m.head(x)

    return Using(run, **ends, branches=nn.ModuleList(branches))


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
    "drowned-layers": (_drowned, "embed"),
    "collapsed-outputs": (_on(20, nn.Sigmoid, "default"), None),
    "initial-loss": (_on(*RELU, ("fc4", "weight", lambda w: w.mul_(100))), "fc4"),
    "inputs": (_on(*RELU), "inputs"),
    "targets": (_on(*RELU), "targets"),
    "class-frequencies": (_on(*RELU), "fc4"),
    "output-and-loss": (_probabilities, "4"),
    "wrong-gain": (_on(20, nn.ReLU, "xavier_normal"), None),
    "no-gradient": (_unused, "side"),
    "equal-modules": (_copied, "a0"),
    "not-trained": (_frozen, "fc1"),
    "equal-positions": (_averaged, None),
    "small-gate": (_gated, "2"),
    "effective-rate": (_normalized, "2"),
    "unregistered": (_in_a_list, "hidden"),
}


def planted(code):
    """Return a model, inputs and targets with one fault, and the layer to blame (None: any)."""
    build, layer = PLANTED[code]
    inputs = draws(64, 20)
    targets = inputs[:, :5].argmax(dim=1)  # something that can be learnt
    if code == "equal-positions":
        inputs = draws(16, 8, 20)
        targets = inputs[..., :5].argmax(dim=-1)
    if code == "targets":
        targets = 1e5 * inputs[:, :5]
    if code == "class-frequencies":
        inputs = draws(1000, 20)
        targets = 4 * (inputs[:, 0] > 2.2).long()
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
    mild = code in ("effective-rate", "small-gate")  # it depends
    worse = ("note",) if mild else ("error", "warning")
    assert found[0].severity in worse, report
    if layer is not None:
        assert found[0].layer == layer
    assert all(f.evidence for f in report.findings)
    assert all(f.advice for f in report.findings if f.code not in WITHOUT_ADVICE)
    assert all(re.search(r"\d", f.evidence) or code == "non-finite" for f in found)


@pytest.mark.parametrize("code", sorted(set(CODES) - WITHOUT_ADVICE))
def test_advice_helps(code):
    """The advice is code that runs, and once followed, the finding is gone."""
    model, inputs, targets, _ = planted(code)
    before = check_init(model, inputs, targets)
    scope = {"model": model, "inputs": inputs, "torch": torch, "initguide": initguide}
    scope["targets"] = targets
    torch.manual_seed(0)
    for finding in before.findings:
        if finding.code == code:
            exec(finding.advice, scope)  # noqa: S102  pasting it is what is tested
    after = check_init(model, scope["inputs"], scope["targets"])
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
    narrow, *others = [f for f in report.findings if f.severity == "warning"]
    assert (narrow.code, narrow.layer) == ("dead-units", "fc9"), report
    assert "fc2" not in narrow.advice
    assert any("fc2" in f.advice or "(model," in f.advice for f in others), report


def test_a_wrong_gain_is_placed():
    """Named is the first layer whose gain is wrong, not the first before the activation."""
    model = mlp(12, nn.ReLU, "he_normal")
    for i in range(2, 12):
        getattr(model, f"fc{i}").weight.data.mul_(0.3)
    report = check_init(model, draws(64, 20), labels(64, 5))
    assert [f.layer for f in report.findings if f.code == "wrong-gain"] == ["fc2"], report


def test_a_collapse_that_the_first_step_undoes():
    """Outputs that are all alike, but that a layer can move at once, are no error."""
    with seeded(0):
        batch = _benchmark().FAMILIES["small"]().networks["transformer, pre-norm"]()
    with torch.no_grad():
        for p in batch.model.embed.parameters():  # what all units share, a norm takes away
            p.copy_(p[:1].expand_as(p))
    report = check_init(*batch)
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


@pytest.mark.parametrize("by", [0.0, 10.0, -10.0])
def test_an_offset_that_outweighs_the_inputs(by):
    """A bias ten times as large as the signal is blamed, and the advice takes it away."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 32), nn.LayerNorm(32), nn.Linear(32, 32), nn.Linear(32, 5))
    net[0].bias.data.add_(by)
    x = draws(64, 20)
    net = nn.Sequential(net[0], nn.Softsign(), net[2], nn.Softsign(), net[3]) if by < 0 else net
    net[0].bias.data.add_(by * draws(32, seed=2))  # which the normalization does not take away
    report = check_init(net, x, x[:, :5].argmax(dim=1))
    found = [f for f in report.findings if f.code == "collapsed-outputs"]
    assert [(f.severity, f.layer) for f in found] == [("warning", "0")] * bool(by), report
    if by:
        exec(found[0].advice, {"model": net, "initguide": initguide})  # noqa: S102
        assert check_init(net, x, x[:, :5].argmax(dim=1)).ok


def test_all_weights_small():
    """A fifth of what is right in all layers is a warning with advice, also in two of them."""
    for build in (lambda: mlp(3, nn.ReLU, "he_normal"), lambda: _Reader(nn.GRU)):
        torch.manual_seed(0)
        model, x = build(), draws(64, 20)
        y = x[:, :5].argmax(dim=1)
        assert check_init(model, x, y, advice=False).ok
        for p in model.parameters():
            p.data.mul_(0.2)
        report = check_init(model, x, y)
        assert said(report, "warning") == {"vanishing-signal"}, report
        assert "all weights are small" in str(report) or "no layer's weights" in str(report)
        assert report.advice


@pytest.mark.parametrize("by", [0.0, 0.01])
def test_a_recurrent_layer_that_passes_nothing(by):
    """Weights of zeros, or of a hundredth of their size: what is read of the inputs is named."""
    torch.manual_seed(0)
    model, x = _Reader(nn.LSTM), draws(64, 20)
    for name, p in model.rnn.named_parameters():
        p.data.mul_(by if "weight" in name or not by else 1.0)
    report = check_init(model, x, x[:, :5].argmax(dim=1))
    found = {(f.severity, f.code, f.layer) for f in report.findings if f.severity != "note"}
    assert found == {("warning", "collapsed-outputs" if by else "zero-layer", "rnn")}, report
    assert "initialize" in report.advice


class _Reader(nn.Module):
    """Reads five numbers at a time."""

    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = kind(5, 32, batch_first=True), nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.rnn(x.reshape(len(x), 4, 5))[0][:, -1])
