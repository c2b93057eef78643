"""
2. Residual networks
====================

A residual block adds what it computes to what it was given. That makes depth easier, but He's rule
was not derived for it: the signal grows with every block. This page predicts and measures by how
much, for signals and for gradients, and then what scaling, zeros, Fixup and normalization do about
it, before training and in training.

.. admonition:: What you will learn

   - why each block doubles the :term:`variance`, and what branches scaled by 1/√L do instead
   - what starting the last layer of each branch at zero does, and how Fixup goes on from there
   - how normalization turns doubling into counting
   - which of them trained, and at which learning rates

.. meta::
   :keywords: residual network, ResNet, skip connection, residual branch, Fixup, zero gamma,
      zero initialization, normalization, batch normalization, initialization
"""

# %%
# A block
# -------
# We take blocks with ReLU before each layer, as in :cite:t:`he2016`, fully connected so that they
# train in no time. A normalization can be put in front of each ReLU. The layer named ``sum`` does
# nothing; it is there to be measured.

import math
from collections import OrderedDict

import numpy as np
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, theory
from initguide.experiments import mean_interval

DEPTH = 24


class Block(nn.Module):
    """x + branch(x)."""

    def __init__(self, width, norm=None):
        super().__init__()
        parts = OrderedDict()
        for number, name in enumerate(("first", "last")):
            if norm is not None:
                parts[f"norm{number}"] = norm(width)
            parts[f"relu{number}"] = nn.ReLU()
            parts[name] = nn.Linear(width, width)
        self.branch = nn.Sequential(parts)
        self.sum = nn.Identity()

    def forward(self, x):
        return self.sum(x + self.branch(x))


