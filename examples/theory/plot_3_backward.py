"""
3. Variance backward
====================

What comes back through a network when it learns? Gradients are sums, too: each unit adds up what
the units above it ask for. So the same argument as forward tells how large they are, with the
number of outputs in place of the number of inputs. This page derives that, lets the two compete,
and asks whether training notices.

.. admonition:: What you will learn

   - why gradients call for 1/:term:`fan-out` where signals call for 1/:term:`fan-in`
   - what Xavier's compromise gives up, and why either choice works
   - how the distributions look for weights that are too small, too large, or right
   - what the gradients of the weights are made of, and whether training notices

.. meta::
   :keywords: backpropagation, gradient variance, vanishing gradients, exploding gradients, fan-in,
      fan-out, Xavier, Glorot, He, Kaiming, histogram of gradients
"""

# %%
# One sum, backward
# -----------------
# Call δ the gradient of the loss with respect to a :term:`pre-activation`. Unit i of a layer feeds
# all m units of the next one, so the chain rule gives it a sum of m terms,
#
# .. math:: \delta_i = \varphi'(z_i) \sum_{j=1}^{m} w_{ji}\, \delta_j ,
#    \qquad\text{so}\qquad E[\delta_i^2] = m \cdot \mathrm{Var}(w) \cdot E[\varphi'(z)^2] \cdot
#    E[\delta_j^2] ,
#
# by the argument of :doc:`page 2 </auto_examples/theory/plot_2_forward>`, if what comes back does
# not depend on the weights that it meets. (It does a little: the weights also decided the
# outputs.) Forward it was n · Var(w), with the fan-in n; backward it is m · Var(w), with the
# fan-out m, and the activation counts with its slope (:func:`~initguide.theory.backward_gain`).
# Where sums have mean square 1, ReLU lets one half of either through; tanh lets 0.39 of a signal
# through and 0.46 of a gradient.
#
# Fan-in, fan-out, and the compromise
# -----------------------------------
# With ReLU, signals ask for Var(w) = 2/n and gradients for 2/m. Where widths change, no variance
# serves both. Glorot and Bengio's compromise is the mean of n and m :cite:p:`glorot2010`; He and
# co-authors chose one of the two and remarked that either will do :cite:p:`he2015`. Let us see, in
# a network that gets narrower, predicted from the widths alone. What we send back from the outputs
# are draws from N(0, 1), as :func:`~initguide.propagation.measure` does without targets:

from functools import partial

import torch

import initguide
from initguide import initializers as init
from initguide import plots

widths = [784, 512, 256, 256, 128, 10]
rules = {
    "fan-in": (init.he_normal(), lambda n, _m: 2 / n),
    "fan-out": (init.he_normal(mode="fan_out"), lambda _n, m: 2 / m),
    "mean of both": (init.xavier_normal(gain=2**0.5), lambda n, m: 4 / (n + m)),
}
BOTH = "output_second_moment", "output_grad_var"
data = initguide.fashion_mnist()
images = data.train.images[:500]


def predict(variance):
    """Mean squares of the sums and of their gradients, for ReLU; 1 at the outputs."""
    n, m = torch.tensor(widths[:-1]), torch.tensor(widths[1:])
    forward, back = n * variance(n, m) / 2, m * variance(n, m) / 2
    sums = 2 * images.square().mean() * forward.cumprod(dim=0)
    gradients = torch.cat([back[1:], torch.ones(1)]).flip(0).cumprod(0).flip(0)
    return torch.stack([sums, gradients])


def measured_in(scheme, images, seeds, values=BOTH, widths=widths):
    """Numbers of the linear layers: (values, seeds, layers)."""
    rows = []
    for seed in range(seeds):
        net = initguide.initialize(initguide.mlp(widths), scheme, seed=seed)
        found = initguide.measure(net, images, seed=seed)
        linear = [record for record in found if record.kind == "Linear"]
        rows.append([[getattr(r, value) for r in linear] for value in values])
    return torch.tensor(rows).transpose(0, 1)


