"""
6. Is the boundary a fractal?
=============================

Raise the learning rate, and at some point training diverges. Where exactly? One would expect a
line, on whose one side networks learn. This page trains tens of thousands of tiny networks from
one initialization, one for each pixel of a map of learning rate and initial scale, looks at the
line, and then looks closer.

.. index:: ! fractal, ! divergence, ! stability limit

.. admonition:: What you will learn

   - how to train tens of thousands of networks at once, and in how many seconds
   - what the border between learning and diverging looks like, near and far
   - where theory says that it lies, and for which networks theory is right

.. meta::
   :keywords: fractal, boundary of trainability, learning rate, divergence, chaos, stability limit,
      sharpness, Hessian, edge of stability, fit_many, vmap, map of learning rate and scale
"""

# %%
# One network for each pixel
# --------------------------
# :cite:t:`sohldickstein2024` drew such maps for several kinds of networks. Ours have 16 inputs, 16
# tanh units and one output, and no biases: 272 weights in all. There are 16 examples of random
# inputs and random targets. The loss is the mean square, and each step of gradient descent uses all
# examples, so nothing is random after the start.
#
# The start is one draw of weights with variance 1/n (LeCun's), times a factor: the *scale*. Along
# the other axis runs the learning rate. :func:`initguide.experiments.trainability_map` trains all
# of them together:

import time

import numpy as np
import torch
from torch import nn

import initguide
from initguide import plots
from initguide.experiments import trainability_map
from initguide.training import fit_many

mse = nn.functional.mse_loss

draw = torch.Generator().manual_seed(0)
layers = nn.Linear(16, 16, bias=False), nn.Tanh(), nn.Linear(16, 1, bias=False)
network = nn.Sequential(*layers)
for weights in network.parameters():
    nn.init.normal_(weights, std=1 / 4, generator=draw)
x = torch.randn(16, 16, generator=draw)
y = torch.randn(16, 1, generator=draw)


def train(scales, rates, model=network):
    """A map with a network for each scale and learning rate."""
    how = {"scales": scales, "learning_rates": rates, "steps": 200, "loss": mse}
    return trainability_map(model, x, y, **how)


started = time.perf_counter()
scales, rates = np.geomspace(0.03, 30, 192), np.geomspace(0.15, 1.5, 192)
whole = train(scales, rates)
seconds = time.perf_counter() - started
print(f"{whole.converged.size:,} networks: {seconds:.0f} s")

# %%
# What counts as converged? As in the paper: that the loss, averaged over the last twenty steps to
# even out oscillations, is below the first one. Everything else has diverged.
# To look closer, :meth:`~initguide.experiments.TrainabilityMap.richest` takes the one of 32 × 32
# squares that holds most of the border. On the map it is red.

some_scales, some_rates = whole.richest(parts=32)
_, ax = plots.subplots(width=5.8, height=4.6)
plots.plot_trainability(whole, ax=ax)
around = [0, 1, 1, 0, 0], [0, 0, 1, 1, 0]
ax.plot(np.take(some_scales, around[0]), np.take(some_rates, around[1]), "r", lw=2)

# %%
# Blue networks learn, orange ones diverge, and dark blue meets pale orange where it takes long to
# tell. Go from the bottom to the top: how often does the verdict change?


def changes(verdicts):
    """How often learning and diverging alternate on the way up, for each scale."""
    return np.sum(verdicts[:, 1:] != verdicts[:, :-1], axis=1)


crossed = changes(whole.converged)
parts = (scales < 1, (scales >= 1) & (scales < 5), scales >= 5)
left, middle, right = (100 * np.mean(crossed[part] > 1) for part in parts)
(
    initguide.says(
        bool(whole.converged[:, 0].all() and not whole.converged[:, -1].any()),
        "At every scale the smallest rate learns and the largest does not, as it should be.",
        "Not at every scale does the smallest rate learn and the largest one diverge.",
    )
    + initguide.says(
        np.mean(crossed > 1) > 0.1,
        "But the border is no line, which would be crossed once: at {share:.0f} % of the scales a "
        "larger rate learns again where a smaller one has diverged.",
        "The border is nearly a line, which would be crossed once: only at {share:.0f} % of the "
        "scales does a larger rate learn again where a smaller one has diverged.",
        share=100 * np.mean(crossed > 1),
    )
    + initguide.says(
        middle < min(left, right),
        "It is most like a line where weights start at their usual size or a few times that "
        "({middle:.0f} % of these scales; {left:.0f} % of the smaller and {right:.0f} % of the "
        "larger ones).",
        "It is no more like a line where weights start at their usual size or a few times that "
        "({middle:.0f} % of these scales; {left:.0f} % of the smaller and {right:.0f} % of the "
        "larger ones).",
        left=left,
        middle=middle,
        right=right,
    )
)

