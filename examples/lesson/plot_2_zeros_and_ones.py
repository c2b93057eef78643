"""
2. All zeros or all ones
========================

The simplest initial weights are all the same number. Zero seems neutral, one seems natural. This
page trains from both, looks at what happens inside, and asks which is the trouble: the number, or
that all the weights are the same.

.. admonition:: What you will learn

   - what a network learns from all zeros, and from all ones
   - which parameters get a gradient, and why equal units stay equal
   - what dropout does to the :term:`symmetry`

.. meta::
   :keywords: symmetry breaking, zero initialization, constant weights, dead network
"""

# %%
# A *scheme* is a function of a module that fills its weights. ``model.apply`` calls it on every
# module of the model, so it asks for those that it is for. This one sets every weight of the linear
# layers to 1 and every bias to 0:

import copy
import math

import torch
import torch.nn.functional as F

import initguide
from initguide import initializers as init
from initguide import plots
from initguide.training import train


def all_ones(m):
    if isinstance(m, torch.nn.Linear):
        torch.nn.init.ones_(m.weight)
        torch.nn.init.zeros_(m.bias)


net = initguide.Net()
net.apply(all_ones)
print(net.fc1.weight.data[:3, :5])

# %%
# Training both
# -------------
# The package has this scheme as :func:`init.ones() <initguide.initializers.ones>`.
# :func:`~initguide.compare_init_weights` trains the network of page 1 from each scheme with five
# seeds. For one seed, all schemes see the same mini-batches in the same order and the same dropout
# masks; the initial weights are the only difference.

data = initguide.fashion_mnist()
result = initguide.compare_init_weights(
    {"All zeros": init.zeros(), "All ones": init.ones()}, data, seeds=5
)
result

# %%

plots.plot_losses(result, first=100)

# %%
# (The axis is logarithmic.) Is either better than guessing? A network that gives every image the
# same answer is right as often as that class occurs among the validation images.

shares = torch.bincount(data.valid.labels) / len(data.valid.labels)
top = shares.max().item() + 0.01
of_zeros = initguide.estimate(result.values("All zeros"))
of_ones = initguide.estimate(result.values("All ones"))
loss = {
    k: initguide.estimate(result.values(k, "valid_loss")) for k in result.labels
}
first = result.values("All ones", "first_loss")
(
    initguide.says(
        initguide.all_of(of_zeros.below(top), of_ones.below(top)),
        "Neither is better than always giving the same answer.",
        "At least one of the two is better than always giving the same answer.",
        "Whether both are no better than always giving the same answer, these seeds cannot tell.",
    )
    + initguide.says(
        loss["All zeros"].within(math.log(10) - 0.02, math.log(10) + 0.02),
        "All zeros stays at the loss of a guess, {loss:.3f}.",
        "All zeros does not stay at the loss of a guess: it ends at {loss:.3f}.",
        "All zeros ends at a loss of {loss:.3f} on average, near that of a guess.",
        loss=loss["All zeros"].mean,
    )
    + initguide.says(
        loss["All ones"].above(10),
        "All ones ends with a huge loss, {loss:.0f} on average.",
        "All ones ends with a loss of {loss:.1f} on average, which is not huge.",
        "How large the loss of all ones is in the end, these seeds cannot tell.",
        loss=loss["All ones"].mean,
    )
    + initguide.says(
        abs(first - math.log(10)).max() < 0.01,
        "And yet its very first loss was that of a guess, too: the loss before the first step "
        "did not tell that something is wrong.",
        "Its very first loss was already another than that of a guess.",
    )
)

# %%
# Why? Look at the scores that all ones starts with:

images, labels = data.train.images[:100], data.train.labels[:100]
with torch.inference_mode():
    scores = initguide.Net(constant_weight=1).eval()(images)
size = scores.mean()
spread = (scores.amax(dim=1) - scores.amin(dim=1)).max()
initguide.says(
    size > 1e6 and spread < 1e-3 * size,
    "The scores start at {size:,.0f} on average, where small changes of weights change the loss a "
    "lot; but the ten scores of an image are equal, or differ by no more than {spread:.1f}.",
    "The scores start at {size:,.0f} on average, and those of one image differ by up to "
    "{spread:.1f}.",
    size=size,
    spread=spread,
)

# %%
# Every unit of the first layer adds up all pixels of the image, every unit of the next layer adds
# up 256 such sums, and every score 128 of those. Only the differences of an image's scores enter
# its loss.
#
# Which parameters get a gradient?
# --------------------------------
# Training moves a weight only if it has a gradient. So take one mini-batch, go forward and back,
# and look at the largest gradient in each parameter:

