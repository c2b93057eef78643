"""
2. Width and learning rate
==========================

A learning rate that was tuned on a narrow network is often wrong for a wide one, and tuning the
wide one is expensive. The maximal-update parametrization promises that one rate serves all widths.
This page checks it as its authors advise, with a coordinate check, and then measures the best
learning rate at three widths, with it and without.

.. admonition:: What you will learn

   - how far one step of Adam moves each layer, and how that grows with the width
   - the maximal-update parametrization, muP, in a dozen lines
   - what a coordinate check should look like, and how a failing one names the layer at fault
   - what muP gave on this task, and what it did not

.. meta::
   :keywords: muP, μP, maximal update parametrization, coordinate check, coord check, learning rate
      transfer, hyperparameter transfer, width, wide networks, Adam, parameter groups

.. index:: ! muP, ! coordinate check, ! learning rate transfer
"""

# %%
# Two parametrizations
# --------------------
# We use images of 14 × 14 pixels, so that a wide network is quick, and two hidden layers of equal
# :term:`width` n. The *standard* way: He's weights (:cite:p:`he2015`) in the hidden layers, 1/n as
# the variance of the last one, and one learning rate for all.
#
# The *maximal-update parametrization*, or :term:`muP` (:cite:t:`yang2021`, and for Adam
# :cite:t:`yang2022`) changes two things: the weights of the last layer get a variance ∝ 1/n², and
# Adam's learning rate for every matrix whose :term:`fan-in` is a width is ∝ 1/n. The first layer,
# whose fan-in are pixels, and the biases keep theirs. What "∝" leaves open is set so that both are
# the same network at n = 64:

import math

import numpy as np
import torch
from torch import nn

import initguide
from initguide import experiments, plots, training

BASE, RATE = 64, 1e-4
data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = nn.AvgPool2d(2)
small = data.transformed(
    lambda x: shrink((x - mean) / std), "standardized, 14 × 14"
)


def network(width):
    return initguide.mlp([14 * 14, width, width, 10])


def weights(last):
    """He's weights, and a last layer whose standard deviation is last(fan-in)."""

    def weights_init(module):
        if isinstance(module, nn.Linear):
            n, is_last = module.in_features, module.out_features == 10
            nn.init.normal_(
                module.weight, 0, last(n) if is_last else math.sqrt(2 / n)
            )
            nn.init.zeros_(module.bias)

    return weights_init


def adam(hidden, last):
    """Adam with factors on the learning rates of hidden and last matrix, given the width."""

    def make(parameters, lr):
        first, *others = parameters  # the weights of the first layer, and the rest
        w2, w3 = (p for p in others if p.ndim == 2)
        groups = [
            {"params": [first] + [p for p in others if p.ndim == 1]},
            {"params": [w2], "lr": lr * hidden(w2.shape[1])},
            {"params": [w3], "lr": lr * last(w3.shape[1])},
        ]
        return torch.optim.Adam(groups, lr=lr, fused=True)

    return make


def constant(_):
    return 1.0


def falling(n):
    return BASE / n


