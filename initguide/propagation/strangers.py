"""Leaves of the graph that are no parameters of the model: training leaves them as they are."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

__all__ = ["Stranger", "leaves_of", "strangers_of"]


# Attributes that every module has: tables of its parts, and of hooks.
_OF_TORCH = vars(nn.Module()).keys()


class Stranger(NamedTuple):
    """A tensor that wants a gradient, in a model that does not hold it as a parameter.

    Attributes
    ----------
    owner
        Name of the module in one of whose attributes it was found; empty for the model itself.
    attribute
        The attribute, as a list of layers; empty where it was not found.
    kind
        ``"list"`` or ``"dict"`` of modules, ``"tensor"`` for a tensor that is the attribute itself,
        and ``""`` for what is held in another way.
    shape
        Of the tensor.
    parameter
        Whether it is a `torch.nn.Parameter`, of a layer that is not the model's.
    """

    owner: str
    attribute: str
    kind: str
    shape: tuple[int, ...]
    parameter: bool = False


def strangers_of(
    model: nn.Module, outputs: Iterable[Tensor], known: Iterable[Tensor]
) -> tuple[Stranger, ...]:
    """Find what an output depends on that wants a gradient and is no parameter of the model.

    Parameters
    ----------
    model
        That gave the outputs.
    outputs
        Tensors with a graph behind them.
    known
        Leaves that are expected besides the model's parameters, as its inputs.
    """
    expected = {id(t) for t in (*model.parameters(), *model.buffers(), *known)}
    unknown = [leaf for leaf in leaves_of(outputs) if id(leaf) not in expected]
    places = _places(model) if unknown else {}
    return tuple(
        Stranger(
            *places.get(id(leaf), ("", "", "")), tuple(leaf.shape), isinstance(leaf, nn.Parameter)
        )
        for leaf in unknown
    )


def leaves_of(outputs: Iterable[Tensor]) -> Iterator[Tensor]:
    """Go through the tensors that want a gradient and are behind some outputs, each once."""
    seen, waiting = set(), [t.grad_fn for t in outputs if t.grad_fn is not None]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)  # of the nodes that gather gradients
        if isinstance(leaf, Tensor):
            yield leaf
        waiting += [after for after, _ in node.next_functions if after is not None]


def _places(model: nn.Module) -> dict[int, tuple[str, str, str]]:
    """Where the attributes of modules hold tensors and modules that torch does not see."""
    found: dict[int, tuple[str, str, str]] = {}
    for owner, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute in _OF_TORCH:
                continue
            kind = _kind(value)
            for tensor in _tensors(value, 3):
                found.setdefault(id(tensor), (owner, attribute, kind))
    return found


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return "tensor"
    if isinstance(value, list | tuple) and all(isinstance(v, nn.Module) for v in value):
        return "list"
    if isinstance(value, Mapping) and all(isinstance(v, nn.Module) for v in value.values()):
        return "dict" if all(isinstance(key, str) for key in value) else ""
    return ""


def _tensors(value: Any, depth: int) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, list | tuple | Mapping) and depth:
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part, depth - 1)
