"""
7. Inputs, biases, dead and saturated units
===========================================

Weights are not all there is to a start. What do the inputs, the biases and the last layer add to
it, and when does a unit learn nothing from its first day on? This page predicts how many units are
dead or saturated and how large the first loss is, then counts, measures and trains.

.. admonition:: What you will learn

   - what centring and scaling the inputs changes, before and in training
   - which numbers decide how many ReLUs are dead and how many tanh units are saturated
   - what the loss should be before the first step, and how the last layer sets it

.. meta::
   :keywords: dead ReLU, dying ReLU, saturation, initial loss, loss at init, normalize inputs, bias
"""

# %%
# Inputs
# ------
# Four ways to hand over the same pixels. He's weights have variance 2/n, n the :term:`fan-in`
# (:cite:p:`he2015`), so the :term:`pre-activations <pre-activation>` of the first layer have twice
# the mean square of the inputs:

import math

import torch
from scipy import stats

import initguide
from initguide import experiments, plots, propagation, theory, training
from initguide import initializers as init

data = initguide.fashion_mnist()
small = data.subset(
    train=min(5000, len(data.train)), valid=min(2000, len(data.valid)), test=1000
)
images, labels = small.train.images[:1000], small.train.labels[:1000]
mean, std = small.train.images.mean().item(), small.train.images.std().item()
ways = {
    "0 to 255": lambda x: 255 * x,
    "0 to 1": lambda x: x,
    "centred": lambda x: x - mean,
    "standardized": lambda x: (x - mean) / std,
}
table = {"inputs": list(ways), "predicted": [], "measured": [], "share": []}
for way in ways.values():
    x = way(images)
    table["predicted"].append(2 * x.square().mean().item())
    nets = [
        initguide.initialize(initguide.Net(), "he_normal", seed=s) for s in range(3)
    ]
    first = [
        propagation.measure(net, x)["fc1"].output_second_moment for net in nets
    ]
    table["measured"].append(sum(first) / len(first))
    eigenvalues = torch.linalg.eigvalsh(x.flatten(1).T @ x.flatten(1))
    table["share"].append((eigenvalues[-1] / eigenvalues.sum()).item())
initguide.Table(
    table,
    caption="Mean square of the first layer's pre-activations, by inputs",
    note="Measured: mean of 3 networks on 1,000 images. Share: part of the inputs' mean square "
    "that lies in their largest common direction.",
    formats={"share": ".0%"},
)

# %%
# Scale decides the mean square, as predicted. Centring changes something else: most of the mean
# square of raw pixels lies in *one* direction, and centring takes much of that away. It matters
# because the learning rate has to be small enough for the largest direction, and all others then
# learn slowly (:cite:t:`lecun1998`). So we train at several rates, with plain gradient descent:


def network():
    return initguide.Net(dropout=0.0)


def validation_losses(name, rate):
    result = initguide.compare_init_weights(
        {name: init.he_normal()},
        small.transformed(ways[name], name),
        model=network,
        epochs=1,
        optimizer="sgd",
        learning_rate=rate,
        seeds=4,
    )
    return result.values(name, "valid_loss")  # NaN for a seed that diverged


rates = (0.03, 0.1, 0.3, 1.0)
losses = {
    name: [validation_losses(name, rate) for rate in rates]
    for name in ("0 to 1", "centred", "standardized")
}


def draw(ax, x, rows, expected=None, *, label, number=0):
    """Draw mean and range over seeds, (points, seeds), and what was expected."""
    rows, color = torch.as_tensor(rows), plots.PALETTE[number]
    ax.plot(x, rows.mean(1), color=color, marker="os^"[number], label=label)
    ax.fill_between(x, rows.amin(1), rows.amax(1), color=color, alpha=0.18)
    if expected is not None:
        ax.plot(x, expected, "--D", color="0.4", mfc="none", ms=9)


fig, ax = plots.subplots()
for number, (name, rows) in enumerate(losses.items()):
    good = [i for i, row in enumerate(rows) if all(row < 3)]
    chosen = [rows[i].tolist() for i in good]
    draw(ax, [rates[i] for i in good], chosen, label=name, number=number)
ax.set_xscale("log")
ax.set(
    title="Validation loss after one epoch, by inputs (4 seeds)",
    xlabel="learning rate (logarithmic)",
    ylabel="validation loss, nats",
)
ax.legend(title="band: smallest to largest")
best = {
    name: min(rows, key=lambda row: row.mean()) for name, rows in losses.items()
}
plots.describe(
    ax,
    "Validation loss after one epoch against the learning rate, mean of 4 seeds. At the best rate: "
    + ", ".join(f"{name} {row.mean():.2f}" for name, row in best.items()),
)

