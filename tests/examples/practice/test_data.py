"""What page 3 of "In practice" concludes, at reduced size: LSUV and per-unit initialization."""

import math

import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import models, propagation, theory


@pytest.fixture(scope="module")
def small(sample):
    """Return 1,000 training images of 14 × 14 pixels, standardized."""
    shrink = nn.AvgPool2d(2)
    chosen = sample.subset(train=1000, valid=500, test=100)
    mean, std = chosen.train.images.mean(), chosen.train.images.std()
    return chosen.transformed(lambda x: shrink((x - mean) / std), "standardized, 14 × 14")


def layers(net):
    """Return the linear layers of a network."""
    return [m for m in net.modules() if isinstance(m, nn.Linear)]


def formula(gain, size):
    """Orthogonal weights times 1/size in the first layer, and a gain in the others."""

    def weights_init(module):
        if isinstance(module, nn.Linear):
            init.orthogonal(1 / size if module.in_features == 196 else gain)(module)

    return weights_init


def size(small):
    """Root mean square of the inputs."""
    return small.train.images.square().mean().sqrt().item()


def plain(activation, depth=12, width=64):
    """Return a plain network."""
    return initguide.mlp([196] + [width] * depth + [10], activation)


def gated():
    """Return a deep network of gated layers."""
    return models.of_blocks(models.Gated, units=64)


def scales(net):
    """√fan-in · std of the weights of each layer."""
    return [math.sqrt(m.in_features) * m.weight.square().mean().sqrt().item() for m in layers(net)]


def trained(small, model, schemes):
    """Compare the schemes after an epoch of 40 steps."""
    return initguide.compare_init_weights(
        schemes, small, model=model, epochs=1, batch_size=25, seeds=3
    )


@pytest.mark.parametrize("phi", [nn.ReLU, nn.Tanh, nn.Softplus, nn.Sigmoid])
def test_lsuv_finds_the_gain(small, phi):
    """Without knowing the activation, LSUV finds its gain, layer by layer."""
    net = plain(phi, depth=5, width=256)
    initguide.initialize(net, init.lsuv(small.train.images[:200]), seed=0)
    found = scales(net)
    assert found[0] == pytest.approx(1 / size(small), rel=0.1)
    assert found[1:-1] == pytest.approx([theory.gain(phi())] * 4, rel=0.12)


def test_lsuv_finds_a_gain_that_no_table_has(small):
    """For the gated layer it is the sigmoid's, which a derivation confirms."""
    found = [
        scales(initguide.initialize(gated(), init.lsuv(small.train.images[:300]), seed=s))
        for s in range(3)
    ]
    hidden = torch.tensor(found)[:, 2:-1].mean().item()
    assert hidden == pytest.approx(theory.gain("sigmoid"), rel=0.06)


def test_lsuv_finds_the_gain_of_maxout(small):
    """The larger of two normals has mean square 1, so the gain is 1, and LSUV finds it."""
    net = models.of_blocks(models.Maxout, 7, units=64)[:-1]
    initguide.initialize(net, init.lsuv(small.train.images[:200]), seed=0)
    assert sum(scales(net)[1:]) / 6 == pytest.approx(1, rel=0.08)


def test_batch_norm_divides_scales_out(small):
    """With batch normalization a layer's scale does not change the function."""
    x, outputs = small.train.images[:200], []
    for scheme in (formula(math.sqrt(2), 1.0), formula(3.0, 5.0)):
        net = models.of_blocks(models.Normalized, 5, units=64)[:-1]
        initguide.initialize(net, scheme, seed=0)
        with torch.no_grad():
            outputs.append(net(x))
    assert torch.allclose(*outputs, atol=0.01)


def test_lsuv_holds_the_size_where_the_formula_runs_away(small):
    """SiLU at its forward gain runs away in twenty layers; LSUV holds the mean square."""
    squares = {"formula": [], "LSUV": []}
    for seed in range(4):
        for label, scheme in (
            ("formula", formula(theory.gain("silu"), size(small))),
            ("LSUV", init.lsuv(small.train.images[:300])),
        ):
            net = initguide.initialize(plain(nn.SiLU, 20, 100), scheme, seed=seed)
            with torch.no_grad():
                squares[label].append(net[:-2](small.valid.images).square().mean().item())
    assert sum(squares["formula"]) / 4 > 8
    assert all(0.7 < q < 1.7 for q in squares["LSUV"])


