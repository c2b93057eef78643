"""What examples/theory/plot_9_finite_width.py concludes, at reduced size."""

import math

import pytest
import torch
from scipy import stats

import initguide
from initguide import propagation, theory


def many_networks(width, depth, count, *, orthogonal=False):
    """M of many ReLU networks with He's or scaled orthogonal weights: (count, depth)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, width, 1, generator=generator)
    x /= x.square().mean(1, keepdim=True).sqrt()
    columns = []
    for _ in range(depth):
        weights = torch.randn(count, width, width, generator=generator)
        if orthogonal:
            q, r = torch.linalg.qr(weights)
            weights = q * r.diagonal(dim1=1, dim2=2).sign()[:, None] * math.sqrt(width)
        x = (weights @ x * math.sqrt(2 / width)).relu()
        columns.append(x.square().mean((1, 2)))
    return torch.stack(columns, 1).double()


@pytest.fixture(scope="module")
def shallow():
    """Return ten thousand networks of six layers of 24 units."""
    return many_networks(24, 6, 10_000)


@pytest.fixture(scope="module")
def deep():
    """Return two thousand networks of 30 layers of 32 units."""
    return many_networks(32, 30, 2000)


def test_mean_square_is_kept_on_average(shallow):
    """He's weights keep the mean square on average over networks."""
    last = shallow[:, -1]
    assert last.mean().item() == pytest.approx(1, abs=4 * last.std().item() / 100)


@pytest.mark.parametrize("depth", [1, 2, 4, 6])
def test_fluctuations_are_as_the_formula_says(shallow, depth):
    """One network fluctuates around that, with E[M²] = Π(1 + 5/n)."""
    squares = shallow[:, depth - 1].square()
    expected = theory.finite_width_moments([24] * depth).second
    assert expected == pytest.approx((1 + 5 / 24) ** depth)
    assert squares.mean().item() == pytest.approx(expected, abs=4 * squares.std().item() / 100)
    assert squares.mean().item() == pytest.approx(expected, rel=0.12)


def test_depth_over_width_decides(shallow, deep):
    """Depth divided by width decides how much networks fluctuate."""
    wide = many_networks(48, 12, 1000)[:, -1].log()  # as 6 layers of 24
    narrow = shallow[:, -1].log()
    assert wide.std().item() == pytest.approx(narrow.std().item(), rel=0.1)
    assert narrow.std().item() == pytest.approx(math.sqrt(5 * 6 / 24), rel=0.15)  # first order
    assert deep[:, -1].log().std() > 1.5 * narrow.std()


@pytest.mark.parametrize("depth", [10, 20, 30])
def test_typical_network_is_smaller_than_the_average_one(deep, depth):
    """The typical network is smaller than the average one, by exp(−5L/2n) to first order."""
    m = deep[:, depth - 1]
    assert m.median().log().item() == pytest.approx(-2.5 * depth / 32, abs=0.25)
    assert (m < 1).double().mean() > 0.65


def test_nine_of_ten_networks_lie_in_the_band(deep):
    """Of networks, about nine of ten lie between the dotted lines."""
    layers = torch.arange(1, 31)
    distance = (deep.log() + 2.5 * layers / 32) / torch.sqrt(5 * layers / 32)
    inside = (distance.abs() < stats.norm.ppf(0.95)).double().mean(0)
    assert inside[2:].min() > 0.83
    assert inside[2:].max() < 0.95


def test_rare_networks_carry_the_mean_of_the_squares(deep):
    """In deep narrow networks rare ones carry the mean of M²."""
    squares = deep[:, -1].square().sort().values
    assert squares[-20:].sum() > 0.5 * squares.sum()


def test_more_images_do_not_average_the_luck_away(sample):
    """A batch fluctuates from seed to seed about as one image does, and with it."""
    depth, width, images = 16, 48, sample.train.images[:60]
    logs = []
    for seed in range(16):
        net = initguide.mlp([784] + [width] * depth + [10], bias=False)
        initguide.initialize(net, "he_normal", seed=seed)
        row = []
        for x in (images[:1], images):
            found = propagation.measure(net, x)[f"act{depth}"].output_second_moment
            row.append(math.log(found / x.square().mean().item()))
        logs.append(row)
    one, batch = torch.tensor(logs).T
    assert batch.std() > 0.6 * one.std()
    assert torch.corrcoef(torch.stack([one, batch]))[0, 1] > 0.6


def test_orthogonal_weights_fluctuate_less():
    """Square orthogonal matrices with gain √2 give 1 + 3/(n + 2) a layer, not 1 + 5/n."""
    squares = many_networks(12, 5, 6000, orthogonal=True)[:, -1].square()
    error = 4 * squares.std().item() / math.sqrt(6000)
    assert squares.mean().item() == pytest.approx((1 + 3 / 14) ** 5, abs=error)
    assert squares.mean() + error < theory.finite_width_moments([12] * 5).second
