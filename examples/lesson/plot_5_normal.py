"""
5. Normal
=========

A normal distribution puts most weights close to zero and a few far out. Is that better than a
uniform one? The question is easily asked wrongly, by comparing two distributions that differ in
their shape *and* in their size. This page keeps the two apart, and needs many seeds to do it.

.. admonition:: What you will learn

   - how a normal distribution differs from a uniform one
   - how to compare two shapes without comparing two sizes
   - how many seeds a small difference needs

.. meta::
   :keywords: normal distribution, Gaussian weights, truncated normal, uniform or normal
"""

# %%
# The normal distribution
# -----------------------
# N(0, 1) has mean 0 and standard deviation 1. About two thirds of its numbers lie within one
# standard deviation of the mean, and 95 % within two:

import math

import numpy as np
import torch

import initguide
from initguide import initializers as init
from initguide import plots
from initguide.experiments import mean_interval

numbers = torch.empty(1000).normal_(generator=torch.Generator().manual_seed(0))
for width in (1, 2, 3):
    print(f"within {width}: {100 * (numbers.abs() < width).float().mean():.1f} %")

# %%

plots.plot_histogram(
    numbers,
    bins=40,
    value_range=(-4, 4),
    expected=lambda z: np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi),
    title="1,000 numbers from N(0, 1)",
)

# %%
# The curve is the density of N(0, 1), scaled to the counts; the bars scatter around it by the noise
# of drawing.
#
# .. admonition:: Exercise
#
#    Write a scheme that draws the weights of each linear layer from a normal distribution with
#    mean 0 and standard deviation 1/√n, n the fan-in, and sets the biases to 0.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def weights_init_normal(module):
#              if isinstance(module, torch.nn.Linear):
#                  std = 1 / math.sqrt(module.in_features)
#                  module.weight.data.normal_(0.0, std)
#                  module.bias.data.fill_(0)
#
# This scheme has a name: :func:`~initguide.initializers.lecun_normal` (LeCun, Bottou, Orr & Müller
# 1998). We use it below; put yours in its place and see whether you get the same table.
#
# Shape or size?
# --------------
# The general rule draws from U[-1/√n, 1/√n). A uniform distribution on [-a, a) has variance a²/3,
# so the rule's variance is 1/(3n), while that of N(0, 1/n) is 1/n, three times as large. Compare
# these two, and any difference may come from the shape or from the size. So we add a third scheme,
# with the *shape* of the normal and the *variance* of the rule:


def normal_like_the_rule(module):
    if isinstance(module, torch.nn.Linear):
        std = 1 / math.sqrt(3 * module.in_features)
        torch.nn.init.normal_(module.weight, 0.0, std)
        torch.nn.init.zeros_(module.bias)


schemes = {
    "General rule": init.general_rule(),
    "Normal, variance 1/n": init.lecun_normal(),
    "Normal, variance 1/(3n)": normal_like_the_rule,
}
for label, scheme in schemes.items():
    weights = initguide.initialize(initguide.Net(), scheme, seed=0).fc1.weight
    print(f"{label:24} variance of the first layer's weights: {weights.var():.2e}")

# %%
# Twelve seeds each:

data = initguide.fashion_mnist()
result = initguide.compare_init_weights(schemes, data, seeds=12)
result

# %%

plots.plot_losses(result, first=100)

# %%
# The larger variance is ahead from the first few mini-batches on; by the end of the figure the
# three are hard to tell apart. The two with equal variance lie on top of each other throughout.
#
# Now the accuracies, seed by seed:

plots.plot_accuracy(result)

# %%
# A single run says nothing here. See how far the small dots of *one* scheme are spread: anyone who
# trained each scheme once would have found a "winner", and which one would have been a matter of
# luck.

runs = {label: result.values(label) for label in result.labels}
spread = [100 * (values.max() - values.min()) for values in runs.values()]
wins = (runs["Normal, variance 1/n"] > runs["General rule"]).sum()
print(f"best minus worst seed: {min(spread):.1f} to {max(spread):.1f} points")
print(f"one seed alone would have preferred the normal {wins} times out of 12")

# %%
# What twelve *paired* seeds say, with 95 % intervals, about the shape alone (same variance), the
# size alone (same shape), and both at once:

shape = result.difference("Normal, variance 1/(3n)", "General rule")
size = result.difference("Normal, variance 1/n", "Normal, variance 1/(3n)")
both = result.difference("Normal, variance 1/n", "General rule")
for question, answer in [("shape", shape), ("size", size), ("both", both)]:
    print(f"{question}: {answer}")

# %%

plots.plot_differences(result, "General rule")

# %%
# Read the intervals, not the means. Where one holds zero, these runs cannot tell; what it leaves
# room for is some tenths of a point. After two epochs, accuracy is a blunt instrument. How fast the
# networks *begin* to learn is a sharper one, so take the mean loss of the first hundred
# mini-batches:

early = {
    label: np.array([run.train_losses[:100].mean() for run in result.of(label)])
    for label in result.labels
}
for question, answer in [("shape", shape), ("size", size)]:
    mean, (low, high) = mean_interval(early[answer.a] - early[answer.b])
    print(f"{question:5}: {mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}")

# %%
# Here the size shows clearly: three times the variance learns faster at the start. The shape does,
# if anything, several times less.
#
# The lesson that this guide grew from stated that "in general a normal distribution will result
# in better performance". It had compared the last of our three pairs, where shape and size change
# together, with one run of each; and in its own recorded run the uniform was ahead, by 0.2 points.
# Nothing on this page speaks for the shape.
#
# There is a reason to expect that. A pre-activation is a sum of hundreds of products. By the
# central limit theorem such a sum is close to normal whatever the shape of the weights, and for a
# given image its variance depends on the variance of the weights alone. The two shapes should give
# the same sums:

images = data.train.images[:1000].flatten(start_dim=1)
sums = {}
for label, scheme in schemes.items():
    nets = [
        initguide.initialize(initguide.Net(), scheme, seed=i) for i in range(10)
    ]
    with torch.inference_mode():
        sums[label] = torch.stack([net.fc1(images) for net in nets])
    each = sums[label].square().mean(dim=(1, 2))
    print(
        f"{label:24} mean square {each.mean():.4f} (sd over draws {each.std():.4f})"
    )

plots.plot_histograms(
    sums,
    schemes=result.schemes,
    bins=80,
    title="Pre-activations of the first layer, before training",
)

# %%
# The two with the same variance give the same picture, though their weights are drawn from
# different shapes. At the start, a network can hardly tell where its weights came from.
#
# .. admonition:: Try it
#
#    Take the argument to its end: draw every weight as plus or minus 1/√(3n), by the toss of a
#    coin. Is the network any worse?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def weights_init_coin(module):
#              if isinstance(module, torch.nn.Linear):
#                  signs = torch.randint(0, 2, module.weight.shape) * 2.0 - 1.0
#                  module.weight.data = signs / math.sqrt(3 * module.in_features)
#                  module.bias.data.fill_(0)
#
#
#          coin = initguide.compare_init_weights(
#              {"Coin": weights_init_coin, "General rule": init.general_rule()}, data, seeds=8
#          )
#          print(coin.difference("Coin", "General rule"))
#
# What we learnt
# --------------
# - Compare shapes at the same variance, and variances with the same shape.
# - One run a scheme decides nothing when seeds of one scheme differ by as much as schemes do.
# - In a wide layer the sums are nearly normal whatever the weights' shape: what counts is their
#   variance.
#
# Next: what does PyTorch do if we do nothing?
# :doc:`Automatic </auto_examples/lesson/plot_6_automatic>`.
