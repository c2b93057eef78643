"""What tells one scheme, model, value or data set from another, the same in every process."""

import contextlib
import copyreg
import functools
import hashlib
import platform
import sys
import types
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initguide.initializers import Scheme, written
from initguide.training import Dataset

PARTS = ("train", "valid", "test")


def fingerprint(thing: Any) -> str:
    """Text that is the same in every process, and differs where the thing would act differently.

    Functions and classes of one's own are told apart by their compiled code, default values,
    attributes and what they close over, but not by the global variables that they read. Modules are
    told apart by name, other things by what pickle would keep of them, or by their attributes.

    Parameters
    ----------
    thing
        A scheme, a function, a class, or a value.

    Raises
    ------
    TypeError
        If it is, or holds, something that has neither, such as a lock.
    """
    around = _around.get()
    if id(thing) in around:  # it holds itself, and would be followed endlessly
        return f"<{len(around) - around.index(id(thing))} levels up>"
    token = _around.set((*around, id(thing)))
    try:
        return _fingerprint(thing)
    finally:
        _around.reset(token)


# ids of the things that are being fingerprinted, the outermost first.
_around: ContextVar[tuple[int, ...]] = ContextVar("_around", default=())


@functools.singledispatch
def _fingerprint(thing: Any) -> str:
    if isinstance(thing, np.generic):
        return repr(thing.item())
    if isinstance(thing, _PLAIN):
        return str(thing)
    kind, attributes = fingerprint(type(thing)), getattr(thing, "__dict__", None)
    try:
        reduce = copyreg.dispatch_table.get(type(thing))
        made = reduce(thing) if reduce else thing.__reduce_ex__(2)  # as pickle and copy do
    except Exception as error:
        if attributes is None:
            raise TypeError(
                f"what a {type(thing).__name__} holds cannot be told, so runs that depend on "
                f"{written(thing)} cannot be kept in a store ({error})"
            ) from error
        return f"{kind}{fingerprint(attributes)}"
    if isinstance(made, str):  # a name; what it wraps is among its attributes
        return f"{kind}{made}{fingerprint(attributes or {})}"
    # Its parts may be iterators, over items of a list or a dictionary.
    return f"{kind}{fingerprint([list(p) if isinstance(p, Iterator) else p for p in made])}"


_PLAIN = (torch.dtype, torch.device)


@_fingerprint.register
def _(thing: str | bytes | int | float | complex | None) -> str:
    return repr(thing)


@_fingerprint.register
def _(thing: Mapping) -> str:  # type: ignore[type-arg]
    items = sorted((fingerprint(key), fingerprint(value)) for key, value in thing.items())
    return f"{{{', '.join(f'{key}: {value}' for key, value in items)}}}"


@_fingerprint.register
def _(thing: list | tuple) -> str:  # type: ignore[type-arg]
    return f"[{', '.join(map(fingerprint, thing))}]"


@_fingerprint.register
def _(thing: set | frozenset) -> str:  # type: ignore[type-arg]
    return f"{{{', '.join(sorted(map(fingerprint, thing)))}}}"


@_fingerprint.register
def _(thing: Tensor | np.ndarray) -> str:
    array = np.ascontiguousarray(torch.as_tensor(thing).detach().cpu().numpy())
    return f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()[:16]}"


@_fingerprint.register
def _(thing: Scheme) -> str:
    if thing.recipe is None:
        return f"Scheme{fingerprint(vars(thing))}"
    _, arguments, keywords = thing.recipe
    # The description has all values; of functions, such as a base of one's own, only the name.
    code = [fingerprint(a) for a in (*arguments, *keywords.values()) if callable(a)]
    return " ".join([thing.description, *code])


@_fingerprint.register
def _(thing: types.BuiltinFunctionType) -> str:
    owner = thing.__self__
    bound = owner is not None and not isinstance(owner, types.ModuleType)
    return f"{thing.__module__}.{thing.__qualname__}{f' of {fingerprint(owner)}' if bound else ''}"


@_fingerprint.register(types.MethodDescriptorType)
@_fingerprint.register(types.WrapperDescriptorType)
@_fingerprint.register(types.ClassMethodDescriptorType)
@_fingerprint.register(types.GetSetDescriptorType)
@_fingerprint.register(types.MemberDescriptorType)
def _(thing: Any) -> str:
    return f"{thing.__objclass__.__module__}.{thing.__qualname__}"


