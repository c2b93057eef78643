"""Compiled steps against PyTorch's: in float64 for any network, in float32 for spoilt numbers."""

import itertools
import math
import random
import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn
from training_networks import needs_compiler

from initguide.models import mlp
from initguide.training import engine
from initguide.training.engine import building, library
from initguide.training.optimizers import make_optimizer

WIDTHS = (1, 2, 3, 5, 7, 15, 16, 17, 31, 33, 63, 64, 65, 97, 127, 129)
# A unit whose input is nearer to ReLU's kink than this, relative to the terms that are summed, may
# fall on either side of it in float32. There, no two roundings need agree.
KINK = 1e-5


def _mask(generator, p, shape):
    """A dropout mask, from torch's generator, as documented: 16 bits a unit."""
    words = torch.empty(math.ceil(shape.numel() / 4), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)
    dropped = round(p * 2**16)
    kept = words.view(torch.int16)[: shape.numel()].view(shape).int() + 2**15 >= dropped
    return kept * (2**16 / (2**16 - dropped))


def _by_torch(model, images, labels, dtype, *, batch, optimizer, rate):
    """Losses and parameters by torch's operations and optimizers, and how near a kink came."""
    parameters = {p: p.detach().to(dtype).clone().requires_grad_() for p in model.parameters()}
    steps = make_optimizer(optimizer, parameters.values(), rate)
    generator, losses, nearest = Generator().manual_seed(7), [], math.inf
    for start in range(0, len(images), batch):
        x = images[start : start + batch].to(dtype)
        for part in model:
            if isinstance(part, nn.Linear):
                weight, bias = parameters[part.weight], parameters.get(part.bias)
                terms = F.linear(x.abs(), weight.abs(), None if bias is None else bias.abs())
                x = F.linear(x, weight, bias)
            elif isinstance(part, nn.ReLU):
                near = (x.abs() / terms)[terms > 0]
                nearest = min([nearest, *near.flatten().tolist()])
                x = F.relu(x)
            elif isinstance(part, nn.Dropout) and part.p:
                x = x * _mask(generator, part.p, x.shape).to(dtype)
        loss = F.cross_entropy(x, labels[start : start + batch])
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.detach())
    return torch.stack(losses), [p.detach() for p in parameters.values()], nearest


def _by_compiled_steps(model, images, labels, *, batch, optimizer, rate):
    """Losses; the model has the parameters afterwards."""
    network = engine.prepare(
        model, images, labels, batch_size=batch, optimizer=optimizer, learning_rate=rate,
        masks=Generator().manual_seed(7),
    )  # fmt: skip
    losses = network.steps(torch.arange(len(images)))
    network.write_back()
    return losses


def _configuration(seed):
    """A network, data and settings at random."""
    draw = random.Random(seed)  # noqa: S311  nothing secret
    generator = Generator().manual_seed(seed)
    widths = draw.choices(WIDTHS, k=draw.randint(2, 5))
    model = mlp(
        widths,
        draw.choice([nn.ReLU, nn.ReLU, nn.Identity]),
        dropout=draw.choice([0.0, 0.2, 0.6]),
        bias=draw.random() < 0.8,
    )
    for parameter in model.parameters():
        spread = 1.5 / math.sqrt(parameter.shape[-1])
        parameter.data.uniform_(-spread, spread, generator=generator)
    count = draw.choice([1, 2, 7, 20, 39])
    images = torch.randn(count, widths[0], generator=generator)
    labels = torch.randint(widths[-1], (count,), generator=generator)
    optimizer = draw.choice(["adam", "sgd", "momentum"])
    settings = {"batch": draw.choice([1, 5, 6, 7, 16, 25]), "optimizer": optimizer, "rate": 0.01}
    if settings["batch"] == 1:  # few steps: networks move apart with each of them
        images, labels = images[:5], labels[:5]
    return model, images, labels, settings


def _assert_near(found, expected, start, *, adam):
    """Parameters differ by no more than rounding, for their size and for how far they moved."""
    off, moved = (found - expected).abs().flatten(), (expected - start).norm()
    if adam:  # where a gradient is nearly 0, it makes a whole step of what rounding leaves
        off = off.sort().values[: math.ceil(0.98 * len(off))]
    # Measured with both kinds of vectors: below 1e-6 of the size, always.
    assert off.norm() <= 1e-5 * expected.norm() + 1e-3 * moved


@pytest.fixture
def vectors(request, monkeypatch):
    """Narrow vectors also where the processor has wide ones."""
    if request.param == "narrow":
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))))
        content = building._compile([compiler], building.NARROW)
        narrow = building._declare(building._mapped(content))
        assert narrow.initguide_lanes() == 8
        monkeypatch.setattr(library, "_library", lambda: narrow)


