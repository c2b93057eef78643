"""`train`: against a plain PyTorch loop, the order of the images, and what is put back."""

import itertools
import math
from functools import partial
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from training_networks import Model, Spy, noise_of, seeded

from initguide.models import Net
from initguide.training import train


@pytest.fixture(scope="module")
def data():
    """96 + 40 + 30 images of noise."""
    return noise_of(96)


# Against a plain loop


def _plain_loop(model, batches, optimizer):
    """Train as every tutorial does it."""
    losses = []
    model.train()
    for images, labels in batches:
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class _Tokens(nn.Module):
    """Its linear layers see three dimensions, and have no biases."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Linear(28, 640, bias=False)
        self.out = nn.Linear(640, 10, bias=False)

    def forward(self, images):
        return self.out(F.relu(self.rows(images.squeeze(1))).mean(dim=1))


class _HalfFrozen(nn.Module):
    """A large first layer that is not trained, and a leaf before it that is."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(784))
        self.fc1 = nn.Linear(784, 64).requires_grad_(requires_grad=False)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, images):
        return self.fc2(torch.tanh(self.fc1(images.flatten(1) * self.scale)))


@pytest.mark.parametrize(
    "build",
    [
        partial(Net, dropout=0),
        partial(Net, 400, 300, dropout=0),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 64, bias=False), nn.Linear(64, 10)),
        lambda: nn.Sequential(nn.Conv2d(1, 4, 5, stride=3), nn.Flatten(), nn.Linear(256, 10)),
        _Tokens,
        _HalfFrozen,
    ],
    ids=["lesson", "wide", "no bias", "convolution", "three dimensions", "frozen"],
)
def test_train_is_the_plain_loop(data, build):
    """`train` gives the losses of a plain loop over the batches that the model saw."""
    seen = []
    model = seeded(build)
    spied = nn.Sequential(Spy(seen), model)
    start = seeded(build)
    run = train(spied, data, epochs=2, batch_size=20, learning_rate=0.01, seed=3)
    # Which images those were, found by looking them up: nothing is known about the order.
    flat = data.train.images.flatten(1)
    labels = [
        data.train.labels[(batch.flatten(1)[:, None] == flat).all(2).int().argmax(1)]
        for batch in seen
    ]
    expected = _plain_loop(
        start, zip(seen, labels, strict=True), torch.optim.Adam(start.parameters(), lr=0.01)
    )
    np.testing.assert_allclose(run.train_losses, expected, rtol=1e-3, atol=1e-5)
    for name, trained in model.named_parameters():
        torch.testing.assert_close(
            trained, start.get_parameter(name), rtol=1e-2, atol=1e-3, msg=lambda m, n=name: n + m
        )


def test_double_precision(data):
    """A model in double precision trains in double precision."""
    double = SimpleNamespace(
        **{
            name: SimpleNamespace(
                images=getattr(data, name).images.double(), labels=getattr(data, name).labels
            )
            for name in ("train", "valid", "test")
        }
    )
    model = seeded(lambda: Net(dropout=0).double())
    run = train(model, double, epochs=1, batch_size=20)
    assert model.fc1.weight.dtype == torch.float64
    single = train(seeded(lambda: Net(dropout=0)), data, epochs=1, batch_size=20)
    np.testing.assert_allclose(run.train_losses, single.train_losses, rtol=1e-3)


def test_learning_works(data):
    """The training loss of noise that can be learnt by heart falls below half of guessing."""
    run = train(Net(64, 64, dropout=0), data, epochs=30, batch_size=16, learning_rate=3e-3)
    assert run.train_losses[:3].mean() > 2
    assert run.train_losses[-3:].mean() < 1


def test_the_lesson_on_the_sample(sample):
    """Real images: two epochs of the lesson's network get three of four right."""
    run = train(seeded(Net), sample, epochs=2)
    assert len(run.train_losses) == 80
    assert run.train_losses[0] == pytest.approx(math.log(10), abs=0.1)
    assert 0.65 < run.valid_accuracy < 0.9
    assert abs(run.valid_accuracy - run.test_accuracy) < 0.08


# The order of the images


