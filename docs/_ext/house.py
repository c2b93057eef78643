"""``.. house::``, the map of the package: its wings from the roof down, and who imports whom.

Nothing here is kept by hand. The floors are those of ``[tool.importlinter]`` in pyproject.toml,
which lint holds the code against; the imports are read from the code; and the words are the first
lines of the wings' docstrings.
"""

import ast
import html
import tomllib
from pathlib import Path

import grimp
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from uses import PACKAGE, wings

MAP = "<!-- On the site, the map is drawn here. -->"
STEP = 26  # pixels between two floors
LEFT = 120  # where the names end
WIDTH = 340


def floors(root: Path) -> list[str]:
    """Names of the wings from the roof down."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return list(settings["tool"]["importlinter"]["contracts"][0]["layers"])


def imports() -> dict[str, set[str]]:
    """Each wing -> those that it imports."""
    graph = grimp.build_graph("initguide", cache_dir=None)
    found: dict[str, set[str]] = {wing: set() for wing in wings()}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            above, below = (name.split(".")[1:2] for name in (module, imported))
            if above and below and above != below:
                found[above[0]].add(below[0])
    return found


def picture(order: list[str], found: dict[str, set[str]]) -> str:
    """An arc for each import, from the wing above to the wing below."""
    height = STEP * len(order)
    places = {wing: STEP * (i + 0.5) for i, wing in enumerate(order)}
    arcs, names = [], []
    for wing, at in places.items():
        names.append(f'<text x="{LEFT - 10}" y="{at + 4}" text-anchor="end">{wing}</text>')
        names.append(f'<circle cx="{LEFT}" cy="{at}" r="4"/>')
        for below in sorted(found[wing]):
            middle = LEFT + 14 + 0.85 * (places[below] - at) / 2
            path = f"M{LEFT} {at} C{middle} {at} {middle} {places[below]} {LEFT} {places[below]}"
            title = f"<title>{wing} imports {below}</title>"
            arcs.append(f'<path d="{path}">{title}</path>')
    words = html.escape(
        "The wings of the package from the roof down, with an arc from each to those below that it "
        "imports: " + "; ".join(f"{w}: {', '.join(sorted(found[w])) or 'none'}" for w in order)
    )
    return (
        f'<svg class="house" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{words}">{"".join(arcs)}{"".join(names)}</svg>'
    )


def purpose(wing: Path) -> str:
    """The first line of a wing's docstring."""
    face = wing / "__init__.py" if wing.is_dir() else wing
    text = ast.get_docstring(ast.parse(face.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ")


def rooms(wing: Path) -> list[str]:
    """Names of a wing's rooms; those of a folder of rooms are not told apart."""
    if wing.is_file():
        return []
    found = [
        f"{path.name}/" if path.is_dir() else path.stem
        for path in sorted(wing.iterdir())
        if path.suffix in {"", ".py"} and not path.name.startswith("_")
    ]
    return [room for room in found if room != "LICENSE"]


class House(SphinxDirective):
    """Draw the map, and list below it what lives where."""

    def run(self) -> list[nodes.Node]:
        """Return the drawing and the list."""
        for file in [*PACKAGE.rglob("*.py"), PACKAGE.parent / "pyproject.toml"]:
            self.env.note_dependency(str(file))
        order, places = floors(PACKAGE.parent), wings()
        listed = nodes.definition_list()
        for wing in order:
            term = nodes.term("", "", nodes.literal("", wing))
            inside = rooms(places[wing])
            text = purpose(places[wing])
            paragraph = nodes.paragraph("", text)
            if inside:
                paragraph += nodes.Text(" Rooms: ")
                for i, room in enumerate(inside):
                    paragraph += [nodes.Text(", ")] * bool(i) + [nodes.literal("", room)]
                paragraph += nodes.Text(".")
            listed += nodes.definition_list_item("", term, nodes.definition("", paragraph))
        return [nodes.raw("", picture(order, imports()), format="html"), listed]


def fetch(app: Sphinx, page: str, content: list[str]) -> None:
    """Let the page for contributors be CONTRIBUTING.md, with the map where a comment is."""
    if page == "contributing":
        source = PACKAGE.parent / "CONTRIBUTING.md"
        app.env.note_dependency(str(source))
        content[0] = source.read_text(encoding="utf-8").replace(MAP, "```{house}\n```")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive, and what stands on the page for contributors."""
    app.add_directive("house", House)
    app.connect("source-read", fetch)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
