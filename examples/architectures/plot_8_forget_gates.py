"""
8. Forget gates
===============

An LSTM keeps its memory in a cell, and at each step a gate decides how much of that is kept. Before
training nobody has told the gate what to do, and its bias decides. This page predicts how long the
memory lasts, measures it and the gradient that goes back through it, and trains networks that have
to wait before they may answer.

.. admonition:: What you will learn

   - why a forget gate's :term:`bias` b gives a memory of σ(b)ᵗ, and where to set it in PyTorch
   - what the chrono initialization does, which has short and long memories side by side
   - whether gates that start open learn faster where something has to be remembered

.. meta::
   :keywords: LSTM, GRU, forget gate, forget gate bias, update gate, chrono initialization,
      bias_ih, bias_hh, order of the gates, long-term memory, vanishing gradients through time
"""

# %%
# A memory of σ(b)ᵗ
# -----------------
# A plain :doc:`recurrent network <plot_7_recurrent>` multiplies its state by a matrix at each step.
# An LSTM has a cell that no matrix multiplies: cₜ = fₜ cₜ₋₁ + iₜ gₜ, with a **forget gate**
# fₜ = σ(… + b), between 0 and 1. With small weights fₜ is near σ(b), and after t steps a share of
# σ(b)ᵗ is left. Over 30 steps that is a billionth with b = 0, less than a ten-thousandth with
# b = 1, and almost a quarter with b = 3. :cite:t:`gers2000` invented the gate, and
# :cite:t:`jozefowicz2015` advise a bias of 1.
#
# PyTorch keeps *two* biases for each gate, ``bias_ih`` and ``bias_hh``, and adds them: set one of
# them and let the other be 0. The order of the gates is input, forget, cell, output, so the forget
# gates of n units have the numbers n to 2n − 1.
#
# :cite:t:`tallec2018` want memories of every length to be there from the start: their *chrono*
# initialization draws u from U(1, T − 1) for each unit, T being the longest wait, and sets the
# forget bias to ln u and that of the input gate to −ln u. Then σ(b) = u/(1 + u), a memory of about
# u steps.

import math

import numpy as np
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots
from initguide.models import Reader
from initguide.propagation import gradients_through_time

UNITS, STEPS = 48, 40


def forget(bias):
    """Xavier, orthogonal recurrences, and a forget bias: a number, or "chrono"."""

    def weights_init(module):
        init.xavier_uniform()(module)
        if isinstance(module, nn.LSTM):
            n, b = module.hidden_size, module.bias_ih_l0.detach()
            if bias == "chrono":
                b[n : 2 * n] = torch.empty(n).uniform_(1, STEPS - 1).log()
                b[:n] = -b[n : 2 * n]
            else:
                b[n : 2 * n] = bias

    return weights_init


schemes = {
    "default": init.default(),
    "b = 0": forget(0.0),
    "b = 1": forget(1.0),
    "b = 3": forget(3.0),
    "chrono": forget("chrono"),
}

# %%
# What is predicted for the default? Its biases are small random numbers, so b is about 0. For
# chrono the share is the mean of (u/(1 + u))ᵗ over u:

t = np.arange(STEPS)
shares = {"default": 0.5, "b = 0": 0.5}
shares |= {f"b = {b}": 1 / (1 + math.exp(-b)) for b in (1, 3)}
expected = {name: share**t for name, share in shares.items()}
u = np.linspace(1, STEPS - 1, 1001)
expected["chrono"] = ((u / (1 + u)) ** t[:, None]).mean(1)

# %%
# Does it hold?
# -------------
# The weights are not 0 and the gates see the images, so a gate is not σ(b) but only near it. We let
# LSTMs of 48 units read images averaged to 14 × 14 pixels, one row per step, and then 26 blank
# rows. We multiply their forget gates, from the last step back, and take the mean over units and
# images. Beside it we measure what is left in the cell of a gradient that goes back through time,
# by :func:`~initguide.propagation.gradients_through_time`.

data = initguide.fashion_mnist().subset(train=3000, valid=1000, test=500)
small = data.transformed(
    lambda x: (nn.functional.avg_pool2d(x, 2) - 0.286) / 0.3, "averaged to 14 × 14"
)
x = Reader("LSTM").rows(small.train.images[:200])  # (images, steps, pixels)


def kept(lstm):
    """Mean product of the last t forget gates, for each t."""
    before, now = lstm(x)[0][:, :-1], x[:, 1:]  # states, and the rows after them
    sums = now @ lstm.weight_ih_l0.T + before @ lstm.weight_hh_l0.T
    sums += lstm.bias_ih_l0 + lstm.bias_hh_l0
    gates = sums[..., UNITS : 2 * UNITS].sigmoid().double()
    return [1.0, *gates.flip(1).cumprod(1).mean((0, 2)).tolist()]


