"""
10. Claims, tested
==================

People say many things about how to initialize a network. Which of them are true? This page says
where this guide tests fifteen of them. The last three it tests itself: it writes down what each
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
# Twelve claims, tested elsewhere
# -------------------------------
# Most are true in one setting and fail in another: that is the most useful thing to know of them.
#
# .. list-table::
#    :header-rows: 1
#    :widths: 34 46 20
#
#    * - it is said that …
#      - what was found
#      - tested on
#    * - a normal distribution works better than a uniform one
#      - Much of the difference is one of variance: compare shapes at the same variance.
#      - :doc:`Normal </auto_examples/lesson/plot_5_normal>`
#    * - PyTorch's default is He's initialization
#      - It calls his function with ``a=√5``, which makes the variance a sixth of his.
#      - :doc:`Automatic </auto_examples/lesson/plot_6_automatic>`
#    * - tanh wants a gain of 5/3
#      - With it, gradients explode, slowly. Which gain trains better depends on the learning rate.
#      - :doc:`Gains <plot_4_gains>`
#    * - tanh with Xavier's weights settles
#      - At constant width the mean square falls as 1/(2 · layer), without a plateau.
#      - :doc:`Depth <plot_5_depth>`
#    * - dropout breaks the symmetry of constant weights :cite:p:`goodfellow2016`
#      - It does, unless they are 0. To be different is not yet to be of the right size.
#      - :doc:`Symmetry <plot_1_symmetry>`
#    * - bigger weights learn faster
#      - Up to a size that depends on the learning rate and the optimizer.
#      - :doc:`Scale </auto_examples/practice/plot_4_scale_and_learning_rate>`
#    * - with Adam, the start does not matter
#      - It forgives weights that are too small. Too large ones ask for a larger rate.
#      - :doc:`Scale </auto_examples/practice/plot_4_scale_and_learning_rate>`
#    * - orthogonal beats Gaussian in deep networks :cite:p:`saxe2014,pennington2017`
#      - A deep tanh network learnt faster. ReLU undoes what sets orthogonal weights apart.
#      - :doc:`Orthogonal <plot_6_orthogonal>`
#    * - batch normalization makes the start irrelevant, as :cite:t:`ioffe2015` are retold
#      - It forgives the scale of hidden layers, but neither equal weights nor a huge last layer.
#      - :doc:`Normalization </auto_examples/architectures/plot_3_normalization>`
#    * - the first loss should be ln 10 :cite:p:`karpathy2019`
#      - A first loss far above it is a warning; the lowest is not the best start.
#      - :doc:`Inputs <plot_7_inputs>`
#    * - inputs should be centred and scaled :cite:p:`lecun1998`
#      - With plain gradient descent, they should.
#      - :doc:`Inputs <plot_7_inputs>`
#    * - He's weights keep the signal's size behind ReLU :cite:p:`he2015`
#      - In the mean over draws. A single network of finite width may be well off.
#      - :doc:`Width <plot_9_finite_width>`
#
# The rule
# --------
# A claim that can be tested says a *range* in which a number must lie if it is right. Here the
# number is a difference of validation accuracy, in points (hundredths), between what the claim
# recommends and the alternative, with the same :term:`seed`. "Better" means by more than one point;
# "fine" means worse by less than one. Why one? An accuracy of 85 % that is measured on 4,000 images
# has a standard error of √(0.85 · 0.15 / 4000), which is 0.6 points: less than a point may be true
# of these images only.
#
# :func:`~initguide.experiments.judge` forms the 95 % interval of the mean over seeds. If it lies
# within the range, the claim holds in that setting. If it lies outside, the claim does not hold, or
# there is an effect, but "smaller than claimed". If it reaches across an end, these runs cannot
# tell. One run is 100 steps of Adam, so the verdicts are about the beginning of training.

import math

from torch import nn

import initguide
from initguide import experiments, plots
from initguide import initializers as init

BETTER, FINE = (1, math.inf), (-1, math.inf)  # points
full = initguide.fashion_mnist()
data = full.subset(min(10_000, len(full.train)), min(4_000, len(full.valid)), 100)
he, xavier, lecun = init.he_normal(), init.xavier_normal(), init.lecun_normal()


def changed(scheme, factor=1.0, bias=0.0):
    """The scheme, with weights times a factor and all biases at one value."""

    def weights_init(module):
        scheme(module)
        if isinstance(module, nn.Linear):
            module.weight.data.mul_(factor)
            nn.init.constant_(module.bias, bias)

    return weights_init


def gained(schemes, hidden, activation=nn.ReLU, **how):
    """Points by which the first of two schemes is better, seed by seed."""
    result = initguide.compare_init_weights(
        schemes,
        data,
        model=lambda: initguide.mlp([784, *hidden, 10], activation),
        epochs=1,
        **how,
    )
    first, second = schemes
    return 100 * (result.values(first) - result.values(second))


shallow, deep, slow = [256, 128], [100] * 30, {"learning_rate": 3e-4}

# %%
# Xavier is fine for ReLU
# -----------------------
# Practice says so: it is the default of Keras's ``Dense`` layer, whatever the activation
# (``kernel_initializer="glorot_uniform"``). :cite:t:`he2015` report that 30 layers with ReLU do not
# learn from it. We take the lesson's network, and one of 30 layers:

pair = {"Xavier": xavier, "He": he}
fine = experiments.judge(
    {"depth is 2": FINE, "depth is 30": FINE},
    {
        "depth is 2": gained(pair, shallow, seeds=12),
        "depth is 30": gained(pair, deep, seeds=5, **slow),
    },
)
fine

# %%
# In layers of constant width, Xavier's weights have half of He's variance. Thirty layers make a
# factor of 2³⁰ of that, two make 4.
#
# SELU needs a gain of 3/4
# ------------------------
# It is what ``torch.nn.init.calculate_gain`` returns. :cite:t:`klambauer2017` built SELU so that
# variance 1/n, a gain of 1, keeps a mean square of 1. We compare the two.

pair = {"gain 3/4": changed(lecun, 3 / 4), "gain 1": lecun}
selu = experiments.judge(
    {"depth is 5": BETTER, "depth is 30": BETTER},
    {
        "depth is 5": gained(pair, [100] * 5, nn.SELU, seeds=8, **slow),
        "depth is 30": gained(pair, deep, nn.SELU, seeds=8, **slow),
    },
)
selu

# %%
# With 3/4 the signal fades from layer to layer, and the gradient keeps its size: :doc:`the page on
# gains <plot_4_gains>` measures both.
#
# Biases should start at a small positive value for ReLU
# ------------------------------------------------------
# :cite:t:`goodfellow2016` (section 8.4) mention 0.1 instead of 0, so that units are active at the
# start. Compared with a :term:`bias` of 0, on the same weights:

pair = {"biases 0.1": changed(he, bias=0.1), "biases 0": he}
biases = experiments.judge(
    {"depth is 2": BETTER}, {"depth is 2": gained(pair, shallow, seeds=12)}
)
biases

# %%
# Read the interval, and not the verdict alone. If it lies wholly above 0, positive biases do help
# here; the claim was that they help by more than a point. :doc:`plot_8_units` looks at the units
# themselves. All three in one figure:

ax = plots.plot_claims(
    {"Xavier is fine": fine, "SELU: 3/4": selu, "biases of 0.1": biases},
    title="Three claims about training",
    xlabel="gain in accuracy, points",
)

# %%
# The grey bar is the range that the claim predicts, the mark with its line the measured mean with
# its interval. Each verdict is about small networks on small images and one learning rate. What
# carries over is the way to ask: write down what the claim predicts, including by how much, measure
# over several seeds, and name the setting.
#
# .. admonition:: Try it
#
#    Does *truncating* a normal distribution help? Compare with a scheme of the same variance.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          def truncated(module):  # at ±2 standard deviations, 0.8796 of it is left
#              if isinstance(module, nn.Linear):
#                  std = math.sqrt(2 / module.in_features) / 0.8796
#                  nn.init.trunc_normal_(module.weight, 0, std, -2 * std, 2 * std)
#                  nn.init.zeros_(module.bias)
#
#
#          measured = gained({"truncated": truncated, "He": he}, shallow, seeds=5)
#          print(experiments.judge({"depth is 2": BETTER}, {"depth is 2": measured}))
#
# What we learnt
# --------------
# - A claim can be tested once it says a number, a range and a setting. Most advice says none of
#   them.
# - What makes no difference in a shallow network can decide in a deep one: Xavier or He for ReLU.
# - An effect can be real and smaller than claimed, and an interval that reaches across the line
#   says that a question is still open. Neither is the same as "false".
#
# This is the last page of the section. :doc:`The lesson's last page
# </auto_examples/lesson/plot_7_choose>` compares twelve schemes on one network. For a network of
# your own, :doc:`start with a check </auto_examples/practice/plot_1_check_your_network>`.
