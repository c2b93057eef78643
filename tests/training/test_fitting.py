"""`fit` against a plain PyTorch loop."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from training_networks import Model, noise_of, seeded

from initguide.models import Net
from initguide.training import fit, make_optimizer


@pytest.fixture(scope="module")
def data():
    """96 + 40 + 30 images of noise."""
    return noise_of(96)


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


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("adam", partial(torch.optim.Adam, lr=0.01)),
        ("sgd", partial(torch.optim.SGD, lr=0.01)),
        ("momentum", partial(torch.optim.SGD, lr=0.01, momentum=0.9)),
        (torch.optim.RMSprop, partial(torch.optim.RMSprop, lr=0.01)),
    ],
    ids=["adam", "sgd", "momentum", "function"],
)
def test_fit_is_the_plain_loop(data, name, plain):
    """Same losses and same weights as a loop written out, for every optimizer."""
    ours, theirs = (seeded(lambda: Net(20, 15, dropout=0)) for _ in range(2))
    batches = list(zip(data.train.images.split(10), data.train.labels.split(10), strict=True))
    losses = fit(ours, batches, make_optimizer(name, ours.parameters(), 0.01))
    expected = _plain_loop(theirs, batches, plain(theirs.parameters()))
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_fit_takes_a_loader(data):
    """A DataLoader does; the order is the loader's."""
    dataset = TensorDataset(data.train.images, data.train.labels)
    losses = [
        fit(model, loader, make_optimizer("adam", model.parameters(), 0.01))
        for loader in (
            DataLoader(dataset, 10),
            zip(data.train.images.split(10), data.train.labels.split(10), strict=True),
        )
        for model in [seeded(lambda: Net(8, 8, dropout=0))]
    ]
    assert len(losses[0]) == 10
    assert np.array_equal(*losses)


def test_fit_of_nothing():
    """No batch, no loss, no error."""
    model = Model()
    losses = fit(model, [], make_optimizer("adam", model.parameters(), 0.1))
    assert losses.shape == (0,)
    assert losses.dtype == np.float32
