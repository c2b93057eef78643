"""What a batch does on its way forward and back: numbers, odd modules, nothing left."""

import copy
import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

import initguide
from initguide.propagation import FLAT, VALUES, Measurement, Record, measure

FIELDS = (
    *("name", "kind", "fan_in", "fan_out", "weight_std", "output_mean", "output_var"),
    *("output_second_moment", "weight_grad_var", "output_grad_var", "dead_fraction"),
    *("saturated_fraction", "distinct_units"),
)


def draws(*shape, seed=0, dtype=torch.float32):
    """Numbers from N(0, 1), the same in every run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def net(scheme="he_normal", **settings):
    """The lesson's network."""
    return initguide.initialize(initguide.Net(**settings), scheme, seed=0)


def mlp(*between, seed=0):
    """Two linear layers with something between them."""
    model = nn.Sequential(nn.Linear(6, 8), *between, nn.Linear(8, 3))
    return initguide.initialize(model, "he_normal", seed=seed)


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


def kinds(found):
    """Name the kinds of the records."""
    return [record.kind for record in found]


def independent(model, run):
    """Outputs and their gradients of all linear layers and convolutions, by plain hooks."""
    model = copy.deepcopy(model)
    outputs = {}

    def keep(name):
        def hook(module, args, output):  # noqa: ARG001  torch calls it so
            output.retain_grad()
            outputs[name] = output, output.detach().clone()

        return hook

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(keep(name))
    run(model).backward()
    return {
        name: (value.double(), output.grad.double(), model.get_submodule(name).weight)
        for name, (output, value) in outputs.items()
    }


# The numbers


def check_against(found, expected):
    """Compare records with what plain hooks saw."""
    for name, (output, gradient, weight) in expected.items():
        record = found[name]
        assert record.shape == tuple(output.shape)
        for value, truth in (
            (record.output_mean, output.mean()),
            (record.output_var, output.var(correction=0)),
            (record.output_second_moment, output.square().mean()),
            (record.output_grad_var, gradient.var(correction=0)),
            (record.weight_std, weight.double().std(correction=0)),
            (record.weight_grad_var, weight.grad.double().var(correction=0)),
        ):
            assert value == pytest.approx(truth.item(), rel=1e-6, abs=1e-12)


def test_against_plain_hooks(sample):
    """All moments of the lesson's network equal those that hooks on a copy see."""
    model = net(dropout=0.0)
    images, labels = sample.train.images[:64], sample.train.labels[:64]
    found = measure(model, images, labels)
    check_against(found, independent(model, lambda m: F.cross_entropy(m(images), labels)))
    assert found.loss == pytest.approx(F.cross_entropy(model(images), labels).item(), rel=1e-6)
    assert found.loss_name == "cross-entropy"


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_convolutions_with_in_place_relu(training, inplace):
    """Outputs are measured before they are overwritten, and gradients belong to those values."""
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.ReLU(inplace=inplace),
        nn.Conv2d(6, 4, 3, stride=2, groups=2),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=inplace),
        nn.Flatten(),
        nn.Linear(4 * 9, 5),
    ).train(training)
    images, targets = draws(7, 3, 9, 9), draws(7, 5, seed=1)
    found = measure(model, images, targets)
    plain = copy.deepcopy(model)  # plain hooks cannot see gradients before an in-place change
    for module in plain.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    check_against(found, independent(plain, lambda m: F.mse_loss(m(images), targets)))
    assert found.loss_name == "mean squared error"
    assert kinds(found) == ["Conv2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Flatten", "Linear"]
    assert (found["2"].fan_in, found["2"].fan_out) == (27, 18)
    assert found["3"].units == 4


def test_by_hand():
    """One layer, small enough for pencil and paper."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 3.0], [-1.0, 1.0]])
    found = measure(layer, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), loss=lambda y: y[0, 0] * 4)
    (record,) = found
    assert (record.name, record.kind, record.call) == ("Linear", "Linear", 0)
    assert (record.fan_in, record.fan_out, record.units) == (2, 2, 2)
    assert record.output_mean == 1.0  # outputs 1, −1 and 3, 1
    assert record.output_var == 2.0
    assert record.output_second_moment == 3.0
    assert record.weight_std == pytest.approx(math.sqrt(2))
    assert record.output_grad_var == 3.0  # 4, 0, 0, 0
    assert record.weight_grad_var == 3.0
    assert found.loss == 4.0
    assert math.isnan(record.dead_fraction)
    assert math.isnan(record.saturated_fraction)


def test_contract():
    """A record has the agreed fields, plain numbers, and cannot be changed."""
    found = measure(net(), draws(5, 784))
    record = found["fc1"]
    for name in FIELDS:
        assert isinstance(getattr(record, name), str | int | float), name
    assert set(VALUES) == set(FIELDS) - {"name", "kind"}
    with pytest.raises(AttributeError):
        record.output_var = 0.0
    with pytest.raises(AttributeError):
        found.loss = 0.0


@given(
    mean=st.floats(-1e4, 1e4),
    std=st.sampled_from([0.0, 1e-3, 1.0, 1e3]),
    shape=st.sampled_from([(3, 5), (2, 4, 3, 3), (4, 2, 5), (7,), (1, 1)]),
    swap=st.booleans(),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_moments_of_any_tensor(mean, std, shape, swap, seed):
    """Mean and variance agree with NumPy's in float64, whatever the shape, place and strides."""
    x = mean + std * draws(*shape, seed=seed)
    if swap and x.ndim > 1:
        x = x.transpose(0, 1)
    (record,) = measure(nn.Identity(), x)
    values = x.double().numpy()
    assert record.output_mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-9)
    assert record.output_var == pytest.approx(values.var(), rel=1e-6, abs=1e-12)
    assert record.output_second_moment == pytest.approx((values**2).mean(), rel=1e-9, abs=1e-9)


