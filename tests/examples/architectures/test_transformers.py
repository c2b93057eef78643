"""What page 4 of "Architectures" concludes, at reduced size: transformers."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import initguide
from initguide import initializers as init

LEVELS, PIXELS, HEADS = 16, 49, 4
GPT2 = 768 * 0.02**2  # width times variance of GPT-2's weights


def tokens(split):
    """Tokens that come in, and those to be predicted, of images of 7 × 7 pixels."""
    grey = F.adaptive_avg_pool2d(split.images, 7).flatten(1)
    labels = (grey * LEVELS).long().clamp(max=LEVELS - 1)
    start = torch.full_like(labels[:, :1], LEVELS)
    return SimpleNamespace(images=torch.cat([start, labels[:, :-1]], 1), labels=labels)


@pytest.fixture(scope="module")
def small(sample):
    """Return 640 sequences for training, and a few to look at."""
    part = sample.subset(train=640, valid=300, test=50)
    return SimpleNamespace(
        train=tokens(part.train), valid=tokens(part.valid), test=tokens(part.test)
    )


@pytest.fixture(scope="module")
def few(small):
    """Return 12 sequences and what follows each token."""
    return small.train.images[:12], small.train.labels[:12]


class Attention(nn.Module):
    """Causal attention of four heads."""

    def __init__(self, width):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        """(n, tokens, width) to the same."""
        q, k, v = self.qkv(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class GPT(nn.Module):
    """A small GPT with a tied head; or pre-norm, post-norm or no blocks' normalization."""

    def __init__(self, width=32, depth=6, norm="pre"):
        super().__init__()
        self.norm = norm
        self.tokens = nn.Embedding(LEVELS + 1, width)
        self.positions = nn.Embedding(PIXELS, width)
        self.attentions = nn.ModuleList([Attention(width) for _ in range(depth)])
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(depth)
        )

    def normalized(self, x):
        """Normalize the last axis: what LayerNorm does at the start."""
        return F.layer_norm(x, x.shape[-1:])

    def stream(self, sequence):
        """What runs between the blocks."""
        x = [self.tokens(sequence) + self.positions.weight]
        for pair in zip(self.attentions, self.mlps, strict=True):
            y = x[-1]
            for branch in pair:
                if self.norm == "post":
                    y = self.normalized(y + branch(y))
                else:
                    y = y + branch(self.normalized(y) if self.norm == "pre" else y)
            x.append(y)
        return x

    def forward(self, sequence):
        """(n, levels, tokens) scores."""
        last = self.normalized(self.stream(sequence)[-1])
        return F.linear(last, self.tokens.weight)[..., :LEVELS].mT


def scheme(embedding=0.02, *, size=GPT2, scaled=True):
    """Weights of variance size/width, small embeddings, and scaled branches."""

    def base(module):
        if isinstance(module, nn.Linear):
            width = min(module.in_features, module.out_features)
            nn.init.normal_(module.weight, 0, math.sqrt(size / width))
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0, embedding)

    return init.residual_scaled(base, last=["attentions.*.out", "mlps.*.2"]) if scaled else base


def attention(chosen, seed, width=64):
    """Logits (n, heads, tokens, tokens) of a fresh layer on random inputs of mean square 1."""
    layer = initguide.initialize(nn.MultiheadAttention(width, HEADS), chosen, seed=seed)
    draws = torch.Generator().manual_seed(100 + seed)
    x = F.layer_norm(torch.randn(20, PIXELS, width, generator=draws), (width,))
    w_q, w_k, _ = layer.in_proj_weight.detach().chunk(3)
    q, k = ((x @ w.T).unflatten(2, (HEADS, -1)).transpose(1, 2) for w in (w_q, w_k))
    return q @ k.mT / math.sqrt(width // HEADS)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [("normal(0.02)", 64 * 0.02**2), ("default", 0.5), ("xavier_uniform", 1), ("he_normal", 2)],
)
def test_logits_of_attention_have_width_times_variance(chosen, expected):
    """Standard deviation d · Var(w); the packed default has half of Xavier's variance."""
    found = [attention(chosen, seed).std().item() for seed in range(4)]
    assert sum(found) / 4 == pytest.approx(expected, rel=0.06)


