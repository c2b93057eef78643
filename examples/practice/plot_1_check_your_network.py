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

import numpy as np
import torch

import initguide
from initguide import models, plots

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
data = data.transformed(lambda x: 255 * x, "as bytes, 0 to 255")


def train(schemes, images=data, seeds=4, **settings):
    settings |= {"model": models.Classifier, "seeds": seeds}
    return initguide.compare_init_weights(schemes, images, **settings)


as_written = train({"as written": lambda _: None}).values("as written")
before = initguide.estimate(100 * as_written)
initguide.says(
    before.above(10),
    "It learns something: {before:.0f} % of the validation images are right, and guessing gives "
    "{guess} %. Is the task hard, or the network wrong?",
    "It learns nothing: {before:.0f} % are right, and guessing gives {guess} %, too.",
    "Whether it learns anything these seeds cannot tell: {before:.0f} % are right, and guessing "
    "gives {guess} %.",
    before=before,
    guess=10,
)

# %%
# The first check
# ---------------
# :func:`initguide.check_init` takes the network as it is before training, a batch as the network
# will see it, and the labels. It sends the batch forward and back once, and changes nothing.

torch.manual_seed(0)
model = models.Classifier()
inputs, targets = data.train.images[:200], data.train.labels[:200]
first = initguide.check_init(model, inputs, targets)
first

# %%
# A row says what was found, how bad it is, in which layer, what was measured beside what would be
# healthy, and what to do. *Errors* (it will not train so) stand before *warnings* (it will train
# worse) and *notes*, and within these the layers in their order.
#
# **No advice is printed that was not tried.** On a copy of the network it was executed as it stands
# there, the copy was checked again, and then trained for a few steps with the advice and without.
# What was tried for the first finding, and what came of it:

tried = first.findings[0].tried
for attempt in tried:
    print(f"{attempt.code}\n  -> {attempt.outcome}\n")

# %%

hides = not tried[0].kept and "brings to light" in tried[0].outcome
initguide.says(
    hides,
    "Scaling the inputs alone makes another fault worse, or brings it to light: the huge pixels "
    "carry the signal over it. So the advice repairs what it uncovers, too, and the advice of "
    "each finding starts from what is printed above it.",
    "The first advice stands alone: it brought no other fault to light.",
)

# %%
# Not all that is hidden comes to light in one go. So we follow one rule: **do what the report says,
# and check again.** The advice is Python that expects ``model``, ``inputs``, ``targets``, ``torch``
# and ``initguide``; ``report.advice`` is all of it in one piece. You would paste it; the loop below
# executes the very text. The second report:

reports = [first]
while reports[-1].advice and len(reports) < 5:
    exec(reports[-1].advice)
    reports.append(initguide.check_init(model, inputs, targets))
second, report = reports[1], reports[-1]
second

# %%

new = {f.layer for f in second.findings} - {f.layer for f in first.findings}
initguide.says(
    bool(new),
    "Not seen before: {layers}.",
    "No other layer has come to light.",
    layers=", ".join(sorted(f"``{name}``" for name in new)),
) + initguide.says(
    report.ok,
    "After {rounds} rounds the report is clean.",
    "After {rounds} rounds the report is still not clean.",
    rounds=len(reports) - 1,
)

