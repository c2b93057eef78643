"""What page 6 of "In practice" concludes, at reduced size: where learning ends."""

import numpy as np
import pytest
import torch
from torch import nn

from initguide.experiments import trainability_map
from initguide.training import fit_many

STEPS, SIZE = 200, 64
MSE = nn.functional.mse_loss


def task(seed):
    """Return a network of weights for scale 1, and 16 examples."""
    draw = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Linear(16, 16, bias=False), nn.Tanh(), nn.Linear(16, 1, bias=False))
    for weights in network.parameters():
        nn.init.normal_(weights, std=1 / 4, generator=draw)
    return network, *(torch.randn(16, n, generator=draw) for n in (16, 1))


def verdicts(seed, scales, rates):
    """(scales, rates): which networks converge."""
    axes = {"scales": scales, "learning_rates": rates}
    return trainability_map(*task(seed), **axes, steps=STEPS, loss=MSE).converged


def starts(seed, scales):
    """Weights for each scale, stacked."""
    network, _, _ = task(seed)
    return {n: torch.stack([p.detach() * s for s in scales]) for n, p in network.named_parameters()}


def ends(seed, scales, rates):
    """Weights after long training with a rate for each scale, or with one for all."""
    how = {"steps": 3000, "learning_rate": torch.tensor(rates), "loss": MSE}
    network, x, y = task(seed)
    return fit_many(network, starts(seed, scales), x, y, **how).parameters


def limits(seed, weights):
    """2/λ of the loss's Hessian, for stacked weights."""
    _, x, y = task(seed)

    def loss(flat):
        hidden = torch.tanh(x.double() @ flat[:256].view(16, 16).T)
        return MSE(hidden @ flat[256:].view(16, 1), y.double())

    flat = torch.cat([w.flatten(1) for w in weights.values()], 1).double()
    hessians = torch.vmap(torch.func.jacrev(torch.func.grad(loss)))
    return (2 / torch.linalg.eigvalsh(hessians(flat))[:, -1]).numpy()


@pytest.mark.parametrize("seed", [0, 3])
def test_small_rates_converge_and_large_ones_diverge(seed):
    """The border crosses the map from side to side, and is no line: rates that learn lie above."""
    far = verdicts(seed, np.geomspace(0.03, 30, SIZE), np.geomspace(0.15, 1.5, SIZE))
    assert far[:, :8].all()
    assert not far[:, -8:].any()
    crossings = np.sum(far[:, 1:] != far[:, :-1], axis=1)
    assert np.mean(crossings > 1) > 0.1  # a line would cross each column once


@pytest.mark.parametrize("seed", range(4))
def test_theory_is_right_for_a_linear_network(seed):
    """A quadratic loss: the border lies at 2/λ."""
    _, x, y = task(seed)
    limit = 2 / torch.linalg.eigvalsh(2 / 16 * x.double().T @ x.double())[-1].item()
    how = {"scales": [1], "learning_rates": [0.99 * limit, 1.03 * limit], "steps": STEPS}
    found = trainability_map(nn.Linear(16, 1, bias=False), x, y, **how, loss=MSE)
    assert found.converged.tolist() == [[True, False]]


@pytest.mark.parametrize("seed", range(4))
def test_limit_at_the_start_is_wrong_both_ways(seed):
    """It promises too much for small weights, and too little for large ones."""
    scales = [0.03, 10.0]
    small, large = limits(seed, starts(seed, scales))
    below, above = np.diag(verdicts(seed, scales, [0.97 * small, 3 * large]))
    assert not below
    assert above


@pytest.mark.parametrize("seed", range(2))
def test_border_lies_above_the_limit_after_slow_training(seed):
    """Whatever the scale, networks learn at rates that the minimum of slow training forbids."""
    scales = np.geomspace(0.03, 30, 7)
    limit = limits(seed, ends(seed, scales, 0.05))
    assert all(verdicts(seed, [s], [1.3 * r])[0, 0] for s, r in zip(scales, limit, strict=True))


def test_training_near_the_border_ends_at_the_limit():
    """Where it comes to rest, 2/λ is about the learning rate, whatever the scale."""
    scales, rates = [0.1, 1.0, 10.0], np.geomspace(0.15, 1.5, SIZE)
    lowest = np.array([rates[~row].min() for row in verdicts(0, scales, rates)])
    relative = limits(0, ends(0, scales, 0.9 * lowest)) / (0.9 * lowest)
    assert (relative > 0.97).all()
    assert (relative < 1.25).all()
