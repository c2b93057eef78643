"""
5. Depth: vanishing, exploding, and the edge of chaos
=====================================================

Why do some very deep networks not learn at all? A signal and a gradient pass layer after layer of
the same kind, and what one layer does to them happens fifty times over. This page predicts from two
numbers, the spreads of weights and biases, what fifty layers will do, and measures it: for sizes,
for the similarity of two images, and for gradients.

.. admonition:: What you will learn

   - two maps that tell what a layer does to the length of a signal and to the similarity of two
   - where gradients vanish, where they explode, and the line between, for tanh and for ReLU
   - how many layers deep a signal gets, and what :term:`dropout` does to that

.. meta::
   :keywords: vanishing gradients, exploding gradients, edge of chaos, mean field, phase diagram,
      depth scale, deep networks, critical initialization, dropout
"""

# %%
# One draw for many networks
# --------------------------
# In a layer with n inputs, weights are σ_w/√n times draws from N(0, 1), and biases σ_b times such
# draws. So one set of draws serves every pair (σ_w, σ_b): we send a few images, scaled to mean 0
# and variance 1, through a whole row of networks at once.

import functools
import math

import numpy as np
import torch
from torch import nn

import initguide
from initguide import plots, theory

data = initguide.fashion_mnist()
images = data.train.images[:8].flatten(start_dim=1).double()
images = (images - images.mean(1, keepdim=True)) / images.std(1, keepdim=True)
DEPTH, WIDTH, SEEDS, SIGMA_B = 50, 300, range(4), 0.3


def forward(x, phi, sigma_w, sigma_b, seed, *, depth=DEPTH, dropout=0.0):
    """(networks, inputs, units) pre-activations of each layer."""
    draws = torch.Generator().manual_seed(seed)
    w, b = (torch.as_tensor(s).to(x).reshape(-1, 1, 1) for s in (sigma_w, sigma_b))
    layers = []
    for _ in range(depth):
        n = x.shape[-1]
        weights = torch.randn(WIDTH, n, generator=draws, dtype=x.dtype) / n**0.5
        biases = torch.randn(WIDTH, generator=draws, dtype=x.dtype)
        layers.append((w * (x @ weights.T) + b * biases).requires_grad_())
        kept = torch.rand(layers[-1].shape[1:], generator=draws) >= dropout
        x = phi(layers[-1]) * kept / (1 - dropout)
    return layers


def gradients(layers):
    """(layers, networks) mean square of a random gradient, relative to the last layer."""
    draws = torch.Generator().manual_seed(0)
    last = torch.randn(
        layers[-1].shape[1:], generator=draws, dtype=layers[-1].dtype
    )
    found = torch.autograd.grad((layers[-1] * last).sum(), layers)
    squares = torch.stack([g.square().mean((1, 2)) for g in found]).numpy()
    return squares / squares[-1]


def correlation(layers, a=0, b=1):
    """(layers, networks) correlation of two of the inputs."""
    cosine = functools.partial(nn.functional.cosine_similarity, dim=-1)
    return torch.stack([cosine(z[:, a], z[:, b]) for z in layers]).detach().numpy()


# %%
# The two maps
# ------------
# In a wide layer, pre-activations are close to normal, and all that matters is their mean square q,
# the *length*, and for two inputs their correlation c. This is the :term:`mean field` picture of
# :cite:t:`poole2016`. A layer turns q and c into
#
# .. math:: q' = \sigma_w^2 \, E[\varphi(\sqrt q z)^2] + \sigma_b^2, \qquad
#    c' = \left(\sigma_w^2 \, E[\varphi(u) \varphi(v)] + \sigma_b^2\right) / q' .
#
# We draw both maps for tanh, σ_b = 0.3 and three values of σ_w, and measure steps from one layer to
# the next: of images of several lengths, and of pairs mixed from two images.

edge = theory.critical_sigma_w("tanh", SIGMA_B)
sigmas = {"order": 0.8, "edge": edge, "chaos": 2.5}
w, b = list(sigmas.values()), [SIGMA_B] * len(sigmas)
colors = plots.PALETTE[: len(w)]

fig, axes = plots.subplots(1, 2, height=3.9)
q, c = np.linspace(0, 4, 41), np.linspace(-0.2, 1, 31)
for (label, sigma), color in zip(sigmas.items(), colors, strict=True):
    lines = (
        theory.length_map(q, "tanh", sigma, SIGMA_B),
        theory.correlation_map(c, "tanh", sigma, SIGMA_B),
    )
    for ax, x, line in zip(axes, (q, c), lines, strict=True):
        ax.plot(x, line, color=color, label=f"{label}, σ_w = {sigma:.2f}")
