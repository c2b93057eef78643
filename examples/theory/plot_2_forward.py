"""
2. Variance forward
===================

How large should the initial weights be so that numbers neither swell nor fade on their way through
a network? One sum gives the answer. This page derives the rule for a single neuron, then LeCun's,
Xavier's and He's, and checks each at once: on one layer, on twenty layers, and on the lesson's own
network.

.. admonition:: What you will learn

   - why the mean square of a sum is n · Var(w) · E[x²], and what has to hold for it
   - why :term:`variance` 1/n suits a linear layer, and 2/n suits ReLU
   - what twenty layers make of a factor that is not 1, and why tanh is different
   - how close such predictions come to a network that you can train

.. meta::
   :keywords: variance, fan-in, LeCun initialization, Xavier initialization, Glorot, He
      initialization, Kaiming, signal propagation, forward pass
"""

# %%
# One neuron
# ----------
# A neuron with n inputs computes z = w₁x₁ + … + wₙxₙ. Take the inputs as given and draw the
# weights. The mean of z² is a sum over all pairs of weights,
#
# .. math:: E[z^2] = \sum_{i,j} E[w_i w_j]\, x_i x_j .
#
# If the weights are independent with mean 0, the pairs with i ≠ j drop out, and what is left is
#
# .. math:: E[z^2] = \mathrm{Var}(w) \sum_i x_i^2 = n \cdot \mathrm{Var}(w) \cdot \overline{x^2} ,
#
# with the mean square of the inputs on the right. Nothing was asked of the inputs: pixels may be
# positive and neighbours alike, as they are. The weights must have mean 0. If their mean is μ, all
# pairs contribute μ² more, together (μ · Σx)², which grows like n² and soon is the larger part. We
# draw 5,000 neurons and show them n pixels of 100 images:

import math

import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, theory
from initguide.experiments import mean_interval
from initguide.propagation import measure

data = initguide.fashion_mnist()
pixels = data.train.images[:100].flatten(start_dim=1)
generator = torch.Generator().manual_seed(0)
order = torch.randperm(784, generator=generator)

rows = []
for n in (10, 100, 784):
    x = pixels[:, order[:n]]
    mean_square = x.square().mean().item()
    for name, mean, variance in [("N(0, 1)", 0, 1), ("U[0, 1)", 1 / 2, 1 / 12)]:
        if name == "N(0, 1)":
            weights = torch.randn(n, 5000, generator=generator)
        else:
            weights = torch.rand(n, 5000, generator=generator)
        extra = mean**2 * x.sum(dim=1).square().mean().item()
        measured = (x @ weights).square().mean().item()
        rows.append((n, name, n * variance * mean_square, extra, measured))

columns = list(zip(*rows, strict=True))
initguide.Table(
    {
        "inputs n": columns[0],
        "weights": columns[1],
        "n · Var(w) · E[x²]": columns[2],
        "(μ Σx)²": columns[3],
        "together": [row[2] + row[3] for row in rows],
        "measured E[z²]": columns[4],
    },
    caption="Mean square of one neuron's sum",
    note="Measured over 5,000 draws of the weights and 100 images.",
)

# %%
# Sum and measurement agree. With centred weights E[z²] grows like n; with weights from [0, 1) most
# of it comes from their mean, and more so the more inputs there are. That is what centring is for.
#
# One layer: three rules
# ----------------------
# To keep the mean square, n · Var(w) must be 1. So a layer **without an activation** needs Var(w)
# = 1/n, with n the :term:`fan-in`. This is LeCun's rule :cite:p:`lecun1998`.
#
# An activation φ changes the mean square. The next layer's inputs are φ(z), so it needs n · Var(w)
# · E[φ(z)²] = E[z²]:
#
# - **ReLU** sets the negative half of the sums to 0. They are symmetric around 0, so exactly half
#   of the mean square is lost, and Var(w) = 2/n makes up for it: He's rule :cite:p:`he2015`.
# - **tanh** is close to the identity near 0, so as long as the sums are small 1/n is right. Glorot
#   and Bengio argued so, and for the sake of the gradients replaced n by the mean of
#   :term:`fan-in` and :term:`fan-out` :cite:p:`glorot2010`: Xavier's rule, Var(w) = 2 / (n_in +
#   n_out). In a layer with as many units as inputs this is 1/n. The :doc:`next page
#   </auto_examples/theory/plot_3_backward>` takes up the gradients.
#
# For z from N(0, q), :func:`initguide.theory.length_map` gives σ² · E[φ(z)²] with σ² = n · Var(w).
# Against a million draws:

draws = torch.randn(1_000_000, generator=generator)
activations = {"identity": nn.Identity(), "tanh": nn.Tanh(), "ReLU": nn.ReLU()}
sizes = (0.01, 1.0, 4.0)
kept = {"mean square q of the sums": [f"{q:g}" for q in sizes]}
for name, phi in activations.items():
    kept[f"{name}, predicted"] = [
        theory.length_map(q, phi, sigma_w=1.0) / q for q in sizes
    ]
    kept[f"{name}, drawn"] = [
        phi(draws * math.sqrt(q)).square().mean().item() / q for q in sizes
    ]