largest = {}
for name, constant in {"all zeros": 0, "all ones": 1}.items():
    net = initguide.Net(constant_weight=constant, dropout=0.0).double()
    F.cross_entropy(net(images.double()), labels).backward()
    largest[name] = [p.grad.abs().max().item() for p in net.parameters()]
names = [name for name, _ in net.named_parameters()]
from_zeros, from_ones = largest.values()
moved = [name for name, size in zip(names, from_zeros, strict=True) if size > 0]

# %%

initguide.asks(
    "All zeros starts with the loss of a guess, so there is something to learn. Which of the "
    "parameters, a weight matrix and a bias for each layer, get a gradient?",
    [
        "All of them: the loss is far from its minimum.",
        "The bias of the last layer alone: nothing else can change the scores.",
        "None: where all weights are zero, all gradients are.",
    ],
    [len(moved) == len(names), moved == ["fc3.bias"], not moved],
    initguide.says(
        moved == ["fc3.bias"],
        "A single one, the bias of the last layer, has a gradient that is not zero.",
        "The number of those whose gradient is not zero is {count}.",
        count=len(moved),
    ),
)

# %%

initguide.Table(
    {"parameter": names, **largest},
    caption="The largest gradient in each parameter, at the first step",
    formats=dict.fromkeys(largest, ".2g"),
)

# %%

*hidden, last, _ = from_ones
initguide.says(
    max(hidden) < 1e-9 * last,
    "From ones, the gradients of ``fc1`` and ``fc2`` are zero, too, but for rounding; the weights "
    "of the last layer get gradients of up to {largest:,.0f}.",
    "From ones, the layers below the last get gradients, too, of up to {hidden:.1e}; those of "
    "the last layer's weights are at most {largest:,.0f}.",
    largest=last,
    hidden=max(hidden),
)

# %%
# The reason is short. The gradient of a weight is the product of what comes in from below and what
# comes back from above. With zero weights, every hidden unit outputs 0, so nothing comes in to the
# last layer's weights; and whatever comes back is multiplied by zero weights on its way down. The
# network can learn one thing, how frequent each class is, and these are equally frequent.
#
# With ones, the ten scores of an image are equal, so the ten probabilities are all 1/10, and the
# pulls of the ten classes on a hidden unit add up to nothing.
#
# Units that are equal stay equal
# -------------------------------
# In the middle layers a second obstacle waits. Two units with the same bias and the same incoming
# and outgoing weights compute the same number and get the same gradient, so they take the same
# step, and are the same after it. With equal weights, a layer of 256 units is one unit, 256 times.
#
# In training, however, there is dropout. So train from three constants, without and with dropout,
# and let :func:`~initguide.measure` count the distinct units afterwards: units whose incoming
# weights differ from each other's by more than rounding could explain. At the start there is one in
# each layer.


def train_and_count(constant, dropout):
    net = initguide.Net(constant_weight=constant, dropout=dropout)
    old = copy.deepcopy(net.state_dict())
    accuracy = 100 * train(net, data, epochs=2, seed=0).valid_accuracy
    new, found = net.state_dict(), initguide.measure(net, images)
    moved = [name for name in old if not torch.equal(old[name], new[name])]
    moved = "all" if len(moved) == len(old) else ", ".join(moved)
    units = found["fc1"].distinct_units, found["fc2"].distinct_units
    return constant, dropout, *units, accuracy, moved


trained = {
    (constant, dropout): train_and_count(constant, dropout)
    for constant in (0, 0.01, 1)
    for dropout in (0.0, 0.2)
}
units = {setting: row[2:4] for setting, row in trained.items()}
accuracy = {setting: row[4] for setting, row in trained.items()}

# %%

initguide.asks(
    "Dropout leaves out a random fifth of the units, drawn anew for each image. If all weights "
    "start at ``0.01``, how many of the {count} units of ``fc1`` are distinct after two epochs?",
    [
        "One: dropout changes what units put out, and equal weights stay equal.",
        "A few: over a batch of images, all units have been left out about equally often.",
        "Most or all: each unit learns from other images, and no two meet again.",
    ],
    [
        units[0.01, 0.2][0] == 1,
        1 < units[0.01, 0.2][0] <= 128,
        units[0.01, 0.2][0] > 128,
    ],
    initguide.says(
        units[0.01, 0.2][0] > 1,
        "There are {units:.0f}, against {before:.0f} without dropout.",
        "There is {units:.0f}, and without dropout {before:.0f}.",
        units=units[0.01, 0.2][0],
        before=units[0.01, 0.0][0],
    ),
    count=256,
)

# %%

