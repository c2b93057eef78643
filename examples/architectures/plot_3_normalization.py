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
from initguide import experiments, models, plots

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
plots.describe(
    fig,
    "With normalization, the signal is level at 1 from scale 100 down, and falls at the smallest; "
    "the gradient's mean square goes as 1/s² where the signal is level.",
)

# %%
# The signal behind the last normalization stays from s = 100 down to where ε takes over, and the
# first layer's gradient goes as 1/s (its square as 1/s²). RMS has the ε of float32 and not 10⁻⁵.
#
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
# it η ∝ 1/s². One epoch from every scale at every rate, three seeds:

scales, rates = np.logspace(-2, 2, 9), np.logspace(-4, 1, 6)
how = {"model": models.NormalizedMLP, "optimizer": "sgd"}
how |= {"epochs": 1, "batch_size": 100}
grid = {"norm": NORMS, "scale": scales, "learning_rate": rates}
result = initguide.sweep(grid, small, scheme="he_normal", seeds=3, **how)
accuracy = 100 * np.nan_to_num(result.array(), nan=0.1)
fig, axes = plots.subplots(2, 3, height=6.4, width=9.0)
*places, last = axes.flat
look = {"value_range": (10, 75), "colorbar": False}
for ax, norm, values in zip(places, NORMS, accuracy, strict=True):
    plots.plot_map(result, where={"norm": norm}, ax=ax, **look)
    best = values[scales == 1][0].mean(1).argmax()
    line = rates[best] * scales ** (-2.0 if norm == "none" else 1.0)
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
# Look at the last panel first: the scale varies, the rate is the best for s = 1. Without
# normalization, a scale that is off by ten ruins the network. Layer, group and RMS normalization
# keep most of their accuracy for a factor of three, and lose much of it for ten. Batch
# normalization forgives most, small weights more than large. (Where scale does not matter, steps
# are orthogonal to the weights, which lengthens them and lowers η/s²: :cite:t:`arora2019`.)
#
# What all four give is a rate for small scales: up to s = 1, a ridge runs along the dashed
# prediction, where the network without normalization learns little at any rate (× is a run that
# diverged). For large s, accuracy falls whatever the rate: nothing behind the last layer takes its
# scale away, and rates that suit it are far too small for the hidden layers.
#
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
table = {"start": list(starts)}
for norm, values in zip(NORMS, ends, strict=True):
    best = [rows[rows.mean(1).argmax()] for rows in values]
    table[norm] = [f"{best[0].mean():.0%}"]
    for row in best[1:]:
        gap, (low, high) = experiments.mean_interval(100 * (row - best[0]))
        table[norm].append(f"{gap:+.0f} ({low:+.0f} to {high:+.0f})")
initguide.Table(
    table,
    caption="Accuracy from He's start, and by how many points other starts change it",
    note="Mean of 4 seeds, with 95 % interval.",
)

# %%
# A mean in the weights adds one number to all units of a layer. Layer and group normalization
# subtract the mean over units, which undoes it: U[0, 1) trains as U[−½, ½). RMS normalization does
# not, and batch normalization subtracts each unit's mean over *images*, from which that number
# differs for each image. Both are left with units that all say the same.
#
# No normalization undoes equal weights (:term:`symmetry`): it tells no units apart. And none makes
# up for a last layer that is far too large, even at its best rate.
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
# - In front of a normalization, the scale s of the weights changes nothing but the gradient, which
#   goes as 1/s, so that a rate times s² makes up for it. ε ends that for tiny weights.
# - With all weights scaled and one rate, batch normalization forgives most; the other three hardly
#   more than a factor of three. None forgives a last layer that is far too large.
# - No normalization repairs equal weights. A mean in the weights is undone by layer and group
#   normalization, not by batch and RMS.
# - **The rule: normalization turns a question of scale into a question of learning rate. Keep He's
#   scale anyway, look after the last layer, and tune the rate.**
#
# Here, batch normalization used the batch in validation, too: see :doc:`evaluation mode
# </auto_examples/architectures/plot_4_evaluation_mode>`.
