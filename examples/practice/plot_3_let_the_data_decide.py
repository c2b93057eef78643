"""
3. Letting the data decide
==========================

Formulas for initial weights need to know the activation, the layer and the inputs. What if there is
no formula for your network? Then a batch of data can set the scale of each layer. This page
compares what such schemes find with what the formulas say, and measures where they help.

.. index:: ! LSUV, ! data dependent initialization

.. admonition:: What you will learn

   - layer-sequential unit-variance initialization, LSUV, in one forward pass, and what it finds
   - what unit variance cannot repair, what per-unit scales can, and what those break
   - where they help training, and where they do not

.. meta::
   :keywords: LSUV, layer-sequential unit-variance, data-dependent initialization, within-layer
      initialization, weight normalization, custom activation, no formula, MetaInit, GradInit
"""

# %%
# Two schemes
# -----------
# :term:`LSUV` by :cite:t:`mishkin2016` starts from orthogonal weights and then goes through the
# layers in order: run a batch up to the layer, divide its weights by the standard deviation of
# what comes out, go on. A layer is linear in its weights, so a hook that divides the output, too,
# does all layers in one pass, whatever happens between them:
#
# .. code-block:: python
#
#    def rescale(layer, inputs, out):  # a forward hook of each layer
#        spread = out.std()  # with per_unit: out.std(0), and the bias takes out.mean(0) away
#        layer.weight.div_(spread)
#        return out / spread
#
# The *within-layer* scheme of :cite:t:`krahenbuhl2016` does it unit by unit: over the batch, each
# unit gets mean 0 and variance 1 of its own, by its bias and its row of weights.
# :cite:t:`salimans2016` start weight normalization in the same way. Both are
# :func:`initguide.initializers.lsuv`.

import math

import numpy as np
from torch import nn

import initguide
from initguide import initializers as init
from initguide import models, plots, theory

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=1000)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = nn.AvgPool2d(2)  # to 14 × 14 pixels
small = data.transformed(lambda x: shrink((x - mean) / std), "standardized")
batch, unseen = small.train.images[:500], small.valid.images
size = batch.square().mean().sqrt().item()  # of the inputs


def schemes(gain, x=batch):
    """Formula: 1/size in the first layer, the gain in the others; and two that look at x."""

    def formula(module):
        first = getattr(module, "in_features", 0) == 14 * 14
        init.orthogonal(1 / size if first else gain)(module)

    return {
        "formula": formula,
        "LSUV": init.lsuv(x),
        "unit by unit": init.lsuv(x, per_unit=True),
    }


def plain(activation, depth, width=100):
    return initguide.mlp([14 * 14] + [width] * depth + [10], activation)


def scales(net):
    weights = [p.detach() for p in net.parameters() if p.ndim == 2]
    return [w.square().sum(1).mean().sqrt().item() for w in weights]


# %%
# What the data find
# ------------------
# All three start from the same orthogonal matrices, and the formula takes each activation's
# :term:`gain`. We write the scale of a layer as σ_w = √n · std(w), n being the :term:`fan-in`, and
# put what LSUV finds on a batch of 500 images beside the formula, for four activations:

found, predicted = {}, {}
for phi in (nn.ReLU, nn.Tanh, nn.SiLU, nn.Softplus):
    net = plain(phi, 12, 256)
    draws = (initguide.initialize(net, init.lsuv(batch), seed=k) for k in range(4))
    found[phi.__name__] = [scales(drawn) for drawn in draws]
    predicted[phi.__name__] = [1 / size] + [theory.gain(phi())] * 12
plots.plot_prediction(
    found,
    predicted,
    title="Scale of each layer: LSUV (4 seeds) and formula",
    ylabel="σ_w = √fan-in · std of the weights",
)

# %%
# Nobody told LSUV about activations. (The last layer has only ten units, and so a wide band.)

hidden = {  # found / formula, mean over seeds, of each hidden layer but the first
    name: np.mean(found[name], 0)[1:-1] / predicted[name][1:-1] for name in found
}
others = [np.abs(hidden[name] - 1).max() for name in found if name != "SiLU"]
(
    initguide.says(
        max(others) < 0.1,
        "It finds the gains of ReLU, tanh and softplus, in all hidden layers to within "
        "{off:≤.0f} % in the mean of four seeds. Single networks, whose :term:`width` is finite, "
        "stray farther: see the bands.",
        "It does not find the gains of ReLU, tanh and softplus in all hidden layers: it is off by "
        "up to {off:.0f} %.",
        off=100 * max(others),
    )
    + initguide.says(
        hidden["SiLU"][-1] < 0.95,
        "SiLU drifts below its formula, to {last:.2f} times it in the last hidden layer: its "
        ":term:`length map` has a slope above :math:`1` at its fixed point, so with the formula "
        "images that start out long get longer, and LSUV holds that back.",
        "With SiLU it finds {last:.2f} times the formula in the last hidden layer.",
        last=hidden["SiLU"][-1],
    )
)

