"""
2. Width and learning rate
==========================

A learning rate that was tuned on a narrow network is often wrong for a wide one, and tuning the
wide one is expensive. The maximal-update parametrization promises that one rate serves all widths.
This page checks it, as its authors advise, and then measures the best rate at three widths.

.. index:: ! muP, ! coordinate check, ! learning rate transfer

.. admonition:: What you will learn

   - how far one step of Adam moves each layer, as the width grows, and what muP does about it
   - what a coordinate check should look like, and how a failing one names the layer at fault

.. meta::
   :keywords: muP, μP, maximal update parametrization, coordinate check, coord check, learning rate
      transfer, hyperparameter transfer, width, wide networks, Adam, parameter groups
"""

# %%
# Two parametrizations
# --------------------
# Two hidden layers have :term:`width` n. The *standard* way: He's weights (:cite:p:`he2015`) in
# them, 1/n as the variance of the last layer, and one learning rate for all.
#
# The *maximal-update parametrization*, or :term:`muP` (:cite:t:`yang2021`, and for Adam
# :cite:t:`yang2022`) changes two things: the weights of the last layer get a variance ∝ 1/n², and
# Adam's learning rate for every matrix whose :term:`fan-in` is a width is ∝ 1/n. The first layer,
# whose fan-in are pixels, and the biases keep theirs. Both ways are the same network at n = 64. So
# powers of n say which it is: one for the last layer's weights, one for the rate of each matrix. We
# add two mistakes, in each of which one of muP's powers was forgotten:

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide import experiments, plots

BASE = 64
data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
mean, std = data.train.images.mean(), data.train.images.std()
small = data.transformed(lambda x: F.avg_pool2d((x - mean) / std, 2), "14 × 14")


def network(width):
    return initguide.mlp([14 * 14, width, width, 10])


def way(size, powers, optimizer=torch.optim.Adam):
    """Scheme and optimizer: powers of n for the last weights, and for three rates."""

    def weights_init(module):
        if isinstance(module, nn.Linear):
            n, is_last = module.in_features, module.out_features == 10
            last = (n / BASE) ** size / np.sqrt(BASE)
            nn.init.normal_(module.weight, 0, last if is_last else np.sqrt(2 / n))
            nn.init.zeros_(module.bias)

    def make(parameters, lr):
        w1, b1, w2, b2, w3, b3 = parameters
        rates = [lr * (w2.shape[1] / BASE) ** power for power in powers]
        groups = zip(([w1, b1, b2, b3], [w2], [w3]), rates, strict=True)
        return optimizer([{"params": p, "lr": r} for p, r in groups], fused=True)

    return weights_init, make


ways = {
    "standard": way(-1 / 2, (0, 0, 0)),
    "muP": way(-1, (0, -1, -1)),
    "muP, hidden rate forgotten": way(-1, (0, 0, -1)),
    "muP, last rate forgotten": way(-1, (0, -1, 0)),
}

# %%
# How far does a step go?
# -----------------------
# Adam divides each gradient by its own size, so a step moves every single weight by about the
# learning rate, however wide the network. A unit sums over n of these changes, and they do not
# cancel: all of them go the way that lowers the loss. So after a step at a fixed rate
#
# - the first layer's pre-activations move by the same amount at any width: n⁰;
# - the second layer's move by n times as much: n¹;
# - the outputs move as n¹ by the change of their own weights. Through the layer below comes more:
#   it moves by n¹, in the direction of the last layer's weights, which are of size n^(-1/2), and
#   the sum over n units makes n · n¹ · n^(-1/2) = n^(3/2).
#
# With rates ∝ 1/n and last weights of size 1/n, all three are n⁰: every layer moves, and none runs
# away. A :term:`coordinate check` measures this before any long training. It takes a step at each
# of several widths, and tells how far the layers' outputs on other images have moved.

exponents = [(0, 1, 1.5), (0, 0, 0), (0, 1, 1), (0, 0, 1)]  # fc1, fc2, fc3
predicted = dict(zip(ways, exponents, strict=True))
check = experiments.coordinate_check(
    network, small, ways, widths=2 ** np.arange(6, 12), predicted=predicted
)
fig, axes = plots.subplots(2, 2, height=6.8, sharex=True, sharey=True)
for ax, label in zip(axes.flat, ways, strict=True):
    plots.plot_coordinates(check, label, legend=False, ax=ax)
    ax.label_outer()
fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)

# %%
# The predicted exponents are dashed, through the mean at the last width. A *good* check is the one
# of muP: every layer is level. A *failing* one has layers that rise (or fall) with the width, and
# the first that does is where to look: fc2 where its rate was forgotten, fc3 where only the last
# one was. In numbers, as slopes of the logarithms:

check

# %%
# Where 0 is predicted, the measurement is near it. Where growth is predicted, it is weaker than
# predicted at small widths and comes closer at large ones: the prediction names only the term that
# wins in the end, and at n = 64 others still make up a good part. (One that fades makes the outputs
# of muP fall a little before they level off.) So a check that fails looks less bad at small widths
# than it is.
#
# The best learning rate
# ----------------------
# If a step goes n times too far, the best learning rate should fall, in the end like 1/n. And where
# no step depends on the width, it should stay. In the hundred steps of one epoch, each image is
# seen once, and each batch's loss is taken before its step, so it is a loss on new images:

widths, rates, seeds = [64, 256, 1024], 2.0 ** np.arange(-12, -4), 5
grid = {"width": widths, "learning_rate": rates.tolist()}
how = {"model": network, "epochs": 1, "batch_size": 40, "seeds": seeds}
losses = {}  # way -> (widths, rates, seeds)
fig, axes = plots.subplots(1, 2, sharey=True)
for ax, label in zip(axes, ("standard", "muP"), strict=True):
    scheme, adam = ways[label]
    swept = initguide.sweep(grid, small, scheme=scheme, optimizer=adam, **how)
    ends = [run.train_losses[-40:].mean() for run in swept.runs]
    losses[label] = np.reshape(ends, (len(widths), len(rates), seeds))
    for i, n in enumerate(widths):
        look = {"color": plots.PALETTE[i], "marker": "os^"[i], "label": f"n = {n}"}
        plots.draw_band(losses[label][i].T, at=rates, ax=ax, **look)
    ax.set_xscale("log", base=2)
    ax.set(title=label, xlabel="learning rate (logarithmic)", ylim=(0.45, 1.2))
axes[0].set_ylabel("loss over the last 40 of 100 batches, nats")
axes[1].legend(title="width")
words = {k: rates[found.mean(2).argmin(1)].tolist() for k, found in losses.items()}
plots.describe(fig, f"Loss against the learning rate. Lowest, {widths}: {words}.")

# %%
# Mean of five seeds and the range; losses above 1.2 are cut off. On the left, the valley moves to
# smaller rates as the width grows, and a rate that is good for n = 64 lies on the slope of n =
# 1024. On the right, all three have their valley in the same place.
#
# As which power of n does the bottom of the valley move, that of a parabola through the five rates
# around it? And what does it cost to train the wide network at the narrow one's best rate? A rate
# that is chosen by the runs that are then reported looks better than it is, so for each seed the
# others choose.


def in_words(values):
    mean, (low, high) = experiments.mean_interval(values)
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "−")


rows = []
for label, found in losses.items():
    bottoms = []  # (widths, seeds)
    for row in found:
        middle = int(np.clip(row.mean(1).argmin(), 2, len(rates) - 3))
        near = slice(middle - 2, middle + 3)
        a, b, _ = np.polyfit(np.log2(rates[near]), row[near], 2)
        bottoms.append(-b / (2 * a))
    powers = np.polyfit(np.log2(widths), bottoms, 1)[0]
    borrowed, wide = found[-1, found[0].mean(1).argmin()], found[-1]
    chosen = [np.delete(wide, k, 1).mean(1).argmin() for k in range(seeds)]
    own = wide[chosen, range(seeds)]
    cells = in_words(powers), borrowed.mean(), own.mean(), in_words(borrowed - own)
    rows.append((label, *cells))
columns = "way", "best rate ∝ n to the", "borrowed", "own", "price"
initguide.Table(
    dict(zip(columns, zip(*rows, strict=True), strict=True)),
    caption="The best rate; loss at n = 1024, at the best rate of n = 64 and at its own, nats",
    note="Price: borrowed − own. Means and 95 % intervals over 5 seeds.",
)

# %%
# Without muP, the best rate falls with the width, though not yet like 1/n: at these widths the
# growth in the coordinate check was slower, too. The borrowed rate has its price. With muP the rate
# hardly moves, so there is little to pay. The column of own rates compares the two where *both* are
# tuned at n = 1024. It is no verdict on muP: at one width, that is a standard network with other
# rates for its layers. It carries over what was decided at n = 64, the rate and with it the
# proportions among the layers' rates, and these, which we never tuned, need not be the best for the
# wide network.
#
# .. admonition:: Try it
#
#    Is the rule of this page for Adam also right for SGD? Let a coordinate check decide.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          rules = [(0, -1, -1), (1, 0, -1)]
#          rules = {str(rule): way(-1, rule, torch.optim.SGD) for rule in rules}
#          how = {"widths": widths, "learning_rate": 0.1}
#          print(experiments.coordinate_check(network, small, rules, **how))
#          # By Adam's rule, (0, −1, −1), fc1 and fc2 fall about like 1/n: their gradients do, and
#          # Adam divides that out, but SGD does not. With n times the rates, they hardly fall.
#
# What we learnt
# --------------
# - A step of Adam moves hidden layers and outputs the further, the wider the network is; the first
#   layer it moves equally far. muP, that is rates ∝ 1/n for the matrices behind the first and last
#   weights of size 1/n, makes all of these changes about independent of the width.
# - In a coordinate check, all layers should be level. The first that rises is the one whose rate
#   or weights were forgotten.
# - The best learning rate fell with the width without muP, and hardly moved with it.
# - The rule to take home: **if you tune at one width and train at another, use muP, and run a
#   coordinate check first; if you can tune at the width that you train, you do not need it.**
#
# When no formula is at hand, :doc:`the data can decide
# </auto_examples/practice/plot_3_let_the_data_decide>`.
