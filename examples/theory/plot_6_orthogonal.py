"""
6. Orthogonal weights and dynamical isometry
============================================

A network can keep the size of its signals on average and still treat directions very unequally:
some stretched a hundredfold, most squashed to nothing. Orthogonal weights treat all directions
alike. This page measures what that does to whole networks, predicts from one rule how it changes
with depth and activation, and then asks whether it pays in training.

.. admonition:: What you will learn

   - what the singular values of a network's :term:`Jacobian` say, and how to measure them
   - why depth spreads them out with Gaussian weights, what ReLU adds, and how to get around that
   - what orthogonal weights are worth in training, in a deep network and in a shallow one

.. meta::
   :keywords: orthogonal initialization, dynamical isometry, singular values, Jacobian, Gaussian
      weights, deep networks
"""

# %%
# One layer
# ---------
# A matrix turns a ball into an ellipsoid, and its singular values are the lengths of the axes.
# Gaussian weights of variance 1/n, n the :term:`fan-in`, and orthogonal ones both keep the length
# of a vector on average. What they do to single directions differs. The images are halved to 14 ×
# 14 pixels, so that all layers can be square, with 196 units.

import math

import numpy as np
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, theory

data = initguide.fashion_mnist()
images = nn.functional.avg_pool2d(data.train.images[:1], 2).flatten(start_dim=1)
images = (images - images.mean(1, keepdim=True)) / images.std(1, keepdim=True)
WIDTH, SEEDS, DEPTHS = images.shape[1], range(4), np.array([1, 2, 4, 8, 16, 32])

draws = {"Gaussian": init.lecun_normal(), "orthogonal": init.orthogonal()}
one = {}
for name, scheme in draws.items():
    layer = initguide.initialize(nn.Linear(WIDTH, WIDTH), scheme, seed=0)
    one[name] = s = torch.linalg.svdvals(layer.weight)
    square = s.square().mean()
    print(f"{name}: mean square {square:.3f}, from {s.min():.4f} to {s.max():.4f}")

# %%

(
    initguide.says(
        one["Gaussian"].max() > 1.8 and one["Gaussian"].min() < 0.05,
        "The Gaussian weights stretch some directions by almost ``2`` and flatten others.",
        "The Gaussian weights stretch some directions more than others, by up to {high:.2f}.",
        high=one["Gaussian"].max(),
    )
    + initguide.says(
        (one["orthogonal"] - 1).abs().max() < 1e-4,
        "The orthogonal ones rotate, or mirror: every direction keeps its length.",
        "The orthogonal ones should keep every length; rounding takes some of that away here.",
    )
    + initguide.says(
        all((s.square().mean() - 1).abs() < 0.05 for s in one.values()),
        "The mean square of the singular values, about ``1``, is the same for both, and so is what "
        "becomes of a vector's length on average over its directions.",
        "The mean square of the singular values should be ``1`` for both; this draw is off.",
    )
)

# %%
# Many layers
# -----------
# A small change of the input changes the output by the :term:`Jacobian`, a product of weight
# matrices and of diagonal ones that hold the slopes of the activation. Here are its singular values
# for networks of 32 layers. The :term:`gain` is 1 for linear and tanh layers, √2 for ReLU, which
# makes the Gaussian weights He's.

he = {"Gaussian": init.he_normal(), "orthogonal": init.orthogonal(math.sqrt(2))}
networks = {  # activation, gain, schemes
    "linear": (nn.Identity, 1.0, draws),
    "tanh": (nn.Tanh, 1.0, draws),
    "ReLU": (nn.ReLU, math.sqrt(2), he),
}


def singular_values(activation, scheme):
    """(depths, draws, units) singular values of the Jacobian at one image."""
    found = []
    for depth in DEPTHS:
        net = initguide.mlp([WIDTH] * (depth + 1), activation)
        for seed in SEEDS:
            initguide.initialize(net, scheme, seed=seed)
            measured = initguide.measure(net, images, jacobian=1)
            found.append(measured.jacobian_singular_values[0])
    return np.array(found, dtype=float).reshape(len(DEPTHS), len(SEEDS), WIDTH)


values, words = {}, []
fig, axes = plots.subplots(1, 3, height=3.6, sharey=True)
for ax, (name, (phi, _, schemes)) in zip(axes, networks.items(), strict=True):
    for kind, style in zip(draws, ("-", "--"), strict=True):
        values[name, kind] = s = singular_values(phi, schemes[kind])
        scaled = s[-1] / np.sqrt((s[-1] ** 2).mean(axis=1, keepdims=True))
        look = {"color": plots.color_of(str(draws[kind])), "linestyle": style}
        plots.draw_band(scaled, at=range(1, WIDTH + 1), ax=ax, label=kind, **look)
        ends = np.quantile(scaled.mean(axis=0), (1, 0.5, 0))
        words.append(f"{name}, {kind} " + ", ".join(f"{end:.2g}" for end in ends))
    ax.set(title=name, xlabel="rank", yscale="log", ylim=(1e-3, 20))
axes[0].set_ylabel("singular value / root mean square,\nlogarithmic scale")
axes[0].legend(loc="lower left")
title = "Singular values of 32 layers by rank. Largest, median and smallest: "
plots.describe(fig, title + "; ".join(words))

