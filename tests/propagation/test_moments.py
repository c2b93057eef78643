"""Moments of layers, outputs and gradients: against plain hooks, NumPy and pencil and paper."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import initguide
from initguide.propagation import VALUES, measure


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


def test_against_plain_hooks(lesson_net, sample):
    """All moments of the lesson's network equal those that hooks on a copy see."""
    model = lesson_net(dropout=0.0)
    images, labels = sample.train.images[:64], sample.train.labels[:64]
    found = measure(model, images, labels)
    check_against(found, independent(model, lambda m: F.cross_entropy(m(images), labels)))
    assert found.loss == pytest.approx(F.cross_entropy(model(images), labels).item(), rel=1e-6)
    assert found.loss_name == "cross-entropy"


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_convolutions_with_in_place_relu(draws, training, inplace):
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
    assert [record.kind for record in found] == [
        "Conv2d",
        "ReLU",
        "Conv2d",
        "BatchNorm2d",
        "ReLU",
        "Flatten",
        "Linear",
    ]
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


@given(
    mean=st.floats(-1e4, 1e4),
    std=st.sampled_from([0.0, 1e-3, 1.0, 1e3]),
    shape=st.sampled_from([(3, 5), (2, 4, 3, 3), (4, 2, 5), (7,), (1, 1)]),
    swap=st.booleans(),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_moments_of_any_tensor(draws, *, mean, std, shape, swap, seed):
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


def test_blocks(draws, monkeypatch):
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(draws, dtype):
    """Half precision is measured in double: moments fit, and different units stay different."""
    model = initguide.initialize(nn.Linear(64, 300), "normal", seed=0).to(dtype)
    inputs = draws(50, 64, dtype=dtype)
    (record,) = measure(model, inputs)
    output = model(inputs).double()
    assert record.output_var == pytest.approx(output.var(correction=0).item(), rel=1e-9)
    assert record.output_mean == pytest.approx(output.mean().item(), rel=1e-6, abs=1e-9)
    assert record.distinct_units == 300
    assert record.output_grad_var == pytest.approx(1, abs=0.05)


def test_values_that_are_not_finite(draws, lesson_net):
    """Infinities and NaN are results, as they are."""
    model = lesson_net("constant(1e30)")
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


def test_inputs_of_layers(draws, two_layers):
    """Mean square of a layer's input, and the share that differs within the batch, by hand."""
    x = 3 + draws(40, 6)
    model = two_layers(nn.ReLU())
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
