"""
3. Letting the data decide
==========================

Formulas for initial weights need to know the activation, the layer and the inputs. What if there is
no formula for your network? Then a batch of data can set the scale of each layer. This page
compares what such schemes find with what the formulas say, and measures where they help.

.. index:: ! LSUV, ! data dependent initialization

.. admonition:: What you will learn

   - layer-sequential unit-variance initialization, LSUV, in one forward pass, and what it finds
   - what a scale cannot repair, what per-unit scales can, and what those break

.. meta::
   :keywords: LSUV, layer-sequential unit-variance, data-dependent initialization, within-layer
      initialization, weight normalization, custom activation, no formula, MetaInit, GradInit
"""

# %%
# Two schemes
# -----------
# :term:`LSUV` by :cite:t:`mishkin2016` starts from orthogonal weights and then goes through the
# layers in order: run a batch up to the layer, divide its weights by the standard deviation of
# what comes out, go on. A layer is linear in its weights, so a hook that divides the output, too,
# does all layers in one pass, whatever happens between them:
#
# .. code-block:: python
#
#    def rescale(layer, inputs, out):  # a forward hook of each layer
#        spread = out.std()  # with per_unit: out.std(0), and the bias takes out.mean(0) away
#        layer.weight.div_(spread)
#        return out / spread
#
# The *within-layer* scheme of :cite:t:`krahenbuhl2016` does it unit by unit: over the batch, each
# unit gets mean 0 and variance 1 of its own, by its bias and its row of weights.
# :cite:t:`salimans2016` start weight normalization in the same way. Both are
# :func:`initguide.initializers.lsuv`.

import math

import numpy as np
from torch import nn

import initguide
from initguide import initializers as init
from initguide import models, plots, theory

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = nn.AvgPool2d(2)  # to 14 × 14 pixels
small = data.transformed(lambda x: shrink((x - mean) / std), "standardized")
batch, unseen = small.train.images[:500], small.valid.images
size = batch.square().mean().sqrt().item()  # of the inputs


def schemes(gain, x=batch):
    """Formula: 1/size in the first layer, the gain in the others; and two that look at x."""

    def formula(module):
        first = getattr(module, "in_features", 0) == 14 * 14
        init.orthogonal(1 / size if first else gain)(module)

    return {
        "formula": formula,
        "LSUV": init.lsuv(x),
        "unit by unit": init.lsuv(x, per_unit=True),
    }


def plain(activation, depth, width=100):
    return initguide.mlp([14 * 14] + [width] * depth + [10], activation)


def scales(net):
    weights = [p.detach() for p in net.parameters() if p.ndim == 2]
    return [w.square().sum(1).mean().sqrt().item() for w in weights]


# %%
# What the data find
# ------------------
# All three start from the same orthogonal matrices, and the formula takes each activation's
# :term:`gain`. We write the scale of a layer as σ_w = √n · std(w), n being the :term:`fan-in`, and
# put what LSUV finds on a batch of 500 images beside the formula, for four activations:

found, predicted = {}, {}
for phi in (nn.ReLU, nn.Tanh, nn.SiLU, nn.Softplus):
    nets = [plain(phi, 12, 256) for _ in range(4)]
    for seed, net in enumerate(nets):
        initguide.initialize(net, init.lsuv(batch), seed=seed)
    found[phi.__name__] = [scales(net) for net in nets]
    predicted[phi.__name__] = [1 / size] + [theory.gain(phi())] * 12
plots.plot_prediction(
    found,
    predicted,
    title="Scale of each layer: LSUV (4 seeds) and formula",
    ylabel="σ_w = √fan-in · std of the weights",
)

# %%
# Bands are all four seeds. Nobody told LSUV about activations, and it finds their gains, to within
# what a network of finite :term:`width` leaves to chance. (The last layer has only ten units, and
# so the widest band.) SiLU drifts below its formula as the layers go on: its :term:`length map`
# has a slope above 1 at its fixed point, so with the formula images that start out long get
# longer, and LSUV holds that back.
#
# What a scale cannot repair
# --------------------------
# Softplus gives positive outputs, so all images get a large part in common, and it grows with each
# layer. How much of a layer's input still *differs* from image to image? The correlation map of
# :doc:`the page on depth </auto_examples/theory/plot_5_depth>` predicts it for the formula:

softplus = theory.gain(nn.Softplus())
shares = {}
for label, scheme in schemes(softplus).items():
    shares[label] = []
    for seed in range(5):
        net = initguide.initialize(plain(nn.Softplus, 20), scheme, seed=seed)
        found = initguide.measure(net, unseen)
        shares[label].append([found[f"fc{i}"].input_spread for i in range(1, 21)])
