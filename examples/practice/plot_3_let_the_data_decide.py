"""
3. Letting the data decide
==========================

Formulas for initial weights need to know the activation, the layer and the inputs. What if there is
no formula for your network? Then a batch of data can set the scale of each layer. This page writes
such schemes out, compares what they find with what the formulas say, and measures where they help
and where they do not.

.. admonition:: What you will learn

   - layer-sequential unit-variance initialization, LSUV, in one forward pass and a dozen lines
   - that it finds the formulas' numbers by itself, and what it finds where there is no formula
   - what a scale cannot repair, what per-unit scales can, and what those break
   - how much it matters which batch is used

.. meta::
   :keywords: LSUV, layer-sequential unit-variance, data-dependent initialization, within-layer
      initialization, weight normalization, custom activation, no formula, MetaInit, GradInit

.. index:: ! LSUV, ! data dependent initialization
"""

# %%
# Two schemes
# -----------
# :term:`LSUV` by :cite:t:`mishkin2016` starts from orthogonal weights and then goes through the
# layers in order: run a batch up to the layer, divide its weights by the standard deviation of what
# comes out, go on. A layer is linear in its weights, so a hook that divides the output, too, does
# all layers in one pass, whatever happens between them.
#
# The *within-layer* scheme of :cite:t:`krahenbuhl2016` does it unit by unit: over the batch, each
# unit gets mean 0 and variance 1 of its own, by its bias and its row of weights. (They then balance
# the layers among each other, which we leave out.) :cite:t:`salimans2016` start weight
# normalization in the same way.

import math

import numpy as np
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, propagation, theory

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = nn.AvgPool2d(2)  # to 14 × 14 pixels
small = data.transformed(
    lambda x: shrink((x - mean) / std), "standardized, 14 × 14"
)
batch, unseen = small.train.images[:500], small.valid.images
size = batch.square().mean().sqrt().item()  # of the inputs


def data_dependent(x, *, per_unit=False):
    """A scheme: LSUV on the batch x, or unit by unit."""
    orthogonal = init.orthogonal()

    def rescale(layer, _, out):
        middle = out.mean(0) if per_unit else torch.zeros(1)
        spread = out.std(0) if per_unit else out.std().expand(1)
        layer.weight.div_(spread[:, None])
        layer.bias.copy_((layer.bias - middle) / spread)
        return (out - middle) / spread

    def weights_init(module):
        orthogonal(module)
        if isinstance(
            module, nn.Sequential
        ):  # the whole network; it is visited last
            layers = [m for m in module.modules() if isinstance(m, nn.Linear)]
            hooks = [layer.register_forward_hook(rescale) for layer in layers]
            with torch.no_grad():
                module(x)
            for hook in hooks:
                hook.remove()

    return weights_init


def formula(gain):
    """A scheme: orthogonal weights times 1/size in the first layer, a gain in the others."""
    first, others = init.orthogonal(1 / size), init.orthogonal(gain)

    def weights_init(module):
        inputs = getattr(module, "in_features", 0)
        (first if inputs == 14 * 14 else others)(module)

    return weights_init


def plain(activation, depth, width=100):
    return initguide.mlp([14 * 14] + [width] * depth + [10], activation)


# %%
# ``formula`` is what theory says for unit variance: the inverse of the inputs' root mean square in
# the first layer, and the activation's :term:`gain` in the others. Both start from the same
# orthogonal matrices, so only the scales differ.
#
# What the data find
# ------------------
# We write the scale of a layer as σ_w = √n · std(w), n being the :term:`fan-in`, and put what LSUV
# finds on a batch of 500 images beside the formula, for five activations:

activations = {
    "ReLU": nn.ReLU,
    "tanh": nn.Tanh,
    "SiLU": nn.SiLU,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
}
DEPTH = 12


def linear(net):
    return [m for m in net.modules() if isinstance(m, nn.Linear)]


def scales(net):
    stds = [layer.weight.square().mean().sqrt().item() for layer in linear(net)]
    fans = [layer.in_features for layer in linear(net)]
    return [math.sqrt(n) * s for n, s in zip(fans, stds, strict=True)]


fig, ax = plots.subplots(height=4.4)
at, words = range(1, DEPTH + 2), []
for (label, phi), color in zip(activations.items(), plots.PALETTE, strict=False):
    nets = [plain(phi, DEPTH, width=256) for _ in range(4)]
    for seed, net in enumerate(nets):
        initguide.initialize(net, data_dependent(batch), seed=seed)
    found = np.array([scales(net) for net in nets])
    gain = theory.gain(phi())
    predicted = [1 / size] + [gain] * DEPTH
    ax.plot(at, found.mean(0), "o-", ms=4, color=color, label=label)
    ax.fill_between(at, found.min(0), found.max(0), color=color, alpha=0.2)
    ax.plot(at, predicted, "--", color="0.4", lw=1)
    words.append(f"{label} {found[:, 1:].mean():.2f} (formula {gain:.2f})")