columns = ["constant", "dropout", "fc1", "fc2", "accuracy", "what moved"]
initguide.Table(
    dict(zip(columns, zip(*trained.values(), strict=True), strict=True)),
    caption="Distinct units in fc1 and fc2 after two epochs from a constant",
    note="Of 256 and 128 units. Seed 0; accuracy on the validation images, in %.",
    formats={"constant": "g", "dropout": "g", "accuracy": ".1f"},
)

# %%

still = all(trained[0, dropout][5] == "fc3.bias" for dropout in (0.0, 0.2))
alone = all(units[constant, 0.0] == (1, 1) for constant in (0, 0.01, 1))
broken = all(units[constant, 0.2] == (256, 128) for constant in (0.01, 1))
without, rescued = accuracy[0.01, 0.0], accuracy[0.01, 0.2]
initguide.bullets(
    initguide.says(
        still,
        "**Zeros** move nothing but the last bias, with or without dropout: there is nothing to "
        "leave out, as all the hidden units are silent anyway.",
        "**Zeros** move more than the last bias here.",
    ),
    initguide.says(
        alone,
        "**Without dropout** there is one distinct unit per layer at the end as at the start, "
        "whatever the constant. The network ``784-256-128-10`` can compute no more than a "
        "``784-1-1-10``.",
        "**Without dropout** the units do not all stay equal here; rounding may tell them apart.",
    ),
    initguide.says(
        broken,
        "**With dropout** and a constant that is not zero, all units are different afterwards. For "
        "each image, dropout leaves out other units, so they get different gradients.",
        "**With dropout** and a constant that is not zero, some units are still equal afterwards.",
    ),
    initguide.says(
        rescued - without > 10,
        "**The constant** ``0.01`` may surprise: with this seed, dropout alone brings {more:.0f} "
        "points of accuracy, to {rescued:.1f} %.",
        "**The constant** ``0.01`` gains {more:+.1f} points of accuracy from dropout here.",
        more=rescued - without,
        rescued=rescued,
    ),
    initguide.says(
        accuracy[1, 0.2] < 100 * top and min(units[1, 0.2]) > 1,
        "**Ones** are not rescued by dropout in two epochs, though they end with {first:.0f} and "
        "{second:.0f} distinct units: what is left is that they are large, and all positive.",
        "**Ones** end with dropout at {accuracy:.1f} %, with {first:.0f} and {second:.0f} distinct "
        "units.",
        accuracy=accuracy[1, 0.2],
        first=units[1, 0.2][0],
        second=units[1, 0.2][1],
    ),
)

# %%
# So there are two questions to ask of initial weights: do they differ, and are they of the right
# size? The next pages take these up in turn.
#
# .. admonition:: Try it
#
#    Write a scheme yourself that breaks the symmetry: linear layers with random weights of mean 0,
#    from any distribution, and biases of 0. Let it be checked: a wrong answer is told what was
#    misunderstood. (The check ``"ones"`` is for the scheme at the top of this page.)
#
#    .. code-block:: python
#
#       from initguide import exercises
#
#       def my_scheme(m):
#           ...  # yours
#
#       exercises.check("symmetry", my_scheme)
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          from initguide import exercises
#
#          def my_scheme(m):
#              if isinstance(m, torch.nn.Linear):
#                  torch.nn.init.normal_(m.weight, 0, 0.05)
#                  torch.nn.init.zeros_(m.bias)
#
#          print(exercises.check("symmetry", my_scheme))
#          print(exercises.check("ones", all_ones))
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        still and of_zeros.below(top),
        "From all zeros, only the last bias moves, and the network learns nothing of the images.",
        "From all zeros, this network learns something after all.",
        "From all zeros, only the last bias moves; these seeds cannot tell whether that helps.",
        key="constant-zeros",
    ),
    initguide.says(
        alone,
        "Equal units compute the same, get the same gradient, and stay equal as long as nothing "
        "tells them apart.",
        "Equal units compute the same; here, rounding was enough to tell them apart.",
    ),
    initguide.says(
        min(*units[0.01, 0.2], *units[1, 0.2]) > 1 and still,
        "Dropout breaks the symmetry of equal weights, unless they are zero.",
        "Dropout did not break the symmetry of equal weights as expected here.",
    ),
    initguide.says(
        size > 1e6,
        "All ones has a second fault, its size: the scores start in the millions.",
        "All ones has a second fault, its size: the scores start at {size:,.0f} on average.",
        size=size,
    ),
)

# %%
# Next: weights that differ. The simplest are drawn from :doc:`a uniform distribution
# </auto_examples/lesson/plot_3_uniform>`.
