"""
4. Gains
========

Most activations change the size of the signal, and the weights behind them can make up for that by
one factor: the gain. Which factor? Tables offer √2 for ReLU, 5/3 for tanh, 3/4 for SELU and 1 for
sigmoid. This page computes the factors for fifteen activations, finds out which of these numbers
can be derived, and sends images through thirty layers with each choice.

.. index:: ! gain, ! calculate_gain

.. admonition:: What you will learn

   - how the :term:`gain` of any activation follows from one integral, and why there are two of them
   - where √2, 5/3 and 3/4 come from
   - what thirty layers make of each choice, and what a deep sigmoid network would need

.. meta::
   :keywords: gain, calculate_gain, 5/3 for tanh, SELU 3/4, sqrt(2) ReLU, GELU, SiLU, sigmoid
"""

# %%
# One integral
# ------------
# Page 2 found that a layer with weights of variance g²/n turns the mean square of what comes in,
# E[x²], into g² E[x²]. What comes in is φ(z), with z the :term:`pre-activations <pre-activation>`
# of the layer before. In a wide layer these are close to normal. If they have variance 1, they keep
# it when
#
# .. math:: g^2 \; E[\varphi(z)^2] = 1, \qquad z \sim N(0, 1).
#
# For ReLU the integral can be done in the head: it keeps half of a symmetric distribution, so
# E[φ(z)²] = 1/2 and g = √2. This is the gain of :cite:t:`he2015`. For any other activation there is
# :func:`~initguide.theory.gain`. A gradient on its way back is multiplied by φ'(z) instead, and
# keeps its size when g² E[φ'(z)²] = 1: :func:`~initguide.theory.backward_gain`.

import math
from functools import partial

import numpy as np
from torch import nn

import initguide
from initguide import plots, theory

