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
   - whether a larger network magnifies the difference

.. meta::
   :keywords: normal distribution, Gaussian weights, truncated normal, uniform or normal
"""

# %%
# The normal distribution
# -----------------------
# N(0, 1) has mean 0 and standard deviation 1. In NumPy it is ``np.random.normal(0, 1, 1000)``, in
# PyTorch ``tensor.normal_(0, 1)``; both take the standard deviation and not the variance. How many
# of its numbers lie within one, two and three standard deviations of the mean?

import math

import numpy as np
import torch
from scipy import stats

import initguide
from initguide import initializers as init
from initguide import plots

numbers = torch.empty(1000).normal_(generator=torch.Generator().manual_seed(0))
for width in (1, 2, 3):
    share, expected = (
        (numbers.abs() < width).float().mean(),
        math.erf(width / 2**0.5),
    )
    print(f"within {width}: {share:.1%}, expected {expected:.1%}")

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
# Which curves can you tell apart, and for how long? We come back to that. First the accuracies,
# seed by seed:

plots.plot_accuracy(result)

# %%
# See how far the small dots of *one* scheme are spread. What would those have found who trained
# each scheme once?

runs = {label: result.values(label) for label in result.labels}
spread = [100 * (values.max() - values.min()) for values in runs.values()]
means = [100 * values.mean() for values in runs.values()]
wins = int((runs["Normal, variance 1/n"] > runs["General rule"]).sum())
print(f"best minus worst seed: {min(spread):.1f} to {max(spread):.1f} points")
print(
    f"best minus worst scheme, by their means: {max(means) - min(means):.1f} points"
)
print(f"one seed alone would have preferred the normal {wins} times out of 12")

# %%

initguide.says(
    min(spread) > max(means) - min(means),
    "The seeds of any one scheme differ by more than the means of the schemes.",
    "The means of the schemes differ by as much as the seeds of one.",
) + initguide.says(
    0 < wins < 12,
    "Among twelve who trained the general rule and ``N(0, 1/n)`` once each, {wins} would have "
    "called the normal the winner, and {others} the uniform or neither.",
    "Twelve who trained the general rule and ``N(0, 1/n)`` once each would all have found the same "
    "winner.",
    wins=wins,
    others=12 - wins,
)

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

initguide.says(
    shape.within(-0.005, 0.005),
    "The shape alone changes the accuracy by less than half a point, either way.",
    "The shape alone changes the accuracy by more than half a point: {shape:+.2f}.",
    "The shape alone changes the accuracy by {shape:+.2f} points; whether by more than half a "
    "point, twelve seeds cannot tell.",
    shape=shape,
) + initguide.says(
    size.better(),
    "With three times the variance, the accuracy after two epochs is better by {size:+.2f} "
    "points.",
    "Three times the variance is not better after two epochs: {size:+.2f} points.",
    "Whether three times the variance is better after two epochs, twelve seeds cannot tell: "
    "{size:+.2f} points.",
    size=size,
)

# %%
# After two epochs, accuracy is a blunt instrument. How fast the networks *begin* to learn is a
# sharper one, so take the mean loss of the first hundred mini-batches:


def early(result, a, b, count=100):
    """Mean loss of the first mini-batches, of ``a`` minus ``b``, seed by seed."""
    first, second = (
        np.array([run.train_losses[:count].mean() for run in result.of(k)])
        for k in (a, b)
    )
    return first - second


early_shape = initguide.estimate(early(result, shape.a, shape.b))
early_size = initguide.estimate(early(result, size.a, size.b))
print(f"shape: {early_shape:+.4f}\nsize:  {early_size:+.4f}")

# %%

(
    initguide.says(
        early_size.below(0),
        "Three times the variance learns faster at the start.",
        "Three times the variance does not learn faster at the start.",
        "Whether three times the variance learns faster at the start, these seeds cannot tell.",
    )
    + initguide.says(
        early_shape.below(0),
        "The normal shape, at the same variance, learns a little faster than the uniform.",
        "The normal shape, at the same variance, learns a little more slowly than the uniform: the "
        "shape does show.",
        "The shape makes no difference that these seeds could show.",
    )
    + initguide.says(
        abs(early_size.mean) > 3 * abs(early_shape.mean),
        "But what the size does is {times:.0f} times as much as what the shape does.",
        "What the size does is only {times:.1f} times as much as what the shape does.",
        times=abs(early_size.mean / early_shape.mean),
        key="shape-small",
    )
)

# %%
# The lesson that this guide grew from stated that "in general a normal distribution will result
# in better performance". It had compared the last of our three pairs, where shape and size change
# together, with one run of each; and in its own recorded run the uniform was ahead, by 0.2 points.
# It went on that the difference was small because the network was, and that a larger one would
# magnify it. Here is one with four times the units in each hidden layer, for one epoch:


def large_net():
    return initguide.Net(hidden_1=1024, hidden_2=512)


large = initguide.compare_init_weights(
    schemes, data, model=large_net, epochs=1, seeds=6
)
count = min(100, len(large.of(both.a)[0].train_losses))  # the sample has fewer
both_small = -early(result, both.a, both.b, count)[:6]  # of the same six seeds
both_large = -early(large, both.a, both.b)
magnified = initguide.estimate(both_large - both_small)
print(f"lead of N(0, 1/n) at the start:  {initguide.estimate(both_small):.4f}")
print(f"in the larger network:           {initguide.estimate(both_large):.4f}")
shape_large = initguide.estimate(-early(large, shape.a, shape.b))
print(f"of the shape alone, there:       {shape_large:.4f}")

# %%

(
    initguide.says(
        magnified.above(0),
        "The larger network magnifies the difference of the two in the first {count} mini-batches.",
        "The larger network does not magnify the difference of the two in the first {count} "
        "mini-batches: it makes it smaller.",
        "Whether the larger network magnifies the difference of the two in the first {count} "
        "mini-batches, six seeds cannot tell.",
        count=count,
    )
    + initguide.says(
        shape.better() is not True and early_shape.below(0) is not True,
        "And nothing on this page speaks for the normal shape.",
        "As for the shape alone, this page does speak for the normal one.",
    )
)

# %%
# There is a reason to expect little of the shape. A pre-activation is a sum of hundreds of
# products. By the central limit theorem such a sum is close to normal whatever the shape of the
# weights, and for a given image its variance depends on the variance of the weights alone. The two
# shapes should give the same sums:

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

distance = stats.ks_2samp(
    sums[shape.a].flatten().numpy(), sums[shape.b].flatten().numpy()
).statistic
initguide.says(
    distance < 0.02,
    "The two with the same variance give the same picture, though their weights are drawn from "
    "different shapes: nowhere are their distribution functions farther apart than {distance:.1f} "
    "points of a hundred.",
    "The two with the same variance do not quite give the same picture: their distribution "
    "functions are up to {distance:.1f} points of a hundred apart.",
    distance=100 * distance,
)

# %%
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

initguide.bullets(
    initguide.says(
        shape.within(-0.005, 0.005),
        "Uniform or normal, at the same variance: the accuracies after two epochs are level, to "
        "half a point.",
        "Uniform or normal, at the same variance: the shape makes more than half a point here, "
        "{shape:+.1f}.",
        "Uniform or normal, at the same variance: whether the accuracies are level to half a "
        "point, twelve seeds cannot tell.",
        shape=shape,
        key="uniform-or-normal",
    ),
    initguide.says(
        early_size.below(0) and abs(early_size.mean) > 3 * abs(early_shape.mean),
        "Three times the variance shows at the start, {times:.0f} times as clearly as the shape: "
        "compare shapes at the same variance.",
        "Three times the variance did not show much more at the start than the shape did; still, "
        "compare shapes at the same variance.",
        "Three times the variance made no difference that these seeds could show at the start; "
        "still, compare shapes at the same variance.",
        times=abs(early_size.mean / early_shape.mean),
        key="variance-not-shape",
    ),
    initguide.says(
        min(spread) > max(means) - min(means),
        "One run per scheme decides nothing where the seeds of one scheme differ by more than the "
        "schemes do, as here.",
        "One run per scheme can be enough where schemes differ by more than seeds do, as here.",
    ),
    initguide.says(
        distance < 0.02,
        "In this wide layer the sums are alike whatever the weights' shape: only their variance "
        "counts.",
        "In this wide layer the sums should be alike whatever the weights' shape; here they differ "
        "by up to {distance:.1f} points in their distribution function.",
        distance=100 * distance,
    ),
)

# %%
# Next: what does PyTorch do if we do nothing?
# :doc:`Automatic </auto_examples/lesson/plot_6_automatic>`.
