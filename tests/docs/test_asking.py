"""Questions on the site: what a page hands over, and what the build refuses."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import initguide

pytest.importorskip("sphinx_gallery", reason="the group `docs` is not installed")
ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))
import asking  # noqa: E402  one of the site's extensions
import bound  # noqa: E402  one of the site's extensions

PAGES = sorted((ROOT / "examples").rglob("plot_*.py"))
PAGE = """
initguide.asks(
    "What is left?",
    ["About half.", "Nothing."],
    [0.4 < left < 0.6, left < 0.1],
    initguide.says(left < 0.1, "It is {left:.2f}.", "It was {left:.2f}.", left=left),
)
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_page_types_an_answer(page):
    """Which answer is right is measured on every page that asks."""
    assert list(asking.problems(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"What is left?"', "question", "question is no plain text"),
        ('"About half."', "half", "half is no plain text"),
        ("[0.4 < left < 0.6, left < 0.1]", "[True, False]", "typed by hand"),
        ("initguide.says(left", "because(left", "bound to no measurement"),
        ('    "What is left?",\n', "", "a question has four parts"),
    ],
)
def test_what_the_build_refuses(old, new, said):
    """Each with the line and what to do."""
    assert not list(asking.problems(PAGE))
    assert old in PAGE
    (problem, *_) = asking.problems(PAGE.replace(old, new))
    assert problem.startswith("line 2: ")
    assert said in problem


def test_a_cell_that_ends_with_a_question(tmp_path):
    """Its parts are handed to the directive, and its sentence can be found by its key."""
    asked = initguide.asks(
        "Is ``{n}`` more?",
        ["Yes.", "No."],
        [2 > 1, 1 > 2],  # noqa: PLR0133
        initguide.says(2 > 1, "It is.", "It is not.", key="more"),  # noqa: PLR0133
        n=2,
    )
    block = SimpleNamespace(content="initguide.asks(...)")
    variables = {"example_globals": {"___": asked}}
    written = asking.scrape(block, variables, {})
    data = json.loads(written.partition(".. asked::")[2])
    assert data["question"] == "Is ``2`` more?"
    assert data["answers"] == ["Yes.", "No."]
    assert data["verdict"] == "The answer is a."
    assert data["right"] == "a"
    assert bound.text_of(data["because"]) == "It is."
    assert bound.scrape(block, variables, {}) == ""
    (tmp_path / "plot_1.rst").write_text(written, encoding="utf-8")
    assert bound.outcomes(tmp_path) == {"more": "so"}
    assert asking.scrape(SimpleNamespace(content="x = 3"), variables, {}) == ""


def test_the_letter_where_nothing_is_decided():
    """A dash stands in its place."""
    because = initguide.says(bool(PAGES), "A.", "B.")
    asked = initguide.asks("Is it?", ["Yes.", "No."], [None, None], because)
    variables = {"example_globals": {"___": asked}}
    written = asking.scrape(SimpleNamespace(content="initguide.asks(...)"), variables, {})
    assert json.loads(written.partition(".. asked::")[2])["right"] == "–"
