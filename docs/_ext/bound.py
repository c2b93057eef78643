"""Sentences that the build chooses, and the check that no conclusion is typed beside its numbers.

A cell that ends with ``initguide.says(...)`` or ``initguide.bullets(...)`` chooses a sentence by
what was measured. On the site the sentence stands as text, and the code that chose it is folded
below it. :func:`problems` tells what a page says without measuring it: any problem fails the build.

What another page measured is said by the role ``:said:`see there <key>```: on the site, by the
sentence that came out there under this key (or several keys, in order); in a notebook, by the words
before it.
"""

import ast
import functools
import json
import re
import string
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from cells import value_shown
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole, SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

logger = logging.getLogger(__name__)

CONCLUSIONS = "What we learnt"  # the heading under which everything is bound
# A number in these is a name or a formula, and no measurement.
NAMED = re.compile(r"``.+?``|:[\w:-]+:`[^`]+`|\{[^}]*\}")
NUMBER = re.compile(r"(?<![\w.])\d[\d,.]*")
WRITTEN = re.compile(r"^ *\.\. (?:said|asked)::\n\n +(\{.*\})$", re.MULTILINE)
# Uses of the role in the text of a page.
ELSEWHERE = re.compile(r":said:`[^`<]*<([^`>]+)>`")
BULLET = re.compile(r"^# (?:- |\* )", re.MULTILINE)


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:  # noqa: ARG001
    """Write down what a cell says that ends with a sentence, for the directive below."""
    shown = value_shown(block, block_vars)
    if type(shown).__module__ != "initguide.sentences":
        return ""
    return f"\n.. said::\n\n   {json.dumps(as_data(shown), ensure_ascii=False)}\n"


def as_data(said: Any) -> dict[str, Any]:
    """A sentence, or several, as plain data."""
    if hasattr(said, "items"):
        return {"bulleted": said.bulleted, "items": [as_data(item) for item in said.items]}
    return {
        "outcome": said.outcome,
        "key": said.key,
        "branches": {outcome: said.text(outcome) for outcome in said.branches},
    }


def text_of(data: dict[str, Any], outcome: str = "") -> str:
    """The reStructuredText of what came out; or of another outcome, where it is possible."""
    if "items" not in data:
        return data["branches"].get(outcome) or data["branches"][data["outcome"]]
    texts = [text_of(item, outcome) for item in data["items"]]
    return "\n".join(f"- {text}" for text in texts) if data["bulleted"] else " ".join(texts)


