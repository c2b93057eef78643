"""
1. The data and the network
===========================

Before changing how a network starts, we look at what it is given and how it is trained. This page
loads the images, builds the classifier that the whole lesson uses, and shows its training loop
once, in full. The later pages change a single thing: the numbers that the weights have before the
first step.

.. admonition:: What you will learn

   - how the images look, and in which range their pixels lie
   - what the network is, and how it is trained, step by step
   - what a network that knows nothing scores: the two numbers to compare everything with

.. meta::
   :keywords: Fashion-MNIST, training loop, mini-batch, evaluation mode, dropout, initial loss
"""

# %%
# The images
# ----------
# Fashion-MNIST holds 70,000 grey pictures of clothing, each of 28 × 28 pixels and in one of ten
# classes (Xiao, Rasul & Vollgraf 2017, `arXiv:1708.07747 <https://arxiv.org/abs/1708.07747>`_).
# :func:`initguide.fashion_mnist` finds them on your machine, downloads them, or falls back on a
# small sample. It always says which:

import math

import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide import plots

data = initguide.fashion_mnist()
print(data.source)

# %%
# Of the training images, one fifth is set aside for *validation*: to compare schemes. The *test*
# images stay untouched until one scheme has been chosen, on the last page.
#
# Here are twenty images from the training set, with their classes.

plots.plot_images(data.train, data.classes, count=20)

# %%
# Trousers, bags and boots look like nothing else. Pullovers, coats and shirts look much alike at
# this size, and are likely to be confused; the exercise below counts.
#
# Are the classes equally frequent? A classifier that always gives the same answer would otherwise
# do better than one in ten.

shares = torch.bincount(data.train.labels) / len(data.train.labels)
for name, share in zip(data.classes, shares, strict=True):
    print(f"{name:12} {100 * share:.1f} %")

# %%
# Yes, but for the chance of the split. So **10 % is what guessing achieves**, and the cross-entropy
# of a guess is
#
# .. math:: -\ln \tfrac{1}{10} = \ln 10 \approx 2.303 .
#
# Both numbers will come back: a network that knows nothing, and says so, shows them.
#
# What does a network see?
# ------------------------
# To the network, an image is a row of 784 numbers. Their size matters in this guide, because a
# layer multiplies its weights by them. The pixels lie between 0 and 1, both included:

pixels = data.train.images
print(f"smallest {pixels.min():.3f}, largest {pixels.max():.3f}")
print(f"mean {pixels.mean():.4f}, standard deviation {pixels.std():.4f}")
print(f"mean square {pixels.square().mean():.4f}")
print(f"exactly 0: {100 * (pixels == 0).float().mean():.1f} %")

# %%

plots.plot_histogram(
    pixels[pixels > 0],
    bins=64,
    title="Pixels that are not 0",
    xlabel="pixel value (0 is black, 1 is white)",
)

# %%
# Half of all pixels are background, exactly 0, and left out of the figure. The others are spread
# over the whole range, with more of them bright than dark. No pixel is negative, so their mean is
# not 0: the data are not centred. That is why the number to remember is the *mean square* and not
# the variance. When the weights have mean 0, what a layer's output varies by is the mean square of
# its inputs, times the variance of the weights, times the number of inputs. Page 4 puts this to
# use.
#
# The network
# -----------
# The classifier is a *multilayer perceptron* with two hidden layers. Behind each there is ReLU,
# which replaces negative numbers by 0, and *dropout*, which in training sets a random fifth of the
# hidden units to 0 at every step.


class Net(nn.Module):
    def __init__(self, hidden_1=256, hidden_2=128):
        super().__init__()
        self.fc1 = nn.Linear(28 * 28, hidden_1)
        self.fc2 = nn.Linear(hidden_1, hidden_2)
        self.fc3 = nn.Linear(hidden_2, 10)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        x = torch.flatten(x, start_dim=1)  # (N, 1, 28, 28) to (N, 784)
        x = self.dropout(F.relu(self.fc1(x)))
        x = self.dropout(F.relu(self.fc2(x)))
        return self.fc3(x)  # ten scores per image, the highest one wins


