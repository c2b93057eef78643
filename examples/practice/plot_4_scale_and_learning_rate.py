"""
4. Initial scale and learning rate
==================================

How large should the first weights be, and how large the learning rate? Neither question has an
answer without the other. This page trains a small network from scales and with rates that reach
over four decades each, draws the region that trains, and shows where the schemes with names lie.

.. admonition:: What you will learn

   - the region of scales and learning rates that trains, for SGD and for Adam, and why its borders
     run the way they do
   - one number, taken before training, that predicts them: how large a step is beside the weights
   - where zeros, uniform, general rule, Xavier, He and the others lie, and whether a scheme is more
     than its scale

.. meta::
   :keywords: learning rate, initial scale, weight scale, SGD, Adam, divergence, diverged,
      sharpness, edge of stability, largest stable learning rate, hyperparameter map, sweep

.. index:: ! initial scale, ! sharpness, ! largest learning rate
"""

# %%
# Four decades of each
# --------------------
# We take a network with three matrices, like the lesson's but smaller, and images of 14 × 14
# pixels. Its weights are He's (:cite:p:`he2015`) times a factor s. In :func:`initguide.sweep` that
# factor is the setting ``scale``, and every setting can be varied against every other:

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide import experiments, plots, training

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
#   biases is proportional to s³, so the gradient of a matrix is proportional to s², and ρ ∝ η s²/s
#   = η s. (The gradient of the loss with respect to the output also depends on s, but only within
#   a factor of four: it goes from that of a network which guesses to that of one which is always
#   sure and mostly wrong.) In a map with logarithmic axes, ρ is constant along lines that *fall*,
#   η ∝ 1/s.
# - **Adam** divides the gradient by its size. Every weight moves by about η, whatever s, and
#   ρ ∝ η/s: lines that *rise*, η ∝ s.
#
# One gradient at the start gives the constant; we take the geometric mean over the three matrices:


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
        line, color = rho / relative[name], plots.PALETTE[1]
        label = "ρ = 1" if rho == 1 else f"ρ = 1/{STEPS}"
        ax.plot(SCALES, line, style, color=color, lw=2.5, label=label)
    title = "SGD" if name == "sgd" else "Adam"
    ax.set(title=title, xlabel="", ylabel="learning rate (logarithmic)")
axes[1].set_xlabel("scale s of the weights (logarithmic); 1 is He's")
axes[1].legend(loc="lower right")
trained = {name: np.nan_to_num(r.array()) > 0.5 for name, r in maps.items()}
large = SCALES > 0.9
for name, rates in RATES.items():
    rho = relative[name][:, None, None] * rates[:, None]  # (scales, rates, 1)
    rho = np.broadcast_to(rho, trained[name].shape)[large][trained[name][large]]
    low, high = np.quantile(rho, (0.05, 0.95))
    print(f"{name}, s ≥ 1: nine in ten networks that trained had ρ from ", end="")
    print(f"{low:.1g} to {high:.1g}")
plots.describe(
    fig,
    "Accuracy over scale and learning rate, with lines of equal relative step. With SGD, the "
    "region that trains is a band that falls from scale 0.1 and rate 1 to scale 100 and rate "
    "0.001, along the line ρ = 1/100. With Adam it fills the upper left, above a line that rises. "
    f"More than 50 % correct: {trained['sgd'].mean():.0%} of the networks with SGD and "
    f"{trained['adam'].mean():.0%} of those with Adam.",
)

