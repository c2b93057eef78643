"""Compiled steps: against NumPy and PyTorch, what they are not for, and broken compilers."""

import contextlib
import copy
import ctypes
import math
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, nn
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode

import initguide
from initguide.models import Net, mlp
from initguide.training import (
    Plan,
    compiled,
    evaluate,
    plan,
    stacking,
    train,
    train_many,
)
from initguide.training import loop as training
from initguide.training.compiled import Connected, fits, knows, takes

needs_compiler = pytest.mark.skipif(not compiled.works(), reason="needs a C compiler and AVX2")


@pytest.fixture
def ways(monkeypatch):
    """List of how models were trained."""
    seen = []

    def watch(name):
        real = getattr(training, name)

        def watched(asked, common):
            seen.append(name)
            return real(asked, common)

        monkeypatch.setattr(training, name, watched)

    for name in ("_compiled", "_side_by_side", "_stack_trained"):
        watch(name)
    return seen


def _both(build, data, seed=0, **keywords):
    """One model trained by compiled steps and its copy by PyTorch, each with its run."""
    torch.manual_seed(seed)
    model = build()
    given = {"epochs": 2, "batch_size": 32, "learning_rates": [0.01], "seeds": [seed]} | keywords
    found = []
    for way in ("compiled", "alone"):
        trained = copy.deepcopy(model)
        [run] = train_many([trained], data, labels=[""], way=way, **given)
        found.append((trained, run))
    return found


def _split(images, labels):
    split = SimpleNamespace(images=images, labels=labels)
    return SimpleNamespace(train=split, valid=split, test=split)


# The numbers


