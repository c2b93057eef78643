"""What `initialize` keeps, what it fills of other libraries' layers, and what it says."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from initguide import initializers as init
from initguide.initializers import Fans, InitializeWarning, fans, initialize, plan_of


def _copy(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def _same(model, before, names):
    return all(torch.equal(model.state_dict()[name], before[name]) for name in names)


def _filled_anew(model, before):
    return {
        name for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }


def _mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16), nn.Linear(16, 4))


@pytest.mark.parametrize(
    "scheme", ["he_normal", "default", "orthogonal", init.he_normal().__call__], ids=str
)
def test_frozen_parameters_are_kept_and_named(scheme):
    """A pretrained part keeps every number, whatever the scheme; the rest is filled."""
    net = _mlp()
    net[0].requires_grad_(False)
    before = _copy(net)
    with pytest.warns(InitializeWarning, match=r"left alone some of it: 0\.weight \(frozen\)"):
        initialize(net, scheme, seed=0)
    assert _same(net, before, ["0.weight", "0.bias"])
    assert _filled_anew(net, before) >= {"2.weight", "3.weight"}
    assert not net[0].weight.requires_grad


def test_a_wholly_frozen_model_is_not_changed():
    """Nothing of it is filled, and that is said."""
    net = _mlp().requires_grad_(False)
    before = _copy(net)
    with pytest.warns(InitializeWarning, match="all of it, so nothing was changed"):
        initialize(net, "he_normal", seed=0)
    assert _same(net, before, before)


class _Adapted(nn.Module):
    """A frozen layer with a low-rank adapter, one half of which starts at 0."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(16, 16).requires_grad_(False)
        self.down, self.up = nn.Linear(16, 2, bias=False), nn.Linear(2, 16, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def test_zeros_on_purpose_are_kept():
    """An adapter starts as nothing, before and after; passed alone, its 0 is filled."""
    net = _Adapted()
    before = _copy(net)
    with pytest.warns(InitializeWarning, match=r"up\.weight \(0 on purpose"):
        initialize(net, "he_normal", seed=0)
    assert _filled_anew(net, before) == {"down.weight"}
    initialize(net.up, "he_normal", seed=0)
    assert net.up.weight.any()


def test_a_model_of_zeros_is_filled():
    """Where all weights are 0, none of them is so for a purpose."""
    net = initialize(initialize(_mlp(), "zeros"), "he_normal", seed=0)
    assert all(net[i].weight.any() for i in (0, 2, 3))


def test_residual_schemes_say_themselves_where_zeros_are():
    """A residual network that started with zeros gets other branches from another such scheme."""
    net = nn.Sequential(*(nn.TransformerEncoderLayer(8, 2) for _ in range(2)))
    initialize(net, "zero_last", seed=0)
    initialize(net, "residual_scaled", seed=0)
    assert net[1].linear2.weight.any()


def _prior():
    head = nn.Conv2d(8, 9, 1)
    nn.init.constant_(head.bias, -math.log(99))
    return head, torch.ones(9, dtype=torch.bool)


def _frequencies():
    head = nn.Linear(64, 10)
    head.bias.data = torch.log_softmax(torch.linspace(0, 2, 10), 0)
    return head, torch.ones(10, dtype=torch.bool)


def _forget_gate():
    cell = nn.LSTM(8, 16)
    cell.bias_ih_l0.data[16:32] = 1
    return cell, torch.arange(64) // 16 == 1


def _gate_of_ones_own():
    layer = nn.Linear(24, 64)
    layer.bias.data[16:32] = torch.linspace(3, 6, 16)
    return layer, torch.arange(64) // 16 == 1


def _one_output():
    head = nn.Linear(64, 1)
    nn.init.constant_(head.bias, 22.5)
    return head, torch.ones(1, dtype=torch.bool)


def _steps():
    layer = nn.Linear(4, 32)  # the inverse of softplus of times from 1e-3 to 0.1
    layer.bias.data = torch.log(torch.expm1(torch.logspace(-3, -1, 32)))
    return layer, torch.ones(32, dtype=torch.bool)


SET = {f.__name__[1:]: f for f in (_prior, _frequencies, _forget_gate, _gate_of_ones_own)}
SET |= {f.__name__[1:]: f for f in (_one_output, _steps)}


@pytest.mark.parametrize("scheme", ["lecun_normal", "default"])
@pytest.mark.parametrize("make", SET.values(), ids=SET)
def test_biases_that_were_set_are_kept_and_named(make, scheme):
    """A prior, class frequencies, a forget gate, a step: kept where set, filled elsewhere."""
    torch.manual_seed(0)
    layer, where = make()
    name = "bias_ih_l0" if isinstance(layer, nn.LSTM) else "bias"
    before = getattr(layer, name).detach().clone()
    with pytest.warns(InitializeWarning, match=rf"{name} \(.*set on purpose to .*bias=\"fill\""):
        initialize(layer, scheme, seed=0)
    after = getattr(layer, name)
    assert torch.equal(after[where], before[where])
    if scheme == "lecun_normal":
        assert not after[~where].any()
        initialize(layer, scheme, seed=0, bias="fill")
        assert not getattr(layer, name).any()


def test_no_bias_is_touched_where_that_is_asked_for():
    """`bias="keep"` leaves every bias as it is, and says nothing of what was asked for."""
    net = nn.Sequential(nn.Linear(8, 8), nn.LSTM(8, 8))
    before = _copy(net)
    for scheme in ("he_normal", "default", init.xavier_uniform().__call__):
        initialize(net, scheme, seed=0, bias="keep")
        assert _filled_anew(net, before) == {"0.weight", "1.weight_ih_l0", "1.weight_hh_l0"}
    with pytest.raises(ValueError, match="bias is 'zeros'; it must be one of 'auto', 'fill', 'k"):
        initialize(net, "he_normal", bias="zeros")


@settings(deadline=None, max_examples=40)
@given(
    outputs=st.integers(1, 40),
    inputs=st.integers(1, 40),
    seed=st.integers(0, 1000),
    std=st.floats(0, 3),
)
def test_what_a_start_draws_is_not_taken_for_set(outputs, inputs, seed, std):
    """Default draws, and what training adds to them on both sides of 0, are filled as ever."""
    torch.manual_seed(seed)
    layer = nn.Linear(inputs, outputs)
    if outputs >= 4:
        layer.bias.data += (
            std
            * torch.randn(outputs).sort().values
            * torch.tensor([-1.0, 1]).repeat(outputs)[:outputs]
        )
        layer.bias.data[0] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        initialize(layer, "he_normal", seed=0)
    assert not layer.bias.any()


@pytest.mark.parametrize("wrap", [nn.utils.parametrizations.weight_norm, nn.utils.spectral_norm])
def test_one_computed_weight_does_not_refuse_a_model(wrap):
    """The other layers are filled, and the parametrized one is named."""
    net = _mlp()
    wrap(net[2])
    names = [name for name, _ in net[2].named_parameters(prefix="2") if name != "2.bias"]
    before = _copy(net)
    with pytest.warns(InitializeWarning, match=rf"{names[-1]}.*a parametrization"):
        initialize(net, "he_normal", seed=0)
    assert _same(net, before, names)
    assert _filled_anew(net, before) >= {"0.weight", "3.weight"}


class Conv1D(nn.Module):
    """As in transformers: a matrix with the inputs first."""

    def __init__(self, outputs, inputs):
        super().__init__()
        self.nf = outputs
        self.weight = nn.Parameter(torch.full((inputs, outputs), 7.0))
        self.bias = nn.Parameter(torch.full((outputs,), 7.0))


class Channels(nn.Module):
    """As in PyG: a linear layer of its own, here without a bias."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.in_channels, self.out_channels = inputs, outputs
        self.weight = nn.Parameter(torch.full((outputs, inputs), 7.0))
        self.register_parameter("bias", None)


@pytest.mark.parametrize("scheme", ["he_normal", "orthogonal", "identity", "sparse"])
@pytest.mark.parametrize("make", [Conv1D, Channels])
def test_linear_layers_of_other_libraries_are_filled(make, scheme):
    """By the numbers of their inputs and outputs, as `nn.Linear` is."""
    other = make(30, 50) if make is Channels else make(50, 30)
    layer = nn.Linear(30, 50)
    assert fans(other) == Fans(30, 50)
    initialize(nn.Sequential(other), scheme, seed=0)
    weight = initialize(layer, scheme, seed=0).weight.detach()
    own = other.weight.detach() if make is Channels else other.weight.detach().T
    if scheme in {"he_normal", "sparse"}:  # memory order decides which draw goes where
        assert own.std().item() == pytest.approx(weight.std().item(), rel=0.1)
    else:
        torch.testing.assert_close(own, weight)
    assert other.bias is None or not other.bias.any()


def test_a_layer_without_a_start_of_its_own_has_none_to_go_back_to():
    """`default` calls `reset_parameters`, and says what has none."""
    net = nn.Sequential(Conv1D(5, 3), nn.Linear(5, 2))
    with pytest.warns(
        InitializeWarning, match=r"0.weight \(of a Conv1D, which default\(\) does not"
    ):
        initialize(net, "default", seed=0)
    assert (net[0].weight == 7).all()


def test_what_only_looks_like_a_linear_layer_is_none():
    """A matrix alone does not tell which of its axes are the inputs; torch's own are known."""

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5, 3))

    for module in (Table(), nn.Bilinear(2, 3, 4), nn.LayerNorm((3, 4)), nn.EmbeddingBag(4, 3)):
        with pytest.raises(TypeError, match="not for"):
            fans(module)


