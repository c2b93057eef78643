"""
7. Inputs and the first loss
============================

Weights are not all there is to a start. What do the inputs and the last layer add to it? This page
predicts how large the first pre-activations and the first loss are, then measures and trains.

.. admonition:: What you will learn

   - what centring and scaling the inputs changes, before and in training
   - what the loss should be before the first step, and how the last layer sets it

.. meta::
   :keywords: initial loss, loss at init, normalize inputs, standardize inputs, centring
"""

# %%
# Inputs
# ------
# Four ways to hand over the same pixels. He's weights have variance 2/n, n the :term:`fan-in`
# (:cite:p:`he2015`), so the :term:`pre-activations <pre-activation>` of the first layer have twice
# the mean square of the inputs:

import math

import torch

import initguide
from initguide import experiments, plots, propagation
from initguide import initializers as init

data = initguide.fashion_mnist()
small = data.subset(
    train=min(5000, len(data.train)), valid=min(2000, len(data.valid)), test=1000
)
images, labels = small.train.images[:1000], small.train.labels[:1000]
mean, std = small.train.images.mean().item(), small.train.images.std().item()
ways = {
    "0 to 255": lambda x: 255 * x,
    "0 to 1": lambda x: x,
    "centred": lambda x: x - mean,
    "standardized": lambda x: (x - mean) / std,
}
table = {"inputs": list(ways), "predicted": [], "measured": [], "share": []}
for way in ways.values():
    x = way(images)
    table["predicted"].append(2 * x.square().mean().item())
    nets = [
        initguide.initialize(initguide.Net(), "he_normal", seed=s) for s in range(3)
    ]
    first = [
        propagation.measure(net, x)["fc1"].output_second_moment for net in nets
    ]
    table["measured"].append(sum(first) / len(first))
    eigenvalues = torch.linalg.eigvalsh(x.flatten(1).T @ x.flatten(1))
    table["share"].append((eigenvalues[-1] / eigenvalues.sum()).item())
initguide.Table(
    table,
    caption="Mean square of the first layer's pre-activations, by inputs",
    note="Measured: mean of 3 networks on 1,000 images. Share: part of the inputs' mean square "
    "that lies in their largest common direction.",
    formats={"share": ".0%"},
)

# %%
# Scale decides the mean square, as predicted. Centring changes something else: most of the mean
# square of raw pixels lies in *one* direction, and centring takes much of that away. It matters
# because the learning rate has to be small enough for the largest direction, and all others then
# learn slowly (:cite:t:`lecun1998`). So we train at several rates, with plain gradient descent:


def network():
    return initguide.Net(dropout=0.0)


def validation_losses(name, rate):
    result = initguide.compare_init_weights(
        {name: init.he_normal()},
        small.transformed(ways[name], name),
        model=network,
        epochs=1,
        optimizer="sgd",
        learning_rate=rate,
        seeds=4,
    )
    return result.values(name, "valid_loss")  # NaN for a seed that diverged


rates = (0.03, 0.1, 0.3, 1.0)
losses = {
    name: [validation_losses(name, rate) for rate in rates]
    for name in ("0 to 1", "centred", "standardized")
}

fig, ax = plots.subplots()
for number, (name, rows) in enumerate(losses.items()):
    good = [i for i, row in enumerate(rows) if all(row < 3)]
    chosen = [rows[i].tolist() for i in good]
    plots.draw_band(
        torch.tensor(chosen).T,
        at=[rates[i] for i in good],
        ax=ax,
        label=name,
        color=plots.PALETTE[number],
        marker="os^"[number],
    )
ax.set_xscale("log")
ax.set(
    title="Validation loss after one epoch, by inputs (4 seeds)",
    xlabel="learning rate (logarithmic)",
    ylabel="validation loss, nats",
)
ax.legend(title="band: smallest to largest")
best = {
    name: min(rows, key=lambda row: row.mean()) for name, rows in losses.items()
}
plots.describe(
    ax,
    "Validation loss after one epoch against the learning rate, mean of 4 seeds. At the best rate: "
    + ", ".join(f"{name} {row.mean():.2f}" for name, row in best.items()),
)

# %%
# Rates at which a seed diverged or ended above 3 nats are left out. Each version at its own best
# rate, and 0 to 255 at a third of the smallest one:

for name in ("centred", "standardized"):
    gap, (low, high) = experiments.mean_interval(best[name] - best["0 to 1"])
    print(
        f"{name} − 0 to 1: {gap:+.3f} nats, 95 % interval {low:+.3f} to {high:+.3f}"
    )
bytes_ = ", ".join(f"{loss:.3g}" for loss in validation_losses("0 to 255", 0.01))
print(f"0 to 255 at 0.01: {bytes_} nats")

# %%
# Below zero means better than raw pixels. (Each best rate was chosen by the same four losses that
# the interval is made of, which flatters all three versions alike.) Bytes call for a rate that is
# smaller by about 255²: at 0.01 their loss is far above that of a network that knows nothing.
#
# The first loss
# --------------
# A 10-way classifier that knows nothing has a loss of ln 10. He's weights keep the mean square of
# each image, x², through the hidden layers. A last layer with weights N(0, g²/n) then gives ten
# logits N(0, g² x²), independent, and the :term:`initial loss` is E[ln Σ exp(logits)]:

gains = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def last_layer(gain):
    fill = init.he_normal()

    def weights_init(module):
        fill(module)
        if isinstance(module, torch.nn.Linear) and module.out_features == 10:
            torch.nn.init.normal_(
                module.weight, std=gain / math.sqrt(module.in_features)
            )

    return weights_init


normal = torch.randn(
    100, len(images), 10, generator=torch.Generator().manual_seed(0)
)
normal *= images.flatten(1).square().mean(1).sqrt()[:, None]
predicted = [torch.logsumexp(gain * normal, -1).mean().item() for gain in gains]
first = []
for gain in gains:
    nets = [
        initguide.initialize(network(), last_layer(gain), seed=s) for s in range(8)
    ]
    first.append([propagation.measure(n, images, labels).loss for n in nets])
first = torch.tensor(first)
ax = plots.plot_prediction(
    {"measured": first.T},
    predicted,
    at=gains,
    log=True,
    title="Loss before the first step (8 seeds)",
    xlabel="gain g of the last layer (logarithmic)",
    ylabel="loss, nats",
)
ax.set_xscale("log")
plots.ticks_at(ax.yaxis, [math.log(10), 5, 10, 20], ["ln 10", "5", "10", "20"])

# %%
# A first loss far above ln 10 says that something is off with the scale: of the last layer, here,
# or of all before it. It costs one batch to see, and :cite:t:`karpathy2019` makes it the first
# check. Is the lowest first loss the best start, then? We train with Adam for one epoch:

outcome = initguide.compare_init_weights(
    {f"g = {gain:g}": last_layer(gain) for gain in (0.0, 1.0, 3.0, 30.0)},
    small,
    model=network,
    epochs=1,
    seeds=4,
)
for gain in (0, 1):
    net = initguide.initialize(network(), last_layer(gain), seed=0)
    gradient = propagation.measure(net, images, labels)["fc1"].weight_grad_var
    print(f"g = {gain}: variance of the first gradient in fc1 {gradient:.2g}")
for gain in (0, 3, 30):
    print(outcome.difference(f"g = {gain}", "g = 1", "valid_loss"))

# %%
# No. A last layer of zeros starts at ln 10 exactly, but at first no gradient passes through it, and
# after an epoch the network is behind. Logits of a nat or two do no harm that four seeds could
# show; with g = 30, an epoch is not enough to unlearn them.
#
# .. admonition:: Try it
#
#    What is the first loss if the same weights, with g = 1, meet pixels from 0 to 255?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          losses = []
#          for seed in range(8):
#              net = initguide.initialize(network(), last_layer(1.0), seed=seed)
#              losses.append(propagation.measure(net, 255 * images, labels).loss)
#          predicted = torch.logsumexp(255 * normal, -1).mean()
#          mean, (low, high) = experiments.mean_interval(losses)
#          print(f"{mean:.0f} nats (95 %: {low:.0f} to {high:.0f}), predicted {predicted:.0f}")
#
# What we learnt
# --------------
# - The inputs' scale sets the first layer's mean square. With plain gradient descent, one epoch and
#   each version's best learning rate, centred and standardized pixels beat raw ones.
# - The last layer sets the first loss. Far above ln 10 is a warning; the lowest is not the best.
#
# What biases do to the units behind the inputs:
# :doc:`dead and saturated units </auto_examples/theory/plot_8_units>`.
