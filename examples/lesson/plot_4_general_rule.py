"""
4. The general rule
===================

Weights should be centred at zero. How large should they be? The general rule ties their
size to the number of inputs of the layer: draw them from U[-1/√n, 1/√n), where n is the fan-in.
This page compares the rule with fixed intervals, and looks inside the network to see what the rule
keeps under control and what it does not.

.. admonition:: What you will learn

   - what :term:`fan-in` is, and how the rule uses it
   - which mean square a layer's sums should have, predicted and measured
   - what the rule controls, and what it leaves to chance

.. meta::
   :keywords: general rule, fan-in, 1/sqrt(n), variance of the weights, signal propagation
"""

# %%
# What n is
# ---------
# A unit of a layer adds up its inputs, each multiplied by a weight. The number of inputs that one
# unit adds up is the layer's *fan-in*; it is the n of the rule. In our network:

import math

import torch

import initguide
from initguide import initializers as init
from initguide import plots

net = initguide.Net()
for name, layer in {"fc1": net.fc1, "fc2": net.fc2, "fc3": net.fc3}.items():
    n = layer.in_features
    print(f"{name}: n = {n}, so weights from U[-{n**-0.5:.4f}, {n**-0.5:.4f})")

# %%
# The drawing shows ``fc1`` twice. On the left, the weights into one unit are marked: their number
# is the fan-in. On the right, those out of one input: theirs is the :term:`fan-out`. The rule uses
# the first; the second counts for gradients (:doc:`/auto_examples/theory/plot_3_backward`).

plots.draw_fans(*init.fans(net.fc1))

# %%
# The package has the rule as :func:`init.general_rule() <initguide.initializers.general_rule>`,
# for convolutions and embeddings, too.
#
# .. admonition:: Try it
#
#    Write the scheme yourself: draw the weights of the linear layers from U[-1/√n, 1/√n), and set
#    the biases to 0. Let it be checked: a wrong answer is told what was misunderstood.
#
#    .. code-block:: python
#
#       from initguide import exercises
#
#       def my_scheme(m):
#           ...  # yours
#
#       exercises.check("general_rule", my_scheme)
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          from initguide import exercises
#
#          def my_scheme(m):
#              if isinstance(m, torch.nn.Linear):
#                  bound = 1 / math.sqrt(m.in_features)
#                  m.weight.data.uniform_(-bound, bound)
#                  m.bias.data.fill_(0)
#
#          print(exercises.check("general_rule", my_scheme))
#
# Training
# --------
# We compare the rule with the baseline of the last page, and with two plain intervals, centred but
# the same for every layer: [-0.5, 0.5), and one that is about as narrow as the rule's three.

data = initguide.fashion_mnist()
result = initguide.compare_init_weights(
    {
        "Uniform [0, 1)": init.uniform(0.0, 1.0),
        "Uniform [-0.5, 0.5)": init.uniform(-0.5, 0.5),
        "Uniform [-0.05, 0.05)": init.uniform(-0.05, 0.05),
        "General rule": init.general_rule(),
    },
    data,
    seeds=5,
)
centring = result.difference("Uniform [-0.5, 0.5)", "Uniform [0, 1)")
narrower = result.difference("General rule", "Uniform [-0.5, 0.5)")
scaling = result.difference("General rule", "Uniform [-0.05, 0.05)")
level = scaling.within(-0.005, 0.005)  # half a point
first = {
    k: initguide.estimate(result.values(k, "first_loss")) for k in result.labels
}

# %%

initguide.asks(
    "A guess has a loss of ``ln 10``, {guess:.2f}. With weights from "
    "``U[-0.5, 0.5)`` in every layer, what is the loss of the first mini-batch?",
    [
        "Far more: the sums are large, so it is sure of a class that chance has chosen.",
        "Somewhat more, up to twice as much.",
        "About that of a guess: its weights are centred, so it prefers no class.",
    ],
    [
        first["Uniform [-0.5, 0.5)"].above(2 * math.log(10)),
        first["Uniform [-0.5, 0.5)"].within(1.1 * math.log(10), 2 * math.log(10)),
        first["Uniform [-0.5, 0.5)"].below(1.1 * math.log(10)),
    ],
    initguide.says(
        first["Uniform [-0.5, 0.5)"].above(2 * math.log(10)),
        "It is {loss:.0f} on average over the seeds: centred is not enough.",
        "It is {loss:.2f} on average over the seeds.",
        "It is about {loss:.1f}.",
        loss=first["Uniform [-0.5, 0.5)"].mean,
    ),
    guess=math.log(10),
)

# %%

result

# %%

plots.plot_losses(result, first=100)

# %%
# What is gained by centring the interval, what by making it small, and what by scaling it to the
# layer? And where do they begin? (The axis is logarithmic.)

