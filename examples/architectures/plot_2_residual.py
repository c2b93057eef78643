"""
2. Residual networks
====================

A residual block adds what it computes to what it was given. That makes depth easier, but He's rule
was not derived for it. This page predicts and measures how signals and gradients grow with every
block, and what scaling, zeros, Fixup and normalization do about it, before and in training.

.. admonition:: What you will learn

   - why each block doubles the :term:`variance`, and what branches scaled by 1/√L do instead
   - what starting the last layer of each branch at zero does, and how Fixup goes on from there
   - how normalization turns doubling into counting, and which of them trained, at which rates

.. meta::
   :keywords: residual network, ResNet, skip connection, residual branch, Fixup, zero gamma,
      zero initialization, normalization, batch normalization, initialization
"""

# %%
# A block
# -------
# Our :func:`~initguide.models.residual_net` has a linear layer, 24 blocks x + branch(x) and another
# linear layer, fully connected so that it trains in no time. As in :cite:t:`he2016`, a ReLU stands
# before each layer. The layer named ``sum`` does nothing; it is there to be measured:

import functools

import numpy as np
from torch import nn

import initguide
from initguide import experiments, models, plots, theory
from initguide import initializers as init

DEPTH = 24
resnet = functools.partial(models.residual_net, depth=DEPTH)
print(resnet().blocks[0])

# %%
# Why the variance doubles
# ------------------------
# With He's weights, a branch keeps the mean square of its input: each ReLU halves it, each layer
# doubles it. And the last layer's weights have mean 0 and are independent of everything before
# them, so the products of x and branch(x) average to 0: E[(x + branch(x))²] is E[x²] +
# E[branch(x)²], or 2 E[x²]. After L blocks, that is 2ᴸ. The same holds for gradients on their way
# back. Three remedies:
#
# - **scale** the last layer of each of the L branches by 1/√L. A block then multiplies by 1 + 1/L,
#   and all of them by (1 + 1/L)ᴸ, which is below e at any depth;
# - start the last layer at **zero**. Every block starts as the identity. (Where a branch *ends*
#   with a normalization, the same is had by a factor γ of zero :cite:p:`goyal2017`);
# - **normalize** the input of the branch. Its output then has mean square 1, however large x is, so
#   a block no longer doubles q, the mean square of x: it adds 1. After l blocks a branch is one
#   part in l + 1 of the whole, so that deep blocks are close to the identity :cite:p:`de2020`. On
#   the way back, the branch divides gradients by the size of x, so a block multiplies their mean
#   square by 1 + 1/q, and L blocks by as much as the signal.
#
# And PyTorch's default? Its weights have variance 1/(3n), so with ReLU a layer keeps 1/6 of the
# mean square, and a branch 1/36, besides what the random biases add to the signal. The branches
# start small there, without anybody having thought of residual networks.

data = initguide.fashion_mnist().subset(train=2500, valid=1000, test=100)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = nn.AvgPool2d(2)  # to 14 × 14 pixels
small = data.transformed(lambda x: shrink((x - mean) / std), "standardized")
images = small.train.images[:60]
blocks = np.arange(1, DEPTH + 1)
stem = 2 * images.square().mean().item()  # what He's weights make of the images
he, scaled = init.he_normal(), init.residual_scaled(last="*.last")
zero = init.zero_last(last="*.last")
starts = {  # the scheme, the normalization, and what is predicted
    "he_normal": (he, None, theory.residual_growth(blocks, 1)),
    "he_normal, LayerNorm": (he, nn.LayerNorm, 1 + blocks / stem),
    "he_normal, BatchNorm": (he, nn.BatchNorm1d, 1 + blocks / stem),
    "default": (init.default(), None, theory.residual_growth(blocks, 1 / 6)),
    "residual_scaled": (scaled, None, theory.residual_growth(blocks, DEPTH**-0.5)),
    "zero_last": (zero, None, theory.residual_growth(blocks, 0)),
}
signal, gradient = ({name: [] for name in starts} for _ in range(2))
for name, (scheme, norm, _) in starts.items():
    for seed in range(6):
        net = initguide.initialize(resnet(width=128, norm=norm), scheme, seed=seed)
        found = initguide.measure(net, images)
        sums = [r for r in found if r.name.endswith("sum")]
        size = np.array([r.output_second_moment for r in sums])
        signal[name].append(size / found["stem"].output_second_moment)
        gradient[name].append(sums[0].output_grad_var / sums[-1].output_grad_var)

fig, axes = plots.subplots(1, 2, height=4.2)
for ax, names in zip(axes, (list(starts)[:3], list(starts)[3:]), strict=True):
    plots.plot_prediction(
        {name: signal[name] for name in names},
        {name: starts[name][2] for name in names},
        title="He's weights" if ax is axes[0] else "Small branches",
        xlabel="block",
        ylabel="mean square / the stem's",
        ax=ax,
    )
for name, (_, _, line) in starts.items():
    grown = np.mean(gradient[name])
    print(f"{name}: gradient times {grown:.3g}, predicted {line[-1] / line[0]:.3g}")

# %%
# Mind the scales: on the left, He's weights alone grow by millions, and with a normalization they
# stay where one can count. On the right, small branches grow by little or not at all; the default
# ends above its prediction, which leaves out the biases. Over so many doublings, draws of narrow
# layers end within a factor of a few of the prediction (:doc:`finite width
# </auto_examples/theory/plot_9_finite_width>` says why). Gradients do as predicted, too, but for
# **batch normalization**: it takes away what the images of a batch have in common, which after a
# ReLU is much, and scales up what is left, and the gradients with it.
#
# With branches of **zeros**, all layers but the last of each branch wait: as long as the last one
# is zero, no gradient passes through it. After one step it is not, and the others learn, too:

