"""
8. Dead and saturated units
===========================

When does a unit learn nothing from its first day on? This page predicts how many units are dead or
saturated from the biases, the depth and the gain, then counts, and trains.

.. admonition:: What you will learn

   - which numbers decide how many ReLUs are dead and how many tanh units are saturated
   - what becomes of dead units in training, and what they cost
   - why depth alone kills ReLUs

.. meta::
   :keywords: dead ReLU, dying ReLU, dead unit, saturation, saturated tanh, bias

.. index:: ! dead ReLU, ! dying ReLU
"""

# %%
# The network is the lesson's, under He's weights with variance 2/n, n the :term:`fan-in`
# (:cite:p:`he2015`), and the inputs are pixels from 0 to 1:

import math

import torch
from scipy import stats

import initguide
from initguide import initializers as init
from initguide import plots, propagation, theory, training

data = initguide.fashion_mnist()
small = data.subset(
    train=min(5000, len(data.train)), valid=min(2000, len(data.valid)), test=1000
)
images = small.train.images[:1000]
mean, std = small.train.images.mean().item(), small.train.images.std().item()


def network():
    return initguide.Net(dropout=0.0)


# %%
# Biases and dead units
# ---------------------
# For one image x, a random unit's pre-activation is normal: its mean is the bias b, its variance
# σ² = 2 E[x²]. The unit is *silent* for the image with probability Φ(−b/σ). It is a
# :term:`dead unit <dead ReLU>` if it is silent for **all** images. How likely that is depends on
# how alike they are. Take as a model that any two images have the same cosine c, the average one. A
# unit's pre-activations are then σ (√c u + √(1−c) vᵢ) + b, with u common to all images:


def dead_share(threshold, c, count):
    """P(every z ≤ threshold) for that many N(0, 1) with correlations c in [0, 1)."""
    u = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    z = (threshold - math.sqrt(c) * u) / math.sqrt(1 - c)
    return torch.trapezoid(
        torch.special.ndtr(z) ** count * torch.exp(-(u**2) / 2), u
    ).item() / math.sqrt(2 * math.pi)


def mean_cosine(x):
    total = torch.nn.functional.normalize(x.flatten(1)).sum(0).square().sum().item()
    return (total - len(x)) / (len(x) * (len(x) - 1))


cosine, sigmas = (
    mean_cosine(images),
    images.flatten(1).square().mean(1).mul(2).sqrt(),
)
sigma = sigmas.square().mean().sqrt().item()
ratios = [-4, -3, -2, -1, -0.5, 0, 0.5, 1]
silent, dead, rescaled = [], [], []  # one row a seed
for seed in range(8):
    net = initguide.initialize(initguide.Net(), "he_normal", seed=seed)
    with torch.no_grad():
        z = net.fc1(images.flatten(1))  # the biases are still 0
    top = z.amax(0)
    silent.append([(z + k * sigma <= 0).float().mean().item() for k in ratios])
    dead.append([(top + k * sigma <= 0).float().mean().item() for k in ratios])
    # The same ratios by smaller weights: divided by |k|, with a bias of −σ.
    rescaled.append([(top / -k <= sigma).float().mean().item() for k in ratios[:4]])
expected_silent = [stats.norm.cdf(-k * sigma / sigmas).mean() for k in ratios]
expected_dead = [dead_share(-k, cosine, len(images)) for k in ratios]
silent, dead, rescaled = (torch.tensor(rows).T for rows in (silent, dead, rescaled))

ax = plots.plot_prediction(
    {"silent for an image": silent.T, "dead: silent for all": dead.T},
    {"silent for an image": expected_silent, "dead: silent for all": expected_dead},
    at=ratios,
    log=False,
    title=f"ReLUs of the first layer, {len(images):,} images (8 seeds)",
    xlabel="bias / standard deviation of the pre-activations",
    ylabel="share of units",
)
ax.plot(ratios[:4], rescaled.mean(1), "x", color=plots.PALETTE[2], ms=10)

# %%
# Dots: one per seed; dashed: predicted. The silent share is as predicted. The dead share follows a
# model that puts one cosine for half a million pairs of images, with gaps of up to about a tenth.
# The crosses are the same ratios reached by smaller weights: only b/σ counts. With b = 0 the scale
# of the weights has no say at all, for ReLU asks for signs alone, and hardly a unit is dead.
#
# What becomes of dead units? We start with biases of −σ in both hidden layers and train:


def he_with(bias):
    fill = init.he_normal()

    def weights_init(module):
        fill(module)
        if isinstance(module, torch.nn.Linear) and module.out_features != 10:
            torch.nn.init.constant_(module.bias, bias)

    return weights_init


def dead_units(net):
    with torch.no_grad():
        z1 = net.fc1(small.train.images.flatten(1))
        return [z.amax(0) <= 0 for z in (z1, net.fc2(z1.relu()))]


