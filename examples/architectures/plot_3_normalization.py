"""
3. Normalization
================

With batch or layer normalization, initialization does not matter any more: so one reads. This page
measures what batch, layer, group and RMS normalization forgive, over four orders of magnitude of
the initial weights and eight of the learning rate, beside the same network without them. Then it
looks for what they do not forgive.

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
# Three hidden layers, each followed by a normalization and ReLU, then a last layer without either.
# :cite:t:`ioffe2015` normalize each unit over the batch; :cite:t:`ba2016` all units of a layer for
# one image; :cite:t:`wu2018` do the same in groups of units; :cite:t:`zhang2019rms` leave out
# subtracting the mean. Images are shrunk to 14 × 14 pixels, so that we can train many networks.

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

import initguide
from initguide import experiments, plots

data = initguide.fashion_mnist().subset(train=1500, valid=500, test=500)
mean, std = data.train.images.mean(), data.train.images.std()
x_train, x_valid = (
    F.avg_pool2d((split.images - mean) / std, 2).flatten(1)
    for split in (data.train, data.valid)
)
y_train, y_valid = data.train.labels, data.valid.labels

NORMS = {
    "none": lambda _: nn.Identity(),
    "batch": lambda units: nn.BatchNorm1d(units, track_running_stats=False),
    "layer": nn.LayerNorm,
    "group": lambda units: nn.GroupNorm(4, units),
    "RMS": nn.RMSNorm,
}


class Network(nn.Module):
    """Three hidden layers of 48 units, with a normalization behind each."""

    def __init__(self, norm):
        super().__init__()
        self.first, self.second, self.third = (
            nn.Sequential(nn.Linear(n, 48, bias=False), norm(48), nn.ReLU())
            for n in (196, 48, 48)
        )
        self.head = nn.Linear(48, 10, bias=False)

    def forward(self, x):
        return self.head(self.third(self.second(self.first(x))))


def matrices(net, *, head):
    """Weights of the linear layers, with the last one or without."""
    named = net.named_parameters()
    return [w for name, w in named if w.ndim == 2 and (head or "head" not in name)]


@torch.no_grad()
def build(norm, seed, scale=1.0, *, head=False):
    """Make a network with He's weights, all times a number (the last layer on demand)."""
    net = initguide.initialize(Network(NORMS[norm]), "he_normal", seed=seed)
    for weight in matrices(net, head=head):
        weight.mul_(scale)
    return net


# %%
# The output does not know the scale, the gradient does
# -----------------------------------------------------
# A normalization divides by the size of what it gets, so multiplying the weights before it by s
# changes nothing. Then the gradient must go as 1/s: a step of a given size moves weights that are s
# times as large by 1/s of their size, in units of what the network notices.
#
# That holds as long as the small number ε under the root, which protects from dividing by zero, is
# small beside the mean square v of the pre-activations: their normalized mean square is v/(v + ε).
# He's weights give v = 2 E[x²] s² in the first layer, and then s² times the mean square that the
# layer before has left. Prediction and measurement, for s over eight orders of magnitude:

scales = np.logspace(-6, 2, 17)
batch, labels = x_train[:500], y_train[:500]


def sizes(net):
    """Root mean squares: behind the last normalization, and of the first layer's gradient."""
    kept = []
    hook = net.third[1].register_forward_hook(lambda *args: kept.append(args[2]))
    F.cross_entropy(net(batch), labels).backward()
    hook.remove()
    kept.append(net.first[0].weight.grad)
    return [tensor.square().mean().sqrt().item() for tensor in kept]


looks = dict(zip(NORMS, zip(plots.PALETTE, "os^Dv", strict=False), strict=True))
fig, axes = plots.subplots(1, 2, height=4.6, width=9.0)
for norm, (color, marker) in looks.items():
    nets = [[build(norm, seed, s) for s in scales] for seed in range(3)]
    found = np.array([[sizes(net) for net in row] for row in nets]).mean(0)
    for ax, values in zip(axes, found.T, strict=True):
        ax.plot(scales, values, marker, color=color, ms=5, label=norm)
    eps = {"none": None, "RMS": torch.finfo(torch.float32).eps}.get(norm, 1e-5)
    m = 2 * batch.square().mean().item()
    for _ in range(3):
        v = scales**2 * m  # ReLU halves the mean square, He's weights double it
        m = v if eps is None else v / (v + eps)
    axes[0].plot(scales, np.sqrt(m), "--", color=color, linewidth=1.2)
    if norm != "none":
        line = found[scales == 1, 1] / scales
        axes[1].plot(scales, line, "--", color=color, linewidth=1.2)
