"""Large mini-batches in pieces: the same steps as alone, with only a piece in memory."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from training_networks import (
    Model,
    assert_close,
    assert_same,
    assert_same_weights,
    noise_of,
    several,
    train_together,
)

from initguide.models import mlp, small_cnn
from initguide.training.ways import in_pieces

PIECE = 8


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Mini-batches of 32 are large, and a piece has eight images."""
    monkeypatch.setattr(in_pieces, "PIECE", PIECE)
    monkeypatch.setattr(in_pieces, "MANY", 4 * PIECE)


@pytest.fixture(scope="module")
def data():
    """85 + 40 + 30 images of noise: two mini-batches of 32 an epoch, and one of 21."""
    return noise_of(85)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum", torch.optim.RMSprop])
@pytest.mark.parametrize("build", [small_cnn, partial(mlp, [784, 12, 10], nn.Tanh)])
def test_the_same_steps(data, ways, build, optimizer):
    """Losses, accuracies and weights are those of whole mini-batches, to rounding."""
    models, others = several(build), several(build)
    runs = train_together(models, data, optimizer=optimizer, way="in pieces")
    assert ways == [("in pieces", 1)] * 3
    assert_close(runs, train_together(others, data, optimizer=optimizer, way="alone"))
    assert_same_weights(models, others, rtol=1e-2, atol=2e-3)


def test_never_more_than_a_piece(data):
    """While it is trained, the network never sees more images than a piece has."""
    seen = []

    def note(model, scores):
        if model.training:
            seen.append(len(scores))
        return scores

    train_together([Model(note)], data, rates=[0.1], seeds=[0], way="in pieces", epochs=1)
    assert seen[-11:] == [8, 8, 8, 8] * 2 + [8, 8, 5]
    assert max(seen[:-11]) <= in_pieces.TRIED  # the trials, on copies


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _, x: x - x.mean(0), id="looks at the other images"),
        pytest.param(lambda _, x: x + torch.randn_like(x), id="draws"),
    ],
)
def test_what_is_not_accepted(data, ways, change):
    """What mixes the images of a mini-batch, or draws, gets whole mini-batches, as alone."""
    models = several(partial(Model, change), 2)
    others = copy.deepcopy(models)
    keywords = {"rates": [0.1] * 2, "seeds": [0, 1], "epochs": 1}
    runs = train_together(models, data, way="in pieces", **keywords)
    assert {name for name, _ in ways} == {"alone"}
    assert_same(runs, train_together(others, data, way="alone", **keywords))


@pytest.mark.parametrize(
    "build",
    [
        partial(Model, norm=nn.BatchNorm1d(10)),
        partial(mlp, [784, 12, 10], nn.Tanh, dropout=0.5),
    ],
)
def test_layers_that_are_not_accepted(data, ways, build):
    """Batch normalization looks at the whole mini-batch, and dropout draws one mask for all."""
    train_together(several(build, 1), data, rates=[0.1], seeds=[0], way="in pieces", epochs=1)
    assert ways == [("alone", 1)]


@pytest.mark.parametrize(("batch_size", "expected"), [(31, "alone"), (32, "in pieces")])
def test_large_mini_batches_of_what_would_go_alone(data, ways, batch_size, expected):
    """It is taken by itself from `MANY` images on."""
    models = several(small_cnn, 2)
    train_together(models, data, rates=[0.1] * 2, seeds=[0, 1], batch_size=batch_size, epochs=1)
    assert ways == [(expected, 1)] * 2
