"""Schemes for a whole residual network."""

import copy
import math
from collections import OrderedDict
from functools import partial

import pytest
import torch
from initializer_cases import ENDS, _generator
from torch import Generator, nn

from initguide import initializers as init
from initguide.initializers import INITIALIZERS, from_name, initialize, residual


class _Residual(nn.Module):
    def __init__(self, *branch):
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x):
        return x + self.branch(x)


def _residual_net(depth=6, width=64):
    blocks = [
        _Residual(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(depth)
    ]
    return nn.Sequential(OrderedDict(stem=nn.Linear(width, width), blocks=nn.Sequential(*blocks)))


LAST = "blocks.*.branch.2"


ENCODER = partial(nn.TransformerEncoderLayer, 16, 2, 32)


DECODER = partial(nn.TransformerDecoderLayer, 16, 2, 32)


def _changed(model, scheme):
    """Names of the parameters that ``scheme`` makes otherwise than its base."""
    plain = initialize(copy.deepcopy(model), "lecun_normal", seed=0).state_dict()
    filled = initialize(model, scheme, seed=0).state_dict()
    return {name for name in plain if not torch.equal(plain[name], filled[name])}


@pytest.mark.parametrize("last", [LAST, [LAST], ["blocks.[0-2].branch.2", "blocks.[3-5].*.2"]])
def test_residual_scaled_multiplies_the_named_layers(last):
    """The last layer of each of six branches is the base's times 1/√6, all else is the base's."""
    net, plain = _residual_net(), initialize(_residual_net(), "lecun_normal", seed=0)
    initialize(net, init.residual_scaled("lecun_normal", last=last), seed=0)
    for (name, ours), theirs in zip(net.named_parameters(), plain.parameters(), strict=True):
        factor = 6**-0.5 if name.endswith("branch.2.weight") else 1.0
        torch.testing.assert_close(ours, theirs * factor, rtol=1e-6, atol=0)


def test_residual_scaled_keeps_growth_below_a_power_of_e():
    """A branch of two He layers around a ReLU has c = 2: growth is (1 + 2/L)ᴸ, not 3ᴸ."""
    x = torch.randn(200, 64, generator=_generator(1))
    scaled = init.residual_scaled(last=LAST)
    for scheme, growth in (("he_normal", 3**6), (scaled, (1 + 2 / 6) ** 6)):
        net = initialize(_residual_net(), scheme, seed=0)
        with torch.no_grad():
            stem = net.stem(x)
            ratio = (net.blocks(stem) ** 2).mean() / (stem**2).mean()
        assert math.log(ratio) == pytest.approx(math.log(growth), abs=0.6)


def test_residual_scaled_by_a_factor_of_ones_own():
    """A factor that is given is used instead; `zero_last` is the factor 0."""
    net = initialize(_residual_net(), init.residual_scaled("ones", factor=0.25, last=LAST))
    assert (net.blocks[3].branch[2].weight == 0.25).all()
    net = initialize(_residual_net(), init.zero_last("ones", last=LAST))
    assert not net.blocks[3].branch[2].weight.any()
    assert (net.blocks[3].branch[0].weight == 1).all()


@pytest.mark.parametrize("scheme", ENDS)
def test_apply_ends_with_the_same(scheme):
    """``model.apply``, which visits every part before the model, scales once, however often."""
    scheme = INITIALIZERS[scheme]("ones", last=[LAST, "*norm"])
    net = _residual_net()
    net.norm = nn.LayerNorm(64)
    expected = initialize(copy.deepcopy(net), scheme).state_dict()
    for filled in (net.apply(scheme), net.apply(scheme), initialize(net, scheme)):
        for name, value in filled.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=0)


def test_branches_of_transformers_are_known():
    """Encoder and decoder layers: the projection behind each attention, and the second linear."""
    ends = ("self_attn.out_proj.weight", "linear2.weight")
    encoder = nn.TransformerEncoder(ENCODER(), 2, enable_nested_tensor=False)
    for scheme in ENDS:
        assert _changed(encoder, f"{scheme}('lecun_normal')") == {
            f"layers.{i}.{end}" for i in range(2) for end in ends
        }
    assert _changed(nn.TransformerDecoder(DECODER(), 1), "zero_last('lecun_normal')") == {
        f"layers.0.{end}" for end in (*ends, "multihead_attn.out_proj.weight")
    }


