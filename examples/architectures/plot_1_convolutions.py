"""
1. Convolutions
===============

Rules of initialization are made of a number of inputs. What is that number in a convolution, in a
grouped or a transposed one, and at the border of an image? This page counts, predicts what the
right and the usual wrong counts do to whole networks, and measures it.

.. admonition:: What you will learn

   - what :term:`fan-in` is in ordinary, grouped, depthwise and transposed convolutions
   - where PyTorch's functions count differently, and what that does to a deep network
   - how much zero padding takes from a signal, layer by layer

.. meta::
   :keywords: convolution, CNN, Conv2d, ConvTranspose2d, grouped convolution, depthwise convolution,
      transposed convolution, zero padding, checkerboard, fan-in, fan-out, kaiming_normal_
"""

# %%
# Counting inputs
# ---------------
# One output of a convolution sums over the kernel's positions and the channels that it reads. So
# its :term:`fan-in` is kernel area × input channels / groups, and with it, as in :doc:`linear
# layers </auto_examples/theory/plot_2_forward>`, E[z²] = fan-in · Var(w) · E[x²].
#
# A *transposed* convolution spreads each input over a kernel's area of outputs. With stride 2 there
# are four times as many outputs as inputs, so each output sums a quarter of that number.
# :func:`initguide.initializers.fans` counts so. Is it right in five layers?

import numpy as np
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import models, plots, theory

layers = {  # without padding, for now
    "3 × 3": nn.Conv2d(32, 32, 3),
    "3 × 3, 4 groups": nn.Conv2d(32, 32, 3, groups=4),
    "3 × 3, depthwise": nn.Conv2d(32, 32, 3, groups=32),
    "transposed 2 × 2, stride 2": nn.ConvTranspose2d(64, 32, 2, 2),
    "transposed 3 × 3, stride 2": nn.ConvTranspose2d(64, 32, 3, 2, 1, 1),
}
noise = torch.randn(4, 64, 16, 16, generator=torch.Generator().manual_seed(0))


def squares(layer, scheme):
    """Mean square of the sums at each position off the border, relative to 2 · the inputs'."""
    x, found = noise[:, : layer.in_channels], []
    for seed in range(20):
        initguide.initialize(layer, scheme, seed=seed)
        with torch.no_grad():
            found.append(layer(x)[..., 2:-2, 2:-2].square().mean((0, 1)))
    return (torch.stack(found).mean(0) / x.square().mean() / 2).numpy()


# %%
# Variance 2 / fan-in should double the mean square of any input. Many scripts call
# :func:`torch.nn.init.kaiming_normal_` for every layer instead, with the mode ``fan_in`` or
# ``fan_out``. It reads both off the shape of the weights, so what it does can be predicted, too:


def kaiming(mode):
    def weights_init(module):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            nn.init.zeros_(module.bias)

    return weights_init


found = {"layer": list(layers)}
found["fan-in"] = [init.fans(layer).fan_in for layer in layers.values()]
found["he_normal"] = [squares(x, "he_normal").mean() for x in layers.values()]
weights = [layer.weight for layer in layers.values()]
modes = {"fan_in": 1, "fan_out": 0}  # the side of the weights that each takes
for mode, side in modes.items():
    taken = [w.shape[side] * w[0, 0].numel() for w in weights]
    found[f"{mode}, predicted"] = np.divide(found["fan-in"], taken)
    found[mode] = [squares(x, kaiming(mode)).mean() for x in layers.values()]
initguide.Table(
    found,
    caption="Mean square of the sums, relative to 2 · that of the inputs, over 20 draws",
    formats=dict.fromkeys(list(found)[2:], ".3f"),
)

# %%

counted = np.abs(np.array(found["he_normal"]) - 1).max()
off = [np.divide(found[m], found[f"{m}, predicted"]) - 1 for m in modes]
read = np.abs(off).max()
initguide.says(
    counted < 0.1,
    "With the package's fan-in, every layer is within {by:≤.1%} of ``1``: the count is right.",
    "With the package's fan-in, a layer is off ``1`` by {by:.0%}, which is much for these draws.",
    by=counted,
) + initguide.says(
    read < 0.1,
    "The columns of PyTorch's function are within {by:≤.1%} of what its reading of the shape "
    "predicts, right or wrong.",
    "A column of PyTorch's function is off by {by:.0%} from what its reading of the shape "
    "predicts.",
    by=read,
)

# %%
# That reading agrees with the count for ordinary convolutions. With ``mode="fan_out"`` it takes the
# outputs of all groups, though an input reaches only those of its own. For transposed convolutions
# it takes inputs for outputs and knows no stride. (``fan_out`` is meant for gradients, and counted
# rightly it would give 1 for the grouped layers and ½ for these transposed ones.)
#
# With a stride, fan-in is an average. With a 3 × 3 kernel and stride 2, an output sums one input
# per channel, or two, or four, where the average is 2.25. Such layers draw checkerboards
# :cite:p:`odena2016`. Do the four kinds of positions have squares in proportion to their counts?

