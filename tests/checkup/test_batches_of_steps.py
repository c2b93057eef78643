"""What a training step gives to layers is judged as inputs, and what it gets back as outputs."""

from collections import UserDict
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from checkup_networks import draws, labels, mlp, said
from torch import nn

from initguide.checkup import check_init

INPUTS, CLASSES = draws(32, 20), labels(32, 5)


class Wrapped(nn.Module):
    """A network in a module, as a Lightning module has it."""

    def __init__(self, times=1.0):
        super().__init__()
        self.net = mlp(3, nn.ReLU, "he_normal")
        self.net.fc1.weight.data.mul_(times)
        self.criterion = nn.CrossEntropyLoss(reduction="none")

    def forward(self, inputs):
        """Call it."""
        return self.net(inputs)


def found(report):
    """Findings, without their words."""
    return [(f.code, f.severity, f.layer) for f in report.findings]


def regression(model, batch):
    """Targets that are missing do not count."""
    return (model(batch[0]) - batch[1]).nan_to_num().square().mean()


@pytest.mark.parametrize("times", [0.0, 1e-4, 1.0, 1000.0])
def test_a_part_that_is_called_is_judged_as_the_model(times):
    """`model.net(x)` as `model(x)`: signals that vanish or explode are found in both ways."""

    def by_part(model, batch):
        return F.cross_entropy(model.net(batch[0]), batch[1])

    def whole(model, batch):
        return F.cross_entropy(model(batch[0]), batch[1])

    batch = INPUTS, CLASSES
    parts = check_init(Wrapped(times), batch, training_step=by_part, advice=False)
    as_one = check_init(Wrapped(times), batch, training_step=whole, advice=False)
    plain = check_init(Wrapped(times), *batch, advice=False)
    assert found(parts) == found(as_one) == found(plain)
    assert parts.ok is (times == 1)
    assert any("outputs are those of net, the last part" in text for text in parts.remarks)
    assert not any("outputs are" in text for text in as_one.remarks)


def test_outputs_that_the_step_does_not_get():
    """It is said where the model gives the step nothing but its own loss."""

    class Closed(Wrapped):
        def forward(self, inputs):
            return super().forward(inputs).square().mean()

    report = check_init(Closed(), INPUTS, training_step=lambda m, b: m(b), advice=False)
    assert any("outputs were not judged: the model gave" in text for text in report.remarks)


def test_weights_that_the_model_does_not_hold():
    """They may be another network's, or a layer hidden in an object: it is said, and no error."""
    head = nn.Linear(5, 5)
    report = check_init(
        Wrapped(),
        (INPUTS, CLASSES),
        training_step=lambda m, b: F.cross_entropy(head(m(b[0])), b[1]),
        advice=False,
    )
    assert any("the model does not hold (2 tensors)" in text for text in report.remarks)
    assert "unregistered" not in said(report)


def test_losses_and_metrics_are_no_outputs():
    """A loss for each input, and what a teacher says, are called last, and are not the answers."""

    def step(model, batch):
        answers = model.net(batch[0])
        loss = model.criterion(answers, batch[1]).mean()
        with torch.no_grad():
            model.net(batch[0] * 0)
        return loss

    report = check_init(Wrapped(), (INPUTS, CLASSES), training_step=step, advice=False)
    assert report.measurement.output_shape == (32, 5)
    assert report.measurement.output_second_moment > 0.1


@pytest.mark.parametrize("kind", [tuple, list])
def test_targets_are_no_inputs(kind):
    """Neither targets that are missing nor large ones are at fault; inputs still are."""
    missing = draws(32, 5, seed=8)
    missing[::2] = torch.nan
    model = mlp(3, nn.ReLU, "he_normal")
    report = check_init(model, kind((INPUTS, missing)), training_step=regression, advice=False)
    assert not said(report) & {"non-finite", "inputs"}
    large = kind((INPUTS, 1000 + 300 * draws(32, 5, seed=8)))
    report = check_init(model, large, training_step=regression, advice=False)
    assert "inputs" not in said(report)

    bad = INPUTS.clone()
    bad[0, 0] = torch.nan
    report = check_init(model, kind((bad, missing)), training_step=regression)
    assert "1 of 640 numbers" in report.findings[0].evidence
    far = kind((INPUTS * 1000, large[1]))
    (first, *_) = check_init(model, far, training_step=regression).findings
    assert (first.code, first.layer) == ("inputs", "inputs")
    assert any("inputs[0] - inputs[0].mean()" in attempt.code for attempt in first.tried)
    assert not any("inputs[1] - " in attempt.code for attempt in first.tried)


def test_inputs_that_the_step_scales_are_judged_as_it_does():
    """What the first layer gets counts, and not what the loader gave."""
    batch = (127 + 50 * INPUTS, CLASSES)

    def scaled(model, batch):
        return F.cross_entropy(model.net((batch[0] - 127) / 50), batch[1])

    def views(model, batch):
        return F.cross_entropy(model.net(batch[0].view(32, 4, 5).flatten(1)), batch[1])

    assert "inputs" not in said(check_init(Wrapped(), batch, training_step=scaled, advice=False))
    assert "inputs" in said(check_init(Wrapped(), batch, training_step=views, advice=False))


@pytest.mark.parametrize("kind", [tuple, list])
def test_a_batch_in_a_list_is_one_in_a_tuple(kind):
    """A list is how a loader holds a batch, and no batch of as many inputs."""

    def step(model, batch):
        return model(batch[0]).square().mean()

    model = mlp(3, nn.ReLU, "he_normal")
    same = check_init(
        model, kind((INPUTS[:1].expand(32, 20), CLASSES)), training_step=step, advice=False
    )
    assert "the same" in same.findings[0].evidence
    one = check_init(model, kind((INPUTS[:1], CLASSES)), training_step=step, advice=False)
    assert any("batch of one" in text for text in one.remarks)
    many = check_init(model, kind((INPUTS,)), training_step=step, advice=False)
    assert not any("batch of one" in text for text in many.remarks)
    assert "batch: (32, 20) float32" in str(many)


class Encoding(UserDict):
    """Keys that are attributes, too, as tokenizers give them."""

    def __getattr__(self, name):
        if name != "data" and name in self.data:
            return self.data[name]
        raise AttributeError(name)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("batch", "get"),
    [
        (Encoding(x=INPUTS, y=CLASSES), lambda b: (b.x, b.y)),
        ({0: INPUTS, 1: CLASSES}, lambda b: (b[0], b[1])),
        ({"self": INPUTS, "batch": CLASSES}, lambda b: (b["self"], b["batch"])),
        ([[INPUTS], CLASSES], lambda b: (b[0][0], b[1])),
    ],
)
def test_batches_of_all_kinds_reach_the_step_as_they_are(batch, get, frozen):
    """They are the step's own matter, also where the graph begins at the inputs."""
    model = Wrapped()
    model.net.fc1.requires_grad_(not frozen)

    def step(model, batch):
        inputs, targets = get(batch)
        return F.cross_entropy(model.net(inputs), targets)

    report = check_init(model, batch, training_step=step)
    assert report.measurement.loss == pytest.approx(step(model, batch).item())
    assert "inputs" not in said(report)


def test_a_batch_in_which_no_tensor_is_found():
    """A message of the step, and not of a model's arguments."""
    with pytest.raises(TypeError, match=r"no tensor is found in inputs, .* SimpleNamespace; "):
        check_init(Wrapped(), SimpleNamespace(x=INPUTS), training_step=lambda m, b: m(b.x).mean())
