"""What the page "3. Variance backward" concludes, at reduced size."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import theory
from initguide.experiments import mean_interval
from initguide.propagation import measure

SHAPES = {"shrinking": [784, 256, 128, 128, 64, 10], "constant": [784, 128, 128, 128, 128, 10]}
RULES = {
    "fan-in": (init.he_normal(), lambda n, _m: 2 / n),
    "fan-out": (init.he_normal(mode="fan_out"), lambda _n, m: 2 / m),
    "mean": (init.xavier_normal(gain=2**0.5), lambda n, m: 4 / (n + m)),
}
SEEDS = range(10)


@pytest.fixture(scope="module")
def images(sample):
    """A few images, as they are."""
    return sample.train.images[:100]


def records_of(images, widths, scheme, seed):
    """One record a linear layer; N(0, 1) is sent back from the outputs."""
    net = initguide.initialize(initguide.mlp(widths), scheme, seed=seed)
    return [r for r in measure(net, images, seed=seed) if r.kind == "Linear"]


def mean_squares(images, widths, scheme):
    """Mean over seeds of the mean squares of the sums, and of their gradients."""
    every = [records_of(images, widths, scheme, seed) for seed in SEEDS]
    forward = np.array([[r.output_second_moment for r in records] for records in every])
    backward = np.array([[r.output_grad_var for r in records] for records in every])
    return forward.mean(0), backward.mean(0)


def predict(widths, variance, mean_square):
    """Mean squares of the sums and of their gradients, for ReLU; 1 at the outputs."""
    pairs = list(pairwise(widths))
    forward = []
    for n, m in pairs:
        forward.append(n * variance(n, m) * mean_square)
        mean_square = forward[-1] / 2
    backward = [1.0]
    for n, m in reversed(pairs[1:]):
        backward.insert(0, m * variance(n, m) / 2 * backward[0])
    return np.array(forward), np.array(backward)


@pytest.mark.parametrize("phi", [nn.Identity(), nn.Tanh(), nn.ReLU()], ids=str)
def test_what_activations_leave_of_a_gradient(phi):
    """An activation multiplies the mean square of a gradient by E[φ'(z)²]."""
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (slope,) = torch.autograd.grad(phi(z).sum(), z)
    measured = slope.square().mean().item()
    assert measured == pytest.approx(theory.backward_gain(phi) ** -2, rel=0.01)


def test_relu_takes_half_of_both_and_tanh_more_of_the_signal():
    """ReLU halves both; tanh takes less from the gradient than from the signal."""
    assert theory.backward_gain("relu") ** -2 == pytest.approx(0.5)
    assert theory.length_map(1.0, "relu", 1.0) == pytest.approx(0.5)
    assert theory.backward_gain("tanh") ** -2 > theory.length_map(1.0, "tanh", 1.0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_widths_predict_signals_and_gradients(images, shape, rule):
    """Backward, a layer multiplies the mean square by m · Var(w) · E[φ'(z)²]."""
    scheme, variance = RULES[rule]
    expected = predict(SHAPES[shape], variance, images.square().mean().item())
    found = mean_squares(images, SHAPES[shape], scheme)
    np.testing.assert_allclose(found[0], expected[0], rtol=0.4)  # ten outputs are few
    np.testing.assert_allclose(found[0][:-1], expected[0][:-1], rtol=0.2)
    np.testing.assert_allclose(found[1], expected[1], rtol=0.2)


def test_each_fan_holds_one_direction_level(images):
    """Fan-in holds signals level and fan-out gradients; the mean of both lies between."""
    found = {r: mean_squares(images, SHAPES["shrinking"], RULES[r][0]) for r in RULES}
    change = {r: (f[-2] / f[0], b[0] / b[-1]) for r, (f, b) in found.items()}
    assert change["fan-in"][0] == pytest.approx(1, rel=0.25)
    assert change["fan-out"][1] == pytest.approx(1, rel=0.25)
    assert change["fan-in"][0] < change["mean"][0] < change["fan-out"][0]
    assert change["fan-in"][1] < change["mean"][1] < change["fan-out"][1]


@pytest.mark.parametrize("depth", [3, 12])
def test_fan_in_costs_a_ratio_of_widths_whatever_the_depth(images, depth):
    """With fan-in gradients change by last width / first hidden width, however deep the network."""
    widths = [784, *[100 if i % 2 else 50 for i in range(depth)], 10]
    backward = mean_squares(images, widths, init.he_normal())[1]
    assert backward[0] / backward[-1] == pytest.approx(10 / 50, rel=0.3)


def test_wrong_factor_costs_in_every_layer(images):
    """1/n instead of 2/n costs a factor of 2 in every layer, forward and backward."""
    widths = [784, *[128] * 10, 128]
    forward, backward = mean_squares(images, widths, init.lecun_normal())
    assert np.log2(forward[0] / forward[-1]) == pytest.approx(10, abs=0.7)
    assert np.log2(backward[-1] / backward[0]) == pytest.approx(10, abs=0.7)


def test_constant_too_small_and_too_large(images):
    """Too small: both fade, each in its direction. Too large or constant: both grow."""
    for scheme, grows in (
        (init.normal(0.01), False),
        (init.normal(0.3), True),
        (init.constant(0.02), True),
    ):
        forward, backward = mean_squares(images, SHAPES["constant"], scheme)
        factor = 5 if grows else 1 / 5
        assert (forward[3] / forward[0] > factor) == grows
        assert (backward[0] / backward[3] > factor) == grows
    forward, backward = mean_squares(images, SHAPES["constant"], init.he_normal())
    assert forward[3] / forward[0] == pytest.approx(1, rel=0.25)
    assert backward[0] / backward[3] == pytest.approx(1, rel=0.25)


def test_gradients_of_weights_are_signal_times_gradient(images):
    """The gradient of a weight is as large as signal times gradient predict."""
    scheme, variance = RULES["fan-in"]
    mean_square = images.square().mean().item()
    forward, backward = predict(SHAPES["shrinking"], variance, mean_square)
    expected = len(images) * np.array([mean_square, *forward[:-1] / 2]) * backward
    every = [
        [r.weight_grad_var for r in records_of(images, SHAPES["shrinking"], scheme, seed)]
        for seed in range(30)
    ]
    ratio = (np.array(every) / expected).mean(1)
    mean, (low, high) = mean_interval(ratio, confidence=0.999)
    assert low < 1 < high
    assert mean == pytest.approx(1, abs=0.3)


def test_training_notices_the_size_and_not_the_fan(sample):
    """Too small weights make all the difference; which fan is taken none that four seeds show."""
    result = initguide.compare_init_weights(
        {"small": init.normal(0.01), "in": RULES["fan-in"][0], "out": RULES["fan-out"][0]},
        sample.subset(train=2000, valid=500, test=10),
        model=lambda: initguide.mlp(SHAPES["shrinking"]),
        epochs=3,
        optimizer="momentum",
        learning_rate=0.01,
        seeds=4,
        progress=False,
    )
    assert result.difference("in", "small").verdict(margin=0.2) == "higher"
    assert not result.difference("in", "out").excludes_zero
    assert abs(result.difference("in", "out").mean) < 0.06
