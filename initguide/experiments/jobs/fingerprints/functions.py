"""What belongs to functions, classes and modules of the user: what they are made of, and name."""

import builtins
import contextlib
import enum
import importlib
import importlib.util
import io
import re
import sys
import types
from collections.abc import Iterator
from threading import Lock
from typing import Any

import cloudpickle

from initguide.experiments.jobs.fingerprints.code import (
    Chain,
    canonical,
    globals_of,
    imports_of,
)
from initguide.experiments.jobs.fingerprints.libraries import library_of
from initguide.experiments.jobs.fingerprints.parts import PLACES, Walk, check_is_seen, told

_SAY = "name what is used in the code itself, by an import statement or a function"

# Code and modules that are found by a text, which can be any.
_BY_TEXT = ("eval", "exec", "__import__")
_OPERATORS = ("aten", "prims", "torchvision")  # namespaces of operators that libraries bring

# What functools.singledispatch has looked up so far, which follows from what is registered.
_LOOKED_UP = ("dispatch_cache", "cache_token", "_clear_cache")


_ONE_AT_A_TIME = Lock()


def taken_apart(thing: Any) -> Any:
    """What cloudpickle makes of a function or class that it sends by value, as pickle has it."""
    module = sys.modules.get(thing.__module__)
    with _ONE_AT_A_TIME:
        registered = cloudpickle.list_registry_pickle_by_value()
        if module is None or module.__name__ in registered or module.__name__ not in sys.modules:
            module = None  # it has no place by which cloudpickle could send it
        if module is not None:
            cloudpickle.register_pickle_by_value(module)
        try:
            return cloudpickle.Pickler(io.BytesIO()).reducer_override(thing)
        finally:
            if module is not None:
                cloudpickle.unregister_pickle_by_value(module)


@told.register
def _(thing: types.FunctionType, walk: Walk) -> str:
    attributes, state = taken_apart(thing)[2]
    code = thing.__code__
    texts = [repr(canonical(code))]
    texts += [walk.text_of(state["__defaults__"], "a default")]
    texts += [walk.text_of(state["__kwdefaults__"], "defaults")]
    texts += [walk.text_of(state["__annotations__"] or None, "annotations")]
    made_in = thing.__globals__.get("__name__")
    library = library_of(made_in)
    left_out = _LOOKED_UP if library and made_in == "functools" else ()
    own = {k: v for k, v in attributes.items() if k not in ("__wrapped__", *left_out)}
    texts += [walk.text_of(own or None, f"attributes of {thing.__qualname__}")]
    texts += [walk.text_of(attributes.get("__wrapped__"), "what it wraps")]
    for name, cell in zip(code.co_freevars, state["__closure__"] or (), strict=True):
        if name not in left_out:
            texts.append(f"{name}: {walk.text_of(cell, f'{name} of {thing.__qualname__}')}")
    if not library:
        texts += _globals(thing, walk)
        texts += _imports(thing, walk)
    return f"function {thing.__qualname__} {' '.join(texts)}"


def _globals(function: types.FunctionType, walk: Walk) -> Iterator[str]:
    """Texts of the globals that a function names, of modules only what it takes from them."""
    used = globals_of(function.__code__)
    for name in _BY_TEXT:
        if name in used and name not in function.__globals__:
            raise walk.refuse(f"{name}, which runs code that is made from text", _SAY)
    held = function.__globals__
    # Whoever calls globals() may use any of them.
    names = held if "globals" in used and "globals" not in held else used
    role = "the global variable {} of " + function.__qualname__
    for name in names:
        if name in PLACES or name not in held:
            continue
        value = held[name]
        if isinstance(value, types.ModuleType):
            for chain in dict.fromkeys(used.get(name, [()])):
                yield f"{name}: {_taken(value, chain, walk, role.format('.'.join((name, *chain))))}"
        else:
            yield f"{name}: {_checked(value, walk, role.format(name))}"


