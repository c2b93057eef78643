"""What may be asked of `train` and `train_many`, and what they say of anything else."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from training_networks import (
    assert_same_state,
    noise_of,
    several,
    split_of,
    state_of,
    train_together,
)

from initguide.models import Net, mlp
from initguide.training import train


@pytest.fixture(scope="module")
def data():
    """96 + 40 + 30 images of noise."""
    return noise_of(96)


def test_no_training_images(data):
    """A data set without training images is refused in words."""
    nothing = SimpleNamespace(train=split_of(0), valid=data.valid, test=data.test)
    with pytest.raises(ValueError, match=r"no .*images"):
        train(Net(), nothing)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be a whole number, at least 1"),
        ({"epochs": 1.5}, r"epochs is 1\.5; it must be a whole number, at least 1"),
        ({"epochs": True}, "epochs is True; it must be a whole number, at least 1"),
        ({"batch_size": 0}, "batch_size is 0; it must be a whole number, at least 1"),
        ({"batch_size": "100"}, "batch_size is '100'; it must be a whole number, at least 1"),
        ({"seed": -1}, "seed is -1; it must be a whole number, at least 0"),
        ({"seed": None}, "seed is None; it must be a whole number, at least 0"),
        ({"learning_rate": 0}, "learning_rate is 0; it must be a finite number above 0"),
        ({"learning_rate": -1}, "learning_rate is -1; it must be a finite number above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan; it must be a finite number above 0"),
        ({"learning_rate": math.inf}, "learning_rate is inf; it must be a finite number above 0"),
        ({"learning_rate": "a"}, "learning_rate is 'a'; it must be a finite number above 0"),
        ({"learning_rate": True}, "learning_rate is True; it must be a finite number above 0"),
        ({"optimizer": "Adam"}, r"unknown optimizer 'Adam'; the names are adam, sgd, momentum, .*"),
    ],
    ids=repr,
)
def test_bad_settings(data, settings, message):
    """A bad setting is refused with its name, its value and what is allowed; nothing is trained."""
    model = Net(4, 4)
    before = state_of(model)
    with pytest.raises(ValueError, match=rf"^{message}$"):
        train(model, data, **settings)
    assert_same_state(before, model.state_dict())


@pytest.mark.parametrize("rate", [np.float64(0.01), np.float32(0.01), 1], ids=repr)
def test_numpy_settings(data, rate):
    """Numbers from an array do, for the rate as for the counts."""
    run = train(
        Net(4, 4),
        data,
        epochs=np.int64(1),
        batch_size=np.int32(48),
        seed=np.int64(2),
        learning_rate=rate,
    )
    assert len(run.train_losses) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": [0.1]}, "3 models, 1 learning_rates, 3 seeds and 3 labels; give as many"),
        ({"labels": "a"}, "3 models, 3 learning_rates, 3 seeds and 1 labels; give as many"),
        (
            {"way": "together"},
            "way is 'together'; it must be 'alone', 'compiled', ",
        ),
        ({"rates": [0.1, 0, 0.1]}, "learning_rate is 0; it must be a finite number above 0"),
        ({"seeds": [0, -1, 0]}, "seed is -1; it must be a whole number, at least 0"),
        ({"seeds": [0, 1, 2**63]}, "seed is 9223372036854775808; it must be below 2⁶³"),
        ({"epochs": 0}, "epochs is 0; it must be a whole number, at least 1"),
        ({"batch_size": True}, "batch_size is True; it must be a whole number, at least 1"),
        ({"optimizer": "adagrad"}, "unknown optimizer 'adagrad'; the names are adam, sgd"),
    ],
)
def test_train_many_says_what_is_wrong(data, changes, message):
    """Each message names the argument, what came and what is allowed."""
    with pytest.raises(ValueError, match=message):
        train_together(several(partial(mlp, [784, 4, 10])), data, **changes)


def test_train_many_without_images_or_models(data, noise):
    """No images are an error; no models are no runs."""
    empty = SimpleNamespace(train=noise(0, 0), valid=data.valid, test=data.test)
    with pytest.raises(ValueError, match="there are no images to train the model on"):
        train_together(several(partial(mlp, [784, 4, 10])), empty)
    assert train_together([], data, rates=[], seeds=[]) == []
