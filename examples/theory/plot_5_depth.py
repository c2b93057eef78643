"""
5. Depth: vanishing, exploding, and the edge of chaos
=====================================================

Why do some very deep networks not learn at all? A signal and a gradient pass layer after layer of
the same kind, and what one layer does to them happens fifty times over. This page predicts from two
numbers, the spreads of weights and biases, what fifty layers will do, and measures it: for the
similarity of two images, and for gradients.

.. admonition:: What you will learn

   - two maps that tell what a layer does to the length of a signal and to the similarity of two
   - where gradients vanish, where they explode, and the line between, for tanh and for ReLU
   - how many layers deep a signal gets

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

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from initguide import fashion_mnist, plots, theory

images = fashion_mnist().train.images[:8].flatten(start_dim=1).double()
images = (images - images.mean(1, keepdim=True)) / images.std(1, keepdim=True)
DEPTH, WIDTH, SEEDS, SIGMA_B = 50, 300, range(4), 0.3


def forward(x, phi, sigma_w, sigma_b, seed, *, dropout=0.0):
    """(networks, inputs, units) pre-activations of each layer."""
    draws = torch.Generator().manual_seed(seed)
    w, b = (torch.as_tensor(s).to(x).reshape(-1, 1, 1) for s in (sigma_w, sigma_b))
    layers = []
    for _ in range(DEPTH):
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
    z = layers[-1]
    last = torch.randn(z.shape[1:], generator=draws, dtype=z.dtype)
    found = torch.autograd.grad((z * last).sum(), layers)
    squares = torch.stack([g.square().mean((1, 2)) for g in found]).numpy()
    return squares / squares[-1]


def correlation(layers, other=1):
    """(layers, networks) correlation of the first input and another one."""
    alike = [cosine_similarity(z[:, 0], z[:, other], dim=-1) for z in layers]
    return torch.stack(alike).detach().numpy()


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
# Lengths move to a fixed point of the first map, and do so within a few layers. The second has the
# news. Here it is at that length, for tanh, σ_b = 0.3 and three values of σ_w:

edge = theory.critical_sigma_w("tanh", SIGMA_B)
sigmas = {"order": 0.8, "edge": edge, "chaos": 2.5}
c = np.linspace(-0.2, 1, 31)
fig, ax = plots.subplots(height=3.9)
for label, sigma in sigmas.items():
    line = theory.correlation_map(c, "tanh", sigma, SIGMA_B)
    ax.plot(c, line, label=f"{label}, σ_w = {sigma:.2f}")
ax.axline((0, 0), slope=1, color="0.5", linewidth=1)
ax.set(xlabel="correlation in a layer", ylabel="in the next layer")
ax.legend()
plots.describe(
    ax, "Three curves end in the corner at 1; one crosses the diagonal below."
)

# %%
# All lines end in the corner: two equal images stay equal. What counts is the slope there, called χ
# (:term:`chi`). In *order*, χ < 1: all pairs of images become more alike with each layer. In
# *chaos*, χ > 1: even nearly equal images come apart, until they reach the crossing. Between them,
# at χ = 1, lies the :term:`edge of chaos`.
#
# Fifty layers
# ------------
# The same χ is the factor of a gradient's mean square, on its way back through a layer
# :cite:p:`schoenholz2017`. So order means vanishing gradients, and chaos exploding ones. We repeat
# the correlation map fifty times, take powers of χ, and measure both:

w, b = list(sigmas.values()), [SIGMA_B] * len(sigmas)
runs = [forward(images, torch.tanh, w, b, seed) for seed in SEEDS]
alike = np.array([correlation(layers) for layers in runs])
grads = np.array([gradients(layers) for layers in runs])
powers = theory.chi("tanh", w, b) ** np.arange(DEPTH)[::-1, None]
lines = [alike[:, 0].mean(axis=0)]
while len(lines) < DEPTH:
    lines.append(theory.correlation_map(lines[-1], "tanh", w, b))

fig, axes = plots.subplots(1, 2, height=4.2)
panels = {
    "Correlation": (alike, lines),
    "Gradients / the last layer's": (grads, powers),
}
for ax, (title, (found, expected)) in zip(axes, panels.items(), strict=True):
    measured = dict(zip(sigmas, np.moveaxis(found, -1, 0), strict=True))
    predicted = dict(zip(sigmas, np.transpose(expected), strict=True))
    plots.plot_prediction(measured, predicted, title=title, legend=False, ax=ax)
axes[1].set_ylabel("mean square, logarithmic scale")
fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)

# %%
# Lines and bands show mean and range of four draws of the weights, dashes the prediction. In order,
# what told two images apart is gone after ten layers, and so is the gradient. In chaos, the images
# come apart until their correlation is the one at the crossing, and the gradient is larger in the
# first layer than in the last by many orders of magnitude. At the edge, neither happens.
#
# If a layer multiplies something by χ, it takes ξ = 1/abs(ln χ) layers to change it by a factor of
# e: the :term:`depth scale`, :func:`~initguide.theory.depth_scale`. Here it is 1.4 layers in order
# and 2.2 in chaos: these are the slopes of the right panel. Fifty layers are many times ξ, and a
# signal survives only a few. Which depths can be *trained*, :doc:`a later page
# </auto_examples/practice/plot_5_how_deep>` tries with eight hundred networks.
#
# The phase diagram
# -----------------
# Now the whole plane of σ_w and σ_b, for tanh and for ReLU. The colour is measured: the logarithm
# of the factor by which a layer changes the mean square of the gradient, from layer 50 back to 20.
# Circles mark where the measured factor
# is 1, one for each draw; the dashed line is where theory puts χ = 1
# (:func:`~initguide.theory.critical_sigma_w`).

spreads_b, few = np.linspace(0, 1, 9), images[:4].float()
panels = {"tanh": np.linspace(0.6, 2.6, 21), "relu": np.linspace(0.8, 2.0, 21)}
fig, axes = plots.subplots(1, 2, height=4.1, sharey=True)
for ax, (name, spreads_w) in zip(axes, panels.items(), strict=True):
    grid_b, grid_w = np.meshgrid(spreads_b, spreads_w, indexing="ij")
    w, b = grid_w.ravel(), grid_b.ravel()
    runs = [forward(few, getattr(torch, name), w, b, seed) for seed in SEEDS]
    rates = [np.log(gradients(z)[19]).reshape(grid_w.shape) / 30 for z in runs]
    mesh = ax.pcolormesh(grid_w, grid_b, np.mean(rates, 0), cmap="BrBG")
    mesh.set_clim(-0.8, 0.8)
    edges = [[np.interp(0, row, spreads_w) for row in rate] for rate in rates]
    ax.plot(np.transpose(edges), spreads_b, "o", color=plots.PALETTE[5], mfc="none")
    line = theory.critical_sigma_w(name, spreads_b)
    ax.plot(line, spreads_b, "--", color=plots.PALETTE[4])
    ax.set(title=f"{name}: factor per layer", xlabel="σ_w")
    ax.grid(visible=False)
axes[0].set_ylabel("σ_b")
fig.colorbar(mesh, ax=axes, label="natural logarithm of the factor")
plots.describe(
    fig,
    "Maps of the factor: vanishing left, exploding right, measured circles along the edge, at "
    f"σ_b = 1 predicted to be {theory.critical_sigma_w('tanh', 1.0):.2f} for tanh, √2 for ReLU.",
)

# %%
# Brown is order, where gradients vanish on their way back; green is chaos, where they explode. The
# measured edge is where theory predicts it. For ReLU it is √2 whatever the biases: He's variance of
# 2/n. The exception is tanh without biases: there the length fades like 1/(2 · depth) at the edge,
# and even after fifty layers it is not close to its limit, 0, for which χ is computed.
#
# .. admonition:: Try it
#
#    :term:`Dropout <dropout>` leaves out other units each time, so one image shown twice does not
#    stay equal to itself :cite:p:`schoenholz2017`. How deep does the edge get with dropout 0.1?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          # E[φ²] grows by 1/(1 - p), and with it the length; the masks are independent, so
#          # E[φ(u) φ(v)] does not grow: the corner is no fixed point any more.
#          q = theory.fixed_point("tanh", edge / 0.9**0.5, SIGMA_B)
#          kept = theory.length_map(q, "tanh", edge, SIGMA_B) / q
#          lines = [1.0]
#          while len(lines) < DEPTH:
#              c = theory.correlation_map(lines[-1], "tanh", edge, SIGMA_B, q=q)
#              lines.append(kept * c)
#          twice = images[[0, 0, 1]]
#          layers = forward(twice, torch.tanh, edge, SIGMA_B, seed=0, dropout=0.1)
#          plots.plot_prediction(
#              {
#                  "one image, shown twice": correlation(layers, 1)[:, 0],
#                  "two images": correlation(layers, 2)[:, 0],
#              },
#              lines,
#          )  # after some fifteen layers, they cannot be told apart
#
# What we learnt
# --------------
# - Two maps, of length and of correlation, predict what a layer does, and repeated, what fifty do.
# - χ decides. Below 1 images become alike and gradients vanish; above 1 images come apart and
#   gradients explode. The edge lies where predicted, for tanh and for ReLU.
# - The scale for depth is ξ, in which χ makes a factor of e. Away from the edge it is
#   a few layers.
#
# Theory predicts the size of gradients on average over directions. Do all directions fare alike?
# Next: :doc:`orthogonal weights </auto_examples/theory/plot_6_orthogonal>`.
