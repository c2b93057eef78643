"""
3. Variance backward
====================

What comes back through a network when it learns? Gradients are sums, too: each unit adds up what
the units above it ask for. So the same argument as forward tells how large they are, with the
number of outputs in place of the number of inputs. This page derives that, lets the two compete,
and asks whether training notices.

.. admonition:: What you will learn

   - why gradients call for 1/:term:`fan-out` where signals call for 1/:term:`fan-in`
   - what Xavier's compromise gives up, and why either choice works
   - how the distributions look for weights that are too small, too large, or right
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
# fan-out m, and the activation counts with its slope. A million z, autograd against theory:

import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots, theory

generator = torch.Generator().manual_seed(0)
z = torch.randn(1_000_000, generator=generator, requires_grad=True)
for phi in (nn.Tanh(), nn.ReLU()):
    (slope,) = torch.autograd.grad(phi(z).sum(), z)
    kept = theory.backward_gain(phi) ** -2
    print(f"{phi} keeps {kept:.3f}, measured {slope.square().mean():.3f}")

# %%
# ReLU halves signal and gradient. tanh keeps more of the gradient than of the signal (0.394).
#
# Fan-in, fan-out, and the compromise
# -----------------------------------
# With ReLU, signals ask for Var(w) = 2/n and gradients for 2/m. Where widths change, no variance
# serves both. Glorot and Bengio's compromise is the mean of n and m :cite:p:`glorot2010`; He and
# co-authors chose one of the two and remarked that either will do :cite:p:`he2015`. Let us see, in
# a network that gets narrower, predicted from the widths alone. What we send back from the outputs
# are draws from N(0, 1), as :func:`~initguide.propagation.measure` does without targets:

widths = [784, 512, 256, 256, 128, 10]
rules = {
    "fan-in": (init.he_normal(), lambda n, _m: 2 / n),
    "fan-out": (init.he_normal(mode="fan_out"), lambda _n, m: 2 / m),
    "mean of both": (init.xavier_normal(gain=2**0.5), lambda n, m: 4 / (n + m)),
}
data = initguide.fashion_mnist()
images = data.train.images[:500]


def predict(variance):
    """Mean squares of the sums and of their gradients, for ReLU; 1 at the outputs."""
    n, m = torch.tensor(widths[:-1]), torch.tensor(widths[1:])
    forward, back = n * variance(n, m) / 2, m * variance(n, m) / 2
    sums = 2 * images.square().mean() * forward.cumprod(dim=0)
    gradients = torch.ones(len(n))
    gradients[:-1] = back[1:].flip(0).cumprod(dim=0).flip(0)
    return {"output_second_moment": sums, "output_grad_var": gradients}


def measured_in(scheme, images, values, seeds):
    """Numbers of the linear layers: value -> (seeds, layers)."""
    rows = {value: [] for value in values}
    for seed in range(seeds):
        net = initguide.initialize(initguide.mlp(widths), scheme, seed=seed)
        found = initguide.measure(net, images, seed=seed)
        linear = [record for record in found if record.kind == "Linear"]
        for value in values:
            rows[value].append([getattr(record, value) for record in linear])
    return {value: torch.tensor(sample) for value, sample in rows.items()}


ways = {"output_second_moment": "Pre-activations", "output_grad_var": "Gradients"}
lines = {rule: predict(variance) for rule, (_, variance) in rules.items()}
dots = {r: measured_in(scheme, images, ways, 8) for r, (scheme, _) in rules.items()}

fig, axes = plots.subplots(1, 2, height=4.2)
for ax, (way, title) in zip(axes, ways.items(), strict=True):
    found = {rule: dots[rule][way] for rule in rules}
    expected = {rule: lines[rule][way] for rule in rules}
    plots.plot_prediction(
        found, expected, title=title, ylabel="mean square", legend=False, ax=ax
    )
handles = axes[0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=3)

# %%
# The dots of eight seeds lie around the dashed predictions. Fan-in holds the signals level and lets
# the gradients change by m/n in each layer; fan-out holds the gradients level and lets the signals
# change by n/m; the mean of both lies between.
#
# And why does either choice do? Because the ratios of neighbouring widths *cancel*. With fan-in
# the gradients change from the last hidden layer's to the first by a product of fractions in which
# every width but two appears above and below. What is left is the last width by that of the first
# hidden layer, here 10/512, or 0.02, as the right panel shows. It does not grow with depth, as an
# error in the variance would: 1/n instead of 2/n costs a factor of 2 in *every* layer.
#
# Distributions, good and bad
# ---------------------------
# A mean square is one number. Here are whole distributions of pre-activations and of their
# gradients (outputs and output_grads) at constant width, for one draw each of three schemes.

too_small, he = init.normal(0.01), init.he_normal()
schemes = {"too small": too_small, "too large": init.normal(0.2), "He": he}
net = initguide.mlp([784, 256, 256, 256, 256, 10])
fig, axes = plots.subplots(3, 2, height=8.4)
for (name, scheme), row in zip(schemes.items(), axes, strict=True):
    initguide.initialize(net, scheme, seed=0)
    found = initguide.measure(net, images, histograms=60)
    for ax, of in zip(row, ("outputs", "output_grads"), strict=True):
        plots.plot_ridges(found, of=of, title=f"{name}: {of}", log=True, ax=ax)
        ax.set_xlabel("in standard deviations" if name == "too small" else "")

# %%
# Heights are logarithms of counts; the standard deviation stands beside each row. The peaks at 0
# are what ReLU did not let through. **Too small**: signals fade from the first layer to the last,
# gradients from the last to the first. (Each row is drawn in units of its own standard deviation,
# or it would be a needle.) **Too large**: the mirror image, both explode. **He**: both hardly
# change from one hidden layer to the next.
#
# Gradients of the weights
# ------------------------
# What moves a weight is neither signal nor gradient alone. The weight from x to z has the gradient
# Σ x δ, summed over the B images of a batch. With signs that are independent between images its
# mean square is B · E[x²] · E[δ²], so a layer's share comes from both directions:

values = ("input_second_moment", "output_grad_var", "weight_grad_var")
found = measured_in(he, images[:100], values, seeds=40)
product = 100 * found["input_second_moment"] * found["output_grad_var"]
initguide.Table(
    {
        "layer": [f"fc{i}" for i in range(1, 6)],
        "B · E[x²] · E[δ²]": product.mean(dim=0).tolist(),
        "measured": found["weight_grad_var"].mean(dim=0).tolist(),
    },
    caption="Variance of the weights' gradients under He's scheme (mean of 40 seeds)",
)

# %%
# The product fits. The layers differ in it by ratios of widths, most the last one.
#
# Does training notice?
# ---------------------
# Between rules that differ by ratios of widths, and rules that differ by a factor in every layer,
# there should be a difference in kind. Two epochs on 4,000 images:

result = initguide.compare_init_weights(
    {
        "Too small": too_small,
        "He, fan-in": he,
        "He, fan-out": init.he_normal(mode="fan_out"),
    },
    data.subset(train=4000, valid=1000, test=100),
    model=lambda: initguide.mlp(widths),
    optimizer="momentum",
    learning_rate=0.01,
    seeds=4,
)
print(result.difference("He, fan-in", "He, fan-out"))
result

# %%
# Too small weights leave the network at a guess, because signals and gradients fade in each layer.
# Between the two fans, which cost it a ratio of widths once, there is no difference that four seeds
# could show (:doc:`more seeds </auto_examples/practice/plot_8_how_many_seeds>` may yet find a small
# one). This is momentum on five layers; Adam, which divides each gradient by its own size, may
# tell another story.
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
#              {"Too small": too_small, "He": he},
#              data.subset(train=4000, valid=1000, test=100),
#              model=lambda: initguide.mlp(widths),
#              seeds=2,
#          )
#          print(with_adam)  # it learns, but is behind
#
# What we learnt
# --------------
# - Backward, a layer multiplies the mean square by m · Var(w) · E[φ'(z)²], with the fan-out m.
# - Fan-in holds signals level, fan-out gradients. Each lets the other change by a ratio of two
#   widths, however deep the network is; at constant width they are the same.
# - Weights that are too small or too large change signals and gradients in every layer.
# - The gradient of a weight is as large as signal times gradient predict.
# - In training, four seeds showed no difference between the fans. Too small weights did not learn.
#
# For ReLU one number, √2, serves signals and gradients. For other activations it takes two:
# :doc:`gains </auto_examples/theory/plot_4_gains>`. The lesson's :doc:`last page
# </auto_examples/lesson/plot_7_choose>` trains with Xavier's and He's rules.
