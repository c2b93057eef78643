"""
1. Check your own network
=========================

A network of yours does not train as it should. Is its initialization at fault, and where? On this
page somebody's convolutional network has five faults. A check looks for them and says in code what
to do, after it has tried that on a copy. The page runs the code, checks again, and in the end
trains the network with and without each of the repairs, to see which of them pay.

.. admonition:: What you will learn

   - how to check any network with one batch, and how to read the report
   - why one fault can hide another, so that you check again after each repair
   - what a clean report promises, and what it does not

.. meta::
   :keywords: debug neural network, network does not train, loss does not decrease, check_init,
      sanity check, diagnose initialization, accuracy stuck
"""

# %%
# Somebody's network
# ------------------
# Three convolutions, six hidden layers and a head for Fashion-MNIST, with ReLU. The author has read
# a few things about initialization, and has thought about every line; what is not named keeps
# PyTorch's default. You may want to look for the faults before you read on:
#
# .. code-block:: python
#
#    for layer in (self.conv1, self.conv3):
#        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
#    nn.init.constant_(self.conv2.weight, 1 / 72)  # start as an average
#    nn.init.constant_(self.project.bias, -3.0)  # only strong features pass
#    for layer in self.body:  # five layers of 64 units
#        nn.init.normal_(layer.weight, std=0.01)  # small random numbers
#        nn.init.zeros_(layer.bias)
#    nn.init.normal_(self.head.weight)
#
# The images come as they lie in the files: bytes from 0 to 255. Does it train?

import math

import numpy as np
import torch

import initguide
from initguide import models, plots

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
data = data.transformed(lambda x: 255 * x, "as bytes, 0 to 255")


def train(schemes, images=data, seeds=4, **settings):
    """Two epochs with Adam."""
    return initguide.compare_init_weights(
        schemes, images, model=models.Classifier, seeds=seeds, **settings
    )


as_written = train({"as written": lambda _: None})
as_written

# %%

before = initguide.estimate(100 * as_written.values("as written"))
initguide.says(
    before.above(10),
    "It learns something, for guessing gives {guess} %. Is the task hard, or the network wrong?",
    "It learns nothing: guessing gives {guess} %, too.",
    "Whether it learns anything these seeds cannot tell, for guessing gives {guess} %.",
    guess=10,
)

# %%
# The first check
# ---------------
# :func:`initguide.check_init` takes the network as it is before training, a batch as the network
# will see it, and the labels. It sends the batch forward and back once, and changes nothing.

torch.manual_seed(0)
model = models.Classifier()
inputs, labels = data.train.images[:200], data.train.labels[:200]
first = report = initguide.check_init(model, inputs, labels)
report

# %%
# A row says what was found, how bad it is, in which layer, what was measured beside what would be
# healthy, and what to do. *Errors* (it will not train so) stand before *warnings* (it will train
# worse) and *notes*, and within these the layers in their order.
#
# **No advice is printed that was not tried.** On a copy of the network it was executed as it stands
# there, the copy was checked again, and then trained for a few steps with the advice and without.
# What was tried for the first finding, and what came of it:

for attempt in report.findings[0].tried:
    print(f"{attempt.code}\n  -> {attempt.outcome}\n")

# %%

tried = first.findings[0].tried
hides = first.findings[0].layer == "inputs" and len(tried) > 1
hides = hides and not tried[0].kept and "brings to light" in tried[0].outcome
initguide.says(
    hides,
    "Scaling the inputs alone would bring to light what the huge pixels hide: they carry the "
    "signal over another fault. So the advice repairs what it uncovers, too, and the advice of "
    "each finding starts from what is printed above it.",
    "The first advice stands alone: it brought no other fault to light.",
)

# %%
# Not all that is hidden comes to light in one go. So we follow one rule: **do what the report says,
# and check again.** The advice is Python that expects ``model``, ``inputs``, ``targets``, ``torch``
# and ``initguide``; ``report.advice`` is all of it in one piece. You would paste it; the function
# below executes the very text.


def follow(report, model, inputs):
    """Execute all advice; return the inputs, perhaps changed, and a new report."""
    names = {
        "model": model,
        "inputs": inputs,
        "torch": torch,
        "initguide": initguide,
    }
    exec(report.advice, names)
    return names["inputs"], initguide.check_init(model, names["inputs"], labels)


inputs, second = follow(report, model, inputs)
second

# %%

new = {f.layer for f in second.findings} - {f.layer for f in first.findings}
initguide.says(
    bool(new),
    "Not seen before: {layers}. On we go, as long as the report advises anything:",
    "No other layer has come to light. On we go, as long as the report advises anything:",
    layers=", ".join(sorted(f"``{name}``" for name in new)),
)

# %%

report, rounds = second, 1
while report.advice and rounds < 5:
    inputs, report = follow(report, model, inputs)
    rounds += 1
