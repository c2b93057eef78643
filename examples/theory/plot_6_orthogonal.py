"""
6. Orthogonal weights and dynamical isometry
============================================

A network can keep the size of its signals on average and still treat directions very unequally:
a few stretched several times over, most squashed to nothing. Orthogonal weights treat all
directions alike. This page measures what that does to whole networks, predicts from one rule how
it changes with depth and activation, and then asks whether it pays in training.

.. admonition:: What you will learn

   - what the singular values of a network's :term:`Jacobian` say, and how to measure them
   - why depth spreads them out with Gaussian weights, what ReLU adds, and how to get around that
   - what orthogonal weights are worth in training, in a deep network and in a shallow one

.. meta::
   :keywords: orthogonal initialization, dynamical isometry, singular values, Jacobian, Gaussian
      weights, deep networks
"""

# %%
# One layer, and many
# -------------------
# A matrix turns a ball into an ellipsoid, and its singular values are the lengths of the axes.
# Square Gaussian weights of variance 1/n, n the :term:`fan-in`, and orthogonal ones both keep the
# length of a vector on average over its directions. But for large n the singular values of the
# Gaussian ones lie between 0 and 2, and those of the orthogonal ones are all 1: they rotate, or
# mirror.
#
# A small change of a network's input changes the output by the :term:`Jacobian`, a product of
# weight matrices and of diagonal ones that hold the slopes of the activation. We take its singular
# values for networks of up to 32 layers. The :term:`gain` is 1 for linear and tanh layers, √2 for
# ReLU, which makes the Gaussian weights He's. The images are halved to 14 × 14 pixels, so that all
# layers can be square, with 196 units.

import functools
import math

import numpy as np
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, theory

data = initguide.fashion_mnist()
images = nn.functional.avg_pool2d(data.train.images[:1], 2).flatten(start_dim=1)
images = (images - images.mean(1, keepdim=True)) / images.std(1, keepdim=True)
WIDTH, DEPTHS = images.shape[1], np.array([1, 2, 4, 8, 16, 32])

draws = {"Gaussian": init.lecun_normal(), "orthogonal": init.orthogonal()}
he = {"Gaussian": init.he_normal(), "orthogonal": init.orthogonal(math.sqrt(2))}
networks = {  # activation, gain, schemes
    "linear": (nn.Identity, 1.0, draws),
    "tanh": (nn.Tanh, 1.0, draws),
    "ReLU": (nn.ReLU, math.sqrt(2), he),
}


def factors(activation, depth, scheme, seed):
    """Singular values of the Jacobian at one image, one for each of the units."""
    net = initguide.mlp([WIDTH] * (depth + 1), activation)
    initguide.initialize(net, scheme, seed=seed)
    return initguide.measure(net, images, jacobian=1).jacobian_singular_values[0]


values, deepest, lost = {}, {}, {}  # network and kind of weights -> numbers
for name, (phi, _, schemes) in networks.items():
    for kind, scheme in schemes.items():
        found = [[factors(phi, n, scheme, k) for k in range(4)] for n in DEPTHS]
        values[name, kind] = s = np.array(found, dtype=float)
        scaled = s[-1] / np.sqrt((s[-1] ** 2).mean(axis=1, keepdims=True))
        deepest[name, kind], lost[name, kind] = scaled, (scaled < 0.01).mean()

# %%
# If all factors are 1, that is :term:`dynamical isometry`, described by :cite:t:`saxe2014`. Call a
# direction *lost* if its factor is below a hundredth of the root mean square. A gradient on its way
# back meets the same factors, and the same share of its directions is lost.

initguide.asks(
    "Gaussian weights lose {gaussian:.0%} of the directions behind ``32`` layers with ReLU. How "
    "many do orthogonal weights lose there?",
    [
        "Nearly as many as Gaussian weights.",
        "About half of them: ReLU drops half of what it is given.",
        "None, or next to none: an orthogonal matrix keeps every direction.",
    ],
    [
        lost["ReLU", "orthogonal"] > 0.8 * lost["ReLU", "Gaussian"],
        0.4 < lost["ReLU", "orthogonal"] < 0.6,
        lost["ReLU", "orthogonal"] < 0.1,
    ],
    initguide.says(
        lost["ReLU", "orthogonal"] > 0.8 * lost["ReLU", "Gaussian"],
        "They lose {lost:.0%}. Every layer keeps all directions, but each ReLU drops half of the "
        "units, and over the layers that adds up.",
        "They lose {lost:.0%}.",
        lost=lost["ReLU", "orthogonal"],
    ),
    gaussian=lost["ReLU", "Gaussian"],
)

