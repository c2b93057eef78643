"""Training: against a plain PyTorch loop, dropout's statistics, and what is left untouched."""

import itertools
import math
from functools import partial
from threading import Event
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn
from torch.utils.data import DataLoader, TensorDataset

from initguide.models import Net
from initguide.training import (
    Run,
    evaluate,
    fit,
    make_optimizer,
    stacking,
    train,
    uses_global_generator,
)


def _split(count, seed=0, *, classes=10):
    generator = Generator().manual_seed(seed)
    return SimpleNamespace(
        images=torch.rand(count, 1, 28, 28, generator=generator),
        labels=torch.randint(0, classes, (count,), generator=generator),
    )


def _data(count=96):
    return SimpleNamespace(
        train=_split(count), valid=_split(40, 1), test=_split(30, 2), source="made up"
    )


@pytest.fixture(scope="module")
def data():
    """96 + 40 + 30 images of noise."""
    return _data()


class _Model(nn.Module):
    """A linear classifier whose scores go through any function of (model, scores)."""

    def __init__(self, change=lambda model, scores: scores, **modules):  # noqa: ARG005
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.change = change
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, images):
        return self.change(self, self.fc(images.flatten(1)))


class _Spy(nn.Module):
    """Hands its input on, and keeps a copy of each that it sees while training."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, x):
        # The look that `train` takes beforehand records no gradients: it does not count.
        if self.training and torch.is_grad_enabled():
            self.seen.append(x.detach().clone())
        return x


def _seeded(build, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


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


def _state(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def _assert_same_state(before, after):
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert torch.equal(value, after[key]), key


# fit and train against a plain loop


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
    ours, theirs = (_seeded(lambda: Net(20, 15, dropout=0)) for _ in range(2))
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
        for model in [_seeded(lambda: Net(8, 8, dropout=0))]
    ]
    assert len(losses[0]) == 10
    assert np.array_equal(*losses)


def test_fit_of_nothing():
    """No batch, no loss, no error."""
    model = _Model()
    losses = fit(model, [], make_optimizer("adam", model.parameters(), 0.1))
    assert losses.shape == (0,)
    assert losses.dtype == np.float32


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
    model = _seeded(build)
    spied = nn.Sequential(_Spy(seen), model)
    start = _seeded(build)
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


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_quick_linear_layer_gradients(bias, rows):
    """The faster linear layer gives the output and all three gradients of torch's own."""
    layer = _seeded(lambda: nn.Linear(160, 110, bias=bias))
    x = torch.randn(rows, 160, generator=Generator().manual_seed(1), requires_grad=True)
    inputs = [x, *layer.parameters()]
    expected = F.linear(x, layer.weight, layer.bias)
    direction = torch.randn(expected.shape, generator=Generator().manual_seed(2))
    with stacking.quick_layers([layer], [Generator()]):
        assert ("forward" in vars(layer)) == torch.backends.mkldnn.is_available()
        output = layer(x)
        grads = torch.autograd.grad(output, inputs, direction)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    for grad, plain in zip(grads, torch.autograd.grad(expected, inputs, direction), strict=True):
        torch.testing.assert_close(grad, plain, rtol=1e-4, atol=1e-4)


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
    model = _seeded(lambda: Net(dropout=0).double())
    run = train(model, double, epochs=1, batch_size=20)
    assert model.fc1.weight.dtype == torch.float64
    single = train(_seeded(lambda: Net(dropout=0)), data, epochs=1, batch_size=20)
    np.testing.assert_allclose(run.train_losses, single.train_losses, rtol=1e-3)


# The order of the images


