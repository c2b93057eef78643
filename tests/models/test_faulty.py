"""The network with planted faults has them."""

import torch

from initguide.models import Classifier


def test_faults():
    """Equal channels, shut units, small weights in the body and large ones at the end."""
    torch.manual_seed(0)
    net = Classifier()
    assert (net.conv2.weight == 1 / 72).all()
    assert (net.project.bias == -3).all()
    for layer in net.body:
        assert 0.009 < layer.weight.std() < 0.011
        assert (layer.bias == 0).all()
    assert 0.9 < net.head.weight.std() < 1.1


def test_reset_plants_them_again():
    """After training, say."""
    net = Classifier()
    with torch.no_grad():
        for parameter in net.body.parameters():
            parameter.fill_(1.0)
    net.reset()
    assert net.body[0].weight.std() < 0.02
    assert (net.body[4].bias == 0).all()
    assert net(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
