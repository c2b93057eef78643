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
# they make the same step. After it they are equal again. This holds for every optimizer that treats
# all weights alike, and for every loss, unless chance treats the two differently, as
# :term:`dropout` does. It is the whole argument.
#
# It says more than it seems to. Copy every hidden unit of a narrow network m times. To keep the
# output, the weights out of the copies must be smaller. If the :term:`activation` is ReLU, dividing
# all weights into or out of one copied layer by √m, those between two copied layers by m, and
# hidden biases by √m does this. It also keeps the *training* by SGD, with momentum or without: the
# step of each copy is the step of the one weight, divided by the same number as the weight. So
# theory predicts the wide network's training exactly:

from functools import partial
from itertools import pairwise

import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots
from initguide.training import train

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=100)


@torch.no_grad()
def with_copies(narrow, copies):
    """Every hidden unit several times, with the same output."""
    wide = initguide.mlp([784, 64, 64, 10])
    shapes = {"fc1": (copies, 1), "fc2": (copies, copies), "fc3": (1, copies)}
    for name, (rows, columns) in shapes.items():
        small, large = narrow.get_submodule(name), wide.get_submodule(name)
        large.weight.copy_(small.weight.repeat(rows, columns))
        large.weight /= (rows * columns) ** 0.5
        large.bias.copy_(small.bias.repeat(rows) / rows**0.5)
    return wide


# %%
# We train networks of 1, 2, 4 … 32 units per layer, and beside each a network of 64 units that are
# copies of them. Three seeds each; a seed decides the weights and the order of the mini-batches.

counts, seeds, gaps = [1, 2, 4, 8, 16, 32], range(3), []
settings = {"epochs": 3, "optimizer": "momentum", "learning_rate": 0.02}
accuracy = torch.zeros(2, 3, 6)  # narrow and wide, by seed and by number of units
for i, units in enumerate(counts):
    for seed in seeds:
        narrow = initguide.mlp([784, units, units, 10])
        initguide.initialize(narrow, "he_normal", seed=seed)
        nets = narrow, with_copies(narrow, 64 // units)
        one, other = (train(net, data, seed=seed, **settings) for net in nets)
        gaps.append(abs(one.train_losses - other.train_losses).max())
        pair = [one.valid_accuracy, other.valid_accuracy]
        accuracy[:, seed, i] = 100 * torch.tensor(pair)

print(f"largest difference of two losses: {max(gaps):.0e}")
plots.plot_prediction(
    {"64 units, this many different": accuracy[1]},
    accuracy[0].mean(dim=0),
    at=[str(count) for count in counts],
    title="A network is as wide as its different units",
    xlabel="different units in each hidden layer",
    ylabel="validation accuracy (%)",
)

# %%
# The dots are networks of 64 units, one for each seed; the dashed line is the mean of the narrow
# networks:

apart = sum(gap > 1e-4 for gap in gaps)
initguide.says(
    apart == 0,
    "In all {pairs} pairs both make the same losses, mini-batch by mini-batch, but for rounding. "
    "Copies bring nothing.",
    "In {apart} of {pairs} pairs some loss differs by more than rounding, by up to {gap:.2g}: "
    "training can magnify what rounding begins. The other pairs make the same losses.",
    apart=apart,
    pairs=len(gaps),
    gap=max(gaps),
)

# %%
# Constant weights are the case of one unit: whatever its width, such a network trains as one with a
# single unit in each hidden layer.
#
# What tells units apart?
# -----------------------
# Turn the argument around. Two units stay equal only if *everything* about them is equal. Different
# incoming weights tell them apart; so do different outgoing weights, because the gradients that
# come back differ; so do different biases (the exercise). From this we can predict, for partly
# constant weights, how many units of the lesson's network (here with 64 and 32 hidden units) will
# be different:
#
# - random ``fc1`` tells apart the units of the first hidden layer, not those of the second: those
#   still add up the same inputs with the same weights, and send the same on;
# - random ``fc3`` tells apart those of the second and not those of the first;
# - random ``fc2`` stands between both layers, and tells apart the units of both;
# - :term:`dropout` leaves out different units in every step, so equal units get different
#   gradients, unless all weights are zeros: leaving out activations of 0 changes nothing.


def random_in(*names):  # He's weights in these layers, the constant 0.02 elsewhere
    def scheme(module):
        if isinstance(module, initguide.Net):
            module.apply(init.constant(0.02))
            for name in names:
                init.he_normal()(module.get_submodule(name))

    return scheme


cases = {  # scheme, dropout, and how many different units theory expects in fc1 and fc2
    "nothing: all weights 0.02": (random_in(), 0.0, (1, 1)),
    "fc1": (random_in("fc1"), 0.0, (64, 1)),
    "fc2": (random_in("fc2"), 0.0, (64, 32)),
    "fc3": (random_in("fc3"), 0.0, (1, 32)),
    "all weights (He)": (init.he_normal(), 0.0, (64, 32)),
    "dropout, weights 0.02": (random_in(), 0.2, (64, 32)),
    "dropout, weights 0": (init.zeros(), 0.2, (1, 1)),
}


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


found = {what: train_and_count(*case) for what, (*case, _) in cases.items()}
heads = ["what differs", "predicted fc1, fc2", "fc1", "fc2", "accuracy, %"]
rows = [
    (
        what,
        "{}, {}".format(*cases[what][-1]),
        *(f"{number:.3g}" for number in rows.mean(0)),
    )
    for what, rows in found.items()
]
initguide.Table(
    dict(zip(heads, zip(*rows, strict=True), strict=True)),
    caption="Different units after three epochs of Adam, of 64 and 32; mean of 3 seeds",
)

# %%
# Randomness in one place is enough if it is the middle. But look at the accuracy, too:

off = {  # the largest difference of a count from its prediction
    what: (rows[:, :2] - torch.tensor(cases[what][-1])).abs().max().item()
    for what, rows in found.items()
}
he, dropped = found["all weights (He)"], found["dropout, weights 0.02"]
equal = found["nothing: all weights 0.02"]
behind = initguide.estimate((he - dropped)[:, 2])
nearer = initguide.estimate((he - dropped)[:, 2] - (dropped - equal)[:, 2])
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
    + initguide.says(
        nearer.above(0),
        "That is nearer to the row whose weights are all equal than to He's.",
        "That is nearer to He's row than to the one whose weights are all equal.",
        "Whether that is nearer to the row of equal weights or to He's is open.",
    )
)

