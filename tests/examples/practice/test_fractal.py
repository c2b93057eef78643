"""What page 6 of "In practice" concludes, at reduced size: where learning ends, and how."""

import numpy as np
import pytest
import torch
from torch import nn

from initguide.training import fit_many

STEPS, SIZE, ZOOM = 200, 64, 16
NETWORK = nn.Sequential(nn.Linear(16, 16, bias=False), nn.Tanh(), nn.Linear(16, 1, bias=False))


def task(seed):
    """Return weights for scale 1, and 16 examples."""
    draw = torch.Generator().manual_seed(seed)
    weights = {n: torch.randn(p.shape, generator=draw) / 4 for n, p in NETWORK.named_parameters()}
    return weights, *(torch.randn(16, n, generator=draw) for n in (16, 1))


def fits(seed, scales, rates, *, steps=STEPS, dtype=torch.float32):
    """Train a network for each scale and learning rate."""
    weights, x, y = task(seed)
    s, r = torch.meshgrid(
        *(torch.tensor(axis, dtype=torch.float32) for axis in (scales, rates)), indexing="ij"
    )
    start = {name: (w * s.reshape(-1, 1, 1)).to(dtype) for name, w in weights.items()}
    how = {"steps": steps, "learning_rate": r.flatten(), "loss": nn.functional.mse_loss}
    return fit_many(NETWORK, start, x.to(dtype), y.to(dtype), **how)


def converged(losses):
    """Tell which of some networks have a lower loss in the end."""
    return (np.fmin(losses, 1e6 * losses[0]) / losses[0])[-20:].mean(0) < 1


def verdicts(seed, scales, rates, **how):
    """(scales, rates): which networks converge."""
    found = converged(fits(seed, scales, rates, **how).losses)
    return found.reshape(len(scales), len(rates))


def limits(seed, weights):
    """2/λ of the loss's Hessian, for stacked weights."""
    _, x, y = (part if isinstance(part, dict) else part.double() for part in task(seed))

    def loss(flat):
        hidden = torch.tanh(x @ flat[:256].view(16, 16).T)
        return nn.functional.mse_loss(hidden @ flat[256:].view(16, 1), y)

    flat = torch.cat([w.flatten(1) for w in weights.values()], 1).double()
    hessians = torch.vmap(torch.func.jacrev(torch.func.grad(loss)))
    return (2 / torch.linalg.eigvalsh(hessians(flat))[:, -1]).numpy()


def edges(pixels):
    """Tell where four neighbours do not all agree."""
    four = np.stack([pixels[1:, 1:], pixels[1:, :-1], pixels[:-1, 1:], pixels[:-1, :-1]])
    return np.pad(four.any(0) & ~four.all(0), (0, 1))


def per_box(edge, size):
    """Count boundary pixels in each box."""
    n = len(edge) // size
    return edge.reshape(n, size, n, size).sum((1, 3))


def dimension(pixels):
    """Fit the box-counting dimension, for boxes of 1, 2, 4 and 8 pixels."""
    counts = [np.sum(per_box(edges(pixels), size) > 0) for size in (1, 2, 4, 8)]
    return -np.polyfit(np.arange(4), np.log2(counts), 1)[0]


@pytest.fixture(scope="module", params=[0, 3], ids="seed {}".format)
def maps(request):
    """Return a seed, its map, and the axes and verdicts of the map's richest square."""
    axes = np.geomspace(0.03, 30, SIZE), np.geomspace(0.15, 1.5, SIZE)
    far = verdicts(request.param, *axes)
    size = SIZE // ZOOM
    counts = per_box(edges(far), size)
    corner = np.unravel_index(counts.argmax(), counts.shape)
    near_axes = [
        np.geomspace(axis[i * size], axis[min((i + 1) * size, SIZE - 1)], SIZE)
        for i, axis in zip(corner, axes, strict=True)
    ]
    return request.param, far, near_axes, verdicts(request.param, *near_axes)


def test_border_is_rough_far_and_near(maps):
    """Its dimension is above 1, on the map and on the zoom; that of a disc is 1."""
    _, far, _, near = maps
    place = np.arange(SIZE) / SIZE - 0.5
    disc = place[:, None] ** 2 + place**2 < 0.3**2
    assert dimension(disc) == pytest.approx(1, abs=0.07)
    assert dimension(far) > 1.12
    assert dimension(near) > 1.12


def test_border_is_not_noise(maps):
    """Noise fills the plane, and the border does not; few verdicts change with 64 bits."""
    seed, _, axes, near = maps
    noise = np.random.default_rng(0).random((SIZE, SIZE)) < 0.5
    assert dimension(noise) > 1.8
    assert dimension(near) < 1.7
    some = slice(8, None, 16)
    exact = verdicts(seed, axes[0][some], axes[1], dtype=torch.float64)
    assert np.mean(exact != near[some]) < 0.1
    crossed = [np.sum(rows[:, 1:] != rows[:, :-1]) for rows in (near[some], exact)]
    assert crossed[1] > 0.6 * crossed[0]


def test_small_rates_converge_and_large_ones_diverge(maps):
    """The border crosses the map from side to side."""
    _, far, _, _ = maps
    assert far[:, :8].all()
    assert not far[:, -8:].any()


@pytest.mark.parametrize("seed", range(4))
def test_theory_is_right_for_a_linear_network(seed):
    """A quadratic loss: the border lies at 2/λ."""
    _, x, y = task(seed)
    limit = 2 / torch.linalg.eigvalsh(2 / 16 * x.double().T @ x.double())[-1].item()
    found = fit_many(
        nn.Linear(16, 1, bias=False),
        {"weight": torch.ones(2, 1, 16)},
        x,
        y,
        steps=STEPS,
        learning_rate=limit * torch.tensor([0.99, 1.03]),
        loss=nn.functional.mse_loss,
    )
    assert converged(found.losses).tolist() == [True, False]


@pytest.mark.parametrize("seed", range(4))
def test_limit_at_the_start_is_wrong_both_ways(seed):
    """It promises too much for small weights, and too little for large ones."""
    scales = np.array([0.03, 10.0])
    weights, _, _ = task(seed)
    start = {n: torch.stack([w * s for s in scales]) for n, w in weights.items()}
    small, large = limits(seed, start)
    rates = [0.97 * small, 3 * large]
    below, above = np.diag(verdicts(seed, scales, rates))
    assert not below
    assert above


@pytest.mark.parametrize("seed", range(2))
def test_border_lies_above_the_limit_after_slow_training(seed):
    """Whatever the scale, networks learn at rates that the minimum of slow training forbids."""
    scales = np.geomspace(0.03, 30, 7)
    slow = fits(seed, scales, [0.05], steps=3000)
    limit = limits(seed, slow.parameters)
    assert all(verdicts(seed, [s], [1.3 * r])[0, 0] for s, r in zip(scales, limit, strict=True))


def test_training_near_the_border_ends_at_the_limit():
    """Where it comes to rest, 2/λ is about the learning rate, whatever the scale."""
    scales, rates = np.array([0.1, 1.0, 10.0]), np.geomspace(0.15, 1.5, SIZE)
    lowest = np.array([rates[~row].min() for row in verdicts(0, scales, rates)])
    ends = fits(0, scales, 0.9 * lowest, steps=3000).parameters
    own = {name: tensor[[0, 4, 8]] for name, tensor in ends.items()}  # each at its own rate
    relative = limits(0, own) / (0.9 * lowest)
    assert (relative > 0.97).all()
    assert (relative < 1.25).all()
