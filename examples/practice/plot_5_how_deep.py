"""
5. How deep can it go?
======================

From the size of the weights alone, theory predicts over how many layers a signal and a gradient
survive. Does that decide how many layers can be trained? This page trains eight hundred networks,
of all depths and many sizes of weights, and lays the prediction over the result.

.. index:: ! trainable depth, ! how deep

.. admonition:: What you will learn

   - a map of what can be trained, depth against the size of the weights, for tanh and for ReLU
   - that its border is nearly the same multiple of the predicted depth scale everywhere
   - what more training and another optimizer do to that border, and what they do not

.. meta::
   :keywords: how deep, maximum depth, trainable depth, depth scale, deep networks do not train,
      vanishing gradients, exploding gradients, edge of chaos, tanh, ReLU, sigma_w
"""

# %%
# The prediction
# --------------
# Draw a layer's weights with standard deviation σ_w/√n, n the :term:`fan-in`, and set biases to 0.
# On its way through one layer of a wide network, the mean square of a gradient is multiplied by
# :term:`chi`. So it changes by a factor of e in ξ = 1/abs(ln χ) layers, the :term:`depth scale`.
# :doc:`An earlier page </auto_examples/theory/plot_5_depth>` measured it before training.
#
# :cite:t:`schoenholz2017` found that a network trains if it is no deeper than a few ξ. We draw 6
# ξ. Theory does not say which multiple; what it predicts is the *shape* of the border: infinite at
# the :term:`edge of chaos`, σ_w = 1 for tanh and √2 for ReLU, and falling off on both sides as ξ
# does. To the left lies order, where gradients vanish; to the right chaos, where they explode.
#
# We put it to the test with layers of 64 units, on images of 14 × 14 pixels. The scheme is LeCun's
# (σ_w = 1), and ``scale`` multiplies its weights, so ``scale`` *is* σ_w.

import numpy as np
from torch import nn

import initguide
from initguide import experiments, plots, theory

DEPTHS = [2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 21, 24, 28, 32, 36, 40, 45, 50]
SIGMAS = {"tanh": np.linspace(0.5, 2.97, 20), "relu": np.linspace(0.8, 2.32, 20)}

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=10)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = nn.AvgPool2d(2)
small = data.transformed(lambda x: shrink((x - mean) / std), "standardized")


def train(name, grid, seeds=3, **changes):
    """A sweep by momentum, or as the changes say."""
    phi = nn.Tanh if name == "tanh" else nn.ReLU
    settings = {"optimizer": "momentum", "learning_rate": 0.01, "epochs": 1}
    settings |= {"scheme": "lecun_normal", "batch_size": 64, "seeds": seeds}
    settings["model"] = lambda depth: initguide.mlp([196, *[64] * depth, 10], phi)
    return initguide.sweep(grid, small, **(settings | changes))


# %%
# The map
# -------
# Each small square is one network, trained for one epoch of 63 steps by gradient descent with
# momentum.

fig, axes = plots.subplots(1, 2, height=4.4, sharey=True)
for ax, (name, sigmas) in zip(axes, SIGMAS.items(), strict=True):
    result = train(name, {"scale": sigmas, "depth": DEPTHS}, seeds=1)
    bar = name == "relu"  # one for both
    plots.plot_map(result, value_range=(10, 80), colorbar=bar, ax=ax)
    fine = np.linspace(sigmas[0], sigmas[-1], 400)
    border = np.minimum(6 * theory.depth_scale(name, fine), 1e3)
    ax.plot(fine, border, "--", color=plots.PALETTE[1], lw=2.5, label="6 ξ")
    ax.set(title=name, xlabel="σ_w", ylabel="")
axes[0].set_ylabel("hidden layers (logarithmic)")
axes[1].legend(loc="lower left")

# %%
# The dashed line was computed before the first step, and on both sides of both poles the colour
# fades along it; in the chaos of tanh, a little above it. On the left, networks above the line are
# where they started, at ten percent. On the right, those of tanh have learnt little or nothing,
# and most of those of ReLU, whose outputs are not bounded, have diverged (×).
#
# At the poles themselves the line promises any depth, and there the networks fall short of it,
# those of ReLU more so. ξ says how far something gets, not how much can be learnt from it in one
# epoch.
#
# The same multiple everywhere?
# -----------------------------
# One network a square shows the shape, not the noise. So we take four columns of each map, two in
# order and two in chaos, and three seeds. If depth matters only in units of ξ, then curves of
# accuracy against depth, which lie far apart, must fall together once the depth is divided by ξ.

COLUMNS = {"tanh": [0.6, 0.8, 1.7, 2.5], "relu": [0.9, 1.1, 1.7, 2.0]}
SOME_DEPTHS = np.array(DEPTHS[::2])

fig, axes = plots.subplots(1, 2, height=4.4, sharey=True)
colors = iter([*plots.PALETTE, "0.45"])
for name, columns in COLUMNS.items():
    result = train(name, {"scale": columns, "depth": SOME_DEPTHS.tolist()})
    found = np.nan_to_num(result.array(), nan=0.1)  # one that diverged guesses
    for sigma, mark, rows in zip(columns, "ooss", found, strict=True):
        look = {"color": next(colors), "marker": mark, "ms": 4}
        look["ls"] = "-" if name == "tanh" else "--"
        for ax, unit in zip(
            axes, (1, theory.depth_scale(name, sigma)), strict=True
        ):
            x, label = SOME_DEPTHS / unit, f"{name}, {sigma}"
            plots.draw_band(100 * rows.T, at=x, label=label, ax=ax, **look)
