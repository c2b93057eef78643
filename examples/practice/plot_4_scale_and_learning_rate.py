"""
4. Initial scale and learning rate
==================================

How much does the size of the first weights matter, and how much the learning rate? They cannot be
answered one by one. This page trains a small network from scales and with rates that reach over
four decades each, draws the region that trains, and shows where the schemes with names lie in it.

.. admonition:: What you will learn

   - the region of scales and learning rates that trains, for SGD and for Adam, and why its borders
     run the way they do
   - one number, taken before training, that predicts them: how large a step is beside the weights
   - where zeros, uniform, general rule, Xavier, He and the others lie, and whether a scheme is more
     than its scale

.. meta::
   :keywords: learning rate, initial scale, weight scale, SGD, Adam, divergence, diverged, sharpness,
      edge of stability, largest stable learning rate, hyperparameter map, sweep

.. index:: ! initial scale, ! sharpness, ! largest learning rate
"""

# %%
# Four decades of each
# --------------------
# A network with three matrices, like the lesson's but smaller, on images of 14 × 14 pixels. Its weights
# are He's (:cite:p:`he2015`) times a factor s. In :func:`initguide.sweep` that factor is the setting
# ``scale``, and every setting can be varied against every other:

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide import comparison, plots

STEPS, BATCH, SEEDS = 100, 40, 3
SCALES = np.geomspace(0.01, 100, 17)
RATES = {"sgd": np.geomspace(1e-3, 10, 17), "adam": np.geomspace(1e-5, 0.1, 17)}

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=10)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = nn.AvgPool2d(2)
small = data.transformed(
    lambda x: shrink((x - mean) / std), "standardized, 14 × 14"
)


def network():
    return initguide.mlp([14 * 14, 64, 64, 10])


settings = {"model": network, "epochs": 1, "batch_size": BATCH}
maps = {
    name: initguide.sweep(
        {"scale": SCALES, "learning_rate": rates},
        small,
        scheme="he_normal",
        optimizer=name,
        seeds=SEEDS,
        **settings,
    )
    for name, rates in RATES.items()
}

# %%
# What theory says
# ----------------
# A step moves the weights by Δw. What matters is how much that is *relative* to the weights,
# ρ = ‖Δw‖ / ‖w‖. If ρ is far below 1/T, then T steps cannot change the network much. If ρ is above
# 1, a single step overwrites what was there.
#
# - **SGD** steps by η times the gradient. The output of a ReLU network with three matrices and no
#   biases is proportional to s³, so the gradient of a matrix is proportional to s², and
#   ρ ∝ η s²/s = η s. (The gradient of the loss with respect to the output also depends on s, but only
#   within a factor of four: it goes from that of a network which guesses to that of one which is
#   always sure and mostly wrong.) In a map with logarithmic axes, ρ is constant along lines that
#   *fall*, η ∝ 1/s.
# - **Adam** divides the gradient by its size. Every weight moves by about η, whatever s, and
#   ρ ∝ η/s: lines that *rise*, η ∝ s.
#
# One gradient at the start gives the constant. Here for the mean over the three matrices, on a
# logarithmic scale as all of these are:


def scaled(factor, seed):
    """The network with He's weights times a factor."""
    net = initguide.initialize(network(), "he_normal", seed=seed)
    with torch.no_grad():
        for w in matrices(net):
            w.mul_(factor)
    return net


def matrices(net):
    return [p for p in net.parameters() if p.ndim == 2]


def first_loss(net, images=500):
    return F.cross_entropy(
        net(small.train.images[:images]), small.train.labels[:images]
    )


def rms(tensor):
    return tensor.square().mean().sqrt().item()


def relative_step(name, factor, seed):
    """Size of the first step beside the weights, for a learning rate of 1."""
    net = scaled(factor, seed)
    weights = matrices(net)
    steps = torch.autograd.grad(first_loss(net), weights)
    if name == "adam":
        steps = [step.sign() for step in steps]
    pairs = zip(steps, weights, strict=True)
    return np.exp(np.mean([np.log(rms(s) / rms(w.detach())) for s, w in pairs]))


