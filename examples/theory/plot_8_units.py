"""
8. Dead and saturated units
===========================

When does a unit learn nothing from its first day on? This page predicts how many units are dead or
saturated from the biases, the depth and the gain, then counts, and trains.

.. index:: ! dead ReLU, ! dying ReLU

.. admonition:: What you will learn

   - which numbers decide how many ReLUs are dead and how many tanh units are saturated
   - what becomes of dead units in training, and what they cost
   - why depth alone kills ReLUs

.. meta::
   :keywords: dead ReLU, dying ReLU, dead unit, saturation, saturated tanh, bias
"""

# %%
# A ReLU passes on what is positive and puts 0 for the rest, with a slope of 0. A unit that gets
# nothing positive, whatever the image, outputs nothing and gets no gradient: not for the weights
# into it, nor for its bias, and none for the weights out of it, which multiply zeros. It is *dead*.
#
# The network is the lesson's, without dropout, under He's weights with variance 2/n, n the
# :term:`fan-in` :cite:p:`he2015`. The inputs are pixels from 0 to 1:

import math
from functools import partial

import torch
from scipy import stats
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, propagation, theory, training

small = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
images = small.train.images[:1000].flatten(1)
network = partial(initguide.Net, dropout=0.0)

# %%
# Biases and dead units
# ---------------------
# # For one image x, a random unit's pre-activation is normal: its mean is the bias b, its variance
# σ² = 2 E[x²]. The unit is *silent* for the image with probability Φ(−b/σ), Φ being the
# distribution function of N(0, 1). It is a :term:`dead unit <dead ReLU>` if it is silent for
# **all** images. How likely that is depends on how alike they are. Were they all the same, silent
# would be dead; were they at right angles, a thousand of them would be a thousand independent
# chances.
#
# Take as a model that any two images have the same cosine c, the average one. A unit's
# pre-activations are then σ (√c u + √(1−c) vᵢ) + b, with normal numbers u, common to all images,
# and vᵢ, one for each. :func:`~initguide.theory.dead_share` gives the probability that all of them
# are at most 0:

unit = nn.functional.normalize(images)
cosine = (unit @ unit.T).mean().item()
sigmas = (2 * images.square().mean(1)).sqrt()
sigma = sigmas.square().mean().sqrt().item()
ratios = [-4, -3, -2, -1, -0.5, 0, 0.5, 1]
silent, dead = [], []
for seed in range(8):
    net = initguide.initialize(network(), "he_normal", seed=seed)
    z = net.fc1(images).detach() / sigma  # the biases are still 0
    silent.append([(z <= -k).float().mean().item() for k in ratios])
    dead.append([(z.amax(0) <= -k).float().mean().item() for k in ratios])

expected = [stats.norm.cdf(-k * sigma / sigmas).mean() for k in ratios]
plots.plot_prediction(
    {"silent for an image": silent, "dead: silent for all": dead},
    {
        "silent for an image": expected,
        "dead: silent for all": theory.dead_share(ratios, cosine, 1000),
    },
    at=ratios,
    log=False,
    title="ReLUs of the first layer, 1,000 images (8 seeds)",
    xlabel="bias / standard deviation of the pre-activations",
    ylabel="share of units",
)

# %%
# Dots: one per seed; dashed: predicted. The silent share is as predicted. The dead share follows a
# model that puts one cosine for all pairs of images, with gaps of up to about a tenth. As the bias
# falls, it rises later than the silent share: to be silent for every image, the one that drives it
# most included, a unit needs a bias far below 0.
#
# Only the ratio b/σ counts, for weights and biases half as large leave the signs of all sums as
# they are. With b = 0 the scale of the weights has no say at all, and hardly a unit is dead.
#
# What becomes of dead units? We start with biases of −σ in both hidden layers and train:


def he_with(module, bias):
    init.he_normal()(module)
    if isinstance(module, nn.Linear) and module.out_features != 10:
        nn.init.constant_(module.bias, bias)


def dead_units(net):
    with torch.no_grad():
        z1 = net.fc1(small.train.images.flatten(1))
        return [z.amax(0) <= 0 for z in (z1, net.fc2(z1.relu()))]


for seed in range(3):
    net = initguide.initialize(network(), partial(he_with, bias=-sigma), seed=seed)
    before = dead_units(net)
    training.train(net, small, epochs=1, seed=seed)
    for i, (old, new) in enumerate(zip(before, dead_units(net), strict=True), 1):
        print(f"fc{i}: {(old & new).sum()} of {old.sum()} dead units stay dead")

