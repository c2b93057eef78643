"""
6. Orthogonal weights and dynamical isometry
============================================

A network can keep the size of its signals on average and still treat directions very unequally:
some stretched a hundredfold, most squashed to nothing. Orthogonal weights treat all directions
alike. This page measures what that does to whole networks, predicts from one rule how it changes
with depth and activation, and then asks when it pays in training, and when it does not.

.. admonition:: What you will learn

   - what the singular values of a network's :term:`Jacobian` say, and how to measure them
   - why depth spreads them out with Gaussian weights, and what ReLU adds
   - where orthogonal weights make training faster, in deep networks, and where not

.. meta::
   :keywords: orthogonal initialization, dynamical isometry, singular values, Jacobian, Gaussian
      weights, deep networks
"""

# %%
# One layer
# ---------
# A matrix turns a ball into an ellipsoid, and its singular values are the lengths of the axes. Both
# matrices below keep the length of a vector on average. What they do to single directions differs.
# The images are halved to 14 × 14 pixels, so that all layers can be square, with 196 units.

import math

import numpy as np
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, theory

data = initguide.fashion_mnist()
images = nn.functional.avg_pool2d(data.train.images[:1], 2).flatten(start_dim=1)
images = (images - images.mean(1, keepdim=True)) / images.std(1, keepdim=True)
WIDTH, SEEDS, DEPTHS = images.shape[1], range(4), (1, 2, 4, 8, 16, 32)


def gaussian(gain=1.0):
    """Weights from N(0, gain²/n)."""

    def weights_init(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, gain / math.sqrt(module.in_features))
            nn.init.zeros_(module.bias)

    return weights_init


draws = {"Gaussian": gaussian, "orthogonal": init.orthogonal}
layer = nn.Linear(WIDTH, WIDTH)
for name, scheme in draws.items():
    s = torch.linalg.svdvals(initguide.initialize(layer, scheme(), seed=0).weight)
    print(f"{name:10}: mean square {s.square().mean():.3f}, ", end="")
    print(f"from {s.min():.4f} to {s.max():.4f}")

# %%
# Gaussian weights stretch some directions by almost 2 and flatten others. Orthogonal ones rotate.
#
# Many layers
# -----------
# A small change of the input changes the output by the :term:`Jacobian`, a product of weight
# matrices and of diagonal ones that hold the slopes of the activation. Here are its singular values
# for networks of 1 to 32 layers. The :term:`gain` is 1 for linear and tanh layers, √2 for ReLU.

activations = {
    "linear": (nn.Identity, 1.0),
    "tanh": (nn.Tanh, 1.0),
    "ReLU": (nn.ReLU, math.sqrt(2)),
}


def singular_values(activation, scheme, depth, seed):
    """(images, units) singular values, of the Jacobian at each image."""
    net = initguide.mlp([WIDTH] * (depth + 1), activation)
    initguide.initialize(net, scheme, seed=seed)
    found = initguide.measure(net, images, jacobian=len(images))
    return found.jacobian_singular_values.astype(float)


values = {
    (name, kind, depth): np.array(
        [singular_values(activation, scheme(gain), depth, seed) for seed in SEEDS]
    )
    for name, (activation, gain) in activations.items()
    for kind, scheme in draws.items()
    for depth in DEPTHS
}

fig, axes = plots.subplots(1, 3, height=3.6, sharey=True)
for ax, name in zip(axes, activations, strict=True):
    for kind, style in zip(draws, ("-", "--"), strict=True):
        deep = values[name, kind, DEPTHS[-1]]
        scaled = deep / np.sqrt((deep**2).mean(axis=-1, keepdims=True))
        low, middle, high = np.quantile(scaled, (0, 0.5, 1), axis=(0, 1))
        color, rank = (
            plots.color_of("normal" if kind == "Gaussian" else kind),
            np.arange(WIDTH),
        )
        ax.fill_between(rank, low, high, color=color, alpha=0.25, linewidth=0)
        ax.plot(rank, middle, style, color=color, label=kind)
    ax.set(title=name, xlabel="rank", yscale="log", ylim=(1e-3, 20))