def test_only_per_unit_scales_keep_the_differences(small):
    """With softplus, images become alike, as the correlation map says, under LSUV too."""
    x, share = small.train.images[:300], {}
    for per_unit in (False, True):
        scheme = init.lsuv(x, per_unit=per_unit)
        net = initguide.initialize(plain(nn.Softplus, 12, 100), scheme, seed=0)
        with torch.no_grad():
            first, last = net[:2](x), net[:-2](x)
        share[per_unit] = [(z.var(0).mean() / z.square().mean()).item() for z in (first, last)]
    c = 1 - share[False][0]
    for _ in range(11):
        c = theory.correlation_map(c, nn.Softplus(), theory.gain(nn.Softplus()))
    assert share[True][1] == pytest.approx(1, abs=0.02)
    assert share[False][1] < 1e-3
    assert math.log(share[False][1]) == pytest.approx(math.log(1 - c), abs=2)


def test_softplus_learns_with_per_unit_scales(small):
    """Deep softplus: LSUV does not help, unit by unit does."""
    x = small.train.images[:300]
    schemes = {
        "formula": formula(theory.gain(nn.Softplus()), size(small)),
        "data": init.lsuv(x, per_unit=True),
    }
    result = trained(small, lambda: plain(nn.Softplus), schemes)
    assert result.difference("data", "formula", "valid_loss").mean < -0.2


def test_nothing_to_gain_for_relu(small):
    """Deep ReLU: LSUV changes little; per-unit means and scales make it worse than He's."""
    x = small.train.images[:200]
    schemes = {
        "formula": formula(math.sqrt(2), size(small)),
        "LSUV": init.lsuv(x),
        "data": init.lsuv(x, per_unit=True),
    }
    result = trained(small, lambda: plain(nn.ReLU, 15), schemes)
    assert abs(result.difference("LSUV", "formula", "valid_loss").mean) < 0.15
    assert result.difference("data", "formula", "valid_loss").mean > 0.15


def test_gradients_grow_when_relus_are_centred(small):
    """By 1/(1 − 1/π) a layer, while LSUV keeps them."""
    x, labels = small.train.images[:300], small.train.labels[:300]
    for per_unit, expected in ((False, 1), (True, 1 / (1 - 1 / math.pi))):
        factors = []
        for seed in range(2):
            scheme = init.lsuv(x, per_unit=per_unit)
            net = initguide.initialize(plain(nn.ReLU, 15, 100), scheme, seed=seed)
            found = propagation.measure(net, x, labels)
            ratio = found["fc1"].output_grad_var / found["fc15"].output_grad_var
            factors.append(ratio ** (1 / 14))
        assert sum(factors) / 2 == pytest.approx(expected, abs=0.12)


def test_lsuv_corrects_the_scale_of_the_inputs(sample):
    """Inputs of the wrong scale are corrected."""
    shrink = nn.AvgPool2d(2)
    raw = sample.subset(train=1000, valid=500, test=100)
    raw = raw.transformed(lambda x: 255 * shrink(x), "0 to 255")
    schemes = {
        "formula": formula(math.sqrt(2), 1.0),
        "data": init.lsuv(raw.train.images[:300]),
    }
    result = trained(raw, lambda: plain(nn.ReLU, 5), schemes)
    assert result.difference("data", "formula", "valid_loss").mean < -0.5


def test_almost_any_batch_of_the_right_scale_will_do_for_lsuv(small):
    """LSUV is content with few images or one class; unit by unit is not; both mind the scale."""
    images, labels = small.train.images, small.train.labels

    def spread(x, *, per_unit):
        found = []
        for seed in range(2):
            scheme = init.lsuv(x, per_unit=per_unit)
            net = initguide.initialize(plain(nn.ReLU, 15, 100), scheme, seed=seed)
            with torch.no_grad():
                found.append(net(small.valid.images).std().item())
        return sum(found) / 2

    for x in (images[:300], images[:8], images[labels == 8][:100]):
        assert spread(x, per_unit=False) == pytest.approx(1, abs=0.25)
    assert spread(2 * images[:300], per_unit=False) == pytest.approx(0.5, abs=0.1)
    assert spread(images[:8], per_unit=True) > 5
    many, bags = (spread(x, per_unit=True) for x in (images[:300], images[labels == 8][:100]))
    assert bags > 1.3 * many