def test_equal_values_have_no_spread():
    """A constant that binary fractions cannot hold has a variance of exactly 0."""
    found = measure(nn.Linear(3, 4).apply(initguide.initializers.constant(0.1)), torch.ones(5, 3))
    assert found[0].weight_std == 0.0
    assert found[0].output_var == 0.0


def test_blocks(monkeypatch):
    """Results do not depend on how much is worked on at once."""
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16 * 36, 9))
    images = draws(10, 3, 8, 8)
    whole = measure(model, images, histograms=7)
    monkeypatch.setattr(initguide.propagation.moments, "_BLOCK_CPU", 50)
    parts = measure(model, images, histograms=7)
    for value in VALUES:
        np.testing.assert_allclose(whole.values(value), parts.values(value), rtol=1e-9, atol=1e-15)
    for a, b in zip(whole, parts, strict=True):
        for name, histogram in a.histograms.items():
            np.testing.assert_array_equal(histogram.counts, b.histograms[name].counts)


# Default losses


def test_without_targets_the_gradient_at_the_output_is_about_1():
    """The default loss sends gradients of variance 1 back, whatever the outputs are."""
    for scheme in ("zeros", "he_normal", "normal(10.0)"):
        found = measure(net(scheme).eval(), draws(200, 784))
        assert found["fc3"].output_grad_var == pytest.approx(1, abs=0.1)
    assert found.loss_name == "sum of the outputs, each times a draw from N(0, 1)"


def test_he_keeps_the_gradient_too():
    """Without targets, the gradients' variance is read as a gain: He in fan-out mode keeps it."""
    layers = [layer for _ in range(5) for layer in (nn.Linear(300, 300), nn.ReLU())]
    model = initguide.initialize(nn.Sequential(*layers), "he_normal(mode='fan_out')", seed=0)
    found = measure(model, draws(100, 300))
    grads = [r.output_grad_var for r in found if r.kind == "Linear"]
    assert all(0.4 < g < 0.65 for g in grads)  # half of what passes the ReLU


def test_sequence_targets():
    """Whole-number targets fit outputs with the classes second or last."""
    model = nn.Embedding(11, 11)
    tokens, targets = torch.arange(10).reshape(2, 5), torch.arange(1, 11).reshape(2, 5)
    expected = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).item()
    assert measure(model, tokens, targets).loss == pytest.approx(expected)
    images = nn.Conv2d(3, 4, 1)
    expected = F.cross_entropy(images(torch.ones(2, 3, 5, 5)), torch.ones(2, 5, 5).long()).item()
    found = measure(images, torch.ones(2, 3, 5, 5), torch.ones(2, 5, 5, dtype=torch.uint8))
    assert found.loss == pytest.approx(expected)


def test_own_loss():
    """A loss gets what the model returned, with the targets if there are any."""
    model = Using(lambda self, x: {"a": self.fc(x), "b": 1}, fc=nn.Linear(3, 2))
    found = measure(model, draws(4, 3), targets="t", loss=lambda y, t: y["a"].sum() * len(t))
    assert found["fc"].weight_grad_var > 0
    assert found.loss_name == "<lambda>"
    assert measure(nn.Linear(3, 2), draws(4, 3), draws(4, 2), nn.L1Loss()).loss_name == "L1Loss"


# Activations


def layer_with(bias, *, weight=0.0):
    """A layer of equal weights with the biases given."""
    layer = nn.Linear(2, len(bias))
    nn.init.constant_(layer.weight, weight)
    layer.bias.data = torch.tensor(bias)
    return layer


RELUS = {
    "module": lambda layer: nn.Sequential(layer, nn.ReLU()),
    "in place": lambda layer: nn.Sequential(layer, nn.ReLU(inplace=True)),
    "function": lambda layer: Using(lambda self, x: F.relu(self.layer(x)), layer=layer),
    "function in place": lambda layer: Using(
        lambda self, x: F.relu(self.layer(x), inplace=True), layer=layer
    ),
    "torch.relu_": lambda layer: Using(lambda self, x: torch.relu_(self.layer(x)), layer=layer),
    "method": lambda layer: Using(lambda self, x: self.layer(x).relu(), layer=layer),
    "clamp": lambda layer: Using(lambda self, x: self.layer(x).clamp(min=0), layer=layer),
    "keyword": lambda layer: Using(lambda self, x: F.relu(input=self.layer(x)), layer=layer),
}


@pytest.mark.parametrize("build", RELUS.values(), ids=RELUS)
def test_dead_units_of_a_relu(build):
    """However the ReLU is called, units at or below 0 on the whole batch are dead."""
    found = measure(build(layer_with([-1.0, 0.0, 2.0, -3.0, 1.0])), draws(6, 2))
    assert found[0].activation == "relu"
    assert found[0].dead_fraction == 0.6
    assert math.isnan(found[0].saturated_fraction)
    if len(found) > 1:
        assert (found[1].activation, found[1].dead_fraction) == ("relu", 0.6)


def test_one_image_is_enough_to_be_alive():
    """A unit that is positive for one input, or at one position of a channel, is not dead."""
    layer = nn.Conv2d(1, 2, 1, bias=False)
    layer.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    images = torch.zeros(3, 1, 4, 4)
    images[1, 0, 2, 3] = 1.0
    assert measure(nn.Sequential(layer, nn.ReLU()), images)[0].dead_fraction == 0.5