# %%
# Rates at which a seed diverged or ended above 3 nats are left out. Each version at its own best
# rate, and 0 to 255 at a third of the smallest one:

for name in ("centred", "standardized"):
    gap, (low, high) = experiments.mean_interval(best[name] - best["0 to 1"])
    print(
        f"{name} − 0 to 1: {gap:+.3f} nats, 95 % interval {low:+.3f} to {high:+.3f}"
    )
bytes_ = ", ".join(f"{loss:.3g}" for loss in validation_losses("0 to 255", 0.01))
print(f"0 to 255 at 0.01: {bytes_} nats")

# %%
# Below zero means better than raw pixels. (Each best rate was chosen by the same four losses that
# the interval is made of, which flatters all three versions alike.) Bytes call for a rate that is
# smaller by about 255²: at 0.01 their loss is far above that of a network that knows nothing.
#
# Biases and dead units
# ---------------------
# For one image x, a random unit's pre-activation is normal: its mean is the bias b, its variance
# σ² = 2 E[x²]. The unit is *silent* for the image with probability Φ(−b/σ). It is a
# :term:`dead unit <dead ReLU>` if it is silent for **all** images. How likely that is depends on
# how alike they are. Take as a model that any two images have the same cosine c, the average one. A
# unit's pre-activations are then σ (√c u + √(1−c) vᵢ) + b, with u common to all images:


def dead_share(threshold, c, count):
    """P(every z ≤ threshold) for that many N(0, 1) with correlations c in [0, 1)."""
    u = torch.linspace(-8, 8, 2001, dtype=torch.float64)
    z = (threshold - math.sqrt(c) * u) / math.sqrt(1 - c)
    return torch.trapezoid(
        torch.special.ndtr(z) ** count * torch.exp(-(u**2) / 2), u
    ).item() / math.sqrt(2 * math.pi)


def mean_cosine(x):
    total = torch.nn.functional.normalize(x.flatten(1)).sum(0).square().sum().item()
    return (total - len(x)) / (len(x) * (len(x) - 1))


cosine, sigmas = (
    mean_cosine(images),
    images.flatten(1).square().mean(1).mul(2).sqrt(),
)
sigma = sigmas.square().mean().sqrt().item()
ratios = [-4, -3, -2, -1, -0.5, 0, 0.5, 1]
silent, dead, rescaled = [], [], []  # one row a seed
for seed in range(8):
    net = initguide.initialize(initguide.Net(), "he_normal", seed=seed)
    with torch.no_grad():
        z = net.fc1(images.flatten(1))  # the biases are still 0
    top = z.amax(0)
    silent.append([(z + k * sigma <= 0).float().mean().item() for k in ratios])
    dead.append([(top + k * sigma <= 0).float().mean().item() for k in ratios])
    # The same ratios by smaller weights: divided by |k|, with a bias of −σ.
    rescaled.append([(top / -k <= sigma).float().mean().item() for k in ratios[:4]])
expected_silent = [stats.norm.cdf(-k * sigma / sigmas).mean() for k in ratios]
expected_dead = [dead_share(-k, cosine, len(images)) for k in ratios]
silent, dead, rescaled = (torch.tensor(rows).T for rows in (silent, dead, rescaled))

fig, ax = plots.subplots()
draw(ax, ratios, silent, expected_silent, label="silent for an image")
draw(ax, ratios, dead, expected_dead, label="dead: silent for all", number=1)
small_weights = {
    "color": plots.PALETTE[2],
    "ms": 10,
    "label": "dead, by smaller weights",
}
ax.plot(ratios[:4], rescaled.mean(1), "x", **small_weights)
ax.plot([], [], "--D", color="0.4", mfc="none", ms=9, label="predicted")
ax.set(
    title=f"ReLUs of the first layer, {len(images):,} images (8 seeds)",
    xlabel="bias / standard deviation of the pre-activations",
    ylabel="share of units",
)
ax.legend()
plots.describe(
    ax,
    "Share of units against bias/σ: "
    + "; ".join(
        f"at {ratios[i]}, silent {silent[i].mean():.3f} (predicted {expected_silent[i]:.3f}), "
        f"dead {dead[i].mean():.3f} (predicted {expected_dead[i]:.3f})"
        for i in (1, 2, 3, 5)
    ),
)

# %%
# Bands: all seeds. The silent share is as predicted. The dead share follows a model that puts one
# cosine for half a million pairs of images, with gaps of up to about a tenth. The crosses are the
# same ratios reached by smaller weights: only b/σ counts. With b = 0 the scale of the weights has
# no say at all, for ReLU asks for signs alone, and hardly a unit is dead.
#
# What becomes of dead units? We start with biases of −σ in both hidden layers and train:


def he_with(bias):
    fill = init.he_normal()

    def weights_init(module):
        fill(module)
        if isinstance(module, torch.nn.Linear) and module.out_features != 10:
            torch.nn.init.constant_(module.bias, bias)

    return weights_init


def dead_units(net):
    with torch.no_grad():
        z1 = net.fc1(small.train.images.flatten(1))
        return [z.amax(0) <= 0 for z in (z1, net.fc2(z1.relu()))]


for seed in range(3):
    net = initguide.initialize(network(), he_with(-sigma), seed=seed)
    before, weights = dead_units(net), net.fc1.weight.clone()
    training.train(net, small, epochs=1, seed=seed)
    for name, old, new in zip(("fc1", "fc2"), before, dead_units(net), strict=True):
        print(
            f"{name}: {old.sum():3} dead, {(old & new).sum():3} of them after an epoch"
        )
    same = torch.equal(weights[before[0]], net.fc1.weight[before[0]])
    print("weights of the dead units in fc1 unchanged:", same)

# %%
# Dead units of the first layer stay dead, and their weights are the same to the last bit: no
# gradient, and inputs that never change. Behind it, some come back, for the layer below them moves.
# The price:

biases = initguide.compare_init_weights(
    {f"bias {k:+d} σ": he_with(k * sigma) for k in (-2, -1, 0, 1)},
    small,
    model=network,
    epochs=1,
    seeds=4,
)
biases

# %%
for k in (-2, -1, 1):
    print(biases.difference(f"bias {k:+d} σ", "bias +0 σ", "valid_loss"))

# %%
# Above zero is worse. At −2σ the loss stays at ln 10 = 2.303: nothing was learnt.
#
# Depth kills units, too, with all biases at 0: from layer to layer inputs become more alike (the
# correlation map, :doc:`page 5 </auto_examples/theory/plot_5_depth>`), and among like inputs a unit
# that is silent for one is silent for all. :cite:t:`lu2019` ask when that takes whole networks.

depth = 20
correlation, expected_dead = cosine, []
for _ in range(depth):
    expected_dead.append(dead_share(0.0, correlation, len(images)))
    correlation = theory.correlation_map(correlation, "relu", math.sqrt(2))


def measurements(activation, scheme, x, seeds):
    """Measure networks of 20 hidden layers of 256 units, one a seed."""
    nets = [
        initguide.mlp([784] + [256] * depth + [10], activation)
        for _ in range(seeds)
    ]
    return [
        propagation.measure(initguide.initialize(net, scheme, seed=seed), x)
        for seed, net in enumerate(nets)
    ]


plots.plot_layers(
    measurements(torch.nn.ReLU, "he_normal", images, seeds=4),
    value="dead_fraction",
    kinds=["ReLU"],
    predicted=expected_dead,
    log=False,
    title="Dead ReLUs by depth: He's weights, zero biases",
)

# %%
# The prediction knows the mean cosine of the images and the map, nothing else.
#
# Saturated tanh
# --------------
# A tanh is :term:`saturated <saturation>` where it is nearly flat: here, beyond ±0.975, where its
# slope is below a twentieth of the steepest. The length map gives the mean square q of each layer's
# pre-activations, and with it the share of them that lies out there:

x = ways["standardized"](images[:500])
flat = math.atanh(math.sqrt(1 - propagation.FLAT))
measured, predicted = {}, {}
for label, gain in (("gain 1", 1.0), ("gain 5/3", 5 / 3), ("gain 3", 3.0)):
    measured[label] = measurements(
        torch.nn.Tanh, init.xavier_normal(gain), x, seeds=3
    )
    q = gain**2 * 2 * 784 / (784 + 256) * x.square().mean().item()
    predicted[label] = []
    for _ in range(depth):
        predicted[label].append(2 * stats.norm.sf(flat / math.sqrt(q)))
        q = theory.length_map(q, "tanh", gain)
plots.plot_layers(
    measured,
    value="saturated_fraction",
    kinds=["Tanh"],
    predicted=predicted,
    log=False,
    title="Saturated tanh units by depth: Xavier's weights times a gain",
)

# %%
# In the last of the twenty layers:

for label, every in measured.items():
    last = [m[f"act{depth}"].saturated_fraction for m in every]
    print(
        f"{label}: {sum(last) / len(last):.1%}, predicted {predicted[label][-1]:.1%}"
    )

