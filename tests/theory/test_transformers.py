"""The residual stream of a transformer, against formulas, drawn matrices and a network."""

import numpy as np
import pytest
import torch

import initguide
from initguide import initializers as init
from initguide.models import GPT
from initguide.theory import gain, transformer_moments

ENDS = ["blocks.*.branches.0.out", "blocks.*.branches.1.2"]


@pytest.mark.parametrize(("weights", "last"), [(0.3, None), (0.3, 0.02), (2.0, 0.1)])
def test_one_token_before_relu(weights, last):
    """With one token: S + w l, then S + 2 w l a block, and each branch's gradient over its S."""
    found = transformer_moments(
        [[3]], 4, weights=weights, last=last, embedding=0.1, norm="pre", phi="relu"
    )
    product = weights * (weights if last is None else last)
    sizes, slope = [2 * 0.1**2], 1.0
    for _ in range(4):
        sizes.append(sizes[-1] + 3 * product)
    slopes = [slope]
    for size in sizes[-2::-1]:
        # E[relu'²] is 1/2, and there are 4 times as many units; the layers see S + w l
        slope *= (1 + 2 * product / (size + product)) * (1 + product / size)
        slopes.insert(0, slope)
    np.testing.assert_allclose(found.stream[:, 0, 0], sizes, rtol=1e-9)
    np.testing.assert_allclose(found.gradients, slopes, rtol=1e-9)


def test_one_token_post_norm():
    """The sum is normalized twice a block: S is 1, and gradients are (1 + slope²) / S each time."""
    found = transformer_moments([[0]], 3, weights=0.5, embedding=1.0, norm="post", phi="relu")
    np.testing.assert_allclose(found.stream[:, 0, 0], [2, 1, 1, 1], rtol=1e-12)
    # attention maps what comes, S, to S (1 + w²), and the layers map 1 to 1 + 2 w²
    block = (1 + 0.25) / (1 + 0.25) * (1 + 0.5) / (1 + 0.5)
    np.testing.assert_allclose(found.gradients[1:], [block**2, block, 1], rtol=1e-9)
    np.testing.assert_allclose(found.gradients[0], 1 / 2, rtol=1e-9)  # the first sum is 2 (1 + w²)


def test_attention_averages_what_came_before():
    """Two tokens: the second sees the mean of both, whose square depends on whether they agree."""
    for tokens, cosine in ([[0, 0]], 0.5), ([[0, 1]], 0.0):
        found = transformer_moments(tokens, 1, weights=0.4, embedding=0.3, phi="linear")
        # what is left without the embeddings and without two linear layers, 4 w l
        first, second = found.stream[1, 0] - 2 * 0.3**2 - 4 * 0.4**2
        assert first == pytest.approx(0.4**2)
        assert second == pytest.approx(0.4**2 * (1 + cosine) / 2)


def test_gelu_adds_what_its_gain_says():
    """The layers' branch adds 4 l E[φ(√w z)²] at the first token, which sees only itself."""
    found = transformer_moments([[0, 1, 2]], 1, weights=0.3, last=0.05)
    square = gain(lambda x: torch.nn.functional.gelu(0.3**0.5 * x)) ** -2
    expected = 2 * 0.02**2 + 0.3 * 0.05 + 4 * 0.05 * square
    assert found.stream[1, 0, 0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("scaled", [True, False])
def test_against_a_gpt(assert_mean, norm, scaled):
    """Forward and back, over 16 draws of the weights; layers of 128 units are not quite wide."""
    width, depth, weights = 128, 4, 0.3
    tokens = torch.randint(0, 5, (6, 20), generator=torch.Generator().manual_seed(0))

    plain, small = init.normal((weights / width) ** 0.5), init.normal(0.1)

    def base(module):
        (small if isinstance(module, torch.nn.Embedding) else plain)(module)

    sizes, slopes = [], []
    for seed in range(16):
        net = GPT(width, depth, norm, levels=5, length=20)
        scheme = init.residual_scaled(base, last=ENDS) if scaled else base
        stream = initguide.initialize(net, scheme, seed=seed).stream(tokens)
        draws = torch.Generator().manual_seed(100 + seed)
        end = torch.randn(stream[-1].shape, generator=draws)
        back = torch.autograd.grad((stream[-1] * end).sum(), stream)
        sizes.append([x.square().mean(2).mean(0).tolist() for x in stream])
        slopes.append([x.square().mean().item() for x in back])
    found = transformer_moments(
        tokens,
        depth,
        weights=weights,
        last=weights / (2 * depth) if scaled else None,
        embedding=0.1,
        norm=norm,
    )
    slopes = np.array(slopes)
    assert_mean(sizes, found.stream.mean(1), bias=0.06)
    assert_mean(slopes / slopes[:, -1:], found.gradients, bias=0.06)


def test_shapes_and_which_tokens_matter():
    """One number a token; only which tokens are equal counts; branches of 0 change nothing."""
    a = transformer_moments([[0, 1, 1], [2, 2, 2]], 2, weights=0.3)
    b = transformer_moments(torch.tensor([[7, 3, 3], [9, 9, 9]]), 2, weights=0.3)
    assert a.stream.shape == (3, 2, 3)
    assert a.gradients.shape == (3,)
    np.testing.assert_array_equal(a.stream, b.stream)
    np.testing.assert_array_equal(a.gradients, b.gradients)
    off = transformer_moments([[0, 1]], 5, weights=0.3, last=0)
    np.testing.assert_array_equal(off.stream, np.full((6, 1, 2), 2 * 0.02**2))
    np.testing.assert_array_equal(off.gradients, np.ones(6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"tokens": [0, 1]},
            r"tokens has shape \(2,\); it must be \(sequences, tokens\)",
        ),
        ({"tokens": np.zeros((0, 3))}, r"tokens has shape \(0, 3\)"),
        ({"depth": 0}, "depth is 0; it must be a whole number, at least 1"),
        ({"norm": "none"}, "norm is 'none'; it must be one of 'pre', 'post'"),
        ({"weights": 0}, "weights is 0; it must be finite and above 0"),
        ({"last": -1}, "last is -1; it must be a number, at least 0"),
        ({"embedding": 0}, "embedding is 0; it must be finite and above 0"),
        ({"phi": "softmax"}, "unknown activation 'softmax'"),
    ],
)
def test_refused(change, message):
    """What is out of range, by name."""
    arguments = {"tokens": [[0, 1]], "depth": 2, "weights": 0.3} | change
    with pytest.raises(ValueError, match=message):
        transformer_moments(**arguments)