# %%
# What unit variance cannot repair
# --------------------------------
# Softplus gives positive outputs, so all images get a large part in common, and it grows with each
# layer. How much of a layer's input still *differs* from image to image? The correlation map of
# :doc:`the page on depth </auto_examples/theory/plot_5_depth>` predicts it for the formula:

softplus = theory.gain(nn.Softplus())
shares = {}
for label, scheme in schemes(softplus).items():
    shares[label] = []
    for seed in range(5):
        net = initguide.initialize(plain(nn.Softplus, 20), scheme, seed=seed)
        found = initguide.measure(net, unseen)
        shares[label].append([found[f"fc{i}"].input_spread for i in range(1, 21)])
differences = [shares["formula"][0][0]]
for _ in range(19):
    c = theory.correlation_map(1 - differences[-1], nn.Softplus(), softplus)
    differences.append(1 - c)
plots.plot_prediction(
    shares,
    differences,
    title="Softplus: share of each layer's input that differs between images",
    ylabel="share of the mean square",
)

# %%
# Bands: five seeds.

left = {label: np.mean(rows, 0)[-1] for label, rows in shares.items()}
logs = [np.log10(left[k] / differences[-1]) for k in ("formula", "LSUV")]
(
    initguide.says(
        max(map(abs, logs)) < 1 and left["LSUV"] < 0.01,
        "In the input of the last hidden layer, a share of {formula:.0e} is left with the formula "
        "and {lsuv:.0e} with LSUV, beside the predicted {theory:.0e}: next to nothing tells one "
        "image from another. The mean square that LSUV sets to :math:`1` is then nearly all a "
        "constant, the same for all images.",
        "In the input of the last hidden layer, a share of {formula:.0e} is left with the formula "
        "and {lsuv:.0e} with LSUV, which is not what theory predicts, {theory:.0e}.",
        formula=left["formula"],
        lsuv=left["LSUV"],
        theory=differences[-1],
    )
    + initguide.says(
        left["unit by unit"] > 0.5,
        "Unit by unit, the common part is subtracted in each layer, and the share stays large, "
        "{share:.2f}.",
        "Unit by unit, the common part is subtracted in each layer, and yet the share falls to "
        "{share:.2g}.",
        share=left["unit by unit"],
    )
)

# %%
# Does it train better?
# ---------------------
# Three networks, one epoch of Adam, five seeds. The *gated* one has (A x) · sigmoid(B x) as its
# hidden layers, which have no entry in PyTorch's table of gains, so a hurried person takes He's √2
# (:cite:p:`he2015`).

he = math.sqrt(2)
cases = {
    "ReLU, 15 layers": (lambda: plain(nn.ReLU, 15), he),
    "softplus, 12 layers": (lambda: plain(nn.Softplus, 12), softplus),
    "gated, 8 layers": (lambda: models.of_blocks(models.Gated), he),
}
table = {"network": list(cases), "formula": [], "LSUV": [], "unit by unit": []}
gaps = {}
for case, (model, gain) in cases.items():
    result = initguide.compare_init_weights(
        schemes(gain), small, model=model, epochs=1, batch_size=40, seeds=5
    )
    table["formula"].append(result.values("formula", "valid_loss").mean())
    for name in ("LSUV", "unit by unit"):
        gap = result.difference(name, "formula", "valid_loss")
        gaps[case.partition(",")[0], name] = gap
        table[name].append(f"{gap:+.3f}")
initguide.Table(
    table,
    caption="Validation loss after an epoch, in nats, and what the data change about it",
    note="Formula: mean of 5 seeds. The others: difference from it and its 95 % interval, paired "
    "over seeds; below 0 is better.",
    formats={"formula": ".3f"},
)

# %%
# For *gated*, √2 was a guess. (There is a formula: with A x and B x independent and of variance 1,
# the gain that makes up for the gate is that of the sigmoid.) What did LSUV find?