lines = {rule: predict(variance) for rule, (_, variance) in rules.items()}
dots = {r: measured_in(scheme, images, 8) for r, (scheme, _) in rules.items()}
fig, axes = plots.subplots(1, 2, height=4.2)
for i, title in enumerate(["Mean square: sums", "Mean square: gradients"]):
    found, expected = ({r: of[r][i] for r in rules} for of in (dots, lines))
    plots.plot_prediction(found, expected, title=title, legend=False, ax=axes[i])
handles = axes[0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=3)

# %%
# Dots are the draws of eight seeds, dashes the predictions. By them fan-in holds the signals level
# and changes the gradients by m/n in each layer; fan-out holds the gradients level and changes the
# signals by n/m; the mean of both lies between.
#
# Why should either choice do? Because the ratios of neighbouring widths *cancel*. With fan-in the
# gradients change from the outputs to the first layer by a product of fractions, of which only the
# number of outputs by the width of the first hidden layer is left: 10/512. An error in the variance
# grows with depth instead: 1/n in place of 2/n costs a factor of 2 in *every* layer.

means = {rule: dots[rule].mean(dim=1) for rule in rules}
off = [max(abs(means[r] / lines[r] - 1)[i].max() for r in rules) for i in (0, 1)]
fan_in, fan_out, between = (  # signals of the last layer, gradients of the first
    torch.stack([mean[0, -1], mean[1, 0]]) for mean in means.values()
)
(
    initguide.says(
        max(off) < 1 / 3,
        "The means of the eight seeds are within {signals:≤.0%} of the prediction for signals, and "
        "within {gradients:≤.0%} for gradients, in all layers.",
        "The means of the eight seeds are off the prediction by up to {signals:.0%} for signals, "
        "and by up to {gradients:.0%} for gradients.",
        signals=off[0],
        gradients=off[1],
    )
    + initguide.says(
        ((fan_in < between) & (between < fan_out)).all(),
        "The mean of both came to lie between the two, for signals in the last layer and for "
        "gradients in the first.",
        "The mean of both did not come to lie between the two for signals in the last layer and "
        "for gradients in the first.",
        key="mean-of-fans-between",
    )
)

# %%
# Distributions, good and bad
# ---------------------------
# A mean square is one number. Here are whole distributions of pre-activations and of their
# gradients (outputs and output_grads) at constant width, for one draw each of three schemes.

too_small, he = init.normal(0.01), init.he_normal()
schemes = {"too small": too_small, "too large": init.normal(0.2), "He": he}
constant_width = [784, 256, 256, 256, 256, 10]
net = initguide.mlp(constant_width)
fig, axes = plots.subplots(3, 2, height=8.4)
for (name, scheme), row in zip(schemes.items(), axes, strict=True):
    initguide.initialize(net, scheme, seed=0)
    found = initguide.measure(net, images, histograms=60)
    for ax, of in zip(row, ("outputs", "output_grads"), strict=True):
        plots.plot_ridges(found, of=of, title=f"{name}: {of}", log=True, ax=ax)
        ax.set_xlabel("in standard deviations" if name == "too small" else "")

# %%
# Heights are logarithms of counts; the standard deviation stands beside each row. In the upper
# panels each row is drawn in units of its own, or it would be a needle. The peaks at 0 are what
# ReLU did not let through. Theory expects that a layer of 256 units multiplies the mean square of
# signals, and of gradients on their way back, by 256 · Var(w) / 2: that is 0.013, 5.1 and 1. By
# eight draws of each, between the hidden layers:

factors = {}
for name, scheme in schemes.items():
    signals, back = measured_in(scheme, images, 8, widths=constant_width)
    changes = signals[:, 3] / signals[:, 0], back[:, 0] / back[:, 3]  # three layers
    factors[name] = [initguide.estimate(change ** (1 / 3)) for change in changes]