class _Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(16, 4)
        self.up = nn.Parameter(torch.zeros(4, 16, 400))
        self.start = nn.Parameter(torch.zeros(1, 1, 16))


def test_bare_parameters_are_named_and_filled_with_fans():
    """Experts in one tensor: told, then filled as so many matrices, each with its own fan-in."""
    net = _Experts()
    with pytest.warns(InitializeWarning, match=r"up \(a bare parameter.*inputs= or fans="):
        initialize(net, "lecun_normal", seed=0)
    assert not net.up.any()
    initialize(net, "lecun_normal", seed=0, fans={"up": (16, 400)})
    assert net.up.std().item() == pytest.approx(1 / 4, rel=0.02)
    initialize(net, "orthogonal", seed=0, fans={"u*": (16, 400)})
    for expert in net.up.detach():
        torch.testing.assert_close(expert @ expert.T, torch.eye(16), rtol=0, atol=1e-5)
    assert not net.start.any()


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            {"down": (16, 400)},
            ValueError,
            r"fans\['down'\] fits no parameter of _Experts; ",
        ),
        (
            {"up": (16, 300)},
            ValueError,
            r"no axes of up, whose shape is \(4, 16, 400\)",
        ),
        ({"up": 16}, TypeError, r"fans\['up'\] is 16; it must be \(fan_in, fan_out\)"),
        ({"up": (16, 0)}, ValueError, r"fans\['up'\] is 0; it must be finite and above 0"),
        ({"up": (16, 2.5)}, ValueError, "both must be whole numbers"),
        ([("up", (16, 400))], TypeError, "fans is of type list; it must be a dictionary"),
    ],
)
def test_fans_that_cannot_be(value, error, message):
    """What came and what is allowed is said, and nothing is changed."""
    net = _Experts()
    before = _copy(net)
    with pytest.raises(error, match=message):
        initialize(net, "he_normal", fans=value)
    assert _same(net, before, before)


