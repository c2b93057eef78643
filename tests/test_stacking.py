"""Networks trained together: against each alone, against torch's own loops, against NumPy."""

import copy
import itertools
import math
from functools import partial
from threading import Event, Lock
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, nn

from initguide.experiments import Job, jobs, run_jobs
from initguide.experiments.jobs import run_together
from initguide.models import Net, mlp
from initguide.training import (
    Plan,
    StackWarning,
    compiled,
    evaluate,
    fit_many,
    make_optimizer,
    plan,
    side_by_side,
    stacking,
    train,
    train_many,
)
from initguide.training import loop as training
from initguide.training.stacking import FusedSteps, StackedSteps, stackable


@pytest.fixture(autouse=True)
def _without_a_compiler(monkeypatch):
    """What is tested here is what happens where no compiler is; tests/test_compiled.py has both."""
    monkeypatch.setattr(compiled, "works", lambda: False)
    monkeypatch.setenv("INITGUIDE_CC", "off")  # for processes that are started


@pytest.fixture
def ways(monkeypatch):
    """List of how models were trained, and how many at once, in the order of beginning."""
    seen = []

    def watch(name, way):
        real = getattr(training, name)

        def watched(asked, common):
            seen.append((way if len(asked) > 1 else "alone", len(asked)))
            return real(asked, common)

        monkeypatch.setattr(training, name, watched)

    watch("_side_by_side", "side by side")
    watch("_stack_trained", "stacked")
    return seen


def _seeded(build, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def _several(build, count=3):
    """Networks of one shape with different weights."""
    return [_seeded(build, seed) for seed in range(count)]


RATES, SEEDS = (0.01, 0.02, 0.01), (0, 1, 1)


def _together(models, data, *, rates=RATES, seeds=SEEDS, **keywords):
    defaults = {"epochs": 2, "batch_size": 32, "labels": "abcdefgh"[: len(models)]}
    return train_many(models, data, learning_rates=rates, seeds=seeds, **(defaults | keywords))


def _alone(models, data, *, rates=RATES, seeds=SEEDS, **keywords):
    defaults = {"epochs": 2, "batch_size": 32}
    return [
        train(model, data, learning_rate=rate, seed=seed, label=label, **(defaults | keywords))
        for model, rate, seed, label in zip(models, rates, seeds, "abcdefgh", strict=False)
    ]


NUMBERS = ("label", "seed", "diverged_at", "valid_loss", "valid_accuracy", "test_accuracy")


def _assert_same(runs, expected):
    """The same to the last bit."""
    for run, other in zip(runs, expected, strict=True):
        np.testing.assert_array_equal(run.train_losses, other.train_losses)
        for name in NUMBERS:
            np.testing.assert_equal(getattr(run, name), getattr(other, name))


def _assert_close(runs, expected):
    """The same to rounding; an image or so may fall on the other side."""
    for run, other in zip(runs, expected, strict=True):
        assert (run.label, run.seed) == (other.label, other.seed)
        assert run.diverged_at == other.diverged_at
        np.testing.assert_allclose(run.train_losses, other.train_losses, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(run.valid_loss, other.valid_loss, rtol=1e-3)
        for name in ("valid_accuracy", "test_accuracy"):
            np.testing.assert_allclose(getattr(run, name), getattr(other, name), atol=0.051)


def _assert_same_weights(models, expected, **tolerance):
    for model, other in zip(models, expected, strict=True):
        for (key, a), b in zip(
            model.state_dict().items(), other.state_dict().values(), strict=True
        ):
            if tolerance:
                torch.testing.assert_close(
                    a, b, equal_nan=True, msg=lambda m, key=key: f"{key}: {m}", **tolerance
                )
            else:
                np.testing.assert_array_equal(a, b, err_msg=key)


class _Custom(nn.Module):
    """Two linear layers and whatever else, with any forward: a function of it and the images."""

    def __init__(self, compute, **modules):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 16), nn.Linear(16, 10)
        self.compute = compute
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, images):
        return self.compute(self, images)


def _hidden(model, images):
    return model.fc1(images.flatten(1))


def _frozen(model, *names):
    for name in names:
        model.get_parameter(name).requires_grad = False
    return model


# Side by side


def _twice(model, images):
    return model.fc2(model.middle(torch.tanh(model.middle(_hidden(model, images)))))


def _rows(model, images):
    return model.fc2(model.rows(images.squeeze(1)).relu().mean(1))


def _tied():
    model = mlp([784, 16, 16, 16, 10])
    model.fc3.weight = model.fc2.weight
    return model


def _half(model, images):
    with torch.autocast("cpu", torch.bfloat16):
        return model.fc2(_hidden(model, images).relu()).float()


ABREAST = {
    "autocast": lambda: _Custom(_half),
    "dropout": lambda: Net(32, 16),
    "batch norm": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    ),
    "layer norm": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 10)
    ),
    "no bias": lambda: mlp([784, 32, 16, 10], bias=False, dropout=0.5),
    "three dimensions": lambda: _Custom(_rows, rows=nn.Linear(28, 16)),
    "used twice": lambda: _Custom(_twice, middle=nn.Linear(16, 16)),
    "tied weights": _tied,
    "half frozen": lambda: _frozen(Net(32, 16), "fc1.weight", "fc2.bias"),
    "nested": lambda: nn.Sequential(mlp([784, 32, 16], dropout=0.2), nn.ReLU(), mlp([16, 16, 10])),
}
OPTIMIZERS = ["adam", "sgd", "momentum", torch.optim.RMSprop]


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [(name, "adam") for name in ABREAST]
    + [(name, other) for name in ("dropout", "half frozen") for other in OPTIMIZERS[1:]],
)
def test_side_by_side_to_the_last_bit(data, ways, name, optimizer):
    """Losses, accuracies and weights are those of each alone, whatever the layers."""
    models, others = _several(ABREAST[name]), _several(ABREAST[name])
    runs = _together(models, data, optimizer=optimizer, way="side by side")
    assert ways == [("side by side", 3)]
    _assert_same(runs, _alone(others, data, optimizer=optimizer))
    _assert_same_weights(models, others)


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("sizes", [(160, 110), (12, 7)])
@pytest.mark.parametrize("count", [1, 3])
def test_linear_layers_of_several_networks(monkeypatch, count, sizes, onednn):
    """Outputs, gradients, and gradients of gradients are those of torch's own layers, in float64.

    Each number is a sum of products of float32, whose rounding follows the size of the sums, not of
    the number: second derivatives here are up to 1,860, and cancel. Plain torch is off by up to 2
    units in the last place of the largest, ours by up to 4 (Intel, AVX-512), and 16 are allowed.
    """
    if not onednn:
        monkeypatch.setattr(stacking, "_onednn_works", lambda: False)
    layers = _several(lambda: nn.Linear(*sizes), count)
    x = torch.randn(5 * count, sizes[0], generator=Generator().manual_seed(0), requires_grad=True)
    inputs = [x, *(p for layer in layers for p in layer.parameters())]

    def derivatives(y):
        first = torch.autograd.grad(y.tanh().sum(), inputs, create_graph=True)
        return y, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), inputs)

    with stacking.quick_layers(layers, [Generator()]):
        found = derivatives(layers[0](x))
    inputs = [tensor.detach().double().requires_grad_() for tensor in inputs]
    each = zip(inputs[0].chunk(count), inputs[1::2], inputs[2::2], strict=True)
    expected = derivatives(torch.cat([F.linear(part, w, b) for part, w, b in each]))
    for tensor, exact in zip(found, expected, strict=True):
        error = (tensor.double() - exact).abs().max() / exact.abs().max()
        assert error < 16 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize(("inputs", "calls"), [(160, 3), (16, 0)])
