"""
6. The residual stream
======================

The blocks of a transformer only add: each branch adds its output to one stream that runs from the
embeddings to the head. How large does that stream become, how do gradients
run back along it, and what is GPT-2's factor for the last layer of each branch good for? This page
predicts both from the weights alone and measures them.

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
# In a pre-norm block each branch gets normalized inputs, so it adds about the same each time,
# however large the stream already is: the mean square should grow in proportion to depth. How much
# a branch adds follows from the weights. Of the two layers, each token's vector has the mean square
# 4 l E[GELU(z)²], where l is the width times the variance of the last layer, and z is normal of
# variance d · s². Attention averages, as long as its logits are small, so what it adds depends on
# how alike the tokens are. :func:`~initguide.theory.transformer_moments` keeps account of that: it
# follows the mean products of all pairs of tokens through the blocks, and their gradients back.

fig, axes = plots.subplots(1, 2, height=4.2)
for ax, factor in zip(axes, (1, None), strict=True):
    plots.plot_prediction(
        {"mean of 4 seeds": measure(start(factor=factor))[0]},
        predict(factor=factor).stream.mean((1, 2)),
        at=list(range(DEPTH + 1)),
        log=False,
        title="Pre-norm, branches " + ("not scaled" if factor else "scaled"),
        xlabel="after block",
        ylabel="mean square of the stream",
        legend=False,
        ax=ax,
    )
fig.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
)

# %%
# The prediction, made for wide networks, runs along the band of what was measured at width 64, and
# both are nearly straight lines: each block adds about the same. With the factor they are straight,
# too; look at the scale. Both begin at the left with the sum of the embeddings, and 0.02 is so
# small that the first block alone makes the stream several times as large, with the factor or
# without. (A post-norm stream is normalized after each sum and stays at 1, so it is not drawn.)
#
# How large is the stream after N blocks?

depths = (3, 6, 12, 24)
columns = {"blocks": depths}
for name, factor in (("not scaled", 1), ("scaled", None)):
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
# Without the factor, twice the blocks make twice the stream. With it the 2N branches together add
# about as much as one of them would alone, at every depth. So the factor holds the sum of the
# branches at one size whatever the depth. It does not hold the stream where the embeddings left it.
#
# Gradients
# ---------
# A normalization divides what it is given by its size, and it divides the gradient by the same size
# on its way back. In a pre-norm block it stands in the branch, and what comes back through the
# branch is added to the gradient; in a post-norm block it stands in the stream, and all of the
# gradient runs through it. We send a random gradient in at the end and look at it after each block,
# with GPT-2's weights at the left, and at the right with larger ones, of variance 1/d:

ways = {"pre-norm": ("pre", 1), "pre-norm, scaled": ("pre", None)}
ways["post-norm"] = ("post", 1)
fig, axes = plots.subplots(1, 2, height=4.4, sharey=True)
for ax, size in zip(axes, (GPT2, 1.0), strict=True):
    measured, predicted = {}, {}
    for way, (norm, factor) in ways.items():
        measured[way] = measure(start(size, factor=factor), norm)[1][:, 1:]
        predicted[way] = predict(size, factor=factor, norm=norm).gradients[1:]
    plots.plot_prediction(
        measured,
        predicted,
        at=list(range(1, DEPTH + 1)),
        log=True,
        title=f"Gradients, d · Var(w) = {size:.2f}",
        xlabel="after block",
        legend=False,
        ax=ax,
    )
axes[0].set_ylabel("mean square,\nlogarithmic scale")
fig.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
)

# %%
# In pre-norm blocks gradients *grow* on their way back, by nearly the same factor with and without
# scaling, with small weights and with large ones: what counts is how large the stream is compared
# with what a branch adds, and that is smaller near the input, whatever the unit.
# :cite:t:`xiong2020` contrast this with post-norm blocks, in which gradients are largest near the
# output. With GPT-2's weights ours are nearly level in post-norm blocks. With variance 1/d they
# shrink on the way back, in part come back, and differ much between draws. The prediction has the
# shape, though not the size near the input: it leaves out that attention with large weights prefers
# some tokens, as :doc:`the page before <plot_5_transformers>` shows.
#
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
#          # Next to embeddings of mean square 2 the scaled branches are small at any depth, so the
#          # stream stays where it was. Without the factor they outgrow it after some blocks.
#
# What we learnt
# --------------
# - Pre-norm branches get normalized inputs, so each adds about the same, and the stream's mean
#   square grows in proportion to depth.
# - With 1/√(2N) on the last layers, N blocks together add about as much as one branch, at any
#   depth. Where embeddings are small, that is still much more than they are.
# - Gradients grow towards the input in pre-norm blocks, whatever the scale of the weights. In
#   post-norm blocks they do not: they are nearly level with small weights, and shrink on part of
#   the way with large ones.
# - The T × T mean products of the tokens predict all of it, except the gradients of post-norm
#   blocks with large weights.
# - **Rule:** to keep the stream at one size whatever the depth, use ``init.gpt2(last=[…])``, or
#   ``init.residual_scaled(…, last=[…])`` with weights of your own.
#
# Another network that applies the same weights again and again, at every step in time:
# :doc:`recurrent networks </auto_examples/architectures/plot_7_recurrent>`.
