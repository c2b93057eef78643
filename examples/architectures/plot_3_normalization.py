"""
3. Normalization
================

With batch or layer normalization, initialization does not matter any more: so one reads. This page
measures what batch, layer, group and RMS normalization forgive, over four orders of magnitude of
the initial weights, beside the same network without them, and what they do not forgive.

.. index:: ! batch normalization, ! layernorm, ! RMSNorm, ! effective learning rate

.. admonition:: What you will learn

   - why the scale of the weights before a normalization does not change what the network computes,
     but does change how fast it learns, and by how much
   - what is left of that when the whole network is scaled, last layer included
   - which starts no normalization repairs

.. meta::
   :keywords: batch normalization, layer normalization, group normalization, RMSNorm, BatchNorm,
      LayerNorm, effective learning rate, scale invariance, normalization and initialization
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
# protects from dividing by zero. For s over eight orders of magnitude:

wide = np.logspace(-6, 2, 17)


def sizes(norm, s, seed):
    """Mean squares: behind the last normalization, and of the first layer's gradient."""
    scheme = functools.partial(he, hidden=s)
    net = initguide.initialize(models.NormalizedMLP(norm), scheme, seed=seed)
    seen = initguide.measure(net, x[:500], y[:500])
    return seen["third.1"].output_second_moment, seen["first.0"].weight_grad_var


signal, gradient = {}, {}
for norm in NORMS:
    found = [[sizes(norm, s, seed) for s in wide] for seed in range(3)]
    signal[norm], gradient[norm] = np.moveaxis(found, -1, 0)
falling = gradient["layer"][:, wide == 1].mean() / wide**2
fig, axes = plots.subplots(1, 2, height=4.8, width=9.0, sharey=True)
look = {"at": wide, "xlabel": "scale s of the hidden weights", "legend": False}
plots.plot_prediction(signal, wide**0, title="Last signal", ax=axes[0], **look)
plots.plot_prediction(gradient, falling, title="First gradient", ax=axes[1], **look)
axes[0].set(xscale="log", ylim=(1e-10, 1e6), ylabel="mean square, logarithmic")
axes[1].set_xscale("log")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center")
middle, kept = np.flatnonzero(wide == 1)[0], wide > 0.09
level = {norm: rows.mean(0) / rows.mean(0)[middle] for norm, rows in signal.items()}
times = {
    norm: rows.mean(0) / rows.mean(0)[middle] for norm, rows in gradient.items()
}
plots.describe(
    fig,
    "Last signal at the smallest and the largest scale, relative to that at 1: "
    + "; ".join(
        f"{norm} {line[0]:.2g} and {line[-1]:.2g}" for norm, line in level.items()
    ),
)

# %%
# RMS normalization has the ε of float32 here, the others 10⁻⁵.

