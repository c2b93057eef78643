"""What examples/architectures/plot_3_normalization.py concludes, at reduced size."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call, grad, stack_module_state, vmap

import initguide
from initguide.models import NormalizedMLP

WIDTH = 32
FOUR = ("batch", "layer", "group", "RMS")


@torch.no_grad()
def build(norm, seed=0, scale=1.0, *, head=False):
    """Return a network with He's weights times a number."""
    net = initguide.initialize(NormalizedMLP(norm, width=WIDTH), "he_normal", seed=seed)
    for name, weight in net.named_parameters():
        if weight.ndim == 2 and (head or "head" not in name):
            weight.mul_(scale)
    return net


@pytest.fixture(scope="module")
def images(sample):
    """Return small images and labels: 1,500 for training and 500 for validation."""
    parts = []
    mean, std = sample.train.images.mean(), sample.train.images.std()
    for split, count in ((sample.train, 1500), (sample.valid, 500)):
        small = F.avg_pool2d((split.images[:count] - mean) / std, 2).flatten(1)
        parts += [small, split.labels[:count]]
    return parts


def fit(images, nets, rates, trains=lambda _: True, *, seed=0, step=lambda gradient: gradient):
    """Train all networks at once for one epoch; return their scores of the validation images."""
    x_train, y_train, x_valid, _ = images
    model, weights = copy.deepcopy(nets[0]), stack_module_state(nets)[0]
    weights = {name: w.detach() for name, w in weights.items()}
    fixed = {name: weights.pop(name) for name in list(weights) if not trains(name)}

    def scores(weights, fixed, x):
        return functional_call(model, weights | fixed, (x,))

    def loss(weights, fixed, x, y):
        return F.cross_entropy(scores(weights, fixed, x), y)

    gradients = vmap(grad(loss), in_dims=(0, 0, None, None))
    draws = torch.Generator().manual_seed(seed)
    for chosen in torch.randperm(len(x_train), generator=draws).split(100):
        found = gradients(weights, fixed, x_train[chosen], y_train[chosen])
        for name, w in weights.items():
            rate = torch.tensor(rates).float().view(-1, *[1] * (w.ndim - 1))
            weights[name] = w - rate * step(found[name])
    with torch.no_grad():
        return vmap(scores, in_dims=(0, 0, None))(weights, fixed, x_valid)


def accuracy(images, scores):
    """Return the accuracy of each network; that of guessing if it diverged."""
    right = (scores.argmax(-1) == images[3]).float().mean(-1)
    return torch.where(scores.isfinite().all(-1).all(-1), right, 0.1).numpy()


def in_front(name):
    """Whether these are weights in front of a normalization."""
    return name.endswith("0.weight")


def gradient(net, images):
    """Root mean square of the gradient of the first layer's weights."""
    F.cross_entropy(net(images[0][:300]), images[1][:300]).backward()
    return net.first[0].weight.grad.square().mean().sqrt().item()


