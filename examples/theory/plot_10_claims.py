"""
10. Claims, tested
==================

People say many things about how to initialize a network. Which of them are true? This page takes
fifteen, names who says them, writes down what each predicts before anything is measured, and lets a
fixed rule decide. Several hold in one setting and fail in another, which is the most useful thing
to know about them.

.. admonition:: What you will learn

   - which common advice survives a test, and where it stops
   - how to turn "A is better than B" into something that a measurement can refute
   - how often the honest answer is "these runs cannot tell"

.. meta::
   :keywords: initialization myths, Xavier for ReLU, gain 5/3, SELU 3/4, PyTorch default,
      orthogonal, batch normalization, Adam, bias 0.1, normal or uniform
"""

# %%
# The rules
# ---------
# Each claim is written as a *range* in which a number must lie if it is right. The numbers come in
# two kinds. Where networks are trained, the number is a difference of validation accuracy, in
# points (hundredths), between what the claim recommends and the alternative, with the same
# :term:`seed`. "Better" means by more than one point; "makes no difference" means by less than one.
# Elsewhere it is the measured number divided by the one that the claim says, and should be near 1.
# A claim is tested in one or several settings; *depth* is the number of hidden layers.

import math
from itertools import pairwise

import torch
from torch import nn

import initguide
from initguide import experiments, plots, theory
from initguide import initializers as init

BETTER, SAME, NOT_WORSE = (1, math.inf), (-1, 1), (-1, math.inf)  # in points
NEAR_1, AT_1 = (0.9, 1.1), (0.98, 1.02)  # ratios

CLAIMS = {  # the claim, the range, and the settings
    1: ("A normal distribution works better than a uniform one", BETTER,
        ["variances are equal", "variances are 1/n and 1/(3n)"]),
    2: ("PyTorch's default is He's initialization", NEAR_1,
        ["layers are linear", "layers are convolutions"]),
    3: ("Use a gain of 5/3 for tanh", BETTER, ["depth is 5", "depth is 30"]),
    4: ("Xavier is fine for ReLU", NOT_WORSE, ["depth is 2", "depth is 30"]),
    5: ("SELU needs a gain of 3/4", BETTER, ["depth is 5", "depth is 30"]),
    6: ("tanh with Xavier settles at 0.25", NEAR_1,
        ["widths shrink to 128", "widths stay at 256"]),
    7: ("Dropout breaks the symmetry of constant weights", NEAR_1,
        ["weights are 0.02", "weights are 0"]),
    8: ("Bigger initial weights learn faster", BETTER,
        ["they grow to He's", "they grow to 4 times He's"]),
    9: ("Biases should start at a small positive value for ReLU", BETTER,
        ["depth is 2"]),
    10: ("Orthogonal beats Gaussian in deep networks", BETTER,
         ["layers have tanh", "layers have ReLU"]),
    11: ("Batch normalization makes initialization irrelevant", SAME,
         ["weights are a tenth of He's", "weights are 10 times He's",
          "weights are all equal"]),
    12: ("With Adam, initialization does not matter", SAME,
         ["Xavier replaces He at depth 2", "Xavier replaces He at depth 30",
          "4 times He's replaces He's"]),
    13: ("A correctly initialized classifier starts at a loss of ln 10", AT_1,
         ["weights are PyTorch's default", "weights are He's"]),
    14: ("He's weights keep the size of the signal behind ReLU", NEAR_1,
         ["depth is 10"]),
    15: ("Inputs should be centred and scaled", BETTER, ["SGD trains"]),
}  # fmt: skip
RATIOS = {2, 6, 7, 13, 14}  # the others are in points
judged = {}


def record(number, *measured):
    """Judge a claim from one array of numbers, one a seed, for each of its settings."""
    _, claimed, settings = CLAIMS[number]
    judged[number] = experiments.judge(
        dict.fromkeys(settings, claimed), dict(zip(settings, measured, strict=True))
    )
    print(judged[number])