def test_large_products_go_through_onednn(monkeypatch, inputs, calls):
    """All three of a large layer; those of a small one do not."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("needs a torch with oneDNN")
    seen, real = [], stacking._by_onednn
    monkeypatch.setattr(stacking, "_by_onednn", lambda *given: seen.append(0) or real(*given))
    layer = nn.Linear(inputs, 110)
    with stacking.quick_layers([layer], [Generator()]):
        layer(torch.ones(5, inputs, requires_grad=True)).sum().backward()
    assert len(seen) == calls


def test_onednn_is_found_whatever_the_default_dtype():
    """Whether there is a faster product is asked once, for float32."""
    stacking._onednn_works.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        assert stacking._onednn_works() == torch.backends.mkldnn.is_available()
    finally:
        torch.set_default_dtype(torch.float32)
        stacking._onednn_works.cache_clear()


@pytest.mark.parametrize("build", [partial(nn.Linear, 160, 110), partial(nn.Linear, 160, 9)])
@pytest.mark.parametrize("rows", [(10,), (10, 2)])
def test_a_batch_that_is_not_for_all_networks(build, rows):
    """What cannot be shared out equally is refused, not computed with some of the networks."""
    for layers in (_several(build, 4), _several(partial(nn.LayerNorm, 160), 4)):
        with (
            stacking.quick_layers(layers, [Generator()]),
            pytest.raises(RuntimeError, match="shape"),
        ):
            layers[0](torch.ones(*rows, 160))


def test_a_dropout_rate_that_changes(data):
    """The rate of the moment counts, for a stack, too."""
    models = _several(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 99), nn.Dropout(0.5)))
    stack = stacking.Stack.of(models, [Generator().manual_seed(k) for k in range(3)])
    stack.model.train()
    for rate in (0.5, 0.9, 0.1):
        stack.model[2].p = rate
        dropped = (stack.outputs(data.train.images) == 0).float().mean().item()
        assert dropped == pytest.approx(rate, abs=0.02)


def test_same_seed_same_masks(data):
    """Copies of one network with one seed get the same losses; with another seed, others."""
    models = [_seeded(lambda: Net(32, 16)) for _ in range(3)]
    a, b, c = _together(models, data, rates=[0.01] * 3, seeds=[1, 1, 2], way="side by side")
    np.testing.assert_array_equal(a.train_losses, b.train_losses)
    assert (a.train_losses != c.train_losses).all()


@pytest.mark.parametrize("way", ["side by side", "stacked"])
def test_divergence_disturbs_no_other(data, ways, monkeypatch, way):
    """Networks that diverge, at once or later, end; the others go on as if alone."""
    sizes, real = [], training.quick_layers
    monkeypatch.setattr(
        training,
        "quick_layers",
        lambda models, *more: (sizes.append(len(models)), real(models, *more))[1],
    )
    rates, seeds = [0.1, 1e20, 0.05, 3.5, 0.1], [0, 0, 1, 1, 2]
    build = partial(mlp, [784, 16, 16, 10], nn.Identity, dropout=0.2)
    models, others = _several(build, 5), _several(build, 5)
    keywords = {"rates": rates, "seeds": seeds, "optimizer": "sgd", "epochs": 5}
    runs = _together(models, data, way=way, **keywords)
    assert ways == [(way, 5)]
    ends = [run.diverged_at for run in runs]
    assert ends[1] < 3 <= ends[3] < 12  # in the first epoch, and in a later one
    assert ends[::2] == [None] * 3
    expected = _alone(others, data, **keywords)
    if way == "side by side":
        left = [sum(end is None or end >= 3 * epoch for end in ends) for epoch in range(5)]
        assert [size for size in sizes if size > 1] == left
        _assert_same(runs, expected)
        _assert_same_weights(models, others)
    else:
        assert [run.diverged_at for run in expected] == ends
        _assert_close(runs[::2], expected[::2])
        _assert_same_weights(models[::2], others[::2], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 25])
@pytest.mark.parametrize(
    ("width", "activation"), [(16, nn.Sigmoid), (16, nn.SiLU), (16, nn.Softplus), (13, nn.ReLU)]
)
def test_whatever_the_batch_size(data, width, activation, batch_size):
    """Torch rounds some functions otherwise at the end of a batch: that must be noticed."""
    build = partial(mlp, [784, 16, width, 10], activation)
    models, others = _several(build), _several(build)
    runs = _together(models, data, epochs=1, batch_size=batch_size, way="side by side")
    _assert_same(runs, _alone(others, data, epochs=1, batch_size=batch_size))
    _assert_same_weights(models, others)


# What must not go side by side


class _Gain(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(16))
        self.part = part

    def forward(self, x):
        return self.part(x * self.gain)


class _Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent, self.head = nn.GRU(28, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, images):
        return self.head(self.recurrent(images.squeeze(1))[0][:, -1])


def _constant(model, value=0.01):
    for p in model.parameters():
        nn.init.constant_(p, value)
    return model


def _mixing(model, images):
    h = _hidden(model, images)
    return model.fc2(h - h.mean(0))


def _mixing_gradients(model, images):
    h = _hidden(model, images)
    return model.fc2(h + (h.mean(0) - h.mean(0).detach()))


def _mixing_in_training(model, images):
    h = _hidden(model, images)
    return model.fc2(h - h.mean(0) if model.training else h)


def _counting(model, images):
    model.calls = getattr(model, "calls", 0) + 1
    return model.fc2(_hidden(model, images)) * (1 + model.calls / 10)


def _with_root_parameter(
    compute=lambda model, images: model.fc2(_hidden(model, images) * model.gain),
):
    model = _Custom(compute)
    model.gain = nn.Parameter(torch.ones(16))
    return model


def _with_hook():
    model = mlp([784, 16, 10])
    model.fc1.register_forward_hook(lambda *_: None)
    return model


def _with_own_forward():
    model = _constant(mlp([784, 16, 10]))
    model.fc1.forward = lambda x: F.linear(x, model.fc1.weight * 2, model.fc1.bias)
    return model


def _with_lock():
    model = mlp([784, 16, 10])
    model.lock = Lock()
    return model


def _of_widths():
    widths = itertools.cycle([16, 32])
    return lambda: mlp([784, next(widths), 10])


def _of_rates():
    rates = itertools.cycle([0.1, 0.5, 0.9])
    return lambda: mlp([784, 16, 10], dropout=next(rates))


REFUSED = {
    "mixes examples": lambda: lambda: _Custom(_mixing),
    "mixes examples, from zeros": lambda: lambda: _constant(_Custom(_mixing), 0.0),
    "mixes gradients": lambda: lambda: _Custom(_mixing_gradients),
    "mixes examples in training": lambda: lambda: _Custom(_mixing_in_training),
    "uses a child's weight": lambda: (
        lambda: _constant(
            _Custom(lambda model, images: model.fc2(F.linear(images.flatten(1), model.fc1.weight)))
        )
    ),
    "parameter on the root": lambda: _with_root_parameter,
    "hook": lambda: _with_hook,
    "own forward": lambda: _with_own_forward,
    "shapes": _of_widths,
    "dropout rates": _of_rates,
    "dropout in a part with parameters": lambda: (
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(784, 16), _Gain(nn.Dropout(0.5)), nn.Linear(16, 10)
        )
    ),
    "dropout on another dimension": lambda: (
        lambda: _Custom(
            lambda model, images: model.fc2(model.drop(_hidden(model, images).T).T),
            drop=nn.Dropout(0.5),
        )
    ),
    "global generator": lambda: (
        lambda: _Custom(
            lambda model, images: model.fc2(F.dropout(_hidden(model, images), 0.5, model.training))
        )
    ),
    "cannot be copied": lambda: _with_lock,
    "tuples": lambda: _Recurrent,
    "counts its calls": lambda: lambda: _Custom(_counting),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_go_side_by_side(data, ways, name):
    """It is found out, and each network is trained as if alone; nothing global is touched."""
    models, others = (_several(REFUSED[name]()) for _ in range(2))
    before = torch.random.get_rng_state()
    assert not side_by_side(models, data.train.images, 32)
    runs = _together(models, data, way="side by side")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert ways == [("alone", 1)] * 3
    _assert_same(runs, _alone(others, data))
    _assert_same_weights(models, others)


@pytest.mark.parametrize("tried", [side_by_side, stackable])
def test_trying_leaves_the_models_alone(data, tried):
    """Weights, gradients, modes and running statistics are as before."""
    build = ABREAST["batch norm"] if tried is side_by_side else partial(mlp, [784, 8, 10])
    models = _several(build)
    models[1].eval()
    before = copy.deepcopy(models)
    assert tried(models, data.train.images[:32])
    _assert_same_weights(models, before)
    assert [m.training for m in models] == [True, False, True]
    assert all(p.grad is None for m in models for p in m.parameters())
    assert not any("forward" in vars(part) for m in models for part in m.modules())


# Stacked


STACKS = {
    "dropout": lambda: mlp([784, 8, 8, 10], dropout=0.3),
    "dropout of the inputs": lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.2), *_layers()),
    "layer norm": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 10, bias=False)
    ),
    "tied weights": _tied,
    "root parameter": _with_root_parameter,
    "mixes examples": lambda: _Custom(_mixing),
    "useless parameter": lambda: _with_root_parameter(
        lambda model, images: model.fc2(
            F.layer_norm(_hidden(model, images) + model.gain[:1], (16,))
        )
    ),
}


def _layers():
    return nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10)


@pytest.mark.parametrize("seeds", [(0, 1, 1), (0, 0, 0)])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum"])
@pytest.mark.parametrize("name", STACKS)
def test_stacked_to_rounding(data, ways, name, optimizer, seeds):
    """Losses and weights are those of each alone, with the same masks; so is the evaluation."""
    models, others = _several(STACKS[name]), _several(STACKS[name])
    runs = _together(models, data, optimizer=optimizer, seeds=seeds, way="stacked")
    assert ways == [("stacked", 3)]
    _assert_close(runs, _alone(others, data, optimizer=optimizer, seeds=seeds))
    if optimizer != "adam" or name not in ("mixes examples", "useless parameter"):
        # With Adam, a parameter that nothing depends on goes where rounding sends it.
        _assert_same_weights(models, others, rtol=1e-3, atol=1e-4)
    for model, run in zip(models, runs, strict=True):
        found = evaluate(model, data.valid)
        assert run.valid_loss == pytest.approx(found.loss, rel=1e-5)
        assert run.valid_accuracy == pytest.approx(found.accuracy, abs=0.051)


def test_whoever_else_is_in_the_stack(data):
    """A network's numbers do not depend on the others, nor on its place among them."""
    models = _several(STACKS["dropout"], 5)
    others = copy.deepcopy([models[3], models[1]])
    keywords = {"way": "stacked", "optimizer": "sgd"}
    runs = _together(models, data, rates=[0.1] * 5, seeds=range(5), **keywords)
    fewer = _together(others, data, rates=[0.1] * 2, seeds=[3, 1], **keywords)
    for run, other in zip((runs[3], runs[1]), fewer, strict=True):
        np.testing.assert_allclose(run.train_losses, other.train_losses, rtol=1e-4)