# %%
# With gain 1 saturation fades, as the signal does. With torch's gain for tanh, 5/3, it settles at a
# few units in a hundred, after more in the first layers. With gain 3 it is more than a third.
#
# The first loss
# --------------
# A 10-way classifier that knows nothing has a loss of ln 10. He's weights keep the mean square of
# each image, x², through the hidden layers. A last layer with weights N(0, g²/n) then gives ten
# logits N(0, g² x²), independent, and the :term:`initial loss` is E[ln Σ exp(logits)]:

gains = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def last_layer(gain):
    fill = init.he_normal()

    def weights_init(module):
        fill(module)
        if isinstance(module, torch.nn.Linear) and module.out_features == 10:
            torch.nn.init.normal_(
                module.weight, std=gain / math.sqrt(module.in_features)
            )

    return weights_init


normal = torch.randn(
    100, len(images), 10, generator=torch.Generator().manual_seed(0)
)
normal *= images.flatten(1).square().mean(1).sqrt()[:, None]
predicted = [torch.logsumexp(gain * normal, -1).mean().item() for gain in gains]
first = []
for gain in gains:
    nets = [
        initguide.initialize(network(), last_layer(gain), seed=s) for s in range(8)
    ]
    first.append([propagation.measure(n, images, labels).loss for n in nets])
first = torch.tensor(first)
fig, ax = plots.subplots()
draw(ax, gains, first, predicted, label="measured")
ax.plot([], [], "--D", color="0.4", mfc="none", ms=9, label="predicted")
ax.set(xscale="log", yscale="log")
ax.set_yticks([math.log(10), 5, 10, 20], ["ln 10", 5, 10, 20])
ax.set_yticks([], minor=True)
ax.set(
    title="Loss before the first step (8 seeds)",
    xlabel="gain g of the last layer (logarithmic)",
    ylabel="loss, nats (logarithmic)",
)
ax.legend(title="band: smallest to largest")
plots.describe(
    ax,
    "Loss before the first step against the gain of the last layer, measured and predicted: "
    + "; ".join(
        f"{g:g}: {m:.2f} and {p:.2f}"
        for g, m, p in zip(gains, first.mean(1), predicted, strict=True)
    ),
)

# %%
# A first loss far above ln 10 says that something is off with the scale: of the last layer, here,
# or of all before it. It costs one batch to see, and :cite:t:`karpathy2019` makes it the first
# check. Is the lowest first loss the best start, then? We train with Adam for one epoch:

outcome = initguide.compare_init_weights(
    {f"g = {gain:g}": last_layer(gain) for gain in (0.0, 1.0, 3.0, 30.0)},
    small,
    model=network,
    epochs=1,
    seeds=4,
)
for gain in (0, 1):
    net = initguide.initialize(network(), last_layer(gain), seed=0)
    gradient = propagation.measure(net, images, labels)["fc1"].weight_grad_var
    print(f"g = {gain}: variance of the first gradient in fc1 {gradient:.2g}")
for gain in (0, 3, 30):
    print(outcome.difference(f"g = {gain}", "g = 1", "valid_loss"))

# %%
# No. A last layer of zeros starts at ln 10 exactly, but at first no gradient passes through it, and
# after an epoch the network is behind. Logits of a nat or two do no harm that four seeds could
# show; with g = 30, an epoch is not enough to unlearn them.
#
# .. admonition:: Try it
#
#    Does centring the inputs save units from death? Count dead units by bias for centred images.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          x = ways["centred"](images).flatten(1)
#          sigma_x, c = math.sqrt(2 * x.square().mean()), mean_cosine(x)
#          net = initguide.initialize(initguide.Net(), "he_normal", seed=0)
#          with torch.no_grad():
#              top = net.fc1(x).amax(0)
#          for k in (-3, -2, -1, 0):
#              share = (top + k * sigma_x <= 0).float().mean()
#              print(f"{k:+d} σ: {share:.3f}, predicted {dead_share(-k, c, len(x)):.3f}")
#
# What we learnt
# --------------
# - The inputs' scale sets the first layer's mean square. With plain gradient descent, one epoch and
#   each version's best learning rate, centred and standardized pixels beat raw ones.
# - Silent and dead ReLUs are decided by bias/σ and by how alike the inputs are. Negative biases
#   kill; with zero biases, depth does. Dead units of the first layer stay dead.
# - Tanh at gain 5/3 settles with a few per cent of its units saturated, as the length map says.
# - The last layer sets the first loss. Far above ln 10 is a warning; the lowest is not the best.
#
# How much of all this depends on the seed?
# :doc:`Finite width </auto_examples/theory/plot_9_finite_width>`. What random biases do in
# PyTorch's default: :doc:`page 6 of the lesson </auto_examples/lesson/plot_6_automatic>`.
