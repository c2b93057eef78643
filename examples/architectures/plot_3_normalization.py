"""
3. Normalization
================

With batch or layer normalization, initialization does not matter any more: so one reads. This page
measures what batch, layer, group and RMS normalization forgive, over four orders of magnitude of
the initial weights, beside the same network without them, and what they do not forgive.

.. index:: ! batch normalization, ! layernorm, ! RMSNorm, ! effective learning rate

.. admonition:: What you will learn

   - why the scale of weights before a normalization changes nothing but how fast a network learns
   - what is left of that when the whole network is scaled, last layer included
   - which starts no normalization repairs

.. meta::
   :keywords: batch normalization, layer normalization, group normalization, BatchNorm, LayerNorm,
      effective learning rate, scale invariance, normalization and initialization
"""

# %%
# A network with a place for a normalization
# ------------------------------------------
# Three hidden layers of 48 units without biases, each followed by a normalization and ReLU, then a
# last layer without either. :cite:t:`ioffe2015` normalize each unit over the batch;
# :cite:t:`ba2016` all units of a layer for one image; :cite:t:`wu2018` do the same in groups of
# units; :cite:t:`zhang2019rms` leave out subtracting the mean. Weights are He's, times factors:

import functools

import numpy as np
from torch import nn

import initguide
from initguide import models, plots

NORMS = ["none", "batch", "layer", "group", "RMS"]
data = initguide.fashion_mnist().subset(train=1500, valid=500, test=10)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
small = data.transformed(lambda x: shrink((x - mean) / std), "standardized")
x, y = small.train.images, small.train.labels


def he(module, hidden=1, last=1):
    """He's weights, times one factor in the hidden layers and another in the last."""
    if isinstance(module, nn.Linear):
        weight = initguide.initialize(module, "he_normal").weight
        weight.data.mul_(last if module.out_features == 10 else hidden)


# %%
# The output does not know the scale, the gradient does
# -----------------------------------------------------
# A normalization divides by the size of what it gets, so multiplying the weights before it by s
# changes nothing. Then the gradient must go as 1/s: a step of a given size moves weights that are s
# times as large by 1/s of their size, in units of what the network notices.
#
# That holds as long as the pre-activations' mean square is large beside the ε under the root, which
# protects from dividing by zero. For s over eight orders of magnitude we measure the signal behind
# the last normalization, and draw the gradient that reaches the first layer:


def sizes(norm, s, seed):
    """Mean squares: behind the last normalization, and of the first layer's gradient."""
    scheme = functools.partial(he, hidden=s)
    net = initguide.initialize(models.NormalizedMLP(norm), scheme, seed=seed)
    seen = initguide.measure(net, x[:500], y[:500])
    return seen["third.1"].output_second_moment, seen["first.0"].weight_grad_var


wide = np.logspace(-6, 2, 17)
draws = [[[sizes(n, s, seed) for s in wide] for seed in range(3)] for n in NORMS]
signal, gradient = np.moveaxis(draws, -1, 0)  # each (norms, seeds, scales)
falling = gradient[2][:, wide == 1].mean() / wide**2
plots.plot_prediction(
    dict(zip(NORMS, gradient, strict=True)),
    dict.fromkeys(NORMS, falling) | {"none": np.nan * wide},
    at=wide,
    title="Gradient of the first layer's weights",
    xlabel="scale s of the hidden weights (logarithmic)",
    ylabel="mean square",
).set_xscale("log")

# %%
# The dashed line falls as 1/s². Where a line bends away from it on the left, ε has taken over. RMS
# normalization has the ε of float32 here, the others 10⁻⁵.

means = [rows[1:].mean(1) for rows in (signal, gradient)]
level, times = (rows / rows[:, wide == 1] for rows in means)
kept = wide > 0.09
moved = np.abs(level[:, kept] - 1).max()
law = np.abs(np.log(times * wide**2)[:, kept]).max()
tiny = level[:3, 0].max()  # of batch, layer and group normalization
(
    initguide.says(
        moved < 0.05,
        "From ``s = 100`` down to ``s = 0.1`` the signal behind the last normalization stays, "
        "within {moved:≤.1%}.",
        "Between ``s = 100`` and ``s = 0.1`` the signal behind the last normalization changes by "
        "up to {moved:.0%}.",
        moved=moved,
    )
    + initguide.says(
        law < np.log(1.2),
        "There the first layer's gradient goes as ``1/s``, its square as :math:`1/s^2`, within "
        "{off:≤.1%}.",
        "There the square of the first layer's gradient is off from :math:`1/s^2` by up to "
        "{off:≤.0%}.",
        off=np.expm1(law),
    )
    + initguide.says(
        tiny < 0.5,
        "At the smallest scale ε has taken over: batch, layer and group normalization hand on "
        "{tiny:≤.1%} of the signal or less.",
        "Even at the smallest scale ε has not taken over in all of them: {tiny:.0%} of the signal "
        "is left.",
        tiny=tiny,
    )
)