report

# %%
# What was wrong, beside the pixels of 0 to 255:
#
# - The filters of ``conv2`` "start as an average", all 16 as the same one. Such units stay copies:
#   the :term:`symmetry` of :doc:`all ones </auto_examples/lesson/plot_2_zeros_and_ones>`.
# - A :term:`bias` of −3 in front of ReLU was meant to let strong features pass only. If none is so
#   strong, all units of ``project`` give 0 for every image, and no gradient passes (:doc:`dead
#   units </auto_examples/theory/plot_8_units>`).
# - "Small random numbers" in the body, whatever the :term:`fan-in`: a layer of 64 units multiplies
#   the size of its input by 0.01 · √64/√2 ≈ 0.06, where :term:`He initialization` has 1, and five
#   in a row by less than a millionth (:doc:`depth </auto_examples/theory/plot_5_depth>`).
# - ``nn.init.normal_`` without a standard deviation takes 1. Behind a stack that lets nothing
#   through, nobody can see it. Once signals arrive, the outputs of ``head`` are too large, and with
#   them the :term:`initial loss`: the network is sure of itself before it has learnt anything.
#
# In a script, ``report.ok`` is one word. On the command line, ``initguide check module:Classifier
# --data batch.pt`` has an exit status, for a batch from ``torch.save((inputs, labels), ...)``.
# And :func:`~initguide.plots.plot_checkup` draws the size of signal and gradient in every layer:

fig, axes = plots.subplots(2, 1, height=9.0)
for ax, checkup in zip(axes, (first, report), strict=True):
    plots.plot_checkup(checkup, ax=ax)
    ax.set_title("As written" if checkup is first else "Repaired", pad=18)

# %%


def loss_of_size(checkup):
    """By how many powers of ten the signal's mean square falls, and the gradient's."""
    hidden = checkup.layers[:-1]
    ends = hidden[0].output_second_moment / hidden[-1].output_second_moment
    back = hidden[-1].output_grad_var / max(hidden[0].output_grad_var, 1e-300)
    return math.log10(ends), math.log10(back)


was, now = loss_of_size(first), loss_of_size(report)
initguide.says(
    min(was) > 4 and max(map(abs, now)) < 2,
    "As written, the mean square of the signal falls by {signal:.1f} powers of ten to the end of "
    "the body, and that of the gradient by {gradient:.1f} on its way back. Repaired, the two are "
    "only {signal_now:.1f} and {gradient_now:.1f}.",
    "As written, the mean square of the signal falls by {signal:.1f} powers of ten to the end of "
    "the body, and that of the gradient by {gradient:.1f} on its way back. Repaired, it is "
    "{signal_now:.1f} and {gradient_now:.1f}, which is not so much better.",
    signal=was[0],
    gradient=was[1],
    signal_now=now[0],
    gradient_now=now[1],
)

# %%
# Which repairs pay?
# ------------------
# We train with one repair after the other, and the other way round, with *one* fault put back:

layers = ("conv2", "project", "body", "head")


def repaired(*names):
    """Make a scheme of the advice for some layers; that for the inputs is done to all."""

    def scheme(module):
        if isinstance(module, models.Classifier):
            for name in names:
                kind = "lecun_normal" if name == "head" else "he_normal"
                initguide.initialize(getattr(module, name), kind, bias="fill")

    return scheme


mean, std = data.train.images.mean(), data.train.images.std()
scaled = data.transformed(lambda x: (x - mean) / std, "mean 0, variance 1")
result = train(
    {
        "inputs alone": repaired(),
        "inputs, conv2": repaired("conv2"),
        "inputs, conv2, project": repaired("conv2", "project"),
        "all but head": repaired("conv2", "project", "body"),
        "all five": repaired(*layers),
        "all but conv2": repaired("project", "body", "head"),
        "all but project": repaired("conv2", "body", "head"),
        "all but body": repaired("conv2", "project", "head"),
    },
    scaled,
)
plots.plot_differences(result, "all five")
bytes_kept = train({"all": repaired(*layers)}).values("all")
print("all but inputs:", bytes_kept)
result

# %%
# Accuracies are on the validation images after two epochs, and intervals over four seeds.

