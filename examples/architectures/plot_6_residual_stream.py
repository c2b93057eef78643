"""
6. The residual stream
======================

The blocks of a transformer only add: each branch adds its output to one stream that runs from the
embeddings to the head. How large does that stream become, how do gradients run back along it, and
what is GPT-2's factor for the last layer of each branch good for? This page predicts both from the
weights alone and measures them.

.. index:: ! residual scaling

.. admonition:: What you will learn

   - why the stream of pre-norm blocks grows in proportion to depth
   - what the factor 1/√(2N) on the last layers of the branches holds, and what it does not
   - how gradients run back through pre-norm and post-norm blocks

.. meta::
   :keywords: residual stream, residual scaling, GPT-2, 1/sqrt(2N), pre-norm, post-norm, depth of a
      transformer, gradients
"""

# %%
# The stream
# ----------
# We take the small GPT of :doc:`the page before <plot_5_transformers>`. It reads an image as 49
# pixels in 16 grey levels, and each block adds to its stream twice: what attention mixes from the
# pixels so far, and what two layers with a GELU make of each pixel. Twelve blocks of width 64, and
# sixteen images:

import functools

import numpy as np
import torch

import initguide
from initguide import initializers as init
from initguide import plots, theory
from initguide.data import as_sequences
from initguide.models import GPT

WIDTH, DEPTH = 64, 12
data = initguide.fashion_mnist().subset(train=1000, valid=500, test=100)
tokens = as_sequences(data).train.images[:16]

# %%
# All weights are N(0, s²) with d · s² = 0.31, as in GPT-2 :cite:p:`radford2019`, and embeddings are
# N(0, 0.02²). GPT-2 also multiplies the last layer of each branch by 1/√(2N). N blocks have 2N
# branches, and :func:`~initguide.initializers.gpt2` counts them, unless ``factor=1`` leaves them as
# they are:

GPT2 = 768 * 0.02**2  # width times variance of the weights
start = functools.partial(
    init.gpt2, last=["blocks.*.branches.0.out", "blocks.*.branches.1.2"]
)


def measure(scheme, norm="pre", depth=DEPTH):
    """Mean squares of the stream and of its gradients, both (seeds, depth + 1)."""
    found = []
    for seed in range(4):
        net = initguide.initialize(GPT(WIDTH, depth, norm), scheme, seed=seed)
        stream = net.stream(tokens)
        draws = torch.Generator().manual_seed(100 + seed)
        end = torch.randn(stream[-1].shape, generator=draws)
        back = torch.autograd.grad((stream[-1] * end).sum(), stream)
        found.append(
            [[x.square().mean().item() for x in row] for row in (stream, back)]
        )
    return np.array(found).swapaxes(0, 1)


def predict(size=GPT2, *, factor=None, norm="pre", depth=DEPTH, embedding=0.02):
    """The same from the weights: ``stream`` and ``gradients``."""
    last = size * (factor or (2 * depth) ** -0.5) ** 2
    return theory.transformer_moments(
        tokens, depth, weights=size, last=last, norm=norm, embedding=embedding
    )


# %%
# In a pre-norm block each branch gets normalized inputs, so it should add about the same each time,
# however large the stream already is: the mean square should grow in proportion to depth. How much
# a branch adds follows from the weights. Of the two layers, each token's vector has the mean square
# 4 l E[GELU(z)²], where l is the width times the variance of the last layer, and z is normal of
# variance d · s². Attention averages, as long as its logits are small, so what it adds depends on
# how alike the tokens are. :func:`~initguide.theory.transformer_moments` keeps account of that: it
# follows the mean products of all pairs of tokens through the blocks, and their gradients back.

factors = {"not scaled": 1, "scaled": None}
streams, expected = {}, {}
for name, factor in factors.items():
    streams[name] = measure(start(factor=factor))[0]
    expected[name] = predict(factor=factor).stream.mean((1, 2))
plots.plot_prediction(
    streams,
    expected,
    at=range(DEPTH + 1),
    log=False,
    title="The stream of pre-norm blocks, branches scaled or not",
    xlabel="after block",
    ylabel="mean square",
)

# %%
# The table further down has the numbers at the end of the lower line. (A post-norm stream is
# normalized after each sum and stays at 1, so it is not drawn.)

off, even, uneven, first = [], [], [], []
for name, rows in streams.items():
    mean, line = rows.mean(0), expected[name]
    off.append(np.abs(mean / line - 1).max())
    steps = np.diff([line, mean])[:, 1:]  # what each block behind the first adds
    for ratios, row in zip((even, uneven), steps, strict=True):
        ratios.append(row.max() / row.min())
    first.append(mean[1] / mean[0])
