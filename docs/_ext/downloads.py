r"""Notebooks and scripts that work outside the site.

Sphinx-Gallery turns the text of a page into Markdown, but passes what only Sphinx knows, such as
roles, admonitions and folded solutions, on as it is. Here each page's text is first written
in plain Markdown, and then handed to Sphinx-Gallery's own notebook writer, which
does the headings and the links. A directive that has no counterpart here is an error, so that no
notebook is published with raw reStructuredText in it.

A notebook and the site show what a cell ends with, and every figure. A script that somebody
downloads does neither by itself; so in the copy for the reader a cell's last expression is printed
if it is not a drawing, and the last line shows the figures. Both start by taking one thread, as the
site does: PyTorch's default of all cores makes the many small products of a page slow, and two such
processes side by side ten to thirty times slower still.
"""

import ast
import io
import json
import re
import textwrap
import zipfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from docutils import nodes
from pybtex.database import Entry, parse_file
from pybtex.richtext import Text
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx_gallery.notebook import jupyter_notebook, save_notebook
from sphinx_gallery.py_source_parser import (
    Block,
    remove_config_comments,
    remove_ignore_blocks,
    split_code_and_text_blocks,
)

BIBLIOGRAPHY = Path(__file__).parents[1] / "references.bib"
ADMONITIONS = ("note", "tip", "hint", "important", "warning", "seealso")
DRAWING = ("plots.", "plt.", "ax.", "axes", "fig", "initguide.plots.")
ONE_THREAD = """\
import torch

# Small products are fastest on one thread; comparisons and sweeps use all cores by themselves.
torch.set_num_threads(1)
"""
SHOW = """

import matplotlib.pyplot as plt  # noqa: E402  where it is needed

if plt.get_backend().lower() == "agg":
    print("There is no screen for the figures; plt.figure(1).savefig('1.png') saves one.")
plt.show()
"""
SILENT = ("meta", "only", "contents", "rst-class", "index", "minigallery", "currentmodule")

DIRECTIVE = re.compile(r"^\.\. (?P<name>[\w:-]+?)::[ \t]*(?P<argument>.*)$")
ROLE = re.compile(
    r"(?P<literal>``.+?``(?!`))"
    r"|(?<![\w:`]):(?:(?P<domain>\w+):)?(?P<role>[\w-]+):`(?P<text>[^`]+?)(?:\s*<(?P<target>[^`<>]+)>)?`",
    re.DOTALL,
)
LEFTOVER = re.compile(r"^[ \t]*\.\. [\w:_-]+|(?<![\w`]):[a-z][\w:-]*:`", re.MULTILINE)
CODE = re.compile(r"^```.*?^```$|``.+?``(?!`)", re.MULTILINE | re.DOTALL)


def _fence(body: str, language: str = "") -> str:
    return f"```{language}\n{body.strip(chr(10)).rstrip()}\n```"


def _quote(title: str, body: str) -> str:
    text = f"**{title}**\n\n{body}".strip()
    # The space stays on empty lines: Sphinx-Gallery takes a bare ">" for the underline of a title.
    return "\n".join(f"> {line}" for line in text.splitlines())


def _fold(title: str, body: str) -> str:
    return f"<details>\n<summary><b>{title}</b></summary>\n\n{body.strip()}\n\n</details>"


def _role(match: re.Match[str], site: str) -> str:
    if match["literal"]:
        return match["literal"]
    role, text = match["role"], " ".join(match["text"].split())
    if role == "math":
        return f"${text}$"
    if match["domain"] == "cite":
        return "; ".join(_citation(key.strip()) for key in text.split(","))
    if role in {"ref", "doc", "term", "abbr", "numref", "any", "said"}:
        bare = text.lstrip("/").rpartition("/")[2]
        words = text if match["target"] else bare.removeprefix("plot_").replace("_", " ")
        target = (match["target"] or text).lstrip("/")
        return f"[{words}]({site}{target}.html)" if site and role == "doc" else words
    if role in {"sup", "sub"}:
        return f"<{role}>{text}</{role}>"
    if text.startswith("~"):
        text = text.rpartition(".")[2]
    return f"`{text.lstrip('!~')}`"


@cache
def _bibliography() -> Mapping[str, Entry]:
    entries: Mapping[str, Entry] = parse_file(str(BIBLIOGRAPHY)).entries
    return entries


def _citation(key: str) -> str:
    """Names and year, with a link to the paper."""
    entry = _bibliography().get(key)
    if entry is None:
        raise ExtensionError(f"a page cites {key!r}, which {BIBLIOGRAPHY.name} does not have")
    names = [" ".join(person.last_names) for person in entry.persons["author"]]
    names = [str(Text.from_latex(name)) for name in names]
    authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    fields = entry.fields
    if "eprint" in fields:
        address = f"https://arxiv.org/abs/{fields['eprint']}"
    else:
        address = f"https://doi.org/{fields['doi']}" if "doi" in fields else fields["url"]
    return f"[{authors} ({fields['year']})]({address})"