def resnet(block=Block, *, width=64, depth=DEPTH, **settings):
    """A linear layer, blocks, and a linear layer: 196 pixels to 10 scores."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            stem=nn.Linear(196, width),
            blocks=nn.Sequential(*(block(width, **settings) for _ in range(depth))),
            relu=nn.ReLU(),
            head=nn.Linear(width, 10),
        )
    )


# %%
# Why the variance doubles
# ------------------------
# With He's weights, a branch keeps the mean square of its input: each ReLU halves it, each layer
# doubles it. And the last layer's weights have mean 0 and are independent of everything before
# them, so the products of x and branch(x) average to 0:
#
# .. math:: E[(x + \mathrm{branch}(x))^2] = E[x^2] + E[\mathrm{branch}(x)^2] = 2\, E[x^2] .
#
# After L blocks, that is 2ᴸ. The same holds for gradients on their way back. Three remedies:
#
# - **scale** the last layer of each of the L branches by 1/√L. A block then multiplies by 1 + 1/L,
#   and all of them by (1 + 1/L)ᴸ, which is below e at any depth;
# - start the last layer at **zero**. Every block starts as the identity. (Where a branch *ends*
#   with a normalization, the same is had by a factor γ of zero :cite:p:`goyal2017`);
# - **normalize** the input of the branch. Its output then has mean square 1, however large x is, so
#   a block no longer doubles: it adds 1. After l blocks a branch is one part in l + 1 of the whole,
#   so that deep blocks are close to the identity :cite:p:`de2020`.
#
# :func:`~initguide.theory.residual_growth` gives the growth for the first two. With layer
# normalization, the mean square goes from q to q + 1 in each block. On the way back, the branch
# divides gradients by the size of x, so a block multiplies their mean square by 1 + 1/q.
#
# And PyTorch's default? Its weights have variance 1/(3n), so with ReLU a layer keeps 1/6 of the
# mean square, and a branch 1/36, besides what the random biases add. The branches start small
# there, without anybody having thought of residual networks.

data = initguide.fashion_mnist()
data = data.subset(
    train=min(2500, len(data.train)), valid=min(1000, len(data.valid)), test=100
)
mean, std = data.train.images.mean(), data.train.images.std()
small = data.transformed(
    lambda x: nn.functional.avg_pool2d((x - mean) / std, 2),
    "centred, 14 × 14 pixels",
)
images = small.train.images[:60]

starts = {
    "default": (init.default(), None),
    "he_normal": (init.he_normal(), None),
    "residual_scaled": (init.residual_scaled(last="*.last"), None),
    "zero_last": (init.zero_last(last="*.last"), None),
    "he_normal, LayerNorm": (init.he_normal(), nn.LayerNorm),
}
blocks, width = np.arange(1, DEPTH + 1), 128
stem = 2 * images.square().mean().item()  # what He's weights make of the images
bias = 1 / (3 * width)  # variance of PyTorch's biases
small_stem = stem / 6 + 1 / (3 * 196)
# With the default, a block takes q to q + q/36 + 7/6 bias, and 36 · 7/6 = 42.
growth = {
    "default": ((small_stem + 42 * bias) * (37 / 36) ** blocks - 42 * bias)
    / small_stem,
    "he_normal": theory.residual_growth(blocks, 1.0),
    "residual_scaled": theory.residual_growth(blocks, DEPTH**-0.5),
    "zero_last": theory.residual_growth(blocks, 0.0),
    "he_normal, LayerNorm": 1 + blocks / stem,
}

fig, axes = plots.subplots(1, 2, height=4.2)
ends = {}
for i, (name, (scheme, norm)) in enumerate(starts.items()):
    forward, back = [], []
    for seed in range(6):
        net = initguide.initialize(
            resnet(width=width, norm=norm), scheme, seed=seed
        )
        found = initguide.measure(net, images)
        sums = [r for r in found if r.name.endswith("sum")]
        forward.append(
            np.array([r.output_second_moment for r in sums])
            / found["stem"].output_second_moment
        )
        gradients = np.array([r.output_grad_var for r in sums])
        back.append(gradients / gradients[-1])
    lines = (growth[name], growth[name][-1] / growth[name])
    if name == "default":  # biases add to the signal, not to the gradient
        lines = (growth[name], (37 / 36) ** (DEPTH - blocks))
    color = plots.PALETTE[i]
    for ax, sample, line in zip(axes, (forward, back), lines, strict=True):
        low, high = np.quantile(sample, (0, 1), axis=0)
        ax.fill_between(blocks, low, high, color=color, alpha=0.2)
        ax.plot(blocks, np.mean(sample, 0), color=color, label=name)
        ax.plot(blocks, line, "--", color="0.2", linewidth=1.2)
        ax.set(xlabel="block", yscale="log")
    ends[name] = (np.mean(forward, 0)[-1], lines[0][-1])
    ends[name] += (np.mean(back, 0)[0], lines[1][0])
axes[0].set(title="Signal", ylabel="mean square / the stem's (logarithmic)")
axes[1].set(title="Gradient", ylabel="mean square / last block's (logarithmic)")
axes[1].legend()
plots.describe(
    fig,
    f"Growth of the signal over {DEPTH} blocks, and of the gradient back from the last to the "
    "first. "
    + "; ".join(
        f"{name}: {a:.2g} (predicted {b:.2g}) and {c:.2g} ({d:.2g})"
        for name, (a, b, c, d) in ends.items()
    ),
)

# %%

columns = list(zip(*ends.values(), strict=True))
initguide.Table(
    {
        "start": list(ends),
        "signal, measured": columns[0],
        "predicted": columns[1],
        "gradient, measured": columns[2],
        "predicted ": columns[3],
    },
    caption=f"Growth of mean squares over {DEPTH} blocks",
    note="Mean of 6 draws, 128 units. Signal: relative to the stem. Gradient: in the first "
    "block relative to the last.",
    formats=dict.fromkeys(
        ["signal, measured", "predicted", "gradient, measured", "predicted "], ".3g"
    ),
)

# %%
# Lines and bands: mean and range of six draws of networks with 128 units; dashed: predicted. He's
# start grows by about seven orders of magnitude in both directions, all others by little. The
# predictions tell them apart and run along the bands; over so many doublings, six draws of narrow
# layers end within a factor of a few of the prediction (:doc:`finite width
# </auto_examples/theory/plot_9_finite_width>` says why). PyTorch's default has a small stem; its
# growth is largely that of the biases.
#
# With branches of zeros, all layers but the last of each branch wait: as long as the last one is
# zero, no gradient passes through it.

net = initguide.initialize(resnet(), init.zero_last(last="*.last"), seed=0)
found = initguide.measure(net, images, small.train.labels[:60])
for layer in ("first", "last"):
    gradient = found[f"blocks.0.branch.{layer}"].weight_grad_var
    print(
        f"zero_last, {layer} layer of block 0: variance of the gradient {gradient:.2g}"
    )

# %%
# After one step the last layers are not zero any more, and the others learn, too.
#
# Batch normalization divides by the size of x over the batch instead of that of each image.
# Forwards that comes to the same:

net = resnet(width=width, norm=nn.BatchNorm1d)
found = initguide.measure(initguide.initialize(net, "he_normal", seed=0), images)
end = found[f"blocks.{DEPTH - 1}.sum"].output_second_moment
print(f"batch norm: {end / found['stem'].output_second_moment:.1f}, ", end="")
print(f"predicted as for layer norm {growth['he_normal, LayerNorm'][-1]:.1f}")

# %%
#
# Fixup
# -----
# :cite:t:`zhang2019` asked how to train without normalization at the learning rates that
# normalization allows. Their **Fixup** starts the last layer of each branch and the classifier at
# zero, multiplies the other layers of the branch by L\ :sup:`−1/(2m−2)`, with m layers a branch
# (here 2, so by 1/√L), and adds single numbers that are learnt: a bias in front of each layer and
# activation, and a multiplier for each branch. Written out:


class FixupBlock(nn.Module):
    """x + scale · branch(x), with a number added before each ReLU and each layer."""

    def __init__(self, width):
        super().__init__()
        self.first = nn.Linear(width, width, bias=False)
        self.last = nn.Linear(width, width, bias=False)
        self.add = nn.Parameter(torch.zeros(4))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        h = self.first(torch.relu(x + self.add[0]) + self.add[1])
        h = self.last(torch.relu(h + self.add[2]) + self.add[3])
        return x + self.scale * h


def fixup(module):
    """He's weights, but for the blocks and the classifier."""
    init.he_normal()(module)
    if isinstance(module, FixupBlock):
        with torch.no_grad():
            module.first.weight.mul_(DEPTH ** (-1 / (2 * 2 - 2)))
            module.last.weight.zero_()
    if isinstance(module, nn.Linear) and module.out_features == 10:
        nn.init.zeros_(module.weight)