@pytest.mark.parametrize(
    ("activation", "function", "biases"),
    [
        (nn.Tanh(), torch.tanh, [0.0, 1.0, -2.0, 2.5, -9.0, 30.0]),
        (nn.Sigmoid(), torch.sigmoid, [0.0, 1.0, -4.0, 4.5, -9.0, 30.0]),
        (nn.Softsign(), F.softsign, [0.0, 1.0, -3.0, 4.5, -9.0, 30.0]),
        (nn.Hardtanh(), F.hardtanh, [0.0, 0.9, -0.9, 1.5, -9.0, 30.0]),
        (nn.Hardtanh(-2, 2), lambda x: F.hardtanh(x, -2, 2), [0.0, 1.9, -1.5, 2.5, -9.0, 30.0]),
        (nn.Hardsigmoid(), F.hardsigmoid, [0.0, 1.0, -2.9, 3.1, -9.0, 30.0]),
    ],
)
def test_saturated(activation, function, biases):
    """Saturated is where autograd's slope is below a part of the steepest; dead, where it is 0."""
    z = torch.tensor(biases, requires_grad=True)
    (slope,) = torch.autograd.grad(activation(z).sum(), z)
    x = torch.linspace(-3, 3, 2001, requires_grad=True)
    steepest = torch.autograd.grad(activation(x).sum(), x)[0].max()
    flat = (slope < FLAT * steepest).float().mean().item()
    layer = layer_with(biases)
    for model in (
        nn.Sequential(layer, activation),
        Using(lambda self, x: function(self.layer(x)), layer=layer),
    ):
        record = measure(model, draws(4, 2))[0]
        assert record.saturated_fraction == pytest.approx(flat)
        assert record.dead_fraction == pytest.approx((slope == 0).float().mean().item())
    assert flat >= 0.5


def test_relu6_is_flat_above_only():
    """At 0, a ReLU6 is a ReLU: only its upper bound saturates."""
    record = measure(nn.Sequential(layer_with([-1.0, 1.0, 7.0, 8.0]), nn.ReLU6()), draws(4, 2))[0]
    assert record.saturated_fraction == 0.5
    assert record.dead_fraction == 0.75  # nor does a gradient pass at the bound


def test_others_do_not_count():
    """No number is made up for activations that are flat nowhere, or only in the limit."""
    for activation in (nn.GELU(), nn.LeakyReLU(), nn.Softmax(dim=1), nn.ELU()):
        record = measure(nn.Sequential(layer_with([-1.0, 1.0]), activation), draws(4, 2))[0]
        assert record.activation is None
        assert math.isnan(record.dead_fraction)
    clamped = Using(lambda self, x: self.layer(x).clamp(0, 1), layer=layer_with([-1.0]))
    assert measure(clamped, draws(4, 2))[0].activation is None


def test_an_activation_belongs_to_what_it_was_applied_to():
    """Not to a layer whose output was changed before, nor to what comes after it."""
    model = Using(
        lambda self, x: self.drop(F.relu(self.fc(x).add_(1))), fc=nn.Linear(2, 3), drop=nn.Dropout()
    ).eval()
    found = measure(model, draws(4, 2))
    assert [record.activation for record in found] == [None, None]
    model = Using(
        lambda self, x: self.drop(F.relu(self.fc(x))), fc=nn.Linear(2, 3), drop=nn.Dropout()
    ).eval()
    assert [record.activation for record in measure(model, draws(4, 2))] == ["relu", None]


def test_nan_is_not_dead():
    """A unit with NaN is broken, not dead."""
    record = measure(nn.Sequential(layer_with([math.nan, -1.0]), nn.ReLU()), draws(4, 2))[0]
    assert record.dead_fraction == 0.5


# Units


def test_equal_weights_make_equal_units():
    """All constants give one unit a layer, random weights all of them; dropout parts them again."""
    images = draws(20, 784).abs()
    for constant in (0.0, 0.3, 1.0):
        found = measure(net(f"constant({constant})").eval(), images)
        assert [found[name].distinct_units for name in ("fc1", "fc2", "fc3")] == [1, 1, 1]
    found = measure(net().eval(), images)
    assert [found[name].distinct_units for name in ("fc1", "fc2", "fc3")] == [256, 128, 10]