net = initguide.initialize(resnet(), zero, seed=0)
found = initguide.measure(net, images, small.train.labels[:60])
layers = [found[f"blocks.0.branch.{layer}"] for layer in ("first", "last")]
print("gradients' variance:", [f"{r.name} {r.weight_grad_var:.2g}" for r in layers])

# %%
# Fixup
# -----
# :cite:t:`zhang2019` asked how to train without normalization at the learning rates that
# normalization allows. Their **Fixup** starts the last layer of each branch and the classifier at
# zero and multiplies the other layers of the branch by L\ :sup:`−1/(2m−2)`, with m layers per
# branch (here 2, so by 1/√L); that is :func:`initguide.initializers.fixup`. It also adds single
# numbers that are learnt, as :class:`initguide.models.FixupBlock` has them: a bias before each
# layer and activation, at first 0, and a multiplier for each branch, at first 1.
#
# Training
# --------
# One epoch of SGD with momentum, 24 blocks of 64 units, four learning rates, three seeds for each:

compared = {name: (how, {"norm": norm}) for name, (how, norm, _) in starts.items()}
compared["zero_last, BatchNorm"] = (zero, {"norm": nn.BatchNorm1d})
compared["Fixup"] = (init.fixup(), {"block": models.FixupBlock})
rates = (0.01, 0.03, 0.1, 0.3)


def losses(name, rate, seeds=3):
    """Validation loss of each seed; NaN where the run diverged."""
    scheme, settings = compared[name]
    how = {"epochs": 1, "optimizer": "momentum", "learning_rate": rate}
    model = functools.partial(resnet, **settings)
    result = initguide.compare_init_weights(
        {name: scheme}, small, model=model, seeds=seeds, **how
    )
    return result.values(name, "valid_loss")


table = {"start": list(compared)}
for rate in rates:
    table[str(rate)] = [losses(name, rate).mean() for name in compared]
initguide.Table(
    table,
    caption="Validation loss after one epoch, by learning rate",
    note=f"Mean of 3 seeds. –: one diverged. Knowing nothing gives {np.log(10):.2f}.",
    formats=dict.fromkeys(map(str, rates), ".2f"),
)

# %%
# Four differences, from new seeds, with 95 % intervals, and He's start at a far smaller rate:

for a, b, rate, seeds in (
    ("Fixup", "zero_last", 0.01, range(3, 7)),
    ("Fixup", "zero_last", 0.1, range(3, 7)),
    ("Fixup", "default", 0.3, range(3, 7)),
    ("zero_last, BatchNorm", "he_normal, BatchNorm", 0.03, range(3, 8)),
):
    gaps = losses(a, rate, seeds) - losses(b, rate, seeds)
    gap, interval = experiments.mean_interval(gaps)
    low, high = interval or (np.nan, np.nan)
    verdict = "ahead" if high < 0 else "behind" if low > 0 else "undecided"
    print(f"{rate}: {a} − {b} = {gap:+.2f} ({low:+.2f} to {high:+.2f}), {verdict}")
print("0.0001: he_normal", losses("he_normal", 1e-4).round(2))

# %%
# He's start without normalization does not train, at the rate of 0.0001 neither (``nan`` is a run
# that diverged). With **normalization** it does at the smaller rates: adding instead of doubling is
# enough. Without, **small branches** are enough: scaled or zero, they train at the smaller rates,
# and diverge at the largest. There, **Fixup** still learns; the lines above say at which rates it
# is ahead of the others. PyTorch's **default**, which is too small for a plain deep network
# (:doc:`page 9 </auto_examples/architectures/plot_9_deep_convolutions>`), does well here: small is
# what a branch should be. The last difference says whether zeros help a normalized network, too.
#
# .. admonition:: Try it
#
#    What gives Fixup its tolerance? It also starts the classifier at zero. Do that with
#    ``zero_last``, and train at the two largest rates.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def both_zero(module):
#              if hasattr(module, "head"):  # the whole network
#                  zero(module)
#                  nn.init.zeros_(module.head.weight)
#
#          compared["both zero"] = (both_zero, {})
#          for name in ("zero_last", "both zero", "Fixup"):
#              print(name, [losses(name, rate).mean() for rate in rates[2:]])
#
# What we learnt
# --------------
# - A residual block with He's weights doubles the mean square of the signal and of the gradient: 2ᴸ
#   after L blocks. Branches scaled by 1/√L keep both below e; branches that start at zero keep them
#   at 1, and train all the same, because their last layers get a gradient from the first step on.
# - With a normalization in the branches, signals grow by 1 per block instead of by 2 times.
# - Of networks of 24 blocks, He's start without normalization learnt nothing. Scaled or zero
#   branches or normalization were each enough, within a range of learning rates; Fixup, without
#   normalization, still learnt at the largest rate tried.
#
# The rule to take home: **let branches start small.** With batch normalization, start the last
# layer of each at zero. Without, take Fixup and a large rate, or at a smaller one scaled branches,
# zeros or PyTorch's default. Keep He's full weights for networks without shortcuts.
#
# What else normalization forgives: :doc:`/auto_examples/architectures/plot_3_normalization`. Why
# doubling is fatal without shortcuts: :doc:`/auto_examples/theory/plot_5_depth`.
