"""Fan-in and fan-out of a layer."""

import math
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy

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

    A module of another library counts as a linear layer if it holds a matrix called ``weight``, no
    modules, and says which axis of it counts the outputs: by a vector called ``bias`` of that
    length, or by ``in_features`` and ``out_features`` (``in_channels`` and ``out_channels``, ``nx``
    and ``nf``). So the ``Conv1D`` of transformers, whose matrix has the inputs first, is one.

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
    if (inputs_first := matrix_order(layer)) is not None:
        weight = layer.weight
        assert isinstance(weight, Tensor)  # or it had no order  # noqa: S101
        ins, outs = weight.shape if inputs_first else reversed(weight.shape)
        return Fans(ins, outs)
    raise TypeError(
        f"fan-in and fan-out are known for linear layers, convolutions and embeddings, "
        f"not for {type(layer).__name__}"
    )


def fan_of(layer: nn.Module, mode: str) -> float:
    """One of the two fans of a layer, by the name that torch gives it."""
    return fans(layer).fan_in if mode == "fan_in" else fans(layer).fan_out


# What modules of other libraries call the numbers of their inputs and outputs.
_SIZES = (("in_features", "out_features"), ("in_channels", "out_channels"), ("nx", "nf"))


def matrix_order(module: nn.Module) -> bool | None:
    """Whether the matrix of a linear layer of another library has the inputs first.

    ``None`` for what is none, as far as its attributes tell. Torch's own modules are known by their
    types, so those that are not linear (`torch.nn.Bilinear`, normalizations) stay unknown.
    """
    weight = module._parameters.get("weight")  # noqa: SLF001  a computed one is no parameter
    if weight is None or is_lazy(weight) or weight.ndim != 2 or not weight.is_floating_point():
        return None
    if type(module).__module__.startswith("torch.") or next(module.children(), None) is not None:
        return None
    bias = module._parameters.get("bias")  # noqa: SLF001
    shape = tuple(weight.shape)
    for ins, outs in _SIZES:
        sizes = getattr(module, ins, None), getattr(module, outs, None)
        if sizes in (shape, shape[::-1]):
            return sizes == shape and shape[0] != shape[1]
    if bias is None or is_lazy(bias) or bias.ndim != 1 or len(bias) not in shape:
        return None
    return len(bias) != shape[0]