# %%
# Colour is the mean of three seeds. An × means that a run diverged; where all did, there is no
# colour.
#
# **SGD** trains in a band that falls from the upper left to the lower right. From s = 1 on, its
# borders are parallel to the lines of equal ρ: runs diverge from a ρ of some tenths on, and learn
# too little below a few thousandths. To the left of s = 1, the lines go on rising, but no network
# does well above a rate of about 1: to learn anything, the weights must grow, and once they are of
# He's size, such a rate is too large for them. So the two borders meet, and there is an s below
# which no rate trains.
#
# **Adam** has no such corner. For s > 1 its lower border rises, as predicted. To the left, it
# hardly minds how small the weights are. A step that is larger than the weights replaces them by
# weights of Adam's own making, and if a few steps of size η make a sensible scale, the network
# trains. What is left of the upper border is a rate that is too large whatever s is.
#
# So the two optimizers answer a wrong scale in opposite ways: weights that are ten times too large
# ask SGD for a *smaller* rate, and Adam for a *larger* one.
#
# The other prediction: sharpness
# -------------------------------
# There is a classical bound for gradient descent. On a parabola of curvature λ it diverges if the
# rate is above 2/λ. For a network, λ is the largest eigenvalue of the Hessian of the loss, its
# :term:`sharpness`. We compute it at the start, by a power iteration with Hessian-vector products,
# and put both predictions beside the largest rate that trained:

PROBED = SCALES[large][::2]


def sharpness(net, seed=0, iterations=40):
    """Largest eigenvalue of the Hessian, in absolute value."""
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
    middle, interval = experiments.mean_interval(np.log(numbers))
    text = f"{np.exp(middle):{digits}}"
    if interval and interval[1] > interval[0]:
        low, high = np.exp(interval)
        text += f" ({low:{digits}} to {high:{digits}})"
    return text


good = trained["sgd"][large][::2]  # (scales, rates, seeds)
last = good.shape[1] - 1 - good[:, ::-1].argmax(1)
largest = RATES["sgd"][last]
bounds = [
    2 / np.array([sharpness(scaled(s, k)) for k in range(SEEDS)]) for s in PROBED
]
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
    note=f"Geometric means and 95 % intervals over {SEEDS} seeds, four rates a decade. Trained: "
    "more than 50 % correct.",
    formats={"scale": ".3g"},
)

# %%
# The largest rate that trained falls as the scale grows, by somewhat more than two decades over
# two, as both predictions do. The rate at which ρ = 1 is too large by a factor of several at every
# scale. 2/λ is about right for large scales, and far too small for He's: there, rates several times
# above the bound train. How can that be? We train at four rates from s = 1, the first of them
# below the bound, and take the sharpness again afterwards:

table = {"rate": [], "2/rate": [], "λ before": [], "λ after": [], "accuracy": []}
for rate in (0.03, 0.1, 0.3, 0.5):
    nets = [scaled(1, seed) for seed in range(SEEDS)]
    before = [sharpness(net) for net in nets]
    runs = [
        training.train(
            net,
            small,
            epochs=1,
            batch_size=BATCH,
            learning_rate=rate,
            optimizer="sgd",
            seed=seed,
        )
        for seed, net in enumerate(nets)
    ]
    after = [sharpness(net) for net in nets]
    accuracy = np.mean([run.valid_accuracy for run in runs])
    cells = (rate, 2 / rate, in_words(before), in_words(after), accuracy)
    for column, cell in zip(table.values(), cells, strict=True):
        column.append(cell)
initguide.Table(
    table,
    caption=f"Sharpness before and after {STEPS} steps of SGD from He's scale",
    note=f"Geometric means and 95 % intervals over {SEEDS} seeds.",
    formats={"2/rate": ".2g", "accuracy": ".0%", "rate": "g"},
)

# %%
# Below the bound, the sharpness stays about what it was. After training at a rate above it, what
# was too steep for that rate is so no longer: the sharpness has come down to about 2/rate, or
# less. That fits what others have seen: steps that are too large throw the network to a flatter
# place, the *catapult* of :cite:t:`lewkowycz2020`, and training goes on where 2/λ about equals the
# rate, the *edge of stability* of :cite:t:`cohen2021`. So 2/λ at the start is a rate that is safe,
# not the largest that works.
#
# Where the schemes lie
# ---------------------
# A scheme with a name fills each matrix with weights of some size. Relative to He's weights, that
# is a factor for each matrix. The product of the three decides the size of the output, so their
# geometric mean is the scheme's place on the axis.

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
    """Geometric mean of the matrices' root mean squares, over five seeds."""
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
        ax.text(place, 1.02, ", ".join(labels), ha="center", fontsize=7.5, **where)
    label = "SGD" if name == "sgd" else "Adam"
    ax.set(title="", xlim=(0.3, 10), xlabel=f"scale, with {label} (logarithmic)")
