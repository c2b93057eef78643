"""How far a step moves each layer, by width."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide.experiments import CoordinateCheck, coordinate_check, mean_interval

WIDTHS = [16, 32, 64]


@pytest.fixture(scope="module")
def small(sample):
    """Return 160 training images."""
    return sample.subset(train=160, valid=50, test=10)


def network(width):
    """Return one hidden layer."""
    return initguide.mlp([784, width, 10])


def test_changes_are_those_of_a_step_by_hand(small):
    """Against the step written out: another seed takes other images and other weights."""
    ways = {"a": ("he_normal", "sgd")}
    found = coordinate_check(
        network, small, ways, widths=WIDTHS, learning_rate=0.1, batch_size=20, seeds=[0, 3]
    )
    assert found.changes["a"].shape == (2, 3, 2)
    net = initguide.initialize(network(32), "he_normal", seed=3)
    probe = small.valid.images[:200].flatten(1)
    with torch.no_grad():
        before = net.fc2(net.fc1(probe).relu())
    loss = nn.functional.cross_entropy(net(small.train.images[60:80]), small.train.labels[60:80])
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(net.parameters(), gradients, strict=True):
            parameter.sub_(0.1 * gradient)
        after = net.fc2(net.fc1(probe).relu())
    expected = (after - before).square().mean().sqrt().item()
    assert found.changes["a"][1, 1, 1] == pytest.approx(expected, rel=1e-4)


def test_more_steps_move_further(small):
    """Each step takes the next images."""
    one, four = (
        coordinate_check(
            network,
            small,
            {"a": ("he_normal", "adam")},
            widths=WIDTHS,
            steps=n,
            batch_size=20,
            seeds=2,
        )
        for n in (1, 4)
    )
    assert (four.changes["a"] > 1.5 * one.changes["a"]).all()


def test_exponents_of_known_powers():
    """A change of n² has the exponent 2; the interval is Student's over seeds."""
    n = np.array([8.0, 16, 32, 64])
    seeds = [np.stack([n**p, 3 * n**2], axis=1) for p in (0.4, 0.6, 0.8)]
    check = CoordinateCheck((8, 16, 32, 64), ("a", "b"), {"w": np.array(seeds)}, {}, 1)
    (first, interval), (second, _) = check.exponents("w")
    assert (first, interval) == (
        pytest.approx(0.6),
        pytest.approx(mean_interval([0.4, 0.6, 0.8])[1]),
    )
    assert second == pytest.approx(2)
    bent = {"w": np.array([[[1.0], [1.0], [2.0], [4.0]]])}
    check = CoordinateCheck((8, 16, 32, 64), ("a",), bent, {}, 1)
    assert check.exponents("w", least=16)[0] == (pytest.approx(1), None)
    with pytest.raises(ValueError, match=r"least is 64, which leaves fewer than two of the widths"):
        check.exponents("w", least=64)
    with pytest.raises(ValueError, match="unknown way 'x'; there are w"):
        check.exponents("x")


def test_a_layer_that_stands_still(small):
    """Below a last layer of zeros nothing moves in the first step: no exponent, no warning."""
    ways = {"zeros": ("zeros", "adam")}
    found = coordinate_check(network, small, ways, widths=WIDTHS, batch_size=20, seeds=2)
    (first, none), (second, _) = found.exponents("zeros")
    assert math.isnan(first)
    assert none is None
    assert second == pytest.approx(0, abs=1e-6)  # only the biases move
    assert "–" in str(found)


def test_table(small):
    """A row for each way and layer; the wider half has a column where there are four widths."""
    ways = {"a": ("he_normal", "adam"), "b": ("he_normal", "sgd")}
    keywords = {"batch_size": 20, "predicted": {"a": (0, 1), "b": (0.5, 1)}}
    found = coordinate_check(network, small, ways, widths=[128, 16, 32, 64], **keywords)
    table = found.table()
    assert list(table.columns) == ["way", "layer", "predicted", "all widths", "from 64 on"]
    assert list(table.columns["layer"]) == ["fc1", "fc2"] * 2
    assert list(table.columns["predicted"]) == [0, 1, 0.5, 1]
    mean, (low, high) = found.exponents("b", least=64)[1]
    words = f"{mean:.2f} ({low:.2f} to {high:.2f})".replace("-", "−")
    assert table.columns["from 64 on"][3] == words
    assert str(found) == repr(found) == str(table)
    assert found._repr_html_() == table._repr_html_()
    few = coordinate_check(network, small, {"a": ways["a"]}, widths=WIDTHS, seeds=1, batch_size=20)
    assert list(few.table().columns) == ["way", "layer", "all widths"]
    assert "interval" not in few.table().note


