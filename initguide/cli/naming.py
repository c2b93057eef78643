"""Things of the user's own that the command line names as MODULE:NAME."""

import contextlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any


@contextlib.contextmanager
def one_line(what: str) -> Iterator[None]:
    """Report whatever goes wrong in the user's own code in one line."""
    try:
        yield
    except Exception as error:
        first, *_ = str(error).split("\n", maxsplit=1)
        kind = "" if isinstance(error, ValueError | TypeError) else f"{type(error).__name__}: "
        raise ValueError(f"{what}: {kind}{first or 'no reason was given'}") from error


@contextlib.contextmanager
def from_here() -> Iterator[None]:
    """Let modules of the working folder be imported, as `python -m` does.

    Also while somebody's code runs: a function may import its neighbours when it is called.
    """
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def named(text: str, what: str) -> Any:
    """Import MODULE of a text MODULE:NAME, and return its NAME."""
    module, colon, name = text.partition(":")
    if not (colon and module and name):
        raise ValueError(f"say where {what} is as MODULE:NAME, as in torchvision.models:resnet18")
    if module.endswith(".py") or "/" in module:
        stem = Path(module).stem
        raise ValueError(
            f"{module} is a file, and a module's name is wanted: in its folder, say {stem}:{name}"
        )
    with from_here():
        return pkgutil.resolve_name(text)


def network(text: str) -> Any:
    """Import the network that a text MODULE:NAME names, or make it by what it names."""
    import torch  # noqa: PLC0415  slow to import

    model = named(text, "the network")
    if not isinstance(model, torch.nn.Module):
        if not callable(model):
            kind = type(model).__name__
            raise TypeError(f"it is of type {kind}; name a network, or what makes one")
        with from_here():
            model = model()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"it made an object of type {type(model).__name__}, not a network")
    return model


def place_of(text: str) -> tuple[Path | None, int]:
    """File and line in which a text MODULE:NAME makes its network; no file if there is none.

    The file is relative to the working folder if it is below it.
    """
    # A decorator's wrapper has the file of the decorator, and the lines of what it wraps.
    what = inspect.unwrap(named(text, "the network"))
    if isinstance(what, type | FunctionType):
        try:
            file, line = inspect.getsourcefile(what), inspect.getsourcelines(what)[1]
        except (OSError, TypeError):  # a program made it
            return None, 1
    else:  # the class of a network is often a library's, and says nothing of where it was made
        file, line = getattr(sys.modules[text.partition(":")[0]], "__file__", None), 1
    if file is None:
        return None, 1
    path, here = Path(file).resolve(), Path.cwd().resolve()
    return (path.relative_to(here) if path.is_relative_to(here) else path), max(line, 1)