def flat(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All sentences of a paragraph or a list."""
    if "because" in data:  # a question, which asking.py wrote
        data = data["because"]
    if "items" not in data:
        yield data
    for item in data.get("items", ()):
        yield from flat(item)


def sentences(gallery: Path) -> dict[str, dict[str, Any]]:
    """Key -> the sentence with it, as data, on all pages of a gallery that were run."""
    return {
        sentence["key"]: sentence
        for page in sorted(gallery.rglob("plot_*.rst"))
        for sentence in _keyed_sentences(page.read_text(encoding="utf-8"))
    }


@functools.cache  # every cell of a table and every role asks for all pages
def _keyed_sentences(page: str) -> tuple[dict[str, Any], ...]:
    said = (s for line in WRITTEN.findall(page) for s in flat(json.loads(line)))
    return tuple(sentence for sentence in said if sentence["key"])


def outcomes(gallery: Path) -> dict[str, str]:
    """Key of a sentence -> what came out, on all pages of a gallery that were run."""
    return {key: sentence["outcome"] for key, sentence in sentences(gallery).items()}


def keys(examples: Path) -> dict[str, str]:
    """Key of a sentence -> the page whose script has it, such as ``"theory/plot_4_gains"``."""
    return {
        key: script.relative_to(examples).with_suffix("").as_posix()
        for script in sorted(examples.rglob("plot_*.py"))
        for key in _keys_in(script.read_text(encoding="utf-8"))
    }


@functools.cache
def _keys_in(page: str) -> tuple[str, ...]:
    return tuple(
        keyword.value.value
        for call in calls(page, "initguide.says")
        for keyword in call.keywords
        if keyword.arg == "key" and isinstance(keyword.value, ast.Constant)
    )


class Said(SphinxDirective):
    """What a cell says: its content is the data that :func:`scrape` wrote."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Read the sentence that came out; the others only to see that they can be read."""
        data = json.loads("\n".join(self.content))
        for outcome in ("no", "undecided"):
            nested_parse_to_nodes(self.state, text_of(data, outcome), source=self.get_location())
        said = nodes.container(classes=["said"])
        said += nested_parse_to_nodes(self.state, text_of(data), source=self.get_location())
        return [said]


class SaidElsewhere(ReferenceRole):
    """What came out on another page; the words before the key where that page has not run."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Read the sentences as a part of the text around them."""
        docs = Path(self.env.srcdir)
        known, found = keys(docs.parent / "examples"), sentences(docs / "auto_examples")
        asked = self.target.split()
        for key in asked:
            if key in known:
                self.env.note_dependency(str(docs / "auto_examples" / f"{known[key]}.rst"))
        there = all(key in found for key in asked)
        text = " ".join(text_of(found[key]) for key in asked) if there else self.title
        return self.inliner.parse(text, self.lineno, self.inliner, self.inliner.parent)


def fold(_app: Sphinx, document: nodes.document) -> None:
    """Put the code that chose a sentence below it, folded."""
    for said in list(document.findall(nodes.container)):
        if "said" not in said["classes"]:
            continue
        siblings = said.parent.children
        at = siblings.index(said)
        code = siblings[at - 1] if at else None
        if isinstance(code, nodes.literal_block):
            code["classes"].append("said-code")
            begin = '<details class="said-code"><summary>How the build chose this</summary>'
            siblings[at - 1 : at + 1] = [
                said,
                nodes.raw("", begin, format="html"),
                code,
                nodes.raw("", "</details>", format="html"),
            ]


def calls(page: str, name: str) -> Iterator[ast.Call]:
    """Calls of a function in the text of a script."""
    for node in ast.walk(ast.parse(page)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node


def branches_of(call: ast.Call) -> list[str]:
    """The sentences that a call of ``initguide.says`` may choose from.

    Raises
    ------
    TypeError
        If one is no plain text: a translation could not find it.
    """
    texts = []
    for argument in call.args[1:]:
        if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
            raise TypeError(
                f"line {argument.lineno}: {ast.unparse(argument)[:60]} is no plain text; write "
                "the sentence there, with {name} where a value stands, and name=value after it"
            )
        texts.append(argument.value)
    return texts


def _starts_small(text: str) -> bool:
    """Whether the first word is in small letters; muP is a name, and so is code or a formula."""
    return text.split(maxsplit=1)[0].islower() and text[0].isalpha()


def _of_a_sentence(text: str, line: int) -> Iterator[str]:
    """What is wrong with one branch."""
    start = f"line {line}: {text[:50]!r}"
    if not text[:1].strip() or _starts_small(text):
        yield f"{start} does not start like a sentence"
    if text[-1:] not in {".", "?", "!", ":"}:
        yield f"{start} does not end like a sentence"
    if found := NUMBER.search(NAMED.sub("", text)):
        yield (
            f"{start} has the number {found[0]!r} typed by hand; let a field print it, or set "
            "what is a name or a formula as ``code`` or :math:`...`"
        )


def problems(page: str) -> list[str]:
    """What a page concludes without measuring it, a line each.

    Parameters
    ----------
    page
        The text of its script.
    """
    found = []
    for call in calls(page, "initguide.says"):
        try:
            texts = branches_of(call)
        except TypeError as error:
            found.append(str(error))
            continue
        if len(set(texts)) < len(texts) or len(texts) < 2:
            found.append(f"line {call.lineno}: two outcomes that say the same decide nothing")
        if isinstance(call.args[0], ast.Constant):
            found.append(f"line {call.lineno}: a constant decides nothing")
        for text in texts:
            found += _of_a_sentence(text, call.lineno)
            fields = {field for _, field, _, _ in string.Formatter().parse(text) if field}
            known = {keyword.arg for keyword in call.keywords}
            found += [f"line {call.lineno}: no value for {{{f}}}" for f in sorted(fields - known)]
    heading = re.search(rf"^# {CONCLUSIONS}\n# -+\n", page, re.MULTILINE)
    if heading:
        section = re.split(r"^# [^\n]+\n# -{4,}\n", page[heading.end() :], flags=re.MULTILINE)[0]
        line = page[: heading.end()].count("\n") + 1
        if BULLET.search(section):
            found.append(f"line {line}: a bullet under {CONCLUSIONS!r} is bound to no measurement")
        if "initguide.bullets(" not in section:
            found.append(f"line {line}: {CONCLUSIONS!r} has no initguide.bullets(...)")
    return found


def unknown(page: str, known: Container[str]) -> list[str]:
    """Keys that the text of a page asks for and no page has, a line each."""
    text = re.sub(r"\n#\s+", " ", page)  # a role may go on in the next line of a comment
    asked = [key for target in ELSEWHERE.findall(text) for key in target.split()]
    return [f":said: no page has a sentence with the key {k!r}" for k in asked if k not in known]


def check(app: Sphinx) -> None:
    """Warn of every problem of every page, which fails the build."""
    known = keys(Path(app.srcdir).parent / "examples")
    warn_of_pages(app, lambda page: problems(page) + unknown(page, known))


def warn_of_pages(app: Sphinx, find: Callable[[str], Iterable[str]]) -> None:
    """Warn of what ``find`` says of the text of each page's script."""
    examples = Path(app.srcdir).parent / "examples"
    for script in sorted(examples.rglob("plot_*.py")):
        for problem in find(script.read_text(encoding="utf-8")):
            logger.warning("%s: %s", script.relative_to(examples.parent), problem)


def setup(app: Sphinx) -> dict[str, bool]:
    """Fold after the pages were read, before their facts are added."""
    app.add_directive("said", Said)
    app.add_role("said", SaidElsewhere())
    app.connect("builder-inited", check)
    app.connect("doctree-read", fold, priority=300)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
