"""
4. Initial scale and learning rate
==================================

How large should the first weights be, and how large the learning rate? Neither question has an
answer without the other. This page trains a small network from scales and with rates that reach
over four decades each, draws the region that trains, and shows where the schemes with names lie.

.. index:: ! initial scale, ! sharpness, ! largest learning rate

.. admonition:: What you will learn

   - the region of scales and rates that trains, for SGD and for Adam, and one number that predicts
     its borders before training: how large a step is beside the weights
   - where the schemes lie, and whether a scheme is more than its scale

.. meta::
   :keywords: learning rate, initial scale, weight scale, SGD, Adam, divergence, diverged,
      sharpness, edge of stability, largest stable learning rate, hyperparameter map, sweep
"""

# %%
# Four decades of each
# --------------------
# We take a network with three matrices, like the lesson's but smaller, and images of 14 × 14
# pixels. Its weights are He's (:cite:p:`he2015`) times a factor s. In :func:`initguide.sweep` that
# factor is the setting ``scale``, and every setting can be varied against every other:

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide import experiments, plots, propagation

BATCH, SEEDS = 40, 3
SCALES = np.geomspace(0.01, 100, 17)
RATES = {"sgd": np.geomspace(1e-3, 10, 17), "adam": np.geomspace(1e-5, 0.1, 17)}

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=10)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = nn.AvgPool2d(2)
small = data.transformed(lambda x: shrink((x - mean) / std), "standardized")
x, y = small.train.images[:500], small.train.labels[:500]
network = functools.partial(initguide.mlp, [14 * 14, 64, 64, 10])


def swept(optimizer, seeds=SEEDS, **grid):
    settings = {"model": network, "epochs": 1, "batch_size": BATCH, "seeds": seeds}
    return initguide.sweep(
        grid, small, scheme="he_normal", optimizer=optimizer, **settings
    )


maps = {k: swept(k, scale=SCALES, learning_rate=r) for k, r in RATES.items()}

# %%
# What theory says
# ----------------
# A step moves the weights by Δw. What matters is how much that is *relative* to the weights, ρ =
# ‖Δw‖ / ‖w‖. If ρ is far below 1/T, then T steps cannot change the network much. If ρ is above 1,
# a single step overwrites what was there.
#
# - **SGD** steps by η times the gradient. The output of a ReLU network with three matrices and no
#   biases is proportional to s³, so the gradient of a matrix is proportional to s², and ρ ∝ η s²/s
#   = η s. (The loss adds a factor that depends on s, too, but stays within four.) In a map with
#   logarithmic axes, ρ is constant along lines that *fall*, η ∝ 1/s.
# - **Adam** divides the gradient by its size. Every weight moves by about η, whatever s, and ρ ∝
#   η/s: lines that *rise*, η ∝ s.
#
# One gradient at the start gives the constant; we take the geometric mean over the matrices:


def matrices(net):
    return [p for p in net.parameters() if p.ndim == 2]


def scaled(factor, seed):
    """The network with He's weights times a factor."""
    net = initguide.initialize(network(), "he_normal", seed=seed)
    with torch.no_grad():
        for w in matrices(net):
            w.mul_(factor)
    return net


def relative_step(name, factor):
    """Size of the first step beside the weights, for a learning rate of 1."""
    logs = []
    for seed in range(4):
        net = scaled(factor, seed)
        gradients = torch.autograd.grad(F.cross_entropy(net(x), y), matrices(net))
        for gradient, w in zip(gradients, matrices(net), strict=True):
            step = gradient.sign() if name == "adam" else gradient
            logs.append((step.norm() / w.norm()).log().item())
    return np.exp(np.mean(logs))


fig, axes = plots.subplots(2, 1, height=8, sharex=True)
for ax, (name, result) in zip(axes, maps.items(), strict=True):
    plots.plot_map(result, value_range=(10, 85), ax=ax)
    relative = np.array([relative_step(name, s) for s in SCALES])
    look = {"color": plots.PALETTE[1], "lw": 2.5}
    ax.plot(SCALES, 1 / relative, "--", label="ρ = 1", **look)
    ax.plot(SCALES, 0.01 / relative, ":", label="ρ = 1/100", **look)
    ax.set(
        title={"sgd": "SGD", "adam": "Adam"}[name],
        xlabel="",
        ylabel="learning rate (logarithmic)",
    )
axes[1].set_xlabel("scale s of the weights (logarithmic); 1 is He's")
axes[1].legend(loc="lower right")

# %%
# Colour is the mean of three seeds. An × means that a run diverged; where all did, there is no
# colour. **SGD** trains in a band that falls. From s = 1 on, its borders are parallel to the lines
# of equal ρ: runs diverge from a ρ of some tenths on, and learn too little below a few
# thousandths. To the left, no network does well above a rate of about 1: to learn anything, the
# weights must grow, and once they are of He's size, such a rate is too large for them. So the
# borders meet, and there is an s below which no rate trains.
#
# **Adam** has no such corner. For s > 1 its lower border rises, as predicted. To the left, it
# hardly minds how small the weights are: a step that is larger than the weights replaces them by
# weights of Adam's own making. So the two answer a wrong scale in opposite ways: weights that are
# ten times too large ask SGD for a *smaller* rate, and Adam for a *larger* one.
#
# The other prediction: sharpness
# -------------------------------
# There is a classical bound for gradient descent. On a parabola of curvature λ it diverges if the
# rate is above 2/λ. For a network, λ is the largest eigenvalue of the loss's Hessian, its
# :term:`sharpness`. At the start, from He's scale:

bounds = [2 / propagation.sharpness(scaled(1, k), x, y) for k in range(SEEDS)]
print(f"2/λ from {min(bounds):.2f} to {max(bounds):.2f}, over {SEEDS} seeds")

# %%
# In the map, at s = 1, SGD trains at rates several times above that. How can it? Steps that are
# too large throw the network to a flatter place, the *catapult* of :cite:t:`lewkowycz2020`, and
# training goes on where 2/λ about equals the rate, the *edge of stability* of :cite:t:`cohen2021`:
# see the exercise. So 2/λ at the start is a safe rate, not the largest that works.
#
# Where the schemes lie
# ---------------------
# Each scheme fills the three matrices with weights of some size. Relative to He's, the geometric
# mean of the three is its place on the axis. But is a scheme nothing but its scale? We give each a
# twin, He's weights of the same scale, and train both by SGD at five rates, one per decade.

SCHEMES = ["general_rule", "default", "orthogonal", "lecun_normal", "xavier_normal"]
SCHEMES += ["uniform(-0.5, 0.5)", "uniform", "ones", "normal"]
sizes = []
for scheme in [*SCHEMES, "he_normal"]:
    nets = [initguide.initialize(network(), scheme, seed=k) for k in range(5)]
    stds = [w.square().mean().sqrt().item() for net in nets for w in matrices(net)]
    sizes.append(np.exp(np.mean(np.log(stds))))
places = [size / sizes[-1] for size in sizes[:-1]]
accuracies = []
for grid in ({"scheme": SCHEMES}, {"scale": places}):
    result = swept("sgd", 6, **grid, learning_rate=RATES["sgd"][::4])
    accuracies.append(np.nan_to_num(result.array(), nan=0.1).mean(1))
gaps = 100 * (accuracies[0] - accuracies[1])  # (schemes, seeds)
means, intervals = zip(*map(experiments.mean_interval, gaps), strict=True)
words = [f"{low:+.1f} to {high:+.1f}" for low, high in intervals]
initguide.Table(
    {
        "scheme": SCHEMES,
        "scale": places,
        "difference": means,
        "95 % interval": words,
    },
    caption="SGD: accuracy of a scheme minus that of He's weights of its scale, points",
    note="Mean over five rates, paired over 6 seeds. A run that diverged guesses.",
    formats={"scale": ".2f", "difference": "+.1f"},
)

# %%
# All lie within little more than one of the map's four decades, where some rate trains: that is
# why the lesson's network forgives so much. (Zeros lie infinitely far to the left.) What a scheme
# decides is *which* rates work. Where weights are centred on 0, the twin does about as well: it is
# the scale that counts. U[0, 1) and ones are of a size that trains, but cost some twenty points,
# because they have a mean: U[−½, ½), which is U[0, 1) without it, learns as its twin does.
#
# .. admonition:: Try it
#
#    Train He's network at rates above the bound, and take the sharpness again afterwards.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          for rate in (0.03, 0.1, 0.3, 0.5):
#              how = {"epochs": 1, "batch_size": BATCH, "optimizer": "sgd", "learning_rate": rate}
#              net = scaled(1, 0)
#              run = initguide.training.train(net, small, seed=0, **how)
#              after = propagation.sharpness(net, x, y)
#              print(f"2/rate {2 / rate:.1f}, λ {after:.1f}, {run.valid_accuracy:.0%} correct")
#          # Below the bound, the sharpness stays about what it was. Above it, what was too steep
#          # for the rate is so no longer: the sharpness has come down to about 2/rate, or less.
#
# What we learnt
# --------------
# - Scale and learning rate belong together. What counts is ρ, the size of a step beside the
#   weights: with SGD and three matrices ρ ∝ η s, with Adam ρ ∝ η/s. Too large weights want a
#   smaller rate with SGD, a larger one with Adam. Too small ones hardly disturb Adam; with SGD, no
#   rate helps if they are far too small.
# - 2/λ at the start is not the largest rate that works: at He's scale, rates several times above
#   it train, because training moves to flatter places.
# - The named schemes lie within little more than a decade, and those that are centred on 0 learn
#   as He's weights of the same scale do.
# - The rule to take home: **take any scheme that is centred and scales with the fan-in, spend your
#   time on the learning rate, and search it anew when you change the scale or the optimizer.**
#
# With thirty matrices, less is forgiven: :doc:`how deep can it go?
# </auto_examples/practice/plot_5_how_deep>` The width matters, too:
# :doc:`/auto_examples/practice/plot_2_width_and_learning_rate`. And from near, the border between
# learning and diverging is :doc:`no line </auto_examples/practice/plot_6_fractal>`.
