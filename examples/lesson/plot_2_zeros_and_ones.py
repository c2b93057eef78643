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
# module of the model. Ours for constants set every weight to the number and every bias to 0:

import copy
import math

import torch
import torch.nn.functional as F

import initguide
from initguide import initializers as init
from initguide import plots
from initguide.training import train

data = initguide.fashion_mnist()

net = initguide.Net()
net.apply(init.ones())
print(net.fc1.weight.data[:3, :5])

# %%
# Training both
# -------------
# :func:`~initguide.compare_init_weights` trains the network of page 1 from each scheme with five
# seeds. For one seed, all schemes see the same mini-batches in the same order and the same dropout
# masks; the initial weights are the only difference.

result = initguide.compare_init_weights(
    {"All zeros": init.zeros(), "All ones": init.ones()},
    data,
    model=initguide.Net,
    epochs=2,
    batch_size=100,
    learning_rate=1e-3,
    seeds=5,
)
result

# %%

plots.plot_losses(result, first=100)

# %%
# (The axis is logarithmic.) Is either better than guessing? A network that gives every image the
# same answer is right as often as that class occurs among the validation images, and a random
# split may make the classes a little unequal:

shares = torch.bincount(data.valid.labels) / len(data.valid.labels)
first = {k: [run.train_losses[0] for run in result.of(k)] for k in result.labels}
print(f"shares of the classes: {shares.min():.2%} to {shares.max():.2%}")
print(f"the very first loss of all ones: {min(first['All ones']):.5f} to", end=" ")
print(f"{max(first['All ones']):.5f}, and a guess has {math.log(10):.5f}")

# %%

top = shares.max().item() + 0.01
of_zeros = initguide.estimate(result.values("All zeros"))
of_ones = initguide.estimate(result.values("All ones"))
loss = {
    k: initguide.estimate(result.values(k, "valid_loss")) for k in result.labels
}
(
    initguide.says(
        of_zeros.below(top) and of_ones.below(top),
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
        max(abs(loss - math.log(10)) for loss in first["All ones"]) < 0.01,
        "And yet its very first loss was that of a guess, too: the loss before the first step "
        "does not tell that something is wrong.",
        "Its very first loss was already another than that of a guess.",
    )
)

# %%
# Why? Look at the scores that both start with:

images, labels = data.train.images[:100], data.train.labels[:100]
size = {}
for constant in (0, 1):
    with torch.inference_mode():
        scores = initguide.Net(constant_weight=constant).eval()(images)
    spread = (scores.amax(dim=1) - scores.amin(dim=1)).max()
    size[constant] = scores.mean()
    print(
        f"weights {constant}: mean score {size[constant]:,.0f}, within {spread:.1f}"
    )

# %%

initguide.says(
    size[1] > 1e6 and spread < 1e-3 * size[1],
    "With ones, the scores start in the millions, where small changes of weights change the loss a "
    "lot; but the ten scores of an image are equal but for rounding.",
    "With ones, the scores start at {size:,.0f} on average, and those of one image differ by up to "
    "{spread:.1f}.",
    size=size[1],
    spread=spread,
)

# %%
# ("Within" is the largest difference of two scores of one image.) Every unit of the first layer
# adds up all pixels of the image, every unit of the next layer adds up 256 such sums, and every
# score 128 of those. Only the differences of an image's scores enter its loss.
#
# Which parameters get a gradient?
# --------------------------------
# Training moves a weight only if it has a gradient. So take one mini-batch, go forward and back,
# and look at the largest gradient in each parameter:


def gradients(constant):
    net = initguide.Net(constant_weight=constant, dropout=0.0).double()
    F.cross_entropy(net(images.double()), labels).backward()
    return {name: p.grad for name, p in net.named_parameters()}


from_zeros, from_ones = (
    {name: grad.abs().max().item() for name, grad in gradients(constant).items()}
    for constant in (0, 1)
)
print(f"{'largest gradient in':20} {'all zeros':>12} {'all ones':>12}")
for name in from_zeros:
    print(f"{name:20} {from_zeros[name]:12.3g} {from_ones[name]:12.3g}")

# %%

