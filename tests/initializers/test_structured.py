"""Orthogonal, sparse and the like."""

import math

import pytest
import torch
from initializer_cases import LAYERS, _generator
from scipy import stats
from torch import nn

from initguide import initializers as init
from initguide.initializers import initialize


def _matrices(layer):
    """Independent of the package: what the layer multiplies its inputs by, one matrix a group."""
    weight, groups = layer.weight.detach(), getattr(layer, "groups", 1)
    if isinstance(layer, nn.Linear):
        return [weight]
    if isinstance(layer, nn.Embedding):
        return [weight.T]
    if "Transpose" in type(layer).__name__:  # (in, out / groups, *kernel)
        per_group = weight.reshape(groups, -1, *weight.shape[1:])
        return [m.transpose(0, 1).flatten(1) for m in per_group]
    return list(weight.reshape(groups, -1, *weight.shape[1:]).flatten(2))


@pytest.mark.parametrize("gain", [1.0, 0.5, 1.7])
@pytest.mark.parametrize("layer", LAYERS)
def test_orthogonal_singular_values(layer, gain):
    """All singular values of each group's matrix equal the gain."""
    module = LAYERS[layer]()
    init.orthogonal(gain, generator=_generator())(module)
    for matrix in _matrices(module):
        values = torch.linalg.svdvals(matrix)
        torch.testing.assert_close(values, torch.full_like(values, gain), rtol=1e-5, atol=1e-5)


def test_orthogonal_keeps_lengths():
    """A square orthogonal layer keeps the length of every input, and a tall one does too."""
    x = torch.randn(5, 16, generator=_generator())
    for layer in (nn.Linear(16, 16), nn.Linear(16, 40)):
        lengths = initialize(layer, "orthogonal", seed=0)(x).norm(dim=1)
        torch.testing.assert_close(lengths, x.norm(dim=1), rtol=1e-5, atol=0)


def test_orthogonal_groups_differ():
    """Each group of a convolution gets a draw of its own."""
    layer = initialize(nn.Conv2d(4, 8, 3, groups=2), "orthogonal", seed=0)
    first, second = layer.weight.chunk(2)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("layer", LAYERS)
def test_delta_orthogonal_is_orthogonal_at_the_centre(layer):
    """Each group's matrix at the kernel's centre has the gain's singular values; around it is 0."""
    module = LAYERS[layer]()
    init.delta_orthogonal(1.7, generator=_generator())(module)
    kernel = getattr(module, "kernel_size", ())
    centre = math.prod(kernel) // 2 if all(k % 2 for k in kernel) else None
    for matrix in _matrices(module):
        rows = min(len(matrix), matrix.shape[1] // math.prod(kernel))
        values = torch.linalg.svdvals(matrix)[:rows]
        torch.testing.assert_close(values, torch.full_like(values, 1.7), rtol=1e-5, atol=1e-5)
        if kernel:
            used = matrix.reshape(len(matrix), -1, math.prod(kernel)).any(0).any(0)
            assert used.sum() == 1
            assert centre is None or used[centre]


def test_delta_orthogonal_keeps_the_length_at_every_position():
    """What starts at one position stays there; orthogonal kernels spread it over all."""
    x = torch.zeros(1, 16, 6, 6)
    x[:, :, 2, 3] = 1.0
    layers = [nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular") for _ in range(10)]
    share = {}
    for name in ("delta_orthogonal", "orthogonal"):
        with torch.no_grad():
            energy = (initialize(nn.Sequential(*layers), name, seed=0)(x) ** 2).sum(1)
        share[name] = (energy[0, 2, 3] / energy.sum()).item()
    assert share["delta_orthogonal"] == pytest.approx(1)
    assert share["orthogonal"] < 0.15


def test_delta_orthogonal_of_an_even_kernel():
    """An even kernel has its matrix where `identity` has its 1."""
    layer = nn.Conv2d(3, 3, 4)
    places = [
        initialize(layer, name).weight.any(0).any(0) for name in ("identity", "delta_orthogonal")
    ]
    assert torch.equal(*places)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(5, 5), (3, 5)),
        (nn.Conv1d(4, 4, 3, padding=1), (2, 4, 6)),
        (nn.Conv2d(4, 4, 3, padding=1), (2, 4, 6, 6)),
        (nn.Conv2d(4, 4, (5, 3), padding=(2, 1)), (2, 4, 6, 6)),
        (nn.Conv2d(4, 4, 3, padding=2, dilation=2), (2, 4, 6, 6)),
        (nn.Conv2d(6, 6, 3, padding=1, groups=3), (2, 6, 6, 6)),
        (nn.Conv2d(6, 6, 3, padding=1, groups=6), (2, 6, 6, 6)),
        (nn.Conv3d(2, 2, 3, padding=1), (2, 2, 4, 4, 4)),
        (nn.ConvTranspose1d(4, 4, 3, padding=1), (2, 4, 6)),
        (nn.ConvTranspose2d(4, 4, 5, padding=2), (2, 4, 6, 6)),
        (nn.ConvTranspose2d(6, 6, 3, padding=1, groups=3), (2, 6, 6, 6)),
    ],
    ids=repr,
)
def test_identity_is_the_identity(layer, shape):
    """With as many outputs as inputs, the layer hands its input on unchanged."""
    x = torch.randn(shape, generator=_generator())
    assert torch.equal(initialize(layer, "identity")(x), x)


def test_identity_of_other_shapes():
    """More outputs than inputs: the rest is 0. Fewer: the first inputs get through."""
    x = torch.tensor([[1.0, 2.0, 3.0]])
    assert initialize(nn.Linear(3, 5), "identity")(x).tolist() == [[1, 2, 3, 0, 0]]
    assert initialize(nn.Linear(3, 2), "identity")(x).tolist() == [[1, 2]]
    assert torch.equal(initialize(nn.Embedding(4, 4), "identity").weight, torch.eye(4))


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("layer", [*LAYERS, "large"])
def test_sparse_share_of_zeros(layer, sparsity):
    """Each input has its share of zero weights, rounded up to whole weights."""
    module = nn.Linear(30, 40) if layer == "large" else LAYERS[layer]()
    initialize(module, init.sparse(sparsity, 1.0), seed=0)
    for matrix in _matrices(module):
        zeros = (matrix == 0).sum(dim=0)
        assert (zeros == math.ceil(sparsity * len(matrix))).all()


def test_sparse_spread():
    """What is not 0 is drawn from N(0, std²)."""
    weight = initialize(nn.Linear(500, 400), init.sparse(0.5, 0.2), seed=0).weight.detach()
    kept = weight[weight != 0].double().numpy()
    assert stats.kstest(kept, stats.norm(0, 0.2).cdf).pvalue > 1e-4
