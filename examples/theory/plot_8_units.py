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
# :term:`fan-in` :cite:p:`he2015`. The inputs are pixels from 0 to 1.
#
# Biases and dead units
# ---------------------
# For one image x, a random unit's pre-activation is normal: its mean is the bias b, its variance
# σ² = 2 E[x²]. The unit is *silent* for the image with probability Φ(−b/σ), Φ being the
# distribution function of N(0, 1). It is a :term:`dead unit <dead ReLU>` if it is silent for
# **all** images. How likely that is depends on how alike they are: were they all the same, silent
# would be dead.
#
# Take as a model that any two images have the same cosine c, the average one. A unit's
# pre-activations are then σ (√c u + √(1−c) vᵢ) + b, with normal numbers u, common to all images,
# and vᵢ, one for each. :func:`~initguide.theory.dead_share` gives the probability that all of them
# are at most 0:

import math
from functools import partial

import numpy as np
from scipy import stats
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, propagation, theory, training

small = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
images = small.train.images[:1000].flatten(1)
network = partial(initguide.Net, dropout=0.0)
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
by_model = theory.dead_share(ratios, cosine, 1000)
plots.plot_prediction(
    {"silent for an image": silent, "dead: silent for all": dead},
    {"silent for an image": expected, "dead: silent for all": by_model},
    at=ratios,
    log=False,
    title="ReLUs of the first layer, 1,000 images (8 seeds)",
    xlabel="bias / standard deviation of the pre-activations",
    ylabel="share of units",
)

# %%
# To be silent for every image, the one that drives it most included, a unit needs a bias further
# below 0 than to be silent for a typical one.

silent_off = np.abs(np.mean(silent, axis=0) - expected).max()
dead_off = np.abs(np.mean(dead, axis=0) - by_model).max()
dead_at = dict(zip(ratios, np.mean(dead, axis=0), strict=True))
(
    initguide.says(
        silent_off < 0.03,
        "The silent share is as predicted.",
        "The silent share is off its prediction by up to {off:.0%} of the units.",
        off=silent_off,
    )
    + initguide.says(
        dead_off < 0.15,
        "The dead share takes the course of its model, which has one cosine for all pairs of "
        "images, with gaps of up to {off:≤.0f} points: at ``−σ``, say, it predicts {theory:.0%}, "
        "and {dead:.0%} are dead.",
        "The dead share follows its model, which has one cosine for all pairs of images, only "
        "roughly. The gaps are up to {off:.0f} points: at ``−σ`` it predicts {theory:.0%}, and "
        "{dead:.0%} are dead.",
        off=100 * dead_off,
        theory=by_model[ratios.index(-1)],
        dead=dead_at[-1],
    )
    + initguide.says(
        dead_at[-2] > 0.25 and dead_at[0] < 0.01,
        "Negative biases kill: at ``−2σ``, {low:.0%} of the units are dead. At ``0`` hardly a unit "
        "is: {zero:.1%}.",
        "At ``−2σ``, {low:.0%} of the units are dead, and at ``0`` {zero:.1%}.",
        low=dead_at[-2],
        zero=dead_at[0],
    )
)

# %%
# Only the ratio b/σ counts, for weights and biases half as large leave the signs of all sums as
# they are. With b = 0 the scale of the weights has no say at all.
#
# What becomes of dead units? We start with biases of −σ in both hidden layers, train for an epoch
# of 40 mini-batches, and count before and after it who is silent for all 4,000 training images.
# (That is harder than for the thousand of the figure, so fewer are.)


def he_with(module, bias):
    init.he_normal()(module)
    if isinstance(module, nn.Linear) and module.out_features != 10:
        nn.init.constant_(module.bias, bias)


def dead_units(net):
    z1 = net.fc1(small.train.images.flatten(1))
    return [z.amax(0) <= 0 for z in (z1, net.fc2(z1.relu()))]


were, stayed = np.zeros(2, int), np.zeros(2, int)  # in both layers
for seed in range(3):
    net = initguide.initialize(network(), partial(he_with, bias=-sigma), seed=seed)
    before = dead_units(net)
    training.train(net, small, epochs=1, seed=seed)
    for i, (old, new) in enumerate(zip(before, dead_units(net), strict=True)):
        were[i] += old.sum().item()
        stayed[i] += (old & new).sum().item()

# %%

