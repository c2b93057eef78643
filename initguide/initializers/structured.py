"""Weights that are not independent draws: orthogonal, sparse, the identity."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from initguide.arguments import check_number
from initguide.initializers.scheme import Scheme, filling, initializer


def fill_matrices(
    layer: Any, fill: Callable[[Tensor], object], weight: Tensor | None = None
) -> None:
    """Fill the weight as (outputs, inputs) matrices, one per group: what the layer multiplies by.

    ``weight`` is the part of it to fill, if not all.
    """
    inputs_first = isinstance(layer, _ConvTransposeNd | nn.Embedding)
    weight = layer.weight if weight is None else weight
    for group in weight.chunk(getattr(layer, "groups", 1), dim=0):
        block = group.transpose(0, 1) if inputs_first else group
        # In float32 at least: the QR decomposition has no half precision.
        dtype = torch.promote_types(block.dtype, torch.float32)
        matrix = torch.empty(
            block.shape[0], math.prod(block.shape[1:]), dtype=dtype, device=block.device
        )
        fill(matrix)
        block.copy_(matrix.view(block.shape))


@initializer
def orthogonal(gain: float = 1.0, *, generator: Generator | None = None) -> Scheme:
    """Random orthogonal weights: every singular value equals the gain.

    A layer whose matrix of (outputs, inputs) is not square gets orthonormal rows or columns,
    whichever are fewer (Saxe, McClelland & Ganguli 2014). The matrix of a convolution has a column
    for each input channel at each kernel position, and each group has a matrix of its own.

    Parameters
    ----------
    gain
        Multiplies the weights, above 0.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    gain = check_number("gain", gain, above=0)
    return filling(
        "orthogonal",
        lambda layer: fill_matrices(
            layer, lambda matrix: nn.init.orthogonal_(matrix, gain, generator=generator)
        ),
        gain=gain,
    )


@initializer
def delta_orthogonal(gain: float = 1.0, *, generator: Generator | None = None) -> Scheme:
    """Convolutions with a random orthogonal matrix at the centre of the kernel, and 0 elsewhere.

    Such a layer keeps the length of the channels' vector at each position, up to the gain. Other
    weights average these lengths over the positions under the kernel, layer by layer. Plain
    convolutional networks of 10,000 layers were trained from it (Xiao et al. 2018,
    arXiv:1806.05393). Every other layer is filled as by `orthogonal`.

    Each group of a convolution has a matrix (outputs, inputs) of its own. With more outputs than
    inputs its columns are orthonormal, and lengths are kept; the paper allows nothing else. With
    fewer, its rows are, here: the length of an input shrinks by √(outputs / inputs) on average. The
    centre of a kernel of even size k is the position k // 2, as for `identity`.

    Parameters
    ----------
    gain
        Multiplies the weights, above 0; 1 for linear and tanh networks.
    generator
        Where the random numbers come from; torch's global generator if ``None``.

    Raises
    ------
    TypeError, ValueError
        If the gain is not a finite number above 0.

    Examples
    --------
    >>> from initguide.initializers import initialize
    >>> conv = initialize(nn.Conv2d(4, 4, 3, padding=1, bias=False), "delta_orthogonal", seed=0)
    >>> images = torch.randn(2, 4, 8, 8, generator=Generator().manual_seed(1))
    >>> torch.allclose(conv(images).norm(dim=1), images.norm(dim=1))
    True
    """
    gain = check_number("gain", gain, above=0)

    def fill_matrix(matrix: Tensor) -> None:
        nn.init.orthogonal_(matrix, gain, generator=generator)

    def fill(layer: Any) -> None:
        if not isinstance(layer, _ConvNd):
            fill_matrices(layer, fill_matrix)
            return
        nn.init.zeros_(layer.weight)
        centre = tuple(size // 2 for size in layer.kernel_size)
        fill_matrices(layer, fill_matrix, layer.weight[(..., *centre)])  # type: ignore[index]

    return filling("delta_orthogonal", fill, gain=gain)


@initializer
def sparse(
    sparsity: float = 0.9, std: float = 0.01, *, generator: Generator | None = None
) -> Scheme:
    """Weights from N(0, std²), most of them set to 0.

    Each input keeps a share ``1 - sparsity`` of its connections, chosen at random (after Martens
    2010, "Deep learning via Hessian-free optimization").

    Parameters
    ----------
    sparsity
        The share of each input's weights that is 0, in (0, 1); rounded up to whole weights.
    std
        The standard deviation of the others, above 0.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    sparsity = check_number("sparsity", sparsity, above=0, below=1)
    std = check_number("std", std, above=0)

    # torch.nn.init.sparse_ does this too, but picks what to drop from the global generator.
    def fill(matrix: Tensor) -> None:
        nn.init.normal_(matrix, 0.0, std, generator=generator)
        order = torch.rand(matrix.shape, device=matrix.device, generator=generator).argsort(dim=0)
        matrix[order < math.ceil(sparsity * len(matrix))] = 0

    return filling("sparse", lambda layer: fill_matrices(layer, fill), sparsity=sparsity, std=std)


@initializer
def identity() -> Scheme:
    """Weights that hand each input to the output of the same number, as far as there are both.

    A convolution gets the 1 at the centre of its kernel (`torch.nn.init.dirac_`).
    """

    def fill(layer: Any) -> None:
        if isinstance(layer, _ConvNd):
            nn.init.dirac_(layer.weight, layer.groups)
        else:
            nn.init.eye_(layer.weight)

    return filling("identity", fill)