# %%
# What was wrong, beside the pixels of 0 to 255:
#
# - The filters of ``conv2`` "start as an average", all 16 as the same one. Such units stay copies:
#   the :term:`symmetry` of :doc:`all ones </auto_examples/lesson/plot_2_zeros_and_ones>`.
# - A :term:`bias` of −3 in front of ReLU was meant to let strong features pass only. If none is so
#   strong, all units of ``project`` give 0 for every image, and no gradient passes (:doc:`dead
#   units </auto_examples/theory/plot_8_units>`).
# - "Small random numbers" in the body, whatever the :term:`fan-in`: a layer of 64 units multiplies
#   the size of its input by 0.01 · √64 = 0.08, where :term:`He initialization` has √2 (ReLU then
#   takes 1/√2). Five in a row leave a millionth: see :doc:`/auto_examples/theory/plot_5_depth`.
# - ``nn.init.normal_`` without a standard deviation takes 1. Behind a stack that lets nothing
#   through, nobody can see it. Once signals arrive, the outputs of ``head`` are too large, and with
#   them the :term:`initial loss`: the network is sure of itself before it has learnt anything.
#
# In a script, ``report.ok`` is one word; ``initguide check`` does the same on the command line. And
# :func:`~initguide.plots.plot_checkup` draws the size of signal and gradient in every layer:

fig, axes = plots.subplots(2, 1, height=9.0)
for ax, checkup in zip(axes, (first, report), strict=True):
    plots.plot_checkup(checkup, ax=ax)
    ax.set_title("As written" if checkup is first else "Repaired", pad=18)

# %%

was, now = (
    (c.layers[0].output_second_moment / c.layers[-2].output_second_moment) ** 0.5
    for c in (first, report)
)
initguide.says(
    was > 100 and 0.1 < now < 10,
    "As written, the signal loses {was:.1f} powers of ten from the first layer to the end of the "
    "body. Repaired, it loses {now:.1f}.",
    "As written, the signal loses {was:.1f} powers of ten from the first layer to the end of the "
    "body. Repaired, it loses {now:.1f}, which is not so much better.",
    was=np.log10(was),
    now=np.log10(now),
)

# %%
# Which repairs pay?
# ------------------
# We train with all repairs, with that of the inputs alone, and with *one* fault put back:


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
layers = ("conv2", "project", "body", "head")
every = repaired(*layers)
schemes = {"all five": every, "inputs alone": repaired()}
for fault in layers:
    schemes[f"all but {fault}"] = repaired(*(x for x in layers if x != fault))
result = train(schemes, scaled)
bytes_kept = train({"all": every}).values("all")
plots.plot_differences(result, "all five")
result

# %%

whole = result.values("all five")
gained = initguide.estimate(100 * (whole - as_written))
alone = initguide.estimate(100 * (result.values("inputs alone") - as_written))
bytes_cost = initguide.estimate(100 * (whole - bytes_kept))
costs = {x: result.difference("all five", f"all but {x}") for x in layers}
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
        initguide.all_of(costs["project"].better(0.1), costs["body"].better(0.1)),
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

blind = initguide.check_init(model, inputs, targets.roll(1)).ok
fast = train({"all": every}, scaled, seeds=2, learning_rate=0.1).values("all")
fast = np.nan_to_num(fast, nan=0.1).max()
initguide.says(
    report.ok and blind and fast < whole.min() - 0.1,
    "It sees neither: the report is clean, and with a rate of ``0.1`` the network does much worse, "
    "{fast:.0%} at best.",
    "Here it sees one of the two, or a rate of ``0.1`` does no great harm: {fast:.0%} at best.",
    fast=fast,
)

# %%
# Nor does it know whether the loss is the one you meant. Give it a batch as it is in training.
#
# .. admonition:: Try it
#
#    The head's repair was a standard deviation of 1/√n. Write it as a scheme for any network, and
#    let it be checked on one that it does not know: a wrong answer is told what was misunderstood.
#
#    .. code-block:: python
#
#       from initguide import exercises
#
#       def my_scheme(m):
#           ...  # yours
#
#       exercises.check("any_network", my_scheme)
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          from initguide import exercises
#
#          def my_scheme(m):
#              if isinstance(m, torch.nn.Linear):
#                  torch.nn.init.normal_(m.weight, std=m.in_features**-0.5)
#                  if m.bias is not None:
#                      torch.nn.init.zeros_(m.bias)
#
#          exercises.check("any_network", my_scheme)
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
        rounds=len(reports) - 1,
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
