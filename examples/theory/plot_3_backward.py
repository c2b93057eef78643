"""
3. Variance backward
====================

What comes back through a network when it learns? Gradients are sums, too: each unit adds up what
the units above it ask for. So the same argument as forward tells how large they are, with the
number of outputs in place of the number of inputs. This page derives that, lets the two compete,
and looks at whole distributions under good and bad weights.

.. admonition:: What you will learn

   - why gradients call for 1/:term:`fan-out` where signals call for 1/:term:`fan-in`
   - what Xavier's compromise gives up, and why either choice works
   - how the distributions look for weights that are constant, too small, too large, or right
   - what the gradients of the weights are made of, and whether training notices

.. meta::
   :keywords: backpropagation, gradient variance, vanishing gradients, exploding gradients, fan-in,
      fan-out, Xavier, Glorot, He, Kaiming, histogram of gradients
"""

# %%
# One sum, backward
# -----------------
# Call δ the gradient of the loss with respect to a :term:`pre-activation`. Unit i of a layer feeds
# all m units of the next one, so the chain rule gives it a sum of m terms,
#
# .. math:: \delta_i = \varphi'(z_i) \sum_{j=1}^{m} w_{ji}\, \delta_j ,
#    \qquad\text{so}\qquad E[\delta_i^2] = m \cdot \mathrm{Var}(w) \cdot E[\varphi'(z)^2] \cdot
#    E[\delta_j^2] ,
#
# by the argument of :doc:`page 2 </auto_examples/theory/plot_2_forward>`, if what comes back does
# not depend on the weights that it meets. (It does a little: the weights also decided the
# outputs.) Forward it was n · Var(w), with the fan-in n; backward it is m · Var(w), with the
# fan-out m. The activation counts with its slope. For a million z from N(0, 1), autograd against
# theory:

from itertools import pairwise

import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, theory
from initguide.experiments import mean_interval
from initguide.propagation import measure

generator = torch.Generator().manual_seed(0)
z = torch.randn(1_000_000, generator=generator, requires_grad=True)
activations = {"identity": nn.Identity(), "tanh": nn.Tanh(), "ReLU": nn.ReLU()}
slopes = []
for phi in activations.values():
    (slope,) = torch.autograd.grad(phi(z).sum(), z)
    slopes.append(slope.square().mean().item())

initguide.Table(
    {
        "activation": list(activations),
        "signal kept, E[φ(z)²]": [
            theory.length_map(1.0, phi, 1.0) for phi in activations.values()
        ],
        "gradient kept, E[φ'(z)²]": [
            theory.backward_gain(phi) ** -2 for phi in activations.values()
        ],
        "gradient kept, measured": slopes,
    },
    caption="What an activation leaves of a mean square",
)

# %%
# ReLU halves both. tanh takes less from the gradient than from the signal.
#
# Fan-in, fan-out, and the compromise
# -----------------------------------
# With ReLU, signals ask for Var(w) = 2/n and gradients for 2/m. Where a layer has as many inputs
# as outputs, both are the same. Where widths change, no variance serves both, and Glorot and
# Bengio's compromise is to take the mean of n and m :cite:p:`glorot2010`. He and co-authors chose
# one of the two and remarked that either will do :cite:p:`he2015`. Let us see, in a network that
# shrinks and in one of constant width. Predicted from the widths alone:

widths = {
    "shrinking": [784, 512, 256, 256, 128, 10],
    "constant width": [784, 256, 256, 256, 256, 10],
}
rules = {
    "fan-in": (init.he_normal(), lambda n, _m: 2 / n),
    "fan-out": (init.he_normal(mode="fan_out"), lambda _n, m: 2 / m),
    "mean of both": (init.xavier_normal(gain=2**0.5), lambda n, m: 4 / (n + m)),
}
data = initguide.fashion_mnist()
images, labels = data.train.images[:500], data.train.labels[:500]
mean_square = images.square().mean().item()