def _by_numpy(weights, biases, images, labels, masks, *, batch, optimizer, rate, relu):
    """Train in float64, by formulas that are written down anew: the parameters and the losses."""
    parameters = [np.float64(p) for pair in zip(weights, biases, strict=True) for p in pair]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    losses = []
    starts = range(0, len(images), batch)
    for step, (start, drawn) in enumerate(zip(starts, masks, strict=True), start=1):
        x, y = np.float64(images[start : start + batch]), labels[start : start + batch]
        hidden = [x]
        for weight, bias, mask in zip(parameters[:-2:2], parameters[1:-2:2], drawn, strict=True):
            z = hidden[-1] @ weight.T + bias
            hidden.append((np.maximum(z, 0) if relu else z) * mask)
        scores = hidden[-1] @ parameters[-2].T + parameters[-1]
        chances = np.exp(scores - scores.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        losses.append(-np.log(chances[np.arange(len(y)), y]).mean())
        grad = (chances - np.eye(scores.shape[1])[y]) / len(y)
        grads = []
        for layer in range(len(weights) - 1, -1, -1):
            grads[:0] = [grad.T @ hidden[layer], grad.sum(0)]
            if layer:
                grad = grad @ parameters[2 * layer] * drawn[layer - 1]
                if relu:
                    grad = grad * (hidden[layer] != 0)
        for p, (first, second), g in zip(parameters, moments, grads, strict=True):
            if optimizer == "adam":
                first[:] = 0.9 * first + 0.1 * g
                second[:] = 0.999 * second + 0.001 * g**2
                size = np.sqrt(second / (1 - 0.999**step)) + 1e-8
                p[:] -= rate * first / (1 - 0.9**step) / size
            else:
                first[:] = (0.9 if optimizer == "momentum" else 0) * first + g
                p[:] -= rate * first
    return parameters, losses


def _masks(generator, counts, widths, p):
    """Dropout masks of each mini-batch and layer, from torch's own generator."""
    dropped = round(p * 2**16)
    for count in counts:
        found = []
        for width in widths:
            if not p:
                found.append(np.ones((count, width)))
                continue
            words = torch.empty(math.ceil(count * width / 4), dtype=torch.int64)
            words.random_(-(2**63), None, generator=generator)
            bits = words.view(torch.int16)[: count * width].view(count, width).numpy()
            kept = bits.astype(np.int64) + 2**15 >= dropped
            found.append(kept * (2**16 / (2**16 - dropped)))
        yield found


@needs_compiler
@settings(deadline=None, max_examples=60)
@given(
    widths=st.lists(st.integers(1, 70), min_size=2, max_size=5),
    count=st.integers(1, 40),
    batch=st.integers(1, 25),
    p=st.sampled_from([0.0, 0.2, 0.75]),
    relu=st.booleans(),
    optimizer=st.sampled_from(["adam", "sgd", "momentum"]),
)
def test_steps_against_numpy(*, widths, count, batch, p, relu, optimizer):
    """Any widths, any mini-batches: the losses and parameters of formulas in float64."""
    generator = Generator().manual_seed(sum(widths) + count)
    model = mlp(widths, nn.ReLU if relu else nn.Identity, dropout=p)
    for parameter in model.parameters():
        spread = 1.5 / math.sqrt(parameter.shape[-1])
        parameter.data.uniform_(-spread, spread, generator=generator)
    images = torch.randn(count, widths[0], generator=generator)
    labels = torch.randint(widths[-1], (count,), generator=generator)
    linears = [module for module in model if isinstance(module, nn.Linear)]
    start = [linear.weight.detach().numpy().copy() for linear in linears]
    biases = [linear.bias.detach().numpy().copy() for linear in linears]
    network = Connected.of(
        model, images, labels, batch_size=batch, optimizer=optimizer, learning_rate=0.01,
        masks=Generator().manual_seed(7),
    )  # fmt: skip
    found = network.steps(torch.arange(count))
    network.give_back()
    counts = [min(batch, count - start) for start in range(0, count, batch)]
    parameters, losses = _by_numpy(
        start, biases, images.numpy(), labels.numpy(),
        list(_masks(Generator().manual_seed(7), counts, widths[1:-1], p)),
        batch=batch, optimizer=optimizer, rate=0.01, relu=relu,
    )  # fmt: skip
    np.testing.assert_allclose(found, losses, rtol=1e-3, atol=1e-4)
    for linear, weight, bias in zip(linears, parameters[::2], parameters[1::2], strict=True):
        # Where a gradient is nearly 0, Adam makes a whole step of what is left by rounding.
        off = [np.abs(linear.weight.detach().numpy() - weight) > 1e-4]
        off += [np.abs(linear.bias.detach().numpy() - bias) > 1e-4]
        assert np.concatenate([o.ravel() for o in off]).mean() <= (optimizer == "adam") * 0.02


@needs_compiler
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum"])
@pytest.mark.parametrize(
    "build",
    [
        Net,
        partial(Net, 8, 4, dropout=0.0),
        partial(mlp, [784, 40, 40, 40, 10], dropout=0.5),
        partial(mlp, [784, 33, 10], bias=False),
        partial(mlp, [784, 20, 10], nn.Identity, dropout=0.3),
        partial(mlp, [784, 10]),
        lambda: nn.Sequential(
            nn.Flatten(), nn.Sequential(nn.Linear(784, 17), nn.Identity(), nn.ReLU(inplace=True)),
            nn.Linear(17, 10, bias=False),
        ),
    ],
)  # fmt: skip
def test_runs_against_pytorch(data, ways, build, optimizer):
    """The same data, order and masks, so the same run up to rounding; and the same weights."""
    (model, run), (other, expected) = _both(build, data, optimizer=optimizer)
    assert ways == ["_compiled", "_side_by_side"]
    np.testing.assert_allclose(run.train_losses, expected.train_losses, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(run.valid_loss, expected.valid_loss, rtol=1e-3)
    assert abs(run.valid_accuracy - expected.valid_accuracy) <= 0.051
    for parameter, own in zip(other.parameters(), model.parameters(), strict=True):
        assert (parameter - own).norm() <= 0.01 * parameter.norm()
        assert own.grad is None
    assert all(module.training for module in model.modules())


@needs_compiler
def test_measured_with_its_own_weights(data):
    """What the run says is what the model does afterwards."""
    model = Net(16, 16)
    run = train(model, data, epochs=1)
    assert evaluate(model, data.valid).accuracy == run.valid_accuracy
    assert evaluate(model, data.test).accuracy == run.test_accuracy


@needs_compiler
@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 900), max_size=6))
def test_random_bits_are_torchs(seed, counts):
    """To the last bit, however many are drawn at a time."""
    library = compiled._library()
    generator, state = Generator().manual_seed(seed), torch.empty(compiled.GENERATOR).int()
    library.initguide_seed(state.data_ptr(), seed)
    for count in counts:
        ours = torch.empty(count, dtype=torch.int64)
        library.initguide_draw(state.data_ptr(), ours.data_ptr(), count)
        assert torch.equal(
            ours, torch.empty_like(ours).random_(-(2**63), None, generator=generator)
        )