axes[0].set(title="Behind the last normalization", ylim=(1e-5, 1e3))
axes[1].set(title="Gradient of the first layer", ylim=(1e-6, 1e4))
for ax in axes:
    ax.set(xscale="log", yscale="log", xlabel="scale s of the hidden weights")
    ax.set_ylabel("root mean square")
axes[0].legend(title="dashed: predicted")
plots.describe(
    fig,
    "Against the scale of the hidden weights: root mean square behind the last normalization, "
    "level at 1 from 100 down to about 0.01 (RMS: 0.001), falling below; gradient of the first "
    "layer, going as 1/s over the same range. Without normalization the signal goes as s³.",
)

# %%
# Points are means of three networks. With normalization, the signal is the same from s = 100 down
# to where ε takes over. The gradient follows 1/s over the same range, and both leave it together.
# RMS goes on longer because its ε, in PyTorch, is that of float32 and not 10⁻⁵.
#
# The effective learning rate
# ---------------------------
# Gradient descent takes a step of η times the gradient. The gradient goes as 1/s, and what counts
# is the step relative to the weights: again 1/s. So the :term:`effective learning rate` is η/s²
# (:cite:p:`vanlaarhoven2017,li2020`). With two networks in step:
#
# .. math:: w \to s\,w, \qquad \eta \to s^2 \eta
#
# leaves *all of training* as it was. The map of accuracy over s and η must have a ridge along
# η ∝ s². To see it bare, we train only the weights before a normalization, and hold the last layer
# as it is. All networks of a panel train at once: ``vmap`` turns one network into a batch of them.

scales = np.logspace(-2, 2, 9)
rates = np.logspace(-4, 4, 9)
SEEDS = 3


def fit(nets, learning_rates, seed, trains, step=lambda gradient: gradient):
    """Train all networks at once, one epoch of gradient descent; their scores."""
    model, weights = copy.deepcopy(nets[0]), stack_module_state(nets)[0]
    weights = {name: w.detach() for name, w in weights.items()}
    fixed = {name: weights.pop(name) for name in list(weights) if not trains(name)}
    rates = torch.as_tensor(learning_rates, dtype=torch.float32)

    def scores(weights, fixed, x):
        return functional_call(model, weights | fixed, (x,))

    def loss(weights, fixed, x, y):
        return F.cross_entropy(scores(weights, fixed, x), y)

    gradients = vmap(grad(loss), in_dims=(0, 0, None, None))
    draws = torch.Generator().manual_seed(seed)
    for chosen in torch.randperm(len(x_train), generator=draws).split(100):
        found = gradients(weights, fixed, x_train[chosen], y_train[chosen])
        for name, w in weights.items():
            rate = rates.view(-1, *[1] * (w.ndim - 1))
            weights[name] = w - rate * step(found[name])
    with torch.no_grad():
        return vmap(scores, in_dims=(0, 0, None))(weights, fixed, x_valid)


def accuracy(scores):
    """Validation accuracy of each network; of one that diverged, that of guessing."""
    right = (scores.argmax(-1) == y_valid).float().mean(-1)
    return torch.where(scores.isfinite().all(-1).all(-1), right, 0.1).numpy()


def in_front(name):
    """Whether these are weights in front of a normalization."""
    return name.endswith("0.weight")


def maps(trains, *, head, **how):
    """(seeds, scales, learning rates) accuracies for each normalization."""
    found = {}
    for norm in NORMS:
        found[norm] = []
        for seed in range(SEEDS):
            nets = [build(norm, seed, s, head=head) for s in scales for _ in rates]
            every = list(rates) * len(scales)
            result = accuracy(fit(nets, every, seed, trains, **how))
            found[norm].append(result.reshape(len(scales), len(rates)))
    return {norm: np.array(results) for norm, results in found.items()}


