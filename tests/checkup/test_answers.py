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


@pytest.mark.parametrize(
    ("scale", "shift", "found"),
    [(1.0, 2.0, False), (1.0, 50.0, True), (0.1, 0.0, False), (1e-3, 0.0, True), (0.0, 1.0, False)],
)
def test_targets_far_away_or_tiny(scale, shift, found):
    """Their differences are small beside how far off they are, or beside the outputs."""
    net, inputs, answers = regression(scale)
    report = check_init(net, inputs, answers + shift)
    named = [finding for finding in report.findings if finding.code == "targets"]
    assert bool(named) == found, report
    if found:
        names = {"targets": answers + shift}
        exec(named[0].advice, names)  # noqa: S102
        assert "targets" not in {f.code for f in check_init(net, inputs, names["targets"]).findings}


def rare(share, count=1000):
    """A classifier, inputs, and two classes, of which one has that share."""
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 10, generator=draws)
    classes = (inputs[:, 0] > inputs[:, 0].quantile(1 - share)).long()
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.Linear(100, 2)), inputs, classes


@pytest.mark.parametrize(("share", "found"), [(0.5, False), (0.1, False), (0.01, True)])
@pytest.mark.parametrize("loss", [nn.functional.cross_entropy, None])
def test_rare_classes_are_found(share, found, loss):
    """One in a hundred is; the advice gives the last bias the frequencies, and all is well."""
    net, inputs, classes = rare(share)
    report = check_init(net, inputs, classes, loss)
    named = [f for f in report.findings if f.code == "class-frequencies"]
    assert bool(named) == found
    for finding in named:
        assert (finding.severity, finding.layer) == ("warning", "2")
        exec(finding.advice, {"model": net, "targets": classes, "torch": torch})  # noqa: S102
        assert check_init(net, inputs, classes, loss).ok


def test_rare_yes():
    """The same for answers of yes or no, as of a detector's anchors."""
    net, inputs, classes = rare(0.01)
    targets = torch.stack([classes, classes.flip(0)], dim=1).float()
    loss = nn.BCEWithLogitsLoss()
    (finding,) = check_init(net, inputs, targets, loss).findings
    assert finding.code == "class-frequencies"
    exec(finding.advice, {"model": net, "targets": targets, "torch": torch})  # noqa: S102
    assert check_init(net, inputs, targets, loss).ok


def test_few_answers_do_not_tell_of_frequencies():
    """Not with many classes, nor a handful of answers of one class."""
    net, inputs, _ = rare(0.5)
    assert check_init(net, inputs[:8], torch.ones(8).long()).ok
    many = nn.Linear(10, 1000)
    codes = {f.code for f in check_init(many, inputs[:50], torch.arange(50) // 9).findings}
    assert "class-frequencies" not in codes