@needs_compiler
def test_units_that_are_equal_stay_equal(data):
    """To the last bit: sums are taken in the same order for each unit."""
    model = Net(37, 19, constant_weight=0.01, dropout=0)
    train(model, data, learning_rate=0.01)
    for layer in (model.fc1, model.fc2):
        assert not torch.equal(layer.weight, torch.full_like(layer.weight, 0.01))
        assert torch.equal(layer.weight, layer.weight[:1].expand_as(layer.weight))


@needs_compiler
def test_nothing_depends_on_the_other_networks(data):
    """A network gets the same to the last bit alone, among others, and on any number of cores."""
    schemes, given = ["default", "he_normal"], {"epochs": 1, "seeds": 3, "batch_size": 32}
    runs = [
        initguide.compare_init_weights(schemes, data, workers=workers, **given).runs
        for workers in (1, 3)
    ]
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a.train_losses, b.train_losses)
        assert (a.valid_loss, a.test_accuracy) == (b.valid_loss, b.test_accuracy)
    torch.manual_seed(0)
    models = [Net(16, 16), Net(300, 20), Net(16, 16)]
    alone = [train(copy.deepcopy(m), data, epochs=1, seed=k) for k, m in enumerate(models)]
    together = train_many(
        models, data, epochs=1, learning_rates=[1e-3] * 3, seeds=range(3), labels=[""] * 3
    )
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a.train_losses, b.train_losses)
        assert a.valid_loss == b.valid_loss


@needs_compiler
@pytest.mark.parametrize("rate", [1e30, 1e38])
def test_divergence(data, rate):
    """It ends with the same number as in PyTorch, and disturbs no other network."""
    build = partial(Net, 8, 8)
    (_, run), (_, expected) = _both(build, data, learning_rates=[rate], optimizer="sgd")
    assert run.diverged_at == expected.diverged_at is not None
    assert len(run.train_losses) == len(expected.train_losses)
    assert math.isnan(run.valid_accuracy)
    torch.manual_seed(0)
    models = [build() for _ in range(2)]
    alone = train(copy.deepcopy(models[1]), data, optimizer="sgd", learning_rate=0.01)
    _, beside = train_many(
        models, data, learning_rates=[rate, 0.01], seeds=[0, 0], labels="ab", optimizer="sgd"
    )
    np.testing.assert_array_equal(beside.train_losses, alone.train_losses)


@needs_compiler
def test_nan_in_the_images(data):
    """It comes out at the end, as in PyTorch, and is not taken for 0 by ReLU."""
    images = data.train.images.clone()
    images[:, :, 3, 3] = math.nan
    for _, run in _both(Net, _split(images, data.train.labels)):
        assert run.diverged_at == 0


@needs_compiler
@pytest.mark.parametrize("size", [0.0, 1e3, 1e30, 1e37])
def test_scores_of_any_size(data, size):
    """The loss overflows where PyTorch's does, and nowhere else."""
    large = _split(data.train.images * size, data.train.labels)
    (_, run), (_, expected) = _both(Net, large, learning_rates=[1e-30])
    np.testing.assert_allclose(run.train_losses, expected.train_losses, rtol=1e-4)


@needs_compiler
def test_stopped_early(data):
    """The weights are those of the steps that were done."""
    stop = Event()
    stop.set()
    torch.manual_seed(0)
    models = [Net(8, 8) for _ in range(2)]
    before = copy.deepcopy(models)
    runs = train_many(
        models, data, epochs=50, batch_size=8, learning_rates=[0.01] * 2, seeds=[0, 1],
        labels="ab", stop=stop,
    )  # fmt: skip
    for model, old, run in zip(models, before, runs, strict=True):
        assert len(run.train_losses) == 10  # an epoch: a look comes after at most 16
        assert not torch.equal(model.fc1.weight, old.fc1.weight)


