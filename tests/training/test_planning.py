"""Which way is planned for which network."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from training_networks import assert_same, needs_compiler, several, train_together

from initguide.models import Net, mlp
from initguide.training import Plan, plan
from initguide.training.planning import choose
from initguide.training.settings import Settings
from initguide.training.ways import WAYS, Alone
from initguide.training.ways.way import offered


@pytest.fixture
def own_ways():
    """The known ways; those that a test offers go when it ends."""
    before = dict(WAYS)
    yield WAYS
    for name in WAYS.keys() - before.keys():
        del WAYS[name]


def _of_size(count):
    """A layer with so many parameters."""
    return nn.Linear(1, count // 2)


@pytest.mark.usefixtures("without_a_compiler")
@pytest.mark.parametrize(
    ("count", "way", "size"),
    [
        (2, "stacked", 256),
        (2**13, "stacked", 256),
        (2**13 + 2, "stacked", 255),
        (14_998, "stacked", 139),
        (15_000, "side by side", 5),
        (999_998, "side by side", 5),
        (1_000_000, "alone", 1),
    ],
)
def test_plan_at_its_borders(count, way, size):
    """Small layers are stacked by what a cache holds, others go by five, large ones alone."""
    model = _of_size(count)
    assert sum(p.numel() for p in model.parameters()) == count
    assert plan(model) == Plan(way, size)


@pytest.mark.usefixtures("without_a_compiler")
@pytest.mark.parametrize(
    ("build", "optimizer", "expected"),
    [
        (partial(Net, 16, 16), "momentum", Plan("stacked", 161)),
        (partial(mlp, [784, *30 * [64], 10]), "adam", Plan("stacked", 20)),
        (partial(Net, 16, 16), torch.optim.Adam, Plan("side by side", 5)),
        (partial(Net, 16, 16), "adagrad", Plan("side by side", 5)),
        (partial(Net, 2000), torch.optim.Adam, Plan("alone", 1)),
        (lambda: nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)), "adam", Plan("stacked", 256)),
        (
            lambda: nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)),
            "adam",
            Plan("side by side", 5),
        ),
        (lambda: nn.Sequential(nn.Linear(8, 8), nn.Conv2d(1, 2, 3)), "adam", Plan("alone", 1)),
        (partial(nn.LayerNorm, 8), "adam", Plan("alone", 1)),
        (nn.Tanh, "adam", Plan("alone", 1)),
    ],
)
def test_plan_of_other_layers_and_optimizers(build, optimizer, expected):
    """Only fully connected networks go together; stacked, with the named optimizers only."""
    assert plan(build(), optimizer) == expected


def test_plan_on_another_device():
    """Elsewhere than on a CPU, all are stacked, or none."""
    model = Net().to("meta")
    assert plan(model).way == "stacked"
    assert plan(model, torch.optim.Adam) == Plan("alone", 1)


@pytest.mark.usefixtures("without_a_compiler")
@pytest.mark.parametrize(
    ("build", "way"), [(partial(Net, 8, 8), "stacked"), (partial(Net, 64, 16), "side by side")]
)
def test_train_many_goes_the_way_that_is_planned(data, ways, build, way):
    """By default, what `plan` says."""
    train_together(several(build), data, epochs=1)
    assert ways == [(way, 3)]


@needs_compiler
@pytest.mark.parametrize(
    ("build", "optimizer", "expected"),
    [
        (Net, "adam", Plan("compiled", 1)),
        (partial(Net, 16, 16), "sgd", Plan("compiled", 20)),
        (partial(Net, 1, 1), "momentum", Plan("compiled", 64)),
        (Net, torch.optim.Adam, Plan("side by side", 5)),
        (partial(mlp, [4, 998, 998, 2000]), "adam", Plan("compiled", 1)),
        (partial(mlp, [4, 2000, 2000]), "adam", Plan("alone", 1)),
    ],
)
def test_plan_where_there_is_a_compiler(build, optimizer, expected):
    """By the network's size and the optimizer's name."""
    assert plan(build(), optimizer) == expected
    without = plan(build(), optimizer, compiling=False)
    assert without.way != "compiled"


def test_a_new_way(data, own_ways):
    """A subclass that is offered: that is all, and `train_many` knows it by its name."""

    @offered
    class Mine(Alone):
        name = "mine"

        @classmethod
        def accepts(cls, models, settings):  # noqa: ARG003
            return len(models) == 3

        def steps(self, orders):
            done.append(len(orders))
            return super().steps(orders)

    assert own_ways["mine"] is Mine
    done = []
    models, others = several(partial(Net, 8, 8)), several(partial(Net, 8, 8))
    runs = train_together(models, data, way="mine")
    assert done == [3] * 6  # three networks, two epochs of three mini-batches
    assert_same(runs, train_together(others, data, way="alone"))
    train_together(others[:2], data, rates=[0.1] * 2, seeds=[0, 1], way="mine")
    assert len(done) == 6  # it does not accept two


@pytest.mark.usefixtures("own_ways", "without_a_compiler")
@pytest.mark.parametrize(
    ("build", "way", "accepted", "expected"),
    [
        (partial(_of_size, 1_000_000), None, True, "better"),  # alone is planned
        (partial(_of_size, 1_000_000), None, False, "alone"),
        (partial(_of_size, 1_000_000), "alone", True, "alone"),  # asked for
        (partial(_of_size, 1_000_000), "compiled", True, "better"),  # asked for, not accepted
        (
            partial(mlp, [784, 256, 10], nn.Tanh),
            None,
            True,
            "side by side",
        ),  # planned, and accepted
    ],
)
def test_a_way_that_is_better_than_alone(build, way, accepted, expected):
    """It is taken where the models would go alone, unless that is asked for by name."""

    @offered
    class Better(Alone):
        name = "better"

        @classmethod
        def prefers(cls, models, settings):  # noqa: ARG003
            return settings.batch_size > 10

        @classmethod
        def accepts(cls, models, settings):  # noqa: ARG003
            return accepted

    inputs = next(build().parameters()).shape[1]
    images = SimpleNamespace(
        images=torch.rand(40, inputs), labels=torch.zeros(40, dtype=torch.int64)
    )
    data = SimpleNamespace(train=images, valid=images, test=images)
    settings = Settings(data, 1, 20, "adam", None)
    assert choose(several(build), settings, way).name == expected
    if expected == "better":
        assert choose(several(build), settings._replace(batch_size=10), way) is Alone
