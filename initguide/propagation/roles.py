"""What parameters are used for, told by the graph of a pass and not by their names."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

__all__ = ["Role", "roles_of"]

Role = Literal["multiplies", "adds", "other"]

# What hands numbers on, in another order, number or type, or one by one through a function (the
# gate of Flamingo is a tanh of a parameter).
_PASSES = {
    *("View", "UnsafeView", "Reshape", "ReshapeAlias", "Unsqueeze", "Squeeze", "Expand", "T"),
    *("Permute", "Transpose", "Select", "Slice", "Index", "Split", "Chunk", "Unbind", "Clone"),
    *("ToCopy", "Alias", "Repeat", "Tanh", "Sigmoid", "Exp", "Softplus"),
}
_SUMS = {"Add", "Sub", "Rsub", "Cat", "Stack", "Cumsum"}
_PRODUCTS = {"Mul", "Div"}
# Functions that take a gain and a shift, or weights and a shift: where these stand.
_GAIN = {"NativeLayerNorm": 1, "NativeBatchNorm": 1, "NativeGroupNorm": 1, "CudnnBatchNorm": 1}
_GAIN |= {"FusedRmsNorm": 1, "MiopenBatchNorm": 1}
_SHIFT = {"Addmm": 0, "Addmv": 0, "Addbmm": 0, "Baddbmm": 0, "Linear": 2, "Convolution": 2}
_SHIFT |= {name: 2 for name in _GAIN if name != "FusedRmsNorm"}


def roles_of(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Mapping[int, Role]:
    """Say of each parameter that takes part whether something is multiplied by it or added to it.

    Parameters
    ----------
    loss
        With its graph, before the backward pass.
    parameters
        Those that are asked about.

    Returns
    -------
    Mapping
        The id of a parameter -> ``"multiplies"`` if it is a factor of numbers one by one (as the
        gain of a normalization, or a gate), ``"adds"`` if it is only ever added or put beside them
        (as a bias, a position or a class token), ``"other"`` for all else, such as matrices.
    """
    wanted = {id(parameter) for parameter in parameters}
    uses: dict[Any, set[tuple[Any, int]]] = {}  # node -> who takes its result, at which place
    leaves: dict[int, Any] = {}
    todo, seen = [loss.grad_fn], {loss.grad_fn}
    while todo:
        node = todo.pop()
        if node is None:
            continue
        variable = getattr(node, "variable", None)
        if variable is not None and id(variable) in wanted:
            leaves[id(variable)] = node
        for place, (given, _) in enumerate(node.next_functions):
            if given is not None:
                uses.setdefault(given, set()).add((node, place))
                if given not in seen:
                    seen.add(given)
                    todo.append(given)
    return {key: _role(leaf, uses) for key, leaf in leaves.items()}


def _role(leaf: Any, uses: Mapping[Any, set[tuple[Any, int]]]) -> Role:
    """Follow a parameter to the first functions that do more than hand it on."""
    found: set[Role] = set()
    todo, seen = [leaf], {leaf}
    while todo:
        for node, place in uses.get(todo.pop(), ()):
            name = node.name().partition("Backward")[0]
            if name in _PASSES and node not in seen:
                seen.add(node)
                todo.append(node)
            elif name in _PRODUCTS or _GAIN.get(name) == place:
                found.add("multiplies")
            elif name in _SUMS or _SHIFT.get(name) == place:
                found.add("adds")
            elif name not in _PASSES:
                found.add("other")
    if "multiplies" in found:
        return "multiplies"
    return "adds" if found == {"adds"} else "other"
