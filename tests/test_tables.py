"""Tables as text, HTML and comma-separated values."""

import csv
import io
import math
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from initguide.tables import Code, Table


def small(**options):
    """Return a table of two rows."""
    columns = {"activation": ["ReLU", "tanh"], "gain": [2**0.5, -0.00001], "runs": [3, 12_000]}
    return Table(columns, caption="Gains", **options)


class Cells(HTMLParser):
    """Collect the texts of the cells and the attributes of their tags."""

    def __init__(self, html):
        super().__init__()
        self.found, self.open = [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        """Open a cell."""
        if tag in {"th", "td", "caption"}:
            self.open = (tag, dict(attrs).get("scope"))
            self.found.append([*self.open, ""])

    def handle_endtag(self, tag):
        """Close it."""
        if self.open and tag == self.open[0]:
            self.open = None

    def handle_data(self, data):
        """Keep its text."""
        if self.open:
            self.found[-1][2] += data


def test_text_is_aligned():
    """Names are flush left, numbers flush right, four digits where nothing is said."""
    lines = str(small(note="Two rows.")).splitlines()
    assert lines[0] == "Gains"
    assert lines[2].split() == ["activation", "gain", "runs"]
    assert lines[4].split() == ["ReLU", "1.414", "3"]
    assert lines[5].split() == ["tanh", "−1.000e−05", "12,000"]
    assert len(lines[4]) == len(lines[5]) == len(lines[1])
    assert lines[-1] == "Two rows."
    assert repr(small()) == str(small())


def test_html_has_a_caption_and_scoped_headers():
    """Screen readers know what each header is for; the cells are those of the text."""
    cells = Cells(small()._repr_html_()).found
    assert cells[0] == ["caption", None, "Gains"]
    assert [c[1] for c in cells[1:4]] == ["col"] * 3
    assert [c[2] for c in cells if c[:2] == ["th", "row"]] == ["ReLU", "tanh"]
    assert [c[2] for c in cells if c[0] == "td"] == ["1.414", "3", "−1.000e−05", "12,000"]


def test_html_is_escaped():
    """Labels and notes may hold anything."""
    table = Table({"<b>": ["a & b"]}, caption="x < y", note="<script>")
    html = table._repr_html_()
    assert "<b>" not in html
    assert "<script>" not in html
    assert "a &amp; b" in html


def test_marked_rows_are_highlighted():
    """Only the rows named are."""
    html = small(marked=[1])._repr_html_()
    assert html.count('<tr class="best">') == 1
    assert html.index('class="best"') > html.index("ReLU")


def test_formats():
    """A specification or a function decides how a column is written."""
    table = small(formats={"gain": ".1f", "runs": lambda n: f"{n} runs"})
    assert "1.4" in str(table)
    assert "12000 runs" in str(table)


@pytest.mark.parametrize("missing", [None, math.nan, np.float32("nan")])
def test_missing_values(missing):
    """They are a dash in the table and empty in the file; infinity is a number."""
    table = Table({"row": ["a", "b"], "x": [missing, math.inf]}, caption="c")
    assert str(table).splitlines()[4].split() == ["a", "–"]
    assert table.to_csv() == "row,x\na,\nb,inf\n"


def test_truth_values_are_words():
    """Python's and NumPy's alike, also those of a comparison of arrays or tensors."""
    table = Table(
        {
            "row": ["a", "b"],
            "python": [True, False],
            "numpy": np.array([1, 3]) > 2,
            "torch": torch.tensor([1, 3]) > 2,
        },
        caption="c",
        formats={"python": "d"},
    )
    assert [line.split() for line in str(table).splitlines()[4:6]] == [
        ["a", "yes", "no", "no"],
        ["b", "no", "yes", "yes"],
    ]
    assert str(table).splitlines()[2] == "row  python  numpy  torch"
    assert '<td class="words">yes</td>' in table._repr_html_()
    assert table.to_csv() == "row,python,numpy,torch\na,True,False,False\nb,False,True,True\n"


@pytest.mark.parametrize("number", [torch.tensor(0.125), np.array(0.125), np.float64(0.125), 0.125])
def test_arrays_without_axes_are_numbers(number):
    """What .mean() of a tensor returns is written as the number that it is, here and in files."""
    table = Table({"row": ["a"], "x": [number], "y": [number]}, caption="c", formats={"y": ".1%"})
    assert str(table).splitlines()[4].split() == ["a", "0.1250", "12.5%"]
    assert "<td>0.1250</td>" in table._repr_html_()
    assert table.to_csv() == "row,x,y\na,0.125,0.125\n"
    missing = torch.tensor(math.nan)
    assert Table({"row": ["a"], "x": [missing]}, caption="c").to_csv() == "row,x\na,\n"


def test_columns_of_words_are_flush_left():
    """Their headers and cells say so to the style sheet."""
    table = Table({"row": ["a"], "verdict": ["holds"], "x": [1.0]}, caption="c")
    html = table._repr_html_()
    assert '<th scope="col" class="words">verdict</th>' in html
    assert '<td class="words">holds</td>' in html
    assert "<td>1.000</td>" in html


def test_file(tmp_path):
    """The file holds what is returned."""
    text = small().to_csv(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == text


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\r")),
            st.floats(allow_nan=False),
        ),
        max_size=5,
    )
)
def test_files_lose_nothing(rows):
    """Whatever is written can be read back, to the last digit."""
    table = Table({"name": [r[0] for r in rows], "x": [r[1] for r in rows]}, caption="c")
    _, *read = csv.reader(io.StringIO(table.to_csv(), newline=""))
    assert [(name, float(x)) for name, x in read] == rows
    str(table)
    table._repr_html_()


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {}, "columns is empty"),
        ({"a": [1], "b": [1, 2]}, {}, "equally long, but they have: 'a' 1, 'b' 2"),
        ({"a": [1], "b": [torch.ones(2, 3)]}, {}, r"column 'b' has a value of shape \(2, 3\); a"),
        ({"a": [1], "b": [np.ones(1)]}, {}, r"column 'b' has a value of shape \(1,\)"),
        ({"a": [1], "b": torch.ones(1, 1)}, {}, r"column 'b' has a value of shape \(1,\)"),
        ({"a": [1]}, {"formats": {"b": ".2f"}}, "formats names 'b'.*the columns are 'a'"),
    ],
)
def test_refused(columns, options, message):
    """Messages say what came and what there is."""
    with pytest.raises(ValueError, match=message):
        Table(columns, caption="c", **options)


