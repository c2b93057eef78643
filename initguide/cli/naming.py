"""Things of the user's own that the command line names as MODULE:NAME."""

import contextlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
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
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)  # as `python -m` does: people's own modules lie here
    try:
        return pkgutil.resolve_name(text)
    finally:
        if added:
            sys.path.remove(here)


def network(text: str) -> Any:
    """Import the network that a text MODULE:NAME names, or make it by what it names."""
    import torch  # noqa: PLC0415  slow to import

    model = named(text, "the network")
    if not isinstance(model, torch.nn.Module):
        if not callable(model):
            kind = type(model).__name__
            raise TypeError(f"it is of type {kind}; name a network, or what makes one")
        model = model()
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"it made an object of type {type(model).__name__}, not a network")
    return model