# %%
# :func:`~initguide.experiments.judge` is the rule. It forms the 95 % interval of the mean over
# seeds. If that lies within the range, the claim holds in that setting. If it lies outside, it does
# not. If it reaches across an end, these runs cannot tell.
#
# The runs
# --------
# One training run is 100 steps of Adam on 10,000 images, at a learning rate of 0.001, or 0.0003
# where depth is 5 or 30. That is early in training, where the start matters most: the verdicts are
# about this stage, and about networks of this kind. Networks of depth 2 are the lesson's, 256 and
# 128 units wide, the others 100. Several claims share runs.


def scaled(scheme, factor):
    """The scheme, with every weight times the factor."""

    def weights_init(module):
        scheme(module)
        if isinstance(module, nn.Linear):
            module.weight.data.mul_(factor)

    return weights_init


def with_bias(scheme, bias):
    """The scheme, with every bias of a linear layer at the same value."""

    def weights_init(module):
        scheme(module)
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.bias, bias)

    return weights_init


full = initguide.fashion_mnist()
data = full.subset(min(10_000, len(full.train)), min(4_000, len(full.valid)), 100)
he, xavier = init.he_normal(), init.xavier_normal()
slow = {"learning_rate": 3e-4}


def trained(schemes, model, *, data=data, seeds=5, **settings):
    """One epoch for every scheme and seed."""
    return initguide.compare_init_weights(
        schemes, data, model=model, epochs=1, seeds=seeds, **settings
    )


def deep(activation, depth):
    """Make networks of so many hidden layers, each 100 wide."""
    return lambda: initguide.mlp([784] + [100] * depth + [10], activation)


def lesson_net():
    """The lesson's network, without dropout."""
    return initguide.mlp([784, 256, 128, 10])


def points(result, a, b):
    """Points by which a is better than b, seed by seed."""
    return 100 * (result.values(a) - result.values(b))


schemes = {
    "general rule": init.general_rule(),
    "normal 1/n": init.lecun_normal(),
    "uniform 1/n": init.lecun_uniform(),
    "He": he,
    "He times 4": scaled(he, 4),
    "He, biases 0.1": with_bias(he, 0.1),
    "Xavier": xavier,
}
shallow = trained(schemes, lesson_net, seeds=12)
schemes = {"He": he, "Xavier": xavier, "orthogonal": init.orthogonal(math.sqrt(2))}
relu = trained(schemes, deep(nn.ReLU, 30), **slow)
gains = {"gain 1": xavier, "gain 5/3": init.xavier_normal(5 / 3)}
shallow_tanh = trained(gains, deep(nn.Tanh, 5), **slow)
schemes = {**gains, "orthogonal": init.orthogonal()}
tanh = trained(schemes, deep(nn.Tanh, 30), **slow)

# %%
# 1. A normal distribution works better than a uniform one
# --------------------------------------------------------
# The lesson that this guide grew from says so (Udacity, deep-learning-v2-pytorch, *Weight
# Initialization*, 2018), and compares N(0, 1/n) with U[-1/√n, 1/√n), whose :term:`variance` is only
# 1/(3n). So we compare twice: at equal variance, and as the lesson did.

record(
    1,
    points(shallow, "normal 1/n", "uniform 1/n"),
    points(shallow, "normal 1/n", "general rule"),
)

# %%
# The shape of the distribution is all that differs in the first setting; its size differs in the
# second. :doc:`Page 5 of the lesson </auto_examples/lesson/plot_5_normal>` takes the two apart.
#
# 2. PyTorch's default is He's initialization
# -------------------------------------------
# Folklore, and easy to believe: the source of ``torch.nn.Linear`` calls ``kaiming_uniform_``. But
# it passes ``a=math.sqrt(5)``. :cite:t:`he2015` ask for Var(w) = 2/n, n being the :term:`fan-in`,
# so n · Var(w) / 2 should be 1; it is 1/6 for U[-1/√n, 1/√n).


