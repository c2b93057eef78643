"""Compiled code: what it is without the place where it stands, and what it names."""

import dis
from collections.abc import Iterator, Sequence
from types import CodeType
from typing import Any

Chain = tuple[str, ...]


def canonical(value: Any) -> Any:
    """Code as plain values, without file names and line numbers; sets in an order of their own.

    Parameters
    ----------
    value
        Code, or one of its constants.
    """
    if isinstance(value, CodeType):
        return (
            value.co_name,
            value.co_code,
            [canonical(constant) for constant in value.co_consts],
            *(value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars),
            *(value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount),
            value.co_flags,
            value.co_exceptiontable,  # what a `try` covers
        )
    if isinstance(value, frozenset):
        return ("frozenset", sorted(repr(canonical(part)) for part in value))
    if isinstance(value, tuple):
        return tuple(canonical(part) for part in value)
    return value


def nested(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


# Also in the body of a class that a function makes, of which cloudpickle follows none.
_GLOBAL = frozenset(
    [
        *("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"),
        *("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"),
    ]
)


def globals_of(code: CodeType) -> dict[str, list[Chain]]:
    """Global names that code uses, each with the attributes that it takes from them.

    For ``helpers.scale(np.pi * x)``, that is ``{"helpers": [("scale",)], "np": [("pi",)]}``. An
    empty chain means that the thing itself is used, for whatever purpose.
    """
    found: dict[str, list[Chain]] = {}
    for part in nested(code):
        steps = _steps(part)
        for i, (operation, name) in enumerate(steps):
            if operation in _GLOBAL:
                chains = found.setdefault(name, [])
                if operation.startswith("LOAD"):
                    chains.append(_chain(steps[i + 1 :]))
    return found


def imports_of(code: CodeType) -> list[tuple[int, str, tuple[str, ...]]]:
    """Modules that code imports when it runs.

    Returns
    -------
    list of (level, name, names)
        As `__import__` takes them; no names where the module itself is used.
    """
    found = []
    for part in nested(code):
        steps = _steps(part)
        for i, (operation, name) in enumerate(steps):
            if operation == "IMPORT_NAME":
                level, names = steps[i - 2][1], steps[i - 1][1]
                found.append((int(level or 0), str(name), tuple(names or ())))
    return found


def _steps(code: CodeType) -> list[tuple[str, Any]]:
    return [
        (step.opname, step.argval)
        for step in dis.get_instructions(code)
        if step.opname != "EXTENDED_ARG"
    ]


def _chain(steps: Sequence[tuple[str, Any]]) -> Chain:
    """Attributes that are taken one from the other, directly after something was loaded."""
    names: list[str] = []
    for operation, name in steps:
        if operation not in ("LOAD_ATTR", "LOAD_METHOD"):
            break
        names.append(name)
    return tuple(names)
