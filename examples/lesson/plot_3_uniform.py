"""
3. Uniform
==========

To make units differ, draw their weights at random. This page looks at the uniform distribution,
fills the network from it, and watches how far it gets. The weights are all different then. But are
the units?

.. admonition:: What you will learn

   - what a uniform distribution looks like, drawn
   - how far U[0, 1) gets, and what the units have in common
   - why weights are centred at zero

.. meta::
   :keywords: uniform baseline, random weights, mean of the weights
"""

# %%
# The uniform distribution
# ------------------------
# A number from U[-3, 3) is equally likely to fall anywhere between -3 and 3. The interval is
# *half-open*: -3 may be drawn and 3 may not, which is how random generators count. You will meet
# it as ``np.random.uniform(-3, 3, 1000)`` in NumPy and as ``tensor.uniform_(-3, 3)`` in PyTorch;
# both leave the upper end out, but for rounding. Take 1,000 such numbers, sorted into 500 bins:

import math

import torch

import initguide
from initguide import initializers as init
from initguide import plots

generator = torch.Generator().manual_seed(0)
numbers = torch.empty(1000).uniform_(-3, 3, generator=generator)
counts = torch.histc(numbers, bins=500, min=-3, max=3)
empty = 100 * (counts == 0).float().mean()

# %%

initguide.asks(
    "{count:,} numbers from a uniform distribution in 500 bins make two per bin, on average. How "
    "many of the bins are empty?",
    [
        "Many, one in ten or more.",
        "A few, one in a hundred or so: chance is not quite fair.",
        "None: uniform means that all bins get about as many.",
    ],
    [empty >= 10, 0.1 <= empty < 5, empty < 0.1],
    initguide.says(
        empty >= 10,
        "In this draw, {empty:.1f} % of the bins are empty.",
        "In this draw, only {empty:.1f} % of the bins are empty.",
        empty=empty,
    ),
    count=1000,
)

# %%

title = "1,000 numbers from U[-3, 3) in 500 bins"
plots.plot_histogram(numbers, bins=500, value_range=(-3, 3), title=title)

# %%
# Chance expects no equal bins: the number in a bin very nearly follows a Poisson distribution with
# mean 2 and standard deviation √2. It is 0 with the probability e⁻², 13.5 %; the share of 500 bins
# scatters around that by 1.3 points. A histogram this fine shows the noise of drawing, √2/2 or 71 %
# of the height, and not the shape of the distribution. With 2,000 numbers per bin, the standard
# deviation is √2000 ≈ 45, and the noise is 2 % of the height:

many = torch.empty(1_000_000).uniform_(-3, 3, generator=generator)
title = "1,000,000 numbers from U[-3, 3) in 500 bins"
plots.plot_histogram(many, bins=500, value_range=(-3, 3), title=title)

# %%
# A baseline: U[0, 1)
# -------------------
# As a scheme, written out:


def weights_init_uniform(module):
    if isinstance(module, torch.nn.Linear):
        module.weight.data.uniform_(0.0, 1.0)
        module.bias.data.fill_(0)


net = initguide.Net()
net.apply(weights_init_uniform)
print(net.fc1.weight.data[:2, :5])

# %%
# The package has the same scheme as :func:`init.uniform(0.0, 1.0)
# <initguide.initializers.uniform>`. Now train from it, beside the ones of the last page:

data = initguide.fashion_mnist()
result = initguide.compare_init_weights(
    {"All ones": init.ones(), "Uniform [0, 1)": init.uniform(0.0, 1.0)},
    data,
    seeds=5,
)
result

# %%

plots.plot_losses(result, first=100)

# %%