relative = {  # (scales,) geometric mean over seeds
    name: np.exp(
        np.mean(
            [[np.log(relative_step(name, s, k)) for s in SCALES] for k in range(4)],
            0,
        )
    )
    for name in RATES
}
fig, axes = plots.subplots(2, 1, height=8, sharex=True)
for ax, (name, result) in zip(axes, maps.items(), strict=True):
    plots.plot_map(result, value_range=(10, 85), ax=ax)
    for rho, style in ((1, "--"), (1 / STEPS, ":")):
        line, label = (
            rho / relative[name],
            f"ρ = {'1' if rho == 1 else f'1/{STEPS}'}",
        )
        color = plots.PALETTE[1]
        ax.plot(SCALES, line, style, color=color, lw=2.5, label=label)
    title = "SGD" if name == "sgd" else "Adam"
    ax.set(title=title, xlabel="", ylabel="learning rate (logarithmic)")
axes[1].set_xlabel("scale s of the weights (logarithmic); 1 is He's")
axes[1].legend(loc="lower right")
trained = {name: np.nan_to_num(r.array()) > 0.5 for name, r in maps.items()}
plots.describe(
    fig,
    "Accuracy over scale and learning rate, with lines of equal relative step. With SGD, the region "
    "that trains is a band that falls from scale 0.1 and rate 1 to scale 100 and rate 0.001, below the "
    "line ρ = 1. With Adam it fills the upper left and is bounded by a line that rises. More than "
    f"50 % correct: {trained['sgd'].mean():.0%} of the networks with SGD, {trained['adam'].mean():.0%} "
    "with Adam.",
)

# %%
# Colour is the mean of three seeds. An × means that a run diverged; where all did, there is no colour.
#
# **SGD** trains in a band that falls from the upper left to the lower right. From s = 1 on, the
# dashed line, on which the first step is as large as the weights, is where runs begin to diverge. The
# lower border is parallel to it. To the left of s = 1, the dashed line goes on rising, but no network
# does well above a rate of about 1: to learn anything, weights must grow, and when they are as
# large as He's, the rate is too large for them. There, a network needs ρ = 1/100 at the least, because
# the gradient is small until the weights have grown.
#
# **Adam** has a border only below, and it rises, as predicted, for s > 1. To the left, Adam hardly minds how small the
# weights are. A step that is larger than the weights replaces them by weights of a size that Adam
# chose, η times a few steps, and if that is a sensible size, the network trains.
#
# So the two optimizers answer a wrong scale in opposite ways: weights that are ten times too large ask SGD
# for a *smaller* rate, and Adam for a *larger* one.
#
# The other prediction: sharpness
# -------------------------------
# There is a classical bound for gradient descent. On a parabola of curvature λ it diverges if the
# rate is above 2/λ. For a network, λ is the largest eigenvalue of the Hessian of the loss, its
# :term:`sharpness`. We compute it at the start, by a power iteration with Hessian-vector products,
# and compare both predictions with the largest rate that trained:

PROBED = SCALES[8::2]  # from 1 on


def sharpness(factor, seed, iterations=40):
    """Largest eigenvalue of the Hessian at the start, in absolute value."""
    net = scaled(factor, seed)
    weights = list(net.parameters())
    slopes = torch.autograd.grad(first_loss(net), weights, create_graph=True)
    flat = torch.cat([g.flatten() for g in slopes])
    v = torch.randn(flat.shape, generator=torch.Generator().manual_seed(seed))
    for _ in range(iterations):
        v = v / v.norm()
        product = torch.autograd.grad(flat, weights, v, retain_graph=True)
        v = torch.cat([p.flatten() for p in product])
    return v.norm().item()


def in_words(numbers, digits=".2g"):
    """Geometric mean and 95 % interval over seeds."""
    middle, interval = comparison.mean_interval(np.log(numbers))
    text = f"{np.exp(middle):{digits}}"
    if interval and interval[1] > interval[0]:
        low, high = np.exp(interval)
        text += f" ({low:{digits}} to {high:{digits}})"
    return text


good = trained["sgd"][8::2]  # (scales, rates, seeds)
last = good.shape[1] - 1 - good[:, ::-1].argmax(1)
largest = RATES["sgd"][last]
bounds = [2 / np.array([sharpness(s, k) for k in range(SEEDS)]) for s in PROBED]
steps = [
    1 / np.array([relative_step("sgd", s, k) for k in range(4)]) for s in PROBED
]
initguide.Table(
    {
        "scale": PROBED,
        "largest rate that trained": [in_words(row) for row in largest],
        "rate of ρ = 1": [in_words(row) for row in steps],
        "2/λ": [in_words(row) for row in bounds],
    },
    caption="SGD: the largest learning rate, measured and predicted at the start",
    note=f"Geometric means and 95 % intervals over {SEEDS} seeds, four rates a decade. Trained: more than 50 % "
    "correct.",
    formats={"scale": ".3g"},
)