wide = ["Uniform [0, 1)", "Uniform [-0.5, 0.5)"]
(
    initguide.says(
        centring.better(),
        "Centring the interval raises the validation accuracy by {by:+.1f} points.",
        "Centring the interval does not raise the validation accuracy here.",
        "Whether centring the interval raises the validation accuracy, five seeds cannot tell.",
        by=centring,
    )
    + initguide.says(
        narrower.better(),
        "From there to the general rule it rises by another {by:+.1f}.",
        "From there to the general rule it does not rise further.",
        "Whether it rises further from there to the general rule, five seeds cannot tell.",
        by=narrower,
    )
    + initguide.says(
        level,
        "Between the narrow interval and the rule there is hardly a difference, {by:+.1f}: here it "
        "is the size that pays, and not that each layer has its own.",
        "Between the narrow interval and the rule there is a difference, {by:+.1f}.",
        "Whether the rule gains more than half a point against the narrow interval, or loses it, "
        "five seeds cannot tell: {by:+.1f}.",
        by=scaling,
    )
    + initguide.says(
        first["General rule"].within(math.log(10) - 0.1, math.log(10) + 0.1),
        "The general rule begins near the ``ln 10`` of a guess, as a network should that knows "
        "nothing.",
        "The general rule does not begin near the ``ln 10`` of a guess.",
        "The general rule begins at a loss of {rule:.2f} on average.",
        rule=first["General rule"].mean,
    )
    + initguide.says(
        all(first[label].above(2 * math.log(10)) for label in wide),
        "The two wide ones begin at more than twice that: wrong *and sure of it*.",
        "Not both of the wide ones begin at more than twice that.",
        key="first-loss-warns",
    )
)

# %%
# The intervals are over the five seeds, on the same validation images. How much more seeds would
# tell, :doc:`/auto_examples/practice/plot_8_how_many_seeds` shows. And 0.05 was no guess: it lies
# between the bounds that the rule gives here, and in a network of other widths it need not.
#
# Why the fan-in?
# ---------------
# Add up n products of an input and a weight. If the weights are independent with mean 0 and
# variance Var(w), the cross terms cancel on average, and the mean square of the sum z is
#
# .. math:: E[z^2] = n \cdot \mathrm{Var}(w) \cdot E[x^2] .
#
# A uniform distribution on [-a, a) has variance a²/3. That is all we need to predict every layer
# before training; then we measure.

images = data.train.images[:5000]
schemes = {
    "Uniform [-0.5, 0.5)": (init.uniform(-0.5, 0.5), lambda _: 1 / 12),
    "General rule": (init.general_rule(), lambda n: 1 / (3 * n)),
}
layers = {"fc1": 784, "fc2": 256, "fc3": 128}  # and their fan-in
measured, predicted = {}, {}
for name, (scheme, variance) in schemes.items():
    predicted[name], mean_square = [], images.square().mean().item()
    for n in layers.values():
        predicted[name].append(n * variance(n) * mean_square)
        mean_square = predicted[name][-1] / 2  # what ReLU lets through
    measured[name] = []
    for seed in range(10):
        net = initguide.initialize(initguide.Net(), scheme, seed=seed).eval()
        found = initguide.measure(net, images)
        measured[name].append([found[fc].output_second_moment for fc in layers])
fixed, rule = (torch.tensor(sums) for sums in measured.values())
grows = initguide.estimate((fixed[:, 2] / fixed[:, 0]).log() / 2)
shrinks = initguide.estimate((rule[:, 0] / rule[:, 2]).log() / 2)
factor = (rule[:, 0].mean() / rule[:, 2].mean()) ** 0.5  # of the means over draws

# %%

initguide.asks(
    "The general rule scales each layer to its fan-in. What happens to the mean square of the sums "
    "from one layer to the next?",
    [
        "It stays about the same: that is what the rule is for.",
        "It falls to less than a half, though each layer has its own interval.",
        "It grows: each layer adds up many products.",
    ],
    [
        shrinks.within(-math.log(1.5), math.log(1.5)),
        shrinks.above(math.log(2)),
        shrinks.below(-math.log(1.5)),
    ],
    initguide.says(
        shrinks.above(math.log(2)),
        "It falls to one part in {factor:.1f}. By theory, the weights leave a third and ReLU half "
        "of that, which is a sixth.",
        "It is divided by {factor:.2f}.",
        "It is divided by {factor:.1f}, give or take.",
        factor=factor,
    ),
)

# %%
# The interval [-0.5, 0.5) multiplies the mean square by n/12 at each layer, which is 65 for the
# first one; the general rule multiplies it by 1/3, whatever n is. In between, ReLU sets the
# negative half of the sums to 0, which halves the mean square. The dashed lines are predicted so,
# and the dots are measured, one for each of ten draws of the weights:

plots.plot_prediction(
    measured,
    predicted,
    at=list(layers),
    schemes={name: str(scheme) for name, (scheme, _) in schemes.items()},
    title="Mean square of the sums, before training",
    ylabel="mean square of the pre-activations",
)

# %%
# The formula holds for the average over draws. How far is a single draw from it? On this axis
# nobody could tell, so divide what was measured by what was predicted:

ratios = rule / torch.tensor(predicted["General rule"])
plots.plot_prediction(
    {"General rule": ratios},
    [1.0] * len(layers),
    at=list(layers),
    title="The same draws, as parts of the prediction",
    ylabel="measured / predicted",
)

# %%
# (The other scheme's dots would lie on top of these: they are the same draws, differently scaled.)

means = [initguide.estimate(column) for column in ratios.T]
held = all(mean.above(1) is None for mean in means)
farthest = (ratios - 1).abs().amax(dim=0)
(
    initguide.says(
        held,
        "Each layer's prediction lies in the interval for the mean of its draws.",
        "One or more of the predictions lie outside the interval for the mean of their draws, as "
        "happens now and then by chance.",
    )
    + initguide.says(
        farthest[2] > 2 * farthest[0],
        "A single draw may be off by more, and most in the last layer, where only ten sums are "
        "averaged and the luck of the layers before is handed on: by up to {last:≤.0f} %, against "
        "{first:≤.0f} % in the first.",
        "A single draw is off by up to {last:.0f} % in the last layer, and {first:.0f} % in the "
        "first.",
        last=100 * farthest[2],
        first=100 * farthest[0],
    )
    + initguide.says(
        grows.above(0),
        "With ``[-0.5, 0.5)``, the mean square grows from layer to layer, to {size:,.0f}.",
        "With ``[-0.5, 0.5)``, the mean square does not grow from layer to layer.",
        "With ``[-0.5, 0.5)``, the mean square may or may not grow from layer to layer.",
        size=fixed[:, 2].mean(),
    )
    + initguide.says(
        shrinks.above(0),
        "With the general rule it **shrinks**, by a factor of {factor:.1f} per layer.",
        "With the general rule it does not shrink from layer to layer.",
        "With the general rule it may or may not shrink from layer to layer.",
        factor=factor,
    )
)

# %%
# Predicted is a factor of six: 1/3 from the weights, 1/2 from ReLU. From the first layer to the
# third that makes 36. Over thirty steps it would be 6³⁰, a number with 24 digits, and that is what
# He's scheme is for, which chooses the variance so that the factor behind ReLU is 1.
#
# What we learnt
# --------------

relative = max(abs(mean.mean - 1) for mean in means)
initguide.bullets(
    initguide.says(
        narrower.better(),
        "With intervals scaled to the fan-in, the number of inputs that a unit adds up, the "
        "network does better than with ``[-0.5, 0.5)`` in each layer: by {by:+.1f} points.",
        "With intervals scaled to the fan-in, the network does no better here than with "
        "``[-0.5, 0.5)`` in each layer.",
        "Whether intervals scaled to the fan-in do better than ``[-0.5, 0.5)`` in each layer, five "
        "seeds cannot tell.",
        by=narrower,
        key="rule-over-fixed",
    )
    + initguide.says(
        level,
        "One narrow interval for all layers does as well here; the rule says how narrow.",
        "One narrow interval for all layers does not do the same here.",
        "Whether one narrow interval for all layers does as well, five seeds cannot tell.",
    ),
    initguide.says(
        held or relative < 0.2,
        "The mean square of a layer's sums is ``n · Var(w) · E[x²]``: "
        "predicted on this page, and the mean of ten draws is off by {off:≤.1f} % at most.",
        "The mean square of a layer's sums should be ``n · Var(w) · E[x²]``; "
        "the mean of ten draws is off by up to {off:.1f} % here.",
        off=100 * relative,
    ),
    initguide.says(
        shrinks.within(math.log(4.5), math.log(8)),
        "Bounds of ``±1/√n`` do not keep it constant over layers: behind ReLU it falls to about a "
        "sixth from one to the next.",
        "Bounds of ``±1/√n`` should let it fall to a sixth from one layer to the next, behind "
        "ReLU; here it fell to one part in {factor:.1f}.",
        "Bounds of ``±1/√n`` do not keep it constant over layers: behind ReLU, here, it falls to "
        "one part in {factor:.1f}, give or take.",
        factor=factor,
    ),
)

# %%
# Next: does the *shape* of the distribution matter, or only its size? :doc:`Normal
# </auto_examples/lesson/plot_5_normal>`.
