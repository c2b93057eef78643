"""
10. Claims, tested
==================

People say many things about how to initialize a network. Which of them are true? This page says
where this guide tests fourteen of them. The last three it tests itself: it writes down what each
predicts before anything is measured, and lets a fixed rule decide.

.. admonition:: What you will learn

   - which common advice survives a test, and where it stops
   - how to turn "A is better than B" into something that a measurement can refute
   - that "not shown", "smaller than claimed" and "false" are three answers

.. meta::
   :keywords: initialization myths, Xavier for ReLU, gain 5/3, SELU 3/4, PyTorch default,
      orthogonal, batch normalization, Adam, bias 0.1, normal or uniform
"""

# %%
# Eleven claims, tested elsewhere
# -------------------------------
# What was found is a definition, or what the page behind it measured.
#
# .. list-table::
#    :header-rows: 1
#    :widths: 34 46 20
#
#    * - it is said that …
#      - what was found
#      - tested on
#    * - a normal distribution works better than a uniform one
#      - :said:`see there <uniform-or-normal>`
#      - :doc:`Normal </auto_examples/lesson/plot_5_normal>`
#    * - PyTorch's default is He's initialization
#      - It calls his function with ``a=√5``, which makes the variance a sixth of his.
#      - :doc:`Automatic </auto_examples/lesson/plot_6_automatic>`
#    * - tanh wants a gain of 5/3 :cite:p:`pytorchforum20854`
#      - :said:`see there <tanh-one-beats-five-thirds>`
#      - :doc:`Gains <plot_4_gains>`
#    * - dropout breaks the symmetry of constant weights :cite:p:`goodfellow2016`
#      - :said:`see there <dropout-breaks-symmetry different-is-not-enough>`
#      - :doc:`Symmetry <plot_1_symmetry>`
#    * - bigger weights learn faster
#      - At which learning rate? :said:`See there. <scale-opposite-rates>`
#      - :doc:`Scale </auto_examples/practice/plot_4_scale_and_learning_rate>`
#    * - with Adam, the start does not matter
#      - A step is of about the size of the rate. :said:`See there. <scale-step-beside-weights>`
#      - :doc:`Scale </auto_examples/practice/plot_4_scale_and_learning_rate>`
#    * - orthogonal beats Gaussian in deep networks :cite:p:`saxe2014,pennington2017`
#      - :said:`see there <orthogonal-tanh-deep orthogonal-relu-deep>`
#      - :doc:`Orthogonal <plot_6_orthogonal>`
#    * - batch normalization makes the start irrelevant, as :cite:t:`ioffe2015` are retold
#      - :said:`see there <normalization-forgives normalization-last-layer normalization-equal>`
#      - :doc:`Normalization </auto_examples/architectures/plot_3_normalization>`
#    * - the first loss should be ln 10 :cite:p:`karpathy2019`
#      - :said:`see there <last-layer-times-thirty last-layer-zeros>`
#      - :doc:`Inputs <plot_7_inputs>`
#    * - inputs should be centred and scaled :cite:p:`lecun1998`
#      - :said:`see there <inputs-centred inputs-standardized>`
#      - :doc:`Inputs <plot_7_inputs>`
#    * - He's weights keep the signal's size behind ReLU :cite:p:`he2015`
#      - :said:`see there <he-keeps-the-mean typical-network-smaller>`
#      - :doc:`Width <plot_9_finite_width>`
#
# The rule
# --------
# A claim that can be tested says a *range* in which a number must lie if it is right. Here the
# number is a difference of validation accuracy, in points (hundredths), between what the claim
# recommends and the alternative, with the same :term:`seed`. "Better" means by more than one point;
# "fine" means worse by less than one.
#
# Why one? If two networks disagree on a tenth of the 4,000 validation images, the choice of
# these gives the difference a standard error of √(0.1/4000), half a point, whatever the seeds.
#
# :func:`~initguide.experiments.judge` forms the 95 % interval of the mean over seeds. Within the
# range, the claim holds in that setting. Outside, it does not, or there is an effect of the right
# sign, but "smaller than claimed". Across an end, these runs cannot tell. One run is 100 steps of
# Adam, at the better of two learning rates, unless the setting names one.

import math

from torch import nn

import initguide
from initguide import experiments, plots
from initguide import initializers as init

BETTER, FINE = (1, math.inf), (-1, math.inf)  # points
full = initguide.fashion_mnist()
data = full.subset(min(10_000, len(full.train)), min(4_000, len(full.valid)), 100)
he, xavier, lecun = init.he_normal(), init.xavier_normal(), init.lecun_normal()


