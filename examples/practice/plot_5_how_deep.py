"""
5. How deep can it go?
======================

From the size of the weights alone, theory predicts over how many layers a signal and a gradient
survive. Does that decide how many layers can be trained? This page trains eight hundred networks,
of all depths and many sizes of weights, and lays the prediction over the result.

.. index:: ! trainable depth, ! how deep

.. admonition:: What you will learn

   - a map of what can be trained, depth against the size of the weights, for tanh and for ReLU
   - how many of the predicted depth scales its border lies at, here and there
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
# :cite:t:`schoenholz2017` found that a network with random biases trains if it is no deeper than
# about six times *another* scale, that in which the correlation of two images settles. Without
# biases, that one is infinite for ReLU, and in order for tanh. But gradients change here, too, and
# we ask whether their ξ sets the border, and at which multiple. We draw 6 ξ. What theory predicts
# is the *shape* of the border: infinite at the :term:`edge of chaos`, σ_w = 1 for tanh and √2 for
# ReLU, and falling off on both sides as ξ does. To the left lies order, where gradients vanish; to
# the right chaos, where they explode.
#
# We put it to the test with layers of 64 units, on images of 14 × 14 pixels. The scheme is LeCun's
# (σ_w = 1), and ``scale`` multiplies its weights, so ``scale`` *is* σ_w.

import numpy as np
from torch import nn

import initguide
from initguide import plots, theory

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
# Each small square is one network after an epoch of 63 steps of gradient descent with momentum.

maps = {}  # accuracy (σ_w, depths); one that diverged guesses
fig, axes = plots.subplots(1, 2, height=4.4, sharey=True)
for ax, (name, sigmas) in zip(axes, SIGMAS.items(), strict=True):
    result = train(name, {"scale": sigmas, "depth": DEPTHS}, seeds=1)
    maps[name] = np.nan_to_num(result.array()[..., 0], nan=0.1)
    plots.plot_map(result, value_range=(10, 80), colorbar=name == "relu", ax=ax)
    fine = np.linspace(sigmas[0], sigmas[-1], 400)
    border = np.minimum(6 * theory.depth_scale(name, fine), 1e3)
    ax.plot(fine, border, "--", color=plots.PALETTE[1], lw=2.5)
    ax.set(title=name, xlabel="σ_w", ylabel="")
axes[0].set_ylabel("hidden layers (logarithmic)")

# %%
# The dashed line, 6 ξ, was computed before the first step. An × is a network that diverged.

learns = 0.3  # three times what guessing gives
scale = {k: theory.depth_scale(k, sigmas)[:, None] for k, sigmas in SIGMAS.items()}
less = np.concatenate([maps[k][DEPTHS / xi < 3] for k, xi in scale.items()])
more = np.concatenate([maps[k][DEPTHS / xi > 12] for k, xi in scale.items()])
below, above = 100 * np.mean(less > learns), 100 * np.mean(more > learns)
fall = {}
for name, edge in {"tanh": 1, "relu": 2**0.5}.items():
    pole = maps[name][np.abs(SIGMAS[name] - edge).argmin()]
    fall[name] = 100 * (pole[:3].mean() - pole[-3:].mean())
(
    initguide.says(
        below > 90 and above < 10,
        "Of the networks less than half as deep as the line, {below:.0f} % learn (more than "
        "{learns:.0f} % correct); of those more than twice as deep, {above:.0f} %. So the line has "
        "the right shape.",
        "Of the networks less than half as deep as the line, {below:.0f} % learn (more than "
        "{learns:.0f} % correct); of those more than twice as deep, {above:.0f} %. So the line is "
        "no border.",
        learns=100 * learns,
        below=below,
        above=above,
    )
    + initguide.says(
        min(fall.values()) > 10,
        "At the poles themselves the line promises any depth, and there the networks fall short of "
        "it: the deepest three are {tanh:.0f} points behind the three of least depth for tanh, and "
        "{relu:.0f} for ReLU. The depth scale says how far something gets, not how much can be "
        "learnt from it in one epoch.",
        "At the poles themselves the line promises any depth: there the deepest three are only "
        "{tanh:.0f} points behind the three of least depth for tanh, and {relu:.0f} for ReLU.",
        tanh=fall["tanh"],
        relu=fall["relu"],
    )
)

# %%
# The same multiple everywhere?
# -----------------------------
# One network a square shows the shape, not the noise. So we take four columns of each map, two in
# order and two in chaos, and three seeds. If depth matters only in units of ξ, then curves of
# accuracy against depth, which lie far apart, must fall together once the depth is divided by ξ.

COLUMNS = {"tanh": [0.6, 0.8, 1.7, 2.5], "relu": [0.9, 1.1, 1.7, 2.0]}
SOME_DEPTHS = np.array(DEPTHS[::2])
fig, axes = plots.subplots(1, 2, height=4.4, sharey=True)
colors = iter([*plots.PALETTE, "0.45"])
curves, scales = {}, {}  # of a network and σ_w: accuracies (seeds, depths), and ξ
for name, columns in COLUMNS.items():
    result = train(name, {"scale": columns, "depth": SOME_DEPTHS.tolist()})
    found = np.nan_to_num(result.array(), nan=0.1)
    for sigma, mark, rows in zip(columns, "ooss", found, strict=True):
        curves[name, sigma] = rows.T
        scales[name, sigma] = theory.depth_scale(name, sigma)
        look = {"color": next(colors), "marker": mark, "ms": 4}
        look |= {"ls": "-" if name == "tanh" else "--", "label": f"{name}, {sigma}"}
        for ax, unit in zip(axes, (1, scales[name, sigma]), strict=True):
            plots.draw_band(100 * rows.T, at=SOME_DEPTHS / unit, ax=ax, **look)
plots.ticks_at(axes[0].xaxis, (2, 5, 10, 20, 50))
plots.ticks_at(axes[1].xaxis, (0.5, 1, 2, 6, 20, 50))
axes[0].set(xlabel="hidden layers (logarithmic)", ylabel="validation accuracy (%)")
axes[0].set_title("Against the depth")
axes[1].set(title="Against depth / ξ", xlabel="depth / ξ (logarithmic)")
axes[1].legend(title="σ_w: ○ order, □ chaos", fontsize=8, title_fontsize=8)


def limit(row):
    """Depth at which the accuracy falls below 30 %, interpolated."""
    after = int(np.argmax(row < learns))
    ends = [after, after - 1]
    depth = np.exp(np.interp(learns, row[ends], np.log(SOME_DEPTHS)[ends]))
    return depth if after else np.nan


layers = {k: np.array([limit(row) for row in rows]) for k, rows in curves.items()}
in_xi = {k: (depths / scales[k]).mean() for k, depths in layers.items()}
few, many = np.sort([depths.mean() for depths in layers.values()])[[0, -1]]
low, high = min(in_xi.values()), max(in_xi.values())
plots.describe(
    fig,
    "Accuracy against depth for eight pairs of activation and σ_w. The curves fall below 30 "
    f"percent between {few:.0f} and {many:.0f} layers, or {low:.1f} and {high:.1f} ξ.",
)

# %%
# The multiple means nothing by itself: with another threshold or more training it would be another
# one. What was predicted is that it is the *same* one everywhere.

initguide.says(
    high / low < many / few / 2,
    "On the left, one column stops learning ({learns:.0f} % correct, mean of three seeds) at "
    "{few:.0f} layers and another at {many:.0f}, {layers:.1f} times as many. On the right, they "
    "stop between {low:.1f} and {high:.1f} :math:`\\xi`. So for two activations, in order and in "
    "chaos, it is the same multiple to within a factor of {scales:≤.1f}.",
    "On the left, columns stop learning ({learns:.0f} % correct, mean of three seeds) between "
    "{few:.0f} layers and {many:.0f}, a factor of {layers:.1f}. On the right, they stop between "
    "{low:.1f} and {high:.1f} :math:`\\xi`, a factor of {scales:.1f}, which is not much nearer to "
    "one curve.",
    learns=100 * learns,
    few=few,
    many=many,
    layers=many / few,
    low=low,
    high=high,
    scales=high / low,
)

# %%
# More training, another optimizer
# --------------------------------
# At 6 ξ, the mean square of a gradient in order has faded by e⁶, about four hundred, but it is not
# zero. Perhaps such a network just needs longer, or an optimizer that does not mind small
# gradients. And one in chaos? We take one column of each, and ask where its curve passes through
# 30 %; for two epochs, too, and for one epoch with Adam:

CHANGES = {"two epochs": {"epochs": 2}}
CHANGES["Adam"] = {"optimizer": "adam", "learning_rate": 2e-3}
order, chaos = [("tanh", 0.8), ("relu", 1.1)], [("tanh", 2.5), ("relu", 2.0)]
columns, rows, moved = ["network, σ_w", "ξ", "as above", *CHANGES], [], {}
for key in order + chaos:
    name, sigma = key
    found = [layers[key]]
    for label, change in CHANGES.items():
        grid = {"scale": [sigma], "depth": SOME_DEPTHS.tolist()}
        after = np.nan_to_num(train(name, grid, **change).array()[0].T, nan=0.1)
        found.append(np.array([limit(row) for row in after]))
        moved[key, label] = initguide.estimate(found[-1] / layers[key])
    multiples = [f"{initguide.estimate(n / scales[key]):.1f}" for n in found]
    rows.append([f"{name}, {sigma}", float(scales[key]), *multiples])
initguide.Table(
    dict(zip(columns, zip(*rows, strict=True), strict=True)),
    caption="Depth at which the accuracy falls below 30 %, in units of ξ",
    note="Mean and 95 % interval over 3 seeds. As above: one epoch, momentum.",
)

# %%
# Does the border move? Ratios seed by seed, in order (the first two rows) and in chaos:

time, adam = ([moved[key, change] for key in order + chaos] for change in CHANGES)
adam_helps = initguide.all_of(*(factor.above(1.1) for factor in adam[:2]))
tanh_time, relu_time = (
    initguide.all_of(time[i].above(1.1), time[i + 2].within(0.8, 1.25))
    for i in (0, 1)
)
(
    initguide.says(
        relu_time,
        "For ReLU, a second epoch moves the border out in order, by {order:.2f}, and changes "
        "little in chaos: {chaos:.2f}.",
        "For ReLU, a second epoch does not move the border out in order alone: by {order:.2f}, and "
        "in chaos by {chaos:.2f}.",
        "Whether for ReLU a second epoch moves the border out in order alone, these seeds cannot "
        "tell: by {order:.2f}, and in chaos by {chaos:.2f}.",
        order=time[1],
        chaos=time[3],
    )
    + initguide.says(
        tanh_time,
        "For tanh it does the same: {order:.2f} in order, {chaos:.2f} in chaos.",
        "For tanh it is not in order alone: {order:.2f}, and {chaos:.2f} in chaos.",
        "For tanh that is open: {order:.2f} in order, {chaos:.2f} in chaos.",
        order=time[0],
        chaos=time[2],
    )
    + initguide.says(
        adam_helps,
        "In order, Adam moves it, too, by {tanh:.2f} and {relu:.2f}: it divides each gradient by "
        "its own size, so a small one is as good as a large one, as long as it points somewhere.",
        "In order, Adam does not move it out for both: for tanh by {tanh:.2f}, for ReLU by "
        "{relu:.2f}.",
        "Whether in order Adam moves it out by more than a tenth for both, these seeds cannot "
        "tell: for tanh by {tanh:.2f}, for ReLU by {relu:.2f}.",
        tanh=adam[0],
        relu=adam[1],
    )
    + initguide.says(
        adam[3].above(1.1),
        "In chaos, Adam helps ReLU ({factor:.2f}), whose networks were thrown out by huge steps.",
        "In chaos, Adam does not help ReLU ({factor:.2f}).",
        "Whether Adam helps ReLU in chaos is open ({factor:.2f}).",
        factor=adam[3],
    )
    + initguide.says(
        adam[2].below(1.25),
        "It does not help tanh much ({factor:.2f}): steps of the right size are not what chaotic "
        "tanh networks lack.",
        "It helps tanh, too ({factor:.2f}).",
        "Whether it helps tanh is open ({factor:.2f}).",
        factor=adam[2],
    )
)

# %%
# Why should chaos be different? Theory offers a reason: with each layer of tanh, two images that
# are nearly equal come further apart, until they look like any other two. What a step does for one
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
#          def with_biases(module):
#              if isinstance(module, nn.Linear):
#                  nn.init.normal_(module.weight, 0, 0.8 / module.in_features**0.5)
#                  nn.init.normal_(module.bias, 0, 0.3)
#
#          print(train("tanh", {"depth": [6, 10, 15], "scheme": {"biases": with_biases}}))
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        high / low < max(scales.values()) / min(scales.values()) / 2,
        "The depth to which a network could be trained was between {low:.1f} and {high:.1f} times "
        "the predicted :term:`depth scale` :math:`\\xi` of gradients, for tanh and for ReLU, in "
        "order and in chaos, while :math:`\\xi` itself varied by a factor of {varied:.1f}.",
        "The depth to which a network could be trained was between {low:.1f} and {high:.1f} times "
        "the predicted :term:`depth scale` :math:`\\xi` of gradients, which itself varied by a "
        "factor of {varied:.1f} only.",
        low=low,
        high=high,
        varied=max(scales.values()) / min(scales.values()),
    ),
    initguide.says(
        3 < low < high < 15,
        "With one epoch of momentum, a few depth scales could be trained and no more.",
        "With one epoch of momentum, how many depth scales could be trained hung on the network.",
        key="depth-few-xi",
    ),
    initguide.says(
        relu_time,
        "Order and chaos stop training differently: for ReLU, a second epoch pushed the border "
        "outwards in order, by a factor of {order:.2f}, and hardly moved it in chaos.",
        "For ReLU, order and chaos were not told apart by a second epoch.",
        "Whether for ReLU a second epoch does more in order than in chaos, three seeds could not "
        "tell.",
        order=time[1],
        key="depth-time-helps-in-order",
    )
    + initguide.says(
        tanh_time,
        "For tanh it was in order alone, too.",
        "For tanh it was not in order alone.",
        "For tanh that is open.",
    )
    + initguide.says(
        initguide.all_of(adam_helps, adam[2].below(1.25)),
        "Adam pushed it outwards in order, and for chaotic tanh it did not do much.",
        "What Adam did was not divided between order and chaotic tanh.",
        "Whether Adam pushed it outwards by more than a tenth for both in order, and did not do "
        "much for chaotic tanh, is open.",
        key="depth-adam-helps-in-order",
    ),
    initguide.says(
        min(fall.values()) > 10,
        "At the edge the scale is infinite, but what the deepest networks learnt in one epoch was "
        "less than what those of few layers did.",
        "At the edge the scale is infinite, and the deepest networks learnt nearly as much in one "
        "epoch as those of few layers.",
    ),
)

# %%
# The rule to take home: **compute ξ for your activation and weights**
# (:func:`initguide.theory.depth_scale`). **If the network is deeper than a few ξ, change the
# weights first.**
#
# What branches around the layers do to depth: :doc:`/auto_examples/architectures/plot_2_residual`.
# From near, the border of what trains :doc:`is no line </auto_examples/practice/plot_6_fractal>`.