# %%
# Training
# --------
# Seven starts, four learning rates, three seeds: one epoch of SGD with momentum, 24 blocks of 64
# units. Batch normalization is used where it says so.

compared = {
    "he_normal": (init.he_normal(), resnet),
    "default": (init.default(), resnet),
    "residual_scaled": (starts["residual_scaled"][0], resnet),
    "zero_last": (starts["zero_last"][0], resnet),
    "Fixup": (fixup, lambda: resnet(FixupBlock)),
    "he_normal, BatchNorm": (init.he_normal(), lambda: resnet(norm=nn.BatchNorm1d)),
    "zero_last, BatchNorm": (
        starts["zero_last"][0],
        lambda: resnet(norm=nn.BatchNorm1d),
    ),
}
rates, seeds = (0.01, 0.03, 0.1, 0.3), 3


def losses(name, rate, seeds=seeds):
    """Validation loss of each seed; NaN where the run diverged."""
    scheme, model = compared[name]
    result = initguide.compare_init_weights(
        {name: scheme},
        small,
        model=model,
        epochs=1,
        optimizer="momentum",
        learning_rate=rate,
        seeds=seeds,
    )
    return result.values(name, "valid_loss")


found = {
    name: np.array([losses(name, rate) for rate in rates]) for name in compared
}
worst = {
    name: np.nan_to_num(rows, nan=np.inf).max(axis=1)
    for name, rows in found.items()
}
BLANK = math.log(10)  # the loss of a network that knows nothing

fig, ax = plots.subplots(height=4.6)
for i, (name, rows) in enumerate(found.items()):
    learnt = worst[name] < BLANK
    if learnt.any():
        x, drawn = np.array(rates)[learnt], rows[learnt]
        color, style = plots.PALETTE[i % 6], ("-", "--")["Batch" in name]
        ax.fill_between(x, drawn.min(1), drawn.max(1), color=color, alpha=0.15)
        ax.plot(
            x, drawn.mean(1), style, marker="os^DvP<"[i], color=color, label=name
        )
