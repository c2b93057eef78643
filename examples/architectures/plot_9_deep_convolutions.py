"""
9. Fifty convolutions
=====================

Fifty convolutions in a row, with tanh between them, no normalization and no shortcuts: can that be
trained at all? It depends on the weights that it starts from. This page predicts what four kinds of
weights do to the signal and to the gradient, measures it, and trains the network from each.

.. admonition:: What you will learn

   - what :term:`delta-orthogonal initialization` is
   - why the border of the image plays no part in it, and why narrow layers keep to the prediction
   - how a network of fifty plain convolutions learns from it, beside three other starts

.. meta::
   :keywords: delta-orthogonal, delta orthogonal initialization, deep convolutional network, CNN,
      plain network without normalization, vanishing gradients, zero padding, tanh
"""

# %%
# The kernel's centre
# -------------------
# Zero padding takes from a signal at the border, and on small images fifty layers of that leave
# next to nothing (:doc:`/auto_examples/architectures/plot_1_convolutions`). What if the weights are
# zero everywhere but at the kernel's centre? Then each position is on its own and the border does
# not matter. The layer is a matrix from channels to channels, which may be **orthogonal**. With
# this :term:`delta-orthogonal initialization`, :cite:t:`xiao2018` trained plain tanh networks of
# ten thousand layers. For the rest of the kernel it is only a start: training fills it.
#
# We compare it on fifty layers of 16 channels with PyTorch's default, with Gaussian weights of
# variance 1 / fan-in, and with Gaussian weights at the centre alone. Except for the default, all
# get the same kind of first layer, so that signals start equally large. (That layer has one input
# channel, and an orthogonal matrix would spread its length over sixteen.)

import functools

import numpy as np
from scipy.ndimage import uniform_filter
from torch import nn

import initguide
from initguide import initializers as init
from initguide import models, plots


def delta_gaussian(module):
    """N(0, 1/channels) at the kernel's centre, and zeros around it."""
    init.lecun_normal()(module)
    if isinstance(module, nn.Conv2d) and module.in_channels > 1:
        nn.init.zeros_(module.weight)
        nn.init.normal_(module.weight[:, :, 1, 1], std=module.in_channels**-0.5)


def delta_orthogonal(module):
    """An orthogonal matrix there, from the second layer on."""
    init.lecun_normal()(module)
    if isinstance(module, nn.Conv2d) and module.in_channels > 1:
        init.delta_orthogonal()(module)


starts = {
    "default": init.default(),
    "lecun_normal": init.lecun_normal(),
    "delta_gaussian": delta_gaussian,
    "delta_orthogonal": delta_orthogonal,
}

# %%
# What theory expects
# -------------------
# Two numbers are followed at each position: the mean square q of the pre-activations and that of
# their gradients, g. On the way forwards, q becomes σ_w² times the **spread** E[tanh²], plus the
# variance of the biases, σ_b². On the way back, g is spread, too, and multiplied by σ_w² E[tanh'²].
# A kernel of independent weights spreads by the box filter with zeros around the image. A delta
# leaves everything where it is. As tanh' = 1 − tanh², one average over z ~ N(0, 1) serves both:

nodes, weights = np.polynomial.hermite_e.hermegauss(60)
weights /= weights.sum()  # sums with them are averages over N(0, 1)


def predict(q, sigma_w, sigma_b, spread):
    """Mean squares of fifty layers, and of their gradients relative to the last layer's."""
    signals, slopes = [q], []
    while len(slopes) < 50:
        squares = np.tanh(np.sqrt(signals[-1])[..., None] * nodes) ** 2
        slopes.append((1 - squares) ** 2 @ weights)
        signals.append(sigma_w**2 * spread(squares @ weights) + sigma_b**2)
    gradients = [slopes[-1]]
    for slope in slopes[-2::-1]:
        gradients.append(sigma_w**2 * spread(gradients[-1]) * slope)
    g = np.mean(gradients[::-1], axis=(1, 2))
    return np.mean(signals[:50], axis=(1, 2)), g / g[-1]


box = functools.partial(uniform_filter, size=3, mode="constant")
theory = {name: (1, 0, np.copy if "delta" in name else box) for name in starts}
theory["default"] = (3**-0.5, (3 * 16 * 9) ** -0.5, box)

# %%
# (PyTorch's default has uniform weights and biases of variance 1 / (3 · fan-in).) We send images of
# 7 × 7 pixels through six draws of each network:

data = initguide.fashion_mnist().subset(train=1600, valid=800, test=100)
pixels = data.train.images
small = data.transformed(
    lambda x: nn.functional.avg_pool2d((x - pixels.mean()) / pixels.std(), 4),
    "7 × 7",
)
images = small.train.images[:50]
signals, gradients, predicted = {}, {}, {}
for name, scheme in starts.items():
    nets = [init.initialize(models.plain_cnn(), scheme, seed=i) for i in range(6)]
    runs = [initguide.measure(net, images) for net in nets]
    runs = [[r for r in one if r.kind == "Conv2d"] for one in runs]
    signals[name] = [[r.output_second_moment for r in one] for one in runs]
    g = np.array([[r.output_grad_var for r in one] for one in runs])
    gradients[name] = g = g / g[:, -1:]
    first = nets[-1][0](images).detach().square().mean((0, 1)).numpy()
    predicted[name] = predict(first, *theory[name])
