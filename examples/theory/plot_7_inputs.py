"""
7. Inputs and the first loss
============================

Weights are not all there is to a start. What do the inputs and the last layer add to it? This page
predicts how large the first pre-activations and the first loss are, then measures and trains.

.. admonition:: What you will learn

   - what centring and scaling the inputs changes, before and in training
   - what the loss should be before the first step, and how the last layer sets it

.. meta::
   :keywords: initial loss, loss at init, normalize inputs, standardize inputs, centring
"""

# %%
# Inputs
# ------
# What the first layer meets is decided before there is a network: by how the pixels are scaled.
# Here are four ways to hand over the same pixels. He's weights have variance 2/n, n the
# :term:`fan-in` :cite:p:`he2015`, so the :term:`pre-activations <pre-activation>` of the first
# layer have twice the mean square of the inputs:

import math
from functools import partial

import numpy as np
import torch

import initguide
from initguide import initializers as init
from initguide import plots

network = partial(initguide.Net, dropout=0.0)
small = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
images, labels = small.train.images[:1000], small.train.labels[:1000]
mean, std = small.train.images.mean().item(), small.train.images.std().item()
ways = {
    "0 to 255": lambda x: 255 * x,
    "0 to 1": lambda x: x,
    "centred": lambda x: x - mean,
    "standardized": lambda x: (x - mean) / std,
}
sums, twice, share = {}, {}, {}
for name, way in ways.items():
    x, found = way(images), []
    for seed in range(3):
        net = initguide.initialize(network(), "he_normal", seed=seed)
        found.append(initguide.measure(net, x)["fc1"].output_second_moment)
    squares = torch.linalg.svdvals(x.flatten(1)).square()
    share[name] = (squares[0] / squares.sum()).item()
    sums[name], twice[name] = np.mean(found), 2 * x.square().mean().item()

columns = {"predicted": twice, "measured": sums, "share": share}
initguide.Table(
    {"inputs": list(ways)} | {k: list(v.values()) for k, v in columns.items()},
    caption="Mean square of the first layer's pre-activations, by inputs",
    note="Share: of the inputs' mean square, in their largest common direction. 3 networks.",
    formats={"share": ".0%"},
)

# %%
# Schemes are made for inputs of about size 1. With bytes, from 0 to 255, the first layer starts
# with numbers far too large, and so does everything behind it, for ReLU hands a factor on. (Mean
# and standard deviation are those of the training images. Validation and test images are shifted
# and scaled by the same two numbers.) Centring changes something else: raw pixels are never
# negative, so that the images share a direction.

scale_off = max(abs(sums[name] / twice[name] - 1) for name in ways)
(
    initguide.says(
        scale_off < 0.1,
        "The scale of the inputs decides the mean square, as predicted: no row is off by more than "
        "{off:≤.1%}.",
        "The scale of the inputs should decide the mean square; here a row is off by {off:.1%}.",
        off=scale_off,
    )
    + initguide.says(
        share["0 to 1"] > 0.5,
        "Most of the mean square of raw pixels lies in *one* direction: {raw:.0%}.",
        "Of the mean square of raw pixels, {raw:.0%} lies in *one* direction.",
        raw=share["0 to 1"],
    )
    + initguide.says(
        share["centred"] < 0.7 * share["0 to 1"],
        "Centring takes much of that away and leaves {centred:.0%}.",
        "Centring leaves {centred:.0%}, which is not much less.",
        centred=share["centred"],
    )
)

# %%
# Why should training care? Take a single linear layer and squared errors. The loss is then a bowl,
# whose curvature along a direction is proportional to the mean square that the inputs have in it.
# Gradient descent overshoots more with each step if its learning rate is above 2 divided by the
# largest curvature (:doc:`/auto_examples/practice/plot_4_scale_and_learning_rate` measures that
# limit in networks). So the largest direction sets the rate, and along a direction with a hundredth
# of its curvature, everything then takes a hundred times as long :cite:p:`lecun1998`.
#
# A network is no bowl, so this is an expectation and no more. We train with plain gradient descent,
# for one epoch of 40 mini-batches, at several rates:

rates, losses = [0.03, 0.1, 0.3, 1.0], {}
training = {"model": network, "epochs": 1, "seeds": 4}
sgd = training | {"scheme": "he_normal", "optimizer": "sgd"}
for name in ("0 to 1", "centred", "standardized"):
    inputs = small.transformed(ways[name], name)
    found = initguide.sweep({"learning_rate": rates}, inputs, **sgd)
    losses[name] = found.array("valid_loss")  # (rates, seeds)

initguide.Table(
    {"learning rate": rates} | {k: rows.mean(axis=1) for k, rows in losses.items()},
    caption="Validation loss after one epoch of gradient descent, by inputs",
    note="In nats, mean of 4 seeds. –: at least one of them diverged.",
)

# %%
# A single rate would favour the inputs that it happens to suit. So each version meets the raw
# pixels at the best of its four rates, seed by seed:

best, at = {}, {}
for name, rows in losses.items():
    at[name] = np.nanargmin(rows.mean(axis=1))
    best[name] = rows[at[name]]
gaps = {
    k: initguide.estimate(best[k] - best["0 to 1"]) for k in losses if k != "0 to 1"
}

# %%
# In brackets are 95 % intervals over the seeds, with the same 1,000 validation images for all.

(
    initguide.says(
        max(at.values()) < len(rates) - 1,
        "In each column of the table the best rate is not the largest: beyond it, training gets "
        "worse or diverges.",
        "In one column of the table or more the largest rate is the best, so that a still larger "
        "one may be better.",
    )
    + initguide.says(
        gaps["centred"].below(),
        "Centred pixels end at a smaller loss than raw ones: {gap:+.2f} nats.",
        "Centred pixels end at a larger loss than raw ones: {gap:+.2f} nats.",
        "Whether centred pixels end at a smaller loss than raw ones, these seeds cannot tell: "
        "{gap:+.2f} nats.",
        gap=gaps["centred"],
    )
    + initguide.says(
        gaps["standardized"].below(),
        "Standardized pixels end at a smaller loss than raw ones: {gap:+.2f} nats.",
        "Standardized pixels end at a larger loss than raw ones: {gap:+.2f} nats.",
        "Whether standardized pixels end at a smaller loss than raw ones, these seeds cannot tell: "
        "{gap:+.2f} nats.",
        gap=gaps["standardized"],
    )
)

# %%
# (Each best rate was chosen by the same four losses that the interval is made of, which flatters
# all three versions.) Pixels from 0 to 255 are not among them: a step changes what the first layer
# makes of such an image 255² times as much, so that they would need other rates.
#
# The first loss
# --------------
# A classifier that knows nothing should not prefer any of the ten classes. With equal logits it
# gives each the probability 1/10, and the cross-entropy is ln 10. Random weights do prefer some.
# The preference is wrong nine times in ten, and the loss is larger, by an amount that we can
# predict. He's weights keep the mean square of each image, x², through the hidden layers. A last
# layer with weights N(0, g²/n) then gives ten independent logits N(0, g² x²), and the
# :term:`initial loss` is E[ln Σ exp(logits)]. While the logits are small, that is about ln 10 +
# 0.45 g² x². Once they are large, the largest of the ten decides, and the loss grows in proportion
# to g: by 1.54 g x, the mean of the largest of ten normal numbers. In between we draw logits:

gains = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def last_layer(module, gain):
    init.he_normal()(module)
    if getattr(module, "out_features", 0) == 10:
        std = gain / math.sqrt(module.in_features)
        torch.nn.init.normal_(module.weight, 0, std)