# %%
# Lines are means of four draws of the weights, bands the range, at one image. A direction of rank
# 100 has the hundredth largest factor of 196. If all factors are 1, that is :term:`dynamical
# isometry`, described by :cite:t:`saxe2014`. Call a direction *lost* if its factor is below a
# hundredth of the root mean square. A gradient on its way back meets the same factors, so that the
# same share of its directions is lost:

lost = {}
for key, s in values.items():
    size = np.sqrt((s[-1] ** 2).mean(axis=1, keepdims=True))
    lost[key] = (s[-1] < size / 100).mean()
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
# Dots are the four draws, dashes the prediction. In words:

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
        "distance is {off:.0%}.",
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
# Around the obstacle
# -------------------
# What defeats ReLU is independence, and weights need not be independent :cite:p:`balduzzi2017`. Let
# a layer have every weight vector twice, once with each sign. Its units come in pairs, relu(z) and
# relu(−z), and the next layer takes their difference, which is z. So a ReLU network of twice the
# width starts as a linear one, in which each layer applies one matrix. Here these are orthogonal:

net = initguide.mlp([WIDTH, *[2 * WIDTH] * 31, WIDTH], nn.ReLU, bias=False)
square = nn.Linear(WIDTH, WIDTH)
for i in range(32):
    q = initguide.initialize(square, draws["orthogonal"], seed=i).weight.data
    wide = torch.cat([q, -q], dim=1) if i > 0 else q
    layer = net.get_submodule(f"fc{i + 1}")
    layer.weight.data = torch.cat([wide, -wide]) if i < 31 else wide.clone()

pairs = initguide.measure(net, images, jacobian=1).jacobian_singular_values[0]
print(f"singular values from {pairs.min():.4f} to {pairs.max():.4f}")

# %%

initguide.says(
    max(abs(pairs.min() - 1), abs(pairs.max() - 1)) < 1e-3,
    "All are ``1``: this is dynamical isometry with ReLU.",
    "They should all be ``1``; here rounding has grown over the layers.",
    key="relu-mirrored-isometry",
)

# %%
# Does it pay?
# ------------
# In a shallow network there is little spread to remove. So orthogonal weights should not matter
# there, but in a deep network they should. We train networks of 32 and of 4 hidden layers:

small = data.subset(train=3000, valid=1000)
mean, std = small.train.images.mean(), small.train.images.std()
small = small.transformed(lambda x: (x - mean) / std, "mean 0, variance 1")


def compare(name, depth, learning_rate=1e-3, seeds=10):
    """Two epochs from Gaussian and from orthogonal weights, biases 0."""
    activation, _, schemes = networks[name]
    return initguide.compare_init_weights(
        schemes,
        small,
        model=lambda: initguide.mlp([784, *[100] * depth, 10], activation),
        learning_rate=learning_rate,
        seeds=seeds,
    )


gaps = {}
for name, depth in (("ReLU", 32), ("tanh", 4), ("tanh", 32)):
    result = compare(name, depth)
    gaps[name, depth] = gap = result.difference("orthogonal", "Gaussian")
    print(f"{name}, {depth} layers:", gap)

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
# Theory says how much spread there is, and training how much of it hurts. The losses of the last
# comparison, the deep tanh network:

plots.plot_losses(result, smooth=5)

# %%
# Look for where the lines part, and at the width of the bands: where a band is wide, some draws
# start worse than others. (:doc:`/auto_examples/theory/plot_9_finite_width` follows that up.)
#
# .. admonition:: Try it
#
#    All this was at one learning rate. Train the deep tanh network with 1e-4: how much of the
#    difference is left?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          slower = compare("tanh", 32, learning_rate=1e-4, seeds=3)
#          print(slower)
#          print(slower.difference("orthogonal", "Gaussian"))
#
# What we learnt
# --------------

linear = {kind: values["linear", kind][-1] for kind in draws}
sizes = [np.sqrt((s**2).mean()) for s in linear.values()]
range_of = {
    kind: s.max(axis=1) / np.median(s, axis=1) for kind, s in linear.items()
}
initguide.bullets(
    initguide.says(
        0.5 < sizes[0] / sizes[1] < 2 and range_of["Gaussian"].min() > 100,
        "Singular values of the Jacobian tell how a network treats single directions. Two linear "
        "networks with about the same mean square differed in them by orders of magnitude.",
        "Singular values of the Jacobian tell how a network treats single directions, and the mean "
        "square alone does not.",
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
        "rate and in two epochs.",
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
        lost["ReLU", "orthogonal"] > 0.5 and abs(pairs - 1).max() < 1e-3,
        "Independent orthogonal weights give no dynamical isometry with ReLU, for half of the "
        "slopes are ``0``. Orthogonal weights in mirrored pairs do.",
        "With ReLU, dynamical isometry is a matter of weights in mirrored pairs; independent ones "
        "meet slopes that are ``0``.",
        key="orthogonal-relu-no-isometry",
    ),
)

# %%
# What the inputs and the last layer add is next: :doc:`inputs and the first loss
# </auto_examples/theory/plot_7_inputs>`. The scheme is one of those that :doc:`the lesson
# </auto_examples/lesson/plot_7_choose>` compares on a network of three layers.