# %%

words = []
fig, axes = plots.subplots(1, 3, height=3.6, sharey=True)
panels = dict(zip(networks, axes, strict=True))
for (name, kind), scaled in deepest.items():
    style = "-" if kind == "Gaussian" else "--"
    look = {"color": plots.color_of(str(draws[kind])), "ls": style, "label": kind}
    plots.draw_band(scaled, at=range(1, WIDTH + 1), ax=panels[name], **look)
    ends = np.quantile(scaled.mean(axis=0), (1, 0.5, 0))
    words.append(f"{name}, {kind} " + ", ".join(f"{end:.2g}" for end in ends))
for name, ax in panels.items():
    ax.set(title=name, xlabel="rank", yscale="log", ylim=(1e-3, 20))
axes[0].set_ylabel("singular value / root mean square,\nlogarithmic scale")
axes[0].legend(loc="lower left")
title = "Singular values of 32 layers by rank. Largest, median and smallest: "
plots.describe(fig, title + "; ".join(words))

# %%
# Lines are means of four draws of the weights, bands the range. A direction of rank 100 has the
# hundredth largest factor of 196.

(
    initguide.says(
        min(lost[name, "Gaussian"] for name in networks) > 0.5,
        "With Gaussian weights, ``32`` layers lose most directions: {linear:.0%} in the linear "
        "network, {tanh:.0%} with tanh and {relu:.0%} with ReLU.",
        "With Gaussian weights, ``32`` layers lose {linear:.0%} of the directions in the linear "
        "network, {tanh:.0%} with tanh and {relu:.0%} with ReLU.",
        linear=lost["linear", "Gaussian"],
        tanh=lost["tanh", "Gaussian"],
        relu=lost["ReLU", "Gaussian"],
    )
    + initguide.says(
        np.abs(values["linear", "orthogonal"] - 1).max() < 1e-3,
        "Orthogonal weights make all values of the linear network ``1``.",
        "Orthogonal weights should make all values of the linear network ``1``; here rounding has "
        "grown over the layers.",
    )
    + initguide.says(
        lost["tanh", "orthogonal"] < 0.05 and lost["ReLU", "orthogonal"] > 0.5,
        "With tanh they lose {tanh:.0%}, but with ReLU still {relu:.0%}.",
        "With tanh they lose {tanh:.0%}, with ReLU {relu:.0%}.",
        tanh=lost["tanh", "orthogonal"],
        relu=lost["ReLU", "orthogonal"],
    )
)

# %%
# What is it that the activation does?
#
# One rule
# --------
# Take as a measure of the spread the variance of the squared singular values, relative to the
# square of their mean. It is 0 when all are equal, and 195 if only one of 196 directions is passed
# on. For a product of large random matrices that are independent of each other, these relative
# variances **add up** :cite:p:`pennington2017`:
#
# - a square Gaussian matrix adds 1, an orthogonal one 0;
# - the slopes of an activation add E[φ'⁴] / E[φ'²]² - 1. That is 0 for a linear layer, and 1 for
#   ReLU, whose slopes are 0 and 1 in equal shares. For tanh it falls with the size of the signal,
#   and at gain 1 the signal shrinks with depth.
#
# :func:`~initguide.theory.jacobian_spread` adds them up, with the size of the signal from the
# :term:`length map`:

