"""``.. benchmark:: growth``, the tables of a benchmark, from what it measured last.

The numbers are in ``benchmarks/results.json``, which ``nox -s bench`` writes, or in a file with the
benchmark's name: building the site measures nothing. How they are put into tables is said in the
benchmark's own script.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parents[2] / "benchmarks"


def tables_of(benchmark: str, results: dict[str, Any]) -> dict[str, Any]:
    """Tables of a benchmark, by its own function ``tables``."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    module = importlib.import_module(benchmark)
    return dict(module.tables(results[benchmark]))


def results_of(benchmark: str) -> Path:
    """The file with what a benchmark measured: its own if it has one."""
    own = FOLDER / f"{benchmark}.json"
    return own if own.exists() else FOLDER / "results.json"


def shown(table: Any) -> nodes.Node:
    """A table as HTML; one without rows as a sentence, since an empty one looks like a mistake."""
    if any(table.columns.values()):
        return nodes.raw("", table._repr_html_(), format="html")
    return nodes.paragraph("", f"{table.caption}: none.")


class Benchmark(SphinxDirective):
    """Show all tables of a benchmark, or the one that is named: ``.. benchmark:: ways tiny``."""

    required_arguments = 1
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make HTML of the tables; a benchmark without results is a warning."""
        benchmark, *names = self.arguments
        path = results_of(benchmark)
        for file in (path, FOLDER / f"{benchmark}.py", FOLDER / "timing.py"):
            self.env.note_dependency(str(file))
        results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if benchmark not in results:
            words = "%s has no results of %r; run: nox -s bench -- %s"
            where = self.get_location()
            logger.warning(words, path.name, benchmark, benchmark, location=where)
            return []
        tables = tables_of(benchmark, results)
        return [shown(tables[name]) for name in names or tables]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("benchmark", Benchmark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
