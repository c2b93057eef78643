"""
8. How many seeds?
==================

Train the same network again with another seed, and its accuracy moves. Two schemes differ, too,
often by less than that. This page measures the noise, works out how many seeds it takes to see a
difference through it, and counts how often a single seed names the wrong winner.

.. admonition:: What you will learn

   - how large the noise from seed to seed is, and what pairing takes away from it
   - how many seeds a difference of 0.1, 0.3 or 1 percentage point asks for
   - how often one run of each scheme names the wrong winner
   - where the noise comes from, and which part of it no number of seeds removes

.. meta::
   :keywords: how many seeds, random seed, noise, variance between runs, statistical power, sample
      size, significance, reproducibility, standard deviation, error bars

.. index:: ! how many seeds, ! statistical power, ! random seed
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
import torch
from scipy import stats

import initguide
from initguide import plots

data = initguide.fashion_mnist()
small = data.subset(train=3000, valid=min(4000, len(data.valid)), test=1000)
schemes = {
    "General rule": "general_rule",
    "LeCun normal": "lecun_normal",
    "Xavier normal": "xavier_normal",
    "He normal": "he_normal",
    "He uniform": "he_uniform",
}
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
# multiply them by different factors:

he, lecun = (
    initguide.initialize(initguide.Net(), scheme, seed=0)
    for scheme in ("he_normal", "lecun_normal")
)
ratio = he.fc1.weight / lecun.fc1.weight
print(f"He normal / LeCun normal: {ratio.min():.4f} to {ratio.max():.4f}")

# %%
# How much that helps is the standard deviation over seeds of the paired difference, beside the one
# that the difference would have if the runs had nothing in common, which is the root of the sum of
# both variances:


def points(label):
    """Validation accuracy of each seed, in percentage points."""
    return 100 * result.values(label)


pairs = list(itertools.combinations(schemes, 2))
paired = {(a, b): points(b) - points(a) for a, b in pairs}
initguide.Table(
    {
        "pair": [f"{b} − {a}" for a, b in pairs],
        "difference": [d.mean() for d in paired.values()],
        "sd, paired": [d.std(ddof=1) for d in paired.values()],
        "sd, unrelated": [
            math.hypot(points(a).std(ddof=1), points(b).std(ddof=1))
            for a, b in pairs
        ],
        "correlation": [np.corrcoef(points(a), points(b))[0, 1] for a, b in pairs],
    },
    caption="Differences of validation accuracy, in points: the mean, and how far one seed strays",
    note=f"{seeds} seeds, {len(small.train):,} training images. sd: standard deviation over seeds.",
    formats={
        "difference": "+.2f",
        "sd, paired": ".2f",
        "sd, unrelated": ".2f",
        "correlation": ".2f",
    },
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
# δ/σ alone, through the *noncentral* t distribution:


def power(n, effect):
    """Chance that the 95 % interval from n seeds is wholly above 0, if δ/σ is the effect."""
    n = np.asarray(n, dtype=float)
    threshold = stats.t.ppf(0.975, n - 1)
    return stats.nct.sf(threshold, n - 1, effect * np.sqrt(n))


def seeds_needed(difference, sd, wanted=0.8):
    """Smallest number of seeds with the wanted power."""
    n = np.arange(2, 5000)
    return int(n[np.argmax(power(n, difference / sd) >= wanted)])


# %%
# That supposes that differences are normally distributed. Are they? We draw n of our seeds, with
# replacement, 4,000 times over, and count how often the interval lies above 0. As the truth we take
# the mean and standard deviation of all the seeds that we draw from:

rng = np.random.default_rng(0)
numbers = np.unique(np.geomspace(3, 80, 14).round().astype(int))


def share_above_0(differences, n):
    """How often the 95 % interval of n differences, drawn at random, lies above 0."""
    drawn = rng.choice(differences, (4000, n))
    half = stats.t.ppf(0.975, n - 1) * drawn.std(1, ddof=1) / math.sqrt(n)
    return np.mean(drawn.mean(1) > half)


shown = [
    ("General rule", "He normal"),
    ("LeCun normal", "He normal"),
    ("Xavier normal", "He normal"),
    ("Xavier normal", "He uniform"),
]
fig, ax = plots.subplots()
fine, gap, words = np.geomspace(3, 100, 200), 0.0, []
for (a, b), color, mark in zip(shown, plots.PALETTE, "os^D", strict=False):
    d = paired[a, b] * np.sign(paired[a, b].mean())
    effect = d.mean() / d.std()
    found = [share_above_0(d, n) for n in numbers]
    ax.plot(fine, power(fine, effect), color=color)
    ax.plot(
        numbers, found, mark, color=color, ms=5, label=f"{b} − {a}, {effect:.1f}"
    )
    gap = max(gap, np.abs(found - power(numbers, effect)).max())
    words.append(f"{b} − {a} {power(10, effect):.2f}")
ax.axhline(0.8, color="0.45", ls="--", lw=1)
ax.set(
    title="Chance to see a difference that is there",
    xlabel="paired seeds (logarithmic)",
    ylabel="share of intervals beyond 0",
    xscale="log",
    ylim=(0, 1.03),
)
ax.set_xticks([3, 5, 10, 20, 50, 100], [3, 5, 10, 20, 50, 100])
ax.set_xticks([], minor=True)
ax.legend(title="pair and its δ/σ", loc="lower right", fontsize=9)
plots.describe(
    ax,
    "Share of intervals beyond 0, on the right side, against the number of seeds. Lines: "
    f"predicted; points: resampled, at most {gap:.2f} off. "
    f"Predicted for 10 seeds: {', '.join(words)}.",
)
centred = (
    paired["General rule", "He normal"] - paired["General rule", "He normal"].mean()
)
for n in (5, 30):
    false = share_above_0(centred, n) + share_above_0(-centred, n)
    print(f"no difference, {n} seeds: {100 * false:.1f} % of the intervals miss 0")

# %%
# Lines: Student's formula. Points: our own runs. They agree, so for these differences the formula
# can be trusted, and where there is no difference, about one interval in twenty sees one, as 95 %
# promises. What it says about experiments is sobering. The large difference is seen by almost any
# four seeds. The small ones are missed by most experiments of five or ten seeds, and such an
# experiment then says "0 is not ruled out", which is correct, and is easily read as "no
# difference".
#
# The lesson itself
# -----------------
# How many seeds does it take where we want to know? We need σ there, and a pilot of a few seeds
# tells it roughly. All 48,000 images, three schemes, five seeds. The schemes' means and the seeds'
# means are subtracted; what is left over is the noise of one run that its pair does not share, and
# √2 times that is σ:

pilot = initguide.compare_init_weights(
    ["general_rule", "xavier_normal", "he_normal"], data, seeds=5
)


def sd_of_difference(values):
    """(schemes, seeds) -> σ of a paired difference, and its 95 % interval."""
    rest = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    free = (len(values) - 1) * (len(values[0]) - 1)
    total = 2 * (rest**2).sum()
    low, high = total / stats.chi2.ppf([0.975, 0.025], free)
    return math.sqrt(total / free), (math.sqrt(low), math.sqrt(high))


measured = {
    f"{len(small.train):,} images, {seeds} seeds": np.array(
        [points(s) for s in schemes]
    ),
    f"{len(data.train):,} images, 5 seeds": np.array(
        [100 * pilot.values(label) for label in pilot.labels]
    ),
}
columns = {
    "comparison": [],
    "σ": [],
    "0.1 points": [],
    "0.3 points": [],
    "1 point": [],
}
for name, values in measured.items():
    sd, ends = sd_of_difference(values)
    columns["comparison"].append(name)
    columns["σ"].append(f"{sd:.2f} ({ends[0]:.2f} to {ends[1]:.2f})")
    for column, difference in zip(list(columns)[2:], (0.1, 0.3, 1.0), strict=True):
        best, low, high = (seeds_needed(difference, x) for x in (sd, *ends))
        columns[column].append(f"{best} ({low} to {high})")
initguide.Table(
    columns,
    caption="Seeds needed to see a difference, four times out of five",
    note="Interval of 95 %, power of 80 %. In brackets: the 95 % interval of σ, pooled over the "
    "schemes, and what its ends ask for.",
)

# %%
# Read a row from left to right: three times the difference asks for about a ninth of the seeds,
# until so few are left that Student's t makes up for it. With all images the noise is smaller, and
# yet a tenth of a point is out of reach of anything one would call a quick experiment. The lesson's
# comparison can see a point, and with patience a third of one. A pilot of five seeds leaves the
# number uncertain by a factor of several, because the noise itself is noisy; it does tell five from
# fifty.
#
# What one seed says
# ------------------
# With one seed there is no interval, only a winner. If differences are normal, it is the wrong one
# with probability Φ(−|δ|/σ). If the two runs do not share the seed (somebody else's number beside
# yours), σ is the larger one of the first table. Against that we hold how often it happened here,
# for all ten pairs of schemes: with 30 paired seeds, and with 30 · 29 pairs of different seeds.

fig, ax = plots.subplots(width=5.6, height=4.6)
rows = {"paired": [], "unrelated": []}
for a, b in pairs:
    d = points(b)[:, None] - points(a)  # every seed of b against every seed of a
    sign, same = np.sign(paired[a, b].mean()), np.eye(seeds, dtype=bool)
    sds = {
        "paired": paired[a, b].std(ddof=1),
        "unrelated": math.hypot(points(a).std(ddof=1), points(b).std(ddof=1)),
    }
    for kind, chosen in (("paired", d[same]), ("unrelated", d[~same])):
        wrong = np.mean(sign * chosen < 0) + np.mean(chosen == 0) / 2
        predicted = stats.norm.cdf(-abs(paired[a, b].mean()) / sds[kind])
        rows[kind].append((predicted, wrong))
for (kind, found), color, mark in zip(
    rows.items(), plots.PALETTE, "os", strict=False
):
    ax.plot(*100 * np.transpose(found), mark, color=color, label=f"{kind} seeds")
x = np.linspace(0, 0.5, 101)
band = stats.binom.ppf([[0.025], [0.975]], seeds, x) / seeds
ax.fill_between(100 * x, *(100 * band), color="0.5", alpha=0.2, lw=0, step="mid")
ax.plot([0, 50], [0, 50], "--", color="0.45", lw=1)
ax.set(
    title="How often one seed names the wrong winner",
    xlabel="predicted, %",
    ylabel="measured, %",
)
ax.legend(loc="upper left")
in_words = ", ".join(f"{100 * p:.0f} and {100 * m:.0f}" for p, m in rows["paired"])
plots.describe(
    ax,
    "Wrong winners measured against wrong winners predicted, in percent, for ten pairs of schemes. "
    f"Paired, predicted and measured: {in_words}. All lie along the diagonal.",
)
first = np.array([points(label) for label in schemes]).argmax(0)
print(
    "first of five, with one seed: "
    + ", ".join(f"{s} {np.sum(first == i)}" for i, s in enumerate(schemes))
    + f" of {seeds}"
)

# %%
# Grey: where 95 % of the paired points lie if the prediction is right. The normal distribution
# tells how often one seed is wrong. Where the difference is several times the noise, never. Where
# it is a fraction of the noise, one seed is hardly better than a coin. (The true difference is not
# known either: for the closest pairs, thirty seeds themselves may name the wrong one.) Runs that do
# not share the seed are wrong more often, for every pair whose difference is not near 0.
#
# Where the noise comes from
# --------------------------
# A seed draws the weights, the order of the mini-batches and the dropout masks. Which of these
# makes the noise? We fix one of them and vary the other, with a scheme that draws its weights as a
# run with another seed would:


def weights_of(other_seed):
    """He's normal weights as a run with another seed draws them."""

    def weights_init(module):
        if isinstance(module, initguide.Net):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(other_seed)
                net = initguide.initialize(initguide.Net(), "he_normal")
            module.load_state_dict(net.state_dict())

    return weights_init