@given(copies=st.integers(1, 5), groups=st.integers(1, 40), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_copies_are_counted_once(copies, groups, seed):
    """Of units that are copies, up to rounding, one is counted, in any order and size."""
    weight = draws(groups, 4, seed=seed) * 10.0 ** draws(groups, 1, seed=seed + 1)
    order = torch.randperm(copies * groups, generator=torch.Generator().manual_seed(seed))
    noise = 1 + 1e-7 * draws(copies * groups, 1, seed=seed + 2)
    layer = nn.Linear(4, copies * groups, bias=False)
    layer.weight.data = (weight.repeat(copies, 1) * noise)[order]
    assert measure(layer, draws(9, 4))[0].distinct_units == groups
    conv = nn.Conv2d(4, copies * groups, 1, bias=False)
    conv.weight.data = layer.weight.data[:, :, None, None]
    assert measure(conv, draws(3, 4, 5, 5))[0].distinct_units == groups


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    """Half precision is measured in double: moments fit, and different units stay different."""
    model = initguide.initialize(nn.Linear(64, 300), "normal", seed=0).to(dtype)
    inputs = draws(50, 64, dtype=dtype)
    (record,) = measure(model, inputs)
    output = model(inputs).double()
    assert record.output_var == pytest.approx(output.var(correction=0).item(), rel=1e-9)
    assert record.output_mean == pytest.approx(output.mean().item(), rel=1e-6, abs=1e-9)
    assert record.distinct_units == 300
    assert record.output_grad_var == pytest.approx(1, abs=0.05)


# Exotic modules


def test_a_module_used_twice():
    """Each use has its record, both with the gradient of the weights they share."""
    model = Using(lambda self, x: self.fc(torch.tanh(self.fc(x))), fc=nn.Linear(5, 5))
    x = draws(8, 5)
    found = measure(model, x, x)
    assert [(r.name, r.call) for r in found] == [("fc", 0), ("fc", 1)]
    assert [r.activation for r in found] == ["tanh", None]
    F.mse_loss(model(x), x).backward()
    expected = model.fc.weight.grad.double().var(correction=0).item()
    assert [r.weight_grad_var for r in found] == [pytest.approx(expected, rel=1e-6)] * 2
    assert found[0].output_grad_var != found[1].output_grad_var
    assert found["fc"] is found[0]


def test_tied_weights():
    """A weight that two modules share has one gradient, the sum."""
    model = Using(
        lambda self, x: self.out(self.emb(x)), emb=nn.Embedding(7, 4), out=nn.Linear(4, 7)
    )
    model.out.weight = model.emb.weight
    tokens = torch.arange(6)
    found = measure(model, tokens, tokens)
    assert found["emb"].weight_grad_var == found["out"].weight_grad_var > 0
    assert (found["emb"].fan_in, found["out"].fan_in) == (1, 4)
    assert found["emb"].weight_std == found["out"].weight_std


def test_attention():
    """An attention layer has a record, though its output projection is never called."""
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    x = draws(3, 5, 8)
    found = measure(model, (x, x, x), loss=lambda y: y[0].square().mean())
    assert kinds(found) == ["MultiheadAttention"]
    both = torch.cat([model.in_proj_weight.flatten(), model.out_proj.weight.flatten()])
    assert found[0].weight_std == pytest.approx(both.double().std(correction=0).item())
    assert found[0].weight_grad_var > 0
    assert math.isnan(found[0].fan_in)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    for training in (True, False):
        found = measure(layer.train(training), {"src": x})
        assert found["linear1"].activation == "relu"
        assert "MultiheadAttention" in kinds(found)


def test_recurrent():
    """An LSTM is one layer: its first output is measured, with all its matrices."""
    model = Using(
        lambda self, x: self.fc(self.rnn(x)[0][:, -1]),
        rnn=nn.LSTM(3, 4, batch_first=True),
        fc=nn.Linear(4, 2),
    )
    found = measure(model, draws(6, 5, 3), torch.ones(6).long())
    assert found["rnn"].shape == (6, 5, 4)
    matrices = [p.flatten() for p in model.rnn.parameters() if p.ndim > 1]
    assert found["rnn"].weight_std == pytest.approx(torch.cat(matrices).std(correction=0).item())
    assert found["rnn"].output_grad_var > 0
    assert found["rnn"].units == 4


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "orthogonal", "old weight_norm"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_computed_weights(kind, training):
    """The weight that the layer computes with is measured, and nothing inside it has a record."""
    wrap = getattr(parametrizations, kind, None) or torch.nn.utils.weight_norm
    model = nn.Sequential(wrap(nn.Linear(5, 4)), nn.ReLU(), nn.Linear(4, 2)).train(training)
    before = copy.deepcopy(model.state_dict())
    found = measure(model, draws(6, 5))
    assert kinds(found) == ["Linear", "ReLU", "Linear"]
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert found["0"].weight_grad_var > 0
    assert found["0"].fan_in == 5
    values = model(draws(6, 5))  # in training, spectral norm now takes the step that was undone
    assert found["2"].output_mean == pytest.approx(values.mean().item(), rel=1e-5)
    weight = model.eval()[0].weight
    assert found["0"].weight_std == pytest.approx(weight.std(correction=0).item(), rel=1e-5)


def test_dictionaries_and_objects():
    """Inputs by keyword, and outputs as dictionary, tuple or object with logits."""

    class Output:
        def __init__(self, logits):
            self.logits = logits

    x, y = draws(4, 3), torch.tensor([0, 1, 1, 0])
    for wrap in (
        lambda z: {"aux": z.detach(), "logits": z},
        lambda z: {"out": z},
        lambda z: (torch.arange(3), z),
        lambda z: [z, 1],
        Output,
    ):
        model = Using(lambda self, a, *, b, wrap=wrap: wrap(self.fc(a + b)), fc=nn.Linear(3, 2))
        found = measure(model, {"a": x, "b": x}, y)
        assert found.loss == pytest.approx(F.cross_entropy(model.fc(2 * x), y).item())
        assert found.source.endswith("inputs: a=(4, 3) float32, b=(4, 3) float32")


def test_frozen_layers():
    """Frozen weights have no gradient, but their outputs have, and they stay frozen."""
    model = mlp(nn.ReLU())
    x = draws(5, 6)
    expected = measure(model, x)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for free in (False, True):
        model[2].weight.requires_grad_(free)
        found = measure(model, x)
        for a, b in zip(found, expected, strict=True):
            assert a.output_grad_var == pytest.approx(b.output_grad_var, rel=1e-6)
        assert math.isnan(found["0"].weight_grad_var)
        assert math.isnan(found["2"].weight_grad_var) is not free
    assert not model[0].weight.requires_grad
    assert not x.requires_grad
    changing = Using(lambda self, x: self.fc(x.sub_(1)), fc=nn.Linear(3, 2).requires_grad_(False))
    assert measure(changing, draws(4, 3))[0].output_grad_var > 0


def test_no_gradient_is_not_zero():
    """A layer that the loss does not depend on has NaN for its gradients."""
    model = Using(lambda self, x: (self.a(x), self.b(x)), a=nn.Linear(3, 2), b=nn.Linear(3, 2))
    found = measure(model, draws(4, 3))
    assert found["a"].output_grad_var > 0
    assert math.isnan(found["b"].output_grad_var)
    assert math.isnan(found["b"].weight_grad_var)
    detached = Using(lambda self, x: self.a(x).detach(), a=nn.Linear(3, 2))
    assert math.isnan(measure(detached, draws(4, 3))["a"].output_grad_var)


def test_own_parameters():
    """A module that holds parameters itself has a record, beside those inside it."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([1.0, 3.0]))
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return F.relu(self.scale * self.fc(x))

    found = measure(nn.Sequential(Block()), draws(4, 2))
    assert [(r.name, r.kind) for r in found] == [("0.fc", "Linear"), ("0", "Block")]
    assert found["0"].weight_std == 1.0
    assert [r.activation for r in found] == [None, "relu"]


def test_a_layer_that_returns_a_parameter():
    """Hooks on a tensor that stays are removed again."""

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(draws(3, 2))

        def forward(self, _):
            return self.table

    model = Table()
    assert measure(model, draws(1, 2))[0].weight_grad_var > 0
    assert not model.table._backward_hooks


def test_scalars_and_vectors():
    """Outputs of any number of dimensions are measured."""
    for shape in ((), (3,), (1, 1)):
        (record,) = measure(nn.Identity(), torch.ones(shape))
        assert (record.shape, record.output_mean, record.distinct_units) == (shape, 1.0, 1)


def test_values_that_are_not_finite():
    """Infinities and NaN are results, as they are."""
    model = net("constant(1e30)")
    found = measure(model, draws(5, 784).abs())
    assert found["fc1"].output_mean == pytest.approx(1e30 * 784 * 0.8, rel=0.1)
    assert 1e60 < found["fc1"].output_var < 1e70
    assert found["fc3"].output_second_moment == math.inf or math.isnan(
        found["fc3"].output_second_moment
    )
    assert found["fc2"].distinct_units == 1
    assert "inf" in str(found)
    (record,) = measure(nn.Identity(), torch.tensor([[1.0, math.inf, -math.inf, math.nan]]))
    assert math.isnan(record.output_mean)
    assert record.distinct_units == 2
    assert measure(nn.Identity(), torch.tensor([[math.inf, 1.0]]))[0].output_mean == math.inf


def test_sparse_gradients():
    """An embedding with sparse gradients is measured as any other."""
    tokens = torch.tensor([[1, 2], [2, 2]])
    torch.manual_seed(0)
    dense, sparse = nn.Embedding(9, 3), nn.Embedding(9, 3, sparse=True)
    sparse.load_state_dict(dense.state_dict())
    a, b = measure(dense, tokens)[0], measure(sparse, tokens)[0]
    assert a.weight_grad_var == pytest.approx(b.weight_grad_var, rel=1e-9)


# Leave everything as it was


def state(model):
    """Everything of a model that a pass might change."""
    return {
        "tensors": {k: v.clone() for k, v in model.state_dict().items()},
        "grads": {k: p.grad for k, p in model.named_parameters()},
        "grad values": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "frozen": [p.requires_grad for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "attributes": [sorted(vars(m)) for m in model.modules()],
        "hooks": [
            (dict(m._forward_hooks), dict(m._forward_pre_hooks), dict(m._backward_hooks))
            for m in model.modules()
        ],
        "ids": [id(t) for t in [*model.parameters(), *model.buffers()]],
        "count": getattr(model, "count", None),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].copy(),  # noqa: NPY002
        "python": random.getstate(),
    }


def same(a, b):
    """Whether two states are equal, element by element."""
    if isinstance(a, torch.Tensor | np.ndarray):
        return bool((a == b).all())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a is b or a == b


class Messy(nn.Module):
    """Changes all that a forward pass can: buffers, mode, attributes, generators; then may fail."""

    def __init__(self, *, fails=False):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(3 * 16, 2)
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("rebound", torch.zeros(1))
        self.count = 0
        self.fails = fails
        self.conv.register_forward_hook(lambda _, __, output: 2 * output)

    def forward(self, x):
        """Leave traces everywhere."""
        self.count += 1
        self.seen += 1
        self.rebound = self.rebound + 1
        self.last = x
        self.drop.eval()
        random.random()  # noqa: S311
        np.random.rand()  # noqa: NPY002
        y = self.fc(self.drop(F.relu(self.norm(self.conv(x)))).flatten(1))
        if self.fails:
            raise RuntimeError("the end")
        return y


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("grads", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_left_alone(fails, grads, training):
    """Weights, buffers, gradients, mode, hooks, attributes and generators come back."""
    model = Messy().train(training)
    x = draws(4, 1, 6, 6)
    if grads:
        model(x).sum().backward()
        del model.last
    model.fails = fails
    model.drop.train(training)
    before = state(model)
    if fails:
        with pytest.raises(RuntimeError, match=r"^the end\n.*Messy.*\(4, 1, 6, 6\) float32"):
            measure(model, x)
    else:
        found = measure(model, x, histograms=5, jacobian=2)
        assert not hasattr(model, "last")
        assert found["conv"].output_var > 0
    after = state(model)
    for key, value in before.items():
        assert same(value, after[key]), key


def test_weights_that_the_forward_pass_edits():
    """An embedding with a maximal norm comes back; other weights are named in a warning."""
    model = nn.Sequential(nn.Embedding(6, 4, max_norm=1.0), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight.fill_(3.0)
    measure(model, torch.arange(6))
    assert (model[0].weight == 3).all()

    def clamps(self, x):
        with torch.no_grad():
            self.fc.weight.clamp_(-0.1, 0.1)
        return self.fc(x)

    with pytest.warns(UserWarning, match=r"changed fc\.weight of the model .*deepcopy") as told:
        measure(Using(clamps, fc=nn.Linear(4, 2)), draws(3, 4))
    assert told[0].filename == __file__


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_refuses_compiled_modules():
    """Modules that torch.jit made are refused, with what to do, also inside of others."""
    compiled = torch.jit.script(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"model is a torch\.jit\.ScriptModule.* pass the original"):
        measure(compiled, draws(2, 2))
    with pytest.raises(TypeError, match=r"^1 is a torch\.jit\.ScriptModule"):
        measure(nn.Sequential(nn.ReLU(), compiled), draws(2, 2))


def test_left_alone_when_the_loss_fails():
    """A loss that raises leaves no hook and no changed buffer behind."""
    model = Messy()
    before = state(model)

    def fail(_):
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        measure(model, draws(4, 1, 6, 6), loss=fail)
    assert same(before, state(model))


def test_other_errors_keep_their_type():
    """An error of the model's own comes through, with a note of what was measured."""

    def fail(_, __):
        raise LookupError("mine")

    with pytest.raises(LookupError, match=r"^mine\nin the forward pass of Using in training mode"):
        measure(Using(fail, fc=nn.Linear(1, 1)), draws(2, 1))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_within_no_grad(context):
    """It measures gradients also where the caller has them off, and leaves them off."""
    model, x = net().eval(), draws(4, 784)
    expected = measure(model, x)
    with context():
        made_here = draws(4, 784)
        found = measure(model, made_here)
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(
        found.values("output_grad_var"), expected.values("output_grad_var")
    )


def test_dropout_masks_come_from_the_seed():
    """The same seed gives the same numbers, another one others, whatever the global state."""
    model, x = net(), draws(20, 784)
    first = measure(model, x, seed=3).values("output_var")
    torch.rand(5)
    np.testing.assert_array_equal(first, measure(model, x, seed=3).values("output_var"))
    assert (first != measure(model, x, seed=4).values("output_var")).any()


def test_nothing_keeps_the_graph_alive():
    """After measuring, no activation is left in memory."""
    import gc
    import weakref

    kept = []
    model = Using(
        lambda self, x: kept.append(weakref.ref(y := self.fc(x))) or y * 1, fc=nn.Linear(3, 2)
    )
    found = measure(model, draws(4, 3), histograms=4)
    gc.collect()
    assert kept[0]() is None
    assert len(found) == 1


# On request


def test_histograms_and_quantiles():
    """Histograms and quantiles are those of NumPy, of what each layer has."""
    model = mlp(nn.Tanh())
    x = draws(50, 6)
    found = measure(model, x, histograms=11, quantiles=(0.0, 0.5, 0.9))
    expected = {"weights", "outputs", "activations", "weight_grads", "output_grads"}
    assert set(found["0"].histograms) == set(found["0"].quantiles) == expected
    assert set(found["1"].histograms) == {"outputs", "activations", "output_grads"}
    z = model[0](x).detach().numpy()
    for name, values in (
        ("weights", model[0].weight.detach().numpy()),
        ("outputs", z),
        ("activations", np.tanh(z)),
    ):
        histogram = found["0"].histograms[name]
        counts, edges = np.histogram(values.astype(np.float64), bins=11)
        np.testing.assert_array_equal(histogram.counts, counts)
        np.testing.assert_allclose(histogram.edges, edges)
        assert histogram.mean == pytest.approx(values.mean(), rel=1e-5)
        assert histogram.std == pytest.approx(values.std(), rel=1e-5)
        np.testing.assert_allclose(
            found["0"].quantiles[name], np.quantile(values, (0, 0.5, 0.9)), rtol=1e-5
        )
    assert measure(model, x)[0].histograms == {}
    assert measure(model, x)[0].quantiles == {}


def test_histograms_of_odd_values():
    """One value, huge values and values that are not finite are no trouble."""
    odd = torch.tensor([[1e30, 1e30, math.inf, math.nan]])
    for values, count in ((odd, 2), (torch.full((2, 3), 5.0), 6), (torch.zeros(1, 1), 1)):
        (record,) = measure(nn.Identity(), values, histograms=4, quantiles=[0.5])
        assert record.histograms["outputs"].counts.sum() == count
        assert record.histograms["outputs"].std == 0
    (record,) = measure(nn.Identity(), torch.full((1, 2), math.nan), histograms=4, quantiles=[0.5])
    assert "outputs" not in record.histograms


def test_jacobian_of_linear_layers():
    """The Jacobian of linear layers is their product, for every input."""
    model = mlp()
    product = model[1].weight @ model[0].weight
    found = measure(model, draws(5, 6), jacobian=2).jacobian_singular_values
    assert found.shape == (2, 3)
    expected = torch.linalg.svdvals(product.detach().double())
    np.testing.assert_allclose(found, np.stack([expected, expected]), rtol=1e-5)
    assert measure(model, draws(5, 6)).jacobian_singular_values is None


@pytest.mark.parametrize("training", [False, True])
def test_jacobian_against_torch(training):
    """With convolutions, pooling, batch norm and in-place ReLU it is what torch.func says."""
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 4),
    ).train(training)
    x = draws(3, 1, 6, 6)
    found = measure(model, x, jacobian=3).jacobian_singular_values
    whole = torch.autograd.functional.jacobian(copy.deepcopy(model), x)  # (3, 4, 3, 1, 6, 6)
    for i in range(3):
        expected = torch.linalg.svdvals(whole[i, :, i].reshape(4, 36).double())
        np.testing.assert_allclose(found[i], expected, rtol=1e-4)


