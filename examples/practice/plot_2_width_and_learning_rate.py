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
   :keywords: μP, maximal update parametrization, coord check, hyperparameter transfer, width, wide
      networks, Adam, parameter groups
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
from initguide import plots
from initguide.experiments import Estimate, coordinate_check

BASE = 64
data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
small = data.transformed(lambda x: F.avg_pool2d((x - 0.286) / 0.353, 2), "14 × 14")


def network(width):
    return initguide.mlp([14 * 14, width, width, 10])


def way(size, powers, optimizer=torch.optim.Adam, first=1):
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
        rates = rates[0] * first, *rates  # of the first matrix, and of the biases
        groups = zip(([w1], [b1, b2, b3], [w2], [w3]), rates, strict=True)
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
# - the outputs move as n¹ by the change of their own weights, and by more through the layer below:
#   it moves by n¹ in the direction of the last layer's weights, of size n^(-1/2), and the sum over
#   n units makes n · n¹ · n^(-1/2) = n^(3/2).
#
# With rates ∝ 1/n and last weights of size 1/n, all three are n⁰: every layer moves, and none runs
# away. A :term:`coordinate check` measures this before any long training. It takes a step at each
# of several widths, and tells how far the layers' outputs on other images have moved.

exponents = [(0, 1, 1.5), (0, 0, 0), (0, 1, 1), (0, 0, 1)]  # fc1, fc2, fc3
predicted = dict(zip(ways, exponents, strict=True))
check = coordinate_check(
    network, small, ways, widths=2 ** np.arange(6, 11), predicted=predicted
)
fig, axes = plots.subplots(2, 2, height=6.8, sharex=True, sharey=True)
for ax, label in zip(axes.flat, ways, strict=True):
    plots.plot_coordinates(check, label, legend=False, ax=ax)
    ax.label_outer()
fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)

# %%
# The predicted exponents are dashed, through the mean at the last width. In a *good* check, every
# layer is level. A *failing* one has layers that rise (or fall) with the width, and the first that
# does is where to look. In numbers, as slopes of the logarithms:

check

# %%
# The prediction names only the term that wins in the end, and at n = 64 others still make up a good
# part. So growth may be weaker than predicted at small widths, and a check that fails look less bad
# there than it is. We judge by n = 256 and more:

slopes = {k: [Estimate(*s) for s in check.exponents(k, least=256)] for k in ways}
hidden, last = (
    slopes[f"muP, {rate} rate forgotten"] for rate in ("hidden", "last")
)
rise = [slope.above(0.25) for slope in (hidden[1], last[2])]
named = initguide.all_of(*rise, *(s.below(0.25) for s in (hidden[0], *last[:2])))
level = initguide.all_of(*(s.within(-0.25, 0.25) for s in slopes["muP"]))
(
    initguide.says(
        level,
        "With muP every layer is level, or nearly so: its exponents from ``n = 256`` on are "
        "{fc1:.2f}, {fc2:.2f} and {fc3:.2f}.",
        "Not even with muP is every layer level: its exponents from ``n = 256`` on are {fc1:.2f}, "
        "{fc2:.2f} and {fc3:.2f}.",
        "Whether every layer is level with muP, these seeds cannot tell: its exponents from "
        "``n = 256`` on are {fc1:.2f}, {fc2:.2f} and {fc3:.2f}.",
        fc1=slopes["muP"][0],
        fc2=slopes["muP"][1],
        fc3=slopes["muP"][2],
    )
    + initguide.says(
        named,
        "In both of the mistakes, the first layer that rises names the matrix whose rate was "
        "forgotten, ``fc2`` and ``fc3``.",
        "In one of the mistakes, the first layer that rises does not name the matrix whose rate "
        "was forgotten.",
        "Whether in both of the mistakes the first layer that rises names the matrix whose rate "
        "was forgotten, these seeds cannot tell.",
    )
)

# %%
# The best learning rate
# ----------------------
# If a step goes n times too far, the best learning rate should fall, in the end like 1/n. And where
# no step depends on the width, it should stay. In the hundred steps of one epoch, each image is
# seen once, and each batch's loss is taken before its step, so it is a loss on new images.
#
# muP says how the layers' rates change with the width, not in which proportion they stand at n =
# 64. That is to be tuned, too. As an example, a third way gives the first matrix a sixteenth of the
# rate, at each width:

ways["muP, first slower"] = way(-1, (0, -1, -1), first=1 / 16)
widths, rates, seeds = [64, 192, 512], 2.0 ** np.arange(-12, -4), 5
grid = {"width": widths, "learning_rate": rates.tolist()}
how = {"model": network, "epochs": 1, "batch_size": 40, "seeds": seeds}
losses = {}  # way -> (widths, rates, seeds)
fig, axes = plots.subplots(1, 3, sharey=True)
for ax, label in zip(axes, ("standard", "muP", "muP, first slower"), strict=True):
    scheme, adam = ways[label]
    swept = initguide.sweep(grid, small, scheme=scheme, optimizer=adam, **how)
    ends = [run.train_losses[-40:].mean() for run in swept.runs]
    losses[label] = np.reshape(ends, (len(widths), len(rates), seeds))
    for n, found, marker in zip(widths, losses[label], "os^", strict=True):
        plots.draw_band(found.T, at=rates, ax=ax, label=f"n = {n}", marker=marker)
    ax.set_xscale("log", base=2)
    ax.set(title=label, xlabel="learning rate (logarithmic)", ylim=(0.45, 1.2))
axes[0].set_ylabel("loss over the last 40 of 100 batches, nats")
axes[-1].legend(title="width")
at = [f"{k} {rates[x[-1].mean(1).argmin()]:.4f}" for k, x in losses.items()]
plots.describe(fig, f"Loss by learning rate. Best at n = 512: {', '.join(at)}.")

# %%
# Mean of five seeds and the range; losses above 1.2 are cut off. Look where the valleys lie. As
# which power of n does the bottom of the valley move (that of a parabola through five rates)? And
# what is the price of training the wide network at the best rate that is borrowed from the narrow
# one, compared with its own? A rate that is chosen by the runs that are then reported looks better
# than it is, so for each seed the others choose. Means of five seeds, with 95 % intervals:

power, price, borrowed, own = {}, {}, {}, {}
for label, found in losses.items():
    bottoms = []  # logarithms of the best rates, (widths, seeds)
    for row in found:
        middle = int(np.clip(row.mean(1).argmin(), 2, len(rates) - 3))
        near = slice(middle - 2, middle + 3)
        a, b, _ = np.polyfit(np.log2(rates[near]), row[near], 2)
        bottoms.append(-b / (2 * a))
    narrow, wide = found[0], found[-1]
    power[label] = initguide.estimate(np.polyfit(np.log2(widths), bottoms, 1)[0])
    borrowed[label] = wide[narrow.mean(1).argmin()]
    others = [np.delete(wide, k, 1).mean(1).argmin() for k in range(seeds)]
    own[label] = wide[others, range(seeds)]
    price[label] = initguide.estimate(borrowed[label] - own[label])
initguide.Table(
    {
        "way": list(losses),
        "best rate ∝ n to the": [f"{x:+.2f}" for x in power.values()],
        "borrowed": [x.mean() for x in borrowed.values()],
        "own": [x.mean() for x in own.values()],
        "price": [f"{x:+.3f}" for x in price.values()],
    },
    caption="The best rate; loss at n = 512, at the best rate of n = 64 and at its own, nats",
)

# %%
# The column of own rates compares the ways where *all* are tuned at n = 512. It is no verdict on
# muP: at one width, that is a standard network with other rates for its layers. muP carries over
# what was decided at n = 64, and with it the proportions among the layers' rates.