fixed_weights = initguide.compare_init_weights(
    {"weights of seed 1000": weights_of(1000)}, small, seeds=seeds
)
fixed_order = initguide.sweep(
    {"scheme": {f"weights of seed {s}": weights_of(s) for s in range(seeds)}},
    small,
    seeds=[1000],
)
varied = {
    "weights and order": points("He normal"),
    "order and dropout only": 100 * fixed_weights.values("weights of seed 1000"),
    "weights only": 100 * fixed_order.values(),
}
ends = np.sqrt((seeds - 1) / stats.chi2.ppf([0.975, 0.025], seeds - 1))
columns = {"what varies": [], "sd of the accuracy": [], "correlation with both": []}
for name, values in varied.items():
    sd = values.std(ddof=1)
    columns["what varies"].append(name)
    columns["sd of the accuracy"].append(
        f"{sd:.2f} ({sd * ends[0]:.2f} to {sd * ends[1]:.2f})"
    )
    r = stats.pearsonr(points("He normal"), values)
    low, high = r.confidence_interval()
    columns["correlation with both"].append(
        f"{r.statistic:.2f} ({low:.2f} to {high:.2f})".replace("-", "−")
        if r.statistic < 0.99
        else "1"
    )
initguide.Table(
    columns,
    caption="Noise of one scheme, He normal, in points of validation accuracy",
    note=f"{seeds} runs each, with 95 % intervals. Correlation: with those runs of the first row "
    "that have the same order and masks, or the same weights.",
)