def test_jacobian_of_orthogonal_layers():
    """Orthogonal weights keep all lengths: every singular value is 1, in a deep network too."""
    model = nn.Sequential(*[nn.Linear(32, 32) for _ in range(30)])
    initguide.initialize(model, "orthogonal", seed=0)
    found = measure(model, draws(2, 32), jacobian=1).jacobian_singular_values
    np.testing.assert_allclose(found, 1.0, rtol=1e-4)


def test_jacobian_where_vectors_go_one_by_one(monkeypatch):
    """An operation that torch cannot do for many vectors at once takes the long way."""
    model, x = mlp(nn.Tanh()), draws(2, 6)
    expected = measure(model, x, jacobian=2).jacobian_singular_values
    plain = torch.autograd.grad

    def grad(*args, is_grads_batched=False, **kwargs):
        if is_grads_batched:
            raise RuntimeError("no batching rule")
        return plain(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", grad)
    found = measure(model, x, jacobian=2).jacobian_singular_values
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# The result


def test_is_a_sequence():
    """Records are found by number, slice and name, and by a loop."""
    found = measure(net(), draws(4, 784))
    assert isinstance(found, Measurement)
    assert isinstance(found[0], Record)
    assert [r.name for r in found] == ["fc1", "dropout", "fc2", "dropout", "fc3"]
    assert len(found) == len(found.layers) == 5
    assert found[-1] is found["fc3"]
    assert found[1:3] == (found[1], found[2])
    with pytest.raises(KeyError, match="no layer 'fc9' ran; those that did are fc1, dropout, fc2"):
        found["fc9"]
    with pytest.raises(IndexError):
        found[5]
    np.testing.assert_array_equal(found.values("output_var"), [r.output_var for r in found])
    with pytest.raises(ValueError, match="unknown value 'var'; the values are fan_in, fan_out"):
        found.values("var")


def test_table_fits():
    """The table has a line a record, no empty column, and at most 100 characters a line."""
    text = str(measure(net(), draws(4, 784), torch.ones(4).long()))
    assert "flat" not in text  # nothing saturates
    assert "dropout #2" in text
    assert "Loss" in text
    assert "evaluation" not in text
    deep = nn.Sequential()
    inner = deep
    for name in ("a_long_name", "another_long_name", "and_one_more_for_good_measure"):
        inner.add_module(name, nn.Sequential())
        inner = inner[0]
    inner.append(nn.Linear(10, 1000)).append(nn.Tanh()).append(nn.Linear(1000, 2))
    found = measure(initguide.initialize(deep, "normal(1e-9)"), draws(3, 10))
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("Linear" in line for line in lines) == 2
    assert "flat" in lines[2]
    assert repr(found) == str(found)


def test_html_is_safe():
    """Names are escaped, and row and column headers are marked as such."""
    html = measure(nn.Sequential(nn.ModuleDict({"<b>": nn.Linear(2, 2)})["<b>"]), draws(2, 2))
    model = Using(lambda self, x: getattr(self, "<b>")(x), **{"<b>": nn.Linear(2, 2)})
    text = measure(model, draws(2, 2))._repr_html_()
    assert '<th scope="row">&lt;b&gt;</th>' in text
    assert "<b>" not in text
    assert html._repr_html_().count("<tr>") == 2


# What is refused

BAD = [
    (lambda: measure("net", draws(1)), TypeError, "model is of type str; it must be a torch.nn.M"),
    (
        lambda: measure(nn.LazyLinear(3), draws(2, 2)),
        ValueError,
        "weight has no shape yet .a lazy layer.; run the model once",
    ),
    (
        lambda: measure(nn.Linear(2, 2, device="meta"), draws(2, 2)),
        ValueError,
        "weight is on the meta device, which holds no numbers",
    ),
    (
        lambda: measure(nn.Linear(2, 2), np.ones((2, 2))),
        TypeError,
        "inputs is of type ndarray; it must be a tensor, .*torch.from_numpy",
    ),
    (lambda: measure(nn.Linear(2, 2), {1: 2}), TypeError, "inputs has the keys .1.; a dictionary"),
    (
        lambda: measure(nn.Linear(2, 2), draws(0, 2)),
        ValueError,
        r"inputs holds no numbers to measure with: \(0, 2\) float32",
    ),
    (lambda: measure(nn.Linear(2, 2), ()), ValueError, "inputs holds no numbers .*: none; give"),
    (
        lambda: measure(net(), draws(3, 5)),
        RuntimeError,
        r"shapes cannot be multiplied.*\n.*Net in training mode; inputs: \(3, 5\) float32",
    ),
    (
        lambda: measure(
            Using(lambda self, x: self.fc(x).argmax(), fc=nn.Linear(2, 2)), draws(2, 2)
        ),
        ValueError,
        "output of Using holds no floating-point tensor .torch.int64 came.; give loss=",
    ),
    (
        lambda: measure(Using(lambda _, x: x, fc=nn.Linear(2, 2)), draws(2, 2)),
        ValueError,
        "no layer of Using gave a floating-point tensor",
    ),
    (
        lambda: measure(net(), draws(3, 784), torch.tensor([1, 2, 10])),
        ValueError,
        "targets reach from 1 to 10, but the output of Net has 10 classes; they must be 0 to 9",
    ),
    (
        lambda: measure(net(), draws(3, 784), torch.ones(4).long()),
        ValueError,
        r"targets has shape \(4,\), which does not fit the output of Net, \(3, 10\).*: \(3,\) for",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), draws(3)),
        ValueError,
        r"targets has shape \(3,\), but the output of Linear has \(3, 1\).*targets\.long\(\)",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), [1, 2, 3]),
        TypeError,
        "targets is of type list; give a tensor, or a loss",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), draws(3, 1) > 0),
        ValueError,
        "targets is of type torch.bool; the loss by itself knows",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), loss="mse"),
        TypeError,
        "loss is 'mse'; it must be a function",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), loss=lambda y: y),
        ValueError,
        r"loss returned a tensor of shape \(3, 1\) and type float32; it must return one",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), loss=lambda y: y.sum().item()),
        ValueError,
        "loss returned .* of type float; it must return a tensor",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), histograms=-1),
        ValueError,
        "histograms is -1; it must be a whole number, at least 0",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), seed=0.5),
        ValueError,
        "seed is 0.5; it must be a whole number, at least 0",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), seed=2**64),
        ValueError,
        "seed is 18446744073709551616; it must be below 2⁶³",
    ),
    (
        lambda: measure(net(), draws(3, 784), torch.full((3,), -100)),
        ValueError,
        "targets are all -100, which is left out, so there is nothing to learn from",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), quantiles=(0.1, 2)),
        ValueError,
        r"quantiles is \(0.1, 2\); each must be a number in \[0, 1\]",
    ),
    (
        lambda: measure(nn.Linear(2, 1), draws(3, 2), jacobian=4),
        ValueError,
        "jacobian is 4, but the batch has 3 inputs",
    ),
    (
        lambda: measure(nn.Embedding(2, 1), torch.ones(3).long(), jacobian=1),
        ValueError,
        r"jacobian is 1, but the inputs hold no floating-point tensor .*\(3,\) int64",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_refused(call, error, message):
    """What cannot be measured is refused, with what came and what to do."""
    with pytest.raises(error, match=message):
        call()


def test_refuses_weights_without_gradients():
    """Weights made in inference mode cannot have gradients, and are refused."""
    with torch.inference_mode():
        model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"weight was made in torch.inference_mode\(\)"):
        measure(model, draws(2, 2))