draws = torch.randn(100, 1000, 10, generator=torch.Generator().manual_seed(0))
draws *= images.flatten(1).square().mean(1).sqrt()[:, None]
predicted = [torch.logsumexp(gain * draws, -1).mean().item() for gain in gains]
first = np.empty((8, len(gains)))
for (seed, i), _ in np.ndenumerate(first):
    scheme = partial(last_layer, gain=gains[i])
    net = initguide.initialize(network(), scheme, seed=seed)
    first[seed, i] = initguide.measure(net, images, labels).loss
ax = plots.plot_prediction(
    {"measured": first},
    predicted,
    at=gains,
    log=True,
    title="Loss before the first step (8 seeds)",
    xlabel="gain g of the last layer (logarithmic)",
    ylabel="loss, nats",
)
ax.set_xscale("log")
plots.ticks_at(ax.yaxis, [math.log(10), 5, 10, 20], ["ln 10", "5", "10", "20"])

# %%

loss_off = np.abs(first.mean(axis=0) / predicted - 1).max()
(
    initguide.says(
        loss_off < 0.15,
        "The dots lie around the prediction, and the means of eight seeds within {off:≤.0%} of it: "
        "flat as long as the logits are small, then rising with ``g``.",
        "The means of eight seeds follow the prediction only roughly; the largest distance is "
        "{off:.0%}.",
        key="first-loss-predicted",
        off=loss_off,
    )
    + initguide.says(
        first[:, -1].std(ddof=1) > 2 * first[:, 2].std(ddof=1),
        "They scatter more where ``g`` is large: all images share the ten rows of the last "
        "layer, and a seed that favours one class does so for most images.",
        "All images share the ten rows of the last layer, so that a seed may favour one class for "
        "most images; here that scatters little.",
    )
)

# %%
# A first loss far above ln 10 says that something is off with the scale: of the last layer, here,
# or of all before it. It costs one batch to see, and :cite:t:`karpathy2019` makes it the first
# check. A first loss well *below* ln 10 would be stranger still: nobody knows the labels before
# seeing any, so that something must then be telling them.
#
# Is the lowest first loss the best start, then? We train with Adam for an epoch of 40 mini-batches
# and compare with g = 1. A last layer of zeros, g = 0, starts at ln 10 exactly.

schemes = {f"g = {g}": partial(last_layer, gain=g) for g in (0, 1, 3, 30)}
result = initguide.compare_init_weights(schemes, small, **training)
zero, three, thirty = (
    result.difference(f"g = {g}", "g = 1", "valid_loss") for g in (0, 3, 30)
)
learnt = initguide.estimate(math.log(10) - result.values("g = 0", "valid_loss"))

# %%

initguide.asks(
    "How does a network whose last layer starts at zero do in its first epoch, beside the same "
    "with a last layer of the usual size, ``g = 1``?",
    [
        "It is ahead: nobody can begin with a smaller loss, so there is less left to go.",
        "It learns nothing. What comes back through zeros is zero, so no layer gets a gradient.",
        "It learns, but starts late and is behind.",
    ],
    [
        zero.below(),
        initguide.all_of(zero.above(), learnt.below(0.1)),
        initguide.all_of(zero.above(), learnt.above(0.1)),
    ],
    initguide.says(
        learnt.above(0.1),
        "From ``ln 10`` it has come down by {learnt:.2f} nats. Its loss minus that of ``g = 1`` is "
        "{gap:+.2f}.",
        "From ``ln 10`` it has hardly come down, by {learnt:.2f} nats. Its loss minus that of "
        "``g = 1`` is {gap:+.2f}.",
        "It is not decided whether its loss has come down from ``ln 10``: by {learnt:.2f} nats. "
        "Its loss minus that of ``g = 1`` is {gap:+.2f}.",
        learnt=learnt,
        gap=zero,
    ),
)