# %%
# Dead units of the first layer stay dead: they get no gradient, so their weights stay, and their
# inputs never change. Behind it, some come back, for the layer below them moves, and with it what
# they are given. The price, for biases of one size in both hidden layers:


schemes = {
    f"bias {k:+d} σ": partial(he_with, bias=k * sigma) for k in (-2, -1, 0, 1)
}
initguide.compare_init_weights(schemes, small, model=network, epochs=1, seeds=4)

# %%
# At −2σ the loss stays at ln 10 = 2.303: nothing was learnt. At −σ less was learnt than at 0.
#
# Depth kills units, too, with all biases at 0: from layer to layer inputs become more alike (the
# correlation map, :doc:`page 5 </auto_examples/theory/plot_5_depth>`), and among like inputs a unit
# that is silent for one is silent for all. We repeat the map twenty times, and put its correlations
# into the same formula. If ever all units of a layer are dead, the network is: it gives every image
# the same answer. :cite:t:`lu2019` ask when that happens.


depth, correlation, predicted = 20, cosine, []
for _ in range(depth):
    predicted.append(theory.dead_share(0.0, correlation, 1000))
    correlation = theory.correlation_map(correlation, "relu", math.sqrt(2))


def measurements(activation, scheme, x, seeds):
    """Of networks of 20 hidden layers of 256 units, one per seed."""
    net = initguide.mlp([784] + [256] * depth + [10], activation)
    nets = (initguide.initialize(net, scheme, seed=seed) for seed in range(seeds))
    return [initguide.measure(net, x) for net in nets]


plots.plot_layers(
    measurements(nn.ReLU, "he_normal", images, seeds=4),
    value="dead_fraction",
    kinds=["ReLU"],
    predicted=predicted,
    log=False,
    title="Dead ReLUs by depth: He's weights, zero biases",
)

# %%
# The prediction knows the mean cosine of the images and the map, nothing else. In the first layer
# next to no unit is dead. After twenty layers it is about a quarter, without a bias and without a
# step of training.
#
# Saturated tanh
# --------------
# A tanh is :term:`saturated <saturation>` where it is nearly flat: here, beyond ±0.975, where its
# slope is below a twentieth of the steepest. That is no death, for a small slope lets a small
# gradient through, but it is slow. The :term:`length map` gives the mean square q at which a
# layer's pre-activations settle, and with it the share of them that lies out there. In the last of
# twenty layers:

x = (images[:500] - images.mean()) / images.std()
flat = math.atanh(math.sqrt(1 - propagation.FLAT))
for gain in (1.0, 5 / 3, 3.0):
    found = measurements(nn.Tanh, init.xavier_normal(gain), x, seeds=3)
    shares = [m[f"act{depth}"].saturated_fraction for m in found]
    q = theory.fixed_point("tanh", gain)
    predicted = 2 * stats.norm.sf(flat / math.sqrt(q)) if q else 0.0
    print(f"gain {gain:.3g}: {sum(shares) / 3:.1%}, predicted {predicted:.1%}")

# %%
# With gain 1 nothing is saturated, because the signal fades. With torch's gain for tanh, 5/3, it is
# a few in a hundred, and with gain 3 more than a third.
#
# .. admonition:: Try it
#
#    Does centring the inputs save units from death? Count dead units by bias for centred images.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          x = images - images.mean()
#          unit, sigma_x = nn.functional.normalize(x), math.sqrt(2 * x.square().mean())
#          alike = (unit @ unit.T).mean().item()
#          net = initguide.initialize(network(), "he_normal", seed=0)
#          top = net.fc1(x).detach().amax(0) / sigma_x
#          for k in (-3, -2, -1, 0):
#              share = (top <= -k).float().mean().item()
#              print(f"{k:+d} σ: {share:.3f}, predicted {theory.dead_share(k, alike, 1000):.3f}")
#
# What we learnt
# --------------
# - How many ReLUs are silent is decided by bias/σ; how many are dead, also by how alike the inputs
#   are. Negative biases kill. With zero biases hardly a unit of the first layer is dead.
# - Dead units of the first layer stay dead. Behind it some come back, as the layer below them
#   moves.
# - Depth makes inputs alike, and so kills units even with zero biases: as many as predicted.
# - Tanh at gain 5/3 settles with a few per cent of its units saturated, as the length map says.
#
# How much of all this depends on the seed? :doc:`Finite width
# </auto_examples/theory/plot_9_finite_width>`. What random biases do in PyTorch's default:
# :doc:`page 6 of the lesson </auto_examples/lesson/plot_6_automatic>`.
