"""``.. faults::``, the tables of what was tried against the package and what happened.

Nothing here is kept by hand. A test that plants a fault says so with a marker, and the tables are
read from the tests' sources, without running or importing them::

    @pytest.mark.fault("store", tried="a bit of a row is flipped", happens="it is done again")

On a parametrized test each ``pytest.param`` has a marker of its own, so that each fault is a row.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
BRANCH = "main"
AREAS = {  # in the order of the page
    "store": "Stores of finished runs",
    "saving": "Files that are written",
    "fingerprints": "Telling two programs apart",
    "stopping": "Stopping, and going on",
    "workers": "Worker processes",
    "cluster": "Workers on other machines",
    "compiled": "Compiled steps",
    "data": "Data sets, and where they come from",
    "tensors": "Tensors of the wrong kind",
}
SHOWN = "faults"  # in a page's metadata: what the page showed when it was read


class Fault(NamedTuple):
    """A row: what was tried, what happens then, and the test that sees to it."""

    area: str
    tried: str
    happens: str
    path: str
    test: str
    line: int


class MarkerError(ExtensionError):
    """A marker that cannot be made a row of: the build ends."""


def faults_in(tests: Path) -> list[Fault]:
    """All faults that the tests of a folder plant, by their files and lines."""
    found = []
    for path in sorted(tests.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.fault" in text:
            found += _faults_of(ast.parse(text), path.relative_to(tests.parent).as_posix())
    return found


def _faults_of(tree: ast.Module, path: str) -> Iterator[Fault]:
    """Faults of one file. A list of cases may have a name, which a test's decorator mentions."""
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    owners = _owners(tree)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and ast.unparse(node).endswith("mark.fault")):
            continue
        where = f"{path}, line {node.lineno}"
        if id(node) not in calls:
            raise MarkerError(f"{where}: give the marker `fault` its area, tried= and happens=")
        if id(node) not in owners:
            raise MarkerError(f"{where}: the marker `fault` belongs to no test function")
        words = _words(calls[id(node)], where)
        yield Fault(*words, path, owners[id(node)], node.lineno)


def _owners(tree: ast.Module) -> dict[int, str]:
    """Nodes of a file that belong to a test, by their ids -> the name of the test.

    They are what stands in its decorators, and in the values of names that these mention.
    """
    named = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    owners: dict[int, str] = {}
    for test in ast.walk(tree):
        if not (isinstance(test, ast.FunctionDef) and test.name.startswith("test_")):
            continue
        waiting: list[ast.AST] = [*test.decorator_list]
        while waiting:
            for node in ast.walk(waiting.pop()):
                if isinstance(node, ast.Name) and node.id in named and id(node) not in owners:
                    waiting.append(named[node.id])
                owners.setdefault(id(node), test.name)
    return owners


def _words(call: ast.Call, where: str) -> tuple[str, str, str]:
    """Area, what was tried and what happens, from a marker's arguments."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if len(call.args) != 1 or set(given) != {"tried", "happens"}:
        raise MarkerError(
            f"{where}: the marker `fault` needs an area, tried= and happens=, no more"
        )
    words = []
    arguments = ("area", call.args[0]), *((name, given[name]) for name in ("tried", "happens"))
    for name, node in arguments:
        text = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(text, str) or not text.strip():
            raise MarkerError(f"{where}: {name} of the marker `fault` must be a literal string")
        if text != text.strip() or text.endswith("."):
            raise MarkerError(f"{where}: {name} is {text!r}; it must not end with a full stop")
        words.append(text)
    area, tried, happens = words
    if area not in AREAS:
        known = ", ".join(map(repr, AREAS))
        raise MarkerError(f"{where}: {area!r} is no area of faults; they are {known}")
    return area, tried, happens


# What is shown of them


def table_of(faults: list[Fault], repository: str) -> nodes.table:
    """A table of the faults of one area, with links to the tests if there is a repository."""
    table = nodes.table("", classes=["faults"])
    group = nodes.tgroup("", cols=3)
    table += nodes.title("", f"{AREAS[faults[0].area]}: {len(faults)}")
    table += group
    group += [nodes.colspec(colwidth=width) for width in (38, 40, 22)]
    names = ("what was tried", "what happens", "the test")
    group += nodes.thead("", _row(*(nodes.Text(name) for name in names)))
    group += nodes.tbody("", *(_row(*_cells(fault, repository)) for fault in faults))
    return table


def _cells(fault: Fault, repository: str) -> Iterator[nodes.Node]:
    yield nodes.Text(fault.tried)
    yield nodes.Text(fault.happens)
    name = nodes.literal("", fault.test)
    if repository:
        address = f"https://github.com/{repository}/blob/{BRANCH}/{fault.path}#L{fault.line}"
        yield nodes.reference("", "", name, refuri=address)
    else:
        yield name


def _row(*cells: nodes.Node) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


class Faults(SphinxDirective):
    """Show how many there are, and a table for each area."""

    def run(self) -> list[nodes.Node]:
        """Read the tests anew: a page is read when they have changed."""
        found = faults_in(ROOT / "tests")
        self.env.metadata[self.env.docname][SHOWN] = repr(found)
        files = len({fault.path for fault in found})
        words = f"{len(found)} faults are planted by the tests in {files} files."
        by_area = ([fault for fault in found if fault.area == area] for area in AREAS)
        repository = self.config.initguide_repository
        tables = [table_of(rows, repository) for rows in by_area if rows]
        return [nodes.paragraph("", words), *tables]


def outdated(
    _app: Sphinx, env: BuildEnvironment, _added: set[str], _changed: set[str], _removed: set[str]
) -> list[str]:
    """Pages that show other faults than the tests now plant."""
    pages = [page for page, known in env.metadata.items() if SHOWN in known]
    if not pages:
        return []
    now = repr(faults_in(ROOT / "tests"))
    return [page for page in pages if env.metadata[page][SHOWN] != now]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive, and see when a page has to be read again."""
    app.add_directive("faults", Faults)
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