def _taken(module: Any, chain: Chain, walk: Walk, role: str) -> str:
    """Text of what is taken from a module, by attributes of attributes."""
    value = module
    for place, name in enumerate(chain):
        held = value
        space = held.__name__.removeprefix("torch.ops.")
        if space != held.__name__ and space not in _OPERATORS:
            raise walk.refuse(
                f"{name} of {held.__name__}, whose code torch keeps to itself",
                "call the function that was registered",
            )
        check_is_seen(held, held.__name__, walk)
        try:
            value = getattr(held, name)
        except AttributeError:  # the run would end here, unless somebody imports it meanwhile
            return f"{walk.text_of(held, role)} without {name}"
        if not isinstance(value, types.ModuleType):
            library = library_of(held.__name__)
            # What a library holds counts by its name, but not what somebody has put there.
            is_code = isinstance(value, types.FunctionType | type)
            if library and not is_code and library_of(type(value).__module__):
                if value is sys.modules:
                    _checked(value, walk, role)
                return f"{held.__name__}.{'.'.join(chain[place:])} ({library})"
            if hasattr(held, "__getattr__") and name not in vars(held) and not library:
                return f"{walk.text_of(held, role)} {_checked(value, walk, role)}"
            return _checked(value, walk, role)
    return walk.text_of(value, role)


def _checked(value: Any, walk: Walk, role: str) -> str:
    """Text of a value, unless it finds others by a text."""
    by_text = (*(getattr(builtins, name) for name in _BY_TEXT), importlib.import_module)
    if value is sys.modules or any(value is function for function in by_text):
        name = "sys.modules" if value is sys.modules else value.__name__
        raise walk.refuse(f"{name}, which finds code by a text", _SAY)
    return walk.text_of(value, role)


def _imports(function: types.FunctionType, walk: Walk) -> Iterator[str]:
    """Texts of what a function imports when it runs."""
    package = function.__globals__.get("__package__")
    for level, name, names in imports_of(function.__code__):
        try:
            full = importlib.util.resolve_name("." * level + name, package) if level else name
        except ImportError:
            full = name
        if library := library_of(full):
            yield f"import {full} {names} ({library})"
            continue
        role = f"the import of {full} in {function.__qualname__}"
        try:
            module = importlib.import_module(full)
        except Exception as error:  # noqa: BLE001  the run may do without
            yield f"import {full} {names}: {type(error).__name__}"
            continue
        if not names or names == ("*",):
            top = sys.modules[full.split(".", maxsplit=1)[0]]
            yield f"import {full}: {walk.text_of(module, role)} {walk.text_of(top, role)}"
        for part in names if names != ("*",) else ():
            if not hasattr(module, part):
                with contextlib.suppress(Exception):
                    importlib.import_module(f"{full}.{part}")
            yield f"from {full} import {part}: {_taken(module, (part,), walk, role)}"


@told.register
def _(thing: types.ModuleType, walk: Walk) -> str:
    check_is_seen(thing, thing.__name__, walk)
    own = {name: value for name, value in sorted(vars(thing).items()) if name not in PLACES}
    role = "{} of the module " + thing.__name__
    texts = (f"{name}: {_checked(value, walk, role.format(name))}" for name, value in own.items())
    return f"module {', '.join(texts)}"


@told.register
def _(thing: type, walk: Walk) -> str:
    check_is_seen(thing, thing.__module__, walk)
    _, made, (own, _), *_ = taken_apart(thing)
    texts = [walk.text_of(type(thing)), walk.text_of(thing.__bases__, "a base")]
    if isinstance(thing, enum.EnumMeta):
        texts.append(walk.text_of(made[3], "members"))
    for name, value in own.items():
        if name == "_abc_impl":  # the classes that are registered, in no order
            texts.append(f"{name}: {walk.text_of(frozenset(value))}")
        elif name == "__doc__":  # a data class writes its defaults out, with their addresses
            texts.append(re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(value)))
        elif name not in PLACES:
            texts.append(f"{name}: {walk.text_of(value, f'{name} of {thing.__qualname__}')}")
    return f"class {thing.__qualname__} {' '.join(texts)}"
