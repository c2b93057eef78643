"""Where a parameter stands: its layer, its role there, its fans, how deep the stack is."""

import contextlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from initguide.initializers import Fans, fans

__all__ = ["Place", "Role", "places_of", "why_unreadable"]

Role = Literal["weight", "bias", "vector"]


@dataclass(frozen=True, eq=False)
class Place:
    """A parameter, and what the rules need to know of where it stands.

    Attributes
    ----------
    names
        All its names in ``model.named_parameters()``, several if it is tied.
    tensor
        The parameter.
    layer
        The module that has it.
    role
        ``"weight"`` with two dimensions or more, ``"bias"`` if it is named so, or another
        ``"vector"``.
    fan_in, fan_out
        Of the layer; for a bias, of its layer too. NaN where there is none.
    depth
        How many blocks the stack has in which it stands (the longest list of modules with a number
        in its name); 1 outside any.
    """

    names: tuple[str, ...]
    tensor: Tensor
    layer: nn.Module
    role: Role
    fan_in: float
    fan_out: float
    depth: int

    @property
    def name(self) -> str:
        """Its first name."""
        return self.names[0]


def places_of(model: nn.Module) -> Iterator[tuple[Place, tuple[Fans, ...]]]:
    """Each parameter of a model once, in order, with all the ways of counting its fans.

    `initguide.initializers.fans` counts by what a layer computes, and `torch.nn.init` by the shape
    of the weight; a packed layer has several matrices in one parameter. Where these differ, a rule
    may have been applied with any of them.
    """
    names: dict[int, list[str]] = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(tensor), []).append(name)
    modules = dict(model.named_modules(remove_duplicate=False))
    for name, tensor in model.named_parameters():
        owner, _, own = name.rpartition(".")
        layer = modules[owner]
        role: Role = "weight" if tensor.ndim > 1 else "bias" if "bias" in own else "vector"
        counted = tuple(dict.fromkeys(_countings(layer, own, tensor, role)))
        first = counted[0] if counted else Fans(math.nan, math.nan)
        yield (
            Place(
                tuple(names[id(tensor)]), tensor, layer, role, *first, depth=_depth(name, modules)
            ),
            counted or (first,),
        )


def _countings(layer: nn.Module, own: str, tensor: Tensor, role: Role) -> Iterator[Fans]:
    if role == "vector":
        return
    if role == "bias":
        weight = getattr(layer, _weight_of(own), None)
        if isinstance(weight, Tensor) and weight.ndim > 1:
            yield from _countings(layer, _weight_of(own), weight, "weight")
        return
    if isinstance(layer, nn.RNNBase) and own.startswith("weight_"):
        gates = {"LSTM": 4, "GRU": 3}.get(layer.mode, 1)
        parts = 1 if own.startswith("weight_hr") else gates
        yield Fans(tensor.shape[1], tensor.shape[0] // parts)
    elif isinstance(layer, nn.MultiheadAttention) and own == "in_proj_weight":
        yield Fans(tensor.shape[1], tensor.shape[0] // 3)
    elif type(layer).__name__ == "Conv1D" and tensor.ndim == 2:
        # The linear layer of Hugging Face's GPT-2 stores its weight as (inputs, outputs).
        yield Fans(tensor.shape[0], tensor.shape[1])
    elif own == "weight":
        with contextlib.suppress(TypeError):  # a layer of another kind: only its shape tells
            yield fans(layer)
    kernel = math.prod(tensor.shape[2:])
    yield Fans(tensor.shape[1] * kernel, tensor.shape[0] * kernel)


def _weight_of(bias: str) -> str:
    """The name of the weight beside a bias, as "weight_ih_l0" beside "bias_ih_l0"."""
    return bias.replace("bias", "weight", 1)


def _depth(name: str, modules: dict[str, nn.Module]) -> int:
    depths = [1]
    for number in re.finditer(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)", name):
        stack = modules[name[: number.start()].rstrip(".")]
        if isinstance(stack, nn.ModuleList | nn.Sequential):
            depths.append(len(stack))
    return max(depths)


def why_unreadable(tensor: Tensor) -> str:
    """Why the numbers of a parameter cannot be read; empty if they can."""
    if nn.parameter.is_lazy(tensor):
        return "no shape yet: a lazy layer gets one from its first batch"
    if tensor.is_meta:
        return "on the meta device, which holds no numbers"
    if tensor.layout is not torch.strided:
        return f"its layout is {str(tensor.layout).removeprefix('torch.')}"
    if tensor.numel() == 0:
        return "empty"
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return f"whole numbers ({str(tensor.dtype).removeprefix('torch.')})"
    return ""