ax.set(
    xscale="log",
    xlabel="learning rate (logarithmic)",
    ylabel="validation loss, nats",
)
ax.set(title=f"Residual networks of {DEPTH} blocks, after one epoch")
ax.legend(title="mean of 3 seeds; band: range")
best = {
    name: np.where(worst[name] < BLANK, found[name].mean(1), np.nan)
    for name in found
}
plots.describe(
    ax,
    "Validation loss against the learning rate, where all seeds learnt. Lowest: "
    + ", ".join(
        f"{name} {np.nanmin(row):.2f} at {rates[np.nanargmin(row)]:g}"
        for name, row in best.items()
        if not np.isnan(row).all()
    ),
)

# %%


def cell(row):
    """The mean over seeds, or how many diverged."""
    bad = int(np.isnan(row).sum())
    return f"{bad} of {len(row)} diverged" if bad else f"{row.mean():.2f}"


initguide.Table(
    {"start": list(found)}
    | {
        f"{rate:g}": [cell(rows[i]) for rows in found.values()]
        for i, rate in enumerate(rates)
    },
    caption="Validation loss after one epoch, by learning rate",
    note=f"Mean of {seeds} seeds, {len(small.train)} images, SGD with momentum 0.9. A network that "
    f"knows nothing has {BLANK:.2f}.",
)

# %%


def difference(a, b, rate, seeds):
    """Print the paired difference of validation losses: below zero, a is ahead."""
    gap = losses(a, rate, seeds) - losses(b, rate, seeds)
    mean, interval = mean_interval(gap)
    low, high = interval or (math.nan, math.nan)
    print(f"{a} − {b}, rate {rate:g}: {mean:+.2f}, from {low:+.2f} to {high:+.2f}")


difference("Fixup", "zero_last", 0.1, range(3, 7))
difference("zero_last, BatchNorm", "he_normal, BatchNorm", 0.03, range(3, 8))
slow = ", ".join(f"{loss:.3g}" for loss in losses("he_normal", 1e-4))
print(f"he_normal, rate 0.0001: {slow}")

# %%
# In the figure, points are left out where a seed diverged or ended above the loss of a network that
# knows nothing. The differences below the table come from new seeds: below zero, the first is
# ahead; the ends are those of 95 % intervals.
#
# He's start without normalization does not train, not even at the rate of 0.0001
# (``nan`` is a run that diverged). With **normalization** it does: adding instead of doubling is
# enough. Without normalization, **small branches** are enough. Both ways to make them, scaled or
# zero, train at the smaller rates, and both diverge at the largest.
#
# **Fixup** is slow at the smallest rate, but learns at the largest, where in the figure no other
# start without normalization but the default stays near it. And zeros help the normalized network,
# too: at a rate that suits both, it is ahead of the same network from He's weights.
#
# PyTorch's **default**, which is too small for a plain deep network (:doc:`page 1
# </auto_examples/architectures/plot_1_convolutions>`), does well here. Small is what a branch
# should be.
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
#                  init.zero_last(last="*.last")(module)
#                  nn.init.zeros_(module.head.weight)
#
#          compared["zero_last, zero head"] = (both_zero, resnet)
#          for rate in rates[2:]:
#              print(rate, cell(losses("zero_last, zero head", rate)))
#          # It no longer diverged for us, but stayed behind Fixup: its other parts count, too.
#
# What we learnt
# --------------
# - A residual block with He's weights doubles the mean square of the signal and of the gradient: 2ᴸ
#   after L blocks. A few draws of a narrow network miss that by a factor of two or so.
# - Branches scaled by 1/√L keep both below e; branches that start at zero keep them at 1, and train
#   all the same, because the last layers get a gradient from the first step on.
# - With layer normalization in the branches, signals grow by 1 a block instead of by 2 times.
# - Of networks of 24 blocks, He's start without normalization learnt nothing. Scaled or zero
#   branches or normalization were each enough, within a range of learning rates; Fixup, without
#   normalization, still learnt at the largest rate tried.
#
# The rule to take home: **let branches start small.** With batch normalization, start the last
# layer of each at zero; without normalization, scaled, zero or PyTorch's small weights all do, at a
# smaller learning rate. Keep He's full weights for networks without shortcuts.
#
# What normalization forgives besides: :doc:`normalization
# </auto_examples/architectures/plot_3_normalization>`. Why doubling is fatal in networks without
# shortcuts: :doc:`/auto_examples/theory/plot_5_depth`.
