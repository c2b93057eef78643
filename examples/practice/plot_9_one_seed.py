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
from initguide.experiments import Estimate

data = initguide.fashion_mnist()
small = data.subset(train=3000, valid=min(4000, len(data.valid)), test=1000)
schemes = ["general_rule", "lecun_normal", "xavier_normal", "he_normal"]
seeds = 30
result = initguide.compare_init_weights(schemes, small, seeds=seeds)
points = {label: 100 * result.values(label) for label in schemes}

# %%
# With one seed there is no interval, only a winner. Let δ be the true difference of two schemes,
# and σ its standard deviation over seeds. If differences are normal, the winner is the wrong one
# with probability :math:`\Phi(-|\delta|/\sigma)`. If both runs have the same seed, they share the
# order of the mini-batches and the dropout masks, and σ may be smaller than if they do not
# (somebody else's number beside yours). We count how often it happened here, for all six pairs of
# schemes: with 30 paired seeds, and with 30 · 29 pairs of different seeds.

measured = {"paired seeds": [], "unrelated seeds": []}
predicted = {"paired seeds": [], "unrelated seeds": []}
same = np.eye(seeds, dtype=bool)
ratios = []
for a, b in itertools.combinations(points.values(), 2):
    d = b[:, None] - a  # every seed of b against every seed of a
    gap, sd = d[same].mean(), d[same].std(ddof=1)
    sd_unrelated = math.hypot(a.std(ddof=1), b.std(ddof=1))
    ratios.append(abs(gap) / sd)
    for kind, chosen, noise in (
        ("paired seeds", d[same], sd),
        ("unrelated seeds", d[~same], sd_unrelated),
    ):
        won = np.sign(gap) * chosen
        wrong = np.mean(won < 0) + np.mean(won == 0) / 2
        measured[kind].append(100 * wrong)
        predicted[kind].append(100 * stats.norm.cdf(-abs(gap) / noise))
plots.plot_prediction(
    measured,
    predicted,
    at=[f"{ratio:.1f}" for ratio in ratios],
    log=False,
    title="How often one seed names the wrong winner",
    xlabel="pair of schemes: its |δ|/σ",
    ylabel="wrong winners, %",
)

# %%
# Each place is one pair of schemes, with its :math:`|\delta|/\sigma`. Dashed is what the normal
# distribution predicts. With thirty draws, a share of 40 % strays by 9 points, and so may the dots
# of the paired seeds. (The true difference is not known either: for a close pair, thirty seeds
# themselves may name the wrong one.)

wrong = np.array(measured["paired seeds"])
strays = np.abs(wrong - predicted["paired seeds"]).max()
far, near = wrong[np.array(ratios) > 2], wrong[np.array(ratios) < 0.5]
unrelated = np.mean(measured["unrelated seeds"])
(
    initguide.says(
        far.max() <= 10 if len(far) else None,
        "Where the difference is more than twice its noise, one seed names the wrong winner in "
        "{most:≤.0f} % of the cases at most.",
        "Even where the difference is more than twice its noise, one seed names the wrong winner "
        "in up to {most:.0f} % of the cases.",
        "No pair of schemes differs by more than twice its noise.",
        most=max(far, default=0),
    )
    + initguide.says(
        near.min() >= 30 if len(near) else None,
        "Where it is less than half of its noise, one seed is little better than a coin: wrong in "
        "{low:.0f} to {high:.0f} %.",
        "Where it is less than half of its noise, one seed is somewhat better than a coin: wrong "
        "in {low:.0f} to {high:.0f} %.",
        "No pair is closer than half of its noise.",
        low=min(near, default=0),
        high=max(near, default=0),
    )
    + initguide.says(
        unrelated > wrong.mean(),
        "Runs that do not share the seed name the wrong winner more often, in {unrelated:.0f} % "
        "against {paired:.0f} % on average over the pairs.",
        "Runs that do not share the seed name the wrong winner no more often, in {unrelated:.0f} % "
        "against {paired:.0f} % on average over the pairs: here pairing did not help.",
        unrelated=unrelated,
        paired=wrong.mean(),
    )
)

# %%
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
by_order, by_weights = 100 * fixed_weights.values(), 100 * fixed_order.values()
sds = [x.std(ddof=1) for x in (both, by_order, by_weights)]
initguide.Table(
    {
        "what varies": ["weights and order", "order and dropout", "weights"],
        "sd, points": sds,
    },
    caption="Noise of one scheme, He normal: its accuracy over thirty runs",
    formats={"sd, points": ".2f"},
)

# %%
# Thirty runs tell a standard deviation to about a quarter of itself. If the noises of the two
# sources added up, their variances would make that of the first row, and one source alone half of
# it on average. And each run in which one thing varies has a partner among those of the first row,
# with the same order and masks, or with the same weights: do the two do well together? (The
# intervals are those of Fisher's F for ratios of variances, and of his z for correlations.)

