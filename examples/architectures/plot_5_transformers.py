"""
5. Transformers
===============

A transformer is started by four customs: small normal weights, embeddings as small, a smaller last
layer in each branch, and normalization before the branches. What does each of them do? This page
predicts attention, the first loss, the residual stream and the gradients from the weights alone,
measures them, and trains a small GPT that paints clothes pixel by pixel.

.. admonition:: What you will learn

   - how large attention's logits are at first, and what to do about its packed projections
   - why embeddings that also serve as the head must be small
   - what 1/√(2N) on the last layers of the residual branches is for
   - how gradients run through pre-norm and post-norm blocks, and what of all this training notices

.. meta::
   :keywords: transformer, GPT-2, attention, MultiheadAttention, tied embeddings, residual scaling,
      pre-norm, post-norm, layer normalization, 0.02, warm-up
"""

# %%
# Attention
# ---------
# A query and a key are q = W_q x and k = W_k y, and a logit of attention is q·k/√d_h, with d_h
# numbers in a head. For inputs of mean square 1 in d dimensions (that is what layer normalization
# hands over) and weights of variance v, each number of q and of k has variance d·v. A logit is then
# a sum of d_h products over √d_h: its standard deviation is **d · v**, whatever the heads.
#
# The softmax over T keys notices how logits differ between keys. Keys whose inputs have the cosine
# c have correlated logits, so the differences have variance (d·v)² (1 − c). We take the images as
# sequences of 7 × 7 = 49 averaged pixels in 16 grey levels:

import functools
import math
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import initguide
from initguide import initializers as init
from initguide import plots, theory
from initguide.experiments import mean_interval

LEVELS, PIXELS, HEADS, START = 16, 49, 4, 16  # START is the token before the first


def sequences(split):
    """Tokens that come in, and those that have to be predicted."""
    grey = F.adaptive_avg_pool2d(split.images, 7).flatten(1)
    tokens = (grey * LEVELS).long().clamp(max=LEVELS - 1)
    start = torch.full_like(tokens[:, :1], START)
    return SimpleNamespace(
        images=torch.cat([start, tokens[:, :-1]], 1), labels=tokens
    )


data = initguide.fashion_mnist().subset(train=1000, valid=500, test=100)
data = SimpleNamespace(
    train=sequences(data.train),
    valid=sequences(data.valid),
    test=sequences(data.test),
)
few = data.train.images[:16], data.train.labels[:16]


def attention(scheme, seed, width=64):
    """(standard deviation of the logits, mean entropy of the attention) of a fresh layer."""
    layer = initguide.initialize(
        nn.MultiheadAttention(width, HEADS), scheme, seed=seed
    )
    draws = torch.Generator().manual_seed(100 + seed)
    tokens = torch.randn(LEVELS + 1, width, generator=draws)
    x = tokens[few[0]] + torch.randn(PIXELS, width, generator=draws)
    x = F.layer_norm(x, (width,))
    w_q, w_k, _ = layer.in_proj_weight.detach().chunk(
        3
    )  # one parameter holds all three
    q, k = ((x @ w.T).unflatten(2, (HEADS, -1)).transpose(1, 2) for w in (w_q, w_k))
    logits = q @ k.mT / math.sqrt(width // HEADS)
    weights, cosine = logits.softmax(-1), x @ x.mT / width
    entropy = torch.special.entr(weights).sum(-1).mean()
    away = ~torch.eye(PIXELS, dtype=torch.bool)
    return logits.std().item(), entropy.item(), cosine[:, away].mean().item()


def summary(scheme):
    return np.mean([attention(scheme, seed) for seed in range(6)], axis=0)


def entropy_of(spread):
    """Mean entropy of a softmax over normal logits."""
    z = torch.randn(4000, PIXELS, generator=torch.Generator().manual_seed(0))
    return torch.special.entr((spread * z).softmax(-1)).sum(-1).mean().item()


# d · v for square blocks of width d = 64
named = {
    "normal(0.02)": 64 * 0.02**2,
    "general_rule": 1 / 3,
    "default": 2 / 4,
    "xavier_uniform": 2 / 2,
    "orthogonal": 1.0,
    "he_normal": 2.0,
}
sweep = np.geomspace(0.02, 8, 12)
rows = np.array([summary(init.normal(math.sqrt(dv / 64))) for dv in sweep])
cosine = rows[0, 2]
marks = {name: summary(name) for name in named}

fig, (left, right) = plots.subplots(1, 2, height=4.2)
for ax, column, line in (
    (left, 0, sweep),
    (right, 1, [entropy_of(dv * math.sqrt(1 - cosine)) for dv in sweep]),
):
    ax.plot(sweep, line, "--", color="0.3", label="predicted")
    ax.plot(sweep, rows[:, column], "o", color="0.5", ms=4, label="normal weights")
    for (name, dv), color, marker in zip(
        named.items(), plots.PALETTE, "sD^vPX", strict=False
    ):
        ax.plot(dv, marks[name][column], marker, color=color, ms=8, label=name)
left.set(title="Logits", ylabel="standard deviation (logarithmic)", yscale="log")
right.set(title="Attention over 49 keys", ylabel="entropy, nats")
for ax in (left, right):
    ax.set(xlabel="width · Var(w) (logarithmic)", xscale="log")
right.axhline(math.log(PIXELS), color="0.6", linewidth=1)
fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)
plots.describe(
    fig,
    "Standard deviation of attention's logits and entropy of attention against width times "
    "variance; measured, in brackets predicted: "
    + "; ".join(
        f"{name} {marks[name][0]:.2g} ({dv:.2g}) and {marks[name][1]:.2f} "
        f"({entropy_of(dv * math.sqrt(1 - cosine)):.2f})"
        for name, dv in named.items()
    ),
)

