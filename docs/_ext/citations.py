"""Plain entries in the bibliography.

Docutils gives its entries a role that browsers' accessibility checks reject: it is deprecated, and
not allowed where it stands. Here each entry becomes a paragraph with the same anchor.
"""

from docutils import nodes
from sphinx.application import Sphinx


def simplify(_app: Sphinx, doctree: nodes.document, _page: str) -> None:
    """Replace the entries once sphinxcontrib-bibtex has written them."""
    for entry in list(doctree.findall(nodes.citation)):
        label, *rest = entry.children
        paragraph = nodes.paragraph("", "", nodes.strong("", label.astext()), nodes.Text(" "))
        for part in rest:
            paragraph += part.children
        entry.replace_self(nodes.container("", paragraph, ids=entry["ids"], classes=["entry"]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Run last of all."""
    app.connect("doctree-resolved", simplify, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
