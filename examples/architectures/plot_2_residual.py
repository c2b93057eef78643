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
# before each layer. Follow x in the drawing: above, it reaches the sum as it is; below, through the
# branch. The sum is the next block's x, so signals and gradients have a way past all layers.

import functools

import numpy as np
from torch import nn

import initguide
from initguide import initializers as init
from initguide import models, plots, theory

DEPTH = 24
resnet = functools.partial(models.residual_net, depth=DEPTH)
plots.draw_residual_block()

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
        log=ax is axes[0],
        title="He's weights" if ax is axes[0] else "Small branches",
        xlabel="block",
        ylabel="mean square / the stem's",
        ax=ax,
    )

# %%
# Mind the scales: the left panel's is logarithmic. The prediction for the default leaves out its
# biases, and :doc:`narrow layers </auto_examples/theory/plot_9_finite_width>` stray from it.

ends = {name: np.mean(signal[name], axis=0)[-1] for name in starts}
off, back = {}, {}  # what signals and gradients grow by, relative to the prediction
for name, (_, _, line) in starts.items():
    off[name] = ends[name] / line[-1]
    back[name] = np.mean(gradient[name]) * line[0] / line[-1]
worst = max(max(ratio, 1 / ratio) for ratio in off.values())
others = [max(x, 1 / x) for name, x in back.items() if "BatchNorm" not in name]
(
    initguide.says(
        ends["he_normal"] > 1e5
        and max(ends["he_normal, LayerNorm"], ends["he_normal, BatchNorm"]) < 100,
        "All blocks together multiply the mean square by {he:,.0f} with He's weights alone, and "
        "by {layer:.1f} with layer and by {batch:.1f} with batch normalization: from doubling to "
        "counting.",
        "All blocks together multiply the mean square by {he:,.0f} with He's weights alone, and "
        "by {layer:.0f} with layer and by {batch:.0f} with batch normalization, which is not the "
        "step from doubling to counting that was predicted.",
        he=ends["he_normal"],
        layer=ends["he_normal, LayerNorm"],
        batch=ends["he_normal, BatchNorm"],
    )
    + initguide.says(
        worst < 3,
        "The means of all six starts end within a factor of {worst:≤.1f} of their predictions.",
        "One of the means ends a factor of {worst:.1f} from its prediction.",
        worst=worst,
    )
    + initguide.says(
        max(others) < 3,
        "So do gradients without batch normalization, within a factor of {others:≤.1f}.",
        "Gradients, even without batch normalization, are off by a factor of up to {others:.1f}.",
        others=max(others),
    )
    + initguide.says(
        back["he_normal, BatchNorm"] > 3,
        "With **batch normalization** gradients grow {batch:.0f} times as much as predicted. The "
        "likely reason: it takes away what the images of a batch have in common, which after a "
        "ReLU is much, and scales up what is left, and the gradients with it.",
        "With **batch normalization** gradients grow {batch:.1f} times as much as predicted.",
        batch=back["he_normal, BatchNorm"],
    )
)

# %%
# With branches of **zeros**, all layers but the last of each branch wait: as long as the last one
# is zero, no gradient passes through it. After one step it is not, and the others learn, too:

net = initguide.initialize(resnet(), zero, seed=0)
found = initguide.measure(net, images, small.train.labels[:60])
first, last = (
    found[f"blocks.0.branch.{layer}"].weight_grad_var for layer in ("first", "last")
)
waits = first == 0 < last
initguide.says(
    waits,
    "In the first step, the variance of the gradient is {first:g} in the first layer of a branch, "
    "and {last:.1g} in the last.",
    "Already in the first step, the first layer of a branch has a gradient.",
    first=first,
    last=last,
)

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


def losses(name, *rates, seeds=3):
    """Validation losses, (rates, seeds); NaN where the run diverged."""
    scheme, settings = compared[name]
    how = {"model": functools.partial(resnet, **settings), "scheme": scheme}
    how |= {"epochs": 1, "optimizer": "momentum", "seeds": seeds}
    grid = {"learning_rate": rates}
    return initguide.sweep(grid, small, **how).array("valid_loss")


found = {name: losses(name, *rates) for name in compared}
table = {"start": list(compared)}
for i, rate in enumerate(rates):
    table[str(rate)] = [runs[i].mean() for runs in found.values()]