differences = [shares["formula"][0][0]]
for _ in range(19):
    c = theory.correlation_map(1 - differences[-1], nn.Softplus(), softplus)
    differences.append(1 - c)
plots.plot_prediction(
    shares,
    differences,
    title="Softplus: share of each layer's input that differs between images",
    ylabel="share of the mean square",
)

# %%
# Bands: five seeds. The curve of LSUV lies on that of the formula, and both on the prediction:
# after a few layers, next to nothing tells one image from another. The mean square that LSUV sets
# to 1 is then a constant, the same for all images, which no scale of a layer can repair. Unit by
# unit, the common part is subtracted in each layer, and the share stays large.
#
# Does it train better?
# ---------------------
# Three networks, one epoch of Adam, five seeds. The *gated* one has (A x) · sigmoid(B x) as its
# hidden layers, which have no entry in PyTorch's table of gains, so a hurried person takes He's √2
# (:cite:p:`he2015`).

he = math.sqrt(2)
cases = {
    "ReLU, 15 layers": (lambda: plain(nn.ReLU, 15), he),
    "softplus, 12 layers": (lambda: plain(nn.Softplus, 12), softplus),
    "gated, 8 layers": (lambda: models.of_blocks(models.Gated), he),
}
table = {"network": list(cases), "formula": [], "LSUV": [], "unit by unit": []}
for model, gain in cases.values():
    result = initguide.compare_init_weights(
        schemes(gain), small, model=model, epochs=1, batch_size=40, seeds=5
    )
    table["formula"].append(result.values("formula", "valid_loss").mean())
    for name in ("LSUV", "unit by unit"):
        gap = result.difference(name, "formula", "valid_loss")
        low, high = gap.interval
        table[name].append(f"{gap.mean:+.3f} ({low:+.3f} to {high:+.3f})")
initguide.Table(
    table,
    caption="Validation loss after an epoch, in nats, and what the data change about it",
    note="Formula: mean of 5 seeds. The others: difference from it and its 95 % interval, paired "
    "over seeds; below 0 is better.",
    formats={"formula": ".3f"},
)

# %%
# An interval that reaches across 0 decides nothing. For *ReLU*, He's formula is right, and LSUV
# finds the same. For *softplus*, LSUV does not help, as the figure foretold; unit by unit, the loss
# falls a long way. For *gated*, √2 was a guess, and too small. (There is a formula: with A x and B
# x independent and of variance 1, the gain that makes up for the gate is that of the sigmoid.)
# LSUV found it:

gated = models.of_blocks(models.Gated)
found = scales(initguide.initialize(gated, init.lsuv(batch), seed=0))[2:-1]
print(f"{np.mean(found):.2f}, beside the sigmoid's {theory.gain('sigmoid'):.2f}")

# %%
# And the last column is no free lunch: for the deep ReLU network it is clearly worse than the
# formula. Of a ReLU's mean square, ½, a share of 1/π is the square of its mean. If that is
# subtracted, the weights have to make up for it, and gradients grow on their way back, by 1/(1 −
# 1/π) per layer: the formula is at the edge of chaos, and centring each unit is beyond it.
#
# MetaInit (:cite:t:`dauphin2019`) and GradInit (:cite:t:`zhu2021`) ask more of the data: they
# change the scales by gradient descent until first steps go well.
#
# .. admonition:: Try it
#
#    Must the batch be representative? Take eight images, or nothing but bags, or images twice as
#    bright, and look at the outputs of the deep ReLU network for unseen ones: 1 would be right.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          bags = small.train.images[small.train.labels == 8][:300]
#          for name, x in {"8": batch[:8], "bags": bags, "bright": 2 * batch}.items():
#              for label, scheme in schemes(he, x).items():
#                  net = initguide.initialize(plain(nn.ReLU, 15), scheme, seed=0)
#                  print(f"{name}, {label}: {net(unseen).std().item():.3g}")
#          # LSUV measures one number per layer, for which few images or one class will do, but a
#          # wrong scale of the batch stays. Unit by unit, two numbers are estimated for each unit,
#          # and the errors of fifteen layers multiply: a small batch leaves outputs far from 1.
#
# What we learnt
# --------------
# - LSUV finds the scales that theory gives, without knowing the activation, and also where there
#   is no formula at hand.
# - With ReLU and He's weights there was nothing to be gained. No scale keeps the differences
#   between images. Per-unit means and scales do: a deep softplus network learnt far more with
#   them, and a deep ReLU network less.
# - The rule to take home: **where you know the formula, use it; where you do not, run LSUV once,
#   look at the scales that it finds, and look whether images still differ in the last layer.**
#
# Next: :doc:`how large weights and rates may be
# </auto_examples/practice/plot_4_scale_and_learning_rate>`
