"""Fixup, as its paper writes it down."""

import math

import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide.models import FixupBlock, residual_net


class _Deep(nn.Module):
    """A block with three layers in its branch, inside another module."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(*(nn.Linear(50, 50) for _ in range(3)))

    def forward(self, x):
        return x + self.inner(x)


@pytest.mark.parametrize(("block", "layers"), [(FixupBlock, 2), (lambda _: _Deep(), 3)])
@pytest.mark.parametrize("depth", [1, 9])
def test_weights_are_those_of_the_paper(block, layers, depth):
    """L^(-1/(2m-2)) times He's in a branch, its last layer 0, and the classifier 0."""
    net = residual_net(block, width=50, depth=depth)
    he = initguide.initialize(residual_net(block, width=50, depth=depth), "he_normal", seed=0)
    initguide.initialize(net, init.fixup(), seed=0)
    assert torch.equal(net.stem.weight, he.stem.weight)
    assert not net.head.weight.any()
    for ours, theirs in zip(net.blocks, he.blocks, strict=True):
        *others, last = [m for m in ours.modules() if isinstance(m, nn.Linear)]
        plain = [m for m in theirs.modules() if isinstance(m, nn.Linear)]
        assert not last.weight.any()
        for layer, he_layer in zip(others, plain, strict=False):
            factor = depth ** (-1 / (2 * layers - 2))
            assert torch.allclose(layer.weight, factor * he_layer.weight)


def test_the_network_starts_as_its_trunk():
    """Branches give 0, so the stream is the stem's output at any depth, and the loss is ln 10."""
    net = initguide.initialize(residual_net(FixupBlock, depth=30), "fixup", seed=0)
    x = torch.randn(20, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    stem = net.stem(net.flatten(x))
    assert torch.allclose(net.blocks(stem), stem)
    loss = nn.functional.cross_entropy(net(x), torch.arange(20) % 10)
    assert loss.item() == pytest.approx(math.log(10))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("layers.*", r"^blocks='layers\.\*' fits no module of Sequential; name its residual"),
        ("flatten", r"^blocks='flatten' fits a module without layers that have weights$"),
    ],
)
def test_patterns_that_do_not_fit(pattern, message):
    """The model is left as it was."""
    net = residual_net(FixupBlock, depth=2)
    before = net.stem.weight.clone()
    with pytest.raises(ValueError, match=message):
        initguide.initialize(net, init.fixup(pattern))
    assert torch.equal(net.stem.weight, before)


def test_it_is_known_by_name():
    """Nothing but the file was added: the registry finds it."""
    assert "fixup" in init.INITIALIZERS
    assert repr(init.from_name("fixup('layers.*')")) == "fixup(blocks='layers.*')"
    with pytest.raises(ValueError, match=r"did you mean 'fixup'\?"):
        init.from_name("fixupp")