fig, axes = plots.subplots(1, 2, height=4.4)
titles = ("Pre-activations", "Gradients / the last layer's")
for i, measured in enumerate((signals, gradients)):
    lines = {name: both[i] for name, both in predicted.items()}
    look = {"title": titles[i], "ylabel": "mean square", "legend": False}
    plots.plot_prediction(measured, lines, log=True, **look, ax=axes[i])
fig.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
)

# %%
# On the left, watch where a line goes, and how wide its band becomes: so much do draws of the same
# scheme differ. On the right, a gradient starts in the last layer, and what counts is what reaches
# the first. Theory speaks of wide layers, and these have 16 channels.

ends = {name: np.array(rows)[:, -1] for name, rows in signals.items()}


def off(name):
    """By which factor the means stray from the prediction, forwards and backwards."""
    pairs = zip((signals[name], gradients[name]), predicted[name], strict=True)
    logs = [np.log(np.mean(rows, axis=0) / line) for rows, line in pairs]
    return [np.exp(np.abs(log).max()) for log in logs]


lost = -np.log10(gradients["default"][:, 0].max())
close = max(off("delta_orthogonal"))
spread = {name: values.max() / values.min() for name, values in ends.items()}
below = ends["delta_gaussian"].mean() / predicted["delta_gaussian"][0][-1]
border = ends["lecun_normal"].mean() / ends["delta_orthogonal"].mean()
(
    initguide.says(
        lost > 15 and ends["default"].min() > 1e-6,
        "With the **default**, biases keep the signal from vanishing; nothing does so for the "
        "gradient. What reaches the first layer is smaller by {lost:≥.0f} orders of magnitude or "
        "more.",
        "With the **default**, the gradient in the first layer is smaller by {lost:.0f} orders of "
        "magnitude, and the smallest signal in the last layer has a mean square of {end:.2g}.",
        lost=lost,
        end=ends["default"].min(),
    )
    + initguide.says(
        border < 0.5,
        "**Gaussian** weights lose to the border: what reaches the last layer is {share:.2g} times "
        "what does so with delta-orthogonal ones.",
        "**Gaussian** weights should lose to the border; yet {share:.2g} times as much reaches the "
        "last layer as with delta-orthogonal ones.",
        share=border,
    )
    + initguide.says(
        max(off("lecun_normal")) < 3,
        "Their means keep to the prediction within a factor of {off:≤.1f}.",
        "Their means are off from the prediction by a factor of up to {off:≤.1f}.",
        off=max(off("lecun_normal")),
    )
    + initguide.says(
        spread["delta_gaussian"] > 10,
        "For the two **deltas** the prediction is one and the same. Gaussian matrices stray from "
        "it (:doc:`finite width </auto_examples/theory/plot_9_finite_width>` tells why): of six "
        "draws, the largest signal in the last layer is {spread:,.0f} times the smallest, and "
        "their mean is {below:.2g} times what is predicted.",
        "For the two **deltas** the prediction is one and the same. Gaussian matrices hardly stray "
        "from it: of six draws, the largest signal in the last layer is {spread:.1f} times the "
        "smallest, and their mean is {below:.2g} times what is predicted.",
        spread=spread["delta_gaussian"],
        below=below,
    )
    + initguide.says(
        close < 2,
        "Orthogonal matrices keep close to it, within a factor of {close:≤.2f}: they turn the "
        "channels' vector, and only tanh changes its length.",
        "Orthogonal matrices are off by a factor of up to {close:≤.1f}, too.",
        close=close,
    )
)

# %%
# What is left of the fall on the left is tanh's own: it shortens every vector a little, and less so
# the shorter the vector is (:doc:`/auto_examples/theory/plot_5_depth`).
#
# Training
# --------
# One epoch with Adam, four seeds:

result = initguide.compare_init_weights(
    starts, small, model=models.plain_cnn, epochs=1, batch_size=40, seeds=4
)
result

# %%

stuck = initguide.estimate(result.values("default", "valid_loss"))
learnt = np.max([result.values(n, "valid_loss") for n in list(starts)[1:]], axis=0)
learnt = initguide.estimate(learnt)  # the worst of the other three, seed by seed
initguide.says(
    stuck.above(2.2),
    "In this epoch the network learns nothing from PyTorch's default: its loss is {loss:.2f}, and "
    "``ln 10``, that of guessing, is {guess:.2f}.",
    "In this epoch the network learns something even from PyTorch's default: its loss is "
    "{loss:.2f}.",
    "Whether the network learns anything from PyTorch's default, these seeds cannot tell: its loss "
    "is {loss:.2f}.",
    loss=stuck,
    guess=np.log(10),
) + initguide.says(
    learnt.below(2.1),
    "From each of the others it does learn: the worst of the three, seed by seed, has a loss of "
    "{loss:.2f}.",
    "It does not learn from all the others: the worst of the three, seed by seed, has a loss of "
    "{loss:.2f}.",
    "Whether it learns from each of the others is open: the worst of the three, seed by seed, has "
    "a loss of {loss:.2f}.",
    loss=learnt,
)