def roles_to_markdown(text: str, site: str = "") -> str:
    """Rewrite roles: formulas between dollar signs, references as words, objects as code.

    References to pages become links if the address of the ``site`` is given.
    """
    return ROLE.sub(partial(_role, site=site), text)


def _split_options(block: list[str]) -> tuple[dict[str, str], str]:
    """Options and body of a directive, from the indented lines under it."""
    lines = textwrap.dedent("\n".join(block)).splitlines()
    options = {}
    while lines and (match := re.match(r":([\w-]+):\s*(.*)$", lines[0])):
        options[match[1]] = match[2]
        lines.pop(0)
    return options, "\n".join(lines).strip("\n")


def _list_table(argument: str, body: str, site: str) -> str:
    rows = [
        [" ".join(cell.split()) for cell in re.split(r"^\s*- ", row, flags=re.MULTILINE)[1:]]
        for row in re.split(r"^\* ", body, flags=re.MULTILINE)[1:]
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return (f"**{argument}**\n\n" if argument else "") + roles_to_markdown("\n".join(lines), site)


def _directive(name: str, argument: str, block: list[str], site: str) -> str:
    options, body = _split_options(block)
    writers: dict[str, Callable[[], str]] = {
        "math": lambda: "$$\n" + "\n".join(filter(None, (argument, body))) + "\n$$",
        "dropdown": lambda: _fold(argument or "Solution", to_markdown(body, site)),
        "admonition": lambda: _quote(argument, to_markdown(body, site)),
        "rubric": lambda: f"**{roles_to_markdown(argument, site)}**",
        "raw": lambda: body if argument == "html" else "",
        "image": lambda: f"*Figure: {options.get('alt', '')}*",
        "list-table": lambda: _list_table(argument, body, site),
    }
    if name in SILENT:
        return ""
    if name in {"code-block", "code", "sourcecode"}:
        return _fence(body, argument)
    if name in ADMONITIONS:
        inner = "\n\n".join(filter(None, (argument, body)))
        return _quote(name.replace("seealso", "see also").capitalize(), to_markdown(inner, site))
    if name in writers:
        return writers[name]()
    raise ExtensionError(
        f"no notebook text for '.. {name}:: {argument}'. Use another directive on this page, or "
        f"teach docs/_ext/downloads.py what to write for it (it knows {', '.join(writers)}, "
        f"code-block, {', '.join(ADMONITIONS)})."
    )


def _end_of_block(lines: list[str], start: int) -> int:
    """Where the indented lines from ``start`` on, and the empty lines among them, end."""
    inside = (not line.strip() or line.startswith((" ", "\t")) for line in lines[start:])
    return start + sum(1 for _ in takewhile(bool, inside))


def _piece(lines: list[str], at: int, site: str) -> tuple[str | None, int]:
    """What to write for the piece that starts at a line, and where the next one starts.

    None instead of a text stands for a line of prose.
    """
    line = lines[at]
    end = _end_of_block(lines, at + 1)
    if line.startswith("```"):  # Markdown already
        fence = (i for i in range(at + 1, len(lines)) if lines[i].startswith("```"))
        end = next(fence, len(lines) - 1) + 1
        return "\n".join(lines[at:end]), end
    if match := DIRECTIVE.match(line):
        written = _directive(match["name"], match["argument"].strip(), lines[at + 1 : end], site)
        return f"\n{written}\n", end
    if line.startswith(".. ") and not (line.startswith(".. _") and "://" in line):
        return "", end  # a label or a comment; the target of a link is Sphinx-Gallery's to resolve
    if line.endswith("::"):
        code = _fence(textwrap.dedent("\n".join(lines[at + 1 : end])), "text")
        return (
            f"{roles_to_markdown(line[:-2], site)}{':' if len(line) > 2 else ''}\n\n{code}\n",
            end,
        )
    return None, at + 1


def to_markdown(text: str, site: str = "") -> str:
    """Rewrite a page's reStructuredText, except headings and links, as Markdown.

    Text that is Markdown already comes back unchanged. References to pages become links if the
    address of the ``site`` is given, and words if not.

    Raises
    ------
    ExtensionError
        For a directive that has no counterpart.
    """
    lines = text.splitlines()
    result: list[str] = []
    prose: list[str] = []
    at = 0
    while at < len(lines):
        written, end = _piece(lines, at, site)
        if written is None:
            prose.append(lines[at])
        else:
            result += [roles_to_markdown("\n".join(prose), site), written]
            prose = []
        at = end
    result.append(roles_to_markdown("\n".join(prose), site))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(result)).strip("\n")


def leftovers(markdown: str) -> list[str]:
    """Roles and directives that are still in a Markdown text, outside code."""
    return [match[0].strip() for match in LEFTOVER.finditer(CODE.sub("", markdown))]


