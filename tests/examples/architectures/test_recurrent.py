"""What page 5 of "Architectures" concludes, at reduced size: recurrent networks."""

import math

import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init
from initguide.experiments import mean_interval

HIDDEN, WAIT = 48, 26


@pytest.fixture(scope="module")
def rows(sample):
    """Return 100 images as 14 rows of 14 pixels, and blank rows after them."""
    return rows_of(halved(sample.train.images[:100]))


@pytest.fixture(scope="module")
def small(sample):
    """Return 2,000 images of 14 × 14 for training."""
    return sample.subset(train=2000, valid=1000, test=100).transformed(halved, "halved")


def halved(images):
    """Average 2 × 2 pixels, and centre."""
    return (nn.functional.avg_pool2d(images, 2) - 0.286) / 0.3


def rows_of(images):
    """(images, 14 + WAIT, 14)."""
    return nn.functional.pad(images.flatten(1, 2), (0, 0, 0, WAIT))


class Reader(nn.Module):
    """Read the rows, wait, and answer."""

    def __init__(self, kind):
        super().__init__()
        self.rnn = getattr(nn, kind)(14, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, 10)

    def forward(self, images):
        """(n, 10) scores."""
        return self.head(self.rnn(rows_of(images))[0][:, -1])


def gaussian(module):
    """Xavier's weights, and N(0, 1/n) between the states."""
    init.xavier_uniform()(module)
    if isinstance(module, nn.RNN):
        nn.init.normal_(module.weight_hh_l0, 0, module.hidden_size**-0.5)


def forget(bias, *, chrono=False):
    """Xavier's weights, and a forget bias."""

    def weights_init(module):
        init.xavier_uniform()(module)
        if isinstance(module, nn.LSTM):
            n = module.hidden_size
            with torch.no_grad():
                module.bias_ih_l0[n : 2 * n] = bias
                if chrono:
                    module.bias_ih_l0[n : 2 * n] = torch.empty(n).uniform_(1, 39).log()
                    module.bias_ih_l0[:n] = -module.bias_ih_l0[n : 2 * n]

    return weights_init


def recurrent_matrix(scheme, seed, units):
    """Return the matrix between the states of a plain recurrent network."""
    return initguide.initialize(nn.RNN(14, units), scheme, seed=seed).weight_hh_l0.detach()


def gradients(scheme, x, seed, kind="RNN"):
    """Root mean square of d(last state)/d(state), back from the last; of the cell for an LSTM."""
    net = initguide.initialize(getattr(nn, kind)(14, HIDDEN, batch_first=True), scheme, seed=seed)
    state, states = None, []
    for t in range(x.shape[1]):
        _, state = net(x[:, t : t + 1], state)
        states.append(state[1] if kind == "LSTM" else state)
    last = torch.randn(states[-1].shape, generator=torch.Generator().manual_seed(0))
    found = torch.autograd.grad((states[-1] * last).sum(), states)
    return [g.double().square().mean().sqrt().item() for g in reversed(found)]


def forget_product(scheme, x, seed):
    """Mean over units and images of the product of all forget gates but the first."""
    net = initguide.initialize(nn.LSTM(14, HIDDEN, batch_first=True), scheme, seed=seed)
    n, state, product = HIDDEN, None, 1.0
    with torch.no_grad():
        for t in range(x.shape[1]):
            h = x.new_zeros(len(x), n) if state is None else state[0][0]
            sums = x[:, t] @ net.weight_ih_l0.T + h @ net.weight_hh_l0.T
            sums += net.bias_ih_l0 + net.bias_hh_l0
            if t:
                product = product * torch.sigmoid(sums[:, n : 2 * n]).double()
            state = net(x[:, t : t + 1], state)[1]
    return product.mean().item()


def test_default_loses_two_thirds_of_the_mean_square_a_step():
    """PyTorch's default has variance 1/(3n), so t steps leave 3^−t of a state's mean square."""
    logs = []
    for seed in range(6):
        w = recurrent_matrix(init.default(), seed, 256)
        assert w.var().item() == pytest.approx(1 / (3 * 256), rel=0.03)
        power = torch.linalg.matrix_power(w.double(), 20)
        logs.append(math.log(power.square().sum().item() / 256))
    assert sum(logs) / len(logs) == pytest.approx(-20 * math.log(3), abs=1.0)