@needs_compiler
@pytest.mark.parametrize(("width", "batch", "steps"), [(8, 32, 16), (1500, 4000, 1)])
def test_looks_at_stop_every_now_and_then(noise, monkeypatch, width, batch, steps):
    """Large networks and mini-batches are handed to C one at a time."""
    images = noise(20, 0)
    images.images, images.labels = images.images.repeat(800, 1, 1, 1), images.labels.repeat(800)
    given = SimpleNamespace(train=images, valid=noise(5, 1), test=noise(5, 2))
    stop, seen = Event(), []

    def watched(_, order):
        seen.append(len(order) / batch)
        stop.set()
        return torch.zeros(1)

    monkeypatch.setattr(Connected, "steps", watched)
    train(Net(width, width), given, batch_size=batch, stop=stop)
    assert seen == [steps]


@needs_compiler
def test_interrupted(data, monkeypatch):
    """Somebody who presses Ctrl-C has a model that was trained up to there."""
    real, calls = Connected.steps, []

    def steps(self, order):
        if calls:
            raise KeyboardInterrupt
        calls.append(order)
        return real(self, order)

    monkeypatch.setattr(Connected, "steps", steps)
    model = Net(8, 8)
    before = model.fc1.weight.detach().clone()
    with pytest.raises(KeyboardInterrupt):
        train(model, data, epochs=3)
    assert not torch.equal(model.fc1.weight, before)


# What they are for


def _hooked(model):
    model.fc2.register_forward_hook(lambda *_: None)
    return model


def _full_hooked(model):
    model.register_full_backward_hook(lambda *_: None)
    return model


def _gradient_hooked(model):
    model.fc2.weight.register_hook(lambda grad: grad)
    return model


def _post_hooked(model):
    model.fc2.weight.register_post_accumulate_grad_hook(lambda _: None)
    return model


def _frozen(model):
    model.fc1.weight.requires_grad_(False)
    return model


def _replaced(model):
    model.fc1.forward = lambda x: x
    return model


def _normed(model):
    parametrizations.weight_norm(model.fc1)
    return model


def _tied():
    model = mlp([784, 9, 9, 9, 10])
    model.fc2.weight = model.fc3.weight
    return model


def _of_features(model):
    """Frozen weights, as a buffer."""
    weight = model.fc1.weight.detach()
    del model.fc1.weight
    model.fc1.register_buffer("weight", weight)
    return model


def _with(name, change):
    """A network, one of whose parameters is replaced."""
    model = Net(8, 8)
    layer, _, parameter = name.partition(".")
    layer = getattr(model, layer)
    setattr(layer, parameter, nn.Parameter(change(getattr(layer, parameter).detach())))
    return model


def _in_inference_mode():
    with torch.inference_mode():
        return Net(8, 8)


def _views():
    """Two layers whose weights overlap."""
    model, numbers = mlp([784, 8, 8, 8, 10]), torch.rand(100)
    model.fc2.weight = nn.Parameter(numbers[:64].view(8, 8))
    model.fc3.weight = nn.Parameter(numbers[36:].view(8, 8))
    return model


def _compiled_by_torch(model):
    model.compile(backend="eager")
    return model


class _Own(Net):
    pass


class _OwnLinear(nn.Linear):
    pass


