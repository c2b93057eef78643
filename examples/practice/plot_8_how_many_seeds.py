"""
8. How many seeds?
==================

Train the same network again with another seed, and its accuracy moves. Two schemes differ, too,
often by less than that. This page measures the noise, and works out how many seeds it takes to see
a difference through it.

.. index:: ! how many seeds, ! statistical power

.. admonition:: What you will learn

   - how large the noise from seed to seed is, and what pairing takes away from it
   - how many seeds a difference of 0.1, 0.3 or 1 percentage point asks for
   - how to plan a comparison from a pilot of a few seeds

.. meta::
   :keywords: how many seeds, noise, variance between runs, statistical power, sample size,
      significance, standard deviation, error bars, paired comparison
"""

# %%
# Thirty runs of each
# -------------------
# Below its :term:`noise floor`, a comparison cannot tell anything. How high is it? The lesson's
# network, 784-256-128-10 with :term:`dropout`, is trained for two epochs of 48,000 images. To
# repeat something often, we take the same network and the same settings with fewer images. The
# lesson itself gets its turn below.

import itertools
import math

import numpy as np
from scipy import stats

import initguide
from initguide import plots
from initguide.experiments import power, seeds_needed

data = initguide.fashion_mnist()
small = data.subset(train=3000, valid=min(4000, len(data.valid)), test=1000)
schemes = [
    "general_rule",
    "lecun_normal",
    "xavier_normal",
    "he_normal",
    "he_uniform",
]
seeds = 30
result = initguide.compare_init_weights(schemes, small, seeds=seeds)
plots.plot_accuracy(result)

# %%
# A small dot is one run. Seeds spread each scheme over several points, and the clouds of
# neighbours lie on top of each other. If you train each scheme once, you draw one dot from each
# row. The thick line is the 95 % interval of the mean: thirty seeds make it narrow, but they do
# not make the next single run any more certain.
#
# What a pair shares
# ------------------
# For one seed, all schemes see the same mini-batches in the same order and the same dropout masks.
# So we compare seed by seed, as :meth:`Comparison.difference
# <initguide.experiments.Comparison.difference>` does, and what both runs owe to the order cancels.
# Some of these schemes share even more. The three normal ones draw the *same* random numbers and
# multiply them by different factors.
#
# How much does pairing help? The standard deviation over seeds of the paired difference, beside the
# one that the difference would have if the runs had nothing in common, which is the root of the sum
# of both variances:

points = {label: 100 * result.values(label) for label in schemes}
pairs = list(itertools.combinations(schemes, 2))
paired = {(a, b): points[b] - points[a] for a, b in pairs}
columns = {
    "difference": [d.mean() for d in paired.values()],
    "sd, paired": [d.std(ddof=1) for d in paired.values()],
    "sd, unrelated": [
        math.hypot(points[a].std(ddof=1), points[b].std(ddof=1)) for a, b in pairs
    ],
}
initguide.Table(
    {"pair": [f"{b} − {a}" for a, b in pairs]} | columns,
    caption="Differences of validation accuracy, in points: the mean, and how far one seed strays",
    note=f"{seeds} seeds, {len(small.train):,} training images. sd: standard deviation over seeds.",
    formats=dict.fromkeys(columns, ".2f"),
)

# %%
# Pairing always helped, and it helped most where the weights are the same up to a factor: between
# two normal schemes of nearly the same scale. In that case a paired seed is worth several unpaired
# ones, for the number of seeds goes with the *square* of the standard deviation.
#
# Seeds for a difference
# ----------------------
# Let δ be the true difference, and σ the standard deviation of the paired difference. With n seeds,
# the interval is mean ± t · s/√n, with t from Student's distribution for n − 1 degrees of freedom.
# The chance that it lies on the right side of 0 is called the :term:`power`. It depends on n and on
# δ/σ alone, through the *noncentral* t distribution: :func:`initguide.experiments.power`.
#
# That supposes that differences are normally distributed. Are they? We draw n of our seeds, with
# replacement, 4,000 times over, and count how often the interval lies above 0. As the truth we take
# the mean and standard deviation of all the seeds that we draw from:

rng = np.random.default_rng(0)
numbers = [3, 4, 5, 7, 10, 15, 20, 30, 50, 80]


def share_above_0(differences, n):
    """How often the 95 % interval of n differences, drawn at random, lies above 0."""
    drawn = rng.choice(differences, (4000, n))
    half = stats.t.ppf(0.975, n - 1) * drawn.std(1, ddof=1) / math.sqrt(n)
    return np.mean(drawn.mean(1) > half)


