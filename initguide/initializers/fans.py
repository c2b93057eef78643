"""Fan-in and fan-out of a layer."""

import math
from typing import Literal, NamedTuple

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

Mode = Literal["fan_in", "fan_out"]


class Fans(NamedTuple):
    """The two counts that most schemes are made of.

    Attributes
    ----------
    fan_in
        How many inputs each output sums.
    fan_out
        How many outputs each input reaches.
    """

    fan_in: float
    fan_out: float


def fans(layer: nn.Module) -> Fans:
    """Fan-in and fan-out of a layer.

    A convolution's output sums the channels of its own group under the kernel, so with ``k``
    positions under the kernel

    ==========================  =========================  ================
    layer                       fan-in                     fan-out
    ==========================  =========================  ================
    linear                      in                         out
    convolution                 in / groups · k            out / groups · k
    transposed convolution      in / groups · k / stride   out / groups · k
    embedding                   1                          dim
    ==========================  =========================  ================

    where "stride" is the product over the dimensions: a transposed convolution spreads its input
    over ``stride`` times as many outputs, so each of them sums that many terms fewer, on average.
    The fan-out of a strided convolution is not divided, as is usual. An embedding looks one row
    up: its output is a sum with one term. Padding is not counted.

    `torch.nn.init` reads both numbers off the shape of the weight. It agrees for linear layers and
    ordinary convolutions; it multiplies fan-out by the number of groups, swaps the two for
    transposed convolutions, and takes an embedding for a linear layer.

    Parameters
    ----------
    layer
        A linear layer, a convolution (transposed or not) or an embedding.

    Returns
    -------
    Fans
        ``(fan_in, fan_out)``, whole numbers except for the fan-in of some transposed convolutions.

    Raises
    ------
    TypeError
        If the layer is of another kind.

    Examples
    --------
    >>> fans(nn.Linear(784, 256))
    Fans(fan_in=784, fan_out=256)
    >>> fans(nn.Conv2d(16, 32, kernel_size=3, groups=4))
    Fans(fan_in=36, fan_out=72)
    """
    if isinstance(layer, nn.Linear):
        return Fans(layer.in_features, layer.out_features)
    if isinstance(layer, nn.Embedding):
        return Fans(1, layer.embedding_dim)
    if isinstance(layer, _ConvNd):
        kernel = math.prod(layer.kernel_size)
        fan_in: float = layer.in_channels // layer.groups * kernel
        if isinstance(layer, _ConvTransposeNd):
            stride = math.prod(layer.stride)
            fan_in = fan_in // stride if fan_in % stride == 0 else fan_in / stride
        return Fans(fan_in, layer.out_channels // layer.groups * kernel)
    raise TypeError(
        f"fan-in and fan-out are known for linear layers, convolutions and embeddings, "
        f"not for {type(layer).__name__}"
    )


def fan_of(layer: nn.Module, mode: str) -> float:
    """One of the two fans of a layer, by the name that torch gives it."""
    return fans(layer).fan_in if mode == "fan_in" else fans(layer).fan_out