def test_fans_need_a_scheme_that_fills_layer_by_layer():
    """A scheme of a whole model has no rule for one parameter."""
    net = nn.Sequential(nn.TransformerEncoderLayer(8, 2), _Experts())
    with pytest.raises(ValueError, match="fans and inputs are for schemes that fill layer by lay"):
        initialize(net, "zero_last", fans={"1.up": (16, 400)})


def test_the_plan_says_what_will_be_done():
    """Every parameter once: those that are filled are those that change."""
    net = nn.Sequential(_Adapted(), nn.Linear(16, 3), nn.LayerNorm(3))
    net[1].weight = nn.Parameter(torch.randn(3, 16))
    nn.init.constant_(net[1].bias, -3)
    before = _copy(net)
    plan = plan_of(net, "he_normal")
    assert _same(net, before, before)
    with pytest.warns(InitializeWarning):
        initialize(net, "he_normal", seed=0)
    assert set(plan.filled) == _filled_anew(net, before)
    assert set(plan.left) == set(before) - set(plan.filled)
    assert plan.left["0.base.bias"] == "frozen"
    assert plan.left["1.bias"] == 'set on purpose to -3; bias="fill" fills it'
    assert plan.left["2.weight"] == "no weights of a layer"
    assert "0.up.weight" in str(plan)
    assert plan[0].name == "0.base.weight"
    assert len(plan[:2]) == 2
    assert "<table" in plan._repr_html_()


