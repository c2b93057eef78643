"""
1. Check your own network
=========================

A network of yours does not train as it should. Is its initialization at fault, and where? On this
page somebody's convolutional network has five faults. A check finds them, one behind the other,
and says in code what to do, after it has tried that on a copy. The page runs the code, checks
again, and in the end trains the network with and without each of the repairs, to see which of them
pay.

.. admonition:: What you will learn

   - how to check any network with one batch, and how to read the report
   - why one fault can hide another, so that you check again after every repair
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


train({"as written": lambda _: None})

# %%
# It learns something, for guessing gives 10 %. Is the task hard, or the network wrong?
#
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
# The first finding is about what comes before any layer: pixels of 0 to 255 multiply everything
# behind them by a hundred. What was tried there, and what came of it:

for attempt in report.findings[0].tried:
    print(f"{attempt.code}\n  -> {attempt.outcome}\n")

# %%
# Scaling the inputs alone would bring *errors*, where there are only warnings. Nothing gets worse:
# the huge inputs carry the signal over another fault. **One fault hides another**, so the advice
# mends what it uncovers, too, and each finding's advice starts from what is printed above it.
#
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


inputs, report = follow(report, model, inputs)
report

# %%
# What is left could not be seen before, behind a stack that let nothing through. On we go, to a
# clean report:

rounds = 1
while report.advice and rounds < 5:
    inputs, report = follow(report, model, inputs)
    rounds += 1
report

# %%
# - The filters of ``conv2`` "start as an average", all 16 as the same one. Such units stay copies:
#   the :term:`symmetry` of :doc:`all ones </auto_examples/lesson/plot_2_zeros_and_ones>`.
# - A :term:`bias` of −3 in front of ReLU was meant to let strong features pass only. With inputs of
#   size 1 none is so strong: all units of ``project`` give 0 for every image of the batch, and no
#   gradient passes (:doc:`dead units </auto_examples/theory/plot_8_units>`).
# - "Small random numbers" in the body, whatever the :term:`fan-in`: each layer multiplies the size
#   of its input by a small factor, where :term:`He initialization` has √2, and five in a row leave
#   hardly anything (:doc:`depth </auto_examples/theory/plot_5_depth>`).
# - ``nn.init.normal_`` without a standard deviation takes 1. In front of a stack that let nothing
#   through, nobody could see it. Now the outputs of ``head`` are too large, and with them the
#   :term:`initial loss`: the network is sure of itself before it has learnt anything.
#
# In a script, ``report.ok`` is one word. On the command line, ``initguide check module:Classifier
# --data batch.pt`` has an exit status, for a batch from ``torch.save((inputs, labels), ...)``.
# And :func:`~initguide.plots.plot_checkup` draws the size of signal and gradient in every layer:

fig, axes = plots.subplots(2, 1, height=9.0)
for ax, checkup in zip(axes, (first, report), strict=True):
    plots.plot_checkup(checkup, ax=ax)
    ax.set_title("As written" if checkup is first else "Repaired", pad=18)

# %%
# As written, the signal falls by orders of magnitude to the end of the body, and the gradient on
# its way back. Repaired, the signal keeps its size, and the gradient loses little.
#
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
for fault in ("conv2", "head"):
    print(result.difference(f"all but {fault}", "all five"))
print(
    "all but inputs:",
    train({"all": repaired(*layers)}).values("all"),
)
result

# %%
# All repairs together pay: compare the first table of this page. The way there is not uphill. With
# the inputs repaired alone, the network does not learn at all, for bytes had been large enough to
# wake the units that a bias of −3 kills: who judges each repair by the accuracy behind it turns
# back here. What bytes cost once all else is right is the printed line, beside "all five".
#
# And not every fault costs the same. Dead units and a stack that lets nothing through cost most of
# what can be learnt. Equal filters and a loud head cost less; where 0 is not ruled out, these seeds
# cannot tell whether anything. Nor can a report, which looks at weights, one batch and
# one gradient. It sees neither a learning rate that is too large nor labels of other images:

shuffled = labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
print("with labels shuffled, ok:", initguide.check_init(model, inputs, shuffled).ok)
fast = train(
    {"all": repaired(*layers)},
    scaled,
    seeds=2,
    learning_rate=0.1,
)
print("accuracies with a learning rate of 0.1:", fast.values("all"))

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
# - One batch names the layers and prints code that was tried. One fault hides another: huge inputs
#   hid dead units, whose repair is part of the same advice, and a stack that let nothing through a
#   loud head, which the next check finds.
# - Together the repairs paid. The first one alone made it worse, and the faults cost very different
#   amounts: most for dead units and for a stack that lets nothing through.
# - **The rule: check before you train, do what the report says, check again until nothing is left,
#   and only then judge by accuracy.** From a clean report on, look for other faults.
#
# How wide a network may be, and what that does to the learning rate:
# :doc:`/auto_examples/practice/plot_2_width_and_learning_rate`.
