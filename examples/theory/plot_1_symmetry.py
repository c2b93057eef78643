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
   - what :term:`dropout` does for zeros, for ones, and for a constant of a sensible size

.. meta::
   :keywords: symmetry breaking, equal units, constant weights, zero initialization, permutation
      symmetry, noise, random biases, dropout
"""

# %%
# Equal units are one unit
# ------------------------
# Take two hidden units whose incoming weights, outgoing weights and biases are equal. They compute
# the same number, so the loss depends on both in the same way, so their gradients are equal, so
# they make the same step. After it they are equal again. This holds for every optimizer that
# treats all weights alike, and for every loss. It is the whole argument.
#
# It says more than it seems to. Copy every hidden unit of a narrow network m times. To keep the
# output, the weights out of the copies must be smaller. If the :term:`activation` is ReLU,
# dividing all weights into or out of one copied layer by √m, those between two copied layers by m,
# and hidden biases by √m does this. It also keeps the *training* by SGD, with momentum or without:
# the step of each copy is the step of the one weight, divided by the same number as the weight. So
# theory predicts the wide network's training exactly:

import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots
from initguide.propagation import measure
from initguide.training import train

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=100)
images = data.valid.images


def narrow_network(units, seed):
    net = initguide.mlp([784, units, units, 10])
    return initguide.initialize(net, "he_normal", seed=seed)


@torch.no_grad()
def with_copies(narrow, copies):
    """Every hidden unit several times, with the same output."""
    wide = initguide.mlp([784, 64, 64, 10])
    for name, (rows, columns) in {
        "fc1": (copies, 1),
        "fc2": (copies, copies),
        "fc3": (1, copies),
    }.items():
        small, large = narrow.get_submodule(name), wide.get_submodule(name)
        large.weight.copy_(
            small.weight.repeat(rows, columns) / (rows * columns) ** 0.5
        )
        large.bias.copy_(small.bias.repeat(rows) / rows**0.5)
    return wide


# %%
# We train networks of 1, 2, 4 … 32 units a layer, and beside each a network of 64 units that are
# copies of them. Three seeds each; a seed decides the weights and the order of the mini-batches.

counts, seeds = [1, 2, 4, 8, 16, 32], range(3)
narrow_accuracy, wide_accuracy = torch.zeros(6, 3), torch.zeros(6, 3)
gaps, distinct = [], []
for i, units in enumerate(counts):
    pairs = []
    for seed in seeds:
        narrow = narrow_network(units, seed)
        wide = with_copies(narrow, 64 // units)
        settings = {"epochs": 3, "optimizer": "momentum", "learning_rate": 0.02}
        one = train(narrow, data, seed=seed, **settings)
        other = train(wide, data, seed=seed, **settings)
        narrow_accuracy[i, seed] = 100 * one.valid_accuracy
        wide_accuracy[i, seed] = 100 * other.valid_accuracy
        pairs.append(abs(one.train_losses - other.train_losses).max())
    gaps.append(max(pairs))
    distinct.append(measure(wide.eval(), images)["fc1"].distinct_units)

print(f"units of the narrow network:       {counts}")
print(f"different ones among the 64, after: {distinct}")
print(f"largest difference of two losses:   {max(gaps):.0e}")

# %%

fig, ax = plots.subplots(height=3.8)
ax.fill_between(
    counts,
    wide_accuracy.amin(dim=1),
    wide_accuracy.amax(dim=1),
    color=plots.PALETTE[0],
    alpha=0.2,
    linewidth=0,
)
ax.plot(
    counts,
    wide_accuracy.mean(dim=1),
    color=plots.PALETTE[0],
    label="measured: 64 units, this many different (band: all seeds)",
)
ax.plot(
    counts,
    narrow_accuracy.mean(dim=1),
    "s--",
    color="0.25",
    markersize=9,
    markerfacecolor="none",
    label="predicted: a network with this many units",
)
ax.set_xscale("log", base=2)
ax.set_xticks(counts, [str(count) for count in counts])
ax.set(
    title="A network is as wide as its different units",
    xlabel="different units in each hidden layer (logarithmic)",
    ylabel="validation accuracy (%)",
    ylim=(0, 100),
)
ax.legend(loc="lower right", frameon=False)
plots.describe(
    ax,
    "Validation accuracy against the number of different units. The curve of the networks of 64 "
    "units lies on that of the narrow networks: "
    + ", ".join(
        f"{count}: {wide:.0f} and {narrow:.0f} %"
        for count, wide, narrow in zip(
            counts,
            wide_accuracy.mean(dim=1),
            narrow_accuracy.mean(dim=1),
            strict=True,
        )
    )
    + ".",
)

# %%
# The two networks make the same losses, mini-batch by mini-batch, to rounding. Copies bring
# nothing. Constant weights are the case k = 1: whatever its width, such a network trains as one
# with a single unit in each hidden layer.
#
# What tells units apart?
# -----------------------
# Turn the argument around. Two units stay equal only if *everything* about them is equal.
# Different incoming weights tell them apart; so do different outgoing weights, because the
# gradients that come back differ; so do different biases. From this we can predict, for partly
# constant weights, how many units of the lesson's network (here with 64 and 32 hidden units, no
# dropout) will be different:
#
# - random ``fc1`` tells apart the units of the first hidden layer, not those of the second: those
#   still add up the same inputs with the same weights, and send the same on;
# - random ``fc3`` tells apart those of the second and not those of the first;
# - random ``fc2`` stands between both layers, and tells apart the units of both.


def random_in(*names):
    """He's weights in the layers named, the constant 0.02 in the others."""

    def scheme(module):
        if isinstance(module, initguide.Net):
            module.apply(init.constant(0.02))
            for name in names:
                init.he_normal()(module.get_submodule(name))

    return scheme