initguide.asks(
    "Biases start so negative that many units are dead. Do they come back in training?",
    [
        "None in the first hidden layer, but some in the second.",
        "Yes, some in both layers: with Adam every weight moves.",
        "No, in neither layer: without a gradient nothing about them can change.",
    ],
    [
        stayed[0] == were[0] and stayed[1] < were[1],
        stayed[0] < were[0],
        (stayed == were).all(),
    ],
    initguide.says(
        stayed[0] == were[0] and stayed[1] < were[1],
        "Of {first} dead units in the first layer all stay dead, and of {second} in the second "
        "{back} come back: what they are *given* changes.",
        "In the second layer, {back} of {second} come back; {first} were dead in the first.",
        first=were[0],
        second=were[1],
        back=were[1] - stayed[1],
    ),
)

# %%
# In the first layer a dead unit gets no gradient, so that its weights stay, and its inputs are the
# images, which never change. Behind it, the layer below moves, and with it what a unit is given.

(
    initguide.says(
        stayed[0] == were[0],
        "All dead units of the first layer stay dead.",
        "Of the dead units of the first layer, {back} came back, which only rounding can do.",
        back=were[0] - stayed[0],
    )
    + initguide.says(
        stayed[1] < were[1],
        "Behind it, some come back: {back} of {dead}.",
        "Behind it, some might have come back, but none did.",
        back=were[1] - stayed[1],
        dead=were[1],
    )
)

# %%
# The price after such an epoch, for biases of one size in both hidden layers:

sizes = {f"bias {k:+d} σ": k * sigma for k in (-2, -1, 0, 1)}
schemes = {name: partial(he_with, bias=bias) for name, bias in sizes.items()}
result = initguide.compare_init_weights(schemes, small, model=network, epochs=1)
result

# %%

cost = result.difference("bias -1 σ", "bias +0 σ")
gift = result.difference("bias +1 σ", "bias +0 σ")
(
    initguide.says(
        initguide.estimate(result.values("bias -2 σ", "valid_loss")).within(
            math.log(10) - 0.01, math.log(10) + 0.01
        ),
        "At ``−2σ`` the loss stays at ``ln 10``: nothing was learnt.",
        "At ``−2σ`` the loss does not stay at ``ln 10``.",
        "Whether anything was learnt at ``−2σ``, these seeds leave open.",
    )
    + initguide.says(
        cost.better(),
        "At ``−σ`` more was learnt than at ``0``: {cost:+.1f} points.",
        "At ``−σ`` less was learnt than at ``0``: {cost:+.1f} points.",
        "Whether less was learnt at ``−σ`` than at ``0``, these seeds cannot tell: {cost:+.1f} "
        "points.",
        key="biases-minus-one-sigma",
        cost=cost,
    )
    + initguide.says(
        gift.better(),
        "At ``+σ`` more was learnt: {gift:+.1f} points.",
        "At ``+σ`` less was learnt: {gift:+.1f} points.",
        "For ``+σ`` these seeds show no difference: {gift:+.1f} points.",
        key="biases-plus-one-sigma",
        gift=gift,
    )
)

# %%
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


found = measurements(nn.ReLU, "he_normal", images, seeds=4)
plots.plot_layers(
    found,
    value="dead_fraction",
    kinds=["ReLU"],
    predicted=predicted,
    log=False,
    title="Dead ReLUs by depth: He's weights, zero biases",
)

# %%
# The prediction knows the mean cosine of the images and the map, nothing else.

dead = [[m[f"act{i + 1}"].dead_fraction for i in range(depth)] for m in found]
by_layer = np.mean(dead, axis=0)
depth_off = np.abs(by_layer - predicted).max()
(
    initguide.says(
        by_layer[0] < 0.01 and by_layer[-1] > 0.1,
        "In the first layer next to no unit is dead. After twenty layers it is {last:.0%}, without "
        "a bias and without a step of training.",
        "In the first layer {first:.0%} of the units are dead, and after twenty layers {last:.0%}.",
        first=by_layer[0],
        last=by_layer[-1],
    )
    + initguide.says(
        depth_off < 0.08,
        "The means of four seeds follow the prediction, with gaps of up to {off:≤.0%} of the "
        "units.",
        "The means of four seeds follow the prediction only roughly, with gaps of up to {off:.0%} "
        "of the units.",
        off=depth_off,
    )
)