moved = max(np.abs(level[norm][kept] - 1).max() for norm in NORMS[1:])
law = max(np.abs(np.log(times[n] * wide**2)[kept]).max() for n in NORMS[1:])
tiny = max(level[norm][0] for norm in ("batch", "layer", "group"))
(
    initguide.says(
        moved < 0.05,
        "From ``s = 100`` down to ``s = 0.1`` the signal behind the last normalization stays, "
        "within {moved:.1%}.",
        "Between ``s = 100`` and ``s = 0.1`` the signal behind the last normalization changes by "
        "up to {moved:.0%}.",
        moved=moved,
    )
    + initguide.says(
        law < np.log(1.2),
        "There the first layer's gradient goes as ``1/s``, its square as :math:`1/s^2`, within a "
        "factor of {off:.2f}.",
        "There the square of the first layer's gradient is off from :math:`1/s^2` by a factor of "
        "up to {off:.2f}.",
        off=np.exp(law),
    )
    + initguide.says(
        tiny < 0.5,
        "At the smallest scale ε has taken over.",
        "Even at the smallest scale ε has not taken over in all of them.",
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
how = {"model": models.NormalizedMLP, "optimizer": "sgd"}
how |= {"epochs": 1, "batch_size": 100}
grid = {"norm": NORMS, "scale": scales, "learning_rate": rates}
result = initguide.sweep(grid, small, scheme="he_normal", seeds=5, **how)
accuracy = 100 * np.nan_to_num(result.array(), nan=0.1)
one_rate, along = (
    {},
    {},
)  # (scales, seeds): at the best rate for s = 1, and on the dashed line
fig, axes = plots.subplots(2, 3, height=6.4, width=9.0)
*places, last = axes.flat
look = {"value_range": (10, 75), "colorbar": False}
for ax, norm, values in zip(places, NORMS, accuracy, strict=True):
    plots.plot_map(result, where={"norm": norm}, ax=ax, **look)
    best = values[scales == 1][0].mean(1).argmax()
    line = rates[best] * scales ** (-2.0 if norm == "none" else 1.0)
    on = np.abs(np.log(rates) - np.log(line)[:, None]).argmin(1)
    one_rate[norm], along[norm] = values[:, best], values[np.arange(9), on]
    ax.plot(scales, line, "--", color=plots.PALETTE[1], linewidth=2)
    ax.set(title=norm, xlabel="scale s", ylabel="learning rate")
    plots.draw_band(values[:, best].T, at=scales, ax=last, label=norm)
last.set(xscale="log", xlabel="scale s", ylabel="accuracy (%)", title="one rate")
fig.legend(*last.get_legend_handles_labels(), loc="outside lower center", ncols=5)
fig.colorbar(places[0].collections[0], ax=axes, label="validation accuracy (%)")
worst = zip(NORMS, accuracy.mean(3).max(2).min(1), strict=True)
plots.describe(
    fig,
    "Accuracy over scale and learning rate. The worst scale gives, at its best rate: "
    + ", ".join(f"{norm} {percent:.0f} %" for norm, percent in worst),
)

# %%
# Look at the last panel first: the scale varies, the rate is the best for s = 1.

lost = {norm: rows[scales == 1] - rows for norm, rows in one_rate.items()}  # points
three, ten = (
    [3, 5],
    [2, 6],
)  # places of scales that are off by about three, and by ten
rest = ("layer", "group", "RMS")
ruined = initguide.estimate(
    one_rate["none"][ten].max(0)
)  # the better side, seed by seed
by_three, by_ten = (
    initguide.estimate(np.max([lost[norm][places] for norm in rest], axis=(0, 1)))
    for places in (three, ten)  # the worst of the three and of both sides
)
in_all = {norm: lost[norm].mean(0) for norm in NORMS}  # over the scales
most = initguide.estimate(
    np.min([in_all[n] for n in rest], axis=0) - in_all["batch"]
)
sides = initguide.estimate(lost["batch"][5:].mean(0) - lost["batch"][:4].mean(0))
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
        ten=by_ten,
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
    + initguide.says(
        sides.above(),
        "It forgives small weights more than large ones, and ten times as large ones cost it "
        "{large:.0f} points.",
        "It forgives large weights more than small ones; ten times as large ones cost it "
        "{large:.0f} points.",
        "Whether it forgives small weights more than large ones is open; ten times as large ones "
        "cost it {large:.0f} points.",
        large=initguide.estimate(lost["batch"][6]),
    )
)

# %%
# (Where scale does not matter, steps are orthogonal to the weights, which lengthens them and lowers
# η/s²: :cite:t:`arora2019`.) Now the maps, in which × is a run that diverged:

four = np.array([accuracy[NORMS.index(norm)] for norm in NORMS[1:]])
meets = [
    0,
    2,
]  # scales of 0.01 and 0.1, where the dashed line meets one of the rates
gain = initguide.estimate(
    np.mean([along[n][meets] - one_rate[n][meets] for n in NORMS[1:]], axis=(0, 1))
)
lowest, bare = (
    four[:, :3].max(2).min((0, 1)),
    accuracy[0, :3].max((0, 1)),
)  # s up to 0.1
more = initguide.estimate(lowest - bare)
lowest, bare = initguide.estimate(lowest), initguide.estimate(bare)
falls = initguide.estimate(
    (four[:, scales == 1].max(2) - four[:, -1:].max(2)).min((0, 1))
)
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
        more.above(10),
        "For weights that are at least ten times too small, each of the four has a rate at which "
        "{lowest:.0f} % or more are right. Without normalization, no rate gives more than "
        "{bare:.0f} %.",
        "For weights that are at least ten times too small, the lowest of the four has "
        "{lowest:.0f} % at its best rate, not much more than the {bare:.0f} % without "
        "normalization.",
        "For weights that are at least ten times too small, the lowest of the four has "
        "{lowest:.0f} % at its best rate, and without normalization it is {bare:.0f} %; whether "
        "that is much more, these seeds cannot tell.",
        lowest=lowest,
        bare=bare,
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
# </auto_examples/lesson/plot_3_uniform>`, U[−½, ½) the same without its mean:

starts = {
    "He": he,
    "U[−½, ½)": "uniform(-0.5, 0.5)",
    "U[0, 1)": "uniform",
    "last layer × 100": functools.partial(he, last=100),
    "all 0.1": "constant(0.1)",
}
grid = {"norm": NORMS, "scheme": starts, "learning_rate": np.logspace(-3, 0.5, 8)}
ends = np.nan_to_num(initguide.sweep(grid, small, seeds=4, **how).array(), nan=0.1)
table, right = {"start": list(starts)}, {}
for norm, values in zip(NORMS, ends, strict=True):
    best = [100 * rows[rows.mean(1).argmax()] for rows in values]
    right |= {(norm, start): row for start, row in zip(starts, best, strict=True)}
    gaps = [initguide.estimate(row - best[0]) for row in best[1:]]
    table[norm] = [f"{best[0].mean():.0f} %", *(f"{gap:+.0f}" for gap in gaps)]
initguide.Table(
    table,
    caption="Accuracy from He's start, and by how many points other starts change it",
    note="Mean of 4 seeds, with 95 % interval.",
)

# %%
# A mean in the weights adds one number to all units of a layer. Layer and group normalization
# subtract the mean over units, which undoes it. RMS normalization does not, and batch normalization
# subtracts each unit's mean over *images*, from which that number differs for each image. No
# normalization undoes equal weights (:term:`symmetry`): it tells no units apart.


def change(start, norms, beside="He"):
    """By how many points a start changes accuracy, for each norm and seed."""
    return np.array([right[norm, start] - right[norm, beside] for norm in norms])


undone = change("U[0, 1)", ("layer", "group"), "U[−½, ½)")
undone = initguide.estimate(np.abs(undone).max(0))
harmed = initguide.estimate(change("U[0, 1)", ("batch", "RMS"), "U[−½, ½)").max(0))
equal = initguide.estimate(
    np.max([right[norm, "all 0.1"] for norm in NORMS], axis=0)
)
large = initguide.estimate(change("last layer × 100", NORMS[1:]).max(0))
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
        "least change is {by:+.0f} points.",
        "For a last layer that is far too large, one of the four makes up at its best rate: "
        "{by:+.0f} points.",
        "Whether one of the four makes up for a last layer that is far too large, at its best "
        "rate, these seeds cannot tell: {by:+.0f} points.",
        by=large,
    )
)