shrink, swell, level = factors.values()
(
    initguide.says(
        all(factor.below(0.1) for factor in shrink),
        "*Too small*: signals fade from the first layer to the last, gradients from the last to "
        "the first, by the factors {signals:.3f} and {gradients:.3f}.",
        "*Too small*: it is not sure that signals and gradients both fade to less than a tenth "
        "per layer.",
        signals=shrink[0].mean,
        gradients=shrink[1].mean,
    )
    + initguide.says(
        all(factor.above(2) for factor in swell),
        "*Too large*: the mirror image, both explode, by {signals:.1f} and {gradients:.1f}.",
        "*Too large*: it is not sure that both more than double per layer.",
        signals=swell[0].mean,
        gradients=swell[1].mean,
    )
    + initguide.says(
        all(factor.within(0.8, 1.25) for factor in level),
        "*He*: both keep their size, with the factors {signals:.2f} and {gradients:.2f}.",
        "*He*: it is not sure that both keep their size within a quarter: the factors are "
        "{signals:.2f} and {gradients:.2f}.",
        key="he-keeps-signals-and-gradients",
        signals=level[0].mean,
        gradients=level[1].mean,
    )
)

# %%
# Gradients of the weights
# ------------------------
# What moves a weight is neither signal nor gradient alone. The weight from x to z has the gradient
# Σ x δ, summed over the B images of a batch. With signs that are independent between images its
# mean square is B · E[x²] · E[δ²], so a layer's share comes from both directions, and by theory the
# layers differ in it by ratios of widths:

values = ("input_second_moment", "output_grad_var", "weight_grad_var")
inputs, back, weights = measured_in(he, images[:100], 40, values)
product = (100 * inputs * back).mean(dim=0)
measured = weights.mean(dim=0)
initguide.Table(
    {
        "layer": [f"fc{i}" for i in range(1, 6)],
        "B · E[x²] · E[δ²]": product.tolist(),
        "measured": measured.tolist(),
    },
    caption="Variance of the weights' gradients under He's scheme (mean of 40 seeds)",
)

# %%

worst = abs(measured / product - 1).max()
initguide.says(
    worst < 0.25,
    "The product fits: what is measured is within {worst:≤.0%} of it, in every layer.",
    "The product does not fit well: what is measured is off by up to {worst:.0%}.",
    worst=worst,
)

# %%
# Does training notice?
# ---------------------
# Between rules that differ by ratios of widths, and rules that differ by a factor in every layer,
# there should be a difference in kind. Two epochs on 4,000 images, which are 80 mini-batches:

small = data.subset(train=4000, valid=1000, test=100)
network = partial(initguide.mlp, widths)
result = initguide.compare_init_weights(
    {"Too small": too_small, "He, fan-in": he, "He, fan-out": rules["fan-out"][0]},
    small,
    model=network,
    optimizer="momentum",
    learning_rate=0.01,
    seeds=8,
)
guess = initguide.estimate(result.values("Too small"))
fans = result.difference("He, fan-in", "He, fan-out")

# %%

initguide.asks(
    "By theory, equal gradients at the outputs of this network of five layers arrive at its first "
    "layer with {ratio:.0f} times the mean square if weights have variance 2/fan-out, and not "
    "2/fan-in. After two epochs with momentum, which of the two is ahead in validation accuracy?",
    [
        "Fan-out, by more than five points: the first layer learns with larger gradients.",
        "Neither by more than five points: either choice will do.",
        "Fan-in, by more than five points: signals count more than gradients.",
    ],
    [fans.below(-0.05), fans.within(-0.05, 0.05), fans.above(0.05)],
    initguide.says(
        fans.within(-0.05, 0.05),
        "Fan-in minus fan-out is {fans:+.1f} points: each loses a ratio of widths once, and not a "
        "factor in every layer.",
        "Fan-in minus fan-out is {fans:+.1f} points.",
        fans=fans,
    ),
    ratio=fan_out[1] / fan_in[1],
)

# %%

result

# %%
# Training loss here is the mean over all mini-batches, the first ones included.

