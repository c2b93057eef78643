"""
1. Check your own network
=========================

A network of yours does not train as it should. Is its initialization at fault, and where? On this
page somebody's convolutional network has five faults. One call finds them, one after the other, and
says in code what to do. The page runs that code, checks again, and in the end trains the network
with and without each of the mends, to see which of them pay.

.. admonition:: What you will learn

   - how to check any network with one batch, and how to read the report
   - why one fault can hide another, so that you check again after every mend
   - what a clean report promises, and what it does not

.. meta::
   :keywords: debug neural network, network does not train, loss does not decrease, check_init,
      sanity check, diagnose initialization, accuracy stuck
"""

# %%
# Somebody's network
# ------------------
# Ten layers for Fashion-MNIST. The author has read a few things about initialization, and has
# thought about every line of ``reset``. You may want to look for the faults before you read on.

import json
import math

import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide import experiments, plots, theory


class Classifier(nn.Module):
    """Three convolutions, six hidden layers and a head."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.project = nn.Linear(32 * 4 * 4, 64)
        self.body = nn.ModuleList(nn.Linear(64, 64) for _ in range(5))
        self.head = nn.Linear(64, 10)
        self.reset()

    def reset(self):
        for layer in (self.conv1, self.conv3):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.constant_(self.conv2.weight, 1 / 72)  # start as an average
        nn.init.constant_(self.project.bias, -3.0)  # only strong features pass
        for layer in self.body:
            nn.init.normal_(layer.weight, std=0.01)  # small random numbers
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.head.weight)

    def forward(self, images):
        x = F.relu(self.conv1(images))
        x = F.relu(self.conv2(x))
        x = F.relu(self.conv3(x))
        x = F.relu(self.project(x.flatten(start_dim=1)))
        for layer in self.body:
            x = F.relu(layer(x))
        return self.head(x)


# %%
# The images come as they lie in the files: bytes from 0 to 255. Does it train?

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
data = data.transformed(lambda x: 255 * x, "as bytes, 0 to 255")


def train(schemes, images=data, seeds=4, **settings):
    """Two epochs with Adam."""
    return initguide.compare_init_weights(
        schemes, images, model=Classifier, seeds=seeds, **settings
    )


as_written = train({"as written": lambda _: None})
as_written

# %%
# Somewhat: far better than guessing, which gives 10 %. That is the awkward kind of broken. Nothing
# tells whether the task is hard, two epochs are few, or the network is wrong.
#
# The first check
# ---------------
# :func:`initguide.check_init` takes the network as it is before training, a batch as the network
# will see it, and the labels. It sends the batch forward and back once, and leaves the network as
# it was. A notebook and this site show its report as a table, ``print`` shows it as text.

torch.manual_seed(0)
model = Classifier()
inputs, labels = data.train.images[:200], data.train.labels[:200]
first = report = initguide.check_init(model, inputs, labels)
report

# %%
# Read a row from left to right: what was found, how bad it is, in which layer, what was measured
# beside what would be healthy, and what to do. *Errors* come first (it will not train so), then
# *warnings* (it will train worse) and *notes*, and within these the layers in their order.
#
# With several faults, a report cannot tell all of them apart, for what a layer does depends on what
# reaches it. So we follow one rule: **do what the first finding says, and check again.** The advice
# is Python that expects ``model``, ``inputs``, ``torch`` and ``initguide``. You would paste it.
# This page executes the very text of the report, so that you see that it is code:

mends = []


def follow(finding, model, inputs):
    """Execute the advice of a finding; return the inputs, which it may have changed."""
    print(
        f"{finding.code} ({finding.severity}) in {finding.layer}:\n{finding.advice}"
    )
    names = {"model": model, "inputs": inputs}
    names |= {"torch": torch, "initguide": initguide}
    exec(finding.advice, names)
    mends.append(finding)
    return names["inputs"]


# %%
# Step 1: the inputs
# ------------------
# The first finding is about what comes before any layer. Pixels of 0 to 255 multiply everything
# behind them by a hundred. The advice gives the batch mean 0 and variance 1.

inputs = follow(report.findings[0], model, inputs)
report = initguide.check_init(model, inputs, labels)
report

# %%
# Step 2: units that are all the same
# -----------------------------------
# Now there are *errors*, where there had only been warnings. Nothing got worse: the huge inputs had
# carried the signal over the other faults. One fault hid another.
#
# The first error is about ``conv2``. Its filters "start as an average", all 16 as the same one. It
# is the :term:`symmetry` of :doc:`all ones </auto_examples/lesson/plot_2_zeros_and_ones>`: units
# with equal weights that also get equal gradients stay copies for ever.

inputs = follow(report.findings[0], model, inputs)
report = initguide.check_init(model, inputs, labels)
report

# %%
# Step 3: dead units
# ------------------
# A :term:`bias` of −3 in front of ReLU was meant to let strong features pass only. With inputs of
# size 1 none is so strong: all units of ``project`` give 0 for every image of the batch, and no
# gradient passes (see :doc:`dead units </auto_examples/theory/plot_8_units>`).

inputs = follow(report.findings[0], model, inputs)
report = initguide.check_init(model, inputs, labels)
report

# %%
# Step 4: the stack
# -----------------
# "Small random numbers" with a standard deviation of 0.01, whatever the :term:`fan-in`. The
# evidence gives the factor by which such a layer multiplies the size of its input, beside the √2 of
# :term:`He initialization`. Five of them in a row leave hardly anything, which is :doc:`the page on
# depth </auto_examples/theory/plot_5_depth>` in one line. The advice is one line for each layer,
# and so narrower than that of the warning below it, which would initialize the whole network anew.

inputs = follow(report.findings[0], model, inputs)
report = initguide.check_init(model, inputs, labels)
report

# %%
# Step 5: the head
# ----------------
# ``nn.init.normal_`` without a standard deviation takes 1. In front of a stack that let nothing
# through, nobody could see it. Now the outputs are far larger than they should be, and with them
# the :term:`initial loss` is far above ln 10 = 2.30: the network is sure of itself before it has
# learnt anything. The first finding is about the outputs, and mending the head clears both.

inputs = follow(report.findings[0], model, inputs)
report = initguide.check_init(model, inputs, labels)
report

# %%
# Nothing is left. For a script or a test, ``.ok`` is one word, and ``.to_json()`` has everything:

print("ok:", first.ok, "→", report.ok)
print([f"{mend.code}: {mend.layer}" for mend in mends])
print(list(json.loads(report.to_json())))

# %%
# The same check on the command line, with an exit status for continuous integration: ``initguide
# check my_module:Classifier --data batch.pt``, where ``torch.save((inputs, labels), "batch.pt")``
# has written the batch. ``--json`` prints the JSON, ``--plot`` saves the figure that comes next.
#
# Before and after
# ----------------
# :func:`~initguide.plots.plot_checkup` draws the size of signal and gradient in every layer, and
# marks where something was found:

fig, axes = plots.subplots(2, 1, height=9.0)
for ax, checkup, title in zip(
    axes, (first, report), ("As written", "Mended"), strict=True
):
    plots.plot_checkup(checkup, ax=ax)
    ax.set_title(title, pad=18)

# %%
# As written, the signal falls by orders of magnitude from bytes to the end of the body, and jumps
# up in the head; the gradient falls the same way on its way back. Mended, the signal keeps its
# size, and the gradient loses little. (Gradients are small from the start because the loss is a
# mean over 200 images.)
#
# Was that luck of one seed? For five networks, before and after, and beside them what theory says
# of a network with these weights' statistics (:func:`~initguide.theory.predict_variances`):


def mended_but(skipped=None, last=5):
    """Make a scheme of the first mends of the network, except one; the first is data."""

    def scheme(module):
        if isinstance(module, Classifier):
            for number, mend in enumerate(mends[1:last], start=2):
                if number != skipped:
                    exec(mend.advice, {"model": module, "initguide": initguide})

    return scheme


measured, predicted = {}, {}
for label, scheme, batch in (
    ("as written", lambda _: None, data.train.images[:200]),
    ("mended", mended_but(), inputs),
):
    nets = []
    for seed in range(5):
        torch.manual_seed(seed)
        nets.append(initguide.initialize(Classifier(), scheme, seed=seed))
    measured[label] = [initguide.measure(net, batch) for net in nets]
    every = [theory.predict_variances(net, batch) for net in nets]
    predicted[label] = [
        sum(map(float, of_layer)) / len(nets)
        for of_layer in zip(*every, strict=True)
    ]
plots.plot_layers(
    measured,
    predicted=predicted,
    title="Mean square of the pre-activations, five networks",
)

# %%
# Bands: all five networks. Hollow markers: predicted, from the weights and the inputs. Of ``conv2``
# as written theory says nothing, for equal weights are not random, and starts anew behind it. The
# five mended networks differ among each other, as :doc:`narrow networks do
# </auto_examples/theory/plot_9_finite_width>`, and none of them loses the signal.
#
# Which mends pay?
# ----------------
# We train twice over. First along the way, with one mend after the other. Then the other way round:
# the mended network with *one* fault put back. Every line has the same four seeds.

mean, std = data.train.images.mean(), data.train.images.std()
scaled = data.transformed(lambda x: (x - mean) / std, "mean 0, variance 1")
names = ["inputs", *(mend.layer for mend in mends[1:])]
along = {f"{n} mended": mended_but(last=n) for n in (1, 2, 3, 4)}
back = {f"fault in {names[n - 1]} put back": mended_but(n) for n in (2, 3, 4)}
result = train({**along, "all mended": mended_but(), **back}, scaled)
bytes_ = train({"inputs put back as bytes": mended_but()})

rows = {"as written": as_written.values("as written")}
rows |= {label: result.values(label) for label in (*along, "all mended")}
rows |= {label: bytes_.values(label) for label in bytes_.labels}
rows |= {label: result.values(label) for label in back}
rows[f"fault in {names[4]} put back"] = rows["4 mended"]  # the same network
gaps = {
    label: experiments.mean_interval(values - rows["all mended"])
    for label, values in rows.items()
}
gaps["all mended"] = (math.nan, (math.nan, math.nan))  # not behind itself
initguide.Table(
    {
        "network": list(rows),
        "accuracy": [values.mean() for values in rows.values()],
        "lowest": [values.min() for values in rows.values()],
        "highest": [values.max() for values in rows.values()],
        "behind": [-100 * gap for gap, _ in gaps.values()],
        "from": [-100 * high for _, (_, high) in gaps.values()],
        "to": [-100 * low for _, (low, _) in gaps.values()],
    },
    caption="Validation accuracy after two epochs, 4 seeds",
    note="Behind: points of accuracy less than with all mended, paired by seed, with the 95 % "
    "interval. Where the interval holds 0, these seeds cannot tell.",
    formats={
        **dict.fromkeys(("accuracy", "lowest", "highest"), ".1%"),
        **dict.fromkeys(("behind", "from", "to"), ".1f"),
    },
    marked=[list(rows).index("all mended")],
)

# %%
fig, ax = plots.subplots(height=4.2)
path = ["as written", *along, "all mended"]
for seed in range(4):
    values = [rows[label][seed] for label in path]
    ax.plot(range(6), values, color=plots.PALETTE[0], alpha=0.35, linewidth=1)
ax.plot(range(6), [rows[label].mean() for label in path], "o-", label="mean")
ax.axhline(0.1, color="0.4", linestyle="--", label="guessing")
ax.set_xticks(
    range(6), ["as written", *(f"{i + 1}. {n}" for i, n in enumerate(names))]
)
ax.set(title="After each mend (thin: one seed)", ylim=(0, 1))
ax.set(xlabel="what was mended last", ylabel="validation accuracy")
ax.legend()
plots.describe(
    ax,
    "Validation accuracy after each of the five mends, mean of 4 seeds: "
    + ", ".join(f"{label} {rows[label].mean():.0%}" for label in path)
    + ". It falls to guessing with the first and rises at the end.",
)

# %%
# Three things to see. All mends together pay. The way there is not uphill: with the inputs mended
# alone, the network does not learn at all, for bytes had been large enough to wake the units that a
# bias of −3 kills. If each mend is judged by the accuracy just behind it, the right first step is
# taken back.
#
# And not every fault costs the same, as the lower half of the table shows. Dead units and a stack
# that lets nothing through cost most of what can be learnt. Equal filters and a loud head cost
# less, and whether anything at all after two epochs is for the intervals to say. A report cannot
# tell that: it says what is wrong with the start, not how much of it training makes up for.
#
# What a clean report does not tell
# ---------------------------------
# ``check_init`` looks at weights, one batch, and one gradient. So it sees neither a learning rate
# that is too large nor labels that belong to other images:

shuffled = labels[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
print("with labels shuffled, ok:", initguide.check_init(model, inputs, shuffled).ok)
fast = train({"all mended": mended_but()}, scaled, seeds=2, learning_rate=0.1)
print("accuracies with a learning rate of 0.1:", fast.values("all mended"))

# %%
# Nor does it know whether the network is large enough, whether the loss is the one you meant, and
# what will happen after the first step. It judges by the batch that you give it: take a real one,
# not random numbers, and prepared as in training. And it can only report what shows: a fault behind
# a layer that lets nothing through shows when that layer is mended.
#
# .. admonition:: Try it
#
#    In the body, ``std=0.01`` was too small. What does the report say of ``std=1``, and does its
#    first advice mend it?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          torch.manual_seed(0)
#          model = Classifier()
#          mended_but()(model)
#          for layer in model.body:
#              nn.init.normal_(layer.weight, std=1.0)
#          report = initguide.check_init(model, inputs, labels)
#          print(report)
#          follow(report.findings[0], model, inputs)
#          print(initguide.check_init(model, inputs, labels))
#
# What we learnt
# --------------
# - One batch names the layer and prints the code: five findings, five pieces of advice, a clean
#   report.
# - One fault hides another: huge inputs hid dead units, and a stack that let nothing through hid a
#   loud head.
# - Together the mends paid. The first one alone made it worse, and the faults cost very different
#   amounts: most for dead units and for a stack that lets nothing through.
# - **The rule: check before you train, do what the first finding says, check again until nothing is
#   left, and only then judge by accuracy.** Where the report is clean, the search for other faults
#   begins.
#
# How wide a network may be, and what that does to the learning rate:
# :doc:`width and learning rate </auto_examples/practice/plot_2_width_and_learning_rate>`.
