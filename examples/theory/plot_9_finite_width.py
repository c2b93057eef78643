"""
9. Finite width
===============

The rules for weights speak of averages over all networks that could have been drawn. What does the
one network do that you drew? This page predicts how far networks of one recipe scatter, and
measures thousands of them.

.. admonition:: What you will learn

   - how the size of the signal fluctuates from seed to seed, and that depth/width decides it
   - why the average network is not the typical one
   - why more images help little, and more seeds do

.. meta::
   :keywords: finite width, random seed, reproducibility, fluctuations, depth to width ratio,
      heavy tail, typical network
"""

# %%
# Twenty networks
# ---------------
# Take thirty ReLU layers with He's weights (:cite:p:`he2015`), no biases, and one image. M is the
# mean square behind a layer, relative to the image's. On average over draws of the weights M is 1,
# exactly, at any width: that is what the factor 2/n is for. Here are twenty draws at two widths:

import math

import numpy as np
import torch

import initguide
from initguide import plots, theory

data, depth = initguide.fashion_mnist(), 30
image, layers = data.train.images[:1], np.arange(1, depth + 1)


def sizes(width, seed, images=image):
    """M behind each of the ReLUs, of one network."""
    net = initguide.mlp([784] + [width] * depth + [10], bias=False)
    initguide.initialize(net, "he_normal", seed=seed)
    records = initguide.measure(net, images)
    squares = [r.output_second_moment for r in records if r.kind == "ReLU"]
    return np.array(squares) / images.square().mean().item()


twenty = {w: np.array([sizes(w, seed) for seed in range(20)]) for w in (32, 256)}
ratio = {w: m[:, -1].max() / m[:, -1].min() for w, m in twenty.items()}

# %%

initguide.asks(
    "Of twenty networks with ``32`` units per layer and He's weights, how many times the smallest "
    "M, the mean square of the signal, is the largest, behind thirty layers?",
    [
        "Less than ``3`` times: the factor ``2/n`` keeps M at about ``1``.",
        "Up to ``30`` times: each layer scatters a little, and over many layers that evens out.",
        "More: what one layer adds or takes away, the next ones multiply.",
    ],
    [ratio[32] < 3, 3 <= ratio[32] <= 30, ratio[32] > 30],
    initguide.says(
        ratio[32] > 30,
        "It is {narrow:,.0f} times the smallest. Factors multiply, and nothing pulls M back.",
        "It is {narrow:.1f} times the smallest.",
        narrow=ratio[32],
    ),
)

# %%

fig, axes = plots.subplots(1, 2, sharey=True)
for ax, (width, m) in zip(axes, twenty.items(), strict=True):
    ax.plot(layers, m.T, color=plots.PALETTE[0], alpha=0.5, linewidth=1)
    ax.axhline(1, color="0.4", linestyle="--", label="mean, predicted")
    middle, spread = -2.5 * layers / width, 1.645 * np.sqrt(5 * layers / width)
    for end in (middle + spread, middle - spread):
        ax.plot(layers, np.exp(end), color="0.4", ls=":")
    ax.set(title=f"{width} units per layer", xlabel="layer", yscale="log")
    ends = f"from {m[:, -1].min():.2g} to {m[:, -1].max():.2g}"
    plots.describe(ax, f"20 networks of width {width}: M in layer {depth} {ends}.")
axes[0].lines[-1].set_label("nine of ten, predicted")
axes[0].set_ylabel("mean square / the input's (logarithmic)")
axes[0].legend()

# %%
# Nine of ten networks should lie between the dotted lines. Each wanders along its own path: what
# one layer loses, the next does not restore.

initguide.says(
    ratio[32] > 100 and ratio[32] > 3 * ratio[256],
    "Behind thirty layers, the largest of twenty narrow signals is {narrow:,.0f} times the "
    "smallest; in the wide networks it is {wide:,.0f} times.",
    "Behind thirty layers, the largest of twenty narrow signals is only {narrow:,.0f} times the "
    "smallest, and that of the wide ones {wide:,.0f} times.",
    narrow=ratio[32],
    wide=ratio[256],
)

# %%
# Why
# ---
# M is a product of one factor per layer, (2/n) Σ relu(g)² with n independent normal numbers g. Its
# mean is 1. Its mean square is 1 + 5/n, since E[relu(g)²] is 1/2 and E[relu(g)⁴] is 3/2. The
# factors are independent, so (after :cite:t:`hanin2018rolnick`; see also :cite:t:`hanin2018`)
#
# .. math:: E[M] = 1, \qquad E[M^2] = \prod_{l=1}^{L} \left(1 + \frac{5}{n_l}\right)
#    \approx e^{5 L / n} .
#
# To first order in 1/n, ln M is a sum of L terms of mean −5/2n and variance 5/n, and so about
# normal for many layers: that gives the dotted lines above. What counts is L/n, depth divided by
# width.
#
# To check the exact formula (:func:`~initguide.theory.finite_width_moments`) takes many networks.
# Here are thousands at once, from plain products of matrices:


