"""
2. Variance forward
===================

How large should the initial weights be so that numbers neither swell nor fade on their way through
a network? One sum gives the answer. This page derives the rule for a single neuron, then LeCun's,
Xavier's and He's, and checks each: on one layer, on twenty, and on the lesson's own network.

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
# pairs contribute μ² more, together (μ · Σx)². For inputs that are not negative this grows like n²,
# and soon is the larger part. That is what centring is for:

import math

import torch
from torch import nn

import initguide
from initguide import plots, theory

data = initguide.fashion_mnist()
pixels = data.train.images[:100].flatten(start_dim=1)
generator = torch.Generator().manual_seed(0)
order = torch.randperm(784, generator=generator)

weights = {"N(0, 1)": (torch.randn, 0, 1), "U[0, 1)": (torch.rand, 1 / 2, 1 / 12)}
rows = []
for n in (10, 100, 784):
    x = pixels[:, order[:n]]
    for name, (draw, mean, variance) in weights.items():
        formula = n * variance * x.square().mean().item()
        extra = mean**2 * x.sum(dim=1).square().mean().item()
        sums = x @ draw(n, 5000, generator=generator)
        rows.append((n, name, formula, extra, sums.square().mean().item()))

heads = ["inputs n", "weights", "n · Var(w) · E[x²]", "(μ Σx)²", "measured E[z²]"]
initguide.Table(
    dict(zip(heads, zip(*rows, strict=True), strict=True)),
    caption="Mean square of one neuron's sum, over 5,000 draws and 100 images",
)

# %%

sums = {(n, name): numbers for n, name, *numbers in rows}
off = max(abs(measured / (a + b) - 1) for a, b, measured in sums.values())
share = {n: b / (a + b) for n in (10, 784) for a, b, _ in [sums[n, "U[0, 1)"]]}
(
    initguide.says(
        off < 0.1,
        "The two parts add up to what is measured, within {off:≤.0%}.",
        "The two parts are off what is measured by up to {off:.0%}.",
        off=off,
    )
    + initguide.says(
        0.5 < share[10] < share[784],
        "With weights from ``[0, 1)`` most comes from their mean, and more so the more inputs "
        "there are: {few:.0%} with ten inputs, {all:.1%} with all pixels.",
        "With weights from ``[0, 1)``, {few:.0%} comes from their mean with ten inputs, and "
        "{all:.1%} with all pixels.",
        few=share[10],
        all=share[784],
    )
)

# %%
# One layer: three rules
# ----------------------
# To keep the mean square, n · Var(w) must be 1. So a layer **without an activation** needs Var(w)
# = 1/n, with n the :term:`fan-in`. This is LeCun's rule :cite:p:`lecun1998`.
#
# An activation φ changes the mean square. The next layer's inputs are φ(z), so it needs n · Var(w)
# · E[φ(z)²] = E[z²]:
#
# - **ReLU** sets the negative half of the sums to 0. They are symmetric around 0, so half of the
#   mean square is lost, and Var(w) = 2/n makes up for it: He's rule :cite:p:`he2015`.
# - **tanh** is close to the identity near 0, so 1/n is right for sums that are small. Glorot and
#   Bengio argued so, and for the sake of the gradients, :doc:`the next page's subject
#   </auto_examples/theory/plot_3_backward>`, replaced n by the mean of :term:`fan-in` and
#   :term:`fan-out` :cite:p:`glorot2010`: Xavier's rule, Var(w) = 2 / (n_in + n_out).
#
# For z from N(0, q), :func:`initguide.theory.length_map` gives σ² · E[φ(z)²] with σ² = n · Var(w).
# With σ² = 1, ReLU leaves half of q, whatever the size. What tanh leaves depends on it: 98 % of a
# mean square of 0.01, 39 % of 1, and 16 % of 4. So no factor is right for tanh at every size.
#
# Twenty layers
# -------------
# A factor that is not 1 is applied again in every layer. Twenty layers of 256 units, images
# scaled to mean 0 and mean square 1, and two rules: Var(w) = 1/n (LeCun's; Xavier's differs from it
# in the first layer only) and 2/n (He's). The predictions repeat the length map, layer by layer.

images = data.train.images[:100]
images = (images - data.train.images.mean()) / data.train.images.std()
activations = {"identity": nn.Identity(), "tanh": nn.Tanh(), "ReLU": nn.ReLU()}
factors = {"lecun_normal": 1.0, "he_normal": 2.0}


def sums_of(net, scheme, images, seeds):
    """Mean square of the sums of each linear layer, one row per seed."""
    rows = []
    for seed in range(seeds):
        initguide.initialize(net, scheme, seed=seed)
        layers = initguide.measure(net, images)
        rows.append([r.output_second_moment for r in layers if r.kind == "Linear"])
    return torch.tensor(rows)


predicted = {name: {} for name in activations}
measured = {name: {} for name in activations}
for name, phi in activations.items():
    net = initguide.mlp([784] + [256] * 20, lambda phi=phi: phi)
    for scheme, factor in factors.items():
        line = [factor * images.square().mean().item()]
        for _ in range(19):
            line.append(theory.length_map(line[-1], phi, math.sqrt(factor)))
        predicted[name][scheme] = line
        measured[name][scheme] = sums_of(net, scheme, images, seeds=16)
ends = measured["tanh"]["he_normal"][:, -1]
lately = initguide.estimate(ends / measured["tanh"]["he_normal"][:, 9])

# %%

initguide.asks(
    "With ``2/n`` linear layers double the mean square again and again. And layers with tanh?",
    [
        "They explode as well: tanh only bends large numbers, and the factor is too large.",
        "They fade away: tanh makes every number smaller.",
        "Neither: they settle at a value of their own.",
    ],
    [lately.above(1.25), lately.below(0.8), lately.within(0.8, 1.25)],
    initguide.says(
        lately.within(0.8, 1.25),
        "Above that value tanh takes more than the weights give, below it less. From the tenth "
        "layer to the last the mean square changed by a factor of {lately:.2f}.",
        "From the tenth layer to the last the mean square changed by a factor of {lately:.2f}.",
        lately=lately,
    ),
)

# %%

fig, axes = plots.subplots(1, 3, height=4.2, sharey=True)
for ax, name in zip(axes, activations, strict=True):
    both = measured[name], predicted[name]
    plots.plot_prediction(*both, log=True, title=name, legend=False, ax=ax)
axes[0].set_ylabel("mean square of the pre-activations,\nlogarithmic scale")
handles = axes[0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=4)

# %%
# Lines and bands are mean and range of sixteen draws of the weights, dashes the prediction. The
# identity and ReLU are homogeneous: weights of twice the variance double the mean square in every
# layer, nineteen times from the first layer to the last. That makes a factor of 2¹⁹, half a
# million.

runs = [measured["identity"]["lecun_normal"], measured["ReLU"]["he_normal"]]
linear, relu = (initguide.estimate(run[:, -1] / run[:, 0]) for run in runs)
settled = theory.fixed_point("tanh", math.sqrt(2))
tanh = initguide.estimate(ends)
fading = measured["tanh"]["lecun_normal"]
early = initguide.estimate(1 - fading[:, 1] / fading[:, 0])
late = initguide.estimate(1 - fading[:, -1] / fading[:, -2])
(
    initguide.says(
        linear.within(0.5, 2),
        "The identity keeps its mean square with ``1/n``: over the draws, the last layer has on "
        "average {linear:.2f} times that of the first.",
        "The identity did not keep its mean square with ``1/n``: the last layer has on average "
        "{linear:.2f} times that of the first.",
        "Whether the identity keeps its mean square with ``1/n`` is not settled by these draws: "
        "the last layer has on average {linear:.2f} times that of the first.",
        linear=linear,
    )
    + initguide.says(
        relu.within(0.5, 2),
        "ReLU keeps it with ``2/n``: {relu:.2f} times.",
        "ReLU did not keep it with ``2/n``: {relu:.2f} times.",
        "For ReLU with ``2/n`` it is not settled either way: {relu:.2f} times.",
        relu=relu,
    )
    + initguide.says(
        tanh.within(0.8 * settled, 1.25 * settled),
        "Tanh answers differently: with ``2/n`` it ends at {tanh:.2f}, and the value at which it "
        "is predicted to settle, by itself, is {settled:.2f}.",
        "With ``2/n`` tanh ends at {tanh:.2f}, and not near the {settled:.2f} at which it is "
        "predicted to settle.",
        "With ``2/n`` tanh ends at {tanh:.2f}; whether that is near the {settled:.2f} at which it "
        "is predicted to settle is open.",
        tanh=tanh,
        settled=settled,
    )
    + initguide.says(
        early.mean > 2 * late.mean > 0,
        "With ``1/n`` it fades, and ever more slowly: the second layer takes away {early:.0%}, the "
        "last {late:.0%}.",
        "With ``1/n`` the second layer takes away {early:.0%}, the last {late:.0%}.",
        early=early.mean,
        late=late.mean,
    )
)

# %%
# Why tanh settles, :doc:`depth </auto_examples/theory/plot_5_depth>` tells; why ReLU's band gets
# wider, :doc:`finite width </auto_examples/theory/plot_9_finite_width>`.
#
# The lesson's own network
# ------------------------
# Now the network that the lesson trains, 784-256-128-10 with ReLU, on the images as they are. Its
# widths differ, so Xavier and LeCun part. The page on :doc:`the general rule
# </auto_examples/lesson/plot_4_general_rule>` works the formula through by hand, for other schemes;
# :func:`~initguide.theory.predict_variances` does it for any network, from the weights as they are:

images = data.train.images[:1000]
net = initguide.Net().eval()
expected, found = {}, {}
for scheme in ("lecun_normal", "xavier_normal", "he_normal"):
    found[scheme] = sums_of(net, scheme, images, seeds=20)
    expected[scheme] = theory.predict_variances(net, images)

at_last = found["he_normal"][:, -1] / expected["he_normal"]["fc3"].second_moment
worst = max(at_last.max(), 1 / at_last.min())

# %%

initguide.asks(
    "``fc3`` has ten outputs, and the mean square is over {images:,} images. In {draws} draws of "
    "He's weights, how far off the prediction is the worst?",
    [
        "By a tenth at most: that many images average chance out.",
        "By more, but within a factor of ``1.5``.",
        "By a factor above ``1.5``.",
    ],
    [worst < 1.1, 1.1 <= worst <= 1.5, worst > 1.5],
    initguide.says(
        worst > 1.5,
        "All images meet the same ten rows of weights, and only over these is it averaged: the "
        "worst is off by a factor of {worst:.1f}.",
        "The worst is off by a factor of {worst:.2f}.",
        worst=worst,
    ),
    images=len(images),
    draws=len(at_last),
)

# %%

plots.plot_prediction(
    found,
    expected,
    at=["fc1", "fc2", "fc3"],
    title="The lesson's network before training",
    ylabel="mean square of the pre-activations",
)

# %%
# Each dot is a draw, the dashes are predicted. In narrowing layers 2 / (n_in + n_out) lies between
# 1/n_in and 2/n_in, so Xavier's line must lie between the other two.

mean = initguide.estimate(at_last)
kept = {rule: (run[:, -1] / run[:, 0].mean()).mean() for rule, run in found.items()}
(
    initguide.says(
        0.6 < kept["he_normal"] < 1.6 and kept["lecun_normal"] < 0.4,
        "He's rule holds the mean square level from ``fc1`` to ``fc3``, where it has {he:.2f} "
        "times the size, and LeCun's does not: {lecun:.2f} times, after two halvings.",
        "From ``fc1`` to ``fc3`` the mean square gets {he:.2f} times as large with He's rule, and "
        "{lecun:.2f} times with LeCun's.",
        he=kept["he_normal"],
        lecun=kept["lecun_normal"],
    )
    + initguide.says(
        mean.within(2 / 3, 3 / 2),
        "The mean of the draws is near the prediction, also in ``fc3``: {mean:.2f} times as large.",
        "The mean of the draws is off the prediction in ``fc3``: {mean:.2f} times as large.",
        "Whether the mean of the draws is near the prediction in ``fc3``, {draws} draws leave "
        "open: it is {mean:.2f} times as large.",
        mean=mean,
        draws=len(at_last),
    )
)

# %%
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
#          he = initguide.initializers.he_normal(
#              nonlinearity="leaky_relu", negative_slope=0.2
#          )
#          leaky = initguide.mlp([784] + [256] * 20, lambda: nn.LeakyReLU(0.2))
#          print(sums_of(leaky, he, images, seeds=3).mean(dim=0))
#          print(theory.gain(nn.LeakyReLU(0.2)), math.sqrt(2 / 1.04))
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        off < 0.1,
        "E[z²] = n · Var(w) · E[x²] for independent weights of mean ``0``, whatever the inputs; a "
        "mean of the weights adds a part of its own.",
        "The formula for the mean square of a sum was off by up to {off:.0%}.",
        off=off,
    )
    + initguide.says(
        share[784] > 0.9,
        "With all pixels and weights from ``[0, 1)``, that part was nearly all of it.",
        "With all pixels and weights from ``[0, 1)``, that part was {share:.0%}.",
        share=share[784],
    ),
    initguide.says(
        linear.within(0.5, 2),
        "Linear layers keep the mean square with ``Var(w) = 1/n``, through twenty layers and on "
        "average over draws.",
        "Linear layers did not keep the mean square with ``Var(w) = 1/n`` through twenty layers.",
        "Whether twenty linear layers keep the mean square with ``Var(w) = 1/n`` is not settled "
        "by these draws.",
    )
    + initguide.says(
        relu.within(0.5, 2),
        "Layers after ReLU keep it with ``2/n``, and with ``1/n`` they halve it, each of them.",
        "Layers after ReLU did not keep it with ``2/n``.",
        "For layers after ReLU and ``2/n``, it is not settled.",
        key="relu-keeps-with-he",
    ),
    initguide.says(
        tanh.within(0.8 * settled, 1.25 * settled),
        "Tanh has no such factor: with ``2/n`` its mean square settles.",
        "Tanh did not settle where it was predicted to.",
        "Whether tanh settles where it is predicted to is open.",
    )
    + initguide.says(
        early.mean > 2 * late.mean > 0,
        "With ``1/n`` it fades, ever more slowly.",
        "With ``1/n`` it did not fade ever more slowly here.",
        key="tanh-fades-slowly",
    ),
    initguide.says(
        mean.within(2 / 3, 3 / 2),
        "On the lesson's network, the mean over draws is near the prediction.",
        "On the lesson's network, the mean over draws was off the prediction.",
        "On the lesson's network, these draws leave open whether their mean is near the "
        "prediction.",
    )
    + initguide.says(
        at_last.min() < 2 / 3 or at_last.max() > 3 / 2,
        "Single draws scatter around it, widely where few sums are averaged.",
        "So was every single draw.",
    ),
)

# %%
# The same sums, read from the end to the beginning, are the gradients: :doc:`variance backward
# </auto_examples/theory/plot_3_backward>`.