def times_fan_in(make):
    """n · Var(w) / 2 for ten new layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [make() for _ in range(10)]
    return [init.fans(m).fan_in * m.weight.var().item() / 2 for m in layers]


record(
    2,
    times_fan_in(lambda: nn.Linear(256, 128)),
    times_fan_in(lambda: nn.Conv2d(16, 32, 3)),
)

# %%
# 3. Use a gain of 5/3 for tanh
# -----------------------------
# The documentation of ``torch.nn.init.calculate_gain`` recommends it. We compare it with Xavier's
# initialization as published, whose gain is 1 :cite:p:`glorot2010`.

record(
    3,
    points(shallow_tanh, "gain 5/3", "gain 1"),
    points(tanh, "gain 5/3", "gain 1"),
)
print(f"gain that keeps a mean square of 1: {theory.gain('tanh'):.4f}")
for gain in (1, 5 / 3):
    print(f"gain {gain:.3f}: χ = {theory.chi('tanh', gain):.3f} a layer")

# %%
# A gain of 5/3 keeps the signal alive, but :term:`chi` says what it costs: the mean square of the
# gradients grows by a fifth at every layer. :doc:`plot_4_gains` shows where 5/3 comes from.
#
# 4. Xavier is fine for ReLU
# --------------------------
# Practice says so: it is the default of Keras's ``Dense`` layer, whatever the activation
# (``kernel_initializer="glorot_uniform"`` in its documentation). :cite:t:`he2015` report that 30
# layers with ReLU do not learn from it. *Fine* shall mean: at most one point worse than He's.

record(4, points(shallow, "Xavier", "He"), points(relu, "Xavier", "He"))

# %%
# In layers of constant width, Xavier's weights have half of He's variance. Thirty layers make a
# factor of 2³⁰ of that, two make 4.
#
# 5. SELU needs a gain of 3/4
# ---------------------------
# It is what ``torch.nn.init.calculate_gain`` returns. Its documentation adds that one should ask
# for ``"linear"``, a gain of 1, to get a self-normalizing network. :cite:t:`klambauer2017` built
# SELU so that variance 1/n keeps a mean square of 1. We compare 3/4 with 1.

selu = {
    "gain 3/4": scaled(init.lecun_normal(), 0.75),
    "gain 1": init.lecun_normal(),
}
record(
    5,
    points(trained(selu, deep(nn.SELU, 5), seeds=8, **slow), "gain 3/4", "gain 1"),
    points(trained(selu, deep(nn.SELU, 30), seeds=8, **slow), "gain 3/4", "gain 1"),
)
for gain in (3 / 4, 1.0):
    print(
        f"gain {gain:g}: the mean square settles at {theory.fixed_point('selu', gain):.3f}"
    )

# %%
# 6. tanh with Xavier settles at 0.25
# -----------------------------------
# A widely read tutorial looks at the variances of the layers of a network whose widths shrink (784,
# 512, 256, 256, 128, 10) and says that in a deeper one it would stabilize around 0.25. We take the
# last hidden layer of these widths, and the 40th of a network that stays 256 wide. The mean square
# of the :term:`pre-activation`, over 0.25, should be 1. The :term:`length map` predicts both.

mean, std = full.train.images.mean(), full.train.images.std()
standardized = data.transformed(
    lambda images: (images - mean) / std, "standardized"
)
images = standardized.train.images[:200]


@torch.inference_mode()
def mean_squares(widths, activation, scheme, x, seeds):
    """Mean square of what each layer sums up: (seeds, layers)."""
    found = []
    for seed in range(seeds):
        net, z = initguide.mlp(widths, activation), x
        for module in initguide.initialize(net, scheme, seed=seed):
            z = module(z)
            if isinstance(module, nn.Linear):
                found.append(z.square().mean())
    return torch.stack(found).view(seeds, -1)


def predicted(widths):
    """The same by the length map: σ_w² is 2 · fan-in / (fan-in + fan-out)."""
    q = 2 * widths[0] / sum(widths[:2]) * images.square().mean().item()
    for fan_in, fan_out in pairwise(widths[1:]):
        q = theory.length_map(q, "tanh", math.sqrt(2 * fan_in / (fan_in + fan_out)))
    return q


shapes = [784, 512, 256, 256, 128], [784] + [256] * 40
record(
    6, *(mean_squares(s, nn.Tanh, xavier, images, 10)[:, -1] / 0.25 for s in shapes)
)
tanh_theory = [predicted(shape) / 0.25 for shape in shapes]
print("predicted: " + ", ".join(f"{ratio:.3f}" for ratio in tanh_theory))

# %%
# At constant width the mean square goes down as 1/(2 · layer), which has no plateau. Where widths
# shrink, Xavier's variance is above 1/n, and that holds the signal up.
#
# 7. Dropout breaks the symmetry of constant weights
# --------------------------------------------------
# :cite:t:`goodfellow2016` write (section 8.4) that the only property of initial weights known with
# complete certainty is that they must break the :term:`symmetry` between units, and name dropout as
# what can make equal units differ. We train the lesson's network with :term:`dropout` and count the
# different units of its first layer, as a fraction of all 256.


def share_of_distinct(weight, seed):
    """Train with dropout from equal weights; different units of fc1, and the accuracy."""
    net = initguide.Net(constant_weight=weight, dropout=0.2)
    run = initguide.training.train(net, data, epochs=1, seed=seed)
    found = initguide.measure(net.eval(), data.valid.images[:500])["fc1"]
    return found.distinct_units / found.units, run.valid_accuracy


equal = {
    w: torch.tensor([share_of_distinct(w, s) for s in range(5)])
    for w in (0.02, 0.0)
}
record(7, *(shares[:, 0] for shares in equal.values()))
for weight, shares in equal.items():
    print(f"weights {weight:g}: accuracy {100 * shares[:, 1].mean():.1f} %")
print(f"random weights (He): accuracy {100 * shallow.values('He').mean():.1f} %")

# %%
# Different is not yet useful: compare the accuracies. With zeros, no unit has anything to drop.
#
# 8. Bigger initial weights learn faster
# --------------------------------------
# Folklore; :cite:t:`goodfellow2016` (section 8.4) list what speaks for larger weights, a stronger
# breaking of symmetry and a stronger signal, and what speaks against. *Faster* is measured as the
# accuracy after the same 100 steps. First we go from the general rule to He's, which is √6 times as
# large, then from there to four times as large.

record(
    8, points(shallow, "He", "general rule"), points(shallow, "He times 4", "He")
)

# %%
# 9. Biases should start at a small positive value for ReLU
# ---------------------------------------------------------
# :cite:t:`goodfellow2016` (section 8.4) mention 0.1 instead of 0, so that units are active at the
# start. Compared with a :term:`bias` of 0, on the same weights:

record(9, points(shallow, "He, biases 0.1", "He"))

# %%
# Read the interval, too: it says how large an effect these runs leave room for.
# :doc:`plot_8_units` looks at the units themselves.
#
# 10. Orthogonal beats Gaussian in deep networks
# ----------------------------------------------
# :cite:t:`saxe2014` show it for linear networks, :cite:t:`pennington2017` for tanh; the latter also
# show that ReLU cannot reach :term:`dynamical isometry`. Depth is 30, and each pair has the same
# :term:`gain`.

record(10, points(tanh, "orthogonal", "gain 1"), points(relu, "orthogonal", "He"))

# %%
# The singular values behind this are on the page :doc:`plot_6_orthogonal`.
#
# 11. Batch normalization makes initialization irrelevant
# -------------------------------------------------------
# :cite:t:`ioffe2015` write that it allows us to be less careful about initialization; retelling
# made that "irrelevant". Three hidden layers, each with batch normalization, against He's weights:


def normalized_net():
    """Three hidden layers with batch normalization."""
    layers = [nn.Flatten()]
    for fan_in in (784, 100, 100):
        layers += [nn.Linear(fan_in, 100), nn.BatchNorm1d(100), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(100, 10))


scales = {"He": he, "a tenth": scaled(he, 0.1), "10 times": scaled(he, 10)}
normalized = trained({**scales, "equal": init.constant(0.02)}, normalized_net)
record(11, *(points(normalized, a, "He") for a in ("a tenth", "10 times", "equal")))
plain = trained(scales, deep(nn.ReLU, 3))
for label in ("a tenth", "10 times"):
    change = points(plain, label, "He").mean()
    print(f"without normalization, {label}: {change:+.1f} points")

# %%
# Normalization undoes the scale of a layer in the forward pass. But it cannot tell equal units
# apart, and a step of a given size turns large weights less than small ones.
#
# 12. With Adam, initialization does not matter
# ---------------------------------------------
# Folklore. What :cite:t:`kingma2015` show is that Adam's steps do not change when all gradients are
# multiplied by one number. All runs above used Adam, so they can answer:

record(
    12,
    points(shallow, "Xavier", "He"),
    points(relu, "Xavier", "He"),
    points(shallow, "He times 4", "He"),
)

# %%
# 13. A correctly initialized classifier starts at a loss of ln 10
# ----------------------------------------------------------------
# :cite:t:`karpathy2019` advises to check it. One may read it backwards, as "what does not start
# there is wrong". The number is the :term:`initial loss` divided by ln 10 = 2.303, on images in
# [0, 1], for 20 draws; within 2 % shall count as there.


def initial_losses(scheme):
    """Loss before training over ln 10, one number a seed."""
    split = data.valid
    nets = [initguide.initialize(lesson_net(), scheme, seed=s) for s in range(20)]
    losses = [initguide.training.evaluate(net, split).loss for net in nets]
    return [loss / math.log(10) for loss in losses]


record(13, initial_losses("default"), initial_losses(he))
print(f"zeros: {initial_losses('zeros')[0]:.4f}")
print(f"accuracy after 100 steps, He's: {100 * shallow.values('He').mean():.1f} %")
print(f"general rule: {100 * shallow.values('general rule').mean():.1f} %")

# %%
# The check finds starts that are wrong by far. It does not rank good ones: zeros pass it exactly.
#
# 14. He's weights keep the size of the signal behind ReLU
# --------------------------------------------------------
# That is what :cite:t:`he2015` derive. The number is the mean square behind ten layers of 256 units
# over that behind the first, for one image and 300 draws of the weights.

layers = mean_squares([784] + [256] * 11, nn.ReLU, he, images[:1], 300)
growth = layers[:, -1] / layers[:, 0]
record(14, growth)
print(f"from draw to draw: standard deviation {growth.std():.2f}")
spread = math.sqrt(theory.finite_width_moments([256] * 10).second - 1)
print(f"predicted at this width: {spread:.2f}")

# %%
# It is a statement about the mean. A single network of finite :term:`width` may be well off, see
# :doc:`plot_9_finite_width`.
#
# 15. Inputs should be centred and scaled
# ---------------------------------------
# :cite:t:`lecun1998` advise it, for faster convergence. Pixels minus their mean, divided by their
# standard deviation, against pixels in [0, 1]; He's weights, plain SGD at a learning rate of 0.1.

sgd = {"optimizer": "sgd", "learning_rate": 0.1}
raw = trained({"He": he}, lesson_net, **sgd)
centred = trained({"He": he}, lesson_net, data=standardized, **sgd)
record(15, 100 * (centred.values("He") - raw.values("He")))

# %%
# All at once
# -----------
# Each row is one setting. The grey bar is the range that the claim predicts; the mark with its line
# is the measured mean with its 95 % interval; a hollow diamond is what the theory of these pages
# predicts, where it says a number.

predictions = {2: [1 / 6, 1 / 6], 6: tanh_theory, 14: [1.0]}
looks = {
    True: ("o", plots.PALETTE[0], "agrees with the claim"),
    False: ("X", plots.PALETTE[1], "contradicts it"),
    None: ("s", plots.PALETTE[2], "cannot tell"),
}
diamond = {"marker": "D", "color": "0.2", "mfc": "none", "markersize": 10, "ls": ""}


def forest(ax, numbers, low, high):
    """Draw the findings of some claims, a row a setting."""
    rows = [(n, i, f) for n in numbers for i, f in enumerate(judged[n].findings)]
    for y, (number, i, finding) in enumerate(rows):
        ends = [min(max(end, low), high) for end in finding.claimed]
        ax.plot(ends, [y, y], color="0.8", linewidth=9, solid_capstyle="butt")
        marker, color, _ = looks[finding.holds]
        if finding.interval:
            ax.plot(finding.interval, [y, y], color=color)
        face = "none" if finding.holds is None else color
        ax.plot(finding.mean, y, marker, color=color, markerfacecolor=face)
        if number in predictions:
            ax.plot(predictions[number][i], y, **diamond)
    ax.set_yticks(
        range(len(rows)), [f"{number}: {f.setting}" for number, _, f in rows]
    )
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlim=(low, high))


fig, (top, bottom) = plots.subplots(2, 1, height=10.5, height_ratios=(24, 9))
top.set_xscale("symlog", linthresh=1)
forest(top, [n for n in CLAIMS if n not in RATIOS], -100, 30)
top.set(
    title="Claims about training: gain in accuracy",
    xlabel="points (linear within ±1, else logarithmic)",
)
ticks = [-100, -10, -1, 0, 1, 10]
top.set_xticks(ticks, [f"{tick}".replace("-", "−") for tick in ticks])
bottom.set_xscale("log")
forest(bottom, sorted(RATIOS), 0.003, 2)
bottom.set(
    title="Claims about a number: measured / claimed",
    xlabel="ratio (logarithmic)",
)
bottom.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
for marker, color, words in looks.values():
    face = "none" if marker == "s" else color
    bottom.plot([], [], marker, color=color, markerfacecolor=face, label=words)
bottom.plot([], [], **diamond, label="theory")
bottom.plot([], [], color="0.8", linewidth=9, label="claimed")
fig.legend(loc="outside lower center", ncols=3, frameon=False)
for ax, numbers in ((top, set(CLAIMS) - RATIOS), (bottom, RATIOS)):
    outcomes = [f.holds for n in numbers for f in judged[n].findings]
    plots.describe(
        ax,
        f"{ax.get_title()}. Of {len(outcomes)} settings, {outcomes.count(True)} agree with "
        f"their claim, {outcomes.count(False)} contradict it, and {outcomes.count(None)} are "
        "undecided. The table below has the numbers.",
    )

# %%
# The verdicts
# ------------
# Nobody typed the second column: the rule of the first section wrote it.


def in_words(number):
    """Means and intervals of a claim, setting by setting."""
    digits = ".2f" if number in RATIOS else "+.1f"
    cells = []
    for finding in judged[number].findings:
        ends = " to ".join(f"{end:{digits}}" for end in finding.interval or ())
        cells.append(f"{finding.mean:{digits}} ({ends or 'no interval'})")
    return "; ".join(cells).replace("-", "−")


initguide.Table(
    {
        "claim": [f"{number}. {claim}" for number, (claim, *_) in CLAIMS.items()],
        "verdict": [judged[number].verdict for number in CLAIMS],
        "measured": [in_words(number) for number in CLAIMS],
    },
    caption="Fifteen claims, what was measured, and the verdicts",
    note="Measured: the mean over seeds and its 95 % interval, setting by setting. Claims "
    f"{', '.join(map(str, sorted(RATIOS)))}: measured over claimed. The others: points of "
    "validation accuracy. With so many intervals, one or two may miss the true mean.",
)

# %%
# Each verdict is about small networks on small images, early in training. What carries over is the
# way to ask: write down what the claim predicts, including by how much, measure over several seeds,
# and name the setting.
#
# .. admonition:: Try it
#
#    Does *truncating* a normal distribution help? Write the claim down, compare with a scheme of
#    the same variance, and let the rule decide.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          class Truncated:  # at ±2 standard deviations, 0.8796 of it is left
#              def __call__(self, module):
#                  if isinstance(module, nn.Linear):
#                      std = math.sqrt(2 / module.in_features) / 0.8796
#                      nn.init.trunc_normal_(module.weight, 0, std, -2 * std, 2 * std)
#                      nn.init.zeros_(module.bias)
#
#
#          result = trained({"truncated": Truncated(), "He": he}, lesson_net, seeds=5)
#          claimed = {"depth is 2": BETTER}
#          measured = {"depth is 2": points(result, "truncated", "He")}
#          print(experiments.judge(claimed, measured))
#
# What we learnt
# --------------
# - A claim can be tested once it says a number, a range and a setting. Most advice says none of
#   them.
# - PyTorch's default is not He's initialization: its variance is a sixth of that.
# - Dropout makes units differ that start from equal weights, unless these are 0. The network still
#   learns far less than from random weights.
# - What makes no difference in a shallow network can decide in a deep one: Xavier or He for ReLU.
# - Neither batch normalization nor Adam makes up for every start.
# - An interval that reaches across the line says that a question is still open.
#
# This is the last page of the section. :doc:`The lesson's last page
# </auto_examples/lesson/plot_7_choose>` compares twelve schemes on one network.