start = result.difference("He, fan-out", "He, fan-in", "train_loss")
gap = result.difference("He, fan-in", "Too small")
(
    initguide.says(
        guess.below(0.15),
        "Too small weights leave the network at a guess, because signals and gradients fade in "
        "each layer.",
        "Too small weights did better than a guess here.",
        "Whether too small weights did better than a guess, these seeds cannot tell.",
    )
    + initguide.says(
        fans.better(),
        "Of the two fans, fan-in was ahead, by {fans:.1f} points of validation accuracy.",
        "Of the two fans, fan-out was ahead: fan-in minus fan-out is {fans:+.1f} points of "
        "validation accuracy.",
        "Which of the two fans is ahead, these seeds cannot tell: fan-in minus fan-out is "
        "{fans:+.1f} points of validation accuracy.",
        fans=fans,
    )
    + initguide.says(
        fans.within(-0.05, 0.05) and gap.above(0.2),
        "It is small beside the {gap:.0f} points that separate fan-in from too small weights.",
        "That is not clearly less than the {gap:.0f} points between fan-in and too small weights.",
        "Whether it is small beside the {gap:.0f} points that separate fan-in from too small "
        "weights is open.",
        gap=gap,
    )
    + initguide.says(
        start.above(0.1),
        "But the training loss does notice: fan-out, whose scores are too large at the start, is "
        "{start:.1f} nats above fan-in on average.",
        "The training loss hardly notices, either: fan-out minus fan-in is {start:+.1f} nats.",
        "Whether the training loss notices is open: fan-out minus fan-in is {start:+.1f} nats.",
        start=start,
    )
)

# %%
# .. admonition:: Try it
#
#    This was momentum. Adam divides each gradient by its own size: how does it treat the weights
#    that are too small? Train with it, and compare.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          with_adam = initguide.compare_init_weights(
#              {"Too small": too_small, "He": he}, small, model=network, seeds=2
#          )
#          print(with_adam, with_adam.difference("He", "Too small"))
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        off[1] < 1 / 3,
        "Backward, a layer multiplies the mean square by m · Var(w) · E[φ'(z)²], with the fan-out "
        "m: this predicted the gradients of three rules within {off:≤.0%}.",
        "Backward, a layer should multiply the mean square by m · Var(w) · E[φ'(z)²], with the "
        "fan-out m; the gradients were off by up to {off:.0%}.",
        off=off[1],
    ),
    initguide.says(
        max(off) < 1 / 3,
        "Fan-in holds signals level, fan-out gradients. Each lets the other change by a ratio of "
        "two widths, however many layers lie between; at constant width they are the same.",
        "Fan-in should hold signals level, and fan-out gradients; here they were off the "
        "prediction by a third or more.",
    ),
    initguide.says(
        all(factor.below(0.1) for factor in shrink)
        and all(factor.above(2) for factor in swell),
        "Weights that are too small or too large change signals and gradients in every layer.",
        "That weights which are too small or too large change signals and gradients by much in "
        "every layer did not come out for both.",
        key="wrong-scale-every-layer",
    ),
    initguide.says(
        worst < 0.25,
        "The gradient of a weight is as large as signal times gradient predict.",
        "The gradient of a weight was not as large as signal times gradient predict.",
    ),
    initguide.says(
        guess.below(0.15),
        "In training, too small weights did not learn.",
        "In training, too small weights did learn something.",
        "In training, it is open whether too small weights learnt anything.",
        key="too-small-does-not-learn",
    )
    + initguide.says(
        fans.within(-0.05, 0.05),
        "The two fans ended within five points of each other, after {batches} mini-batches of "
        "momentum: fan-in minus fan-out was {fans:+.1f} points.",
        "The two fans ended more than five points apart, after {batches} mini-batches of momentum.",
        "Whether the two fans end within five points of each other, these seeds cannot tell.",
        key="fans-train-alike",
        batches=len(result.runs[0].train_losses),
        fans=fans,
    ),
)

# %%
# For ReLU one number, √2, serves signals and gradients. For other activations it takes two:
# :doc:`gains </auto_examples/theory/plot_4_gains>`.
