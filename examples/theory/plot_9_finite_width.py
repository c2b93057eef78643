"""
9. Finite width
===============

The rules for weights speak of averages over all networks that could have been drawn. What does the
one network do that you drew? This page predicts how far networks of one recipe scatter, and
measures thousands of them.

.. admonition:: What you will learn

   - how the size of the signal fluctuates from seed to seed, and that depth/width decides it
   - why the average network is not the typical one
   - why more images do not help, and more seeds do

.. meta::
   :keywords: finite width, random seed, reproducibility, fluctuations, depth to width ratio,
      heavy tail, typical network
"""

# %%
# Twenty networks
# ---------------
# Take thirty ReLU layers with He's weights (:cite:p:`he2015`), no biases, and one image. M is the
# mean square behind a layer, relative to the image's. On average over draws of the weights M is 1,
# exactly, at any width: that is what the factor 2/n is for. Here are twenty draws at two widths:

import math

import numpy as np
import torch

import initguide
from initguide import plots, theory

data, depth = initguide.fashion_mnist(), 30
image, layers = data.train.images[:1], np.arange(1, depth + 1)


def sizes(width, seed, images=image):
    """M behind each of the ReLUs, of one network."""
    net = initguide.mlp([784] + [width] * depth + [10], bias=False)
    initguide.initialize(net, "he_normal", seed=seed)
    records = initguide.measure(net, images)
    squares = [r.output_second_moment for r in records if r.kind == "ReLU"]
    return np.array(squares) / images.square().mean().item()


fig, axes = plots.subplots(1, 2, sharey=True)
for ax, width in zip(axes, (32, 256), strict=True):
    m = np.array([sizes(width, seed) for seed in range(20)])
    ax.plot(layers, m.T, color=plots.PALETTE[0], alpha=0.5, linewidth=1)
    ax.axhline(1, color="0.4", linestyle="--", label="mean, predicted")
    spread, look = 1.645 * np.sqrt(5 * layers / width), {"color": "0.4", "ls": ":"}
    ax.plot(layers, np.exp(spread - 2.5 * layers / width), **look)
    look["label"] = "nine of ten, predicted"
    ax.plot(layers, np.exp(-spread - 2.5 * layers / width), **look)
    ax.set(title=f"{width} units per layer", xlabel="layer", yscale="log")
    ends = f"from {m[:, -1].min():.2g} to {m[:, -1].max():.2g}"
    plots.describe(ax, f"20 networks of width {width}: M in layer {depth} {ends}.")
axes[0].set_ylabel("mean square / the input's (logarithmic)")
axes[0].legend()

# %%
# One recipe, one image, and in narrow networks signals that differ by orders of magnitude. They
# wander, each along its own path: what one layer loses, the next does not restore.
#
# Why
# ---
# M is a product of one factor per layer, (2/n) Σ relu(g)² with n independent normal numbers g. Its
# mean is 1. Its mean square is 1 + 5/n, since E[relu(g)²] is 1/2 and E[relu(g)⁴] is 3/2. The
# factors are independent, so (after :cite:t:`hanin2018rolnick`; see also :cite:t:`hanin2018`)
#
# .. math:: E[M] = 1, \qquad E[M^2] = \prod_{l=1}^{L} \left(1 + \frac{5}{n_l}\right)
#    \approx e^{5 L / n} .
#
# To first order in 1/n, ln M is a sum of L terms of mean −5/2n and variance 5/n: the dotted lines.
# So what counts is L/n, depth divided by width.
#
# To check the exact formula (:func:`~initguide.theory.finite_width_moments`) takes many networks.
# Here are thousands at once, from plain products of matrices:


def many_networks(width, count, seed=0):
    """M of many networks behind each of their ReLU layers: (count, depth)."""
    generator = torch.Generator().manual_seed(seed)
    x, columns = torch.ones(count, width, 1), []
    for _ in range(depth):
        weights = torch.randn(count, width, width, generator=generator)
        x = (weights @ x * math.sqrt(2 / width)).relu()
        columns.append(x.square().mean((1, 2)))
    return torch.stack(columns, 1).double().numpy()


drawn = {32: 5000, 64: 2000, 128: 600}  # of each width, how many
drawn = {width: many_networks(width, count) for width, count in drawn.items()}
shown, words = layers[::3], []
fig, ax = plots.subplots()
for i, (width, m) in enumerate(drawn.items()):
    squares, label = m[:, shown - 1] ** 2, f"width {width}, {len(m)} networks"
    mean, error = squares.mean(0), 1.96 * squares.std(0, ddof=1) / math.sqrt(len(m))
    look = {"color": plots.PALETTE[i], "marker": "os^"[i], "linestyle": "none"}
    ax.errorbar(shown / width, mean, error, **look, label=label)
    line = [theory.finite_width_moments([width] * n).second for n in shown]
    ax.plot(shown / width, line, "--", color="0.4", label="" if i else "predicted")
    words.append(f"{label}: {mean[3]:.2f} in layer 10, predicted {line[3]:.2f}")
