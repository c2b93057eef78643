"""What page 4 of "In practice" concludes, at reduced size: initial scale and learning rate."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide import training


@pytest.fixture(scope="module")
def small(sample):
    """Return 4,000 training images of 14 × 14 pixels, standardized."""
    shrink = nn.AvgPool2d(2)
    chosen = sample.subset(train=4000, valid=500, test=10)
    mean, std = chosen.train.images.mean(), chosen.train.images.std()
    return chosen.transformed(lambda x: shrink((x - mean) / std), "standardized, 14 × 14")


def network():
    """Return a network with three matrices."""
    return initguide.mlp([196, 64, 64, 10])


def runs(small, optimizer, points, *, seeds=2):
    """Return the runs at some pairs of scale and learning rate."""
    return [
        initguide.sweep(
            {"scale": [scale], "learning_rate": [rate]},
            small,
            model=network,
            scheme="he_normal",
            epochs=1,
            batch_size=40,
            optimizer=optimizer,
            seeds=seeds,
        ).runs
        for scale, rate in points
    ]


def accuracy(found):
    """Mean over seeds; a run that diverged guesses."""
    return np.mean([0.1 if run.diverged else run.valid_accuracy for run in found])


def start(small, factor, seed=0):
    """Return the parameters of a network with scaled weights, and its loss."""
    net = initguide.initialize(network(), "he_normal", seed=seed)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim == 2:
                p.mul_(factor)
    loss = F.cross_entropy(net(small.train.images[:500]), small.train.labels[:500])
    return list(net.parameters()), loss


def relative_step(small, factor):
    """Return the size of SGD's first step beside the weights, for a rate of 1."""
    logs = []
    for seed in range(4):
        parameters, loss = start(small, factor, seed)
        weights = [p for p in parameters if p.ndim == 2]
        grads = torch.autograd.grad(loss, weights)
        logs += [(g.norm() / w.norm()).log().item() for g, w in zip(grads, weights, strict=True)]
    return float(np.exp(np.mean(logs)))


def test_relative_step_of_sgd_is_proportional_to_the_scale(small):
    """With three matrices, up to a factor that the loss makes between the two ends."""
    tiny, small_, large, huge = (relative_step(small, s) for s in (0.01, 0.1, 10, 100))
    assert small_ / tiny == pytest.approx(10, rel=0.01)
    assert huge / large == pytest.approx(10, rel=0.01)
    assert 2 < (large / 10) / (tiny / 0.01) < 5


def test_sgd_diverges_where_a_step_is_as_large_as_the_weights(small):
    """Some times above ρ = 1 all runs diverge, a tenth of it none, from He's scale on."""
    for scale in (1, 10, 100):
        rate = 1 / relative_step(small, scale)
        above, below = runs(small, "sgd", [(scale, 4 * rate), (scale, rate / 10)])
        assert all(run.diverged for run in above)
        assert not any(run.diverged for run in below)


def test_sgd_trains_in_a_band_that_falls(small):
    """The larger the scale, the smaller the rates that train."""
    points = [(1, 0.1), (10, 0.01), (100, 1e-3)]
    inside = [accuracy(r) for r in runs(small, "sgd", points)]
    above = [accuracy(r) for r in runs(small, "sgd", [(s, 30 * rate) for s, rate in points])]
    below = [accuracy(r) for r in runs(small, "sgd", [(s, rate / 100) for s, rate in points[:2]])]
    assert min(inside) > 0.5
    assert max(above) < 0.3
    assert max(below) < 0.35


def test_sgd_needs_rates_near_one_for_small_weights(small):
    """At a tenth of He's scale, 0.5 trains; ten times more and ten times less do not."""
    small_rate, right, large_rate = (
        accuracy(r) for r in runs(small, "sgd", [(0.1, 0.05), (0.1, 0.5), (0.1, 5)])
    )
    assert right > small_rate + 0.2
    assert right > large_rate + 0.2
    assert max(accuracy(r) for r in runs(small, "sgd", [(0.01, 0.1), (0.01, 1)])) < 0.3


def test_adam_has_a_border_that_rises_and_none_to_the_left(small):
    """Large weights need large rates; small weights are no problem."""
    wide, narrow = runs(small, "adam", [(30, 1e-2), (30, 3e-4)])
    assert accuracy(wide) > accuracy(narrow) + 0.2
    assert min(accuracy(r) for r in runs(small, "adam", [(0.01, 1e-2), (1, 1e-2)])) > 0.55
    assert accuracy(runs(small, "adam", [(1, 3e-4)])[0]) > 0.5