def test_tied_weights_are_filled_once_and_named():
    """A plan says that another layer's weight is the same tensor."""
    net = nn.ModuleDict({"tokens": nn.Embedding(20, 8), "head": nn.Linear(8, 20)})
    net["head"].weight = net["tokens"].weight
    (fate,) = (f for f in plan_of(net, "he_normal") if f.name == "tokens.weight")
    assert fate.filled
    assert fate.why == "tied with head.weight"


def test_draws_are_what_they_were():
    """Where nothing is kept, the model gets what `apply` of the scheme gives it."""
    for name in ("he_normal", "orthogonal", "default", "gpt2(factor=1.0, last='0')"):
        nets = [nn.Sequential(nn.Linear(6, 5), nn.LSTM(5, 4), nn.Embedding(3, 2)) for _ in "ab"]
        initialize(nets[0], name, seed=3)
        torch.manual_seed(3)
        nets[1].apply(init.from_name(name)) if "gpt2" not in name else init.from_name(name)(nets[1])
        assert _same(nets[0], _copy(nets[1]), nets[0].state_dict()), name


def test_only_what_is_asked_for_is_filled():
    """By the names of modules or parameters; a layer of zeros that is asked for, too."""
    net = nn.Sequential(_Adapted(), nn.Linear(16, 3))
    before = _copy(net)
    initialize(net, "he_normal", seed=0, only="0.up")
    assert _filled_anew(net, before) == {"0.up.weight"}
    initialize(net, init.ones().__call__, seed=0, only=["1.weight", "0.d*"])
    assert _filled_anew(net, before) == {"0.up.weight", "0.down.weight", "1.weight"}
    experts = _Experts()
    before = _copy(experts)
    initialize(experts, "he_normal", only="up", fans={"up": (16, 400)})
    assert _filled_anew(experts, before) == {"up"}
    with pytest.raises(ValueError, match="only='2' fits no parameter or module of Sequential; the"):
        initialize(net, "he_normal", only="2")
    with pytest.raises(TypeError, match="only is 3; it must be a pattern of names"):
        initialize(net, "he_normal", only=3)


class _Used(nn.Module):
    """Weights that are bare parameters, of every kind that a forward pass may have."""

    def __init__(self):
        super().__init__()
        self.stem, self.calls = nn.Linear(6, 16), 0
        self.heads = nn.Parameter(torch.ones(2, 16, 400))
        self.out = nn.Parameter(torch.ones(2, 400, 30))
        self.att = nn.Parameter(torch.ones(500, 30))
        self.position, self.gate = nn.Parameter(torch.ones(5, 6)), nn.Parameter(torch.ones(5, 6))

    def forward(self, x):
        self.calls += 1
        x = self.stem(x * self.gate + self.position)
        x = torch.einsum("ntd,hdk->nthk", x, self.heads)
        x = torch.einsum("nthk,hkd->ntd", x, self.out)
        return (x[:, :, None] * self.att).sum(-1)


def test_fans_are_found_from_use():
    """Each by the axes that are summed over; what is added or a gate is left alone and named."""
    net = _Used()
    with pytest.warns(InitializeWarning, match=r"position, gate \(a bare parameter"):
        initialize(net, "lecun_normal", seed=0, inputs=torch.ones(3, 5, 6))
    for name, fan_in in (("heads", 16), ("out", 800), ("att", 30)):
        std = getattr(net, name).std().item()
        assert std == pytest.approx(fan_in**-0.5, rel=0.03), name
    assert net.calls == 0
    assert (net.position == 1).all()
    with pytest.warns(InitializeWarning, match="position"):
        initialize(net, "orthogonal", seed=0, inputs=torch.ones(3, 5, 6))
    matrix = net.out.detach().reshape(800, 30)  # both heads are summed over
    torch.testing.assert_close(matrix.T @ matrix, torch.eye(30), rtol=0, atol=1e-5)


def test_a_function_of_ones_own_sets_what_it_sets():
    """Zeros and biases are its own affair, without a word; what is frozen is kept."""

    def start(module):
        if isinstance(module, nn.Linear):
            nn.init.ones_(module.weight)
            nn.init.constant_(module.bias, 0.5)

    net = _mlp()
    nn.init.zeros_(net[-1].weight)
    nn.init.constant_(net[-1].bias, -3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        initialize(net, start)
        initialize(net, lambda _: None)
    assert all(bool((m.weight == 1).all()) for m in net if isinstance(m, nn.Linear))
    assert all(bool((m.bias == 0.5).all()) for m in net if isinstance(m, nn.Linear))
