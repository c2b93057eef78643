"""
8. How many seeds?
==================

Train the same network again with another seed, and its accuracy moves. Two schemes differ, too,
often by less than that. This page measures the noise, works out how many seeds it takes to see a
difference through it, and asks what else "another run" might have changed.

.. index:: ! how many seeds, ! statistical power

.. admonition:: What you will learn

   - how large the noise from seed to seed is, and what pairing takes away from it
   - how many seeds a difference asks for, and how far a pilot of a few seeds can tell
   - what the choice of the validation images adds, which no seed shows as long as all share them

.. meta::
   :keywords: how many seeds, noise, variance between runs, statistical power, sample size,
      significance, standard deviation, error bars, paired comparison, validation split
"""

# %%
# Thirty runs of each
# -------------------
# Below its :term:`noise floor`, a comparison cannot tell anything. How high is it? To repeat
# something often, we take the lesson's network with fewer images. The lesson's turn comes below.

import itertools
import math

import numpy as np
from scipy import stats

import initguide
from initguide import plots
from initguide.experiments import estimate_effect, estimate_sd, power, seeds_needed

data = initguide.fashion_mnist()
small = data.subset(train=3000, valid=min(4000, len(data.valid)), test=1000)
others = ["general_rule", "lecun_normal", "xavier_normal"]
schemes = [*others, "he_normal", "he_uniform"]
seeds = 30
result = initguide.compare_init_weights(schemes, small, seeds=seeds)
plots.plot_accuracy(result)

# %%
# A small dot is one run. If you train each scheme once, you draw one dot from each row. More seeds
# make the thick line narrower, the interval of the mean, and the next single run no more certain.

points = {label: 100 * result.values(label) for label in schemes}
pairs = list(itertools.combinations(schemes, 2))
paired = {(a, b): points[b] - points[a] for a, b in pairs}
width = min(np.ptp(x) for x in points.values())
hidden = sum(abs(d.mean()) < width for d in paired.values())
initguide.says(
    hidden > len(pairs) / 2,
    "The narrowest of these clouds is {width:.1f} points wide. Of the {of} differences between two "
    "schemes' means, {hidden} are smaller than that.",
    "The narrowest of these clouds is {width:.1f} points wide, and only {hidden} of the {of} "
    "differences between two schemes' means are smaller.",
    width=width,
    hidden=hidden,
    of=len(pairs),
)

# %%
# What a pair shares
# ------------------
# For one seed, all schemes see the same mini-batches in the same order and the same dropout masks.
# So we compare seed by seed, and what both runs owe to the order cancels. The three normal schemes
# share even more: they draw the *same* random numbers and multiply them by different factors. How
# much does that help? Here is the standard deviation over seeds of the paired difference, beside
# the one that it would have if the runs had nothing in common, the root of the variances' sum:

sds = [d.std(ddof=1) for d in paired.values()]
unrelated = [
    math.hypot(points[a].std(ddof=1), points[b].std(ddof=1)) for a, b in pairs
]
initguide.Table(
    {
        "pair": [f"{b} − {a}" for a, b in pairs],
        "sd, paired": sds,
        "sd, unrelated": unrelated,
    },
    caption="How far one seed's difference of validation accuracy strays, in points",
    note=f"{seeds} seeds, {len(small.train):,} training images. sd: standard deviation over seeds.",
    formats={"sd, paired": ".2f", "sd, unrelated": ".2f"},
)

# %%
# The number of seeds goes with the *square* of the standard deviation, so the square of the last
# two columns' ratio says how many unpaired seeds a paired one is worth:

worth = np.divide(unrelated, sds) ** 2
most = pairs[np.argmax(worth)]
same_draws = all(label.endswith("_normal") for label in most)
(
    initguide.says(
        min(worth) > 1,
        "Pairing helped in every pair: a paired seed is worth {least:.1f} to {most:.1f} unpaired "
        "ones.",
        "Pairing did not help in every pair: a paired seed is worth {least:.1f} to {most:.1f} "
        "unpaired ones.",
        least=min(worth),
        most=max(worth),
    )
    + initguide.says(
        same_draws,
        "It helped most between two schemes whose weights are the same up to a factor: {b} and "
        "{a}.",
        "It helped most between {b} and {a}, whose weights are different draws.",
        a=most[0],
        b=most[1],
    )
)

# %%
# Seeds for a difference
# ----------------------
# Let δ be the true difference, and σ the standard deviation of the paired difference. With n seeds,
# the interval is mean ± t · s/√n, with t from Student's distribution for n − 1 degrees of freedom.
# The chance that it lies on the right side of 0 is called the :term:`power`. It depends on n and on
# δ/σ alone, through the *noncentral* t distribution: :func:`initguide.experiments.power`.
#
# That supposes that differences are normally distributed, and that we know δ/σ. The first seeds
# estimate it: :func:`initguide.experiments.estimate_effect`. To check, we train a hundred others,
# draw n of them with replacement, 4,000 times over, and count how often the interval lies above 0.

rng = np.random.default_rng(0)
numbers = [3, 4, 5, 7, 10, 15, 20, 30, 50, 80]
fresh = initguide.compare_init_weights(
    [*others, "he_normal"], small, seeds=range(seeds, seeds + 100)
)


