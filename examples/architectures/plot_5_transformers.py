"""
5. Transformers
===============

A transformer is started by customs: small normal weights, embeddings as small, a smaller last layer
in each branch, and normalization before the branches. Which of them does training notice? This page
looks at attention and at the first loss, predicts both from the weights alone, and trains a small
GPT that paints clothes pixel by pixel.

.. admonition:: What you will learn

   - how large attention's logits are at first, and what to do about its packed projections
   - why embeddings that also serve as the head must be small
   - which of the customs training notices, with pre-norm, post-norm and without normalization

.. meta::
   :keywords: transformer, GPT-2, attention, MultiheadAttention, tied embeddings, pre-norm,
      post-norm, layer normalization, 0.02, warm-up
"""

# %%
# Attention
# ---------
# A query and a key are q = W_q x and k = W_k y, and a logit of attention is q·k/√d_h, with d_h
# numbers per head. For inputs of mean square 1 in d dimensions (that is what layer normalization
# hands over) and weights of variance v, each number of q and of k has variance d·v. A logit is then
# a sum of d_h products over √d_h: its standard deviation is **d · v**, whatever the heads.
#
# The softmax notices how logits differ between keys. An average over M keys has the entropy ln M,
# and the softmax of T independent normal logits has the entropy ln T − (d·v)²/2, as long as many
# keys share the weight: attention starts as if it averaged over T · exp(−(d·v)²/2) keys. For five
# schemes, with 49 keys and inputs of random directions:

import functools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import initguide
from initguide import initializers as init
from initguide import plots, theory
from initguide.data import as_sequences
from initguide.models import GPT

KEYS, HEADS = 49, 4