uniform = initguide.estimate(result.values("Uniform [0, 1)"))
spread = result.values("Uniform [0, 1)").std(ddof=1)
loss = initguide.estimate(result.values("Uniform [0, 1)", "valid_loss"))
losses = [run.train_losses[:100] for run in result.of("Uniform [0, 1)")]
begin = initguide.estimate(result.values("Uniform [0, 1)", "first_loss"))
share = initguide.estimate(
    [loss[-10:].mean() / loss[:10].mean() for loss in losses]
)
ones = result.difference("Uniform [0, 1)", "All ones")
(
    initguide.says(
        uniform.above(0.2),
        "From ``U[0, 1)`` the network learns: after two epochs it is right more than twice as "
        "often as a guess.",
        "From ``U[0, 1)`` the network hardly learns: after two epochs it is not even right "
        "twice as often as a guess.",
        "After two epochs from ``U[0, 1)`` the network is about twice as often right as a "
        "guess; these seeds cannot tell whether more or less.",
    )
    + initguide.says(
        ones.better(),
        "It is better than all ones, by {ones:+.1f} points of validation accuracy.",
        "It is no better than all ones.",
        "Whether it is better than all ones, these seeds cannot tell.",
        ones=ones,
    )
    + initguide.says(
        begin.above(1000),
        "But it begins with a loss of {begin:,.0f} on average, and of the first {count} "
        "mini-batches, the last ten have still {share:.0f} % of the loss of the first ten.",
        "It begins with a loss of {begin:,.1f} on average, and of the first {count} mini-batches, "
        "the last ten have {share:.0f} % of the loss of the first ten.",
        "It begins with a loss of about {begin:,.0f}, and of the first {count} mini-batches, the "
        "last ten have {share:.0f} % of the loss of the first ten.",
        begin=begin.mean,
        count=len(losses[0]),
        share=100 * share.mean,
    )
    + initguide.says(
        loss.above(math.log(10)),
        "Even after two epochs its validation loss, {loss:.1f} on average, is above the ``ln 10`` "
        "of a guess that knows nothing.",
        "After two epochs its validation loss, {loss:.1f} on average, is below the ``ln 10`` of a "
        "guess that knows nothing.",
        "After two epochs its validation loss is {loss:.1f} on average, and over the seeds the "
        "interval reaches across the ``ln 10`` of a guess that knows nothing.",
        loss=loss.mean,
    )
    + initguide.says(
        spread > 0.01,
        "How well it does depends on the seed, too: the column sd, the standard deviation over "
        "seeds, is {spread:.1f} points.",
        "The column sd, the standard deviation over seeds, is small, {spread:.1f} points: all "
        "seeds do about as well.",
        spread=100 * spread,
    )
)

# %%
# What the units compute
# ----------------------
# The weights of the units are all different. What about their *outputs*? Send some images through
# a freshly initialized network and look at the *pre-activations* of the first layer, the sums
# before ReLU. Beside U[0, 1), take an interval of the same width with 0 in its middle:

images = data.train.images[:1000]
schemes = {
    "Uniform [0, 1)": init.uniform(0.0, 1.0),
    "Uniform [-0.5, 0.5)": init.uniform(-0.5, 0.5),
}
sums, alike, spread, size, answers = {}, {}, {}, {}, {}
for name, scheme in schemes.items():
    net = initguide.initialize(initguide.Net(), scheme, seed=0).eval()
    with torch.inference_mode():
        sums[name] = net.fc1(images.flatten(start_dim=1))
        answers[name] = len(net(images).argmax(dim=1).unique())
    pairs = ~torch.eye(256, dtype=torch.bool)
    correlations = torch.corrcoef(sums[name].T)[pairs]  # over the images
    alike[name] = correlations.mean()
    spread[name] = correlations.square().mean().sqrt()
    found = initguide.measure(net, images)
    size[name] = [found[f"fc{i}"].output_second_moment ** 0.5 for i in (1, 2, 3)]

# %%

initguide.asks(
    "With weights from ``U[0, 1)``, drawn independently, what is the correlation of two units of "
    "``fc1`` over the images, on average?",
    [
        "About ``0``: their weights have nothing to do with each other.",
        "About a half: they see the same images, with other weights.",
        "Nearly ``1``: both add up what there is, with other weights.",
    ],
    [
        alike["Uniform [0, 1)"] < 0.3,
        0.3 <= alike["Uniform [0, 1)"] <= 0.9,
        alike["Uniform [0, 1)"] > 0.9,
    ],
    initguide.says(
        alike["Uniform [0, 1)"] > 0.9,
        "It is {alike:.3f}.",
        "It is {alike:.2f}, and not nearly ``1``.",
        alike=alike["Uniform [0, 1)"],
    ),
)

# %%
# Here are two of the units, each scheme with axes of its own. Each dot is an image.

fig, axes = plots.subplots(1, 2, height=3.2)
for ax, (name, z) in zip(axes, sums.items(), strict=True):
    ax.plot(z[:, 0], z[:, 1], ".", markersize=3)
    ax.set(title=name, xlabel="sum of unit 1", ylabel="sum of unit 2")
    plots.describe(
        ax,
        f"{name}: the sums of two hidden units for 1,000 images, one against the other. Their "
        f"correlation is {torch.corrcoef(z[:, :2].T)[0, 1]:.2f}.",
    )

# %%