initguide.Table(
    table,
    caption="Validation loss after one epoch, by learning rate",
    note=f"Mean of 3 seeds. –: a run diverged. Knowing nothing gives {np.log(10):.2f}.",
    formats=dict.fromkeys(map(str, rates), ".2f"),
)

# %%
# A start counts as learning if its loss is below 2. Differences are from new seeds. He's start was
# also trained at a rate of 0.0001:


def gap(a, b, rate, seeds):
    """Loss from one start minus that from another: below zero, the first is ahead."""
    first, second = (losses(name, rate, seeds=seeds)[0] for name in (a, b))
    return initguide.estimate(first - second)


early = gap("Fixup", "zero_last", 0.01, range(3, 7))
late = gap("Fixup", "default", 0.3, range(3, 7))
zeros = gap("zero_last, BatchNorm", "he_normal, BatchNorm", 0.03, range(3, 8))
plain = np.concatenate([losses("he_normal", 1e-4), found["he_normal"]])
nothing = not (plain < 2).any()  # a loss of NaN is not below anything
normalized = "he_normal, LayerNorm", "he_normal, BatchNorm"
small_branches = "default", "residual_scaled", "zero_last"
worst_normalized, worst_small = (  # seed by seed, at the smallest rate of the table
    initguide.estimate(np.max([found[name][0] for name in names], axis=0))
    for names in (normalized, small_branches)
)
fixup, default = (initguide.estimate(found[n][-1]) for n in ("Fixup", "default"))
lost = [np.isnan(found[name]).any(1) for name in small_branches[1:]]
(
    initguide.says(
        nothing,
        "He's start without normalization learns nothing, at any of these rates.",
        "He's start without normalization learns, in at least one run at one of these rates.",
    )
    + initguide.says(
        worst_normalized.below(2),
        "With a **normalization** it learns at a rate of {rate:g}: adding instead of doubling is "
        "enough.",
        "With a **normalization**, not both kinds let it learn at a rate of {rate:g}.",
        "Whether it learns with both kinds of **normalization** at a rate of {rate:g}, three seeds "
        "cannot tell.",
        rate=rates[0],
    )
    + initguide.says(
        not (found["he_normal, LayerNorm"][2:] < 2).any(),
        "At rates of {rate:g} and more, layer normalization is not enough any more.",
        "At some rates of {rate:g} and more, layer normalization is enough, too.",
        rate=rates[2],
    )
    + initguide.says(
        worst_small.below(2),
        "Without one, **small branches** are enough at a rate of {rate:g}: scaled, zero, or "
        "PyTorch's default, which is too small for a deep network without shortcuts "
        "(:doc:`page 9 </auto_examples/architectures/plot_9_deep_convolutions>`).",
        "Without one, not all **small branches** learn at a rate of {rate:g}.",
        "Without one, three seeds cannot tell whether all **small branches** learn at a rate of "
        "{rate:g}.",
        rate=rates[0],
    )
    + initguide.says(
        all(at[-1] for at in lost),
        "At the largest rate, runs diverge from scaled and from zero branches, from scaled ones "
        "from a rate of {rate:g} on.",
        "At the largest rate, scaled or zero branches keep from diverging.",
        rate=rates[lost[0].argmax()],
    )
    + initguide.says(
        fixup.below(2),
        "**Fixup** still learns at that rate, to a loss of {fixup:.2f}.",
        "**Fixup** does not learn at that rate either.",
        "Whether **Fixup** learns at that rate, three seeds cannot tell.",
        fixup=fixup,
    )
    + initguide.says(
        late.below(),
        "PyTorch's default ends higher there: Fixup's loss minus its loss is {gap:+.2f}.",
        "PyTorch's default ends lower there: Fixup's loss minus its loss is {gap:+.2f}.",
        "How PyTorch's default compares with Fixup there is open.",
        gap=late,
    )
    + initguide.says(
        early.above(),
        "At the smallest rate Fixup is behind zeros.",
        "At the smallest rate Fixup is ahead of zeros.",
        "At the smallest rate these seeds cannot tell Fixup from zeros.",
    )
)

# %%
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
#              print(name, losses(name, *rates[2:]).mean(1))
#
# What we learnt
# --------------

