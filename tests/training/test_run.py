"""Evaluation against plain torch, and what a run says of itself."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from training_networks import Model, assert_same_state, noise_of, seeded, split_of, state_of

from initguide.models import Net
from initguide.training import Run, evaluate, train


@pytest.fixture(scope="module")
def data():
    """96 + 40 + 30 images of noise."""
    return noise_of(96)


def _reference(model, split):
    """Loss and accuracy in plain torch, all images at once."""
    model.eval()
    with torch.no_grad():
        scores = model(split.images)
        loss = F.cross_entropy(scores.double(), split.labels).item()
    return loss, (scores.argmax(1) == split.labels).double().mean().item()


@pytest.mark.parametrize("batch_size", [1, 7, 40, 2000])
def test_evaluate_whatever_the_batch_size(data, batch_size):
    """Loss and accuracy are means over images, so the size of the batches does not matter."""
    model = seeded(Net)
    loss, accuracy = _reference(seeded(Net), data.valid)
    result = evaluate(model, data.valid, batch_size=batch_size)
    assert result.loss == pytest.approx(loss, rel=1e-6)
    assert result.accuracy == accuracy
    assert (result.loss, result.accuracy) == tuple(result)


def test_evaluate_a_loader(data):
    """A DataLoader, and any list of batches, gives the same."""
    model = seeded(Net)
    expected = evaluate(model, data.valid)
    loader = DataLoader(TensorDataset(data.valid.images, data.valid.labels), 7)
    pairs = list(zip(data.valid.images.split(9), data.valid.labels.split(9), strict=True))
    for batches in (loader, pairs, iter(pairs)):
        result = evaluate(model, batches)
        assert result.loss == pytest.approx(expected.loss, rel=1e-6)
        assert result.accuracy == expected.accuracy


class _Pair(NamedTuple):
    images: torch.Tensor
    labels: torch.Tensor


def test_splits_may_be_tuples(data):
    """A split is whatever has `.images` and `.labels`: a named tuple too."""
    # Not to be taken for a list of batches.
    model = seeded(Net)
    expected = evaluate(model, data.valid)
    assert evaluate(model, _Pair(data.valid.images, data.valid.labels)) == expected


def test_evaluate_leaves_the_model_as_it_was(data):
    """Each module's own mode is put back, mixed ones too; buffers and gradients are untouched."""
    model = Model(lambda m, s: m.norm(m.drop(s)), norm=nn.BatchNorm1d(10), drop=nn.Dropout(0.5))
    model.train()
    model.norm.eval()
    before = state_of(model)
    first = evaluate(model, data.valid)
    modes = {name: module.training for name, module in model.named_modules()}
    assert modes == {"": True, "fc": True, "norm": False, "drop": True}
    assert_same_state(before, model.state_dict())
    assert all(parameter.grad is None for parameter in model.parameters())
    model.eval()
    assert evaluate(model, data.valid) == first  # dropout was off
    assert not any(module.training for module in model.modules())


def test_evaluate_puts_the_mode_back_after_an_error(data):
    """A model that fails is left in the mode that it was in."""

    def fail(model, scores):  # noqa: ARG001
        raise RuntimeError("no")

    model = Model(fail).train()
    with pytest.raises(RuntimeError, match="no"):
        evaluate(model, data.valid)
    assert model.training
    assert model.fc.training


@pytest.mark.parametrize("nothing", [[], split_of(0)], ids=["no batches", "no images"])
def test_evaluate_nothing(nothing):
    """A mean over no images is refused, not NaN; the mode is put back."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).train()
    with pytest.raises(ValueError, match=r"^there are no images to evaluate the model on$"):
        evaluate(model, nothing)
    assert model.training


def test_evaluate_a_model_without_parameters():
    """A model with nothing to learn can be measured."""

    class Fixed(nn.Module):
        def forward(self, images):
            scores = torch.zeros(len(images), 10)
            scores[:, 3] = 1
            return scores

    split = split_of(20)
    split.labels = torch.tensor([3] * 15 + [4] * 5)
    assert evaluate(Fixed(), split).accuracy == 0.75


def test_run_records_what_was_asked(data):
    """Label and seed are kept; the time is a time."""
    run = train(Net(8, 8), data, epochs=1, seed=7, label="mine")
    assert (run.label, run.seed, run.diverged, run.diverged_at) == ("mine", 7, False, None)
    assert run.train_losses.dtype == np.float32
    assert 0 < run.seconds < 60


def test_train_loss_is_the_mean_of_the_last_hundred():
    """One batch says little: the last hundred do, or all where there are fewer."""

    def run(losses, diverged_at=None):
        return Run("", 0, np.asarray(losses, np.float32), 1.0, 0.5, 0.5, diverged_at, 1.0)

    assert run(np.arange(300)).train_loss == pytest.approx(249.5)
    assert run([1, 3]).train_loss == 2
    assert math.isnan(run([1, math.nan], diverged_at=1).train_loss)
    assert run([1, math.nan], diverged_at=1).diverged
    assert isinstance(run([1, 3]).train_loss, float)


def test_train_loss_of_huge_losses():
    """Losses near the end of float32 have a mean, not infinity and a warning."""
    run = Run("", 0, np.full(100, 3e38, np.float32), 1.0, 0.5, 0.5, None, 1.0)
    assert run.train_loss == pytest.approx(3e38)