initguide.says(
    alike["Uniform [0, 1)"] > 0.9,
    "With weights from ``U[0, 1)``, the units agree about nearly every image: all add up the ink, "
    "with different weights, so all say that this picture is bright. This is the symmetry of page "
    "``2``, softened.",
    "With weights from ``U[0, 1)``, two units agree about many images, with a correlation of "
    "{alike:.2f} on average.",
    alike=alike["Uniform [0, 1)"],
) + initguide.says(
    spread["Uniform [-0.5, 0.5)"] < 0.5,
    "With weights of both signs, units look at different things: the correlation of two is of "
    "either sign, {spread:.2f} in root mean square.",
    "With weights of both signs the correlation of two units is still {spread:.2f} in root mean "
    "square.",
    spread=spread["Uniform [-0.5, 0.5)"],
)

# %%
# The size is a second matter. With positive weights, a unit of the first layer adds up 784 products
# that are never negative, and nothing cancels. The second layer does the same with 256 of those
# sums:

initguide.Table(
    {
        "weights": list(schemes),
        **{f"fc{i + 1}": [sizes[i] for sizes in size.values()] for i in range(3)},
        "answers": list(answers.values()),
    },
    caption="Root mean square of the sums of each layer, before training",
    note="The last column: how many of the ten answers are given to some image.",
    formats=dict.fromkeys(["fc1", "fc2", "fc3"], ",.0f"),
)

# %%

positive, both = size["Uniform [0, 1)"], size["Uniform [-0.5, 0.5)"]
(
    initguide.says(
        positive[2] > 1e5,
        "With ``U[0, 1)``, the scores, behind ``fc3``, are {scores:,.0f} in root mean square.",
        "With ``U[0, 1)``, the scores, behind ``fc3``, are not that large: {scores:,.0f} in root "
        "mean square.",
        scores=positive[2],
    )
    + initguide.says(
        answers["Uniform [0, 1)"] == 1,
        "And all the images get the same answer: all scores of an image grow with its brightness, "
        "so the class that happens to have the largest weights wins.",
        "The images get {answers} different answers of the ten.",
        answers=answers["Uniform [0, 1)"],
    )
    + initguide.says(
        1000 * both[2] < positive[2] and both[1] > both[0],
        "With both signs the scores are less than a thousandth of that, because positive and "
        "negative products cancel, but from ``fc1`` to ``fc2`` the sums still grow, "
        "{growth:.1f}-fold.",
        "With both signs the scores are {scores:,.0f} in root mean square, and from ``fc1`` to "
        "``fc2`` the sums become {growth:.1f} times as large.",
        scores=both[2],
        growth=both[1] / both[0],
    )
)

# %%
# (:func:`~initguide.measure` looks into any network; page 4 uses it again.) Adam moves a weight by
# about its learning rate, 0.001, per step. So it needs hundreds of steps to change weights between
# 0 and 1 by much.
#
# .. admonition:: Try it
#
#    Draw the weights of the linear layers from U[-0.5, 0.5), and set the biases to 0. Write the
#    scheme yourself, with ``torch.rand_like(m.weight)``, which draws from U[0, 1), and let it be
#    checked: a wrong answer is told what was misunderstood.
#
#    .. code-block:: python
#
#       from initguide import exercises
#
#       def my_scheme(m):
#           ...  # yours
#
#       exercises.check("uniform", my_scheme)
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          from initguide import exercises
#
#          def my_scheme(m):
#              if isinstance(m, torch.nn.Linear):
#                  m.weight.data = torch.rand_like(m.weight) - 0.5
#                  m.bias.data.fill_(0)
#
#          print(exercises.check("uniform", my_scheme))
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        uniform.above(0.2),
        "Random weights break the symmetry, and the network gets better than a guess.",
        "Random weights break the symmetry, and that alone is not enough to learn.",
        "Random weights break the symmetry; these seeds cannot tell whether that is enough to "
        "learn.",
    ),
    initguide.says(
        alike["Uniform [0, 1)"] > 0.9 and positive[1] / positive[0] > 10,
        "If all weights are positive, all units add up the same ink: they stay nearly alike, and "
        "the sums grow from layer to layer, {growth:.0f}-fold from the first to the second.",
        "If all weights are positive, all units add up the same ink, though here they came out "
        "less alike than that suggests, or grew less: {growth:.0f}-fold.",
        growth=positive[1] / positive[0],
    ),
    initguide.says(
        spread["Uniform [-0.5, 0.5)"] < 0.5
        and both[1] / both[0] < positive[1] / positive[0],
        "Weights should be centred at zero: then the units differ, and the sums grow less.",
        "Centring the weights at zero was not enough here to make the units differ and the sums "
        "grow less.",
        key="centred",
    ),
)

# %%
# Next: how wide should they be spread?
# :doc:`The general rule </auto_examples/lesson/plot_4_general_rule>`.