def test_layers_of_any_kind_and_dropout(small):
    """Convolutions count, activations in place do no harm, and global generators stay."""

    def model(width):
        return nn.Sequential(
            nn.Conv2d(1, width, 7, stride=4), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten(),
            nn.Linear(36 * width, 10),
        )  # fmt: skip

    state = torch.get_rng_state()
    twice = [
        coordinate_check(model, small, {"a": ("default", "adam")}, widths=[4, 8], batch_size=20)
        for _ in range(2)
    ]
    assert torch.equal(state, torch.get_rng_state())
    assert twice[0].layers == ("0", "4")
    assert np.array_equal(*(check.changes["a"] for check in twice))
    assert (twice[0].changes["a"] > 0).all()


class _Backwards(nn.Module):
    """Runs its layers against the order in which they were made, and one of them never."""

    def __init__(self, width):
        super().__init__()
        self.last, self.idle = nn.Linear(width, 10), nn.Linear(width, 10)
        self.first = nn.Linear(784, width)

    def forward(self, x):
        """Return scores."""
        return self.last(self.first(x.flatten(1)))


class _NoneRuns(nn.Module):
    """Uses the weights of a layer that it does not call."""

    def __init__(self, width):
        super().__init__()
        self.idle = nn.Linear(784, width)

    def forward(self, x):
        """Return scores."""
        return nn.functional.linear(x.flatten(1), self.idle.weight)


class _Attends(nn.Module):
    """A layer of torch's own transformer over the rows of an image."""

    def __init__(self, width):
        super().__init__()
        self.rows, self.scores = nn.Linear(28, width), nn.Linear(width, 10)
        self.block = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True)

    def forward(self, x):
        """Return scores."""
        return self.scores(self.block(self.rows(x.flatten(0, 1))).mean(1))


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (_Backwards, ("first", "last")),
        (_Attends, ("rows", "block.self_attn", "block.linear1", "block.linear2", "scores")),
    ],
)
def test_layers_that_run_in_their_order(small, model, layers):
    """The order is that of the calls, and what is never called is left out."""
    ways = {"a": ("default", "adam")}
    found = coordinate_check(model, small, ways, widths=[8, 16], batch_size=20, seeds=2)
    assert found.layers == layers
    assert found.changes["a"].shape == (2, 2, len(layers))
    assert (found.changes["a"] > 0).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ways": {}}, "ways is empty"),
        ({"ways": ["adam"]}, r"ways is \['adam'\]; give a dictionary such as"),
        ({"ways": {"a": "adam"}}, r"ways has 'adam' for 'a'; give a pair \(scheme, optimizer\)"),
        ({"ways": {"a": ("zeros",)}}, r"ways has \('zeros',\) for 'a'; give a pair"),
        ({"ways": {"a": ("zeros", 0.1)}}, r"ways has \('zeros', 0\.1\) for 'a'; give a pair"),
        ({"widths": [8, 8]}, r"widths gives \[8\]; it must be at least two"),
        ({"widths": [0, 8]}, "widths is 0; it must be a whole number, at least 1"),
        ({"learning_rate": 0}, "learning_rate is 0; it must be finite and above 0"),
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seeds": 0}, "seeds is 0"),
        ({"predicted": {"a": (1,)}}, "predicted has 1 exponents for 'a'; .* layers fc1, fc2"),
        ({"predicted": {}}, "predicted has 0 exponents for 'a'"),
        (
            {"predicted": {"a": (0, 1), "b": (0, 1)}},
            "predicted has the unknown label 'b'; the ways are 'a'",
        ),
        ({"seeds": 9}, "seeds up to 8 with 1 x 20 images .* need 180 training images, .* has 160"),
        ({"seeds": [8]}, "seeds up to 8"),
        ({"steps": 3, "seeds": 3}, "seeds up to 2 with 3 x 20 images"),
        (
            {"model": lambda n: initguide.mlp([784] + [8] * n + [10]), "widths": [1, 2]},
            "width 2 has the layers fc1, fc2, fc3, and that of width 1 has fc1, fc2",
        ),
        ({"model": _NoneRuns}, "no layer .* did run; there are idle, and layers must be called"),
        ({"model": lambda _: nn.Flatten()}, "no layer .* did run; there are none"),
    ],
)
def test_refusals(small, changed, message):
    """Errors say what came and what is allowed."""
    usual = {"model": network, "ways": {"a": ("he_normal", "adam")}, "widths": WIDTHS}
    given = usual | {"batch_size": 20} | changed
    model, ways = given.pop("model"), given.pop("ways")
    with pytest.raises((TypeError, ValueError), match=message):
        coordinate_check(model, small, ways, **given)
