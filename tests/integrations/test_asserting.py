"""The assertion for test suites."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import initguide
from initguide.integrations import assert_init_ok

IMAGES = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(20) % 10


def net(scheme):
    """The lesson's network."""
    return initguide.initialize(initguide.Net(), scheme, seed=0)


@pytest.mark.parametrize(
    "batch",
    [
        (IMAGES, LABELS),
        [IMAGES, LABELS],
        {"inputs": IMAGES, "targets": LABELS},
        {"inputs": IMAGES},
        {"images": IMAGES},
        [IMAGES],
        IMAGES,
    ],
)
def test_passes_and_fails(batch):
    """Batches as loaders give them; the report is in the failure."""
    assert assert_init_ok(net("he_normal"), batch).ok
    with pytest.raises(AssertionError, match=r"(?s)is at fault\nNet, 5 layers: \d error"):
        assert_init_ok(net("zeros"), batch, advice=False)


def test_no_key_is_dropped():
    """A dictionary with more than inputs and targets is that of the model's arguments, all."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net("he_normal")

        def forward(self, inputs, scale):
            return self.body(inputs * scale)

    assert assert_init_ok(Scaled(), {"inputs": IMAGES, "scale": torch.ones(1)}, advice=False).ok
    with pytest.raises(TypeError, match="labels"):
        assert_init_ok(Scaled(), {"inputs": IMAGES, "labels": LABELS})


def test_targets_are_used():
    """They are not silently left out: the first loss is judged."""
    report = assert_init_ok(net("he_normal"), (IMAGES, LABELS))
    assert report.measurement.loss_name == "cross-entropy"
    report = assert_init_ok(net("he_normal"), (IMAGES, LABELS), F.cross_entropy)
    assert report.measurement.loss_name == "cross_entropy"


def test_a_step_takes_the_batch_whole():
    """With a training step, a pair stays a pair."""

    def step(model, batch):
        images, labels = batch
        return F.cross_entropy(model(images), labels)

    assert assert_init_ok(net("he_normal"), (IMAGES, LABELS), training_step=step).ok
    with pytest.raises(AssertionError):
        assert_init_ok(net("ones"), (IMAGES, LABELS), training_step=step, advice=False)


def test_what_is_allowed_does_not_count():
    """A finding that is known and wanted, and no other."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 4))
    model[0].weight.data.mul_(100)
    batch = torch.randn(32, 20), torch.arange(32) % 4
    with pytest.raises(AssertionError) as caught:
        assert_init_ok(model, batch, advice=False)
    report = initguide.check_init(model, *batch, advice=False)
    codes = {f.code for f in report.findings if f.severity != "note"}
    assert all(code in str(caught.value) for code in codes)
    assert not assert_init_ok(model, batch, advice=False, allow=codes).ok
    others = net("zeros"), (IMAGES, LABELS)
    with pytest.raises(AssertionError):
        assert_init_ok(*others, advice=False, allow=codes)


def test_codes_that_there_are_not():
    """A code with a slip would allow nothing, or all, without a word."""
    with pytest.raises(ValueError, match=r"allow names dead-unit; the codes are .*dead-units"):
        assert_init_ok(net("he_normal"), IMAGES, allow="dead-unit")