axes[0].set_ylabel("singular value / root mean square,\nlogarithmic scale")
axes[0].legend(loc="lower left")
largest = {
    key: v[..., 0].mean() / np.sqrt((v**2).mean()) for key, v in values.items()
}
plots.describe(
    fig,
    "Singular values of networks of 32 layers, by rank, relative to their root mean square. "
    f"Linear: all 1 for orthogonal weights, from {largest['linear', 'Gaussian', 32]:.1f} down to "
    "below 0.001 for Gaussian ones. tanh: all but the last few orthogonal ones lie within two "
    "decades, Gaussian ones fall below 0.001. ReLU: both fall steeply.",
)

# %%
# Lines are medians of four draws of the weights, bands the range, at one image. With Gaussian
# weights, 32 layers pass on a few directions and all but lose the rest. Orthogonal weights change
# that completely in a linear network, where all values are 1: this is :term:`dynamical isometry`,
# described by :cite:t:`saxe2014`. They change much for tanh, and little for ReLU. Why?
#
# One rule
# --------
# Take as a measure of the spread the variance of the squared singular values, relative to the
# square of their mean. It is 0 when all are equal. For a product of large random matrices that are
# independent of each other, these relative variances **add up** :cite:p:`pennington2017`:
#
# - a square Gaussian matrix adds 1, an orthogonal one 0;
# - the slopes of an activation add E[φ'⁴] / E[φ'²]² - 1. That is 0 for a linear layer, and 1 for
#   ReLU, whose slopes are 0 and 1 in equal shares. For tanh it falls with the size of the signal,
#   and at gain 1 the signal shrinks with depth.
#
# We predict with that, taking the sizes for tanh from the :term:`length map`:

z = torch.randn(10**6, generator=torch.Generator().manual_seed(0))


def slopes_add(name, depth):
    """What the slopes of the hidden layers add to the relative variance."""
    if name != "tanh":
        return (depth - 1) * {"linear": 0.0, "ReLU": 1.0}[name]
    q, total = 1.0, 0.0
    for _ in range(depth - 1):
        squared = (1 - torch.tanh(math.sqrt(q) * z) ** 2) ** 2
        total += (squared.var() / squared.mean() ** 2).item()
        q = theory.length_map(q, "tanh", 1.0)
    return total


def relative_variance(s):
    """Of the squared singular values; one number a draw."""
    return (s**2).var(axis=-1) / (s**2).mean(axis=-1) ** 2


fig, axes = plots.subplots(1, 3, height=3.6, sharey=True)
off = {}
for ax, name in zip(axes, activations, strict=True):
    for kind, marker in zip(draws, "os", strict=True):
        found = np.array(
            [relative_variance(values[name, kind, d]).ravel() for d in DEPTHS]
        )
        predicted = [(kind == "Gaussian") * d + slopes_add(name, d) for d in DEPTHS]
        middle = found.mean(axis=1)
        bars = (middle - found.min(axis=1), found.max(axis=1) - middle)
        color = plots.color_of("normal" if kind == "Gaussian" else kind)
        ax.errorbar(
            DEPTHS, middle, bars, fmt=marker, color=color, capsize=3, label=kind
        )
        ax.plot(DEPTHS, predicted, "--", color="0.2", linewidth=1.2)
        off[name, kind] = (middle[-1], predicted[-1])
    ax.set(title=name, xlabel="layers")
axes[0].set_ylabel("relative variance of the\nsquared singular values")
axes[0].legend()
plots.describe(
    fig,
    "Relative variance of the squared singular values against depth. At 32 layers, measured and "
    "predicted: "
    + "; ".join(f"{a}, {b} {m:.1f} and {p:.1f}" for (a, b), (m, p) in off.items())
    + ". The predictions are dashed lines that run through the points.",
)