# %%
# The effective learning rate
# ---------------------------
# Gradient descent takes a step of η times the gradient. The gradient goes as 1/s, and what counts
# is the step relative to the weights: again 1/s. So the :term:`effective learning rate` is η/s²
# (:cite:p:`vanlaarhoven2017,li2020`): weights times s with a rate times s² are the same training,
# which the exercise tries.
#
# But people train and scale all weights, and the last layer has no normalization behind it. The
# gradient reaches the hidden layers through the last one, whose weights are times s too. So it goes
# as s · 1/s, the relative step as η/s, and the smallest rate that trains should go as s and no
# longer as s². Without normalization, three other layers multiply the gradient by s³, which makes
# it η ∝ 1/s². One epoch from every scale at every rate, five seeds:

scales, rates = np.logspace(-2, 2, 9), np.logspace(-4, 1, 6)
how = {"model": models.NormalizedMLP, "optimizer": "sgd", "epochs": 1}
grid = {"norm": NORMS, "scale": scales, "learning_rate": rates}
result = initguide.sweep(grid, small, scheme="he_normal", seeds=5, **how)
# Of shape (norms, scales, rates, seeds); then at the best rate for s = 1, and on a dashed line.
accuracy = 100 * np.nan_to_num(result.array(), nan=0.1)
one_rate, along = [], []
fig, axes = plots.subplots(2, 3, height=6.4, width=9.0)
look = {"value_range": (10, 75), "colorbar": False}
for ax, norm, values in zip(axes.flat, NORMS, accuracy, strict=False):
    plots.plot_map(result, where={"norm": norm}, ax=ax, **look)
    best = values[scales == 1][0].mean(1).argmax()
    line = rates[best] * scales ** (-2.0 if norm == "none" else 1.0)
    nearest = np.abs(np.log(rates) - np.log(line)[:, None]).argmin(1)
    one_rate.append(values[:, best])
    along.append(values[np.arange(9), nearest])
    ax.plot(scales, line, "--", color=plots.PALETTE[1], linewidth=2)
    ax.set(title=norm, xlabel="scale s", ylabel="learning rate")
    plots.draw_band(values[:, best].T, at=scales, ax=axes[1, 2], label=norm)
axes[1, 2].set(xscale="log", xlabel="scale s", ylabel="%", title="at one rate")
fig.legend(handles=list(axes[1, 2].lines), loc="outside lower center", ncols=5)
fig.colorbar(axes[0, 0].collections[0], ax=axes, label="validation accuracy (%)")
plots.describe(
    axes[1, 2], "The same at one rate: a curve over s for each normalization."
)

# %%
# Look at the last panel first: the scale varies, the rate is the best for s = 1. Here and below,
# the better or the worse of several is chosen seed by seed.

one_rate, along = np.array(one_rate), np.array(along)  # (norms, scales, seeds)
lost = one_rate[:, scales == 1] - one_rate  # points
ruined = initguide.estimate(one_rate[0, [2, 6]].max(0))  # s off by ten
by_three = initguide.estimate(lost[2:, [3, 5]].max((0, 1)))  # by about three
most = initguide.estimate(lost[2:].mean(1).min(0) - lost[1].mean(0))
(
    initguide.says(
        ruined.below(30),
        "Without normalization, a scale that is off by ten ruins the network: {left:.0f} % of the "
        "images are right on the better side.",
        "Without normalization, a scale that is off by ten leaves {left:.0f} % of the images right "
        "on the better side.",
        "Without normalization, these seeds cannot tell how much a scale that is off by ten "
        "leaves: {left:.0f} % on the better side.",
        left=ruined,
    )
    + initguide.says(
        by_three.below(25),
        "Layer, group and RMS normalization keep most of their accuracy for a factor of about "
        "three: the worst of them loses {three:.0f} points, and {ten:.0f} for ten.",
        "Layer, group and RMS normalization do not all keep most of their accuracy for a factor of "
        "about three: the worst of them loses {three:.0f} points, and {ten:.0f} for ten.",
        "Whether layer, group and RMS normalization keep most of their accuracy for a factor of "
        "about three is open: the worst of them loses {three:.0f} points, and {ten:.0f} for ten.",
        three=by_three,
        ten=initguide.estimate(lost[2:, [2, 6]].max((0, 1))),
    )
    + initguide.says(
        most.above(),
        "Batch normalization forgives most: over all scales, it loses {most:.0f} points less on "
        "average than the best of the other three.",
        "Batch normalization does not forgive most: another of the four loses less over all "
        "scales.",
        "Whether batch normalization forgives most over all scales, these seeds cannot tell.",
        most=most,
    )
)

