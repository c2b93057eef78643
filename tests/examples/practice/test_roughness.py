"""What page 7 of "In practice" concludes, at reduced size: the border is rough, and no artefact."""

import numpy as np
import pytest
import torch
from torch import nn

from initguide.experiments import border, box_count, trainability_map

SIZE = 64


def train(seed, scales, rates, **how):
    """Train a network for each scale and learning rate."""
    draw = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Linear(16, 16, bias=False), nn.Tanh(), nn.Linear(16, 1, bias=False))
    for weights in network.parameters():
        nn.init.normal_(weights, std=1 / 4, generator=draw)
    data = (torch.randn(16, n, generator=draw) for n in (16, 1))
    how = {"steps": 200, "loss": nn.functional.mse_loss} | how
    return trainability_map(network, *data, scales=scales, learning_rates=rates, **how)


def dimension(verdicts):
    """Dimension of the border, from boxes of 1, 2, 4 and 8 pixels."""
    return box_count(border(verdicts)).dimension


@pytest.fixture(scope="module", params=[0, 3], ids="seed {}".format)
def maps(request):
    """Return a seed, its map, and its zoom, 16 times as large."""
    far = train(request.param, np.geomspace(0.03, 30, SIZE), np.geomspace(0.15, 1.5, SIZE))
    near = train(request.param, *(np.geomspace(*end, SIZE) for end in far.richest(parts=16)))
    return request.param, far, near


def test_border_is_rough_far_and_near(maps):
    """Its dimension is above 1, on the map and on the zoom; that of a disc is 1."""
    _, far, near = maps
    place = np.arange(SIZE) / SIZE - 0.5
    disc = place[:, None] ** 2 + place**2 < 0.3**2
    assert dimension(disc) == pytest.approx(1, abs=0.07)
    assert dimension(far.converged) > 1.12
    assert dimension(near.converged) > 1.12
    assert dimension(near.converged) > dimension(far.converged) - 0.1  # no smoother from near


def test_border_is_not_noise(maps):
    """Noise fills the plane, and the border does not; few verdicts change with 64 bits."""
    seed, _, near = maps
    noise = np.random.default_rng(0).random((SIZE, SIZE)) < 0.5
    assert dimension(noise) > 1.8
    assert dimension(near.converged) < 1.7
    some = slice(8, None, 16)
    axes = near.scales[some], near.learning_rates
    exact = train(seed, *axes, dtype=torch.float64).converged
    kept = near.converged[some]
    assert np.mean(exact != kept) < 0.1
    crossed = [np.sum(rows[:, 1:] != rows[:, :-1]) for rows in (kept, exact)]
    assert crossed[1] > 0.6 * crossed[0]


def test_random_walks_are_read_as_smoother_than_they_are():
    """The graph of a walk has dimension 1.5; of so few pixels, the count is clearly below."""
    draw, found = np.random.default_rng(0), []
    for _ in range(8):
        height = draw.standard_normal(64 * 128).cumsum()[::64]
        found.append(
            dimension(np.arange(128) / 128 < (height - height.min())[:, None] / np.ptp(height))
        )
    assert 1.1 < np.mean(found) < 1.45


def test_those_that_learnt_learn_on(maps):
    """Of those that converged in 200 steps, hardly one diverges in 800."""
    seed, _, near = maps
    some = slice(8, None, 16)
    longer = train(seed, near.scales[some], near.learning_rates, steps=800).converged
    assert longer[near.converged[some]].mean() > 0.95
