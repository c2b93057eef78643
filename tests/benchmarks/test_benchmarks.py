"""What the benchmarks share, and that the page about speed shows what they measured."""

import importlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
if not FOLDER.exists():
    pytest.skip("the package is installed without its repository", allow_module_level=True)
sys.path += [str(FOLDER), str(ROOT / "docs" / "_ext")]

import timing  # noqa: E402  through the line above

MACHINE = {"processor": "Abacus", "cores": 2, "versions": {"Python": "3"}}
SCRIPT = """
import functools, os, time
import timing
from initguide import Table

def part(number):
    assert os.environ.get("COLOUR") == ("red" if number == 2 else None)
    return {"seconds": number / 8, "process": os.getpid(), "began": time.time()}

def tables(results):
    seconds = [timing.summary(timing.column(results, p, "seconds")) for p in results["measured"]]
    columns = {"part": list(results["measured"]), "s": seconds}
    return {"one": Table(columns, caption="Toys", note=timing.note(results))}

if __name__ == "__main__":
    options = timing.arguments(__doc__ or "A toy.", repeats=2).parse_args()
    parts = {name: functools.partial(part, k) for k, name in enumerate(("z", "b"), start=1)}
    environments = {"b": {"COLOUR": "red"}}
    timing.run(__file__, options, parts, tables, settings={}, environments=environments)
"""


def test_parts_take_turns_in_processes_of_their_own(tmp_path):
    """Each measurement has a process; z, b, z, b; the file keeps what others put there."""
    script, file = tmp_path / "toy.py", tmp_path / "results.json"
    script.write_text(SCRIPT)
    file.write_text('{"other": 1}')
    done = subprocess.run(
        [sys.executable, script, "--json", file],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{ROOT}:{FOLDER}", "PATH": ""},
    )
    assert re.search(r"^z +0\.125 \(0\.125–0\.125\)\nb +0\.250", done.stdout, re.MULTILINE)
    assert "Medians of 2 repeats in turn" in done.stdout
    results = json.loads(file.read_text())
    assert results["other"] == 1
    measured = results["toy"]["measured"]
    turns = [measured[part][turn] for turn in (0, 1) for part in ("z", "b")]
    assert len({turn["process"] for turn in turns}) == 4
    assert [turn["began"] for turn in turns] == sorted(turn["began"] for turn in turns)
    assert all(turn["peak"] is None or turn["peak"] > 10 for turn in turns)
    assert results["toy"]["settings"]["repeats"] == 2
    sys.path.append(str(tmp_path))  # tables made of the file are those that were printed
    assert str(importlib.import_module("toy").tables(results["toy"])["one"]) in done.stdout
    sys.path.remove(str(tmp_path))