def many_networks(width, count, seed=0):
    """M of many networks behind each of their ReLU layers: (count, depth)."""
    generator = torch.Generator().manual_seed(seed)
    x, columns = torch.ones(count, width, 1), []
    for _ in range(depth):
        weights = torch.randn(count, width, width, generator=generator)
        x = (weights @ x * math.sqrt(2 / width)).relu()
        columns.append(x.square().mean((1, 2)))
    return torch.stack(columns, 1).double().numpy()


counts = {32: 5000, 64: 2000, 128: 600}  # of each width, how many
drawn = {width: many_networks(width, count) for width, count in counts.items()}
shown, words, points = layers[::3], [], []
fig, ax = plots.subplots()
for i, (width, m) in enumerate(drawn.items()):
    squares, label = m[:, shown - 1] ** 2, f"width {width}, {len(m)} networks"
    mean, error = squares.mean(0), 1.96 * squares.std(0, ddof=1) / math.sqrt(len(m))
    look = {"fmt": "os^"[i], "color": plots.PALETTE[i], "label": label}
    ax.errorbar(shown / width, mean, error, **look)
    line = [theory.finite_width_moments([width] * n).second for n in shown]
    ax.plot(shown / width, line, "--", color="0.4", label="" if i else "predicted")
    points += zip(shown / width, mean, error, line, strict=True)
    words.append(f"{label}: {mean[3]:.1f}, predicted {line[3]:.1f}")
ax.set(title="Mean of M² over networks, 95 % intervals", xlabel="depth / width")
ax.set(ylabel="E[M²] (logarithmic)", yscale="log", ylim=(0.8, 150))
ax.legend()
plots.describe(ax, "Mean of M² in layer 10; " + "; ".join(words) + ".")

# %%

few = [abs(mean / line - 1) for at, mean, _, line in points if at < 0.1]
relative = [error / mean for *_, mean, error, _ in points[: len(shown)]]  # width 32
(
    initguide.says(
        max(few) < 0.1,
        "Where few layers stand against many units, depth/width below a tenth, the measured means "
        "of all three widths lie within {off:.0%} of the formula.",
        "Even where depth/width is below a tenth, a measured mean is off the formula by {off:.0%}.",
        off=max(few),
    )
    + initguide.says(
        relative[-1] > 5 * relative[0],
        "Towards the right the intervals widen, though as many networks are behind them: for the "
        "narrowest networks from ±{first:.0%} of the mean to ±{last:.0%}. Of all {n} intervals, "
        "{missed} miss the formula.",
        "Towards the right the intervals widen little, and {missed} of {n} miss the formula.",
        first=relative[0],
        last=relative[-1],
        n=len(points),
        missed=sum(abs(mean - line) > error for _, mean, error, line in points),
    )
)

# %%
# The formula is exact, and to first order in 1/n it is a function of depth/width alone:
# **depth/width decides**. Why is it hard to measure where networks are deep and narrow? Look at
# single ones, after 3, 10 and 30 layers:

