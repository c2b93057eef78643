"""The networks: shapes, parameters, constant weights, and what it refuses."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide.models import Net, mlp

LAYERS = ("fc1", "fc2", "fc3")


def test_parameter_count():
    """784·256 + 256 + 256·128 + 128 + 128·10 + 10 numbers, as in the original lesson."""
    assert sum(p.numel() for p in Net().parameters()) == 235_146


def test_layers():
    """784 → 256 → 128 → 10, or as wide as asked for."""
    shapes = [tuple(getattr(Net(), name).weight.shape) for name in LAYERS]
    assert shapes == [(256, 784), (128, 256), (10, 128)]
    shapes = [tuple(getattr(Net(7, 3), name).weight.shape) for name in LAYERS]
    assert shapes == [(7, 784), (3, 7), (10, 3)]


@pytest.mark.parametrize("shape", [(4, 1, 28, 28), (4, 28, 28), (4, 784), (0, 1, 28, 28)])
def test_output_shape(shape):
    """Ten scores an image, however the image is shaped; no image, no score."""
    assert Net()(torch.rand(shape)).shape == (shape[0], 10)


def test_forward_is_the_formula():
    """In evaluation mode: three affine maps with ReLU between them, and nothing after the last."""
    net = Net(20, 15).eval()
    x = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    h = torch.relu(x.reshape(6, 784) @ net.fc1.weight.T + net.fc1.bias)
    h = torch.relu(h @ net.fc2.weight.T + net.fc2.bias)
    torch.testing.assert_close(net(x), h @ net.fc3.weight.T + net.fc3.bias)


def test_dropout_is_on_in_training_only():
    """Two passes differ in training mode and agree in evaluation mode."""
    net, x = Net(), torch.rand(4, 1, 28, 28)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_dropout_follows_both_hidden_layers():
    """With nearly everything dropped, hardly more than the biases gets through."""
    torch.manual_seed(0)
    net = Net(dropout=0.999999)
    scores = net(torch.rand(4, 1, 28, 28))
    assert torch.equal(scores, net.fc3.bias.expand(4, 10))
    assert Net().dropout.p == 0.2
    still = Net(dropout=0)
    x = torch.rand(4, 1, 28, 28)
    assert torch.equal(still(x), still(x))


@pytest.mark.parametrize("number", [0, 1, -0.5, 0.0])
def test_constant_weight(number):
    """Every weight is the number, and every bias is 0."""
    net = Net(constant_weight=number)
    for name in LAYERS:
        assert (getattr(net, name).weight == number).all()
        assert (getattr(net, name).bias == 0).all()


def test_constant_weight_by_position():
    """The original's order of arguments: hidden_1, hidden_2, constant_weight."""
    net = Net(5, 4, 1)
    assert net.fc1.weight.shape == (5, 784)
    assert (net.fc3.weight == 1).all()


def test_without_constant_weight_layers_are_torchs_own():
    """The layers are those that PyTorch makes from the same seed, biases too."""
    torch.manual_seed(2)
    net = Net()
    torch.manual_seed(2)
    for name, layer in zip(
        LAYERS, (nn.Linear(784, 256), nn.Linear(256, 128), nn.Linear(128, 10)), strict=True
    ):
        assert torch.equal(getattr(net, name).weight, layer.weight)
        assert torch.equal(getattr(net, name).bias, layer.bias)


@pytest.mark.parametrize("number", [0, 1])
def test_equal_weights_start_at_ln_10(number):
    """All zeros and all ones give equal scores, so the loss is that of guessing: ln 10."""
    # In double precision: the ones' scores are about 10⁷, where float32 rounds to whole numbers.
    net = Net(constant_weight=number, dropout=0).double()
    scores = net(torch.rand(50, 1, 28, 28, dtype=torch.float64))
    loss = F.cross_entropy(scores, torch.arange(50) % 10)
    assert loss.item() == pytest.approx(math.log(10), abs=1e-6)


def test_zeros_get_a_gradient_in_the_last_bias_only():
    """Why all zeros never learns: every other gradient is exactly 0."""
    net = Net(constant_weight=0)
    F.cross_entropy(net(torch.rand(30, 1, 28, 28)), torch.arange(30) % 7).backward()
    moved = {name for name, p in net.named_parameters() if (p.grad != 0).any()}
    assert moved == {"fc3.bias"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_1": 0}, "hidden_1 is 0; a layer needs at least 1 unit"),
        ({"hidden_2": -3}, "hidden_2 is -3; a layer needs at least 1 unit"),
        ({"dropout": 1}, "dropout is 1; it must be at least 0 and below 1"),
        ({"dropout": -0.1}, r"dropout is -0\.1; it must be at least 0 and below 1"),
        ({"dropout": math.nan}, "dropout is nan; it must be at least 0 and below 1"),
    ],
)
def test_bad_arguments(arguments, message):
    """A width or a rate out of range is refused with its name, its value and the range."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        Net(**arguments)


def test_dropout_is_a_keyword():
    """The original has three arguments; the fourth cannot be mistaken for one of them."""
    with pytest.raises(TypeError, match="positional"):
        Net(256, 128, None, 0.5)


def test_mlp_is_the_formula():
    """Affine maps with the activation between them and nothing after the last."""
    net = mlp([12, 7, 5, 3], nn.Tanh)
    x = torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(0))
    h = x.reshape(4, 12)
    for layer in (net.fc1, net.fc2):
        h = torch.tanh(h @ layer.weight.T + layer.bias)
    torch.testing.assert_close(net(x), h @ net.fc3.weight.T + net.fc3.bias)


def test_mlp_options():
    """No biases and some dropout, where asked for."""
    net = mlp([4, 3, 2], bias=False, dropout=0.3)
    assert [name for name, _ in net.named_children()] == "flatten fc1 act1 drop1 fc2".split()  # noqa: SIM905  easier to read
    assert net.fc1.bias is None
    assert net.drop1.p == 0.3
    assert isinstance(net.act1, nn.ReLU)


@pytest.mark.parametrize(
    ("widths", "options", "message"),
    [
        ([784], {}, r"widths is \[784\]; give the inputs and the outputs"),
        ([784, 0, 10], {}, "widths holds 0; a layer needs at least 1 unit"),
        ([784, 10], {"dropout": 1.0}, r"dropout is 1.0; it must be at least 0 and below 1"),
    ],
)
def test_mlp_refuses(widths, options, message):
    """The message says which argument, what came and what is allowed."""
    with pytest.raises(ValueError, match=message):
        mlp(widths, **options)


def test_mlp_refuses_one_module_for_all_layers():
    """The class is meant."""
    with pytest.raises(TypeError, match=r"activation is one ReLU.*give the class"):
        mlp([4, 3, 2], nn.ReLU())


def test_normalization_stands_before_the_activation():
    """A normalization of the layer's units behind each hidden layer, and none behind the last."""
    net = mlp([7, 5, 4, 3], norm=nn.LayerNorm)
    names = ["flatten", "fc1", "norm1", "act1", "fc2", "norm2", "act2", "fc3"]
    assert [name for name, _ in net.named_children()] == names
    assert [net.norm1.normalized_shape, net.norm2.normalized_shape] == [(5,), (4,)]
    torch.manual_seed(0)
    normalized = mlp([7, 5, 4, 3], norm=nn.LayerNorm)
    torch.manual_seed(0)
    plain = mlp([7, 5, 4, 3])
    assert torch.equal(normalized.fc3.weight, plain.fc3.weight)  # the same draws
