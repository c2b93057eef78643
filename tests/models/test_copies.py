"""Copied units: the same output and the same training as the narrow network."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from initguide.models import mlp, with_copies


def draws(*shape, seed=0):
    """Numbers from N(0, 1)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("widths", [[6, 4], [6, 3, 4], [6, 3, 2, 5, 4]])
def test_the_output_stays(widths, bias):
    """At any depth, with biases and without; the outputs are not copied."""
    narrow = mlp(widths, lambda: nn.LeakyReLU(0.1), bias=bias)
    wide = with_copies(narrow, 3)
    torch.testing.assert_close(wide(draws(7, 6)), narrow(draws(7, 6)))
    shapes = [tuple(layer.weight.shape) for layer in wide if isinstance(layer, nn.Linear)]
    full = [widths[0], *[3 * width for width in widths[1:-1]], widths[-1]]
    assert shapes == [(m, n) for n, m in pairwise(full)]
    assert all(
        layer.weight.shape == (layer.out_features, layer.in_features)
        for layer in wide
        if isinstance(layer, nn.Linear)
    )


def test_steps_of_momentum_stay_together():
    """After some steps both still compute the same, and the narrow one was left alone before."""
    narrow = mlp([6, 3, 2, 4])
    before = [parameter.clone() for parameter in narrow.parameters()]
    wide = with_copies(narrow, 5)
    for net in (wide, narrow):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        for seed in range(5):
            optimizer.zero_grad()
            net(draws(7, 6, seed=seed)).square().mean().backward()
            optimizer.step()
        if net is wide:
            assert all(torch.equal(a, b) for a, b in zip(before, narrow.parameters(), strict=True))
    torch.testing.assert_close(wide(draws(7, 6)), narrow(draws(7, 6)))
    assert not torch.equal(before[0], narrow.fc1.weight)


def test_what_is_refused():
    """No copies, nothing to copy, and what does not scale with its input."""
    with pytest.raises(ValueError, match="copies is 0"):
        with_copies(mlp([6, 3, 4]), 0)
    with pytest.raises(ValueError, match=r"no nn\.Linear layer; give what initguide\.mlp makes"):
        with_copies(nn.Sequential(nn.ReLU()), 2)
    with pytest.raises(TypeError, match=r"Tanh as 'act1', which need not scale .* only Identity, "):
        with_copies(mlp([6, 3, 4], nn.Tanh), 2)
    with pytest.raises(ValueError, match=r"copies is 2\.5"):
        with_copies(mlp([6, 3, 4]), 2.5)
    twice = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="one layer in two places"):
        with_copies(nn.Sequential(twice, nn.ReLU(), twice), 2)
    behind = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6, 5))
    with pytest.raises(TypeError, match=r"Flatten as '2'.* Flatten before the first"):
        with_copies(behind, 2)
