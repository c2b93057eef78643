"""What a page uses of the package, read from its source.

The package is a house of wings: ``initguide.training`` is a folder of rooms (or one file), whose
``__init__.py`` hands on the public names. A name's home is its wing, whatever room it is
written in.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import initguide

PACKAGE = Path(initguide.__file__).parent


def _imported(tree: ast.AST) -> dict[str, str]:
    """Name in the script -> what of the package it stands for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "initguide":
                    found[alias.asname or "initguide"] = alias.name if alias.asname else "initguide"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("initguide"):
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (start := _dotted(node.value)):
        return f"{start}.{node.attr}"
    return None


def names_used(script: Path) -> set[str]:
    """Dotted names of the package's objects and modules that a script mentions in its code.

    ``{"initguide.plots.plot_losses", "initguide.fashion_mnist", ...}``. What is reached through a
    variable, such as a method of a result, is not seen.
    """
    return set(_names_used(script.read_text(encoding="utf-8")))


@cache  # each page asks for the same modules
def _names_used(text: str) -> frozenset[str]:
    tree = ast.parse(text)
    imported = _imported(tree)
    found = set(imported.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (name := _dotted(node)):
            first, _, rest = name.partition(".")
            if first in imported:
                found.add(f"{imported[first]}.{rest}")
    return frozenset(found)


def wings() -> dict[str, Path]:
    """Name of each wing of the package -> its folder, or its file if it is one room."""
    return {
        path.stem: path
        for path in sorted(PACKAGE.iterdir())
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        and not path.name.startswith("_")
    }


def home_of(name: str) -> str | None:
    """Where an object is at home: ``initguide.models.Net`` for ``initguide.Net``.

    None for a name that is at home where it says, and for what is not of the package.
    """
    package, *path = name.split(".")
    if package != "initguide" or not path:
        return None
    target: Any = initguide
    for i, part in enumerate(path):
        target = getattr(target, part, None)
        if target is None:
            return None
        if not isinstance(target, ModuleType):
            said, rest = ".".join([package, *path[:i]]), path[i:]
            break
    else:
        return None
    home = ".".join(getattr(target, "__module__", "").split(".")[:2])
    if not home.startswith("initguide."):  # a constant does not know where it was written
        faces = (import_module(f"initguide.{wing}") for wing in wings())
        home = next((face.__name__ for face in faces if vars(face).get(rest[0]) is target), said)
    return None if home == said else ".".join([home, *rest])


def _wings_of(names: set[str]) -> set[str]:
    """Wings of the package in which some dotted names are at home."""
    known = wings()
    parts = ((home_of(name) or name).split(".")[1:2] for name in names)
    return {part[0] for part in parts if part and part[0] in known}


def _files_in(wing: Path) -> list[Path]:
    """All files of a wing: its rooms and what lies beside them, such as images and C."""
    if wing.is_file():
        return [wing]
    return [path for path in wing.rglob("*") if path.is_file() and path.suffix != ".pyc"]


def files_used(script: Path) -> list[Path]:
    """Files of the package that a script's results may depend on.

    These are the wings in which the names that it mentions are at home, whole, since a wing's face
    imports all its rooms; those wings that they import in turn; and the package's own face.
    """
    known = wings()
    seen: set[str] = set()
    waiting = _wings_of(names_used(script))
    while waiting:
        wing = waiting.pop()
        seen.add(wing)
        rooms = (path for path in _files_in(known[wing]) if path.suffix == ".py")
        waiting |= _wings_of(set().union(*map(names_used, rooms))) - seen
    return sorted({PACKAGE / "__init__.py", *(f for wing in seen for f in _files_in(known[wing]))})
