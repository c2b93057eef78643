"""Questions of many pages on one: a short test, and the key to it.

``.. questions::`` has a line for each page, its name and which of its questions are taken, counted
from 1. They are numbered through, each with its answer folded below. ``.. questions-key::`` lists
the same numbers with the answers, for who corrects: it takes the lines of the page whose name is
its argument. What is right, and why, is what this build measured, so neither is written anywhere.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from asking import Asks, questions
from bound import calls, text_of
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

LISTED = re.compile(r"^\.\. questions::\n((?:[ \t]+\S.*(?:\n|\Z)|\s*\n)+)", re.MULTILINE)


class Pick(NamedTuple):
    """One question of one page, and what the page made of it; ``None`` where it has not run."""

    page: str
    number: int
    data: dict[str, Any] | None


def picks(docs: Path, lines: list[str]) -> list[Pick]:
    """The questions that some lines name, in order.

    Raises
    ------
    ValueError
        If a line names no page, or a question that the page does not ask.
    """
    found = []
    for line in filter(str.strip, lines):
        page, *numbers = line.split()
        script = docs.parent / "examples" / f"{page}.py"
        if not script.exists() or not numbers or not all(map(str.isdigit, numbers)):
            raise ValueError(f"{line!r} is not a page of examples/ and numbers of its questions")
        count = len(list(calls(script.read_text(encoding="utf-8"), "initguide.asks")))
        written = docs / "auto_examples" / f"{page}.rst"
        asked = questions(written.read_text(encoding="utf-8")) if written.exists() else []
        for number in map(int, numbers):
            if not 1 <= number <= count:
                raise ValueError(f"{page} has no question {number}; it asks {count}")
            data = asked[number - 1] if number <= len(asked) else None
            found.append(Pick(page, number, data))
    return found


def listed(text: str) -> list[str]:
    """The lines that a page's text gives to its test; none if it has none."""
    test = LISTED.search(text)
    return test[1].split("\n") if test else []


def _picks_noted(directive: SphinxDirective, lines: list[str]) -> list[Pick]:
    """The questions; the page is read again when one of theirs is."""
    docs = Path(directive.env.srcdir)
    try:
        found = picks(docs, lines)
    except ValueError as error:
        logger.warning("questions: %s", error, location=directive.get_location())
        return []
    for pick in found:
        directive.env.note_dependency(str(docs / "auto_examples" / f"{pick.page}.rst"))
    return found


class Questions(Asks):
    """A short test: its content are the pages, with the numbers of their questions."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make a form of each question; one whose page has not run is left out."""
        forms: list[nodes.Node] = []
        for number, pick in enumerate(_picks_noted(self, list(self.content)), 1):
            if pick.data is None:
                continue
            form = self.form(pick.data, f"Question {number}")
            form["classes"].append("test")
            *answer, end = self.check(pick.data, "Check")
            form += [*answer, *self.parse(f"Measured on :doc:`/auto_examples/{pick.page}`."), end]
            forms.append(form)
        return forms


class QuestionsKey(Asks):
    """The key to the test of another page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the table and read it as reStructuredText."""
        source = Path(self.env.srcdir, f"{self.arguments[0]}.rst")
        if not source.exists():
            message = "questions-key: there is no page %r"
            logger.warning(message, self.arguments[0], location=self.get_location())
            return []
        self.env.note_dependency(str(source))
        rows = [
            f"   * - {number}\n"
            f"     - {pick.data['right']}\n"
            f"     - {text_of(pick.data['because'])}\n"
            f"     - :doc:`/auto_examples/{pick.page}`"
            for number, pick in enumerate(_picks_noted(self, listed(source.read_text("utf-8"))), 1)
            if pick.data is not None
        ]
        head = (
            ".. list-table:: The key, as this build measured it\n   :header-rows: 1\n"
            "   :widths: 8 12 50 30\n\n   * - No.\n     - answer\n     - because\n     - page"
        )
        return self.parse("\n".join([head, *rows])) if rows else []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register both directives."""
    app.add_directive("questions", Questions)
    app.add_directive("questions-key", QuestionsKey)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
