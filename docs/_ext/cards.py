"""What a link to a page shows elsewhere: its title, its description, and a picture made for it.

The picture, 1200 × 630 pixels, is typeset from ``docs/card.typ`` with the page's first figure, so
there is no code in it. Pictures are made again only when what they show has changed. Addresses are
absolute where it is known where the site is published (``INITGUIDE_SITE_URL``).
"""

import hashlib
import html
import json
import textwrap
from pathlib import Path
from typing import Any

import typst
from docutils import nodes
from sphinx.application import Sphinx
from titles import full

FOLDER = "_images/cards"


def first_figure(docs: Path, page: str) -> Path | None:
    """The light version of the first figure of a page of the gallery."""
    script = docs / f"{page}.py"
    figure = script.parent / "images" / f"sphx_glr_{script.stem}_001.png"
    return figure if script.exists() and figure.exists() else None


def draw(docs: Path, page: str, words: dict[str, str], target: Path, note: Path) -> None:
    """Make the picture, unless it is there and shows the same; the note tells what it shows."""
    template, figure = docs / "card.typ", first_figure(docs, page)
    path = f"/{figure.relative_to(docs).as_posix()}" if figure else None
    content = json.dumps(words | {"figure": path}, sort_keys=True)
    digest = hashlib.sha256(content.encode() + template.read_bytes())
    if figure:
        digest.update(figure.read_bytes())
    if target.exists() and note.exists() and note.read_text() == digest.hexdigest():
        return
    for path in (target, note):
        path.parent.mkdir(parents=True, exist_ok=True)
    picture = typst.compile(
        str(template),
        root=str(docs),
        format="png",
        ppi=72.0,
        sys_inputs={"data": content},
        ignore_system_fonts=True,
    )
    target.write_bytes(picture)
    note.write_text(digest.hexdigest())


def add_tags(
    app: Sphinx, page: str, _template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Write the tags of the Open Graph protocol into the page's head."""
    if doctree is None or app.builder.format != "html":
        return
    docs = Path(app.srcdir)
    title = next((node.astext() for node in doctree.findall(nodes.title)), app.config.project)
    description = app.env.metadata[page].get("description", "")
    name = f"{FOLDER}/{page.replace('/', '-')}.png"
    target, note = Path(app.outdir, name), Path(app.doctreedir, f"{name}.sha256")
    short = textwrap.shorten(description, 190, placeholder=" …")
    draw(docs, page, {"title": title, "description": short}, target, note)
    site = app.config.html_baseurl
    tags = {
        "og:type": "website",
        "og:site_name": app.config.project,
        "og:title": full(title, page, app.config.project),
        "og:description": description,
        "og:image": f"{site}{name}" if site else context["pathto"](name, resource=True),
        "og:image:alt": f"The title of the page, {title}, beside its first figure",
    }
    if site:
        tags["og:url"] = f"{site}{app.builder.get_target_uri(page)}"
    lines = [f'<meta property="{key}" content="{html.escape(text)}">' for key, text in tags.items()]
    lines.append('<meta name="twitter:card" content="summary_large_image">')
    context["metatags"] += "\n".join(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Run for each page that is written."""
    app.connect("html-page-context", add_tags)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
