"""
6. The boundary is a fractal
============================

Raise the learning rate, and at some point training diverges. Where exactly? One would expect a
line, on whose one side networks learn. This page trains a hundred thousand tiny networks from one
initialization, one for each pixel of a map of learning rate and initial scale, looks at the line,
and then looks closer.

.. admonition:: What you will learn

   - how to train tens of thousands of networks at once, and in how many seconds
   - what the border between learning and diverging looks like, near and far
   - where theory says that it lies, and for which networks theory is right
   - how to measure whether a line is a fractal, and how to doubt the result

.. meta::
   :keywords: fractal, boundary of trainability, learning rate, divergence, chaos, box counting,
      fractal dimension, stability limit, sharpness, Hessian, edge of stability, fit_many, vmap

.. index:: ! fractal, ! box counting, ! divergence, ! stability limit
"""

# %%
# One network for each pixel
# --------------------------
# :cite:t:`sohldickstein2024` drew such maps for several kinds of networks. Ours have 16 inputs, 16
# tanh units and one output, and no biases: 272 weights in all. There are 16 examples of random
# inputs and random targets. The loss is the mean square, and each step of gradient descent uses all
# examples, so nothing is random after the start.
#
# The start is one draw of weights, times a factor: the *scale*. At scale 1, weights have the
# variance 1/n (LeCun's). Along the other axis runs the learning rate.
# :func:`initguide.training.fit_many` trains all of them together:

import os
import time

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from torch import nn

import initguide
from initguide import experiments, plots
from initguide.training import fit_many

STEPS = 200
network = nn.Sequential(
    nn.Linear(16, 16, bias=False), nn.Tanh(), nn.Linear(16, 1, bias=False)
)


def task(seed):
    """One draw of weights for scale 1, and 16 examples."""
    draw = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(p.shape, generator=draw) / 4
        for name, p in network.named_parameters()
    }
    return (
        weights,
        torch.randn(16, 16, generator=draw),
        torch.randn(16, 1, generator=draw),
    )


def train(seed, scales, rates, steps=STEPS, dtype=torch.float32):
    """(steps, scales, rates): losses of a network for each scale and learning rate."""
    weights, x, y = task(seed)
    s, r = torch.meshgrid(
        torch.tensor(scales, dtype=torch.float32),
        torch.tensor(rates, dtype=torch.float32),
        indexing="ij",
    )
    start = {
        name: (w * s.reshape(-1, 1, 1)).to(dtype) for name, w in weights.items()
    }
    fits = fit_many(
        network,
        start,
        x.to(dtype),
        y.to(dtype),
        steps=steps,
        learning_rate=r.flatten(),
        loss=nn.functional.mse_loss,
    )
    return fits.losses.reshape(steps, len(scales), len(rates))


# %%
# What counts as converged? As in the paper: that the loss, averaged over the last twenty steps to
# even out oscillations, is below the first one. Everything else has diverged. For the colour we
# also want to know how fast: for networks that learn, the sum of all losses relative to the first
# (small is fast); for networks that diverge, the sum of their inverses.


def verdict(losses):
    """Which networks converged, and their ranks: slow 0, fast 1; below 0 if converged."""
    relative = np.fmin(losses, 1e6 * losses[0]) / losses[0]  # NaN counts as 10⁶
    converged = relative[-20:].mean(0) < 1
    colour = np.empty(converged.shape)
    for those, sign, slowness in (
        (converged, -1, relative[:, converged].sum(0)),
        (~converged, 1, (1 / relative[:, ~converged]).sum(0)),
    ):
        ranks = slowness.argsort().argsort()
        colour[those] = sign * (1 - ranks / max(1, len(ranks)))
    return converged, colour.round(2)


SEED, SIZE = 0, 256
scales, rates = np.geomspace(0.03, 30, SIZE), np.geomspace(0.15, 1.5, SIZE)
started = time.perf_counter()
converged, colour = verdict(train(SEED, scales, rates))
seconds = time.perf_counter() - started
print(
    f"{converged.size:,} networks, {STEPS} steps each: {seconds:.0f} s on {os.cpu_count()} cores"
)
print(f"{converged.mean():.0%} of them converged")

