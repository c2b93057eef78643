"""
4. Evaluation mode
==================

A network with batch normalization can be fine in training and guess as soon as it is evaluated. In
training it normalizes by the batch, in evaluation by averages that it keeps, and those start from
numbers that have nothing to do with the network. This page predicts how long they remember that
start, measures it, and shows what it costs a trained network and what to do about it.

.. index:: ! evaluation mode, ! running averages

.. admonition:: What you will learn

   - what batch normalization computes in training mode, and what in evaluation mode
   - how many batches its running averages need, and why small weights need more
   - what to do with a network that is fine in training and guesses in evaluation

.. meta::
   :keywords: evaluation mode, model.eval(), batch normalization, running statistics, running mean,
      running variance, momentum, BatchNorm, train and eval differ
"""

# %%
# Two sets of statistics
# ----------------------
# Batch normalization (:cite:p:`ioffe2015`) subtracts each unit's mean over the batch and divides by
# its standard deviation over the batch. A single image has neither, and nobody wants an answer that
# depends on which other images happen to be asked about. So, while it trains, the layer also keeps
# *running averages* of mean and variance, and ``model.eval()`` makes it use those.
#
# The averages have to start somewhere. In PyTorch they start at mean 0 and variance 1, and come a
# tenth closer to the batch's with every training batch (``momentum=0.1``). If the weights stay as
# they are, then after k batches a unit of mean μ and variance v has
#
# .. math::
#
#    \text{running mean} = (1 - 0.9^k)\,\mu, \qquad
#    \text{running variance} = 0.9^k + (1 - 0.9^k)\,v
#
# The 1 that it started with is down to a half after 7 batches, to a tenth after 22 and to a
# hundredth after 44. Whether that is little depends on v, that is, on the initial weights: weights
# times s make v proportional to s². In evaluation mode the unit should come out with mean square
#
# .. math:: \frac{v + (0.9^k \mu)^2}{0.9^k + (1 - 0.9^k)\,v}
#
# where in training mode it has 1. We try that on one layer with He's weights times s, on images of
# 14 × 14 pixels. Its weights are held, only the averages move.

import numpy as np
import torch
from torch import nn

import initguide
from initguide import models, plots, training

data = initguide.fashion_mnist().subset(train=1500, valid=500, test=10)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
small = data.transformed(lambda x: shrink((x - mean) / std), "standardized")
x, y = small.train.images, small.train.labels


@torch.no_grad()
def watch(s, seed, counts):
    """Root mean square in evaluation mode after so many batches, measured and predicted."""
    torch.manual_seed(seed)
    layer = nn.Sequential(nn.Linear(196, 64, bias=False), nn.BatchNorm1d(64))
    initguide.initialize(layer, "he_normal", seed=seed)
    layer[0].weight.mul_(s)
    v, mu = torch.var_mean(layer[0](x), 0)
    measured, predicted = [], []
    for k in range(max(counts) + 1):
        if k in counts:
            measured.append(layer.eval()(x).square().mean().sqrt().item())
            old = 0.9**k
            square = (v + (old * mu) ** 2) / (old + (1 - old) * v)
            predicted.append(square.mean().sqrt().item())
        layer.train()(x[torch.randint(len(x), (100,))])
    return measured, predicted


counts = range(0, 81, 5)
levels = [0.01, 0.1, 1, 10]
found = np.array([[watch(s, seed, counts) for seed in range(3)] for s in levels])
names = [f"s = {s:g}" for s in levels]
plots.plot_prediction(
    dict(zip(names, found[:, :, 0], strict=True)),
    dict(zip(names, found[:, :, 1].mean(1), strict=True)),
    at=counts,
    title="One layer with batch normalization, in evaluation mode",
    xlabel="training batches seen, weights held",
    ylabel="root mean square of the output",
)

# %%
# In training mode all four would be at 1. A new layer in evaluation mode divides by the root of 1,
# which is no normalization at all: the output has whatever size the weights give it. With large
# weights v soon outweighs what is left of the 1. The smaller the weights, the longer that takes:
# each factor of ten in s costs 44 batches more, since 0.9⁴⁴ is a hundredth.