# %%
# Now the maps, in which × is a run that diverged. At scales of 0.01 and 0.1, the dashed line meets
# one of the rates that were tried:

gain = initguide.estimate((along - one_rate)[1:, [0, 2]].mean((0, 1)))
tuned = accuracy.max(2)  # each scale at its best rate
falls = initguide.estimate((tuned[1:, 4] - tuned[1:, -1]).min(0))
(
    initguide.says(
        gain.above(),
        "Weights that are ten or a hundred times too small want a rate that follows them: on the "
        "dashed line, accuracy is {gain:.0f} points higher than at the one rate, on average over "
        "the four.",
        "For weights that are ten or a hundred times too small, a rate on the dashed line is no "
        "better than the one rate: {gain:+.0f} points on average over the four.",
        "Whether weights that are ten or a hundred times too small want a rate on the dashed line, "
        "these seeds cannot tell: {gain:+.0f} points on average over the four.",
        gain=gain,
    )
    + initguide.says(
        falls.above(5),
        "At ``s = 100``, each of the four has lost {falls:.0f} points or more at its best rate: "
        "nothing behind the last layer takes its scale away, and rates that suit it are far too "
        "small for the hidden layers.",
        "At ``s = 100``, not each of the four has lost much at its best rate: the least loss is "
        "{falls:.0f} points.",
        "How much each of the four has lost at ``s = 100``, at its best rate, these seeds cannot "
        "tell: the least loss is {falls:.0f} points.",
        falls=falls,
    )
)

# %%
# What they do not forgive
# ------------------------
# Four other starts, each at the best of eight rates. U[0, 1) is :doc:`from the lesson
# </auto_examples/lesson/plot_3_uniform>`, U[−½, ½) the same without its mean. Four seeds:

starts = {
    "He": he,
    "U[−½, ½)": "uniform(-0.5, 0.5)",
    "U[0, 1)": "uniform",
    "last layer × 100": functools.partial(he, last=100),
    "all 0.1": "constant(0.1)",
}
grid = {"norm": NORMS, "scheme": starts, "learning_rate": np.logspace(-3, 0.5, 8)}
ends = np.nan_to_num(initguide.sweep(grid, small, seeds=4, **how).array(), nan=0.1)
best = ends.mean(3).argmax(2)[..., None, None]  # rate, for each norm and start
right = 100 * np.take_along_axis(ends, best, 2)[:, :, 0]  # (norms, starts, seeds)
table = {"start": list(starts)}
for norm, (reference, *others) in zip(NORMS, right, strict=True):
    gaps = [f"{initguide.estimate(other - reference):+.0f}" for other in others]
    table[norm] = [f"{reference.mean():.0f} %", *gaps]
initguide.Table(
    table,
    caption="Accuracy from He's start, and points by which others change it (95 % intervals)",
)

# %%
# A mean in the weights adds one number to all units of a layer. Layer and group normalization
# subtract the mean over units, which undoes it. RMS normalization does not, and batch normalization
# subtracts each unit's mean over *images*, but that number differs from image to image. No
# normalization undoes equal weights (:term:`symmetry`): it tells no units apart.

centred, shifted = right[:, 1], right[:, 2]
undone = initguide.estimate(np.abs(shifted - centred)[[2, 3]].max(0))
harmed = initguide.estimate((shifted - centred)[[1, 4]].max(0))
equal = initguide.estimate(right[:, 4].max(0))
large = initguide.estimate((right[:, 3] - right[:, 0])[1:].max(0))
(
    initguide.says(
        undone.below(5),
        "With layer and group normalization, ``U[0, 1)`` trains as ``U[−½, ½)``: they are {by:.1f} "
        "points apart at most.",
        "With layer or group normalization, ``U[0, 1)`` does not train as ``U[−½, ½)``: they are "
        "{by:.1f} points apart.",
        "Whether ``U[0, 1)`` trains as ``U[−½, ½)`` with layer and group normalization, these "
        "seeds cannot tell: they are {by:.1f} points apart at most.",
        by=undone,
    )
    + initguide.says(
        harmed.below(-10),
        "With batch and RMS normalization it is left with units that all say the same: the lesser "
        "change from ``U[−½, ½)`` is {by:+.0f} points.",
        "With batch or RMS normalization, it is not far behind ``U[−½, ½)`` either: the lesser "
        "change is {by:+.0f} points.",
        "How far behind ``U[−½, ½)`` it is with batch and RMS normalization, these seeds cannot "
        "tell: the lesser change is {by:+.0f} points.",
        by=harmed,
    )
    + initguide.says(
        equal.below(25),
        "From equal weights, the best of the five kinds gets {equal:.0f} % right.",
        "From equal weights, too, one of the five kinds learns: {equal:.0f} % are right.",
        "Whether one of the five kinds learns from equal weights is open: {equal:.0f} % are right.",
        equal=equal,
    )
    + initguide.says(
        large.below(),
        "And none makes up for a last layer that is far too large, even at its best rate: the "
        "least that it changes is {by:+.0f} points.",
        "For a last layer that is far too large, one of the four makes up at its best rate: "
        "{by:+.0f} points.",
        "Whether one of the four makes up for a last layer that is far too large, at its best "
        "rate, these seeds cannot tell: {by:+.0f} points.",
        by=large,
    )
)

