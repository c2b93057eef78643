"""
7. How rough is the border?
===========================

From near, the border between learning and diverging looks as frayed as from afar. Looks deceive,
so this page measures it: it counts boxes for the borders of four starts, far and near, and for
shapes whose roughness is known, and then looks for reasons not to believe the result.

.. index:: ! box counting, ! fractal dimension, ! roughness

.. admonition:: What you will learn

   - what a box-counting dimension is, and how to measure it
   - how to test such a measurement on shapes for which the answer is known
   - how to doubt the result: is it made by rounding, or by stopping too early?

.. meta::
   :keywords: box counting, fractal dimension, roughness, boundary of trainability, rough line,
      Sierpinski, random walk, rounding errors, float64
"""

# %%
# Four borders, far and near
# --------------------------
# The networks are those of :doc:`the page before </auto_examples/practice/plot_6_fractal>`: 16
# inputs, 16 tanh units and one output, trained by 200 steps of gradient descent for each pair of
# initial scale and learning rate. But one start is one picture. Here there are four, each with its
# own weights and its own data, on maps of 128 × 128; and for each a zoom into the square of its map
# that holds most of the border, 32 times as large.

import numpy as np
import torch
from torch import nn

from initguide import Table, experiments, plots

SIDE = 128
SCALES, RATES = np.geomspace(0.03, 30, SIDE), np.geomspace(0.15, 1.5, SIDE)


def train(seed, scales, rates, steps=200, **how):
    """A map of one draw of weights and data."""
    draw = torch.Generator().manual_seed(seed)
    layers = nn.Linear(16, 16, bias=False), nn.Tanh(), nn.Linear(16, 1, bias=False)
    network = nn.Sequential(*layers)
    for weights in network.parameters():
        nn.init.normal_(weights, std=1 / 4, generator=draw)
    data = torch.randn(16, 16, generator=draw), torch.randn(16, 1, generator=draw)
    how |= {"scales": scales, "learning_rates": rates, "steps": steps}
    loss = nn.functional.mse_loss
    return experiments.trainability_map(network, *data, loss=loss, **how)


maps = [train(seed, SCALES, RATES) for seed in range(4)]
zooms = [
    train(seed, *(np.geomspace(*end, SIDE) for end in whole.richest(parts=32)))
    for seed, whole in enumerate(maps)
]

# %%
# Counting boxes
# --------------
# A pixel belongs to the border if it and its neighbours to the right, below and across do not all
# agree (:func:`~initguide.experiments.border`). Cover these pixels with boxes, and count how many
# it takes. A smooth curve takes twice as many boxes of half the size. If it takes 2ᵈ times as many,
# whatever the size, the :term:`box-counting dimension` is d, and a line with d above 1 is rough at
# all sizes: a fractal. Some fractals are made of smaller copies of themselves, and their d can be
# computed: Sierpinski's triangle is three triangles of half the size, so it takes three times as
# many boxes of half the size, and d = log 3/log 2, about 1.58.
#
# Here are the border of a zoom, and two of its covers:

edge = experiments.border(zooms[0].converged)
fig, axes = plots.subplots(1, 3, height=2.9)
for ax, size in zip(axes, (1, 4, 8), strict=True):
    boxes = np.where(experiments.pixels_per_box(edge, size) > 0, 1, np.nan)
    ax.imshow(boxes.T, cmap="Blues", vmin=0, vmax=1.4, origin="lower")
    ax.set(title=f"{np.nansum(boxes):,.0f} boxes of {size}", xticks=[], yticks=[])
axes[0].set(xlabel="initial scale", ylabel="learning rate")
plots.describe(
    fig,
    "The border of the first zoom, threads side by side, covered by boxes. Of boxes of 1, 2, 4 and "
    f"8 pixels it takes {experiments.box_count(edge).counts}; there are 256 of the largest.",
)

# %%
# Each thread alone is thin. But threads lie side by side in bundles, and to boxes wider than the
# gaps between them, a bundle is an area. How fast the number of boxes falls as they grow says how
# densely the border fills its surroundings.
#
# A ruler must be tested
# ----------------------
# We count boxes of 1, 2, 4 and 8 pixels, and :func:`~initguide.experiments.box_count` fits d.
# Beside the networks, the same code measures shapes whose dimension is known. The rim of a disc is
# smooth (1). The graph of a random walk goes up and down in steps of any size (1.5). In noise, each
# pixel is decided by the throw of a coin, and the border between heads and tails is nearly
# everywhere (2). There are four of each, with places, sizes and steps drawn at random, so that the
# mean does not hang on how one shape happens to lie on the grid of boxes.

draw, place = np.random.default_rng(0), np.arange(SIDE) / SIDE


def disc():
    x, y, r = draw.uniform([0.4, 0.4, 0.2], [0.6, 0.6, 0.35])
    return (place[:, None] - x) ** 2 + (place - y) ** 2 < r**2


def walk():
    height = draw.standard_normal(64 * SIDE).cumsum()[::64]
    return place < (height - height.min())[:, None] / np.ptp(height)