ax.set(
    title="Scale of each layer: LSUV (4 seeds) and formula (dashed)",
    xlabel="number of the layer",
    ylabel="σ_w = √fan-in · std of the weights",
)
ax.legend(ncols=3)
plots.describe(
    ax,
    "Scale that LSUV finds for each layer, mean over the layers behind an activation: "
    + "; ".join(words)
    + ". Dashed: the formulas.",
)

# %%
# Bands are all four seeds. Nobody told LSUV about activations, and it finds their gains, to within
# what a network of finite :term:`width` leaves to chance. (The last layer has only ten units, and
# so the widest band.) SiLU drifts below its formula as the layers go on, for a reason that the next
# figure shows.
#
# What a scale can repair, and what not
# -------------------------------------
# Two things can go wrong in a deep network though every layer has its gain. First, the size: SiLU's
# :term:`length map` has a slope above 1 at its fixed point, so errors grow, and images that start
# out long get longer. Second, the *differences*: softplus gives positive outputs, all images get a
# large part in common, and it grows with each layer. The length and correlation maps of :doc:`the
# page on depth </auto_examples/theory/plot_5_depth>` predict both:


def outputs(net, x):
    """What each linear layer gives for the images x."""
    seen = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: seen.append(out))
        for layer in linear(net)
    ]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return seen


def square(z):
    return z.square().mean().item()


def varying(z):
    """Share of the mean square that differs from image to image."""
    return (z.var(0).mean() / z.square().mean()).item()


def measured(value, phi, schemes, depth=20, seeds=5):
    """label -> (seeds, layers)"""
    found = {label: [] for label in schemes}
    for label, scheme in schemes.items():
        for seed in range(seeds):
            net = initguide.initialize(plain(phi, depth), scheme, seed=seed)
            found[label].append([value(z) for z in outputs(net, unseen)])
    return {label: np.array(rows)[:, :depth] for label, rows in found.items()}


def three_schemes(gain):
    return {
        "formula": formula(gain),
        "LSUV": data_dependent(batch),
        "unit by unit": data_dependent(batch, per_unit=True),
    }


silu, softplus = theory.gain("silu"), theory.gain(nn.Softplus())
left = measured(square, nn.SiLU, three_schemes(silu))
right = measured(varying, nn.Softplus, three_schemes(softplus))

grid = np.geomspace(1e-2, 1e3, 60)
mapped = theory.length_map(grid, "silu", silu)
q = unseen.flatten(1).square().mean(1).numpy() / size**2
c = 1 - right["formula"][:, 0].mean()
lengths, differences = [], []
for _ in range(20):
    lengths.append(q.mean())
    differences.append(1 - c)
    q = np.exp(np.interp(np.log(q), np.log(grid), np.log(mapped)))
    c = theory.correlation_map(c, nn.Softplus(), softplus)

fig, axes = plots.subplots(1, 2, height=4.2)
for ax, found, predicted in zip(
    axes, (left, right), (lengths, differences), strict=True
):
    for i, (label, rows) in enumerate(found.items()):
        ax.plot(range(1, 21), rows.mean(0), color=plots.PALETTE[i], label=label)
        band = (range(1, 21), rows.min(0), rows.max(0))
        ax.fill_between(*band, color=plots.PALETTE[i], alpha=0.2)
    ax.plot(range(1, 21), predicted, "--", color="0.3", lw=1.2, label="predicted")
    ax.set(xlabel="number of the layer", yscale="log")
axes[0].set(
    title="SiLU: mean square", ylabel="of the pre-activations (logarithmic)"
)
axes[1].set(title="softplus: share that differs", ylabel="of the mean square")
axes[0].legend()
plots.describe(
    fig,
    "In layer 20: mean square with SiLU "
    + ", ".join(f"{k} {v[:, -1].mean():.3g}" for k, v in left.items())
    + f", predicted for the formula {lengths[-1]:.3g}; share that differs between images with "
    + "softplus "
    + ", ".join(f"{k} {v[:, -1].mean():.2g}" for k, v in right.items())
    + f", predicted for the formula {differences[-1]:.2g}.",
)

