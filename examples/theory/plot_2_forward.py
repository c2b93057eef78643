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
# pairs contribute μ² more, together (μ · Σx)², which grows like n² and soon is the larger part:

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
# The two parts add up to what is measured. With centred weights E[z²] grows like n; with weights
# from [0, 1) most of it comes from their mean, and more so the more inputs there are. That is what
# centring is for.
#
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
# - **tanh** is close to the identity near 0, so as long as the sums are small 1/n is right. Glorot
#   and Bengio argued so, and for the sake of the gradients, :doc:`the next page's subject
#   </auto_examples/theory/plot_3_backward>`, replaced n by the mean of :term:`fan-in` and
#   :term:`fan-out` :cite:p:`glorot2010`: Xavier's rule, Var(w) = 2 / (n_in + n_out).
#
# For z from N(0, q), :func:`initguide.theory.length_map` gives σ² · E[φ(z)²] with σ² = n · Var(w).
# Against a million draws:

draws = torch.randn(1_000_000, generator=generator)
activations = {"identity": nn.Identity(), "tanh": nn.Tanh(), "ReLU": nn.ReLU()}
q = torch.tensor([0.01, 1.0, 4.0])
kept = {"mean square q of the sums": ["0.01", "1", "4"]}
for name, phi in activations.items():
    expected = torch.from_numpy(theory.length_map(q, phi, 1.0))
    drawn = phi(draws * q.sqrt()[:, None]).square().mean(dim=1)
    kept[f"{name}, predicted"] = (expected / q).tolist()
    kept[f"{name}, drawn"] = (drawn / q).tolist()
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
# scaled to mean 0 and mean square 1, and two rules: Var(w) = 1/n (LeCun's, here also Xavier's) and
# 2/n (He's). The predictions repeat the length map, layer by layer.

images = data.train.images[:200]
images = (images - data.train.images.mean()) / data.train.images.std()
factors = {"lecun_normal": 1.0, "he_normal": 2.0}


def sums_of(net, scheme, images, seeds):
    """Mean square of the sums of each linear layer, one row per seed."""
    rows = []
    for seed in range(seeds):
        found = initguide.measure(
            initguide.initialize(net, scheme, seed=seed), images
        )
        rows.append([r.output_second_moment for r in found if r.kind == "Linear"])
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
        measured[name][scheme] = sums_of(net, scheme, images, seeds=6)

fig, axes = plots.subplots(1, 3, height=4.2, sharey=True)
for ax, name in zip(axes, activations, strict=True):
    plots.plot_prediction(
        measured[name], predicted[name], log=True, title=name, legend=False, ax=ax
    )
axes[0].set_ylabel("mean square of the pre-activations,\nlogarithmic scale")
handles = axes[0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=4)

# %%
# The bands of six seeds lie around the dashed predictions. The identity keeps its mean square
# with 1/n and doubles it in every layer with 2/n; ReLU keeps it with 2/n and halves it with 1/n.
# After twenty layers that is a factor of half a million, up or down.
#
# tanh answers differently. With 2/n the mean square settles at a value that tanh chooses, and with
# 1/n, here Xavier's rule, it fades slowly, not by a fixed factor. Why, page 5 tells: :doc:`depth
# </auto_examples/theory/plot_5_depth>`. The bands widen with depth, because a single deep draw may
# be far off the mean over draws: :doc:`finite width </auto_examples/theory/plot_9_finite_width>`.
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

plots.plot_prediction(
    found,
    expected,
    at=["fc1", "fc2", "fc3"],
    title="The lesson's network before training",
    ylabel="mean square of the pre-activations",
)

# %%
# He's rule holds the mean square level, LeCun's halves it from layer to layer. Xavier's lies
# between, because the network gets narrower: 2 / (n_in + n_out) is more than 1/n_in. In the last
# layer the dots scatter widely, because only ten sums are averaged. A single draw may have half of
# the predicted mean square, or twice; the mean of the draws is near it.
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
#          def he_for_leaky(module):
#              if isinstance(module, nn.Linear):
#                  std = math.sqrt(2 / (1.04 * module.in_features))
#                  module.weight.data.normal_(0, std)
#                  module.bias.data.zero_()
#
#
#          leaky = initguide.mlp([784] + [256] * 20, lambda: nn.LeakyReLU(0.2))
#          print(sums_of(leaky, he_for_leaky, images, seeds=3).mean(dim=0))
#          print(theory.gain(nn.LeakyReLU(0.2)), math.sqrt(2 / 1.04))
#
# What we learnt
# --------------
# - E[z²] = n · Var(w) · E[x²] for independent weights of mean 0, whatever the inputs. A mean of
#   the weights adds a part that grows like n².
# - A linear layer keeps its mean square with Var(w) = 1/n, and one after ReLU with 2/n.
# - The factor of one layer is applied again in each: twenty layers turn a 2 into half a million.
# - tanh has no such factor: with 2/n its mean square settles, with 1/n it fades slowly.
# - On the lesson's network single draws scatter around the prediction, and their mean is near it.
#
# The same sums, read from the end to the beginning, are the gradients: :doc:`variance backward
# </auto_examples/theory/plot_3_backward>`.