torch.manual_seed(0)
net = Net()
for name, parameter in net.named_parameters():
    print(f"{name:12} {tuple(parameter.shape)!s:12} {parameter.numel():8,}")
print(f"{'together':25} {sum(p.numel() for p in net.parameters()):8,}")

# %%
# Nine in ten parameters are weights of the first layer. From here on we use :class:`initguide.Net`,
# which is this class with two more arguments.
#
# The training loop
# -----------------
# For two epochs, take 100 images at a time in random order, compute the loss, and let Adam change
# the parameters. On later pages :func:`initguide.compare_init_weights` does this, for several
# schemes and several seeds at a time. It is the same loop:

train_loader, valid_loader, test_loader = data.loaders(batch_size=100)
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
losses = []

net.train()  # dropout on
for _epoch in range(2):
    for images, labels in train_loader:
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

# %%

fig, ax = plots.subplots(height=3.2)
ax.plot(range(1, len(losses) + 1), losses, linewidth=0.8)
ax.axhline(math.log(10), color="0.4", linestyle="--", label="a guess: ln 10")
ax.set(
    title="The loss of every mini-batch",
    xlabel="mini-batch (of 100 images)",
    ylabel="training loss (cross-entropy)",
    ylim=(0, None),
)
ax.legend()
plots.describe(
    ax,
    f"The training loss starts at {losses[0]:.2f}, close to ln 10, falls steeply at first, then "
    f"slowly, and ends near {sum(losses[-50:]) / 50:.2f}. It jumps from batch to batch.",
)

# %%
# The loss starts at about what a guess costs, and most of the way down is done within the first
# hundred mini-batches. That is why later figures show the first hundred: the influence of the
# initial weights is largest there. See also how much the line jumps. **The loss of one mini-batch
# is a noisy number**, so "training loss" in our tables is the mean of the last hundred.
#
# How good is it?
# ---------------
# Dropout is for training. To measure the network we turn it off with ``net.eval()``. Leaving it on
# is a common slip (the lesson that this one grew from made it), and we can measure what it costs:


def accuracy(loader):
    with torch.inference_mode():
        hits = [(net(images).argmax(dim=1) == labels) for images, labels in loader]
    return torch.cat(hits).float().mean().item()


net.eval()
dropout_off = accuracy(valid_loader)
net.train()
dropout_on = accuracy(valid_loader)
print(f"validation accuracy, dropout off: {100 * dropout_off:.2f} %")
print(f"the same network, dropout on:     {100 * dropout_on:.2f} %")

# %%
# Nobody would use a network that lacks a fifth of its units. This guide measures with dropout off.
#
# .. admonition:: Try it
#
#    Which classes does the network confuse? Count, over the validation images, how often each
#    class is taken for each other one, and print the three most frequent mistakes.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          net.eval()
#          with torch.inference_mode():
#              answers = net(data.valid.images).argmax(dim=1)
#          pairs = data.valid.labels * 10 + answers
#          table = torch.bincount(pairs, minlength=100).view(10, 10)
#          table.fill_diagonal_(0)
#          for flat in table.flatten().topk(3).indices.tolist():
#              true, answer = divmod(flat, 10)
#              count = table[true, answer].item()
#              print(data.classes[true], "taken for", data.classes[answer], count, "times")
#
# What we learnt
# --------------
# - Guessing gives 10 % accuracy and a loss of ln 10 ≈ 2.303.
# - Pixels lie in [0, 1], and their mean square, about 0.2, is what the first layer's weights meet.
# - One mini-batch's loss is noisy; one number from one run is too, as page 5 will show.
# - Accuracy is measured in evaluation mode.
#
# Next, the simplest initial weights there are: :doc:`all zeros, or all ones
# </auto_examples/lesson/plot_2_zeros_and_ones>`.
