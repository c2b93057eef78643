"""Networks that diverged and the others of their stack, in `initguide.fit_many`."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide import stacking
from initguide.stacking import fit_many

STEPS = 60


@pytest.fixture
def task():
    """Return a network, 40 times its parameters, and eight examples."""
    draw = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    start = {
        name: torch.randn(40, *p.shape, generator=draw) for name, p in model.named_parameters()
    }
    x, y = (torch.randn(8, n, generator=draw) for n in (4, 1))
    return model, start, x, y


def fit(task, chosen=slice(None), **how):
    """Train some of the networks; every second one with a rate that is far too large."""
    model, start, x, y = task
    rates = torch.where(torch.arange(40) % 2 == 0, 0.05, 50.0)[chosen]
    start = {name: tensor[chosen] for name, tensor in start.items()}
    how = {"steps": STEPS, "loss": F.mse_loss} | how
    return fit_many(model, start, x, y, learning_rate=rates, **how)


@pytest.mark.parametrize(
    "how",
    [{}, {"optimizer": "momentum"}, {"batch_size": 4, "seeds": range(40)}],
    ids=["full batch", "momentum", "own order"],
)
def test_diverged_networks_are_dropped_and_change_nothing(task, how, monkeypatch):
    """Losses and weights are those of a stack in which every network is computed to the end."""
    sizes = []
    losses = stacking.Stack.losses

    def noted(self, *given, **more):
        sizes.append(len(self))
        return losses(self, *given, **more)

    monkeypatch.setattr(stacking.Stack, "losses", noted)
    quick = fit(task, **how)
    assert sizes[0] == 40
    assert sizes[-1] == 20  # the others are no longer computed
    monkeypatch.setattr(stacking, "SPARE", 0)
    slow = fit(task, **how)
    assert sizes[-1] == 40
    np.testing.assert_allclose(quick.losses, slow.losses, rtol=1e-4)
    for name, tensor in slow.parameters.items():
        torch.testing.assert_close(
            quick.parameters[name], tensor, rtol=1e-3, atol=1e-5, equal_nan=True
        )
    assert np.isnan(quick.losses[-1, 1::2]).all()
    assert np.isfinite(quick.losses[-1, ::2]).all()


def test_nothing_is_left(task):
    """If all diverge, training ends early; the rest of the losses and all weights are NaN."""
    fits = fit(task, slice(1, None, 2))
    assert fits.losses.shape == (STEPS, 20)
    assert np.isfinite(fits.losses[0]).all()
    assert np.isnan(fits.losses[-1]).all()
    assert all(tensor.shape[0] == 20 for tensor in fits.parameters.values())
    assert all(tensor.isnan().all() for tensor in fits.parameters.values())


def test_a_network_with_weights_left_is_kept(task):
    """A loss that is NaN for a while is no reason to drop a network whose weights are finite."""
    model, start, x, y = task

    def sometimes(outputs, targets):
        return F.mse_loss(outputs, targets) + torch.where(targets[0, 0] == y[0, 0], torch.nan, 0.0)

    fits = fit_many(
        model, start, x, y, steps=40, learning_rate=0.01, loss=sometimes, batch_size=1, seeds=3
    )
    assert np.isnan(fits.losses).any(0).all()
    assert np.isfinite(fits.losses[-8:]).any(0).all()  # it was trained on
    assert all(tensor.isfinite().all() for tensor in fits.parameters.values())
