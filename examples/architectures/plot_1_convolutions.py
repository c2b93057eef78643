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
# One number in the output of a convolution is a sum over the kernel's positions and over the
# channels that it reads. So its :term:`fan-in` is kernel area × input channels / groups, and with
# that number everything that holds for :doc:`linear layers </auto_examples/theory/plot_2_forward>`
# holds here: E[z²] = fan-in · Var(w) · E[x²].
#
# A *transposed* convolution works the other way round: each input is spread over a kernel's area of
# outputs. With stride 2 there are four times as many outputs as inputs, so each output sums a
# quarter of kernel area × input channels / groups. :func:`initguide.initializers.fans` counts so.
# Five layers will show whether it is right:

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from torch import nn

import initguide
from initguide import initializers as init
from initguide import models, plots, theory

around = {"padding": 1, "padding_mode": "circular"}  # no borders, for now
layers = {
    "3 × 3": nn.Conv2d(32, 32, 3, **around),
    "3 × 3, 4 groups": nn.Conv2d(32, 32, 3, groups=4, **around),
    "3 × 3, depthwise": nn.Conv2d(32, 32, 3, groups=32, **around),
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
# We fill them with variance 2 / fan-in, which should double the mean square of any input. Then we
# do what many scripts do, and call :func:`torch.nn.init.kaiming_normal_` for every layer, with the
# modes ``fan_in`` and ``fan_out``. It reads both fans off the shape of the weights, so we can
# predict what it makes of each layer, too:


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
for axis, mode in ((1, "fan_in"), (0, "fan_out")):
    taken = [w.shape[axis] * w[0, 0].numel() for w in weights]
    found[f"{mode}, predicted"] = np.divide(found["fan-in"], taken)
    found[mode] = [squares(x, kaiming(mode)).mean() for x in layers.values()]
initguide.Table(
    found,
    caption="Mean square of the sums, relative to 2 · that of the inputs, over 20 draws",
    formats=dict.fromkeys(list(found)[2:], ".3f"),
)

# %%

counted = np.abs(np.subtract(found["he_normal"], 1)).max()
modes = ("fan_in", "fan_out")
read = [np.divide(found[mode], found[f"{mode}, predicted"]) for mode in modes]
read = np.abs(np.subtract(read, 1)).max()
initguide.says(
    counted < 0.1,
    "With the package's fan-in, every layer is within {by:.1%} of ``1``: the count is right.",
    "With the package's fan-in, a layer is off ``1`` by {by:.0%}, which is much for these draws.",
    by=counted,
) + initguide.says(
    read < 0.1,
    "The columns of PyTorch's function are within {by:.1%} of what its reading of the shape "
    "predicts, right or wrong.",
    "A column of PyTorch's function is off by {by:.0%} from what its reading of the shape "
    "predicts.",
    by=read,
)

# %%
# That reading agrees with the count for ordinary convolutions. With ``mode="fan_out"`` it takes the
# outputs of all groups, though an input reaches only those of its own. In a depthwise layer, that
# divides the mean square by the number of channels. For transposed convolutions it takes inputs for
# outputs and knows no stride. How far off that is depends on the channels; by luck, it can be
# nothing. (The purpose of ``fan_out`` is to keep gradients, so it need not agree with fan-in.
# Counted rightly, its column would say 1 for the grouped layers and ½ for these transposed ones.)
#
# With a stride, fan-in is an average. Where the kernel is a multiple of the stride, all outputs sum
# as many inputs. With a 3 × 3 kernel and stride 2, an output sums one input per channel, or two, or
# four, where the average is 2.25. Such layers draw checkerboards :cite:p:`odena2016`. Here are the
# four kinds of positions, relative to that average:

square = squares(layers["transposed 3 × 3, stride 2"], "he_normal")
shares = sorted(square[i::2, j::2].mean().item() for i in (0, 1) for j in (0, 1))
print("measured:  " + ", ".join(f"{share:.2f}" for share in shares))
expected = [n / 2.25 for n in (1, 2, 2, 4)]
print("predicted: " + ", ".join(f"{share:.2f}" for share in expected))

# %%

initguide.says(
    np.allclose(shares, expected, rtol=0.1),
    "The counts tell the squares: the checkerboard is there before training.",
    "The squares are not those that the counts tell; so many draws should come closer.",
)

# %%
# Whole networks
# --------------
# What becomes of a wrong count in a network? :func:`initguide.models.hourglass` has everything:
# eight depthwise-separable blocks of 64 channels (a depthwise 3 × 3 convolution, then a 1 × 1 one),
# then four transposed 2 × 2 convolutions, each with half as many channels and images twice as wide;
# ReLU throughout. :func:`~initguide.theory.predict_variances` predicts from the weights.

images = initguide.fashion_mnist().train.images[:1600]
images = (images - images.mean()) / images.std()
small = nn.functional.avg_pool2d(images[:12], 4)  # 7 × 7 pixels
schemes = {"he_normal": init.he_normal()}
schemes |= {f"kaiming {mode}": kaiming(mode) for mode in ("fan_in", "fan_out")}
measured, predicted, levels = {}, {}, {}
for name, scheme in schemes.items():
    nets = [init.initialize(models.hourglass(), scheme, seed=i) for i in range(8)]
    measured[name] = [initguide.measure(net, small[:4]) for net in nets]
    predicted[name] = theory.predict_variances(nets[0], small[:4])
    runs = [[r.output_second_moment for r in one] for one in measured[name]]
    levels[name] = np.mean(runs, axis=0)[
        [0, 32, 40]
    ]  # around the blocks, and at the end
    first, last, _ = levels[name]
    print(f"{name}: times {(last / first) ** (1 / 8):.3g} per block")
plots.plot_layers(
    measured,
    predicted=predicted,
    log=True,
    title="A network with all kinds of fans",
)

# %%
# Lines are means of eight draws and bands their range; hollow marks are predicted. All three
# networks share their draws, so that what the counts do can be told apart from luck:

whole = levels["he_normal"][-1] / levels["he_normal"][0]
taken = {}  # by a block and by a transposed layer, beside the right count
for mode in modes:
    ratio = levels["he_normal"] / levels[f"kaiming {mode}"]
    taken[mode] = (ratio[1:] / ratio[:-1]) ** (1 / 8, 1 / 4)
initguide.says(
    0.1 < whole < 10,
    "With the right fan-in the level keeps its order of magnitude through the network: at the end "
    "it is {whole:.2g} times that of the first layer.",
    "Even with the right fan-in the level ends at {whole:.2g} times that of the first layer.",
    whole=whole,
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
# per layer, predicts the whole map. After many layers, its slowest pattern is left. On n × n
# positions that is a cosine hill, and each layer multiplies it by
#
# .. math:: \left(\frac{1}{3} \left(1 + 2 \cos \frac{\pi}{n + 1}\right)\right)^2 .
#
# (It is the largest eigenvalue of the box filter along a row, squared.) We measure thirty ReLU
# layers of 64 channels with He's weights, on images of two sizes:

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
    q = [maps[:, 0].mean(0).numpy()]
    while len(q) < 30:
        q.append(uniform_filter(q[-1], 3, mode="constant"))  # zeros around it
    measured[f"{size} × {size}"] = maps.mean((2, 3)) / maps[:, :1].mean((2, 3))
    predicted[f"{size} × {size}"] = [one.mean() / q[0].mean() for one in q]
plots.plot_prediction(
    measured, predicted, title="Zero padding", ylabel="mean square / layer 1's"
)
for n in (7, 14, 28):
    rate = ((1 + 2 * np.cos(np.pi / (n + 1))) / 3) ** 2
    print(f"{n} × {n}: a layer keeps {rate:.3f}, fifty layers keep {rate**50:.2g}")

# %%
# Single draws stray. What the filter predicts is their mean:

left = {size: kept[:, -1].numpy() for size, kept in measured.items()}
off = {size: initguide.estimate(left[size] / predicted[size][-1]) for size in left}
share = initguide.estimate(left["7 × 7"] / left["14 × 14"])  # of the same draws
initguide.says(
    all(e.above(1) is None for e in off.values()),
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
    "larger ones. Of the means it is {means:.2f} times, where the filter predicts {expected:.2f}.",
    "Draw by draw, zero padding leaves {share:.2f} times as much of the small images as of the "
    "larger ones, where the filter predicts a far greater loss: {expected:.2f}.",
    "Whether zero padding leaves less than half as much of the small images, these draws cannot "
    "tell: {share:.2f} times, where the filter predicts {expected:.2f}.",
    share=share,
    means=left["7 × 7"].mean() / left["14 × 14"].mean(),
    expected=predicted["7 × 7"][-1] / predicted["14 × 14"][-1],
)

# %%
# No fan-in can make up for such a loss, since it depends on the position: where all is equal, one
# layer takes five ninths from the corners and nothing from the middle.
#
# .. admonition:: Try it
#
#    With ``padding_mode="reflect"`` the border sees mirrored inputs instead of zeros. Does the
#    level stay, over thirty layers on 7 × 7 pixels?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          net, kept = nn.Sequential(), []
#          for i in range(30):
#              n = 64 if i else 1
#              net.extend([nn.Conv2d(n, 64, 3, padding=1, padding_mode="reflect"), nn.ReLU()])
#          for seed in range(12):
#              initguide.initialize(net, "he_normal", seed=seed)
#              found = initguide.measure(net, small)
#              kept.append(found[-2].output_second_moment / found[0].output_second_moment)
#          zeros = measured["7 × 7"][:, -1].mean()
#          print(f"{np.mean(kept):.2f} ({min(kept):.2f} to {max(kept):.2f}), zeros: {zeros:.2f}")
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
        "Zero padding lowers the mean square, and far more on small maps, as a box filter "
        "predicts.",
        "Zero padding lowers the mean square. That it takes far more from small maps, as a box "
        "filter predicts, did not show here.",
        "Zero padding lowers the mean square. Whether it takes far more from small maps, as a box "
        "filter predicts, these draws cannot tell.",
        key="convolutions-zero-padding",
    ),
)

# %%
# The rule to take home: **count what one output sums**, also in depthwise and transposed layers.
#
# Small maps and many layers: :doc:`/auto_examples/architectures/plot_9_deep_convolutions`. With
# shortcuts, depth is easier: :doc:`/auto_examples/architectures/plot_2_residual`.