def draw(found, slopes, slope_of_none):
    """Draw a map for each, and accuracies at one rate; return the best rates of scale 1."""
    fig, axes = plots.subplots(2, 3, height=6.0, width=9.0)
    last, best = axes.flat[-1], {}
    for (norm, values), ax in zip(found.items(), axes.flat, strict=False):
        mean = values.mean(0)
        mesh = ax.pcolormesh(
            scales, rates, mean.T, cmap="cividis", vmin=0.1, vmax=0.75
        )
        best[norm] = rates[mean[scales == 1].argmax()]
        drawn = [slope_of_none] if norm == "none" else slopes
        for slope, style in zip(drawn, ("--", ":"), strict=False):
            line = best[norm] * scales ** float(slope)
            ax.plot(scales, line, style, color="w", linewidth=2)
        ax.set(xscale="log", yscale="log", ylim=(3e-5, 3e4), title=norm)
        ax.grid(visible=False)
        row, (color, marker) = (
            values[:, :, rates == best[norm]][..., 0],
            looks[norm],
        )
        last.plot(scales, row.mean(0), f"{marker}-", color=color, ms=4, label=norm)
        last.fill_between(scales, row.min(0), row.max(0), color=color, alpha=0.18)
    last.set(xscale="log", ylim=(0, 0.8), title="at the best rate of scale 1")
    fig.legend(loc="outside lower center", ncols=5)
    for ax in axes[:, 0]:
        ax.set_ylabel("learning rate η")
    for ax in axes[1]:
        ax.set_xlabel("initial scale s")
    fig.colorbar(mesh, ax=axes, label="validation accuracy", shrink=0.7)
    tops = {norm: values.mean(0).max(1) for norm, values in found.items()}
    plots.describe(
        fig,
        "Accuracy over initial scale and learning rate. At each scale's best rate, worst and best "
        "scale: "
        + ", ".join(f"{n} {t.min():.0%} to {t.max():.0%}" for n, t in tops.items()),
    )
    return best


torch.set_flush_denormal(True)  # numbers below 1e-38 would be slow
bare = maps(in_front, head=False)
best = draw(bare, slopes=[2], slope_of_none=-1)

# %%
# Each panel is a map over the scale of the hidden weights and the learning rate, mean of three
# seeds; the dashed line is predicted, and drawn through the best rate at scale 1. With any of the
# four, the whole map is one column, moved up by two decades in η for each decade in s. That can be
# put to the test without any fit: one step right and one up (√10 in s, 10 in η) must be the same
# network.
#
# Without normalization, the gradient of each of the three layers is multiplied by the other two,
# s². The step relative to the weights goes as η s, and the prediction is η ∝ 1/s.


def exponents(values, kept):
    """Slope, for each seed, of the smallest rate that gives half of what the best one does."""
    slopes = []
    for seed in values - 0.1:
        edge = []
        for row in seed[kept] / seed[kept].max(1, keepdims=True):
            up = int(np.argmax(row >= 0.5))
            edge.append(
                up - (row[up] - 0.5) / (row[up] - row[up - 1])
            )  # in decades
        slopes.append(np.polyfit(np.log10(scales[kept]), edge, 1)[0])
    return slopes


def with_interval(values, digits=2):
    """Mean and 95 % interval over seeds, as text."""
    middle, (low, high) = experiments.mean_interval(values)
    text = f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
    return text.replace("-", "−")


table = {"normalization": list(NORMS), "along η ∝ s²": [], "along η ∝ s": []}
table |= {"predicted": [-1, 2, 2, 2, 2], "exponent": []}
for norm, values in bare.items():
    along = np.abs(values[:, 1:, 1:] - values[:, :-1, :-1]).mean()
    across = np.abs(values[:, 2:, 1:] - values[:, :-2, :-1]).mean()
    table["along η ∝ s²"].append(along)
    table["along η ∝ s"].append(across)
    kept = slice(4, 8) if norm == "none" else slice(2, 7)
    table["exponent"].append(with_interval(exponents(values, kept)))
