"""A training step of the user's own is checked as the model and the loss in it would be."""

import pytest
import torch
import torch.nn.functional as F
from checkup_networks import images, net, said
from torch import nn

import initguide
from initguide.checkup import check_init

BATCH = images(32)


def step(model, batch):
    """What many loops do."""
    inputs, targets = batch
    return F.cross_entropy(model(inputs), targets)


def keyed(model, batch):
    """The loss among other things, as Lightning allows."""
    return {"loss": step(model, (batch["image"], batch["label"])), "seen": 32}


def listed(model, batch):
    """A data loader gives lists."""
    assert type(batch) is list
    return step(model, batch)


WAYS = {
    "tuple": (step, BATCH),
    "list": (listed, list(BATCH)),
    "dictionary": (keyed, {"image": BATCH[0], "label": BATCH[1]}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", ["he_normal", "ones"])
def test_a_step_is_judged_as_its_parts_are(scheme, way):
    """The same findings, and the same loss, as of the model with the loss beside it."""
    take, batch = WAYS[way]
    plain = check_init(net(scheme), *BATCH, advice=False)
    found = check_init(net(scheme), batch, training_step=take, advice=False)
    assert [(f.code, f.layer) for f in found.findings] == [
        (f.code, f.layer) for f in plain.findings
    ]
    assert found.measurement.loss == pytest.approx(plain.measurement.loss)
    assert found.measurement.blank_loss == pytest.approx(plain.measurement.blank_loss)
    assert "(that of training_step)" in str(found)


@pytest.mark.parametrize("gives", [lambda loss: (loss, 1), lambda loss: {"nll": loss}])
def test_losses_as_models_return_them(gives):
    """First in a tuple, or by another name if it is all that there is."""
    found = check_init(net(), BATCH, training_step=lambda m, b: gives(step(m, b)), advice=False)
    plain = check_init(net(), BATCH, training_step=step, advice=False)
    assert found.measurement.loss == plain.measurement.loss


def test_advice_is_tried_by_the_step():
    """Advice is executed on the model itself, and trained by the step."""
    model = net("zeros")
    before = {name: p.clone() for name, p in model.named_parameters()}
    report = check_init(model, BATCH, training_step=step)
    assert said(report, "error")
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    tried = [attempt.outcome for finding in report.findings for attempt in finding.tried]
    assert any("steps of training" in outcome for outcome in tried)
    exec(report.advice, {"model": model, "torch": torch, "initguide": initguide})  # noqa: S102
    assert check_init(model, BATCH, training_step=step).ok


def test_parts_are_called_and_attributes_put_back():
    """A step need not call the model as a whole, and what it counts or gathers is as it was."""

    class Meter:
        def __init__(self):
            self.count, self.values = 0, []

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head, self.calls = nn.Linear(20, 30), nn.Linear(30, 5), 0
            self.seen, self.best, self.meter = [], torch.zeros(3), Meter()

        def step(self, batch):
            self.calls += 1
            self.seen.append(batch)
            self.best += 1
            self.meter.values.append(self.calls)
            self.meter.count += 1
            return self.head(torch.relu(self.body(batch))).square().mean()

    model = Own()
    report = check_init(model, torch.randn(16, 20), training_step=Own.step)
    assert [record.name for record in report.layers] == ["body", "head"]
    assert model.calls == model.meter.count == 0
    assert model.seen == model.meter.values == []
    assert not model.best.any()
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (lambda m, b: step(m, b).item(), "it must return the loss, a tensor of one number"),
        (lambda m, b: m(b[0]), r"returned a tensor of shape \(32, 10\)"),
        (lambda m, b: {"nll": step(m, b), "out": m(b[0])}, "returned a dictionary with nll, out; "),
        (lambda m, b: (m(b[0]), step(m, b)), "returned a tuple of 2; it must return the loss"),
        (lambda m, b: step(m, b).detach(), "before .item"),
        (lambda _m, _b: torch.ones((), requires_grad=True), "ran no layer of the model"),
    ],
)
def test_steps_that_cannot_be_used(take, message):
    """What a step returned, and what it should, is said."""
    with pytest.raises(ValueError, match=message):
        check_init(net(), BATCH, training_step=take)


def test_arguments_that_do_not_go_together():
    """Targets and losses belong into the step."""
    with pytest.raises(ValueError, match="targets is given beside training_step"):
        check_init(net(), *BATCH, training_step=step)
    with pytest.raises(ValueError, match="loss is given beside training_step"):
        check_init(net(), BATCH, loss=F.cross_entropy, training_step=step)
    with pytest.raises(TypeError, match="training_step is 3; it must be a function"):
        check_init(net(), BATCH, training_step=3)


def test_a_step_that_runs_another_model():
    """Advice that is tried on copies says so where the step does not run them."""
    model = net("ones")
    report = check_init(model, BATCH, training_step=lambda _, batch: step(model, batch))
    tried = [attempt.outcome for finding in report.findings for attempt in finding.tried]
    assert tried
    assert all("must use its first argument" in outcome for outcome in tried)


@pytest.mark.parametrize("slope", [None, 1.0])
def test_a_step_that_goes_back_by_itself(slope):
    """It is stopped before it moves a weight, or leaves or changes a gradient."""
    model = net()
    for parameter in model.parameters():
        parameter.grad = None if slope is None else torch.full_like(parameter, slope)
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def whole(model, batch):
        loss = step(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    with pytest.raises(ValueError, match=r"training_step called backward\(\); it must return the"):
        check_init(model, BATCH, training_step=whole)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert (parameter.grad is None) is (slope is None)
        assert slope is None or bool((parameter.grad == slope).all())


def test_a_step_with_gradients_of_its_own():
    """A penalty on gradients is part of the loss: nothing is accumulated."""

    def penalized(model, batch):
        inputs = batch[0].clone().requires_grad_()
        loss = F.cross_entropy(model(inputs), batch[1])
        (slope,) = torch.autograd.grad(loss, inputs, create_graph=True)
        return loss + slope.square().sum()

    assert check_init(net(), BATCH, training_step=penalized).ok


@pytest.mark.parametrize("name", ["layers", "_layers"])
def test_layers_in_a_plain_list_are_noticed(name):
    """Those of the model itself, whose attributes the step sees."""

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            setattr(self, name, [nn.Linear(20, 30)])
            self.head = nn.Linear(30, 5)

        def forward(self, x):
            return self.head(torch.relu(getattr(self, name)[0](x)))

    def squares(model, batch):
        return model(batch).square().mean()

    report = check_init(Plain(), torch.randn(16, 20), training_step=squares, advice=False)
    (found,) = [f for f in report.findings if f.code == "unregistered"]
    assert name in found.evidence
    assert not said(report, "warning", "error") & {"inputs"}  # what layers unseen gave is no input