def _orders(seed, *, epochs=3, batch_size=10, count=96):
    """Train on images that carry their number; return the numbers in the order seen, by batch."""
    numbered = _data(count)
    numbered.train.images[:, 0, 0, 0] = torch.arange(float(count))
    seen = []
    model = nn.Sequential(_Spy(seen), nn.Flatten(), nn.Linear(784, 10))
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
    numbered = _data(100)
    numbered.train.images[:] = torch.arange(100.0).view(-1, 1, 1, 1)
    numbered.train.labels = torch.arange(100) % 10
    seen = []

    class Digit(_Model):
        """Is sure of the last digit of the image's number, so the loss of that label is 0."""

        def forward(self, images):
            digits = images[:, 0, 0, 0].long() % 10
            return 30 * F.one_hot(digits, 10) + 0 * super().forward(images)

    run = train(nn.Sequential(_Spy(seen), Digit()), numbered, epochs=1, batch_size=1)
    assert run.train_losses.max() < 1e-6
    assert sorted(torch.cat(seen)[:, 0, 0, 0].tolist()) == list(range(100))


def test_different_models_see_the_same_sequence(data):
    """With one seed, networks of other weights and widths see the same batches and masks."""
    records = []
    for width, weights in ((16, 0), (16, 1), (50, 2)):
        images, masks = [], []
        model = nn.Sequential(
            _Spy(images),
            nn.Flatten(),
            nn.Dropout(0.5),
            _Spy(masks),
            _seeded(lambda w=width: nn.Linear(784, w), weights),
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


# Dropout


def _dropped(p, *, batches=4, seed=0, layer=None):
    """Train on images of ones; return what comes out of the first dropout, by batch."""
    ones = _data(100 * batches)
    for split in (ones.train, ones.valid, ones.test):
        split.images = torch.ones_like(split.images)
    seen = []
    dropout = layer or nn.Dropout(p)
    model = nn.Sequential(nn.Flatten(), dropout, _Spy(seen), nn.Linear(784, 10))
    train(model, ones, epochs=1, batch_size=100, seed=seed)
    return torch.stack(seen)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.2, 0.5, 0.9, 0.99])
def test_dropout_rate_and_scale(p):
    """Units are 0 at the rate p, within binomial error, and 1 / (1 - p) otherwise."""
    outputs = _dropped(p).double()
    kept = outputs != 0
    torch.testing.assert_close(
        outputs[kept], torch.full_like(outputs[kept], 1 / (1 - p)), rtol=1e-3, atol=0
    )
    error = math.sqrt(p * (1 - p) / outputs.numel())
    assert abs(1 - kept.double().mean().item() - p) < 5 * error
    # Unbiased: the mean is that of the input, within its own error.
    assert outputs.mean().item() == pytest.approx(1, abs=5 * error / (1 - p) + 1e-5)


def test_dropout_units_are_independent():
    """Neighbours share the random numbers' calls, not their fate; nor do batches or images."""
    masks = (_dropped(0.5) != 0).double() - 0.5
    for shift in (1, 2, 3, 4, 5, 8, 784):
        flat = masks.flatten()
        products = flat[:-shift] * flat[shift:]
        assert abs(products.mean().item()) < 5 * 0.25 / math.sqrt(products.numel()), shift
    between = (masks[0] * masks[1]).mean().item()
    assert abs(between) < 5 * 0.25 / math.sqrt(masks[0].numel())
    assert masks.mean(dim=(0, 1)).abs().max().item() < 6 * 0.5 / math.sqrt(400)  # of each unit


def test_dropout_extremes():
    """At 0 nothing is dropped; at 1 everything, and no NaN appears; close to 1, a few are left."""
    assert (_dropped(0.0) == 1).all()
    assert (_dropped(1.0) == 0).all()
    outputs = _dropped(0.9999)
    assert outputs.isfinite().all()
    assert 0 < (outputs != 0).sum() < 100  # 31 are expected


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 4, 5), (0, 7)])
def test_dropout_of_any_shape(shape):
    """A number of units that is no multiple of four works too."""
    layer = nn.Dropout(0.5)
    with stacking.quick_layers([layer], [Generator().manual_seed(0)]):
        output = layer(torch.ones(shape))
    assert output.shape == shape
    assert set(output.flatten().tolist()) <= {0.0, 2.0}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dropout_keeps_the_precision(dtype):
    """The output has the precision of the input."""
    layer = nn.Dropout(0.5)
    with stacking.quick_layers([layer], [Generator().manual_seed(0)]):
        assert layer(torch.ones(9, dtype=dtype)).dtype == dtype


