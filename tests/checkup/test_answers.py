"""Targets that are not scaled."""

import pytest
import torch
from torch import nn

import initguide
from initguide.checkup import check_init


def regression(scale):
    """A network, inputs, and answers of that size."""
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 10, generator=draws)
    answers = scale * (inputs[:, :1] - 0.5 * inputs[:, 1:2].square())
    net = nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.Linear(100, 1))
    return initguide.initialize(net, "he_normal", seed=0), inputs, answers


def explained(scale, steps=300):
    """Share of the answers' variance that Adam explains after some steps."""
    net, inputs, answers = regression(scale)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(inputs), answers)
        loss.backward()
        optimizer.step()
    return 1 - loss.item() / answers.var(correction=0).item()


@pytest.mark.parametrize(("scale", "found"), [(1.0, False), (30.0, False), (1e3, True)])
def test_large_targets_are_found(scale, found):
    """From a hundred on, with its size and what to do."""
    report = check_init(*regression(scale))
    named = [finding for finding in report.findings if finding.code == "targets"]
    assert bool(named) == found
    if found:
        (finding,) = named
        assert (finding.severity, finding.layer) == ("warning", "targets")
        assert f"{regression(scale)[2].square().mean().sqrt():.3g}" in finding.evidence


def test_they_do_harm_and_the_advice_mends_it():
    """Scaled as the advice says, the same answers are learnt in the time."""
    assert explained(1e3) < 0.2
    net, inputs, targets = regression(1e3)
    (advice,) = [f.advice for f in check_init(net, inputs, targets).findings if f.code == "targets"]
    names = {"targets": targets}
    exec(advice, names)  # noqa: S102  the advice is what is tested
    assert "targets" not in {f.code for f in check_init(net, inputs, names["targets"]).findings}
    assert explained(1.0) > 0.8


def test_classes_and_few_numbers_are_no_such_targets():
    """Whole numbers are classes, and one number has no size of its own."""
    net = nn.Linear(10, 500)
    inputs = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    codes = {f.code for f in check_init(net, inputs, torch.full((20,), 499)).findings}
    assert "targets" not in codes
