"""
2. All zeros or all ones
========================

The simplest initial weights are all the same number. Zero seems neutral, one seems natural, and
neither works. This page trains both, finds out what goes wrong inside, and shows that the trouble
is not the number but the sameness: units that start equal stay equal.
"""

# %%
# A *scheme* is a function of a module that fills its weights. ``model.apply`` calls it on every
# module of the model. Ours for constants set every weight to the number and every bias to 0:

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
# Neither is better than guessing, which would be right in 10 % of the cases. They fail
# differently, though. All zeros stays at 2.303, the loss of a guess. All ones produces huge
# losses: every hidden unit adds up hundreds of pixels, every unit of the next layer adds up 256
# such sums, and the scores end in the millions, where the smallest change of a weight changes the
# loss a lot. (The axis is logarithmic.)
#
# Which parameters get a gradient?
# --------------------------------
# Training moves a weight only if it has a gradient. So take one mini-batch, go forward and back,
# and look at the largest gradient in each parameter:

images, labels = data.train.images[:100], data.train.labels[:100]


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
# learn one thing, how frequent each class is, and it knew that at the start: the classes are
# equally frequent.
#
# From ones, the gradients of ``fc1`` and ``fc2`` are zero too, at the first step, but for rounding
# (numbers like 1e-14). The ten scores of
# an image are equal, so the ten probabilities are all 1/10 and the pulls of the ten classes on a
# hidden unit add up to exactly nothing. The last layer does get gradients, and they are huge.
#
# Units that are equal stay equal
# -------------------------------
# In the middle layers a second obstacle waits. Two units with the same incoming and the same
# outgoing weights compute the same number and get the same gradient, so they take the same step,
# and are the same after it. With equal weights, a layer of 256 units is one unit, 256 times.
#
# We can count. Two units count as different if any of their incoming weights differ by more than
# rounding could explain:


def distinct_units(layer):
    weights = torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach()
    same = torch.cdist(
        weights, weights, p=torch.inf
    ) < 1e-4 * weights.abs().max().clamp(min=1)
    return int((same.int().argmax(dim=1) == torch.arange(len(weights))).sum())


def train_and_count(constant, dropout):
    net = initguide.Net(constant_weight=constant, dropout=dropout)
    before = [p.detach().clone() for p in net.parameters()]
    run = train(net, data, epochs=2, seed=0)
    moved = [
        name
        for (name, p), old in zip(net.named_parameters(), before, strict=True)
        if not torch.equal(p, old)
    ]
    print(
        f"{constant:8} {dropout:8} {distinct_units(net.fc1):8} {distinct_units(net.fc2):8} "
        f"{100 * run.valid_accuracy:10.1f} %   {', '.join(moved)}"
    )
    return run.valid_accuracy


print(
    f"{'constant':>8} {'dropout':>8} {'fc1':>8} {'fc2':>8} {'accuracy':>12}   what moved"
)
accuracies = {
    (constant, dropout): train_and_count(constant, dropout)
    for constant in (0, 0.01, 1)
    for dropout in (0.0, 0.2)
}

# %%
# The columns ``fc1`` and ``fc2`` give the number of different units after training, out of 256 and
# 128 (one run each, seed 0). Read the table by rows:
#
# - **Zeros** move nothing but the last bias, with or without dropout.
# - **Without dropout** there is one distinct unit a layer at the start and one at the end, whatever
#   the constant. The network 784-256-128-10 has been training as 784-1-1-10.
# - **With dropout** and a constant that is not 0, all units are different afterwards. In every
#   step, dropout leaves different units out, so they get different gradients. Dropout has broken
#   the symmetry that the initialization left.
#
# So dropout explains something that may have puzzled you in the table: a small constant is not a
# disaster at all.

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
# Next: weights that differ. The simplest are drawn from
# :doc:`a uniform distribution </auto_examples/lesson/plot_3_uniform>`.