ratio = found[:, :, 0].mean(1) / found[:, :, 1].mean(1)  # measured by predicted
worst = np.exp(np.abs(np.log(ratio))).max()
initguide.says(
    worst < 1.25,
    "The predictions, dashed, run through what was measured: no mean is off by more than a factor "
    "of {worst:≤.2f}.",
    "What was measured strays from the predictions, which are dashed, by a factor of up to "
    "{worst:≤.2f}.",
    worst=worst,
)

# %%
# What that does to a network
# ---------------------------
# Now we train: three hidden layers, one pass over 1500 images in batches of 100. Hidden weights are
# He's times s, with a learning rate times s². As :doc:`the page before
# </auto_examples/architectures/plot_3_normalization>` derives, that makes them the same training,
# whatever s. So if accuracy in evaluation mode depends on s, it is the running averages that do it.
#
# The last column is a remedy: forget the running averages, and take plain means over the training
# batches instead, with the trained weights. In PyTorch that is one line, ``update_bn``.


def trained(s, seed):
    """A network that has seen 15 batches."""
    net = models.NormalizedMLP(nn.BatchNorm1d)
    initguide.initialize(net, "he_normal", seed=seed)
    hidden = [part[0].weight for part in (net.first, net.second, net.third)]
    with torch.no_grad():
        for weight in hidden:
            weight.mul_(s)
    rest = [
        p for p in net.parameters() if all(p is not weight for weight in hidden)
    ]
    groups = [{"params": hidden, "lr": 0.3 * s**2}, {"params": rest}]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    batches = [(x[chosen], y[chosen]) for chosen in order.split(100)]
    training.fit(net, batches, torch.optim.SGD(groups, lr=0.3))
    return net, batches


def accuracies(net, batches):
    """Validation accuracy in evaluation mode, in training mode, and with new averages."""
    evaluated = training.evaluate(net, small.valid).accuracy
    with torch.no_grad():
        right = net.train()(small.valid.images).argmax(1) == small.valid.labels
    torch.optim.swa_utils.update_bn(batches, net)
    mended = training.evaluate(net, small.valid).accuracy
    return right.float().mean().item(), evaluated, mended


scales = [0.01, 0.1, 1, 10, 100]
rows = [[accuracies(*trained(s, seed)) for seed in range(4)] for s in scales]
by_batch, evaluated, mended = np.array(rows).transpose(2, 0, 1)
columns = {
    "by the batch": by_batch.mean(1),
    "in evaluation mode": evaluated.mean(1),
    "lowest": evaluated.min(1),
    "highest": evaluated.max(1),
    "averages taken anew": mended.mean(1),
}
initguide.Table(
    {"scale s": scales} | columns,
    caption="Validation accuracy after 15 batches, with the rate of hidden weights times s²",
    note="Mean of 4 seeds; lowest and highest: of the seeds, in evaluation mode.",
    formats=dict.fromkeys(columns, ".1%") | {"scale s": "g"},
)

# %%
# Scales are compared seed by seed, since all start from the same draws and see the same batches. So
# are the better and the worse of several scales chosen:

apart = initguide.estimate(100 * np.ptp(by_batch, axis=0))
small_scales, others = slice(0, 2), slice(2, None)  # of 0.01 and 0.1; from 1 on
lost = 100 * (by_batch - evaluated)
lost_small = initguide.estimate(lost[small_scales].min(0))
lost_others = initguide.estimate(lost[others].max(0))
still_off = initguide.estimate(100 * np.abs(mended - by_batch).max(0))
guessing = initguide.estimate(100 * evaluated[small_scales].max(0))
(
    initguide.says(
        apart.below(5),
        "By the batch, the best and the worst scale are {apart:.1f} points apart: all have learnt "
        "nearly the same, up to rounding and the ε under the root.",
        "By the batch, the best and the worst scale are {apart:.1f} points apart, more than "
        "rounding and the ε under the root should make of the same training.",
        "By the batch, the best and the worst scale are {apart:.1f} points apart; these seeds "
        "cannot tell whether that is little.",
        apart=apart,
    )
    + initguide.says(
        lost_small.above(20),
        "In evaluation mode, even the better of the two smallest scales loses {lost:.0f} points, "
        "although nothing is wrong with the weights.",
        "In evaluation mode, not both of the smallest scales lose much: the lesser loss is "
        "{lost:.0f} points.",
        "In evaluation mode, how much both of the smallest scales lose is open: the lesser loss is "
        "{lost:.0f} points.",
        lost=lost_small,
    )
    + initguide.says(
        lost_others.below(10),
        "The worst of the other scales loses {lost:.1f} points.",
        "The worst of the other scales loses much, too: {lost:.1f} points.",
        "The worst of the other scales loses {lost:.1f} points, which may be much or little.",
        lost=lost_others,
    )
    + initguide.says(
        still_off.below(3),
        "With averages taken anew, every scale is back: the largest deviation from accuracy by the "
        "batch is {off:.1f} points.",
        "With averages taken anew, some scale is still {off:.1f} points away from its accuracy by "
        "the batch.",
        "With averages taken anew, the largest deviation from accuracy by the batch is {off:.1f} "
        "points; these seeds cannot tell whether that is nothing.",
        off=still_off,
    )
)