plots.ticks_at(axes[0].xaxis, (2, 5, 10, 20, 50))
plots.ticks_at(axes[1].xaxis, (0.5, 1, 2, 6, 20, 50))
axes[0].set(xlabel="hidden layers (logarithmic)", ylabel="validation accuracy (%)")
axes[0].set_title("Against the depth")
axes[1].set(title="Against depth / ξ", xlabel="depth / ξ (logarithmic)")
axes[1].legend(title="σ_w: ○ order, □ chaos", fontsize=8, title_fontsize=8)
plots.describe(
    fig,
    "Accuracy against depth for eight pairs of activation and σ_w, mean and range of three seeds. "
    "Against the number of layers, the curves fall from about 70 to 10 percent anywhere between 4 "
    "and 45 layers. Against depth / ξ, all of them fall together, between 3 and 12.",
)

# %%
# On the left, one network stops learning at six layers and another at forty. On the right, they are
# nearly one curve, for two activations, in order and in chaos. The number six means nothing by
# itself: with another threshold or more training it would be another one. That it is nearly the
# *same* one everywhere is what was predicted.
#
# More training, another optimizer
# --------------------------------
# At 6 ξ, the mean square of a gradient in order has faded by e⁶, about four hundred, but it is not
# zero. Perhaps such a network just needs longer, or an optimizer that does not mind small
# gradients. And one in chaos? We take one column of each, and ask where its curve passes through
# 30 %, three times what guessing gives; for two epochs, too, and for one epoch with Adam:

CHANGES = {"as above": {}, "two epochs": {"epochs": 2}}
CHANGES["Adam"] = {"optimizer": "adam", "learning_rate": 2e-3}


def limit(row):
    """Depth at which the accuracy falls below 30 %, interpolated."""
    after = int(np.argmax(row < 0.3))
    ends = [after, after - 1]
    depth = np.exp(np.interp(0.3, row[ends], np.log(SOME_DEPTHS)[ends]))
    return depth if after else np.nan


table = {"network": [], "σ_w": [], "ξ": [], **{name: [] for name in CHANGES}}
for name, sigma in (("tanh", 0.8), ("tanh", 2.5), ("relu", 1.1), ("relu", 2.0)):
    table["network"].append(f"{name}, {'order' if sigma < 2 else 'chaos'}")
    table["σ_w"].append(sigma)
    table["ξ"].append(float(theory.depth_scale(name, sigma)))
    for label, change in CHANGES.items():
        grid = {"scale": [sigma], "depth": SOME_DEPTHS.tolist()}
        rows = np.nan_to_num(train(name, grid, **change).array()[0].T, nan=0.1)
        multiples = np.array([limit(row) for row in rows]) / table["ξ"][-1]
        mean, (low, high) = experiments.mean_interval(multiples)
        table[label].append(f"{mean:.1f} ({low:.1f} to {high:.1f})")
initguide.Table(
    table,
    caption="Depth at which the accuracy falls below 30 %, in units of ξ",
    note="Mean and 95 % interval over 3 seeds. As above: one epoch, momentum.",
    formats={"σ_w": "g", "ξ": ".2f"},
)

# %%
# In order, both help. A second epoch moves the border out by about half, and Adam about doubles
# it: it divides each gradient by its own size, so a small one is as good as a large one, as long
# as it points somewhere. In chaos, a second epoch changes nothing. Adam helps ReLU there, whose
# networks were thrown out by huge steps; it does not help tanh. Steps of the right size are not
# what chaotic tanh networks lack. Theory offers a reason: with each layer, two images that are
# nearly equal come further apart, until they look like any other two. What a step does for one
# image then says little about the next.
#
# .. admonition:: Try it
#
#    Random biases move the edge of tanh to larger σ_w. With biases of spread 0.3, can networks
#    with σ_w = 0.8 be deeper, or less deep? Ask theory first.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          for sigma_b in (0, 0.3):
#              print(sigma_b, 6 * theory.depth_scale("tanh", 0.8, sigma_b))
#
#
#          def with_biases(module):
#              if isinstance(module, nn.Linear):
#                  nn.init.normal_(module.weight, 0, 0.8 / module.in_features**0.5)
#                  nn.init.normal_(module.bias, 0, 0.3)
#
#
#          print(train("tanh", {"depth": [6, 10, 15], "scheme": {"biases": with_biases}}))
#          # Less deep: ξ falls by a third. Ten layers learn less than they did without
#          # biases, and fifteen nothing.
#
# What we learnt
# --------------
# - The depth to which a network could be trained was about six times the predicted :term:`depth
#   scale` ξ, or somewhat more: for tanh and for ReLU, in order and in chaos, while ξ itself varied
#   fivefold.
# - Order and chaos stop training differently. In order, time and Adam pushed the border outwards.
#   In chaos, a second epoch did not, and for tanh not even Adam did.
# - At the edge, ξ is infinite, but what fifty layers learnt in one epoch was less than what a few
#   layers did.
# - The rule to take home: **compute ξ for your activation and weights**
#   (:func:`initguide.theory.depth_scale`). **If the network is deeper than a few ξ, change the
#   weights first.**
#
# The same kind of map over scale and learning rate is on :doc:`the page before
# </auto_examples/practice/plot_4_scale_and_learning_rate>`; from near, its border :doc:`is no line
# </auto_examples/practice/plot_6_fractal>`. What ξ is, and how to measure it, is in
# :doc:`/auto_examples/theory/plot_5_depth`; what branches around the layers do to depth, in
# :doc:`/auto_examples/architectures/plot_2_residual`.