class _Block(nn.Module):
    """Attributes as torchvision's blocks have them."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def _norm(kind=nn.BatchNorm2d):
    return kind(4)


def _conv():
    return nn.Conv2d(4, 4, 3)


BLOCKS = {  # attributes -> name of the end, None for a block that has no branch
    "basic": (
        lambda: {"conv1": _conv(), "bn1": _norm(), "conv2": _conv(), "bn2": _norm()},
        {"downsample": None},
        "bn2.weight",
    ),
    "bottleneck": (
        lambda: {"conv2": _conv(), "bn2": _norm(), "conv3": _conv(), "bn3": _norm()},
        {"downsample": nn.Identity()},
        "bn3.weight",
    ),
    "without norm": (
        lambda: {"conv2": _conv(), "bn2": nn.Identity()},
        {"downsample": None},
        "conv2.weight",
    ),
    "ConvNeXt": (
        lambda: {"block": nn.Sequential(_conv(), nn.Linear(4, 4), nn.Flatten())},
        {"layer_scale": nn.Parameter(torch.ones(4, 1, 1))},
        "block.1.weight",
    ),
    "inverted": (
        lambda: {"block": nn.Sequential(_conv(), _norm())},
        {"use_res_connect": True},
        "block.1.weight",
    ),
    "inverted without branch": (
        lambda: {"block": nn.Sequential(_conv(), _norm())},
        {"use_res_connect": False},
        None,
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_branches_of_other_blocks_are_known(name):
    """A branch ends with its last layer with weights: where that is a norm, its weight is set."""
    parts, marks, end = BLOCKS[name]
    model = nn.Sequential(_Block(**parts(), **marks), _Block(**parts(), **marks))
    if end is None:
        with pytest.raises(ValueError, match="no residual branch was recognised in Sequential"):
            initialize(model, "zero_last")
        return
    assert _changed(model, "zero_last('lecun_normal')") == {f"0.{end}", f"1.{end}"}
    assert not model[0].get_parameter(end).any()
    initialize(model, "residual_scaled('ones')")
    torch.testing.assert_close(
        model[0].get_parameter(end), torch.full_like(model[0].get_parameter(end), 0.5**0.5)
    )


def test_torchvision_agrees(monkeypatch):
    """ResNet's own ``zero_init_residual`` sets what `zero_last` sets; others' ends are counted."""
    models = pytest.importorskip("torchvision.models")
    monkeypatch.setattr(nn.init, "trunc_normal_", lambda tensor, **_: tensor)  # slow, and replaced
    for make in (models.resnet18, models.resnet50):
        with torch.device("meta"):
            plain, theirs = make(), make(zero_init_residual=True)
        ends = residual._ends(plain, None)
        names = {name for name, module in plain.named_modules() if any(module is e for e in ends)}
        bottleneck = make is models.resnet50
        assert names == {
            name
            for name, _ in theirs.named_modules()
            if name.endswith("bn3" if bottleneck else "bn2")
        }
    counts = {"vit_b_16": 24, "convnext_tiny": 18, "mobilenet_v2": 10, "efficientnet_b0": 9}
    for name, count in counts.items():
        with torch.device("meta"):
            model = models.get_model(name)
        assert len(residual._ends(model, None)) == count, name


def test_no_branch_is_recognised():
    """A network of unknown structure is refused, untouched, with an example of what to say."""
    net = _residual_net()
    before = net.stem.weight.clone()
    for scheme in ENDS:
        with pytest.raises(ValueError, match="no residual branch") as caught:
            initialize(net, scheme)
        assert str(caught.value) == (
            "no residual branch was recognised in Sequential; name the last layer of each, "
            f'as in {scheme}(last="blocks.*.branch.2")'
        )
    assert torch.equal(net.stem.weight, before)


def test_a_pattern_that_fits_nothing():
    """Every pattern must fit a layer with weights; the nearest names are listed."""
    net = _residual_net(1)
    for pattern in ("blocks.*.branch.1", "block.0.branch.2"):
        with pytest.raises(ValueError, match="fits no layer") as caught:
            initialize(net, init.zero_last(last=[LAST, pattern]))
        assert str(caught.value) == (
            f"last={pattern!r} fits no layer with weights of Sequential; "
            "the nearest are 'blocks.0.branch.2', 'blocks.0.branch.0', 'stem'"
        )


@pytest.mark.parametrize("scheme", ENDS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": 3}, "base is 3; it must be a name such as 'he_normal', or a function"),
        ({"base": "qqqq"}, "unknown scheme 'qqqq'"),
        (
            {"base": "zero_last"},
            r"base is zero_last\(.*\); it must be a scheme that fills layer by",
        ),
        ({"last": 3}, "last is 3; it must be a pattern"),
        ({"last": []}, r"last is \[\]; it must be a pattern of module names such as"),
        ({"last": ["a", 3]}, r"last is \['a', 3\]; it must be a pattern"),
    ],
    ids=str,
)
def test_arguments_of_residual_schemes(scheme, arguments, message):
    """What is no scheme and no pattern is refused by the name of the argument."""
    with pytest.raises((TypeError, ValueError), match=message):
        INITIALIZERS[scheme](**arguments)


@pytest.mark.parametrize(
    ("factor", "kind"), [(0, ValueError), (math.nan, ValueError), ("a", TypeError)]
)
def test_a_factor_out_of_range(factor, kind):
    """The factor is a finite number above 0."""
    with pytest.raises(kind, match=r"^factor is "):
        init.residual_scaled(factor=factor)


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("zero_last", "zero_last(base='he_normal')"),
        ("residual_scaled('normal(0.02)')", "residual_scaled(base='normal(0.02)')"),
        (
            "residual_scaled(factor=0.5, last='*.2')",
            "residual_scaled(base='he_normal', factor=0.5, last='*.2')",
        ),
        ("zero_last(last=['a', 'b'])", "zero_last(base='he_normal', last=['a', 'b'])"),
        (repr(init.zero_last(init.normal(0.5))), "zero_last(base='normal(std=0.5)')"),
    ],
)
def test_residual_schemes_by_name(text, description):
    """A text makes them too, with another scheme inside, and they print as such a text."""
    assert repr(from_name(text)) == description
    assert repr(from_name(description)) == description


def test_a_base_of_ones_own():
    """Any function of a module is a base."""

    def mine(module):
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 3.0)

    net = initialize(_residual_net(), init.residual_scaled(mine, factor=0.5, last=LAST))
    assert (net.blocks[0].branch[2].weight == 1.5).all()
    assert (net.stem.weight == 3).all()


def test_a_base_is_described_by_name():
    """Not by where it is in memory; with arguments where there are any."""
    assert repr(init.zero_last(nn.init.zeros_)) == "zero_last(base='zeros_')"
    mine = partial(nn.init.constant_, val=3)
    assert repr(init.residual_scaled(mine)) == "residual_scaled(base='constant_(val=3)')"


def test_the_recipe_of_a_base_counts():
    """A scheme made of one that draws from a generator of its own has no recipe either."""
    assert init.zero_last(init.normal(0.1)).recipe is not None
    for scheme in (init.normal(generator=Generator()), init.Scheme("mine", nn.init.zeros_)):
        assert init.zero_last(scheme).recipe is None
        assert init.residual_scaled(base=scheme).recipe is None


def test_a_shared_end_is_scaled_once():
    """Branches that share their last weights have one end between them."""
    net = _residual_net(2)
    net.blocks[1].branch[2].weight = net.blocks[0].branch[2].weight
    initialize(net, init.residual_scaled("ones", factor=0.5, last=LAST))
    assert (net.blocks[0].branch[2].weight == 0.5).all()


def test_residual_schemes_refuse_computed_weights():
    """A parametrized end is refused before anything is changed."""
    net = _residual_net(1)
    nn.utils.parametrizations.weight_norm(net.blocks[0].branch[2])
    before = net.stem.weight.clone()
    for base in ("he_normal", lambda module: module):
        with pytest.raises(ValueError, match="computed from other parameters"):
            initialize(net, init.zero_last(base, last=LAST))
    assert torch.equal(net.stem.weight, before)