# %%
# Marks are means of six draws. The standard deviation of the logits is d · v. Up to about 1,
# attention starts as nearly a plain average over all keys (entropy ln 49, the grey line). With He's
# 2/d it already prefers some keys, at random.
#
# *default* is the answer to a common question. :class:`torch.nn.MultiheadAttention` keeps the three
# projections in one matrix of 3d × d and fills it by ``xavier_uniform_``, which takes its fan-out
# to be 3d: variance 2/(d + 3d), half of what a d × d projection gets by itself. Its logits are half
# as large. :func:`initguide.initialize` fills the three blocks one by one, as layers of their own
# (*xavier_uniform*). The end of this page shows whether training notices.
#
# A small GPT
# -----------
# The network predicts each pixel from those before it. Its head is tied: the logit of a grey level
# is the product with its embedding. Blocks are pre-norm as in GPT-2 :cite:p:`radford2019`,
# post-norm as in the first transformer :cite:p:`vaswani2017`, or have no normalization.


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width, norm):
        super().__init__()
        self.norm = norm
        self.branches = nn.ModuleList(
            [
                Attention(width),
                nn.Sequential(
                    nn.Linear(width, 4 * width),
                    nn.GELU(),
                    nn.Linear(4 * width, width),
                ),
            ]
        )
        norms = [
            nn.Identity() if norm == "none" else nn.LayerNorm(width) for _ in "ab"
        ]
        self.norms = nn.ModuleList(norms)

    def forward(self, x):
        for branch, normalize in zip(self.branches, self.norms, strict=True):
            x = (
                normalize(x + branch(x))
                if self.norm == "post"
                else x + branch(normalize(x))
            )
        return x


class GPT(nn.Module):
    def __init__(self, width=32, depth=6, norm="pre", *, tied=True):
        super().__init__()
        self.tokens = nn.Embedding(LEVELS + 1, width)
        self.positions = nn.Embedding(PIXELS, width)
        self.blocks = nn.ModuleList([Block(width, norm) for _ in range(depth)])
        self.last_norm = nn.Identity() if norm == "post" else nn.LayerNorm(width)
        self.head = None if tied else nn.Linear(width, LEVELS + 1, bias=False)

    def forward(self, tokens):
        x = self.stream(tokens)[-1]
        head = self.tokens.weight if self.head is None else self.head.weight
        return F.linear(self.last_norm(x), head)[..., :LEVELS].mT

    def stream(self, tokens):
        """What runs between the blocks, from the embeddings to the end."""
        x = [self.tokens(tokens) + self.positions.weight]
        for block in self.blocks:
            x.append(block(x[-1]))
        return x


# %%
# All weights are N(0, s²) with one s, and GPT-2's famous s is 0.02. It is no universal number: at
# GPT-2's width it is the general rule's 1/√(3d), and at another width it is not.