square = squares(layers["transposed 3 × 3, stride 2"], "he_normal")
shares = [square[i::2, j::2].mean() for i in (0, 1) for j in (0, 1)]
uneven = np.abs(np.sort(shares) * 2.25 / (1, 2, 2, 4) - 1).max()
initguide.says(
    uneven < 0.1,
    "They do, within {off:≤.1%}: the checkerboard is there before training, and its brightest "
    "positions have {times:.1f} times the mean square of the darkest.",
    "One of them is off by {off:.0%}, which is much for so many draws.",
    off=uneven,
    times=max(shares) / min(shares),
)

# %%
# Whole networks
# --------------
# What becomes of a wrong count in a network? :func:`initguide.models.hourglass` has eight blocks of
# 64 channels (a depthwise 3 × 3 convolution, then a 1 × 1 one), then four transposed 2 × 2
# convolutions, each with half as many channels and images twice as wide, and ReLU throughout.
# :func:`~initguide.theory.predict_variances` predicts from the weights.

images = initguide.fashion_mnist().train.images[:1600]
images = (images - images.mean()) / images.std()
small = nn.functional.avg_pool2d(images[:12], 4)  # 7 × 7 pixels
schemes = {"he_normal": init.he_normal()}
schemes |= {f"kaiming {mode}": kaiming(mode) for mode in modes}
measured, predicted, levels = {}, {}, {}
for name, scheme in schemes.items():
    nets = [init.initialize(models.hourglass(), scheme, seed=i) for i in range(8)]
    measured[name] = [initguide.measure(net, small[:4]) for net in nets]
    predicted[name] = theory.predict_variances(nets[0], small[:4])
    runs = [[r.output_second_moment for r in one] for one in measured[name]]
    levels[name] = np.transpose(runs)[[0, 32, 40]]  # around blocks, and at the end
title = "A network with all kinds of fans"
plots.plot_layers(measured, predicted=predicted, log=True, title=title)

# %%
# Lines are means of eight draws and bands their range; hollow marks are predicted. The three
# networks share their draws, which tells what the counts do from luck:

first, _, last = levels["he_normal"]
whole = last.mean() / first.mean()
taken = {}  # by a block and by a transposed layer, beside the right count
for mode in modes:
    ratio = levels["he_normal"].mean(1) / levels[f"kaiming {mode}"].mean(1)
    taken[mode] = (ratio[1:] / ratio[:-1]) ** (1 / 8, 1 / 4)
initguide.says(
    0.1 < whole < 10,
    "With the right fan-in the level keeps its order of magnitude through the network, on average "
    "over draws: at the end it is {whole:.2g} times that of the first layer, and in single draws "
    "{low:.2g} to {high:.2g} times.",
    "Even with the right fan-in the level ends at {whole:.2g} times that of the first layer, on "
    "average over draws.",
    whole=whole,
    low=(last / first).min(),
    high=(last / first).max(),
) + initguide.says(
    np.allclose([*taken["fan_out"], *taken["fan_in"]], [64, 4, 1, 2], rtol=0.1),
    "Beside it, ``fan_out`` divides by {block:.0f}, the number of channels, in every block, and by "
    "{layer:.1f} at every transposed layer. ``fan_in`` is right up to there, and divides by "
    "{half:.1f} at each of those.",
    "Beside it, ``fan_out`` divides by {block:.3g} in every block and by {layer:.2g} at every "
    "transposed layer, and ``fan_in`` by {half:.2g} at each of those, which is not what the counts "
    "say.",
    block=taken["fan_out"][0],
    layer=taken["fan_out"][1],
    half=taken["fan_in"][1],
)

# %%
# The border
# ----------
# Zero padding adds terms that are 0. In the corner of an image a 3 × 3 kernel finds four real
# inputs instead of nine, so fewer terms add up than fan-in says. The expected mean square at a
# position is the average of those under the kernel, zeros included: a **box filter**, applied once
# per layer, predicts the whole map. After many layers a cosine hill is left, which each layer
# multiplies by the filter's largest eigenvalue, on n × n positions
#
# .. math:: \left(\frac{1}{3} \left(1 + 2 \cos \frac{\pi}{n + 1}\right)\right)^2 .
#
# We measure thirty ReLU layers of 64 channels with He's weights, on images of two sizes:

measured, predicted, net = {}, {}, models.plain_cnn(nn.ReLU, 64, depth=30)
for size in (14, 7):
    maps = torch.empty(24, 30, size, size)  # of 24 draws, of 30 layers
    for seed in range(24):
        init.initialize(net, "he_normal", seed=seed)
        x = nn.functional.avg_pool2d(images[:12], 28 // size)
        with torch.no_grad():
            for i, convolution in enumerate(net[:-2:2]):
                z = convolution(x)
                maps[seed, i], x = z.square().mean((0, 1)), z.relu()
    q = [maps[:, 0].mean(0, keepdim=True)]
    while len(q) < 30:
        q.append(nn.functional.avg_pool2d(q[-1], 3, 1, padding=1))  # the box filter
    measured[f"{size} × {size}"] = maps.mean((2, 3)) / maps[:, :1].mean((2, 3))
    predicted[f"{size} × {size}"] = [(one.mean() / q[0].mean()).item() for one in q]
plots.plot_prediction(
    measured, predicted, title="Zero padding", ylabel="mean square / layer 1's"
)

# %%
# Single draws stray. What the filter predicts is their mean:

left = {size: kept[:, -1].numpy() for size, kept in measured.items()}
off = {size: initguide.estimate(left[size] / predicted[size][-1]) for size in left}
share = initguide.estimate(left["7 × 7"] / left["14 × 14"])  # of the same draws
fits = all(e.above(1) is None for e in off.values())
initguide.says(
    fits,
    "After thirty layers that mean is {large:.2f} times the prediction on the larger images and "
    "{small:.2f} times on the small ones. Both intervals hold ``1``, so these draws do not "
    "contradict the filter.",
    "After thirty layers that mean is {large:.2f} times the prediction on the larger images and "
    "{small:.2f} times on the small ones. Not both intervals hold ``1``, so these draws do not fit "
    "the filter.",
    large=off["14 × 14"],
    small=off["7 × 7"],
) + initguide.says(
    share.below(0.5),
    "Draw by draw, zero padding leaves {share:.2f} times as much of the small images as of the "
    "larger ones. The filter speaks of means, and a ratio of means is not a mean of ratios: for "
    "that, it predicts {expected:.2f}, and measured are {means:.2f}.",
    "Draw by draw, zero padding leaves {share:.2f} times as much of the small images as of the "
    "larger ones, where of the means the filter predicts a far smaller part: {expected:.2f}.",
    "Whether zero padding leaves less than half as much of the small images, these draws cannot "
    "tell: {share:.2f} times, where of the means the filter predicts {expected:.2f}.",
    share=share,
    means=left["7 × 7"].mean() / left["14 × 14"].mean(),
    expected=predicted["7 × 7"][-1] / predicted["14 × 14"][-1],
)

# %%
# No fan-in makes up for that: of a level map, a layer takes 5/9 in the corners, 0 in the middle.
#
# .. admonition:: Try it
#
#    Write He's scheme for convolutions and linear layers yourself, with the count of this page, and
#    let it be checked: a wrong answer is told what was misunderstood.
#
#    .. code-block:: python
#
#       from initguide import exercises
#
#       def my_scheme(m):
#           ...  # yours
#
#       exercises.check("convolution", my_scheme)
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          from initguide import exercises
#
#          def my_scheme(m):
#              if isinstance(m, nn.Conv2d | nn.Linear):
#                  n = m.weight[0].numel()  # all that one output sums
#                  nn.init.normal_(m.weight, std=(2 / n) ** 0.5)
#                  nn.init.zeros_(m.bias)
#
#          exercises.check("convolution", my_scheme)
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        counted < 0.1,
        "Fan-in is kernel area × input channels / groups, and for a transposed convolution that "
        "divided by the stride in each dimension. With this count, ``2 / fan-in`` doubled the mean "
        "square in each layer tried.",
        "Fan-in is kernel area × input channels / groups, and for a transposed convolution that "
        "divided by the stride in each dimension; and yet ``2 / fan-in`` did not double the mean "
        "square in each layer tried.",
        key="convolutions-fan-in",
    ),
    initguide.says(
        taken["fan_out"][0] > 10 and taken["fan_in"][1] > 1.5,
        ":func:`torch.nn.init.kaiming_normal_` counts the outputs of all groups in a grouped "
        "layer, and the wrong side of a transposed one. In a network with many such layers the "
        "error was multiplied layer by layer.",
        ":func:`torch.nn.init.kaiming_normal_` counts the outputs of all groups in a grouped "
        "layer, and the wrong side of a transposed one. In a network with many such layers, one of "
        "these errors hardly showed.",
        key="convolutions-torch-count",
    ),
    initguide.says(
        share.below(0.5),
        "Zero padding lowers the mean square, and far more on small maps.",
        "Zero padding lowers the mean square. That it takes far more from small maps did not show "
        "here.",
        "Zero padding lowers the mean square. Whether it takes far more from small maps, these "
        "draws cannot tell.",
        key="convolutions-zero-padding",
    )
    + initguide.says(
        fits,
        "A box filter predicts how much is left on average, and these draws do not contradict it.",
        "A box filter should predict how much is left on average; these draws do not fit it.",
    ),
)

# %%
# The rule to take home: **count what one output sums**, also in depthwise and transposed layers.
# Next, shortcuts make depth easier: :doc:`plot_2_residual`. Fifty layers without them, on small
# maps: :doc:`plot_9_deep_convolutions`.
