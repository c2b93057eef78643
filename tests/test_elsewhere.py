"""What `nox -s elsewhere` prints: the tests that fail there, and the words that change."""

import json
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def elsewhere():
    """The program, as a module."""
    spec = spec_from_file_location("elsewhere", ROOT / "tests" / "elsewhere.py")
    module = module_from_spec(spec)
    sys.modules["elsewhere"] = module  # a dataclass looks for its module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["elsewhere"]


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("He is ahead by 0.52 (0.31 to 0.73)", "He is ahead by 0.53 (−0.2 to 1.1e-3)"),
        ("accuracy  85.10", "accuracy 9.0"),
        ("2.3·10⁻⁵", "1·10⁻¹²"),
    ],
)
def test_numbers_may_change(elsewhere, here, there):
    """Lines that differ in numbers and in spaces are alike."""
    assert elsewhere.without_numbers([here]) == elsewhere.without_numbers([there])


def test_words_that_change(elsewhere):
    """They are shown with their page; tests that fail here, too, are not."""
    here = elsewhere.Seen(["a"], {"x.html": ["# is larger", "same"], "y.html": ["same"]})
    there = elsewhere.Seen(["a", "b"], {"x.html": ["# is smaller", "same"], "y.html": ["same"]})
    assert list(elsewhere.changes(here, there)) == [
        "test fails: b",
        "x.html: -# is larger",
        "x.html: +# is smaller",
    ]
    assert list(elsewhere.changes(here, here)) == []


def test_sentences_that_turn_over(elsewhere, tmp_path):
    """One of three outcomes may come out otherwise; one of two hangs on a processor."""
    pages = []
    for outcome in ("so", "no"):
        two = {"outcome": outcome, "branches": {"so": "A.", "no": "B."}}
        three = {"outcome": outcome, "branches": {"so": "C.", "no": "D.", "undecided": "E."}}
        data = json.dumps({"bulleted": True, "items": [{"bulleted": False, "items": [two]}, three]})
        folder = tmp_path / outcome / "docs" / "auto_examples" / "lesson"
        folder.mkdir(parents=True)
        text = f"Text.\n\n.. said::\n\n   {data}\n\nText.\n"
        (folder / "plot_1.rst").write_text(text, encoding="utf-8")
        pages.append(elsewhere.Seen(sentences=elsewhere.said(tmp_path / outcome)))
    here, there = pages
    assert list(elsewhere.turned(here, there)) == [
        (False, "lesson/plot_1.rst: so → no: A."),
        (True, "lesson/plot_1.rst: so → no: C."),
    ]
    assert [line.partition(":")[0] for line in elsewhere.changes(here, there)] == [
        "sentence HANGS on this",
        "sentence of three outcomes",
    ]
    assert list(elsewhere.turned(here, here)) == []


def test_what_was_done_is_not_done_again(elsewhere, tmp_path):
    """For one state of the files; another does all anew, and without a folder nothing is kept."""
    done = []

    def do():
        done.append(None)
        return [["ä"], {"x.html": ["# is larger"]}]

    first = elsewhere.kept(tmp_path / "new", "plain-pages", "one", do)
    assert elsewhere.kept(tmp_path / "new", "plain-pages", "one", do) == first == do()
    assert len(done) == 2  # the second of them by this test
    elsewhere.kept(tmp_path / "new", "avx2-pages", "one", do)
    elsewhere.kept(tmp_path / "new", "plain-pages", "two", do)
    elsewhere.kept(None, "plain-pages", "two", do)
    assert len(done) == 5


def test_the_state_of_files(elsewhere, tmp_path):
    """It changes with a name, a content, and the words for pytest."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_text("1")
    states = [elsewhere.state(tmp_path, []), elsewhere.state(tmp_path, ["-x"])]
    (tmp_path / "a" / "b.py").write_text("2")
    states.append(elsewhere.state(tmp_path, []))
    (tmp_path / "a" / "b.py").rename(tmp_path / "a" / "c.py")
    states.append(elsewhere.state(tmp_path, []))
    assert len(set(states)) == len(states)
    assert elsewhere.state(tmp_path, []) == states[-1]


def test_other_seeds():
    """With an offset, all that is seeded is seeded with another number; without, as ever."""
    code = """if True:
        import numpy as np, torch
        from initguide.randomness import seeded
        torch.manual_seed(0); a = float(torch.rand(1))
        with seeded(0): b = float(torch.rand(1))
        c = float(torch.rand(1, generator=torch.Generator().manual_seed(0)))
        d, [e] = np.random.default_rng(0).random(), np.random.SeedSequence(0).generate_state(1)
        print(a, b, c, d, e)
    """
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "offset")])
    found = []
    for offset in ("0", "1"):
        env = {**os.environ, "PYTHONPATH": path, "INITGUIDE_TEST_SEED_OFFSET": offset}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        found.append(list(map(float, done.stdout.split())))
    assert found[0][0] == found[0][1] == found[0][2] == pytest.approx(0.4962565899)
    assert all(a != b for a, b in zip(*found, strict=True))


def test_the_workflow_knows_all_roundings(elsewhere):
    """Each has a job of its own each night."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert f"rounding: [{', '.join(elsewhere.ROUNDINGS)}]" in workflow
