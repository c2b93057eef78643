"""What "The residual stream" concludes, at reduced size."""

import math

import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide.models import GPT
from initguide.theory import transformer_moments

WIDTH, DEPTH = 64, 12
GPT2 = 768 * 0.02**2  # width times variance of GPT-2's weights
ENDS = ["blocks.*.branches.0.out", "blocks.*.branches.1.2"]
CASES = {
    "plain": ("pre", GPT2, False),
    "scaled": ("pre", GPT2, True),
    "post": ("post", GPT2, False),
    "large": ("pre", 1.0, False),
}


def scheme(size, *, scaled):
    """Weights of variance size/width, embeddings of 0.02, and scaled branches."""
    weights, small = init.normal(math.sqrt(size / WIDTH)), init.normal(0.02)

    def base(module):
        (small if isinstance(module, nn.Embedding) else weights)(module)

    return init.residual_scaled(base, last=ENDS) if scaled else base


@pytest.fixture(scope="module")
def streams(few):
    """Mean squares of the stream, and of gradients relative to the last, of 2 seeds each."""
    found = {}
    for name, (norm, size, scaled) in CASES.items():
        sizes, slopes = [], []
        for seed in range(2):
            net = initguide.initialize(
                GPT(WIDTH, DEPTH, norm), scheme(size, scaled=scaled), seed=seed
            )
            stream = net.stream(few[0])
            draws = torch.Generator().manual_seed(100 + seed)
            last = torch.randn(stream[-1].shape, generator=draws)
            back = torch.autograd.grad((stream[-1] * last).sum(), stream)
            sizes.append([x.square().mean().item() for x in stream])
            slopes.append([x.square().mean().item() for x in back])
        found[name] = torch.tensor(sizes).mean(0), torch.tensor(slopes).mean(0)
    return found


def test_pre_norm_stream_grows_in_proportion_to_depth(streams):
    """Twice the blocks, twice the mean square; with 1/√(2N), a 24th of it at twelve blocks."""
    plain, scaled = streams["plain"][0], streams["scaled"][0]
    assert (plain[12] / plain[6]).item() == pytest.approx(2, rel=0.3)
    assert (plain[12] / scaled[12]).item() == pytest.approx(24, rel=0.3)


def test_first_block_outgrows_small_embeddings(streams):
    """Also where branches are scaled: the factor does not hold the stream where it was."""
    for name in ("plain", "scaled"):
        assert streams[name][0][1] > 4 * streams[name][0][0]


def test_gradients_grow_towards_the_input_in_pre_norm_blocks_only(streams):
    """By several times after twelve blocks, for small weights and large; not in post-norm."""
    for name in ("plain", "scaled", "large"):
        assert streams[name][1][1] > 3
    assert 0.6 < streams["post"][1][1] < 1.2


@pytest.mark.parametrize("name", CASES)
def test_prediction(streams, few, name):
    """Two narrow networks stray from it by up to a third, while the numbers span decades."""
    norm, size, scaled = CASES[name]
    last = size / (2 * DEPTH) if scaled else size
    expected = transformer_moments(few[0], DEPTH, weights=size, last=last, norm=norm)
    sizes, slopes = streams[name]
    assert sizes.tolist() == pytest.approx(expected.stream.mean((1, 2)).tolist(), rel=0.35)
    assert slopes[1:].tolist() == pytest.approx(expected.gradients[1:].tolist(), rel=0.35)
