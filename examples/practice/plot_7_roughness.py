"""
7. How rough is the border?
===========================

The page before looked at the border between learning and diverging, from afar and from near. Looks
deceive, so this page measures it: it counts boxes for the borders of four starts, far and near, and
for shapes whose roughness is known, and then looks for reasons not to believe the result.

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
# that holds most of the border, 32 times as large. (Of the squares that the map is divided into,
# :meth:`~initguide.experiments.TrainabilityMap.richest` takes the one with most pixels of it.)

import numpy as np
import torch
from torch import nn

import initguide
from initguide import experiments, plots

SIDE = 128
SCALES, RATES = np.geomspace(0.03, 30, SIDE), np.geomspace(0.15, 1.5, SIDE)


def train(seed, scales, rates, steps=200, **how):
    """A map of one draw of weights and data."""
    draw = torch.Generator().manual_seed(seed)
    first, last = nn.Linear(16, 16, bias=False), nn.Linear(16, 1, bias=False)
    network = nn.Sequential(first, nn.Tanh(), last)
    for weights in network.parameters():
        nn.init.normal_(weights, std=1 / 4, generator=draw)
    data = torch.randn(16, 16, generator=draw), torch.randn(16, 1, generator=draw)
    how |= {"scales": scales, "learning_rates": rates, "steps": steps}
    how["loss"] = nn.functional.mse_loss
    return experiments.trainability_map(network, *data, **how)


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
# A thread alone is thin. But where threads lie side by side in bundles, a bundle is an area to
# boxes that are wider than the gaps. How fast the number of boxes falls as they grow says how
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
    return np.hypot(place[:, None] - x, place - y) < r


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
rows, dimensions, slopes = [], {}, {}
for name, verdicts in shapes.items():
    found = [experiments.box_count(experiments.border(v)) for v in verdicts]
    dimensions[name] = np.array([f.dimension for f in found])
    slopes[name] = np.mean([f.slopes for f in found], 0)
    fitted = f"{initguide.estimate(dimensions[name]):.2f}"
    rows.append([name, *slopes[name], fitted])
columns = ["what", "1 to 2", "2 to 4", "4 to 8", "fitted"]
initguide.Table(
    dict(zip(columns, zip(*rows, strict=True), strict=True)),
    caption="Box-counting dimension of borders, by size of the boxes in pixels",
    note="Means of four. In brackets, the 95 % interval of the mean, from the spread of the four.",
    formats=dict.fromkeys(columns[1:4], ".2f"),
)

# %%
# Does the interval of a fit leave out 1? A wiggly but smooth line would become smoother by the
# zoom, for from near enough any smooth line is straight.

ruler = {k: initguide.estimate(d) for k, d in dimensions.items()}
far, near = ruler["networks, map"], ruler["networks, zoom"]
change = dimensions["networks, zoom"] - dimensions["networks, map"]
smoothed = initguide.estimate(change)
discs, walks, noise = list(ruler.values())[:3]
told = initguide.all_of(discs.within(0.9, 1.1), noise.within(1.9, 2.1))
rough = initguide.all_of(far.above(1), near.above(1))
every_size = min(slopes[name].min() for name in list(slopes)[3:])
most = 100 * experiments.box_count(edge).counts[-1] / 256
(
    initguide.says(
        told,
        "The ruler reads discs as {discs:.2f} and noise as {noise:.2f}, within a tenth of what "
        "they are.",
        "The ruler is no good: it reads discs as {discs:.2f} and noise as {noise:.2f}.",
        "Whether the ruler reads discs, {discs:.2f}, and noise, {noise:.2f}, to within a tenth of "
        "what they are, four of each cannot tell.",
        discs=discs,
        noise=noise,
    )
    + initguide.says(
        walks.below(1.5),
        "Random walks it reads as smoother than they are, for with so few pixels much of their "
        "roughness is not seen.",
        "Random walks it does not read as smoother than they are.",
        "Whether it reads random walks as smoother than they are is open.",
    )
    + initguide.says(
        rough,
        "The borders of the networks are read as rough, far and near; of the mean slopes between "
        "two sizes of boxes, the least is {least:.2f}.",
        "The borders of the networks are not read as rough both far and near; of the mean slopes "
        "between two sizes of boxes, the least is {least:.2f}.",
        "Whether the borders of the networks are rough both far and near, four starts cannot tell; "
        "of the mean slopes between two sizes of boxes, the least is {least:.2f}.",
        least=every_size,
    )
    + initguide.says(
        smoothed.below(0),
        "The zoom made them smoother, by {change:.2f}.",
        "The zoom made them rougher, by {change:.2f}.",
        "By the zoom, the dimension changed by {change:.2f}: four starts do not show that it "
        "became smaller, as that of a smooth line would.",
        change=smoothed,
    )
    + initguide.says(
        most > 50,
        "But more than “above one” should not be read from this. The zoomed square was chosen "
        "because it is full of border: in the figure {most:.0f} % of the largest boxes are "
        "counted, and a set that fills all of them is read as an area.",
        "In the figure, {most:.0f} % of the largest boxes are counted, so that there was room for "
        "more of them.",
        most=most,
    )
)

# %%
# The first column suffers least from a square that is full. And a factor of 32 is not all sizes:
# :cite:t:`sohldickstein2024` zooms in by more than ten powers of ten.
#
# Is it an artefact?
# ------------------
# Two doubts. Where small differences grow at each step, so do rounding errors: perhaps what we see
# is noise of 32-bit numbers. And what has not diverged after 200 steps may yet do so, and what has
# not learnt may yet learn. So for four columns of each zoom, we train the same networks with 64-bit
# numbers, and for 800 steps. A column is one initial scale, at each of the learning rates of the
# zoom.

some = slice(SIDE // 8, None, SIDE // 4)
rows = []
for seed, zoom in enumerate(zooms):
    kept, axes = zoom.converged[some], (zoom.scales[some], zoom.learning_rates)
    exact = train(seed, *axes, dtype=torch.float64).converged
    longer = train(seed, *axes, steps=800).converged
    crossed = [np.sum(v[:, 1:] != v[:, :-1]) for v in (kept, exact)]
    turned = (kept & ~longer).mean(), (longer & ~kept).mean()
    rows.append([seed, (kept != exact).mean(), *crossed, *turned])
columns = ["start", "changed by 64 bits", "borders 32 bits", "borders 64 bits"]
columns += ["diverged later", "learnt later"]
initguide.Table(
    dict(zip(columns, zip(*rows, strict=True), strict=True)),
    caption="The same networks with 64 bits, and trained longer",
    note=f"Four columns of {SIDE} networks in each zoom, and shares of all of them. A border: two "
    "neighbours whose verdicts differ. Later: between 200 and 800 steps.",
    formats=dict.fromkeys(columns[1::3] + columns[5:], ".1%"),
)

# %%
# A pixel on a thin thread needs little to fall on its other side, so some verdicts may change with
# 64 bits. What matters is whether the threads are still there. If rounding had frayed a smooth
# border, rounding far more finely would leave fewer places where neighbours disagree.

_, changed, with_32, with_64, lost, gained = np.array(rows).T
kept = initguide.estimate(with_64 / with_32)
turned = 100 * (lost + gained).max()
(
    initguide.says(
        kept.above(0.8),
        "With ``float64`` there are {kept:.2f} times as many (mean over the starts, interval): "
        "the threads are still there, though up to {changed:≤.0f} % of the verdicts are others.",
        "With ``float64`` there are only {kept:.2f} times as many (mean over the starts, "
        "interval): some or all of the fraying was rounding.",
        "With ``float64`` there are {kept:.2f} times as many (mean over the starts, interval): "
        "whether some of the fraying was rounding, four starts cannot tell.",
        kept=kept,
        changed=100 * changed.max(),
    )
    + initguide.says(
        turned < 2,
        "And hardly a verdict is another after four times as many steps: {turned:≤.1f} % in the "
        "worst start.",
        "But after four times as many steps, {turned:.1f} % of the verdicts are others in the "
        "worst start: part of the map was drawn too early.",
        turned=turned,
    )
)

# %%
# (Zoom on, and at some point 32 bits cannot even tell neighbouring learning rates apart.)
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
#          # A smooth line, 1,024 times as near, would come out at 1.
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        told,
        "A box-counting dimension says how fast a line needs more boxes as they shrink. Tested on "
        "shapes whose dimension is known, the count told smooth from rough.",
        "A box-counting dimension says how fast a line needs more boxes as they shrink. Tested on "
        "shapes whose dimension is known, the count misread some.",
        "A box-counting dimension says how fast a line needs more boxes as they shrink. Whether "
        "the count is right for shapes whose dimension is known took more than four of each.",
    ),
    initguide.says(
        rough,
        "The border between learning and diverging was rough: {far:.2f} on the maps of four starts "
        "and {near:.2f} in the zooms, by a ruler that reads random walks as {walks:.2f}.",
        "The border between learning and diverging was not rough everywhere: {far:.2f} on the maps "
        "of four starts and {near:.2f} in the zooms.",
        "Whether the border between learning and diverging is rough, four starts could not tell: "
        "{far:.2f} on their maps and {near:.2f} in the zooms.",
        far=far,
        near=near,
        walks=walks.mean,
        key="roughness-border-is-rough",
    )
    + initguide.says(
        smoothed.below(0),
        "From near it was smoother than from afar, as that of a fractal is not.",
        "From near it was even rougher than from afar.",
        "That it is smoother from near than from afar did not come out.",
    ),
    initguide.says(
        turned < 2 if kept.above(0.8) else kept.above(0.8),
        "It was made neither by the rounding of ``float32`` numbers nor by stopping too early.",
        "Rounding of ``float32`` numbers, or stopping too early, had a part in it.",
        "Whether the rounding of ``float32`` numbers had a part in it, four starts could not tell.",
    ),
)

# %%
# The rule to take home: **before you believe a measurement, give it something whose answer you
# know, and then something that would give the same result for the wrong reason.**
#
# Four starts are few. What smaller differences take: :doc:`how many seeds does it take?
# </auto_examples/practice/plot_8_how_many_seeds>`
