"""
9. Finite width
===============

The rules for weights speak of averages over all networks that could have been drawn. What does the
one network do that you drew? This page predicts how far networks of one recipe scatter, measures
thousands of them, and asks how many seeds a comparison of two schemes needs.

.. admonition:: What you will learn

   - how the size of the signal fluctuates from seed to seed, and that depth/width decides it
   - why the average network is not the typical one, and why more images do not help
   - how many seeds it takes to tell two schemes apart

.. meta::
   :keywords: finite width, random seed, reproducibility, fluctuations, depth to width ratio
"""

# %%
# Twenty networks
# ---------------
# Take thirty ReLU layers with He's weights (:cite:p:`he2015`), no biases, and one image. M is the
# mean square behind a layer, relative to the image's. On average over draws of the weights M is 1,
# exactly, at any width: that is what the factor 2/n is for. Here are twenty draws at two widths:

import math

import torch
from scipy import stats

import initguide
from initguide import initializers as init
from initguide import plots, theory

data = initguide.fashion_mnist()
image, depth = data.train.images[:1], 30


def sizes(width, seed, images=image):
    """M behind each of the ReLUs, of one network."""
    net = initguide.mlp([784] + [width] * depth + [10], bias=False)
    initguide.initialize(net, "he_normal", seed=seed)
    x, squares = images, []
    with torch.inference_mode():
        for layer in net:
            x = layer(x)
            if isinstance(layer, torch.nn.ReLU):
                squares.append(x.square().mean())
    return torch.stack(squares) / images.square().mean()


layers = torch.arange(1, depth + 1)
networks = {
    width: torch.stack([sizes(width, seed) for seed in range(20)])
    for width in (32, 256)
}
fig, axes = plots.subplots(1, 2, sharey=True)
for ax, (width, m) in zip(axes, networks.items(), strict=True):
    ax.plot(layers, m.T, color=plots.PALETTE[0], alpha=0.5, linewidth=1)
    ax.axhline(1, color="0.3", linestyle="--", label="mean, predicted")
    spread = 1.645 * torch.sqrt(5 * layers / width)
    for sign in (-1, 1):
        edge = torch.exp(-2.5 * layers / width + sign * spread)
        ax.plot(
            layers,
            edge,
            ":",
            color="0.3",
            label="nine of ten, predicted" * (sign > 0),
        )
    ax.set_yscale("log")
    ax.set(title=f"{width} units a layer", xlabel="layer")
    last = m[:, -1]
    plots.describe(
        ax,
        f"Mean square of 20 networks of width {width} over {depth} layers, relative to the input: "
        f"in the last layer from {last.min():.2g} to {last.max():.2g}, median {last.median():.2g}.",
    )
axes[0].set_ylabel("mean square / the input's (logarithmic)")
axes[0].legend()
fig.suptitle("Twenty networks, one recipe", fontsize=12)

# %%
# The same recipe, the same image, and in narrow networks signals that differ by orders of
# magnitude. They wander, each along its own path: what one layer loses, the next does not restore.
#
# Why
# ---
# M is a product of one factor a layer, (2/n) Σ relu(g)² with n independent normal numbers g. Its
# mean is 1. Its mean square is 1 + 5/n, since E[relu(g)²] is 1/2 and E[relu(g)⁴] is 3/2. The
# factors are independent, so (after :cite:t:`hanin2018rolnick`; see also :cite:t:`hanin2018`)
#
# .. math:: E[M] = 1, \qquad E[M^2] = \prod_{l=1}^{L} \left(1 + \frac{5}{n_l}\right)
#    \approx e^{5 L / n} .
#
# To first order in 1/n, ln M is a sum of L terms of mean −5/2n and variance 5/n: the dotted lines.
# To check the exact formula takes many networks. Here are thousands at once, from plain products of
# matrices:


