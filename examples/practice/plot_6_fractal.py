"""
6. The boundary is a fractal
============================

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

import os
import time

import numpy as np
import torch
from torch import nn

from initguide import plots
from initguide.experiments import trainability_map
from initguide.training import fit_many

mse = nn.functional.mse_loss

draw = torch.Generator().manual_seed(0)
network = nn.Sequential(
    nn.Linear(16, 16, bias=False), nn.Tanh(), nn.Linear(16, 1, bias=False)
)
for weights in network.parameters():
    nn.init.normal_(weights, std=1 / 4, generator=draw)
x = torch.randn(16, 16, generator=draw)
y = torch.randn(16, 1, generator=draw)


def train(scales, rates, model=network):
    """A map with a network for each scale and learning rate."""
    axes = {"scales": scales, "learning_rates": rates}
    return trainability_map(model, x, y, **axes, steps=200, loss=mse)


started = time.perf_counter()
scales, rates = np.geomspace(0.03, 30, 256), np.geomspace(0.15, 1.5, 256)
whole = train(scales, rates)
seconds = time.perf_counter() - started
print(
    f"{whole.converged.size:,} networks: {seconds:.0f} s on {os.cpu_count()} cores"
)

# %%
# What counts as converged? As in the paper: that the loss, averaged over the last twenty steps to
# even out oscillations, is below the first one. Everything else has diverged.
#
# To look closer, we want a place where much happens. Pixels whose neighbours disagree with them are
# the border, and of the 32 × 32 squares that the map can be divided into,
# :meth:`~initguide.experiments.TrainabilityMap.richest` takes the one that holds most of it. On the
# map it is red.

some_scales, some_rates = whole.richest(parts=32)

_, ax = plots.subplots(width=5.8, height=4.6)
plots.plot_trainability(whole, ax=ax)
around = [0, 1, 1, 0, 0], [0, 0, 1, 1, 0]
ax.plot(np.take(some_scales, around[0]), np.take(some_rates, around[1]), "r", lw=2)

# %%
# Blue networks learn, orange ones diverge, and dark blue meets pale orange where it takes long to
# tell. Small rates learn and large ones do not, as it should be. But the border is no line. On its
# left part, blue threads reach up into the region that diverges, one beside the other, and pale
# specks lie below. On its right end it is grainy. Only where weights start at their usual size or a
# few times that does it look like a line.
#
# The red square is eight pixels wide. Here it is with 160:

near = train(np.geomspace(*some_scales, 160), np.geomspace(*some_rates, 160))
_, ax = plots.subplots(width=5.8, height=4.6)
plots.plot_trainability(near, ax=ax).set_title("The red square, 32 times as large")

# %%
# A band of rates at which networks diverge, then one at which they learn, and so on; and along the
# bands' borders lie thinner bands, threads and single pixels. It is the look of a fractal: from
# near, the border is no smoother than from afar.
#
# What is different here from the paper? There the outputs are also divided by the width, and there
# are as many examples as weights (or only one). The axes are the rates of the two layers, or a rate
# and a number added to the weights of one layer, where ours multiplies. Training takes 500 or 1,000
# steps with 64-bit numbers, and the zooms go on for more than ten powers of ten.
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


some = torch.tensor(scales[::8], dtype=torch.float32).view(-1, 1, 1)
start = {name: p.detach() * some for name, p in network.named_parameters()}
lowest = np.array([rates[~row].min() for row in whole.converged])
highest = np.array([rates[row].max() for row in whole.converged])
close = 0.9 * lowest[::8]
limit = {"at the start": limits(start)}
for place, rate in {"slow": 0.05, "nearly diverging": close}.items():
    how = {"steps": 3000, "learning_rate": torch.tensor(rate), "loss": mse}
    ends = fit_many(network, start, x, y, **how)
    limit[f"after {place} training"] = limits(ends.parameters)

of_rate = limit["after nearly diverging training"] / close
ends = f"{of_rate.min():.2f} to {of_rate.max():.2f} times their rate"
print(f"tanh networks near the border end where 2/λ is {ends}")

_, ax = plots.subplots()
measured = "lowest that diverges\nto highest that converges"
ax.fill_between(scales, lowest, highest, color=plots.PALETTE[0], label=measured)
for i, (place, values) in enumerate(limit.items()):
    look = {"ls": ("--", ":", "-.")[i], "color": plots.PALETTE[i + 1]}
    ax.plot(scales[::8], values, **look, label=f"2/λ {place}")
ax.set(xlabel="initial scale (logarithmic)", ylabel="learning rate (logarithmic)")
ax.set(xscale="log", yscale="log", title="The border, and the limit for a parabola")
ax.legend()
first, last = limit["at the start"][[0, -1]] / lowest[::8][[0, -1]]
plots.describe(
    ax,
    "Measured border and 2/λ over the initial scale. 2/λ at the start, relative to the lowest rate "
    f"that diverges: {first:.2g} for the smallest scale, {last:.2g} for the largest. Networks near "
    f"the border end where it is {ends}.",
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
# So the :term:`stability limit` belongs to one place: it says where training can end, but not for
# which rates a path leads there. And none of these smooth curves has threads.
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
#          # Not tanh alone: with ReLU, too, there are scales at which a larger rate learns again.
#
# What we learnt
# --------------
# - For a linear network, the border between learning and diverging lies where theory says, at 2/λ.
# - For a tanh network, 2/λ at the start was too high for small weights and far too low for large
#   ones. Networks near the border ended where 2/λ was about their own rate.
# - That border is no line: between rates that learn lie rates that diverge, and zooming in by a
#   factor of 32 showed more of the same.
# - Tens of thousands of tiny networks are a matter of a minute, if they are trained together.
# - The rule to take home: **keep away from the largest learning rate that works. Close to the
#   border, whether a run survives is decided by digits of its settings that nobody looks at.**
#
# Is the border a fractal, or just wiggly? :doc:`The next page
# </auto_examples/practice/plot_7_roughness>` counts boxes. Where between the borders networks learn
# *well* is shown by :doc:`the maps for Fashion-MNIST
# </auto_examples/practice/plot_4_scale_and_learning_rate>`.
