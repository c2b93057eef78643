"""
9. What one seed says
=====================

Two schemes, one run of each, and one of them wins. How often is it the wrong one? This page counts
that, then asks where the noise comes from, and finds a part of it that no number of seeds removes.

.. index:: ! random seed, single: seed; sources of its noise

.. admonition:: What you will learn

   - how often one run of each scheme names the wrong winner
   - whether the weights or the order of the mini-batches make the noise
   - what the choice of the validation images adds

.. meta::
   :keywords: random seed, single run, wrong winner, good seed, lucky seed, seed hunting,
      reproducibility, sources of variance, order of mini-batches, binomial error
"""

# %%
# The wrong winner
# ----------------
# As in :doc:`plot_8_how_many_seeds`, the lesson's network is trained on 3,000 images, from four
# schemes with thirty seeds each:

import itertools
import math

import numpy as np
import torch
from scipy import stats

import initguide
from initguide import plots

data = initguide.fashion_mnist()
small = data.subset(train=3000, valid=min(4000, len(data.valid)), test=1000)
schemes = ["general_rule", "lecun_normal", "xavier_normal", "he_normal"]
seeds = 30
result = initguide.compare_init_weights(schemes, small, seeds=seeds)
points = {label: 100 * result.values(label) for label in schemes}

# %%
# There the clouds of single runs lay on top of each other. With one seed there is no interval, only
# a winner. Let δ be the true difference of two schemes, and σ its standard deviation over
# seeds. If differences are normal, the winner is the wrong one with probability Φ(−|δ|/σ). If
# both runs have the same seed, they share the order of the mini-batches and the dropout masks, and
# σ is smaller than if they do not (somebody else's number beside yours). We count how often it
# happened here, for all six pairs of schemes: with 30 paired seeds, and with 30 · 29 pairs of
# different seeds.

measured = {"paired seeds": [], "unrelated seeds": []}
predicted = {"paired seeds": [], "unrelated seeds": []}
same = np.eye(seeds, dtype=bool)
clearness = []
for a, b in itertools.combinations(points.values(), 2):
    d = b[:, None] - a  # every seed of b against every seed of a
    sds = d[same].std(ddof=1), math.hypot(a.std(ddof=1), b.std(ddof=1))
    clearness.append(f"{abs(d[same].mean()) / sds[0]:.1f}")
    for kind, chosen, sd in zip(measured, (d[same], d[~same]), sds, strict=True):
        wrong = np.sign(d[same].mean()) * chosen < 0
        measured[kind].append(100 * (wrong.mean() + np.mean(chosen == 0) / 2))
        predicted[kind].append(100 * stats.norm.cdf(-abs(d[same].mean()) / sd))
plots.plot_prediction(
    measured,
    predicted,
    at=clearness,
    log=False,
    title="How often one seed names the wrong winner",
    xlabel="pair of schemes: its |δ|/σ",
    ylabel="wrong winners, %",
)

# %%
# Each place is one pair of schemes: at the left the three with the general rule, at the right the
# closest pair. Dashed is what the normal distribution predicts. With thirty draws, a share of 40 %
# strays by 9 points, and so do the dots of the paired seeds. Where the difference is several times
# the noise, one seed is never wrong. Where it is a fraction of the noise, one seed is hardly better
# than a coin. (The true difference is not known either: for the closest pair, thirty seeds
# themselves may name the wrong one.) Runs that do not share the seed are wrong more often, for
# every pair whose difference is neither near 0 nor very large.
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


fixed_weights = initguide.sweep(
    {"scheme": {"weights of seed 1000": weights_of(1000)}}, small, seeds=seeds
)
fixed_order = initguide.sweep(
    {"scheme": {f"weights of seed {s}": weights_of(s) for s in range(seeds)}},
    small,
    seeds=[1000],
)
both = points["he_normal"]
varied = {
    "weights and order": both,
    "order and dropout only": 100 * fixed_weights.values(),
    "weights only": 100 * fixed_order.values(),
}
columns = {
    "sd of the accuracy": [x.std(ddof=1) for x in varied.values()],
    "correlation with both": [np.corrcoef(both, x)[0, 1] for x in varied.values()],
}
initguide.Table(
    {"what varies": list(varied)} | columns,
    caption="Noise of one scheme, He normal, in points of validation accuracy",
    note=f"{seeds} runs each. Correlation: with those runs of the first row that have the same "
    "order and masks, or the same weights.",
    formats=dict.fromkeys(columns, ".2f"),
)

# %%
# Thirty runs tell a standard deviation to about a quarter of itself, and within that each source
# alone makes most of the noise. So the two do not add up: the squares of the last two
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
# is q, the error is √(q − d²)/√N, with d the difference. Both are the standard deviation of "right"
# (1 or 0), or of its difference, divided by √N:


def right(scheme):
    """For each validation image, whether a network trained from a scheme gets it right."""
    net = initguide.initialize(initguide.Net(), scheme, seed=0)
    initguide.training.train(net, small, seed=0)
    with torch.no_grad():
        chosen = net.eval()(data.valid.images).argmax(1)
    return (chosen == data.valid.labels).double()


he, xavier = right("he_normal"), right("xavier_normal")
for name, x in {"He normal": he, "He normal − Xavier normal": he - xavier}.items():
    error = x.std() / math.sqrt(len(x))
    print(f"{name}: {100 * x.mean():.2f} % ± {100 * error:.2f}, N = {len(x):,}")

# %%
# This error stands beside the seeds' noise: on all validation images of Fashion-MNIST it is a few
# tenths of a point, and it does not shrink by a single seed more. For a difference it is smaller,
# for two networks mostly fail on the same images, and that is one more reason to compare on the
# same images. An interval over seeds speaks of *these* images; "A is better than B by a tenth of a
# point" on a set of ten thousand says little about the next ten thousand. :cite:t:`bouthillier2021`
# draw the data anew, too, and count that among what moves results markedly.
#
# .. admonition:: Try it
#
#    Somebody ran five seeds of each scheme, not one, and names the scheme with the higher mean. How
#    often is that the wrong one, for Xavier normal and He normal?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          d = points["he_normal"] - points["xavier_normal"]
#          for n in (1, 5, 30):
#              wrong = stats.norm.cdf(-abs(d.mean()) / d.std(ddof=1) * math.sqrt(n))
#              print(f"{n} seeds: {100 * wrong:.0f} %")
#          # The mean of n seeds has a standard deviation that is √n times smaller.
#
# What we learnt
# --------------
# - One seed names the wrong winner as often as the normal distribution says: never for large
#   differences, and nearly every other time for small ones. So a single run of each of two schemes
#   tells them apart only if they are far apart.
# - The weights alone make most of the noise, and so do order and masks alone. None is "the" cause.
# - More seeds do not make up for few images.
#
# So when somebody reports one run of each scheme, read a small difference as the toss of a coin.
# How many runs would settle it is worked out in :doc:`plot_8_how_many_seeds`.
#
# To have many runs done at once, on several machines, and to lose none of them, read
# :doc:`plot_10_a_sweep_on_a_cluster`.