# %%
# The red square is six pixels wide. Here it is with 128:

near = train(np.geomspace(*some_scales, 128), np.geomspace(*some_rates, 128))
_, ax = plots.subplots(width=5.8, height=4.6)
plots.plot_trainability(near, ax=ax).set_title("The red square, 32 times as large")

# %%
# Look for bands of rates at which networks diverge or learn, and for thinner bands, threads and
# single pixels along their borders. If the six pixels had shown all that there is, as many changes
# would be counted with 128:

square = whole.converged[
    np.ix_(
        (scales >= some_scales[0]) & (scales <= some_scales[1]),
        (rates >= some_rates[0]) & (rates <= some_rates[1]),
    )
]
before, after = changes(square).mean(), changes(near.converged).mean()
initguide.says(
    after > 1.5 * before,
    "On the way up through the square, the verdict changes {before:.1f} times on the map and "
    "{after:.1f} times from near, mean over the scales: from near, more of the border comes to "
    "light. So it is with a fractal, and so it is with any bundle of threads that are too thin for "
    "the map.",
    "On the way up through the square, the verdict changes {before:.1f} times on the map and "
    "{after:.1f} times from near, mean over the scales: the map had shown most of the border.",
    before=before,
    after=after,
)

# %%
# What is different here from the paper? There the outputs are also divided by the width, and there
# are as many examples as weights (or only one). The axes are the rates of the two layers, or a rate
# and a number added to the weights of one layer, where ours multiplies. It trains 500 or 1,000
# steps with 64-bit numbers, and zooms by ten powers of ten.
#
# Where theory expects the border
# -------------------------------
# If the loss is a quadratic function of the weights, gradient descent converges as long as the rate
# is below 2/λ, where λ is the :term:`sharpness`, the largest eigenvalue of the matrix of second
# derivatives (:doc:`an earlier page </auto_examples/practice/plot_4_scale_and_learning_rate>`). A
# linear network has such a loss; we train 512 of them, at rates around the limit.
#
# For our tanh network of 272 weights, λ can be computed exactly, too, but it changes on the way. We
# compute it at three places: at the start; where a network ends that is trained slowly, for 3,000
# steps at a rate of 0.05; and where one ends whose rate is 0.9 times the lowest that diverges.

exact = 2 / torch.linalg.eigvalsh(2 / 16 * x.double().T @ x.double())[-1].item()
line = np.geomspace(exact / 2, exact * 2, 512)
linear = nn.Linear(16, 1, bias=False)
nn.init.ones_(linear.weight)
learnt = train([1], line, linear).converged[0]
border = [line[learnt].max() / exact, line[~learnt].min() / exact]
print("linear: {:.3f} · 2/λ still converges, {:.3f} · 2/λ diverges".format(*border))


def limits(parameters):
    """2/λ for stacked weights."""

    def loss(flat):
        hidden = torch.tanh(x.double() @ flat[:256].view(16, 16).T)
        return mse(hidden @ flat[256:].view(16, 1), y.double())

    flat = torch.cat([w.flatten(1) for w in parameters.values()], 1).double()
    hessians = torch.vmap(torch.func.jacrev(torch.func.grad(loss)))(flat)
    return (2 / torch.linalg.eigvalsh(hessians)[:, -1]).numpy()


at = np.linspace(0, 191, 17, dtype=int)
some = torch.tensor(scales[at], dtype=torch.float32).view(-1, 1, 1)
start = {name: p.detach() * some for name, p in network.named_parameters()}
lowest = np.array([rates[~row].min() for row in whole.converged])
highest = np.array([rates[row].max() for row in whole.converged])
close = 0.9 * lowest[at]
limit = {"at the start": limits(start)}
for place, rate in {"slow": 0.05, "nearly diverging": close}.items():
    how = {"steps": 3000, "learning_rate": torch.tensor(rate), "loss": mse}
    ends = fit_many(network, start, x, y, **how)
    limit[f"after {place} training"] = limits(ends.parameters)

of_rate = limit["after nearly diverging training"] / close
first, last = (limit["at the start"] / lowest[at])[[0, -1]]

_, ax = plots.subplots()
label = "lowest that diverges\nto highest that converges"
ax.fill_between(scales, lowest, highest, color=plots.PALETTE[0], label=label)
for i, (place, values) in enumerate(limit.items()):
    look = {"ls": ("--", ":", "-.")[i], "color": plots.PALETTE[i + 1]}
    ax.plot(scales[at], values, **look, label=f"2/λ {place}")
