"""Paths through the guide: pages in order, with what is learnt and how long it takes."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.core import publish_doctree

pytest.importorskip("sphinx_gallery", reason="the group `docs` is not installed")
ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))
import paths  # noqa: E402  one of the site's extensions

LEARN = """
.. admonition:: Note

   - not this

.. admonition:: What you will learn

   - why *zeros* do not learn
   - what does
"""


@pytest.fixture
def examples(tmp_path):
    """A section with three pages, one of them the tenth."""
    for name in ("lesson/plot_10_b", "lesson/plot_2_a", "lesson/plot_1_c", "plot_start"):
        (tmp_path / f"{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").touch()
    return tmp_path


def test_a_section_stands_for_its_pages(examples):
    """In their order, which is that of their numbers."""
    assert paths.pages_of(examples, ["plot_start", "lesson"]) == [
        "plot_start", "lesson/plot_1_c", "lesson/plot_2_a", "lesson/plot_10_b",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="'theory' is neither a page nor a section"):
        paths.pages_of(examples, ["theory"])


def test_what_is_learnt():
    """The first line of the box; nothing where there is none."""
    assert paths.objective(publish_doctree(LEARN)) == "why zeros do not learn"
    assert paths.objective(publish_doctree("Text.")) == ""


def drawn(limit, caplog):
    """A path of two pages of 30 and 45 minutes, drawn."""
    facts = {
        "auto_examples/a": {paths.MINUTES: "30", paths.LEARNT: "to count"},
        "auto_examples/b": {paths.MINUTES: "45", paths.LEARNT: "to add"},
    }
    titles = {name: nodes.title("", name[-1].upper()) for name in facts}
    app = SimpleNamespace(
        env=SimpleNamespace(metadata=facts, titles=titles),
        builder=SimpleNamespace(get_relative_uri=lambda _here, there: f"{there}.html"),
    )
    document = publish_doctree("Text.")
    document += paths.Unread(pages=["a", "b"], limit=limit, at="paths.rst:1", ids=["path-0"])
    with caplog.at_level("WARNING"):
        paths.draw(app, document, "paths")
    return document.astext(), caplog.text


def test_a_path_is_a_table_with_its_sum(caplog):
    """In the words of the pages."""
    text, warned = drawn(None, caplog)
    assert "1 h 15 min, 2 pages" in text
    assert text.index("A") < text.index("to count") < text.index("to add")
    assert not warned


@pytest.mark.parametrize(("limit", "warns"), [(75, False), (74, True)])
def test_a_path_that_takes_longer_than_it_says(caplog, limit, warns):
    """Fails the build."""
    _, warned = drawn(limit, caplog)
    assert ("take 75 minutes to read, and there are 74" in warned) is warns
