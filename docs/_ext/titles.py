"""What a page is called outside of the site: in a tab, among the results of a search, in a link.

In the sidebar a page is "5. Transformers", which says enough there. Elsewhere the title names the
subject: "Transformers: weight initialization, measured · initguide".
"""

import html
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

SUBJECT = "weight initialization"


def name_of(title: str) -> str:
    """A title without the number that it has in its section."""
    return re.sub(r"^\d+\. ", "", title)


def full(title: str, page: str, project: str) -> str:
    """The title of a page with its subject and its site.

    Parameters
    ----------
    title
        As it stands on the page.
    page
        Its name, such as ``"auto_examples/theory/plot_4_gains"``.
    project
        The name of the site.
    """
    name = name_of(title)
    if name == project:
        name = f"{SUBJECT.capitalize()}, measured"
    elif page.startswith("auto_examples/"):
        name = _with_subject(name, f"{SUBJECT}, measured")
    elif not page.startswith("api/"):
        name = _with_subject(name, SUBJECT)
    return f"{name} · {project}"


def _with_subject(name: str, subject: str) -> str:
    """A name that does not name the subject itself, with it."""
    if "initializ" in name.lower():
        return name
    if name.endswith(("?", "!", ".")):
        return f"{name} {subject[0].upper()}{subject[1:]}"
    return f"{name}{' · ' if ':' in name else ': '}{subject}"


def put(
    app: Sphinx, page: str, _template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Write it into the page's head; the theme adds nothing to a page without a ``docstitle``."""
    if doctree is not None and context.get("title"):
        title = html.unescape(re.sub(r"<[^>]+>", "", context["title"]))
        context["title"] = full(title, page, app.config.project)
        context["docstitle"] = ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Run for each page that is written."""
    app.connect("html-page-context", put)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