# %%
# Bands: five seeds. Dashed: predicted for the formula, from the lengths and the similarity of the
# images alone. (The length prediction is for infinite width, where units do not differ by chance.)
#
# Left: with the formula, the mean square leaves 1 and runs away, with seeds far apart. LSUV holds
# it. Right: LSUV holds nothing, its curve lies on that of the formula. After a few layers, next to
# nothing of the signal tells one image from another. The mean square that LSUV sets to 1 is then a
# constant, the same for all images, and no scale of a layer can repair that. Unit by unit, the
# common part is subtracted in each layer, and all of what remains differs.
#
# Does it train better?
# ---------------------
# Six networks, one epoch of Adam, five seeds. The *gated* one has (A x) · sigmoid(B x) as its
# hidden layers and the *maxout* one the larger of two linear units; neither has an entry in
# PyTorch's table of gains, so a hurried person takes He's √2 (:cite:p:`he2015`). And *bytes* is a
# ReLU network on pixels from 0 to 255, whose owner expects them to be standardized.


class Gated(nn.Module):
    def __init__(self, inputs, units):
        super().__init__()
        self.value, self.gate = nn.Linear(inputs, units), nn.Linear(inputs, units)

    def forward(self, x):
        return self.value(x) * torch.sigmoid(self.gate(x))


class Maxout(nn.Module):
    def __init__(self, inputs, units):
        super().__init__()
        self.linear = nn.Linear(inputs, 2 * units)

    def forward(self, x):
        return self.linear(x).unflatten(1, (-1, 2)).amax(2)


def of_blocks(block, depth=8):
    hidden = [block(196 if i == 0 else 100, 100) for i in range(depth)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(100, 10))


class Normalized(nn.Module):
    def __init__(self, inputs, units):
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, units), nn.BatchNorm1d(units)

    def forward(self, x):
        return self.norm(self.linear(x)).relu()


he = math.sqrt(2)
raw = data.transformed(lambda x: 255 * shrink(x), "0 to 255, 14 × 14")
cases = {
    "ReLU, 15 layers": (lambda: plain(nn.ReLU, 15), he, small),
    "BatchNorm, 8 layers": (lambda: of_blocks(Normalized), he, small),
    "softplus, 12 layers": (lambda: plain(nn.Softplus, 12), softplus, small),
    "gated, 8 layers": (lambda: of_blocks(Gated), he, small),
    "maxout, 8 layers": (lambda: of_blocks(Maxout), he, small),
    "bytes, 5 layers": (lambda: plain(nn.ReLU, 5), he, raw),
}
table = {"network": [], "formula": [], "LSUV": [], "unit by unit": []}
for label, (model, gain, given) in cases.items():
    x = given.train.images[:500]
    result = initguide.compare_init_weights(
        {
            "formula": formula(gain),
            "LSUV": data_dependent(x),
            "unit by unit": data_dependent(x, per_unit=True),
        },
        given,
        model=model,
        epochs=1,
        batch_size=40,
        seeds=5,
    )
    table["network"].append(label)
    table["formula"].append(f"{result.values('formula', 'valid_loss').mean():.3f}")
    for name in ("LSUV", "unit by unit"):
        gap = result.difference(name, "formula", "valid_loss")
        low, high = gap.interval or (math.nan, math.nan)
        table[name].append(f"{gap.mean:+.3f} ({low:+.3f} to {high:+.3f})")
initguide.Table(
    table,
    caption="Validation loss after an epoch, in nats, and what the data change about it",
    note="Formula: mean of 5 seeds. The others: difference from it and its 95 % interval, paired "
    "over seeds; below 0 is better.",
)

# %%
# Read it line by line; an interval that reaches across 0 decides nothing:
#
# - *ReLU*: He's formula is right, and LSUV finds the same.
# - *BatchNorm*: each layer's scale is divided out anyway.
# - *softplus*: LSUV does not help, as the figure foretold; unit by unit, the loss falls a long way.
# - *gated* and *maxout*: √2 was a guess, and too small for the one, too large for the other. LSUV
#   corrects both, as the line below shows. For the gated network that paid a little. For maxout
#   little is to be seen of it in the loss: eight layers forgive much.
# - *bytes*: LSUV takes the wrong scale of the inputs out. (So does :doc:`standardizing them
#   </auto_examples/theory/plot_7_inputs>`.)

for label in ("gated", "maxout"):
    net = cases[f"{label}, 8 layers"][0]()
    found = scales(initguide.initialize(net, data_dependent(batch), seed=0))
    hidden = found[2:-1] if label == "gated" else found[1:-1]
    print(f"{label}: LSUV finds a scale of {np.mean(hidden):.2f}, guessed {he:.2f}")

