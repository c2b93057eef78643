"""What a page uses of the package, read from its source."""

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


def module_files() -> dict[str, Path]:
    """Name of each public module of the package -> its file."""
    files = (file for file in PACKAGE.glob("*.py") if not file.name.startswith("_"))
    return {file.stem: file for file in sorted(files)}


def home_of(name: str) -> str | None:
    """Where an object was written: ``initguide.models.Net`` for ``initguide.Net``.

    None for a name that lives where it says, and for what is not of the package.
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
    home = getattr(target, "__module__", "")
    if not home.startswith("initguide."):  # a constant does not know where it was written
        homes = (import_module(f"initguide.{module}") for module in module_files())
        home = next((m.__name__ for m in homes if vars(m).get(rest[0]) is target), said)
    return None if home == said else ".".join([home, *rest])


def _modules(names: set[str]) -> set[str]:
    """Modules of the package in which some dotted names live."""
    known = module_files()
    parts = ((home_of(name) or name).split(".")[1:2] for name in names)
    return {part[0] for part in parts if part and part[0] in known}


def files_used(script: Path) -> list[Path]:
    """Files of the package that a script's results may depend on.

    These are the modules in which the names that it mentions live, those that they import in turn,
    the package's own file, and what belongs to them: the embedded sample to the data set, the C
    file to compiled steps.
    """
    known = module_files()
    seen: set[str] = set()
    waiting = _modules(names_used(script))
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting |= _modules(names_used(known[module])) - seen
    files = [PACKAGE / "__init__.py", *(known[module] for module in seen)]
    if "data" in seen:
        files += [path for path in (PACKAGE / "sample").iterdir() if path.is_file()]
    if "compiled" in seen:
        files += PACKAGE.glob("*.c")
    return sorted(files)