@needs_compiler
@pytest.mark.parametrize(("vectors", "first"), [("widest", 0), ("narrow", 1)], indirect=["vectors"])
@pytest.mark.usefixtures("vectors")
def test_random_configurations(first):
    """200 networks, sets of data and settings, against torch's own steps in float64."""
    tried = 0
    for seed in itertools.count(first, 2):
        model, images, labels, settings = _configuration(seed)
        start = [p.detach().clone() for p in model.parameters()]
        expected, others, nearest = _by_torch(model, images, labels, torch.float64, **settings)
        if nearest < KINK:
            continue
        found = _by_compiled_steps(model, images, labels, **settings)
        torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)
        for three in zip(model.parameters(), others, start, strict=True):
            _assert_near(*three, adam=settings["optimizer"] == "adam")
        tried += 1
        if tried == 100:
            break


def _spoilt(where, value):
    """A function that puts a number into images, weights or biases."""

    def plant(model, images):
        target = images if where == "images" else model.get_parameter(where).data
        target.view(-1)[len(target) // 2] = value

    return plant


def _large(model, images):
    """Multiply everything."""
    for numbers in (images, *model.parameters()):
        numbers.data.mul_(1e13)


SPOILT = [
    pytest.param(
        _spoilt("images", math.nan),
        marks=pytest.mark.fault(
            "compiled",
            tried="a pixel is NaN",
            happens="the same losses and weights turn NaN as by PyTorch's steps",
        ),
    ),
    pytest.param(
        _spoilt("images", math.inf),
        marks=pytest.mark.fault(
            "compiled",
            tried="a pixel is infinite",
            happens="the same losses and weights turn NaN or infinite as by PyTorch's steps",
        ),
    ),
    pytest.param(
        _spoilt("fc1.weight", -math.inf),
        marks=pytest.mark.fault(
            "compiled",
            tried="a weight of the first layer is minus infinity",
            happens="what turns NaN is what turns NaN by PyTorch's steps",
        ),
    ),
    pytest.param(
        _spoilt("fc3.weight", math.nan),
        marks=pytest.mark.fault(
            "compiled",
            tried="a weight of the last layer is NaN",
            happens="what turns NaN is what turns NaN by PyTorch's steps, from the first loss on",
        ),
    ),
    pytest.param(
        _spoilt("fc3.bias", -math.inf),
        marks=pytest.mark.fault(
            "compiled",
            tried="a bias of the last layer is minus infinity",
            happens="a loss that is infinite is infinite, and what is NaN by PyTorch's is NaN",
        ),
    ),
    pytest.param(
        _large,
        marks=pytest.mark.fault(
            "compiled",
            tried="weights so large that the third layer overflows",
            happens="the same losses and weights are NaN or infinite as by PyTorch's steps",
        ),
    ),
]


def _small(count):
    """A network, images and labels; no class has the share that a network expects at first."""
    generator = Generator().manual_seed(5)
    model = mlp([9, 21, 18, 5], dropout=0.2)
    for parameter in model.parameters():
        parameter.data.uniform_(-1, 1, generator=generator)
    return model, torch.rand(count, 9, generator=generator), torch.arange(count) % 3


@needs_compiler
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("plant", SPOILT)
def test_spoilt_numbers(plant, optimizer):
    """What is NaN or infinite is that by both ways, and the rest is the same to rounding."""
    model, images, labels = _small(30)
    plant(model, images)
    settings = {"batch": 10, "optimizer": optimizer, "rate": 0.01}
    expected, others, _ = _by_torch(model, images, labels, torch.float32, **settings)
    found = _by_compiled_steps(model, images, labels, **settings)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
    for ours, theirs in zip(model.parameters(), others, strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=1e-3, atol=1e-4, equal_nan=True)


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="activations so small that they are denormal",
    happens="the loss of PyTorch's steps: they are not taken for 0",
)
def test_denormal_numbers():
    """The next layer has weights that make them matter."""
    model, images, labels = _small(3)
    images.mul_(1e-19)
    model.fc1.weight.data.mul_(1e-20)
    model.fc1.bias.data.zero_()
    model.fc2.weight.data.mul_(3e38)
    settings = {"batch": 10, "optimizer": "sgd", "rate": 0.01}
    expected, _, _ = _by_torch(model, images, labels, torch.float32, **settings)
    without, _, _ = _by_torch(model, 0 * images, labels, torch.float32, **settings)
    assert abs(expected - without) > 1e-2
    found = _by_compiled_steps(model, images, labels, **settings)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
