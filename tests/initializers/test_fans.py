"""Fan-in and fan-out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from initguide.initializers import fans

FANS = [
    (nn.Linear(784, 256), 784, 256),
    (nn.Conv1d(3, 5, 7), 21, 35),
    (nn.Conv2d(16, 32, 3), 144, 288),
    (nn.Conv2d(2, 4, (3, 5)), 30, 60),
    (nn.Conv2d(2, 4, 3, dilation=2), 18, 36),
    (nn.Conv3d(2, 3, (1, 2, 3)), 12, 18),
    (nn.Conv2d(16, 32, 3, groups=4), 36, 72),
    (nn.Conv2d(8, 8, 3, groups=8), 9, 9),
    (nn.ConvTranspose1d(4, 6, 3), 12, 18),
    (nn.ConvTranspose2d(4, 6, 4, stride=2), 16, 96),
    (nn.ConvTranspose2d(4, 6, 3, stride=2), 9, 54),
    (nn.ConvTranspose2d(3, 5, 3, stride=2), 6.75, 45),
    (nn.ConvTranspose2d(4, 8, 3, groups=2), 18, 36),
    (nn.ConvTranspose3d(2, 4, 2, stride=2), 2, 32),
]


@pytest.mark.parametrize(("layer", "fan_in", "fan_out"), FANS, ids=repr)
def test_fans_counted_by_hand(layer, fan_in, fan_out):
    """The table of the docstring, in numbers."""
    assert fans(layer) == (fan_in, fan_out)


def _measured_fans(layer):
    """Count by running a layer of ones on ones: terms an output sums, outputs an input reaches.

    Where it is far from the edges; averaged over one period of a transposed layer's stride.
    """
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.bias.fill_(0)
    if isinstance(layer, nn.Linear):
        x = torch.ones(1, layer.in_features, dtype=torch.float64, requires_grad=True)
        middle_in = middle_out = (slice(None),)
    else:
        dimensions = len(layer.kernel_size)
        shape = (1, layer.in_channels, *[16] * dimensions)
        x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
        middle_in = (..., *[slice(6, 10)] * dimensions)
        middle_out = (..., *[slice(6, 12)] * dimensions)  # six: a multiple of strides 1, 2 and 3
    y = layer.double()(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    return y[middle_out].mean().item(), grad[middle_in].mean().item()


@pytest.mark.parametrize(("layer", "fan_in", "fan_out"), FANS, ids=repr)
def test_fans_measured(layer, fan_in, fan_out):
    """What an interior output of a layer of ones sums, and how far an interior input reaches."""
    assert _measured_fans(layer) == pytest.approx((fan_in, fan_out), rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(
    transposed=st.booleans(),
    groups=st.integers(1, 3),
    per_group=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_fans_measured_for_any_shape(transposed, groups, per_group, kernel, stride):
    """Measured and computed fans agree whatever the channels, groups, kernel and stride."""
    channels = [groups * number for number in per_group]
    if transposed:
        layer = nn.ConvTranspose2d(*channels, kernel, stride=stride, groups=groups)
    else:
        layer = nn.Conv2d(*channels, kernel, groups=groups)  # the fan-out holds at stride 1
    assert _measured_fans(layer) == pytest.approx(fans(layer), rel=1e-12)


def test_fans_of_a_strided_convolution_are_not_divided():
    """As the docstring says: stride changes the fans of transposed convolutions alone."""
    assert fans(nn.Conv2d(3, 4, 3, stride=2)) == fans(nn.Conv2d(3, 4, 3)) == (27, 36)


def test_fans_of_an_embedding():
    """An embedding looks one row up, whatever their number."""
    assert fans(nn.Embedding(1000, 16)) == (1, 16)


@pytest.mark.parametrize("module", [nn.ReLU(), nn.BatchNorm1d(3), nn.Bilinear(2, 3, 4)], ids=repr)
def test_fans_of_other_modules(module):
    """A module without fans is refused by its name."""
    with pytest.raises(TypeError, match=rf"known for linear.* not for {type(module).__name__}"):
        fans(module)
