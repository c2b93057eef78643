"""The short test and its key: questions of many pages on one."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx_gallery", reason="the group `docs` is not installed")
ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))
import questions  # noqa: E402  one of the site's extensions

TEST = ROOT / "docs" / "test.rst"


def test_the_test_has_twenty_questions():
    """Each is asked by a page, none twice, and both sections that ask are in it."""
    picks = questions.picks(ROOT / "docs", questions.listed(TEST.read_text(encoding="utf-8")))
    places = [(pick.page, pick.number) for pick in picks]
    assert len(places) == len(set(places)) == 20
    assert {page.partition("/")[0] for page, _ in places} == {"lesson", "theory"}


def test_no_letter_is_right_most_of_the_time():
    """Who answers the same throughout is right in at most half of them."""
    picks = questions.picks(ROOT / "docs", questions.listed(TEST.read_text(encoding="utf-8")))
    verdicts = [pick.data["verdict"] for pick in picks if pick.data]
    if not verdicts:
        pytest.skip("the pages have not run here: nox -s docs")
    assert all(verdicts.count(verdict) <= 10 for verdict in set(verdicts))


@pytest.fixture
def site(tmp_path):
    """A page that asks two questions, of which one was written when it ran."""
    script = tmp_path / "examples" / "lesson" / "plot_1.py"
    script.parent.mkdir(parents=True)
    script.write_text("initguide.asks(1)\ninitguide.asks(2)\n")
    written = tmp_path / "docs" / "auto_examples" / "lesson" / "plot_1.rst"
    written.parent.mkdir(parents=True)
    said = {"outcome": "so", "key": "", "branches": {"so": "It is.", "no": "No."}}
    asked = {"question": "Is it?", "answers": ["A.", "B."], "verdict": "It is a.", "because": said}
    lines = [f".. said::\n\n   {json.dumps(said)}", f".. asked::\n\n   {json.dumps(asked)}"]
    written.write_text("\n\n".join([*lines, ""]))
    return tmp_path / "docs"


def test_picks(site):
    """By page and number; sentences between the questions are not counted."""
    first, second = questions.picks(site, ["lesson/plot_1 1 2"])
    assert (first.page, first.number) == ("lesson/plot_1", 1)
    assert first.data["question"] == "Is it?"
    assert second.data is None  # the page has not run since it asks this


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lesson/plot_1 3", "lesson/plot_1 has no question 3; it asks 2"),
        ("lesson/plot_1 0", "lesson/plot_1 has no question 0; it asks 2"),
        ("lesson/plot_1", "is not a page of examples/ and numbers"),
        ("lesson/plot_1 one", "is not a page of examples/ and numbers"),
        ("lesson/plot_2 1", "is not a page of examples/ and numbers"),
    ],
)
def test_what_is_refused(site, line, said):
    """With what there is."""
    with pytest.raises(ValueError, match=said):
        questions.picks(site, [line])


def test_the_lines_of_a_test():
    """They are found in the text of its page, for the key on another."""
    text = "Title\n=====\n\n.. questions::\n\n   lesson/a 1\n   theory/b 1 2\n\nMore.\n"
    assert list(filter(None, questions.listed(text))) == ["   lesson/a 1", "   theory/b 1 2"]
    end = "Title\n\n.. questions::\n\n  lesson/a 1\n\n  theory/b 1 2"  # with no newline at the end
    assert list(filter(None, questions.listed(end))) == ["  lesson/a 1", "  theory/b 1 2"]
    assert questions.listed("Title\n") == []
