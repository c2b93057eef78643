"""Convolutional networks: shapes of what they take and give."""

import torch
from torch import nn

from initguide.models import hourglass, plain_cnn, small_cnn


def kinds(net):
    """Name the kinds of the layers."""
    return [type(layer).__name__ for layer in net]


def test_small():
    """28 × 28 pixels to ten scores, over 14 × 14 and 7 × 7."""
    net, x = small_cnn(), torch.zeros(3, 1, 28, 28)
    assert net[:2](x).shape == (3, 8, 14, 14)
    assert net[:4](x).shape == (3, 16, 7, 7)
    assert net(x).shape == (3, 10)


def test_plain():
    """As many convolutions as asked for, each with its activation, all of one size."""
    net = plain_cnn(nn.ReLU, 4, depth=3, pixels=25)
    assert kinds(net) == ["Conv2d", "ReLU"] * 3 + ["Flatten", "Linear"]
    assert net[:6](torch.zeros(2, 1, 5, 5)).shape == (2, 4, 5, 5)
    assert net(torch.zeros(2, 1, 5, 5)).shape == (2, 10)
    assert sum(isinstance(layer, nn.Conv2d) for layer in plain_cnn()) == 50


def test_hourglass():
    """Depthwise and pointwise convolutions keep the image, transposed ones double it."""
    net = hourglass(8, separable=2, transposed=3)
    assert kinds(net)[::2] == ["Conv2d"] * 5 + ["ConvTranspose2d"] * 3
    assert [layer.groups for layer in net[:10:2]] == [1, 8, 1, 8, 1]
    assert net[:10](torch.zeros(2, 1, 7, 7)).shape == (2, 8, 7, 7)
    assert net(torch.zeros(2, 1, 7, 7)).shape == (2, 1, 56, 56)