def _orders(seed, *, epochs=3, batch_size=10, count=96):
    """Train on images that carry their number; return the numbers in the order seen, by batch."""
    numbered = noise_of(count)
    numbered.train.images[:, 0, 0, 0] = torch.arange(float(count))
    seen = []
    model = nn.Sequential(Spy(seen), nn.Flatten(), nn.Linear(784, 10))
    run = train(model, numbered, epochs=epochs, batch_size=batch_size, seed=seed)
    assert len(run.train_losses) == len(seen)
    return [batch[:, 0, 0, 0].int().tolist() for batch in seen]


def test_each_image_once_an_epoch_in_a_new_order():
    """Every epoch uses every image once; no two epochs in the same order, the last batch short."""
    batches = _orders(0)
    assert [len(batch) for batch in batches] == 3 * ([10] * 9 + [6])
    epochs = [list(itertools.chain(*batches[i : i + 10])) for i in (0, 10, 20)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(96))
        assert epoch != list(range(96))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(96, [96]), (200, [96]), (95, [95, 1]), (5, [5] * 19 + [1])]
)
def test_batch_sizes(batch_size, sizes):
    """The last batch holds what is left, also where that is everything or one image."""
    assert [len(batch) for batch in _orders(0, epochs=1, batch_size=batch_size)] == sizes


def test_order_follows_from_the_seed():
    """The same seed gives the same order, another seed another."""
    assert _orders(5) == _orders(5)
    assert _orders(5) != _orders(6)


def test_order_of_many_batches():
    """Many batches: each image once an epoch, and with its own label."""
    numbered = noise_of(100)
    numbered.train.images[:] = torch.arange(100.0).view(-1, 1, 1, 1)
    numbered.train.labels = torch.arange(100) % 10
    seen = []

    class Digit(Model):
        """Is sure of the last digit of the image's number, so the loss of that label is 0."""

        def forward(self, images):
            digits = images[:, 0, 0, 0].long() % 10
            return 30 * F.one_hot(digits, 10) + 0 * super().forward(images)

    run = train(nn.Sequential(Spy(seen), Digit()), numbered, epochs=1, batch_size=1)
    assert run.train_losses.max() < 1e-6
    assert sorted(torch.cat(seen)[:, 0, 0, 0].tolist()) == list(range(100))


def test_different_models_see_the_same_sequence(data):
    """With one seed, networks of other weights and widths see the same batches and masks."""
    records = []
    for width, weights in ((16, 0), (16, 1), (50, 2)):
        images, masks = [], []
        model = nn.Sequential(
            Spy(images),
            nn.Flatten(),
            nn.Dropout(0.5),
            Spy(masks),
            seeded(lambda w=width: nn.Linear(784, w), weights),
            nn.Dropout(0.3),
            nn.Linear(width, 10),
        )
        train(model, data, epochs=2, batch_size=20, seed=1)
        records.append((images, masks))
    for images, _ in records[1:]:
        assert all(torch.equal(a, b) for a, b in zip(records[0][0], images, strict=True))
    # The masks agree where the networks have the same shape.
    first, second = records[0][1], records[1][1]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])


# What is put back


def _forwards(model):
    return [name for name, module in model.named_modules() if "forward" in vars(module)]


def test_forward_is_put_back(data):
    """The layers' own forward is back after training."""
    model = Net()
    train(model, data, epochs=1)
    assert not _forwards(model)


def test_forward_is_put_back_after_an_error(data):
    """And after a model that fails in the middle of training."""

    def fail(model, scores):
        if torch.is_grad_enabled():
            model.calls = getattr(model, "calls", 0) + 1
            if model.calls == 3:
                raise RuntimeError("third batch")
        return scores

    model = nn.Sequential(nn.Dropout(0.5), Model(fail))
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="third batch"):
        train(model, data, epochs=1, batch_size=20)
    assert not _forwards(model)
    assert torch.equal(torch.get_rng_state(), state)


def test_somebodys_own_forward_is_kept(data):
    """A forward that a user has put in place of a layer's is used and stays."""
    model = Net()
    calls = []

    def mine(x):
        calls.append(len(x))
        return F.linear(x, model.fc1.weight, model.fc1.bias)

    model.fc1.forward = mine
    train(model, data, epochs=1, batch_size=48)
    assert model.fc1.forward is mine
    assert calls[-4:] == [48, 48, 40, 30]