# %%
# Does the best start owe its place to luck? We take three differences of validation loss, seed by
# seed, which are below zero where the first of the two is ahead. The second asks what orthogonality
# brings, and the third what leaving out the rest of the kernel brings by itself, without it.
# Intervals are of 95 %:

pairs = (
    ("delta_orthogonal", "lecun_normal"),
    ("delta_orthogonal", "delta_gaussian"),
    ("delta_gaussian", "lecun_normal"),
)
gaps = [result.difference(*pair, "valid_loss") for pair in pairs]
(
    initguide.says(
        gaps[0].better(),
        "Delta-orthogonal weights are ahead of Gaussian ones: {by:+.2f}.",
        "Delta-orthogonal weights are behind Gaussian ones: {by:+.2f}.",
        "Whether delta-orthogonal weights are ahead of Gaussian ones, these seeds cannot tell: "
        "{by:+.2f}.",
        by=gaps[0],
    )
    + initguide.says(
        gaps[1].better(),
        "They are ahead of Gaussian matrices at the kernel's centre as well, which is owed to "
        "orthogonality: {by:+.2f}.",
        "They are behind Gaussian matrices at the kernel's centre: {by:+.2f}.",
        "Whether orthogonality has a part in it, these seeds cannot tell: {by:+.2f}.",
        by=gaps[1],
    )
    + initguide.says(
        gaps[2].better(),
        "Between the two Gaussian starts, the one at the centre alone is ahead: {by:+.2f}.",
        "Between the two Gaussian starts, the whole kernel is ahead: {by:+.2f}.",
        "Whether leaving out the rest of the kernel helps by itself, these seeds cannot tell: "
        "{by:+.2f}.",
        by=gaps[2],
    )
)

# %%
#
# .. admonition:: Try it
#
#    ReLU silences a half of what an orthogonal matrix hands to it, and lengths are no longer kept.
#    Is a delta still worth it? Train fifty ReLU layers from He's weights and from
#    ``delta_orthogonal(2**0.5)``.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          relu = initguide.compare_init_weights(
#              {"He": init.he_normal(), "delta": init.delta_orthogonal(2**0.5)},
#              small, model=lambda: models.plain_cnn(nn.ReLU), epochs=1, batch_size=40, seeds=2,
#          )
#          print(relu)
#          print(relu.difference("delta", "He", "valid_loss"))
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        close < 2 and spread["delta_gaussian"] > 10,
        "A delta-orthogonal convolution is zero around an orthogonal matrix. It sees no border, "
        "and in these narrow layers it kept to a prediction that Gaussian matrices at the same "
        "place strayed from.",
        "A delta-orthogonal convolution is zero around an orthogonal matrix, and sees no border. "
        "It did not keep to the prediction much better than Gaussian weights.",
        key="deep-convolutions-no-border",
    ),
    initguide.says(
        stuck.above(2.2),
        "In one epoch, a plain tanh network of {layers} layers learnt nothing from PyTorch's "
        "default.",
        "In one epoch, a plain tanh network of {layers} layers learnt something even from "
        "PyTorch's default.",
        "Whether a plain tanh network of {layers} layers learnt anything from PyTorch's default in "
        "one epoch, these seeds cannot tell.",
        layers=len(predicted["default"][0]),
        key="deep-convolutions-default-nothing",
    )
    + initguide.says(
        initguide.all_of(gaps[0].better(), gaps[1].better()),
        "From delta-orthogonal weights it learnt best of the four.",
        "From delta-orthogonal weights it did not learn best of the four.",
        "Whether it learnt best from delta-orthogonal weights is open.",
        key="deep-convolutions-delta-orthogonal",
    ),
    initguide.says(
        lost > 15 and ends["default"].min() > 1e-6,
        "In the default, biases keep the signal from vanishing, and the gradient vanishes: the "
        "size of signals alone does not tell whether a network can learn.",
        "In the default, the signal and the gradient came out otherwise than predicted: look at "
        "both.",
    ),
    initguide.says(
        gaps[0].better(),
        "The rule to take home: for a very deep plain network with tanh, start from the kernel's "
        "centre with an orthogonal matrix.",
        "The rule to take home: for a very deep plain network with tanh, compare starts; an "
        "orthogonal matrix at the kernel's centre was no better here than Gaussian weights.",
        "The rule to take home: for a very deep plain network with tanh, try an orthogonal matrix "
        "at the kernel's centre; whether it beats Gaussian weights, these seeds cannot tell.",
    ),
)

# %%
# What orthogonal matrices do without convolutions: :doc:`/auto_examples/theory/plot_6_orthogonal`.
# Shortcuts make depth easier: :doc:`residual networks
# </auto_examples/architectures/plot_2_residual>`.
