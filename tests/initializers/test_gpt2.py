"""GPT-2's start, layer by layer."""

import math

import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide.models import GPT

ENDS = ["blocks.*.branches.0.out", "blocks.*.branches.1.2"]
SIZE = 768 * 0.02**2


class _Tied(nn.Module):
    """An embedding of 500 tokens, a layer, and a head with the embedding's weight."""

    def __init__(self):
        super().__init__()
        self.tokens, self.layer = nn.Embedding(500, 300), nn.Linear(300, 300)
        self.head = nn.Linear(300, 500, bias=False)
        self.head.weight = self.tokens.weight


def close(weight, std):
    """Within four of its standard errors, 1/√(2n) of it."""
    return weight.std().item() == pytest.approx(std, rel=4 / math.sqrt(2 * weight.numel()))


@pytest.mark.parametrize(("width", "depth"), [(64, 3), (192, 2)])
def test_each_layer_gets_what_gpt2_gave(width, depth):
    """√(size/width), divided by √(2 · blocks) at the ends of branches; 0.02; biases 0."""
    net = initguide.initialize(GPT(width, depth, tied=False), init.gpt2(last=ENDS), seed=0)
    for block in net.blocks:
        attention, (first, _, second) = block.branches
        for layer in (attention.qkv, first):
            assert close(layer.weight, math.sqrt(SIZE / width))
        for layer in (attention.out, second):
            assert close(layer.weight, math.sqrt(SIZE / width / (2 * depth)))
            assert not layer.bias.any()
    assert close(net.tokens.weight, 0.02)
    assert close(net.positions.weight, 0.02)


def test_at_its_own_width_all_weights_are_0_02():
    """The number that GPT-2 is known for."""
    layer = nn.Linear(768, 4 * 768)
    net = nn.Sequential(layer, nn.Linear(4 * 768, 768))
    initguide.initialize(net, init.gpt2(last="1", factor=0.5), seed=0)
    assert close(layer.weight, 0.02)
    assert close(net[1].weight, 0.01)


def test_arguments():
    """Another size, another embedding, branches left alone: from the same random numbers."""
    nets = [
        initguide.initialize(GPT(32, 2), init.gpt2(last=ENDS, **given), seed=0)
        for given in ({}, {"size": 4 * SIZE, "embedding": 1.0, "factor": 1})
    ]
    plain, other = (dict(net.named_parameters()) for net in nets)
    for name, weight in plain.items():
        if weight.ndim == 2:
            end = name.endswith(("out.weight", "1.2.weight"))
            factor = 50 if name in ("tokens.weight", "positions.weight") else 2 * (2 if end else 1)
            torch.testing.assert_close(other[name], factor * weight)


def test_a_tied_head_keeps_the_size_of_embeddings():
    """Its linear layer comes after the embedding and would fill their weight again."""
    net = initguide.initialize(_Tied(), init.gpt2(embedding=0.5, last="layer"), seed=0)
    assert net.head.weight is net.tokens.weight
    assert close(net.tokens.weight, 0.5)
    assert close(net.layer.weight, math.sqrt(SIZE / 300))


def test_torch_blocks_are_known():
    """Without ``last``; packed projections are three layers."""
    block = nn.TransformerEncoderLayer(128, 4)
    initguide.initialize(nn.Sequential(block, nn.TransformerEncoderLayer(128, 4)), "gpt2", seed=0)
    assert close(block.self_attn.in_proj_weight, math.sqrt(SIZE / 128))
    assert close(block.linear2.weight, math.sqrt(SIZE / 128 / 4))


def test_written_and_refused():
    """It is known by name, and says what is wrong; the model is then left as it was."""
    assert repr(init.gpt2(0.5, last="x.*")) == (
        "gpt2(size=0.5, embedding=0.02, factor=None, last='x.*')"
    )
    assert init.INITIALIZERS["gpt2"] is init.gpt2
    for given, message in (
        ({"size": 0}, "size is 0; it must be finite and above 0"),
        ({"embedding": -1}, "embedding is -1; it must be finite and above 0"),
        ({"factor": 0}, "factor is 0; it must be finite and above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            init.gpt2(**given)
    net = GPT(8, 1)
    before = net.tokens.weight.clone()
    with pytest.raises(ValueError, match="no residual branch was recognised in GPT"):
        initguide.initialize(net, "gpt2")
    assert torch.equal(net.tokens.weight, before)