def test_dropout_gradient_has_the_same_mask(data):
    """On its way back the gradient is dropped and scaled exactly as the signal was."""
    records = []

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(784))
            self.dropout = nn.Dropout(0.4)
            self.out = nn.Linear(784, 10)

        def forward(self, images):
            before = images.flatten(1) * self.weight
            after = self.dropout(before)
            if torch.is_grad_enabled():
                record = {"factor": (after / before).detach()}
                before.register_hook(partial(record.__setitem__, "before"))
                after.register_hook(partial(record.__setitem__, "after"))
                records.append(record)
            return self.out(after)

    train(Masked(), data, epochs=1, batch_size=20)
    assert len(records) == 5
    for record in records:
        assert 0.3 < (record["factor"] == 0).float().mean().item() < 0.5
        torch.testing.assert_close(
            record["before"], record["after"] * record["factor"], rtol=1e-5, atol=1e-9
        )


def test_dropout_in_an_eval_part_is_off(data):
    """A dropout layer that somebody keeps in evaluation mode is left out of it."""

    class AlwaysEval(nn.Dropout):
        def train(self, mode=True):  # noqa: ARG002
            return super().train(mode=False)

    seen = []
    model = nn.Sequential(nn.Flatten(), AlwaysEval(0.5), _Spy(seen), nn.Linear(784, 10))
    train(model, data, epochs=1, batch_size=96)
    assert (seen[0] != 0).double().mean().item() > 0.999
    layer = nn.Dropout(0.5).eval()
    with stacking.quick_layers([layer], [Generator()]):
        assert torch.equal(layer(torch.ones(100)), torch.ones(100))


def test_dropout_masks_follow_from_the_seed():
    """The same seed gives the same masks, another one others."""
    assert torch.equal(_dropped(0.5, seed=4), _dropped(0.5, seed=4))
    assert not torch.equal(_dropped(0.5, seed=4), _dropped(0.5, seed=5))


# Reproducible, and nothing global is touched

GLOBAL = {
    "F.dropout": lambda: _Model(lambda m, s: F.dropout(s, 0.5, m.training)),
    "torch.rand": lambda: _Model(lambda m, s: s + 0.1 * torch.rand(10) if m.training else s),
    "randn_like": lambda: _Model(lambda m, s: s + torch.randn_like(s) if m.training else s),
    "normal_": lambda: _Model(lambda m, s: s + torch.empty(10).normal_() if m.training else s),
    "bernoulli": lambda: _Model(
        lambda m, s: s * torch.bernoulli(torch.full((10,), 0.5)) if m.training else s
    ),
    "randperm": lambda: _Model(lambda m, s: s[:, torch.randperm(10)] if m.training else s),
    "Dropout1d": lambda: _Model(lambda m, s: m.drop(s[:, :, None])[:, :, 0], drop=nn.Dropout1d()),
    "AlphaDropout": lambda: _Model(lambda m, s: m.drop(s), drop=nn.AlphaDropout(0.3)),
    "RReLU": lambda: _Model(lambda m, s: m.act(s), act=nn.RReLU()),
    "LSTM": lambda: _Model(
        lambda m, s: m.rnn(s[:, None])[0][:, 0], rnn=nn.LSTM(10, 10, 2, dropout=0.5)
    ),
    "attention": lambda: _Model(
        lambda m, s: m.att(s[:, None], s[:, None], s[:, None])[0][:, 0],
        att=nn.MultiheadAttention(10, 2, dropout=0.5, batch_first=True),
    ),
}
OWN = {
    "nothing random": _Model,
    "nn.Dropout": lambda: _Model(lambda m, s: m.drop(s), drop=nn.Dropout(0.5)),
    "lesson": Net,
    "batch norm": lambda: _Model(lambda m, s: m.norm(s), norm=nn.BatchNorm1d(10)),
    "LSTM": lambda: _Model(lambda m, s: m.rnn(s[:, None])[0][:, 0], rnn=nn.LSTM(10, 10)),
    "own generator": lambda: _Model(
        lambda m, s: s + torch.rand(10, generator=Generator().manual_seed(0))  # noqa: ARG005
    ),
    "constants": lambda: _Model(lambda m, s: s + torch.ones_like(s) + torch.arange(10)),  # noqa: ARG005
}


