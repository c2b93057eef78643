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

import numpy as np
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
# Trousers, bags and boots look like nothing else. Which classes would you confuse at this size? The
# exercise below counts what the network does.
#
# Are the classes equally frequent? A classifier that always gives the same answer would otherwise
# do better than one in ten.

shares = torch.bincount(data.train.labels) / len(data.train.labels)
for name, share in zip(data.classes, shares, strict=True):
    print(f"{name:12} {100 * share:.1f} %")

# %%

initguide.says(
    (shares - 0.1).abs().max() < 0.01,
    "Yes, or nearly so: the shares lie between {low:.1f} and {high:.1f} %.",
    "Not quite: the shares lie between {low:.1f} and {high:.1f} %.",
    low=100 * shares.min(),
    high=100 * shares.max(),
)

# %%
# With ten equal classes, **10 % is what guessing achieves**, and the cross-entropy of a guess is
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
    bins=51,  # of five grey levels each: the pixels are whole numbers, divided by 255
    value_range=(0.5 / 255, 255.5 / 255),
    title="Pixels that are not 0",
    xlabel="pixel value (0 is black, 1 is white)",
)

# %%

black = (pixels == 0).float().mean()
inked = pixels[pixels > 0]
bright, nearly_black = (
    (inked > 0.5).float().mean(),
    (inked < 5.5 / 255).float().mean(),
)
bars = torch.histc(inked, bins=51, min=0.5 / 255, max=255.5 / 255)
(
    initguide.says(
        abs(black - 0.5) < 0.05,
        "About half of all pixels are background, exactly ``0``, and left out of the figure.",
        "The background, exactly ``0``, is {share:.0f} % of all pixels; the figure leaves it out.",
        share=100 * black,
    )
    + initguide.says(
        bright > 0.5,
        "Of the others, more are bright than dark: {share:.0f} % are nearer to white.",
        "Of the others, at least as many are dark as bright: {share:.0f} % are nearer to white.",
        share=100 * bright,
    )
    + initguide.says(
        bars.argmax() == 0,
        "The tallest bar, at the left, holds the {share:.0f} % that are nearly black.",
        "Of nearly black ones, at the left, there are {share:.0f} %.",
        share=100 * nearly_black,
    )
)

# %%
# No pixel is negative, so their mean is not 0: the data are not centred. That is why the number to
# remember is the *mean square* and not the variance. When the weights have mean 0, what a layer's
# output varies by is the mean square of its inputs, times the variance of the weights, times the
# number of inputs. Page 4 puts this to use.
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

largest = net.fc1.weight.numel() / sum(p.numel() for p in net.parameters())
initguide.says(
    largest > 0.5,
    "Most of them, {share:.0f} %, are weights of the first layer.",
    "The weights of the first layer are {share:.0f} % of them.",
    share=100 * largest,
)

# %%
# From here on we use :class:`initguide.Net`, which is this class with two more arguments.
#
# The training loop
# -----------------
# The weights are set once, before the first step; from then on, only the optimizer moves them. For
# two epochs, take 100 images at a time in random order, compute the loss, and let Adam change
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
    f"The training loss starts at {losses[0]:.2f}, is {np.mean(losses[75:125]):.2f} around the "
    f"hundredth mini-batch, and {np.mean(losses[-50:]):.2f} on average over the last fifty.",
)

# %%

at = min(100, len(losses) // 2)  # a small sample has fewer mini-batches
early, last = np.mean(losses[at - 20 : at + 20]), torch.tensor(losses[-50:])
way = (losses[0] - early) / (losses[0] - last.mean())
noise = last.std() / last.mean()
(
    initguide.says(
        abs(losses[0] - math.log(10)) < 0.1,
        "The loss starts at about what a guess costs.",
        "The loss does not start at what a guess costs, but at {first:.2f}.",
        first=losses[0],
    )
    + initguide.says(
        way > 0.5,
        "Most of the way down, {way:.0f} % of it, is done by mini-batch {at}; that is why later "
        "figures show the first hundred.",
        "By mini-batch {at} it has gone {way:.0f} % of the way down; later figures show the first "
        "hundred.",
        way=100 * way,
        at=at,
    )
    + initguide.says(
        noise > 0.1,
        "See also how the line jumps: **the loss of one mini-batch is a noisy number**, and among "
        "the last fifty it has a standard deviation of {noise:.0f} % of their mean.",
        "The line hardly jumps: among the last fifty mini-batches the loss has a standard "
        "deviation of {noise:.0f} % of their mean.",
        noise=100 * noise,
    )
)

# %%
# The "training loss" in our tables is the mean of the last hundred mini-batches, and not the last
# one.
#
# .. note::
#
#    Two epochs of small mini-batches are a choice: the lesson asks how networks *start*. With 100
#    images per mini-batch an epoch has many steps, so the start can be watched closely, at the
#    price of the noise just seen; larger mini-batches make fewer and smoother steps. And with more
#    epochs every scheme gets more time to make up for a poor start: a difference after two epochs
#    is no promise for the twentieth. :doc:`The last page </auto_examples/lesson/plot_7_choose>`
#    compares the first hundred mini-batches with the end of the second epoch.
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
dropout_on = [accuracy(valid_loader) for _ in range(5)]
# Each of the five times, other units are left out.
cost = initguide.estimate([100 * (dropout_off - on) for on in dropout_on])
print(f"validation accuracy, dropout off: {100 * dropout_off:.2f} %")
print(f"the same network, dropout on:     {100 * dropout_on[0]:.2f} %")
print(f"difference, mean of five times:   {cost:.2f} points")

# %%

initguide.says(
    cost.above(0),
    "Left on, dropout makes this network look worse than it is, by {cost:.1f} points.",
    "Left on, dropout does not lower this network's accuracy, though it could have.",
    "Whether dropout, left on, lowers this network's accuracy, five times cannot tell.",
    cost=cost.mean,
)

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

guess = F.cross_entropy(torch.zeros(len(data.valid.labels), 10), data.valid.labels)
often = 100 * shares.max()
initguide.bullets(
    initguide.says(
        math.isclose(guess, math.log(10), rel_tol=1e-5) and often < 11,
        "A guess has a loss of ``ln 10``, {loss:.3f}, and is right about one time in ten.",
        "A guess has a loss of {loss:.3f}, and one that names the most frequent class is right "
        "{often:.1f} % of the time.",
        loss=guess,
        often=often,
    ),
    initguide.says(
        pixels.min() == 0 and pixels.max() == 1,
        "Pixels lie in ``[0, 1]``, and what the first layer's weights meet is their mean square, "
        "{square:.2f}.",
        "Pixels lie between {low:.2f} and {high:.2f}; their mean square is {square:.2f}.",
        square=pixels.square().mean(),
        low=pixels.min(),
        high=pixels.max(),
    ),
    initguide.says(
        noise > 0.1,
        "The loss of one mini-batch is noisy, so a run is judged by the mean of many.",
        "The loss of one mini-batch says nearly as much here as the mean of many.",
    ),
    initguide.says(
        cost.above(0),
        "Accuracy is measured in evaluation mode: dropout, left on, costs {cost:.1f} points here.",
        "Accuracy is measured in evaluation mode, though dropout costs nothing here.",
        "Accuracy is measured in evaluation mode, whether or not dropout costs anything here.",
        cost=cost.mean,
    ),
)

# %%
# Next, the simplest initial weights there are: :doc:`all zeros, or all ones
# </auto_examples/lesson/plot_2_zeros_and_ones>`.