# %%
# .. admonition:: Try it
#
#    Train hidden weights only, ten times as large as He's, with rates 1, 10 and 100 times as large:
#    which is the training of before? And with Adam, which divides gradients by their size?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          from torch.optim import SGD, Adam
#          for optimizer, rate in ((SGD, 0.1), (Adam, 0.002)):
#              for s, factor in ((1, 1), (10, 1), (10, 10), (10, 100)):
#                  scheme = functools.partial(he, hidden=s)
#                  net = initguide.initialize(models.NormalizedMLP("layer"), scheme, seed=0)
#                  hidden = [part[0].weight for part in (net.first, net.second, net.third)]
#                  batches = zip(x.split(100), y.split(100), strict=True)
#                  initguide.training.fit(net, batches, optimizer(hidden, lr=rate * factor))
#                  found = initguide.training.evaluate(net, small.valid).accuracy
#                  print(optimizer.__name__, s, factor, f"{found:.1%}")
#          # SGD needs 100 times the rate; Adam, whose steps do not depend on the size of the
#          # gradient, 10 times.
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        moved < 0.05 and law < np.log(1.2) and tiny < 0.5,
        "In front of a normalization, the scale s of the weights changed nothing but the gradient, "
        "which went as ``1/s``, so that a rate times :math:`s^2` makes up for it. ε ends that for "
        "tiny weights.",
        "In front of a normalization, the scale s of the weights should change nothing but the "
        "gradient, until ε ends that for tiny weights; it did not come out so here.",
        key="normalization-scale",
    ),
    initguide.says(
        initguide.all_of(most.above(), by_three.below(25)),
        "With all weights scaled and one rate, batch normalization forgives most, on average over "
        "scales; for a factor of about three, the other three keep most of their accuracy, too.",
        "With all weights scaled and one rate, it did not come out that batch normalization "
        "forgives most and the other three a factor of about three.",
        "With all weights scaled and one rate, these seeds cannot tell whether batch normalization "
        "forgives most and the other three a factor of about three.",
        key="normalization-forgives",
    )
    + initguide.says(
        large.below(),
        "None wholly forgives a last layer that is a hundred times too large: even the mildest "
        "change is {by:+.0f} points.",
        "A last layer that is a hundred times too large was forgiven by at least one.",
        "Whether one forgives a last layer that is a hundred times too large is open.",
        by=large,
        key="normalization-last-layer",
    ),
    initguide.says(
        equal.below(25),
        "No normalization repairs equal weights.",
        "Equal weights were repaired by at least one normalization.",
        "Whether a normalization repairs equal weights is open.",
        key="normalization-equal",
    )
    + initguide.says(
        initguide.all_of(undone.below(5), harmed.below(-10)),
        "A mean in the weights is undone by layer and group normalization, not by batch and RMS.",
        "A mean in the weights should be undone by layer and group normalization only; that did "
        "not come out here.",
        "Whether a mean in the weights is undone by layer and group normalization only, these "
        "seeds cannot tell.",
    ),
    initguide.says(
        gain.above(),
        "**The rule: normalization turns a question of scale into a question of learning rate**. "
        "Keep He's scale anyway, look after the last layer, and tune the rate.",
        "**The rule: keep He's scale with a normalization, too**. Look after the last layer, and "
        "tune the rate; a rate that follows the scale did not help here.",
        "**The rule: keep He's scale with a normalization, too**. Look after the last layer, and "
        "tune the rate; whether a rate that follows the scale helps is open.",
        key="normalization-rate",
    ),
)

# %%
# Here, batch normalization used the batch in validation, too: see :doc:`plot_4_evaluation_mode`.