def different_biases(constant):
    """One constant for all weights, and biases from 0.01 to 0.1, no two alike."""

    def scheme(module):
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, constant)
            module.bias.data = torch.linspace(0.01, 0.1, len(module.bias))

    return scheme


def zero_last(module):
    """He's weights, but zeros in the last layer."""
    if isinstance(module, initguide.Net):
        module.apply(init.he_normal())
        nn.init.zeros_(module.fc3.weight)


schemes = {  # and how many different units theory expects in fc1 and fc2
    "nothing: all weights 0.02": (random_in(), 1, 1),
    "fc1": (random_in("fc1"), 64, 1),
    "fc2": (random_in("fc2"), 64, 32),
    "fc3": (random_in("fc3"), 1, 32),
    "the biases, weights 0.02": (different_biases(0.02), 64, 32),
    "the biases, weights 0": (different_biases(0.0), 64, 32),
    "fc1 and fc2; fc3 is 0": (zero_last, 64, 32),
    "all weights (He)": (init.he_normal(), 64, 32),
}


def small_network(dropout=0.0):
    return initguide.Net(64, 32, dropout=dropout)


def train_and_count(scheme, dropout=0.0):
    """Different units in both hidden layers, and accuracy in %: (seeds, 3)."""
    rows = []
    for seed in seeds:
        net = initguide.initialize(small_network(dropout), scheme, seed=seed)
        run = train(net, data, epochs=3, seed=seed)
        found = measure(net.eval(), images)
        units = [found[name].distinct_units for name in ("fc1", "fc2")]
        rows.append([*units, 100 * run.valid_accuracy])
    return torch.tensor(rows)


def spread(numbers):
    low, high = numbers.min(), numbers.max()
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


found = {name: train_and_count(scheme) for name, (scheme, _, _) in schemes.items()}
initguide.Table(
    {
        "what differs at the start": list(schemes),
        "predicted fc1, fc2": [f"{a}, {b}" for _, a, b in schemes.values()],
        "fc1 after training": [spread(rows[:, 0]) for rows in found.values()],
        "fc2 after training": [spread(rows[:, 1]) for rows in found.values()],
        "accuracy, %": [spread(rows[:, 2]) for rows in found.values()],
    },
    caption="Different units after three epochs of Adam, of 64 and 32",
    note="Smallest to largest of 3 seeds; one number if they agree.",
)

# %%
# Every prediction holds. Note four things. Biases alone break the symmetry, even of zero weights:
# what goes out of a unit is multiplied by its activation, which is its bias then. Randomness in
# one place is enough if it is the middle. A last layer of zeros does no harm to the symmetry below
# it. And **being different is not enough**: rows with all units different lie far apart in
# accuracy.
#
# How little noise is enough?
# ---------------------------
# So start from the constant 0.02, add noise from N(0, ε²), and train for ten epochs:


def constant_with_noise(epsilon):
    def scheme(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.02, epsilon)
            nn.init.zeros_(module.bias)

    scheme.__name__ = f"constant_with_noise_{epsilon:g}"
    return scheme


noise = {
    "no noise": init.constant(0.02),
    "ε = 0.000001": constant_with_noise(1e-6),
    "ε = 0.001": constant_with_noise(1e-3),
    "ε = 0.01": constant_with_noise(1e-2),
    "ε = 0.05": constant_with_noise(5e-2),
}
result = initguide.compare_init_weights(
    noise, data, model=small_network, epochs=10, seeds=3
)
result

# %%

plots.plot_losses(result, smooth=20)

# %%
# Any noise breaks the symmetry, but small noise breaks it late. With no noise, all units do one
# unit's work, and the loss lies on a plateau. The other curves leave it one after the other, the
# largest noise first, and the smallest has not left it in these 400 mini-batches:

for epsilon in ("ε = 0.000001", "ε = 0.001", "ε = 0.01"):
    print(result.difference(epsilon, "no noise", "train_loss"))
print(result.difference("ε = 0.05", "ε = 0.01", "train_loss"))

# %%
# The noise that works at once has the size of ordinary initial weights: He's rule gives these
# layers standard deviations of 0.05, 0.18 and 0.25. That is a good way to think of random
# initialization: not as constants with a little noise, but as noise without the constant.
#
# Zeros against ones, with and without dropout
# --------------------------------------------
# :term:`Dropout <dropout>` leaves out different units in every step, so equal units get different
# gradients. Theory predicts that this breaks every symmetry but that of zeros: where all
# activations and all gradients are 0, leaving some of them out changes nothing.

cells = [
    (constant, dropout) for constant in (0.0, 1.0, 0.02) for dropout in (0.0, 0.2)
]
found = [train_and_count(init.constant(c), dropout) for c, dropout in cells]
initguide.Table(
    {
        "constant": [f"{constant:g}" for constant, _ in cells],
        "dropout": [f"{dropout:g}" for _, dropout in cells],
        "predicted fc1": [64 if c and d else 1 for c, d in cells],
        "fc1 after training": [spread(rows[:, 0]) for rows in found],
        "fc2 after training": [spread(rows[:, 1]) for rows in found],
        "accuracy, %": [spread(rows[:, 2]) for rows in found],
    },
    caption="Different units after three epochs of Adam, of 64 and 32",
    note="Smallest to largest of 3 seeds; one number if they agree.",
)

# %%
# The predictions hold, but for an occasional unit of ``fc2`` that has not come apart from another
# one. Zeros stay one unit with dropout and without. For the other constants dropout makes the
# units different, and in three epochs not much comes of it: all accuracies lie far below those of
# He's weights in the table above, after as many epochs. The ones have their size against them,
# too; :doc:`the lesson </auto_examples/lesson/plot_2_zeros_and_ones>` shows their losses, and what
# dropout makes of a small constant in longer training.
#
# .. admonition:: Try it
#
#    Start from two constants: 0.02 for every second unit and −0.02 for the others. How many
#    different units will there be in ``fc1`` and ``fc2``? Predict, then count.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def two_kinds(module):
#              if isinstance(module, nn.Linear):
#                  init.constant(0.02)(module)
#                  module.weight.data[::2] *= -1
#
#
#          # Two kinds of units in each layer, and two they stay.
#          print(train_and_count(two_kinds))
#
# What we learnt
# --------------
# - A network trained by SGD from copied units makes, mini-batch by mini-batch, the losses of the
#   narrow network without the copies. Constant weights train a network of width one.
# - Units are told apart by what comes in, by what goes out, or by their biases. One random layer
#   tells apart the units on both of its sides.
# - Any noise makes units different, but small noise takes long. To matter from the first steps it
#   must be as large as ordinary initial weights.
# - Dropout tells equal units apart, unless the weights are zero.
# - Being different is necessary and not sufficient: the size must be right, too.
#
# Which size is right follows from what a sum of many numbers does: :doc:`variance forward
# </auto_examples/theory/plot_2_forward>`.