# %%
# The largest rate that trained falls as the scale grows, by about two decades over two, and at each
# scale it lies between the two predictions. The rate at which ρ = 1 is too large everywhere by a factor of
# several: it marks where runs diverge, not where they still learn. 2/λ is too small at s = 1, by far. What it says
# about a parabola need not hold for a network: a step that is too large throws the network to a place that is
# flatter, and training goes on from there (:cite:t:`lewkowycz2020` call it the *catapult*). At
# large scales, the bound is nearly met.
#
# Where the schemes lie
# ---------------------
# A scheme with a name fills each matrix with weights of some size. Relative to He's weights, that is a
# factor for each matrix; the product of the three decides about the size of the output, so we
# take their geometric mean as the scheme's place on the axis.

SCHEMES = {
    "general rule": "general_rule",
    "default": "default",
    "orthogonal": "orthogonal",
    "LeCun": "lecun_normal",
    "Xavier": "xavier_normal",
    "U[−½, ½)": "uniform(-0.5, 0.5)",
    "U[0, 1)": "uniform",
    "ones": "ones",
    "N(0, 1)": "normal",
}


def size(scheme):
    """Geometric mean of the matrices' root mean squares, over five seeds too."""
    nets = [initguide.initialize(network(), scheme, seed=k) for k in range(5)]
    logs = [np.log(rms(w.detach())) for net in nets for w in matrices(net)]
    return float(np.exp(np.mean(logs)))


places = {
    label: size(scheme) / size("he_normal") for label, scheme in SCHEMES.items()
}
groups = {}
for label, place in {**places, "He": 1.0}.items():
    near = [at for at in groups if abs(np.log(place / at)) < 0.03]
    groups.setdefault(near[0] if near else place, []).append(label)

fig, axes = plots.subplots(1, 2, height=5)
for ax, (name, result) in zip(axes, maps.items(), strict=True):
    plots.plot_map(result, value_range=(10, 85), colorbar=name == "adam", ax=ax)
    for place, labels in groups.items():
        ax.axvline(place, color=plots.PALETTE[1], linewidth=1.5)
        where = {"transform": ax.get_xaxis_transform(), "rotation": 90}
        ax.text(place, 1.02, ", ".join(labels), ha="center", fontsize=8, **where)
    ax.set(
        title="",
        xlim=(0.2, 15),
        xlabel=f"scale, {name.upper() if name == 'sgd' else 'Adam'} (logarithmic)",
    )
axes[1].set_ylabel("")
plots.describe(
    fig,
    "The same maps between scales 0.2 and 15, with the schemes as vertical lines: "
    + "; ".join(f"{label} {place:.2f}" for label, place in places.items())
    + ". All of them cross the region that trains.",
)

# %%
# All of them, from the general rule to N(0, 1), lie within little more than one decade of four, and each crosses the region that
# trains. That is why the lesson's network forgives so much. What a scheme decides is *which* rates work:
# with SGD, N(0, 1) needs rates about ten times as small as He. All zeros lie at s = 0, infinitely far to the left.
#
# But is a scheme nothing but its scale? Every scheme gets a twin: He's weights, multiplied so that the
# geometric means agree. Both are trained at five rates, one a decade, on four seeds.

COARSE, PAIRS = slice(None, None, 4), 4


def learnt(name, **grid):
    """(points, seeds) accuracy, mean over five rates; a run that diverged guesses."""
    result = initguide.sweep(
        {**grid, "learning_rate": RATES[name][COARSE]},
        small,
        scheme="he_normal",
        optimizer=name,
        seeds=PAIRS,
        **settings,
    )
    return np.nan_to_num(result.array(), nan=0.1).mean(1)


table = {"scheme": list(places), "scale": list(places.values())}
for name in RATES:
    schemes = learnt(name, scheme=SCHEMES)
    twins = learnt(name, scale=list(places.values()))
    column = []
    for one, other in zip(schemes, twins, strict=True):
        gap, (low, high) = comparison.mean_interval(100 * (one - other))
        column.append(f"{gap:+.1f} ({low:+.1f} to {high:+.1f})")
    table["SGD" if name == "sgd" else "Adam"] = column
initguide.Table(
    table,
    caption="Accuracy of a scheme minus that of He's weights of the same scale, points",
    note=f"Mean over five learning rates; 95 % interval, paired over {PAIRS} seeds.",
    formats={"scale": ".2f"},
)