def predict(shape, variance):
    """Mean squares of the sums and of their gradients, for ReLU; 1 at the outputs."""
    pairs = list(pairwise(shape))
    sums, into = [], mean_square
    for n, m in pairs:
        sums.append(n * variance(n, m) * into)
        into = sums[-1] / 2
    gradients = [1.0]
    for n, m in reversed(pairs[1:]):
        gradients.insert(0, m * variance(n, m) / 2 * gradients[0])
    return {"forward": sums, "backward": gradients}


def records_of(shape, scheme, seed, **request):
    """One record a linear layer, without a loss: N(0, 1) is sent back from the outputs."""
    net = initguide.initialize(initguide.mlp(shape), scheme, seed=seed)
    found = measure(net, images, seed=seed, **request)
    return [record for record in found if record.kind == "Linear"]


# %%
# To see the weights' work and nothing else, we send independent draws from N(0, 1) back from the
# outputs, which is what :func:`~initguide.propagation.measure` does when it is given no targets.

predicted, measured = {}, {}
for shape, numbers in widths.items():
    for rule, (scheme, variance) in rules.items():
        predicted[shape, rule] = predict(numbers, variance)
        every = [records_of(numbers, scheme, seed) for seed in range(8)]
        measured[shape, rule] = {
            "forward": torch.tensor(
                [[r.output_second_moment for r in records] for records in every]
            ),
            "backward": torch.tensor(
                [[r.output_grad_var for r in records] for records in every]
            ),
        }

fig, axes = plots.subplots(2, 2, height=6.4, sharex=True, sharey="row")
for row, (way, what) in zip(
    axes,
    [("forward", "pre-activations"), ("backward", "their gradients")],
    strict=True,
):
    for ax, shape in zip(row, widths, strict=True):
        for i, rule in enumerate(rules):
            sample, color = measured[shape, rule][way], plots.PALETTE[i]
            x = range(1, 6)
            low, high = sample.amin(dim=0), sample.amax(dim=0)
            ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
            ax.plot(
                x,
                sample.mean(dim=0),
                ("-", "--", "-.")[i],
                color=color,
                label=f"{rule}, measured",
            )
            ax.plot(
                x,
                predicted[shape, rule][way],
                "so^"[i],
                markersize=(11, 8, 6)[i],
                color="0.25",
                markerfacecolor="none",
                label=f"{rule}, predicted",
            )
        ax.set_yscale("log")
        if way == "forward":
            ax.set_title(shape)
        else:
            ax.set_xlabel("layer")
        plots.describe(
            ax,
            f"Mean square of the {what}, {shape}, first and last layer: "
            + "; ".join(
                f"{rule} predicted {predicted[shape, rule][way][0]:.2g} and "
                f"{predicted[shape, rule][way][-1]:.2g}, measured "
                f"{measured[shape, rule][way][:, 0].mean():.2g} and "
                f"{measured[shape, rule][way][:, -1].mean():.2g}"
                for rule in rules
            )
            + ".",
        )
    row[0].set_ylabel(f"mean square of the\n{what} (logarithmic)")
fig.legend(
    *axes[0, 0].get_legend_handles_labels(),
    loc="outside lower center",
    ncols=3,
    frameon=False,
)

# %%
# Lines and bands (smallest to largest of eight seeds) lie on the hollow predictions. Fan-in holds
# the signals level in both networks, and lets the gradients change by m/n in each layer; fan-out
# holds the gradients level and lets the signals change by n/m; the mean of both lies between.
#
# And why does either choice do? Because the ratios of neighbouring widths *cancel*. With fan-in
# the gradients change from the last hidden layer's to the first by a product of fractions in which
# every width but two appears above and below:

shape = widths["shrinking"]
telescoped = shape[-1] / shape[1]
seen = measured["shrinking", "fan-in"]["backward"].mean(dim=0)
print(f"fan-in: last width / first hidden width = {telescoped:.4f}")
print(f"gradients in layer 1 relative to layer 5: {seen[0] / seen[-1]:.4f}")

