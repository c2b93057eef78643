"""
4. Initial scale and learning rate
==================================

How large should the first weights be, and how large the learning rate? Neither question has an
answer without the other. This page trains a small network from scales and with rates that reach
over four decades each, draws the region that trains, and shows where the named schemes lie.

.. index:: ! initial scale, ! sharpness, ! largest learning rate

.. admonition:: What you will learn

   - the region of scales and rates that trains, for SGD and for Adam, and one number that tells
     before training how its borders run: how large a step is beside the weights
   - where the schemes lie, and whether a scheme is more than its scale

.. meta::
   :keywords: learning rate, initial scale, weight scale, SGD, Adam, divergence, diverged,
      sharpness, edge of stability, largest stable learning rate, hyperparameter map, sweep
"""

# %%
# Four decades of each
# --------------------
# We take a network with three matrices, like the lesson's but smaller, and images of 14 × 14
# pixels. Its weights are He's (:cite:p:`he2015`) times a factor s. In :func:`initguide.sweep` that
# factor is the setting ``scale``, and every setting can be varied against every other:

import functools

import numpy as np
import torch
import torch.nn.functional as F

import initguide
from initguide import plots, propagation

BATCH, SEEDS = 40, 3
SCALES = np.geomspace(0.01, 100, 13)
RATES = {"sgd": np.geomspace(1e-3, 10, 13), "adam": np.geomspace(1e-5, 0.1, 13)}

data = initguide.fashion_mnist().subset(train=4000, valid=1000, test=10)
mean, std = data.train.images.mean(), data.train.images.std()
shrink = torch.nn.AvgPool2d(2)
small = data.transformed(lambda x: shrink((x - mean) / std), "standardized")
x, y = small.train.images[:500], small.train.labels[:500]
network = functools.partial(initguide.mlp, [14 * 14, 64, 64, 10])


def swept(optimizer, seeds=SEEDS, **grid):
    how = {"epochs": 1, "batch_size": BATCH, "optimizer": optimizer, "seeds": seeds}
    return initguide.sweep(grid, small, model=network, scheme="he_normal", **how)


maps = {k: swept(k, scale=SCALES, learning_rate=r) for k, r in RATES.items()}

# %%
# What theory says
# ----------------
# A step moves the weights by Δw. What matters is how much that is *relative* to the weights, ρ =
# ‖Δw‖ / ‖w‖. If ρ is far below 1/T, then T steps cannot change the network much. If ρ is above 1,
# a single step overwrites what was there.
#
# - **SGD** steps by η times the gradient. The output of a ReLU network with three matrices and no
#   biases is proportional to s³, so the gradient of a matrix is proportional to s², and ρ ∝ η s²/s
#   = η s. (The loss adds a factor that depends on s, too.) In a map with logarithmic axes, ρ is
#   constant along lines that *fall*, η ∝ 1/s.
# - **Adam** divides the gradient by its size. Every weight moves by about η, whatever s, and ρ ∝
#   η/s: lines that *rise*, η ∝ s.
#
# One gradient at the start gives the constant; we take the geometric mean over the matrices:


def matrices(net):
    return [p for p in net.parameters() if p.ndim == 2]


def scaled(factor, seed):
    net = initguide.initialize(network(), "he_normal", seed=seed)
    for w in matrices(net):
        w.data.mul_(factor)
    return net


def relative_step(name, factor):
    """Size of the first step beside the weights, for a learning rate of 1."""
    logs = []
    for seed in range(4):
        net = scaled(factor, seed)
        gradients = torch.autograd.grad(F.cross_entropy(net(x), y), matrices(net))
        for gradient, w in zip(gradients, matrices(net), strict=True):
            step = gradient.sign() if name == "adam" else gradient
            logs.append((step.norm() / w.norm()).log().item())
    return np.exp(np.mean(logs))


relative = {k: np.array([relative_step(k, s) for s in SCALES]) for k in maps}
fig, axes = plots.subplots(2, 1, height=8, sharex=True)
for ax, (name, result) in zip(axes, maps.items(), strict=True):
    plots.plot_map(result, value_range=(10, 85), ax=ax)
    look = {"color": plots.PALETTE[1], "lw": 2.5}
    ax.plot(SCALES, 1 / relative[name], "--", label="ρ = 1", **look)
    ax.plot(SCALES, 0.01 / relative[name], ":", label="ρ = 1/100", **look)
    ax.set(title={"sgd": "SGD", "adam": "Adam"}[name], xlabel="")