# %%
# Points and bars: mean and range of the draws; dashed: predicted. The rule holds for all
# six. Gaussian weights add 1 a layer. The slopes of ReLU add 1 a layer, too, and no choice of
# weights takes that away: orthogonal weights halve the growth, and that is all. For tanh nearly
# everything came from the weights, so orthogonal ones keep the spread below 2 at all these depths.
#
# Does it pay?
# ------------
# In a shallow network there is little spread to remove. So orthogonal weights should not matter
# there, but in a deep network they should. We train networks of 32 and of 4 hidden layers:

small = data.subset(
    train=min(3000, len(data.train.images)), valid=min(1000, len(data.valid.images))
)
mean, std = small.train.images.mean(), small.train.images.std()
small = small.transformed(lambda x: (x - mean) / std, "mean 0, variance 1")


def compare(name, depth, learning_rate=1e-3, seeds=5):
    """Two epochs from Gaussian and from orthogonal weights, biases 0."""
    activation, gain = activations[name]
    return initguide.compare_init_weights(
        {kind: scheme(gain) for kind, scheme in draws.items()},
        small,
        model=lambda: initguide.mlp([784, *[100] * depth, 10], activation),
        learning_rate=learning_rate,
        seeds=seeds,
    )


settings = [("tanh", 32), ("tanh", 4), ("ReLU", 32)]
results = [compare(*setting) for setting in settings]
gaps = [result.difference("orthogonal", "Gaussian") for result in results]
initguide.Table(
    {
        "network": [f"{name}, {depth} layers" for name, depth in settings],
        "Gaussian": [result.rows()[0].mean for result in results],
        "orthogonal": [result.rows()[1].mean for result in results],
        "difference": [100 * gap.mean for gap in gaps],
        "from": [100 * gap.interval[0] for gap in gaps],
        "to": [100 * gap.interval[1] for gap in gaps],
        "orthogonal is": [gap.verdict() for gap in gaps],
    },
    caption="Validation accuracy after two epochs",
    note=f"Adam, learning rate 1e-3, {len(small.train.images)} images, 5 seeds. Differences in "
    "points, with their 95 % interval. Undecided: the interval holds 0.",
    formats={
        "Gaussian": ".1%",
        "orthogonal": ".1%",
        "difference": "+.1f",
        "from": "+.1f",
        "to": "+.1f",
    },
)

# %%
# With 32 layers, orthogonal weights are ahead by far more than the seeds' noise. With 4 layers, no
# difference is to be seen. In the ReLU network they only halved the spread, and are ahead all the
# same: it takes no isometry to profit.

plots.plot_losses(results[0], smooth=5)

# %%
# The losses of the deep tanh network part early, and the band of the Gaussian weights is wider:
# some draws start worse than others. (:doc:`/auto_examples/theory/plot_9_finite_width` follows
# that up.)
#
# .. admonition:: Try it
#
#    All this was at one learning rate. Train the deep tanh network with 1e-4: how much of the
#    difference is left?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          slower = compare("tanh", 32, learning_rate=1e-4, seeds=3)
#          print(slower)
#          print(slower.difference("orthogonal", "Gaussian"))
#
# What we learnt
# --------------
# - Singular values of the Jacobian tell how a network treats single directions. Two networks that
#   keep the same mean can differ in them by orders of magnitude.
# - Their relative variance adds up over layers: Gaussian weights add 1 a layer, orthogonal weights
#   0, slopes of ReLU 1, slopes of tanh little where the signal is small. Predicted and measured.
# - Orthogonal weights made deep networks learn faster, and made no difference to a shallow one.
# - With ReLU no weights give dynamical isometry: half of the slopes are 0.
#
# What the inputs and the last layer add is next: :doc:`inputs and the first loss
# </auto_examples/theory/plot_7_inputs>`. The scheme is one of those that
# :doc:`the lesson </auto_examples/lesson/plot_7_choose>` compares on a network of three layers.
