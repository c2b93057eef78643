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
    """With 64 bits, the losses differ by rounding."""
    third = torch.tensor([[1 / 3]])
    how = {"learning_rates": [0.1], "steps": 20, "loss": F.mse_loss, "dtype": torch.float64}
    exact = trainability_map(line(), third, ONE, scales=[0.3], **how)
    short = trainability_map(line(), third, ONE, scales=[0.3], **how | {"dtype": None})
    assert exact.losses == pytest.approx(short.losses, rel=1e-5)
    assert (exact.losses != short.losses).any()


def test_64_bits_hold_for_the_axes_too():
    """Scales and rates that 32 bits cannot tell apart train different networks."""
    near = 1 + 1e-9 * np.arange(3)
    how = {"steps": 20, "loss": F.mse_loss, "dtype": torch.float64}
    found = trainability_map(line(), ONE, ONE, scales=near, learning_rates=[0.1], **how)
    # The loss is (1e-9 · k)², 0 for all of them if the scales were rounded.
    assert found.losses[0, :, 0] == pytest.approx([0, 1e-18, 4e-18], rel=1e-3)
    # A rate of ½ ends at the minimum in one step; one next to it is left with 2 · 1e-9.
    found = trainability_map(line(), ONE, 0 * ONE, scales=[1], learning_rates=near / 2, **how)
    assert found.losses[1, 0] == pytest.approx([0, 1e-18, 4e-18], rel=1e-3)


def test_ties_share_a_rank():
    """Networks with one course of losses are equally fast, wherever they stand."""
    losses = np.full((20, 2, 3), 2.0, np.float32)
    losses[0] = 1
    losses[1:, 1, 0], losses[1:, 1, 1:] = 3, 0.5
    speed = TrainabilityMap(np.ones(2), np.ones(3), losses).speed
    assert speed == pytest.approx(np.array([[0.5, 0.5, 0.5], [1, -0.75, -0.75]]))


def test_a_negative_first_loss_is_refused():
    """Nothing can be divided by it: smaller losses would count as grown."""
    with pytest.raises(ValueError, match=r"losses start with -4; .* add a constant"):
        trainability_map(
            line(), ONE, ONE, scales=[1], learning_rates=[0.1], steps=20,
            loss=lambda y, _: y.square().mean() - 5,
        )  # fmt: skip


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
        ({"steps": "50"}, "steps is '50'; it must be a whole number"),
        ({"scales": [1, 0.0]}, "scales has 0; a scale must be finite and above 0"),
        ({"scales": [-1.0]}, "scales has -1; a scale"),
        ({"scales": [np.nan]}, "scales has nan; a scale"),
        ({"scales": [1e300]}, r"scales has 1e\+300; a scale"),
        (
            {"scales": [1, 1 + 1e-9]},
            r"scales has the neighbours 1\.0 and 1\.000000001, which are .* dtype=torch\.float64",
        ),
        ({"learning_rates": [0.1, 0.1]}, "learning_rates has the neighbours 0.1 and 0.1"),
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


@pytest.mark.parametrize("parts", [0, -4, "4", 2.0])
def test_parts_are_counted(parts):
    """Nothing but a whole number from 1 on."""
    with pytest.raises(ValueError, match=r"parts is .*; it must be a whole number, at least 1"):
        made_up(np.eye(4)).richest(parts)


def test_parts_of_a_pixel_have_a_width():
    """As many parts as pixels: from the point of the border to the next one."""
    verdicts = np.ones((4, 4))
    verdicts[3, 3] = 0
    assert made_up(verdicts).richest(4) == ((4.0, 8.0), (4.0, 8.0))


@pytest.mark.parametrize(("verdict", "word"), [(1, "all"), (0, "none")])
def test_no_border_has_no_richest_part(verdict, word):
    """Where all networks agree there is nothing to look closer at."""
    for side in (1, 8):
        with pytest.raises(ValueError, match=f"{word} of the networks .* no border"):
            made_up(np.full((side, side), verdict)).richest(1)
