"""
4. The general rule
===================

Weights should be centred at zero. How large should they be? The general rule ties their
size to the number of inputs of the layer: draw them from U[-1/√n, 1/√n), where n is the fan-in.
This page compares the rule with a fixed interval, and looks inside the network to see what the rule
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
for name, layer in net.named_children():
    if isinstance(layer, torch.nn.Linear):
        fan_in, fan_out = init.fans(layer)
        bound = fan_in**-0.5
        print(
            f"{name}: fan-in {fan_in}, so weights from U[-{bound:.4f}, {bound:.4f})"
        )

# %%
# As a scheme, written out:


def weights_init_uniform_rule(module):
    if isinstance(module, torch.nn.Linear):
        bound = 1 / math.sqrt(module.in_features)
        module.weight.data.uniform_(-bound, bound)
        module.bias.data.fill_(0)


# %%
# The package's :func:`~initguide.initializers.general_rule` draws the same weights from the same
# seed, and does the same for convolutions and embeddings:

ours = initguide.initialize(initguide.Net(), init.general_rule(), seed=0)
yours = initguide.initialize(initguide.Net(), weights_init_uniform_rule, seed=0)
print("the same weights:", torch.equal(ours.fc1.weight, yours.fc1.weight))

# %%
# Training
# --------
# We compare it with the plain interval [-0.5, 0.5), which is centred but the same for every layer,
# and with the baseline of the last page.

data = initguide.fashion_mnist()
result = initguide.compare_init_weights(
    {
        "Uniform [0, 1)": init.uniform(0.0, 1.0),
        "Uniform [-0.5, 0.5)": init.uniform(-0.5, 0.5),
        "General rule": init.general_rule(),
    },
    data,
    seeds=5,
)
result

# %%

plots.plot_losses(result, first=100)

# %%
# What is gained by centring the interval, and what by scaling it to the layer? And where do the
# three begin? (The axis is logarithmic.)

centring = result.difference("Uniform [-0.5, 0.5)", "Uniform [0, 1)")
scaling = result.difference("General rule", "Uniform [-0.5, 0.5)")
print(centring)
print(scaling)
first = {
    label: initguide.estimate([run.train_losses[0] for run in result.of(label)])
    for label in result.labels
}
for label, loss in first.items():
    print(f"{label:20} first loss {loss:,.3f}")

# %%

rest = [label for label in first if label != "General rule"]
(
    initguide.says(
        centring.better(),
        "Centring the interval raises the validation accuracy by {by:+.1f} points.",
        "Centring the interval does not raise the validation accuracy here.",
        "Whether centring the interval raises the validation accuracy, five seeds cannot tell.",
        by=centring,
    )
    + initguide.says(
        scaling.better(),
        "Scaling it to the layer raises it by another {by:+.1f}.",
        "Scaling it to the layer does not raise it further.",
        "Whether scaling it to the layer raises it further, five seeds cannot tell.",
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
        all(first[label].above(2 * math.log(10)) for label in rest),
        "The others begin at more than twice that: wrong *and sure of it*.",
        "Not both of the others begin at more than twice that.",
        key="first-loss-warns",
    )
)

# %%
# The intervals are over the five seeds, on the same validation images. How much more seeds would
# tell, :doc:`/auto_examples/practice/plot_8_how_many_seeds` shows.
#
# Why the fan-in?
# ---------------
# Add up n products of an input and a weight. If the weights are independent with mean 0 and
# variance Var(w), the cross terms cancel on average, and the mean square of the sum z is
#
# .. math:: E[z^2] = n \cdot \mathrm{Var}(w) \cdot E[x^2] .
#
# A uniform distribution on [-a, a) has variance a²/3. So the interval [-0.5, 0.5) multiplies the
# mean square by n/12 at each layer, which is 65 for the first one; the general rule multiplies it
# by 1/3, whatever n is. In between, ReLU sets the negative half of the sums to 0, which halves the
# mean square. We can predict every layer before training, and then measure:

images = data.train.images[:5000]
schemes = {
    "Uniform [-0.5, 0.5)": (init.uniform(-0.5, 0.5), lambda _: 1 / 12),
    "General rule": (init.general_rule(), lambda n: 1 / (3 * n)),
}
layers = {"fc1": 784, "fc2": 256, "fc3": 128}  # and their fan-in
measured, predicted = {}, {}
for name, (scheme, variance) in schemes.items():
    predicted[name], mean_square = [], images.square().mean().item()
    for fan_in in layers.values():
        predicted[name].append(fan_in * variance(fan_in) * mean_square)
        mean_square = predicted[name][-1] / 2  # what ReLU lets through
    measured[name] = []
    for seed in range(10):
        net = initguide.initialize(initguide.Net(), scheme, seed=seed).eval()
        found = initguide.measure(net, images)
        measured[name].append([found[fc].output_second_moment for fc in layers])

plots.plot_prediction(
    measured,
    predicted,
    at=list(layers),
    schemes={name: str(scheme) for name, (scheme, _) in schemes.items()},
    title="Mean square of the sums, before training",
    ylabel="mean square of the pre-activations",
)

# %%
# The dashed lines are predicted from the formula, the dots are measured, one for each of ten draws
# of the weights. The formula holds for the average over draws. How far is a single draw from it?
# On this axis nobody could tell, so divide what was measured by what was predicted:

ratios = torch.tensor(measured["General rule"]) / torch.tensor(
    predicted["General rule"]
)
plots.plot_prediction(
    {"General rule": ratios},
    [1.0] * len(layers),
    at=list(layers),
    title="The same draws, as parts of the prediction",
    ylabel="measured / predicted",
)

# %%
# (The other scheme's dots would lie on top of these: they are the same draws, differently scaled.)

rows = []
for name, sums in measured.items():
    draws = torch.tensor(sums)
    for i, layer in enumerate(layers):
        found = initguide.estimate(draws[:, i])
        (low, high), sd = found.interval, draws[:, i].std().item()
        rows.append((name, layer, predicted[name][i], found.mean, low, high, sd))
columns = [
    "scheme",
    "layer",
    "predicted",
    "measured",
    "from",
    "to",
    "sd of the draws",
]
initguide.Table(
    dict(zip(columns, zip(*rows, strict=True), strict=True)),
    caption="Mean square of the sums of each layer",
    note="Measured: mean of ten draws of the weights, dropout off, with its 95 % interval.",
)

# %%

held = all(low <= expected <= high for _, _, expected, _, low, high, _ in rows)
farthest = {
    layer: (column - 1).abs().max()
    for layer, column in zip(layers, ratios.T, strict=True)
}
fixed, rule = (torch.tensor(sums) for sums in measured.values())
grows = initguide.estimate((fixed[:, 2] / fixed[:, 0]).log() / 2)
shrinks = initguide.estimate((rule[:, 0] / rule[:, 2]).log() / 2)
factor = math.exp(shrinks.mean)
(
    initguide.says(
        held,
        "Every prediction lies in the interval for the mean of its draws.",
        "Not every prediction lies in the interval for the mean of its draws; of six intervals, "
        "one may well miss.",
    )
    + initguide.says(
        farthest["fc3"] > 2 * farthest["fc1"],
        "A single draw may be off by more, and most in the last layer, where only ten sums are "
        "averaged: by up to {last:.0f} %, against {first:.0f} % in the first.",
        "A single draw is off by up to {last:.0f} % in the last layer, and {first:.0f} % in the "
        "first.",
        last=100 * farthest["fc3"],
        first=100 * farthest["fc1"],
    )
    + initguide.says(
        grows.above(0),
        "With the fixed interval, the mean square grows from layer to layer, to {size:,.0f}.",
        "With the fixed interval, the mean square does not grow from layer to layer.",
        "With the fixed interval, the mean square may or may not grow from layer to layer.",
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
# Xavier's and He's schemes are for; they choose the variance so that the factor is close to 1.
#
# .. admonition:: Try it
#
#    Is 1/√n the best bound? Compare the bounds 0.3/√n, 1/√n, 3/√n and 10/√n over five seeds. Which
#    differences are real?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def rule_times(factor):
#              def weights_init(module):
#                  if isinstance(module, torch.nn.Linear):
#                      bound = factor / math.sqrt(module.in_features)
#                      torch.nn.init.uniform_(module.weight, -bound, bound)
#                      torch.nn.init.zeros_(module.bias)
#
#              return weights_init
#
#
#          factors = initguide.compare_init_weights(
#              {f"{f:g}/√n": rule_times(f) for f in (0.3, 1, 3, 10)}, data, seeds=5
#          )
#          print(factors)
#          for f in ("0.3", "3", "10"):
#              print(factors.difference(f"{f}/√n", "1/√n"))
#
# What we learnt
# --------------

relative = max(abs(mean / expected - 1) for _, _, expected, mean, *_ in rows)
initguide.bullets(
    initguide.says(
        scaling.better(),
        "Scaled to its fan-in, the number of inputs that a unit adds up, a layer's interval does "
        "better than one width for all: by {by:+.1f} points after two epochs.",
        "Scaled to its fan-in, a layer's interval does no better than one width for all here.",
        "Whether an interval scaled to the fan-in does better, five seeds cannot tell.",
        by=scaling,
        key="rule-over-fixed",
    ),
    initguide.says(
        held or relative < 0.2,
        "The mean square of a layer's sums is ``n · Var(w) · E[x²]``: "
        "predicted on this page, and measured to within {off:.0f} % on average over draws.",
        "The mean square of a layer's sums should be ``n · Var(w) · E[x²]``; "
        "the mean of ten draws is off by up to {off:.0f} % here.",
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
