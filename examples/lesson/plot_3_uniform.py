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

import numpy as np
import torch

import initguide
from initguide import initializers as init
from initguide import plots

numbers = torch.empty(1000).uniform_(
    -3, 3, generator=torch.Generator().manual_seed(0)
)
plots.plot_histogram(
    numbers,
    bins=500,
    value_range=(-3, 3),
    title="1,000 numbers from U(-3, 3) in 500 bins",
)

# %%
# A thousand numbers in 500 bins make two a bin, on average. The bins do not look equal, though:

counts = torch.histc(numbers, bins=500, min=-3, max=3).int()
again = torch.Generator().manual_seed(1)
draws = torch.stack(
    [
        torch.histc(torch.empty(1000).uniform_(-3, 3, generator=again), 500, -3, 3)
        for _ in range(100)
    ]
).int()
print("numbers in a bin   these 1,000   100 draws   Poisson")
for count in range(6):
    poisson = np.exp(-2) * 2.0**count / np.prod(range(1, count + 1), dtype=float)
    print(
        f"{count:16}   {(counts == count).float().mean():11.1%} "
        f"{(draws == count).float().mean():11.1%} {poisson:9.1%}"
    )
print(
    f"standard deviation of a bin: {draws.float().std():.2f}, a Poisson's: {2**0.5:.2f}"
)

# %%
# Some bins are empty and some hold five or more, and that is what chance does: the number in a bin
# very nearly follows a Poisson distribution with mean 2 and standard deviation √2. A histogram this
# fine shows the noise of drawing, 70 % of the height, and not the shape of the distribution. With
# 2,000 numbers a bin, the standard deviation is √2000 ≈ 45, and the noise is 2 % of the height:

many = torch.empty(1_000_000).uniform_(
    -3, 3, generator=torch.Generator().manual_seed(0)
)
plots.plot_histogram(
    many,
    bins=500,
    value_range=(-3, 3),
    title="1,000,000 numbers from U(-3, 3) in 500 bins",
)

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
# <initguide.initializers.uniform>`. Drawn from the same seed, the weights are the same:

ours = initguide.initialize(initguide.Net(), init.uniform(0.0, 1.0), seed=0)
yours = initguide.initialize(initguide.Net(), weights_init_uniform, seed=0)
print(torch.equal(ours.fc3.weight, yours.fc3.weight))

# %%
# Now train from it, beside the ones of the last page:

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
# It learns: far better than guessing, and better than all ones. It is still a bad start. The loss
# begins in the tens of thousands, and after two epochs it has not come down to the 2.303 of a guess
# that knows nothing. And look at the
# column sd, the standard deviation over seeds: how well it does depends on luck.
#
# Why so poorly?
# --------------
# The weights of the units are all different. What about their *outputs*? Send some images through
# the freshly initialized first layer and look at the *pre-activations*, the sums before ReLU:

images = data.train.images[:1000].flatten(start_dim=1)


def first_layer(scheme):
    net = initguide.initialize(initguide.Net(), scheme, seed=0)
    with torch.inference_mode():
        return net.fc1(images)


def mean_correlation(sums):
    """How alike two units are: the correlation of their sums over the images, averaged."""
    matrix = torch.corrcoef(sums.T)
    return matrix[~torch.eye(len(matrix), dtype=torch.bool)].mean().item()


sums = {
    "Uniform [0, 1)": first_layer(init.uniform(0.0, 1.0)),
    "Uniform [-0.5, 0.5)": first_layer(init.uniform(-0.5, 0.5)),
}
for name, z in sums.items():
    print(
        f"{name:20} mean {z.mean():6.1f}, spread {z.std():5.1f}, "
        f"correlation of two units {mean_correlation(z):.3f}"
    )

# %%

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


@torch.inference_mode()
def mean_sums(scheme):
    net = initguide.initialize(initguide.Net(), scheme, seed=0)
    z1 = net.fc1(images)
    z2 = net.fc2(z1.relu())
    return [z.abs().mean().item() for z in (z1, z2, net.fc3(z2.relu()))]


print(f"{'mean size of the sums in':24} {'fc1':>9} {'fc2':>9} {'fc3':>9}")
for name, scheme in [
    ("Uniform [0, 1)", init.uniform(0.0, 1.0)),
    ("Uniform [-0.5, 0.5)", init.uniform(-0.5, 0.5)),
]:
    print(f"{name:24}", *(f"{size:9,.0f}" for size in mean_sums(scheme)))

# %%
# The scores, behind ``fc3``, are in the hundreds of thousands. And every image gets the same
# answer. All ten scores of an image grow with its brightness, so whichever class happens to have
# the largest weights wins:

net = initguide.initialize(initguide.Net(), init.uniform(0.0, 1.0), seed=0).eval()
with torch.inference_mode():
    answers = torch.bincount(net(images).argmax(dim=1), minlength=10)
print("how often each class is the answer:", answers.tolist())

# %%
# Adam moves a weight by about 0.001 a step, so it takes long to repair this; in the figure above,
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
# - Random weights break the symmetry, so the network learns.
# - If all weights are positive, all units add up the same ink: they stay nearly alike, and the sums
#   grow with the number of inputs.
# - Weights should be centred at zero.
#
# Next: how wide should they be spread?
# :doc:`The general rule </auto_examples/lesson/plot_4_general_rule>`.