def first_cell(repository: str) -> str:
    """Code that a notebook starts with: it installs the package where it is missing."""
    if repository:
        install = (
            "# Install the package where it is missing, as in a hosted notebook.\n"
            "import importlib.util\n\n"
            'if importlib.util.find_spec("initguide") is None:\n'
            f"    %pip install --quiet git+https://github.com/{repository}"
        )
    else:
        install = "# This notebook needs the package initguide: `pip install .` in a clone of it."
    return f"{install}\n\n{ONE_THREAD}".rstrip()


def notebook_of(script: Path, gallery_conf: dict[str, Any], site: str = "") -> dict[str, Any]:
    """Notebook of a page, as a document of Jupyter's format.

    Raises
    ------
    ExtensionError
        If reStructuredText is left that a notebook cannot show.
    """
    _, blocks = split_code_and_text_blocks(str(script))
    clean = []
    for kind, content, line in blocks:
        if kind == "code":
            content = remove_config_comments(remove_ignore_blocks(content))  # noqa: PLW2901
        else:
            content = to_markdown(content, site)  # noqa: PLW2901
        if content.strip():
            clean.append(Block(kind, content, line))
    notebook: dict[str, Any] = jupyter_notebook(clean, gallery_conf, script.parent)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and (left := leftovers("".join(cell["source"]))):
            raise ExtensionError(f"{script.name}: its notebook would still contain {left}")
    return notebook


def _has_nothing_to_print(node: ast.expr) -> bool:
    """Whether an expression draws, or calls a function without a dot: print, or the page's own."""
    if not isinstance(node, ast.Call):
        return isinstance(node, ast.Constant)
    return isinstance(node.func, ast.Name) or ast.unparse(node.func).startswith(DRAWING)


def script_of(text: str) -> str:
    """Script of a page, for running from a terminal: it prints its tables and shows its figures."""
    lines = text.splitlines(keepends=True)
    cells = [i for i, line in enumerate(lines) if line.startswith("# %%")] + [len(lines)]
    body = ast.parse(text).body
    introduction = body[0].end_lineno if ast.get_docstring(ast.Module(body, [])) else 0
    for start, end in reversed(list(zip([0, *cells], cells, strict=False))):
        inside = [node for node in body if start < node.lineno <= end]
        last = inside[-1] if inside else None
        if isinstance(last, ast.Expr) and not _has_nothing_to_print(last.value):
            rows = slice(last.lineno - 1, last.end_lineno)
            shown = ast.get_source_segment(text, last.value)
            rest = lines[rows][-1].encode()[last.end_col_offset :].decode()
            lines[rows] = [f"print({shown}){rest}"]
    lines.insert(introduction or 0, f"\n{ONE_THREAD}")
    script = "".join(lines).rstrip("\n") + SHOW
    compile(script, "a script for readers", "exec")
    return script


def archive_of(texts: Mapping[str, str]) -> bytes:
    """Zip archive of some files: the same bytes for the same texts, at whatever time it is made."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in texts.items():
            entry = zipfile.ZipInfo(name)  # of 1980, the first year that the format knows
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def write_downloads(app: Sphinx) -> None:
    """Write the notebooks of all pages, after Sphinx-Gallery has made its own."""
    site = app.config.html_baseurl or ""
    for script in sorted((Path(app.srcdir) / "auto_examples").rglob("*.py")):
        notebook = notebook_of(script, app.config.sphinx_gallery_conf, site)
        target = script.with_suffix(".ipynb")
        before = target.read_text(encoding="utf-8") if target.exists() else ""
        if not before or json.loads(before) != notebook:
            save_notebook(notebook, target)
        texts = {
            script.name: script_of(script.read_text(encoding="utf-8")),
            target.name: target.read_text(encoding="utf-8"),
        }
        archive, packed = script.with_suffix(".zip"), archive_of(texts)
        if not archive.exists() or archive.read_bytes() != packed:
            archive.write_bytes(packed)


def forget_downloads(app: Sphinx, _doctree: nodes.document) -> None:
    """Do not read a page again for what it offers to download: every build copies that anew."""
    page = app.env.docname
    for path, (pages, _) in app.env.dlfiles.items():
        if page in pages:
            app.env.dependencies[page].discard(app.srcdir / path)


def finish_scripts(app: Sphinx, exception: Exception | None) -> None:
    """Write the reader's copies of the scripts over Sphinx's, which are those that the site ran."""
    if exception is not None or app.builder.format != "html":
        return
    gallery = Path(app.srcdir, "auto_examples")
    for source, (_, name) in app.env.dlfiles.items():
        script = Path(app.srcdir, source)
        if script.suffix == ".py" and script.is_relative_to(gallery):
            text = script_of(script.read_text(encoding="utf-8"))
            Path(app.outdir, "_downloads", name).write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Run after Sphinx-Gallery, which generates the pages at priority 500."""
    app.connect("builder-inited", write_downloads, priority=600)
    app.connect("doctree-read", forget_downloads, priority=600)  # Sphinx notes them at 500
    app.connect("build-finished", finish_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