# What a check-up needs


def test_inputs_of_layers():
    """Mean square of a layer's input, and the share that differs within the batch, by hand."""
    x = 3 + draws(40, 6)
    model = mlp(nn.ReLU())
    record = measure(model, x)["0"]
    assert record.input_second_moment == pytest.approx(x.double().square().mean().item(), rel=1e-6)
    spread = x.double().var(dim=0, correction=0).mean() / x.double().square().mean()
    assert record.input_spread == pytest.approx(spread.item(), rel=1e-6)
    assert measure(model, x)["2"].given_by == "1"
    assert measure(model, x)["1"].given_by == "0"
    assert record.given_by is None
    assert measure(model, x[:1].expand(5, 6))["0"].input_spread == 0
    assert math.isnan(measure(model, x[:1])["0"].input_spread)
    assert measure(model, torch.zeros(4, 6))["0"].input_spread == 0
    assert math.isnan(measure(model, x)["1"].input_second_moment)  # no weights
    images = draws(64, 3, 80, 80).contiguous(memory_format=torch.channels_last) + 1  # too many
    record = measure(nn.Conv2d(3, 2, 3), images)[0]
    assert record.input_spread == pytest.approx(0.5, abs=0.02)


def test_given_by_sees_through_functional_activations():
    """A layer behind a functional activation was given by the layer before it; an added one not."""
    model = Using(
        lambda m, x: m.c(F.relu(m.b(F.relu(m.a(x))) + 1)),
        a=nn.Linear(6, 6),
        b=nn.Linear(6, 6),
        c=nn.Linear(6, 2),
    )
    found = measure(model, draws(5, 6))
    assert [found[name].given_by for name in "abc"] == [None, "a", None]


