"""How a store is continued: what may be added to it, and what must be as it was."""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

Merge = Callable[[Any, Any], Any]


def extended_grid(old: list[Any] | None, new: list[Any]) -> list[Any]:
    """Merge two grids, which must be over the same settings."""
    if old is None:
        return new
    there, here = dict(old), dict(new)
    # In the same order, too: the axes of `Sweep.array` follow it.
    if list(there) != list(here):
        raise ValueError(f"the grid is over {list(there)} there and over {list(here)} here")
    return [[name, extended(there[name], here[name])] for name in there]


def same_settings(what: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Any:
    """Refuse to continue a store whose settings were other ones, naming each that differs."""
    differences = [
        f"{what}{name.replace('_', ' ')} is {old.get(name)!r} there and {new.get(name)!r} here"
        for name in dict.fromkeys([*(old or {}), *new])
        if old is not None and old.get(name) != new.get(name)
    ]
    if differences:
        raise ValueError("; ".join(differences))
    return new


def same_split(old: str | None, new: str) -> str:
    """Refuse to continue a store whose runs were divided otherwise.

    Files of earlier versions do not say; they had one split for all, which their data tell.
    """
    if old not in (None, new):
        raise ValueError(f"split is {old!r} there and {new!r} here")
    return new


def found_in_store(count: int, of: int, store: str | os.PathLike[str] | None) -> str:
    """How many of the runs had been done before, in words."""
    return f"{count} of the {of} runs were found in {os.fspath(store)}." if store and count else ""


def extended(old: list[Any] | None, new: list[Any]) -> list[Any]:
    """The old entries, and behind them the new ones that are not among these."""
    return list(dict.fromkeys([*(old or []), *new]))


def same_or_new(what: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Any:
    """Refuse a label that stood for something else; add labels that are new."""
    for label in new:
        if old and label in old and old[label] != new[label]:
            raise ValueError(f"{what} {label!r} is {old[label]} there and {new[label]} here")
    return {**(old or {}), **new}


# Runs are found by what they were made with, so more of them can join a store at any time. What is
# not named here must be as it was: one table must not mix numbers of two learning rates.
COMPARISON_RULES: dict[str, Merge] = {
    "split": same_split,
    "seeds": extended,
    "schemes": functools.partial(same_or_new, "the scheme"),
    "scheme_code": functools.partial(same_or_new, "the code of the scheme"),
}
SWEEP_RULES: dict[str, Merge] = {
    "split": same_split,
    "seeds": extended,
    "grid": extended_grid,
    "code": functools.partial(same_or_new, "the code of"),
    # Compared entry by entry, so that the message names the one that differs.
    "settings": functools.partial(same_settings, ""),
    "common_code": functools.partial(same_settings, "the code of the "),
}
