"""
6. Automatic
============

Every network that was ever built without a thought for initialization was initialized all the
same: by the framework. This page reads what PyTorch does, checks it against draws, and finds that
it is the general rule, with one addition: the biases.

.. index:: ! PyTorch default, ! kaiming

.. admonition:: What you will learn

   - what PyTorch does when you do nothing, and why it says √5
   - what its random biases add, layer by layer
   - whether that matters on this network

.. meta::
   :keywords: PyTorch default, kaiming_uniform, a=sqrt(5), reset_parameters, random biases
"""

# %%
# What the source says
# --------------------
# A linear layer fills its parameters when it is created, by calling its own ``reset_parameters``:

import inspect
import math

import torch
from scipy import stats

import initguide
from initguide import initializers as init
from initguide import plots

print(inspect.getsource(torch.nn.Linear.reset_parameters))

# %%
# The weights come from ``kaiming_uniform_`` with ``a=math.sqrt(5)``, which looks like He's scheme.
# But it is not: ``a`` is the slope of a *leaky* ReLU below zero, and nobody uses a slope of √5. It
# is a way to reach an older formula through a newer function. The gain for a leaky ReLU is √(2 / (1
# + a²)), and Kaiming's uniform bound is the gain times √(3 / n):

gain = torch.nn.init.calculate_gain("leaky_relu", math.sqrt(5))
print(f"gain {gain:.4f}, and the bound is {gain * math.sqrt(3):.4f}/√n")

# %%
# Exactly 1/√n: the general rule. The biases are drawn from the same interval.
#
# What the draws say
# ------------------
# Now the layer itself. If the weights come from U[-1/√n, 1/√n), then multiplied by √n they come
# from U[-1, 1): none outside, with a standard deviation of 1/√3 ≈ 0.577.

torch.manual_seed(0)
net = initguide.Net()
scaled = {}
for name, layer in [("fc1", net.fc1), ("fc2", net.fc2), ("fc3", net.fc3)]:
    root = math.sqrt(layer.in_features)
    for kind, parameter in [("weight", layer.weight), ("bias", layer.bias)]:
        values = parameter.detach().flatten() * root
        scaled[f"{name}.{kind}"] = values
        distance = stats.kstest(values.numpy(), stats.uniform(-1, 2).cdf)
        print(
            f"{name}.{kind:6} · √n: from {values.min():+.3f} to {values.max():+.3f}, "
            f"std {values.std():.3f}, p-value of U[-1, 1) {distance.pvalue:.2f}"
        )

# %%

plots.plot_histogram(
    scaled["fc1.weight"],
    bins=100,
    value_range=(-1.5, 1.5),
    expected=lambda x: (abs(x) < 1) / 2,
    title="Weights of the first layer as PyTorch draws them, times √n",
    xlabel="weight · √n",
)

# %%
# Flat between -1 and 1, and empty outside. The p-values are those of a Kolmogorov-Smirnov test:
# small ones, below 0.01 say, would speak against the uniform distribution.
#
# So the only thing in which the automatic start differs from our general rule are the biases:
# random there, 0 here.
#
# Does it matter?
# ---------------

data = initguide.fashion_mnist()
result = initguide.compare_init_weights(
    {"Automatic": init.default(), "General rule": init.general_rule()},
    data,
    seeds=8,
)
result

# %%

plots.plot_losses(result, first=100)

# %%

difference = result.difference("Automatic", "General rule")
print(difference)

# %%
# If the interval holds zero, these runs cannot tell the two apart. What it leaves room for is an
# effect of the random biases of up to about half a point. On a network like this, whether the
# biases start random or at 0 matters no more than the choice of a seed.
#
# What a random bias does
# -----------------------
# It adds its own variance, 1/(3n), to the pre-activations. In the first layer they have a mean
# square of E[x²]/3, which is much more than that. In the last layers, where the rule has shrunk the
# signal, the biases weigh more:

images = data.train.images[:1000]


@torch.inference_mode()
def mean_squares(net):
    """Mean square of each layer's sums, and of its biases."""
    net.eval()
    x, found = images.flatten(start_dim=1), {}
    for name, layer in [("fc1", net.fc1), ("fc2", net.fc2), ("fc3", net.fc3)]:
        z = layer(x)
        found[name] = (z.square().mean().item(), layer.bias.square().mean().item())
        x = z.relu()
    return found


samples = [
    mean_squares(initguide.initialize(initguide.Net(), "default", seed=seed))
    for seed in range(20)
]
for name in ("fc1", "fc2", "fc3"):
    sums = sum(sample[name][0] for sample in samples) / len(samples)
    biases = sum(sample[name][1] for sample in samples) / len(samples)
    print(
        f"{name}: mean square {sums:.4f}, of which the biases {100 * biases / sums:4.1f} %"
    )

# %%
# In the last layer, a large part of what the network says at the start comes from its biases, and
# is the same for every image. The signal from the image shrinks by a factor of six a layer (page
# 4), while every layer adds biases of the same variance again. In a deep network with the default
# start, what varies from image to image therefore fades away: the network starts out nearly blind
# to its input. Try it:
#
# .. admonition:: Try it
#
#    How much of the mean square still varies over images behind ten hidden layers of 256 units?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          torch.manual_seed(0)
#          x = images.flatten(start_dim=1)
#          for depth in range(1, 11):
#              layer = torch.nn.Linear(x.shape[1], 256)
#              with torch.inference_mode():
#                  z = layer(x)
#              share = layer.bias.square().mean() / z.square().mean()
#              spread = z.var(dim=0).mean() / z.square().mean()
#              print(f"layer {depth:2}: biases {share:.1%}, varies over images {spread:.1%}")
#              x = z.relu()
#
# What we learnt
# --------------
# - PyTorch's linear layers start with the general rule, and with biases from the same interval.
# - The √5 in the source makes Kaiming's function compute 1/√n. It has nothing to do with ReLU, and
#   the default is not He's initialization.
# - On this network, random biases make no difference that eight seeds could show.
#
# Next, everything at once: :doc:`which one would you choose? </auto_examples/lesson/plot_7_choose>`
