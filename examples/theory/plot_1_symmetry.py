"""
1. Symmetry
===========

Why must the initial weights differ at all? The lesson found that units which start equal stay
equal. This page proves it in a strong form: a wide network of equal units is, step for step, a
narrow one. Then it asks what tells units apart, how much difference is enough, and what dropout
adds.

.. admonition:: What you will learn

   - why a network is only as wide as its *different* units
   - which weights must differ: those into a unit, those out of it, or its :term:`bias`
   - how long a little noise takes to become a difference that matters
   - what :term:`dropout` does for zeros, and for a constant of a sensible size

.. meta::
   :keywords: symmetry breaking, equal units, constant weights, zero initialization, permutation
      symmetry, noise, random biases, dropout
"""

# %%
# Equal units are one unit
# ------------------------
# Take two hidden units whose incoming weights, outgoing weights and biases are equal. They compute
# the same number, so the loss depends on both in the same way, so their gradients are equal, so
# they make the same step. After it they are equal again. This holds for every loss and optimizer
# that treat all weights alike, unless chance treats the two differently, as :term:`dropout` does.
#
# It says more than it seems to. Copy every hidden unit of a narrow network m times. To keep the
# output, the weights out of the copies must be smaller. If the :term:`activation` is ReLU, dividing
# all weights into or out of one copied layer by √m, those between two copied layers by m, and
# hidden biases by √m does this. It also keeps the *training* by SGD, with momentum or without: the
# step of each copy is the step of the one weight, divided by the same number as the weight. So
# theory predicts the wide network's training exactly.
#
# We train networks of 1, 2, 4 … 32 units per layer, and beside each a network of 64 units that are
# copies of them (:func:`~initguide.models.with_copies`), with three seeds each.

from functools import partial
from itertools import pairwise

