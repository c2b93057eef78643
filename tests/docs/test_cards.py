"""The cards that links to the site show."""

from importlib import import_module as extension
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from docutils.core import publish_doctree

ROOT = Path(__file__).parents[2]


@pytest.fixture
def carded(tmp_path):
    """A folder of documents with one page of the gallery and its figure, and an app to build it."""
    docs = tmp_path / "docs"
    images = docs / "auto_examples" / "images"
    images.mkdir(parents=True)
    (docs / "card.typ").write_bytes((ROOT / "docs" / "card.typ").read_bytes())
    (docs / "auto_examples" / "plot_x.py").write_text("")
    plt.figure(figsize=(2, 1)).savefig(images / "sphx_glr_plot_x_001.png")
    pages = {
        name: {"description": 'Is "He" < Xavier?'} for name in ("index", "auto_examples/plot_x")
    }
    builder = SimpleNamespace(format="html", get_target_uri=lambda page: f"{page}.html")
    return SimpleNamespace(
        srcdir=docs,
        outdir=tmp_path / "html",
        doctreedir=tmp_path / "doctrees",
        builder=builder,
        env=SimpleNamespace(metadata=pages),
        config=SimpleNamespace(project="initguide", html_baseurl="https://example.org/guide/"),
    )


def tags(app, page):
    """The tags that a page gets."""
    context = {"metatags": "", "pathto": lambda name, **_: f"../{name}"}
    doctree = publish_doctree("A title\n=======\n\nText\n\nOther\n=====\n\nx")
    extension("cards").add_tags(app, page, "page.html", context, doctree)
    return context["metatags"]


def test_each_page_has_a_card(carded):
    """Title, description and a picture of the size that is asked for, with a full address."""
    text = tags(carded, "auto_examples/plot_x")
    name = "_images/cards/auto_examples-plot_x.png"
    assert f'"og:image" content="https://example.org/guide/{name}"' in text
    assert '"og:url" content="https://example.org/guide/auto_examples/plot_x.html"' in text
    assert "Is &quot;He&quot; &lt; Xavier?" in text
    assert plt.imread(carded.outdir / name).shape[:2] == (630, 1200)
    carded.config.html_baseurl = ""
    assert f'"og:image" content="../{name}"' in tags(carded, "auto_examples/plot_x")


def test_cards_are_made_again_only_for_a_reason(carded):
    """Another build leaves them; a new figure makes a new one."""
    tags(carded, "auto_examples/plot_x")
    tags(carded, "index")
    (card,) = carded.outdir.rglob("auto_examples-plot_x.png")
    before = card.stat().st_mtime_ns
    tags(carded, "auto_examples/plot_x")
    assert card.stat().st_mtime_ns == before
    plt.figure(figsize=(3, 1)).savefig(
        carded.srcdir / "auto_examples" / "images" / "sphx_glr_plot_x_001.png"
    )
    tags(carded, "auto_examples/plot_x")
    assert card.stat().st_mtime_ns > before
