"""The decision table: each cell is bound to the sentence of a page, and says what came out."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx_gallery", reason="the group `docs` is not installed")
ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))
import bound  # noqa: E402  two of the site's extensions
import which  # noqa: E402

CELL = {"page": "lesson/plot_1", "key": "grows", "so": "He", "no": "Xavier"}


def test_every_cell_is_bound():
    """To a sentence that the page named beside it has, with words for each outcome."""
    assert which.problems(ROOT / "docs") == []


@pytest.mark.parametrize(
    ("came_out", "expected"),
    [({"grows": "no"}, "Xavier"), ({"grows": "so"}, "He"), ({}, "He"), ({"other": "no"}, "He")],
)
def test_the_outcome_chooses_the_words(came_out, expected):
    """Where the page has not run, the cell says what it says when all is as claimed."""
    assert which.words(CELL, came_out) == expected


def test_the_cheat_sheet_has_few_words(tmp_path):
    """If it is so; otherwise those of the table."""
    text = """
        [[table]]
        [[table.row]]
        network = "N"
        start = { key = "grows", so = "He, of course", no = "Xavier", sheet = "He" }
        [[table.row]]
        network = "M"
        start = { so = "nothing" }
    """
    (tmp_path / which.SOURCE).write_text(text)
    assert which.sheet(tmp_path) == [["N", "He"]]
    page = tmp_path / "auto_examples" / "plot_1.rst"
    page.parent.mkdir()
    data = {"outcome": "no", "key": "grows", "branches": {}}
    page.write_text(f".. said::\n\n   {json.dumps(data)}\n")
    assert which.sheet(tmp_path) == [["N", "Xavier"]]


@pytest.fixture
def site(tmp_path):
    """A page with one sentence, and a table with one row."""
    script = tmp_path / "examples" / "lesson" / "plot_1.py"
    script.parent.mkdir(parents=True)
    script.write_text('initguide.says(x > 1, "It grows.", "It shrinks.", key="grows")\n')
    (tmp_path / "docs").mkdir()

    def write(**changes):
        cell = {name: text for name, text in (CELL | changes).items() if text}
        columns = "\n".join(
            f"{column} = {{ {', '.join(f'{n} = {json.dumps(t)}' for n, t in cell.items())} }}"
            for column in which.COLUMNS
        )
        text = f'[[table]]\ntitle = "T"\n[[table.row]]\nnetwork = "N"\n{columns}\n'
        (tmp_path / "docs" / which.SOURCE).write_text(text)
        return which.problems(tmp_path / "docs")

    return write


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": ""}, "names no sentence that measures it; add key = ..."),
        ({"key": "falls"}, "no page has a sentence with the key 'falls'"),
        ({"page": "theory/plot_2"}, "is measured on lesson/plot_1, not theory/plot_2"),
        ({"no": ""}, "does not say what holds if it is not so"),
    ],
)
def test_what_the_build_refuses(site, changes, said):
    """With the file, the row and the column."""
    assert site() == []
    (first, *_) = site(**changes)
    assert said in first
    assert first.startswith("which.toml: 'N', 'start'")


def test_outcomes_are_read_from_the_pages_that_ran(tmp_path):
    """By their keys, from paragraphs and lists alike."""
    one = {"outcome": "no", "key": "grows", "branches": {}}
    data = {"bulleted": True, "items": [{"bulleted": False, "items": [one | {"key": ""}, one]}]}
    (tmp_path / "plot_1.rst").write_text(f"A\n\n.. said::\n\n   {json.dumps(data)}\n\nB\n")
    assert bound.outcomes(tmp_path) == {"grows": "no"}