def test_default_loses_the_gradient_over_39_steps(rows):
    """The gradient of a tanh network shrinks by more than eight orders; others keep more."""
    default = [gradients(init.default(), rows, seed)[-1] for seed in range(4)]
    assert sorted(default)[1] < 1e-8
    orthogonal = [gradients(init.xavier_uniform(), rows, seed)[-1] for seed in range(4)]
    assert min(orthogonal) > 1e-4


def test_orthogonal_keeps_size_and_directions_exactly():
    """All singular values of Wᵗ are 1."""
    w = recurrent_matrix("xavier_uniform", 0, 128).double()
    values = torch.linalg.svdvals(torch.linalg.matrix_power(w, 40))
    assert values.tolist() == pytest.approx([1.0] * 128, abs=1e-3)


def test_gaussian_keeps_size_for_a_while_and_no_directions():
    """The mean square stays near 1 for ten steps; each step adds 1 to the relative variance."""
    sizes, spreads = [], []
    for seed in range(6):
        w = recurrent_matrix(gaussian, seed, 256).double()
        s = torch.linalg.svdvals(torch.linalg.matrix_power(w, 10)).square()
        sizes.append(s.mean().item())
        spreads.append((s.var(correction=0) / s.mean() ** 2).item())
    assert sum(sizes) / 6 == pytest.approx(1, abs=0.4)
    assert sum(spreads) / 6 == pytest.approx(10, rel=0.25)


@pytest.mark.parametrize("bias", [0.0, 1.0, 3.0])
def test_forget_gates_let_their_bias_through(rows, bias):
    """The product of the gates over 20 blank steps is σ(b)ᵗ, to a factor of two."""
    blank = rows[:, -21:]
    kept = forget_product(forget(bias), blank, seed=0)
    assert math.log(kept) == pytest.approx(20 * -math.log1p(math.exp(-bias)), abs=0.7)


def test_whole_gradient_is_larger_and_the_defaults_smallest(rows):
    """More of the cell's gradient arrives than σ(b)ᵗ; least with PyTorch's default."""
    found = {
        bias: [gradients(forget(bias), rows, seed, "LSTM")[-1] for seed in range(2)]
        for bias in (0.0, 1.0, 3.0)
    }
    default = [gradients(init.default(), rows, seed, "LSTM")[-1] for seed in range(2)]
    for bias, rest in found.items():
        assert min(rest) > (1 + math.exp(-bias)) ** -39
        assert max(default) < min(rest)
    assert max(found[0.0]) < min(found[1.0]) < max(found[1.0]) < min(found[3.0])


def losses(small, schemes, rate, kind, seeds):
    """Label -> validation losses, one a seed."""
    result = initguide.compare_init_weights(
        schemes,
        small,
        model=lambda: Reader(kind),
        epochs=2,
        batch_size=50,
        learning_rate=rate,
        seeds=seeds,
    )
    return {label: result.values(label, "valid_loss") for label in schemes}


def test_default_of_a_plain_network_learns_nothing(small):
    """It ends at ln 10 at the smaller rate, where orthogonal recurrences learn."""
    found = losses(
        small, {"default": init.default(), "orth": init.xavier_uniform()}, 1e-3, "RNN", 1
    )
    assert found["default"].tolist() == pytest.approx([math.log(10)], abs=0.05)
    assert found["orth"].max() < 1.9


@pytest.mark.slow
def test_default_lstm_learns_nothing_and_open_gates_beat_closed_ones(small):
    """It ends at ln 10; a bias of 3 and chrono are better than b = 0."""
    schemes = {
        "default": init.default(),
        "0": forget(0.0),
        "3": forget(3.0),
        "chrono": forget(0.0, chrono=True),
    }
    found = losses(small, schemes, 3e-3, "LSTM", 2)
    assert found["default"].tolist() == pytest.approx([math.log(10)] * 2, abs=0.05)
    for label in ("3", "chrono"):
        assert mean_interval(found[label])[0] < mean_interval(found["0"])[0] - 0.2
