"""Questions before a result: a cell that ends with ``initguide.asks(...)`` becomes a small form.

The answers are radio buttons, which need no script and no server: they only keep what one has
chosen. What this build measured is folded below them. On paper, it is unfolded.
"""

import ast
import json
from collections.abc import Iterator
from typing import Any

from bound import WRITTEN, as_data, calls, text_of, warn_of_pages
from cells import value_shown
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

from initguide.asking import letter


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:  # noqa: ARG001
    """Write down what a cell asks that ends with a question, for the directive below."""
    shown = value_shown(block, block_vars)
    if type(shown).__module__ != "initguide.asking":
        return ""
    data = {
        "question": shown.question.text(),
        "answers": [answer.text() for answer in shown.answers],
        "verdict": shown.verdict,
        "right": "–" if shown.right is None else letter(shown.right),
        "because": as_data(shown.because),
    }
    return f"\n.. asked::\n\n   {json.dumps(data, ensure_ascii=False)}\n"


def questions(page: str) -> list[dict[str, Any]]:
    """What a page asks, in order, from its reStructuredText; nothing if it has not run."""
    return [data for line in WRITTEN.findall(page) if "because" in (data := json.loads(line))]


def html(text: str) -> nodes.raw:
    """What only a browser sees."""
    return nodes.raw("", text, format="html")


class Asks(SphinxDirective):
    """What draws a question."""

    def form(self, data: dict[str, Any], legend: str) -> nodes.container:
        """A question, and its answers as buttons; a browser keeps which one was chosen."""
        group = f"asked-{self.env.new_serialno('asked')}"
        asked = nodes.container(classes=["asked"])
        asked += html(f"<fieldset><legend>{legend}</legend>")
        asked += self.parse(data["question"])
        for at, answer in enumerate(data["answers"]):
            button = f'<input type="radio" name="{group}">'
            asked += html(f"<label>{button} <b>{letter(at)}</b> ")
            # A label may hold words, and no paragraph.
            for paragraph in self.parse(answer):
                asked += nodes.inline("", "", *paragraph.children)
            asked += html("</label>")
        return asked

    def check(self, data: dict[str, Any], summary: str) -> list[nodes.Node]:
        """Which answer is right, and why, folded; the end of the form."""
        return [
            html(f"<details><summary>{summary}</summary>"),
            nodes.paragraph("", "", nodes.strong(text=data["verdict"])),
            *self.parse(text_of(data["because"])),
            html("</details></fieldset>"),
        ]

    def parse(self, text: str) -> list[nodes.Node]:
        """Read a text as reStructuredText."""
        return nested_parse_to_nodes(self.state, text, source=self.get_location())


class Asked(Asks):
    """A question: its content is the data that :func:`scrape` wrote."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the form; `bound.fold` then puts the code below it, as for a sentence."""
        data = json.loads("\n".join(self.content))
        asked = self.form(data, "Predict, then check")
        asked["classes"].append("said")
        asked += self.check(data, "Check your prediction")
        return [asked]


def problems(page: str) -> Iterator[str]:
    """What is wrong with a page's questions, a line each: answers are chosen, and can be found.

    Parameters
    ----------
    page
        The text of its script.
    """
    for call in calls(page, "initguide.asks"):
        start = f"line {call.lineno}:"
        if len(call.args) != 4:
            yield f"{start} a question has four parts: itself, its answers, which is right, and why"
            continue
        question, answers, right, because = call.args
        texts = [question, *(answers.elts if isinstance(answers, ast.List) else [answers])]
        for text in texts:
            if not isinstance(text, ast.Constant):
                yield f"{start} {ast.unparse(text)[:60]} is no plain text; write it there"
        if not any(isinstance(node, ast.Name) for node in ast.walk(right)):
            yield f"{start} which answer is right is typed by hand; let the measurement choose it"
        if "initguide.says(" not in ast.unparse(because):
            yield f"{start} the reason is bound to no measurement; write initguide.says(...) there"


def check(app: Sphinx) -> None:
    """Warn of every problem of every page, which fails the build."""
    warn_of_pages(app, problems)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive; the check comes before the pages are run."""
    app.add_directive("asked", Asked)
    app.connect("builder-inited", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
