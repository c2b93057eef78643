"""The matrices in a parameter: packed by a layer, or stacked along axes whose roles are known."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from initguide.initializers.fans import Fans

__all__ = ["Roles", "as_linear", "fill_stack", "packed_matrices", "roles_of"]


def as_linear(matrix: Tensor, fans: Fans | None = None) -> nn.Linear:
    """A linear layer without bias around a matrix (outputs, inputs), whose memory it shares."""
    ins, outs = fans or Fans(matrix.shape[1], matrix.shape[0])
    linear = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, device="meta")
    linear.in_features, linear.out_features = ins, outs  # type: ignore[assignment]
    linear.weight = nn.Parameter(matrix.detach(), requires_grad=False)
    return linear


def packed_matrices(layer: nn.Module) -> Iterator[tuple[nn.Linear, bool]]:
    """Yield each matrix of a packed layer as a linear layer; and whether it is between states."""
    gates = {"LSTM": 4, "GRU": 3}.get(getattr(layer, "mode", ""), 1)  # "RNN_TANH" has none
    for key, parameter in layer.named_parameters(recurse=False):
        if parameter.ndim != 2:
            continue
        parts = 3 if key == "in_proj_weight" else 1 if key.startswith("weight_hr") else gates
        for block in parameter.detach().chunk(parts):
            yield as_linear(block), key.startswith("weight_hh")


class Roles(NamedTuple):
    """What the axes of a parameter are for: every other axis counts matrices."""

    outputs: tuple[int, ...]
    inputs: tuple[int, ...]


def roles_of(shape: Sequence[int], fans: Fans) -> Roles | None:
    """Find axes that hold a matrix of such fans: the last ones, with the outputs first if possible.

    Examples
    --------
    >>> roles_of((8, 16, 64), Fans(64, 16))
    Roles(outputs=(1,), inputs=(2,))
    >>> roles_of((8, 64, 16), Fans(64, 16))
    Roles(outputs=(2,), inputs=(1,))
    """
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    subsets = [
        subset for length in range(len(axes) + 1) for subset in itertools.combinations(axes, length)
    ]

    def size(subset: tuple[int, ...]) -> int:
        return math.prod(shape[axis] for axis in subset)

    found = [
        Roles(outs, ins)
        for ins in subsets
        if size(ins) == fans.fan_in
        for outs in subsets
        if size(outs) == fans.fan_out and not set(ins) & set(outs)
    ]
    # Of several, that with the matrices stacked along the first axes, and outputs before inputs.
    return max(found, key=lambda roles: (sum(sum(roles, ())), roles.inputs), default=None)


def fill_stack(parameter: Tensor, roles: Roles, fans: Fans, fill: Callable[[Any], object]) -> None:
    """Fill every matrix in a parameter, by a function of a linear layer, in place."""
    order = [a for a in range(parameter.ndim) if a not in (*roles.outputs, *roles.inputs)]
    stack = parameter.detach().permute([*order, *roles.outputs, *roles.inputs])
    for index in itertools.product(*(range(parameter.shape[axis]) for axis in order)):
        block = stack[index]
        outs = math.prod(parameter.shape[axis] for axis in roles.outputs)
        matrix = torch.empty(outs, block.numel() // max(1, outs)).to(block)
        fill(as_linear(matrix, fans))
        block.copy_(matrix.view(block.shape))