for seed in SEEDS:
    for share in (0.3, 0.7, 1.0):
        layers = forward(2 * share * images, torch.tanh, w, b, seed, depth=5)
        steps = torch.stack([z.detach().square().mean((1, 2)) for z in layers])
        pair = torch.stack([images[0], (1 - share) * images[0] + share * images[1]])
        pair /= pair.square().mean(1, keepdim=True).sqrt()
        alike = correlation(forward(pair, torch.tanh, w, b, seed, depth=8))[3:]
        for ax, found in zip(axes, (steps.numpy(), alike), strict=True):
            for column, color in zip(found.T, colors, strict=True):
                ax.plot(column[:-1], column[1:], ".", color=color, alpha=0.6)
for ax, name in zip(axes, ("mean square", "correlation"), strict=True):
    ax.axline((0, 0), slope=1, color="0.5", linewidth=1)
    ax.set(xlabel=f"{name} in a layer", ylabel="in the next layer")
axes[0].set(title="Length map", xlim=(0, 4), ylim=(0, 6))
axes[1].set(title="Correlation map", xlim=(-0.2, 1.02), ylim=(-0.2, 1.02))
axes[0].legend(loc="upper left")
plots.describe(
    fig,
    f"Length map and correlation map of tanh for σ_w of {w[0]:.2f}, {w[1]:.2f} and {w[2]:.2f}: "
    "predicted lines, with measured steps as dots scattered along them. All correlation maps meet "
    "the diagonal at 1; only that of the largest σ_w crosses it below.",
)

# %%
# Lines are predicted, dots are measured in four networks each. Lengths move to where the line
# crosses the diagonal, and do so within a few layers.
#
# The right panel has the news. All lines end in the corner: two equal images stay equal. What
# counts is the slope there, called χ (:term:`chi`). In *order*, χ < 1: all pairs of images become
# more alike with each layer. In *chaos*, χ > 1: even nearly equal images come apart, until they
# reach the crossing. Between them, at χ = 1, lies the :term:`edge of chaos`.
#
# Fifty layers
# ------------
# The same χ is the factor of a gradient's mean square, on its way back through a layer
# :cite:p:`schoenholz2017`. So order means vanishing gradients, and chaos exploding ones:


def draw(ax, measured, predicted, color, label):
    """Mean over seeds with a band from the smallest to the largest; prediction dashed."""
    at = np.arange(1, DEPTH + 1)
    ax.fill_between(
        at, *np.quantile(measured, (0, 1), axis=0), color=color, alpha=0.25
    )
    ax.plot(at, np.mean(measured, axis=0), color=color, label=label)
    ax.plot(at, predicted, "--", color="0.2", linewidth=1.2)


def iterate(step, start):
    """What repeating a step makes of a number, layer by layer."""
    numbers = [start]
    while len(numbers) < DEPTH:
        numbers.append(float(step(numbers[-1])))
    return numbers


runs = [forward(images, torch.tanh, w, b, seed) for seed in SEEDS]
alike = np.array([correlation(layers) for layers in runs])
grads = np.array([gradients(layers) for layers in runs])
fig, (left, right) = plots.subplots(1, 2, height=3.9)
for i, (label, sigma) in enumerate(sigmas.items()):
    step = functools.partial(
        theory.correlation_map, phi="tanh", sigma_w=sigma, sigma_b=SIGMA_B
    )
    draw(
        left, alike[..., i], iterate(step, alike[:, 0, i].mean()), colors[i], label
    )
    powers = theory.chi("tanh", sigma, SIGMA_B) ** np.arange(DEPTH)[::-1]
    draw(right, grads[..., i], powers, colors[i], label)
left.set(title="Similarity of two images", xlabel="layer", ylabel="correlation")
right.set(title="Gradients on their way back", xlabel="layer", yscale="log")
right.set_ylabel("mean square / that in the last layer,\nlogarithmic scale")
left.legend()
ends = [
    f"{alike[:, -1, i].mean():.2f} and {grads[:, 0, i].mean():.1g}"
    for i in range(3)
]
plots.describe(
    fig,
    "Correlation of two images in the last of fifty layers, and mean square of the gradient in the "
    f"first relative to the last: in order {ends[0]}, at the edge {ends[1]}, in chaos {ends[2]}. "
    "Dashed predictions run along the measured bands.",
)

# %%
# Dashed: predicted. Lines and bands: mean and range of four draws of the weights. In order, what
# told two images apart is gone after ten layers. In chaos, the gradient is larger in the first
# layer than in the last by many orders of magnitude. At the edge, neither happens.
#
# The phase diagram
# -----------------
# Now the whole plane. The colour is measured: the logarithm of the factor by which a layer changes
# the mean square of the gradient, from layer 50 back to 20. Circles mark where the measured factor
# is 1, one for each draw; the dashed line is where theory puts χ = 1
# (:func:`~initguide.theory.critical_sigma_w`).

