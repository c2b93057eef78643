"""The line under the title of each page of the gallery, and what stands at its end.

Under the title: how long the page takes to read, how long it took to run, and where to download it,
in place of Sphinx-Gallery's "go to the end". Where the address of the repository is known
(``INITGUIDE_REPOSITORY=owner/name``), a link opens the notebook in Colab, from the branch to which
the workflow pushes the notebooks. At the end: the objects of the package that the page uses, and
the related pages.
"""

import math
import re
from pathlib import Path

from docutils import nodes
from paths import MINUTES
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from uses import files_used, home_of, names_used

NOTEBOOKS = "notebooks"  # the branch
RELATED = "related pages"  # in a page's metadata: their names
LINK = re.compile(r"/auto_examples/([\w/]*plot_\w+)|(?<=[`<])(plot_\w+)(?=[`>])")  # or beside it
TIME = re.compile(r"\((\d+) minutes ([\d.]+) seconds\)")


def reading_minutes(document: nodes.document) -> int:
    """Minutes to read a page: 200 words or 20 lines of code per minute.

    Output is not counted, nor is the folded code that chose a sentence.
    """
    words = lines = 0
    for node in document.findall(nodes.TextElement):
        if isinstance(node, nodes.literal_block):
            if not _is_output(node) and "said-code" not in node["classes"]:
                lines += len([line for line in node.astext().splitlines() if line.strip()])
        elif isinstance(node, nodes.paragraph):
            words += len(node.astext().split())
    return math.ceil(words / 200 + lines / 20)


def _is_output(node: nodes.Node | None) -> bool:
    """Whether a node is, or lies in, what a cell printed."""
    while isinstance(node, nodes.Element):
        if "sphx-glr-script-out" in node["classes"]:
            return True
        node = node.parent
    return False


def seconds_to_run(document: nodes.document) -> float | None:
    """What Sphinx-Gallery measured; None if the page has never run."""
    for node in document.findall(nodes.paragraph):
        if "sphx-glr-timing" in node["classes"] and (found := TIME.search(node.astext())):
            return 60 * int(found[1]) + float(found[2])
    return None


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} minutes"


def _facts(app: Sphinx, document: nodes.document, page: str) -> nodes.paragraph:
    line = nodes.paragraph(classes=["page-facts"])
    minutes = reading_minutes(document)
    words = f"{minutes} {'minute' if minutes == 1 else 'minutes'} to read"
    if seconds := seconds_to_run(document):
        words += f" · ran in {_duration(seconds)} for this site"
        app.env.metadata[page][MINUTES] = str(minutes)
    line += nodes.Text(words)
    name = page.rpartition("/")[2]
    for title, suffix in (("script", "py"), ("notebook", "ipynb")):
        link = addnodes.download_reference("", "", reftarget=f"{name}.{suffix}", refdoc=page)
        link += nodes.Text(title)
        line += [nodes.Text(" · "), link]
    if repository := app.config.initguide_repository:
        path = page.removeprefix("auto_examples/")
        address = (
            f"https://colab.research.google.com/github/{repository}/blob/{NOTEBOOKS}/{path}.ipynb"
        )
        line += [nodes.Text(" · "), nodes.reference("", "open in Colab", refuri=address)]
    return line


def objects_used(script: Path) -> list[str]:
    """Names, as the reference knows them, of the package's objects that a script mentions."""
    names = {home_of(name) or name for name in names_used(script)}
    return sorted(name for name in names if name.count(".") == 2)


def _objects(script: Path, page: str) -> nodes.paragraph | None:
    names = objects_used(script)
    if not names:
        return None
    line = nodes.paragraph("", "Used on this page: ", classes=["page-objects"])
    for i, name in enumerate(names):
        short = name.removeprefix("initguide.")
        link = addnodes.pending_xref(
            "", refdomain="py", reftype="obj", reftarget=name, refdoc=page, refexplicit=True
        )
        link += nodes.literal("", short, classes=["xref", "py", "py-obj"])
        line += [nodes.Text(", ")] * bool(i) + [link]
    line += nodes.Text(".")
    return line


def related(examples: Path) -> dict[str, list[str]]:
    """For each page, those that it links to, and then those that link to it.

    ``{"theory/plot_4_gains": ["lesson/plot_3_uniform", ...], ...}``
    """
    links = {}
    for path in sorted(examples.rglob("plot_*.py")):
        own = path.relative_to(examples)
        links[own.with_suffix("").as_posix()] = [
            anywhere or (own.parent / beside).as_posix()
            for anywhere, beside in LINK.findall(path.read_text(encoding="utf-8"))
        ]
    return {
        own: [
            page
            for page in dict.fromkeys([*targets, *(p for p in links if own in links[p])])
            if page != own and page in links
        ]
        for own, targets in links.items()
    }


def outdated(app: Sphinx, env: BuildEnvironment, *_sets: set[str]) -> list[str]:
    """Pages to which other pages are related than when they were read."""
    now = related(Path(app.srcdir).parent / "examples")
    return [
        page
        for page, content in env.metadata.items()
        if RELATED in content
        and content[RELATED] != now.get(page.removeprefix("auto_examples/"), [])
    ]


def _related(names: list[str], page: str) -> nodes.paragraph | None:
    if not names:
        return None
    line = nodes.paragraph("", "Related pages: ", classes=["page-objects"])
    for i, name in enumerate(names):
        link = addnodes.pending_xref(
            "", refdomain="std", reftype="doc", reftarget=f"/auto_examples/{name}", refdoc=page,
            refexplicit=False, refwarn=True,
        )  # fmt: skip
        link += nodes.inline("", name, classes=["xref", "std", "std-doc"])
        line += [nodes.Text(" · ")] * bool(i) + [link]
    return line


def _move_links_to_tables(document: nodes.document) -> None:
    """Put the link to a table's numbers below it; Sphinx-Gallery puts it above the output."""
    for link in list(document.findall(nodes.paragraph)):
        if "table-data" in link["classes"]:
            siblings = link.parent.children
            after = siblings.index(link) + 1
            while after < len(siblings) - 1 and _is_output(siblings[after]):
                after += 1
            if after < len(siblings) and isinstance(siblings[after], nodes.raw):
                siblings.insert(after, siblings.pop(siblings.index(link)))


def complete(app: Sphinx, document: nodes.document) -> None:
    """Write both lines once a page of the gallery is read."""
    page = app.env.docname
    script = Path(app.srcdir, f"{page}.py")
    if not page.startswith("auto_examples/") or not script.exists():
        return
    for note in list(document.findall(nodes.note)):
        if "sphx-glr-download-link-note" in note["classes"]:
            note.parent.remove(note)
    _move_links_to_tables(document)
    title = next(document.findall(nodes.title))
    title.parent.insert(title.parent.index(title) + 1, _facts(app, document, page))
    for file in files_used(script):  # where the objects live
        app.env.note_dependency(str(file))
    own = page.removeprefix("auto_examples/")
    names = related(Path(app.srcdir).parent / "examples")[own]
    app.env.metadata[page][RELATED] = names
    end = [line for line in (_objects(script, page), _related(names, page)) if line]
    for timing in list(document.findall(nodes.paragraph)):
        if "sphx-glr-timing" in timing["classes"]:
            at = timing.parent.index(timing)
            timing.parent[at : at + 1] = end


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before Sphinx collects the downloads of a page, at priority 500."""
    app.add_config_value("initguide_repository", "", "env", str)
    app.connect("doctree-read", complete, priority=400)
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