@pytest.mark.parametrize("broken", [5, 8])
def test_a_stack_loses_those_that_diverge(data, ways, monkeypatch, broken):
    """Where many have diverged, the others go on in a smaller stack, or nothing is left to do."""
    kept, real = [], stacking.Stack.among
    monkeypatch.setattr(
        stacking.Stack, "among", lambda self, which: (kept.append(len(which)), real(self, which))
    )
    rates = [1e20] * (broken - 1) + [3.5] + [0.1] * (8 - broken)
    rates = [rates[i] for i in (6, 2, 7, 0, 4, 5, 1, 3)]
    build = partial(mlp, [784, 16, 16, 10], nn.Identity, dropout=0.2)
    models, others = _several(build, 8), _several(build, 8)
    keywords = {"rates": rates, "seeds": range(8), "optimizer": "sgd", "epochs": 5}
    runs = _together(models, data, way="stacked", **keywords)
    assert ways == [("stacked", 8)]
    assert kept[0] == 8 - broken + 1
    expected = _alone(others, data, **keywords)
    assert [run.diverged_at for run in runs] == [run.diverged_at for run in expected]
    alive = [i for i, run in enumerate(runs) if not run.diverged]
    assert len(alive) == 8 - broken
    _assert_close([runs[i] for i in alive], [expected[i] for i in alive])
    for i in alive:
        _assert_same_weights([models[i]], [others[i]], rtol=1e-3, atol=1e-4)
    for i in set(range(8)) - set(alive):
        assert not all(p.isfinite().all() for p in models[i].parameters())
        assert math.isnan(runs[i].valid_loss)
        assert math.isnan(runs[i].test_accuracy)