ax.set(title="Mean of M² over networks, 95 % intervals", xlabel="depth / width")
ax.set(ylabel="E[M²] (logarithmic)", yscale="log", ylim=(0.8, 150))
ax.legend()
plots.describe(ax, "Mean of M²; " + "; ".join(words) + ".")

# %%
# Where few layers stand against many units, the measured mean is within some hundredths of the
# formula, and the widths fall on one curve: **depth/width decides**. Towards the right, intervals
# widen and may miss the prediction. That is no fault of the formula, which is exact. To see whose
# it is, look at the networks themselves, after 3, 10 and 30 layers:

cases = [(width, n, m[:, n - 1]) for width, m in drawn.items() for n in (3, 10, 30)]
table = {
    "width": [width for width, _, _ in cases],
    "layers": [n for _, n, _ in cases],
    "mean": [m.mean() for *_, m in cases],
    "median": [np.median(m) for *_, m in cases],
    "typical, exp(−5L/2n)": [math.exp(-2.5 * n / width) for width, n, _ in cases],
    "below 1": [(m < 1).mean() for *_, m in cases],
}
rare = [np.sort(m**2)[-len(m) // 100 :].sum() / (m**2).sum() for *_, m in cases]
table["M² in the top 1 %"] = rare
formats = {"below 1": ".0%", "M² in the top 1 %": ".0%"}
initguide.Table(table, caption="M over networks", formats=formats)

# %%
# The **mean network is not the typical one**. E[M] is 1 because a few networks are large. Most are
# below 1, and the median is so by about the factor that theory gives. And a hundredth of the
# networks brings a large share of the mean of M² (the last column), in deep narrow ones most of it.
# Thousands of draws hold too few of these rare networks, which is why the intervals above miss the
# prediction: averages over seeds, and their intervals, mislead where a distribution has such a
# tail.
#
# More images do not help
# -----------------------
# One might hope that M of a whole batch fluctuates less. But all images pass through the *same*
# weights. We look at ln M, which should have a standard deviation of √(5L/n), for one image and for
# two hundred, over forty seeds:

for width in (64, 256):
    one, batch = (
        np.log([sizes(width, seed, images)[-1] for seed in range(20, 60)])
        for images in (image, data.train.images[:200])
    )
    print(
        f"width {width}: sd predicted {math.sqrt(5 * depth / width):.2f},", end=" "
    )
    print(
        f"one image {one.std(ddof=1):.2f}, 200 images {batch.std(ddof=1):.2f};",
        end=" ",
    )
    print(f"correlation {np.corrcoef(one, batch)[0, 1]:.2f}")

# %%
# The batch as a whole is large or small, together with the one image. So a measurement on more
# images tells more about this network, and nothing about the next one. Only other weights, other
# seeds, tell what a recipe does.
#
# What it means for a comparison
# ------------------------------
# Whoever draws one network per scheme compares two draws, not two schemes. In training, other
# things vary with the seed, too: the order of the mini-batches and the dropout masks. How far
# accuracies scatter is measured elsewhere: :doc:`/auto_examples/practice/plot_8_how_many_seeds`
# says how many seeds a difference asks for, and :doc:`/auto_examples/practice/plot_9_one_seed` how
# often a single one names the wrong winner.
#
# .. admonition:: Try it
#
#    Part of the 5/n comes from how Gaussian weights stretch, part from which units ReLU silences.
#    Orthogonal weights leave only the second part. Square orthogonal matrices with gain √2 should
#    give 1 + 3/(n + 2) per layer. Do they?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          n, steps, draws = 16, 10, 2000
#          generator = torch.Generator().manual_seed(0)
#          x = torch.ones(draws, n, 1)
#          for _ in range(steps):
#              q, r = torch.linalg.qr(torch.randn(draws, n, n, generator=generator))
#              q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None, :]
#              x = (math.sqrt(2) * q @ x).relu()
#          m2 = x.square().mean((1, 2)).square()
#          print(f"measured {m2.mean():.2f} ± {1.96 * m2.std() / math.sqrt(draws):.2f}")
#          print(f"orthogonal: {(1 + 3 / (n + 2)) ** steps:.2f}")
#          print(f"Gaussian: {theory.finite_width_moments([n] * steps).second:.2f}")
#
# What we learnt
# --------------
# - He's weights keep the mean square on average over networks. One network fluctuates around that,
#   with E[M²] = Π(1 + 5/n): depth divided by width decides how much.
# - The typical network is smaller than the average one, and in deep narrow networks rare ones carry
#   the mean of M².
# - More images do not average the weights' luck away. Only more seeds do.
#
# Next, what people say about initialization, one by one:
# :doc:`Claims, tested </auto_examples/theory/plot_10_claims>`.