def test_attention_is_close_to_an_average_up_to_one():
    """The entropy is near ln T for d · Var(w) of 1 and below, and well below it at 2."""
    entropy = {}
    for size in (0.3, 1.0, 2.0):
        weights = attention(init.normal(math.sqrt(size / 64)), 0).softmax(-1)
        entropy[size] = torch.special.entr(weights).sum(-1).mean().item()
    assert entropy[0.3] > math.log(PIXELS) - 0.1
    assert entropy[1.0] > math.log(PIXELS) - 0.6
    assert entropy[2.0] < math.log(PIXELS) - 0.8


def test_tied_head_of_large_embeddings_starts_far_above_ln_k(few):
    """Near ln 16 for 0.02; at 1, what normal logits and the token's own logit give."""
    losses = {}
    for sigma in (0.02, 1.0):
        found = []
        for seed in range(4):
            net = initguide.initialize(GPT(), scheme(sigma), seed=seed)
            with torch.no_grad():
                found.append(F.cross_entropy(net(few[0]), few[1]).item())
        losses[sigma] = sum(found) / 4
    assert losses[0.02] == pytest.approx(math.log(LEVELS), abs=0.1)
    logits = torch.randn(20, *few[0].shape, LEVELS, generator=torch.Generator().manual_seed(0))
    own = F.one_hot(few[0], LEVELS + 1)[..., :LEVELS] * 32 / math.sqrt(2.1)
    logits = math.sqrt(32) * logits + own  # of a stream of mean square 1 + 1 and some branches
    right = few[1].expand(20, -1, -1).flatten()
    assert losses[1.0] == pytest.approx(
        F.cross_entropy(logits.flatten(0, 2), right).item(), rel=0.2
    )


@pytest.fixture(scope="module")
def streams(few):
    """Mean squares of the stream, and of gradients relative to the last, of 2 seeds each."""
    found = {}
    for name, norm, scaled in (
        ("plain", "pre", False),
        ("scaled", "pre", True),
        ("post", "post", False),
    ):
        sizes, slopes = [], []
        for seed in range(2):
            net = initguide.initialize(GPT(64, 12, norm), scheme(scaled=scaled), seed=seed)
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


def test_gradients_grow_towards_the_input_in_pre_norm_blocks_only(streams):
    """By several times after twelve blocks; in post-norm blocks they do not."""
    for name in ("plain", "scaled"):
        assert streams[name][1][1] > 3
    assert 0.6 < streams["post"][1][1] < 1.2


def losses(small, schemes, rate, norm="pre"):
    """Label -> validation losses in nats a pixel, one a seed."""
    result = initguide.compare_init_weights(
        schemes,
        small,
        model=lambda: GPT(norm=norm),
        epochs=1,
        batch_size=32,
        learning_rate=rate,
        seeds=1,
    )
    return {label: result.values(label, "valid_loss") / PIXELS for label in schemes}


@pytest.mark.slow
def test_large_embeddings_under_a_tied_head_cost_training(small):
    """After an epoch the network that started with N(0, 1) is behind."""
    found = losses(small, {"small": scheme(), "large": scheme(1.0)}, 3e-3)
    assert found["large"].min() > found["small"].max() + 0.05


@pytest.mark.slow
def test_large_weights_train_in_pre_norm_blocks_only(small):
    """At variance 1/d and a large rate; with small weights post-norm trains too."""
    large = {"large": scheme(size=1.0, scaled=False)}
    pre = losses(small, large, 1e-2)["large"]
    post = losses(small, large | {"small": scheme()}, 1e-2, "post")
    assert post["large"].min() > pre.max() + 0.05
    assert post["large"].min() > post["small"].max() + 0.1