def test_hooks_are_called(data):
    """Forward hooks on dropout and large linear layers are called as ever."""
    model = Net()
    calls = []
    for layer in (model.fc1, model.dropout):
        layer.register_forward_hook(
            lambda module, *_: calls.append(type(module)) if torch.is_grad_enabled() else None
        )
    train(model, data, epochs=1, batch_size=48)
    assert calls == 2 * [nn.Linear, nn.Dropout, nn.Dropout]


def test_batch_norm_counts_the_training_batches_alone(data):
    """Neither the look beforehand nor evaluation changes the running statistics."""
    norm = nn.BatchNorm1d(10)
    seen = []
    model = Model(lambda m, s: m.norm(m.spy(s)), norm=norm, spy=Spy(seen))
    train(model, data, epochs=2, batch_size=20)
    assert norm.num_batches_tracked.item() == 10 == len(seen)
    mean = torch.zeros(10)
    for scores in seen:
        mean = 0.9 * mean + 0.1 * scores.mean(dim=0)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-6)


def test_a_model_that_keeps_its_activations(data):
    """A model that has been used, and remembers what it computed, can be trained."""

    # (It cannot be deep-copied.)
    class Keeps(Model):
        def forward(self, images):
            self.last = super().forward(images)
            return self.last

    model = Keeps()
    model(data.train.images[:2])
    assert len(train(model, data, epochs=1, batch_size=20).train_losses) == 5


# Divergence


class _BreaksAt(nn.Module):
    """Its loss is the given number from the given batch on."""

    def __init__(self, batch, number):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.batch, self.number, self.calls = batch, number, -1

    def forward(self, images):
        scores = self.fc(images.flatten(1))
        if not torch.is_grad_enabled():
            return scores
        self.calls += 1
        return scores * (self.number if self.calls >= self.batch else 1)


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("batch", [0, 1, 14, 15, 16, 17, 31, 40, 47])
def test_divergence(data, batch, number):
    """The index of the first loss that is not finite is found, and the losses end with it."""
    run = train(_BreaksAt(batch, number), data, epochs=1, batch_size=2)
    assert run.diverged
    assert run.diverged_at == batch
    assert len(run.train_losses) == batch + 1
    assert np.isfinite(run.train_losses[:-1]).all()
    assert not np.isfinite(run.train_losses[-1])
    for value in (run.valid_loss, run.valid_accuracy, run.test_accuracy, run.train_loss):
        assert math.isnan(value)


def test_divergence_ends_training_soon(data):
    """No more than 16 batches are wasted on a network that is lost."""
    model = _BreaksAt(3, math.nan)
    train(model, data, epochs=5, batch_size=2)
    assert model.calls < 16


def test_divergence_by_a_huge_learning_rate(data):
    """A real run: the index is that of a plain loop's first loss that is not finite."""
    run = train(
        seeded(lambda: Net(dropout=0)),
        data,
        epochs=5,
        batch_size=5,
        learning_rate=1e4,
        optimizer="sgd",
    )
    assert run.diverged
    assert 0 < run.diverged_at < 30
    assert np.isfinite(run.train_losses[:-1]).all()
    assert math.isnan(run.valid_accuracy)


def test_divergence_in_the_last_step(data):
    """The last step is the one that breaks the network: that is a divergence too."""
    # Nobody sees it in the training losses: without this the table would show an accuracy of 10 %
    # and say nothing.
    run = train(Net(), data, epochs=1, batch_size=96, learning_rate=1e38, optimizer="sgd")
    assert not math.isfinite(run.valid_loss)
    assert run.diverged


# Stopping


def test_stop(data):
    """An event that is set ends the training within 16 batches."""
    stop = Event()
    stop.set()
    run = train(Net(8, 8), data, epochs=2, batch_size=2, stop=stop)
    assert 1 <= len(run.train_losses) <= 16
    assert len(train(Net(8, 8), data, epochs=2, batch_size=2, stop=Event()).train_losses) == 96


def test_stop_in_the_middle(data):
    """An event that is set on the way is noticed there."""
    stop = Event()

    def set_at_twenty(model, scores):
        if torch.is_grad_enabled():
            model.calls = getattr(model, "calls", 0) + 1
            if model.calls == 20:
                stop.set()
        return scores

    run = train(Model(set_at_twenty), data, epochs=2, batch_size=2, stop=stop)
    assert 20 <= len(run.train_losses) <= 36
    assert not run.diverged