axes[1].set_xlabel("scale s of the weights (logarithmic); 1 is He's")
axes[1].legend(loc="lower right")

# %%
# Colour is the mean of three seeds. An × means that a run diverged; where all did, there is no
# colour. A network *trains* if it gets more than half of the validation images right, mean of three
# seeds; one that diverged guesses. Borders are interpolated between the squares of the map.

found = {k: np.nan_to_num(r.array(), nan=0.1).mean(-1) for k, r in maps.items()}


def borders(row, rates):
    """Lowest and highest rate that trains, interpolated; NaN where the map ends first."""
    inside, ends = np.flatnonzero(row > 0.5), [np.nan, np.nan]
    for i, (at, step) in enumerate([(inside[:1], -1), (inside[-1:], 1)]):
        if len(at) and 0 <= at[0] + step < len(rates):
            pair = [at[0] + step, at[0]]
            ends[i] = np.exp(np.interp(0.5, row[pair], np.log(rates)[pair]))
    return ends


def power_of_s(end):
    """The slope of a border in the map, from He's scale on."""
    some = (SCALES > 0.99) & np.isfinite(end)
    return np.polyfit(np.log(SCALES[some]), np.log(end[some]), 1)[0]


ends, slope, best, smallest = {}, {}, {}, {}
for name, rates in RATES.items():
    ends[name] = np.array([borders(row, rates) for row in found[name]]).T
    slope[name] = [power_of_s(end) for end in ends[name]]
    best[name] = rates[found[name].argmax(1)]
    smallest[name] = SCALES[(found[name] > 0.5).any(1)].min()
below_he = ends["adam"][0][SCALES < 0.99]
he, ten = np.abs(SCALES - 1).argmin(), np.abs(SCALES - 10).argmin()
(
    initguide.says(
        all(-1.5 < power < -0.5 for power in slope["sgd"]),
        "**SGD** trains in a band that falls. From He's scale on, its borders run as :math:`s` to "
        "the {low:.1f} and {high:.1f}, beside the :math:`-1` of equal :math:`\\rho`.",
        "The borders of **SGD** do not run along the lines of equal :math:`\\rho`: from He's "
        "scale on as :math:`s` to the {low:.1f} and {high:.1f}, and not as :math:`-1`.",
        low=slope["sgd"][0],
        high=slope["sgd"][1],
    )
    + initguide.says(
        smallest["sgd"] > SCALES[0] * 1.01,
        "To the left the borders meet: below :math:`s` = {s:.2f} no rate trains. To learn "
        "anything, the weights must grow, and once they are of He's size, a rate that makes them "
        "grow in time is too large for them.",
        "To the left, some rate trains down to the smallest scale of the map, {s:.2f}.",
        s=smallest["sgd"],
    )
)

# %%

(
    initguide.says(
        smallest["adam"] < SCALES[0] * 1.01
        and np.nanmax(below_he) < 10 * np.nanmin(below_he),
        "**Adam** has no such corner. Below He's scale, the lowest rate that trains changes far "
        "less than the scale does: it stays between {low:.1g} and {high:.1g}.",
        "**Adam** minds small weights, too: it trains down to a scale of {s:.2f}, and the lowest "
        "rate for it lies between {low:.1g} and {high:.1g}.",
        s=smallest["adam"],
        low=np.nanmin(below_he),
        high=np.nanmax(below_he),
    )
    + initguide.says(
        0.5 < slope["adam"][0] < 1.5,
        "Above, its lower border rises as :math:`s` to the {power:.1f}, beside the predicted "
        ":math:`1`.",
        "Above, its lower border runs as :math:`s` to the {power:.1f}, and not as the predicted "
        ":math:`1`.",
        power=slope["adam"][0],
    )
    + initguide.says(
        best["sgd"][ten] < best["sgd"][he] and best["adam"][ten] > best["adam"][he],
        "So the two answer a wrong scale in opposite ways: for weights that are ten times too "
        "large, the best rate of SGD is *smaller* ({sgd:.2g} instead of {sgd_he:.2g}), and that of "
        "Adam *larger* ({adam:.2g} instead of {adam_he:.2g}).",
        "For weights that are ten times too large, the best rate of SGD is {sgd:.2g} instead of "
        "{sgd_he:.2g}, and that of Adam {adam:.2g} instead of {adam_he:.2g}.",
        sgd=best["sgd"][ten],
        sgd_he=best["sgd"][he],
        adam=best["adam"][ten],
        adam_he=best["adam"][he],
    )
)