def test_peak_memory_is_of_the_process_itself():
    """A process that holds nothing has a small peak, whatever the one that started it has."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not say")
    ours = timing.peak_memory()
    code = "import sys; print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        child.stdout.readline()  # it has started
        theirs = timing.peak_memory(child.pid)
        child.communicate(b"")
    assert 1 < theirs < ours / 3
    assert math.isnan(timing.peak_memory(2**30))


def test_numbers_in_words():
    """Median and range with three digits; ratios turn by turn."""
    assert timing.summary([0.8123, 0.93, 0.85]) == "0.850 (0.812–0.930)"
    assert timing.summary([12.3]) == "12.3"
    assert timing.summary([1234.5], 2) == "1234"
    assert timing.summary([]) is None
    assert timing.ratios([1, 4], [2, 2]) == [0.5, 2]
    results = {"measured": {"a": [{"x": 1.0, "y": None}, {"x": 2.0}]}}
    assert timing.column(results, "a", "x") == [1, 2]
    assert math.isnan(timing.column(results, "a", "y")[0])
    assert timing.column(results, "b", "x") == []


def test_machine_is_described_without_a_date_or_a_path():
    """Kind of processor, cores, versions: what may be published."""
    found = timing.machine(("scipy", "no-such-package"))
    assert set(found) == {"processor", "cores", "versions"}
    assert {"Python", "torch", "numpy", "scipy"} == set(found["versions"])
    assert found["cores"] >= 1
    assert "/" not in found["processor"]


def test_trials_say_that_they_are_trials():
    """Numbers made with --quick are not to be mistaken for measurements."""
    results = {"machine": MACHINE, "settings": {"repeats": 1, "quick": True}}
    assert timing.note(results).endswith("Made with --quick: these numbers mean nothing.")


@pytest.mark.parametrize(("power", "start"), [(1.0, 0.0), (1.0, 3.0), (0.0, 1.0)])
def test_fitted_exponent(power, start):
    """Exact for a power, and below 1 if a part of the time does not grow."""
    growth = importlib.import_module("growth")
    counts = [10, 30, 100, 300]
    measured = {str(n): [{"seconds": start + n**power, "peak": 100.0}] for n in counts}
    results = {"settings": {"runs": counts}, "measured": measured}
    (found,) = growth.exponents(results, "seconds")
    if start and power:
        assert 0.7 < found < 1
    else:
        assert found == pytest.approx(power)
    assert growth.exponents(results, "peak") == pytest.approx([0])


def test_operations_of_the_lesson():
    """Products of one step: 2 · 100 · 784 · 256 and so on, and no gradient of the images."""
    lesson = importlib.import_module("lesson_speed")
    layers = [784 * 256, 256 * 128, 128 * 10]
    forward = 2 * 100 * sum(layers)
    assert lesson.operations(lesson.products(100, training=False)) == forward
    backward = forward + 2 * 100 * sum(layers[1:])
    assert lesson.operations(lesson.products(100, training=True)) == forward + backward
    assert lesson.work(48_000, 22_000) == 960 * (forward + backward) + 220 * forward


def test_libraries_multiply():
    """Every library whose rate is measured gives the product."""
    torch = pytest.importorskip("torch")
    lesson = importlib.import_module("lesson_speed")
    a, b = torch.rand(7, 5), torch.rand(5, 3)
    for name, prepare in lesson.LIBRARIES.items():
        product = torch.as_tensor(prepare(a, b)()).squeeze()
        torch.testing.assert_close(product, a @ b, msg=name)


# The page

RESULTS = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
PAGE = "".join(
    (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("speed.rst", "time.rst")
)
SHOWN = re.findall(r"^\.\. benchmark:: (\w+) ?(\w*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("benchmark", "table"), SHOWN)
def test_page_shows_what_was_measured(benchmark, table):
    """Each table of the page is made of the numbers in the file."""
    pytest.importorskip("sphinx", reason="the group `docs` is not installed")
    directive = importlib.import_module("benchtables")
    before = directive.tables_of(benchmark, RESULTS)
    names = [table] if table else list(before)
    assert names
    shift = json.loads(json.dumps(RESULTS))
    for turns in shift[benchmark]["measured"].values():
        for turn in turns:
            turn.update({key: 3 * value for key, value in turn.items() if value is not None})
    after = directive.tables_of(benchmark, shift)
    for name in names:
        place = RESULTS[benchmark]["machine"]
        assert place["processor"] in before[name].note
        assert before[name].to_csv() != after[name].to_csv()


def test_every_benchmark_of_the_page_is_run_by_the_session():
    """`nox -s bench` makes all that the page shows, and nothing that it does not."""
    session = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    names = re.search(r"^SPEED = \((.*)\)$", session, re.MULTILINE)[1]
    assert set(re.findall(r"\w+", names)) == {name for name, _ in SHOWN} == set(RESULTS)


def test_results_hold_no_paths_and_no_dates():
    """The file is published: it says what kind of machine it was, not which."""
    text = json.dumps(RESULTS)
    assert "/home" not in text
    assert "/usr" not in text
    assert not re.search(r"20\d\d-\d\d-\d\d", text)
