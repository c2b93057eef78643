"""
7. Recurrent networks
=====================

A recurrent network multiplies its state by one and the same matrix at every step. What does that do
to a memory that must last for thirty steps, and why should a forget gate start open? This page
predicts how fast states and gradients fade over time, measures it, and then trains networks that
read an image row by row and have to wait before they may answer.

.. admonition:: What you will learn

   - how much of a state is left after t steps with PyTorch's default, Gaussian and orthogonal
     matrices
   - why a forget gate's :term:`bias` b gives a memory of σ(b)ᵗ, and where to set it in PyTorch
   - which of these starts learn a task that needs memory, and which do not

.. meta::
   :keywords: recurrent network, RNN, LSTM, GRU, forget gate bias, orthogonal recurrence, chrono
      initialization, identity RNN, vanishing gradients through time, memory
"""

# %%
# One matrix, many times
# ----------------------
# Leave out inputs and activations, and a recurrent network computes hₜ = W hₜ₋₁. With n units and
# weights of variance g²/n, a multiplication by a *fresh* matrix has g² times the mean square on
# average, so t of them have g²ᵗ times. PyTorch's default for its recurrent layers draws every
# number from U(−1/√n, 1/√n), of variance 1/(3n): g² is a third. Here W is the same matrix each
# time, which the prediction ignores.

import math

import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide import plots
from initguide.experiments import mean_interval

HIDDEN, STEPS, SEEDS = 48, 40, range(8)
WIDE = 256  # units of the networks of this section


def recurrence(fill, base="xavier_uniform"):
    """A scheme: ``base``, and ``fill`` for each matrix between the states."""
    base = init.from_name(base)

    def weights_init(module):
        base(module)
        if isinstance(module, nn.RNNBase):
            for name, parameter in module.named_parameters():
                if name.startswith("weight_hh"):
                    for gate in parameter.detach().split(module.hidden_size):
                        fill(gate)  # one square matrix for each gate

    return weights_init


def gaussian(matrix):
    nn.init.normal_(matrix, 0, 1 / math.sqrt(len(matrix)))


schemes = {
    "default": init.default(),
    "Gaussian": recurrence(gaussian),
    "orthogonal": recurrence(nn.init.orthogonal_),
}
factor = {"default": 1 / 3, "Gaussian": 1.0, "orthogonal": 1.0}  # g²
color = {
    "default": plots.color_of("default"),
    "Gaussian": plots.color_of("normal"),
    "orthogonal": plots.color_of("orthogonal"),
}


def network(scheme, seed, kind="RNN", units=HIDDEN):
    net = getattr(nn, kind)(14, units, batch_first=True)
    return initguide.initialize(net, scheme, seed=seed)


def of_powers(w):
    """Mean of the squared singular values of Wᵗ, and their relative variance, for each t."""
    power, rows = torch.eye(len(w)), []
    for _ in range(STEPS + 1):
        gram = power @ power.T
        mean = gram.trace() / len(w)
        rows.append([mean, gram.square().sum() / len(w) / mean**2 - 1])
        power = w @ power
    return torch.tensor(rows)


found = {
    name: torch.stack(
        [
            of_powers(network(scheme, seed, units=WIDE).weight_hh_l0.detach())
            for seed in SEEDS
        ]
    )
    for name, scheme in schemes.items()
}  # (seeds, steps, 2)


def draw(ax, rows, predicted, **look):
    """Median and range of the seeds, and the prediction dashed."""
    rows = torch.as_tensor(rows)
    at = range(rows.shape[1])
    ax.fill_between(
        at, rows.amin(0), rows.amax(0), color=look["color"], alpha=0.2, lw=0
    )
    ax.plot(at, rows.median(0).values, **look)
    ax.plot(at, predicted, "--", color="0.3", linewidth=1.2)


fig, (left, right) = plots.subplots(1, 2, height=4.0)
for name, rows in found.items():
    powers = [factor[name] ** t for t in range(STEPS + 1)]
    draw(left, rows[..., 0], powers, color=color[name], label=name)