spreads_b = np.linspace(0, 1, 9)
panels = {
    "tanh": (torch.tanh, np.linspace(0.6, 2.6, 21)),
    "ReLU": (torch.relu, np.linspace(0.8, 2.0, 21)),
}
fig, axes = plots.subplots(1, 2, height=4.1, sharey=True)
for ax, (label, (phi, spreads_w)) in zip(axes, panels.items(), strict=True):
    name = label.lower()
    grid_b, grid_w = np.meshgrid(spreads_b, spreads_w, indexing="ij")
    factors = []
    for seed in SEEDS:
        layers = forward(
            images[:4].float(), phi, grid_w.ravel(), grid_b.ravel(), seed
        )
        factors.append(
            np.log(gradients(layers)[19]).reshape(grid_w.shape) / (DEPTH - 20)
        )
    mesh = ax.pcolormesh(
        grid_w, grid_b, np.mean(factors, 0), cmap="BrBG", vmin=-0.8, vmax=0.8
    )
    edges = np.array([[np.interp(0, row, spreads_w) for row in f] for f in factors])
    predicted = theory.critical_sigma_w(name, spreads_b)
    ax.plot(edges.T, spreads_b, "o", color=plots.PALETTE[5], markerfacecolor="none")
    ax.plot(predicted, spreads_b, "--", color=plots.PALETTE[4])
    ax.set(title=f"{label}: gradient's factor a layer", xlabel="σ_w")
    ax.grid(visible=False)
    off = np.abs(edges.mean(0) / predicted - 1)
    print(f"{label}: the edge is where predicted to within {off[1:].max():.1%}")
    print(f"  for the eight σ_b above 0, and {off[0]:.1%} off for σ_b = 0")
axes[0].set_ylabel("σ_b")
fig.colorbar(mesh, ax=axes, label="natural logarithm of the factor")
plots.describe(
    fig,
    "Maps over σ_w and σ_b of the gradient's factor a layer: vanishing left, exploding right. "
    "Measured circles lie along the predicted edges: for tanh from σ_w = 1 at σ_b = 0 to "
    f"{theory.critical_sigma_w('tanh', 1.0):.2f} at σ_b = 1; for ReLU upright at √2.",
)

# %%
# Measured and predicted edge agree. The exception is tanh without biases: there the length fades
# like 1/depth at the edge, and even after fifty layers it is not close to its limit, for which χ is
# computed. For ReLU the edge is √2 whatever the biases: He's variance of 2/n.
#
# Depth scales
# ------------
# If a layer multiplies something by χ, it takes ξ = 1/abs(ln χ) layers to change it by a factor of
# e: the :term:`depth scale`. In order, gradients *and* the difference between two images should
# share one ξ. We measure both, from layer 10 on:

spreads_w = np.linspace(0.6, 2.4, 19)
scales = {"gradients": [], "difference of two images": []}
for seed in SEEDS:
    layers = forward(
        images[:4], torch.tanh, spreads_w, 0 * spreads_w + SIGMA_B, seed
    )
    scales["gradients"].append((DEPTH - 10) / np.abs(np.log(gradients(layers)[9])))
    gap = np.where(spreads_w < edge, 1 - correlation(layers), np.nan)
    last = np.maximum((gap > 1e-11).sum(0), 12) - 1  # before it drowns in rounding
    drop = np.log(gap[9] / gap[last, np.arange(len(last))])
    scales["difference of two images"].append((last - 9) / np.abs(drop))

fig, ax = plots.subplots()
fine = np.linspace(0.6, 2.4, 200)
ax.plot(
    fine,
    theory.depth_scale("tanh", fine, SIGMA_B),
    "--",
    color="0.2",
    label="predicted",
)
for (label, found), look in zip(scales.items(), ("o", "s"), strict=True):
    low, middle, high = np.quantile(found, (0, 0.5, 1), axis=0)
    bars = (middle - low, high - middle)
    ax.errorbar(
        spreads_w, middle, bars, fmt=look, markersize=5, capsize=3, label=label
    )
ax.axvline(edge, color="0.6", linewidth=1)
ax.set(title="Depth scale of tanh networks, σ_b = 0.3", xlabel="σ_w", yscale="log")
ax.set(ylabel="layers for a factor of e,\nlogarithmic scale", ylim=(0.5, 300))
ax.legend()
ends = theory.depth_scale("tanh", np.array([0.6, 2.4]), SIGMA_B)
plots.describe(
    ax,
    f"Depth scale against σ_w: predicted to rise from {ends[0]:.1f} layers at 0.6 to a pole at the "
    f"edge, {edge:.2f}, and to fall to {ends[1]:.1f} at 2.4. Measured points lie on the curve, "
    "with long bars next to the pole.",
)