def test_one_matrix_more_makes_the_band_steeper(small):
    """With four matrices ρ ∝ η s², so from scale 1 to 10 the largest rate falls further."""
    falls = []
    for hidden in (2, 3):
        found = initguide.sweep(
            {"scale": [1, 10], "learning_rate": np.geomspace(1e-4, 1, 9)},
            small,
            model=lambda hidden=hidden: initguide.mlp([196, *[64] * hidden, 10]),
            scheme="he_normal",
            epochs=1,
            batch_size=40,
            optimizer="sgd",
            seeds=1,
        )
        largest = [np.flatnonzero(row > 0.5)[-1] for row in found.array()[..., 0]]
        falls.append((largest[0] - largest[1]) / 2)  # decades
    assert falls[0] >= 1
    assert falls[1] >= falls[0] + 0.5


def sharpness(small, factor):
    """Return the largest eigenvalue of the Hessian at the start."""
    return sharpness_of(*start(small, factor))


def sharpness_of(parameters, loss):
    """Return the largest eigenvalue of the Hessian, in absolute value."""
    slopes = torch.autograd.grad(loss, parameters, create_graph=True)
    flat = torch.cat([g.flatten() for g in slopes])
    v = torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    for _ in range(40):
        v = v / v.norm()
        product = torch.autograd.grad(flat, parameters, v, retain_graph=True)
        v = torch.cat([p.flatten() for p in product])
    return v.norm().item()


def test_largest_rate_lies_between_the_two_predictions(small):
    """Four times 2/λ still trains at He's scale, but a step as large as the weights does not."""
    bound, whole = 2 / sharpness(small, 1), 1 / relative_step(small, 1)
    assert 4 * bound < whole / 4
    beyond, too_large = runs(small, "sgd", [(1, 4 * bound), (1, whole)])
    assert accuracy(beyond) > 0.5
    assert accuracy(too_large) < 0.5
    assert 2 / sharpness(small, 100) < 1 / relative_step(small, 100)


@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_sharpness_comes_down_to_what_the_rate_allows(small, rate):
    """Before training it is several times 2/rate, and afterwards near it."""
    net = initguide.initialize(network(), "he_normal", seed=0)
    sharpnesses = []
    for trains in (True, False):
        loss = F.cross_entropy(net(small.train.images[:500]), small.train.labels[:500])
        sharpnesses.append(sharpness_of(list(net.parameters()), loss))
        if trains:
            training.train(net, small, epochs=1, batch_size=40, learning_rate=rate, optimizer="sgd")
    before, after = sharpnesses
    assert before > 3 * 2 / rate
    assert 0.4 < after / (2 / rate) < 2


def size(scheme):
    """Return the geometric mean of the matrices' root mean squares."""
    nets = [initguide.initialize(network(), scheme, seed=seed) for seed in range(5)]
    squares = [p.detach().square().mean() for net in nets for p in net.parameters() if p.ndim == 2]
    return float(torch.stack(squares).log().mean().div(2).exp())


def test_named_schemes_lie_within_little_more_than_a_decade():
    """From the general rule to N(0, 1)."""
    places = [size(s) / size("he_normal") for s in ("general_rule", "xavier_normal", "normal")]
    assert 0.35 < places[0] < places[1] < 1 < places[2] < 8
    assert size("default") == pytest.approx(size("general_rule"), rel=0.01)


def test_a_centred_scheme_is_its_scale_and_another_is_not(small):
    """The general rule and N(0, 1) learn as much as He's weights of their scale; U[0, 1) less."""

    def learnt(**grid):
        result = initguide.sweep(
            {**grid, "learning_rate": [1e-3, 1e-2, 0.1]},
            small,
            model=network,
            scheme="he_normal",
            epochs=1,
            batch_size=40,
            optimizer="sgd",
            seeds=3,
        )
        return np.nan_to_num(result.array(), nan=0.1).mean((1, 2))

    schemes = ["general_rule", "normal", "uniform"]
    of_schemes = learnt(scheme=schemes)
    of_twins = learnt(scale=[size(s) / size("he_normal") for s in schemes])
    assert np.abs(of_schemes - of_twins)[:2].max() < 0.12
    assert of_schemes[2] < of_twins[2] - 0.1
