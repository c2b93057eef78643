"""Which networks and data the compiled steps are for."""

import pytest
import torch
from torch import Generator, nn
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode
from training_networks import needs_compiler

from initguide.models import Net, mlp
from initguide.training import engine, plan


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
    assert not engine.knows(model)
    if name != "lazy":
        assert plan(model).way != "compiled"
    with pytest.raises(ValueError, match="model cannot be trained by compiled steps; ask `fits`"):
        engine.prepare(
            model, torch.zeros(2, 784), torch.zeros(2, dtype=torch.int64),
            batch_size=2, optimizer="sgd", learning_rate=1.0, masks=Generator(),
        )  # fmt: skip


def test_hooks_for_all_modules():
    """Hooks of every module there is: then, somebody looks on, too."""
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert not engine.knows(Net())
    finally:
        handle.remove()
    assert engine.knows(Net())


def test_another_forward_for_the_whole_class(monkeypatch):
    """Somebody may have changed what `Net` computes."""
    monkeypatch.setattr(Net, "forward", lambda self, x: self.fc3(self.fc2(self.fc1(x.flatten(1)))))
    assert not engine.knows(Net())


@needs_compiler
def test_data_that_are_not_taken(data):
    """Anything but float32 images and int64 labels of classes that exist, one behind the other."""
    images, labels, net = data.train.images, data.train.labels, Net()
    assert engine.takes(net, images, labels, 32)
    assert engine.takes(mlp([784, 10]), images.flatten(1), labels, 32)
    assert engine.takes(nn.Sequential(nn.Linear(784, 10)), images.flatten(1), labels, 32)
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
        assert not engine.takes(model, x, y, batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert not engine.takes(net, images, labels, 32)
    with torch.autograd.set_detect_anomaly(mode=True):
        assert not engine.takes(net, images, labels, 32)
    with FlopCounterMode(display=False):
        assert not engine.takes(net, images, labels, 32)
    assert not engine.takes(net, images.clone().requires_grad_(), labels, 32)