best = {name: runs.mean(1)[~np.isnan(runs).any(1)] for name, runs in found.items()}
best = {name: means.min(initial=np.inf) for name, means in best.items()}
lowest = min(best, key=best.get)
bare = min((name for name in best if "Norm" not in name), key=best.get)
initguide.bullets(
    initguide.says(
        1 / 3 < off["he_normal"] < 3 and 1 / 3 < back["he_normal"] < 3,
        "A residual block with He's weights doubles the mean square of the signal and of the "
        "gradient: :math:`2^L` after L blocks.",
        "A residual block with He's weights should double the mean square of the signal and of the "
        "gradient; these draws are far from :math:`2^L`.",
        key="residual-he-doubles",
    ),
    initguide.says(
        ends["residual_scaled"] < 3
        and np.isclose(ends["zero_last"], 1)
        and waits
        and worst_small.below(2),
        "Branches scaled by :math:`1/\\sqrt{{L}}` multiplied signals by {scaled:.2f} in all. "
        "Branches that start at zero kept them as they were, and trained all the same, because "
        "their last layers get a gradient from the first step on.",
        "Branches scaled by :math:`1/\\sqrt{{L}}` should keep signals below e, and branches that "
        "start at zero should train all the same; not all of that came out here.",
        scaled=ends["residual_scaled"],
    ),
    initguide.says(
        all(1 / 1.5 < off[name] < 1.5 for name in normalized),
        "With a normalization in the branches, signals grow by one per block instead of by a "
        "factor of two.",
        "With a normalization in the branches, signals did not grow by the one per block that is "
        "predicted.",
    ),
    initguide.says(
        nothing,
        "In these networks of {blocks} blocks, He's start without normalization learnt nothing.",
        "In these networks of {blocks} blocks, He's start without normalization learnt something.",
        blocks=DEPTH,
        key="residual-he-nothing",
    )
    + initguide.says(
        initguide.all_of(worst_small.below(2), worst_normalized.below(2)),
        "Small branches or normalization were each enough at a rate of {rate:g}.",
        "At a rate of {rate:g}, small branches or normalization were not each enough.",
        "Whether small branches and normalization were each enough at a rate of {rate:g}, three "
        "seeds cannot tell.",
        rate=rates[0],
        key="residual-small-branches",
    )
    + initguide.says(
        fixup.below(2),
        "Fixup, without normalization, still learnt at the largest rate tried, to a loss of "
        "{fixup:.2f}, and PyTorch's default to {default:.2f}.",
        "Fixup, too, learnt nothing at the largest rate tried.",
        "Whether Fixup still learnt at the largest rate tried is open.",
        fixup=fixup,
        default=default,
        key="residual-fixup",
    ),
    initguide.says(
        lowest not in ("he_normal", *normalized),
        "The rule to take home: **let branches start small.** The lowest loss in the table is that "
        "of {lowest}, {loss:.2f}. Zeros with batch normalization get to {zeros:.2f}, and full "
        "branches of He's weights, normalized, to {full:.2f} at best.",
        "The rule to take home: **without normalization, let branches start small.** The lowest "
        "loss is then that of {bare}, {bare_loss:.2f}. With it, full branches of He's weights had "
        "the lowest loss in the table, {full:.2f}.",
        lowest=lowest,
        loss=best[lowest],
        zeros=best["zero_last, BatchNorm"],
        full=min(best[name] for name in normalized),
        bare=bare,
        bare_loss=best[bare],
    )
    + initguide.says(
        zeros.below(),
        "With batch normalization, start the last layer of each branch at zero: where it was "
        "tried again with new seeds, that changed the loss by {gap:+.2f}.",
        "With batch normalization, starting the last layer of each branch at zero did not lower "
        "the loss at the rate where it was tried: {gap:+.2f}.",
        "With batch normalization, these seeds cannot tell whether starting the last layer of each "
        "branch at zero helps: {gap:+.2f}.",
        gap=zeros,
        key="residual-zero-batchnorm",
    ),
)

# %%
# What else normalization forgives: :doc:`/auto_examples/architectures/plot_3_normalization`. Why
# doubling is fatal without shortcuts: :doc:`/auto_examples/theory/plot_5_depth`.
