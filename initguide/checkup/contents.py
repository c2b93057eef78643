"""What the attributes of a model hold, put back: a step may append to a list as well as set it."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Objects in objects are followed so far, as a list of meters, each with a list of its own.
_DEPTH = 4
_OF_TORCH = vars(nn.Module()).keys()
_LEFT = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, nn.Parameter)


@contextlib.contextmanager
def contents_kept(model: nn.Module) -> Iterator[None]:
    """Put back the contents of lists, dictionaries, sets, arrays, tensors and plain objects.

    Those that attributes of the model and of its parts hold. Parameters, buffers, and which object
    an attribute holds are left to `initguide.introspection.left_alone`.
    """
    undo: list[Callable[[], None]] = []
    seen = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        seen.add(id(module))
        for name, value in vars(module).items():
            if name not in _OF_TORCH:
                _note(value, undo, seen, _DEPTH)
    try:
        yield
    finally:
        with torch.no_grad():
            for put_back in undo:
                put_back()


def _note(value: Any, undo: list[Callable[[], None]], seen: set[int], depth: int) -> None:
    """Note one object, and what is in it."""
    if depth == 0 or id(value) in seen or isinstance(value, _LEFT):
        return
    seen.add(id(value))
    inside: list[Any] = []
    if isinstance(value, Tensor):
        if not (value.is_meta or value.is_inference()):
            undo.append(_put_back_numbers(value, value.detach().clone()))
    elif isinstance(value, np.ndarray):
        undo.append(_put_back_numbers(value, value.copy()))
    elif isinstance(value, list | deque | set | dict):
        undo.append(_put_back_items(value, value.copy()))
        inside = [*value.values()] if isinstance(value, dict) else [*value]
    elif isinstance(value, tuple):
        inside = [*value]
    own = getattr(value, "__dict__", None)
    if isinstance(own, dict):
        undo.append(_put_back_items(own, own.copy()))
        inside += own.values()
    for part in inside:
        _note(part, undo, seen, depth - 1)


def _put_back_numbers(value: Any, before: Any) -> Callable[[], None]:
    def put_back() -> None:
        same = torch.equal if isinstance(value, Tensor) else np.array_equal
        if not same(value, before):  # copying counts as a change in place
            value[...] = before

    return put_back


def _put_back_items(value: Any, before: Any) -> Callable[[], None]:
    def put_back() -> None:
        if _alike(value, before):
            return
        value.clear()
        if isinstance(value, list | deque):
            value.extend(before)
        else:
            value.update(before)

    return put_back


def _alike(value: Any, before: Any) -> bool:
    """Whether the same objects are inside, in the same order; they may have no `==` of use."""
    if len(value) != len(before):
        return False
    if isinstance(value, Mapping):
        pairs = zip(value.items(), before.items(), strict=True)
        return all(a[0] == b[0] and a[1] is b[1] for a, b in pairs)
    if isinstance(value, set):
        return bool(value == before)
    return all(a is b for a, b in zip(value, before, strict=True))
