"""The small GPT: what sees what, and where it is normalized."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide.models import GPT, CausalAttention, TransformerBlock


def draws(*shape):
    """Numbers from N(0, 1)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_attention_against_torch():
    """The same as torch's layer with the same weights and a causal mask."""
    ours, x = CausalAttention(12, 3), draws(2, 5, 12)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight.data, ours.qkv.bias.data
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = (
        ours.out.weight.data,
        ours.out.bias.data,
    )
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    expected, _ = theirs(x, x, x, attn_mask=mask, is_causal=True)
    torch.testing.assert_close(ours(x), expected)


@pytest.mark.parametrize("norm", ["pre", "post", "none"])
def test_block_is_the_formula(norm):
    """Each branch is normalized before, behind the sum, or not at all."""
    block, x = TransformerBlock(8, 2, norm), draws(2, 5, 8)
    expected = x
    for branch in block.branches:
        if norm == "pre":
            expected = expected + branch(F.layer_norm(expected, (8,)))
        elif norm == "post":
            expected = F.layer_norm(expected + branch(expected), (8,))
        else:
            expected = expected + branch(expected)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("norm", ["pre", "post", "none"])
def test_no_token_sees_the_next(norm):
    """Another last token changes nothing before it."""
    torch.manual_seed(0)
    net, tokens = GPT(8, 2, norm, levels=5, length=6, heads=2), torch.arange(12).reshape(2, 6) % 5
    other = tokens.clone()
    other[:, -1] = 5
    a, b = net(tokens), net(other)
    assert a.shape == (2, 5, 6)
    torch.testing.assert_close(a[..., :-1], b[..., :-1])
    assert not torch.allclose(a[..., -1], b[..., -1])


def test_head_and_stream():
    """A tied head is the embedding, another one a layer; the stream has a stop more than blocks."""
    tokens = torch.zeros(1, 49, dtype=torch.long)
    tied, own = GPT(8, 3), GPT(8, 3, tied=False)
    assert tied.head is None
    assert own.head.weight.shape == (17, 8)
    assert sum(p.numel() for p in own.parameters()) - 17 * 8 == sum(
        p.numel() for p in tied.parameters()
    )
    stream = tied.stream(tokens)
    assert len(stream) == 4
    end = tied.last_norm(stream[-1])
    torch.testing.assert_close(tied(tokens), (end @ tied.tokens.weight.T)[..., :16].mT)


def test_refused():
    """Heads that do not share the width, and unknown places of a normalization."""
    with pytest.raises(ValueError, match="width is 10; it must be a multiple of heads, which is 4"):
        CausalAttention(10)
    with pytest.raises(ValueError, match="norm is 'before'; it must be 'pre', 'post' or 'none'"):
        GPT(8, 1, "before")