for name in ("Gaussian", "orthogonal"):
    added = [t if name == "Gaussian" else 0 for t in range(STEPS + 1)]
    draw(right, found[name][..., 1], added, color=color[name])
left.set(title="Size of the state", xlabel="steps", yscale="log")
left.set(ylabel="mean square / that at the start,\nlogarithmic scale")
right.set(title="Spread over directions", xlabel="steps")
right.set_ylabel("relative variance of\nsquared singular values")
left.legend(loc="lower left")
ends = {name: rows[:, STEPS].median(0).values for name, rows in found.items()}
plots.describe(
    fig,
    f"Left, mean square of a state after {STEPS} steps relative to the start, median of 8 seeds: "
    + ", ".join(f"{name} {end[0]:.2g}" for name, end in ends.items())
    + f"; predicted 3^−{STEPS} = {3.0**-STEPS:.2g}, 1 and 1. Right, relative variance of the "
    f"squared singular values after {STEPS} steps: Gaussian {ends['Gaussian'][1]:.0f}, predicted "
    f"{STEPS}; orthogonal {abs(ends['orthogonal'][1]):.0f}, predicted 0.",
)

# %%
# Lines are medians of eight draws, bands the range, dashes predictions. With the default a state
# fades as predicted, to nothing. An orthogonal matrix keeps it exactly. A Gaussian one keeps it at
# first, on average; then some draws grow, for the errors of one matrix repeat themselves and do not
# average out. And it does not keep *directions* (right): as in
# :doc:`/auto_examples/theory/plot_6_orthogonal`, every multiplication adds 1 to the relative
# variance of the squared singular values, and soon few directions carry all there is.
#
# With tanh and real inputs
# -------------------------
# Now the whole layer, hₜ = tanh(W hₜ₋₁ + V xₜ + b), reading images averaged to 14 × 14 pixels, one
# row a step, and blank rows after that. A :term:`length map` gives the mean square q of the sums,
# step by step: the state adds g² E[tanh²(√q z)], the row Var(V) · \|x\|², and random biases their
# variance. Going back one step then multiplies the mean square of a gradient by g² E[tanh'²(√q z)].

WAIT = 26
data = initguide.fashion_mnist().subset(train=3000, valid=1000, test=500)
small = data.transformed(
    lambda x: (nn.functional.avg_pool2d(x, 2) - 0.286) / 0.3, "averaged to 14 × 14"
)


def rows_of(images):
    """(images, 14 + WAIT, 14): the rows, and blank ones to wait."""
    return nn.functional.pad(images.flatten(1, 2), (0, 0, 0, WAIT))


x = rows_of(small.train.images[:200])
z = torch.linspace(-6, 6, 241)
density = torch.exp(-(z**2) / 2) / torch.exp(-(z**2) / 2).sum()


def gradients(net, x, cell=False):
    """Root mean square of d(last state)/d(state t), back from the last; of the cells if asked."""
    state, states = None, []
    for t in range(x.shape[1]):
        _, state = net(x[:, t : t + 1], state)
        states.append(state[1] if cell else state)
    draws = torch.Generator().manual_seed(0)
    last = torch.randn(states[-1].shape, generator=draws)
    found = torch.autograd.grad((states[-1] * last).sum(), states)
    return [g.double().square().mean().sqrt().item() for g in reversed(found)]


def predicted_gradients(g2, input_variance, bias_variance):
    drive = input_variance * x.square().sum(2) + bias_variance  # (images, steps)
    q, factors = drive[:, 0], []
    for t in range(1, x.shape[1]):
        h = torch.tanh(q.sqrt()[:, None] * z)
        q = g2 * (h.square() * density).sum(1) + drive[:, t]
        slope = 1 - torch.tanh(q.sqrt()[:, None] * z).square()
        factors.append(g2 * (slope.square() * density).sum(1))
    back = torch.stack(factors[::-1]).double().cumprod(0).mean(1).sqrt()
    return [1.0, *back.tolist()]


