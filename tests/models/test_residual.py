"""Residual networks: what is added to what."""

import pytest
import torch
from torch import nn

from initguide.models import FixupBlock, ResidualBlock, residual_net


def draws(*shape):
    """Numbers from N(0, 1)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_block_is_the_formula():
    """X plus two layers, each behind a ReLU."""
    block, x = ResidualBlock(6), draws(4, 6)
    first, last = block.branch.first, block.branch.last
    torch.testing.assert_close(block(x), x + last(torch.relu(first(torch.relu(x)))))


def test_normalization_comes_before_each_relu():
    """Two normalizations a block, in front of what they prepare."""
    names = [name for name, _ in ResidualBlock(6, nn.LayerNorm).branch.named_children()]
    assert names == ["norm0", "relu0", "first", "norm1", "relu1", "last"]


def test_fixup_block_is_the_formula():
    """Four numbers that are added and one that scales; at first 0 and 1."""
    block, x = FixupBlock(6), draws(4, 6)
    plain = x + block.last(torch.relu(block.first(torch.relu(x))))
    torch.testing.assert_close(block(x), plain)
    with torch.no_grad():
        block.add.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
        block.scale.fill_(2.0)
    h = block.first(torch.relu(x + 0.1) + 0.2)
    torch.testing.assert_close(block(x), x + 2 * block.last(torch.relu(h + 0.3) + 0.4))


@pytest.mark.parametrize("block", [ResidualBlock, FixupBlock])
def test_network(block):
    """So many blocks of so many units, between a stem and a head."""
    net = residual_net(block, inputs=9, width=5, depth=3)
    assert [name for name, _ in net.named_children()] == [
        "flatten",
        "stem",
        "blocks",
        "relu",
        "head",
    ]
    assert len(net.blocks) == 3
    assert all(isinstance(made, block) for made in net.blocks)
    assert net(draws(4, 1, 3, 3)).shape == (4, 10)


def test_a_network_of_zero_branches_is_shallow():
    """With the last layers at 0, the stream passes all blocks unchanged."""
    net, x = residual_net(depth=4), draws(3, 1, 14, 14)
    for made in net.blocks:
        nn.init.zeros_(made.branch.last.weight)
        nn.init.zeros_(made.branch.last.bias)
    torch.testing.assert_close(net(x), net.head(torch.relu(net.stem(x.flatten(1)))))