# %%
# Each source alone makes most of the noise. So the two do not add up: the squares of the last two
# numbers come to more than the square of the first. Training is sensitive, and any difference,
# wherever it comes from, sends it another way; :cite:t:`jordan2023` comes to the same conclusion
# for networks trained on CIFAR-10. The correlations say what a pair shares. Runs with the same
# order have much in common, and that is what pairing takes away. Runs with the same weights and
# another order share less, if these runs can tell that it is anything at all: weights that did well
# once promise little for the next order. So a scheme has to be judged over seeds, and a "good seed"
# is not worth looking for.
#
# The images
# ----------
# One part of the noise no seed ever shows, because it is the same for all of them: which images
# happen to be in the validation set. Of N images, a network that gets the fraction p right on
# average gets it right on a set of N within a binomial error of √(p(1 − p)/N). For the difference
# of two networks only those images count that one gets right and the other does not. If their share
# is q, the error is √(q − d²)/√N, with d the difference. We cut the validation images into 40 sets
# and look how the same two networks do on each:


def right(scheme):
    """For each validation image, whether a network trained from a scheme gets it right."""
    net = initguide.initialize(initguide.Net(), scheme, seed=0)
    initguide.training.train(net, small, seed=0)
    with torch.no_grad():
        scores = net.eval()(data.valid.images)
    return (scores.argmax(1) == data.valid.labels).double()


