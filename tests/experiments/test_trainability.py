"""Maps of what trains, for networks whose border is known in closed form."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide.experiments import TrainabilityMap, border, trainability_map

ONE = torch.ones(1, 1)


def line():
    """One weight of 1, whose loss w² shrinks at each step by the factor (1 - 2 · rate)²."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    return model


def test_losses_and_verdicts_are_those_of_a_parabola():
    """(scale · (1 - 2 · rate)^step)²; a rate above 1 diverges."""
    model = line()
    scales, rates = [0.5, 2.0], [0.1, 0.9, 1.1]
    found = trainability_map(
        model, ONE, 0 * ONE, scales=scales, learning_rates=rates, steps=30, loss=F.mse_loss
    )
    step, s, r = np.ogrid[:30, :2, :3]
    expected = (np.take(scales, s) * (1 - 2 * np.take(rates, r)) ** step) ** 2
    assert found.losses == pytest.approx(expected, rel=1e-4)
    assert found.converged.tolist() == [[True, True, False]] * 2
    assert model.weight.item() == 1  # left as it was


def test_each_network_is_as_trained_alone():
    """Every parameter is scaled, biases too, and axes are not mixed up."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x, y = torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])
    found = trainability_map(model, x, y, scales=[1, 3], learning_rates=[0.1, 0.4, 2], steps=20)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    steps = torch.optim.SGD(model.parameters(), 0.4)
    alone = []
    for _ in range(20):
        loss = F.cross_entropy(model(x), y)
        alone.append(loss.item())
        steps.zero_grad()
        loss.backward()
        steps.step()
    assert found.losses[:, 1, 1] == pytest.approx(alone, rel=1e-4)


def test_speed_is_a_rank_in_either_half():
    """Fast ones are at ±1, slow ones near the border at 0; one that overflows is the fastest."""
    rates = [0.1, 0.4, 0.45, 0.99, 1.01, 1.1, 1e20]
    found = trainability_map(
        line(), ONE, 0 * ONE, scales=[1], learning_rates=rates, steps=40, loss=F.mse_loss
    )
    assert np.isnan(found.losses[-1, 0, -1])
    assert found.speed[0] == pytest.approx([-0.5, -0.75, -1, -0.25, 1 / 3, 2 / 3, 1])


@pytest.mark.filterwarnings("error")
def test_first_losses_that_nothing_can_be_divided_by():
    """Lost from the start is the fastest to diverge; 0 that stays 0 is the slowest."""
    losses = np.ones((21, 1, 6), np.float32)
    losses[:, 0, 0] = np.inf
    losses[0, 0, 1], losses[1:, 0, 1] = np.inf, np.nan
    losses[:, 0, 2] = 0
    losses[0, 0, 3] = 0
    losses[1:, 0, 4], losses[1:, 0, 5] = 2, 0.5
    found = TrainabilityMap(np.ones(1), np.arange(1.0, 7), losses)
    assert found.converged[0].tolist() == [False] * 5 + [True]
    speed = found.speed[0]
    assert np.isfinite(speed).all()
    assert speed[:2].min() > speed[3] > speed[4] > speed[2] > 0
    assert speed[5] == -1


def test_other_numbers_train_the_same_networks():
    """With 64 bits, they start from the weights that 32 bits gave."""
    third = torch.tensor([[1 / 3]])
    how = {"learning_rates": [0.1], "steps": 20, "loss": F.mse_loss, "dtype": torch.float64}
    assert trainability_map(line(), ONE, third, scales=[1 / 3], **how).losses[0] == 0
    exact = trainability_map(line(), third, ONE, scales=[0.3], **how)
    short = trainability_map(line(), third, ONE, scales=[0.3], **how | {"dtype": None})
    assert exact.losses == pytest.approx(short.losses, rel=1e-5)
    assert (exact.losses != short.losses).any()


def made_up(converged):
    """A map with these verdicts, on axes that double from place to place."""
    converged = np.array(converged, bool)
    last = np.where(converged, 0.5, 2.0).astype(np.float32)
    losses = np.concatenate([np.ones_like(last)[None], np.repeat(last[None], 20, 0)])
    return TrainabilityMap(*(2.0 ** np.arange(n) for n in converged.shape), losses)


def test_richest_part_holds_most_of_the_border():
    """Of four by four parts, the one around a pattern that was put there."""
    verdicts = np.ones((16, 16))
    verdicts[9:12:2, 1:4] = 0
    found = made_up(verdicts)
    assert (found.converged == verdicts).all()
    assert border(found.converged)[8:12, 0:4].sum() == border(found.converged).sum()
    assert found.richest(4) == ((2.0**8, 2.0**12), (2.0**0, 2.0**4))
    # At the end of an axis, the part ends with it.
    assert made_up(verdicts[::-1, ::-1]).richest(4)[1] == (2.0**12, 2.0**15)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 19}, "steps is 19; the verdict is about the last 20"),
        ({"scales": []}, r"scales has shape \(0,\); give a list"),
        ({"learning_rates": 0.1}, r"learning_rates has shape \(\); give a list"),
        ({"learning_rates": [0.0]}, r"learning_rate is or has 0\.0"),
    ],
)
def test_what_makes_no_map_is_refused(changes, message):
    """The message says which argument, and what is allowed."""
    how = {"scales": [1], "learning_rates": [0.1], "steps": 20, "loss": F.mse_loss} | changes
    with pytest.raises(ValueError, match=message):
        trainability_map(line(), ONE, ONE, **how)


@pytest.mark.parametrize(("shape", "parts"), [((16, 8), 4), ((16, 16), 3)])
def test_parts_must_fit(shape, parts):
    """A map is divided into squares without a rest."""
    with pytest.raises(ValueError, match=f"parts is {parts}, and the map has {shape[0]} scales"):
        made_up(np.ones(shape)).richest(parts)