both_sd, n = sds[0], seeds - 1
shares = 100 * np.square(sds[1:]) / both_sd**2
ends = shares.mean() / stats.f.ppf([0.975, 0.025], 2 * n, n)
alone = Estimate(shares.mean(), tuple(ends))
pairs = (stats.pearsonr(both, x) for x in (by_order, by_weights))
order, weights = (Estimate(r.statistic, r.confidence_interval()) for r in pairs)
(
    initguide.says(
        alone.above(50),
        "It is {alone:.1f} %. So the two do not add up: training is "
        "sensitive, and any difference, wherever it comes from, sends it another way, as "
        ":cite:t:`jordan2023` concludes for networks trained on ``CIFAR-10``.",
        "It is {alone:.1f} %: part of the noise comes only where both vary.",
        "It is {alone:.1f} %: whether the two add up, these runs cannot tell. "
        ":cite:t:`jordan2023`, with many more, concludes for ``CIFAR-10`` that they do not: "
        "training is sensitive, and any difference sends it another way.",
        alone=alone,
    )
    + initguide.says(
        order.above(),
        "Runs with the same order do well or badly together, with a correlation of {r:.2f}, and "
        "that is what pairing takes away.",
        "Runs with the same order do well when the others do badly, with a correlation of {r:.2f}: "
        "pairing does harm here.",
        "Whether runs with the same order do well or badly together, with a correlation of "
        "{r:.2f}, these cannot tell.",
        r=order,
    )
    + initguide.says(
        weights.above(),
        "So do, in part, runs with the same weights and another order, with one of {r:.2f}.",
        "Runs with the same weights and another order do not, with one of {r:.2f}: weights that "
        "did well once promise nothing for the next order.",
        "Whether runs with the same weights and another order do, with one of {r:.2f}, is open: "
        "that weights did well once is no promise for the next order.",
        r=weights,
    )
)

# %%
# So a scheme has to be judged over seeds, and not by a "good seed".
#
# The images
# ----------
# One part of the noise no seed ever shows, because it is the same for all of them: which images
# happen to be in the validation set. A network that gets the fraction p of *all* such images right
# gets N of them right to within a binomial error of √(p(1 − p)/N). For the difference of two
# networks only those images count that one gets right and the other does not. If their share is q,
# the error is √(q − d²)/√N, with d the difference. Both are the standard deviation of "right" (1 or
# 0), or of its difference, divided by √N. Here are two networks on the N images on which all runs
# above were validated:


def right(scheme):
    """For each validation image, whether one network trained from a scheme gets it right."""
    net = initguide.initialize(initguide.Net(), scheme, seed=0)
    initguide.training.train(net, small, seed=0)
    with torch.no_grad():
        chosen = net.eval()(small.valid.images).argmax(1)
    return (chosen == small.valid.labels).double()


he, xavier = right("he_normal"), right("xavier_normal")
one, pair = (100 * x.std().item() / math.sqrt(len(x)) for x in (he, he - xavier))
left = both_sd / math.sqrt(seeds)

# %%

(
    initguide.says(
        one > left,
        "After {seeds} seeds, the seeds' noise leaves the mean uncertain by {left:.2f} points; the "
        "images leave it uncertain by {images:.2f}, which no more seeds make smaller.",
        "After {seeds} seeds, the seeds' noise still leaves the mean more uncertain, by {left:.2f} "
        "points, than the images do, by {images:.2f}. But more seeds make only the first smaller.",
        seeds=seeds,
        left=left,
        images=one,
    )
    + initguide.says(
        pair < one,
        "For a difference the images' error is smaller, {pair:.2f}, for the two networks mostly "
        "fail on the same images: one more reason to compare on the same images.",
        "For a difference the images' error is no smaller here, {pair:.2f}: the two networks fail "
        "on different images.",
        pair=pair,
    )
)

# %%
# An interval over seeds speaks of *these* images; a difference that is smaller than the images'
# error says little about the next ones. :cite:t:`bouthillier2021` draw the data anew, too, and
# count that among what moves results markedly.
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

intervals = np.outer(shares, 1 / stats.f.ppf([0.975, 0.025], n, n))
parts = [Estimate(*found) for found in zip(shares, intervals, strict=True)]
initguide.bullets(
    initguide.says(
        strays <= 20,
        "One seed names the wrong winner about as often as the normal distribution says, from "
        "{low:.0f} to {high:.0f} % of the time for these six pairs. So a single run of each of two "
        "schemes tells them apart only if they are far apart.",
        "One seed names the wrong winner {low:.0f} to {high:.0f} % of the time for these six "
        "pairs, which strays from what the normal distribution says by up to {strays:.0f} points.",
        low=wrong.min(),
        high=wrong.max(),
        strays=strays,
        key="one-seed-wrong-winner",
    ),
    initguide.says(
        initguide.all_of(*(part.above(25) for part in parts)),
        "Order and masks alone make {order:.0f} % of the variance over seeds, and the weights "
        "alone {weights:.0f} %. Neither is “the” cause.",
        "Order and masks alone make {order:.0f} % of the variance over seeds, and the weights "
        "alone {weights:.0f} %: one of them is hardly a cause.",
        "Order and masks alone make {order:.0f} % of the variance over seeds, and the weights "
        "alone {weights:.0f} %; whether each alone makes a quarter of it, thirty runs cannot tell.",
        order=parts[0],
        weights=parts[1],
    ),
    initguide.says(
        one > left,
        "More seeds do not make up for few images: after {seeds} seeds, the images' noise is the "
        "larger one.",
        "More seeds do not make the images' noise smaller, though after {seeds} seeds that of the "
        "seeds is still the larger one.",
        seeds=seeds,
    ),
)

# %%
# So when somebody reports one run of each scheme, read a small difference as no more than a hint.
# How many runs would settle it is worked out in :doc:`plot_8_how_many_seeds`.
#
# To have many runs done at once, on several machines, and to lose none of them, read
# :doc:`plot_10_a_sweep_on_a_cluster`.