# %%
# It takes both, small weights and few batches. After a thousand batches 0.9ᵏ is 10⁻⁴⁶, and the
# start is forgotten at any scale on this page; what remains is that the averages lag some ten
# batches behind the weights. But whoever stops early, or evaluates within the first epoch, can be
# misled: a validation loss that is bad where the training loss is good need not be overfitting.
#
# .. admonition:: Try it
#
#    After how many batches is what is left of the 1 down to a tenth of v? Solve
#    :math:`0.9^k\,|1 - v| = v/10` for k at s = 0.01, 0.1 and 10, with v averaged over the units.
#    Then run that many batches and compare running variance and v.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          for s in (0.01, 0.1, 10):
#              layer = nn.Sequential(nn.Linear(196, 64, bias=False), nn.BatchNorm1d(64))
#              initguide.initialize(layer, "he_normal", seed=0)
#              with torch.no_grad():
#                  layer[0].weight.mul_(s)
#                  v = layer[0](x).var(0).mean().item()
#                  k = int(np.ceil(np.log(0.1 * v / abs(1 - v)) / np.log(0.9)))
#                  for _ in range(k):
#                      layer(x[torch.randint(len(x), (100,))])
#              kept = layer[1].running_var.mean().item()
#              print(f"s = {s:g}: {k} batches, then {kept / v:.2f} times v")
#          # 1.1 times v where v is small, 0.9 times v where it is large: the 1 adds or is missing.
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        worst < 1.25,
        "In evaluation mode, batch normalization uses running averages that start at mean ``0`` "
        "and variance ``1``. How much of that start is left after k batches is :math:`0.9^k`, "
        "beside a variance v that goes as :math:`s^2`: this told the size of the output.",
        "In evaluation mode, batch normalization uses running averages that start at mean ``0`` "
        "and variance ``1``. What is left of that start did not tell the size of the output here.",
        key="running-averages-fade",
    ),
    initguide.says(
        initguide.all_of(lost_small.above(20), lost_others.below(10)),
        "Networks that are the same in training can differ in evaluation: after {batches} batches, "
        "the better of two with small initial weights was right for {guessing:.0f} % of the images "
        "on average, and the worst of those with He's weights or larger ones lost {lost:.1f} "
        "points.",
        "Networks that are the same in training could differ in evaluation; after {batches} "
        "batches, those with small initial weights did not stand out as predicted.",
        "Networks that are the same in training could differ in evaluation; whether small initial "
        "weights cost much after {batches} batches, and others little, these seeds cannot tell.",
        batches=len(x) // 100,
        guessing=guessing,
        lost=lost_others,
        key="running-averages-guess",
    ),
    initguide.says(
        still_off.below(3),
        "Averages that are taken anew over the training images repair it, without a step of "
        "training.",
        "Averages that are taken anew over the training images did not repair all of it.",
        "Whether averages that are taken anew over the training images repair all of it, these "
        "seeds cannot tell.",
        key="running-averages-anew",
    )
    + initguide.says(
        lost_small.above(20),
        "**The rule: if evaluation looks far worse than training, evaluate once by the batch. If "
        "that is fine, blame the running averages: take them anew, or train for some more "
        "batches**.",
        "**The rule: if evaluation looks far worse than training, evaluate once by the batch.** "
        "Here it did not look far worse at all small scales.",
        "**The rule: if evaluation looks far worse than training, evaluate once by the batch.** "
        "Whether it looked far worse here, these seeds cannot tell.",
    ),
)

# %%
# Layer, group and RMS normalization compute the same in both modes. Transformers use such:
# :doc:`transformers </auto_examples/architectures/plot_5_transformers>`.
