"""Links between the pages and the API reference, both ways, without lists to keep.

``initguide.Net``, ``initguide.models.Net`` and ``initguide.models.mlp.Net`` are the same object;
the reference documents it once, at the face of its wing, and links by any name find it. A name
between single backticks is a link where it can be, and code where it cannot. Each function and
class ends with a gallery of the pages that use it.
"""

import inspect
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from uses import PACKAGE, home_of, wings

import initguide

SHOWN = "pages that use it"  # in a page's metadata: name -> what is known of them
REPR = re.compile(r"= <\w(?:[^<>]|<[^<>]*>)*>")


def is_internal(name: str) -> bool:
    """Whether a name exists in one of the rooms but is not among the public names of its wing."""
    room, _, attribute = name.rpartition(".")
    if not room.startswith("initguide."):
        return False
    face = sys.modules[".".join(room.split(".")[:2])]
    return attribute in vars(sys.modules.get(room, face)) and attribute not in face.__all__


def _faces() -> dict[str, Any]:
    """The package and its wings, by their names."""
    return {"initguide": initguide} | {
        f"initguide.{wing}": import_module(f"initguide.{wing}") for wing in wings()
    }


def describe_constants(_app: Sphinx) -> None:
    """Let autodoc find at a face the descriptions of constants, which stand in the rooms.

    A function or a class knows where it was written; a constant does not.
    """
    for face in _faces().values():
        known = _attribute_docs(face.__name__)
        for room in [name for name in sys.modules if name.startswith(f"{face.__name__}.")]:
            for (owner, name), lines in _attribute_docs(room).items():
                if not owner and name in getattr(face, "__all__", ()):
                    known.setdefault((owner, name), lines)


def _attribute_docs(module: str) -> dict[tuple[str, str], list[str]]:
    """The strings below a module's constants; autodoc reads the same dictionary."""
    analyzer = ModuleAnalyzer.for_module(module)
    analyzer.analyze()
    return analyzer.attr_docs


def add_aliases(_app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Let the names that the package re-exports, and those in rooms, lead to the objects' pages."""
    objects = env.domains.python_domain.objects
    for module, face in _faces().items():
        for name in getattr(face, "__all__", ()):
            said = f"{module}.{name}"
            home = home_of(said) or said
            room = getattr(getattr(face, name), "__module__", None) or module
            for known, entry in list(objects.items()):
                if known == home or known.startswith(f"{home}."):
                    for alias in {said, f"{room}.{name}"} - {home}:
                        member = f"{alias}{known.removeprefix(home)}"
                        objects.setdefault(member, entry._replace(aliased=True))
    return []


def leave_as_text(
    _app: Sphinx, _env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.Element
) -> nodes.Node | None:
    """Show a name between backticks, or an internal type in a signature, without a link."""
    if node.get("refdomain") != "py":
        return None
    if node["reftype"] == "obj" or (node["reftype"] == "class" and is_internal(node["reftarget"])):
        return contnode
    return None


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


def hide_long_value(_app: Sphinx, domain: str, objtype: str, content: nodes.Element) -> None:
    """Leave out the value of a constant if it would fill lines."""
    if (domain, objtype) != ("py", "data"):
        return
    for part in list(content.parent.findall(addnodes.desc_annotation)):
        if part.astext().startswith(" = ") and len(part.astext()) > 60:
            part.parent.remove(part)


def _pages_that_use(app: Sphinx) -> dict[str, Any]:
    """For each name, what Sphinx-Gallery knows of the pages that use it: files, titles, texts."""
    folder = Path(app.srcdir) / app.config.sphinx_gallery_conf["backreferences_dir"]
    index = folder / "backreferences_all.json"
    return json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}


def list_pages(
    app: Sphinx, what: str, name: str, obj: Any, _options: Any, lines: list[str]
) -> None:
    """End the description of a function, class or constant with the pages that use it."""
    for file in PACKAGE.rglob("*.py"):  # what is where, and by which names
        app.env.note_dependency(str(file))
    if what not in {"class", "data", "function"}:
        return
    short = name.rpartition(".")[2]
    names = [name]
    for module, face in _faces().items():
        if short in getattr(face, "__all__", ()) and getattr(face, short) is obj:
            names.append(f"{module}.{short}")
    names.append(f"{getattr(obj, '__module__', 'initguide')}.{short}")
    names = list(dict.fromkeys(names))
    known = _pages_that_use(app)
    shown = app.env.metadata[app.env.docname].setdefault(SHOWN, {})
    shown |= {candidate: known.get(candidate) for candidate in names}
    used = [candidate for candidate in names if known.get(candidate)]
    if used:
        pages = {(page[1], page[0]) for candidate in used for page in known[candidate]}
        count = f"{len(pages)} page{'s' * (len(pages) != 1)}"
        lines += [
            *("", ".. raw:: html", "", f"   <details><summary>Used on {count}</summary>", ""),
            *(f".. minigallery:: {' '.join(used)}", ""),
            *(".. raw:: html", "", "   </details>", ""),
        ]


def outdated(app: Sphinx, env: BuildEnvironment, *_sets: set[str]) -> list[str]:
    """Pages of the reference that show other pages of the gallery than they would now."""
    known = _pages_that_use(app)
    return [
        page
        for page, content in env.metadata.items()
        if any(known.get(name) != pages for name, pages in content.get(SHOWN, {}).items())
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect both directions; galleries are added after napoleon has read the docstring."""
    app.connect("builder-inited", describe_constants)
    app.connect("env-get-outdated", outdated)
    app.connect("env-updated", add_aliases)
    app.connect("missing-reference", leave_as_text)
    app.connect("autodoc-skip-member", is_tuple_field)
    app.connect("object-description-transform", hide_long_value)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", protect_first_line, priority=100)
    app.connect("autodoc-process-docstring", list_pages, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
