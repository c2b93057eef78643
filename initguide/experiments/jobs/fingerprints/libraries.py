"""What is a library, and counts by name and version, and what is the user's own code."""

import contextlib
import functools
import importlib.metadata
import importlib.util
import platform
import sys
import sysconfig
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

# Also where they are worked on, from a checkout; `Job.key` has their versions.
_NAMED = ("initguide", "torch", "torchvision")
_PLACES = ("site-packages", "dist-packages")
_STANDARD = tuple(
    Path(path).resolve() for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name))
)
_MAIN = ("__main__", "__mp_main__")


def library_of(module: Any) -> str:
    """Library that a module belongs to, with its version; empty if it is the user's own code.

    Parameters
    ----------
    module
        Its full name. What is no text, as ``__module__`` of some classes of C, is no library's.
    """
    if not isinstance(module, str) or module in ("", *_MAIN):
        return ""
    top, *_ = module.split(".", maxsplit=1)
    # Not of what is gone from sys.modules: another module of that name may come.
    return _library(top, _place_of(top)) if top not in _NAMED else top


def _place_of(top: str) -> str | None:
    """File or folder of a module that is loaded; empty if it has none, ``None`` if it is not."""
    module = sys.modules.get(top)
    if module is None:
        spec = None
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(top)
        return None if spec is None else spec.origin if spec.has_location and spec.origin else ""
    file = getattr(module, "__file__", None)
    return str(file or next(iter(getattr(module, "__path__", ())), ""))


@functools.lru_cache(maxsize=4096)
def _library(top: str, place: str | None) -> str:
    if top in sys.builtin_module_names or (not place and top in sys.stdlib_module_names):
        return f"Python {_python()}"
    if not place:
        return ""
    path = Path(place).resolve()
    installed = any(part in _PLACES for part in path.parts)
    if not installed and any(path.is_relative_to(folder) for folder in _STANDARD):
        return f"Python {_python()}"
    # What lies there without belonging to a distribution has no version to count by.
    return _distribution(top) if installed else ""


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _distribution(top: str) -> str:
    """Distribution that a package belongs to, and its version; empty if there is none."""
    try:
        return f"{top} {importlib.metadata.version(top)}"
    except importlib.metadata.PackageNotFoundError:
        names = _distributions().get(top, [])
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(set(names)))


@functools.cache  # reads what every distribution has installed
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def is_extension(module: str | None) -> bool:
    """Whether a module is compiled code of the user, of which nothing can be seen."""
    if library_of(module):
        return False
    file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return file.endswith((".so", ".pyd", ".dylib"))


def is_found(thing: Any, module: str | None, name: str) -> bool:
    """Whether a module has a thing under its name, so that the name identifies it."""
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = vars(found).get(part) if isinstance(found, ModuleType | type) else None
    # A class keeps static methods and the like in a wrapper.
    return getattr(found, "__func__", found) is thing


def is_of_a_library(thing: Any) -> bool:
    """Whether a function or class is a library's, as the library made it."""
    if isinstance(thing, FunctionType):
        # Its globals cannot lie: `functools.wraps` gives a function the module of another.
        made_in = thing.__globals__.get("__name__")
        return bool(library_of(made_in)) and _is_known(thing)
    if not _is_known(thing):
        return False
    return not any(
        isinstance(part, FunctionType) and not library_of(part.__globals__.get("__name__"))
        for base in thing.__mro__
        for part in vars(base).values()
    )


def _is_known(thing: Any) -> bool:
    module = thing.__module__
    if not library_of(module):
        return False
    # Types of the interpreter, such as that of functions, have names that stand nowhere.
    made_in_c = isinstance(thing, type) and not thing.__flags__ & (1 << 9)
    return made_in_c or bool(_wing(thing)) or is_found(thing, module, thing.__qualname__)


def public_name(thing: Any) -> str:
    """Name by which a library's function or class is known, with the library's version."""
    place = _wing(thing) or thing.__module__
    library = library_of(thing.__module__)
    name = f"{place}.{thing.__qualname__}"
    return name if library in _NAMED else f"{name} ({library})"


def _wing(thing: Any) -> str:
    """Wing of this package that exports something; empty if none does.

    What it exports is named by the wing, so that a move between the modules inside it leaves the
    keys of stored runs as they are.
    """
    wing = ".".join(thing.__module__.split(".")[:2])
    exported = getattr(sys.modules.get(wing), thing.__qualname__, None) is thing
    return wing if exported and wing.startswith("initguide.") else ""