def attention(scheme, seed, width=64):
    """Standard deviation of a fresh layer's logits, and over how many keys it averages."""
    layer = initguide.initialize(
        nn.MultiheadAttention(width, HEADS), scheme, seed=seed
    )
    draws = torch.Generator().manual_seed(100 + seed)
    x = F.layer_norm(torch.randn(16, KEYS, width, generator=draws), (width,))
    w_q, w_k, _ = layer.in_proj_weight.detach().chunk(
        3
    )  # one parameter for all three
    q, k = ((x @ w.T).unflatten(2, (HEADS, -1)).transpose(1, 2) for w in (w_q, w_k))
    logits = q @ k.mT / math.sqrt(width // HEADS)
    entropy = torch.special.entr(logits.softmax(-1)).sum(-1).mean()
    return logits.std().item(), entropy.exp().item()


named = {  # d · v for square blocks of width d = 64
    "normal(0.02)": 64 * 0.02**2,
    "general_rule": 1 / 3,
    "default": 2 / 4,
    "xavier_uniform": 2 / 2,
    "he_normal": 2.0,
}
rows = np.array([[attention(name, seed) for name in named] for seed in range(6)])
spread, keys = rows.mean(0).T
columns = {
    "d · v": np.array(list(named.values())),
    "standard deviation": spread,
    "49 exp(−(d·v)²/2)": KEYS * np.exp(-np.square(list(named.values())) / 2),
    "keys": keys,
}
initguide.Table(
    {"scheme": list(named)} | columns,
    caption="Attention's logits at the start, and over how many of 49 keys it averages",
    note="Mean of 6 draws; keys: exp(entropy).",
    formats=dict(zip(columns, (".3f", ".3f", ".1f", ".1f"), strict=True)),
)

# %%
# The standard deviation of the logits is d · v. With weights of 0.02 at this width attention starts
# as an average over all keys, and with Xavier's over about two thirds of them. With He's it already
# prefers a few, at random; then the formula for many keys no longer holds.
#
# *default* is the answer to a common question. :class:`torch.nn.MultiheadAttention` keeps the three
# projections in one matrix of 3d × d and fills it by ``xavier_uniform_``, which takes its fan-out
# to be 3d: variance 2/(d + 3d), half of what a d × d projection gets by itself. Its logits are half
# as large. :func:`initguide.initialize` fills the three blocks one by one, as layers of their own
# (*xavier_uniform*). The end of this page shows whether training notices.
#
# Embeddings and the head ----------------------- We read images as sequences of 7 × 7 = 49 averaged
# pixels in 16 grey levels. :class:`~initguide.models.GPT` predicts each pixel from those before it.
# Its head is tied: the logit of a grey level is the product with its embedding. Blocks are pre-norm
# as in GPT-2 :cite:p:`radford2019`, post-norm as in the first transformer :cite:p:`vaswani2017`, or
# have no normalization. All weights are N(0, s²) with one s. GPT-2's famous s is 0.02, and it is no
# universal number: at GPT-2's width of 768 it is nearly the general rule's 1/√(3d), and at a width
# of 32 it is a fifth of that. So we keep d · s² and not s:

WIDTH, DEPTH, LEVELS = 32, 6, 16
data = as_sequences(
    initguide.fashion_mnist().subset(train=1000, valid=500, test=100)
)
few, right = data.train.images[:16], data.train.labels[:16]
SIZE = 768 * 0.02**2  # d · s² of GPT-2
start = functools.partial(
    init.gpt2, last=["blocks.*.branches.0.out", "blocks.*.branches.1.2"]
)

# %%
# Behind the last normalization a vector has mean square 1. With a head of N(0, σ²), logits are
# normal with variance d σ², and the first loss is E[ln Σ exp(logits)] minus the mean of the right
# one's. If the head is tied, one logit is special: the vector still holds its own token's
# embedding. With a stream of mean square S, the logit of the token that came *in* is larger by
# d σ² / √S. :func:`~initguide.theory.transformer_moments` predicts S (the
# :doc:`next page <plot_6_residual_stream>` looks at it), and so the loss before the first step:

sigmas = (0.005, 0.02, 0.1, 0.3, 1.0)


def first_loss(sigma, seed):
    net = initguide.initialize(GPT(WIDTH, DEPTH), start(embedding=sigma), seed=seed)
    with torch.no_grad():
        return F.cross_entropy(net(few), right).item()


def predicted_loss(sigma):
    moments = theory.transformer_moments(
        few, DEPTH, weights=SIZE, last=SIZE / (2 * DEPTH), embedding=sigma
    )
    own = WIDTH * sigma**2 / torch.tensor(moments.stream[-1]).sqrt()
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn(30, *few.shape, LEVELS, generator=draws)
    logits = logits * sigma * math.sqrt(WIDTH)
    logits = logits + own[..., None] * F.one_hot(few, LEVELS + 1)[..., :LEVELS]
    return F.cross_entropy(logits.movedim(-1, 1), right.expand(30, -1, -1)).item()


ax = plots.plot_prediction(
    {"a tied head": [[first_loss(s, seed) for s in sigmas] for seed in range(5)]},
    [predicted_loss(s) for s in sigmas],
    at=sigmas,
    log=True,
    title="Loss before the first step",
    xlabel="σ of the embeddings (logarithmic)",
    ylabel="loss, nats per pixel",
)
plots.ticks_at(ax.xaxis, sigmas)
plots.ticks_at(ax.yaxis, [math.log(LEVELS), 5, 10, 20], ["ln 16", "5", "10", "20"])

# %%
# ln 16 is the loss of knowing nothing. PyTorch's own embeddings are N(0, 1), the rightmost points:
# logits then have a standard deviation of √d, and on top of that the network is sure that the next
# pixel equals this one. A start of 0.02 costs nothing.
#
# Training
# --------
# Everything so far was measured before the first step. Does training notice? One epoch of 1,000
# images, Adam without warm-up, the loss on 500 other images:


def half_packed(module):
    if isinstance(module, GPT):  # ``apply`` comes to the whole network last
        start()(module)
        for block in module.blocks:
            block.branches[0].qkv.weight.data *= math.sqrt(0.5)


result = initguide.compare_init_weights(
    {
        "GPT-2's start": start(),
        "branches not scaled": start(factor=1),
        "q, k, v of half the variance": half_packed,
        "weights of N(0, 0.02²)": start(WIDTH * 0.02**2),
        "embeddings of N(0, 1)": start(embedding=1.0),
        "PyTorch's default": init.default(),
    },
    data,
    model=GPT,  # of width 32 and depth 6
    epochs=1,
    batch_size=32,
    learning_rate=0.003,
    seeds=4,
)
plots.plot_differences(result, "GPT-2's start", metric="valid_loss")

# %%
# Embeddings of N(0, 1) under a tied head cost most, and PyTorch's default has them. Of the other
# customs four seeds of one epoch tell little at six blocks: read the intervals. That holds for
# scaled branches, for the packed projections (half the variance or not), and for 0.02 at a width
# where it is small. Absence of a difference *here* says nothing about a hundred blocks.
#
# Now normalization, at a larger rate, with GPT-2's start and with the larger one of variance 1/d
# for all weights, branches not scaled:

norms = initguide.sweep(
    {
        "norm": ["pre", "post", "none"],
        "scheme": {"GPT-2's start": start(), "1/d": start(1.0, factor=1)},
    },
    data,
    model=GPT,
    epochs=1,
    batch_size=32,
    learning_rate=0.01,
    seeds=3,
)
losses = [norms.values_at(label, "valid_loss") for label in norms.labels]
counts = F.one_hot(data.train.labels, LEVELS).sum(0) + 0.1  # (pixels, levels)
for words, table in {
    "each level by its frequency": counts.sum(0).expand_as(counts),
    "by its frequency at that pixel": counts,
}.items():
    guesses = table.log().T.expand(len(data.valid.labels), -1, -1)
    loss = F.cross_entropy(guesses, data.valid.labels)
    print(f"{words}: {KEYS * loss:.1f} nats per image")

columns = {"mean": np.mean, "lowest": np.min, "highest": np.max}
initguide.Table(
    {"blocks": norms.labels}
    | {
        name: [function(row) for row in losses]
        for name, function in columns.items()
    },
    caption="Validation loss after one epoch, learning rate 0.01, in nats per image",
    note="3 seeds. –: at least one of them diverged.",
    formats=dict.fromkeys(columns, ".1f"),
)

# %%
# With variance 1/d pre-norm blocks learn. Post-norm blocks do not get beyond the frequencies of the
# grey levels, and without normalization at least one run diverged (–). With GPT-2's small weights
# the order is another one: post-norm came out best in these three seeds, blocks without
# normalization behind it, and pre-norm last, no better than the frequencies at each pixel. So what
# pre-norm forgives is large weights, and it asks for them at this rate. Of post-norm's bad
# reputation, and of its customary remedy, a warm-up :cite:p:`xiong2020`, this table shows nothing
# once the weights are small. It is a table of six blocks at one rate.
#
# .. admonition:: Try it
#
#    Does post-norm keep its lead in a network of 18 blocks?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          for rate in (0.003, 0.01):
#              for norm in ("pre", "post"):
#                  result = initguide.compare_init_weights(
#                      {"GPT-2's": start()},
#                      data,
#                      model=lambda: GPT(WIDTH, 18, norm),
#                      batch_size=32,
#                      learning_rate=rate,
#                      seeds=2,
#                  )
#                  print(rate, norm, result.values("GPT-2's", "valid_loss") / PIXELS)
#          # At the smaller rate it does. At the larger one it does not learn at all: deep post-norm
#          # networks need a smaller rate, or the warm-up.
#
# What we learnt
# --------------
# - Attention's logits start with a standard deviation of d · Var(w). Well below 1, attention is an
#   average over all keys. PyTorch's packed projections have half the variance of Xavier's; halving
#   it in our GPT made no difference that four seeds of one epoch could tell.
# - Logits of a head of N(0, σ²) have variance d σ². With embeddings of N(0, 1) and a tied head, the
#   first loss is far above ln K, and after an epoch the network is still behind.
# - At a large rate pre-norm blocks learnt from weights of variance 1/d, while post-norm blocks and
#   those without normalization needed small weights. With these they were ahead of pre-norm, at six
#   blocks.
# - **Rule:** if the head is tied, start embeddings at about 0.02 and not at PyTorch's 1. Without
#   pre-norm, start all weights small, at about 1/√(3d).
#
# What the smaller last layers of the branches are for shows in :doc:`the residual stream
# </auto_examples/architectures/plot_6_residual_stream>`.