@pytest.mark.parametrize("name", GLOBAL)
def test_models_that_draw_are_found_out(data, name):
    """A model that draws from the global generator in a training step is recognized."""
    assert uses_global_generator(GLOBAL[name](), data.train.images[:2])


@pytest.mark.parametrize("name", OWN)
def test_models_that_do_not_draw_are_too(data, name):
    """A model that draws nothing, or from its own generator, is not: it may run beside others."""
    assert not uses_global_generator(OWN[name](), data.train.images[:2])


@pytest.mark.parametrize("build", [*GLOBAL.values(), *OWN.values()], ids=[*GLOBAL, *OWN])
def test_looking_leaves_the_model_alone(data, build):
    """Weights, buffers, gradients, mode and the global state are as they were before the look."""
    model = build().eval()
    before, state = _state(model), torch.get_rng_state()
    uses_global_generator(model, data.train.images[:2])
    _assert_same_state(before, model.state_dict())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("build", [*GLOBAL.values(), *OWN.values()], ids=[*GLOBAL, *OWN])
def test_a_run_repeats_and_touches_nothing_global(data, build):
    """Same weights and seed, same run to the last bit; torch's global state is as it was."""
    runs = []
    for global_seed in (0, 1):
        model = _seeded(build)
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        runs.append(train(model, data, epochs=2, batch_size=20, seed=3))
        assert torch.equal(torch.get_rng_state(), state)
    first, second = runs
    assert np.array_equal(first.train_losses, second.train_losses)
    assert first.valid_loss == second.valid_loss
    assert first.test_accuracy == second.test_accuracy
    other = train(_seeded(build), data, epochs=2, batch_size=20, seed=4)
    assert not np.array_equal(first.train_losses, other.train_losses)


def test_a_model_that_draws_in_evaluation_too(data):
    """The promise holds "whatever the model does": also for noise that is always on."""
    runs = []
    for global_seed in (0, 1):
        model = _seeded(lambda: _Model(lambda m, s: s + torch.randn_like(s)))  # noqa: ARG005
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        runs.append(train(model, data, epochs=1, batch_size=20))
        assert torch.equal(torch.get_rng_state(), state)
    assert runs[0].valid_loss == runs[1].valid_loss


def test_a_model_that_keeps_its_activations(data):
    """A model that has been used, and remembers what it computed, can be trained."""

    # (It cannot be deep-copied.)
    class Keeps(_Model):
        def forward(self, images):
            self.last = super().forward(images)
            return self.last

    model = Keeps()
    model(data.train.images[:2])
    assert len(train(model, data, epochs=1, batch_size=20).train_losses) == 5


class _Pair(NamedTuple):
    images: torch.Tensor
    labels: torch.Tensor


def test_splits_may_be_tuples(data):
    """A split is whatever has `.images` and `.labels`: a named tuple too."""
    # Not to be taken for a list of batches.
    model = _seeded(Net)
    expected = evaluate(model, data.valid)
    assert evaluate(model, _Pair(data.valid.images, data.valid.labels)) == expected


def test_no_training_images(data):
    """A data set without training images is refused in words."""
    nothing = SimpleNamespace(train=_split(0), valid=data.valid, test=data.test)
    with pytest.raises(ValueError, match=r"no .*images"):
        train(Net(), nothing)


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

    model = nn.Sequential(nn.Dropout(0.5), _Model(fail))
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