@pytest.mark.parametrize("norm", FOUR)
def test_scale_changes_nothing_but_the_gradient(images, norm):
    """The output stays, and the gradient goes as 1/s."""
    nets = {s: build(norm, scale=s) for s in (0.1, 1.0, 100.0)}
    with torch.no_grad():
        plain, large, small = (nets[s](images[2]) for s in (1.0, 100.0, 0.1))
    torch.testing.assert_close(plain, large, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(plain, small, rtol=5e-2, atol=5e-2)
    sizes = {s: s * gradient(net, images) for s, net in nets.items()}
    assert sizes[100.0] == pytest.approx(sizes[1.0], rel=0.02)
    assert sizes[0.1] == pytest.approx(sizes[1.0], rel=0.05)


@pytest.mark.parametrize("norm", FOUR)
def test_epsilon_ends_that_for_tiny_weights(images, norm):
    """v/(v + ε), layer by layer, is what is left of the signal."""
    eps = torch.finfo(torch.float32).eps if norm == "RMS" else 1e-5
    kept = []
    for scale in (1.0, 20 * eps**0.5, 0.3 * eps**0.5):
        net = build(norm, scale=scale)
        net.third[1].register_forward_hook(lambda *args: kept.append(args[2].square().mean()))
        with torch.no_grad():
            net(images[0][:300])
        m = 2 * images[0][:300].square().mean().item()
        for _ in range(3):
            v = scale**2 * m
            m = v / (v + eps)
        assert m / 6 < kept[-1].item() < m * 3  # batch: without what all images share
    assert kept[0] > 0.9
    assert kept[1] > 0.9
    assert kept[2] < 0.1


@pytest.mark.parametrize("norm", FOUR)
def test_rate_times_s_squared_is_the_same_training(images, norm):
    """Weights times s with a rate times s² are the same training, and with times s they are not."""
    nets = [build(norm, scale=s) for s in (1.0, 10.0, 10.0)]
    scores = fit(images, nets, [0.1, 10.0, 1.0], in_front)
    agree = (scores[0].argmax(-1) == scores[1].argmax(-1)).float().mean().item()
    other = (scores[0].argmax(-1) == scores[2].argmax(-1)).float().mean().item()
    assert agree > 0.85  # the rest is rounding, which training amplifies
    assert other < agree - 0.15


def test_with_a_gradient_of_fixed_size_it_is_s(images):
    """The exercise: where each layer's gradient is divided by its size, the rate goes as s."""

    def divided(g):
        return g / g.square().mean((1, 2), keepdim=True).sqrt()

    nets = [build("layer", scale=s) for s in (1.0, 10.0, 10.0)]
    scores = fit(images, nets, [0.003, 0.03, 0.3], in_front, step=divided)
    same, other = ((scores[0].argmax(-1) == s.argmax(-1)).float().mean() for s in scores[1:])
    assert same > 0.8
    assert other < same


def edge(images, norm, scale):
    """Logarithm of the smallest rate that gives half of what the best one does."""
    rates = np.logspace(-4, 1, 11)
    rows = []
    for seed in range(2):
        nets = [build(norm, seed, scale, head=True)] * len(rates)
        rows.append(accuracy(images, fit(images, nets, rates, seed=seed)))
    row = np.mean(rows, axis=0) - 0.1
    return np.log10(rates[np.argmax(row >= row.max() / 2)])


@pytest.mark.slow
@pytest.mark.parametrize("norm", FOUR)
def test_in_the_whole_network_the_exponent_is_around_1(images, norm):
    """With the last layer scaled too, the lower edge of the ridge follows s rather than s²."""
    slope = (edge(images, norm, 1.0) - edge(images, norm, 0.05)) / np.log10(20)
    assert 0.4 < slope < 1.6


def test_one_rate_batch_normalization_forgives_most(images):
    """At one rate, batch keeps its accuracy over decades; no normalization does not."""
    scales = [0.03, 0.1, 1.0, 3.0, 10.0]
    found = {}
    for norm, rate in (("none", 0.1), ("batch", 0.3), ("layer", 0.1), ("RMS", 0.1)):
        rows = []
        for seed in range(2):
            nets = [build(norm, seed, s, head=True) for s in scales]
            scores = fit(images, nets, [rate] * len(scales), seed=seed)
            rows.append(accuracy(images, scores))
        found[norm] = np.mean(rows, axis=0)
    assert found["none"][[0, 1, 4]].max() < 0.35 < found["none"][2]
    assert found["batch"][:4].min() > 0.45
    for norm in ("layer", "RMS"):
        assert found[norm][[0, 4]].max() < 0.8 * found[norm][2]


@pytest.mark.parametrize("norm", ["batch", "layer", "RMS"])
def test_a_large_last_layer_is_not_forgiven(images, norm):
    """Nothing behind the last layer takes its scale away, whatever the rate."""
    rates, rows = np.logspace(-3, 0.5, 8), {1: [], 100: []}
    for seed in range(2):
        for factor, kept in rows.items():
            net = build(norm, seed)
            net.head.weight.data.mul_(factor)
            kept.append(accuracy(images, fit(images, [net] * len(rates), rates, seed=seed)))
    assert np.mean(rows[100], axis=0).max() < np.mean(rows[1], axis=0).max() - 0.02


def test_equal_weights_are_not_repaired(images):
    """Equal weights are worth one unit, and zeros none."""
    for norm in FOUR:
        nets = []
        for scheme in ("constant(0.1)", "zeros"):
            nets += [initguide.initialize(build(norm), scheme)] * 3
        found = accuracy(images, fit(images, nets, [0.01, 0.1, 1.0] * 2))
        assert found[:3].max() < 0.3
        assert found[3:].max() < 0.2


def test_a_mean_is_undone_by_layer_and_group_normalization_only(images):
    """With them, U[0, 1) is U[−½, ½) up to a number that all scores share; not with the others."""
    for norm in FOUR:
        shifted, plain = (
            initguide.initialize(build(norm), scheme, seed=0)
            for scheme in ("uniform", "uniform(-0.5, 0.5)")
        )
        with torch.no_grad():
            before, after = (net(images[2]).log_softmax(1) for net in (plain, shifted))
        change = ((after - before).norm() / before.norm()).item()
        assert change < 1e-3 if norm in ("layer", "group") else change > 0.1
        rates = [0.1, 0.3]
        found, reference = (
            accuracy(images, fit(images, [net] * 2, rates)).max() for net in (shifted, plain)
        )
        if norm in ("layer", "group"):
            assert found == pytest.approx(reference, abs=0.03)  # rounding
            assert found > 0.4
        else:
            assert found < min(0.35, reference - 0.1)