standard_weights = weights(lambda n: 1 / math.sqrt(n))
mup_weights = weights(lambda n: math.sqrt(BASE) / n)
ways = {
    "standard": (standard_weights, adam(constant, constant)),
    "muP": (mup_weights, adam(falling, falling)),
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
# With rates ∝ 1/n and last weights of size 1/n, all three are n⁰. That is what muP is made for:
# every layer moves, and none runs away.
#
# A :term:`coordinate check` measures this before any long training: for some widths, a few steps,
# and how far the pre-activations have moved. We add two networks with a mistake. In each, one line
# of muP was forgotten:

mistakes = {
    "muP, hidden rate forgotten": (mup_weights, adam(constant, falling)),
    "muP, last rate forgotten": (mup_weights, adam(falling, constant)),
}
predicted = {  # exponents of the width for fc1, fc2, fc3
    "standard": (0, 1, 1.5),
    "muP": (0, 0, 0),
    "muP, hidden rate forgotten": (0, 1, 1),
    "muP, last rate forgotten": (0, 0, 1),
}
widths, layers, probe = (
    [64, 128, 256, 512, 1024, 2048],
    ("fc1", "fc2", "fc3"),
    small.valid.images[:200],
)


@torch.no_grad()
def pre_activations(net):
    z1 = net.fc1(probe.flatten(1))
    z2 = net.fc2(z1.relu())
    return [z1, z2, net.fc3(z2.relu())]


def coordinates(width, scheme, optimizer, seed):
    """(steps, layers): root mean square of the change of the pre-activations."""
    net = initguide.initialize(network(width), scheme, seed=seed)
    stepper = training.make_optimizer(optimizer, net.parameters(), RATE)
    before, moved = pre_activations(net), []
    for batch in torch.arange(4 * 64).add(1000 * seed % 3000).split(64):
        images, labels = small.train.images[batch], small.train.labels[batch]
        training.fit(net, [(images, labels)], stepper)
        pairs = zip(pre_activations(net), before, strict=True)
        moved.append([(z - old).square().mean().sqrt().item() for z, old in pairs])
    return moved


moved = {  # label -> (widths, seeds, steps, layers)
    label: np.array([[coordinates(n, *way, s) for s in range(4)] for n in widths])
    for label, way in (ways | mistakes).items()
}

fig, axes = plots.subplots(2, 2, height=6.4, sharex=True, sharey=True)
for ax, (label, found) in zip(axes.flat, moved.items(), strict=True):
    for i, (layer, color) in enumerate(zip(layers, plots.PALETTE, strict=False)):
        for step, style in ((3, "o-"), (0, "s-")):
            rows = found[:, :, step, i]
            name = layer if step == 3 else None
            ax.plot(widths, rows.mean(1), style, color=color, label=name, ms=4)
            ax.fill_between(
                widths, rows.min(1), rows.max(1), color=color, alpha=0.2
            )
            line = np.array(widths, float) ** predicted[label][i]
            ax.plot(
                widths, line / line[-1] * rows[-1].mean(), "--", color="0.45", lw=1
            )
    ax.set(title=label, xscale="log", yscale="log")
    ax.set_xticks(widths, widths, fontsize=8)
    ax.set_xticks([], minor=True)
for ax in axes[1]:
    ax.set_xlabel("width (logarithmic)")
for ax in axes[:, 0]:
    ax.set_ylabel("change (logarithmic)")
axes[0, 1].legend(title="○ 4 steps, □ 1 step", loc="upper right")
ends = {label: found.mean(1)[[0, -1], 0] for label, found in moved.items()}
plots.describe(
    fig,
    "Change of the pre-activations against the width, four panels. After one step, outputs at "
    "width 64 and 2048: "
    + "; ".join(f"{k} {v[0, 2]:.3f} and {v[1, 2]:.3f}" for k, v in ends.items())
    + ". Only with muP are all lines flat.",
)

# %%
# Lines: mean of four seeds, with a band over all of them. Dashed: the predicted exponent, drawn
# through the last point. A *good* coordinate check is the one of muP: every line is flat. A
# *failing* one has lines that rise (or fall) with the width, and the first layer whose line does is
# where to look: fc2 where its rate was forgotten, fc3 where only the last one was. In numbers, as
# slopes of the logarithms after the first step:


def slope(found, layer, last=0):
    """Fitted exponent of the width and its interval over seeds, for the last so many widths."""
    x, rows = np.log(widths)[-last:], np.log(found[-last:, :, 0, layer])
    return experiments.mean_interval(np.polyfit(x, rows, 1)[0])


table = {
    "network": [],
    "layer": [],
    "predicted": [],
    "all widths": [],
    "last 3": [],
}
for label, found in moved.items():
    for i, layer in enumerate(layers):
        (all_of_them, (low, high)), (wide, _) = slope(found, i), slope(found, i, 3)
        cells = (label, layer, predicted[label][i])
        cells += (f"{all_of_them:.2f} ({low:.2f} to {high:.2f})", f"{wide:.2f}")
        for column, cell in zip(table.values(), cells, strict=True):
            column.append(cell)
initguide.Table(
    table,
    caption="How the change after one step grows with the width: exponents",
    note="All widths: fitted from 64 to 2048, mean and 95 % interval over 4 seeds. Last 3: from "
    "512 on.",
    formats={"predicted": "g"},
)

# %%
# Where 0 is predicted, the measurement is near it. Where growth is predicted, it is weaker than
# predicted at small widths and comes closer at large ones. The prediction names only the term that
# wins in the end. At n = 64, terms that do not grow still make up a good part: the second layer
# also moves because the first one did, for instance. Terms that fade are why muP's outputs fall a
# little before they level off. A check that fails looks less bad at small widths than it is.
#
# The best learning rate
# ----------------------
# If a step goes n times too far, the best learning rate should fall, in the end like 1/n. And where
# no step depends on the width, it should stay. Eight rates, three widths, five seeds, one epoch of
# a hundred steps each. Each image is seen once, and each batch's loss is taken before its step, so
# the training loss is one on new images. We take its mean over the last forty batches:

trained_widths, seeds = (64, 256, 1024), 5
rates = [2.0**k for k in range(-12, -4)]


def losses(label, width, rate):
    """Mean loss over the last forty batches, one number a seed."""
    scheme, optimizer = ways[label]
    result = initguide.compare_init_weights(
        {label: scheme},
        small,
        model=lambda: network(width),
        epochs=1,
        batch_size=40,
        learning_rate=rate,
        optimizer=optimizer,
        seeds=seeds,
    )
    return [run.train_losses[-40:].mean() for run in result.of(label)]


found = {  # (label, width) -> (rates, seeds)
    (label, n): np.array([losses(label, n, rate) for rate in rates])
    for label in ways
    for n in trained_widths
}

fig, axes = plots.subplots(1, 2, sharey=True)
for ax, label in zip(axes, ways, strict=True):
    for n, color, mark in zip(trained_widths, plots.PALETTE, "os^", strict=False):
        rows = found[label, n]
        ax.plot(rates, rows.mean(1), color=color, marker=mark, label=f"n = {n}")
        ax.fill_between(rates, rows.min(1), rows.max(1), color=color, alpha=0.2)
    ax.set_xscale("log", base=2)
    ax.set(title=label, xlabel="learning rate (logarithmic)", ylim=(0.45, 1.2))
axes[0].set_ylabel("loss over the last 40 of 100 batches, nats")
axes[1].legend(title="width")
best = {key: rates[rows.mean(1).argmin()] for key, rows in found.items()}
plots.describe(
    fig,
    "Loss over the last 40 of 100 batches against the learning rate, one curve a width. Best: "
    + "; ".join(f"{k} {n}: {rate:.4f}" for (k, n), rate in best.items()),
)

# %%
# Mean of five seeds and the range; losses above 1.2 are cut off. The curve of n = 64 is the same in
# both panels. On the left, the valley moves to smaller rates as the width grows, and a rate that is
# good for n = 64 lies on the slope of n = 1024. On the right, all three have their valley in the
# same place, the wider networks a little below the narrow one.
#
# Where exactly is the bottom of each? We fit a parabola to the five rates around each seed's lowest
# loss:


def optimum(row):
    """Logarithm to base 2 of the best rate, for one seed."""
    middle = min(max(int(row.argmin()), 2), len(rates) - 3)
    near = slice(middle - 2, middle + 3)
    a, b, _ = np.polyfit(np.log2(rates[near]), row[near], 2)
    fitted = -b / (2 * a) if a > 0 else np.log2(rates[row.argmin()])
    return float(np.clip(fitted, np.log2(rates[0]), np.log2(rates[-1])))


fig, ax = plots.subplots()
exponents = {}
for (label, expected), color, mark in zip(
    (("standard", -1), ("muP", 0)), plots.PALETTE, "os", strict=False
):
    optima = np.array(
        [[optimum(row) for row in found[label, n].T] for n in trained_widths]
    )
    exponents[label] = experiments.mean_interval(
        np.polyfit(np.log2(trained_widths), optima, 1)[0]
    )
    ax.plot(
        trained_widths, 2 ** optima.mean(1), color=color, marker=mark, label=label
    )
    ends = (2 ** optima.min(1), 2 ** optima.max(1))
    ax.fill_between(trained_widths, *ends, color=color, alpha=0.2)
    line = 2 ** optima[0].mean() * (np.array(trained_widths) / BASE) ** float(
        expected
    )
    words = f"predicted for {label}: n to the {expected}".replace("-", "−")
    ax.plot(trained_widths, line, "--", color=color, lw=1.2, label=words)
ax.set_xscale("log", base=2)
ax.set_yscale("log", base=2)
ax.set_xticks(trained_widths, trained_widths)
ax.set(
    title="Best learning rate, by width (5 seeds)",
    xlabel="width (logarithmic)",
    ylabel="best learning rate (logarithmic)",
)
ax.legend()
in_words = "; ".join(
    f"{label} {value:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}"
    for label, (value, (low, high)) in exponents.items()
).replace("-", "−")
plots.describe(
    ax, f"Best learning rate against the width. Fitted exponents: {in_words}."
)
print(f"exponents of the width: {in_words}")

# %%
# Without muP, the best rate falls with the width. The dashed line, 1/n, is the limit for wide
# networks, and at these widths the measured fall tends to be slower, as the growth was in the
# coordinate check: a factor of 16 in width is too short a range to show an asymptote. With muP the
# rate hardly moves.
#
# So what does it cost to tune the narrow network, and to train the wide one at the rate found
# there? A best rate that is chosen by the same runs that are then reported looks better than it is,
# so for each seed the other four choose.


def tuned(rows):
    """Loss of each seed at the rate that is best for the other seeds."""
    others = [np.delete(rows, seed, 1).mean(1).argmin() for seed in range(seeds)]
    return rows[others, range(seeds)]


rows = {
    "network": [],
    "at the rate of n = 64": [],
    "at its own best rate": [],
    "price": [],
}
for label in ways:
    wide = found[label, 1024]
    moved_over = wide[rates.index(best[label, 64])]
    own = tuned(wide)
    price, interval = experiments.mean_interval(moved_over - own)
    if interval is None or price == 0:
        price_in_words = "the same rate"
    else:
        price_in_words = f"{price:+.3f} ({interval[0]:+.3f} to {interval[1]:+.3f})"
    cells = (label, moved_over.mean(), own.mean(), price_in_words)
    for column, cell in zip(rows.values(), cells, strict=True):
        column.append(cell)
initguide.Table(
    rows,
    caption="Loss over the last 40 batches at width 1024, nats",
    note="Own best rate: for each seed, the one that is best for the other four. Price: difference "
    "and its 95 % interval, paired over 5 seeds.",
    formats={"at the rate of n = 64": ".3f", "at its own best rate": ".3f"},
)

# %%
gap, (low, high) = experiments.mean_interval(
    tuned(found["muP", 1024]) - tuned(found["standard", 1024])
)
print(
    f"muP − standard, each at its own best rate: {gap:+.3f} ({low:+.3f} to {high:+.3f})"
)

# %%
# Without muP, the borrowed rate has its price. With muP, it has none that these seeds can tell from
# 0. But read the other column, too. If *both* are tuned at n = 1024, muP is not the better one:
# above zero means that the standard network has the lower loss. Nothing in muP says that it learns
# more in a hundred steps. It carries over what was decided at the small width, the rate and with it
# the proportions among the layers' rates, and these need not be the best for the wide network.
#
# .. admonition:: Try it
#
#    muP with plain gradient descent has other exponents. Is the rule of this page for Adam also
#    right for SGD? Let a coordinate check decide.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def sgd(power):
#              def make(parameters, lr):
#                  groups = adam(falling, falling)(parameters, lr).param_groups
#                  n = groups[1]["params"][0].shape[1]
#                  factors = [(n / BASE) ** power, (n / BASE) ** power, 1]
#                  rates = [1000 * f * g["lr"] for f, g in zip(factors, groups)]
#                  groups = [{"params": g["params"], "lr": r} for g, r in zip(groups, rates)]
#                  return torch.optim.SGD(groups, lr=lr)
#
#              return make
#
#
#          for name, power in (("Adam's rule", 0), ("n times that below", 1)):
#              found = [coordinates(n, mup_weights, sgd(power), 0)[0] for n in (64, 256, 1024)]
#              print(name, np.polyfit(np.log([64, 256, 1024]), np.log(found), 1)[0].round(2))
#          # With Adam's rule, fc1 and fc2 fall about like 1/n: their gradients do, and Adam
#          # divides that out, but SGD does not. With rates n times as large for these two, the
#          # exponents come much closer to 0.
#
# What we learnt
# --------------
# - A step of Adam moves hidden layers and outputs the further, the wider the network is; the first
#   layer it moves equally far.
# - muP, that is rates ∝ 1/n for the matrices behind the first and last weights of size 1/n, makes
#   all of these changes independent of the width.
# - A coordinate check costs a few steps. All lines flat: good. A rising line names the layer whose
#   rate or weights were forgotten.
# - The best learning rate fell with the width without muP, and hardly moved with it.
# - Tuned at its own width, the standard network was no worse than muP. The rule to take home: **if
#   you tune at one width and train at another, use muP, and run a coordinate check first; if you
#   can afford to tune at the width that you train, you do not need it.**
#
# When no formula is at hand, :doc:`the data can decide
# </auto_examples/practice/plot_3_let_the_data_decide>`. What a finite width does to signals before
# the first step is measured in :doc:`/auto_examples/theory/plot_9_finite_width`.