def share_above_0(differences, n):
    """How often the 95 % interval of n differences, drawn at random, lies above 0."""
    drawn = rng.choice(differences, (4000, n))
    half = stats.t.ppf(0.975, n - 1) * drawn.std(1, ddof=1) / math.sqrt(n)
    return np.mean(drawn.mean(1) > half)


found, predicted, off, fewer = {}, {}, [], 0
for other in others:
    old, d = (c.difference("he_normal", other).per_seed for c in (result, fresh))
    sign = np.sign(old.mean())
    effect, known = estimate_effect(sign * old), max(0, sign * d.mean() / d.std())
    label = f"he_normal − {other}, δ/σ = {effect.mean:.1f}"
    found[label] = [share_above_0(sign * d, n) for n in numbers]
    predicted[label] = [power(n, effect.mean) for n in numbers]
    formula = [power(n, known) for n in numbers]
    off.append(np.abs(np.subtract(found[label], formula)).max())
    fewer += known < effect.mean
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
# Dashed: Student's formula with the δ/σ of the first seeds. Dots: the fresh ones. Where the two
# part, either the formula is wrong, or the estimate of δ/σ was:

low, high = (power(10, max(0, end)) for end in effect.interval)  # of the last pair
five, ten = (found[label][numbers.index(n)] for n in (5, 10))
(
    initguide.says(
        max(off) < 0.05,
        "The formula is right: with the δ/σ of the fresh seeds themselves, it is off by at most "
        "{off:.1f} percentage points.",
        "The formula is off by up to {off:.1f} percentage points even with the δ/σ of the fresh "
        "seeds themselves: these differences are not quite normal.",
        off=100 * max(off),
    )
    + initguide.says(
        high - low > 0.2,
        "The estimate is the weak part: it was too high in {fewer} of the {of} pairs, and for the "
        "last pair {seeds} seeds leave the power of ten anywhere between {low:.0f} and "
        "{high:.0f} %.",
        "The estimate is good, too, though too high in {fewer} of the {of} pairs: for the last "
        "pair, {seeds} seeds tell the power of ten to be between {low:.0f} and {high:.0f} %.",
        fewer=fewer,
        of=len(off),
        low=100 * low,
        high=100 * high,
        seeds=seeds,
    )
    + initguide.says(
        low <= ten <= high,
        "With fresh seeds it is {seen:.0f} %, within that range.",
        "With fresh seeds it is {seen:.0f} %, outside of that range.",
        seen=100 * ten,
    )
    + initguide.says(
        five < 0.5,
        "So most experiments of five seeds miss this difference ({seen:.0f} % see it). They say "
        'that nothing is ruled out, which is correct, and is easily read as "no difference".',
        "Most experiments of five seeds see even this difference ({seen:.0f} % do).",
        seen=100 * five,
    )
)

# %%
# The lesson itself
# -----------------
# Each pair of schemes has a σ of its own. A pilot estimates it, here with all training images, and
# :func:`initguide.experiments.seeds_needed` tells how many seeds have a power of 80 %:

trio = ["general_rule", "xavier_normal", "he_normal"]
trios = list(itertools.combinations(trio, 2))
pilot = initguide.compare_init_weights(trio, data, seeds=10)
noise = [estimate_sd(100 * pilot.difference(b, a).per_seed) for a, b in trios]
columns = {
    "pair": [f"{b} − {a}" for a, b in trios],
    "σ": [f"{sd:.2f}" for sd in noise],
}
needed = {}
for delta in (0.1, 0.3, 1.0):
    counts = [
        [seeds_needed(delta, s) for s in (sd.mean, *sd.interval)] for sd in noise
    ]
    columns[f"δ = {delta:g}"] = ["{} ({} to {})".format(*count) for count in counts]
    needed[delta] = counts
initguide.Table(
    columns,
    caption="Seeds needed to see a difference, four times out of five",
    note="Ten seeds. δ and σ in points. In brackets: the 95 % interval of σ, and its ends' seeds.",
)

# %%
# From left to right, three times the difference asks for about a ninth of the seeds, until so few
# are left that Student's t makes up for it. In the brackets, see how noisy the noise itself is.

tenth, point = ([count for count, *_ in needed[delta]] for delta in (0.1, 1.0))
vague = max(high / low for _, low, high in needed[0.1])
(
    initguide.says(
        max(point) <= 10,
        "In the lesson's comparison, a difference of a whole point takes {point} seeds, by pair, "
        "and a tenth of it {tenth}.",
        "Even a difference of a whole point takes more than the pilot's seeds for some pair: "
        "{point}. A tenth of it takes {tenth}.",
        point=" or ".join(map(str, sorted(set(point)))),
        tenth=" to ".join(map(str, [min(tenth), max(tenth)])),
    )
    + initguide.says(
        vague > 3,
        "The pilot leaves such a number uncertain: for some pair the ends of the bracket are a "
        "factor of {vague:.0f} apart.",
        "The pilot tells such a number well: the ends of the brackets are at most a factor of "
        "{vague:.1f} apart.",
        vague=vague,
    )
)

