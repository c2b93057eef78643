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
# N(0, 1) has mean 0 and standard deviation 1: 68 % of its numbers lie within one standard deviation
# of the mean, 95 % within two. In NumPy it is ``np.random.normal(0, 1, 1000)``, in PyTorch
# ``tensor.normal_(0, 1)``. Both take the standard deviation and not the variance.

import math

import torch
from scipy import stats

import initguide
from initguide import initializers as init
from initguide import plots

plots.plot_histogram(
    torch.empty(1000).normal_(generator=torch.Generator().manual_seed(0)),
    bins=40,
    value_range=(-4, 4),
    expected=stats.norm.pdf,
    title="1,000 numbers from N(0, 1)",
)

# %%
# .. admonition:: Try it
#
#    Write the scheme yourself, and let it be checked: a wrong answer is told what was
#    misunderstood. The weights of each linear layer come from a normal distribution with mean 0 and
#    standard deviation 1/√n, n the fan-in, and the biases are 0.
#
#    .. code-block:: python
#
#       from initguide import exercises
#
#       def my_scheme(m):
#           ...  # yours
#
#       exercises.check("normal", my_scheme)
#
#    Two more are checked in the same way: ``"uniform_std"``, a uniform distribution with the same
#    standard deviation, and ``"truncated"``, N(0, 0.02²) with what is more than two standard
#    deviations from 0 drawn anew.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          from initguide import exercises
#
#          def my_scheme(m):
#              if isinstance(m, torch.nn.Linear):
#                  m.weight.data.normal_(0.0, 1 / math.sqrt(m.in_features))
#                  m.bias.data.fill_(0)
#
#          exercises.check("normal", my_scheme)
#
# This scheme has a name: :func:`~initguide.initializers.lecun_normal` (LeCun, Bottou, Orr & Müller
# 1998). We use it below; put yours in its place and see whether you get the same table.
#
# Shape or size?
# --------------
# The general rule draws from U[-1/√n, 1/√n). A uniform distribution on [-a, a) has variance a²/3,
# so the rule's variance is 1/(3n), while that of N(0, 1/n) is 1/n, three times as large. Compare
# these two, and any difference may come from the shape or from the size. So we add a third scheme,
# with the *shape* of the normal and the *variance* of the rule, and train each with twelve seeds:


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
rule, large_normal, small_normal = schemes
data = initguide.fashion_mnist()
result = initguide.compare_init_weights(schemes, data, seeds=12)
shape = result.difference(small_normal, rule)
size = result.difference(large_normal, small_normal)
both = result.difference(large_normal, rule)

# %%

initguide.asks(
    "Uniform or normal, at the same variance: what does the shape alone do to the accuracy after "
    "two epochs?",
    [
        "The normal is better by more than half a point: it has most weights close to zero.",
        "Less than half a point, either way.",
        "The normal is worse by more than half a point: its many small weights pass on too little.",
    ],
    [shape.above(0.005), shape.within(-0.005, 0.005), shape.below(-0.005)],
    initguide.says(
        shape.above(),
        "The shape alone makes the accuracy higher, by {shape:+.2f} points.",
        "The shape alone makes the accuracy lower, by {shape:+.2f} points.",
        "The shape alone changes the accuracy by {shape:+.2f} points: these seeds cannot tell it "
        "from nothing.",
        shape=shape,
    ),
)

# %%

result

# %%

plots.plot_losses(result, first=100)

# %%
# Which curves can you tell apart, and for how long? And the accuracies, seed by seed:

plots.plot_accuracy(result)

# %%
# See how far the small dots of *one* scheme are spread. What would those have found who trained
# each scheme once?