for width in (768, 64, 32):
    rule = 1 / math.sqrt(3 * width)
    print(f"d = {width}: 1/√(3d) = {rule:.4f}, d · 0.02² = {width * 0.02**2:.3f}")
A = 768 * 0.02**2  # d · s², which we keep at every width


def scheme(embedding=0.02, *, size=A, scaled=True, packed=1.0):
    """GPT-2's start for any width; ``size`` is width times variance."""

    def base(module):
        if isinstance(module, nn.Linear):
            width = min(module.in_features, module.out_features)
            nn.init.normal_(module.weight, 0, math.sqrt(size / width))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0, embedding)
        elif isinstance(module, Attention):  # comes after the layers inside it
            module.qkv.weight.data *= math.sqrt(packed)

    ends = ["blocks.*.branches.0.out", "blocks.*.branches.1.2"]
    return init.residual_scaled(base, last=ends) if scaled else base


# %%
# Embeddings and the head
# -----------------------
# Behind the last normalization a vector has mean square 1. With a head of N(0, σ²), logits are
# normal with variance d σ², and the first loss is E[ln Σ exp(logits)] minus the mean of the right
# one's. If the head is tied, one logit is special: the vector still holds its own token's
# embedding. With a stream of mean square S, the logit of the token that came *in* is larger by
# d σ² / √S.
#
# So we need S, and can predict it. Take the T × T matrix K of the mean products of the positions'
# vectors. Embeddings give it σ² for equal tokens, and positions σ² on the diagonal. Normalization
# divides it by √(Sᵢ Sⱼ). Attention with small logits averages over all pixels so far. The weights
# and the GELU act as the :term:`mean field` maps say. Gradients run the same way back. All this
# leaves out that attention may prefer some keys:

AVERAGE = torch.tril(torch.ones(PIXELS, PIXELS)).double()
AVERAGE /= AVERAGE.sum(1, keepdim=True)
GRID = np.linspace(-1, 1, 101)


@functools.cache
def gelu_maps(size):
    """E[φ(u) φ(v)] and E[φ'(u) φ'(v)] of normal sums of that mean square, by correlation."""
    alike = theory.correlation_map(GRID, "gelu", 1.0, q=size)
    products = theory.length_map(size, "gelu", 1.0) * alike
    curves = products, np.gradient(products, GRID) / size  # by Price's theorem
    return [lambda c, y=y: torch.as_tensor(np.interp(c, GRID, y)) for y in curves]


def normalized(k):
    size = k.diagonal(dim1=1, dim2=2)
    root = (size[:, :, None] * size[:, None, :]).sqrt()
    return k / root, root


def predict(tokens, depth, norm="pre", *, embedding=0.02, size=A, scaled=True):
    """Of the stream between the blocks: mean squares (tokens), and gradients' (last = 1)."""
    gelu, slope = gelu_maps(size)
    last = (
        size / (2 * depth) if scaled else size
    )  # width · variance of the last layers
    same = (tokens[:, :, None] == tokens[:, None, :]).double()
    k = embedding**2 * (same + torch.eye(PIXELS))
    sizes, steps = [k.diagonal(dim1=1, dim2=2)], []
    for _ in range(depth):
        for branch in ("attention", "mlp"):
            c, root = normalized(k)
            given = c if norm == "pre" else k
            if branch == "attention":
                k, slopes = k + size * last * AVERAGE @ given @ AVERAGE.T, None
            else:
                k, slopes = k + 4 * last * gelu(given), slope(given)
            if norm == "post":
                k, root = normalized(k)
            steps.append((slopes, root))
        sizes.append(k.diagonal(dim1=1, dim2=2))
    g, gradients = torch.eye(PIXELS).double().expand_as(k), [1.0]
    for slopes, root in reversed(steps):
        g = g / root if norm == "post" else g
        if slopes is None:
            back = size * last * AVERAGE.T @ g @ AVERAGE
        else:
            back = size * last * 4 * slopes * g
        g = g + (back / root if norm == "pre" else back)
        if slopes is None:  # the first branch of a block
            gradients.insert(0, g.diagonal(dim1=1, dim2=2).mean().item())
    return sizes, gradients


# %%
# First the head. We look at the loss before the first step, for a tied head of N(0, σ²), and for a
# head of its own (then the embeddings stay at 0.02):

