"""What belongs to a thing that is no code, by its kind: what a walk goes on with."""

import functools
import io
import types
import weakref
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

import cloudpickle
import numpy as np
import scipy.special
from torch import Generator, Tensor

from initguide.experiments.jobs.fingerprints import values
from initguide.experiments.jobs.fingerprints.libraries import is_extension, library_of
from initguide.initializers import INITIALIZERS, Scheme, written

PLACES = frozenset(
    [
        *("__module__", "__name__", "__qualname__", "__file__", "__path__", "__package__"),
        *("__spec__", "__loader__", "__cached__", "__builtins__", "__dict__", "__weakref__"),
        *("__firstlineno__", "__static_attributes__", "__slotnames__", "__abstractmethods__"),
        *("__wrapped__", "__doc__"),
    ]
)
"""Attributes that say where a thing stands, or follow from the others."""

REMEDY = "let the code that needs it make it, from plain values"
_PLAIN = (type(None), bool, int, float, str)


class Walk(Protocol):
    """What the rules need of a walk; see `walk`."""

    around: dict[int, int]

    def text_of(self, thing: Any, role: str = "") -> str: ...  # noqa: D102
    def inside(self, thing: Any, part: Any) -> str: ...  # noqa: D102
    def refuse(self, reason: str, remedy: str) -> TypeError: ...  # noqa: D102


@functools.singledispatch
def told(thing: Any, walk: Walk) -> str:
    """Text of all that belongs to a thing, in which other things are texts of the walk.

    This is for all kinds without a rule of their own: what pickle would keep of them.

    Parameters
    ----------
    thing
        Something with a number.
    walk
        The walk that has come to it.

    Raises
    ------
    TypeError
        If not all that decides about it can be seen.
    """
    kind = type(thing)
    if any(base.__module__ in ("ctypes", "_ctypes") for base in kind.__mro__):
        raise walk.refuse(f"{written(thing)}, which belongs to a library of C", REMEDY)
    check_is_seen(thing, getattr(thing, "__module__", None), walk)
    try:
        # As pickle does, with what cloudpickle adds to it.
        reduce = cloudpickle.Pickler.dispatch_table.get(kind)
        made = (reduce or kind.__reduce_ex__)(thing, *([] if reduce else [4]))
    except Exception as error:
        reason, *_ = str(error).split("\n", maxsplit=1)
        raise walk.refuse(
            f"a {kind.__name__}, whose contents cannot be seen ({reason})", REMEDY
        ) from error
    texts = [walk.text_of(kind)]
    if isinstance(made, str):  # the name of something that there is once
        texts.append(made)
    else:  # its parts may be iterators, over items of a list or a dictionary
        texts += [
            walk.text_of(list(part) if isinstance(part, Iterator) else part, role)
            for part, role in zip(made, ("", *5 * ("what is kept",)), strict=False)
        ]
    # A class of one's own may leave out of a copy what decides all the same.
    if isinstance(made, str) or _copies_by_itself(kind):
        texts.append(walk.text_of(getattr(thing, "__dict__", None), "attributes"))
    return f"{kind.__name__} {' '.join(texts)}"


def check_is_seen(thing: Any, module: str | None, walk: Walk) -> None:
    """Refuse what belongs to a compiled module of the user, of which nothing can be seen."""
    if isinstance(module, str) and is_extension(module):
        raise walk.refuse(
            f"{written(thing)} of {module}, a compiled module without a version",
            "install it as a package, which counts by its version",
        )


def _copies_by_itself(kind: type) -> bool:
    names = ("__reduce__", "__reduce_ex__", "__getstate__")
    return any(
        name in vars(base)
        for base in kind.__mro__
        if not library_of(base.__module__)
        for name in names
    )


@told.register
def _(thing: list, walk: Walk) -> str:  # type: ignore[type-arg]
    if type(thing) is not list:
        return told.dispatch(object)(thing, walk)
    return f"list [{', '.join(walk.text_of(part, 'an element of a list') for part in thing)}]"


@told.register
def _(thing: dict, walk: Walk) -> str:  # type: ignore[type-arg]
    if type(thing) is not dict:
        return told.dispatch(object)(thing, walk)
    # In their order, which a model may follow.
    items = (f"{walk.text_of(k)}: {walk.text_of(v, str(k))}" for k, v in thing.items())
    return f"dict {{{', '.join(items)}}}"


@told.register
def _(thing: set | frozenset, walk: Walk) -> str:  # type: ignore[type-arg]
    if type(thing) not in (set, frozenset):
        return told.dispatch(object)(thing, walk)
    if id(thing) in walk.around:
        return f"the set {len(walk.around) - walk.around[id(thing)]} levels up"
    # Their own order follows from addresses, and from the seed of Python's hashes.
    elements = sorted(walk.inside(thing, part) for part in thing)
    return f"{type(thing).__name__} {{{', '.join(elements)}}}"


