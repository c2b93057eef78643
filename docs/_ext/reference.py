"""A page of the reference: what there is in a table, then functions, classes and, last, constants.

autodoc lists the names of a wing in the order of ``__all__``, which begins with its constants: a
reader who looks for what to call would pass a dozen thresholds first.
"""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from tabular import table

GROUPS = {
    "function": "Functions",
    "class": "Classes",
    "exception": "Exceptions",
    "data": "Constants",
}
HEADS = ("name", "what it is")
SUMMARY_FROM = 3  # with fewer names, a table would say what stands just below it


def _described(section: nodes.Element) -> dict[str, list[tuple[nodes.Node, addnodes.desc]]]:
    """Heading -> the objects under it, each with the index entry before it."""
    found: dict[str, list[tuple[nodes.Node, addnodes.desc]]] = {
        name: [] for name in GROUPS.values()
    }
    for index, child in zip(section.children, section.children[1:], strict=False):
        if not isinstance(child, addnodes.desc) or not isinstance(index, addnodes.index):
            continue
        if name := GROUPS.get(child["objtype"]):
            found[name].append((index, child))
    return {name: objects for name, objects in found.items() if objects}


def _cells(desc: addnodes.desc) -> list[list[nodes.Node]]:
    """A name that leads to its description, and the first line of that."""
    signature = desc[0]
    link = nodes.reference("", "", refid=signature["ids"][0], internal=True)
    link += nodes.literal(text=signature["fullname"])
    # What docutils has to say of the text stands beside it, as a child of another kind.
    said = next((node for node in desc[1].children if isinstance(node, nodes.paragraph)), None)
    return [[link], said.deepcopy().children if said else []]


def arrange(app: Sphinx, document: nodes.document) -> None:
    """Put the objects of a page under headings, and a table before them."""
    if not app.env.docname.startswith("api/"):
        return
    for section in list(document.findall(nodes.section)):
        groups = _described(section)
        objects = [pair for group in groups.values() for pair in group]
        if len(objects) < SUMMARY_FROM:
            continue
        at = section.index(min(objects, key=lambda pair: section.index(pair[0]))[0])
        for pair in objects:
            for node in pair:
                section.remove(node)
        parts: list[nodes.Node] = [
            table(HEADS, [_cells(desc) for _, desc in objects], (35, 65), classes=["summary"])
        ]
        for name, group in groups.items():
            part = nodes.section("", nodes.title(text=name), ids=[name.lower()], names=[])
            part += [node for pair in group for node in pair]
            parts.append(part)
        section[at:at] = parts


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before Sphinx collects the contents of a page, at priority 500."""
    app.connect("doctree-read", arrange, priority=450)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