gated = models.of_blocks(models.Gated)
found = scales(initguide.initialize(gated, init.lsuv(batch), seed=0))[2:-1]
relu, soft, gate = (gaps[case, "LSUV"] for case in ("ReLU", "softplus", "gated"))
by_unit = gaps["softplus", "unit by unit"]
worse = [
    case for case, name in gaps if name != "LSUV" and gaps[case, name].above(0)
]
(
    initguide.says(
        relu.within(-0.1, 0.1),
        "For ReLU, LSUV changes less than a tenth of a nat ({gap:+.2f}): it finds what the formula "
        "says.",
        "For ReLU, LSUV changes more than a tenth of a nat ({gap:+.2f}).",
        "Whether LSUV changes a tenth of a nat for ReLU, these seeds cannot tell ({gap:+.2f}).",
        gap=relu,
    )
    + initguide.says(
        soft.better(0.1),
        "For softplus it helps ({gap:+.2f}), which the figure had not foretold.",
        "For softplus it does not help by a tenth of a nat ({gap:+.2f}), as the figure foretold.",
        "Whether it helps softplus by a tenth of a nat is open ({gap:+.2f}).",
        gap=soft,
    )
    + initguide.says(
        by_unit.better(0.1),
        "Unit by unit does: {gap:+.2f}.",
        "Nor does unit by unit: {gap:+.2f}.",
        "Whether unit by unit does is open, too: {gap:+.2f}.",
        gap=by_unit,
    )
    + initguide.says(
        gate.better(),
        "For the gated layers, LSUV does better than the guess ({gap:+.2f}): it finds scales of "
        "{found:.2f}, beside the sigmoid's gain of {gain:.2f}.",
        "For the gated layers, LSUV does worse than the guess ({gap:+.2f}): it finds scales of "
        "{found:.2f}, beside the sigmoid's gain of {gain:.2f}.",
        "Whether LSUV does better than the guess for the gated layers is open ({gap:+.2f}): it "
        "finds scales of {found:.2f}, beside the sigmoid's gain of {gain:.2f}.",
        gap=gate,
        found=np.mean(found),
        gain=theory.gain("sigmoid"),
    )
    + initguide.says(
        bool(worse),
        "And the last column is no free lunch. Unit by unit is worse than the formula for: "
        "{worse}.",
        "The last column is nowhere shown to be worse than the formula.",
        worse=", ".join(worse),
    )
)

# %%
# Why should centring harm a ReLU network? Of a ReLU's mean square, ½, a share of 1/π is the square
# of its mean. If that is subtracted, the weights have to make up for it, and gradients grow on
# their way back, by 1/(1 − 1/π) per layer: the formula is at the edge of chaos, and centring each
# unit is beyond it.
#
# MetaInit (:cite:t:`dauphin2019`) and GradInit (:cite:t:`zhu2021`) ask more of the data: they
# change the scales by gradient descent until first steps go well.
#
# .. admonition:: Try it
#
#    Must the batch be representative? Take two images, nothing but bags, or images twice as bright,
#    and look at the spread of the outputs for unseen images: 1 would be right.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          bags = small.train.images[small.train.labels == 8][:300]
#          for name, x in {"two": batch[:2], "bags": bags, "bright": 2 * batch}.items():
#              for phi in (nn.ReLU, nn.SiLU):
#                  for label, scheme in schemes(he, x).items():
#                      net = initguide.initialize(plain(phi, 15), scheme, seed=0)
#                      print(f"{name}, {phi.__name__}, {label}: {net(unseen).std().item():.3g}")
#          # Unit by unit, each has two numbers from few images: the errors multiply over layers.
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        max(others) < 0.1,
        "On average over seeds, LSUV found the scales that theory gives for ReLU, tanh and "
        "softplus, without knowing the activation.",
        "LSUV did not find the scales that theory gives in all layers of ReLU, tanh and softplus.",
        key="data-lsuv-finds-gains",
    )
    + initguide.says(
        gate.better(),
        "In a gated network it did better than a hurried guess, by {gap:.2f} nats.",
        "In a gated network it did worse than a hurried guess, by {gap:.2f} nats.",
        "In a gated network, these seeds cannot tell whether it beats a hurried guess.",
        gap=abs(gate.mean),
        key="data-lsuv-beats-a-guess",
    ),
    initguide.says(
        relu.within(-0.1, 0.1),
        "With ReLU, beside He's weights, LSUV changed less than a tenth of a nat.",
        "With ReLU, beside He's weights, LSUV changed more than a tenth of a nat.",
        "With ReLU and He's weights, what LSUV changes was not measured to a tenth of a nat.",
        key="data-lsuv-relu-level",
    ),
    initguide.says(
        left["LSUV"] < 0.01 and left["unit by unit"] > 0.5,
        "In a deep softplus network neither the formula's scale nor LSUV's kept the differences "
        "between images. Means and scales of each unit did.",
        "In a deep softplus network, the differences between images did not hang on whether each "
        "unit had its own mean and scale.",
        key="data-scale-loses-differences",
    )
    + initguide.says(
        by_unit.better(0.1),
        "A softplus network of twelve layers learnt more with those: {gap:+.2f} nats.",
        "A softplus network of twelve layers did not learn more with those: {gap:+.2f} nats.",
        "Whether a softplus network of twelve layers learns more with those is open: {gap:+.2f} "
        "nats.",
        gap=by_unit,
        key="data-unit-by-unit-helps-softplus",
    )
    + initguide.says(
        gaps["ReLU", "unit by unit"].above(0),
        "A deep ReLU network learnt less with them: {gap:+.2f}.",
        "A deep ReLU network learnt more with them: {gap:+.2f}.",
        "Whether a deep ReLU network learns less with them is open: {gap:+.2f}.",
        gap=gaps["ReLU", "unit by unit"],
    ),
)

# %%
# The rule to take home: **where you know the formula, use it; where you do not, run LSUV once, look
# at the scales that it finds, and look whether images still differ in the last layer.**
#
# Next: :doc:`how large weights and rates may be
# </auto_examples/practice/plot_4_scale_and_learning_rate>`