ax.set(xlabel="initial scale (logarithmic)", ylabel="learning rate (logarithmic)")
ax.set(xscale="log", yscale="log", title="The border, and the limit for a parabola")
ax.legend()
plots.describe(
    ax,
    "Measured border and 2/λ over the initial scale. 2/λ at the start, relative to the lowest rate "
    f"that diverges: {first:.2g} for the smallest scale, {last:.2g} for the largest. Where tanh "
    f"networks near the border end: {of_rate.min():.2f} to {of_rate.max():.2f} times their rate.",
)

# %%

off = 100 * max(abs(1 - end) for end in border)
above_slow = (lowest[at] / limit["after slow training"]).min()
(
    initguide.says(
        off < 2,
        "For the linear network theory is right, to within {off:≤.1f} %.",
        "For the linear network the border is off by {off:.1f} %.",
        off=off,
    )
    + initguide.says(
        first > 1.5,
        "For the tanh network with the smallest weights, the limit at the start is {first:.1f} "
        "times the lowest rate that diverges: the loss is flat there and becomes steeper on the "
        "way.",
        "For the tanh network with the smallest weights, the limit at the start is no more than "
        "{first:.1f} times the lowest rate that diverges.",
        first=first,
    )
    + initguide.says(
        last < 0.5,
        "With the largest weights it is the other way round: networks learn up to {by:.0f} times "
        "that limit.",
        "With the largest weights networks learn up to {by:.1f} times that limit.",
        by=1 / last,
    )
    + initguide.says(
        above_slow > 1.1,
        "Nor is it the steepness where slow training ends that decides: at all scales, networks "
        "learn above that limit, too, up to at least {slow:.1f} times it.",
        "The steepness where slow training ends comes closer: at some scale, networks learn up to "
        "{slow:.1f} times that limit and no further.",
        slow=above_slow,
    )
    + initguide.says(
        bool(of_rate.min() > 0.9 and of_rate.max() < 1.3),
        "Where a network near the border comes to rest, the limit is about its own rate, {low:.2f} "
        "to {high:.2f} times it.",
        "Where networks near the border come to rest, the limit is {low:.2f} to {high:.2f} times "
        "their rate.",
        low=of_rate.min(),
        high=of_rate.max(),
    )
)

# %%
# That large rates push gradient descent out of steep places was seen by :cite:t:`lewkowycz2020`,
# and that it tends to stay at the edge of what its rate allows by :cite:t:`cohen2021`. So the
# :term:`stability limit` belongs to one place: it says where training can end, but not for which
# rates a path leads there.
#
# .. admonition:: Try it
#
#    Is it tanh that frays the border? Draw the same map with ReLU, and count the scales at which
#    training, on the way from small rates to large ones, diverges and then learns again.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          relu = nn.Sequential(network[0], nn.ReLU(), network[2])
#          found = train(scales[::4], np.geomspace(0.0015, 1.5, 64), relu)
#          plots.plot_trainability(found)
#          again = ~found.converged[:, :-1] & found.converged[:, 1:]
#          print(f"at {again.any(1).mean():.0%} of the scales")
#          # If that is more than 0 %, it is not tanh alone.
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        off < 2,
        "For the linear network, the border between learning and diverging lay where theory says, "
        "at :math:`2/\\lambda`.",
        "For the linear network, the border between learning and diverging lay {off:.1f} % away "
        "from where theory says, :math:`2/\\lambda`.",
        off=off,
    ),
    initguide.says(
        first > 1.5 and last < 0.5,
        "For this tanh network, :math:`2/\\lambda` at the start was too high for small weights, "
        "{first:.1f} times the lowest rate that diverged, and too low for large ones, {last:.2g} "
        "times.",
        "For this tanh network, :math:`2/\\lambda` at the start was {first:.1f} times the lowest "
        "rate that diverged for small weights, and {last:.2g} times for large ones.",
        first=first,
        last=last,
    ),
    initguide.says(
        np.mean(crossed > 1) > 0.1 and after > 1.5 * before,
        "That border was no line: between rates that learn lay rates that diverge, and zooming in "
        "brought more of them to light.",
        "That border was nearly a line, or zooming in brought little more of it to light.",
        key="fractal-border-no-line",
    ),
    initguide.says(
        seconds < 120,
        "Trained together, {count:,} tiny networks took {seconds:.0f} seconds.",
        "Even trained together, {count:,} tiny networks took {seconds:.0f} seconds here.",
        count=whole.converged.size,
        seconds=seconds,
    ),
)

# %%
# The rule to take home: **keep away from the largest learning rate that works.** Close to a border
# such as this one, digits of the settings that nobody looks at decide whether a run survives.
#
# Is the border a fractal, or just wiggly? :doc:`The next page
# </auto_examples/practice/plot_7_roughness>` counts boxes. Where between the borders networks learn
# *well* is shown by :doc:`the maps for Fashion-MNIST
# </auto_examples/practice/plot_4_scale_and_learning_rate>`.