xavier = 2 / (14 + HIDDEN)
variances = {"default": (1 / (3 * HIDDEN), 2 / (3 * HIDDEN))}
through_time, expected = {}, {}
fig, ax = plots.subplots()
for name, scheme in schemes.items():
    through_time[name] = [gradients(network(scheme, seed), x) for seed in SEEDS]
    expected[name] = predicted_gradients(
        factor[name], *variances.get(name, (xavier, 0.0))
    )
    draw(ax, through_time[name], expected[name], color=color[name], label=name)
ax.set(title="Gradients through time, tanh (8 seeds)", yscale="log")
ax.set(
    xlabel="steps back",
    ylabel="root mean square / that of the last step,\nlogarithmic",
)
ax.legend(title="dashed: predicted")
plots.describe(
    ax,
    f"Gradient {STEPS - 1} steps back, measured (median) and predicted: "
    + "; ".join(
        f"{name} {torch.tensor(rows)[:, -1].median():.1g} and {expected[name][-1]:.1g}"
        for name, rows in through_time.items()
    ),
)

# %%
# The default loses a factor of about √3 a step, and after 39 steps at least eight orders of
# magnitude are gone. The other two lose little while the network waits, because tanh is nearly
# linear for the small states that are left, and more where rows come in (beyond 26 steps) and push
# tanh to its flat ends. The theory assumes fresh matrices. It runs along the orthogonal line all
# the same; of Gaussian draws it tells the middle, and they differ by more than a factor of ten.
#
# A task that needs memory
# ------------------------
# A classifier sees 14 rows, waits for 26 blank steps, and answers from its last state. We train
# for two epochs on 3,000 images, with two learning rates each. A fourth start is that of
# :cite:t:`le2015`: ReLU, and the identity between the states.


class Reader(nn.Module):
    def __init__(self, kind, **settings):
        super().__init__()
        self.rnn = getattr(nn, kind)(14, HIDDEN, batch_first=True, **settings)
        self.head = nn.Linear(HIDDEN, 10)

    def forward(self, images):
        return self.head(self.rnn(rows_of(images))[0][:, -1])


def compare(schemes, rate, *, seeds=4, **settings):
    return initguide.compare_init_weights(
        schemes,
        small,
        model=lambda: Reader(**settings),
        epochs=2,
        batch_size=50,
        learning_rate=rate,
        seeds=seeds,
    )


identity = {"identity, ReLU": recurrence(nn.init.eye_)}
rates, losses = (0.001, 0.003), {}
for rate in rates:
    for chosen, phi in ((schemes, "tanh"), (identity, "relu")):
        result = compare(chosen, rate, kind="RNN", nonlinearity=phi)
        for name in chosen:
            losses[name, rate] = result.values(name, "valid_loss")

names = [*schemes, *identity]
columns = {"recurrent matrix": names}
for rate in rates:
    rows = [losses[name, rate] for name in names]
    columns[f"rate {rate:g}"] = [row.mean() for row in rows]
    columns[f"best and worst, {rate:g}"] = [
        f"{row.min():.2f} to {row.max():.2f}" for row in rows
    ]
initguide.Table(
    columns,
    caption="Validation loss of plain recurrent networks after two epochs, in nats",
    note=f"Mean, best and worst of 4 seeds. Knowing nothing: ln 10 = {math.log(10):.3f}.",
    formats={f"rate {rate:g}": ".2f" for rate in rates},
)

# %%
for name in ("default", "orthogonal", "identity, ReLU"):
    for rate in rates:
        gap, (low, high) = mean_interval(
            losses[name, rate] - losses["Gaussian", rate]
        )
        print(
            f"{name} − Gaussian, {rate:g}: {gap:+.2f}, interval {low:+.2f} to {high:+.2f}"
        )

