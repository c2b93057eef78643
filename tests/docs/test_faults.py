"""The tables of faults, which are made from the tests' markers."""

from importlib import import_module as extension
from pathlib import Path

import pytest
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[2]

SOURCE = """
import pytest

TORN = [pytest.param(1, marks=pytest.mark.fault("store", tried="torn", happens="told"))]
CASES = [*TORN, 2]

@pytest.mark.fault("data", tried="one " "line", happens="another")
@pytest.mark.parametrize("x", [1])
def test_a(x): "A marker above a test."

@pytest.mark.parametrize("x", [
    pytest.param(1, marks=[pytest.mark.slow, pytest.mark.fault("data", tried="b", happens="c")]),
    pytest.param(2),
])
def test_b(x): "A marker at a case."

@pytest.mark.parametrize("x", CASES)
def test_c(x): "Cases that have a name."
"""


@pytest.fixture
def read(tmp_path):
    """What is found in a folder of tests with one file of this text."""

    def read(text):
        (tmp_path / "tests/wing").mkdir(parents=True)
        (tmp_path / "tests/wing/test_x.py").write_text(text, encoding="utf-8")
        return extension("faults").faults_in(tmp_path / "tests")

    return read


def test_markers_are_found(read):
    """Above tests, at cases, and at cases that have a name; each with its test and its line."""
    assert sorted(read(SOURCE)) == [
        ("data", "b", "c", "tests/wing/test_x.py", "test_b", 12),
        ("data", "one line", "another", "tests/wing/test_x.py", "test_a", 7),
        ("store", "torn", "told", "tests/wing/test_x.py", "test_c", 4),
    ]


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("", r"test_x\.py, line 2: give the marker `fault` its area, tried= and happens="),
        ("()", "needs an area, tried= and happens=, no more"),
        ('("data", tried="a")', "needs an area, tried= and happens=, no more"),
        ('("data", "b", tried="a", happens="c")', "needs an area, tried= and happens=, no more"),
        ('("data", tried="a", happens="b", why="c")', "needs an area, tried= and happens="),
        ('("data", tried=WORDS, happens="b")', "tried of the marker `fault` must be a literal"),
        ('("data", tried="a", happens=f"{1}")', "happens of the marker `fault` must be a literal"),
        ('("data", tried=" ", happens="b")', "tried of the marker `fault` must be a literal"),
        ('("data", tried="a", happens="b.")', "happens is 'b.'; it must not end with a full stop"),
        ('("date", tried="a", happens="b")', "'date' is no area of faults; they are 'store', "),
    ],
)
def test_markers_that_are_no_row_end_the_build(read, marker, message):
    """The file, the line and what is missing are said."""
    with pytest.raises(ExtensionError, match=message):
        read(f"import pytest\n@pytest.mark.fault{marker}\ndef test_x(): pass\n")


def test_markers_of_no_test_end_the_build(read):
    """Such as one in a list that no test's decorator mentions, or above a fixture."""
    marker = 'pytest.mark.fault("data", tried="a", happens="b")'
    with pytest.raises(ExtensionError, match="line 2: the marker `fault` belongs to no test"):
        read(f"import pytest\nCASES = [{marker}]\ndef test_x(): pass\n")


def test_table_links_to_the_tests(read):
    """Where the repository is known; elsewhere, the name of the test stands alone."""
    faults = extension("faults")
    found = [fault for fault in read(SOURCE) if fault.area == "data"]
    table = faults.table_of(found, "owner/name")
    assert "Data sets, and where they come from: 2" in table.astext()
    [first, _] = table.findall(faults.nodes.reference)
    assert first.astext() == "test_a"
    assert first["refuri"] == "https://github.com/owner/name/blob/main/tests/wing/test_x.py#L7"
    table = faults.table_of(found, "")
    assert not list(table.findall(faults.nodes.reference))
    assert [[cell.astext() for cell in row] for row in table.findall(faults.nodes.row)] == [
        ["what was tried", "what happens", "the test"],
        ["one line", "another", "test_a"],
        ["b", "c", "test_b"],
    ]


def test_every_row_says_something_of_its_own():
    """The suite's own markers can be read, are many, and no two of them are the same."""
    found = extension("faults").faults_in(ROOT / "tests")
    assert len(found) >= 60
    assert len({(fault.tried, fault.happens) for fault in found}) == len(found)