initguide.Table(
    table,
    caption="Change of accuracy along two directions of the map; exponent of the ridge",
    note="Mean absolute change for a step of √10 in s along η ∝ s², and of 10 in s along η ∝ s. "
    "Exponent: of the ridge's lower edge, s from 0.1 to 10 (without normalization, where small "
    "scales learn little, from 1 to 30), 3 seeds with 95 % interval.",
    formats={"along η ∝ s²": ".3f", "along η ∝ s": ".3f"},
)

# %%
# Along η ∝ s², hardly anything changes (ε and rounding are all that is left), and the exponent is
# the predicted 2. Without normalization there is a ridge as well, but a narrow one, and it runs the
# other way, about as predicted: larger weights need *smaller* rates.
#
# Off the ridge, the two sides differ. Too small a rate, and nothing is learnt. Too large, and
# accuracy falls step by step, with batch normalization most gently: a gradient that is orthogonal
# to the weights makes them longer with every step, which lowers η/s² by itself (the auto-tuning of
# :cite:t:`arora2019`).
#
# The whole network
# -----------------
# People train all weights, and scale all of them: the gains and biases of the normalizations learn
# as well, and the last layer has no normalization behind it. The gradient reaches the hidden layers
# through the last one, whose weights are times s too. So it goes as s · 1/s, the relative step as
# η/s, and the lower edge of the ridge should follow η ∝ s (dotted), and no longer s² (dashed).
# Without normalization, three other layers multiply it by s³, which makes η ∝ 1/s²:

whole = maps(lambda _: True, head=True)
best = draw(whole, slopes=[2, 1], slope_of_none=-2)

# %%
table = {"normalization": list(NORMS)} | {f"s = {s:g}": [] for s in scales[::2]}
table |= {"predicted": [-2, 1, 1, 1, 1], "exponent": ["–"], "decades": []}
for norm, values in whole.items():
    mean = values.mean(0)
    for s, row in zip(scales[::2], mean[::2], strict=True):
        table[f"s = {s:g}"].append(row.max())
    if norm != "none":  # of its smaller scales, too few learn anything
        table["exponent"].append(with_interval(exponents(values, slice(1, 5))))
    at_one_rate = mean[:, rates == best[norm]]
    table["decades"].append(
        (at_one_rate >= 0.8 * at_one_rate[scales == 1]).sum() / 2
    )
initguide.Table(
    table,
    caption="The whole network: accuracy at the best rate for each scale; the ridge; one rate",
    note="Exponent: of the ridge's lower edge, s from 0.03 to 1, 3 seeds with 95 % interval. "
    "Decades: of scales that keep four fifths of the accuracy at the one rate that is best for "
    "s = 1, counted in halves.",
    formats={f"s = {s:g}": ".0%" for s in scales[::2]} | {"decades": ".1f"},
)

# %%
# Look at the last panel first. At one rate, a scale that is off by a factor of ten ruins the
# network without normalization, and costs the one with batch normalization little. The other three
# lie between, nearer to the former: layer, group and RMS normalization forgive less than the saying
# has it. What they give is a rate for nearly every scale. With the best of them, all four beat no
# normalization at every scale below 1.
#
# The exponents are around 1 and not 2, as predicted. And the best accuracy falls for large s,
# whatever the rate: the last layer is too large, nothing behind it takes the scale away, and the
# rates that would suit it are far too small for layers whose gradient goes as 1/s. At s = 10, even
# the network without normalization does better than three of the four.
#
# What they do not forgive
# ------------------------
# Six starts, each at the best of eight learning rates, the whole network trained, four seeds:


@torch.no_grad()
def shift(net):
    """Add three standard deviations to all hidden weights."""
    for weight in matrices(net, head=False):
        weight.add_(3 * weight.std())