axes[1].set_ylabel("")
plots.describe(
    fig,
    "The same maps between scales 0.3 and 10, with the schemes as vertical lines: "
    + "; ".join(f"{label} {place:.2f}" for label, place in places.items())
    + ". Each line crosses the region that trains.",
)

# %%
# All but one lie within little more than one decade of the four, from the general rule to N(0, 1),
# and each line crosses the region that trains. That is why the lesson's network forgives so much.
# What a scheme decides is *which* rates work: with SGD, N(0, 1) needs rates about ten times as
# small as He. The one that is missing is all zeros: it lies at s = 0, infinitely far to the left.
#
# But is a scheme nothing but its scale? We give each a twin: He's weights, multiplied so that the
# geometric means agree. Both are trained at five rates, one a decade, on several seeds.

COARSE, PAIRS = slice(None, None, 4), 6


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
        gap, (low, high) = experiments.mean_interval(100 * (one - other))
        column.append(f"{gap:+.1f} ({low:+.1f} to {high:+.1f})")
    table["SGD" if name == "sgd" else "Adam"] = column
initguide.Table(
    table,
    caption="Accuracy of a scheme minus that of He's weights of the same scale, points",
    note=f"Mean over five learning rates; 95 % interval, paired over {PAIRS} seeds.",
    formats={"scale": ".2f"},
)

# %%
# Where weights are centred on 0, the twin does about as well: the differences are a few points at
# most, and nearly all intervals hold 0. Uniform or normal or orthogonal, with random biases or
# without: it is the scale that counts here. Two schemes are more than their scale. Weights from
# U[0, 1) and ones are of a size that trains, but they cost some twenty points, because they have a
# mean: U[−½, ½), which is U[0, 1) without it, learns as its twin does.
#
# .. admonition:: Try it
#
#    A network with one matrix more has an output ∝ s⁴. What becomes of the slope of SGD's band?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          # The gradient is ∝ s³, so ρ ∝ η s², and equal steps lie on η ∝ 1/s²: twice as steep.
#          found = initguide.sweep(
#              {"scale": [1, 10], "learning_rate": np.geomspace(1e-5, 1, 11)},
#              small,
#              model=lambda: initguide.mlp([14 * 14, 64, 64, 64, 10]),
#              scheme="he_normal",
#              optimizer="sgd",
#              epochs=1,
#              batch_size=BATCH,
#              seeds=2,
#          )
#          trains = np.nan_to_num(found.array()).mean(-1) > 0.5
#          print([found.grid["learning_rate"][np.flatnonzero(row)[-1]] for row in trains])
#          # From s = 1 to 10, the largest rate falls by about a decade more than it did with
#          # three matrices.
#
# What we learnt
# --------------
# - Scale and learning rate belong together. What counts is ρ, the size of a step beside the
#   weights: with SGD and three matrices ρ ∝ η s, with Adam ρ ∝ η/s. From He's scale upwards, the
#   borders of what trains follow these lines.
# - Too large weights want a smaller rate with SGD, a larger one with Adam. Too small ones hardly
#   disturb Adam; with SGD, no rate helps if they are far too small.
# - 2/λ at the start is not the largest rate that works: at He's scale, rates several times above it
#   trained, and the sharpness came down to 2/rate.
# - The named schemes lie within little more than a decade, and those that are centred on 0 learn
#   as He's weights of the same scale do.
# - The rule to take home: **take any scheme that is centred and scales with the fan-in, spend your
#   time on the learning rate, and search it anew when you change the scale or the optimizer.**
#
# With three matrices, a factor a layer is forgiven. With thirty it is not: :doc:`how deep can it
# go? </auto_examples/practice/plot_5_how_deep>` What the width does to the learning rate is in
# :doc:`/auto_examples/practice/plot_2_width_and_learning_rate`.