import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import models, plots
from initguide.training import train

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=100)
counts, seeds = [1, 2, 4, 8, 16, 32], range(3)
settings = {"epochs": 3, "optimizer": "momentum", "learning_rate": 0.02}
gaps, accuracies = [], []  # of pairs: a narrow network, and a wide one
for units in counts:
    for seed in seeds:
        narrow = initguide.mlp([784, units, units, 10])
        initguide.initialize(narrow, "he_normal", seed=seed)
        nets = narrow, models.with_copies(narrow, 64 // units)
        one, other = (train(net, data, seed=seed, **settings) for net in nets)
        gaps.append(abs(one.train_losses - other.train_losses).max())
        accuracies.append([one.valid_accuracy, other.valid_accuracy])
alone, copied = 100 * torch.tensor(accuracies).T.reshape(2, 6, 3)
plots.plot_prediction(
    {"64 units, this many different": copied.T},
    alone.mean(dim=1),
    at=[str(count) for count in counts],
    title="A network is as wide as its different units",
    xlabel="different units in each hidden layer",
    ylabel="validation accuracy (%)",
)

# %%
# The dots are networks of 64 units, one for each seed; the dashed line is the *mean* of the narrow
# networks. Each dot is to be compared with the one narrow network of which it is made:

apart = sum(gap > 1e-4 for gap in gaps)
initguide.says(
    apart == 0,
    "In all {pairs} pairs both make the same losses, mini-batch by mini-batch, but for rounding, "
    "and accuracies within {points:≤.1f} points. Copies bring nothing.",
    "In {apart} of {pairs} pairs some loss differs by more than rounding, by up to {gap:.2g}: "
    "training can magnify what rounding begins. The other pairs make the same losses.",
    apart=apart,
    pairs=len(gaps),
    gap=max(gaps),
    points=abs(alone - copied).max(),
)

# %%
# Constant weights are the case of one unit: whatever the width, SGD trains a network with a single
# unit in each hidden layer.
#
# What tells units apart?
# -----------------------
# Turn the argument around. Two units stay equal only if *everything* about them is equal: what
# comes in, what goes out, their biases, and what chance does to them. So let us give He's random
# weights to some layers of the lesson's network, here with 64 and 32 hidden units, and the constant
# 0.02 to the others. We train each for three epochs, two with :term:`dropout`, which leaves out
# different units for each image, and count how many units of a layer differ.


def random_in(module, names):
    """He's weights in these layers, the constant 0.02 elsewhere."""
    if isinstance(module, initguide.Net):
        module.apply(init.constant(0.02))
        for name in names:
            init.he_normal()(module.get_submodule(name))


def train_and_count(scheme, dropout=0.0):
    """Different units in both hidden layers, and accuracy in %: a row per seed."""
    rows = []
    for seed in seeds:
        net = initguide.Net(64, 32, dropout=dropout)
        initguide.initialize(net, scheme, seed=seed)
        run = train(net, data, epochs=3, seed=seed)
        found = initguide.measure(net.eval(), data.valid.images)
        units = [found[name].distinct_units for name in ("fc1", "fc2")]
        rows.append([*units, 100 * run.valid_accuracy])
    return torch.tensor(rows)


found = {  # what differs -> counts and accuracy
    name: train_and_count(partial(random_in, names=name.split()))
    for name in ("", "fc1", "fc2", "fc3", "fc1 fc2 fc3")
}
found["dropout, weights 0.02"] = train_and_count(init.constant(0.02), dropout=0.2)
found["dropout, weights 0"] = train_and_count(init.zeros(), dropout=0.2)
one, other, _ = found["fc2"].mean(dim=0).tolist()

# %%

initguide.asks(
    "Only ``fc2``, which goes from the first hidden layer to the second, starts with random "
    "weights; those before and behind it are constant. Which hidden units will be different?",
    [
        "Those of both layers.",
        "Those of the second layer, because different weights come into them.",
        "None: what comes in at the front is still the same for all units.",
    ],
    [
        one > 1 and other > 1,
        one == 1 < other,
        one == other == 1,
    ],
    initguide.says(
        one == 64 and other == 32,
        "``fc2`` goes into the units of the second layer, and *out of* those of the first, whose "
        "gradients therefore differ: {first:.0f} and {second:.0f} units are different.",
        "On average over the seeds, {first:.3g} and {second:.3g} units are different.",
        first=one,
        second=other,
    ),
)

# %%
# So theory predicts for all cases:
#
# - a random layer tells apart the units on both of its sides, and no others: behind ``fc1``, those
#   of the second layer still add up the same inputs with the same weights, and send the same on;
# - dropout gives different gradients to equal units, unless all weights are zeros: leaving out
#   activations of 0 changes nothing.

expected = [(1, 1), (64, 1), (64, 32), (1, 32), (64, 32), (64, 32), (1, 1)]
counted = torch.stack([*found.values()])  # (cases, seeds, 3)
first, second, accuracy = counted.mean(dim=1).T.tolist()
initguide.Table(
    {
        "random": [name or "nothing" for name in found],
        "predicted": ["{}, {}".format(*pair) for pair in expected],
        "fc1": first,
        "fc2": second,
        "accuracy, %": accuracy,
    },
    caption="Different units after 120 mini-batches of Adam, of 64 and 32; mean of 3 seeds",
    formats={"fc1": ".3g", "fc2": ".3g"},
)

# %%
# But look at the accuracy, too (:doc:`the lesson </auto_examples/lesson/plot_2_zeros_and_ones>`
# trains longer with dropout):

wrong = abs(counted[..., :2] - torch.tensor(expected)[:, None]).amax(dim=(1, 2))
off = dict(zip(found, wrong.tolist(), strict=True))
he, dropped = found["fc1 fc2 fc3"], found["dropout, weights 0.02"]
behind = initguide.estimate((he - dropped)[:, 2])
(
    initguide.says(
        max(off.values()) == 0,
        "Every count is the predicted one, in each of the seeds.",
        "Not every count is the predicted one: in one of the seeds it is off by {off:.0f}.",
        off=max(off.values()),
    )
    + initguide.says(
        behind.above(5),
        "And *being different is not enough*: dropout made {first:.3g} and {second:.3g} different "
        "units, and they are {behind:.0f} points of validation accuracy behind He's weights.",
        "The different units that dropout made are not far behind He's weights: {behind:.0f} "
        "points of validation accuracy.",
        "Whether the different units that dropout made are far behind He's weights, these seeds "
        "cannot tell: it was {behind:.0f} points of validation accuracy.",
        first=dropped[:, 0].mean(),
        second=dropped[:, 1].mean(),
        behind=behind,
    )
)

# %%
# How little noise is enough?
# ---------------------------
# So start from the constant 0.02, add noise from N(0, ε²), and train for ten epochs:


def noisy(module, epsilon):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.02, epsilon)
        nn.init.zeros_(module.bias)


schemes = {
    f"ε = {e:g}": partial(noisy, epsilon=e) for e in (0, 1e-6, 1e-3, 0.01, 0.05)
}
network = partial(initguide.Net, 64, 32, dropout=0)
result = initguide.compare_init_weights(
    schemes, data, model=network, epochs=10, seeds=3
)
against = partial(result.difference, "ε = 1e-06", metric="train_loss")
tiny, most = against("ε = 0"), against("ε = 0.05")

# %%