# %%
# The other prediction: sharpness
# -------------------------------
# There is a classical bound for gradient descent. On a parabola of curvature λ it diverges if the
# rate is above 2/λ. For a network, λ is the largest eigenvalue of the loss's Hessian, its
# :term:`sharpness`. At the start, from He's scale:

bounds = [2 / propagation.sharpness(scaled(1, k), x, y) for k in range(SEEDS)]
above = ends["sgd"][1][he] / max(bounds)
initguide.says(
    above > 1.5,
    "Over the seeds, :math:`2/\\lambda` is {least:.2f} to {most:.2f}. In the map, at He's scale, "
    "SGD's upper border lies at {rate:.2g}, {above:.1f} times the highest of these. So the bound "
    "at the start is not the largest rate that works.",
    "Over the seeds, :math:`2/\\lambda` is {least:.2f} to {most:.2f}. In the map, at He's scale, "
    "SGD's upper border lies at {rate:.2g}, {above:.1f} times the highest of these: about where "
    "the bound says.",
    least=min(bounds),
    most=max(bounds),
    rate=ends["sgd"][1][he],
    above=above,
)

# %%
# How could a network train above the bound? Steps that are too large throw it to a flatter place,
# the *catapult* of :cite:t:`lewkowycz2020`, and training goes on where 2/λ about equals the rate,
# the *edge of stability* of :cite:t:`cohen2021`: see the exercise.
#
# Where the schemes lie
# ---------------------
# Each scheme fills the three matrices with weights of some size. Relative to He's, the geometric
# mean of the three is its place on the axis. But is a scheme nothing but its scale? We give each a
# twin, He's weights of the same scale, and train both by SGD at five rates, one per decade.

SCHEMES = ["general_rule", "default", "orthogonal", "lecun_normal", "xavier_normal"]
SCHEMES += ["uniform(-0.5, 0.5)", "uniform", "ones", "normal"]
sizes = []
for scheme in [*SCHEMES, "he_normal"]:
    nets = [initguide.initialize(network(), scheme, seed=k) for k in range(5)]
    stds = [w.square().mean().sqrt().item() for net in nets for w in matrices(net)]
    sizes.append(np.exp(np.mean(np.log(stds))))
places = [size / sizes[-1] for size in sizes[:-1]]
accuracies = []
for grid in ({"scheme": SCHEMES}, {"scale": places}):
    result = swept("sgd", 6, **grid, learning_rate=RATES["sgd"][::3])
    accuracies.append(np.nan_to_num(result.array(), nan=0.1).mean(1))
apart = dict(zip(SCHEMES, 100 * (accuracies[0] - accuracies[1]), strict=True))
gaps = {name: initguide.estimate(of_seeds) for name, of_seeds in apart.items()}
words = [f"{gap:+.1f}" for gap in gaps.values()]
initguide.Table(
    {"scheme": SCHEMES, "scale": places, "difference (95 % interval)": words},
    caption="SGD: accuracy of a scheme minus that of He's weights of its scale, points",
    note="Mean over five rates, paired over 6 seeds. A run that diverged guesses.",
    formats={"scale": ".2f"},
)

# %%
# All but U[0, 1) and ones have weights centred on 0; U[−½, ½) is U[0, 1) without its mean.

