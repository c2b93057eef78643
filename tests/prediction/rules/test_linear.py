"""Linear layers: biases count, and weights that are not drawn independently are told."""

import math
import re

import pytest
import torch
import torch.nn.functional as F

import initguide
from initguide import initializers as init
from initguide import theory


def test_default_counts_biases(images):
    """PyTorch's default has random biases: E[b²] is in the prediction."""
    net = initguide.initialize(initguide.Net(), "default", seed=0).eval()
    first = theory.predict_variances(net, images)["fc1"].second_moment
    exact = 784 * net.fc1.weight.double().square().mean() * images.double().square().mean()
    exact += net.fc1.bias.double().square().mean()
    assert first == pytest.approx(float(exact.detach()), rel=1e-6)


@pytest.mark.parametrize("scheme", ["ones()", "constant(0.1)", "uniform()", "normal(1.0)"])
def test_weights_with_a_mean_are_not_guessed(scheme, images):
    """Constants and U[0, 1) are declared unpredictable; the next layer starts from what is."""
    net = initguide.initialize(initguide.Net(), "he_normal", seed=0).eval()
    init.from_name(scheme)(net.fc1)
    table = theory.predict_variances(net, images)
    if scheme == "normal(1.0)":
        assert table["fc1"].predicted
        return
    assert [r.predicted for r in table] == [False, True, True]
    assert math.isnan(table["fc1"].second_moment)
    assert math.isnan(float(table["fc1"]))
    assert re.match(r"its weights have mean .*, not 0", table["fc1"].reason)
    assert table["fc2"].basis == "what was measured after fc1, then relu"
    hidden = F.relu(net.fc1(images.flatten(1))).double().square().mean()
    exact = 256 * net.fc2.weight.double().square().mean() * hidden
    assert table["fc2"].second_moment == pytest.approx(float(exact.detach()), rel=1e-5)
    assert "–" in str(table)
    assert "from what was measured after fc1, then relu" in str(table)


def test_zeros_and_structured_weights(images):
    """Zeros are predicted; equal units and weights that pick out some inputs are refused."""
    net = initguide.initialize(initguide.Net(), "zeros").eval()
    assert [r.second_moment for r in theory.predict_variances(net, images)] == [0, 0, 0]
    net = initguide.initialize(net, "he_normal", seed=0)
    with torch.no_grad():
        net.fc1.weight[:] = net.fc1.weight[:1] - net.fc1.weight[:1].mean()
        net.fc2.weight[:] = torch.linspace(-1, 1, 128)[:, None]
        net.fc3.weight[:] = torch.eye(10, 128)
    reasons = [r.reason for r in theory.predict_variances(net, images)]
    assert reasons == [
        "the weights of an input are alike, not drawn independently of each other",
        "the weights of a unit are alike, not drawn independently of each other",
        "its weights single out some of its inputs",
    ]
