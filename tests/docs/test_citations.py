"""The bibliography."""

from importlib import import_module as extension

from docutils import nodes
from docutils.core import publish_doctree


def test_entries_of_the_bibliography_are_paragraphs():
    """The anchor, the label and the text stay; the role that browsers reject goes."""
    doctree = publish_doctree("See [He15]_.\n\n.. [He15] He and others. *Rectifiers*. 2015.")
    extension("citations").simplify(None, doctree, "bibliography")
    assert not list(doctree.findall(nodes.citation))
    (entry,) = doctree.findall(nodes.container)
    assert entry["ids"] == ["he15"]
    assert entry.astext() == "He15 He and others. Rectifiers. 2015."