# %%
# And the last column is no free lunch: for the deep ReLU network it is clearly worse than the
# formula. Why? Of a ReLU's mean square, ½, a share of 1/π is the square of its mean. If that is
# subtracted, the weights have to make up for it, and theory expects gradients to grow, on their way
# back, by 1/(1 − 1/π) a layer:

expected = {"formula": 1, "LSUV": 1, "unit by unit": 1 / (1 - 1 / math.pi)}
labels = small.train.labels[:500]
for name, scheme in three_schemes(he).items():
    factors = []
    for seed in range(4):
        net = initguide.initialize(plain(nn.ReLU, 15), scheme, seed=seed)
        found = propagation.measure(net, batch, labels)
        ratio = found["fc1"].output_grad_var / found["fc15"].output_grad_var
        factors.append(ratio ** (1 / 14))
    low, high = min(factors), max(factors)
    print(f"{name:12} {low:.2f} to {high:.2f}, predicted {expected[name]:.2f}")

# %%
# In the words of the page on depth, the formula is at the edge of chaos, and centring each unit is
# beyond it.
#
# Which batch?
# ------------
# It is often said that the batch must be representative. We use several, and look at the outputs of
# the deep ReLU network for *unseen* images. If the batch was good, their standard deviation is 1.

bags = small.train.images[small.train.labels == 8]
batches = {
    "500 images": batch,
    "50 images": batch[:50],
    "8 images": batch[:8],
    "1 image": batch[:1],
    "300 bags": bags[:300],
    "500 images, twice as bright": 2 * batch,
}
rows = {"batch": list(batches), "LSUV": [], "unit by unit": []}
for x in batches.values():
    for name, per_unit in (("LSUV", False), ("unit by unit", True)):
        found = []
        for seed in range(5):
            if per_unit and len(x) < 2:
                break  # one image has no variance
            scheme = data_dependent(x, per_unit=per_unit)
            net = initguide.initialize(plain(nn.ReLU, 15), scheme, seed=seed)
            with torch.no_grad():
                found.append(net(unseen).std().item())
        rows[name].append(
            f"{np.mean(found):.3g} ({min(found):.3g} to {max(found):.3g})"
            if found
            else "–"
        )
initguide.Table(
    rows,
    caption="Standard deviation of the outputs for 1,000 unseen images, by batch",
    note="Mean and range of 5 seeds. 1 would be right.",
)

# %%
# LSUV measures one number a layer, an average over thousands of products, and for that almost any
# batch will do: a few images, one class, even one image. What it cannot forgive is another *scale*:
# with inputs twice as bright, the outputs are half as large. Unit by unit, there are two numbers to
# be estimated for every unit, from as many values as the batch has images, and the errors of
# fifteen layers multiply. A small or one-sided batch leaves outputs far from 1.
#
# There is more to be asked of data than a variance. MetaInit (:cite:t:`dauphin2019`) and GradInit
# (:cite:t:`zhu2021`) change the layers' scales by gradient descent until first steps go well. They
# need gradients through gradients or through steps, and are not measured here.
#
# .. admonition:: Try it
#
#    LSUV found a scale for gated layers and one for maxout. Is there really no formula?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          # A x and B x are independent. If both have variance 1, the mean square of
#          # (A x) · sigmoid(B x) is 1 · E[sigmoid(z)²], and the gain that makes up for it is that
#          # of the sigmoid. Of the larger of two, draws tell:
#          z = torch.randn(1_000_000, 2, generator=torch.Generator().manual_seed(0))
#          print(f"gated: {theory.gain('sigmoid'):.2f}")
#          print(f"maxout: {1 / z.amax(1).square().mean().sqrt():.2f}")
#          # So there is a formula. It is only not in PyTorch's table, and LSUV did not need it.
#
# What we learnt
# --------------
# - LSUV finds the scales that theory gives, without knowing the activation, and also where there is
#   no formula at hand.
# - With ReLU and He's weights, or with batch normalization, there was nothing to be gained.
# - It keeps the size of the signal where formulas run away, but not the differences between images.
#   Per-unit means and scales keep those: a deep softplus network learnt far more with them, and a
#   deep ReLU network less.
# - LSUV is content with almost any batch whose inputs have the right scale. Unit by unit, a small
#   or one-sided batch is not enough.
# - The rule to take home: **where you know the formula, use it; where you do not, run LSUV once,
#   look at the scales that it finds, and look whether images still differ in the last layer.**
#
# Next: :doc:`how large weights and rates may be
# </auto_examples/practice/plot_4_scale_and_learning_rate>`. Or back to the question that started
# it: :doc:`Which initialization should I use? </which>`
