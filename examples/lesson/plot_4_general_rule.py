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
        print(
            f"{name}: fan-in {fan_in:3}, so weights from U[-{fan_in**-0.5:.4f}, {fan_in**-0.5:.4f})"
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
# Both intervals exclude zero: over five seeds, these differences are no accident.
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


@torch.inference_mode()
def mean_squares(net, images):
    """Mean square of the sums of each layer, dropout off."""
    net.eval()
    z1 = net.fc1(images.flatten(start_dim=1))
    z2 = net.fc2(z1.relu())
    z3 = net.fc3(z2.relu())
    return [z.square().mean().item() for z in (z1, z2, z3)]


images = data.train.images[:5000]
schemes = {
    "Uniform [-0.5, 0.5)": (init.uniform(-0.5, 0.5), lambda _: 1 / 12),
    "General rule": (init.general_rule(), lambda n: 1 / (3 * n)),
}
measured, predicted = {}, {}
for name, (scheme, variance) in schemes.items():
    nets = [
        initguide.initialize(initguide.Net(), scheme, seed=seed)
        for seed in range(10)
    ]
    measured[name] = torch.tensor([mean_squares(net, images) for net in nets])
    expected, mean_square = [], images.square().mean().item()
    for fan_in in (784, 256, 128):
        expected.append(fan_in * variance(fan_in) * mean_square)
        mean_square = expected[-1] / 2  # what ReLU lets through
    predicted[name] = expected
    print(name)
    for layer, p, m in zip(
        ("fc1", "fc2", "fc3"), expected, measured[name].T, strict=True
    ):
        print(
            f"  {layer}: predicted {p:10.5f}, measured {m.mean():10.5f} ± {m.std():.5f}"
        )

# %%

fig, ax = plots.subplots(height=3.6)
for name in schemes:
    color = plots.color_of(str(schemes[name][0]))
    for sample in measured[name]:
        ax.plot(range(3), sample, "o", color=color, alpha=0.35, markersize=4)
    ax.plot(range(3), predicted[name], color=color, label=f"{name}: predicted")
ax.plot([], [], "o", color="0.5", alpha=0.5, label="measured, one dot a seed")
ax.set_yscale("log")
ax.set_xticks(range(3), ["fc1", "fc2", "fc3"])
ax.set(
    title="Mean square of the sums, before training (logarithmic)",
    xlabel="layer",
    ylabel="mean square of the pre-activations",
)
ax.legend()
plots.describe(
    ax,
    "Mean square of the pre-activations of the three layers before training. For the interval "
    f"[-0.5, 0.5) it grows from {predicted['Uniform [-0.5, 0.5)'][0]:.0f} to "
    f"{predicted['Uniform [-0.5, 0.5)'][2]:.0f}; for the general rule it shrinks from "
    f"{predicted['General rule'][0]:.3f} to {predicted['General rule'][2]:.4f}. The dots of ten "
    "seeds lie around the predicted lines.",
)

# %%
# The lines are predicted from the formula, the dots are measured, one for each of ten draws of the
# weights (± above is the standard deviation over draws). The formula holds for the average over
# draws. A single network may be off by half in the last layer, where only ten sums are averaged.
# (Both schemes' dots are scattered alike because they are the same draws, differently scaled.)
#
# Two things are worth seeing. With [-0.5, 0.5), the mean square grows at every layer, to hundreds.
# With the general rule it **shrinks**, by a factor of six a layer: 1/3 from the weights, 1/2 from
# ReLU. Over three layers that is little. Over thirty it would be 6³⁰, a number with 24 digits, and
# that is what Xavier's and He's schemes are for; they choose the variance so that the factor is
# close to 1.
#
# Here is the same seen as distributions:

sums, rows = {}, {}
for name, (scheme, _) in schemes.items():
    net = initguide.initialize(initguide.Net(), scheme, seed=0).eval()
    with torch.inference_mode():
        z1 = net.fc1(images[:200].flatten(start_dim=1))
        z2 = net.fc2(z1.relu())
    for layer, z in (("fc1", z1), ("fc2", z2)):
        sums[f"{name}, {layer}"], rows[f"{name}, {layer}"] = z, str(scheme)

plots.plot_histograms(
    sums,
    schemes=rows,
    bins=80,
    title="Pre-activations of two layers, before training",
)

# %%
# On one common axis, the sums under the general rule are a needle at zero next to those of the
# wider weights.
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
# - Bounds of ±1/√n keep it independent of n. They do not keep it constant over layers.
#
# Next: does the *shape* of the distribution matter, or only its size?
# :doc:`Normal </auto_examples/lesson/plot_5_normal>`.
