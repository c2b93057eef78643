r"""Notebooks that read well outside the site.

Sphinx-Gallery turns the text of a page into Markdown, but passes what only Sphinx knows, such as
roles, admonitions and folded solutions, on as it is. Here each page's text is first written
in plain Markdown, and then handed to Sphinx-Gallery's own notebook writer, which
does the headings and the links. A directive that has no counterpart here is an error, so that no
notebook is published with raw reStructuredText in it.
"""

import json
import re
import textwrap
import zipfile
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx_gallery.notebook import jupyter_notebook, save_notebook
from sphinx_gallery.py_source_parser import (
    Block,
    remove_config_comments,
    remove_ignore_blocks,
    split_code_and_text_blocks,
)

ADMONITIONS = ("note", "tip", "hint", "important", "warning", "seealso")
SILENT = ("meta", "only", "contents", "rst-class", "index", "minigallery", "currentmodule")

DIRECTIVE = re.compile(r"^\.\. (?P<name>[\w:-]+?)::[ \t]*(?P<argument>.*)$")
ROLE = re.compile(
    r"(?P<literal>``.+?``(?!`))"
    r"|(?<![\w:`]):(?:\w+:)?(?P<role>[\w-]+):`(?P<text>[^`]+?)(?:\s*<(?P<target>[^`<>]+)>)?`",
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


def _role(match: re.Match[str]) -> str:
    if match["literal"]:
        return match["literal"]
    role, text = match["role"], " ".join(match["text"].split())
    if role == "math":
        return f"${text}$"
    if role in {"ref", "doc", "term", "abbr", "numref", "any"}:
        bare = text.lstrip("/").rpartition("/")[2]
        return text if match["target"] else bare.removeprefix("plot_").replace("_", " ")
    if role in {"sup", "sub"}:
        return f"<{role}>{text}</{role}>"
    if text.startswith("~"):
        text = text.rpartition(".")[2]
    return f"`{text.lstrip('!~')}`"


def roles_to_markdown(text: str) -> str:
    """Rewrite roles: formulas between dollar signs, references as words, objects as code."""
    return ROLE.sub(_role, text)


def _split_options(block: list[str]) -> tuple[dict[str, str], str]:
    """Options and body of a directive, from the indented lines under it."""
    lines = textwrap.dedent("\n".join(block)).splitlines()
    options = {}
    while lines and (match := re.match(r":([\w-]+):\s*(.*)$", lines[0])):
        options[match[1]] = match[2]
        lines.pop(0)
    return options, "\n".join(lines).strip("\n")


def _list_table(argument: str, options: dict[str, str], body: str) -> str:
    del options
    rows = [
        [" ".join(cell.split()) for cell in re.split(r"^\s*- ", row, flags=re.MULTILINE)[1:]]
        for row in re.split(r"^\* ", body, flags=re.MULTILINE)[1:]
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return (f"**{argument}**\n\n" if argument else "") + roles_to_markdown("\n".join(lines))


def _directive(name: str, argument: str, block: list[str]) -> str:
    options, body = _split_options(block)
    writers: dict[str, Callable[[], str]] = {
        "math": lambda: "$$\n" + "\n".join(filter(None, (argument, body))) + "\n$$",
        "dropdown": lambda: _fold(argument or "Solution", to_markdown(body)),
        "admonition": lambda: _quote(argument, to_markdown(body)),
        "rubric": lambda: f"**{roles_to_markdown(argument)}**",
        "raw": lambda: body if argument == "html" else "",
        "image": lambda: f"*Figure: {options.get('alt', '')}*",
        "list-table": lambda: _list_table(argument, options, body),
    }
    if name in SILENT:
        return ""
    if name in {"code-block", "code", "sourcecode"}:
        return _fence(body, argument)
    if name in ADMONITIONS:
        inner = "\n\n".join(filter(None, (argument, body)))
        return _quote(name.replace("seealso", "see also").capitalize(), to_markdown(inner))
    if name in writers:
        return writers[name]()
    raise ExtensionError(
        f"no notebook text for '.. {name}:: {argument}'. Use another directive on this page, or "
        f"teach docs/_ext/notebooks.py what to write for it (it knows {', '.join(writers)}, "
        f"code-block, {', '.join(ADMONITIONS)})."
    )


def _end_of_block(lines: list[str], start: int) -> int:
    """Where the indented lines from ``start`` on, and the empty lines among them, end."""
    inside = (not line.strip() or line.startswith((" ", "\t")) for line in lines[start:])
    return start + sum(1 for _ in takewhile(bool, inside))


def _piece(lines: list[str], at: int) -> tuple[str | None, int]:
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
        written = _directive(match["name"], match["argument"].strip(), lines[at + 1 : end])
        return f"\n{written}\n", end
    if line.startswith(".. ") and not (line.startswith(".. _") and "://" in line):
        return "", end  # a label or a comment; the target of a link is Sphinx-Gallery's to resolve
    if line.endswith("::"):
        code = _fence(textwrap.dedent("\n".join(lines[at + 1 : end])), "text")
        return f"{roles_to_markdown(line[:-2])}{':' if len(line) > 2 else ''}\n\n{code}\n", end
    return None, at + 1


def to_markdown(text: str) -> str:
    """Rewrite a page's reStructuredText, except headings and links, as Markdown.

    Text that is Markdown already comes back unchanged.

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
        written, end = _piece(lines, at)
        if written is None:
            prose.append(lines[at])
        else:
            result += [roles_to_markdown("\n".join(prose)), written]
            prose = []
        at = end
    result.append(roles_to_markdown("\n".join(prose)))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(result)).strip("\n")


def leftovers(markdown: str) -> list[str]:
    """Roles and directives that are still in a Markdown text, outside code."""
    return [match[0].strip() for match in LEFTOVER.finditer(CODE.sub("", markdown))]


def write_notebook(script: Path, gallery_conf: dict[str, object]) -> None:
    """Write the notebook of a page anew, beside its script and into the zip file with both."""
    _, blocks = split_code_and_text_blocks(str(script))
    clean = []
    for kind, content, line in blocks:
        if kind == "code":
            content = remove_config_comments(remove_ignore_blocks(content))  # noqa: PLW2901
        else:
            content = to_markdown(content)  # noqa: PLW2901
        if content.strip():
            clean.append(Block(kind, content, line))
    notebook = jupyter_notebook(clean, gallery_conf, script.parent)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and (left := leftovers("".join(cell["source"]))):
            raise ExtensionError(f"{script.name}: its notebook would still contain {left}")
    target = script.with_suffix(".ipynb")
    before = target.read_text(encoding="utf-8") if target.exists() else ""
    if before and json.loads(before) == notebook:
        return
    save_notebook(notebook, target)
    with zipfile.ZipFile(script.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as both:
        both.write(script, script.name)
        both.write(target, target.name)


def write_notebooks(app: Sphinx) -> None:
    """Write the notebooks of all pages, after Sphinx-Gallery has made its own."""
    for script in sorted((Path(app.srcdir) / "auto_examples").rglob("*.py")):
        write_notebook(script, app.config.sphinx_gallery_conf)


def setup(app: Sphinx) -> dict[str, bool]:
    """Run after Sphinx-Gallery, which generates the pages at priority 500."""
    app.connect("builder-inited", write_notebooks, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