WIDTH, DEPTH = 32, 6
spreads, first = (0.005, 0.02, 0.1, 0.3, 1.0), {True: [], False: []}
for sigma in spreads:
    for tied, found in first.items():
        losses = []
        for seed in range(5):
            net = GPT(WIDTH, DEPTH, tied=tied)
            net = initguide.initialize(
                net, scheme(sigma if tied else 0.02), seed=seed
            )
            draws = torch.Generator().manual_seed(100 + seed)
            with torch.no_grad():
                if not tied:
                    net.head.weight.normal_(0, sigma, generator=draws)
                losses.append(F.cross_entropy(net(few[0]), few[1]).item())
        found.append(losses)


def predicted_loss(sigma, *, tied):
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn(30, *few[0].shape, LEVELS, generator=draws)
    logits *= sigma * math.sqrt(WIDTH)
    if tied:
        size = predict(few[0], DEPTH, embedding=sigma)[0][-1].float()
        own = WIDTH * sigma**2 / size.sqrt()
        logits += own[..., None] * F.one_hot(few[0], LEVELS + 1)[..., :LEVELS]
    right = few[1].expand(30, -1, -1).flatten()
    return F.cross_entropy(logits.flatten(0, 2), right).item()


def draw(ax, at, rows, predicted, **look):
    """Mean and range of the seeds, (seeds, points), and the prediction dashed."""
    rows = np.asarray(rows)
    ax.fill_between(
        at, rows.min(0), rows.max(0), color=look["color"], alpha=0.2, lw=0
    )
    ax.plot(at, rows.mean(0), **look)
    ax.plot(at, predicted, "--", color="0.3", linewidth=1.2)


fig, ax = plots.subplots()
words = []
for (tied, found), color, marker in zip(
    first.items(), plots.PALETTE, "os", strict=False
):
    label = "tied to the embeddings" if tied else "a head of its own"
    expected = [predicted_loss(sigma, tied=tied) for sigma in spreads]
    draw(
        ax,
        spreads,
        np.transpose(found),
        expected,
        color=color,
        marker=marker,
        label=label,
    )
    words.append(
        f"{label}: "
        + ", ".join(
            f"{np.mean(row):.2f} ({p:.2f}) at {sigma:g}"
            for sigma, row, p in zip(spreads, found, expected, strict=True)
        )
    )
ax.axhline(math.log(LEVELS), color="0.6", linewidth=1)
ax.set(title="Loss before the first step (5 seeds)", xscale="log", yscale="log")
ax.set(
    xlabel="σ of the head (logarithmic)", ylabel="loss, nats a pixel (logarithmic)"
)
ax.set_yticks([math.log(LEVELS), 5, 10, 20], ["ln 16", 5, 10, 20])
ax.set_yticks([], minor=True)
ax.legend(title="dashed: predicted")
plots.describe(ax, "First loss, measured (predicted): " + "; ".join(words))

# %%
# Bands are the range over draws. The grey line is ln 16, the loss of knowing nothing. PyTorch's own
# embeddings are N(0, 1), the rightmost points: logits then have a standard deviation of √d, and the
# tied head is further off, being sure that the next pixel equals this one.
#
# The residual stream
# -------------------
# Each branch adds to the stream. In a pre-norm block it gets normalized inputs, so it adds about
# the same each time, and the stream's mean square grows in proportion to depth. N blocks have 2N
# branches, and GPT-2 multiplies the last layer of each by 1/√(2N), so that all together add as much
# as one (:func:`~initguide.initializers.residual_scaled`). Twelve blocks of width 64, with and
# without; on the right, how gradients run back through pre-norm and post-norm blocks, with GPT-2's
# weights and with larger ones, of variance 1/d:

cases = {
    "pre, scaled": {"norm": "pre", "size": A, "scaled": True},
    "pre": {"norm": "pre", "size": A, "scaled": False},
    "post": {"norm": "post", "size": A, "scaled": False},
    "pre, 1/d": {"norm": "pre", "size": 1.0, "scaled": False},
    "post, 1/d": {"norm": "post", "size": 1.0, "scaled": False},
}
sizes, gradients, expected = {}, {}, {}
for name, case in cases.items():
    start = scheme(size=case["size"], scaled=case["scaled"])
    sizes[name], gradients[name] = [], []
    for seed in range(4):
        net = initguide.initialize(GPT(64, 12, case["norm"]), start, seed=seed)
        stream = net.stream(few[0])
        draws = torch.Generator().manual_seed(100 + seed)
        last = torch.randn(stream[-1].shape, generator=draws)
        back = torch.autograd.grad((stream[-1] * last).sum(), stream)
        sizes[name].append([x.square().mean().item() for x in stream])
        gradients[name].append([x.square().mean().item() for x in back])
    means, slopes = predict(few[0], 12, **case)
    expected[name] = [size.mean().item() for size in means], slopes