whole = result.values("all five")
gained = initguide.estimate(100 * (whole - as_written.values("as written")))
alone = result.values("inputs alone") - as_written.values("as written")
alone = initguide.estimate(100 * alone)
bytes_cost = initguide.estimate(100 * (whole - bytes_kept))
costs = {x: result.difference("all five", f"all but {x}") for x in layers}
large = [costs[fault].better(0.1) for fault in ("project", "body")]
(
    initguide.says(
        gained.above(0),
        "All repairs together pay: {gained:+.1f} points against the network as written.",
        "All repairs together do harm: {gained:+.1f} points against the network as written.",
        "Whether all repairs together pay, these seeds cannot tell: {gained:+.1f} points against "
        "the network as written.",
        gained=gained,
    )
    + initguide.says(
        alone.below(0),
        "The way there is not uphill: the inputs repaired alone make {alone:+.1f} points, for the "
        "bytes had been large enough to wake the units that the bias kills. Who judges each "
        "repair by the accuracy after it turns back here.",
        "The way there begins uphill: the inputs repaired alone make {alone:+.1f} points.",
        "What the inputs repaired alone are worth, these seeds cannot tell: {alone:+.1f} points.",
        alone=alone,
    )
    + initguide.says(
        initguide.all_of(*large),
        "Dead units and a stack that lets nothing through, each put back alone, cost more than "
        "ten points: {project:.1f} and {body:.1f}.",
        "Dead units and a stack that lets nothing through, each put back alone, do not both cost "
        "more than ten points: {project:.1f} and {body:.1f}.",
        "Whether dead units and a stack that lets nothing through, each put back alone, cost more "
        "than ten points, these seeds cannot tell: {project:.1f} and {body:.1f}.",
        project=costs["project"],
        body=costs["body"],
    )
    + initguide.says(
        costs["conv2"].better(),
        "Equal filters cost {cost:.1f}.",
        "Equal filters do not cost anything here: {cost:.1f}.",
        "Whether equal filters cost anything is open: {cost:.1f}.",
        cost=costs["conv2"],
    )
    + initguide.says(
        costs["head"].better(),
        "A loud head costs {cost:.1f}.",
        "A loud head does not cost anything here: {cost:.1f}.",
        "Whether a loud head costs anything is open: {cost:.1f}.",
        cost=costs["head"],
    )
    + initguide.says(
        bytes_cost.above(0),
        "Bytes cost {cost:.1f} once all else is right.",
        "Bytes do not cost anything once all else is right: {cost:.1f}.",
        "Whether bytes cost anything once all else is right is open: {cost:.1f}.",
        cost=bytes_cost,
    )
)

# %%
# A report cannot foretell these costs: it looks at weights, one batch and one gradient. Does it see
# a learning rate that is too large, or labels of other images?

shuffled = labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
blind = initguide.check_init(model, inputs, shuffled).ok
print("with labels shuffled, ok:", blind)
how = {"seeds": 2, "learning_rate": 0.1}
fast = train({"all": repaired(*layers)}, scaled, **how).values("all")
print("accuracies with a learning rate of 0.1:", fast)

# %%

spoiled = np.nan_to_num(fast, nan=0.1).max() < whole.min() - 0.1
initguide.says(
    report.ok and blind and spoiled,
    "It sees neither: the report is clean, and the network with that rate does much worse, "
    "{fast:.0f} % at best.",
    "Here it sees one of the two, or the rate does no great harm: {fast:.0f} % at best.",
    fast=100 * np.nan_to_num(fast, nan=0.1).max(),
)

# %%
# Nor does it know whether the loss is the one you meant. And it judges by the batch that it gets:
# take a real one, prepared as in training.
#
# .. admonition:: Try it
#
#    In the body, ``std=0.01`` was too small. What does the report say of ``std=1``?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          torch.manual_seed(0)
#          model = models.Classifier()
#          repaired(*layers)(model)
#          for layer in model.body:
#              torch.nn.init.normal_(layer.weight, std=1.0)
#          report = initguide.check_init(model, inputs, labels)
#          print(follow(report, model, inputs)[1])
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        report.ok,
        "One batch named the layers and printed code that was tried; {rounds} rounds of it led to "
        "a clean report.",
        "One batch named layers and printed code that was tried, but {rounds} rounds of it did not "
        "lead to a clean report.",
        rounds=rounds,
    ),
    initguide.says(
        bool(hides and new),
        "One fault hides another: what the huge inputs hid is repaired by the same advice, and the "
        "next check found what the first could not: {layers}.",
        "One fault may hide another; here it happened less than it could.",
        layers=", ".join(sorted(f"``{name}``" for name in new)),
    ),
    initguide.says(
        gained.above(0),
        "Together the repairs paid, {gained:+.1f} points.",
        "Together the repairs did not pay: {gained:+.1f} points.",
        "Whether the repairs paid together, four seeds could not tell: {gained:+.1f} points.",
        gained=gained,
        key="check-repairs-pay",
    )
    + initguide.says(
        alone.below(0),
        "The first repair alone made it worse.",
        "The first repair alone made it better, too.",
        "What the first repair alone does is open.",
    ),
)

# %%
# **The rule: check before you train, do what the report says, check again until nothing is left,
# and only then judge by accuracy.** From a clean report on, look for other faults.
#
# How wide a network may be, and what that does to the learning rate:
# :doc:`/auto_examples/practice/plot_2_width_and_learning_rate`.
