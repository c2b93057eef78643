"""
2. All zeros or all ones
========================

The simplest initial weights are all the same number. Zero seems neutral, one seems natural, and
neither works. This page trains both, finds out what goes wrong inside, and shows that the trouble
is less the number than the sameness: units that start equal stay equal.

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
# Neither is better than guessing. All zeros gives every image the same answer, so its accuracy is
# one class's share of the validation images, which the random split makes a little unequal:

shares = torch.bincount(data.valid.labels) / len(data.valid.labels)
print(f"shares of the classes: {shares.min():.2%} to {shares.max():.2%}")

# %%
# The two fail differently, though. All zeros stays at 2.303, the loss of a guess. All ones produces
# huge losses, on a logarithmic axis. The scores that they start with:

images, labels = data.train.images[:100], data.train.labels[:100]
for constant in (0, 1):
    with torch.inference_mode():
        scores = initguide.Net(constant_weight=constant).eval()(images)
    spread = (scores.amax(dim=1) - scores.amin(dim=1)).max()
    print(
        f"weights {constant}: mean score {scores.mean():,.0f}, within {spread:.1f}"
    )

# %%
# ("Within" is the largest difference of two scores of one image.) With ones, every hidden unit adds
# up hundreds of pixels, every unit of the next layer adds up 256 such sums, and the scores end in
# the millions, where small changes of weights change the loss a lot. The ten scores of an image are
# equal but for rounding, so the first loss is that of a guess.
#
# Which parameters get a gradient?
# --------------------------------
# Training moves a weight only if it has a gradient. So take one mini-batch, go forward and back,
# and look at the largest gradient in each parameter:


def gradients(constant):
    net = initguide.Net(constant_weight=constant, dropout=0.0).double()
    F.cross_entropy(net(images.double()), labels).backward()
    return {name: p.grad for name, p in net.named_parameters()}


print(f"{'largest gradient in':20} {'all zeros':>12} {'all ones':>12}")
for (name, from_zeros), from_ones in zip(
    gradients(0).items(), gradients(1).values(), strict=True
):
    print(f"{name:20} {from_zeros.abs().max():12.3g} {from_ones.abs().max():12.3g}")

# %%
# From zeros, a single parameter gets a gradient: the bias of the last layer. The reason is short.
# The gradient of a weight is the product of what comes in from below and what comes back from
# above. With zero weights, every hidden unit outputs 0, so nothing comes in to the last layer's
# weights; and whatever comes back is multiplied by zero weights on its way down. The network can
# learn one thing, how frequent each class is, and these are equally frequent.
#
# From ones, the gradients of ``fc1`` and ``fc2`` are zero too, at the first step, but for rounding.
# The ten scores of an image are equal, so the ten probabilities are all 1/10 and the pulls of the
# ten classes on a hidden unit add up to nothing. The last layer gets gradients, and they are huge.
#
# Units that are equal stay equal
# -------------------------------
# In the middle layers a second obstacle waits. Two units with the same incoming and the same
# outgoing weights compute the same number and get the same gradient, so they take the same step,
# and are the same after it. With equal weights, a layer of 256 units is one unit, 256 times.
#
# We can look at the rows of ``fc1``'s gradient, which belong to the units. Start with every weight
# 0.01 and take one step, which makes the last layer's rows different, so that something comes back:

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
# All 256 rows are the same. Now let :func:`~initguide.measure` count the distinct units before and
# after training: those of which incoming weights differ by more than rounding could explain.


def distinct_units(net):
    found = initguide.measure(net, images)
    return f"{found['fc1'].distinct_units:4.0f} {found['fc2'].distinct_units:4.0f}"


def train_and_count(constant, dropout):
    net = initguide.Net(constant_weight=constant, dropout=dropout)
    old, before = copy.deepcopy(net.state_dict()), distinct_units(net)
    run = train(net, data, epochs=2, seed=0)
    new, after = net.state_dict(), distinct_units(net)
    moved = [name for name in old if not torch.equal(old[name], new[name])]
    print(
        f"{constant:8} {dropout:8}   {before} → {after} "
        f"{100 * run.valid_accuracy:8.1f} %   {', '.join(moved)}"
    )
    return run.valid_accuracy


print("constant  dropout    fc1  fc2 →  fc1  fc2   accuracy   what moved")
accuracies = {
    (constant, dropout): train_and_count(constant, dropout)
    for constant in (0, 0.01, 1)
    for dropout in (0.0, 0.2)
}

# %%
# ``fc1`` and ``fc2`` count distinct units, of 256 and 128, before → after training (seed 0):
#
# - **Zeros** move nothing but the last bias, with or without dropout.
# - **Without dropout** there is one distinct unit per layer at the start and one at the end,
#   whatever the constant. The network 784-256-128-10 has been training as 784-1-1-10.
# - **With dropout** and a constant that is not 0, all units are different afterwards. In every
#   step, dropout leaves different units out, so they get different gradients. Dropout has broken
#   the symmetry that the initialization left.
#
# One row may surprise, that of a small constant with dropout:

gain = 100 * (accuracies[0.01, 0.2] - accuracies[0.01, 0.0])
print(f"the constant 0.01: {gain:+.0f} points from dropout alone")

# %%
# Dropout cannot rescue the zeros, because there is nothing to leave out: all the hidden units are
# silent anyway. And it does not rescue the ones in two epochs: their units become different, but
# their loss is still in the hundreds. **Two things must be right: the weights must differ, and they
# must have the right size.** The next pages take these up in turn.
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
# - From all zeros, only the last bias ever gets a gradient. Nothing can be learnt.
# - Equal units compute the same, get the same gradient and stay equal.
# - Dropout breaks the symmetry of equal weights, unless they are zero.
# - All ones has a second fault, its size: the scores start in the millions.
#
# Next: weights that differ. The simplest are drawn from :doc:`a uniform distribution
# </auto_examples/lesson/plot_3_uniform>`.
