"""
1. Convolutions
===============

Rules of initialization are made of a number of inputs. What is that number in a convolution, in a
grouped or a transposed one, and at the border of an image? This page counts, predicts what the
right and the usual wrong counts do to whole networks, and measures it. Then it trains a plain
convolutional network of fifty layers, from weights that let it learn and from weights that do not.

.. admonition:: What you will learn

   - what :term:`fan-in` is in ordinary, grouped, depthwise and transposed convolutions, and where
     PyTorch's functions count differently
   - how much zero padding takes from a signal, layer by layer
   - what :term:`delta-orthogonal initialization` is, and what it does for fifty layers

.. meta::
   :keywords: convolution, CNN, Conv2d, ConvTranspose2d, grouped convolution, depthwise convolution,
      transposed convolution, zero padding, fan-in, fan-out, delta-orthogonal, kaiming_normal_
"""

# %%
# Counting inputs
# ---------------
# One number in the output of a convolution is a sum over the kernel's positions and over the
# channels that it reads. So its :term:`fan-in` is kernel area × input channels / groups, and with
# that number everything that holds for :doc:`linear layers </auto_examples/theory/plot_2_forward>`
# holds here: E[z²] = fan-in · Var(w) · E[x²].
#
# A *transposed* convolution works the other way round: each input is spread over a kernel's area of
# outputs. With stride 2 there are four times as many outputs as inputs, so each output sums a
# quarter of kernel area × input channels / groups. :func:`initguide.initializers.fans` counts so.
# We fill seven layers with variance 2 / fan-in, which should double the mean square of any input,
# and then call :func:`torch.nn.init.kaiming_normal_`, which reads both fans off the weight's shape:

import numpy as np
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, theory

around = {"padding": 1, "padding_mode": "circular"}  # no borders, for now
layers = {
    "3 × 3": nn.Conv2d(32, 32, 3, **around),
    "3 × 3, 4 groups": nn.Conv2d(32, 32, 3, groups=4, **around),
    "3 × 3, depthwise": nn.Conv2d(32, 32, 3, groups=32, **around),
    "1 × 1": nn.Conv2d(32, 32, 1),
    "transposed 2 × 2, stride 2": nn.ConvTranspose2d(64, 32, 2, stride=2),
    "transposed 4 × 4, stride 2": nn.ConvTranspose2d(
        64, 32, 4, stride=2, padding=1
    ),
    "transposed 3 × 3, stride 2": nn.ConvTranspose2d(
        64, 32, 3, stride=2, padding=1, output_padding=1
    ),
}


def kaiming(mode):
    """What many scripts do: kaiming_normal_ for every layer, biases 0."""

    def weights_init(module):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            nn.init.zeros_(module.bias)

    return weights_init


schemes = {
    "he_normal": init.he_normal(),
    "kaiming fan_in": kaiming("fan_in"),
    "kaiming fan_out": kaiming("fan_out"),
}
noise = torch.randn(4, 64, 16, 16, generator=torch.Generator().manual_seed(0))


def squares(layer, scheme):
    """Mean square of the sums at each position away from the border, relative to the inputs'."""
    x, found = noise[:, : layer.in_channels], []
    for seed in range(20):
        initguide.initialize(layer, scheme, seed=seed)
        with torch.no_grad():
            found.append(layer(x)[..., 2:-2, 2:-2].square().mean((0, 1)))
    return torch.stack(found).mean(0) / x.square().mean()


table = {"layer": list(layers)}
table["fan-in"] = [init.fans(layer).fan_in for layer in layers.values()]
for name, scheme in schemes.items():
    found = [squares(layer, scheme).mean().item() / 2 for layer in layers.values()]
    if name != "he_normal":  # the fan that is read off the shape
        axis = 1 if name == "kaiming fan_in" else 0
        taken = [
            x.weight.shape[axis] * x.weight[0, 0].numel() for x in layers.values()
        ]
        table[f"{name}, predicted"] = [
            n / t for n, t in zip(table["fan-in"], taken, strict=True)
        ]
    table[f"{name}, measured"] = found
