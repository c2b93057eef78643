"""
4. The general rule
===================

Weights should be centred at zero. How large should they be? The general rule ties their
size to the number of inputs of the layer: draw them from U[-1/√n, 1/√n), where n is the fan-in.
This page compares the rule with a fixed interval, and looks inside the network to see what the rule
keeps under control and what it does not.

.. admonition:: What you will learn

   - what :term:`fan-in` is, and how the rule uses it
   - which mean square a layer's sums should have, predicted and measured
   - what the rule controls, and what it leaves to chance

.. meta::
   :keywords: general rule, fan-in, 1/sqrt(n), variance of the weights, signal propagation
"""

# %%
# What n is
# ---------
# A unit of a layer adds up its inputs, each multiplied by a weight. The number of inputs that one
# unit adds up is the layer's *fan-in*; it is the n of the rule. In our network:

import math

import torch

import initguide
from initguide import initializers as init
from initguide import plots

net = initguide.Net()
for name, layer in net.named_children():
    if isinstance(layer, torch.nn.Linear):
        fan_in, fan_out = init.fans(layer)
        bound = fan_in**-0.5
        print(
            f"{name}: fan-in {fan_in}, so weights from U[-{bound:.4f}, {bound:.4f})"
        )

# %%
# As a scheme, written out:


def weights_init_uniform_rule(module):
    if isinstance(module, torch.nn.Linear):
        bound = 1 / math.sqrt(module.in_features)
        module.weight.data.uniform_(-bound, bound)
        module.bias.data.fill_(0)


# %%
# The package's :func:`~initguide.initializers.general_rule` draws the same weights from the same
# seed, and does the same for convolutions and embeddings:

ours = initguide.initialize(initguide.Net(), init.general_rule(), seed=0)
yours = initguide.initialize(initguide.Net(), weights_init_uniform_rule, seed=0)
print(torch.equal(ours.fc1.weight, yours.fc1.weight))

# %%
# Training
# --------
# We compare it with the plain interval [-0.5, 0.5), which is centred but the same for every layer,
# and with the baseline of the last page.

data = initguide.fashion_mnist()
result = initguide.compare_init_weights(
    {
        "Uniform [0, 1)": init.uniform(0.0, 1.0),
        "Uniform [-0.5, 0.5)": init.uniform(-0.5, 0.5),
        "General rule": init.general_rule(),
    },
    data,
    seeds=5,
)
result

# %%

plots.plot_losses(result, first=100)

# %%
# Centring the interval brings the largest gain, and scaling it to the layer another. Compare the
# starting points (the axis is logarithmic): the general rule begins near 2.303, as a network should
# that knows nothing; the others begin wrong *and sure of it*, and spend their first steps on
# unlearning that.

print(result.difference("Uniform [-0.5, 0.5)", "Uniform [0, 1)"))
print(result.difference("General rule", "Uniform [-0.5, 0.5)"))

# %%
# An interval that excludes zero says that a difference is more than the luck of these five seeds.
# How much more seeds would tell, :doc:`/auto_examples/practice/plot_8_how_many_seeds` shows.
#
# Why the fan-in?
# ---------------
# Add up n products of an input and a weight. If the weights are independent with mean 0 and
# variance Var(w), the cross terms cancel on average, and the mean square of the sum z is
#
# .. math:: E[z^2] = n \cdot \mathrm{Var}(w) \cdot E[x^2] .
#
# A uniform distribution on [-a, a) has variance a²/3. So the interval [-0.5, 0.5) multiplies the
# mean square by n/12 at each layer, which is 65 for the first one; the general rule multiplies it
# by 1/3, whatever n is. In between, ReLU sets the negative half of the sums to 0, which halves the
# mean square. We can predict every layer before training, and then measure:

images = data.train.images[:5000]
schemes = {
    "Uniform [-0.5, 0.5)": (init.uniform(-0.5, 0.5), lambda _: 1 / 12),
    "General rule": (init.general_rule(), lambda n: 1 / (3 * n)),
}
layers = {"fc1": 784, "fc2": 256, "fc3": 128}  # and their fan-in
measured, predicted = {}, {}
for name, (scheme, variance) in schemes.items():
    predicted[name], mean_square = [], images.square().mean().item()
    for fan_in in layers.values():
        predicted[name].append(fan_in * variance(fan_in) * mean_square)
        mean_square = predicted[name][-1] / 2  # what ReLU lets through
    measured[name] = []
    for seed in range(10):
        net = initguide.initialize(initguide.Net(), scheme, seed=seed).eval()
        found = initguide.measure(net, images)
        measured[name].append([found[fc].output_second_moment for fc in layers])

plots.plot_prediction(
    measured,
    predicted,
    at=list(layers),
    schemes={name: str(scheme) for name, (scheme, _) in schemes.items()},
    title="Mean square of the sums, before training",
    ylabel="mean square of the pre-activations",
)

# %%
# The dashed lines are predicted from the formula, the dots are measured, one for each of ten draws
# of the weights. The formula holds for the average over draws. A single network may be off by half
# in the last layer, where only ten sums are averaged. (Both schemes' dots are scattered alike
# because they are the same draws, differently scaled.) With numbers:

rows = []
for name, sums in measured.items():
    draws = torch.tensor(sums)
    for i, layer in enumerate(layers):
        expected, found = predicted[name][i], draws[:, i]
        mean, sd = found.mean().item(), found.std().item()
        rows.append((name, layer, expected, mean, sd))
columns = ["scheme", "layer", "predicted", "measured", "sd of the draws"]
initguide.Table(
    dict(zip(columns, zip(*rows, strict=True), strict=True)),
    caption="Mean square of the sums of each layer",
    note="Measured: mean of ten draws of the weights, dropout off.",
)

# %%
# Two things are worth seeing. With [-0.5, 0.5), the mean square grows at every layer, to hundreds.
# With the general rule it **shrinks**, by a factor of six per layer: 1/3 from the weights, 1/2 from
# ReLU. Over three layers that is little. Over thirty it would be 6³⁰, a number with 24 digits, and
# that is what Xavier's and He's schemes are for; they choose the variance so that the factor is
# close to 1.
#
# .. admonition:: Try it
#
#    Is 1/√n the best bound? Compare the bounds 0.3/√n, 1/√n, 3/√n and 10/√n over five seeds. Which
#    differences are real?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def rule_times(factor):
#              def weights_init(module):
#                  if isinstance(module, torch.nn.Linear):
#                      bound = factor / math.sqrt(module.in_features)
#                      torch.nn.init.uniform_(module.weight, -bound, bound)
#                      torch.nn.init.zeros_(module.bias)
#
#              return weights_init
#
#
#          factors = initguide.compare_init_weights(
#              {f"{f:g}/√n": rule_times(f) for f in (0.3, 1, 3, 10)}, data, seeds=5
#          )
#          print(factors)
#          for f in ("0.3", "3", "10"):
#              print(factors.difference(f"{f}/√n", "1/√n"))
#
# What we learnt
# --------------
# - n is the fan-in, the number of inputs that a unit adds up.
# - The mean square of a layer's sums is n · Var(w) · E[x²]: predicted on this page, and measured.
# - Bounds of ±1/√n keep it independent of n. They do not keep it constant over layers: with ReLU it
#   falls to a sixth from one to the next.
#
# Next: does the *shape* of the distribution matter, or only its size? :doc:`Normal
# </auto_examples/lesson/plot_5_normal>`.
