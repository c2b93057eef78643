"""The gallery's sections: which there are, in which order, and a table of contents over them.

A section is a folder of ``examples/`` with a ``GALLERY_HEADER.rst``. Sphinx's own ``toctree`` would
sort the folders by name; the reading order is this one.
"""

from pathlib import Path
from typing import Any

from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.directives.other import TocTree
from sphinx_gallery.sorting import ExplicitOrder

READING_ORDER = ("lesson", "theory", "architectures", "practice")


def names(examples: Path) -> list[str]:
    """Names of the section folders, in the reading order; others follow by name."""
    found = {header.parent.name for header in examples.glob("*/GALLERY_HEADER.rst")}
    known = [name for name in READING_ORDER if name in found]
    return known + sorted(found.difference(known))


def order(examples: Path) -> ExplicitOrder:
    """Sort key of the sections for Sphinx-Gallery, which knows them as ``../examples/NAME``."""
    return ExplicitOrder([f"../examples/{name}" for name in names(examples)] or ["*"])


class PageOrder:
    """Sort key of the pages of a section: their numbers, as numbers, so that 10 comes after 9."""

    def __init__(self, _folder: str) -> None:
        pass

    def __call__(self, filename: str) -> tuple[int, str]:
        """Return the number, and the name for pages without one."""
        number = filename.split("_")[1] if filename.count("_") > 1 else ""
        return (int(number) if number.isdigit() else 0, filename)


class SectionsToctree(TocTree):
    """``.. sections-toctree::``, a toctree with the index page of every section."""

    has_content = False

    def run(self) -> list[Any]:
        """Fill in the sections, then do what a toctree does."""
        examples = Path(self.env.srcdir).parent / "examples"
        pages = [f"/auto_examples/{name}/index" for name in names(examples)]
        self.content = StringList(pages, source=self.env.docname)
        self.env.glob_toctrees.add(self.env.docname)  # read again when pages come or go
        return super().run()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("sections-toctree", SectionsToctree)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
