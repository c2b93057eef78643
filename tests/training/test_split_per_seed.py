"""A run on data that its seed divides is the run on data that were divided before."""

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide.data import SplitPerSeed
from initguide.training import train, train_many

SEEDS = [0, 3, 3, 5]


def _connected():
    return initguide.Net(8, 4)


def _convolutional():
    return nn.Sequential(nn.Conv2d(1, 2, 5, 4), nn.Tanh(), nn.Flatten(), nn.Linear(72, 10))


def _trained(build, data, seeds, way):
    torch.manual_seed(0)
    return train_many(
        [build() for _ in seeds],
        data,
        epochs=2,
        batch_size=32,
        learning_rates=[0.01] * len(seeds),
        seeds=seeds,
        labels=[""] * len(seeds),
        way=way,
    )


def _numbers(run):
    return [*run.train_losses.tolist(), run.valid_loss, run.valid_accuracy, run.test_accuracy]


@pytest.mark.parametrize("build", [_connected, _convolutional])
@pytest.mark.parametrize("way", ["compiled", "side by side", "stacked", "alone", "in pieces", None])
def test_as_if_it_had_been_divided_before(build, way, data):
    """In every way, with seeds side by side: to the last bit, or to rounding on stacks."""
    found = _trained(build, SplitPerSeed(data), SEEDS, way)
    torch.manual_seed(0)
    models = [build() for _ in SEEDS]
    for run, model, seed in zip(found, models, SEEDS, strict=True):
        alone = "alone" if run.trainer == "PyTorch's steps" else way
        own = SplitPerSeed(data).of(seed)
        [expected] = train_many(
            [model],
            own,
            epochs=2,
            batch_size=32,
            learning_rates=[0.01],
            seeds=[seed],
            labels=[""],
            way=alone,
        )
        if run.trainer == expected.trainer and "stacks" not in run.trainer:
            assert _numbers(run) == _numbers(expected)
        else:
            np.testing.assert_allclose(_numbers(run)[:-2], _numbers(expected)[:-2], rtol=1e-3)


def test_no_run_is_trained_on_what_it_is_validated_on(data):
    """The images that a model sees are those of its seed: each for what it was drawn for."""

    class Seen(nn.Module):
        """Keeps the images that it is trained on."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(784, 10)
            self.seen, self.asked = [], []

        def forward(self, images):
            (self.seen if self.training else self.asked).append(images.flatten(1)[:, :3].clone())
            return self.layer(images.flatten(1))

    for seed in (0, 1):
        model = Seen()
        train(model, SplitPerSeed(data), epochs=1, batch_size=40, seed=seed)
        own = SplitPerSeed(data).of(seed)
        trained = {tuple(row) for row in torch.cat(model.seen).tolist()}
        valid, test = (rows.tolist() for rows in model.asked[-2:])
        wanted = own.valid.images.flatten(1)[:, :3].tolist()
        assert trained == {tuple(row) for row in own.train.images.flatten(1)[:, :3].tolist()}
        assert not trained & {tuple(row) for row in valid}
        assert valid == wanted
        assert test == data.test.images.flatten(1)[:, :3].tolist()
