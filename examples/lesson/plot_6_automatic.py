"""
6. Automatic
============

Every network that was ever built without a thought for initialization was initialized all the
same: by the framework. How? Find out for yourself first. Then this page reads what PyTorch does,
checks it against draws, and asks what its one addition to the general rule is worth: the biases.

.. index:: ! PyTorch default, ! kaiming

.. admonition:: What you will learn

   - what PyTorch does when you do nothing, and why it says √5
   - what its random biases add, layer by layer
   - whether that matters on this network
   - where an initialization of your own is written in people's code

.. meta::
   :keywords: PyTorch default, kaiming_uniform, a=sqrt(5), reset_parameters, random biases
"""

# %%
# .. admonition:: Exercise
#
#    Before you read on: make a network without a word about its weights. Look at the weights and
#    biases of each layer. Which distribution are they from, and what are its bounds? Then train
#    it beside the general rule. Which do you expect to be better?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          import initguide
#          from initguide import initializers as init
#          from initguide import plots
#
#          net = initguide.Net()
#          for name, parameter in net.named_parameters():
#              low, high = parameter.min().item(), parameter.max().item()
#              print(f"{name:10} {low:.4f} to {high:.4f}, std {parameter.std().item():.4f}")
#          plots.plot_histogram(net.fc1.weight, bins=100, title="First layer")
#          print(
#              initguide.compare_init_weights(
#                  {"Automatic": init.default(), "General rule": init.general_rule()},
#                  initguide.fashion_mnist(),
#                  seeds=3,
#              )
#          )
#
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
# But it is not: ``a`` is the slope of a *leaky* ReLU below zero, and one of √5 would more than
# double every negative number. It is a way to reach an older formula through a newer function. The
# gain for a leaky ReLU is √(2 / (1 + a²)), and Kaiming's uniform bound is the gain times √(3 / n):

gain = torch.nn.init.calculate_gain("leaky_relu", math.sqrt(5))
print(f"gain {gain:.4f}, and the bound is {gain * math.sqrt(3):.4f}/√n")

# %%
# With a bound of 1/√n, that is the general rule. The biases are drawn from the same interval.
#
# What the draws say
# ------------------
# Now the layer itself. If the weights come from U[-1/√n, 1/√n), then multiplied by √n they come
# from U[-1, 1): none outside, with a standard deviation of 1/√3 ≈ 0.577.