initguide.Table(
    table,
    caption="Mean square of the sums, relative to 2 · that of the inputs",
    note="Inputs from N(0, 1); mean over 20 draws of the weights, away from the border.",
    formats=dict.fromkeys(list(table)[2:], ".3f"),
)

# %%
# The package's column is 1 for every layer, so the count is right. PyTorch's shape rule agrees for
# ordinary convolutions. With ``mode="fan_out"`` it counts the outputs of all groups, though an
# input reaches only those of its own: in a depthwise layer, the mean square is divided by the
# number of channels. For transposed convolutions it takes inputs for outputs and knows no stride.
# How far off that is depends on the channels, and can be nothing by luck. (``fan_out`` is there to
# keep gradients, and no fault where it differs from fan-in. Rightly counted, its entry would be 1
# for the grouped layers and ½ for these transposed ones.)
#
# With a stride, fan-in is an average. Where the kernel is a multiple of the stride, all outputs sum
# as many inputs. With a 3 × 3 kernel and stride 2 some sum one per channel, some two and some four:

for name in ("transposed 4 × 4, stride 2", "transposed 3 × 3, stride 2"):
    square = squares(layers[name], "he_normal") / 2
    shares = [square[i::2, j::2].mean().item() for i in (0, 1) for j in (0, 1)]
    print(f"{name}: " + ", ".join(f"{share:.2f}" for share in sorted(shares)))
print("predicted for 3 × 3: " + ", ".join(f"{n / 2.25:.2f}" for n in (1, 2, 2, 4)))

# %%
# This is the checkerboard that such layers draw :cite:p:`odena2016`, and it is there before
# training.
#
# Whole networks
# --------------
# What becomes of a wrong count in a network? We take one that has everything: eight
# depthwise-separable blocks of 64 channels (a depthwise 3 × 3 convolution, then a 1 × 1 one), then
# four transposed 2 × 2 convolutions, each with half as many channels and outputs twice as wide;
# ReLU throughout. :func:`~initguide.theory.predict_variances` predicts from the weights.

data = initguide.fashion_mnist()
data = data.subset(
    train=min(1600, len(data.train)), valid=min(800, len(data.valid)), test=100
)
mean, std = data.train.images.mean(), data.train.images.std()
data = data.transformed(lambda x: (x - mean) / std, "mean 0, variance 1")
small = data.transformed(lambda x: nn.functional.avg_pool2d(x, 4), "7 × 7 pixels")