def test_subclassed_dropout_is_left_alone(data):
    """A subclass may do something else: it keeps its own forward."""

    class Half(nn.Dropout):
        def forward(self, x):
            return 0.5 * x

    seen = []
    model = nn.Sequential(nn.Flatten(), Half(), _Spy(seen), nn.Linear(784, 10))
    train(model, data, epochs=1, batch_size=96)
    assert seen[0].max().item() <= 0.5


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
    model = _Model(lambda m, s: m.norm(m.spy(s)), norm=norm, spy=_Spy(seen))
    train(model, data, epochs=2, batch_size=20)
    assert norm.num_batches_tracked.item() == 10 == len(seen)
    mean = torch.zeros(10)
    for scores in seen:
        mean = 0.9 * mean + 0.1 * scores.mean(dim=0)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-6)


# evaluate


def _reference(model, split):
    """Loss and accuracy in plain torch, all images at once."""
    model.eval()
    with torch.no_grad():
        scores = model(split.images)
        loss = F.cross_entropy(scores.double(), split.labels).item()
    return loss, (scores.argmax(1) == split.labels).double().mean().item()


@pytest.mark.parametrize("batch_size", [1, 7, 40, 2000])
def test_evaluate_whatever_the_batch_size(data, batch_size):
    """Loss and accuracy are means over images, so the size of the batches does not matter."""
    model = _seeded(Net)
    loss, accuracy = _reference(_seeded(Net), data.valid)
    result = evaluate(model, data.valid, batch_size=batch_size)
    assert result.loss == pytest.approx(loss, rel=1e-6)
    assert result.accuracy == accuracy
    assert (result.loss, result.accuracy) == tuple(result)


def test_evaluate_a_loader(data):
    """A DataLoader, and any list of batches, gives the same."""
    model = _seeded(Net)
    expected = evaluate(model, data.valid)
    loader = DataLoader(TensorDataset(data.valid.images, data.valid.labels), 7)
    pairs = list(zip(data.valid.images.split(9), data.valid.labels.split(9), strict=True))
    for batches in (loader, pairs, iter(pairs)):
        result = evaluate(model, batches)
        assert result.loss == pytest.approx(expected.loss, rel=1e-6)
        assert result.accuracy == expected.accuracy


def test_evaluate_leaves_the_model_as_it_was(data):
    """Each module's own mode is put back, mixed ones too; buffers and gradients are untouched."""
    model = _Model(lambda m, s: m.norm(m.drop(s)), norm=nn.BatchNorm1d(10), drop=nn.Dropout(0.5))
    model.train()
    model.norm.eval()
    before = _state(model)
    first = evaluate(model, data.valid)
    modes = {name: module.training for name, module in model.named_modules()}
    assert modes == {"": True, "fc": True, "norm": False, "drop": True}
    _assert_same_state(before, model.state_dict())
    assert all(parameter.grad is None for parameter in model.parameters())
    model.eval()
    assert evaluate(model, data.valid) == first  # dropout was off
    assert not any(module.training for module in model.modules())


def test_evaluate_puts_the_mode_back_after_an_error(data):
    """A model that fails is left in the mode that it was in."""

    def fail(model, scores):  # noqa: ARG001
        raise RuntimeError("no")

    model = _Model(fail).train()
    with pytest.raises(RuntimeError, match="no"):
        evaluate(model, data.valid)
    assert model.training
    assert model.fc.training


