"""
3. Uniform
==========

To make units differ, draw their weights at random. This page looks at the uniform distribution,
fills the network from U[0, 1), and watches it learn, poorly. Random is not enough: the weights
differ, and yet the units are nearly all alike.

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
# A number from U(-3, 3) is equally likely to fall anywhere between -3 and 3. Here are 1,000 of
# them, sorted into 500 bins:

import math

import torch

import initguide
from initguide import initializers as init
from initguide import plots

generator = torch.Generator().manual_seed(0)
numbers = torch.empty(1000).uniform_(-3, 3, generator=generator)
title = "1,000 numbers from U(-3, 3) in 500 bins"
plots.plot_histogram(numbers, bins=500, value_range=(-3, 3), title=title)

# %%
# A thousand numbers in 500 bins make two per bin, on average. The bins do not look equal, though:

counts = torch.histc(numbers, bins=500, min=-3, max=3)
print(
    f"empty bins: {(counts == 0).float().mean():.1%}, expected {math.exp(-2):.1%}"
)
print(f"standard deviation of a bin: {counts.std():.2f}, expected {2**0.5:.2f}")

# %%
# Some bins are empty and some hold five or more, and that is what chance does: the number in a bin
# very nearly follows a Poisson distribution with mean 2 and standard deviation √2, from which both
# expectations come. A histogram this fine shows the noise of drawing, 70 % of the height, and not
# the shape of the distribution. With 2,000 numbers per bin, the standard deviation is √2000 ≈ 45,
# and the noise is 2 % of the height:

many = torch.empty(1_000_000).uniform_(-3, 3, generator=generator)
title = "1,000,000 numbers from U(-3, 3) in 500 bins"
plots.plot_histogram(many, bins=500, value_range=(-3, 3), title=title)

# %%
# A baseline: U[0, 1)
# -------------------
# A scheme is a function of a module, so we can write one ourselves. It asks whether the module is a
# linear layer, because ``model.apply`` calls it on the dropout layer and on the whole network, too:


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
# The figure shows the loss of the first mini-batches. In words:

uniform = initguide.estimate(result.values("Uniform [0, 1)"))
spread = result.values("Uniform [0, 1)").std(ddof=1)
loss = initguide.estimate(result.values("Uniform [0, 1)", "valid_loss"))
ones = result.difference("Uniform [0, 1)", "All ones")
(
    initguide.says(
        uniform.above(0.2),
        "It learns: far better than guessing.",
        "It hardly learns: not far better than guessing.",
        "Whether it learns much, these seeds cannot tell.",
    )
    + initguide.says(
        ones.better(),
        "It is better than all ones, by {ones:.1f} points.",
        "It is no better than all ones.",
        "Whether it is better than all ones is open.",
        ones=ones,
    )
    + initguide.says(
        loss.above(math.log(10)),
        "Still, after two epochs its loss is above the ``ln 10`` of a guess that knows nothing.",
        "After two epochs its loss is below the ``ln 10`` of a guess that knows nothing.",
        "After two epochs its loss may still be above the ``ln 10`` of a guess that knows nothing.",
    )
    + initguide.says(
        spread > 0.02,
        "And look at the column sd, the standard deviation over seeds: how well it does is luck.",
        "The column sd, the standard deviation over seeds, is small: all seeds do about as well.",
    )
)

# %%
# Why so poorly?
# --------------
# The weights of the units are all different. What about their *outputs*? Send some images through
# the freshly initialized first layer and look at the *pre-activations*, the sums before ReLU:

images = data.train.images[:1000].flatten(start_dim=1)


schemes = {
    "Uniform [0, 1)": init.uniform(0.0, 1.0),
    "Uniform [-0.5, 0.5)": init.uniform(-0.5, 0.5),
}
sums, alike = {}, {}
for name, scheme in schemes.items():
    net = initguide.initialize(initguide.Net(), scheme, seed=0)
    with torch.inference_mode():
        z = sums[name] = net.fc1(images)
    pairs = ~torch.eye(z.shape[1], dtype=torch.bool)
    alike[name] = torch.corrcoef(z.T)[pairs].mean()
    print(
        f"{name:20} mean {z.mean():6.1f}, correlation of two units {alike[name]:.3f}"
    )

# %%
# (The correlation is over the images, and averaged over all pairs of units.) Here are two of them:

fig, axes = plots.subplots(1, 2, height=3.2, sharex=True, sharey=True)
for ax, (name, z) in zip(axes, sums.items(), strict=True):
    first, second = z[:, 0], z[:, 1]
    ax.plot(first, second, ".", markersize=3)
    ax.set(title=name, xlabel="sum of unit 1")
    plots.describe(
        ax,
        f"{name}: the sums of two hidden units for 1,000 images, one against the other. Their "
        f"correlation is {torch.corrcoef(torch.stack([first, second]))[0, 1]:.2f}.",
    )
axes[0].set_ylabel("sum of unit 2")

# %%
# Each dot is an image. With weights from U[0, 1), the two units agree about every image: both add
# up nearly all the ink, with slightly different weights, so both say "this picture is bright". Two
# hundred and fifty-six units that say the same are hardly better than one. This is the symmetry of
# page 2, softened. With weights of both signs, drawn here from an equally wide interval around 0,
# the units look at different things.
#
# The second fault is the size. The sums of the first layer are around a hundred, because 784
# positive products are added up and nothing cancels. The second layer does the same with 256 of
# those sums:


growth = {}
print("root mean square of sums        fc1       fc2       fc3   answers given")
for name, scheme in schemes.items():
    net = initguide.initialize(initguide.Net(), scheme, seed=0).eval()
    found = initguide.measure(net, images)
    sizes = [found[f"fc{i}"].output_second_moment ** 0.5 for i in (1, 2, 3)]
    growth[name] = sizes[1] / sizes[0]
    with torch.inference_mode():
        answers = net(images).argmax(dim=1).unique()
    sizes = " ".join(f"{size:9,.0f}" for size in sizes)
    print(f"{name:23} {sizes}   {len(answers)} of 10")

# %%
# (:func:`~initguide.measure` looks into any network; page 4 uses it again.) With U[0, 1), the
# scores, behind ``fc3``, are around a million. And nearly every image gets the same answer: all ten
# scores of an image grow with its brightness, so whichever class happens to have the largest
# weights wins.
#
# Adam moves a weight by about 0.001 per step, so it takes long to repair this; in the figure above,
# the loss has not even halved twice. With both signs the sizes are much smaller, because positive
# and negative products cancel, but they still grow from layer to layer.
#
# .. admonition:: Try it
#
#    Is it the mean of the weights or their spread that does the harm? Train with
#    ``init.uniform(0.0, 0.1)``: the same lopsided shape, ten times smaller.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          smaller = initguide.compare_init_weights(
#              {
#                  "Uniform [0, 0.1)": init.uniform(0.0, 0.1),
#                  "Uniform [-0.05, 0.05)": init.uniform(-0.05, 0.05),
#              },
#              data,
#              seeds=3,
#          )
#          print(smaller)
#          print(smaller.difference("Uniform [-0.05, 0.05)", "Uniform [0, 0.1)"))
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        uniform.above(0.2),
        "Random weights break the symmetry, so the network learns.",
        "Random weights break the symmetry, and that alone is not enough to learn.",
        "Random weights break the symmetry; whether that is enough to learn is open.",
    ),
    initguide.says(
        alike["Uniform [0, 1)"] > 0.9 and growth["Uniform [0, 1)"] > 10,
        "If all weights are positive, all units add up the same ink: they stay nearly alike, and "
        "the sums grow with the number of inputs.",
        "If all weights are positive, all units add up the same ink, though here they came out "
        "less alike or smaller than that suggests.",
    ),
    initguide.says(
        alike["Uniform [-0.5, 0.5)"] < 0.5,
        "Weights should be centred at zero.",
        "Centring the weights at zero was not enough here to make the units different.",
    ),
)

# %%
# Next: how wide should they be spread?
# :doc:`The general rule </auto_examples/lesson/plot_4_general_rule>`.