def hourglass(n=64):
    parts = [nn.Conv2d(1, n, 3, **around)]
    for _ in range(8):
        parts += [nn.Conv2d(n, n, 3, groups=n, **around), nn.Conv2d(n, n, 1)]
    for i in range(4):
        parts.append(nn.ConvTranspose2d(n // 2**i, n // 2 ** (i + 1), 2, stride=2))
    return nn.Sequential(*(step for part in parts for step in (part, nn.ReLU())))


measured, predicted = {}, {}
for name, scheme in schemes.items():
    nets = [
        initguide.initialize(hourglass(), scheme, seed=seed) for seed in range(8)
    ]
    images = small.train.images[:4]
    measured[name] = [initguide.measure(net, images) for net in nets]
    predicted[name] = theory.predict_variances(nets[0], images)
plots.plot_layers(
    measured,
    predicted=predicted,
    log=True,
    title="Eight depthwise-separable blocks, four transposed convolutions",
)

# %%

for name, runs in measured.items():
    levels = np.mean(
        [[r.output_second_moment for r in one if r.kind != "ReLU"] for one in runs],
        0,
    )
    print(f"{name}: {(levels[-5] / levels[0]) ** (1 / 8):.3g} a block, ", end="")
    print(f"{(levels[-1] / levels[-5]) ** (1 / 4):.2f} a transposed layer")

# %%
# Lines are means of eight draws and bands their range; hollow marks are predicted. With the right
# fan-in the level stays about the same through the whole network. ``fan_out`` divides it by about
# 64 in every block, and by about four at every transposed layer. ``fan_in`` is right up to there,
# where it begins to halve.
#
# The border
# ----------
# Zero padding adds terms that are 0. In the corner of an image a 3 × 3 kernel finds four real
# inputs instead of nine, so fewer terms add up than fan-in says. The expected mean square at a
# position is the average of those under the kernel, zeros included: a **box filter**, applied once
# a layer, predicts the whole map. After many layers, the slowest pattern is left. On n × n
# positions it is a cosine hill, and it fades by
#
# .. math:: \left(\frac{1}{3} \left(1 + 2 \cos \frac{\pi}{n + 1}\right)\right)^2
#
# in each layer. (It is the largest eigenvalue of the box filter along a row, squared.)

DEPTH, SEEDS = 30, range(12)
box = torch.ones(1, 1, 3, 3, dtype=torch.float64) / 9


def filtered(q):
    """Box filter with zero padding, of a map of mean squares (n, n)."""
    return nn.functional.conv2d(q[None, None], box, padding=1)[0, 0]


def energy_maps(size, mode):
    """(seeds, layers, n, n) mean square at each position, in ReLU networks with He's weights."""
    x0 = nn.functional.avg_pool2d(data.train.images[:12], 28 // size)
    shape = {"kernel_size": 3, "padding": 1, "padding_mode": mode}
    found = []
    for seed in SEEDS:
        convs = [nn.Conv2d(64 if i else 1, 64, **shape) for i in range(DEPTH)]
        initguide.initialize(nn.ModuleList(convs), "he_normal", seed=seed)
        x, maps = x0, []
        for conv in convs:
            with torch.no_grad():
                z = conv(x)
            maps.append(z.square().mean((0, 1)).double())
            x = z.relu()
        found.append(torch.stack(maps))
    return torch.stack(found)


def draw(ax, x, sample, predicted, label, **style):
    """Mean over seeds with a band from the smallest to the largest; prediction dashed."""
    low, high = np.quantile(sample, (0, 1), axis=0)
    ax.fill_between(x, low, high, color=style["color"], alpha=0.2)
    ax.plot(x, np.mean(sample, axis=0), label=label, **style)
    ax.plot(x, predicted, "--", color="0.2", linewidth=1.2)


fig, (left, right) = plots.subplots(1, 2, height=3.9)
ends = []
runs = {"7 × 7, circular": 7, "14 × 14, zeros": 14, "7 × 7, zeros": 7}
for color, (name, size) in zip(plots.PALETTE, runs.items(), strict=False):
    maps = energy_maps(size, name.split(", ")[1])
    level = (maps.mean((2, 3)) / maps[:, :1].mean((2, 3))).numpy()
    q = [maps[:, 0].mean(0)]
    while len(q) < DEPTH:
        q.append(filtered(q[-1]) if "zeros" in name else q[-1])
    line = [one.mean() / q[0].mean() for one in q]
    draw(left, range(1, DEPTH + 1), level, line, name, color=color)
    ends.append(
        f"{name}: measured {level[:, -1].mean():.2g}, predicted {line[-1]:.2g}"
    )
row = maps[:, -1].mean(1)
row = (row / row.mean(1, keepdim=True)).numpy()
hill = q[-1].mean(0) / q[-1].mean()
draw(right, range(1, 8), row, hill, "measured", color=color)
left.set(title="Mean square over thirty layers", xlabel="layer", yscale="log")
left.set_ylabel("relative to the first layer (logarithmic)")
left.legend()
right.set(
    title="Layer 30, zeros: across the image", xlabel="column", ylim=(0, None)
)
right.set_ylabel("mean square / its mean")
plots.describe(
    fig, "Mean square in layer 30 relative to layer 1. " + "; ".join(ends) + "."
)
for n in (7, 14, 28):
    rate = ((1 + 2 * np.cos(np.pi / (n + 1))) / 3) ** 2
    print(f"{n} × {n}: a layer keeps {rate:.3f}, fifty layers keep {rate**50:.2g}")

# %%
# Lines are means of twelve draws, bands the range, dashes the box filter. Circular padding keeps
# the level, zero padding loses what the filter predicts, and the hill is there, too. On small maps
# this matters, and no fan-in can mend it: the loss depends on the position. Large images lose
# little.
#
# :func:`~initguide.theory.predict_variances` counts the border, too. It takes from the pass how the
# mean square is spread over the positions, and predicts how large it is:

net = nn.Sequential()
for i in range(DEPTH):
    net.extend([nn.Conv2d(64 if i else 1, 64, 3, padding=1), nn.ReLU()])
initguide.initialize(net, "he_normal", seed=0)
records = theory.predict_variances(net, small.train.images[:12])
kept = records[-1].second_moment / records[0].second_moment
print(
    f"7 × 7, layer {DEPTH}: {kept:.2g} by predict_variances, {line[-1]:.2g} by the filter"
)

# %%
# Delta-orthogonal weights
# ------------------------
# What if only the kernel's centre is not zero? Then each position is on its own, the border does
# not matter, and the layer is a matrix from channels to channels, which may be **orthogonal**. With
# this :term:`delta-orthogonal initialization`, :cite:t:`xiao2018` trained plain tanh networks of
# ten thousand layers. We compare it on fifty layers with PyTorch's default, with Gaussian weights
# of variance 1 / fan-in, and with Gaussian weights at the centre alone. Except for the default, all
# get the same kind of first layer, so that signals start equally large.

FIFTY = 50


def plain(activation=nn.Tanh, channels=16):
    """Fifty convolutions and a linear layer."""
    parts = []
    for i in range(FIFTY):
        parts += [
            nn.Conv2d(channels if i else 1, channels, 3, padding=1),
            activation(),
        ]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(channels * 49, 10))


def delta_gaussian(module):
    """Zeros, and N(0, 1/channels) at the kernel's centre."""
    init.lecun_normal()(module)
    if isinstance(module, nn.Conv2d) and module.in_channels > 1:
        nn.init.zeros_(module.weight)
        with torch.no_grad():
            module.weight[:, :, 1, 1].normal_(0, module.in_channels**-0.5)


def delta_orthogonal(module):
    """An orthogonal matrix there."""
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
# The prediction follows, at each position, the mean square q of the pre-activations and that of
# their gradients, g: q becomes Var(w) · fan-in times the filtered E[tanh²], plus the variance of
# the biases; on the way back, g is filtered and multiplied by E[tanh'²].

nodes, weights = np.polynomial.hermite_e.hermegauss(60)


def average(f, q):
    """E[f(√q z)] for z ~ N(0, 1), at each position."""
    values = f(q.sqrt()[..., None] * torch.from_numpy(nodes))
    return values @ torch.from_numpy(weights / weights.sum())


def predict(q, factor, bias, blur):
    """Mean squares of 50 layers and of their gradients, the latter relative to the last."""
    forward = [q]
    while len(forward) < FIFTY:
        forward.append(
            factor * blur(average(lambda z: z.tanh() ** 2, forward[-1])) + bias
        )
    slopes = [average(lambda z: (1 - z.tanh() ** 2) ** 2, q) for q in forward]
    back = [slopes[-1]]
    for slope in slopes[-2::-1]:
        back.append(factor * blur(back[-1]) * slope)
    return [q.mean() for q in forward], [
        g.mean() / back[0].mean() for g in back[::-1]
    ]


fig, axes = plots.subplots(1, 2, height=4.2)
ends, images = [], small.train.images[:50]
for i, (name, scheme) in enumerate(starts.items()):
    found = []
    for seed in range(6):
        net = initguide.initialize(plain(), scheme, seed=seed)
        with torch.no_grad():
            first = net[0](images).square().mean((0, 1)).double()
        convs = [r for r in initguide.measure(net, images) if r.kind == "Conv2d"]
        gradients = np.array([r.output_grad_var for r in convs])
        found.append(
            ([r.output_second_moment for r in convs], gradients / gradients[-1])
        )
    factor, bias = (1 / 3, 1 / (3 * 16 * 9)) if name == "default" else (1.0, 0.0)
    lines = predict(
        first, factor, bias, torch.clone if "delta" in name else filtered
    )
    look = {"color": plots.PALETTE[i], "linestyle": ("-", "-.", ":", "-")[i]}
    for ax, measured, line in zip(
        axes, np.swapaxes(found, 0, 1), lines, strict=True
    ):
        draw(ax, range(1, FIFTY + 1), measured, line, name, **look)
        ax.set(xlabel="layer", yscale="log")
    ends.append(f"{name} {measured[:, 0].mean():.1g}, predicted {lines[1][0]:.1g}")
axes[0].set(title="Pre-activations", ylabel="mean square (logarithmic)")
axes[1].set(title="Gradients", ylabel="mean square / last layer's (logarithmic)")
axes[1].legend(loc="lower right")
plots.describe(
    fig,
    "Gradient in the first layer relative to layer 50: " + "; ".join(ends) + ".",
)
print("\n".join(ends))

# %%
# Lines and bands: mean and range of six draws. Dashed: predicted. With the default, each layer
# takes about two thirds of the mean square. Forwards the biases stop that, at a level where all
# images look alike; nothing stops the gradient. Gaussian weights lose to the border, in both
# directions. For the two deltas the prediction is one and the same, and the border plays no part.
# But theory speaks of wide layers: with 16 channels, single draws of Gaussian matrices stray far
# from it, and their mean falls below. Orthogonal ones keep close to it.
#
# Training
# --------
# One epoch with Adam, four seeds:

result = initguide.compare_init_weights(
    starts, small, model=plain, epochs=1, batch_size=40, learning_rate=1e-3, seeds=4
)
result

# %%

plots.plot_losses(result, smooth=4)

# %%

for other in ("lecun_normal", "delta_gaussian"):
    print(result.difference("delta_orthogonal", other, "valid_loss"))
print(result.difference("delta_gaussian", "lecun_normal", "valid_loss"))

# %%
# Below zero, the first of the two is ahead. From PyTorch's default this network does not learn.
# From the others it does, and best from delta-orthogonal weights. Is that owed to the kernel's
# centre or to orthogonality? The last line compares the two Gaussian starts: leaving out the rest
# of the kernel does not bring the advantage by itself.
#
# .. admonition:: Try it
#
#    With ReLU the slopes are 0 and 1, so that no weights are isometric. Is a delta still worth it?
#    Train fifty ReLU layers from He's weights and from ``delta_orthogonal(2**0.5)``.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          relu = initguide.compare_init_weights(
#              {"He": init.he_normal(), "delta": init.delta_orthogonal(2**0.5)},
#              small, model=lambda: plain(nn.ReLU), epochs=1, batch_size=40, seeds=2,
#          )
#          print(relu)
#          print(relu.difference("delta", "He", "valid_loss"))
#
# What we learnt
# --------------
# - Fan-in is kernel area × input channels / groups, and for a transposed convolution that divided
#   by the stride in each dimension. With this count, 2 / fan-in doubles the mean square of any of
#   them.
# - :func:`torch.nn.init.kaiming_normal_` counts the outputs of all groups in a grouped layer, and
#   the wrong side of a transposed one. In a deep network the error is multiplied block by block.
# - Zero padding lowers the mean square as a box filter predicts: strongly on small maps.
# - Delta-orthogonal weights see no border and keep to the prediction in narrow layers. A plain tanh
#   network of fifty layers learnt best from them, and not at all from PyTorch's default.
#
# The rule to take home: **count what one output sums.** Use fan-in, not ``fan_out``, for depthwise
# and transposed layers; and for a very deep plain network with tanh, start from the kernel's centre
# with an orthogonal matrix.
#
# Shortcuts make depth easier: :doc:`residual networks
# </auto_examples/architectures/plot_2_residual>`. What orthogonal matrices do without convolutions:
# :doc:`/auto_examples/theory/plot_6_orthogonal`.