# %%
# However many layers there are, the factor is a ratio of two widths. It does not grow with depth,
# as an error in the variance would: 1/n instead of 2/n costs a factor of 2 in *every* layer.
#
# Distributions, good and bad
# ---------------------------
# A mean square is one number. Here are whole distributions, in both networks, for five schemes.
# Since the sizes differ by many powers of ten, we draw the distribution of log₁₀ of the absolute
# value: all draws from one normal distribution make one shape, and a change of scale shifts it.
# Zeros (about half of what passes a ReLU, either way) are left out. ``measure`` gives 401
# quantiles of everything, which stand for the values themselves.

schemes = {
    "constant 0.01": init.constant(0.01),
    "too small": init.normal(0.01),
    "too large": init.normal(0.2),
    "Xavier": init.xavier_normal(),
    "He": init.he_normal(),
}
panels = {
    "weights": "weights",
    "outputs": "pre-activations",
    "activations": "activations",
    "output_grads": "gradients of pre-activations",
}
levels = torch.linspace(0, 1, 401).tolist()


def draw_distributions(shape):
    fig, axes = plots.subplots(2, 2, height=6.8, sharey=True)
    found = {
        name: records_of(widths[shape], scheme, seed=0, quantiles=levels)[:-1]
        for name, scheme in schemes.items()
    }
    for ax, (kind, words) in zip(axes.flat, panels.items(), strict=True):
        middles = []
        for i, records in enumerate(found.values()):
            for record, filled in [(records[0], True), (records[-1], False)]:
                sizes = torch.tensor(record.quantiles[kind]).abs()
                logs = sizes[sizes > 0].log10()
                counts, edges = torch.histogram(logs.float(), 60, range=(-8.0, 4.0))
                ax.stairs(
                    0.85 * counts / counts.max() - i,
                    edges,
                    baseline=-i,
                    fill=filled,
                    color=plots.PALETTE[0] if filled else "0.25",
                    alpha=0.5 if filled else 1.0,
                    linewidth=1.2,
                    label="first hidden layer" if filled else "last hidden layer",
                )
                middles.append(10 ** logs.median().item())
        ax.set_yticks([-i for i in range(len(found))], list(found), va="bottom")
        ax.set(
            title=words,
            xlabel="log₁₀ of the absolute value",
            xticks=range(-8, 5, 2),
        )
        plots.describe(
            ax,
            f"{words}, {shape}, median size in the first and last hidden layer: "
            + "; ".join(
                f"{name} {first:.1g} and {last:.1g}"
                for name, first, last in zip(
                    found, middles[::2], middles[1::2], strict=True
                )
            )
            + ".",
        )
    handles, words = axes[0, 0].get_legend_handles_labels()
    fig.legend(
        handles[:2], words[:2], loc="outside lower center", ncols=2, frameon=False
    )
    fig.suptitle(
        f"Network of {shape}" if shape != "shrinking" else "Shrinking network"
    )


draw_distributions("shrinking")

# %%

draw_distributions("constant width")

# %%
# Read the rows (one draw of the weights each). The filled shape is the first hidden layer, the
# line the last one.
#
# - **Constant**: signals and gradients grow, for nothing cancels in the sums. The units of a layer
#   are all alike: :doc:`page 1 </auto_examples/theory/plot_1_symmetry>`.
# - **Too small**: signals fade forward, gradients fade backward. Where the line of the signals
#   lies left of the filled shape, that of the gradients lies right of it.
# - **Too large**: the mirror image. Both explode.
# - **Xavier**, made for tanh, loses a part in each layer under ReLU; in five layers not much.
# - **He**: signals stay where they are, but for the chance of one draw. Gradients shift by the
#   ratio of widths, and not at all at constant width.
#
# Gradients of the weights
# ------------------------
# What moves a weight is neither signal nor gradient alone. The weight from x to z has the gradient
# Σ x δ, summed over the B images of a batch. With signs that are independent between images its
# mean square is B · E[x²] · E[δ²], so a layer's share comes from both directions:

images = images[:100]
table, ratios = {"layer": [f"fc{i}" for i in range(1, 6)]}, {}
for rule in ("fan-in", "fan-out"):
    way = predicted["shrinking", rule]
    inputs = [mean_square] + [q / 2 for q in way["forward"][:-1]]
    expected = torch.tensor(
        [100 * a * b for a, b in zip(inputs, way["backward"], strict=True)]
    )
    every = [
        [r.weight_grad_var for r in records_of(shape, rules[rule][0], seed)]
        for seed in range(40)
    ]
    ratios[rule] = torch.tensor(every) / expected
    table[f"{rule}, predicted"] = expected.tolist()
    table[f"{rule}, measured"] = torch.tensor(every).mean(dim=0).tolist()
initguide.Table(
    table,
    caption="Variance of the gradients of the weights, shrinking network",
    note="100 images, mean of 40 seeds; N(0, 1) sent back from the outputs.",
    formats=dict.fromkeys(list(table)[1:], ".3g"),
)

# %%

for rule, ratio in ratios.items():
    mean, (low, high) = mean_interval(ratio.mean(dim=1))
    print(
        f"{rule}: measured / predicted {mean:.2f}, interval {low:.2f} to {high:.2f}"
    )

# %%
# Signals and gradients each taken from the widths, their product fits. With either rule the layers
# differ in it by ratios of widths: the last one's gradients are the largest.
#
# Does training notice?
# ---------------------
# Between rules that differ by ratios of widths, and rules that differ by a factor in every layer,
# there should be a difference in kind. Two epochs on 4,000 images in the shrinking network:

few = data.subset(train=4000, valid=1000, test=100)
result = initguide.compare_init_weights(
    {
        "Too small": schemes["too small"],
        "He, fan-in": rules["fan-in"][0],
        "He, fan-out": rules["fan-out"][0],
        "Mean of both": rules["mean of both"][0],
    },
    few,
    model=lambda: initguide.mlp(widths["shrinking"]),
    epochs=2,
    optimizer="momentum",
    learning_rate=0.01,
    seeds=4,
)
result

# %%

for other in ("Too small", "He, fan-out", "Mean of both"):
    print(result.difference("He, fan-in", other))

# %%
# Too small weights leave the network at a guess. Between the three rules there is no difference
# that four seeds could show: where an interval holds 0, more seeds may yet find a small one, of no
# more than its ends. This is momentum on five layers; Adam, which divides each gradient by its own
# size, may tell another story.
#
# .. admonition:: Try it
#
#    How does Adam treat the weights that are too small? Train with it, and compare.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          with_adam = initguide.compare_init_weights(
#              {"Too small": schemes["too small"], "He": schemes["He"]},
#              few,
#              model=lambda: initguide.mlp(widths["shrinking"]),
#              epochs=2,
#              seeds=2,
#          )
#          print(with_adam)  # it learns, but is behind
#
# What we learnt
# --------------
# - Backward, a layer multiplies the mean square by m · Var(w) · E[φ'(z)²], with the fan-out m.
# - Fan-in holds signals level, fan-out gradients. Each lets the other change by a ratio of two
#   widths, however deep the network is; at constant width they are the same.
# - Weights that are too small or too large by a constant factor change signals and gradients in
#   every layer, in the same direction.
# - The gradient of a weight is as large as signal times gradient predict.
# - Which fan is taken made no difference in training that four seeds could show. Too small weights
#   made all the difference.
#
# For ReLU one number, √2, serves signals and gradients. For other activations it takes two:
# :doc:`gains </auto_examples/theory/plot_4_gains>`. The lesson's :doc:`last page
# </auto_examples/lesson/plot_7_choose>` trains with Xavier's and He's rules.
