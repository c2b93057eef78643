"""What page 8 of "Why it works" concludes, at reduced size: dead and saturated units."""

import math

import pytest
import torch
from scipy import stats
from theory_networks import behind, first_sums, he_then, network

import initguide
from initguide import initializers as init
from initguide import propagation, theory, training

DEPTH = 20
FACTORS = (-3, -2, -1, 0)


def mean_cosine(images):
    """Average over all pairs of images, pair by pair."""
    unit = torch.nn.functional.normalize(images.flatten(1).double())
    return ((unit @ unit.T).sum().item() - len(unit)) / (len(unit) * (len(unit) - 1))


def dead_share(threshold, cosine, count, draws=20000):
    """P(all of ``count`` equally correlated normals ≤ threshold), with the common part drawn."""
    common = torch.randn(
        draws, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).numpy()
    z = (threshold - math.sqrt(cosine) * common) / math.sqrt(1 - cosine)
    return (stats.norm.cdf(z) ** count).mean()


def he_with_bias(bias):
    """He's weights, and one bias in the hidden layers."""
    return he_then("hidden", lambda layer: torch.nn.init.constant_(layer.bias, bias))


@pytest.mark.parametrize("factor", [*FACTORS, 1])
def test_silent_share_is_predicted_by_bias_over_sigma(images, factor):
    """A unit is silent for an image with probability Φ(−b/σ)."""
    sigmas = images.flatten(1).square().mean(1).mul(2).sqrt()
    bias = factor * sigmas.square().mean().sqrt().item()
    shares = [(z + bias <= 0).float().mean().item() for z in first_sums(images, width=1024)]
    expected = stats.norm.cdf(-bias / sigmas.numpy()).mean()
    assert sum(shares) / len(shares) == pytest.approx(expected, abs=0.025)


def test_dead_share_follows_bias_over_sigma_and_the_mean_cosine(images):
    """Dead ReLUs are decided by bias/σ and by how alike inputs are; negative biases kill."""
    sigma = math.sqrt(2 * images.square().mean().item())
    tops = torch.cat([z.amax(0) for z in first_sums(images)])
    measured = [(tops + k * sigma <= 0).float().mean().item() for k in FACTORS]
    expected = [dead_share(-k, mean_cosine(images), len(images)) for k in FACTORS]
    by_theory = theory.dead_share(FACTORS, mean_cosine(images), len(images))
    assert by_theory.tolist() == pytest.approx(expected, abs=0.01)
    assert measured == pytest.approx(expected, abs=0.15)
    assert measured[0] > 0.7 > measured[1] > 0.3 > measured[2] > 0.05
    assert measured[3] < 0.01


def test_only_the_ratio_of_bias_and_scale_counts(images):
    """Weights and biases of one ratio kill the same units; at b = 0, scale has no say."""
    net = initguide.initialize(initguide.Net(), "he_normal", seed=0)
    dead = {}
    for bias, scale in ((-0.5, 1.0), (-1.0, 2.0), (-0.125, 0.25), (0.0, 1.0), (0.0, 0.25)):
        with torch.no_grad():
            z = images.flatten(1) @ (scale * net.fc1.weight.T) + bias
        dead[bias, scale] = z.amax(0) <= 0
    assert dead[-0.5, 1.0].any()
    assert torch.equal(dead[-0.5, 1.0], dead[-1.0, 2.0])
    assert torch.equal(dead[-0.5, 1.0], dead[-0.125, 0.25])
    assert torch.equal(dead[0.0, 1.0], dead[0.0, 0.25])
    assert dead[0.0, 1.0].float().mean() < 0.02


def test_dead_units_of_the_first_layer_stay_dead(small):
    """Dead units of the first layer stay dead, with the same weights; behind it, some come back."""
    pixels = small.train.images.flatten(1)
    sigma = math.sqrt(2 * pixels.square().mean().item())
    revived = 0
    for seed in range(3):
        net = initguide.initialize(network(), he_with_bias(-sigma), seed=seed)
        weights, dead = net.fc1.weight.clone(), []
        for trains in (True, False):
            with torch.no_grad():
                first = net.fc1(pixels)
                dead.append([z.amax(0) <= 0 for z in (first, net.fc2(first.relu()))])
            if trains:
                training.train(net, small, epochs=1, seed=seed)
        (old, old_2), (new, new_2) = dead
        assert 0 < old.sum() < 64
        assert (old & new).sum() == old.sum()
        assert torch.equal(weights[old], net.fc1.weight[old])
        assert not torch.equal(weights[~old], net.fc1.weight[~old])
        revived += int((old_2 & ~new_2).sum())
    assert revived > 0


def test_negative_biases_cost_training(small):
    """At −2σ and below nothing is learnt, and at −σ less than at 0."""
    sigma = math.sqrt(2 * small.train.images.square().mean().item())
    schemes = {f"{k}": he_with_bias(k * sigma) for k in (-3, -1, 0)}
    found = behind(small, schemes, "0")
    assert found["-1"].verdict() == "higher"
    assert found["-3"].verdict() == "higher"
    stuck = initguide.initialize(network(), he_with_bias(-3 * sigma), seed=0)
    run = training.train(stuck, small, epochs=1)
    assert run.valid_loss == pytest.approx(math.log(10), abs=0.02)


def test_depth_kills_units_as_the_correlation_map_says(images):
    """With zero biases, depth kills ReLUs: as many as images that become alike predict."""
    correlation, expected = mean_cosine(images), []
    for _ in range(DEPTH):
        expected.append(dead_share(0.0, correlation, len(images)))
        correlation = theory.correlation_map(correlation, "relu", math.sqrt(2))
    shares = []
    for seed in range(4):
        net = initguide.mlp([784] + [192] * DEPTH + [10])
        found = propagation.measure(initguide.initialize(net, "he_normal", seed=seed), images)
        shares.append([record.dead_fraction for record in found if record.kind == "ReLU"])
    measured = torch.tensor(shares).mean(0)
    assert measured.tolist() == pytest.approx(expected, abs=0.08)
    assert measured[0] < 0.02
    assert measured[-5:].mean() > 0.15


def test_saturation_of_tanh_settles_where_the_length_map_says(images):
    """Tanh at gain 5/3 keeps a few per cent of its units saturated; gain 1 none, gain 3 a third."""
    x = (images[:200] - images.mean()) / images.std()
    flat = math.atanh(math.sqrt(1 - propagation.FLAT))
    last = {}
    for gain in (1.0, 5 / 3, 3.0):
        net = initguide.mlp([784] + [256] * DEPTH + [10], torch.nn.Tanh)
        found = propagation.measure(initguide.initialize(net, init.xavier_normal(gain), seed=0), x)
        shares = [record.saturated_fraction for record in found if record.kind == "Tanh"][-8:]
        q = theory.fixed_point("tanh", gain)
        expected = 2 * stats.norm.sf(flat / math.sqrt(q)) if q else 0.0
        last[gain] = sum(shares) / len(shares)
        assert last[gain] == pytest.approx(expected, abs=0.02)
    assert last[1.0] == 0
    assert 0.02 < last[5 / 3] < 0.08
    assert last[3.0] > 1 / 3
