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
# images stay untouched until one scheme has been chosen, on the last page. Here are twenty images
# from the training set, with their classes.

plots.plot_images(data.train, data.classes, count=20)

# %%
# Are the classes equally frequent? A classifier that always gives the same answer would otherwise
# do better than one in ten.

shares = torch.bincount(data.train.labels) / len(data.train.labels)
initguide.says(
    (shares - 0.1).abs().max() < 0.01,
    "They are, or nearly so: their shares of the training images lie between {low:.1f} and "
    "{high:.1f} %.",
    "Not quite: their shares of the training images lie between {low:.1f} and {high:.1f} %.",
    low=100 * shares.min(),
    high=100 * shares.max(),
)

# %%
# With ten equal classes, **10 % is what guessing achieves**, and the cross-entropy of a guess that
# calls all ten equally likely is
#
# .. math:: -\ln \tfrac{1}{10} = \ln 10 \approx 2.303 .
#
# Both numbers will come back: a network that knows nothing, and says so, shows them.
#
# What does a network see?
# ------------------------
# To the network, an image is a row of 784 numbers. Their size matters in this guide, because a
# layer multiplies its weights by them.

pixels = data.train.images
black = (pixels == 0).float().mean()
(
    initguide.says(
        pixels.min() == 0 and pixels.max() == 1,
        "The pixels lie between ``0``, which is black, and ``1``, which is white.",
        "The pixels lie between {low:.2f} and {high:.2f}.",
        low=pixels.min(),
        high=pixels.max(),
    )
    + initguide.says(
        abs(black - 0.5) < 0.05,
        "About half of them are background, exactly ``0``.",
        "The background, exactly ``0``, is {share:.0f} % of them.",
        share=100 * black,
    )
    + initguide.says(
        pixels.square().mean() > 1.1 * pixels.var(),
        "The data are not centred: the mean of all pixels is {mean:.2f}. So their mean square, "
        "{square:.2f}, is not their variance, {variance:.2f}.",
        "The mean of all pixels is {mean:.2f}, so their mean square, {square:.2f}, is nearly their "
        "variance, {variance:.2f}.",
        mean=pixels.mean(),
        square=pixels.square().mean(),
        variance=pixels.var(),
    )
)

# %%
# The number to remember is the *mean square*. Where the weights are drawn with mean 0, the mean
# square of a layer's sums is, on average over draws, that of its inputs, times the variance of the
# weights, times the number of inputs. Page 4 puts this to use.
#
# The network
# -----------
# A network is made of units. A unit has a weight for each of its inputs: it adds up the products
# and a bias, and a function φ makes its activation of the sum. This is a unit of the first layer:

plots.draw_neuron(28 * 28)

# %%
# The classifier is a *multilayer perceptron* with two hidden layers of such units. Behind each
# there is ReLU, the φ here, which replaces negative numbers by 0, and *dropout*, which in training
# leaves out a random fifth of the hidden units, drawn anew for each image. Each line of the drawing
# is a weight. A layer keeps its own as a matrix with a row per unit, such as ``fc1.weight`` below.

plots.draw_network([28 * 28, 256, 128, 10])

# %%
# In PyTorch it is a class:


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

losses = torch.tensor(losses)
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
    f"The training loss starts at {losses[0]:.2f}, is {losses[75:125].mean():.2f} around the "
    f"hundredth mini-batch, and {losses[-50:].mean():.2f} on average over the last fifty.",
)

# %%

at = min(100, len(losses) // 2)  # a small sample has fewer mini-batches
early, last = losses[at - 20 : at + 20].mean(), losses[-50:]
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
# So the "training loss" in our tables is the mean of the last hundred mini-batches. Two epochs of
# small mini-batches are a choice: the lesson asks how networks *start*. An epoch has many steps
# then, and the start can be watched closely, at the price of this noise; larger mini-batches make
# fewer and smoother steps. With more epochs every scheme gets more time to make up for a poor
# start, so a difference after two epochs is no promise for the twentieth. :doc:`The last page
# </auto_examples/lesson/plot_7_choose>` compares the start with the end.
#
# How good is it?
# ---------------
# Dropout is for training. To measure the network we turn it off with ``net.eval()``. Leaving it on
# is a common slip (the lesson that this one grew from made it), so we measure both ways, the second
# one five times, as each time other units are left out:


def accuracy(loader):
    with torch.inference_mode():
        hits = [(net(images).argmax(dim=1) == labels) for images, labels in loader]
    return 100 * torch.cat(hits).float().mean().item()


net.eval()
dropout_off = accuracy(valid_loader)
net.train()
dropout_on = [accuracy(valid_loader) for _ in range(5)]
cost = initguide.estimate([dropout_off - on for on in dropout_on])

# %%

initguide.asks(
    "The network was trained with dropout. If dropout is left on while it is measured, what "
    "happens to its validation accuracy?",
    [
        "It falls: each answer is given without a fifth of the units.",
        "Nothing on average: which units are left out is random, so it evens out.",
        "It rises: the network is used as it was trained.",
    ],
    [cost.above(0.1), cost.within(-0.1, 0.1), cost.below(-0.1)],
    initguide.says(
        cost.above(0.1),
        "Left on, dropout makes this network look worse than it is, by {cost:.2f} points, "
        "averaged over five times; with dropout off it has {off:.2f} %.",
        "Left on, dropout does not make this network look worse than the {off:.2f} % that it has "
        "with dropout off, though it could have.",
        "Whether dropout, left on, makes this network look worse than the {off:.2f} % that it has "
        "with dropout off, five times cannot tell.",
        cost=cost,
        off=dropout_off,
    ),
)

# %%
# Nobody would use a network that lacks a fifth of its units. This guide measures with dropout off.
#
# .. admonition:: Try it
#
#    Which classes does the network confuse? Count over the validation images how often each class
#    is taken for each other one, and print the three most frequent mistakes.
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
#              print(data.classes[true], "for", data.classes[answer], int(table[true, answer]))
#
# What we learnt
# --------------

often = 100 * shares.max()
initguide.bullets(
    initguide.says(
        often < 11,
        "A guess has a loss of ``ln 10``, {loss:.3f}, and is right about one time in ten.",
        "A guess has a loss of {loss:.3f}, and one that names the most frequent class is right "
        "{often:.1f} % of the time.",
        loss=math.log(10),
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
