"""Hidden layers of one's own making."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide.models import Gated, Maxout, Normalized, NormalizedMLP, of_blocks


def draws(*shape):
    """Numbers from N(0, 1)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_formulas():
    """A gate multiplies, maxout takes the larger neighbour, batch norm stands in between."""
    x = draws(6, 4)
    gated, maxout, normalized = Gated(4, 3), Maxout(4, 3), Normalized(4, 3)
    torch.testing.assert_close(gated(x), gated.value(x) * gated.gate(x).sigmoid())
    z = maxout.linear(x)
    torch.testing.assert_close(maxout(x), torch.maximum(z[:, ::2], z[:, 1::2]))
    z = normalized.linear(x)
    torch.testing.assert_close(normalized(x), F.batch_norm(z, None, None, training=True).relu())


@pytest.mark.parametrize("block", [Gated, Maxout, Normalized])
def test_network_of_blocks(block):
    """The first block takes the pixels, the others the units before them."""
    net = of_blocks(block, 3, inputs=9, units=5)
    assert [type(part) for part in net] == [nn.Flatten, block, block, block, nn.Linear]
    assert net(draws(4, 1, 3, 3)).shape == (4, 10)


def test_normalized_network():
    """Three hidden layers, whose scale the normalization takes out; no layer has a bias."""
    net, x = NormalizedMLP(nn.LayerNorm, width=16, inputs=9), draws(4, 9)
    before = net(x)
    for hidden in (net.first, net.second, net.third):
        assert [type(part) for part in hidden] == [nn.Linear, nn.LayerNorm, nn.ReLU]
        assert hidden[0].bias is None
        hidden[0].weight.data *= 100
    assert before.shape == (4, 10)
    torch.testing.assert_close(net(x), before, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("norm", "view", "over"),
    [("batch", (6, 16), 0), ("layer", (6, 16), 1), ("group", (6, 4, 4), 2), ("RMS", (6, 16), 1)],
)
def test_normalizations_by_name(norm, view, over):
    """What each normalizes over: the batch, all units, or four groups; RMS subtracts no mean."""
    x = 3 * draws(6, 16) + 1
    parts = x.view(view)
    if norm != "RMS":
        parts = parts - parts.mean(over, keepdim=True)
    expected = (parts / parts.square().mean(over, keepdim=True).sqrt()).view(6, 16)
    normalize = NormalizedMLP(norm, width=16).eval().second[1]
    torch.testing.assert_close(normalize(x), expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(NormalizedMLP("none", width=16).second[1](x), x)


def test_unknown_normalization():
    """The message lists the names."""
    with pytest.raises(ValueError, match=r"norm is 'weight'.*'batch'.*'RMS'"):
        NormalizedMLP("weight")
