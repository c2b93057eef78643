"""
6. Automatic
============

Every network that was ever built without a thought for initialization was initialized nevertheless:
by the framework. How? Find out for yourself first. Then this page reads what PyTorch does,
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
# Here is a network without a word about its weights:

import inspect
import math

import numpy as np
import torch
from scipy import stats

import initguide
from initguide import initializers as init
from initguide import plots

torch.manual_seed(0)
net = initguide.Net()

# %%
# .. admonition:: Try it
#
#    Before you read on, look at the weights and biases of each of its layers. Which distribution
#    are they from, and what are its bounds? Write a scheme that does the same by hand, and let it
#    be checked: a wrong answer is told what was misunderstood.
#
#    .. code-block:: python
#
#       from initguide import exercises
#
#       def my_scheme(m):
#           ...  # yours
#
#       exercises.check("default", my_scheme)
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          from initguide import exercises
#
#          for name, parameter in net.named_parameters():
#              low, high = parameter.min().item(), parameter.max().item()
#              print(f"{name:10} {low:.4f} to {high:.4f}, std {parameter.std().item():.4f}")
#
#          def my_scheme(m):
#              if isinstance(m, torch.nn.Linear):
#                  bound = 1 / math.sqrt(m.in_features)
#                  m.weight.data.uniform_(-bound, bound)
#                  m.bias.data.uniform_(-bound, bound)
#
#          exercises.check("default", my_scheme)
#
# What the source says
# --------------------
# A linear layer fills its parameters when it is created. It calls its own ``reset_parameters``, and
# there stands ``kaiming_uniform_(self.weight, a=math.sqrt(5))``. The bound of its interval is a
# gain times √(3/n), and ``a`` decides about the gain:

gain = torch.nn.init.calculate_gain("leaky_relu", a := math.sqrt(5))
bound = gain * math.sqrt(3)  # times 1/√n

# %%

initguide.asks(
    "Kaiming He's name and ``a=√5``: from which interval does PyTorch draw the weights?",
    [
        "Up to ``1/√n`` on either side: it is the general rule.",
        "Up to ``√(5/n)``: that is what ``a`` is for.",
        "Up to ``√(6/n)``: it is He's scheme, made for ReLU.",
    ],
    [abs(bound - 1) < 0.01, abs(bound - a) < 0.01, abs(bound - 6**0.5) < 0.01],
    initguide.says(
        math.isclose(bound, 1, rel_tol=1e-6),
        "The gain is {gain:.4f}, and the bound {bound:.4f}/√n: that of the general rule.",
        "The gain is {gain:.4f}, and the bound {bound:.4f}/√n: no longer that of the general rule.",
        gain=gain,
        bound=bound,
    ),
)

# %%
# Here it is in full, with a comment by its authors:

print(inspect.getsource(torch.nn.Linear.reset_parameters))

# %%
# ``a`` is the slope of a *leaky* ReLU below zero, and one of √5 would more than double every
# negative number. Nobody means that: it is a way to reach an older formula through a newer
# function. The gain for a leaky ReLU is √(2 / (1 + a²)), and √(2/6) · √(3/n) is 1/√n. The biases
# are drawn from the same interval.
#
# What the draws say
# ------------------
# Now the layers themselves. If their numbers come from U[-1/√n, 1/√n), then multiplied by √n they
# come from U[-1, 1): none outside, with a standard deviation of 1/√3 ≈ 0.577.

layers = ["fc1", "fc2", "fc3"]
scaled = {
    f"{layer}.{name}": values.detach().flatten()
    * math.sqrt(net.get_submodule(layer).in_features)
    for layer in layers
    for name, values in net.get_submodule(layer).named_parameters()
}
uniform = stats.uniform(-1, 2)
fits = [stats.kstest(x.numpy(), uniform.cdf).pvalue for x in scaled.values()]
initguide.Table(
    {
        "times √n": list(scaled),
        "smallest": [x.min() for x in scaled.values()],
        "largest": [x.max() for x in scaled.values()],
        "sd": [x.std() for x in scaled.values()],
        "p-value": fits,
    },
    caption="Weights and biases as PyTorch draws them, times √n",
    note="p-value of U[-1, 1), by a Kolmogorov-Smirnov test. There are six tests, so a single one "
    "has to be below 0.01 / 6 to count.",
    formats=dict.fromkeys(["smallest", "largest", "sd", "p-value"], ".3f"),
)

# %%

plots.plot_histogram(
    scaled["fc1.weight"],
    bins=120,
    value_range=(-1.5, 1.5),
    expected=uniform.pdf,
    title="Weights of the first layer as PyTorch draws them, times √n",
    xlabel="weight · √n",
)

# %%

outside = max(x.abs().max().item() for x in scaled.values()) - 1
initguide.says(
    outside < 1e-6 and min(fits) > 0.01 / len(fits),
    "Nothing lies outside, and no p-value speaks against the uniform distribution.",
    "Something lies outside, or the smallest p-value, {smallest:.4f}, speaks against the uniform "
    "distribution.",
    smallest=min(fits),
)

# %%
# So the only thing in which the automatic start differs from our general rule is its biases: random
# there, 0 here.
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

difference = result.difference("Automatic", "General rule")
seeds_sd = result.values("Automatic").std(ddof=1)
low, high = difference.interval
initguide.says(
    difference.above(0),
    "The random biases help here, by {difference:+.2f} points.",
    "The random biases harm here, by {difference:+.2f} points.",
    "These runs cannot tell the two apart: the random biases make no more than {room:.2f} points.",
    difference=difference,
    room=100 * max(abs(low), abs(high)),
) + initguide.says(
    abs(difference.mean) < seeds_sd,
    "The mean difference, {mean:+.2f}, is less than the standard deviation over seeds, {sd:.2f}.",
    "The mean difference, {mean:+.2f}, is more than the standard deviation over seeds, {sd:.2f}.",
    mean=100 * difference.mean,
    sd=100 * seeds_sd,
)

# %%
# What a random bias does
# -----------------------
# It adds its own variance, 1/(3n), to the pre-activations. In the first layer these have a mean
# square of E[x²]/3, to which 1/(3 · 784) adds little. What does it add in the other layers? Over
# twenty draws:

images = data.train.images[:1000]
squares = []
for seed in range(20):
    net = initguide.initialize(initguide.Net(), "default", seed=seed).eval()
    seen = initguide.measure(net, images)
    squares.append([seen[layer].output_second_moment for layer in layers])
sums = np.mean(squares, axis=0)
biases = [1 / (3 * net.get_submodule(layer).in_features) for layer in layers]
share = 100 * np.divide(biases, sums)

# %%

initguide.asks(
    "Each score of the last layer is the sum of 128 products and one bias. How much of the scores' "
    "mean square comes from the biases?",
    [
        "Less than a twentieth: what is one number beside 128?",
        "More, but less than a quarter: the 128 still outweigh the one.",
        "More than a quarter: the biases are as large as ever, and the signal is not.",
    ],
    [share[-1] < 5, 5 <= share[-1] <= 25, share[-1] > 25],
    initguide.says(
        share[-1] > 25,
        "It is {share:.0f} %: so much do this one layer's biases make, the same for every image.",
        "It is {share:.0f} %.",
        share=share[-1],
    ),
)

# %%

initguide.says(
    bool((np.diff(share) > 0).all()),
    "The biases weigh more from layer to layer: {one:.1f} % of the mean square, {two:.1f} %, and "
    "{three:.1f} %.",
    "The biases do not weigh more from layer to layer here: they make {one:.1f} % of the mean "
    "square, {two:.1f} %, and {three:.1f} %.",
    one=share[0],
    two=share[1],
    three=share[2],
)

# %%
# The signal from the image shrinks by a factor of six per layer (page 4), while every layer adds
# biases again. In a deep network with the default start, what varies from image to image should
# therefore fade away. Does it? :doc:`/auto_examples/theory/plot_5_depth` goes on from here.
#
# Where to write your own
# -----------------------
# In other people's code you will meet functions of ``torch.nn.init``, whose names end in an
# underscore because they change a tensor in place, or the older ``layer.bias.data.fill_(0)``.
# Either stands *inside* ``__init__``, where the layers are made, or outside, by ``apply``. Wherever
# it stands, it overwrites what ``reset_parameters`` drew before:


def weights_init(module):
    if isinstance(module, torch.nn.Linear):
        torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        torch.nn.init.zeros_(module.bias)


class Classifier(initguide.Net):
    def __init__(self):
        super().__init__()
        self.apply(weights_init)


torch.manual_seed(0)
inside = Classifier().parameters()
torch.manual_seed(0)
outside_it = initguide.Net().apply(weights_init).parameters()
same = all(torch.equal(a, b) for a, b in zip(inside, outside_it, strict=True))

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
        math.isclose(bound, 1, rel_tol=1e-6),
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
        "Inside ``__init__`` or outside, by ``apply``: where the scheme was written made no "
        "difference here to what was drawn.",
        "Where an initialization is written made a difference here to what was drawn.",
    ),
)

# %%
# Next, everything at once: :doc:`which one would you choose? </auto_examples/lesson/plot_7_choose>`