def test_parameters():
    """On request, each parameter with its gradient, as autograd gives it."""
    model, x, y = mlp(nn.ReLU()), draws(40, 6), torch.arange(40) % 3
    assert measure(model, x, y).parameters == ()
    records = {p.name: p for p in measure(model, x, y, parameters=True).parameters}
    loss = F.cross_entropy(model(x), y)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
        record = records[name]
        assert record.layer == name.split(".")[0]
        assert record.shape == tuple(parameter.shape)
        assert record.second_moment == pytest.approx(parameter.double().square().mean().item())
        assert record.grad_second_moment == pytest.approx(gradient.double().square().mean().item())
    assert records["0.weight"].units == records["0.weight"].distinct == 8
    assert records["0.bias"].units == 0
    assert math.isnan(records["0.bias"].distinct)
    assert model[0].weight.grad is None


def test_parameters_of_odd_layers():
    """Units of embeddings and transposed convolutions; equal, frozen, unused, shared weights."""
    model = Using(
        lambda m, x: m.up(m.words(x).transpose(1, 2)),
        words=nn.Embedding(20, 4),
        up=nn.ConvTranspose1d(4, 6, 3),
        unused=nn.Linear(2, 2),
    )
    nn.init.constant_(model.up.weight, 0.5)
    model.words.weight.requires_grad_(requires_grad=False)
    found = measure(model, torch.randint(0, 20, (5, 7)), parameters=True)
    records = {p.name: p for p in found.parameters}
    assert records["words.weight"].units == 4
    assert not records["words.weight"].trained
    assert math.isnan(records["words.weight"].grad_second_moment)
    up = records["up.weight"]
    assert (up.units, up.distinct, up.grad_distinct, up.shared) == (6, 1, 6, pytest.approx(1))
    assert records["unused.weight"].trained
    assert math.isnan(records["unused.weight"].grad_second_moment)
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3)), nn.Linear(3, 2))
    layers = [p.layer for p in measure(model, draws(5, 4), parameters=True).parameters]
    assert layers == ["0", "0", "0", "1", "1"]
    only = parametrizations.weight_norm(nn.Linear(4, 3))
    names = {p.layer for p in measure(only, draws(5, 4), parameters=True).parameters}
    assert len(names) == 1


def test_the_output():
    """Shape, size and gradient of the output, and the loss if it were 0."""
    model, x, y = mlp(nn.ReLU()), draws(40, 6), torch.arange(40) % 3
    found = measure(model, x, y)
    output = model(x)
    (gradient,) = torch.autograd.grad(F.cross_entropy(output, y), output)
    assert found.output_shape == (40, 3)
    assert found.output_second_moment == pytest.approx(output.square().mean().item(), rel=1e-5)
    assert found.output_grad_sum == pytest.approx(gradient.abs().sum().item(), rel=1e-5)
    assert found.blank_loss == pytest.approx(math.log(3))
    assert math.isnan(measure(model, x).blank_loss)
