"""Sentences that are bound to a page's numbers, and what the build refuses."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.utils import new_document

import initguide

pytest.importorskip("sphinx_gallery", reason="the group `docs` is not installed")
ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))
import bound  # noqa: E402  two of the site's extensions
import pages  # noqa: E402

PAGES = sorted((ROOT / "examples").rglob("plot_*.py"))
PAGE = '''"""
A page
======
"""

# %%
# What we learnt
# --------------

initguide.bullets(
    initguide.says(
        x > 1,
        "It grows {x:.1f}-fold, as :math:`2/n` and ``fc1`` say.",
        "It does not grow.",
        x=x,
    ),
)

# %%
# Next: - something else.
'''


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_page_says_what_it_does_not_measure(page):
    """All sentences of its conclusions are chosen by a measurement; none has a typed number."""
    assert bound.problems(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# --------------\n", "# --------------\n# - It grows.\n", "bound to no measurement"),
        ("initguide.bullets", "print", "has no initguide.bullets"),
        ("It grows {x:.1f}-fold", "It grows 2.5-fold", "number '2.5' typed by hand"),
        ("not grow.", "not grow by 3 %.", "number '3' typed by hand"),
        ("x=x", "y=x", r"no value for {x}"),
        ("x > 1", "True", "a constant decides nothing"),
        ("It does not", "it does not", "does not start like a sentence"),
        ("not grow.", "not grow", "does not end like a sentence"),
        ('"It does not grow."', "other", "other is no plain text"),
        (
            '"It does not grow."',
            '"It grows {x:.1f}-fold, as :math:`2/n` and ``fc1`` say."',
            "say the same",
        ),
    ],
)
def test_what_the_build_refuses(old, new, said):
    """Each with the line and what to do."""
    assert bound.problems(PAGE) == []
    assert old in PAGE
    (problem, *_) = bound.problems(PAGE.replace(old, new))
    assert said in problem
    assert problem.startswith("line ")


def shown(value, content):
    """What the site gets from a cell that ends with a value."""
    block = SimpleNamespace(content=content)
    return bound.scrape(block, {"example_globals": {"___": value}}, {})


def test_a_cell_that_ends_with_a_sentence():
    """All its outcomes are handed to the directive, and the text is that of the measurement."""
    said = initguide.says(2 > 1, "More: ``a``.", "Less.", key="more")  # noqa: PLR0133
    written = shown(initguide.bullets(said, said + said), "initguide.bullets(...)")
    data = json.loads(written.partition(".. said::")[2])
    assert bound.text_of(data) == "- More: ``a``.\n- More: ``a``. More: ``a``."
    assert bound.text_of(data, "no") == "- Less.\n- Less. Less."
    assert bound.text_of(data, "undecided") == bound.text_of(data)  # it has none
    assert data["items"][0]["key"] == "more"


def test_other_cells_say_nothing():
    """One that ends with a table, or with no value."""
    assert shown(3, "x") == ""
    assert shown(initguide.says(True, "Yes.", "No."), "x = 3") == ""


def test_branches_are_read_from_the_script():
    """As a translation has to find them."""
    (call,) = bound.calls('initguide.says(x, "A" " b.", "C.", y=1)', "initguide.says")
    assert bound.branches_of(call) == ["A b.", "C."]


def test_what_another_page_said():
    """The key is that of a sentence; all pages ask for keys that there are."""
    known = bound.keys(ROOT / "examples")
    for page in PAGES:
        assert bound.unknown(page.read_text(encoding="utf-8"), known) == []
    text = "# It is :said:`see there\n#    <a b>` and :said:`there <c>`."
    assert bound.unknown(text, {"a": "x"}) == [
        f":said: no page has a sentence with the key {key!r}" for key in "bc"
    ]


def test_role_takes_the_sentence_of_the_page_that_ran(tmp_path):
    """Its markup is read; where a page has not run, the words before the key stand."""
    gallery = tmp_path / "docs" / "auto_examples"
    gallery.mkdir(parents=True)
    said = initguide.says(2 > 1, "More: ``a``.", "Less.", key="more")  # noqa: PLR0133
    (gallery / "plot_a.rst").write_text(shown(said, "initguide.says(...)"))
    assert bound.sentences(gallery)["more"]["branches"]["no"] == "Less."
    env = SimpleNamespace(srcdir=tmp_path / "docs", note_dependency=lambda _: None)
    parsed = []
    inliner = SimpleNamespace(
        document=SimpleNamespace(settings=SimpleNamespace(env=env)),
        parent=None,
        parse=lambda text, *_: parsed.append(text),
    )
    for target in ("more", "more more", "more missing"):
        bound.SaidElsewhere()("said", "", f"see there <{target}>", 1, inliner)
    assert parsed == ["More: ``a``.", "More: ``a``. More: ``a``.", "see there"]


def test_the_code_that_chose_a_sentence_is_folded_below_it():
    """And takes no time to read."""
    code = "\n".join(["initguide.says(", *["x,"] * 60, ")"])
    document = new_document("page")
    said = nodes.container("", nodes.paragraph("", "It grows."), classes=["said"])
    document += [nodes.literal_block(code, code), said]
    assert pages.reading_minutes(document) == 4
    bound.fold(None, document)
    kinds = [type(node).__name__ for node in document.children]
    assert kinds == ["container", "raw", "literal_block", "raw"]
    assert document[1].astext().startswith("<details")
    assert pages.reading_minutes(document) == 1