fig, (left, right) = plots.subplots(1, 2, height=4.6)
for (name, case), color in zip(cases.items(), plots.PALETTE, strict=False):
    look = {"color": color, "linestyle": "-" if case["norm"] == "pre" else "-."}
    if case["norm"] == "pre":
        draw(left, range(13), sizes[name], expected[name][0], **look)
    behind = [row[1:] for row in (*gradients[name], expected[name][1])]
    draw(right, range(1, 13), behind[:-1], behind[-1], label=name, **look)
for ax in (left, right):
    ax.set_xticks(range(0, 13, 3))
left.set(title="Stream, pre-norm", xlabel="after block", yscale="log")
left.set_ylabel("mean square, logarithmic")
right.set(title="Gradients of the stream", xlabel="after block", yscale="log")
right.set_ylabel("mean square / that at the end, logarithmic")
fig.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=5)
plots.describe(
    fig,
    "Mean square of the stream at the end, measured (predicted): "
    + "; ".join(
        f"{name} {np.mean(sizes[name], 0)[-1]:.2g} ({expected[name][0][-1]:.2g})"
        for name in cases
        if name.startswith("pre")
    )
    + ". Gradient after the first block relative to the end: "
    + "; ".join(
        f"{name} {np.mean(gradients[name], 0)[1]:.2g} ({expected[name][1][1]:.2g})"
        for name in cases
    ),
)

# %%
# Left: the stream grows as predicted. The factor 1/√(2N) holds the sum of 24 branches to about one
# branch. It does not hold the stream where it was: embeddings of 0.02 are so small that the first
# block alone makes it many times as large.
#
# Right, from the first block on: in pre-norm blocks gradients *grow* on their way back, by about
# the same factor with and without scaling, for each normalization divides by the size of the
# stream, which is smaller there. :cite:t:`xiong2020` contrast this with post-norm blocks, in which
# gradients are largest near the output. With GPT-2's weights they are nearly level; with variance
# 1/d they shrink and come back in part. The prediction tells the shape, though not the size in the
# first blocks.
#
# Training
# --------
# Everything so far was measured before the first step. Does training notice? One epoch of 1,000
# images, Adam without warm-up, the loss on 500 other images. What simple guesses reach:

counts = torch.full((PIXELS, LEVELS), 0.1)
for pixel in range(PIXELS):
    counts[pixel] += torch.bincount(data.train.labels[:, pixel], minlength=LEVELS)
for words, table in {
    "each level by its frequency": counts.sum(0).expand_as(counts),
    "by its frequency at that pixel": counts,
}.items():
    chances = table / table.sum(1, keepdim=True)
    loss = -chances[torch.arange(PIXELS), data.valid.labels].log().mean()
    print(f"{words}: {loss:.3f} nats a pixel")
print(f"knowing nothing, ln 16: {math.log(LEVELS):.3f}")


def losses_of(schemes, rate, *, norm="pre", seeds=4):
    """Label -> validation losses in nats a pixel, one a seed."""
    result = initguide.compare_init_weights(
        schemes,
        data,
        model=lambda: GPT(WIDTH, DEPTH, norm),
        epochs=1,
        batch_size=32,
        learning_rate=rate,
        seeds=seeds,
    )
    return {name: result.values(name, "valid_loss") / PIXELS for name in schemes}


found = losses_of(
    {
        "GPT-2's start": scheme(),
        "branches not scaled": scheme(scaled=False),
        "q, k, v of half the variance": scheme(packed=0.5),
        "weights of N(0, 0.02²)": scheme(size=WIDTH * 0.02**2),
        "embeddings of N(0, 1)": scheme(1.0),
        "PyTorch's default": init.default(),
    },
    0.003,
)


