"""Linear layers: biases count, and weights that are not drawn independently are told."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

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


class _Conv1D(nn.Module):
    """A linear layer whose weights have the inputs first, as in transformers."""

    def __init__(self, layer):
        super().__init__()
        self.weight, self.bias = nn.Parameter(layer.weight.detach().T.clone()), layer.bias

    def forward(self, x):
        out = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return out.view(*x.size()[:-1], out.size(-1))


def test_weights_with_the_inputs_first():
    """The prediction is that of `nn.Linear` with the same weights, and names the module."""
    torch.manual_seed(0)
    layers = nn.Linear(12, 40), nn.Linear(40, 8)
    x = torch.randn(30, 5, 12)
    plain = theory.predict_variances(nn.Sequential(layers[0], nn.ReLU(), layers[1]), x)
    other = theory.predict_variances(
        nn.Sequential(_Conv1D(layers[0]), nn.ReLU(), _Conv1D(layers[1])), x
    )
    assert [(p.name, p.kind) for p in other] == [("0", "_Conv1D"), ("2", "_Conv1D")]
    for mine, theirs in zip(other, plain, strict=True):
        assert mine.predicted
        assert mine.second_moment == pytest.approx(theirs.second_moment)


def test_a_product_of_two_signals_is_no_layer():
    """What is multiplied by another signal is not predicted."""

    class Both(nn.Module):
        def forward(self, x):
            return torch.addmm(torch.zeros(30), x, 2 * x.t())

    (last,) = theory.predict_variances(
        nn.Sequential(nn.Linear(12, 12), Both()), torch.randn(30, 12)
    )[1:]
    assert not last.predicted