UNKNOWN = {
    "hook": lambda: _hooked(Net()),
    "backward hook": lambda: _full_hooked(Net()),
    "hook of a gradient": lambda: _gradient_hooked(Net()),
    "hook behind a gradient": lambda: _post_hooked(Net()),
    "frozen": lambda: _frozen(Net()),
    "another forward": lambda: _replaced(Net()),
    "weight norm": lambda: _normed(Net()),
    "tied": _tied,
    "overlapping": _views,
    "weights that are a buffer": lambda: _of_features(Net()),
    "one bias for all": lambda: _with("fc1.bias", lambda b: b[:1]),
    "pruned": lambda: _with("fc1.weight", lambda w: w[:3]),
    "sparse": lambda: _with("fc1.weight", torch.Tensor.to_sparse),
    "transposed": lambda: _with("fc2.weight", lambda w: w.t().contiguous().t()),
    "made in inference mode": _in_inference_mode,
    "compiled by torch": lambda: _compiled_by_torch(Net()),
    "lazy": lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)),
    "float64": lambda: Net().double(),
    "subclass": _Own,
    "subclass of a layer": lambda: nn.Sequential(nn.Flatten(), _OwnLinear(784, 10)),
    "no sequence": lambda: nn.Linear(784, 10),
    "tanh": lambda: mlp([784, 9, 10], nn.Tanh),
    "leaky": lambda: mlp([784, 9, 10], nn.LeakyReLU),
    "norm": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.LayerNorm(10)),
    "convolution": lambda: nn.Sequential(nn.Conv2d(1, 1, 28), nn.Flatten(), nn.Linear(1, 10)),
    "flattened late": lambda: nn.Sequential(nn.Linear(28, 9), nn.Flatten(), nn.Linear(252, 10)),
    "flattened in part": lambda: nn.Sequential(nn.Flatten(2), nn.Linear(784, 10), nn.Flatten()),
    "ReLU at the end": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.ReLU()),
    "dropout at the end": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Dropout()),
    "dropout first": lambda: nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(784, 10)),
    "ReLU first": lambda: nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(784, 10)),
    "dropout before ReLU": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 9), nn.Dropout(), nn.ReLU(), nn.Linear(9, 10)
    ),
    "dropout twice": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 9), nn.Dropout(), nn.Dropout(), nn.Linear(9, 10)
    ),
    "dropout in place": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 9), nn.Dropout(inplace=True), nn.Linear(9, 10)
    ),
    "nothing to train": lambda: nn.Sequential(nn.Flatten()),
    "widths that do not fit": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 9), Net().fc3),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_networks_that_are_not_known(name):
    """Whatever does anything else, or lets somebody look on, is left to PyTorch."""
    model = UNKNOWN[name]()
    assert not knows(model)
    if name != "lazy":
        assert plan(model).way != "compiled"
    with pytest.raises(ValueError, match="model cannot be trained by compiled steps; ask `fits`"):
        _connected(model)


def _connected(model):
    images, labels = torch.zeros(2, 784), torch.zeros(2, dtype=torch.int64)
    return Connected.of(
        model, images, labels, batch_size=2, optimizer="sgd", learning_rate=1.0, masks=Generator()
    )


def test_hooks_for_all_modules():
    """Hooks of every module there is: then, somebody looks on, too."""
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert not knows(Net())
    finally:
        handle.remove()
    assert knows(Net())


def test_another_forward_for_the_whole_class(monkeypatch):
    """Somebody may have changed what `Net` computes."""
    monkeypatch.setattr(Net, "forward", lambda self, x: self.fc3(self.fc2(self.fc1(x.flatten(1)))))
    assert not knows(Net())


@needs_compiler
def test_pruned_networks(data):
    """They have the shapes of their parameters, not those that the layers once had."""

    def build():
        model = mlp([784, 9, 10])
        model.fc1.weight, model.fc1.bias = (
            nn.Parameter(p.detach()[:5]) for p in model.fc1.parameters()
        )
        model.fc2.weight = nn.Parameter(model.fc2.weight.detach()[:, :5].contiguous())
        assert knows(model)
        return model

    (_, run), (_, expected) = _both(build, data)
    np.testing.assert_allclose(run.train_losses, expected.train_losses, rtol=1e-3, atol=1e-4)


def test_lazy_layers(data):
    """They have no parameters before the first batch; nobody asks them for any."""
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
    assert not train(model, data, optimizer=torch.optim.SGD).diverged


@needs_compiler
def test_a_stop_that_looks_at_the_model(data):
    """It sees the weights as they are then."""

    class Looking:
        def __init__(self):
            self.seen = []

        def is_set(self):
            self.seen.append(float(model.fc1.weight.detach().abs().sum()))
            return False

    model, stop = Net(8, 8), Looking()
    train(model, data, epochs=3, learning_rate=0.01, stop=stop)
    assert len(set(stop.seen)) == 3


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