# %%
# Another split
# -------------
# So far every seed was validated on the same images. Then an interval over seeds speaks of *these*
# images only. On N others, the fraction p that a network gets right has a standard error of
# √(p(1 − p)/N). With ``split="per seed"``, each seed divides training and validation images anew:

anew = initguide.compare_init_weights(trio[1:], data, seeds=10, split="per seed")

# %%

he = "he_normal"
right = pilot.values(he).mean()
error = 100 * math.sqrt(right * (1 - right) / len(data.valid))
moved = initguide.estimate(100 * (anew.values(he) - pilot.values(he)))
first, second = (c.difference(he, "xavier_normal") for c in (pilot, anew))
shift = initguide.estimate(100 * (second.per_seed - first.per_seed))
(
    initguide.says(
        moved.above(),
        "The one split is harder than the average of the ten: there, He normal does better, by "
        "{moved:+.2f} points.",
        "The one split is easier than the average of the ten: there, He normal does worse, by "
        "{moved:+.2f} points.",
        "Whether the one split is harder or easier than others, these seeds cannot tell: He normal "
        "moves by {moved:+.2f} points.",
        moved=moved,
    )
    + initguide.says(
        moved.within(-2 * error, 2 * error),
        "The standard error of {n:,} images is {error:.2f} points, and the step is within twice "
        "that: no surprise.",
        "The standard error of {n:,} images is {error:.2f} points, and the step is more than twice "
        "that: the one split is an unusual one.",
        "The standard error of {n:,} images is {error:.2f} points; whether the step is more than "
        "twice that, these seeds cannot tell.",
        n=len(data.valid),
        error=error,
    )
)

# %%
# Which of the two is "another run"? To know how *accurate* a network is, draw the split anew: it
# belongs to what chance decides. To know which scheme is *better*, either is fair, for a pair of
# runs shares its split. One split for all is the default: where the validation images are of a
# later year, or of other people, they must not be mixed into the others.
#
# .. admonition:: Try it
#
#    What does pairing save? Ask for half a point, with both standard deviations of the first pair.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          print("paired:", seeds_needed(0.5, sds[0]))
#          print("unrelated:", seeds_needed(0.5, unrelated[0]))
#          # The numbers go about as the squares of the two standard deviations.
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        hidden > len(pairs) / 2,
        "A single run of a scheme is one draw from a cloud that is wider than most of the "
        "differences between these schemes ({hidden} of {of}).",
        "A single run is one draw from a cloud; most differences between these schemes are wider "
        "than it, and {hidden} of {of} are not.",
        hidden=hidden,
        of=len(pairs),
    ),
    initguide.says(
        min(worth) > 1 and same_draws,
        "Pairing by the seed made the noise of every difference smaller, most of all where two "
        "schemes draw the same random numbers.",
        "Pairing by the seed did not make every difference's noise smaller, or not most where two "
        "schemes draw the same random numbers.",
        key="pairing-helps",
    ),
    initguide.says(
        max(off) < 0.05,
        "The seeds needed go with (σ/δ)², as Student's formula says, which fresh seeds bear out. σ "
        "belongs to a pair of schemes, and a pilot tells it roughly.",
        "The seeds needed go about with (σ/δ)²: given the δ/σ of fresh seeds, Student's formula "
        "parts from them by up to {off:≤.0f} percentage points; given that of other seeds, see the "
        "dashed lines.",
        off=100 * max(off),
    ),
    initguide.says(
        max(point) <= 10 and min(tenth) > 10,
        "In the lesson's comparison {point} seeds show a difference of a point four times out of "
        "five, and {tenth} one of a tenth, by the pilot's σ.",
        "In the lesson's comparison, seeds needed for a point are {point}, and for a tenth "
        "{tenth}, by the pilot's σ.",
        point=" or ".join(map(str, sorted(set(point)))),
        tenth=" to ".join(map(str, [min(tenth), max(tenth)])),
        key="seeds-needed",
    ),
    initguide.says(
        shift.within(-0.5, 0.5),
        "Splits drawn anew moved the accuracy of He normal by {moved:+.2f} points, and its "
        "difference to Xavier normal by less than half a point, {shift:+.2f}. Intervals over seeds "
        "cover this only if the split is drawn anew.",
        "Splits drawn anew moved the accuracy of He normal by {moved:+.2f} points, and its "
        "difference to Xavier normal by more than half a point, {shift:+.2f}. Intervals over seeds "
        "cover this only if the split is drawn anew.",
        "Splits drawn anew moved the accuracy of He normal by {moved:+.2f} points, and its "
        "difference to Xavier normal by {shift:+.2f}, which may be half a point or not. Intervals "
        "over seeds cover this only if the split is drawn anew.",
        moved=moved,
        shift=shift,
        key="another-split",
    ),
)

# %%
# So before you compare: decide which difference would matter to you, run a few seeds, compute how
# many it takes, and if that is too many, say that you cannot tell. How often a single seed is wrong
# is counted in :doc:`plot_9_one_seed`; how intervals are made is told in :doc:`/numbers`.