# %%
# At the smaller rate the default learns nothing: its loss is ln 10, as gradients of a billionth
# suggest. At the larger one a seed may find its way out. The other three learn at both. The
# identity does not rotate the state and, while it waits, does not change it, and at the smaller
# rate it is the best of the four; at the larger one it and the orthogonal ones are close. Whether
# orthogonal weights beat Gaussian ones, the intervals say for each rate.
#
# Forget gates
# ------------
# An LSTM has a cell that is not multiplied by a matrix: cₜ = fₜ cₜ₋₁ + iₜ gₜ, with a forget gate fₜ
# = σ(… + b). With small weights fₜ is near σ(b), and after t steps a share of σ(b)ᵗ is left: a
# half to the t if b = 0. :cite:t:`gers2000` invented the gate, and :cite:t:`jozefowicz2015` advise
# a bias of 1. PyTorch keeps *two* biases for each gate, ``bias_ih`` and ``bias_hh``, and adds them:
# set one of them and let the other be 0. The order of the gates is input, forget, cell, output.
#
# :cite:t:`tallec2018` want every length of memory to be there from the start: their *chrono*
# initialization draws u from U(1, T − 1) for each unit and sets the forget bias to ln u and that of
# the input gate to −ln u. Then σ(b) = u/(1 + u), a memory of about u steps.


def forget(bias):
    """Xavier, orthogonal recurrences, and a forget bias: a number, or a function of a count."""
    base = init.xavier_uniform()

    def weights_init(module):
        base(module)
        if isinstance(module, nn.LSTM):
            n = module.hidden_size
            with torch.no_grad():
                if callable(bias):
                    module.bias_ih_l0[n : 2 * n] = bias(n)
                    module.bias_ih_l0[:n] = -module.bias_ih_l0[n : 2 * n]
                else:
                    module.bias_ih_l0[n : 2 * n] = bias

    return weights_init


def chrono(n):
    return torch.empty(n).uniform_(1, STEPS - 1).log()


gates = {
    "default": init.default(),
    "b = 0": forget(0.0),
    "b = 1": forget(1.0),
    "b = 3": forget(3.0),
    "chrono": forget(chrono),
}


def gates_product(net, x):
    """Mean over units and images of the product of the last t forget gates, for each t."""
    n, state, open_ = HIDDEN, None, []
    with torch.no_grad():
        for t in range(x.shape[1]):
            h = x.new_zeros(len(x), n) if state is None else state[0][0]
            sums = x[:, t] @ net.weight_ih_l0.T + h @ net.weight_hh_l0.T
            sums += net.bias_ih_l0 + net.bias_hh_l0
            open_.append(torch.sigmoid(sums[:, n : 2 * n]).double())
            state = net(x[:, t : t + 1], state)[1]
    products = torch.stack(open_[:0:-1]).cumprod(0).mean((1, 2))
    return [1.0, *products.tolist()]


t = torch.arange(STEPS, dtype=torch.float64)
u = torch.linspace(1, STEPS - 1, 1001, dtype=torch.float64)
expected = {"chrono": (u / (1 + u)).pow(t[:, None]).mean(1)}
for name, bias in {
    "default": 0.0,
    "b = 0": 0.0,
    "b = 1": 1.0,
    "b = 3": 3.0,
}.items():
    expected[name] = (1 / (1 + math.exp(-bias))) ** t
kept, cells = {}, {}
fig, (left, right) = plots.subplots(1, 2, height=4.6, sharey=True)
for (name, scheme), shade in zip(gates.items(), plots.PALETTE, strict=False):
    nets = [network(scheme, seed, "LSTM") for seed in range(4)]
    kept[name] = torch.tensor([gates_product(net, x) for net in nets])
    cells[name] = torch.tensor([gradients(net, x, cell=True) for net in nets])
    draw(left, kept[name], expected[name], color=shade, label=name)
    draw(right, cells[name], expected[name], color=shade)
