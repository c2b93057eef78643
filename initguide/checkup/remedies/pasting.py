"""Code as text: lines that fit the report."""

import textwrap
from collections.abc import Sequence

from initguide.checkup.report import WIDTH

# What the report prints in front of a line of code takes 13 columns.
_ROOM = WIDTH - 14


def getter(name: str) -> str:
    """Code that gets a module; the model itself if the name is empty."""
    if not name:
        return "model"
    if len(name) <= WIDTH // 3:  # what is put around it has a place on the line, too
        return f'model.get_submodule("{name}")'
    parts = textwrap.wrap(name, WIDTH // 2)  # a long name in several strings
    return "model.get_submodule(\n    " + "\n    ".join(f'"{p}"' for p in parts) + "\n)"


def call(code: str, scheme: str, bias: str = "auto") -> str:
    """Code that initializes what some code gets."""
    more = () if bias == "auto" else (f'bias="{bias}"',)
    return calling("initguide.initialize", code, f'"{scheme}"', *more)


def calling(function: str, *arguments: str) -> str:
    """Code of a call, on one line or on several."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= _ROOM and "\n" not in line:
        return line
    inner = "".join(textwrap.indent(argument, "    ") + ",\n" for argument in arguments)
    return f"{function}(\n{inner})"


def together(codes: Sequence[tuple[str, str]]) -> str:
    """Code for several layers, each given with its name: a loop where it is all the same."""
    texts = dict.fromkeys(text for _, text in codes)
    alike = {text.replace(getter(name), "model.get_submodule(name)") for name, text in codes}
    if len(texts) < 4 or len(alike) > 1:
        return "\n".join(texts)
    names = ", ".join(f'"{name}"' for name in dict.fromkeys(name for name, _ in codes))
    body = textwrap.indent(alike.pop(), "    ")
    line = f"for name in ({names}):"
    if len(line) > _ROOM:
        wrapped = textwrap.fill(names, _ROOM - 4, break_long_words=False, break_on_hyphens=False)
        line = "for name in (\n" + textwrap.indent(wrapped, "    ") + ",\n):"
    return f"{line}\n{body}"