def test_divergence_in_the_last_step_of_a_stack(data):
    """It shows on the validation images, and the run says so."""
    runs = _together(
        _several(partial(mlp, [784, 8, 10])), data,
        rates=[0.1, 1e38, 0.1], batch_size=80, epochs=1, optimizer="sgd", way="stacked",
    )  # fmt: skip
    assert [run.diverged_at for run in runs] == [None, 1, None]
    assert math.isnan(runs[1].valid_loss)


def _branching(model, images):
    h = _hidden(model, images)
    return model.fc2(h * 2 if model.training and h.sum() > 0 else h)


def _with_parameter_hook():
    model = mlp([784, 16, 10])
    model.fc1.weight.register_hook(lambda grad: grad * 0)
    return model


def _with_buffer():
    model = _Custom(lambda model, images: model.fc2(_hidden(model, images) * model.mask))
    model.register_buffer("mask", torch.ones(16))
    return model


def _of_activations():
    functions = itertools.cycle([torch.tanh, torch.relu])

    def build():
        model = _Custom(lambda model, images: model.fc2(model.act(_hidden(model, images))))
        model.act = next(functions)
        return model

    return build


UNSTACKABLE = {
    "buffer": lambda: _with_buffer,
    "batch norm": lambda: lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16), nn.Linear(16, 10)
    ),
    "frozen": lambda: lambda: _frozen(mlp([784, 16, 10]), "fc1.weight"),
    "control flow in training": lambda: lambda: _Custom(_branching),
    "hook of a parameter": lambda: _with_parameter_hook,
    "functions": _of_activations,
    **{name: REFUSED[name] for name in (
        "hook", "own forward", "shapes", "dropout rates", "global generator", "cannot be copied",
        "counts its calls",
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", UNSTACKABLE)
def test_what_cannot_be_stacked(data, ways, name):
    """It is found out, and each network is trained as if alone."""
    models, others = (_several(UNSTACKABLE[name]()) for _ in range(2))
    before = torch.random.get_rng_state()
    assert name == "global generator" or not stackable(models, data.train.images[:2])
    runs = _together(models, data, way="stacked")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert ways == [("alone", 1)] * 3
    _assert_same(runs, _alone(others, data))
    _assert_same_weights(models, others)


def test_a_function_as_optimizer_is_not_stacked(data, ways):
    """It may look at a whole tensor at once."""
    models, others = (_several(partial(mlp, [784, 8, 10])) for _ in range(2))
    runs = _together(models, data, optimizer=torch.optim.RMSprop, way="stacked")
    assert ways == [("alone", 1)] * 3
    _assert_same(runs, _alone(others, data, optimizer=torch.optim.RMSprop))


# Many networks, each from its own weights


def _problem(count=5, seed=0):
    """A tiny network, weights for several like it, and data."""
    model = _seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    draws = Generator().manual_seed(seed)
    start = {
        name: torch.randn(count, *p.shape, generator=draws) for name, p in model.named_parameters()
    }
    x = torch.randn(10, 3, generator=draws)
    return model, start, x, torch.randn(10, 2, generator=draws)


def _streams(seed):
    """Generators of the order of the data and of the masks."""
    state = np.random.SeedSequence(seed).generate_state(2)
    return [Generator().manual_seed(int(number)) for number in state]


def _batches(generator, count, batch, steps):
    """Whole mini-batches of all the data, or of as many as fit into it, anew each epoch."""
    if batch == count:
        return [torch.arange(count)] * steps
    each = count // batch
    epochs = [torch.randperm(count, generator=generator) for _ in range(math.ceil(steps / each))]
    return [part for order in epochs for part in order.split(batch)[:each]][:steps]


TORCHS = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
}


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("batch_size", [None, 4, 10, 99])
@pytest.mark.parametrize("optimizer", TORCHS)
def test_fit_many_is_the_plain_loop(optimizer, batch_size, dropout):
    """Losses and weights are those of torch's optimizers, network by network."""
    model, start, x, y = _problem()
    model.append(nn.Dropout(dropout))
    rates, seeds = torch.tensor([0.01, 0.1, 0.01, 0.05, 0.2]), [3, 0, 3, 1, 2]
    fits = fit_many(
        model, start, x, y, steps=7, learning_rate=rates, loss=F.mse_loss,
        optimizer=optimizer, batch_size=batch_size, seeds=seeds,
    )  # fmt: skip
    assert fits.losses.shape == (7, 5)
    assert fits.losses.dtype == np.float32
    for k, seed in enumerate(seeds):
        one = copy.deepcopy(model)
        one.load_state_dict({name: tensor[k] for name, tensor in start.items()})
        steps = TORCHS[optimizer](one.parameters(), lr=float(rates[k]))
        order, masks = _streams(seed)
        losses = []
        with stacking.quick_layers([one], [masks]):
            for part in _batches(order, 10, min(batch_size or 10, 10), 7):
                loss = F.mse_loss(one(x[part]), y[part])
                steps.zero_grad()
                loss.backward()
                steps.step()
                losses.append(loss.item())
        np.testing.assert_allclose(fits.losses[:, k], losses, rtol=1e-4)
        for name, p in one.named_parameters():
            torch.testing.assert_close(fits.parameters[name][k], p.data, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("cache", [1, 60, 100])
def test_parts_and_workers_change_nothing(monkeypatch, cache, workers):
    """A network's numbers follow from its own weights, rate and seed, dropout and all."""
    model, start, x, y = _problem(7)
    model.insert(1, nn.Dropout(0.5))
    start = {name.replace("2.", "3."): tensor for name, tensor in start.items()}
    keywords = {"steps": 9, "learning_rate": torch.linspace(0.01, 0.1, 7), "loss": F.mse_loss}
    keywords |= {"batch_size": 3, "seeds": [0, 1, 1, 2, 0, 5, 1]}
    together = fit_many(model, start, x, y, **keywords)
    sizes, real = [], stacking._fit
    monkeypatch.setattr(
        stacking, "_fit", lambda *args: (sizes.append(len(args[-1].seeds)), real(*args))[1]
    )
    monkeypatch.setattr(stacking, "PART", cache)  # a network has 26 parameters
    parts = fit_many(model, start, x, y, workers=workers, **keywords)
    size = max(1, cache // 26)
    assert sorted(sizes) == sorted([size] * (7 // size) + [7 % size] * (7 % size > 0))
    np.testing.assert_allclose(parts.losses, together.losses, rtol=1e-4)
    for name, tensor in together.parameters.items():
        torch.testing.assert_close(parts.parameters[name], tensor, rtol=1e-4, atol=1e-5)


def test_order_and_masks_follow_from_the_seeds():
    """The same seed gives the same numbers, another one others: of the order and of the masks."""
    model, start, x, y = _problem(1)
    start = {name: tensor.expand(3, *tensor.shape[1:]) for name, tensor in start.items()}
    for dropout, batch_size in ((0.5, None), (0.0, 4)):
        dropped = nn.Sequential(nn.Dropout(dropout), *model)
        own = {f"{int(name[0]) + 1}{name[1:]}": tensor for name, tensor in start.items()}
        losses = fit_many(
            dropped, own, x, y, steps=5, learning_rate=0.01, loss=F.mse_loss,
            batch_size=batch_size, seeds=[4, 5, 4],
        ).losses  # fmt: skip
        np.testing.assert_array_equal(losses[:, 0], losses[:, 2])
        assert (losses[:, 0] != losses[:, 1]).all()


@pytest.mark.parametrize("whole", [True, False])
def test_dropout_is_on_in_training_mode(whole):
    """In the whole model, or in the one part that is in training mode; off in evaluation mode."""
    model, start, x, y = _problem(2)
    model = nn.Sequential(*model, nn.Dropout(0.5))
    keywords = {"steps": 1, "learning_rate": 0.1, "loss": F.mse_loss}
    plain = fit_many(model.eval(), start, x, y, **keywords)
    expected = F.mse_loss(
        torch.func.functional_call(model, {n: t[0] for n, t in start.items()}, (x,)), y
    )
    assert plain.losses[0, 0] == pytest.approx(expected.item(), rel=1e-5)
    (model if whole else model[-1]).train()
    assert (fit_many(model, start, x, y, **keywords).losses != plain.losses).all()


def test_divergence_in_fit_many_disturbs_no_other():
    """One network with a huge rate becomes NaN; the others get what they get without it."""
    model, start, x, y = _problem()
    rates = torch.tensor([0.1, 0.1, 1e30, 0.1, 0.1])
    keywords = {"steps": 10, "loss": F.mse_loss}
    fits = fit_many(model, start, x, y, learning_rate=rates, **keywords)
    assert not np.isfinite(fits.losses[-1, 2])
    others = [0, 1, 3, 4]
    rest = {name: tensor[others] for name, tensor in start.items()}
    expected = fit_many(model, rest, x, y, learning_rate=0.1, **keywords)
    np.testing.assert_allclose(fits.losses[:, others], expected.losses, rtol=1e-4)
    for name, tensor in expected.parameters.items():
        torch.testing.assert_close(fits.parameters[name][others], tensor, rtol=1e-4, atol=1e-6)


def test_fit_many_touches_nothing():
    """Not the model, the weights given, the data, torch's threads or its generator."""
    model, start, x, y = _problem()
    model = nn.Sequential(*model, nn.Dropout(0.5))
    before = copy.deepcopy((model.state_dict(), start, x, y))
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fit_many(model, start, x, y, steps=3, learning_rate=0.1, loss=F.mse_loss, batch_size=4)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.testing.assert_close((model.state_dict(), start, x, y), before, rtol=0, atol=0)
    assert not any(t.requires_grad for t in (*start.values(), x, y))
    assert all(p.grad is None for p in model.parameters())
    assert not any("forward" in vars(part) for part in model.modules())


@pytest.fixture
def small_memory(monkeypatch):
    """Function that lets a function of `stacking` or `training` have room for a few networks."""

    def plant(module, name, room, count):
        real = getattr(module, name)

        def planted(*args):
            if count(*args) > room:
                raise torch.OutOfMemoryError("planted")
            return real(*args)

        monkeypatch.setattr(module, name, planted)

    return plant


def _assert_halved(warned, halved):
    """Each part that was halved was said to be."""
    assert {w.category for w in warned} == {StackWarning}
    assert {str(w.message) for w in warned} == {
        f"{count} networks do not fit into the memory of the device together; they are trained in "
        "two parts"
        for count in halved
    }


@pytest.mark.parametrize(("room", "halved"), [(1, {7, 3, 4, 2}), (3, {7, 4})])
def test_parts_that_do_not_fit_into_memory(small_memory, recwarn, room, halved):
    """They are halved until they do, with a warning each time; the numbers are the same."""
    model, start, x, y = _problem(7)
    keywords = {"steps": 4, "learning_rate": torch.linspace(0.1, 0.2, 7), "loss": F.mse_loss}
    keywords |= {"seeds": range(7), "batch_size": 5}
    expected = fit_many(model, start, x, y, **keywords)
    small_memory(stacking, "_fit", room, lambda *args: len(args[-1].seeds))
    fits = fit_many(model, start, x, y, **keywords)
    _assert_halved(recwarn, halved)
    np.testing.assert_allclose(fits.losses, expected.losses, rtol=1e-4)
    for name, tensor in expected.parameters.items():
        torch.testing.assert_close(fits.parameters[name], tensor, rtol=1e-4, atol=1e-6)


def test_one_network_that_does_not_fit(small_memory):
    """There is nothing to halve: torch's own error comes through."""
    model, start, x, y = _problem(1)
    small_memory(stacking, "_fit", 0, lambda *args: len(args[-1].seeds))
    with pytest.raises(torch.OutOfMemoryError, match="planted"):
        fit_many(model, start, x, y, steps=1, learning_rate=0.1)


WRONG = {
    "optimizer": ({"optimizer": "adagrad"}, "optimizer is 'adagrad'; .* adam, sgd, momentum"),
    "targets": ({"targets": torch.zeros(9, 2)}, "10 inputs and 9 targets; give as many of both"),
    "nothing": (
        {"inputs": torch.zeros(0, 3), "targets": torch.zeros(0, 2)},
        "0 inputs and 0 targets; .* at least one",
    ),
    "steps": ({"steps": 0}, "steps is 0; it must be a whole number, at least 1"),
    "steps, none": ({"steps": None}, "steps is None; it must be a whole number"),
    "steps, half": ({"steps": 1.5}, "steps is 1.5; it must be a whole number"),
    "steps, bool": ({"steps": True}, "steps is True; it must be a whole number"),
    "batch_size": ({"batch_size": 0}, "batch_size is 0; it must be a whole number, at least 1"),
    "workers": ({"workers": -1}, "workers is -1; it must be a whole number, at least 1"),
    "rates": ({"learning_rate": torch.ones(4)}, r"learning_rate has shape \(4,\); .* or \(5,\)"),
    "rate 0": ({"learning_rate": 0.0}, "learning_rate is or has 0.0; it must be finite and above"),
    "rate nan": ({"learning_rate": torch.tensor([1, 1, 1, math.nan, 1])}, "has nan; it must be"),
    "rate inf": ({"learning_rate": math.inf}, "has inf; it must be finite"),
    "seeds": ({"seeds": [1, 2]}, "seeds has 2 numbers; give one, or 5"),
    "seed, negative": (
        {"seeds": [0, 1, -2, 3, 4]},
        "seeds is -2; it must be a whole number, at least 0",
    ),
    "seed, half": ({"seeds": 0.5}, "seeds is 0.5; it must be a whole number, at least 0"),
    "seed, bool": ({"seeds": True}, "seeds is True; it must be a whole number, at least 0"),
    "no parameters": ({"model": nn.Tanh()}, "model has no parameters, so there is nothing"),
    "buffers": (
        {"model": nn.BatchNorm1d(3)},
        "model has buffers .running_mean, running_var, .*without running statistics",
    ),
    "names": ({"parameters": {}}, r"parameters has nothing; the model has 0\.bias, 0\.weight, 2\."),
    "shape": ({"0.bias": torch.zeros(5, 3)}, r"has 0.bias of shape \(5, 3\); it must be \(S, 4\)"),
    "counts": ({"0.bias": torch.zeros(6, 4)}, r"of shape \(.*\); .* the same S for all"),
    "none": ({"0.bias": torch.zeros(0, 4)}, r"of shape \(.*\); .* at least 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_fit_many_says_what_is_wrong(name):
    """Each message names the argument, what came and what is allowed."""
    changes, message = WRONG[name]
    model, start, x, y = _problem()
    given = {"model": model, "parameters": start, "inputs": x, "targets": y}
    given |= {"steps": 1, "learning_rate": 0.1, "loss": F.mse_loss} | changes
    if (bias := given.pop("0.bias", None)) is not None:
        given["parameters"] = start | {"0.bias": bias}
    with pytest.raises(ValueError, match=message):
        fit_many(**given)


class _Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.gain * x


def test_a_parameter_that_is_one_number():
    """It has the shape (S,) for S networks, and without that dimension it is refused."""
    x = torch.ones(2, 1)
    keywords = {"steps": 1, "learning_rate": 0.25, "loss": F.mse_loss}
    fits = fit_many(_Scaled(), {"gain": torch.tensor([1.0, 3.0])}, x, x * 2, **keywords)
    assert fits.parameters["gain"].tolist() == [1.5, 2.5]
    with pytest.raises(ValueError, match=r"gain of shape \(\); it must be \(S, \)"):
        fit_many(_Scaled(), {"gain": torch.tensor(1.0)}, x, x, **keywords)


@settings(deadline=None, max_examples=20)
@given(
    count=st.integers(1, 6), inputs=st.integers(1, 5), outputs=st.integers(1, 4),
    examples=st.integers(1, 8), steps=st.integers(1, 6), seed=st.integers(0, 2**32 - 1),
    bias=st.booleans(),
)  # fmt: skip
def test_a_linear_model_in_numpy(*, count, inputs, outputs, examples, steps, seed, bias):
    """The gradient of the squared error is known: SGD by hand gives the same."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(examples, inputs)), rng.normal(size=(examples, outputs))
    weights = rng.normal(size=(count, outputs, inputs))
    biases = rng.normal(size=(count, outputs)) * bias
    rates = rng.uniform(0.001, 0.1, count)
    start = {"weight": weights, "bias": biases} if bias else {"weight": weights}
    fits = fit_many(
        nn.Linear(inputs, outputs, bias=bias),
        {name: torch.tensor(value, dtype=torch.float32) for name, value in start.items()},
        *(torch.tensor(array, dtype=torch.float32) for array in (x, y)),
        steps=steps, learning_rate=torch.tensor(rates), loss=F.mse_loss,
    )  # fmt: skip
    for losses, weight, shift, rate in zip(fits.losses.T, weights, biases, rates, strict=True):
        for loss in losses:
            error = x @ weight.T + shift - y
            assert loss == pytest.approx((error**2).mean(), rel=1e-3, abs=1e-5)
            weight[:] -= rate * 2 / error.size * error.T @ x
            shift[:] -= rate * 2 / error.size * error.sum(0) * bias
    np.testing.assert_allclose(fits.parameters["weight"], weights, rtol=1e-3, atol=1e-4)
    if bias:
        np.testing.assert_allclose(fits.parameters["bias"], biases, rtol=1e-3, atol=1e-4)


# Networks that diverged, and the others of their stack


STEPS = 60


@pytest.fixture
def task():
    """Return a network, 40 times its parameters, and eight examples."""
    draw = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    start = {
        name: torch.randn(40, *p.shape, generator=draw) for name, p in model.named_parameters()
    }
    x, y = (torch.randn(8, n, generator=draw) for n in (4, 1))
    return model, start, x, y


def _fit_some(task, chosen=slice(None), **how):
    """Train some of the networks; every second one with a rate that is far too large."""
    model, start, x, y = task
    rates = torch.where(torch.arange(40) % 2 == 0, 0.05, 50.0)[chosen]
    start = {name: tensor[chosen] for name, tensor in start.items()}
    how = {"steps": STEPS, "loss": F.mse_loss} | how
    return fit_many(model, start, x, y, learning_rate=rates, **how)


@pytest.mark.parametrize(
    "how",
    [{}, {"optimizer": "momentum"}, {"batch_size": 4, "seeds": range(40)}],
    ids=["full batch", "momentum", "own order"],
)
def test_diverged_networks_are_dropped_and_change_nothing(task, how, monkeypatch):
    """Losses and weights are those of a stack in which every network is computed to the end."""
    sizes = []
    losses = stacking.Stack.losses

    def noted(self, *given, **more):
        sizes.append(len(self))
        return losses(self, *given, **more)

    monkeypatch.setattr(stacking.Stack, "losses", noted)
    quick = _fit_some(task, **how)
    assert sizes[0] == 40
    assert sizes[-1] == 20  # the others are no longer computed
    monkeypatch.setattr(stacking, "SPARE", 0)
    slow = _fit_some(task, **how)
    assert sizes[-1] == 40
    np.testing.assert_allclose(quick.losses, slow.losses, rtol=1e-4)
    for name, tensor in slow.parameters.items():
        torch.testing.assert_close(
            quick.parameters[name], tensor, rtol=1e-3, atol=1e-5, equal_nan=True
        )
    assert np.isnan(quick.losses[-1, 1::2]).all()
    assert np.isfinite(quick.losses[-1, ::2]).all()


def test_nothing_is_left(task):
    """If all diverge, training ends early; the rest of the losses and all weights are NaN."""
    fits = _fit_some(task, slice(1, None, 2))
    assert fits.losses.shape == (STEPS, 20)
    assert np.isfinite(fits.losses[0]).all()
    assert np.isnan(fits.losses[-1]).all()
    assert all(tensor.shape[0] == 20 for tensor in fits.parameters.values())
    assert all(tensor.isnan().all() for tensor in fits.parameters.values())


def test_a_network_with_weights_left_is_kept(task):
    """A loss that is NaN for a while is no reason to drop a network whose weights are finite."""
    model, start, x, y = task

    def sometimes(outputs, targets):
        return F.mse_loss(outputs, targets) + torch.where(targets[0, 0] == y[0, 0], torch.nan, 0.0)

    fits = fit_many(
        model, start, x, y, steps=40, learning_rate=0.01, loss=sometimes, batch_size=1, seeds=3
    )
    assert np.isnan(fits.losses).any(0).all()
    assert np.isfinite(fits.losses[-8:]).any(0).all()  # it was trained on
    assert all(tensor.isfinite().all() for tensor in fits.parameters.values())


# Which way


def _of_size(count):
    """A layer with so many parameters."""
    return nn.Linear(1, count // 2)


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


# Several runs at once: errors, and memory


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": [0.1]}, "3 models, 1 learning_rates, 3 seeds and 3 labels; give as many"),
        ({"labels": "a"}, "3 models, 3 learning_rates, 3 seeds and 1 labels; give as many"),
        (
            {"way": "together"},
            "way is 'together'; it must be 'compiled', 'side by side', 'stacked'",
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
        _together(_several(partial(mlp, [784, 4, 10])), data, **changes)


def test_train_many_without_images_or_models(data, noise):
    """No images are an error; no models are no runs."""
    empty = SimpleNamespace(train=noise(0, 0), valid=data.valid, test=data.test)
    with pytest.raises(ValueError, match="there are no images to train the model on"):
        _together(_several(partial(mlp, [784, 4, 10])), empty)
    assert _together([], data, rates=[], seeds=[]) == []


@pytest.mark.parametrize(
    ("build", "way"), [(partial(Net, 8, 8), "stacked"), (partial(Net, 64, 16), "side by side")]
)
def test_train_many_goes_the_way_that_is_planned(data, ways, build, way):
    """By default, what `plan` says."""
    _together(_several(build), data, epochs=1)
    assert ways == [(way, 3)]


def test_stop_ends_all(data):
    """An event that is set ends the training of all at the next look; they are measured."""
    stop = Event()
    stop.set()
    for way in ("side by side", "stacked"):
        runs = _together(_several(partial(Net, 8, 8)), data, epochs=9, way=way, stop=stop)
        assert [len(run.train_losses) for run in runs] == [3, 3, 3]
        assert all(math.isfinite(run.valid_loss) for run in runs)


@pytest.mark.parametrize(("room", "halved"), [(1, {5, 2, 3}), (3, {5})])
def test_a_stack_that_does_not_fit_into_memory(data, small_memory, recwarn, room, halved):
    """It is halved until it does, with a warning each time; the numbers are the same."""
    models, others = (_several(partial(Net, 8, 8), 5) for _ in range(2))
    keywords = {"rates": [0.01] * 5, "seeds": range(5), "way": "stacked"}
    expected = _together(others, data, **keywords)
    small_memory(training, "_stack_trained", room, lambda asked, _: len(asked))
    runs = _together(models, data, **keywords)
    _assert_halved(recwarn, halved)
    _assert_close(runs, expected)
    _assert_same_weights(models, others, rtol=1e-3, atol=1e-4)


def test_a_stack_of_one_that_does_not_fit(data, small_memory):
    """Each is trained alone, from its own weights."""
    models, others = (_several(partial(Net, 8, 8)) for _ in range(2))
    small_memory(training, "_stack_trained", 0, lambda asked, _: len(asked))
    with pytest.warns(StackWarning, match="3 networks do not fit"):
        runs = _together(models, data, way="stacked")
    _assert_same(runs, _alone(others, data))


# Jobs that are done together


SMALL = partial(Net, 8, 8)


def _job(seed, scheme=lambda module: None):  # noqa: ARG005
    return Job(
        label=f"run {seed}", seed=seed, scheme=scheme, model=SMALL,
        epochs=1, batch_size=32, learning_rate=0.01, optimizer="adam",
    )  # fmt: skip


def _raising(module):
    raise RuntimeError(f"no weights for {type(module).__name__}")


@pytest.fixture
def expected(data):
    """What comes of five jobs that are done one by one."""
    return [run_together([_job(k)], jobs._Here(data), Event(), strict=True)[0] for k in range(5)]


def test_jobs_whose_scheme_raises(data, ways, expected):
    """Only that run fails, and the others are trained together."""
    ways.clear()
    given = [_job(k) if k != 2 else _job(k, _raising) for k in range(5)]
    outcome = run_jobs(given, data, workers=1, progress=False)
    assert ways == [("stacked", 4)]
    assert outcome.results[2].reason == "RuntimeError: no weights for Linear"
    assert outcome.results[2].label == "run 2"
    others = [0, 1, 3, 4]
    _assert_close([outcome.results[k] for k in others], [expected[k] for k in others])


@pytest.fixture
def fail_third(monkeypatch):
    """Function that lets training fail as soon as the third run is among those to be done."""
    real = jobs.train_many

    def trained(models, *args, labels, **keywords):
        if "run 2" in labels:
            raise RuntimeError("planted")
        return real(models, *args, labels=labels, **keywords)

    return lambda: monkeypatch.setattr(jobs, "train_many", trained)


def test_jobs_whose_training_raises(data, expected, fail_third):
    """Only that run fails: the others are done again, from the weights that they began with."""
    fail_third()
    outcome = run_jobs([_job(k) for k in range(5)], data, workers=1, progress=False)
    assert outcome.results[2].reason == "RuntimeError: planted"
    others = [0, 1, 3, 4]
    _assert_close([outcome.results[k] for k in others], [expected[k] for k in others])


@pytest.mark.parametrize("raises", ["scheme", "training"])
def test_strict_names_the_run(data, monkeypatch, fail_third, raises):
    """The error comes through, with a note that says which run it was; no other is named."""
    given = [_job(k) for k in range(5)]
    if raises == "scheme":
        given[2] = _job(2, _raising)
    else:
        fail_third()
    monkeypatch.setattr(jobs, "plan", lambda *_: Plan("stacked", 5))
    with pytest.raises(RuntimeError, match=r"planted|no weights") as caught:
        run_jobs(given, data, workers=1, progress=False, strict=True)
    assert caught.value.__notes__ == ["while training 'run 2' with seed 2"]


# Optimizers


def _stepped(make_steps, networks, *, steps=5):
    """Weights after some steps with made-up gradients; the third network's last has none."""
    draws = Generator().manual_seed(0)
    own = [[torch.randn(4, 3, generator=draws), torch.randn(2, generator=draws)] for _ in networks]
    own = [[p.requires_grad_() for p in each] for each in own]
    do = make_steps(own)
    for _ in range(steps):
        for k, parameters in enumerate(own):
            for i, p in enumerate(parameters):
                grad = torch.randn(p.shape, generator=draws)
                p.grad = None if (k, i) == (2, 1) else grad
        do()
    return own


@pytest.mark.parametrize("name", TORCHS)
def test_fused_steps_are_torchs(name):
    """Each network's steps are those of torch's class, to the last bit; no gradient, no step."""
    rates = [0.1, 0.01, 0.1, 0.2]

    def ours(own):
        steps = FusedSteps(name, own, rates)
        return steps.step

    def theirs(own):
        made = [make_optimizer(name, p, rate) for p, rate in zip(own, rates, strict=True)]
        return lambda: [one.step() for one in made]

    found, expected = _stepped(ours, rates), _stepped(theirs, rates)
    for own, other in zip(found, expected, strict=True):
        for a, b in zip(own, other, strict=True):
            assert torch.equal(a, b)


def test_fused_steps_of_what_is_left():
    """Networks that are left out stay as they are; frozen parameters, too."""
    own = [[torch.zeros(2, requires_grad=True), torch.zeros(2)] for _ in range(3)]
    steps = FusedSteps("sgd", own, [1.0, 2.0, 1.0])
    steps.among([1, 2])
    for free, frozen in own:
        free.grad = frozen.grad = torch.ones(2)
    steps.step()
    assert [free[0].item() for free, _ in own] == [0, -2, -1]
    assert [frozen[0].item() for _, frozen in own] == [0, 0, 0]
    steps.drop_gradients()
    assert [free.grad is None for free, _ in own] == [False, True, True]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("rates", [[0.1, 0.01, 0.3], [0.1] * 3])
@pytest.mark.parametrize("name", TORCHS)
def test_stacked_steps_are_torchs(name, rates, fused):
    """Rows of a stack move as torch's class moves them, also once some have been left out."""
    draws = Generator().manual_seed(0)
    stack = [torch.randn(3, *shape, generator=draws) for shape in ((4, 2), (5,), ())]
    untouched = torch.ones(3, requires_grad=True)
    rows = [[p[k].clone().requires_grad_() for p in stack] for k in range(3)]
    stack = [p.requires_grad_() for p in stack]
    steps = StackedSteps(name, [*stack, untouched], torch.tensor(rates), fused=fused)
    theirs = [TORCHS[name](row, lr=rate) for row, rate in zip(rows, rates, strict=True)]
    left = [0, 1, 2]
    for step in range(6):
        if step == 3:
            left = [0, 2]
            stack = [p.detach()[left].requires_grad_() for p in stack]
            steps.among([*stack, untouched.detach()[left]], torch.tensor(left))
        for i, p in enumerate(stack):
            p.grad = torch.randn(p.shape, generator=draws)
            for k, grad in zip(left, p.grad, strict=True):
                rows[k][i].grad = grad.clone()
        steps.step()
        assert all(p.grad is None for p in stack)
        for k in left:
            theirs[k].step()
    for i, p in enumerate(stack):
        torch.testing.assert_close(p, torch.stack([rows[k][i] for k in left]))
    assert (untouched == 1).all()


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
def test_stacks_are_statistically_what_runs_alone_are(sample, device):
    """The lesson's network, dropout on, other masks: no difference between the means of 24 runs."""
    few = sample.subset(train=1000, valid=500, test=500)
    found = {}
    for way, where, seeds in (("alone", "cpu", range(24)), ("stacked", device, range(24, 48))):
        models = [_seeded(Net, seed).to(where) for seed in seeds]
        settings = {"learning_rates": [1e-3] * 24, "seeds": seeds, "labels": ["net"] * 24}
        runs = train_many(models, few, epochs=2, batch_size=50, way=way, **settings)
        found[way] = np.array([(run.valid_accuracy, run.train_loss) for run in runs])
    difference = found["stacked"].mean(0) - found["alone"].mean(0)
    error = np.sqrt(sum(values.var(0, ddof=1) for values in found.values()) / 24)
    assert (np.abs(difference) < 3.5 * error).all()  # a chance of 1 in 1,000 with other seeds
    assert error[0] < 0.01
    assert found["stacked"][:, 0].mean() > 0.5


@pytest.mark.parametrize("parts", [([0, 2, 4], [1, 3, 5]), ([0], [1, 2, 3, 4, 5])])
def test_who_else_is_in_a_stack_moves_no_digit(data, parts):
    """Also where all of a part share the seed, and so the mini-batches, and where one is alone."""

    def trained(numbers):
        models = [_seeded(partial(Net, 16, 16), i) for i in numbers]
        rates, seeds = [1e-2 / (1 + i) for i in numbers], [i % 2 for i in numbers]
        runs = _together(models, data, way="stacked", rates=rates, seeds=seeds)
        return dict(zip(numbers, runs, strict=True))

    expected = trained(range(6))
    for part in parts:
        for i, run in trained(part).items():
            np.testing.assert_array_equal(run.train_losses, expected[i].train_losses)
