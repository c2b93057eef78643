"""What page 7 of "Why it works" concludes, at reduced size: inputs and the first loss."""

import math

import pytest
import torch
from theory_networks import behind, first_sums, he_then, network

import initguide
from initguide import initializers as init
from initguide import propagation, training
from initguide.experiments import mean_interval


def he_with_last(gain):
    """He's weights, and a last layer of N(0, gain²/n)."""
    return he_then(
        "output",
        lambda layer: torch.nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.in_features)),
    )


@pytest.mark.parametrize("way", [lambda x: 255 * x, lambda x: x, lambda x: (x - 0.286) / 0.353])
def test_scale_of_the_inputs_sets_the_first_mean_square(images, way):
    """The inputs' scale sets the first layer's mean square: with He's weights, twice theirs."""
    x = way(images)
    measured = torch.stack([z.square().mean() for z in first_sums(x)]).mean().item()
    assert measured == pytest.approx(2 * x.square().mean().item(), rel=0.1)


def test_centring_takes_much_of_the_largest_direction_away(images):
    """Most of the mean square of raw pixels lies in one direction; centring takes much away."""
    shares = []
    for x in (images, images - images.mean()):
        eigenvalues = torch.linalg.svdvals(x.flatten(1)).square()
        shares.append((eigenvalues[0] / eigenvalues.sum()).item())
    assert shares[0] > 0.55
    assert shares[1] < 0.8 * shares[0]


def test_centred_and_standardized_pixels_beat_raw_ones(small):
    """With SGD, one epoch and each one's best rate, centred and standardized beat raw pixels."""
    mean, std = small.train.images.mean(), small.train.images.std()
    ways = {
        "raw": lambda x: x,
        "centred": lambda x: x - mean,
        "standardized": lambda x: (x - mean) / std,
    }
    best = {}
    for name, way in ways.items():
        tried = [
            initguide.compare_init_weights(
                {name: init.he_normal()},
                small.transformed(way, name),
                model=network,
                epochs=1,
                optimizer="sgd",
                learning_rate=rate,
                seeds=4,
            ).values(name, "valid_loss")
            for rate in (0.03, 0.1, 0.3)
        ]
        best[name] = min(tried, key=lambda losses: losses.mean())
    for name in ("centred", "standardized"):
        _, (_, high) = mean_interval(best[name] - best["raw"])
        assert high < 0


@pytest.mark.parametrize("gain", [0.3, 1.0, 3.0, 10.0])
def test_last_layer_sets_the_initial_loss(sample, images, gain):
    """The last layer sets the first loss: E[ln Σ exp(logits)] of logits N(0, g² x²)."""
    logits = torch.randn(20, len(images), 10, generator=torch.Generator().manual_seed(1))
    logits *= gain * images.flatten(1).square().mean(1).sqrt()[:, None]
    expected = torch.logsumexp(logits, -1).mean().item()
    losses = torch.tensor(
        [
            training.evaluate(
                initguide.initialize(initguide.Net(), he_with_last(gain), seed=seed),
                [(images, sample.train.labels[:500])],
            ).loss
            for seed in range(16)
        ]
    )
    assert expected > math.log(10)
    assert losses.mean().item() == pytest.approx(expected, abs=4 * losses.std().item() / 4)
    assert losses.mean().item() == pytest.approx(expected, rel=0.12)


def test_zero_last_layer_starts_at_ln_10_without_a_gradient_below(sample, images):
    """A last layer of zeros starts at ln 10 exactly, and at first no gradient passes through it."""
    net = initguide.initialize(initguide.Net(), he_with_last(0.0), seed=0).eval()
    found = propagation.measure(net, images, sample.train.labels[:500])
    assert found.loss == pytest.approx(math.log(10), abs=1e-6)
    assert found["fc1"].weight_grad_var == 0
    assert found["fc3"].weight_grad_var > 0


def test_lowest_first_loss_is_not_the_best_start(small):
    """Far above ln 10 is a warning; the lowest first loss is not the best."""
    schemes = {f"{gain}": he_with_last(gain) for gain in (0.0, 1.0, 30.0)}
    found = behind(small, schemes, "1.0")
    assert found["0.0"].verdict() == "higher"
    assert found["30.0"].verdict() == "higher"
