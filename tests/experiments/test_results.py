"""Tables of results: text, HTML and what they say."""

import dataclasses
import html.parser
import re

import numpy as np
import pytest
from scipy import stats

from initguide.experiments import METRICS, Comparison, Metric, columns, tabling


def _table(result):
    """Header and lines of the printed table, between its rules."""
    lines = str(result).split("\n")
    rules = [i for i, line in enumerate(lines) if line and set(line) == {"─"}]
    assert len(rules) == 3
    return lines[rules[0] + 1], lines[rules[1] + 1 : rules[2]]


def _note(result):
    """What stands below the printed table, its line breaks undone."""
    return " ".join(str(result).split("─\n")[-1].split("\n"))


def test_table_numbers(made):
    """Each line has the mean, its interval, the standard deviation and the mean losses."""
    result = made({"first scheme": [0.80, 0.82, 0.81], "second": [0.7, 0.71, 0.75]})
    header, lines = _table(result)
    assert header.split() == "scheme accuracy, % ± sd training loss validation loss remark".split()  # noqa: SIM905
    values = np.array([0.80, 0.82, 0.81])
    half = stats.t.ppf(0.975, 2) * stats.sem(values)
    expected = f"81.00 ± {100 * half:.2f} {100 * values.std(ddof=1):.2f} 1.750 1.000 best"
    assert lines[0].removeprefix("first scheme").split() == expected.split()
    assert lines[1].startswith("second ")
    assert str(result) == repr(result)


def test_table_is_aligned(made):
    """Numbers end in the same column in every line; no line is wider than its rule."""
    result = made({"a": [0.9, 0.95], "a much longer label": [0.1, 0.05], "c": [None, 0.5]})
    header, lines = _table(result)
    ends = [[m.end() for m in re.finditer(r"\d+\.\d+|–", line)] for line in lines]
    assert len(ends[0]) == 6
    assert all(set(end) <= set(ends[0]) for end in ends)
    rule = len(str(result).split("\n")[1])
    assert max(map(len, [header, *lines])) == rule <= 110
    assert all(line == line.rstrip() for line in str(result).split("\n"))


def test_table_says_what_it_shows(made):
    """Above: what was measured. Below: made_up, settings, seeds, and what ± means."""
    result = made()
    first, last = str(result).split("\n")[0], _note(result)
    assert first == "Validation accuracy after 2 epochs, mean of 4 seeds"
    assert last.startswith("Data: Fashion-MNIST, made up. Settings: model Net, epochs 2, ")
    for part in (
        "batch size 100",
        "optimizer adam",
        "learning rate 0.001",
        "device cpu",
        "seeds 0 to 3;",
        "torch 2.6.0.",
        "±: half of the 95 % interval of the mean over seeds, on one split into training and val",
    ):
        assert part in last
    assert str(made({"a": [0.5]}, epochs=1)).startswith("Validation accuracy after 1 epoch, one")


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([0], "0"),
        ([0, 1], "0, 1"),
        ([0, 1, 2], "0 to 2"),
        ([3, 4, 5], "3 to 5"),
        ([2, 1, 0], "2, 1, 0"),
        ([1, 3, 5], "1, 3, 5"),
    ],
)
def test_table_names_the_seeds(seeds, words, made):
    """Seeds in a row are a range; others are listed."""
    assert f"; seeds {words}; torch" in _note(made({"a": [0.5] * len(seeds)}, seeds=seeds))


def test_best_and_level_in_words(made):
    """The best is named, and so is each scheme whose paired difference does not exclude 0."""
    result = made(
        {"best": [0.80, 0.82, 0.84], "close": [0.79, 0.83, 0.83], "far": [0.2, 0.21, 0.22]}
    )
    _, lines = _table(result)
    assert lines[0].endswith("  best")
    assert lines[1].endswith("  not told from the best")
    assert re.search(r"\d$", lines[2])
    assert not result.difference("close", "best").excludes_zero
    assert result.difference("far", "best").excludes_zero


def test_one_seed_has_no_interval(made):
    """One seed: dashes for interval and deviation, the best is named, nobody is called level."""
    result = made({"a": [0.8], "b": [0.8]})
    _, lines = _table(result)
    assert lines[0].split() == ["a", "80.00", "–", "–", "1.750", "1.000", "best"]
    assert lines[1].split() == ["b", "80.00", "–", "–", "1.750", "1.000"]
    assert "±: half" not in str(result)


def test_diverged_runs_are_counted(made):
    """A scheme with diverged runs says how many, next to "best" too; never NaN."""
    result = made({"a": [0.8, None, 0.9], "b": [None, 0.3, 0.4], "c": [None] * 3})
    _, lines = _table(result)
    assert lines[0].endswith("best; 1 of 3 diverged")
    assert lines[1].endswith("  1 of 3 diverged")
    assert lines[2].split() == ["c", *"–––––", "2", "3", "of", "3", "diverged"]
    assert "nan" not in str(result).lower()


def test_all_diverged(made):
    """Nothing left to compare: a table all the same, with no best."""
    result = made({"a": [None, None], "b": [None, None]})
    _, lines = _table(result)
    assert [line.split()[-3:] for line in lines] == [["of", "2", "diverged"]] * 2
    assert "best" not in "".join(lines)
    assert "2 of 2 diverged" in lines[0]


def test_a_scheme_that_diverges_is_not_the_best(made):
    """One good run out of three is not better than three fair ones; all being so, it is."""
    result = made({"a": [0.9, None, None], "b": [0.2, 0.21, 0.2]})
    assert result.best() == "b"
    lines = _table(result)[1]
    assert "2 of 3 diverged" in lines[0]
    assert "level" not in lines[0]
    assert made({"a": [0.9, None, None], "b": [0.2, 0.21, None]}).best() == "a"