(
    initguide.says(
        max(even) < 1.25,
        "From the second block on, each block is predicted to add about the same: the largest step "
        "is no more than {even:≤.2f} times the smallest, so the dashed lines are nearly straight.",
        "The blocks behind the first are predicted to add different amounts: the largest step is "
        "{even:.2f} times the smallest.",
        even=max(even),
    )
    + initguide.says(
        max(off) < 0.25,
        "The prediction, made for wide networks, tells the means at width {width} within "
        "{off:≤.0%}; of single steps, the largest is up to {uneven:≤.1f} times the smallest.",
        "The prediction, made for wide networks, is off by up to {off:≤.0%} at width {width}.",
        width=WIDTH,
        off=max(off),
        uneven=max(uneven),
    )
    + initguide.says(
        min(first) > 2,
        "At the left is the sum of the embeddings, and ``0.02`` is so small that the first block "
        "alone makes the stream {first:.0f} times as large or more, with the factor or without.",
        "At the left is the sum of the embeddings; the first block makes the stream {first:.1f} "
        "times as large, with the factor or without.",
        first=min(first),
    )
)

# %%
# How large is the stream after N blocks?

depths = (3, 6, 12, 24)
columns = {"blocks": depths}
for name, factor in factors.items():
    ends = [measure(start(factor=factor), depth=n)[0][:, -1].mean() for n in depths]
    predicted = [predict(factor=factor, depth=n).stream[-1].mean() for n in depths]
    columns |= {name: ends, f"{name}, predicted": predicted}
initguide.Table(
    columns,
    caption="Mean square of the stream at the end, pre-norm, GPT-2's weights",
    note="Mean of 4 seeds.",
    formats=dict.fromkeys(list(columns)[1:], ".3f"),
)

# %%
# With the factor the 2N branches together should add about as much as one of them alone:

plain, scaled = (np.array(columns[name]) for name in factors)
doubled = plain[1:] / plain[:-1]
line = streams["not scaled"].mean(0)
sums = scaled / ((line[-1] - line[0]) / (2 * DEPTH))  # beside one unscaled branch
held = sums.min() > 0.5 and sums.max() < min(2, 1.5 * sums.min())
initguide.says(
    doubled.min() > 1.6 and doubled.max() < 2.4,
    "Without the factor, twice the blocks make about twice the stream: {least:≥.2f} to {most:≤.2f} "
    "times.",
    "Without the factor, twice the blocks make {least:≥.2f} to {most:≤.2f} times the stream.",
    least=doubled.min(),
    most=doubled.max(),
) + initguide.says(
    held,
    "With it, the stream at the end is {least:≥.2f} to {most:≤.2f} times what one branch adds on "
    "average without it, at whatever depth. So the factor holds the sum of the branches at one "
    "size. It does not hold the stream where the embeddings left it.",
    "With it, the stream at the end is {least:≥.2f} to {most:≤.2f} times what one branch adds on "
    "average without it, which is not the one size that it should hold.",
    least=sums.min(),
    most=sums.max(),
)

# %%
# Gradients
# ---------
# A normalization divides what it is given by its size, and it divides the gradient by the same size
# on its way back. In a pre-norm block it stands in the branch, and what comes back through the
# branch is added to the gradient; in a post-norm block it stands in the stream, and all of the
# gradient runs through it. We send a random gradient in at the end and look at it after each block,
# with GPT-2's weights at the left, and at the right with larger ones, of variance 1/d:

ways = {"pre-norm": ("pre", 1), "pre-norm, scaled": ("pre", None)}
ways["post-norm"] = ("post", 1)
back, foretold = {}, {}
fig, axes = plots.subplots(1, 2, height=4.4, sharey=True)
for ax, size in zip(axes, (GPT2, 1.0), strict=True):
    measured, predicted = {}, {}
    for way, (norm, factor) in ways.items():
        measured[way] = measure(start(size, factor=factor), norm)[1][:, 1:]
        predicted[way] = predict(size, factor=factor, norm=norm).gradients[1:]
    back[size], foretold[size] = list(measured.values()), list(predicted.values())
    title = f"Gradients, d · Var(w) = {size:.2f}"
    look = {"xlabel": "after block", "ylabel": "mean square", "legend": False}
    plots.plot_prediction(measured, predicted, log=True, title=title, **look, ax=ax)
fig.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
)

# %%
# In pre-norm blocks, what counts is how large the stream is compared with what one branch adds to
# it. Near the input that ratio is smaller, whether branches are scaled or not.
# :cite:t:`xiong2020` contrast this with post-norm blocks, in which gradients are largest near the
# output.