cases = [(width, n, m[:, n - 1]) for width, m in drawn.items() for n in (3, 10, 30)]
rare = [np.sort(m**2)[-len(m) // 100 :].sum() / (m**2).sum() for *_, m in cases]
table = {
    "width": [width for width, _, _ in cases],
    "layers": [n for _, n, _ in cases],
    "mean": [m.mean() for *_, m in cases],
    "median": [np.median(m) for *_, m in cases],
    "typical, exp(−5L/2n)": [math.exp(-2.5 * n / width) for width, n, _ in cases],
    "below 1": [(m < 1).mean() for *_, m in cases],
    "M² in the top 1 %": rare,
}
formats = {"below 1": ".0%", "M² in the top 1 %": ".0%"}
initguide.Table(table, caption="M over networks", formats=formats)

# %%
# The **mean network is not the typical one**: E[M] is 1, though theory puts the median at
# exp(−5L/2n), because a few networks are large.

below = min(table["below 1"])
tail = {(w, n): top for (w, n, _), top in zip(cases, rare, strict=True)}
pairs = zip(table["median"], table["typical, exp(−5L/2n)"], strict=True)
median_off = max(abs(median / typical - 1) for median, typical in pairs)
(
    initguide.says(
        below > 0.5 and median_off < 0.2,
        "In every row most networks are below ``1``, and the median is so by the factor that "
        "theory gives, within {off:.0%}.",
        "The medians follow the factor that theory gives only within {off:.0%}.",
        off=median_off,
    )
    + initguide.says(
        tail[32, 30] > 0.5 and tail[32, 30] > 2 * tail[128, 3],
        "One network in a hundred brings {deep:.0%} of the mean of M² (the last column) of the "
        "deepest and narrowest. So a mean over thousands of draws hangs on some dozens, and its "
        "interval on even fewer: where a distribution has such a tail, both mislead.",
        "One network in a hundred brings {deep:.0%} of the mean of M² (the last column) of the "
        "deepest and narrowest.",
        deep=tail[32, 30],
    )
)

# %%
# More images help little
# -----------------------
# One might hope that M of a whole batch fluctuates less. But all images pass through the *same*
# weights. We look at ln M, which should have a standard deviation of √(5L/n), for one image and for
# two hundred, over forty seeds:

scatter = []
for width in (64, 256):
    one, batch = (
        np.log([sizes(width, seed, images)[-1] for seed in range(20, 60)])
        for images in (image, data.train.images[:200])
    )
    together = np.corrcoef(one, batch)[0, 1]
    expected = math.sqrt(5 * depth / width)
    scatter.append([width, expected, one.std(ddof=1), batch.std(ddof=1), together])

names = ["width", "predicted", "one image", "200 images", "correlation"]
rows = dict(zip(names, np.array(scatter).T, strict=True))
formats = dict.fromkeys(names, ".2f") | {"width": ".0f"}
caption = "Standard deviation of ln M over 40 networks"
initguide.Table(rows, caption=caption, formats=formats)

# %%

_, expected, one, batch, correlation = rows.values()
to_theory, to_one = one / expected, batch / one
(
    initguide.says(
        min(to_one) > 0.7 and min(correlation) > 0.7,
        "The batch scatters nearly as much as the one image, {share:.0%} as much or more, and "
        "together with it: the correlation is at least {r:.2f}.",
        "The batch scatters {share:.0%} as much as the one image or more; the correlation is at "
        "least {r:.2f}.",
        r=min(correlation),
        share=min(to_one),
    )
    + initguide.says(
        max(abs(x - 1) for x in to_theory) < 0.3,
        "For one image the standard deviation is about as predicted.",
        "For one image the standard deviation is off the prediction by more than forty seeds "
        "explain.",
    )
)

# %%
# A measurement on more images tells more about this network. To know what a recipe does takes other
# weights, other seeds. Whoever draws one network per scheme compares two draws, not two schemes. In
# training, other things vary with the seed, too: the order of the mini-batches and the dropout
# masks. How many seeds a difference of accuracies asks for is measured in
# :doc:`/auto_examples/practice/plot_8_how_many_seeds`, and how often a single one names the wrong
# winner in :doc:`/auto_examples/practice/plot_9_one_seed`.
#
# .. admonition:: Try it
#
#    Part of the 5/n comes from how Gaussian weights stretch, part from which units ReLU silences.
#    Orthogonal weights leave only the second part. Square orthogonal matrices with gain √2 should
#    give 1 + 3/(n + 2) per layer. Do they?
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          n, steps, draws = 16, 10, 2000
#          generator = torch.Generator().manual_seed(0)
#          x = torch.ones(draws, n, 1)
#          for _ in range(steps):
#              q, r = torch.linalg.qr(torch.randn(draws, n, n, generator=generator))
#              q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None, :]
#              x = (math.sqrt(2) * q @ x).relu()
#          m2 = x.square().mean((1, 2)).square()
#          print(f"measured {m2.mean():.2f} ± {1.96 * m2.std() / math.sqrt(draws):.2f}")
#          print(f"orthogonal: {(1 + 3 / (n + 2)) ** steps:.2f}")
#          print(f"Gaussian: {theory.finite_width_moments([n] * steps).second:.2f}")
#
# What we learnt
# --------------

on_average = max(abs(m.mean() - 1) for _, n, m in cases if n <= 10)
initguide.bullets(
    initguide.says(
        on_average < 0.1,
        "He's weights keep the mean square on average over networks.",
        "He's weights keep the mean square on average over networks; with as many as were drawn "
        "here, the average is off by up to {off:.0%} within ten layers.",
        key="he-keeps-the-mean",
        off=on_average,
    )
    + initguide.says(
        max(few) < 0.1,
        "One network fluctuates, with ``E[M²] = Π(1 + 5/n)``: depth divided by width "
        "decides how much.",
        "One network fluctuates, and here by other amounts than "
        "``E[M²] = Π(1 + 5/n)`` says.",
        key="depth-over-width",
    ),
    initguide.says(
        below > 0.5,
        "The typical network is smaller than the average one.",
        "The typical network should be smaller than the average one, and was not in every row.",
        key="typical-network-smaller",
    )
    + initguide.says(
        tail[32, 30] > 0.5,
        "In deep narrow networks rare ones carry the mean of M².",
        "In deep narrow networks rare ones carry less than half of the mean of M².",
    ),
    initguide.says(
        min(to_one) > 0.7 and min(correlation) > 0.7,
        "More images average little of the weights' luck away. More seeds do.",
        "More images averaged some of the weights' luck away, and more seeds do.",
        key="more-images-do-not-help",
    ),
)

# %%
# Next, what people say about initialization, one by one:
# :doc:`Claims, tested </auto_examples/theory/plot_10_claims>`.