@needs_compiler
@pytest.mark.parametrize("name", ["hook", "frozen", "tanh", "subclass"])
def test_what_is_not_known_is_trained_by_pytorch(data, ways, name):
    """Also when compiled steps are asked for."""
    train_many(
        [UNKNOWN[name]()], data, learning_rates=[0.01], seeds=[0], labels=[""], way="compiled"
    )
    assert ways == ["_side_by_side"]


@needs_compiler
def test_data_that_are_not_taken(data):
    """Anything but float32 images and int64 labels of classes that exist, one behind the other."""
    images, labels, net = data.train.images, data.train.labels, Net()
    assert takes(net, images, labels, 32)
    assert takes(mlp([784, 10]), images.flatten(1), labels, 32)
    assert takes(nn.Sequential(nn.Linear(784, 10)), images.flatten(1), labels, 32)
    for model, x, y, batch in (
        (nn.Sequential(nn.Linear(784, 10)), images, labels, 32),  # not flattened
        (net, images.double(), labels, 32),
        (net, images.repeat(1, 1, 1, 2)[..., ::2], labels, 32),
        (net, images.transpose(2, 3), labels, 32),
        (net, images[:, :, 1:], labels, 32),
        (net, images[:5], labels, 32),
        (net, images[:0], labels[:0], 32),
        (net, images, labels.int(), 32),
        (net, images, labels[:, None], 32),
        (net, images, labels - 1, 32),
        (net, images, labels + 5, 32),
        (net, images.expand(80, 1, 28, 28).repeat(60, 1, 1, 1), labels.repeat(60), 4800),
        (UNKNOWN["tanh"](), images, labels, 32),
    ):
        assert not takes(model, x, y, batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes(net, images, labels, 32)
    with torch.autograd.set_detect_anomaly(mode=True):
        assert not takes(net, images, labels, 32)
    with FlopCounterMode(display=False):
        assert not takes(net, images, labels, 32)
    assert not takes(net, images.clone().requires_grad_(), labels, 32)


@needs_compiler
def test_a_label_of_no_class(data, ways):
    """PyTorch refuses it, as ever; C would read whatever lies there."""
    wrong = _split(data.train.images, data.train.labels + 1)
    with pytest.raises(IndexError, match="Target 10 is out of bounds"):
        train(Net(), wrong)
    assert ways == ["_side_by_side"]


@needs_compiler
def test_images_that_are_not_taken_are_trained_by_pytorch(data, ways):
    """In the way that is best without compiled steps."""
    turned = _split(data.train.images.transpose(2, 3), data.train.labels)
    torch.manual_seed(0)
    models = [Net(64, 64) for _ in range(2)]
    train_many(models, turned, epochs=1, learning_rates=[0.01] * 2, seeds=[0, 1], labels="ab")
    assert ways == ["_side_by_side"]


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
def test_plan(build, optimizer, expected):
    """By the network's size and the optimizer's name."""
    assert plan(build(), optimizer) == expected
    without = plan(build(), optimizer, compiling=False)
    assert without.way != "compiled"


# Compilers that are not there, fail, or are wrong

REAL = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A function that sets up a compiler: a command, or lines of a script around the real one."""
    compiled._library.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def use(command=REAL, lines=()):
        if lines:
            script = tmp_path / "compiler"
            script.write_text("\n".join(["#!/bin/sh", *lines, f'exec {REAL} "$@"', ""]))
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
            command = str(script)
        monkeypatch.setenv("INITGUIDE_CC", command)
        compiled._library.cache_clear()

    yield use
    compiled._library.cache_clear()


def _kept(tmp_path):
    """The files that are kept."""
    return list((tmp_path / "cache/initguide/compiled").iterdir())


def test_works_where_it_should():
    """With a compiler and AVX2; if it did not, most of the tests here would be skipped."""
    info = Path("/proc/cpuinfo")
    if os.environ.get("INITGUIDE_CC") == "off":
        pytest.skip("somebody wants to do without")
    if REAL is None or not info.exists() or " avx2 " not in info.read_text(encoding="utf-8"):
        pytest.skip("needs Linux, a C compiler and AVX2")
    assert compiled.works()


@pytest.mark.parametrize("word", ["off", "OFF", "0"])
def test_switched_off(compiler, data, ways, word):
    """Everything goes on by PyTorch, and says nothing."""
    compiler(word)
    assert not compiled.works()
    assert knows(Net())
    assert not fits(Net())
    assert plan(Net()) == Plan("side by side", 5)
    train(Net(8, 8), data, epochs=1)
    assert ways == ["_side_by_side"]


def test_no_compiler_at_all(compiler, monkeypatch, tmp_path):
    """The same: nobody asked for one."""
    compiler("")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not compiled.works()


NEEDS_X86 = pytest.mark.skipif(
    sys.platform == "win32" or platform.machine() != "x86_64", reason="nothing is compiled here"
)


@NEEDS_X86
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("no-such-compiler -O3", "FileNotFoundError: there is no such command"),
        ("cc 'as you like", "ValueError: No closing quotation"),
        ("false", "OSError: exit status 1"),
        (f"{sys.executable} -c 'raise RuntimeError(1)'", "OSError: exit status 1, RuntimeError: 1"),
        (f"{sys.executable} -c 1", "OSError: the processor has no AVX2"),
    ],
)
def test_a_named_compiler_that_cannot_be_used(compiler, command, reason):
    """The one who named it learns why, once."""
    compiler(command)
    with pytest.warns(UserWarning, match=re.escape(reason)) as seen:
        assert not compiled.works()
    assert f"INITGUIDE_CC is {command!r}, which cannot be used" in str(seen[0].message)
    assert not compiled.works()


@needs_compiler
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('case "$*" in *-dM*) ;; *) echo "no space" >&2; exit 3;; esac', "exit status 3, no space"),
        (
            'case "$*" in *-dM*) ;; *) while [ "$1" != -o ]; do shift; done; : >"$2"; exit; esac',
            "OSError: .*too short",
        ),
        ('set -- "$@" -mno-avx2 -mno-avx512f', "the processor has no AVX2"),
        ('set -- "$@" -fvisibility=hidden', "AttributeError: .*undefined symbol"),
    ],
)
def test_a_compiler_that_fails(compiler, line, reason):
    """It is as if there were none, but for a warning."""
    compiler(lines=[line])
    with pytest.warns(UserWarning, match=reason):
        assert not compiled.works()


@needs_compiler
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("h[j] <= 0 ?", "h[j] > 0 ?"),  # gradients of the wrong units
        ("y << 7", "y << 8"),  # other random numbers
        ("first[i] += b1", "first[i] -= b1"),
        ("grads[r * l->stride + j]", "grads[j]"),
        ("tile[i * width + j] * scale", "tile[i * width + j]"),
        ("to[j * wide + k] = from", "to[j * wide + k] = 2 * from"),
    ],
)
def test_a_compiler_that_is_wrong(compiler, tmp_path, monkeypatch, right, wrong):
    """What it makes is tried beside PyTorch before it is used."""
    source = compiled.SOURCE.read_text(encoding="utf-8")
    assert source.count(right) == 1
    copied = tmp_path / "connected.c"
    copied.write_text(source, encoding="utf-8")
    monkeypatch.setattr(compiled, "SOURCE", copied)
    compiler()
    assert compiled.works()
    copied.write_text(source.replace(right, wrong), encoding="utf-8")
    compiler()
    with pytest.warns(UserWarning, match="what it makes gives other numbers than PyTorch"):
        assert not compiled.works()


@needs_compiler
def test_whoever_asks_first(compiler):
    """The caller's defaults and modes do not decide about the whole process."""

    def asked(*contexts):
        compiled._library.cache_clear()
        with contextlib.ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context)
            return compiled.works()

    compiler()
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert asked()
    finally:
        handle.remove()
    assert asked(torch.inference_mode())
    assert asked(torch.no_grad())
    assert asked(torch.autocast("cpu", torch.bfloat16))
    assert asked(torch.device("meta"))
    torch.set_default_dtype(torch.float64)
    try:
        assert asked()
    finally:
        torch.set_default_dtype(torch.float32)


