"""Models that return their own loss, and losses that are taken by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from checkup_networks import Using, draws, labels, said
from torch import nn

from initguide.checkup import check_init
from initguide.propagation import measure

CLASSES = 12


def model(forward, times=1.0):
    """A body and a head, whose weights are multiplied."""
    torch.manual_seed(0)
    found = Using(forward, body=nn.Linear(20, 32), head=nn.Linear(32, CLASSES))
    found.head.weight.data.mul_(times)
    return found


def scores(m, x):
    """Of the classes."""
    return m.head(F.relu(m.body(x)))


def named(m, x, labels):
    """As Hugging Face's models do."""
    logits = scores(m, x)
    return SimpleNamespace(loss=F.cross_entropy(logits, labels), logits=logits)


def keyed(m, x, labels):
    """The same in a dictionary."""
    return vars(named(m, x, labels))


def paired(m, x, labels):
    """Loss first, in a tuple."""
    found = named(m, x, labels)
    return found.loss, found.logits


def alone(m, x, labels):
    """Nothing but the loss."""
    return named(m, x, labels).loss


def parts(m, x, labels):
    """A dictionary of losses, as torchvision's detectors return."""
    logits = scores(m, x)
    return {
        "classes": F.cross_entropy(logits, labels),
        "boxes": F.smooth_l1_loss(logits, x[:, :12]),
    }


WAYS = [named, keyed, paired, alone, parts]
BATCH = {"x": draws(64, 20), "labels": labels(64, CLASSES)}


@pytest.mark.parametrize("way", WAYS)
def test_measured_by_its_own_loss(way):
    """Labels among the inputs are used; nothing is drawn in their place."""
    net = model(way)
    found = measure(net, BATCH)
    wanted = F.cross_entropy(scores(net, BATCH["x"]), BATCH["labels"])
    blank = math.log(CLASSES)
    if way is parts:
        wanted = sum(parts(net, **BATCH).values())
        blank += F.smooth_l1_loss(torch.zeros(64, 12), BATCH["x"][:, :12]).item()
    assert found.loss == pytest.approx(wanted.item())
    assert "own loss" in found.loss_name
    assert found.blank_loss == pytest.approx(blank, rel=1e-5)
    gradient = torch.autograd.grad(wanted, net.head.weight)[0]
    assert found["head"].weight_grad_var == pytest.approx(
        gradient.var(correction=0).item(), rel=1e-4
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", [None, "loss"])
def test_judged_by_its_own_loss(way, given):
    """A start that costs a hundred times ln C is found, and torch's own is not."""
    loss = {"loss": lambda o: o["loss"] if way is keyed else o.loss}.get(given)
    if loss and way not in (named, keyed):
        pytest.skip("has no name for it")
    assert check_init(model(way), BATCH, loss=loss).ok
    found = check_init(model(way, times=3e3), BATCH, loss=loss).findings
    assert {"initial-loss"} <= {f.code for f in found if f.severity == "error"}
    assert "head" in {f.layer for f in found if f.code == "initial-loss"}


def test_a_lambda_is_judged():
    """Also a loss that only hands on to one of torch's."""
    net = Using(lambda m, x: scores(m, x)[:, None], body=nn.Linear(20, 32), head=nn.Linear(32, 12))
    net.head.weight.data.mul_(1e3)
    report = check_init(
        net, BATCH["x"], BATCH["labels"], lambda o, t: F.cross_entropy(o.flatten(0, 1), t)
    )
    assert report.measurement.blank_loss == pytest.approx(math.log(CLASSES))
    assert "initial-loss" in said(report, "error")
    assert "not judged" not in str(report)


def test_targets_and_a_loss_go_before_it():
    """What is given is used, though the model has a loss of its own."""
    net = model(named)
    wanted = labels(64, CLASSES).flip(0)
    found = measure(net, BATCH, wanted)
    assert found.loss == pytest.approx(
        F.cross_entropy(scores(net, BATCH["x"]), wanted).item(), rel=1e-5
    )
    assert measure(net, BATCH, loss=lambda o: o.logits.mean()).loss_name == "<lambda>"


def test_numbers_without_a_graph_are_no_loss():
    """A count beside the outputs is none, nor is a loss that was detached."""
    with_count = model(lambda m, x: {"count": torch.tensor(3.0), "out": scores(m, x)})
    assert "draw" in measure(with_count, BATCH["x"]).loss_name
    detached = model(lambda m, x, labels: (alone(m, x, labels).detach(), scores(m, x)))
    assert "draw" in measure(detached, BATCH).loss_name


def test_a_list_is_a_batch():
    """Images of several sizes: as many as the list is long, and different ones."""
    net = Using(
        lambda m, images: torch.stack([m.net(image).mean((1, 2)) for image in images]),
        net=nn.Conv2d(3, 4, 3),
    )
    images = [draws(3, 8 + i, 9, seed=i) for i in range(2)]
    report = check_init(net, images)
    assert report.ok, report
    assert "batch of one" not in str(report)
    assert "batch of one" in str(check_init(net, images[:1]))
    same = check_init(net, [images[0]] * 3)
    assert "inputs" in said(same, "warning")
    flat = [torch.full((3, 8, 8), float(i)) for i in (-1, 1)]  # three equal rows, two images
    assert "are the same" not in str(check_init(net, flat))


def test_a_cause_goes_before_what_follows():
    """Inputs that are far too large explain a large loss: one finding, with the worse severity."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    findings = check_init(net, 500 * BATCH["x"], BATCH["labels"]).findings
    worse = [f for f in findings if f.severity != "note"]
    assert [(f.code, f.layer, f.severity) for f in worse] == [("inputs", "inputs", "error")]
    assert "It follows (initial-loss)" in worse[0].evidence
    net[2].weight.data.mul_(1e3)  # this, the inputs do not explain
    worse = said(check_init(net, 500 * BATCH["x"], BATCH["labels"]), "error")
    assert {"exploding-signal", "initial-loss"} <= worse