def many_networks(width, count, seed=0):
    """M of many networks behind each of their ReLU layers: (count, depth)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.ones(count, width, 1)
    columns = []
    for _ in range(depth):
        weights = torch.randn(count, width, width, generator=generator)
        x = (weights @ x * math.sqrt(2 / width)).relu()
        columns.append(x.square().mean((1, 2)))
    return torch.stack(columns, 1)


counts = {32: 5000, 64: 2000, 128: 600}
drawn = {width: many_networks(width, count) for width, count in counts.items()}
shown = slice(0, depth, 3)
fig, ax = plots.subplots()
for i, (width, m) in enumerate(drawn.items()):
    x = (layers / width)[shown]
    mean = m.square().mean(0)[shown]
    error = 1.96 * (m.square().std(0) / math.sqrt(len(m)))[shown]
    theory_says = [
        theory.finite_width_moments([width] * n).second
        for n in layers[shown].tolist()
    ]
    color = plots.PALETTE[i]
    name = f"width {width}, {len(m)} networks"
    ax.errorbar(x, mean, error, color=color, marker="os^"[i], ls="none", label=name)
    ax.plot(
        x, theory_says, "--", color="0.4", label="predicted" if i == 0 else None
    )
ax.set_yscale("log")
ax.set_ylim(0.8, 150)
ax.set(
    title="Mean of M² over networks, with 95 % intervals",
    xlabel="depth / width",
    ylabel="E[M²] (logarithmic)",
)
ax.legend()
rows = {"width": [], "layers": [], "predicted": [], "measured": [], "±": []}
rows |= {"typical, exp(−5L/2n)": [], "median": [], "below 1": [], "top 1 %": []}
for width, m in drawn.items():
    for n in (3, 10, 30):
        squares = m[:, n - 1].square()
        rows["width"].append(width)
        rows["layers"].append(n)
        rows["predicted"].append(theory.finite_width_moments([width] * n).second)
        rows["measured"].append(squares.mean().item())
        rows["±"].append(1.96 * squares.std().item() / math.sqrt(len(m)))
        rows["typical, exp(−5L/2n)"].append(math.exp(-2.5 * n / width))
        rows["median"].append(m[:, n - 1].median().item())
        rows["below 1"].append((m[:, n - 1] < 1).float().mean().item())
        top = squares.sort().values[-len(m) // 100 :]
        rows["top 1 %"].append((top.sum() / squares.sum()).item())
plots.describe(
    ax,
    "Mean of M² against depth/width, predicted and measured: "
    + "; ".join(
        f"width {rows['width'][i]}, {rows['layers'][i]} layers, {rows['predicted'][i]:.2f} and "
        f"{rows['measured'][i]:.2f}"
        for i in (0, 1, 3, 4, 7, 8)
    ),
)

# %%

initguide.Table(
    rows,
    caption="M² over networks: predicted and measured",
    note="±: half of a 95 % interval. Median, and share below 1, of M. Top 1 %: the share of the "
    "sum of M² that comes from the largest hundredth of the networks.",
    formats={"below 1": ".0%", "top 1 %": ".0%"},
)

# %%
# Three things are worth seeing.
#
# - Where few layers stand against many units, the measured mean is within some hundredths of the
#   formula, and the widths fall on one curve: depth/width decides.
# - The **mean network is not the typical one**. E[M] is 1 because a few networks are large; most
#   are below 1, the median by about the factor that theory gives.
# - Towards the right, intervals widen and may miss the prediction. That is no fault of the formula,
#   which is exact: a hundredth of the networks brings half of the mean and more (the last column),
#   and thousands of draws hold too few of them. Averages over seeds, and their intervals, mislead
#   where the distribution has such a tail.
#
# More images do not help
# -----------------------
# One might hope that M of a whole batch fluctuates less. But all images pass through the *same*
# weights:

batch = data.train.images[:200]
both = {"width": [], "one image, sd of ln M": [], "predicted": []}
both |= {"200 images, sd of ln M": [], "correlation": []}
for width in (64, 256):
    seeds = range(20, 60)
    one = torch.stack([sizes(width, seed)[-1] for seed in seeds]).log()
    whole = torch.stack([sizes(width, seed, batch)[-1] for seed in seeds]).log()
    both["width"].append(width)
    both["one image, sd of ln M"].append(one.std().item())
    both["predicted"].append(math.sqrt(5 * depth / width))
    both["200 images, sd of ln M"].append(whole.std().item())
    both["correlation"].append(
        torch.corrcoef(torch.stack([one, whole]))[0, 1].item()
    )
initguide.Table(
    both, caption="One image against a batch, behind 30 layers, 40 seeds"
)

# %%
# The batch as a whole is large or small, together with the one image. Only other weights, other
# seeds, tell what a recipe does.
#
# One seed proves nothing
# -----------------------
# Does this matter in training? Take two schemes that theory cannot tell apart: He's normal and He's
# uniform weights have the same variance. We train the lesson's network from twelve seeds each:

small = data.subset(
    train=min(5000, len(data.train)), valid=min(2000, len(data.valid)), test=1000
)
result = initguide.compare_init_weights(
    {"He normal": init.he_normal(), "He uniform": init.he_uniform()},
    small,
    epochs=1,
    seeds=12,
)
difference = result.difference("He normal", "He uniform")
points = torch.tensor(100 * difference.per_seed)
print(difference)
print(f"normal ahead in {(points > 0).sum()} of {len(points)} seeds;", end=" ")
print(
    f"one seed alone says anything from {points.min():+.2f} to {points.max():+.2f} points"
)
accuracy = torch.tensor(100 * result.values("He normal"))
gaps = (accuracy[:, None] - accuracy[None, :]).abs()
share = (gaps > 1).sum() / (len(accuracy) * (len(accuracy) - 1))
print(
    f"two seeds of He normal differ by more than 1 point in {share:.0%} of all pairs"
)

# %%
# The last line needs no second scheme: one scheme differs from *itself* by such amounts. With one
# seed each, either scheme could have been declared the winner. An interval over n seeds has a half
# width of t·s/√n, with s the standard deviation of the differences and t from Student's
# distribution. Read the twelve seeds one after the other:

numbers = torch.arange(2, len(points) + 1)
student = torch.tensor(stats.t.ppf(0.975, numbers.numpy() - 1))
means = torch.stack([points[:n].mean() for n in numbers])
half = student * torch.stack([points[:n].std() for n in numbers]) / numbers.sqrt()
fig, ax = plots.subplots()
ax.axhline(0, color="0.6", linewidth=1)
ax.plot(
    range(1, len(points) + 1), points, "x", color=plots.PALETTE[1], label="one seed"
)
ax.plot(
    numbers,
    means,
    color=plots.PALETTE[0],
    marker="o",
    label="mean so far, interval",
)
ax.fill_between(
    numbers, means - half, means + half, color=plots.PALETTE[0], alpha=0.18
)
expected = student * points.std() / numbers.sqrt()
for sign in (-1, 1):
    ax.plot(
        numbers,
        points.mean() + sign * expected,
        "--",
        color="0.4",
        label="predicted ends, s of all seeds" * (sign > 0),
    )
ax.set_ylim(-8, 8)
ax.set(
    title="He normal − He uniform, seed by seed",
    xlabel="number of seeds",
    ylabel="validation accuracy, percentage points",
)
ax.legend(ncols=2)
plots.describe(
    ax,
    f"Difference in accuracy: single seeds from {points.min():+.2f} to {points.max():+.2f} points; "
    f"95 % interval of the mean after 3 seeds ±{half[1]:.1f}, after {len(points)} ±{half[-1]:.1f}.",
)

# %%
# From two or three seeds even the interval is a matter of luck, for s comes from them, too. Then it
# closes in slowly: four times as many seeds for half the width. How many would it take to see a
# difference of a given size, with the s measured here?

for target in (2.0, 1.0, 0.5, 0.2):
    n = 2
    while stats.t.ppf(0.975, n - 1) * points.std() / math.sqrt(n) > target:
        n += 1
    print(f"a half width of {target} points takes about {n} seeds")

# %%
# The numbers hold for this network, one epoch and so many images. Elsewhere s is another, and has
# to be measured, which takes seeds.
#
# .. admonition:: Try it
#
#    Part of the 5/n comes from how Gaussian weights stretch, part from which units ReLU silences.
#    Orthogonal weights leave only the second part. Square orthogonal matrices with gain √2 should
#    give 1 + 3/(n + 2) a layer. Do they?
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
# - He's weights keep the mean square on average over networks. One network fluctuates around that,
#   with E[M²] = Π(1 + 5/n): depth divided by width decides how much.
# - The typical network is smaller than the average one, and in deep narrow networks rare ones carry
#   the mean of M².
# - More images do not average the weights' luck away. Only more seeds do.
# - At one seed, either of two schemes that theory calls equal can be ahead, and a scheme differs
#   from itself. Compare over several seeds, pair them, and look at the interval.
#
# Next, what people say about initialization, one by one:
# :doc:`Claims, tested </auto_examples/theory/plot_10_claims>`. How this site makes its comparisons:
# :doc:`the lesson's last page </auto_examples/lesson/plot_7_choose>`.