small, large = (np.mean(back[size], axis=1) for size in back)  # (ways, blocks)
pre = np.concatenate([rows[:2, 0] / rows[:2, -1] for rows in (small, large)])
level = small[2].max() / small[2].min()
shrunk = large[2] / large[2, -1]
draws = back[1.0][2][:, 0]
logs = np.log(np.array([small, large]) / [*foretold.values()])
*others, misses = np.exp(np.abs(logs).max(2)).ravel()  # the last: post-norm, large
fits = max(others)
(
    initguide.says(
        min(pre) > 1.5 and max(pre) / min(pre) < 2,
        "In pre-norm blocks gradients *grow* on their way back, by nearly the same factor with and "
        "without scaling, with small weights and with large ones: {least:.1f} to {most:.1f}.",
        "In pre-norm blocks gradients change on their way back by factors of {least:.1f} to "
        "{most:.1f}, which differ with scaling or the size of the weights.",
        least=min(pre),
        most=max(pre),
    )
    + initguide.says(
        level < 1.5,
        "With ``GPT-2``'s weights, gradients of post-norm blocks are nearly level: the largest is "
        "{level:.2f} times the smallest.",
        "With ``GPT-2``'s weights, gradients of post-norm blocks are not level: the largest is "
        "{level:.1f} times the smallest.",
        level=level,
    )
    + initguide.says(
        shrunk.min() < 0.7,
        "With variance ``1/d`` they shrink on the way back, to {low:.2f} of what they were at the "
        "end, and come to {end:.2f} in the first block.",
        "With variance ``1/d`` they do not shrink by much on the way back: the smallest is "
        "{low:.2f} of what they were at the end.",
        low=shrunk.min(),
        end=shrunk[0],
    )
    + initguide.says(
        draws.max() > 2 * draws.min(),
        "There, draws differ: by a factor of {draws:.1f} in the first block.",
        "There, draws hardly differ: by a factor of {draws:.2f} in the first block.",
        draws=draws.max() / draws.min(),
    )
    + initguide.says(
        fits < 1.2 < misses,
        "The prediction tells the means of all gradients within a factor of {fits:≤.2f} except "
        "those, which it misses by up to {misses:≤.2f}: it leaves out that attention with large "
        "weights prefers some tokens, as :doc:`the page before <plot_5_transformers>` shows.",
        "The prediction is off by a factor of up to {fits:≤.2f} elsewhere, and there by "
        "{misses:≤.2f}.",
        fits=fits,
        misses=misses,
    )
)

# %%
# None of this tells yet whether training notices. The page before trains six blocks with and
# without the factor, and pre-norm beside post-norm.
#
# .. admonition:: Try it
#
#    PyTorch's embeddings are N(0, 1). What does the factor hold then? Predict the stream at its
#    beginning and its end for 6 and 24 blocks, with and without it, then measure.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          for depth in (6, 24):
#              for factor in (1, None):
#                  case = {"factor": factor, "embedding": 1.0}
#                  theirs = predict(depth=depth, **case).stream.mean((1, 2))
#                  ours = measure(start(**case), depth=depth)[0].mean(0)
#                  print(depth, factor, theirs[[0, -1]].round(2), ours[[0, -1]].round(2))
#          # Next to embeddings of mean square 2 the scaled branches should be small at any depth.
#          # Without the factor they should outgrow it after some blocks.
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        max(even) < 1.25 and doubled.min() > 1.6 and doubled.max() < 2.4,
        "Pre-norm branches get normalized inputs, so each should add about the same, and the "
        "stream's mean square grows in proportion to depth.",
        "Pre-norm branches get normalized inputs, so each should add about the same; here the "
        "stream's mean square did not grow in proportion to depth.",
        key="residual-stream-grows",
    ),
    initguide.says(
        held,
        "With :math:`1/\\sqrt{{2N}}` on the last layers, N blocks together added about as much as "
        "one branch, at each depth tried.",
        "With :math:`1/\\sqrt{{2N}}` on the last layers, N blocks together should add about as "
        "much as one branch; at some depth they did not.",
        key="residual-stream-factor",
    )
    + initguide.says(
        min(first) > 2,
        "Where embeddings are small, that is still much more than they are.",
        "That is not much beside these embeddings.",
    ),
    initguide.says(
        min(pre) > 1.5 and max(pre) / min(pre) < 2,
        "Gradients grow towards the input in pre-norm blocks, with small and with large weights "
        "alike.",
        "Gradients did not grow alike towards the input in all pre-norm blocks.",
    )
    + initguide.says(
        level < 1.5 and shrunk.min() < 0.7,
        "In post-norm blocks they are nearly level with small weights, and shrink on part of the "
        "way with large ones.",
        "In post-norm blocks it did not come out that they are level with small weights and shrink "
        "with large ones.",
    ),
    initguide.says(
        max(off) < 0.25 and fits < 1.2,
        "The T × T mean products of the tokens predict the means of streams, and of gradients "
        "except those of post-norm blocks with large weights.",
        "The T × T mean products of the tokens did not predict all streams and gradients.",
    ),
    initguide.says(
        held,
        "**Rule:** to keep the stream at one size whatever the depth, use ``init.gpt2(last=[…])``, "
        "or ``init.residual_scaled(…, last=[…])`` with weights of your own.",
        "**Rule:** look at the stream yourself: the factor of ``init.gpt2(last=[…])`` did not keep "
        "it at one size here.",
    ),
)

# %%
# Another network that applies the same weights again and again, at every step in time:
# :doc:`recurrent networks </auto_examples/architectures/plot_7_recurrent>`.