hidden = max(grad for name, grad in from_ones.items() if not name.startswith("fc3"))
(
    initguide.says(
        [name for name, grad in from_zeros.items() if grad != 0] == ["fc3.bias"],
        "From zeros, a single parameter gets a gradient: the bias of the last layer.",
        "From zeros, it is not the bias of the last layer alone that gets a gradient.",
    )
    + initguide.says(
        hidden < 1e-9 * from_ones["fc3.weight"],
        "From ones, the gradients of ``fc1`` and ``fc2`` are zero too, at the first step, but for "
        "rounding; the weights of the last layer get gradients of up to {largest:,.0f}.",
        "From ones, the layers below the last get gradients too, of up to {hidden:.1e}; those of "
        "the last layer's weights are at most {largest:,.0f}.",
        largest=from_ones["fc3.weight"],
        hidden=hidden,
    )
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
# In the middle layers a second obstacle waits. Two units with the same incoming and the same
# outgoing weights compute the same number and get the same gradient, so they take the same step,
# and are the same after it. With equal weights, a layer of 256 units is one unit, 256 times.
#
# We can look at the rows of ``fc1``'s gradient, which belong to the units. Start with every weight
# 0.01 and take one step, which makes the last layer's rows different, so that something comes back.
# If the argument is right, the difference to the first row is 0, or as small as rounding is:

net = initguide.Net(constant_weight=0.01, dropout=0.0).double()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
for _step in range(2):
    optimizer.zero_grad()
    F.cross_entropy(net(images.double()), labels).backward()
    rows = net.fc1.weight.grad.clone()
    optimizer.step()
print(f"largest gradient in the second step: {rows.abs().max():.1e}")
print(f"largest difference to the first row: {(rows - rows[0]).abs().max():.1e}")

# %%
# Now let :func:`~initguide.measure` count the distinct units before and after training: those of
# which incoming weights differ by more than rounding could explain.


def distinct_units(net):
    found = initguide.measure(net, images)
    return found["fc1"].distinct_units, found["fc2"].distinct_units


def train_and_count(constant, dropout):
    net = initguide.Net(constant_weight=constant, dropout=dropout)
    old, before = copy.deepcopy(net.state_dict()), distinct_units(net)
    run = train(net, data, epochs=2, seed=0)
    new, after = net.state_dict(), distinct_units(net)
    moved = [name for name in old if not torch.equal(old[name], new[name])]
    accuracy = 100 * run.valid_accuracy
    print(
        f"{constant:8} {dropout:8}   {before[0]:4.0f} {before[1]:4.0f} → {after[0]:4.0f} "
        f"{after[1]:4.0f} {accuracy:8.1f} %   {', '.join(moved)}"
    )
    return before, after, moved, accuracy


print("constant  dropout    fc1  fc2 →  fc1  fc2   accuracy   what moved")
trained = {
    (constant, dropout): train_and_count(constant, dropout)
    for constant in (0, 0.01, 1)
    for dropout in (0.0, 0.2)
}

# %%
# ``fc1`` and ``fc2`` count distinct units, of 256 and 128, before → after training, for seed 0.

still = all(trained[0, dropout][2] == ["fc3.bias"] for dropout in (0.0, 0.2))
alone = all(trained[k, 0.0][:2] == ((1, 1), (1, 1)) for k in (0, 0.01, 1))
broken = all(trained[k, 0.2][1] == (256, 128) for k in (0.01, 1))
without, rescued = trained[0.01, 0.0][3], trained[0.01, 0.2][3]
initguide.bullets(
    initguide.says(
        still,
        "**Zeros** move nothing but the last bias, with or without dropout: there is nothing to "
        "leave out, as all the hidden units are silent anyway.",
        "**Zeros** move more than the last bias here.",
    ),
    initguide.says(
        alone,
        "**Without dropout** there is one distinct unit per layer at the start and one at the end, "
        "whatever the constant. The network ``784-256-128-10`` has been training as "
        "``784-1-1-10``.",
        "**Without dropout** the units do not all stay equal here; rounding may tell them apart.",
    ),
    initguide.says(
        broken,
        "**With dropout** and a constant that is not zero, all units are different afterwards. In "
        "every step, dropout leaves different units out, so they get different gradients.",
        "**With dropout** and a constant that is not zero, some units are still equal afterwards.",
    ),
    initguide.says(
        rescued - without > 10,
        "**The constant** ``0.01`` may surprise: dropout alone brings {more:.0f} points of "
        "accuracy, to {rescued:.1f} %.",
        "**The constant** ``0.01`` gains {more:+.1f} points of accuracy from dropout.",
        more=rescued - without,
        rescued=rescued,
    ),
    initguide.says(
        trained[1, 0.2][3] < 100 * top and min(trained[1, 0.2][1]) > 1,
        "**Ones** are not rescued by dropout in two epochs, though they end with {first:.0f} and "
        "{second:.0f} distinct units: what is left is their size.",
        "**Ones** end with dropout at {accuracy:.1f} %, with {first:.0f} and {second:.0f} distinct "
        "units.",
        accuracy=trained[1, 0.2][3],
        first=trained[1, 0.2][1][0],
        second=trained[1, 0.2][1][1],
    ),
)

# %%
# So there are two questions to ask of initial weights: do they differ, and are they of the right
# size? The next pages take these up in turn.
#
# .. admonition:: Try it
#
#    How different do the weights have to be? Add noise from N(0, ε²) to the constant 0.01, without
#    dropout, and find the smallest ε for which the accuracy comes close to that with dropout.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def constant_with_noise(epsilon):
#              def weights_init(module):
#                  if isinstance(module, torch.nn.Linear):
#                      torch.nn.init.normal_(module.weight, 0.01, epsilon)
#                      torch.nn.init.zeros_(module.bias)
#
#              return weights_init
#
#
#          noisy = initguide.compare_init_weights(
#              {f"noise {e:g}": constant_with_noise(e) for e in (1e-6, 1e-4, 1e-2)},
#              data,
#              model=lambda: initguide.Net(dropout=0.0),
#              seeds=2,
#          )
#          print(noisy)
#
# What we learnt
# --------------

apart = ((rows - rows[0]).abs().max() / rows.abs().max()).item()
initguide.bullets(
    initguide.says(
        still and of_zeros.below(top),
        "From all zeros, only the last bias moves, and the network learns nothing.",
        "From all zeros, this network learns something after all.",
        "From all zeros, only the last bias moves; these seeds cannot tell whether that helps.",
        key="constant-zeros",
    ),
    initguide.says(
        apart < 1e-9 and alone,
        "Equal units compute the same, get the same gradient, and stay equal as long as nothing "
        "tells them apart.",
        "Equal units compute the same; here, rounding was enough to tell them apart.",
    ),
    initguide.says(
        all(min(trained[k, 0.2][1]) > 1 for k in (0.01, 1)) and still,
        "Dropout breaks the symmetry of equal weights, unless they are zero.",
        "Dropout did not break the symmetry of equal weights as expected here.",
    ),
    initguide.says(
        size[1] > 1e6,
        "All ones has a second fault, its size: the scores start in the millions.",
        "All ones has a second fault, its size: the scores start at {size:,.0f} on average.",
        size=size[1],
    ),
)

# %%
# Next: weights that differ. The simplest are drawn from :doc:`a uniform distribution
# </auto_examples/lesson/plot_3_uniform>`.
