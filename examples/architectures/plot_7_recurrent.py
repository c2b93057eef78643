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


kept = {
    name: [sizes(network(scheme, s, units=256).weight_hh_l0) for s in SEEDS]
    for name, scheme in schemes.items()
}
plots.plot_prediction(
    kept,
    {name: [g[name] ** (2 * t) for t in range(STEPS + 1)] for name in schemes},
    at=range(STEPS + 1),
    title="Size of the state (256 units, 8 seeds)",
    xlabel="steps",
    ylabel="mean square / that at the start",
)

# %%
# Lines are means of eight draws, bands reach from the smallest to the largest.

fading, gaussian, turning = map(np.array, kept.values())  # (seeds, steps)
per_step = initguide.estimate(fading[:, -1] ** (1 / STEPS))
turned = np.abs(turning - 1).max()
at_first = initguide.estimate(gaussian[:, 10])
end = gaussian[:, -1]
(
    initguide.says(
        per_step.within(0.28, 0.39),
        "With the default a state fades at about the rate that is predicted: a step leaves "
        "{share:.3f} of its mean square, and a third is expected.",
        "With the default a step leaves {share:.3f} of the state's mean square, which is not the "
        "third that is predicted.",
        "With the default a step leaves {share:.3f} of the state's mean square, and a third is "
        "predicted.",
        share=per_step,
    )
    + initguide.says(
        turned < 1e-3,
        "An orthogonal matrix only turns or mirrors a state, and keeps its size.",
        "An orthogonal matrix should keep the size of a state; rounding changed it by "
        "{turned:.1%}.",
        turned=turned,
    )
    + initguide.says(
        at_first.within(0.5, 2),
        "A Gaussian one keeps it at first, on average: after ten steps there is {size:.2f} times "
        "as much.",
        "A Gaussian one does not keep it: after ten steps there is {size:.2f} times as much.",
        "Whether a Gaussian one keeps it over ten steps, eight draws cannot tell: {size:.2f} "
        "times.",
        size=at_first,
    )
    + initguide.says(
        end.max() > 3,
        "Later draws grow, for the errors of one matrix repeat themselves and do not average out: "
        "at the end {grown} of {draws} are larger than at the start, the largest {largest:.1f} "
        "times, the smallest {smallest:.2f} times.",
        "At the end, too, no draw has grown by much: the largest has {largest:.1f} times its mean "
        "square, the smallest {smallest:.2f} times.",
        grown=(end > 1).sum(),
        draws=len(end),
        largest=end.max(),
        smallest=end.min(),
    )
)

# %%
# Nor does a Gaussian matrix keep *directions*: as shown in
# :doc:`/auto_examples/theory/plot_6_orthogonal`, a product of such matrices soon has a few
# directions that carry all there is.
#
# With tanh and real inputs
# -------------------------
# Now the whole layer, hₜ = tanh(W hₜ₋₁ + V xₜ + b), reading images averaged to 14 × 14 pixels, one
# row per step, and then 26 blank rows. A :term:`length map` gives the mean square q of the sums,
# step by step: the state adds g² E[tanh²(√q z)], and what comes from outside adds its own mean
# square: Var(V) · \|x\|² from the row, and from random biases their variance.
#
# Backpropagation through time multiplies a gradient by the same W at each step, and by the slope of
# tanh. So a step multiplies its mean square by g² E[tanh'²(√q z)]. The product of these factors is
# the prediction, and :func:`~initguide.propagation.gradients_through_time` measures it:

data = initguide.fashion_mnist().subset(train=3000, valid=1000, test=500)
shrink = nn.AvgPool2d(2)
small = data.transformed(lambda x: (shrink(x) - 0.286) / 0.3, "averaged to 14 × 14")
x = Reader("RNN").rows(small.train.images[:20])  # (images, steps, pixels)
squares = x.square().sum(2).double().numpy()
outside = dict.fromkeys(schemes, squares * 2 / (14 + UNITS))  # Xavier's variance
outside["default"] = (squares + 2) / (3 * UNITS)  # 2: two biases, as the weights


def predict(g, outside):
    """Root mean square of the gradient t steps back, relative to that in the last state."""
    q, factors = outside[:, 0], []
    for added in outside.T[1:]:
        q = theory.length_map(q, "tanh", g, np.sqrt(added))
        factors.append(theory.length_map(q, lambda x: 1 - x.tanh() ** 2, g))
    shares = np.cumprod([np.ones_like(q), *factors[::-1]], axis=0)
    return np.sqrt(shares.mean(axis=1))