lead = initguide.estimate(borrowed["muP"] - borrowed["standard"])
cost = {k: initguide.estimate(own[k] - own["standard"]) for k in own}
(
    initguide.says(
        power["standard"].below(0),
        "Without muP, the best rate falls with the width, as n to the {power:.2f}.",
        "Without muP, the best rate does not fall with the width: it goes as n to the {power:.2f}.",
        "Whether the best rate falls with the width without muP, these seeds cannot tell: it goes "
        "as n to the {power:.2f}.",
        power=power["standard"],
    )
    + initguide.says(
        price["standard"].above(0),
        "The borrowed rate has its price, {price:+.3f} nats.",
        "The borrowed rate has no price: {price:+.3f} nats.",
        "Whether the borrowed rate has a price is open: {price:+.3f} nats.",
        price=price["standard"],
    )
    + initguide.says(
        power["muP"].within(-0.2, 0.2),
        "With muP the rate hardly moves ({power:+.2f}).",
        "With muP the rate moves, too ({power:+.2f}).",
        "With muP, these seeds cannot tell whether the rate stays where it is to within a fifth of "
        "a power ({power:+.2f}).",
        power=power["muP"],
    )
    + initguide.says(
        price["muP"].below(0.02),
        "There is little to pay: {price:+.3f}.",
        "Its price is no smaller than a fiftieth of a nat: {price:+.3f}.",
        "Whether its price is below a fiftieth of a nat is open: {price:+.3f}.",
        price=price["muP"],
    )
    + initguide.says(
        lead.below(0),
        "At the borrowed rate muP ends lower than the standard way: {lead:+.3f}.",
        "At the borrowed rate muP ends higher than the standard way all the same: {lead:+.3f}.",
        "At the borrowed rate, these seeds cannot tell muP from the standard way all the same: "
        "{lead:+.3f}.",
        lead=lead,
    )
    + initguide.says(
        cost["muP"].above(0),
        "Tuned at ``n = 512``, with the proportions as they were, muP is behind the standard way "
        "by {cost:.3f} nats.",
        "Tuned at ``n = 512``, with the proportions as they were, muP is ahead of the standard "
        "way: {cost:.3f} nats.",
        "Whether muP is behind the standard way where both are tuned at ``n = 512``, these seeds "
        "cannot tell: {cost:+.3f} nats.",
        cost=cost["muP"],
    )
    + initguide.says(
        cost["muP, first slower"].below(cost["muP"].mean),
        "That hangs on proportions that nobody tuned: with a slower first layer the difference is "
        "{cost:+.3f}.",
        "A slower first layer does not make the difference smaller: it is {cost:+.3f}.",
        "With a slower first layer the difference is {cost:+.3f}, and whether that is less, these "
        "seeds cannot tell.",
        cost=cost["muP, first slower"],
    )
)

# %%
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
#          print(coordinate_check(network, small, rules, **how))
#          # The gradients of fc1 and fc2 fall like 1/n. Adam divides that out, SGD does not.
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        initguide.all_of(*(s.above(0.25) for s in slopes["standard"][1:])),
        "A step of Adam moved the second layer and the outputs the further, the wider the network.",
        "A step of Adam did not move both the second layer and the outputs further in a wider "
        "network.",
        "Whether a step of Adam moves both the second layer and the outputs further in a wider "
        "network, these seeds could not tell.",
        key="width-step-grows",
    )
    + initguide.says(
        level,
        "muP, that is rates :math:`\\propto 1/n` for the matrices after the first and last "
        "weights of size :math:`1/n`, made these changes about independent of the width.",
        "muP did not make all of these changes independent of the width.",
        "Whether muP makes all of these changes independent of the width is open.",
        key="width-mup-level",
    ),
    initguide.says(
        named,
        "In a coordinate check, all layers should be level; here, the first that rose was the one "
        "whose rate was forgotten.",
        "In a coordinate check, all layers should be level; here, the first that rose did not name "
        "the rate that was forgotten.",
        "In a coordinate check, all layers should be level; whether the first that rose was the "
        "one whose rate was forgotten is open.",
    ),
    initguide.says(
        power["standard"].below(0),
        "The best learning rate fell with the width without muP.",
        "The best learning rate did not fall with the width without muP.",
        "Whether the best learning rate falls with the width without muP was left open.",
        key="width-best-rate-falls",
    )
    + initguide.says(
        power["muP"].within(-0.2, 0.2),
        "With muP it hardly moved.",
        "With muP it moved, too.",
        "How far it moves with muP was not measured to a fifth of a power.",
        key="width-mup-rate-stays",
    ),
    initguide.says(
        cost["muP, first slower"].above(-0.02),
        "Tuned at the width that is trained, the standard way was no worse than muP with a slower "
        "first layer, to within a fiftieth of a nat (muP − standard: {cost:+.3f}).",
        "Tuned at the width that is trained, muP with a slower first layer was better than the "
        "standard way by more than a fiftieth of a nat: {cost:+.3f}.",
        "Whether muP with a slower first layer is better by more than a fiftieth of a nat where "
        "both are tuned at the width that is trained is open: {cost:+.3f}.",
        cost=cost["muP, first slower"],
        key="width-standard-no-worse-tuned",
    ),
)

# %%
# The rule to take home: **if you tune at one width and train at another, use muP, tune the
# proportions of the layers' rates, too, and run a coordinate check first.**
# When no formula is at hand, :doc:`the data can decide
# </auto_examples/practice/plot_3_let_the_data_decide>`.