# %%
# What dropout makes of constants in longer training is in :doc:`the lesson
# </auto_examples/lesson/plot_2_zeros_and_ones>`.
#
# How little noise is enough?
# ---------------------------
# So start from the constant 0.02, add noise from N(0, ε²), and train for ten epochs:


def noisy(module, epsilon):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.02, epsilon)
        nn.init.zeros_(module.bias)


epsilons = (0, 1e-6, 1e-3, 1e-2, 5e-2)
schemes = {f"ε = {e:g}": partial(noisy, epsilon=e) for e in epsilons}
network = partial(initguide.Net, 64, 32, dropout=0)
settings = {"model": network, "epochs": 10, "seeds": 3}
result = initguide.compare_init_weights(schemes, data, **settings)
plots.plot_losses(result, smooth=20)

# %%
# With ε = 0, all units do one unit's work. When do the other curves leave that one? Say, when
# their loss, in the mean over 20 mini-batches, is a tenth of a nat below it:


def smoothed(label):
    """(seeds, mini-batches) losses."""
    losses = torch.tensor(
        [run.train_losses.tolist() for run in result.runs_at(label)]
    )
    return losses.unfold(1, 20, 1).mean(dim=2)


left = {}  # the first such mini-batch of each seed; infinity if there is none
for label in result.labels[1:]:
    below = smoothed("ε = 0") - smoothed(label) > 0.1
    first = below.int().argmax(dim=1).double()
    left[label] = torch.where(below.any(dim=1), first, torch.inf)
    print(f"{label:10} leaves at the mini-batches {left[label].tolist()}")

# %%
# (One number per seed; inf, for infinity, where it does not happen.)

ranked = all(
    (larger < smaller).all() for smaller, larger in pairwise(left.values())
)
*smaller, largest = left.values()
epoch = len(result.runs[0].train_losses) // settings["epochs"]
unseen = result.difference("ε = 1e-06", "ε = 0", "train_loss").within(-0.05, 0.05)
(
    initguide.says(
        ranked,
        "The larger the noise, the sooner it matters, in every seed.",
        "Not in every seed does the larger noise matter sooner.",
    )
    + initguide.says(
        unseen,
        "With the smallest, weights differ from the start, and yet next to nothing of it is to be "
        "seen in the training loss at the end.",
        "Even the smallest noise changed the training loss at the end.",
        "Whether the smallest noise changed the training loss, these seeds cannot tell.",
    )
    + initguide.says(
        bool((largest < epoch).all() and (torch.stack(smaller) >= epoch).all()),
        "Only the largest matters within the first epoch of {epoch} mini-batches, in every seed.",
        "It is not so that the largest, and no other, matters within the first epoch of {epoch} "
        "mini-batches in every seed.",
        epoch=epoch,
    )
)

# %%
# The largest noise here has the size of ordinary initial weights: He's rule gives these layers
# standard deviations of 0.05, 0.18 and 0.25. That is a good way to think of random initialization:
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
        off["nothing: all weights 0.02"] == 0,
        "Constant weights train a network of width one.",
        "Constant weights did not stay a network of width one here.",
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
        "Small noise takes longer than large noise to make a difference.",
        "How long noise takes to make a difference did not follow its size in every seed.",
    )
    + initguide.says(
        unseen,
        "The smallest that we tried made next to none in the {batches} mini-batches.",
        "Even the smallest that we tried made one.",
        "Whether the smallest that we tried made one is open.",
        batches=len(result.runs[0].train_losses),
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
        "behind those that started from He's weights, after three epochs.",
        "Being different was nearly sufficient here: dropout and a constant were not far behind "
        "He's weights after three epochs.",
        "Whether being different is sufficient, these seeds cannot tell.",
        key="different-is-not-enough",
    ),
)

# %%
# Which size is right follows from what a sum of many numbers does: :doc:`variance forward
# </auto_examples/theory/plot_2_forward>`.
