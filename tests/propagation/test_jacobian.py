"""Singular values of the derivative by the input."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide.propagation import measure


def test_jacobian_of_linear_layers(draws, two_layers):
    """The Jacobian of linear layers is their product, for every input."""
    model = two_layers()
    product = model[1].weight @ model[0].weight
    found = measure(model, draws(5, 6), jacobian=2).jacobian_singular_values
    assert found.shape == (2, 3)
    expected = torch.linalg.svdvals(product.detach().double())
    np.testing.assert_allclose(found, np.stack([expected, expected]), rtol=1e-5)
    assert measure(model, draws(5, 6)).jacobian_singular_values is None


@pytest.mark.parametrize("training", [False, True])
def test_jacobian_against_torch(draws, training):
    """With convolutions, pooling, batch norm and in-place ReLU it is what torch.func says."""
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 4),
    ).train(training)
    x = draws(3, 1, 6, 6)
    found = measure(model, x, jacobian=3).jacobian_singular_values
    whole = torch.autograd.functional.jacobian(copy.deepcopy(model), x)  # (3, 4, 3, 1, 6, 6)
    for i in range(3):
        expected = torch.linalg.svdvals(whole[i, :, i].reshape(4, 36).double())
        np.testing.assert_allclose(found[i], expected, rtol=1e-4)


def test_jacobian_of_orthogonal_layers(draws):
    """Orthogonal weights keep all lengths: every singular value is 1, in a deep network too."""
    model = nn.Sequential(*[nn.Linear(32, 32) for _ in range(30)])
    initguide.initialize(model, "orthogonal", seed=0)
    found = measure(model, draws(2, 32), jacobian=1).jacobian_singular_values
    np.testing.assert_allclose(found, 1.0, rtol=1e-4)


def test_jacobian_where_vectors_go_one_by_one(draws, two_layers, monkeypatch):
    """An operation that torch cannot do for many vectors at once takes the long way."""
    model, x = two_layers(nn.Tanh()), draws(2, 6)
    expected = measure(model, x, jacobian=2).jacobian_singular_values
    plain = torch.autograd.grad

    def grad(*args, is_grads_batched=False, **kwargs):
        if is_grads_batched:
            raise RuntimeError("no batching rule")
        return plain(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", grad)
    found = measure(model, x, jacobian=2).jacobian_singular_values
    np.testing.assert_allclose(found, expected, rtol=1e-6)