@needs_compiler
def test_the_global_generator_is_left_alone(compiler):
    """Nobody's stream is disturbed by trying."""
    compiler()
    state = torch.get_rng_state()
    assert compiled.works()
    assert torch.equal(torch.get_rng_state(), state)


@needs_compiler
def test_other_defaults_of_torch(data):
    """What C reads is float32 on the CPU, whatever new tensors are by default."""
    model = Net(16, 16)
    expected = train(copy.deepcopy(model), data, epochs=1)
    torch.set_default_dtype(torch.float64)
    try:
        run = train(copy.deepcopy(model), data, epochs=1)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(run.train_losses, expected.train_losses)


@needs_compiler
def test_compiled_once(compiler, tmp_path):
    """What was compiled is kept, and found by the next process."""
    log = tmp_path / "log"
    compiler(lines=[f'echo "$*" >> {log}'])
    for _ in range(3):
        compiled._library.cache_clear()
        assert compiled.works()
    calls = log.read_text().splitlines()
    assert sum("-dM" not in call for call in calls) == 1
    [kept] = _kept(tmp_path)
    assert kept.suffix == ".so"


@needs_compiler
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_kept_file_that_is_damaged(compiler, tmp_path, share):
    """It is made again."""
    compiler()
    assert compiled.works()
    [kept] = _kept(tmp_path)
    content = kept.read_bytes()
    kept.unlink()  # this process has it loaded
    kept.write_bytes(content[: int(share * len(content))])
    kept.chmod(0o700)
    compiled._library.cache_clear()
    assert compiled.works()
    [made] = _kept(tmp_path)
    assert made.stem.rpartition("-")[2] == compiled._digest(made.read_bytes())