centred = [x for name, x in apart.items() if name not in ("uniform", "ones")]
centred = initguide.estimate(np.mean(centred, axis=0))
as_twin = centred.within(-3, 3)
(
    initguide.says(
        min(places) > smallest["sgd"] and max(places) < 50 * min(places),
        "The schemes lie within a factor of {span:.0f}, of the {whole:,.0f} that the map spans, "
        "and where some rate trains. That may be why the lesson's network forgives so much; what a "
        "scheme decides is *which* rates work.",
        "The schemes span a factor of {span:.0f}, of the {whole:,.0f} that the map spans, and not "
        "all of them lie where some rate trains.",
        span=max(places) / min(places),
        whole=SCALES[-1] / SCALES[0],
    )
    + initguide.says(
        as_twin,
        "On average over those whose weights are centred, the twin does as well to within three "
        "points ({gap:+.1f}).",
        "On average over those whose weights are centred, the twin does not as well to within "
        "three points ({gap:+.1f}).",
        "Whether, on average over those whose weights are centred, the twin does as well to within "
        "three points, these seeds cannot tell ({gap:+.1f}).",
        gap=centred,
    )
    + initguide.says(
        initguide.all_of(*(gaps[name].below(-5) for name in ("uniform", "ones"))),
        "The two that have a mean are of a size that trains, but cost {uniform:.0f} and {ones:.0f} "
        "points.",
        "The two that have a mean do not both cost more than five points: {uniform:.0f} and "
        "{ones:.0f}.",
        "Whether the two that have a mean both cost more than five points, these seeds cannot "
        "tell: {uniform:.0f} and {ones:.0f}.",
        uniform=-gaps["uniform"].mean,
        ones=-gaps["ones"].mean,
    )
)

# %%
# .. admonition:: Try it
#
#    Train He's network at rates above the bound, and take the sharpness again afterwards.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          for rate in (0.03, 0.1, 0.3, 0.5):
#              how = {"epochs": 1, "batch_size": BATCH, "optimizer": "sgd", "learning_rate": rate}
#              net = scaled(1, 0)
#              run = initguide.training.train(net, small, seed=0, **how)
#              after = propagation.sharpness(net, x, y)
#              print(f"2/rate {2 / rate:.1f}, λ {after:.1f}, {run.valid_accuracy:.0%} correct")
#          # Look whether λ, where 2/rate is below that of the start, has come down to 2/rate.
#
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        all(-1.5 < power < -0.5 for power in slope["sgd"])
        and 0.5 < slope["adam"][0] < 1.5,
        "Scale and learning rate belong together. From He's scale on, the borders of what "
        "trains ran about along lines of equal :math:`\\rho`, the size of a step beside the "
        "weights: :math:`\\rho\\propto\\eta s` with SGD and three matrices, "
        ":math:`\\rho\\propto\\eta/s` with Adam.",
        "Scale and learning rate belong together, though the size of a step beside the weights did "
        "not set the borders everywhere.",
        key="scale-step-beside-weights",
    )
    + initguide.says(
        best["sgd"][ten] < best["sgd"][he] and best["adam"][ten] > best["adam"][he],
        "Weights ten times too large wanted a smaller rate with SGD, a larger one with Adam.",
        "Weights ten times too large did not want a smaller rate with SGD and a larger one with "
        "Adam.",
        key="scale-opposite-rates",
    )
    + initguide.says(
        smallest["sgd"] > 1.01 * smallest["adam"],
        "Weights far too small left no rate to SGD, and some to Adam.",
        "Weights far too small left some rate to SGD as well as to Adam, or none to both.",
    ),
    initguide.says(
        above > 1.5,
        "The bound at the start, :math:`2/\\lambda`, is not the largest rate that works: at He's "
        "scale, the border lay at {above:.1f} times it.",
        "The bound at the start, :math:`2/\\lambda`, was about the largest rate that worked at "
        "He's scale.",
        above=above,
    ),
    initguide.says(
        as_twin,
        "On average, the named schemes that are centred on zero learnt as He's weights of the same "
        "scale did: {gap:+.1f} points. For single schemes, six seeds left up to {open:≤.0f} points "
        "open.",
        "On average, the named schemes that are centred on zero did not learn as He's weights of "
        "the same scale did: {gap:+.1f} points.",
        "Whether, on average, the named schemes that are centred on zero learn as He's weights of "
        "the same scale do took more seeds: {gap:+.1f} points.",
        gap=centred,
        open=max(
            abs(end)
            for name, of_scheme in gaps.items()
            if name not in ("uniform", "ones")
            for end in of_scheme.interval
        ),
        key="scale-centred-as-twin",
    ),
)

# %%
# The rule to take home: **take any scheme that is centred and scales with the fan-in, spend your
# time on the learning rate, and search it anew when you change the scale or the optimizer.**
#
# With thirty matrices, less is forgiven: :doc:`how deep can it go?
# </auto_examples/practice/plot_5_how_deep>` From near, the border between learning and diverging is
# :doc:`no line </auto_examples/practice/plot_6_fractal>`.