gaps = [mean_interval(row - found["GPT-2's start"]) for row in found.values()]
initguide.Table(
    {
        "start": list(found),
        "loss": [row.mean() for row in found.values()],
        "behind the first": [mean for mean, _ in gaps],
        "95 % interval": [
            "–" if low == high else f"{low:+.3f} to {high:+.3f}"
            for _, (low, high) in gaps
        ],
    },
    caption="Validation loss after one epoch, learning rate 0.003, in nats a pixel",
    note="Mean of 4 seeds; differences are paired by seed. Positive is worse.",
    formats={"loss": ".3f", "behind the first": "+.3f"},
)

# %%
# Embeddings of N(0, 1) under a tied head cost most, and PyTorch's default has them. Of the other
# customs four seeds of one epoch tell little at six blocks: read the intervals. That holds for
# scaled branches, for the packed projections (half the variance or not), and for 0.02 at a width
# where it is small. Absence of a difference *here* says nothing about a hundred blocks.
#
# Now normalization, at a larger rate, with GPT-2's start and with the larger one of variance 1/d
# for all weights, branches not scaled:

starts = {"GPT-2's": scheme(), "1/d": scheme(size=1.0, scaled=False)}
norms = {
    norm: losses_of(starts, 0.01, norm=norm, seeds=3)
    for norm in ("pre", "post", "none")
}
initguide.Table(
    {"normalization": list(norms)}
    | {
        f"{start}{what}": [number(row[start]) for row in norms.values()]
        for start in starts
        for what, number in {
            "": np.mean,
            ", best and worst": lambda losses: (
                "diverged"
                if np.isnan(losses).any()
                else f"{losses.min():.2f} to {losses.max():.2f}"
            ),
        }.items()
    },
    caption="Validation loss after one epoch, learning rate 0.01, in nats a pixel",
    note="3 seeds. Diverged: the loss of at least one of them was infinite or NaN.",
    formats=dict.fromkeys(starts, ".2f"),
)

# %%
# With variance 1/d pre-norm blocks learn; post-norm blocks, and those without normalization, do not
# get beyond the frequencies of the grey levels. With GPT-2's small weights both do, and post-norm
# came out ahead of pre-norm in these three seeds, at this one rate. So this table shows nothing of
# post-norm's bad reputation once the weights are small, and that without warm-up, the customary
# remedy :cite:p:`xiong2020`. What pre-norm forgives is large weights.
#
# .. admonition:: Try it
#
#    How does the first loss of the tied GPT change with its depth if embeddings are N(0, 1)?
#    Predict it, then measure.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          # Branches add to the stream, so less of it is the token's own embedding: its logit,
#          # d σ² / √S, falls. But next to embeddings of variance 1, scaled branches are small.
#          for depth in (1, 6, 12):
#              size = predict(few[0], depth, embedding=1.0)[0][-1]
#              net = initguide.initialize(GPT(WIDTH, depth), scheme(1.0), seed=0)
#              with torch.no_grad():
#                  loss = F.cross_entropy(net(few[0]), few[1]).item()
#              print(depth, f"own logit {WIDTH / size.sqrt().mean():.1f}, loss {loss:.2f}")
#
# What we learnt
# --------------
# - Attention's logits start with a standard deviation of d · Var(w). Up to 1, attention is not far
#   from an average. PyTorch's packed projections have half the variance of Xavier's; halving it in
#   our GPT made no difference that four seeds of one epoch could tell.
# - Logits of a head of N(0, σ²) have variance d σ². With embeddings of N(0, 1) and a tied head, the
#   first loss is far above ln K, and after an epoch the network is still behind.
# - The stream of pre-norm blocks grows in proportion to depth, and with 1/√(2N) on the branches'
#   last layers to about one branch. Gradients grow towards the input in pre-norm blocks, and do not
#   in post-norm blocks. The prediction has both, and misses the size in the first post-norm blocks
#   only where weights are large.
# - At a large rate pre-norm blocks learnt from weights of variance 1/d, while post-norm blocks and
#   those without normalization needed small weights. With these, post-norm needed no warm-up at six
#   blocks.
# - **Rule:** if the head is tied, start embeddings at about 0.02 and not at PyTorch's 1. Without
#   pre-norm, start all weights small, at about 1/√(3d). To keep the stream at one size whatever the
#   depth, use ``init.residual_scaled(…, last=[…])``; at six blocks, training did not ask for it.
#
# Another network that applies the same weights again and again, at every step in time:
# :doc:`recurrent networks </auto_examples/architectures/plot_7_recurrent>`.
