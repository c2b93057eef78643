"""A description of its own for each page, for search engines and link previews.

It is the page's ``.. meta:: :description:`` if there is one, and otherwise the first sentences of
its introduction, as plain text. A page that offers neither is a warning.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

LENGTH = 200  # search engines show about 160 characters


def shorten(text: str, length: int = LENGTH) -> str:
    """Whole sentences up to ``length`` characters, and at least the first one."""
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(text.split()))
    result = sentences[0]
    for sentence in sentences[1:]:
        if len(result) + 1 + len(sentence) > length:
            break
        result += f" {sentence}"
    return result


def introduction(document: nodes.document) -> str:
    """The page's first paragraph outside notes and lists, or the empty string."""
    for paragraph in document.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.document | nodes.section) and paragraph.astext():
            return paragraph.astext()
    return ""


def describe(app: Sphinx, document: nodes.document) -> None:
    """Write the description into the page's head."""
    docname = app.env.docname
    given = [node["content"] for node in document.findall(nodes.meta) if is_description(node)]
    text = given[0] if given else shorten(introduction(document))
    if not text or "\\" in text:
        found = f"only LaTeX: {text!r}" if text else "no first paragraph"
        logger.warning(
            "the page has %s to describe it; add '.. meta::' with ':description: …'",
            found,
            location=docname,
            type="description",
        )
        return
    if not given:
        document.insert(0, nodes.meta("", name="description", content=text))
    app.env.metadata[docname]["description"] = text  # cards.py takes it from here


def is_description(node: nodes.meta) -> bool:
    """Whether a meta element is a page's description."""
    return node.get("name") == "description"


def setup(app: Sphinx) -> dict[str, bool]:
    """Describe each page once it is read, before `pages` adds a paragraph below its title."""
    app.connect("doctree-read", describe, priority=350)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