def test_long_words_give_way_to_a_width():
    """Lines are cut to a width in the middle of words, down to ten letters; numbers never are."""
    columns = {"layer": ["encoder.layers.11.attention.output"], "kind": ["Linear"], "n": [123456]}
    lines = str(Table(columns, caption="Layers", width=40)).splitlines()
    assert max(map(len, lines)) == 40
    assert lines[4].startswith("encoder.")
    assert lines[4].endswith(".output  Linear  123,456")
    assert "encoder.layers.11.attention.output" in str(Table(columns, caption="Layers"))
    narrow = str(Table(columns, caption="Layers", width=5)).splitlines()
    assert narrow[4] == "encod…tput  Linear  123,456"


def test_a_path_in_the_note_stays_whole():
    """A file's name is not broken over two lines, however long it is and whatever is in it."""
    path = "data/runs-of-" + "a-long-name-" * 9 + "end.sqlite"
    shown = str(Table({"n": [1]}, caption="Numbers", note=f"Some words about {path} and more."))
    assert path in shown


def test_code_keeps_its_lines():
    """Code can be copied from a page as it is: in <pre>, escaped; text output is not touched."""
    table = Table({"what": ["a"], "code": [Code("if x < 1:\n    y = 2")]}, caption="c")
    assert "<pre>if x &lt; 1:\n    y = 2</pre>" in table._repr_html_()
    assert "if x < 1:\n    y = 2" in str(table)
    cell = Code("y = 2", before="x < 1, so")
    html = Table({"what": ["a"], "code": [cell]}, caption="c")._repr_html_()
    assert "x &lt; 1, so<pre>y = 2</pre></td>" in html
    assert str(cell) == "x < 1, so\ny = 2"


def test_columns_of_sentences_are_wide():
    """A column with a sentence is told apart from one with names: on a phone names may break."""
    table = Table({"n": ["a"], "s": ["word " * 12], "t": ["layer.0.weight"]}, caption="c")
    html = table._repr_html_()
    assert html.count('<td class="words long">') == 1
    assert html.count('<td class="words">') == 1