@pytest.mark.parametrize("nothing", [[], _split(0)], ids=["no batches", "no images"])
def test_evaluate_nothing(nothing):
    """A mean over no images is refused, not NaN; the mode is put back."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).train()
    with pytest.raises(ValueError, match=r"^there are no images to evaluate the model on$"):
        evaluate(model, nothing)
    assert model.training


def test_evaluate_a_model_without_parameters():
    """A model with nothing to learn can be measured."""

    class Fixed(nn.Module):
        def forward(self, images):
            scores = torch.zeros(len(images), 10)
            scores[:, 3] = 1
            return scores

    split = _split(20)
    split.labels = torch.tensor([3] * 15 + [4] * 5)
    assert evaluate(Fixed(), split).accuracy == 0.75


def test_evaluation_after_training(data):
    """A run's numbers are those of `evaluate` on the trained model."""
    model = _seeded(Net)
    run = train(model, data, epochs=1)
    valid, test = evaluate(model, data.valid), evaluate(model, data.test)
    assert (run.valid_loss, run.valid_accuracy) == valid
    assert run.test_accuracy == test.accuracy


# Runs


def test_run_records_what_was_asked(data):
    """Label and seed are kept; the time is a time."""
    run = train(Net(8, 8), data, epochs=1, seed=7, label="mine")
    assert (run.label, run.seed, run.diverged, run.diverged_at) == ("mine", 7, False, None)
    assert run.train_losses.dtype == np.float32
    assert 0 < run.seconds < 60


def test_train_loss_is_the_mean_of_the_last_hundred():
    """One batch says little: the last hundred do, or all where there are fewer."""

    def run(losses, diverged_at=None):
        return Run("", 0, np.asarray(losses, np.float32), 1.0, 0.5, 0.5, diverged_at, 1.0)

    assert run(np.arange(300)).train_loss == pytest.approx(249.5)
    assert run([1, 3]).train_loss == 2
    assert math.isnan(run([1, math.nan], diverged_at=1).train_loss)
    assert run([1, math.nan], diverged_at=1).diverged
    assert isinstance(run([1, 3]).train_loss, float)


def test_train_loss_of_huge_losses():
    """Losses near the end of float32 have a mean, not infinity and a warning."""
    run = Run("", 0, np.full(100, 3e38, np.float32), 1.0, 0.5, 0.5, None, 1.0)
    assert run.train_loss == pytest.approx(3e38)


def test_learning_works(data):
    """The training loss of noise that can be learnt by heart falls below half of guessing."""
    run = train(Net(64, 64, dropout=0), data, epochs=30, batch_size=16, learning_rate=3e-3)
    assert run.train_losses[:3].mean() > 2
    assert run.train_losses[-3:].mean() < 1


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
        _seeded(lambda: Net(dropout=0)),
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

    run = train(_Model(set_at_twenty), data, epochs=2, batch_size=2, stop=stop)
    assert 20 <= len(run.train_losses) <= 36
    assert not run.diverged


# Settings


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
    before = _state(model)
    with pytest.raises(ValueError, match=rf"^{message}$"):
        train(model, data, **settings)
    _assert_same_state(before, model.state_dict())


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


def test_optimizer_by_name_and_function():
    """Names make the optimizers they name, with the rate; functions are called the same way."""
    parameters = [nn.Parameter(torch.ones(2))]
    assert type(make_optimizer("adam", parameters, 0.5)) is torch.optim.Adam
    for name, momentum in (("sgd", 0), ("momentum", 0.9)):
        optimizer = make_optimizer(name, parameters, 0.5)
        assert type(optimizer) is torch.optim.SGD
        assert optimizer.param_groups[0]["momentum"] == momentum
        assert optimizer.param_groups[0]["lr"] == 0.5
    optimizer = make_optimizer(partial(torch.optim.AdamW, weight_decay=0.1), parameters, 0.25)
    assert type(optimizer) is torch.optim.AdamW
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.param_groups[0]["weight_decay"] == 0.1


def test_the_lesson_on_the_sample(sample):
    """Real images: two epochs of the lesson's network get three of four right."""
    run = train(_seeded(Net), sample, epochs=2)
    assert len(run.train_losses) == 80
    assert run.train_losses[0] == pytest.approx(math.log(10), abs=0.1)
    assert 0.65 < run.valid_accuracy < 0.9
    assert abs(run.valid_accuracy - run.test_accuracy) < 0.08