spread, rule = {}, {}  # network, kind -> measured and predicted, by depth
fig, axes = plots.subplots(1, 3, height=4.2, sharey=True)
for ax, (name, (phi, gain, _)) in zip(axes, networks.items(), strict=True):
    for kind in draws:
        square, even = values[name, kind] ** 2, kind == "orthogonal"
        spread[name, kind] = (square.var(axis=2) / square.mean(axis=2) ** 2).T
        predicted = theory.jacobian_spread(phi(), gain, 32, orthogonal=even)
        rule[name, kind] = predicted[DEPTHS - 1]
    plots.plot_prediction(
        {kind: spread[name, kind] for kind in draws},
        {kind: rule[name, kind] for kind in draws},
        at=DEPTHS,
        schemes={kind: str(scheme) for kind, scheme in draws.items()},
        log=False,
        title=name,
        xlabel="layers",
        legend=False,
        ax=ax,
    )
axes[0].set_ylabel("relative variance of the\nsquared singular values")
handles = axes[0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=4)

# %%
# Dots are the four draws, dashes the prediction.

off, at_32 = 0.0, {}  # the largest relative distance of a mean from its prediction
for key, by_depth in spread.items():
    expected, found = rule[key], by_depth.mean(axis=0)
    off = max(off, (np.abs(found - expected) / np.maximum(expected, 0.1)).max())
    at_32[key] = found[-1]
halved = at_32["ReLU", "Gaussian"] / at_32["ReLU", "orthogonal"]
(
    initguide.says(
        off < 0.3,
        "The means of four draws follow the predictions for all six kinds of networks; the largest "
        "relative distance is {off:.0%}.",
        "The means of four draws follow the predictions only roughly: the largest distance is "
        "{off:.0%}.",
        key="jacobian-spread-adds",
        off=off,
    )
    + initguide.says(
        1.5 < halved < 2.7,
        "The slopes of ReLU add as much per layer as Gaussian weights do, and orthogonal weights "
        "take nothing of that away: they about halve the spread, from {gaussian:.0f} to "
        "{orthogonal:.0f} in ``32`` layers.",
        "For ReLU the rule says that orthogonal weights halve the spread; measured, it goes from "
        "{gaussian:.0f} to {orthogonal:.0f} in ``32`` layers.",
        gaussian=at_32["ReLU", "Gaussian"],
        orthogonal=at_32["ReLU", "orthogonal"],
    )
    + initguide.says(
        spread["tanh", "orthogonal"].mean(axis=0).max() < 2,
        "For tanh nearly everything comes from the weights, so that orthogonal ones keep the "
        "spread at {tanh:.1f}.",
        "For tanh most of it should come from the weights; with orthogonal ones {tanh:.1f} is "
        "left.",
        tanh=at_32["tanh", "orthogonal"],
    )
)

# %%
# What defeats ReLU is independence, and weights need not be independent :cite:p:`balduzzi2017`. Let
# a layer have every weight vector twice, once with each sign. Its units come in pairs, relu(z) and
# relu(−z), and the next layer takes their difference, which is z. So a ReLU network of twice the
# width starts as a linear one, in which each layer applies one matrix; if that is orthogonal, all
# singular values are 1.
#
# Does it pay?
# ------------
# In a shallow network there is little spread to remove. So orthogonal weights should not matter
# there, but in a deep network they should. We train networks of 32 and of 4 hidden layers for two
# epochs, 60 mini-batches of Adam:

small = data.subset(train=3000, valid=1000)
mean, std = small.train.images.mean(), small.train.images.std()
small = small.transformed(lambda x: (x - mean) / std, "mean 0, variance 1")

gaps = {}
for name, depth in (("ReLU", 32), ("tanh", 4), ("tanh", 32)):
    phi, _, schemes = networks[name]
    network = functools.partial(initguide.mlp, [784, *[100] * depth, 10], phi)
    result = initguide.compare_init_weights(schemes, small, model=network, seeds=10)
    gaps[name, depth] = result.difference("orthogonal", "Gaussian")

# %%
# Each interval is over ten seeds, with the same 1,000 validation images for all of them.