@needs_compiler
@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_place_that_others_can_write_to(compiler, tmp_path, what):
    """Nothing is loaded from there: it would be somebody else's code."""
    compiler()
    assert compiled.works()
    [kept] = _kept(tmp_path)
    (kept if what == "file" else kept.parent).chmod(0o777)
    inside = kept.read_bytes()
    loaded = []
    real = ctypes.CDLL
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ctypes, "CDLL", lambda path: loaded.append(path) or real(path))
        compiled._library.cache_clear()
        assert compiled.works()
    assert loaded
    assert not any(path.startswith(str(tmp_path / "cache")) for path in loaded)
    assert kept.read_bytes() == inside


@needs_compiler
@pytest.mark.parametrize("home", ["a file", "none", "empty", "missing"])
def test_no_place_to_keep_it(compiler, tmp_path, monkeypatch, home):
    """It works all the same, each process compiles, and nobody's home is made."""
    compiler()
    monkeypatch.chdir(tmp_path)
    if home == "a file":
        (tmp_path / "cache").write_text("no folder")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
        monkeypatch.setenv("HOME", {"missing": str(tmp_path / "home")}.get(home, ""))
        if home == "none":
            monkeypatch.setattr(os.path, "expanduser", str)
        with pytest.raises(FileNotFoundError, match="there is no home folder"):
            compiled._folder()
    before = sorted(tmp_path.iterdir())
    assert compiled.works()
    assert sorted(tmp_path.iterdir()) == before


@needs_compiler
def test_several_processes_at_once(compiler, tmp_path):
    """All of them end with a whole file."""
    compiler()
    program = "from initguide.training import compiled; print(compiled.works())"
    command = [sys.executable, "-c", program]
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: subprocess.check_output(command, text=True), range(3)))
    assert [words.strip() for words in done] == ["True"] * 3
    assert {path.suffix for path in _kept(tmp_path)} == {".so"}


@needs_compiler
def test_several_threads_at_once(compiler):
    """They wait for each other."""
    compiler()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: compiled.works(), range(4)))
    assert compiled._library.cache_info().misses == 1


@needs_compiler
def test_compiled_without_warnings(tmp_path):
    """By the strictest of the compilers at hand."""
    for compiler in filter(shutil.which, ("gcc", "clang")):
        made = tmp_path / "connected.so"
        words = ["-Wall", "-Wextra", "-Werror", "-o", str(made), str(compiled.SOURCE), "-lm"]
        subprocess.run([compiler, *compiled.FLAGS, *words], check=True)


def test_the_c_file_is_part_of_the_package():
    """Beside the module that compiles it."""
    assert compiled.SOURCE.parent == Path(compiled.__file__).parent
    assert compiled.SOURCE.is_file()
    assert stacking.compiled is compiled
