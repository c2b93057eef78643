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
# fan-out m, and the activation counts with its slope. A million z, autograd against theory:

import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, theory

generator = torch.Generator().manual_seed(0)
z = torch.randn(1_000_000, generator=generator, requires_grad=True)
slopes = {}
for phi in (nn.Tanh(), nn.ReLU()):
    (slope,) = torch.autograd.grad(phi(z).sum(), z)
    kept = theory.backward_gain(phi) ** -2
    slopes[phi] = slope.square().mean() - kept
    print(f"{phi} keeps {kept:.3f}, measured {kept + slopes[phi]:.3f}")

# %%
# Of the signal ReLU keeps one half, too; tanh keeps less of it, 0.394, than of the gradient.

apart = max(abs(difference) for difference in slopes.values())
initguide.says(
    apart < 0.01,
    "Autograd agrees with theory, within {apart:.3f}.",
    "Autograd is off by {apart:.3f}, more than a million draws should be.",
    apart=apart,
)

# %%
# Fan-in, fan-out, and the compromise
# -----------------------------------
# With ReLU, signals ask for Var(w) = 2/n and gradients for 2/m. Where widths change, no variance
# serves both. Glorot and Bengio's compromise is the mean of n and m :cite:p:`glorot2010`; He and
# co-authors chose one of the two and remarked that either will do :cite:p:`he2015`. Let us see, in
# a network that gets narrower, predicted from the widths alone. What we send back from the outputs
# are draws from N(0, 1), as :func:`~initguide.propagation.measure` does without targets:

widths = [784, 512, 256, 256, 128, 10]
rules = {
    "fan-in": (init.he_normal(), lambda n, _m: 2 / n),
    "fan-out": (init.he_normal(mode="fan_out"), lambda _n, m: 2 / m),
    "mean of both": (init.xavier_normal(gain=2**0.5), lambda n, m: 4 / (n + m)),
}
data = initguide.fashion_mnist()
images = data.train.images[:500]


def predict(variance):
    """Mean squares of the sums and of their gradients, for ReLU; 1 at the outputs."""
    n, m = torch.tensor(widths[:-1]), torch.tensor(widths[1:])
    forward, back = n * variance(n, m) / 2, m * variance(n, m) / 2
    sums = 2 * images.square().mean() * forward.cumprod(dim=0)
    gradients = torch.ones(len(n))
    gradients[:-1] = back[1:].flip(0).cumprod(dim=0).flip(0)
    return {"output_second_moment": sums, "output_grad_var": gradients}


def measured_in(scheme, images, values, seeds, widths=widths):
    """Numbers of the linear layers: value -> (seeds, layers)."""
    rows = {value: [] for value in values}
    for seed in range(seeds):
        net = initguide.initialize(initguide.mlp(widths), scheme, seed=seed)
        found = initguide.measure(net, images, seed=seed)
        linear = [record for record in found if record.kind == "Linear"]
        for value in values:
            rows[value].append([getattr(record, value) for record in linear])
    return {value: torch.tensor(sample) for value, sample in rows.items()}


ways = {"output_second_moment": "Pre-activations", "output_grad_var": "Gradients"}
lines = {rule: predict(variance) for rule, (_, variance) in rules.items()}
dots = {r: measured_in(scheme, images, ways, 8) for r, (scheme, _) in rules.items()}

fig, axes = plots.subplots(1, 2, height=4.2)
for ax, (way, title) in zip(axes, ways.items(), strict=True):
    found = {rule: dots[rule][way] for rule in rules}
    expected = {rule: lines[rule][way] for rule in rules}
    plots.plot_prediction(
        found, expected, title=title, ylabel="mean square", legend=False, ax=ax
    )
handles = axes[0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=3)

# %%
# Dots are the draws of eight seeds, dashes the predictions. By them fan-in holds the signals level
# and changes the gradients by m/n in each layer; fan-out holds the gradients level and changes the
# signals by n/m; the mean of both lies between.
#
# And why should either choice do? Because the ratios of neighbouring widths *cancel*. With fan-in
# the gradients change from the last hidden layer's to the first by a product of fractions in which
# every width but two appears above and below. What is left is the last width by that of the first
# hidden layer, here 10/512, or 0.02. It does not grow with depth, as an error in the variance
# would: 1/n instead of 2/n costs a factor of 2 in *every* layer.

