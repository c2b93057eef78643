"""
7. Recurrent networks
=====================

A recurrent network multiplies its state by one and the same matrix at every step. What does that do
to a memory that must last for thirty steps? This page predicts how fast states and gradients fade
over time, measures it, and then trains networks that read an image row by row and have to wait
before they may answer.

.. admonition:: What you will learn

   - how much of a state is left after t steps with PyTorch's default, Gaussian and orthogonal
     matrices
   - how to predict and measure the gradient that goes back through time
   - which of these starts learn a task that needs memory, and which do not

.. meta::
   :keywords: recurrent network, RNN, orthogonal recurrence, identity RNN, IRNN, recurrent matrix,
      vanishing gradients through time, exploding gradients, backpropagation through time, memory
"""

# %%
# One matrix, many times
# ----------------------
# Leave out inputs and activations, and a recurrent network computes hₜ = W hₜ₋₁. With n units and
# weights of variance g²/n, a multiplication by a *fresh* matrix has g² times the mean square on
# average, so t of them have g²ᵗ times. PyTorch's default for its recurrent layers draws every
# number from U(−1/√n, 1/√n), of variance 1/(3n): g² is a third. Here W is the same matrix each
# time, which the prediction ignores.

import numpy as np
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, theory
from initguide.models import Reader
from initguide.propagation import gradients_through_time

UNITS, STEPS, SEEDS = 48, 40, range(8)


def recurrence(fill):
    """A scheme: Xavier's, with ``fill`` for the matrix between the states."""

    def weights_init(module):
        init.xavier_uniform()(module)
        if isinstance(module, nn.RNN):
            fill(module.weight_hh_l0)

    return weights_init


schemes = {
    "default": init.default(),
    "Gaussian": recurrence(lambda w: nn.init.normal_(w, 0, len(w) ** -0.5)),
    "orthogonal": recurrence(nn.init.orthogonal_),
}
g = {"default": 3**-0.5, "Gaussian": 1.0, "orthogonal": 1.0}


def network(scheme, seed, units=UNITS):
    net = nn.RNN(14, units, batch_first=True)
    return initguide.initialize(net, scheme, seed=seed)


def sizes(w):
    """Mean square of a state after 0, 1, 2, … steps, relative to the start."""
    powers = (torch.linalg.matrix_power(w, t) for t in range(STEPS + 1))
    return [power.square().sum().item() / len(w) for power in powers]


plots.plot_prediction(
    {
        name: [sizes(network(scheme, s, units=256).weight_hh_l0) for s in SEEDS]
        for name, scheme in schemes.items()
    },
    {name: [g[name] ** (2 * t) for t in range(STEPS + 1)] for name in schemes},
    at=range(STEPS + 1),
    title="Size of the state (256 units, 8 seeds)",
    xlabel="steps",
    ylabel="mean square / that at the start",
)

# %%
# Lines are means of eight draws, bands reach from the smallest to the largest. With the default a
# state fades as predicted, to nothing. An orthogonal matrix only turns or mirrors it.
# A Gaussian one keeps it at first, on average; then some draws grow, for the errors of one matrix
# repeat themselves and do not average out. Nor does it keep *directions*: as shown in
# :doc:`/auto_examples/theory/plot_6_orthogonal`, a product of Gaussian matrices soon has a few
# directions that carry all there is.
#
# With tanh and real inputs
# -------------------------
# Now the whole layer, hₜ = tanh(W hₜ₋₁ + V xₜ + b), reading images averaged to 14 × 14 pixels, one
# row per step, and then 26 blank rows. A :term:`length map` gives the mean square q of the sums,
# step by step: the state adds g² E[tanh²(√q z)], and what comes from outside adds its own mean
# square: Var(V) · \|x\|² from the row, and from random biases their variance.

data = initguide.fashion_mnist().subset(train=3000, valid=1000, test=500)
small = data.transformed(
    lambda x: (nn.functional.avg_pool2d(x, 2) - 0.286) / 0.3, "averaged to 14 × 14"
)
x = Reader("RNN").rows(small.train.images[:20])  # (images, steps, pixels)
squares = x.square().sum(2).double().numpy()
outside = dict.fromkeys(schemes, squares * 2 / (14 + UNITS))  # Xavier's variance
outside["default"] = (squares + 2) / (3 * UNITS)  # 2: two biases, as the weights

# %%
# Backpropagation through time multiplies a gradient by the same W at each step, and by the slope of
# tanh. So a step multiplies its mean square by g² E[tanh'²(√q z)]. The product of these factors is
# the prediction, and :func:`~initguide.propagation.gradients_through_time` measures it:


def predict(g, outside):
    """Root mean square of the gradient t steps back, relative to that in the last state."""
    q, factors = outside[:, 0], []
    for added in outside.T[1:]:
        q = theory.length_map(q, "tanh", g, np.sqrt(added))
        factors.append(theory.length_map(q, lambda x: 1 - x.tanh() ** 2, g))
    shares = np.cumprod([np.ones_like(q), *factors[::-1]], axis=0)
    return np.sqrt(shares.mean(axis=1))


plots.plot_prediction(
    {
        name: [gradients_through_time(network(scheme, s), x) for s in SEEDS]
        for name, scheme in schemes.items()
    },
    {name: predict(g[name], outside[name]) for name in schemes},
    at=range(STEPS),
    title="Gradients through time, tanh (8 seeds)",
    xlabel="steps back",
    ylabel="root mean square / that in the last state",
)

# %%
# The step that the network waits in last is at the left, the rows are at the right (beyond 26 steps
# back). The default loses a factor of about √3 per step, and over 39 steps about eight orders of
# magnitude or more. The other two lose little while the network waits, because tanh is nearly
# linear for the small states that are left, and more where rows come in and push tanh to its flat
# ends. The prediction assumes fresh matrices. It runs along the orthogonal line all the same, for
# such a matrix has no errors to repeat. Gaussian matrices and the default do: single draws end
# more than a factor of ten apart, on both sides of the dashed line, and the largest draw makes
# up most of their mean.
#
# A task that needs memory
# ------------------------
# Does it show in training? A classifier sees the 14 rows, waits for 26 steps, and answers from its
# last state. We train for two epochs on 3,000 images, with two learning rates:

rates = [0.001, 0.003]
grid = {"scheme": schemes, "learning_rate": rates}
fit = {"epochs": 2, "batch_size": 50, "seeds": 4}
result = initguide.sweep(grid, small, model=lambda: Reader("RNN"), **fit)
result

# %%
# Knowing nothing gives a loss of ln 10 = 2.303. We compare seed by seed with the Gaussian matrices:

for rate in rates:
    gaussian = {"scheme": "Gaussian", "learning_rate": rate}
    for name in ("default", "orthogonal"):
        other = {**gaussian, "scheme": name}
        print(result.difference(other, gaussian, "valid_loss"))

# %%
# Below zero, the first of the two is ahead. At the smaller rate the default learns nothing. To
# learn what the first row is good for, a gradient has to come back to it from the answer, and about
# a billionth of it arrives. At the larger rate a seed may find its way out. The other two learn at
# both. Whether orthogonal matrices beat Gaussian ones, the intervals say for each rate.
#
# .. admonition:: Try it
#
#    :cite:t:`le2015` use ReLU, and the identity between the states. That neither turns a state nor
#    changes it while the network waits. Does it learn the task faster than tanh with an orthogonal
#    matrix? Make the same sweep, and compare seed by seed.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          from initguide.experiments import mean_interval
#
#          relu = initguide.sweep(
#              {"scheme": {"identity": recurrence(nn.init.eye_)}, "learning_rate": rates},
#              small, model=lambda: Reader("RNN", nonlinearity="relu"), **fit,
#          )
#          for rate in rates:
#              a = relu.values("valid_loss", learning_rate=rate)
#              b = result.values("valid_loss", scheme="orthogonal", learning_rate=rate)
#              gap, (low, high) = mean_interval(a - b)
#              print(f"{rate:g}: {gap:+.2f}, interval {low:+.2f} to {high:+.2f}")
#          # Faster where the interval is below 0.
#
# What we learnt
# --------------
# - PyTorch's default for recurrent layers has variance 1/(3n): a state loses two thirds of its mean
#   square per step, and the gradient over 39 steps of a tanh network shrank by eight orders of
#   magnitude or more, as predicted.
# - An orthogonal matrix keeps the size of a linear state exactly. A Gaussian one keeps it for a
#   while, on average, and then some draws grow.
# - On a task with a wait of 26 steps, the default ended at the loss of knowing nothing at the
#   smaller rate, where Gaussian and orthogonal matrices learnt.
# - **Rule:** do not leave a recurrent network at its default where it must remember. Use orthogonal
#   recurrences, as ``initguide.initialize(net, "xavier_uniform")`` gives them.
#
# An LSTM keeps its memory in a cell that no matrix multiplies: :doc:`plot_8_forget_gates`.