@told.register
def _(thing: io.IOBase, walk: Walk) -> str:
    if isinstance(thing, io.StringIO | io.BytesIO):
        return told.dispatch(object)(thing, walk)
    name = getattr(thing, "name", "")
    raise walk.refuse(f"the open file {name!r}", "read it before, and use what it held")


@told.register
def _(thing: Tensor, walk: Walk) -> str:
    try:
        text = values.of_tensor(thing)
    except TypeError as error:
        raise walk.refuse(f"a tensor ({error})", "use an ordinary one") from error
    own = walk.text_of(getattr(thing, "__dict__", None) or None, "attributes")
    return f"{walk.text_of(type(thing))} {text} {own}"


@told.register
def _(thing: np.ndarray, walk: Walk) -> str:
    if thing.dtype.hasobject:
        return f"array {thing.shape} {walk.text_of(thing.tolist())}"
    return f"{walk.text_of(type(thing))} {values.of_array(thing)}"


@told.register
def _(thing: np.generic, walk: Walk) -> str:
    return f"{walk.text_of(type(thing))} {thing.tobytes()!r}"


@told.register
def _(thing: Generator, walk: Walk) -> str:  # noqa: ARG001  all have one signature
    return values.of_generator(thing)


@told.register
def _(thing: Scheme, walk: Walk) -> str:
    if type(thing) is not Scheme or thing.recipe is None:
        return f"{walk.text_of(type(thing))} {walk.text_of(vars(thing), 'attributes')}"
    name, arguments, keywords = thing.recipe
    # The description has all plain values, in one way for all ways to give them.
    others = [a for a in (*arguments, *keywords.values()) if type(a) not in _PLAIN]
    factory = getattr(INITIALIZERS.get(name), "__wrapped__", None)
    own = () if library_of(getattr(factory, "__module__", None)) else (factory, vars(thing))
    texts = [walk.text_of(part, "arguments") for part in (*others, *own)]
    return f"Scheme {thing.description} {' '.join(texts)}"


@told.register
def _(thing: types.CellType, walk: Walk) -> str:
    try:
        content = thing.cell_contents
    except ValueError:
        return "empty cell"
    return f"cell {walk.text_of(content)}"


@told.register
def _(thing: types.MethodType, walk: Walk) -> str:
    return f"method {walk.text_of(thing.__func__)} {walk.text_of(thing.__self__, 'its object')}"


@told.register
def _(thing: property, walk: Walk) -> str:
    getters = (thing.fget, thing.fset, thing.fdel)
    return f"{walk.text_of(type(thing))} {', '.join(walk.text_of(part) for part in getters)}"


@told.register(staticmethod)
@told.register(classmethod)
def _(thing: Any, walk: Walk) -> str:
    own = {k: v for k, v in vars(thing).items() if k not in PLACES}
    return f"{walk.text_of(type(thing))} {walk.text_of(thing.__func__)} {walk.text_of(own)}"


@told.register
def _(thing: functools.cached_property, walk: Walk) -> str:  # type: ignore[type-arg]
    # Without the lock that it has in Python 3.11.
    return f"cached_property {thing.attrname!r} {walk.text_of(thing.func)}"


@told.register
def _(thing: functools._lru_cache_wrapper, walk: Walk) -> str:  # type: ignore[type-arg]
    # What it has kept so far follows from its function.
    return f"cache {thing.cache_parameters()} {walk.text_of(vars(thing))}"


@told.register
def _(thing: weakref.ReferenceType, walk: Walk) -> str:  # type: ignore[type-arg]
    return f"reference {walk.text_of(thing())}"


@told.register
def _(thing: types.BuiltinFunctionType, walk: Walk) -> str:
    owner = thing.__self__
    check_is_seen(thing, getattr(owner, "__name__", None), walk)
    name = f"{thing.__module__}.{thing.__qualname__}"
    if owner is None or isinstance(owner, types.ModuleType):
        return name
    return f"{name} of {walk.text_of(owner, 'its object')}"


@told.register(types.MethodDescriptorType)
@told.register(types.WrapperDescriptorType)
@told.register(types.ClassMethodDescriptorType)
@told.register(types.GetSetDescriptorType)
@told.register(types.MemberDescriptorType)
def _(thing: Any, walk: Walk) -> str:
    return f"{walk.text_of(type(thing))} {thing.__objclass__.__module__}.{thing.__qualname__}"


@told.register
def _(thing: TypeVar, walk: Walk) -> str:
    # pickle finds it by its name, in a module of which all else would count, too.
    bounds = walk.text_of((thing.__bound__, thing.__constraints__))
    return f"{thing!r} {bounds}"


@told.register
def _(thing: np.ufunc, walk: Walk) -> str:
    for module in (np, scipy.special):
        if getattr(module, thing.__name__, None) is thing:
            return f"{module.__name__}.{thing.__name__} ({library_of(module.__name__)})"
    raise walk.refuse(
        f"{thing.__name__}, a function that numpy made of another one",
        "use numpy.vectorize, which tells of what",
    )