shapes = {
    "discs: 1": [disc() for _ in range(4)],
    "random walks: 1.5": [walk() for _ in range(4)],
    "noise: 2": [draw.random((SIDE, SIDE)) < 0.5 for _ in range(4)],
    "networks, map": [found.converged for found in maps],
    "networks, zoom": [found.converged for found in zooms],
}
rows = []
for name, verdicts in shapes.items():
    found = [experiments.box_count(experiments.border(v)) for v in verdicts]
    mean, (low, high) = experiments.mean_interval([f.dimension for f in found])
    side = "above" if low > 1 else "below" if high < 1 else "not told apart"
    words = f"{mean:.2f} ({low:.2f} to {high:.2f})", side
    rows.append([name, *np.mean([f.slopes for f in found], 0), *words])
columns = ["what", "1 to 2", "2 to 4", "4 to 8", "fitted", "from 1"]
Table(
    dict(zip(columns, zip(*rows, strict=True), strict=True)),
    caption="Box-counting dimension of borders, by size of the boxes in pixels",
    note="Means of four. In brackets, the 95 % interval of the mean, from the spread of the four.",
    formats=dict.fromkeys(columns[1:4], ".2f"),
)

# %%
# The discs come out at 1 or close to it and noise close to 2, but random walks at clearly less than
# their 1.5: with so few pixels, the count reads rough lines as smoother than they are. The borders
# of the networks are read as rough, too, far and near, at every size of the boxes; the last column
# says whether the interval over the four starts leaves out 1. A wiggly but smooth line would have
# become smoother by the zoom, for from near enough any smooth line is straight. This one did not.
#
# More than "above 1" should not be read from this. The zoomed square was chosen because it is full
# of border, so most of the large boxes are counted, as the figure shows; the first column suffers
# least. And a factor of 32 is not all sizes: :cite:t:`sohldickstein2024` zooms in by more than ten
# powers of ten.
#
# Is it an artefact?
# ------------------
# Two doubts. Where small differences grow at each step, so do rounding errors: perhaps what we see
# is noise of 32-bit numbers. And a network that has not diverged after 200 steps may yet do so. So
# for four columns of each zoom, we train the same networks with 64-bit numbers, and for 800 steps.

some = slice(SIDE // 8, None, SIDE // 4)
rows = []
for seed, zoom in enumerate(zooms):
    kept, axes = zoom.converged[some], (zoom.scales[some], zoom.learning_rates)
    exact = train(seed, *axes, dtype=torch.float64).converged
    longer = train(seed, *axes, steps=800).converged
    crossed = [np.sum(v[:, 1:] != v[:, :-1]) for v in (kept, exact)]
    rows.append([seed, (kept != exact).mean(), *crossed, 1 - longer[kept].mean()])
columns = [
    "start",
    "changed by 64 bits",
    "borders 32 bits",
    "borders 64 bits",
    "diverged later",
]
Table(
    dict(zip(columns, zip(*rows, strict=True), strict=True)),
    caption="The same networks with 64 bits, and trained longer",
    note=f"Four columns of {SIDE} networks in each zoom. A border: two neighbours whose verdicts "
    "differ. Diverged later: the share of those that had converged after 200 steps.",
    formats={columns[1]: ".1%", columns[4]: ".1%"},
)

# %%
# How many verdicts change with 64 bits differs from start to start; a pixel on a thin thread needs
# little to fall on its other side. What matters is whether the threads are still there. If rounding
# had frayed a smooth border, rounding far more finely would leave fewer places where neighbours
# disagree. Compare the two columns: there are about as many. And the last column says how many
# of those that had learnt after 200 steps were lost by 800: none or next to none. So the threads
# belong to gradient descent itself. (Zoom on, and at some point 32 bits cannot even tell
# neighbouring learning rates apart.)
#
# .. admonition:: Try it
#
#    Zoom once more, by another factor of 32. Is the border still as rough?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          ends = zooms[0].richest(parts=32)
#          deeper = train(0, *(np.geomspace(*end, 64) for end in ends)).converged
#          found = experiments.box_count(experiments.border(deeper))
#          print(f"{deeper.mean():.0%} learn; dimension {found.dimension:.2f}")
#          # As rough as before: the dimension is well above 1 again, 1,024 times as near.
#
# What we learnt
# --------------
# - A box-counting dimension says how fast a line needs more boxes as they shrink: 1 for a smooth
#   line, more for a rough one.
# - A ruler is tested first: on discs, walks and noise, this one told smooth from rough, and read
#   walks as smoother than they are.
# - The border between learning and diverging was rough for four starts, and from near no smoother
#   than from afar, as that of a fractal is.
# - It is made neither by the rounding of 32-bit numbers nor by stopping after 200 steps.
# - The rule to take home: **before you believe a measurement, give it something whose answer you
#   know, and then something that would give the same result for the wrong reason.**
#
# Four starts told this border from a smooth line, because it is so much rougher. Smaller
# differences take more of them: :doc:`how many seeds does it take?
# </auto_examples/practice/plot_8_how_many_seeds>`
