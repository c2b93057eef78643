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
      depth scale, deep networks, critical initialization
"""

# %%
# One draw for many networks
# --------------------------
# In a layer with n inputs, weights are σ_w/√n times draws from N(0, 1), and biases σ_b times such
# draws. So one set of draws serves every pair (σ_w, σ_b): we send a few images, scaled to mean 0
# and variance 1, through a whole row of networks at once.

import numpy as np
import torch

import initguide
from initguide import fashion_mnist, plots, theory

images = fashion_mnist().train.images[:8].flatten(start_dim=1).double()
images = (images - images.mean(1, keepdim=True)) / images.std(1, keepdim=True)
DEPTH, WIDTH, SEEDS, SIGMA_B = 50, 300, range(4), 0.3


def forward(x, phi, sigma_w, sigma_b, seed):
    """(networks, inputs, units) pre-activations of each layer."""
    draws = torch.Generator().manual_seed(seed)
    w, b = (torch.as_tensor(s).to(x).reshape(-1, 1, 1) for s in (sigma_w, sigma_b))
    layers = []
    for _ in range(DEPTH):
        n = x.shape[-1]
        weights = torch.randn(WIDTH, n, generator=draws, dtype=x.dtype) / n**0.5
        biases = torch.randn(WIDTH, generator=draws, dtype=x.dtype)
        layers.append((w * (x @ weights.T) + b * biases).requires_grad_())
        x = phi(layers[-1])
    return layers


def gradients(layers):
    """(layers, networks) mean square of a random gradient, relative to the last layer."""
    draws = torch.Generator().manual_seed(0)
    z = layers[-1]
    last = torch.randn(z.shape[1:], generator=draws, dtype=z.dtype)
    found = torch.autograd.grad((z * last).sum(), layers)
    squares = torch.stack([g.square().mean((1, 2)) for g in found]).numpy()
    return squares / squares[-1]


def correlation(layers):
    """(layers, networks) correlation of the first two inputs."""
    alike = [torch.cosine_similarity(z[:, 0], z[:, 1], dim=-1) for z in layers]
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
# With tanh and biases, lengths move to a fixed point of the first map within a few layers. The
# second has the news. Here it is at that length, for σ_b = 0.3 and three values of σ_w:

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
plots.describe(ax, "Three curves end at 1; that of chaos crosses the diagonal.")

# %%
# All lines end in the corner: two equal images stay equal. What counts is the slope there, called χ
# (:term:`chi`). In *order*, χ < 1: all pairs of images become more alike with each layer. In
# *chaos*, χ > 1: with tanh even nearly equal images come apart, until they reach the crossing.
# Between them, at χ = 1, lies the :term:`edge of chaos`.
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
order, edge_c, chaos = alike.mean(axis=0).T  # each over the layers

fig, axes = plots.subplots(1, 2, height=4.2)
titles = "Correlation", "Gradients² / the last layer's"
for i, (found, expected) in enumerate([(alike, lines), (grads, powers)]):
    dots = dict(zip(sigmas, np.moveaxis(found, -1, 0), strict=True))
    dashes = dict(zip(sigmas, np.transpose(expected), strict=True))
    plots.plot_prediction(dots, dashes, title=titles[i], legend=False, ax=axes[i])
handles = axes[0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=3)

# %%
# Lines and bands show mean and range of four draws of the weights, dashes the prediction.

fades, stays, swells = grads[:, 0].mean(axis=0)
limit, apart = lines[-1][2], initguide.estimate(alike[:, -1, 2])
(
    initguide.says(
        order[9] > 0.99 and fades < 1e-6,
        "In order, what told two images apart is gone after ten layers, where their correlation is "
        "{order:.4f}; and of the gradient {fades:.0e} is left in the first layer.",
        "In order, the correlation of two images is {order:.4f} after ten layers, and of the "
        "gradient {fades:.0e} is left in the first layer.",
        order=order[9],
        fades=fades,
    )
    + initguide.says(
        apart.within(limit - 0.25, limit + 0.25) and swells > 1e6,
        "In chaos, the images come apart: their correlation, predicted to end at {limit:.2f}, "
        "ends at {chaos:.2f}, and the gradient is {swells:.0e} times as large in the first layer "
        "as in the last.",
        "In chaos, the correlation of the images ends at {chaos:.2f}, where {limit:.2f} is "
        "predicted, and the gradient is {swells:.0e} times the last layer's in the first.",
        "In chaos, the correlation of the images ends at {chaos:.2f}; whether that is near the "
        "predicted {limit:.2f}, these draws leave open. The gradient is {swells:.0e} times "
        "the last layer's in the first.",
        limit=limit,
        chaos=apart,
        swells=swells,
    )
    + initguide.says(
        0.1 < stays < 10 and edge_c[9] < order[9],
        "At the edge the gradient keeps its size within a factor of ten: in the first layer it is "
        "{stays:.2f} of the last layer's. And two images become alike only slowly: {ten:.2f} after "
        "ten layers, {end:.2f} after fifty.",
        "At the edge, {stays:.2g} of the gradient is left in the first layer, and the correlation "
        "of two images is {ten:.2f} after ten layers, and {end:.2f} after fifty.",
        stays=stays,
        ten=edge_c[9],
        end=edge_c[-1],
    )
)

# %%
# If a layer multiplies something by χ, it takes ξ = 1/abs(ln χ) layers to change it by a factor of
# e: the :term:`depth scale`, :func:`~initguide.theory.depth_scale`. Correlations have one of their
# own: they approach the value where they settle by the slope of the second map *there*. In order
# that is the corner, and both scales are the same; in chaos it is the crossing, and they are not:

xi = theory.depth_scale("tanh", w[::2], SIGMA_B)
of_correlations = theory.depth_scale("tanh", w[::2], SIGMA_B, kind="correlation")
falls = abs(np.log(grads[:, 0])) / (DEPTH - 1)  # (draws, σ_w), per layer
measured = [initguide.estimate(1 / falls[:, i]) for i in (0, 2)]
off = max(abs(one.mean / of - 1) for one, of in zip(measured, xi, strict=True))
(
    initguide.says(
        off < 0.1,
        "By theory gradients change by a factor of e in {order_xi:.2f} layers in order, and in "
        "{chaos_xi:.2f} in chaos. Measured were {order:.2f} and {chaos:.2f}, within {off:≤.0%}.",
        "By theory gradients change by a factor of e in {order_xi:.2f} layers in order, and in "
        "{chaos_xi:.2f} in chaos. Measured were {order:.2f} and {chaos:.2f}.",
        order_xi=xi[0],
        chaos_xi=xi[1],
        order=measured[0],
        chaos=measured[1],
        off=off,
    )
    + initguide.says(
        of_correlations[1] > 1.2 * xi[1],
        "Correlations have the same scale in order, {order:.2f}, and a longer one in chaos, "
        "{chaos:.2f}.",
        "For correlations it is {order:.2f} layers in order, and {chaos:.2f} in chaos.",
        order=of_correlations[0],
        chaos=of_correlations[1],
    )
)

# %%
# Fifty layers are many times either. How many ξ deep a network may be and still be *trained*,
# :doc:`a later page </auto_examples/practice/plot_5_how_deep>` tries with hundreds of networks.
#
# The phase diagram
# -----------------
# Now the whole plane of σ_w and σ_b, for tanh and for ReLU. The colour is the measured factor by
# which a layer changes the gradient's mean square, from layer 50 back to 20. Circles mark where it
# is 1, one for each draw; the dashed line is where theory puts χ = 1.

spreads_b, few = np.linspace(0, 1, 9), images[:4].float()
lies_off = {}  # by how much the mean measured edge is off the line, for each σ_b
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
    lies_off[name] = np.abs(np.mean(edges, axis=0) - line)
    ax.plot(line, spreads_b, "--", color=plots.PALETTE[4])
    ax.set(title=f"{name}: factor per layer", xlabel="σ_w", ylabel="σ_b")
    ax.grid(visible=False)
fig.colorbar(mesh, ax=axes, label="natural logarithm of the factor")
plots.describe(
    fig, "Vanishing left, exploding right; circles on the line, at √2 for ReLU."
)

# %%
# Brown is where gradients vanish on their way back; green is where they explode. For ReLU theory
# puts the edge at √2 whatever the biases: He's variance of 2/n. An exception is to be expected for
# tanh without biases: there the length fades like 1/(2 · depth) at the edge, and even after fifty
# layers it is not close to its limit, 0, for which χ is computed.

with_biases = lies_off["tanh"][1:].max()
(
    initguide.says(
        max(with_biases, lies_off["relu"].max()) < 0.1,
        "The measured edge is where theory predicts it, within {tanh:≤.2f} for tanh with biases "
        "and within {relu:≤.2f} for ReLU, in units of σ_w.",
        "The measured edge is off the predicted one by up to {tanh:.2f} for tanh with biases and "
        "by up to {relu:.2f} for ReLU, in units of σ_w.",
        tanh=with_biases,
        relu=lies_off["relu"].max(),
    )
    + initguide.says(
        lies_off["tanh"][0] > with_biases,
        "Tanh without biases is the exception: {zero:.2f}.",
        "Tanh without biases came out no worse: {zero:.2f}.",
        zero=lies_off["tanh"][0],
    )
)

# %%
# And images under ReLU? We send two through fifty layers without biases, with three values of σ_w:

three = [1.2, 2**0.5, 2.0]
layers = [forward(images, torch.relu, three, [0] * 3, seed) for seed in SEEDS]
ends = np.array([correlation(run)[-1] for run in layers])  # (draws, σ_w)
factor = np.array([gradients(run)[0] for run in layers]).mean(axis=0)
relu = initguide.estimate(ends[:, 2])
start = np.mean([correlation(run)[0] for run in layers])

# %%

initguide.asks(
    "With the largest σ_w, far above the edge, gradients explode. What becomes of two images whose "
    "correlation is {start:.2f} in the first layer?",
    [
        "They come apart, as in the chaos of tanh.",
        "They keep their correlation: ReLU and σ_w only stretch, all images alike.",
        "They become more alike, as in order and at the edge.",
    ],
    [
        relu.below(start - 0.05),
        relu.within(start - 0.05, start + 0.05),
        relu.above(start + 0.05),
    ],
    initguide.says(
        relu.above(start),
        "As ReLU is homogeneous, σ_w changes only sizes: the map of correlations is the same "
        "whatever it is. They end at {relu:.2f}.",
        "Their correlation ends at {relu:.2f}.",
        relu=relu,
    ),
    start=start,
)

# %%
# So for ReLU, χ decides about gradients *alone*. With the three σ_w:

(
    initguide.says(
        np.ptp(ends, axis=1).max() < 0.01 and factor[0] < 0.01 and factor[2] > 100,
        "The gradient becomes {less:.0e}, {same:.1f} and {more:.0e} times as large; the "
        "correlation ends at the same value, within {apart:≤.2f}.",
        "The three do not differ as predicted: in their gradients, and in nothing else.",
        less=factor[0],
        same=factor[1],
        more=factor[2],
        apart=np.ptp(ends, axis=1).max(),
    )
    + initguide.says(
        relu.above(start),
        "Also with the largest σ_w, where gradients explode, the images did not come apart: their "
        "correlation went from {start:.2f} in the first layer to {relu:.2f} in the last.",
        "With the largest σ_w, where gradients explode, the images came apart: their correlation "
        "went from {start:.2f} in the first layer to {relu:.2f} in the last.",
        "Whether the images came apart with the largest σ_w is open: their correlation went from "
        "{start:.2f} in the first layer to {relu:.2f} in the last.",
        start=start,
        relu=relu,
    )
)

# %%
# .. admonition:: Try it
#
#    Between which values of σ_w does a gradient get through fifty layers of tanh, changed by a
#    factor of e at most? Keep σ_b = 0.3.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          sigmas = np.linspace(1, 1.4, 401)
#          far = theory.depth_scale("tanh", sigmas, SIGMA_B) >= DEPTH
#          print(sigmas[far].min(), edge, sigmas[far].max())  # a narrow strip
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        np.abs(alike.mean(axis=0) - lines).max() < 0.25,
        "Two maps, of length and of correlation, predict what a layer does, and repeated, what "
        "fifty do: the mean correlations of four draws were within {off:≤.2f} of it.",
        "Two maps, of length and of correlation, predict what a layer does; repeated fifty times, "
        "they were off the mean correlations of four draws by up to {off:.2f}.",
        off=np.abs(alike.mean(axis=0) - lines).max(),
    ),
    initguide.says(
        fades < 0.01 and swells > 100 and 0.1 < stays < 10,
        "What gradients do hangs on χ: below ``1`` they vanish, above ``1`` they explode.",
        "What gradients do should hang on χ; fifty layers of tanh did not follow it here.",
        key="chi-decides-gradients",
    )
    + initguide.says(
        max(with_biases, lies_off["relu"].max()) < 0.1,
        "The edge lies where predicted, for tanh with biases and for ReLU.",
        "The edge did not lie where predicted, for tanh with biases and for ReLU.",
        key="edge-where-predicted",
    ),
    initguide.says(
        order[-1] > 0.99 and chaos[-1] < chaos[0] - 0.1,
        "With tanh the same χ tells about images: below ``1`` all become alike, and above, similar "
        "ones come apart.",
        "With tanh the same χ should tell about images; it did not do so here.",
        key="tanh-images-follow-chi",
    )
    + initguide.says(
        initguide.estimate(ends.min(axis=1)).above(start),
        "With ReLU they become more alike on both sides.",
        "With ReLU they came apart, too, which theory does not expect.",
        "With ReLU it is open whether they come apart.",
        key="relu-images-become-alike",
    ),
    initguide.says(
        max(xi) < 5,
        "The scale for depth is ξ, in which χ makes a factor of e: a few layers in the order and "
        "the chaos of this page.",
        "The scale for depth is ξ, in which χ makes a factor of e: up to {xi:.0f} layers in the "
        "order and the chaos of this page.",
        xi=max(xi),
    )
    + initguide.says(
        of_correlations[1] > 1.2 * xi[1],
        "In chaos, correlations have a longer one: {correlation:.1f} layers, and gradients "
        "{gradient:.1f}.",
        "In chaos, correlations have no longer one: {correlation:.1f} layers, and gradients "
        "{gradient:.1f}.",
        correlation=of_correlations[1],
        gradient=xi[1],
    ),
)

# %%
# Theory predicts the size of gradients on average over directions. Do all directions fare alike?
# Next: :doc:`orthogonal weights </auto_examples/theory/plot_6_orthogonal>`.