runs = {label: 100 * result.values(label) for label in schemes}
least = min(values.max() - values.min() for values in runs.values())
means = [values.mean() for values in runs.values()]
apart = max(means) - min(means)
wins = int((runs[large_normal] > runs[rule]).sum())
initguide.says(
    least > apart,
    "From its lowest to its highest seed, each scheme spans {least:≥.1f} points or more; the means "
    "of the schemes are no more than {apart:≤.1f} apart.",
    "The means of the schemes lie {apart:.1f} points apart, and the seeds of one only "
    "{least:.1f}.",
    least=least,
    apart=apart,
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
# So compare seed by seed. And ask not only for the accuracy after two epochs, but also how fast the
# networks *begin* to learn: for the mean loss of the first hundred mini-batches.

differences = {
    "the shape (same variance)": shape,
    "the size (same shape)": size,
    "both": both,
}
early = [result.difference(d.a, d.b, "early_loss") for d in differences.values()]
initguide.Table(
    {
        "what differs": list(differences),
        "accuracy, points": [f"{d:+.2f}" for d in differences.values()],
        "early loss": [f"{d:+.4f}" for d in early],
    },
    caption="Normal minus uniform, and larger minus smaller variance",
    note="Means over twelve paired seeds, with 95 % intervals. The remarks above count all pairs.",
)

# %%

early_shape, early_size, _ = early
(
    initguide.says(
        size.better(),
        "With three times the variance, the accuracy after two epochs is better.",
        "Three times the variance is not better after two epochs.",
        "Whether three times the variance is better after two epochs, twelve seeds cannot tell.",
    )
    + initguide.says(
        early_size.better(),
        "Learning begins faster with it.",
        "Learning does not begin faster with it.",
        "Whether learning begins faster with it, these seeds cannot tell.",
    )
    + initguide.says(
        early_shape.better(),
        "The normal shape, at the same variance, learns a little faster than the uniform.",
        "The normal shape, at the same variance, learns a little more slowly than the uniform: the "
        "shape does show.",
        "The shape makes no difference at the start that these seeds could show.",
    )
    + initguide.says(
        abs(early_size.mean) > 3 * abs(early_shape.mean),
        "But the size does several times as much there as the shape: by the means, {times:.0f} "
        "times.",
        "What the size does there is only {times:.1f} times as much as what the shape does.",
        times=abs(early_size.mean / early_shape.mean),
        key="shape-small",
    )
)

# %%
# The lesson that this guide grew from stated that "in general a normal distribution will result
# in better performance". It had compared the last of our three pairs, where shape and size change
# together, with one run of each; and in its own recorded run the uniform was ahead, by 0.2 points.
# It went on that the difference was small because the network was, and that a larger one would
# magnify it. Over the first hundred mini-batches, here is one with four times the units in each
# hidden layer, beside ours:

few = data.subset(train=min(10_000, len(data.train)))


def large_net():
    return initguide.Net(hidden_1=1024, hidden_2=512)


ours, larger = (
    initguide.compare_init_weights(schemes, few, model=model, epochs=1, seeds=12)
    .difference(rule, large_normal, "early_loss")
    .per_seed
    for model in (initguide.Net, large_net)
)

# %%

magnified = initguide.estimate(larger - ours)
initguide.says(
    magnified.above(0),
    "The larger network magnifies the lead of ``N(0, 1/n)``, from {ours:.3f} to {larger:.3f}.",
    "The larger network does not magnify the lead of ``N(0, 1/n)``: it makes it smaller, from "
    "{ours:.3f} to {larger:.3f}.",
    "Whether the larger network magnifies the lead of ``N(0, 1/n)``, {ours:.3f} in ours and "
    "{larger:.3f} there, twelve seeds cannot tell.",
    ours=ours.mean(),
    larger=larger.mean(),
) + initguide.says(
    shape.better() is not True and early_shape.better() is not True,
    "But that pair differs in its variance, too. For the normal shape alone, nothing on this page "
    "speaks.",
    "But that pair differs in its variance, too. For the normal shape alone, this page does speak.",
)

# %%
# Why the shape does so little
# ----------------------------
# The first layer adds up 784 products for each of its units. Draw it ten times from each scheme:

images = data.train.images[:1000].flatten(start_dim=1)
sums = {}
for label, scheme in schemes.items():
    nets = [
        initguide.initialize(initguide.Net(), scheme, seed=i) for i in range(10)
    ]
    sums[label] = torch.stack([net.fc1(images) for net in nets]).detach().numpy()
uniform, normal = sums[rule].ravel(), sums[small_normal].ravel()
distance = stats.ks_2samp(uniform, normal).statistic
narrower = normal.std() / uniform.std()

# %%

initguide.asks(
    "Uniform and normal weights of the same variance: how do the sums differ, the "
    "pre-activations?",
    [
        "As the weights do: flat on top with the uniform ones, a bell with the normal.",
        "Hardly at all: both give the same bell.",
        "The normal weights give smaller sums, for most of them are close to zero.",
    ],
    [
        distance >= 0.02 and narrower >= 0.9,
        distance < 0.02,
        distance >= 0.02 and narrower < 0.9,
    ],
    initguide.says(
        distance < 0.02,
        "Nowhere are the two distribution functions farther apart than {distance:.1f} percentage "
        "points.",
        "The two distribution functions are up to {distance:.1f} percentage points apart.",
        distance=100 * distance,
    ),
)

# %%

plots.plot_histograms(
    sums,
    schemes=result.schemes,
    title="Pre-activations of the first layer, before training",
)

# %%
# By the central limit theorem, a sum of hundreds of products is close to normal whatever the shape
# of the weights, and for a given image its variance depends on the variance of the weights alone.
# (If the shape shows in the first losses all the same, the first layer's sums are not the reason.)
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
        initguide.all_of(
            early_size.better(), abs(early_size.mean) > 3 * abs(early_shape.mean)
        ),
        "Three times the variance does more at the start than the shape, by the means {times:.0f} "
        "times as much: compare shapes at the same variance.",
        "Three times the variance did not show much more at the start than the shape did; still, "
        "compare shapes at the same variance.",
        "Three times the variance made no difference that these seeds could show at the start; "
        "still, compare shapes at the same variance.",
        times=abs(early_size.mean / early_shape.mean),
        key="variance-not-shape",
    ),
    initguide.says(
        least > apart,
        "One run per scheme decides nothing where the seeds of one scheme differ by more than the "
        "schemes do, as here.",
        "One run per scheme can be enough where schemes differ by more than seeds do, as here.",
    ),
    initguide.says(
        distance < 0.02,
        "In this wide layer the sums are alike, whether the weights are uniform or normal: only "
        "their variance counts.",
        "In this wide layer the sums should be alike whatever the weights' shape; here they differ "
        "by up to {distance:.1f} percentage points in their distribution function.",
        distance=100 * distance,
    ),
)

# %%
# Next: what does PyTorch do if we do nothing?
# :doc:`Automatic </auto_examples/lesson/plot_6_automatic>`.