# %%
#
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
#
#          for optimizer, rate in ((SGD, 0.1), (Adam, 0.002)):
#              for norm in NORMS:
#                  for s, factor in ((1, 1), (10, 1), (10, 10), (10, 100)):
#                      scheme = functools.partial(he, hidden=s)
#                      net = initguide.initialize(models.NormalizedMLP(norm), scheme, seed=0)
#                      hidden = [part[0].weight for part in (net.first, net.second, net.third)]
#                      batches = zip(x.split(100), y.split(100), strict=True)
#                      initguide.training.fit(net, batches, optimizer(hidden, lr=rate * factor))
#                      found = initguide.training.evaluate(net, small.valid).accuracy
#                      print(optimizer.__name__, norm, s, factor, f"{found:.1%}")
#          # With a normalization, SGD needs 100 times the rate; Adam, whose steps do not depend on
#          # the size of the gradient, 10 times.
#
# What we learnt
# --------------

forgiven = [most.above(), by_three.below(25)]
mean_parts = [undone.below(5), harmed.below(-10)]
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
        initguide.all_of(*forgiven),
        "With all weights scaled and one rate, batch normalization forgives most; for a factor of "
        "about three, the other three keep most of their accuracy, too.",
        "With all weights scaled and one rate, it did not come out that batch normalization "
        "forgives most and the other three a factor of about three.",
        "With all weights scaled and one rate, these seeds cannot tell whether batch normalization "
        "forgives most and the other three a factor of about three.",
        key="normalization-forgives",
    )
    + initguide.says(
        large.below(),
        "None forgives a last layer that is far too large.",
        "A last layer that is far too large was forgiven by at least one.",
        "Whether one forgives a last layer that is far too large is open.",
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
        initguide.all_of(*mean_parts),
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
# Here, batch normalization used the batch in validation, too: see :doc:`evaluation mode
# </auto_examples/architectures/plot_4_evaluation_mode>`.