def gained(schemes, hidden, activation=nn.ReLU, *, rates, seeds):
    """Points by which the first of two is better, each at its best rate, seed by seed."""
    found = initguide.sweep(
        {"scheme": schemes, "learning_rate": rates},
        data,
        model=lambda: initguide.mlp([784, *hidden, 10], activation),
        epochs=1,
        seeds=seeds,
    )
    first, second = (of[of.mean(axis=1).argmax()] for of in found.array())
    return 100 * (first - second)


shallow, deep, slow = [256, 128], [100] * 30, (3e-4, 1e-3)

# %%
# Xavier is fine for ReLU
# -----------------------
# It is Keras's default for dense layers, whatever the activation. :cite:t:`he2015` report that 30
# layers with ReLU do not learn from it. We take the lesson's network, and one of 30 layers:

pair = {"Xavier": xavier, "He": he}
measured = {
    "depth is 2": gained(pair, shallow, rates=(1e-3, 3e-3), seeds=12),
    "depth is 30": gained(pair, deep, rates=slow, seeds=5),
}
fine = experiments.judge(dict.fromkeys(measured, FINE), measured)
two, thirty = map(initguide.estimate, measured.values())

# %%

initguide.asks(
    "How does Xavier do for ReLU, beside He?",
    [
        "Fine in both networks: the two differ by a factor near one.",
        "Worse by more than a point in both: it leaves out what ReLU drops.",
        "Fine in the shallow network, worse by more than a point in the deep one.",
    ],
    [
        initguide.all_of(two.above(-1), thirty.above(-1)),
        initguide.all_of(two.below(-1), thirty.below(-1)),
        initguide.all_of(two.above(-1), thirty.below(-1)),
    ],
    initguide.says(
        initguide.all_of(two.above(-1), thirty.below(-1)),
        "The difference is {two:+.1f} points in the one, and {thirty:+.1f} in the other: what a "
        "layer takes away is multiplied over the layers.",
        "The difference is {two:+.1f} points in the one, and {thirty:+.1f} in the other.",
        "The difference is {two:+.1f} points in the one, and {thirty:+.1f} in the other, which "
        "leaves it open.",
        two=two,
        thirty=thirty,
    ),
)

# %%

fine

# %%
# In layers of constant width, Xavier's weights have half of He's variance. Thirty layers make a
# factor of nearly 2³⁰ of that, and the two of the lesson's network, which narrows, about 2.

at_2, at_30 = (finding.holds for finding in fine.findings)
(
    initguide.says(
        at_2,
        "In the shallow network the claim holds: Xavier's weights are worse by less than a point, "
        "if at all.",
        "Even in the shallow network Xavier's weights are worse by more than a point.",
        "For the shallow network these runs cannot tell.",
        key="xavier-for-relu-shallow",
    )
    + initguide.says(
        at_30,
        "With ``30`` layers it holds, too.",
        "With ``30`` layers it does not: the gain is {gain:+.0f} points.",
        "With ``30`` layers these runs cannot tell.",
        key="xavier-for-relu-deep",
        gain=fine.findings[1].mean,
    )
)

# %%
# SELU needs a gain of 3/4
# ------------------------
# It is what ``torch.nn.init.calculate_gain`` returns :cite:p:`pytorch50664`.
# :cite:t:`klambauer2017` built SELU so that variance 1/n, a gain of 1, keeps a mean square of 1.
# What 3/4 does to signal and gradient is measured on :doc:`the page on gains <plot_4_gains>`.

pair = {"gain 3/4": init.he_normal(nonlinearity="selu"), "gain 1": lecun}
measured = {
    "depth is 5": gained(pair, [100] * 5, nn.SELU, rates=slow, seeds=8),
    "depth is 30": gained(pair, deep, nn.SELU, rates=slow, seeds=8),
}
selu = experiments.judge(dict.fromkeys(measured, BETTER), measured)
selu

# %%

holds = [finding.holds for finding in selu.findings]
(
    initguide.says(
        True if any(holds) else None if None in holds else False,
        "In one of the two settings or both, ``3/4`` is better by more than a point.",
        "In neither setting is ``3/4`` better by more than a point.",
        "In no setting is it shown that ``3/4`` is better by more than a point, and in one or both "
        "it is not ruled out.",
        key="selu-three-quarters",
    )
    + initguide.says(
        any(f.interval is not None and f.interval[1] < 0 for f in selu.findings),
        "In one of them or both it is worse: the whole interval lies below ``0``.",
        "In neither is it shown to be worse.",
    )
)

# %%
# Biases should start at a small positive value for ReLU
# ------------------------------------------------------
# :cite:t:`goodfellow2016` (section 8.4) mention 0.1 instead of 0, so that units are active at the
# start (:doc:`plot_8_units`). Compared with a :term:`bias` of 0, on the same weights:


def positive(module):
    """He's weights, and biases of 0.1 instead of 0."""
    he(module)
    if isinstance(module, nn.Linear):
        nn.init.constant_(module.bias, 0.1)


pair = {"biases 0.1": positive, "biases 0": he}
measured = {
    "rate is 0.001": gained(pair, shallow, rates=[1e-3], seeds=20),
    "rate is 0.003": gained(pair, shallow, rates=[3e-3], seeds=20),
}
biases = experiments.judge(dict.fromkeys(measured, BETTER), measured)
effects = [initguide.estimate(points) for points in measured.values()]

# %%

initguide.asks(
    "What do biases of ``0.1`` bring at the smaller rate?",
    [
        "More than a point: units that are active at the start all learn.",
        "Something, but less than a point.",
        "A loss: they push the sums away from where ReLU bends.",
    ],
    [
        effects[0].above(1),
        initguide.all_of(effects[0].above(0), effects[0].below(1)),
        effects[0].below(0),
    ],
    initguide.says(
        effects[0].above(0),
        "They bring {gain:+.2f} points over these seeds.",
        "They cost, or bring nothing: {gain:+.2f} points over these seeds.",
        "Over these seeds they bring {gain:+.2f} points, which may be nothing.",
        gain=effects[0],
    ),
)

# %%

biases

# %%

(
    initguide.says(
        effects[0].above(0),
        "At the smaller rate positive biases are ahead on these images: {gain:+.2f} points.",
        "At the smaller rate positive biases are behind on these images: {gain:+.2f} points.",
        "At the smaller rate no difference is shown: {gain:+.2f} points.",
        gain=effects[0],
    )
    + initguide.says(
        effects[1].above(0),
        "At the larger rate they are ahead, too: {gain:+.2f} points.",
        "At the larger rate they are behind: {gain:+.2f} points.",
        "At the larger rate no difference is shown: {gain:+.2f} points.",
        gain=effects[1],
    )
)

# %%
# All three claims; the axis is linear within a point of 0, and logarithmic beyond:

ax = plots.plot_claims(
    {"Xavier is fine": fine, "SELU: 3/4": selu, "biases of 0.1": biases},
    title="Three claims about training",
    xlabel="gain in accuracy, points",
)

# %%
# The grey bar is what the claim predicts, the mark with its line the mean and its interval.
# Whatever you hear: write down what it predicts, measure over several seeds, and name the setting.
#
# .. admonition:: Try it
#
#    Is the claim about biases right in a network of ten layers?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          points = gained(pair, [100] * 10, rates=[1e-3], seeds=5)
#          print(experiments.judge({"depth is 10": BETTER}, {"depth is 10": points}))
#
# What we learnt
# --------------

findings = fine.findings + selu.findings + biases.findings
decided = sum(finding.holds is not None for finding in findings)
initguide.bullets(
    initguide.says(
        decided > 0,
        "A claim that says a number, a range and a setting can be tested: these runs decided "
        "{decided} of {n} settings.",
        "A claim that says a number, a range and a setting can be tested, though it takes more "
        "runs than these: they decided none of {n} settings.",
        decided=decided,
        n=len(findings),
    ),
    initguide.says(
        initguide.all_of(two.within(-3, 3), thirty.below(-10)),
        "What makes little difference in a shallow network can decide in a deep one: Xavier or He "
        "for ReLU, {shallow:+.1f} points and {deep:+.1f}.",
        "Xavier or He for ReLU: {shallow:+.1f} points in a shallow network and {deep:+.1f} in a "
        "deep one.",
        "Xavier or He for ReLU: {shallow:+.1f} points in a shallow network and {deep:+.1f} in a "
        "deep one; how much depth decides, these runs cannot tell.",
        shallow=two.mean,
        deep=thirty.mean,
    ),
    initguide.says(
        effects[0].below(1),
        "Positive biases helped a shallow ReLU network by less than a point at the smaller "
        "rate, on these images. An effect can be real and smaller than claimed, and that is not "
        "the same as false.",
        "Positive biases helped a shallow ReLU network by more than a point at the smaller rate.",
        "Whether positive biases help a shallow ReLU network by more than a point is open. An "
        "interval that reaches across the line is not the same as false.",
        key="biases-help-less-than-a-point",
    ),
)

# %%
# Next: what becomes of the rules in other layers, beginning with :doc:`convolutions
# </auto_examples/architectures/plot_1_convolutions>`. For a network of your own, :doc:`start with a
# check </auto_examples/practice/plot_1_check_your_network>`.