# %%
# To look closer, we want a place where much happens. Pixels whose neighbours disagree with them are
# the boundary, and of the 32 × 32 squares that the map can be divided into, we take the one that
# holds most of it:

ZOOM = 32


def boundary(converged):
    """Whether a pixel and its neighbours to the right, below and across do not all agree."""
    c = converged
    four = np.stack([c[1:, 1:], c[1:, :-1], c[:-1, 1:], c[:-1, :-1]])
    return np.pad(four.any(0) & ~four.all(0), (0, 1))


def per_box(edge, size):
    """How many boundary pixels there are in each box of size × size pixels."""
    n = len(edge) // size
    return edge.reshape(n, size, n, size).sum((1, 3))


def richest(scales, rates, converged):
    """Scales and rates of a map as fine as this one, of its richest square."""
    size = len(scales) // ZOOM
    counts = per_box(boundary(converged), size)
    corner = np.unravel_index(counts.argmax(), counts.shape)
    return [
        np.geomspace(
            axis[i * size], axis[min((i + 1) * size, len(axis) - 1)], len(axis)
        )
        for i, axis in zip(corner, (scales, rates), strict=True)
    ]


started = time.perf_counter()
near_scales, near_rates = richest(scales, rates, converged)
near_converged, near_colour = verdict(train(SEED, near_scales, near_rates))
print(f"the zoom: {time.perf_counter() - started:.0f} s")

blue_and_orange = LinearSegmentedColormap.from_list(
    "verdict",
    [(0, "#a6d0ea"), (0.5, "#08204f"), (0.5, "#fff3d6"), (1, "#b34700")],
)


def draw(scales, rates, colour, title):
    """Draw one map."""
    fig, ax = plots.subplots(width=5.8, height=4.6)
    mesh = ax.pcolormesh(
        scales,
        rates,
        colour.T,
        cmap=blue_and_orange,
        vmin=-1,
        vmax=1,
        rasterized=True,
    )
    ax.set(xscale="log", yscale="log", title=title)
    ax.set(
        xlabel="initial scale (logarithmic)", ylabel="learning rate (logarithmic)"
    )
    for axis, values in ((ax.xaxis, scales), (ax.yaxis, rates)):
        ticks = values[np.linspace(0, len(values) - 1, 5).astype(int)]
        axis.set_ticks(ticks, [f"{v:.3g}" for v in ticks])
        axis.set_ticks([], minor=True)
    ax.grid(visible=False)
    bar = fig.colorbar(mesh, ax=ax, ticks=[-0.95, -0.05, 0.05, 0.95])
    bar.set_ticklabels(
        ["learns fast", "learns slowly", "diverges slowly", "diverges fast"]
    )
    return ax


