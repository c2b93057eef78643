"""The decision table: each cell is a claim, and a page's measurement chooses its words.

``docs/which.toml`` has the rows, and what the cheat sheet says of some. A cell names the page that
measures it and the ``key`` of the sentence there (``initguide.says(..., key=...)``); what came out
of that sentence chooses among the cell's own ``so``, ``no`` and ``undecided``. Where a page has not
run, as while one writes, the cell says ``so``.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bound import keys, outcomes
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

logger = logging.getLogger(__name__)

SOURCE = "which.toml"
COLUMNS = {"start": "start with", "because": "because", "otherwise": "and if you do not"}


def tables(docs: Path) -> list[dict[str, Any]]:
    """The tables of the file, as they are written; a site may have none."""
    if not (docs / SOURCE).exists():
        return []
    with (docs / SOURCE).open("rb") as file:
        found: list[dict[str, Any]] = tomllib.load(file)["table"]
    return found


def cells(table: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Row, column and content of each cell."""
    for row in table["row"]:
        for column in COLUMNS:
            yield row["network"], column, row[column]


def words(cell: dict[str, str], came_out: dict[str, str]) -> str:
    """What a cell says, by what came out."""
    outcome = came_out.get(cell.get("key", ""), "so")
    return cell.get(outcome, cell["so"])


def sheet(docs: Path) -> list[list[str]]:
    """The lines of the cheat sheet: network, and what to start with, in few words if it is so."""
    came_out = outcomes(docs / "auto_examples")
    return [
        [row["network"], words({**cell, "so": cell["sheet"]}, came_out)]
        for table in tables(docs)
        for row in table["row"]
        if "sheet" in (cell := row["start"])
    ]


def problems(docs: Path) -> list[str]:
    """Cells that no page measures, and what they lack, a line each."""
    found, known = [], keys(docs.parent / "examples")
    for table in tables(docs):
        for row, column, cell in cells(table):
            where = f"{SOURCE}: {row!r}, {column!r}"
            key = cell.get("key")
            if key is None:
                found.append(f"{where} names no sentence that measures it; add key = ...")
            elif key not in known:
                found.append(f"{where}: no page has a sentence with the key {key!r}")
            elif known[key] != cell["page"]:
                found.append(f"{where}: {key!r} is measured on {known[key]}, not {cell['page']}")
            elif "no" not in cell:
                found.append(f"{where} does not say what holds if it is not so; add no = ...")
    return found


class DecisionTable(SphinxDirective):
    """One of the tables, by its title."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Write the table and read it as reStructuredText."""
        docs = Path(self.env.srcdir)
        (table,) = (t for t in tables(docs) if t["title"] == self.arguments[0])
        came_out = outcomes(docs / "auto_examples")
        lines = [
            f".. list-table:: {table['title']}",
            "   :header-rows: 1",
            "   :stub-columns: 1",
            "   :widths: 20 27 27 26",
            "",
            f"   * - {table['first']}",
            *(f"     - {head}" for head in COLUMNS.values()),
        ]
        for row in table["row"]:
            lines.append(f"   * - {row['network']}")
            for column in COLUMNS:
                cell = row[column]
                target = f"/auto_examples/{cell['page']}"
                lines.append(f"     - :doc:`{words(cell, came_out)} <{target}>`")
                self.env.note_dependency(str(docs / f"{target[1:]}.rst"))
        self.env.note_dependency(str(docs / SOURCE))
        source = f"{self.get_location()} ({SOURCE})"
        return nested_parse_to_nodes(self.state, "\n".join(lines), source=source)


def check(app: Sphinx) -> None:
    """Warn of every cell that is bound to nothing, which fails the build."""
    for problem in problems(Path(app.srcdir)):
        logger.warning(problem)


def setup(app: Sphinx) -> dict[str, bool]:
    """Check before anything is read."""
    app.add_directive("decision-table", DecisionTable)
    app.connect("builder-inited", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