# %%
# Points are medians of four draws, bars the range. Next to the edge, fifty layers are too few to
# measure a scale of hundreds. Away from it, both kinds of points sit on one line.
#
# What dropout does
# -----------------
# :term:`Dropout <dropout>` leaves out other units each time, so even one image shown twice does not
# stay equal to itself: the corner of the correlation map is no fixed point any more, and the edge
# is gone :cite:p:`schoenholz2017`. With rate p, E[φ²] grows by 1/(1 - p), and with it the length;
# the masks are independent, so E[φ(u) φ(v)] does not grow.

RATE = 0.1
q_star = theory.fixed_point("tanh", edge / math.sqrt(1 - RATE), SIGMA_B)
kept = theory.length_map(q_star, "tanh", edge, SIGMA_B) / q_star


def with_dropout(c):
    """The correlation map of two passes with masks of their own."""
    return kept * theory.correlation_map(c, "tanh", edge, SIGMA_B, q=q_star)


runs = [
    forward(images[[0, 0, 1]], torch.tanh, edge, SIGMA_B, seed, dropout=RATE)
    for seed in range(8)
]
fig, ax = plots.subplots()
for label, other in (("one image, shown twice", 1), ("two images", 2)):
    found = np.array([correlation(layers, 0, other)[:, 0] for layers in runs])
    predicted = iterate(with_dropout, found[:, 0].mean())
    draw(ax, found, predicted, colors[other - 1], label)
    print(f"{label}: mean {found[:, 20:].mean():.2f} beyond layer 20, ", end="")
    print(f"predicted {predicted[-1]:.2f}")
ax.set(
    title=f"Dropout {RATE:g} at the edge of chaos",
    xlabel="layer",
    ylabel="correlation",
)
ax.legend()
plots.describe(
    ax,
    f"Correlation over fifty layers with dropout {RATE:g}. One image shown twice starts at 1, two "
    f"images start at {found[:, 0].mean():.2f}; from layer 15 or so both bands lie around the "
    f"predicted {predicted[-1]:.2f}.",
)

# %%
# After some fifteen layers, the network cannot tell whether it saw one image twice or two images.
# A dropout of one tenth gives the edge of chaos a finite depth.
#
# Training
# --------
# Does any of this decide what can be trained? Five layers and fifty, from all three places:

small = data.subset(
    train=min(3000, len(data.train.images)), valid=min(1000, len(data.valid.images))
)
mean, std = small.train.images.mean(), small.train.images.std()
small = small.transformed(lambda x: (x - mean) / std, "mean 0, variance 1")


def weights_init(module, sigma_w):
    """Weights and biases of spreads (σ_w, 0.3)."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, sigma_w / math.sqrt(module.in_features))
        nn.init.normal_(module.bias, 0, SIGMA_B)


def train(depth):
    """Two epochs of tanh networks of 100 units a layer."""
    return initguide.compare_init_weights(
        {k: functools.partial(weights_init, sigma_w=s) for k, s in sigmas.items()},
        small,
        model=lambda: initguide.mlp([784, *[100] * depth, 10], nn.Tanh),
        learning_rate=3e-4,
        seeds=3,
    )


shallow, deep = train(5), train(50)
initguide.Table(
    {
        "layers": [f"{depth}, {k}" for depth in (5, 50) for k in sigmas],
        **{
            f"seed {seed}": [
                r.values(k)[seed] for r in (shallow, deep) for k in sigmas
            ]
            for seed in range(3)
        },
    },
    caption="Validation accuracy after two epochs",
    note=f"{len(small.train.images)} images; Adam, learning rate 3e-4. Guessing gives 10 %.",
    formats={f"seed {seed}": ".1%" for seed in range(3)},
)

# %%
print(deep.difference("edge", "order"))
print(deep.difference("edge", "chaos"))

# %%
# Five layers learn from anywhere, though not equally fast. Of fifty, only those at the edge learn.
# In order and in chaos, fifty layers are many times ξ.
#
# .. admonition:: Try it
#
#    Where between 5 and 50 does order stop training, and where chaos?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          for depth in (10, 20):
#              print(train(depth))
#
# What we learnt
# --------------
# - Two maps, of length and of correlation, predict what a layer does; measured steps lie on them.
# - χ decides. Below 1 images become alike and gradients vanish; above 1 images come apart and
#   gradients explode. The edge lies where predicted, for tanh and for ReLU.
# - A signal gets through a few depth scales ξ. Of three networks of fifty layers, the one at the
#   edge learnt, and the others did not.
# - Dropout gives even the edge a finite depth: one image shown twice ends like two.
#
# Theory predicts the size of gradients on average over directions. Do all directions fare alike?
# Next: :doc:`orthogonal weights </auto_examples/theory/plot_6_orthogonal>`. A network of three
# layers, too few for any of this, is in
# :doc:`the lesson </auto_examples/lesson/plot_4_general_rule>`.
