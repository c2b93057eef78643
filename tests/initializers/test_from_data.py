"""LSUV and its form unit by unit, against a loop with a forward pass for each layer."""

import pytest
import torch
from torch import nn

import initguide
from initguide import initializers as init


def network(activation):
    """Return a small convolutional network."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), activation(), nn.Flatten(), nn.Linear(216, 20), activation(),
        nn.Linear(20, 5),
    )  # fmt: skip


@pytest.fixture
def batch():
    """Return 100 images of noise, 8 × 8 pixels."""
    return 3 * torch.randn(100, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 1


def layer_by_layer(net, x, *, per_unit):
    """Rescale each layer after a forward pass of its own."""
    with torch.no_grad():
        for i, layer in enumerate(net):
            if not hasattr(layer, "weight"):
                continue
            out = net[: i + 1](x)
            axes = [0, *range(2, out.ndim)]
            shape = [-1] + [1] * (layer.weight.ndim - 1)
            spread = out.std(axes) if per_unit else out.std().repeat(out.shape[1])
            layer.weight /= spread.reshape(shape)
            layer.bias -= out.mean(axes) if per_unit else 0
            layer.bias /= spread
    return net


@pytest.mark.parametrize("per_unit", [False, True])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Softplus, nn.Tanh])
def test_one_pass_gives_what_a_pass_for_each_layer_gives(batch, activation, per_unit):
    """Dividing the outputs with the weights saves the passes, and changes nothing else."""
    net = initguide.initialize(network(activation), init.lsuv(batch, per_unit=per_unit), seed=3)
    plain = initguide.initialize(network(activation), "orthogonal", seed=3)
    expected = layer_by_layer(plain, batch, per_unit=per_unit)
    for ours, theirs in zip(net.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    assert not any(module._forward_hooks for module in net.modules())


def test_tokens_have_units_on_their_last_axis(batch):
    """Unit by unit, over entries and tokens."""
    x, net = batch.squeeze(1), nn.Linear(8, 12)
    out = initguide.initialize(net, init.lsuv(x, per_unit=True), seed=0)(x)
    assert torch.allclose(out.mean((0, 1)), torch.zeros(12), atol=1e-5)
    assert torch.allclose(out.std((0, 1)), torch.ones(12), rtol=1e-4)


def test_description_tells_batches_apart(batch):
    """Stores of results tell schemes by it."""
    names = {str(init.lsuv(x)) for x in (batch, batch.clone(), 2 * batch)}
    assert len(names) == 2


def test_what_cannot_be_rescaled_is_refused(batch):
    """One entry, a layer that gives zeros, and units that cannot be shifted."""
    with pytest.raises(ValueError, match=r"batch has shape \(1, 1, 8, 8\)"):
        init.lsuv(batch[:1])
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    with pytest.raises(ValueError, match="do not vary over the batch"):
        initguide.initialize(net, init.lsuv(0 * batch))
    assert not net[1]._forward_hooks
    bare = nn.Sequential(nn.Flatten(), nn.Linear(64, 5, bias=False))
    initguide.initialize(bare, init.lsuv(batch))
    with pytest.raises(ValueError, match="has no bias"):
        initguide.initialize(bare, init.lsuv(batch, per_unit=True))