found, predicted = {}, {}
for other in ("general_rule", "lecun_normal", "xavier_normal"):
    d = paired[other, "he_normal"] * np.sign(paired[other, "he_normal"].mean())
    effect = d.mean() / d.std()
    label = f"he_normal − {other}, δ/σ = {effect:.1f}"
    found[label] = [share_above_0(d, n) for n in numbers]
    predicted[label] = [power(n, effect) for n in numbers]
ax = plots.plot_prediction(
    found,
    predicted,
    at=numbers,
    log=False,
    title="Chance to see a difference that is there",
    xlabel="paired seeds (logarithmic)",
    ylabel="share of intervals beyond 0",
)
plots.ticks_at(ax.xaxis, numbers)

# %%
# Dashed: Student's formula. Dots: our own runs. They agree, so for these differences the formula
# can be trusted. What it says about experiments is sobering. The large difference is seen by almost
# any four seeds. The small ones are missed by most experiments of five or ten seeds, and such an
# experiment then says "0 is not ruled out", which is correct, and is easily read as "no
# difference".
#
# The lesson itself
# -----------------
# How many seeds does it take where we want to know? We need σ there, and a pilot of a few seeds
# tells it roughly: all 48,000 images, three schemes, five seeds. The means of schemes and of seeds
# are subtracted; what is left is the noise of one run that its pair does not share, and √2
# times that is σ. From it, :func:`initguide.experiments.seeds_needed` tells how many seeds have a
# power of 80 %:

pilot = initguide.compare_init_weights(
    ["general_rule", "xavier_normal", "he_normal"], data, seeds=5
)


def sd_of_difference(comparison):
    """σ of a paired difference, pooled over all schemes, and its 95 % interval, in points."""
    x = 100 * np.array([comparison.values(label) for label in comparison.labels])
    rest = x - x.mean(0) - x.mean(1, keepdims=True) + x.mean()
    free = (len(x) - 1) * (len(x[0]) - 1)
    ends = free / stats.chi2.ppf([0.975, 0.025], free)
    return math.sqrt(2 * (rest**2).sum() / free) * np.sqrt([1, *ends])


sds = [sd_of_difference(result), sd_of_difference(pilot)]
columns = {"σ": ["{:.2f} ({:.2f} to {:.2f})".format(*three) for three in sds]}
for difference in (0.1, 0.3, 1.0):
    columns[f"δ = {difference:g}"] = [
        "{} ({} to {})".format(*(seeds_needed(difference, sd) for sd in three))
        for three in sds
    ]
sizes = [f"{len(small.train):,} images", f"{len(data.train):,} images"]
initguide.Table(
    {"trained on": sizes} | columns,
    caption="Seeds needed to see a difference, four times out of five",
    note="δ and σ in points. In brackets: the 95 % interval of σ, and what its ends ask for.",
)

# %%
# Read a row from left to right: three times the difference asks for about a ninth of the seeds,
# until so few are left that Student's t makes up for it. With all images the noise is smaller, and
# yet a tenth of a point is out of reach of anything one would call a quick experiment. The lesson's
# comparison can see a point, and with patience a third of one. A pilot of five seeds leaves the
# number uncertain by a factor of several, because the noise itself is noisy; it does tell five from
# fifty.
#
# .. admonition:: Try it
#
#    How many seeds would the small comparison need with *unrelated* seeds, and what does pairing
#    save for the pair He normal and Xavier normal?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          difference = abs(paired["xavier_normal", "he_normal"].mean())
#          alone = math.hypot(*(points[s].std(ddof=1) for s in ("xavier_normal", "he_normal")))
#          together = paired["xavier_normal", "he_normal"].std(ddof=1)
#          print("paired:", seeds_needed(difference, together))
#          print("unrelated:", seeds_needed(difference, alone))
#          # The numbers go about as the squares of the two standard deviations. (With unrelated
#          # seeds Student's t has a few more degrees of freedom, which hardly matters here.)
#
# What we learnt
# --------------
# - A single run of a scheme is one draw from a cloud that is wider than most differences between
#   schemes that work.
# - Pairing by the seed makes the noise of a difference smaller, most of all where two schemes draw
#   the same random numbers.
# - The seeds needed go with (σ/δ)². In the lesson's comparison a handful of seeds shows a
#   difference of a point, a third of it takes a dozen or several, and a tenth about a hundred or
#   more. A pilot of a few seeds tells σ well enough to know about which of these it is.
#
# So before you compare: decide which difference would matter to you, run a few seeds, compute how
# many it takes, and if that is too many, say that you cannot tell. How often somebody who ran a
# single seed is wrong, and where the noise comes from, is measured in :doc:`plot_9_one_seed`. How
# the intervals on this site are made is told in :doc:`/numbers`.
