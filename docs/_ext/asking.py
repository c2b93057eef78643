"""Questions before a result: a cell that ends with ``initguide.asks(...)`` becomes a small form.

The answers are radio buttons, which need no script and no server: they only keep what one has
chosen. What this build measured is folded below them. On paper, it is unfolded.
"""

import ast
import json
from collections.abc import Iterator
from typing import Any

from bound import as_data, calls, text_of, warn_of_pages
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
        "because": as_data(shown.because),
    }
    return f"\n.. asked::\n\n   {json.dumps(data, ensure_ascii=False)}\n"


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


class Asked(SphinxDirective):
    """A question: its content is the data that :func:`scrape` wrote."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the form; `bound.fold` then puts the code below it, as for a sentence."""
        data = json.loads("\n".join(self.content))
        group = f"asked-{self.env.new_serialno('asked')}"
        asked = nodes.container(classes=["said", "asked"])
        asked += _html("<fieldset><legend>Predict, then check</legend>")
        asked += self._parse(data["question"])
        for at, answer in enumerate(data["answers"]):
            button = f'<input type="radio" name="{group}">'
            asked += _html(f"<label>{button} <b>{letter(at)}</b> ")
            # A label may hold words, and no paragraph.
            for paragraph in self._parse(answer):
                asked += nodes.inline("", "", *paragraph.children)
            asked += _html("</label>")
        asked += _html("<details><summary>Check your prediction</summary>")
        asked += nodes.paragraph("", "", nodes.strong(text=data["verdict"]))
        asked += self._parse(text_of(data["because"]))
        asked += _html("</details></fieldset>")
        return [asked]

    def _parse(self, text: str) -> list[nodes.Node]:
        return nested_parse_to_nodes(self.state, text, source=self.get_location())


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