back = {
    name: np.array([gradients_through_time(network(scheme, s), x) for s in SEEDS])
    for name, scheme in schemes.items()
}
expected = {name: predict(g[name], outside[name]) for name in schemes}
plots.plot_prediction(
    back,
    expected,
    at=range(STEPS),
    title="Gradients through time, tanh (8 seeds)",
    xlabel="steps back",
    ylabel="root mean square / that in the last state",
)

# %%
# The step that the network waits in last is at the left, the rows are at the right (beyond 26 steps
# back). While the network waits, tanh is nearly linear for the small states that are left; where
# rows come in, they push it to its flat ends.

lost = -np.log10(back["default"][:, -1].max())
line = back["orthogonal"].mean(0)
waiting, reading = line[26], line[-1] / line[26]
stray = np.exp(np.abs(np.log(line / expected["orthogonal"])).max())
last = {name: back[name][:, -1] for name in ("Gaussian", "default")}
(
    initguide.says(
        lost > 6,
        "Over {steps} steps, the default loses {lost:.1f} orders of magnitude even in the draw "
        "that keeps most.",
        "Over {steps} steps, the default loses {lost:.1f} orders of magnitude in the draw that "
        "keeps most, fewer than predicted.",
        steps=STEPS - 1,
        lost=lost,
    )
    + initguide.says(
        waiting ** (1 / 26) > reading ** (1 / 13),
        "Orthogonal matrices keep {waiting:.2f} over the wait, and {reading:.2g} of that over the "
        "rows, which take more per step.",
        "Orthogonal matrices keep {waiting:.2f} over the wait, and {reading:.2g} of that over the "
        "rows, which do not take more per step.",
        waiting=waiting,
        reading=reading,
    )
    + initguide.says(
        stray < 1.5,
        "The prediction assumes fresh matrices. It is within a factor of {stray:≤.2f} of the "
        "orthogonal line all the same, for such a matrix has no errors to repeat.",
        "The prediction assumes fresh matrices, and the orthogonal line strays from it by a factor "
        "of up to {stray:.2f}.",
        stray=stray,
    )
    + initguide.says(
        all(ends.max() > 10 * ends.min() for ends in last.values()),
        "Gaussian matrices and the default do repeat their errors: the largest of eight draws ends "
        "with {gaussian:.0f} and {default:.0f} times what the smallest has.",
        "Gaussian matrices and the default do repeat their errors; still, the largest of eight "
        "draws ends with only {gaussian:.0f} and {default:.0f} times what the smallest has.",
        gaussian=last["Gaussian"].max() / last["Gaussian"].min(),
        default=last["default"].max() / last["default"].min(),
    )
)

# %%
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
# Knowing nothing gives a loss of ln 10 = 2.303. To learn what the first row is good for, a gradient
# has to come back to it from the answer. We compare seed by seed:

default, gaussian, orthogonal = result.array("valid_loss")  # each (rates, seeds)
stuck, escaped = initguide.estimate(default[0]), default[1]
learnt = initguide.estimate(np.maximum(gaussian, orthogonal).max(0))
ahead = [initguide.estimate(gap) for gap in gaussian - orthogonal]
(
    initguide.says(
        stuck.above(2.2),
        "At the smaller rate the default learns nothing: its loss is {loss:.2f}.",
        "At the smaller rate the default learns something: its loss is {loss:.2f}.",
        "Whether the default learns anything at the smaller rate, these seeds cannot tell: its "
        "loss is {loss:.2f}.",
        loss=stuck,
    )
    + initguide.says(
        (escaped < 2.2).any(),
        "At the larger rate, {out} of {seeds} seeds find a way out, the best to {best:.2f}.",
        "At the larger rate, too, none of {seeds} seeds finds a way out; the best ends at "
        "{best:.2f}.",
        out=int((escaped < 2.2).sum()),
        seeds=len(escaped),
        best=np.nanmin(escaped),
    )
    + initguide.says(
        learnt.below(2.2),
        "The other two learn at both rates: the worse of them, seed by seed, ends at {loss:.2f}.",
        "Of the other two, not both learn at both rates: the worse ends at {loss:.2f}.",
        "Whether the other two learn at both rates is open: the worse ends at {loss:.2f}.",
        loss=learnt,
    )
    + initguide.says(
        ahead[0].above(),
        "At the smaller rate, orthogonal matrices are ahead of Gaussian ones, by {gap:.2f}.",
        "At the smaller rate, orthogonal matrices are behind Gaussian ones.",
        "At the smaller rate, these seeds cannot tell orthogonal matrices from Gaussian ones.",
        gap=ahead[0],
    )
    + initguide.says(
        ahead[1].above(),
        "At the larger one, orthogonal matrices are ahead.",
        "At the larger one, Gaussian matrices are ahead.",
        "At the larger one, they cannot be told apart.",
    )
)