@_fingerprint.register
def _(thing: np.ufunc) -> str:
    return f"numpy.{thing.__name__}"


@_fingerprint.register
def _(thing: types.ModuleType) -> str:
    return f"module {thing.__name__}"


@_fingerprint.register
def _(thing: functools.cached_property) -> str:  # type: ignore[type-arg]
    return f"cached_property{fingerprint(thing.func)}"


@_fingerprint.register
def _(thing: functools.partial) -> str:  # type: ignore[type-arg]
    return f"partial{fingerprint([thing.func, list(thing.args), thing.keywords])}"


@_fingerprint.register
def _(thing: types.MethodType) -> str:
    return f"method{fingerprint([thing.__func__, thing.__self__])}"


@_fingerprint.register
def _(thing: types.FunctionType) -> str:
    return _public_name(thing) or _hashed(thing, _parts_of(thing))


@_fingerprint.register
def _(thing: type) -> str:
    if name := _public_name(thing):
        return name
    parts: list[Any] = [fingerprint(base) for base in thing.__bases__ if base is not object]
    # Sorted: another order of the methods is no other class.
    for key, value in sorted(vars(thing).items()):
        if isinstance(value, property):
            parts += [key, *(_parts_of(f) for f in (value.fget, value.fset) if f is not None)]
        elif isinstance(value, types.FunctionType | staticmethod | classmethod):
            parts += [key, _parts_of(getattr(value, "__func__", value))]
        elif not (key.startswith("__") and key.endswith("__")) and key != "_abc_impl":
            parts += [key, fingerprint(value)]  # ABC's own notes say nothing about the class
    return _hashed(thing, parts)


def _public_name(thing: Any) -> str:
    """Name of a library's function or class, which the name identifies; empty for others."""
    library, *_ = thing.__module__.split(".", maxsplit=1)
    if library not in _LIBRARIES or "<" in thing.__qualname__:
        return ""
    # What a wing of this package exports is named by the wing, so that a move between the modules
    # inside it leaves the keys of stored runs as they are.
    wing = ".".join(thing.__module__.split(".")[:2])
    exported = library == "initguide" and (
        getattr(sys.modules.get(wing), thing.__qualname__, None) is thing
    )
    return f"{wing if exported else thing.__module__}.{thing.__qualname__}"


_LIBRARIES = ("initguide", "torch", "torchvision", "builtins")


def _hashed(thing: Any, parts: list[Any]) -> str:
    version = platform.python_version_tuple()[:2]  # each version compiles differently
    digest = hashlib.sha256(repr([version, *parts]).encode()).hexdigest()
    return f"{thing.__qualname__}#{digest[:16]}"


def _parts_of(function: Any) -> list[Any]:
    """All that decides about what a function does, but the global variables it reads."""
    code = getattr(function, "__code__", None)
    if code is None:  # a callable of another kind
        return [fingerprint(function)]
    parts = [_constants(code), fingerprint(function.__defaults__ or ())]
    parts += [fingerprint(function.__kwdefaults__ or {})]
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a cell that is still empty
            # The class that super() refers to, and a recursive function's own name, lead back here.
            if name != "__class__" and cell.cell_contents is not function:
                parts += [name, fingerprint(cell.cell_contents)]
    return parts


def _constants(value: Any) -> Any:
    """Compiled code as plain values, without where it stands; sets in an order of their own."""
    if isinstance(value, types.CodeType):
        inner = [_constants(constant) for constant in value.co_consts]
        return [value.co_code, inner, value.co_names, value.co_varnames, value.co_freevars]
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    if isinstance(value, tuple):
        return [_constants(part) for part in value]
    return value


def fingerprint_of_data(data: Dataset) -> str:
    """SHA-256 of all images and labels."""
    digest = hashlib.sha256()
    for part in PARTS:
        split = getattr(data, part)
        for tensor in (split.images, split.labels):
            digest.update(f"{part} {tensor.dtype} {tuple(tensor.shape)}".encode())
            plain = tensor.detach().cpu().contiguous()
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