initguide.Table(
    kept,
    caption="Part of the mean square that an activation keeps, E[φ(z)²] / q",
    formats=dict.fromkeys(list(kept)[1:], ".3f"),
)

# %%
# ReLU keeps one half whatever the size. What tanh keeps depends on the size: all of it for small
# sums, little for large ones. So no factor is right for tanh at every size.
#
# Twenty layers
# -------------
# A factor that is not 1 is applied again in every layer. Twenty layers of 256 units, images
# shifted and scaled to mean 0 and mean square 1, and two rules: Var(w) = 1/n (LeCun's, and here
# Xavier's) and 2/n (He's). The predictions repeat the length map, layer by layer.

images = data.train.images[:200]
images = (images - data.train.images.mean()) / data.train.images.std()
depth, seeds = 20, range(6)
factors = {"1/n": ("lecun_normal", 1.0, "-"), "2/n": ("he_normal", 2.0, "-.")}


def sums_of(net, inputs):
    """Mean square of the sums of each linear layer."""
    found = measure(net, inputs)
    return [
        record.output_second_moment for record in found if record.kind == "Linear"
    ]


predicted, measured = {}, {}
for name, phi in activations.items():
    for rule, (scheme, factor, _) in factors.items():
        line = [factor * images.square().mean().item()]
        while len(line) < depth:
            line.append(theory.length_map(line[-1], phi, sigma_w=math.sqrt(factor)))
        predicted[name, rule] = line
        measured[name, rule] = torch.tensor(
            [
                sums_of(initguide.initialize(net, scheme, seed=seed), images)
                for seed in seeds
                for net in [
                    initguide.mlp([784] + [256] * depth, lambda phi=phi: phi)
                ]
            ]
        )

# %%

fig, axes = plots.subplots(1, 3, height=4.2, sharey=True)
for ax, name in zip(axes, activations, strict=True):
    for rule, (scheme, _, style) in factors.items():
        sample, color = measured[name, rule], plots.color_of(scheme)
        layers = range(1, depth + 1)
        ax.fill_between(
            layers,
            sample.amin(dim=0),
            sample.amax(dim=0),
            color=color,
            alpha=0.25,
            linewidth=0,
        )
        ax.plot(
            layers,
            sample.mean(dim=0),
            style,
            color=color,
            label=f"{rule}, measured",
        )
        ax.plot(
            layers[::3],
            predicted[name, rule][::3],
            "s" if rule == "1/n" else "o",
            color="0.25",
            markerfacecolor="none",
            label=f"{rule}, predicted",
        )
    ax.set(title=name, xlabel="layer", yscale="log")
    plots.describe(
        ax,
        f"{name}, layer {depth}: "
        + "; ".join(
            f"with variance {rule} predicted {predicted[name, rule][-1]:.2g}, measured "
            f"{measured[name, rule][:, -1].mean():.2g}"
            for rule in factors
        )
        + ".",
    )
axes[0].set_ylabel("mean square of the pre-activations\n(logarithmic)")
fig.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2
)

# %%
# The bands reach from the smallest to the largest of six seeds. The identity keeps its mean square
# with 1/n and doubles it in every layer with 2/n; ReLU keeps it with 2/n and halves it with 1/n.
# After twenty layers that is a factor of half a million, up or down. A small error in the weights
# is no small error in a deep network.
#
# tanh answers differently. With 2/n the mean square settles at a value that tanh chooses, and with
# 1/n it fades slowly, not by a fixed factor:

fixed = theory.fixed_point(torch.tanh, sigma_w=math.sqrt(2))
settled, faded = (measured["tanh", rule][:, -1].mean() for rule in ("2/n", "1/n"))
print(
    f"tanh, 2/n: settles at {fixed:.3f}, measured in layer {depth}: {settled:.3f}"
)
print(
    f"tanh, 1/n: about 1/(2 · {depth}) = {1 / (2 * depth):.4f}, measured: {faded:.4f}"
)

# %%
# Xavier's rule does not hold tanh at a level, then, but lets it fade as 1/(2 · layer) at constant
# width. Page 5 takes up such fixed points.
#
# Notice also that the bands widen with depth: a prediction is for the mean over draws, and one
# draw of a deep network may be far off. Page 8 is about that.
#
# The lesson's own network
# ------------------------
# Now the network that the lesson trains, 784-256-128-10 with ReLU, on the images as they are. Its
# widths differ, so Xavier and LeCun part. Before drawing a single weight, the formula says:

images = data.train.images[:1000]
mean_square = data.train.images.square().mean().item()
fans = {"fc1": (784, 256), "fc2": (256, 128), "fc3": (128, 10)}
rules = {
    "Uniform [-0.5, 0.5)": (init.uniform(-0.5, 0.5), lambda _n, _m: 1 / 12),
    "General rule": (init.general_rule(), lambda n, _m: 1 / (3 * n)),
    "LeCun normal": (init.lecun_normal(), lambda n, _m: 1 / n),
    "Xavier normal": (init.xavier_normal(), lambda n, m: 2 / (n + m)),
    "He normal": (init.he_normal(), lambda n, _m: 2 / n),
}
expected, found = {}, {}
for name, (scheme, variance) in rules.items():
    expected[name], into = {}, mean_square
    for layer, (n, m) in fans.items():
        expected[name][layer] = n * variance(n, m) * into
        into = expected[name][layer] / 2  # what ReLU lets through
    found[name] = [
        measure(
            initguide.initialize(initguide.Net(), scheme, seed=s).eval(), images
        )
        for s in range(20)
    ]

shown = ["General rule", "LeCun normal", "Xavier normal", "He normal"]
plots.plot_layers(
    {name: found[name] for name in shown},
    predicted=expected,
    schemes={name: str(rules[name][0]) for name in shown},
    title="The lesson's network before training",
)

# %%


def mean_over_seeds(name, layer):
    return sum(one[layer].output_second_moment for one in found[name]) / len(
        found[name]
    )


initguide.Table(
    {"scheme": list(rules)}
    | {
        f"{layer}, {what}": [number(name, layer) for name in rules]
        for layer in fans
        for what, number in [
            ("predicted", lambda name, layer: expected[name][layer]),
            ("measured", mean_over_seeds),
        ]
    },
    caption="Mean square of the sums of each layer",
    note="Measured: mean of 20 seeds, dropout off, 1,000 training images.",
)

# %%
# In the last layer the means of 20 draws still differ from the prediction by chance, because only
# ten sums are averaged. The interval of their ratio says whether more than chance is needed:

for name in rules:
    ratio = [
        one["fc3"].output_second_moment / expected[name]["fc3"]
        for one in found[name]
    ]
    mean, (low, high) = mean_interval(ratio)
    print(
        f"{name:20} measured / predicted {mean:.2f}, interval {low:.2f} to {high:.2f}"
    )

# %%
# All five intervals come from the same seeds and so from the same random numbers, scaled: they are
# not five independent checks.
#
# He's rule holds the mean square level. The others multiply it, from layer to layer, by the
# factors that the formula gives: ½ for LeCun, 1/6 for the general rule, about n/24 for the fixed
# interval. Xavier's rule does better with ReLU here than its reputation: this network gets
# narrower in every layer, so 2 / (n_in + n_out) lies between 1/n_in and 2/n_in. At constant width
# it would be 1/n.
#
# For a network of your own, :func:`~initguide.theory.predict_variances` works the formula through
# from the weights as they are, layer by layer, and puts beside it what it measures:

net = initguide.initialize(initguide.Net(), "he_normal", seed=0).eval()
theory.predict_variances(net, images)

# %%
# This is one draw of the weights. What is predicted is the mean over draws, and the last layers,
# with few units, are off from it by chance, as far as the intervals above allow.
#
# .. admonition:: Try it
#
#    A leaky ReLU multiplies negative sums by a = 0.2 instead of by 0. Which variance keeps the
#    mean square? Derive it, and check it on twenty layers.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          # Half of the mean square is kept, and of the other half a² = 0.04. So the weights need
#          # the variance 2 / ((1 + a²) n), which is He's for a leaky ReLU.
#          leaky = initguide.mlp([784] + [256] * 20, lambda: nn.LeakyReLU(0.2))
#          std = lambda n: math.sqrt(2 / (1.04 * n))
#          with torch.no_grad():
#              for name, layer in leaky.named_children():
#                  if name.startswith("fc"):
#                      layer.weight.normal_(0, std(layer.in_features))
#                      layer.bias.zero_()
#          print([round(q, 3) for q in sums_of(leaky, images)])
#          print(theory.gain(nn.LeakyReLU(0.2)), math.sqrt(2 / 1.04))
#
# What we learnt
# --------------
# - E[z²] = n · Var(w) · E[x²] for independent weights of mean 0, whatever the inputs. A mean of
#   the weights adds a part that grows like n².
# - A linear layer keeps its mean square with Var(w) = 1/n, and one after ReLU with 2/n.
# - The factor of one layer is applied again in each: twenty layers turn a 2 into half a million.
# - tanh has no such factor: with 2/n its mean square settles, with 1/n it fades like 1/(2 ·
#   layer).
# - On the lesson's network the mean over draws agrees with the formula as well as twenty draws can
#   tell, for every scheme.
#
# The same sums, read from the end to the beginning, are the gradients: :doc:`variance backward
# </auto_examples/theory/plot_3_backward>`. The lesson's page on :doc:`the general rule
# </auto_examples/lesson/plot_4_general_rule>` trains with two of the schemes.