# %%
# What comes back through a last layer of zeros is multiplied by zeros, so that at first the layers
# below get no gradient. The last layer itself gets one, so this is a delay and no lock, unlike
# :doc:`zeros everywhere </auto_examples/lesson/plot_2_zeros_and_ones>`. Differences of the losses,
# in nats, with 95 % intervals over the seeds; above zero means worse than g = 1:

(
    initguide.says(
        zero.better(),
        "After an epoch, the network that began with a last layer of zeros is ahead: {gap:+.2f}.",
        "After an epoch, the network that began with a last layer of zeros is still behind, "
        "{gap:+.2f}: the lowest first loss is not the best start.",
        "Whether the network that began with a last layer of zeros has caught up after an epoch, "
        "these seeds cannot tell: {gap:+.2f}.",
        gap=zero,
    )
    + initguide.says(
        three.better(),
        "Logits of a nat or two, with ``g = 3``, did better: {gap:+.2f}.",
        "Logits of a nat or two, with ``g = 3``, did worse: {gap:+.2f}.",
        "Logits of a nat or two, with ``g = 3``, made no difference that these seeds show: "
        "{gap:+.2f}.",
        gap=three,
    )
    + initguide.says(
        thirty.better(),
        "With ``g = 30`` the network is ahead, although its first loss is the largest: {gap:+.2f}.",
        "With ``g = 30``, an epoch was not enough to unlearn what the last layer began with: "
        "{gap:+.2f}.",
        "With ``g = 30``, these seeds cannot tell whether an epoch was enough to unlearn what the "
        "last layer began with: {gap:+.2f}.",
        gap=thirty,
    )
)

# %%
# .. admonition:: Try it
#
#    What is the first loss if the same weights, with g = 1, meet pixels from 0 to 255?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          for seed in range(8):
#              net = initguide.initialize(network(), partial(last_layer, gain=1), seed=seed)
#              print(initguide.measure(net, 255 * images, labels).loss)
#          print("predicted", torch.logsumexp(255 * draws, -1).mean())
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        scale_off < 0.1,
        "The inputs' scale sets the first layer's mean square.",
        "The inputs' scale should set the first layer's mean square, and here did so only roughly.",
    ),
    initguide.says(
        gaps["centred"].below(),
        "With plain gradient descent, one short epoch and the best of four learning rates for "
        "each, centred pixels beat raw ones.",
        "With plain gradient descent, one short epoch and the best of four learning rates for "
        "each, raw pixels beat centred ones.",
        "With plain gradient descent, one short epoch and the best of four learning rates for "
        "each, four seeds did not show whether centred pixels beat raw ones.",
        key="inputs-centred",
    )
    + initguide.says(
        gaps["standardized"].below(),
        "Standardized pixels beat raw ones.",
        "Raw pixels beat standardized ones.",
        "For standardized pixels it is open.",
        key="inputs-standardized",
    )
    + initguide.says(
        share["0 to 1"] > 0.5,
        "Raw pixels have most of their mean square in one direction.",
        "Raw pixels have less than half of their mean square in one direction.",
        key="raw-pixels-one-direction",
    ),
    initguide.says(
        loss_off < 0.15,
        "The last layer sets the first loss, which is predicted from its gain and the size of the "
        "images.",
        "The last layer sets the first loss, which its gain and the size of the images predict "
        "only roughly.",
    ),
    initguide.says(
        thirty.better(),
        "A first loss far above ``ln 10`` was no harm here.",
        "A first loss far above ``ln 10`` is a warning: such a network was behind after "
        "one short epoch.",
        "A first loss far above ``ln 10`` is a warning, though here its harm was not shown.",
        key="last-layer-times-thirty",
    )
    + initguide.says(
        zero.better(),
        "The lowest first loss was a better start than ``g = 1``.",
        "The lowest first loss is not the best start.",
        "Whether the lowest first loss is the best start, these seeds did not tell.",
        key="last-layer-zeros",
    ),
)

# %%
# What biases do to the units behind the inputs: :doc:`dead and saturated units
# </auto_examples/theory/plot_8_units>`.