torch.manual_seed(0)
net = initguide.Net()
scaled, fits = {}, []
for name, layer in [("fc1", net.fc1), ("fc2", net.fc2), ("fc3", net.fc3)]:
    root = math.sqrt(layer.in_features)
    for kind, parameter in [("weight", layer.weight), ("bias", layer.bias)]:
        values = parameter.detach().flatten() * root
        scaled[f"{name}.{kind}"] = values
        fits.append(stats.kstest(values.numpy(), stats.uniform(-1, 2).cdf).pvalue)
        print(
            f"{name}.{kind:6} · √n: from {values.min():+.3f} to {values.max():+.3f}, "
            f"std {values.std():.3f}, p-value of U[-1, 1) {fits[-1]:.2f}"
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

outside = max(values.abs().max().item() for values in scaled.values()) - 1
initguide.says(
    outside < 1e-6 and min(fits) > 0.01 / len(fits),
    "Nothing lies outside, and no p-value speaks against the uniform distribution.",
    "Something lies outside, or the smallest p-value, {smallest:.4f}, speaks against the uniform "
    "distribution.",
    smallest=min(fits),
)

# %%
# (The p-values are those of a Kolmogorov-Smirnov test. It is done six times, so a single one has to
# be below 0.01 / 6 to count.) So the only thing in which the automatic start differs from our
# general rule are the biases: random there, 0 here.
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

seeds_sd = result.values("Automatic").std(ddof=1)
low, high = difference.interval
room = 100 * max(abs(low), abs(high))
initguide.says(
    difference.above(0),
    "The random biases help here, by {difference:+.2f} points.",
    "The random biases harm here, by {difference:+.2f} points.",
    "These runs cannot tell the two apart: the random biases make no more than {room:.1f} points.",
    difference=difference,
    room=room,
) + initguide.says(
    abs(difference.mean) < seeds_sd,
    "In the mean that is less than the standard deviation over seeds, {sd:.2f}.",
    "In the mean that is more than the standard deviation over seeds, {sd:.2f}.",
    sd=100 * seeds_sd,
)

# %%
# What a random bias does
# -----------------------
# It adds its own variance, 1/(3n), to the pre-activations. In the first layer these have a mean
# square of E[x²]/3, to which 1/(3 · 784) adds little. But from layer to layer the rule shrinks the
# signal, and not the biases:

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
share = {}
for name in ("fc1", "fc2", "fc3"):
    sums = sum(sample[name][0] for sample in samples) / len(samples)
    biases = sum(sample[name][1] for sample in samples) / len(samples)
    share[name] = 100 * biases / sums
    print(
        f"{name}: mean square {sums:.4f}, of which the biases {share[name]:4.1f} %"
    )

# %%

initguide.says(
    share["fc1"] < share["fc2"] < share["fc3"] and share["fc3"] > 25,
    "The biases weigh more from layer to layer, and in the last one {share:.0f} % of what the "
    "network says at the start comes from them, and is the same for every image.",
    "The biases do not weigh more from layer to layer, or not by much: in the last one they make "
    "{share:.0f} % of what the network says at the start.",
    share=share["fc3"],
)

# %%
# The signal from the image shrinks by a factor of six per layer (page 4), while every layer adds
# biases again. In a deep network with the default start, what varies from image to image should
# therefore fade away. Does it? :doc:`/auto_examples/theory/plot_5_depth` goes on from here.
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
# Where to write your own
# -----------------------
# In other people's code you will meet three places. *Inside* ``__init__``, where the layers are
# made, with a function of ``torch.nn.init``; outside, by ``apply``; or through ``.data``, which is
# older. The function names end in an underscore because they change a tensor in place, and they
# record no gradient. All three overwrite what ``reset_parameters`` drew before.


def weights_init(module):
    if isinstance(module, torch.nn.Linear):
        torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        torch.nn.init.zeros_(module.bias)


class Classifier(torch.nn.Module):
    def __init__(self, initialized):
        super().__init__()
        self.hidden = torch.nn.Linear(28 * 28, 256)
        self.scores = torch.nn.Linear(256, 10)
        if initialized:
            self.apply(weights_init)


torch.manual_seed(0)
inside = Classifier(initialized=True)
torch.manual_seed(0)
outside_it = Classifier(initialized=False).apply(weights_init)
torch.manual_seed(0)
by_data = Classifier(initialized=False)
for layer in (by_data.hidden, by_data.scores):
    layer.weight.data.normal_(0.0, math.sqrt(2 / layer.in_features))
    layer.bias.data.fill_(0)
same = all(
    torch.allclose(a, b) and torch.allclose(a, c)
    for a, b, c in zip(
        *(net.parameters() for net in (inside, outside_it, by_data)), strict=True
    )
)
print("the same weights in all three ways:", same)

# %%
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        outside < 1e-6 and min(fits) > 0.01 / len(fits),
        "PyTorch's linear layers start with the general rule, and with biases from the same "
        "interval.",
        "What PyTorch's linear layers drew here does not fit the general rule.",
        key="default-is-the-rule",
    ),
    initguide.says(
        math.isclose(gain * math.sqrt(3), 1.0, rel_tol=1e-6),
        "The ``√5`` in the source makes Kaiming's function compute ``1/√n``. It has nothing to do "
        "with ReLU, and the default is not He's initialization.",
        "The ``√5`` in the source no longer makes Kaiming's function compute ``1/√n``.",
    ),
    initguide.says(
        difference.within(-0.005, 0.005),
        "On this network, random biases change the accuracy after two epochs by less than half a "
        "point.",
        "On this network, random biases change the accuracy after two epochs by more than half a "
        "point, {difference:+.1f}.",
        "On this network, random biases change the accuracy after two epochs by {difference:+.1f} "
        "points; whether by more than half a point, eight seeds cannot tell.",
        difference=difference,
        key="random-biases-shallow",
    ),
    initguide.says(
        same,
        "Inside ``__init__``, by ``apply`` or through ``.data``: where an initialization is "
        "written makes no difference to what is drawn.",
        "Where an initialization is written made a difference here to what was drawn.",
    ),
)

# %%
# Next, everything at once: :doc:`which one would you choose? </auto_examples/lesson/plot_7_choose>`