he, xavier = right("he_normal"), right("xavier_normal")
size = len(he) // 40
rows = {"of one network": he, "of the difference of two": he - xavier}
initguide.Table(
    {
        "accuracy": list(rows),
        "predicted": [
            100 * math.sqrt(x.var(correction=0) / size) for x in rows.values()
        ],
        "measured": [
            100 * x[: 40 * size].view(40, size).mean(1).std().item()
            for x in rows.values()
        ],
        "all validation images": [
            100 * math.sqrt(x.var(correction=0) / len(x)) for x in rows.values()
        ],
    },
    caption="Binomial error: what the choice of the images does to an accuracy, in points",
    note=f"Predicted and measured for sets of {size} images, predicted for all {len(he):,}. The "
    "networks: He normal and Xavier normal, seed 0.",
    formats=dict.fromkeys(
        ("predicted", "measured", "all validation images"), ".2f"
    ),
)

# %%
# The binomial error is what it should be, as near as forty sets can tell. It stands beside the
# seeds' noise: on all validation images of Fashion-MNIST it is a few tenths of a point, and it does
# not shrink by a single seed more. For a difference it is smaller, for two networks mostly fail on
# the same images, and that is one more reason to compare on the same images. An interval over seeds
# speaks of *these* images; "A is better than B by a tenth of a point" on a set of ten thousand says
# little about the next ten thousand. :cite:t:`bouthillier2021` draw the data anew, too, and count
# that among what moves results markedly.
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
#          difference = abs(paired["Xavier normal", "He normal"].mean())
#          alone = math.hypot(*(points(s).std(ddof=1) for s in ("Xavier normal", "He normal")))
#          together = paired["Xavier normal", "He normal"].std(ddof=1)
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
# - One seed names the wrong winner as often as the normal distribution says: never for large
#   differences, and nearly every other time for small ones.
# - The weights alone make most of the noise, and so do order and masks alone. None is "the" cause.
# - More seeds do not make up for few images.
#
# So before you compare: decide which difference would matter to you, run a few seeds, compute how
# many it takes, and if that is too many, say that you cannot tell. To have many runs done at once,
# on several machines, and to lose none of them, read :doc:`plot_10_a_sweep_on_a_cluster`. How the
# intervals on this site are made is told in :doc:`/numbers`.