initguide.asks(
    "With ε = ``1e-6`` no two units start equal. How low is the training loss after {epochs} "
    "epochs?",
    [
        "As low as with large noise: training makes the most of any difference.",
        "Lower than with equal units, and higher than with large noise.",
        "No lower than with equal units, as far as can be seen.",
    ],
    [
        most.below(0.05),
        initguide.all_of(tiny.below(-0.05), most.above(0.05)),
        tiny.within(-0.05, 0.05),
    ],
    initguide.says(
        tiny.within(-0.05, 0.05),
        "It is {tiny:+.3f} nats from that of equal units, and {most:+.2f} nats from that with the "
        "largest noise: ten epochs are too few for so small a difference to grow.",
        "It is {tiny:+.2f} nats from that of equal units, and {most:+.2f} nats from that with the "
        "largest noise.",
        tiny=tiny,
        most=most,
    ),
    epochs=10,
)

# %%

plots.plot_losses(result, smooth=20)

# %%
# With ε = 0, all units do one unit's work. Where a curve leaves that one, they begin to do work of
# their own:

losses = [result.values(label, "train_loss") for label in result.labels[1:]]
ranked = all((larger < smaller).all() for smaller, larger in pairwise(losses))
(
    initguide.says(
        ranked,
        "The larger the noise, the lower is the training loss at the end, in every seed.",
        "Not in every seed does the larger noise make the lower training loss.",
    )
    + initguide.says(
        tiny.within(-0.05, 0.05),
        "With the smallest, weights differ from the start, and yet next to nothing of it is to be "
        "seen in the training loss at the end.",
        "Even the smallest noise changed the training loss at the end.",
        "Whether the smallest noise changed the training loss, these seeds cannot tell.",
    )
)

# %%
# He's rule gives these layers standard deviations of 0.05, 0.18 and 0.25. The largest noise has
# that size in the first layer, and less in the others. Think of random initialization in this way:
# not as constants with a little noise, but as noise without the constant.
#
# .. admonition:: Try it
#
#    Start from zero weights, and biases of which no two are alike. How many different units will
#    there be in ``fc1`` and ``fc2``? Predict, then count.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def different_biases(module):
#              if isinstance(module, nn.Linear):
#                  nn.init.zeros_(module.weight)
#                  module.bias.data = torch.linspace(0.01, 0.1, len(module.bias))
#
#
#          # All: what goes out of a unit is multiplied by its activation, which is its bias then.
#          print(train_and_count(different_biases))
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        apart == 0,
        "A network trained by SGD from copied units makes, mini-batch by mini-batch, the losses of "
        "the narrow network without the copies.",
        "A network trained by SGD from copied units makes the losses of the narrow network without "
        "the copies, until rounding, magnified by training, parts them: it did so in {apart} of "
        "{pairs} pairs.",
        key="copies-are-one-unit",
        apart=apart,
        pairs=len(gaps),
    )
    + initguide.says(
        off[""] == 0,
        "From constant weights all units of a layer stay equal: the network has a width of one.",
        "From constant weights the units of a layer did not stay equal here.",
        key="constants-width-one",
    ),
    initguide.says(
        max(off[what] for what in ("fc1", "fc2", "fc3")) == 0,
        "Units are told apart by what comes in, or by what goes out: one random layer tells apart "
        "the units on both of its sides, and no others.",
        "Units are told apart by what comes in, or by what goes out; but the counts of one random "
        "layer were not exactly those predicted.",
    ),
    initguide.says(
        ranked,
        "How different units start matters for long: the smaller the noise, the higher was the "
        "training loss after ten epochs.",
        "The training loss after ten epochs did not follow the size of the noise in every seed.",
    )
    + initguide.says(
        tiny.within(-0.05, 0.05),
        "The smallest that we tried made next to no difference.",
        "Even the smallest that we tried made a difference.",
        "Whether the smallest that we tried made a difference is open.",
    ),
    initguide.says(
        bool((dropped[:, :2] > 1).all()) and off["dropout, weights 0"] == 0,
        "Dropout tells equal units apart, unless the weights are zeros.",
        "It did not come out here that dropout tells equal units apart, unless the weights are "
        "zeros.",
        key="dropout-breaks-symmetry",
    ),
    initguide.says(
        behind.above(5),
        "Being different is not sufficient: the units that dropout made from a constant are far "
        "behind those that started from He's weights, after {batches} mini-batches.",
        "Being different was nearly sufficient here: dropout and a constant were not far behind "
        "He's weights after {batches} mini-batches.",
        "Whether being different is sufficient, these seeds cannot tell.",
        key="different-is-not-enough",
        batches=3 * len(data.train) // 100,
    ),
)

# %%
# Which size is right follows from what a sum of many numbers does: :doc:`variance forward
# </auto_examples/theory/plot_2_forward>`.
