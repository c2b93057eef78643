"""Links between the pages and the API reference, both ways, without lists to keep.

``initguide.Net`` and ``initguide.models.Net`` are the same object; the reference documents it once,
where it lives, and links by either name find it. A name between single backticks is a link where it
can be, and code where it cannot. Each function and class ends with a gallery of the
pages that use it.
"""

import inspect
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import initguide

REPR = re.compile(r"= <\w(?:[^<>]|<[^<>]*>)*>")


def home_of(name: str) -> str | None:
    """``initguide.models.Net`` for ``initguide.Net``; None for a name that lives where it says."""
    package, _, attribute = name.partition(".")
    first, _, rest = attribute.partition(".")
    if package != "initguide" or first not in initguide.__all__:
        return None
    target = getattr(initguide, first)
    if isinstance(target, ModuleType):
        return None
    home = getattr(target, "__module__", "")
    if not home.startswith("initguide."):  # a constant does not know where it was written
        homes = (import_module(f"initguide.{file.stem}") for file in module_files())
        home = next(module.__name__ for module in homes if vars(module).get(first) is target)
    return f"{home}.{first}" + (f".{rest}" if rest else "")


def module_files() -> list[Path]:
    """The package's public modules."""
    folder = Path(initguide.__file__).parent
    return sorted(file for file in folder.glob("*.py") if not file.name.startswith("_"))


def is_internal(name: str) -> bool:
    """Whether a name exists in one of the modules but is not among its public names."""
    module, _, attribute = name.rpartition(".")
    if not module.startswith("initguide."):
        return False
    names = vars(sys.modules.get(module, initguide))
    return attribute in names and attribute not in names.get("__all__", names)


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.Element
) -> nodes.Node | None:
    """Resolve a name that the package re-exports; leave an internal type in a signature as text."""
    if node.get("refdomain") != "py":
        return None
    if node["reftype"] == "class" and is_internal(node["reftarget"]):
        return contnode
    home = home_of(node["reftarget"])
    for kind in (node["reftype"], "obj") if home else ():
        domain = env.domains.python_domain
        found = domain.resolve_xref(
            env, node.get("refdoc", ""), app.builder, kind, home, node, contnode
        )
        if found is not None:
            return found
    return contnode if node["reftype"] == "obj" else None


def is_tuple_field(_app: Sphinx, _what: str, _name: str, obj: Any, *_rest: Any) -> bool | None:
    """Skip the fields of named tuples, whose class describes them ("Alias for field number 0")."""
    return True if inspect.isdatadescriptor(obj) and type(obj).__name__ == "_tuplegetter" else None


def protect_first_line(
    _app: Sphinx, what: str, _name: str, _obj: Any, _options: Any, lines: list[str]
) -> None:
    """Keep napoleon from taking "A table: ..." for an attribute of type "A table"."""
    if what in {"attribute", "data", "property"}:
        lines.insert(0, "\\")  # reads as nothing


def shorten_signature(
    _app: Sphinx, _what: str, _name: str, _obj: Any, _options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Write "..." for a default such as ``<function f>``, which Sphinx cannot parse."""
    return (REPR.sub("= ...", signature), returns) if signature else None


def list_pages(
    app: Sphinx, what: str, name: str, obj: Any, _options: Any, lines: list[str]
) -> None:
    """End the description of a function, class or constant with the pages that use it."""
    if what not in {"class", "data", "function"}:
        return
    names = [name]
    short = name.rpartition(".")[2]
    if short in initguide.__all__ and getattr(initguide, short) is obj:
        names.append(f"initguide.{short}")
    folder = Path(app.srcdir) / app.config.sphinx_gallery_conf["backreferences_dir"]
    index = folder / "backreferences_all.json"
    app.env.note_dependency(str(index))
    known = json.loads(index.read_text()) if index.exists() else {}
    used = [candidate for candidate in names if known.get(candidate)]
    if used:
        lines += ["", ".. rubric:: Pages that use it", "", f".. minigallery:: {' '.join(used)}", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both directions; galleries are added after napoleon has read the docstring."""
    app.connect("missing-reference", resolve)
    app.connect("autodoc-skip-member", is_tuple_field)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", protect_first_line, priority=100)
    app.connect("autodoc-process-docstring", list_pages, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