names = ["linear", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish"]
names += ["softplus", "tanh", "sigmoid", "hardtanh", "softsign", "erf", "sin"]
gains = {
    "forward gain": [theory.gain(name) for name in names],
    "backward gain": [theory.backward_gain(name) for name in names],
}
initguide.Table(
    {"activation": names} | gains,
    caption="Gains of fifteen activations",
    formats=dict.fromkeys(gains, ".4f"),
)

# %%
# Linear layers, ReLU and leaky ReLU stretch every signal by the same factor, however large it is.
# So for them one gain serves forward and backward, at any length. And the others?

both = zip(names, *gains.values(), strict=True)
equal = {name for name, a, b in both if abs(a / b - 1) < 1e-3}
initguide.says(
    equal == {"linear", "relu", "leaky_relu"},
    "*For all the others the forward and the backward gain differ.* No single gain keeps both the "
    "signal and the gradient.",
    "The forward and the backward gain are equal for {equal}.",
    equal=", ".join(sorted(equal)),
)

# %%
# The two columns also assume a variance of 1, and whether the signal has that depends on the gain.
# So judge a gain by what a stack of layers does with it. Mean squares follow the :term:`length
# map`; where it settles, :term:`chi` is the factor of the gradient's mean square per layer. The
# gain at which that factor is 1 is called *critical* (:func:`~initguide.theory.critical_sigma_w`).
#
# Where 5/3 and 3/4 come from
# ---------------------------
# Neither number is the solution of one of the two equations. The origin of 3/4 is on record: it was
# tried out, in a network of 100 layers of SELU, and found to keep the gradient stable
# :cite:p:`pytorch50664`. The outputs there settled at a standard deviation of about 0.20. In a
# discussion of 5/3 for tanh, the reason given is again that outputs settle, at about 0.65
# :cite:p:`pytorchforum20854`. Theory can tell where outputs settle, without any network:

offered = {"tanh": 5 / 3, "selu": 3 / 4}
settled = {n: theory.fixed_point(n, g) ** 0.5 / g for n, g in offered.items()}
factor = {name: theory.chi(name, gain) for name, gain in offered.items()}
critical = {name: theory.critical_sigma_w(name) for name in ("selu", "sigmoid")}
matches = abs(settled["tanh"] - 0.65) < 0.01 and abs(settled["selu"] - 0.20) < 0.01
(
    initguide.says(
        matches,
        "Both numbers, the ``0.65`` and the ``0.20``, are predicted: {tanh:.3f} and {selu:.3f}.",
        "The ``0.65`` and the ``0.20`` are not both predicted: {tanh:.3f} and {selu:.3f}.",
        tanh=settled["tanh"],
        selu=settled["selu"],
    )
    + initguide.says(
        1.05 < factor["tanh"] < 1.5,
        "With ``5/3`` gradients of tanh *explode*, slowly: by {by:.0%} of their mean square per "
        "layer.",
        "With ``5/3`` the mean square of tanh's gradients changes by {by:+.0%} per layer.",
        by=factor["tanh"] - 1,
    )
    + initguide.says(
        abs(factor["selu"] - 1) < 0.01 and abs(critical["selu"] - 0.75) > 0.01,
        "For SELU ``3/4`` gives a factor of {factor:.3f}. It is not the critical gain, which is "
        "{critical:.3f}, but near enough for an experiment to find gradients stable.",
        "For SELU ``3/4`` gives a factor of {factor:.3f}, and the critical gain is {critical:.3f}.",
        factor=factor["selu"],
        critical=critical["selu"],
    )
)

# %%
# For tanh *every* gain above 1 makes the outputs settle somewhere, so that they do does not single
# out 5/3. The inventors of SELU :cite:p:`klambauer2017` derived the gain 1, for another purpose: to
# keep the variance at 1.
#
# Thirty layers
# -------------
# Images, each scaled to mean 0 and variance 1, go through thirty layers of 256 units with the same
# gain everywhere; five draws of the weights for each choice. We predict with the length map from
# layer to layer, and for the gradient multiply the factors g² E[φ'(z)²] at the lengths on the way.

data = initguide.fashion_mnist()
images = data.train.images[:64].flatten(start_dim=1)
images = (images - images.mean(1, keepdim=True)) / images.std(1, keepdim=True)


def with_gain(module, gain):
    """Weights from N(0, gain²/n)."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, gain / math.sqrt(module.in_features))


def measured(name, gain, seed):
    """Mean square of the last layer; the gradient's of the first, relative to the last."""
    net = initguide.mlp([784] + [256] * 30, getattr(nn, name), bias=False)
    initguide.initialize(net, partial(with_gain, gain=gain), seed=seed)
    found = initguide.measure(net, images, seed=seed)
    first, *_, last = [record for record in found if record.kind == "Linear"]
    return last.output_second_moment, first.output_grad_var / last.output_grad_var


def predicted(name, gain):
    """The same by theory."""
    length, gradient = gain**2, 1.0
    for _ in range(29):
        gradient *= theory.chi(name, gain, q=length)
        length = theory.length_map(length, name, gain)
    return length, gradient


choices = {  # activation, gain
    "Tanh, 1": 1.0,
    "Tanh, 5/3": 5 / 3,
    "SELU, 3/4": 3 / 4,
    "SELU, 1": 1.0,
    "ReLU, √2": math.sqrt(2),
    "GELU, forward gain": theory.gain("gelu"),
    "Sigmoid, 1": 1.0,
    "Sigmoid, forward gain": theory.gain("sigmoid"),
    "Sigmoid, backward gain": theory.backward_gain("sigmoid"),
    "Sigmoid, critical gain": theory.critical_sigma_w("sigmoid"),
}
rows, signals, back = [], {}, {}
for label, gain in choices.items():
    name = label.split(",")[0]
    signal, gradient = predicted(name.lower(), gain)
    draws = [measured(name, gain, seed) for seed in range(5)]
    signals[label], back[label] = np.median(draws, axis=0)
    rows.append((label, signal, signals[label], gradient, back[label]))
kept = back["Sigmoid, backward gain"]

# %%

initguide.asks(
    "Sigmoid's backward gain, {gain:.2f}, is made for gradients to keep their size. How much of a "
    "gradient's mean square arrives at the first of thirty layers?",
    [
        "About all: at least a third of it, and at most three times as much.",
        "A part: more than a thousandth, as thirty layers add up small errors.",
        "Next to nothing: less than a thousandth.",
    ],
    [1 / 3 < kept < 3, 1e-3 < kept <= 1 / 3, kept <= 1e-3],
    initguide.says(
        kept <= 1e-3,
        "The gain is computed for a variance of ``1``. With it the signal grows to where sigmoid's "
        "slopes are smaller, and {kept:.0e} of the gradient is left.",
        "{kept:.2g} of it is left.",
        kept=kept,
    ),
    gain=theory.backward_gain("sigmoid"),
)

# %%

heads = ["activation, gain", "signal", "measured", "gradient", "measured "]
initguide.Table(
    dict(zip(heads, zip(*rows, strict=True), strict=True)),
    caption="Mean squares after thirty layers, predicted, and measured",
    note="Gradient: in the first layer, relative to the last. Measured: median of five draws.",
)

# %%

steady = {k for k in choices if 1 / 3 < signals[k] < 3 and 1 / 3 < back[k] < 3}
lost = [k for k in choices if k.startswith("Sigmoid") and "critical" not in k]
(
    initguide.says(
        steady == {"ReLU, √2"},
        "Only ReLU with ``√2`` keeps both, signal and gradient, within a factor of three.",
        "What keeps both, signal and gradient, within a factor of three: {steady}.",
        steady=", ".join(sorted(steady)) or "nothing",
    )
    + initguide.says(
        back["Tanh, 5/3"] > 30 and max(signals["Tanh, 1"], back["Tanh, 1"]) < 0.1,
        "Tanh: with ``5/3``, gradients grow {large:.0f}-fold from the last layer to the first; "
        "with ``1`` they shrink, to {small:.1%}, and so does the signal.",
        "Tanh: from the last layer to the first, gradients become {large:.2g} times as large with "
        "``5/3``, and {small:.2g} times with ``1``.",
        large=back["Tanh, 5/3"],
        small=back["Tanh, 1"],
    )
    + initguide.says(
        0.5 < signals["SELU, 1"] < 2
        and signals["SELU, 3/4"] < 0.1
        and back["SELU, 3/4"] < 0.5,
        "SELU: at ``1`` the signal keeps its size, as its inventors promise. At ``3/4`` the signal "
        "fades on the way to where it settles, and on that way {lost:.0%} of the gradient is lost.",
        "SELU: the signal becomes {one:.2g} times as large at ``1``, and {less:.2g} times at "
        "``3/4``.",
        lost=1 - back["SELU, 3/4"],
        one=signals["SELU, 1"],
        less=signals["SELU, 3/4"],
    )
    + initguide.says(
        signals["GELU, forward gain"] > 10,
        "GELU: its forward gain does not keep the signal, which grows to {grown:.0f} times "
        "the images' mean square.",
        "GELU: with its forward gain, the signal becomes {grown:.2g} times as large.",
        grown=signals["GELU, forward gain"],
    )
    + initguide.says(
        max(back[k] for k in lost) < 1e-3 < back["Sigmoid, critical gain"],
        "Sigmoid: with ``1``, and with its forward and its backward gain, next to nothing is left "
        "of the gradient, {most:.0e} or less; the critical gain of {gain:.1f} leaves {kept:.2f}.",
        "Sigmoid: of the gradient, the first three gains leave at most {most:.2g}, and the "
        "critical gain of {gain:.1f} leaves {kept:.2g}.",
        most=max(back[k] for k in lost),
        gain=critical["sigmoid"],
        kept=back["Sigmoid, critical gain"],
    )
)

# %%
# Why? Only the critical gain takes account of where the signal settles. And a mean square of 1,
# which GELU's forward gain is made to keep, drives lengths away: what is a bit above grows, what is
# a bit below fades (the exercise). In layers of a :doc:`finite width
# </auto_examples/theory/plot_9_finite_width>` draws differ, too, and their median is not the mean.
#
# Does it matter?
# ---------------
# We train tanh networks with thirty hidden layers of 100 units for an epoch of 40 mini-batches, at
# two learning rates:

small = data.subset(train=4000, valid=1000)
mean, std = small.train.images.mean(), small.train.images.std()
small = small.transformed(lambda x: (x - mean) / std, "mean 0, variance 1")
pair, ahead = {"gain 1": 1.0, "gain 5/3": 5 / 3}, {}
for learning_rate in (1e-3, 1e-4):
    result = initguide.compare_init_weights(
        {k: partial(with_gain, gain=g) for k, g in pair.items()},
        small,
        model=lambda: initguide.mlp([784, *[100] * 30, 10], nn.Tanh, bias=False),
        learning_rate=learning_rate,
        epochs=1,
        seeds=4,
    )
    ahead[learning_rate] = result.difference("gain 1", "gain 5/3")

# %%

initguide.asks(
    "In such networks ``5/3``, the gain that is recommended for tanh, lets gradients explode, and "
    "``1`` lets them and the signal fade. Which is ahead at the learning rate of ``1e-4``?",
    [
        "``5/3``, by more than five points of validation accuracy: a signal has to get through.",
        "Neither by more than five points.",
        "``1``, by more than five points.",
    ],
    [
        ahead[1e-4].below(-0.05),
        ahead[1e-4].within(-0.05, 0.05),
        ahead[1e-4].above(0.05),
    ],
    initguide.says(
        ahead[1e-4].above(0.05),
        "Gain ``1`` minus gain ``5/3`` is {small:+.0f} points: what is recommended is not "
        "what trains better here.",
        "Gain ``1`` minus gain ``5/3`` is {small:+.0f} points.",
        small=ahead[1e-4],
    ),
)

# %%

plots.plot_losses(result, smooth=3)

# %%
# The figure shows the small learning rate.

(
    initguide.says(
        ahead[1e-4].better(0.05),
        "There gain ``1`` is far ahead after an epoch, by {small:.0f} points of validation "
        "accuracy, though ``5/3`` is the recommended number.",
        "There gain ``1`` is not far ahead after an epoch: {small:+.0f} points of validation "
        "accuracy.",
        "Whether gain ``1`` is far ahead there, these seeds cannot tell: {small:+.0f} points of "
        "validation accuracy.",
        small=ahead[1e-4],
    )
    + initguide.says(
        ahead[1e-3].better(),
        "At ten times the rate it is ahead, too, by {large:.0f} points.",
        "At ten times the rate it is behind: {large:+.0f} points.",
        "At ten times the rate these seeds cannot tell which is ahead: {large:+.0f} points.",
        large=ahead[1e-3],
    )
)

# %%
# A claim about a gain that names no learning rate is incomplete.
#
# .. admonition:: Try it
#
#    Which activations keep a mean square of 1 under their forward gain, so that what comes near is
#    drawn in, and which drive it away? Try one of your own, too, such as x · tanh(x).
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          for phi in ("gelu", "silu", "mish", "tanh", "selu", lambda z: z * z.tanh()):
#              print(phi, theory.fixed_points(phi, theory.gain(phi)))
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        equal == {"linear", "relu", "leaky_relu"},
        "A gain is one integral: ``1/√E[φ²]`` keeps the signal, ``1/√E[φ'²]`` the gradient. They "
        "are equal for ReLU, leaky ReLU and linear layers, and for none of the other {others}.",
        "A gain is one integral: ``1/√E[φ²]`` keeps the signal, ``1/√E[φ'²]`` the gradient. They "
        "are equal for {equal}.",
        key="forward-and-backward-gains-differ",
        others=len(names) - len(equal),
        equal=", ".join(sorted(equal)),
    ),
    initguide.says(
        abs(theory.gain("relu") - math.sqrt(2)) < 1e-6,
        "For ReLU ``√2`` is derived.",
        "For ReLU the integral did not come to ``√2``.",
    )
    + initguide.says(
        abs(factor["selu"] - 1) < 0.01 and abs(critical["selu"] - 0.75) > 0.01,
        "The ``3/4`` for SELU was found by trial, and is near the critical gain at which gradients "
        "keep their size, once the signal has settled.",
        "The ``3/4`` for SELU was found by trial; its factor per layer is {factor:.3f}.",
        key="selu-three-quarters-nearly-critical",
        factor=factor["selu"],
    )
    + initguide.says(
        1.05 < factor["tanh"] < 1.5 and back["Tanh, 5/3"] > 30,
        "The ``5/3`` for tanh is neither: outputs settle with it, as with any gain above ``1``, "
        "and gradients explode, by {by:.0%} of their mean square per layer.",
        "The ``5/3`` for tanh is neither: outputs settle with it, as with any gain above ``1``; "
        "gradients change by {by:+.0%} per layer.",
        key="tanh-five-thirds-explodes",
        by=factor["tanh"] - 1,
    ),
    initguide.says(
        0.5 < signals["SELU, 1"] < 2,
        "Through thirty layers SELU with gain ``1`` keeps the signal.",
        "Through thirty layers SELU with gain ``1`` did not keep the signal.",
        key="selu-one-keeps-signal",
    )
    + initguide.says(
        signals["GELU, forward gain"] > 10,
        "GELU's forward gain does not: it runs away.",
        "GELU's forward gain did not let it run away.",
        key="gelu-forward-gain-runs-away",
    )
    + initguide.says(
        max(back[k] for k in lost) < 1e-3,
        "Neither ``1`` nor its forward or backward gain passes a gradient on through thirty layers "
        "of sigmoid.",
        "Of ``1`` and its forward and backward gain, one did pass on a part of the gradient "
        "through thirty layers of sigmoid.",
        key="sigmoid-gains-lose-gradient",
    ),
    initguide.says(
        ahead[1e-4].better(0.05),
        "Thirty tanh layers, trained for an epoch of {batches} mini-batches at a small learning "
        "rate, did far better with ``1`` than with ``5/3``.",
        "Thirty tanh layers, trained for an epoch at a small learning rate, did not do far better "
        "with ``1`` than with ``5/3``.",
        "Whether thirty tanh layers do far better with ``1`` than with ``5/3`` after an epoch at a "
        "small learning rate, these seeds cannot tell.",
        key="tanh-one-beats-five-thirds",
        batches=len(result.runs[0].train_losses),
    )
    + initguide.says(
        ahead[1e-3].better(),
        "At ten times the rate they did better, too.",
        "At ten times the rate they did worse.",
        "At ten times the rate it is open.",
    ),
)

# %%
# Next: :doc:`fifty layers, and the line between vanishing and exploding
# </auto_examples/theory/plot_5_depth>`.