deep, shallow, relu = gaps["tanh", 32], gaps["tanh", 4], gaps["ReLU", 32]
(
    initguide.says(
        deep.better(),
        "The tanh network of ``32`` layers is better after two epochs from orthogonal weights, by "
        "{gap:.1f} points.",
        "The tanh network of ``32`` layers is worse after two epochs from orthogonal weights: "
        "{gap:+.1f} points.",
        "For the tanh network of ``32`` layers, these seeds cannot tell which weights are better: "
        "{gap:+.1f} points.",
        gap=deep,
    )
    + initguide.says(
        shallow.better(),
        "With ``4`` layers it is better, too: {gap:+.1f}.",
        "With ``4`` layers it is worse: {gap:+.1f}.",
        "With ``4`` layers no difference is shown: {gap:+.1f}.",
        gap=shallow,
    )
    + initguide.says(
        relu.better(),
        "For ReLU, where orthogonal weights halve the spread and do not remove it, they are better "
        "as well: {gap:+.1f}.",
        "For ReLU, where orthogonal weights halve the spread and do not remove it, they are worse: "
        "{gap:+.1f}.",
        "For ReLU, where orthogonal weights halve the spread and do not remove it, these seeds "
        "cannot tell whether they help: {gap:+.1f}.",
        gap=relu,
    )
)

# %%
# Theory says how much spread there is, and training how much of it hurts.
#
# .. admonition:: Try it
#
#    Write the scheme that makes every weight matrix orthogonal yourself, and let it be checked: a
#    wrong answer is told what was misunderstood.
#
#    .. code-block:: python
#
#       from initguide import exercises
#
#       def my_scheme(m):
#           ...  # yours
#
#       exercises.check("orthogonal", my_scheme)
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          from initguide import exercises
#
#          def my_scheme(m):
#              if isinstance(m, nn.Linear):
#                  nn.init.orthogonal_(m.weight)
#                  nn.init.zeros_(m.bias)
#
#          exercises.check("orthogonal", my_scheme)
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        lost["linear", "Gaussian"] > 0.5 and lost["linear", "orthogonal"] < 0.01,
        "Singular values of the Jacobian tell how a network treats single directions. Of two "
        "linear networks that keep the mean square on average, the one with Gaussian weights lost "
        "{lost:.0%} of them, the one with orthogonal weights none.",
        "Singular values of the Jacobian tell how a network treats single directions. Of two "
        "linear networks that keep the mean square on average, the one with Gaussian weights lost "
        "{lost:.0%} of them.",
        lost=lost["linear", "Gaussian"],
    ),
    initguide.says(
        off < 0.3,
        "Their relative variance adds up over layers, as predicted: Gaussian weights add ``1`` per "
        "layer, orthogonal ones ``0``, slopes of ReLU ``1``, and slopes of tanh little where the "
        "signal is small.",
        "Their relative variance should add up over layers; these networks follow the rule only "
        "roughly.",
    ),
    initguide.says(
        deep.better(),
        "A tanh network of ``32`` layers learnt faster from orthogonal weights, at one learning "
        "rate and in two short epochs.",
        "A tanh network of ``32`` layers learnt more slowly from orthogonal weights, at one "
        "learning rate and in two epochs.",
        "Whether a tanh network of ``32`` layers learns faster from orthogonal weights, ten seeds "
        "at one learning rate do not tell.",
        key="orthogonal-tanh-deep",
    )
    + initguide.says(
        shallow.better(),
        "One of ``4`` layers did so, too.",
        "One of ``4`` layers learnt more slowly from them.",
        "With ``4`` layers no such difference was found.",
        key="orthogonal-tanh-shallow",
    )
    + initguide.says(
        relu.better(),
        "With ReLU and ``32`` layers they were ahead as well.",
        "With ReLU and ``32`` layers they were behind.",
        "With ReLU and ``32`` layers the question is open.",
        key="orthogonal-relu-deep",
    ),
    initguide.says(
        lost["ReLU", "orthogonal"] > 0.5,
        "Independent orthogonal weights give no dynamical isometry with ReLU, for half of the "
        "slopes are ``0``: {lost:.0%} of the directions were lost.",
        "With ReLU, independent orthogonal weights meet slopes that are ``0``, though that lost "
        "only {lost:.0%} of the directions.",
        lost=lost["ReLU", "orthogonal"],
        key="orthogonal-relu-no-isometry",
    ),
)

# %%
# What the inputs and the last layer add is next: :doc:`inputs and the first loss
# </auto_examples/theory/plot_7_inputs>`. The scheme is one of those that :doc:`the lesson
# </auto_examples/lesson/plot_7_choose>` compares on a network of three layers.