# %%
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
#          relu = initguide.sweep(
#              {"scheme": {"identity": recurrence(nn.init.eye_)}, "learning_rate": rates},
#              small, model=lambda: Reader("RNN", nonlinearity="relu"), **fit,
#          )
#          for rate, gap in zip(rates, relu.array("valid_loss")[0] - orthogonal, strict=True):
#              print(f"{rate:g}: {initguide.estimate(gap):+.2f}")
#          # Faster where the interval is below 0.
#
# What we learnt
# --------------

rule = initguide.estimate(default[0] - orthogonal[0])
initguide.bullets(
    initguide.says(
        per_step.within(0.28, 0.39),
        "PyTorch's default for recurrent layers has variance :math:`1/(3n)`: a state loses two "
        "thirds of its mean square per step.",
        "PyTorch's default for recurrent layers has variance :math:`1/(3n)`; but a state did not "
        "lose two thirds of its mean square per step.",
        "PyTorch's default for recurrent layers has variance :math:`1/(3n)`; whether a state loses "
        "two thirds of its mean square per step, these draws cannot tell.",
        key="recurrent-default-fades",
    )
    + initguide.says(
        lost > 6,
        "The gradient over {steps} steps of a tanh network shrank by {lost:.1f} orders of "
        "magnitude or more.",
        "The gradient over {steps} steps of a tanh network shrank by no more than {lost:.1f} "
        "orders of magnitude in one draw.",
        steps=STEPS - 1,
        lost=lost,
    ),
    initguide.says(
        turned < 1e-3 and end.max() > 3,
        "An orthogonal matrix keeps the size of a linear state, up to rounding. With Gaussian ones "
        "{grown} of {draws} draws grew.",
        "An orthogonal matrix should keep the size of a linear state, and some Gaussian ones let "
        "it grow; not both came out here.",
        grown=(end > 1).sum(),
        draws=len(end),
    ),
    initguide.says(
        stuck.above(2.2),
        "On a task with a wait of {wait} steps, the default ended at the loss of knowing nothing "
        "at the smaller of two rates.",
        "On a task with a wait of {wait} steps, the default learnt something even at the smaller "
        "of two rates.",
        "On a task with a wait of {wait} steps, these seeds cannot tell whether the default learnt "
        "anything at the smaller of two rates.",
        wait=STEPS - 14,
        key="recurrent-default-nothing",
    )
    + initguide.says(
        learnt.below(2.2),
        "Gaussian and orthogonal matrices learnt at both.",
        "Gaussian and orthogonal matrices did not both learn at both.",
        "Whether Gaussian and orthogonal matrices learnt at both is open.",
    )
    + initguide.says(
        (escaped < 2.2).any(),
        "At the larger one, the default learnt from {out} of {seeds} seeds.",
        "At the larger one, the default learnt from none of {seeds} seeds.",
        out=(escaped < 2.2).sum(),
        seeds=len(escaped),
    ),
    initguide.says(
        rule.above(),
        "**Rule:** do not leave a network of tanh at its default where it must remember. Use "
        'orthogonal recurrences, as ``initguide.initialize(net, "xavier_uniform")`` gives them.',
        "**Rule:** where a recurrent network must remember, try orthogonal recurrences, as "
        '``initguide.initialize(net, "xavier_uniform")`` gives them; here they were not better '
        "than the default.",
        "**Rule:** where a recurrent network must remember, try orthogonal recurrences, as "
        '``initguide.initialize(net, "xavier_uniform")`` gives them; whether they beat the default '
        "here, these seeds cannot tell.",
        key="recurrent-orthogonal",
    ),
)

# %%
# An LSTM keeps its memory in a cell that no matrix multiplies: :doc:`plot_8_forget_gates`.
