"""What one parameter was in the pass, and what gradient it got."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from initguide.products import Product
from initguide.propagation.moments import moments_of
from initguide.propagation.roles import Role
from initguide.propagation.units import shared_fraction, unit_sums

__all__ = ["ParameterRecord", "parameter_record"]


@dataclass(frozen=True, eq=False)
class ParameterRecord:
    """What one parameter was in the pass.

    Attributes
    ----------
    name
        As in ``model.named_parameters()``; the first one of a tensor with several names.
    layer
        The layer that it belongs to, named as in a `Record`: a module, or the parameter itself if
        the model multiplies by it without one.
    shape
        Of the parameter.
    trained
        Whether it has ``requires_grad``.
    second_moment
        Mean square of its values.
    grad_second_moment
        Mean square of the gradient of the loss; NaN if it is not trained or took no part.
    units
        How many units it gives weights to: rows of a matrix or of convolution kernels, columns of
        an embedding. 0 for biases and the like, and where the shape does not tell. Of a parameter
        that the model multiplies by itself, each index along the axes that are not summed over.
    shared
        In [0, 1]: how much of the mean square is the mean over the units, which all of them share:
        1 if all units have the same weights, 1 / units for independent ones around 0. NaN without
        units.
    distinct, grad_distinct
        How many different units there are, and how many different gradients these get, told apart
        as in `SAME`. NaN without units.
    sensitivity
        On request: by how much one answer moves if this parameter moves by a length of 1 in the
        best direction: see `initguide.propagation.measure`. NaN if it was not asked for, or no
        answer depends on the parameter.
    fan_in, fan_out
        How many terms were summed where the model multiplied by this parameter itself, or by that
        of a layer of another library, and how many results each input reaches; NaN for all others,
        whose `Record` says it.
    used_as
        What the model did with it itself: ``"product"`` if it multiplied and summed, ``"gate"`` if
        it multiplied number by number, as with the scale of a normalization, ``"shift"`` if it
        added. Empty for all others, such as those of torch's layers.
    role
        Whether it ``"multiplies"`` numbers one by one (as a gate, or the gain of a normalization),
        only ``"adds"`` to them (as a bias), or is used in any ``"other"`` way (as a matrix), told
        by the graph of the pass. ``None`` if it is not trained or took no part.
    beside
        Mean square of the signal that it was first added to; NaN if it was added to none.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    trained: bool
    second_moment: float
    grad_second_moment: float
    units: int
    shared: float
    distinct: float
    grad_distinct: float
    sensitivity: float = math.nan
    fan_in: float = math.nan
    fan_out: float = math.nan
    used_as: str = ""
    role: Role | None = None
    beside: float = math.nan


def parameter_record(
    model: nn.Module,
    name: str,
    tensor: nn.Parameter,
    gradient: Tensor | None,
    *,
    sensitivity: float = math.nan,
    product: Product | None = None,
    itself: bool = False,
    used_as: str = "",
    role: Role | None = None,
    beside: float = math.nan,
) -> ParameterRecord:
    """Look at one parameter of a model and at its gradient, if it has one.

    ``product`` is how the model multiplied by it, if it did so itself, and ``itself`` whether it
    has a record of its own.
    """
    path = name.split(".")
    # What torch.nn.utils.parametrize computes a weight from belongs to the layer that uses it:
    # "fc.parametrizations.weight.original0" is a parameter of "fc".
    last = path.index("parametrizations") if "parametrizations" in path else -1
    owner = ".".join(path[:last])
    axis = _unit_axis(model.get_submodule(owner), tensor)
    values: Tensor = tensor
    if product is not None and product.inputs:
        axis, values = 0, _units_first(tensor.detach(), product)
        gradient = None if gradient is None else _units_first(gradient, product)
    second, distinct = _size_and_units(values, axis)
    grad_second, grad_distinct = _size_and_units(gradient, axis)
    return ParameterRecord(
        name=name,
        layer=name if itself else owner or type(model).__name__,
        shape=tuple(tensor.shape),
        trained=tensor.requires_grad,
        second_moment=second,
        grad_second_moment=grad_second,
        units=values.shape[axis] if axis is not None else 0,
        shared=shared_fraction(values, axis) if axis is not None and values.numel() else math.nan,
        distinct=distinct,
        grad_distinct=grad_distinct,
        sensitivity=sensitivity,
        fan_in=math.nan if product is None else product.fan_in,
        fan_out=math.nan if product is None else product.fan_out,
        used_as=used_as,
        role=role,
        beside=beside,
    )


def _units_first(values: Tensor, product: Product) -> Tensor:
    """View as (units, inputs): all axes that are not summed over count units."""
    dense = values if values.layout == torch.strided else values.to_dense()
    others = [axis for axis in range(dense.ndim) if axis not in product.inputs]
    units = math.prod(dense.shape[axis] for axis in others)
    return dense.permute([*others, *product.inputs]).reshape(units, -1)


def _unit_axis(module: nn.Module, parameter: nn.Parameter) -> int | None:
    """Which axis of a parameter counts the units that it gives weights to; None for biases."""
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        # A row of the table is one token; the units are its columns.
        return 1
    if parameter.ndim <= 1:
        return None
    if isinstance(module, _ConvTransposeNd):
        return 1 if module.groups == 1 else None  # the units of a group are not told by the shape
    return 0


def _size_and_units(values: Tensor | None, axis: int | None) -> tuple[float, float]:
    """Mean square, and how many units differ; NaN where there is nothing to tell them by."""
    if values is None or not values.numel():
        return math.nan, math.nan
    dense = values if values.layout == torch.strided else values.to_dense()
    if axis is None:
        return moments_of([dense]).mean_square(), math.nan
    units = unit_sums(dense, axis)
    return units.moments.mean_square(), float(units.distinct())