left.set(title="Product of the forget gates", xlabel="steps back", yscale="log")
right.set(title="Gradient of the cell", xlabel="steps back")
left.set_ylabel("share (left), root mean square (right),\nlogarithmic scale")
fig.legend(
    *left.get_legend_handles_labels(),
    loc="outside lower center",
    ncols=5,
    title="dashed: σ(b)ᵗ",
)
plots.describe(
    fig,
    f"{STEPS - 1} steps back, product of the forget gates (median of 4 seeds), σ(b)ᵗ, and gradient "
    "of the cell: "
    + "; ".join(
        f"{name} {kept[name][:, -1].median():.1g}, {expected[name][-1]:.1g}, "
        f"{cells[name][:, -1].median():.1g}"
        for name in gates
    ),
)

# %%
# Left: σ(b)ᵗ ignores the weights, and still it tells the product of the forget gates. (The dashed
# lines of the default and of b = 0 are the same. Beyond 26 steps rows come in, and gates move.) The
# default's biases are small random numbers, so its forget gates start half closed.
#
# Right: the *whole* gradient is larger, by orders of magnitude where the gates are half closed. The
# formula follows the cell alone, while a gradient also goes through the state h and the weights. So
# σ(b)ᵗ is a floor under an LSTM's memory, and the part that you can set. Does it show in training?

lstm = compare(gates, 0.003, seeds=5, kind="LSTM")
lstm

# %%
for name in ("default", "b = 1", "b = 3", "chrono"):
    print(lstm.difference(name, "b = 0", "valid_loss"))

# %%
# Below zero is better than b = 0. The default learnt nothing in two epochs; what it would learn in
# twenty is not measured here. Xavier's weights with orthogonal recurrences and b = 0 learn
# something, differently well from seed to seed, and gates that start wide open learn more.
#
# .. admonition:: Try it
#
#    A GRU has an update gate instead, hₜ = z hₜ₋₁ + (1 − z) nₜ in PyTorch's convention, and its
#    order of gates is reset, update, new. Which bias keeps nine tenths of the state at each step?
#    Set it, and measure.
#
#    .. dropdown:: Solution
#
#       .. code-block:: python
#
#          # σ(b) = 0.9 for b = ln 9 = 2.2. In the papers that write z and 1 − z the other way
#          # round, the sign is the opposite.
#          def update(bias):
#              base = init.xavier_uniform()
#              def weights_init(module):
#                  base(module)
#                  if isinstance(module, nn.GRU):
#                      n = module.hidden_size
#                      with torch.no_grad():
#                          module.bias_ih_l0[n : 2 * n] = bias
#              return weights_init
#
#          for bias in (0.0, math.log(9)):
#              found = gradients(network(update(bias), 0, "GRU"), x)
#              share = 1 / (1 + math.exp(-bias))
#              print(bias, [(round(found[t], 4), round(share**t, 4)) for t in (1, 5, 20)])
#
# What we learnt
# --------------
# - PyTorch's default for recurrent layers has variance 1/(3n): a state loses two thirds of its mean
#   square a step, and the gradient over 39 steps of a tanh network shrank by more than eight orders
#   of magnitude, as predicted.
# - An orthogonal matrix keeps size and directions of a linear state exactly. A Gaussian one keeps
#   the size on average for a while, and does not keep the directions.
# - Forget gates with bias b let σ(b)ᵗ of the cell through. The whole gradient is larger, because
#   there are other ways, and PyTorch's default has the smallest of all.
# - On a task with a wait of 26 steps, the defaults of the plain network (at the smaller rate) and
#   of the LSTM ended at the loss of knowing nothing. A forget bias of 3 and the chrono
#   initialization beat b = 0.
# - **Rule:** do not leave a recurrent network at its default where it must remember. Use orthogonal
#   recurrences, as ``initguide.initialize(net, "xavier_uniform")`` gives them, and set one of the
#   two forget biases so that σ(b)ᵗ is not small for the t steps that have to be remembered.
#
# Next section: :doc:`check your own network </auto_examples/practice/plot_1_check_your_network>`.