# %%
# Saturated tanh
# --------------
# A tanh is :term:`saturated <saturation>` where it is nearly flat: here, beyond ±0.975, where its
# slope is below a twentieth of the steepest. That is no death, for a small slope lets a small
# gradient through, but it is slow. The :term:`length map` gives the mean square q at which a
# layer's pre-activations settle, and with it the share of them that lies out there. In the last of
# twenty layers, for three gains, of which 5/3 is the one that torch gives for tanh:

x = (images[:500] - images.mean()) / images.std()
flat = math.atanh(math.sqrt(1 - propagation.FLAT))
table = {"gain": [1.0, 5 / 3, 3.0], "measured": [], "predicted": []}
for gain in table["gain"]:
    found = measurements(nn.Tanh, init.xavier_normal(gain), x, seeds=3)
    shares = [m[f"act{depth}"].saturated_fraction for m in found]
    q = theory.fixed_point("tanh", gain)
    table["measured"].append(np.mean(shares))
    table["predicted"].append(2 * stats.norm.sf(flat / math.sqrt(q)) if q else 0.0)
initguide.Table(table, caption="Share of the tanh units that are saturated")

# %%

none, few, many = table["measured"]
tanh_off = np.abs(np.subtract(table["measured"], table["predicted"])).max()
(
    initguide.says(
        none < 0.001,
        "With gain ``1`` next to nothing is saturated, because the signal fades.",
        "With gain ``1`` it is {share:.1%}, although the signal fades.",
        share=none,
    )
    + initguide.says(
        0.01 < few < 0.1 and many > 0.25,
        "With ``5/3`` it is a few in a hundred, and with gain ``3`` a large share, {many:.0%}.",
        "With ``5/3`` it is {few:.1%}, and with gain ``3`` {many:.1%}.",
        few=few,
        many=many,
    )
    + initguide.says(
        tanh_off < 0.02,
        "The length map predicts all three.",
        "The length map predicts them only roughly.",
    )
)

# %%
# .. admonition:: Try it
#
#    Does centring the inputs save units from death? Count dead units by bias for centred images.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          x = images - images.mean()
#          sigma_x = math.sqrt(2 * x.square().mean())
#          net = initguide.initialize(network(), "he_normal", seed=0)
#          top = net.fc1(x).detach().amax(0) / sigma_x
#          for k in (-3, -2, -1, 0):
#              print(f"{k:+d} σ: {(top <= -k).float().mean():.1%} are dead")
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        silent_off < 0.03 and dead_off < 0.15,
        "How many ReLUs are silent is decided by bias/σ; how many are dead, also by how alike the "
        "inputs are.",
        "How many ReLUs are silent or dead follows bias/σ and the likeness of the inputs, though "
        "less closely than the model has it.",
    )
    + initguide.says(
        dead_at[-2] > 0.25,
        "Negative biases kill.",
        "Negative biases killed few units here.",
    )
    + initguide.says(
        dead_at[0] < 0.01,
        "With zero biases hardly a unit of the first layer is dead.",
        "With zero biases some units of the first layer are dead.",
        key="zero-biases-hardly-dead",
    ),
    initguide.says(
        stayed[0] == were[0],
        "Dead units of the first layer stay dead.",
        "Dead units of the first layer should stay dead; single ones came back.",
        key="dead-first-layer-stays",
    )
    + initguide.says(
        stayed[1] < were[1],
        "Behind it some come back, as the layer below them moves.",
        "Behind it none came back, either.",
        key="dead-deeper-come-back",
    ),
    initguide.says(
        by_layer[-1] > by_layer[0] + 0.1 and depth_off < 0.08,
        "Depth makes inputs alike, and so kills units even with zero biases: as many as predicted.",
        "Depth makes inputs alike; how many units that kills was predicted only roughly.",
        key="depth-kills-relus",
    ),
    initguide.says(
        few < 0.1 and tanh_off < 0.02,
        "Tanh at gain ``5/3`` settles with {few:.1%} of its units saturated, as the length map "
        "says, and at gain ``3`` with {many:.1%}.",
        "Tanh at gain ``5/3`` came out with {few:.1%} of its units saturated, and at gain ``3`` "
        "with {many:.1%}, other than the length map says.",
        key="tanh-saturation-by-gain",
        few=few,
        many=many,
    ),
)

# %%
# How much of all this depends on the seed? :doc:`Finite width
# </auto_examples/theory/plot_9_finite_width>`. What random biases do in PyTorch's default:
# :doc:`page 6 of the lesson </auto_examples/lesson/plot_6_automatic>`.