ax = draw(scales, rates, colour, f"{SIZE} × {SIZE} networks")
ax.plot(
    near_scales[SIZE // 2],
    near_rates[SIZE // 2],
    "s",
    ms=8,
    color=plots.PALETTE[5],
    markerfacecolor="none",
    markeredgewidth=2,
)
plots.describe(
    ax,
    f"Map of {SIZE} by {SIZE} networks over initial scale, 0.03 to 30, and learning rate, 0.15 to "
    f"1.5. {converged.mean():.0%} learn, all at small rates; the border is frayed.",
)

# %%
# Blue networks learn, orange ones diverge, and dark blue meets pale orange where it takes long to
# tell. Small rates learn and large ones do not, as it should be. But the border is no line. On its
# left part, blue threads reach up into the region that diverges, one beside the other, and pale
# specks lie below. On its right end it is grainy. Only where weights start at their usual size or a
# few times that does it look like a line.
#
# The red square is where most happens. It is eight pixels wide; here it is with 256:

ax = draw(
    near_scales, near_rates, near_colour, f"The red square, {ZOOM} times as large"
)
plots.describe(
    ax,
    f"The richest square of the map, {ZOOM} times as large each way, again {SIZE} by {SIZE} "
    f"networks: {near_converged.mean():.0%} learn, in bands within bands.",
)

# %%
# A band of rates at which networks diverge, then one at which they learn, and so on; and along the
# bands' borders lie thinner bands, threads and single pixels. It is the look of a fractal: from
# near, the border is no smoother than from afar.
#
# Before we measure that, what is different here from the paper? There the outputs are also divided
# by the width, and there are as many examples as weights (or only one). The axes are the rates of
# the two layers, or a rate and a number added to the weights of one layer, where ours multiplies.
# Training takes 500 or 1,000 steps with 64-bit numbers, and the zooms go on for more than ten
# powers of ten, where ours stops at a factor of 32.
#
# Where theory expects the border
# -------------------------------
# If the loss is a quadratic function of the weights, gradient descent converges as long as the rate
# is below 2/λ, where λ is the largest eigenvalue of the Hessian, the matrix of second
# derivatives (the :term:`sharpness`).
# A linear network has such a loss. With 272 weights, the Hessian of ours can be computed exactly,
# too, but it changes on the way. We compute it at three places: at the start; where a network ends
# that is trained slowly, for 3,000 steps at a rate of 0.05; and where one ends whose rate is 0.9
# times the lowest that diverges.


def limits(seed, weights):
    """2/λ for stacked weights."""
    _, x, y = task(seed)

    def loss(flat):
        hidden = torch.tanh(x.double() @ flat[:256].view(16, 16).T)
        return (hidden @ flat[256:].view(16, 1) - y.double()).square().mean()

    flat = torch.cat([w.flatten(1) for w in weights.values()], 1).double()
    hessians = torch.vmap(torch.func.jacrev(torch.func.grad(loss)))(flat)
    return 2 / torch.linalg.eigvalsh(hessians)[:, -1]


weights, x, y = task(SEED)
some = torch.tensor(scales[::8], dtype=torch.float32)
start = {name: w * some.view(-1, 1, 1) for name, w in weights.items()}
lowest = np.array([rates[~row].min() for row in converged])
highest = np.array([rates[row].max() for row in converged])
limit = {"2/λ at the start": limits(SEED, start)}
for name, rate in (
    ("2/λ where slow training ends", torch.tensor(0.05)),
    ("2/λ where training near the border ends", torch.tensor(0.9 * lowest[::8])),
):
    ends = fit_many(
        network,
        start,
        x,
        y,
        steps=3000,
        learning_rate=rate,
        loss=nn.functional.mse_loss,
    )
    limit[name] = limits(SEED, ends.parameters)

exact = 2 / torch.linalg.eigvalsh(2 / 16 * x.double().T @ x.double())[-1].item()
line = np.geomspace(exact / 2, exact * 2, 512)
linear = fit_many(
    nn.Linear(16, 1, bias=False),
    {"weight": torch.ones(512, 1, 16)},
    x,
    y,
    steps=STEPS,
    learning_rate=torch.tensor(line),
    loss=nn.functional.mse_loss,
)
learnt, _ = verdict(linear.losses)
print(
    f"linear network: rates up to {line[learnt].max() / exact:.3f} · 2/λ converge, "
    f"rates from {line[~learnt].min() / exact:.3f} · 2/λ on diverge"
)

relative = limit["2/λ where training near the border ends"].numpy() / (
    0.9 * lowest[::8]
)
print(
    f"tanh networks near the border end where 2/λ is {relative.min():.2f} to "
    f"{relative.max():.2f} times their rate"
)

fig, ax = plots.subplots()
ax.fill_between(
    scales,
    np.minimum(lowest, highest),
    np.maximum(lowest, highest),
    color=plots.PALETTE[0],
    label="measured: lowest that diverges\nto highest that converges",
)
for (name, values), style, color in zip(
    limit.items(), ("--", ":", "-."), plots.PALETTE[1:], strict=False
):
    ax.plot(some, values, style, color=color, label=name)
ax.set(xscale="log", yscale="log")
ax.set(xlabel="initial scale (logarithmic)", ylabel="learning rate (logarithmic)")
ax.set_title("The measured border, and the limit for quadratic losses")
ax.legend()
at = [
    f"scale {scales[i]:.2g}: {limit['2/λ at the start'][i // 8] / lowest[i]:.2g}"
    for i in (0, SIZE // 2, SIZE - 8)
]
plots.describe(
    ax,
    "Measured border and stability limits over the initial scale. 2/λ at the start, relative to "
    f"the lowest rate that diverges, at {', '.join(at)}. After slow training 2/λ lies below the "
    "border everywhere, after training near it just below it.",
)

# %%
# For the linear network theory is right, to the step between our rates. For the tanh network it is
# wrong in both directions. Small weights: the loss is flat at the start and becomes steeper on the
# way, and networks diverge far below 2/λ. Large weights: networks learn at rates many times above
# it. Nor is it the steepness where slow training ends that decides: at all scales, networks learn
# well above that limit, too. They end elsewhere, in flatter places: where a network near the border
# comes to rest, 2/λ is just about its own rate. That large rates push gradient descent out of steep
# places was seen by :cite:t:`lewkowycz2020`, and that it tends to stay at the edge of what its rate
# allows by :cite:t:`cohen2021`.
#
# So the :term:`stability limit` belongs to one place, and is found on the way: it says where
# training can end, but not for which rates a path leads there. And none of these smooth curves has
# threads.
#
# How rough is it?
# ----------------
# Cover the boundary with boxes, and count how many it takes. A smooth curve takes twice as many
# boxes of half the size. If it takes 2ᵈ times as many, whatever the size, the :term:`box-counting
# dimension` is d, and a line with d above 1 is rough at all sizes: a fractal. We count boxes of 1,
# 2, 4 and 8 pixels and fit d, for four starts with their own data, on maps of 128 × 128 and on a
# zoom of each. (Of the map above we take every second pixel.) Beside them the same code measures
# shapes whose dimension is known: discs (1), the graphs of random walks (1.5) and noise (2).

BOXES = np.array([1, 2, 4, 8])


def slopes(converged):
    """Dimension from each box size to the next, and fitted."""
    edge = boundary(converged)
    counts = np.log2([np.sum(per_box(edge, size) > 0) for size in BOXES])
    return [*-np.diff(counts), -np.polyfit(np.log2(BOXES), counts, 1)[0]]


HALF = SIZE // 2
starts = {
    SEED: ((scales[::2], rates[::2], converged[::2, ::2]), near_converged[::2, ::2])
}
zooms = {SEED: (near_scales[::2], near_rates[::2])}
for seed in (1, 2, 3):
    axes = np.geomspace(0.03, 30, HALF), np.geomspace(0.15, 1.5, HALF)
    far, _ = verdict(train(seed, *axes))
    zooms[seed] = richest(*axes, far)
    near, _ = verdict(train(seed, *zooms[seed]))
    starts[seed] = ((*axes, far), near)

draw_numbers, place = np.random.default_rng(0), np.arange(HALF) / HALF


def disc():
    x, y, r = draw_numbers.uniform([0.4, 0.4, 0.2], [0.6, 0.6, 0.35])
    return (place[:, None] - x) ** 2 + (place - y) ** 2 < r**2


def walk():
    height = draw_numbers.standard_normal(64 * HALF).cumsum()[::64]
    return place < (height - height.min())[:, None] / np.ptp(height)


def noise():
    return draw_numbers.random((HALF, HALF)) < 0.5


shapes = {
    "discs: 1": [disc() for _ in range(4)],
    "random walks: 1.5": [walk() for _ in range(4)],
    "noise: 2": [noise() for _ in range(4)],
    "networks, map": [far for (*_, far), _ in starts.values()],
    "networks, zoom": [near for _, near in starts.values()],
}
table = {"what": [], "1 to 2": [], "2 to 4": [], "4 to 8": [], "fitted": []}
dimensions = {}
for name, maps in shapes.items():
    found = np.array([slopes(pixels) for pixels in maps])
    mean, (low, high) = experiments.mean_interval(found[:, -1])
    dimensions[name] = found[:, -1]
    cells = (name, *found[:, :3].mean(0), f"{mean:.2f} ({low:.2f} to {high:.2f})")
    for column, cell in zip(table.values(), cells, strict=True):
        column.append(cell)
initguide.Table(
    table,
    caption="Box-counting dimension of borders, by size of the boxes in pixels",
    note="Means of four. In brackets, the 95 % interval of the mean, from the spread of the four.",
    formats=dict.fromkeys(("1 to 2", "2 to 4", "4 to 8"), ".2f"),
)

# %%
# The discs come out at 1 and noise close to 2, but random walks at clearly less than their 1.5:
# with so few pixels, the count reads rough lines as smoother than they are. The borders of the
# networks are read as about as rough as the walks, far and near, at every size of the boxes, and
# the intervals over the four starts do not reach down to 1. A wiggly but smooth line would have
# become smoother by the zoom. This one did not.
#
# More than "above 1" should not be read from this. The zoomed square was chosen because it is full
# of boundary, so large boxes are nearly all counted, and the columns rise to the right; the first
# column suffers least. And a factor of 32 is not all sizes: for those, see the paper.
#
# Is it an artefact?
# ------------------
# Two doubts. Where small differences grow at each step, so do rounding errors: perhaps what we see
# is noise of 32-bit numbers. And a network that has not diverged after 200 steps may yet do so. So
# for four columns of each zoom, we train the same networks with 64-bit numbers, and for 800 steps.

table = {
    "start": [],
    "changed by 64 bits": [],
    "borders, 32 bits": [],
    "borders, 64 bits": [],
    "diverged later": [],
}
for seed, (axis, other) in zooms.items():
    some = slice(HALF // 8, None, HALF // 4)
    kept = starts[seed][1][some]
    exact_ones, _ = verdict(train(seed, axis[some], other, dtype=torch.float64))
    longer, _ = verdict(train(seed, axis[some], other, steps=4 * STEPS))
    crossed = [np.sum(rows[:, 1:] != rows[:, :-1]) for rows in (kept, exact_ones)]
    cells = (
        seed,
        (kept != exact_ones).mean(),
        *crossed,
        (kept & ~longer).sum() / kept.sum(),
    )
    for column, cell in zip(table.values(), cells, strict=True):
        column.append(cell)
initguide.Table(
    table,
    caption="The same networks with 64 bits, and trained longer",
    note=f"Four columns of {HALF} networks in each zoom. A border: two neighbours whose verdicts "
    "differ. Diverged later: the share of those that had converged after 200 steps.",
    formats={
        "changed by 64 bits": ".1%",
        "diverged later": ".1%",
        "borders, 32 bits": "d",
        "borders, 64 bits": "d",
    },
)

# %%
# With 64 bits, hardly a verdict changes if any does, and as many borders are crossed. And those
# that had converged stay so. What we see belongs to gradient descent itself, not to its rounding.
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
#          axes = [axis[::2] for axis in richest(*zooms[SEED], starts[SEED][1])]  # 64 × 64
#          deeper, _ = verdict(train(SEED, *axes))
#          print(f"{deeper.mean():.0%} learn; dimension {slopes(deeper)[-1]:.2f}")
#          # As rough as before: the dimension is well above 1 again, 1,024 times as near.
#
# What we learnt
# --------------
# - For a linear network, the border between learning and diverging lies where theory says, at 2/λ.
# - For a tanh network, 2/λ at the start was too high for small weights and far too low for large
#   ones. Networks near the border ended where 2/λ was about their own rate.
# - That border is no line: between rates that learn lie rates that diverge, and zooming in by a
#   factor of 32 showed more of the same. Its box-counting dimension was above 1 for maps and zooms
#   of four starts, by code that gives 1 for discs.
# - It is no artefact of 32-bit numbers, nor of stopping after 200 steps.
# - Tens of thousands of tiny networks are a matter of seconds, if they are trained together.
# - The rule to take home: **keep away from the largest learning rate that works. Close to the
#   border, whether a run survives is decided by digits of its settings that nobody looks at.**
#
# Where between the borders networks learn *well* is shown by :doc:`the maps for Fashion-MNIST
# </auto_examples/practice/plot_4_scale_and_learning_rate>`. Whether a difference is more than
# chance is the question of :doc:`/auto_examples/practice/plot_8_how_many_seeds`.