starts = {
    "He": lambda _: None,
    "shifted by 3 σ": shift,
    "last layer × 100": lambda net: net.head.weight.data.mul_(100),
    "last layer 0": lambda net: net.head.weight.data.zero_(),
    "all 0.1": lambda net: initguide.initialize(net, "constant(0.1)"),
    "all zeros": lambda net: initguide.initialize(net, "zeros"),
}
tried, ends, table = np.logspace(-3, 0.5, 8), {}, {"start": list(starts)}
for norm in NORMS:
    seeds = []
    for seed in range(4):
        nets = []
        for start in starts.values():
            net = build(norm, seed)
            start(net)
            nets += [net] * len(tried)
        scores = fit(nets, list(tried) * len(starts), seed, lambda _: True)
        seeds.append(accuracy(scores).reshape(len(starts), len(tried)))
    chosen = np.mean(seeds, axis=0).argmax(1)  # the best rate of each start
    ends[norm] = np.array([rows[range(len(starts)), chosen] for rows in seeds])
    table[norm] = ends[norm].mean(0)
initguide.Table(
    table,
    caption="Accuracy from other starts, each at its best learning rate, mean of 4 seeds",
    formats=dict.fromkeys(NORMS, ".0%"),
)

# %%
names = ("shifted − He", "last layer × 100 − He")
table = {"normalization": list(NORMS), "change by the shift": []}
table |= {name: [] for name in names}
for norm in NORMS:
    plain, shifted = build(norm, 0), build(norm, 0)
    shift(shifted)
    with torch.no_grad():
        before, after = plain(x_valid), shifted(x_valid)
    change = (after - before).norm() / before.norm()
    table["change by the shift"].append(change.item())
    for row, name in enumerate(names, start=1):
        gaps = 100 * (ends[norm][:, row] - ends[norm][:, 0])
        table[name].append(with_interval(gaps, digits=1))
torch.set_flush_denormal(False)
initguide.Table(
    table,
    caption="What a shift of the hidden weights does to the outputs, and what two starts cost",
    note="Change: of the outputs, relative to their size. The other columns: points of accuracy, "
    "paired over 4 seeds, with 95 % interval.",
    formats={"change by the shift": ".1e"},
)

# %%
# Theory says what a shift does: it adds the same number to all units of a layer. Layer and group
# normalization subtract the mean over units, so they undo it to the last digits. RMS normalization
# subtracts nothing; batch normalization subtracts each unit's mean over *images*, and that number
# differs from image to image. Weights with a mean leave both with units that all say the same.
#
# No normalization undoes equal weights: 0.1 everywhere is worth one unit, and zeros are worth
# none (:term:`symmetry`). It divides by the size of what is there, and tells no units apart.
#
# .. admonition:: Try it
#
#    Divide each layer's gradient by its size, which is roughly what Adam does. The relative step is
#    then η/s. Along which direction of the bare map should less change now?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def divided(g):
#              return g / g.square().mean((1, 2), keepdim=True).sqrt()
#
#          for norm in ("batch", "layer", "group", "RMS"):
#              nets = [build(norm, 0, s) for s in scales for _ in rates]
#              every = list(rates) * len(scales)
#              scores = fit(nets, every, 0, in_front, step=divided)
#              found = accuracy(scores).reshape(len(scales), -1)
#              first = np.abs(found[2:, 1:] - found[:-2, :-1]).mean()
#              second = np.abs(found[1:, 1:] - found[:-1, :-1]).mean()
#              # Large steps amplify rounding, so the first is small rather than 0.
#              print(f"{norm}: {first:.3f} along η ∝ s, {second:.3f} along η ∝ s²")
#
# What we learnt
# --------------
# - In front of a normalization, the scale s of the weights changes nothing but the gradient, which
#   goes as 1/s: weights times s with a rate times s² are the same training. ε ends that for tiny
#   weights.
# - With all weights scaled and one rate, batch normalization keeps its accuracy over decades of the
#   scale, the other three over hardly more than a factor of ten. None forgives a last layer that is
#   far too large.
# - No normalization repairs equal weights. A mean in the weights is undone by layer and group
#   normalization, not by batch and RMS.
# - **The rule: normalization turns a question of scale into a question of learning rate. Keep He's
#   scale anyway, look after the last layer, and tune the rate.**
#
# On this page batch normalization used the batch, in validation too. What it does in
# :doc:`evaluation mode </auto_examples/architectures/plot_4_evaluation_mode>` is the next page.
# The pages before:
# :doc:`convolutions </auto_examples/architectures/plot_1_convolutions>` and
# :doc:`residual networks </auto_examples/architectures/plot_2_residual>`.
