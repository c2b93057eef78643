"""Dropout's statistics, its gradient, and where its masks come from."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import Generator, nn
from training_networks import Spy, noise_of, several

from initguide.training import quick_layers, train
from initguide.training.stack import Stack


@pytest.fixture(scope="module")
def data():
    """96 + 40 + 30 images of noise."""
    return noise_of(96)


def _dropped(p, *, batches=4, seed=0, layer=None):
    """Train on images of ones; return what comes out of the first dropout, by batch."""
    ones = noise_of(100 * batches)
    for split in (ones.train, ones.valid, ones.test):
        split.images = torch.ones_like(split.images)
    seen = []
    dropout = layer or nn.Dropout(p)
    model = nn.Sequential(nn.Flatten(), dropout, Spy(seen), nn.Linear(784, 10))
    train(model, ones, epochs=1, batch_size=100, seed=seed)
    return torch.stack(seen)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.2, 0.5, 0.9, 0.99])
def test_dropout_rate_and_scale(p):
    """Units are 0 at the rate p, within binomial error, and 1 / (1 - p) otherwise."""
    outputs = _dropped(p).double()
    kept = outputs != 0
    torch.testing.assert_close(
        outputs[kept], torch.full_like(outputs[kept], 1 / (1 - p)), rtol=1e-3, atol=0
    )
    error = math.sqrt(p * (1 - p) / outputs.numel())
    assert abs(1 - kept.double().mean().item() - p) < 5 * error
    # Unbiased: the mean is that of the input, within its own error.
    assert outputs.mean().item() == pytest.approx(1, abs=5 * error / (1 - p) + 1e-5)


def test_dropout_units_are_independent():
    """Neighbours share the random numbers' calls, not their fate; nor do batches or images."""
    masks = (_dropped(0.5) != 0).double() - 0.5
    for shift in (1, 2, 3, 4, 5, 8, 784):
        flat = masks.flatten()
        products = flat[:-shift] * flat[shift:]
        assert abs(products.mean().item()) < 5 * 0.25 / math.sqrt(products.numel()), shift
    between = (masks[0] * masks[1]).mean().item()
    assert abs(between) < 5 * 0.25 / math.sqrt(masks[0].numel())
    assert masks.mean(dim=(0, 1)).abs().max().item() < 6 * 0.5 / math.sqrt(400)  # of each unit


def test_dropout_extremes():
    """At 0 nothing is dropped; at 1 everything, and no NaN appears; close to 1, a few are left."""
    assert (_dropped(0.0) == 1).all()
    assert (_dropped(1.0) == 0).all()
    outputs = _dropped(0.9999)
    assert outputs.isfinite().all()
    assert 0 < (outputs != 0).sum() < 100  # 31 are expected


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 4, 5), (0, 7)])
def test_dropout_of_any_shape(shape):
    """A number of units that is no multiple of four works too."""
    layer = nn.Dropout(0.5)
    with quick_layers([layer], [Generator().manual_seed(0)]):
        output = layer(torch.ones(shape))
    assert output.shape == shape
    assert set(output.flatten().tolist()) <= {0.0, 2.0}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dropout_keeps_the_precision(dtype):
    """The output has the precision of the input."""
    layer = nn.Dropout(0.5)
    with quick_layers([layer], [Generator().manual_seed(0)]):
        assert layer(torch.ones(9, dtype=dtype)).dtype == dtype


def test_dropout_gradient_has_the_same_mask(data):
    """On its way back the gradient is dropped and scaled exactly as the signal was."""
    records = []

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(784))
            self.dropout = nn.Dropout(0.4)
            self.out = nn.Linear(784, 10)

        def forward(self, images):
            before = images.flatten(1) * self.weight
            after = self.dropout(before)
            if torch.is_grad_enabled():
                record = {"factor": (after / before).detach()}
                before.register_hook(partial(record.__setitem__, "before"))
                after.register_hook(partial(record.__setitem__, "after"))
                records.append(record)
            return self.out(after)

    train(Masked(), data, epochs=1, batch_size=20)
    assert len(records) == 5
    for record in records:
        assert 0.3 < (record["factor"] == 0).float().mean().item() < 0.5
        torch.testing.assert_close(
            record["before"], record["after"] * record["factor"], rtol=1e-5, atol=1e-9
        )


def test_dropout_in_an_eval_part_is_off(data):
    """A dropout layer that somebody keeps in evaluation mode is left out of it."""

    class AlwaysEval(nn.Dropout):
        def train(self, mode=True):  # noqa: ARG002
            return super().train(mode=False)

    seen = []
    model = nn.Sequential(nn.Flatten(), AlwaysEval(0.5), Spy(seen), nn.Linear(784, 10))
    train(model, data, epochs=1, batch_size=96)
    assert (seen[0] != 0).double().mean().item() > 0.999
    layer = nn.Dropout(0.5).eval()
    with quick_layers([layer], [Generator()]):
        assert torch.equal(layer(torch.ones(100)), torch.ones(100))


def test_dropout_masks_follow_from_the_seed():
    """The same seed gives the same masks, another one others."""
    assert torch.equal(_dropped(0.5, seed=4), _dropped(0.5, seed=4))
    assert not torch.equal(_dropped(0.5, seed=4), _dropped(0.5, seed=5))


def test_subclassed_dropout_is_left_alone(data):
    """A subclass may do something else: it keeps its own forward."""

    class Half(nn.Dropout):
        def forward(self, x):
            return 0.5 * x

    seen = []
    model = nn.Sequential(nn.Flatten(), Half(), Spy(seen), nn.Linear(784, 10))
    train(model, data, epochs=1, batch_size=96)
    assert seen[0].max().item() <= 0.5


def test_dropout_that_is_forced_draws_from_the_run(data):
    """A model that drops units in evaluation too leaves torch's global generator alone."""

    class Forced(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.dropout = nn.Linear(784, 10), nn.Dropout()

        def forward(self, images):
            self.dropout.train()
            return self.fc(self.dropout(images.flatten(1)))

    torch.manual_seed(0)
    model = Forced()
    state = torch.get_rng_state()
    runs = [train(copy.deepcopy(model), data, epochs=1) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert runs[0].valid_loss == runs[1].valid_loss


def test_a_dropout_rate_that_changes(data):
    """The rate of the moment counts, for a stack, too."""
    models = several(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 99), nn.Dropout(0.5)))
    stack = Stack.of(models, [Generator().manual_seed(k) for k in range(3)])
    stack.model.train()
    for rate in (0.5, 0.9, 0.1):
        stack.model[2].p = rate
        dropped = (stack.outputs(data.train.images) == 0).float().mean().item()
        assert dropped == pytest.approx(rate, abs=0.02)