for seed in range(3):
    net = initguide.initialize(network(), he_with(-sigma), seed=seed)
    before, weights = dead_units(net), net.fc1.weight.clone()
    training.train(net, small, epochs=1, seed=seed)
    for name, old, new in zip(("fc1", "fc2"), before, dead_units(net), strict=True):
        print(
            f"{name}: {old.sum():3} dead, {(old & new).sum():3} of them after an epoch"
        )
    same = torch.equal(weights[before[0]], net.fc1.weight[before[0]])
    print("weights of the dead units in fc1 unchanged:", same)

# %%
# Dead units of the first layer stay dead, and their weights are the same to the last bit: no
# gradient, and inputs that never change. Behind it, some come back, for the layer below them moves.
# The price:

biases = initguide.compare_init_weights(
    {f"bias {k:+d} σ": he_with(k * sigma) for k in (-2, -1, 0, 1)},
    small,
    model=network,
    epochs=1,
    seeds=4,
)
biases

# %%
for k in (-2, -1, 1):
    print(biases.difference(f"bias {k:+d} σ", "bias +0 σ", "valid_loss"))

# %%
# A positive difference is worse. At −2σ the loss stays at ln 10 = 2.303: nothing was learnt.
#
# Depth kills units, too, with all biases at 0: from layer to layer inputs become more alike (the
# correlation map, :doc:`page 5 </auto_examples/theory/plot_5_depth>`), and among like inputs a unit
# that is silent for one is silent for all. :cite:t:`lu2019` ask when that takes whole networks.

depth = 20
correlation, expected_dead = cosine, []
for _ in range(depth):
    expected_dead.append(dead_share(0.0, correlation, len(images)))
    correlation = theory.correlation_map(correlation, "relu", math.sqrt(2))


def measurements(activation, scheme, x, seeds):
    """Measure networks of 20 hidden layers of 256 units, one a seed."""
    nets = [
        initguide.mlp([784] + [256] * depth + [10], activation)
        for _ in range(seeds)
    ]
    return [
        propagation.measure(initguide.initialize(net, scheme, seed=seed), x)
        for seed, net in enumerate(nets)
    ]


plots.plot_layers(
    measurements(torch.nn.ReLU, "he_normal", images, seeds=4),
    value="dead_fraction",
    kinds=["ReLU"],
    predicted=expected_dead,
    log=False,
    title="Dead ReLUs by depth: He's weights, zero biases",
)

# %%
# The prediction knows the mean cosine of the images and the map, nothing else.
#
# Saturated tanh
# --------------
# A tanh is :term:`saturated <saturation>` where it is nearly flat: here, beyond ±0.975, where its
# slope is below a twentieth of the steepest. The length map gives the mean square q of each layer's
# pre-activations, and with it the share of them that lies out there:

x = (images[:500] - mean) / std
flat = math.atanh(math.sqrt(1 - propagation.FLAT))
measured, predicted = {}, {}
for label, gain in (("gain 1", 1.0), ("gain 5/3", 5 / 3), ("gain 3", 3.0)):
    measured[label] = measurements(
        torch.nn.Tanh, init.xavier_normal(gain), x, seeds=3
    )
    q = gain**2 * 2 * 784 / (784 + 256) * x.square().mean().item()
    predicted[label] = []
    for _ in range(depth):
        predicted[label].append(2 * stats.norm.sf(flat / math.sqrt(q)))
        q = theory.length_map(q, "tanh", gain)
plots.plot_layers(
    measured,
    value="saturated_fraction",
    kinds=["Tanh"],
    predicted=predicted,
    log=False,
    title="Saturated tanh units by depth: Xavier's weights times a gain",
)

# %%
# In the last of the twenty layers:

for label, every in measured.items():
    last = [m[f"act{depth}"].saturated_fraction for m in every]
    print(
        f"{label}: {sum(last) / len(last):.1%}, predicted {predicted[label][-1]:.1%}"
    )

# %%
# With gain 1 saturation fades, as the signal does. With torch's gain for tanh, 5/3, it settles at a
# few units in a hundred, after more in the first layers. With gain 3 it is more than a third.
#
# .. admonition:: Try it
#
#    Does centring the inputs save units from death? Count dead units by bias for centred images.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          x = (images - mean).flatten(1)
#          sigma_x, c = math.sqrt(2 * x.square().mean()), mean_cosine(x)
#          net = initguide.initialize(initguide.Net(), "he_normal", seed=0)
#          with torch.no_grad():
#              top = net.fc1(x).amax(0)
#          for k in (-3, -2, -1, 0):
#              share = (top + k * sigma_x <= 0).float().mean()
#              print(f"{k:+d} σ: {share:.3f}, predicted {dead_share(-k, c, len(x)):.3f}")
#
# What we learnt
# --------------
# - Silent and dead ReLUs are decided by bias/σ and by how alike the inputs are. Negative biases
#   kill; with zero biases, depth does. Dead units of the first layer stay dead.
# - Tanh at gain 5/3 settles with a few per cent of its units saturated, as the length map says.
#
# How much of all this depends on the seed?
# :doc:`Finite width </auto_examples/theory/plot_9_finite_width>`. What random biases do in
# PyTorch's default: :doc:`page 6 of the lesson </auto_examples/lesson/plot_6_automatic>`.