means = {(rule, way): dots[rule][way].mean(dim=0) for rule in rules for way in ways}
off = {
    way: max(abs(means[rule, way] / lines[rule][way] - 1).max() for rule in rules)
    for way in ways
}
back = initguide.estimate(dots["fan-in"]["output_grad_var"][:, 0])
ends = [  # of each rule: signals of the last layer, gradients of the first
    torch.stack(
        [means[rule, "output_second_moment"][-1], means[rule, "output_grad_var"][0]]
    )
    for rule in ("fan-in", "mean of both", "fan-out")
]
(
    initguide.says(
        max(off.values()) < 1 / 3,
        "The means of the eight seeds are within {signals:.0%} of the prediction for signals, and "
        "within {gradients:.0%} for gradients, in all layers.",
        "The means of the eight seeds are off the prediction by up to {signals:.0%} for signals, "
        "and by up to {gradients:.0%} for gradients.",
        signals=off["output_second_moment"],
        gradients=off["output_grad_var"],
    )
    + initguide.says(
        back.within(0.01, 0.04),
        "With fan-in the first layer's gradients came to {back:.3f}, near the predicted "
        "{predicted:.3f}.",
        "With fan-in the first layer's gradients came to {back:.3f}, far from the predicted "
        "{predicted:.3f}.",
        "With fan-in the first layer's gradients came to {back:.3f}; whether that is near the "
        "predicted {predicted:.3f} is open.",
        back=back,
        predicted=lines["fan-in"]["output_grad_var"][0],
    )
    + initguide.says(
        ((ends[0] < ends[1]) & (ends[1] < ends[2])).all(),
        "The mean of both came to lie between the two, at the far end of both panels.",
        "The mean of both did not come to lie between the two at the far end of both panels.",
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
net = initguide.mlp([784, 256, 256, 256, 256, 10])
fig, axes = plots.subplots(3, 2, height=8.4)
for (name, scheme), row in zip(schemes.items(), axes, strict=True):
    initguide.initialize(net, scheme, seed=0)
    found = initguide.measure(net, images, histograms=60)
    for ax, of in zip(row, ("outputs", "output_grads"), strict=True):
        plots.plot_ridges(found, of=of, title=f"{name}: {of}", log=True, ax=ax)
        ax.set_xlabel("in standard deviations" if name == "too small" else "")

# %%
# Heights are logarithms of counts; the standard deviation stands beside each row. Each row is drawn
# in units of its own, or it would be a needle. The peaks at 0 are what ReLU did not let through.
# Theory expects that a layer of 256 units multiplies the mean square of signals, and of gradients
# on their way back, by 256 · Var(w) / 2: that is 0.013, 5.1 and 1. By eight draws of each, between
# the hidden layers:

factors = {}
for name, scheme in schemes.items():
    found = measured_in(scheme, images, ways, 8, [784, 256, 256, 256, 256, 10])
    signals, back = found["output_second_moment"], found["output_grad_var"]
    three = (
        signals[:, 3] / signals[:, 0],
        back[:, 0] / back[:, 3],
    )  # layers further
    factors[name] = [initguide.estimate(change ** (1 / 3)) for change in three]
    print("{:9} times {:.3f}, back {:.3f}".format(name, *factors[name]))

# %%

shrink, swell = factors["too small"], factors["too large"]
(
    initguide.says(
        all(factor.below(0.1) for factor in shrink),
        "*Too small*: signals fade from the first layer to the last, gradients from the last to "
        "the first.",
        "*Too small*: it is not sure that signals and gradients both fade to less than a tenth "
        "per layer.",
    )
    + initguide.says(
        all(factor.above(2) for factor in swell),
        "*Too large*: the mirror image, both explode.",
        "*Too large*: it is not sure that both more than double per layer.",
    )
    + initguide.says(
        all(factor.within(0.5, 1.5) for factor in factors["He"]),
        "*He*: from one hidden layer to the next both change by less than a half.",
        "*He*: it is not sure that both change by less than a half from one hidden layer to the "
        "next.",
        key="he-keeps-signals-and-gradients",
    )
)

# %%
# Gradients of the weights
# ------------------------
# What moves a weight is neither signal nor gradient alone. The weight from x to z has the gradient
# Σ x δ, summed over the B images of a batch. With signs that are independent between images its
# mean square is B · E[x²] · E[δ²], so a layer's share comes from both directions:

values = ("input_second_moment", "output_grad_var", "weight_grad_var")
found = measured_in(he, images[:100], values, seeds=40)
product = 100 * found["input_second_moment"] * found["output_grad_var"]
initguide.Table(
    {
        "layer": [f"fc{i}" for i in range(1, 6)],
        "B · E[x²] · E[δ²]": product.mean(dim=0).tolist(),
        "measured": found["weight_grad_var"].mean(dim=0).tolist(),
    },
    caption="Variance of the weights' gradients under He's scheme (mean of 40 seeds)",
)

# %%
# By theory the layers differ in it by ratios of widths.

fits = found["weight_grad_var"].mean(dim=0) / product.mean(dim=0)
worst = abs(fits - 1).max()
initguide.says(
    worst < 0.25,
    "The product fits: what is measured is within {worst:.0%} of it, in every layer.",
    "The product does not fit well: what is measured is off by up to {worst:.0%}.",
    worst=worst,
)

# %%
# Does training notice?
# ---------------------
# Between rules that differ by ratios of widths, and rules that differ by a factor in every layer,
# there should be a difference in kind. Two epochs on 4,000 images:

result = initguide.compare_init_weights(
    {
        "Too small": too_small,
        "He, fan-in": he,
        "He, fan-out": init.he_normal(mode="fan_out"),
    },
    data.subset(train=4000, valid=1000, test=100),
    model=lambda: initguide.mlp(widths),
    optimizer="momentum",
    learning_rate=0.01,
    seeds=8,
)
print(result.difference("He, fan-in", "He, fan-out"))
result

# %%
# Training loss here is the mean over all mini-batches, the first ones included.

guess = initguide.estimate(result.values("Too small"))
fans = result.difference("He, fan-in", "He, fan-out")
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
        "Between the two fans, which cost it a ratio of widths once, fan-in was ahead, by "
        "{fans:.1f} points of validation accuracy.",
        "Between the two fans, which cost it a ratio of widths once, fan-out was ahead: fan-in "
        "minus fan-out is {fans:+.1f} points of validation accuracy.",
        "Between the two fans, which cost it a ratio of widths once, these seeds cannot tell a "
        "difference: {fans:+.1f} points of validation accuracy.",
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
# (:doc:`More seeds </auto_examples/practice/plot_8_how_many_seeds>` decide smaller differences.)
# This is momentum on five layers; Adam, which divides each gradient by its own size, may tell
# another story.
#
# .. admonition:: Try it
#
#    How does Adam treat the weights that are too small? Train with it, and compare.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          with_adam = initguide.compare_init_weights(
#              {"Too small": too_small, "He": he},
#              data.subset(train=4000, valid=1000, test=100),
#              model=lambda: initguide.mlp(widths),
#              seeds=2,
#          )
#          print(with_adam, with_adam.difference("He", "Too small"))
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        off["output_grad_var"] < 1 / 3,
        "Backward, a layer multiplies the mean square by m · Var(w) · E[φ'(z)²], with the fan-out "
        "m: this predicted the gradients of three rules within {off:.0%}.",
        "Backward, a layer should multiply the mean square by m · Var(w) · E[φ'(z)²], with the "
        "fan-out m; the gradients were off by up to {off:.0%}.",
        off=off["output_grad_var"],
    ),
    initguide.says(
        max(off.values()) < 1 / 3,
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
        "The two fans ended within five points of each other, after two epochs of momentum.",
        "The two fans ended more than five points apart, after two epochs of momentum.",
        "Whether the two fans end within five points of each other, these seeds cannot tell.",
        key="fans-train-alike",
    ),
)

# %%
# For ReLU one number, √2, serves signals and gradients. For other activations it takes two:
# :doc:`gains </auto_examples/theory/plot_4_gains>`. The lesson's :doc:`last page
# </auto_examples/lesson/plot_7_choose>` trains with Xavier's and He's rules.
