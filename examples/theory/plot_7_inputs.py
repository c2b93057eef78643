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
from initguide import experiments, plots
from initguide import initializers as init

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
rows = []
for name, way in ways.items():
    x, found = way(images), []
    for seed in range(3):
        net = initguide.initialize(network(), "he_normal", seed=seed)
        found.append(initguide.measure(net, x)["fc1"].output_second_moment)
    squares = torch.linalg.svdvals(x.flatten(1)).square()
    share = f"{squares[0] / squares.sum():.0%}"
    rows.append((name, 2 * x.square().mean().item(), np.mean(found), share))

heads = ["inputs", "predicted", "measured", "share"]
initguide.Table(
    dict(zip(heads, zip(*rows, strict=True), strict=True)),
    caption="Mean square of the first layer's pre-activations, by inputs",
    note="Share: of the inputs' mean square, in their largest common direction. 3 networks.",
)

# %%
# Scale decides the mean square, as predicted. Schemes are made for inputs of about size 1. With
# bytes, from 0 to 255, the first layer starts with numbers far too large, and so does everything
# behind it, for ReLU hands a factor on. (Mean and standard deviation are those of the training
# images. Validation and test images are shifted and scaled by the same two numbers.)
#
# Centring changes something else. Raw pixels are never negative, so all images point roughly the
# same way, and most of their mean square lies in *one* direction. Centring takes much of that away.
# Why should training care? Take a single linear layer and squared errors. The loss is then a bowl,
# whose curvature along a direction is proportional to the mean square that the inputs have in it.
# Gradient descent overshoots more with each step if its learning rate is above 2 divided by the
# largest curvature (:doc:`/auto_examples/practice/plot_4_scale_and_learning_rate` measures that
# limit in networks). So the largest direction sets the rate, and along a direction with a hundredth
# of its curvature, everything then takes a hundred times as long :cite:p:`lecun1998`.
#
# A network is no bowl, so this is an expectation and no more. We train with plain gradient descent,
# at several rates:

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
# In each column there is a best rate, and beyond it training gets worse or diverges. A comparison
# at any single rate would favour the inputs that happen to like it. So each version meets the raw
# pixels at its own best rate, seed by seed:

best = {k: rows[np.nanargmin(rows.mean(axis=1))] for k, rows in losses.items()}
for name in ("centred", "standardized"):
    gap, (low, high) = experiments.mean_interval(best[name] - best["0 to 1"])
    print(f"{name} − 0 to 1: {gap:+.3f} nats, 95 %: {low:+.3f} to {high:+.3f}")

# %%
# Below zero means better than raw pixels. (Each best rate was chosen by the same four losses that
# the interval is made of, which flatters all three versions alike.) 0 to 255 is not among them: for
# the same steps it would need rates smaller by about 255².
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
# The dots lie around the prediction: flat as long as logits are well below 1, then rising with g.
# They scatter, because all images share the ten rows of the last layer: a seed that favours one
# class does so for most images.
#
# A first loss far above ln 10 says that something is off with the scale: of the last layer, here,
# or of all before it. It costs one batch to see, and :cite:t:`karpathy2019` makes it the first
# check. A first loss well *below* ln 10 would be stranger still: nobody knows the labels before
# seeing any, so that something tells them to the network.
#
# Is the lowest first loss the best start, then? We train with Adam for one epoch, and compare with
# g = 1:

schemes = {f"g = {g}": partial(last_layer, gain=g) for g in (0, 1, 3, 30)}
result = initguide.compare_init_weights(schemes, small, **training)
for gain in (0, 3, 30):
    print(result.difference(f"g = {gain}", "g = 1", "valid_loss"))

# %%
# Above zero means worse. So the lowest is not the best: a last layer of zeros starts at ln 10
# exactly, but what comes back through it is multiplied by zeros, so that at first the layers below
# get no gradient. The last layer itself gets one, so this is a delay and no lock, unlike
# :doc:`zeros everywhere </auto_examples/lesson/plot_2_zeros_and_ones>`; yet after an epoch the
# network is still behind. Logits of a nat or two, with g = 3, do no harm that four seeds could
# show. With g = 30, an epoch is not enough to unlearn them.
#
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
# - The inputs' scale sets the first layer's mean square.
# - With plain gradient descent, one epoch and each version's best learning rate, centred and
#   standardized pixels beat raw ones. Raw pixels have most of their mean square in one direction.
# - The last layer sets the first loss, which is predicted from its gain and the size of the images.
# - A first loss far above ln 10 is a warning. The lowest first loss is not the best start.
#
# What biases do to the units behind the inputs: :doc:`dead and saturated units
# </auto_examples/theory/plot_8_units>`.
