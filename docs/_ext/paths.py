"""Paths through the guide: pages in order, what each is for, and how long it takes.

``.. path:: 45`` lists pages that take no more than that many minutes, a name of ``examples/`` on
each line; ``.. path::`` without a number may take as long as it takes, and a section's name on a
line stands for all of its pages. Objectives and times are the pages' own, so the table is made once
all of them are read. A path that takes longer than it says is a warning, and fails the build. How
long a page takes is known once it has run: until then its code is not folded.
"""

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sections import PageOrder
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from tabular import table

logger = logging.getLogger(__name__)

MINUTES = "minutes to read"  # in a page's metadata, from pages.py
LEARNT = "What you will learn"
HEADS = ("page", "what you learn first", "minutes")


class Unread(nodes.General, nodes.Element):
    """Where a path will stand once all pages are read."""


def pages_of(examples: Path, lines: list[str]) -> list[str]:
    """The pages that the lines name, in order.

    Raises
    ------
    ValueError
        If a line names neither a page nor a section.
    """
    found = []
    for line in lines:
        if (examples / f"{line}.py").exists():
            found.append(line)
        elif scripts := list((examples / line).glob("plot_*.py")):
            order = PageOrder(line)
            names = sorted((script.name for script in scripts), key=order)
            found += [f"{line}/{name.removesuffix('.py')}" for name in names]
        else:
            raise ValueError(f"{line!r} is neither a page nor a section of examples/")
    return found


class ReadingPath(SphinxDirective):
    """A path: its content are pages and sections, its argument the minutes that there are."""

    has_content = True
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Leave a place for the table."""
        limit = directives.positive_int(self.arguments[0]) if self.arguments else None
        try:
            pages = pages_of(Path(self.env.srcdir).parent / "examples", list(self.content))
        except ValueError as error:
            logger.warning("path: %s", error, location=self.get_location())
            return []
        for page in pages:  # whose times may change
            self.env.note_dependency(str(Path(self.env.srcdir, "auto_examples", f"{page}.rst")))
        name = f"path-{self.env.new_serialno('path')}"
        return [Unread(pages=pages, limit=limit, at=self.get_location(), ids=[name])]


def objective(document: nodes.document) -> str:
    """The first thing that one learns on a page, as text; the empty string if it does not say."""
    for box in document.findall(nodes.admonition):
        if box[0].astext() == LEARNT:
            return next((item.astext() for item in box.findall(nodes.list_item)), "")
    return ""


def note(app: Sphinx, document: nodes.document) -> None:
    """Keep what a page says that one learns."""
    if app.env.docname.startswith("auto_examples/"):
        app.env.metadata[app.env.docname][LEARNT] = objective(document)


def draw(app: Sphinx, document: nodes.document, docname: str) -> None:
    """Put the tables into their places."""
    for place in list(document.findall(Unread)):
        known = [app.env.metadata[f"auto_examples/{page}"] for page in place["pages"]]
        minutes = [int(facts.get(MINUTES, 0)) for facts in known]
        if place["limit"] and sum(minutes) > place["limit"]:
            logger.warning(
                "path: its pages take %d minutes to read, and there are %d; take one out",
                sum(minutes), place["limit"], location=place["at"],
            )  # fmt: skip
        rows = [
            [[_link(app, docname, page)], [nodes.Text(facts.get(LEARNT, ""))], [nodes.Text(str(n))]]
            for page, facts, n in zip(place["pages"], known, minutes, strict=True)
        ]
        total = f"{_duration(sum(minutes))}, {len(rows)} page{'s' * (len(rows) != 1)}"
        made = table(HEADS, rows, (35, 53, 12), title=total, classes=["path"])
        made["ids"] = place["ids"]
        place.replace_self(made)


def _duration(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours else f"{rest} minute{'s' * (rest != 1)}"


def _link(app: Sphinx, docname: str, page: str) -> nodes.reference:
    target = f"auto_examples/{page}"
    address = app.builder.get_relative_uri(docname, target)
    return nodes.reference("", app.env.titles[target].astext(), refuri=address, internal=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive; pages are read, and their times known, before tables are drawn."""
    app.add_node(Unread)
    app.add_directive("path", ReadingPath)
    app.connect("doctree-read", note)
    app.connect("doctree-resolved", draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