gates, grads = {}, {}
for name, scheme in schemes.items():
    new = [nn.LSTM(14, UNITS, batch_first=True) for _ in range(4)]
    nets = [initguide.initialize(net, scheme, seed=s) for s, net in enumerate(new)]
    gates[name] = np.array([kept(net) for net in nets])
    grads[name] = np.array([gradients_through_time(net, x) for net in nets])
fig, (left, right) = plots.subplots(1, 2, height=4.6, sharey=True)
look = {"at": t, "log": True, "xlabel": "steps back", "legend": False}
plots.plot_prediction(gates, expected, title="Product of gates", ax=left, **look)
plots.plot_prediction(grads, expected, title="Gradient of cell", ax=right, **look)
left.set_ylabel("share (left), root mean square (right),\nlogarithmic scale")
labels = left.get_legend_handles_labels()
fig.legend(*labels, loc="outside lower center", ncols=4)
words = f"{STEPS - 1} steps back, predicted, product of gates, gradient of cell:"
for name, row in expected.items():
    ends = row[-1], gates[name][:, -1].mean(), grads[name][:, -1].mean()
    words += f" {name} " + ", ".join(f"{end:.1g}" for end in ends) + ";"
plots.describe(fig, words)

# %%
# Lines are means of four draws, and dashed is σ(b)ᵗ in both panels, the same for the default and
# for b = 0. Left: it ignores the weights, and still it tells the product of the forget gates, over
# many orders of magnitude. (Beyond 26 steps back rows come in, and gates move.) The default's gates
# start half closed, as those of b = 0 do.
#
# Right: the *whole* gradient is larger, by orders of magnitude where the gates are half closed, and
# with open gates it can even grow. The formula follows the cell alone, while a gradient also goes
# through the state h and the weights. So σ(b)ᵗ is a floor under the memory of these LSTMs, and the
# part that you can set.
#
# A task that needs memory
# ------------------------
# Does it show in training? A classifier sees the 14 rows, waits for 26 steps, and answers from its
# last state. We train for two epochs on 3,000 images. (Knowing nothing gives a loss of ln 10,
# that is 2.303.)

fit = {"epochs": 2, "batch_size": 50, "learning_rate": 0.003, "seeds": 5}
result = initguide.compare_init_weights(
    schemes, small, model=lambda: Reader("LSTM"), **fit
)
result

# %%

for name in ("default", "b = 1", "b = 3", "chrono"):
    print(result.difference(name, "b = 0", "valid_loss"))

# %%
# Below zero is better than b = 0. The default learnt nothing in two epochs; what it would learn in
# twenty is not measured here. Xavier's weights with orthogonal recurrences and b = 0 learn
# something, differently well from seed to seed, and gates that start wide open learn more. The
# table's last column says whether these runs can tell b = 3 and chrono apart.
#
# .. admonition:: Try it
#
#    A GRU has an update gate instead, hₜ = z hₜ₋₁ + (1 − z) nₜ in PyTorch's convention, and its
#    order of gates is reset, update, new. Which bias keeps nine tenths of the state at each step?
#    Set it, and measure.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          # σ(b) = 0.9 for b = ln 9 = 2.2. In the papers that write z and 1 − z the other way
#          # round, the sign is the opposite.
#          for bias in (0.0, math.log(9)):
#              gru = nn.GRU(14, UNITS, batch_first=True)
#              initguide.initialize(gru, "xavier_uniform", seed=0)
#              gru.bias_ih_l0.detach()[UNITS : 2 * UNITS] = bias
#              found, share = gradients_through_time(gru, x).tolist(), 1 / (1 + math.exp(-bias))
#              print(bias, [(round(found[t], 4), round(share**t, 4)) for t in (1, 5, 20)])
#
# What we learnt
# --------------
# - Forget gates with bias b let about σ(b)ᵗ of the cell through. The whole gradient was larger,
#   because there are other ways, and that of PyTorch's default was the smallest of all.
# - On a task with a wait of 26 steps, the default ended at the loss of knowing nothing. A forget
#   bias of 3 and the chrono initialization beat b = 0.
# - **Rule:** where an LSTM must remember, set one of the two forget biases so that σ(b)ᵗ is not
#   small for the t steps of the wait, leave the other at 0, and use orthogonal recurrences.
#
# Next section: :doc:`check your own network </auto_examples/practice/plot_1_check_your_network>`.