class _Parser(html.parser.HTMLParser):
    """Reads a table, and refuses tags that do not nest."""

    def __init__(self):
        super().__init__()
        self.open, self.cells, self.rows, self.texts, self.tags = [], [], [], {}, []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append((dict(attrs), []))
        if tag in ("th", "td"):
            self.rows[-1][1].append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + text
        if self.open[-1] in ("th", "td"):
            self.rows[-1][1][-1][2] += text


def _parsed(result):
    parser = _Parser()
    parser.feed(result._repr_html_())
    parser.close()
    assert not parser.open
    return parser


def test_html_structure(made):
    """A caption, a head with column scopes, a row scope for each scheme, the note below."""
    result = made()
    parser = _parsed(result)
    assert parser.texts["caption"] == str(result).split("\n")[0]
    assert parser.texts["p"] == _note(result)
    tags = [tag for tag, _ in parser.tags]
    for tag in ("table", "caption", "thead", "tbody"):
        assert tags.count(tag) == 1
    assert tags.index("table") + 1 == tags.index("caption")
    (_, head), *body = parser.rows
    assert {(tag, attrs["scope"]) for tag, attrs, _ in head} == {("th", "col")}
    assert len(body) == 5
    for (_, row), label in zip(body, "abcde", strict=True):
        assert len(row) == len(head)
        assert row[0] == ["th", {"scope": "row"}, label]
        assert {tag for tag, *_ in row[1:]} == {"td"}


def test_html_has_the_numbers_of_the_text(made):
    """Both tables say the same, cell by cell; the best is marked in words and by a class."""
    result = made()
    _, lines = _table(result)
    _, *body = _parsed(result).rows
    for (_, row), line in zip(body, lines, strict=True):
        assert " ".join(cell[2] for cell in row).split() == line.split()
    assert [attrs.get("class") for attrs, _ in body] == ["best", None, None, None, None]
    assert body[0][1][-1][2] == "best"


def test_html_headers_are_not_empty(made):
    """Each column has a header that can be read out, the remarks too."""
    (_, head), *_ = _parsed(made()).rows
    assert all(text.strip() for *_, text in head)


NASTY = "<b>&\"'</td><script>alert(1)</script>"


def test_html_is_escaped(made):
    """Labels, the data source and settings are text, whatever they hold."""
    result = made({NASTY: [0.5, 0.6], "&amp;": [0.1, 0.1]}, model=NASTY)
    result = Comparison(result.runs, result.schemes, result.settings, NASTY)
    parser = _parsed(result)
    assert {tag for tag, _ in parser.tags} <= {
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "p",
    }
    assert [row[0][2] for _, row in parser.rows[1:]] == [NASTY, "&amp;"]
    assert parser.texts["p"].count(NASTY) == 2


def test_a_column_is_a_registered_function(made, monkeypatch):
    """A function of the runs of a row is all that a column of every table needs."""
    monkeypatch.setattr(columns, "COLUMNS", columns.COLUMNS.copy())
    monkeypatch.setattr(tabling, "COLUMNS", columns.COLUMNS)
    columns.column("slowest, s", "{:.1f} s".format)(lambda runs: max(run.seconds for run in runs))
    table = made().table()
    assert list(table.columns)[-2:] == ["slowest, s", "remark"]
    assert table.columns["slowest, s"] == [1.5] * 5
    assert str(table).count("1.5 s") == 5


@pytest.mark.parametrize("always", [True, False])
def test_a_column_without_a_number_may_be_left_out(made, monkeypatch, always):
    """It is there if any row has a number, or if it is asked for in any case."""
    monkeypatch.setattr(columns, "COLUMNS", columns.COLUMNS.copy())
    monkeypatch.setattr(tabling, "COLUMNS", columns.COLUMNS)
    found = dict(zip(["a", "b"], [None, None], strict=True))
    write = "{:.0f}".format
    columns.column("odd", write, always=always)(lambda runs: found[runs[0].label])
    assert ("odd" in made({"a": [0.5], "b": [0.6]}).table().columns) == always
    found["b"] = 3.0
    assert made({"a": [0.5], "b": [0.6]}).table().columns["odd"] == [None, 3.0]


def test_when_runs_diverged_is_a_column_where_some_did(made):
    """The mean over those that diverged; no column where none did."""
    whole = made({"a": [0.5, 0.6], "b": [0.6, 0.7]})
    assert "diverged at" not in whole.table().columns
    runs = [
        dataclasses.replace(run, diverged_at=10 * (run.seed + 1)) if run.label == "b" else run
        for run in whole.runs
    ]
    columns = dataclasses.replace(whole, runs=tuple(runs)).table().columns
    assert columns["diverged at"] == [None, 15.0]


def test_a_metric_is_an_entry(made, monkeypatch):
    """It says how it is found in a run; statistics and files of lines know it then."""
    entry = Metric("time", higher_is_better=False, is_fraction=False, of=lambda run: run.seconds)
    monkeypatch.setitem(METRICS, "time", entry)
    result = made({"a": [0.5, 0.6], "b": [0.6, 0.7]})
    assert result.rows("time")[0].mean == 1.5
    assert "0.0000 of time" in str(result.difference("a", "b", "time"))
    assert ",early_loss,time,diverged_at" in result.to_csv()


def test_a_table_asks_each_point_once(made, monkeypatch):
    """The list of all labels, which is for errors, is not made for each point of a table."""
    result = made()
    with pytest.raises(ValueError, match="the labels are 'a', 'b'"):
        result.runs_at("another")
    monkeypatch.setattr(type(result), "_known_labels", lambda _: pytest.fail("it is not needed"))
    assert str(result)
