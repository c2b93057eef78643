"""Who trained a run stands in its row and below the table, and a mixture is not passed over."""

import contextlib
import dataclasses
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from store_rows import ABOUT, keys_in, refused

import initguide
from initguide.experiments import Comparison, StoreError, StoreWarning, Sweep, store
from initguide.experiments.jobs import origins_in_words
from initguide.experiments.jobs.job import MADE_BY
from initguide.experiments.store import COLUMNS, checksums
from initguide.models import mlp
from initguide.training import engine, rounding, train, train_many

HOME = str(Path(initguide.__file__).parents[1])


def _trained(made_up, model, way=None):
    [run] = train_many(
        [model], made_up, epochs=1, learning_rates=[0.1], seeds=[0], labels=["a"], way=way
    )
    return run


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("alone", "PyTorch's steps"),
        ("side by side", "PyTorch's steps"),  # the same numbers to the last bit
        ("stacked", "PyTorch's steps on stacks"),
    ],
)
def test_a_run_says_who_trained_it(made_up, way, words):
    """Whose steps they were, and how the processor rounds."""
    run = _trained(made_up, mlp([784, 8, 10]), way)
    here = rounding.rounding_of(torch.device("cpu"))
    assert (run.trainer, run.rounding) == (words, here)
    assert run.trained_by == f"{words} ({here})"
    assert torch.backends.cpu.get_cpu_capability() in here.replace("-", "")


def test_compiled_steps_are_named(made_up):
    """Where there are some; what they were compiled for is named, too."""
    run = train(mlp([784, 8, 10]), made_up, epochs=1)
    compiled = engine.works()
    assert run.trainer == ("compiled steps" if compiled else "PyTorch's steps")
    assert run.rounding == rounding.rounding_of(torch.device("cpu"), compiled=compiled)
    if compiled:
        assert run.rounding.split()[0] in {"AVX-512", "AVX2"}


@pytest.mark.fault(
    "store",
    tried="a process is told to round as an older processor does",
    happens="its runs say so, in the store and below the table",
)
def test_another_rounding_has_another_name():
    """Of a process that computes without vectors; asking leaves torch's generators alone."""
    code = (
        "import torch\nfrom initguide.training.rounding import rounding_of\n"
        "state = torch.get_rng_state()\n"
        "print(rounding_of(torch.device('cpu')), torch.equal(state, torch.get_rng_state()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": HOME, "ATEN_CPU_CAPABILITY": "default"},
    )
    *name, generators_are_left = done.stdout.split()
    here = rounding.rounding_of(torch.device("cpu"))
    same = torch.backends.cpu.get_cpu_capability() in {"DEFAULT", "NO AVX"}
    assert (" ".join(name) == here) is same
    assert generators_are_left == "True"


def test_workers_round_as_this_process_does(swept, pool):
    """On one machine, where a run was trained makes no difference."""
    grid = {"scale": [1.0, 2.0]}
    here, there = swept(grid), swept(grid, executor=pool)
    assert {run.trained_by for run in here.runs} == {run.trained_by for run in there.runs}


@pytest.fixture
def elsewhere(monkeypatch):
    """Let this process pass for a machine that rounds otherwise."""
    return lambda: monkeypatch.setattr(
        "initguide.training.loop.rounding_of", lambda *_, **__: "SSE 0000"
    )


@pytest.mark.fault(
    "store",
    tried="a store is gone on with on a machine that rounds otherwise",
    happens="a warning, and the table says how many runs were trained where",
)
def test_a_mixture_is_said(swept, tmp_path, elsewhere):
    """In a warning at the first such run, below the table, and below that of the file."""
    path = tmp_path / "runs.sqlite"
    grid = {"scale": [1.0, 2.0]}
    first = swept(grid, store=path)
    [here] = {run.trained_by for run in first.runs}
    assert f"Trained by {here}." in first.table().note
    elsewhere()
    trainer = first.runs[0].trainer
    match = f"has runs trained by .*, and those that this call adds are trained by {trainer} .SSE 0"
    with pytest.warns(StoreWarning, match=match) as caught:
        second = swept(grid, store=path, seeds=3)
    assert len(caught) == 1
    for result in (second, Sweep.load(path)):
        assert f"Trained: 4 by {here}, 2 by {trainer} (SSE 0000)." in result.table().note
    # The same call once more makes nothing new, and the footer still says it.
    again = swept(grid, store=path, seeds=3)
    assert "(SSE 0000)" in again.table().note
    assert [run.trained_by for run in again.runs] == [run.trained_by for run in second.runs]


@pytest.mark.fault(
    "store",
    tried="a store is gone on with by another version of the package",
    happens="it is refused, with both versions",
)
def test_another_version_of_the_package(swept, tmp_path, monkeypatch):
    """Its numbers, and the way in which it tells runs apart, may be others."""
    path = tmp_path / "runs.sqlite"
    swept({}, store=path)
    monkeypatch.setitem(MADE_BY, "initguide", "9.0.0")
    with pytest.raises(StoreError, match=r'initguide is "0.* there and "9.0.0" here'):
        swept({}, store=path)


def test_one_kind_is_no_mixture(swept, tmp_path):
    """A store that is gone on with on the same machine warns of nothing."""
    path = tmp_path / "runs.sqlite"
    swept({}, store=path)
    more = swept({}, store=path, seeds=3)
    assert "Trained by " in more.table().note


def test_words(made):
    """Runs of which nothing is known are counted, unless nothing is known of any."""
    runs = made({"a": [0.5] * 3}).runs
    assert origins_in_words(runs) == ""
    known = dataclasses.replace(runs[0], trainer="compiled steps", rounding="AVX2 12ab")
    assert origins_in_words([known, known]) == "Trained by compiled steps (AVX2 12ab)."
    assert origins_in_words([*runs, known]).startswith(
        "Trained: 3 in a way that was not recorded, 1 by compiled steps (AVX2 12ab). Runs of one"
    )


def test_saved_and_loaded(tmp_path, made):
    """A JSON file keeps it; one of an earlier version does without."""
    result = made({"a": [0.5]})
    known = dataclasses.replace(result.runs[0], trainer="compiled steps", rounding="AVX2 12ab")
    dataclasses.replace(result, runs=(known,)).save(tmp_path / "new.json")
    loaded = Comparison.load(tmp_path / "new.json")
    assert loaded.runs[0].trained_by == known.trained_by
    text = (tmp_path / "new.json").read_text()
    old = text.replace(', "trainer": "compiled steps", "rounding": "AVX2 12ab"', "")
    assert old != text
    (tmp_path / "old.json").write_text(old)
    assert Comparison.load(tmp_path / "old.json").runs[0].trained_by == ""


@pytest.mark.fault(
    "store",
    tried="a store of an earlier version of the package is opened",
    happens="it is read; runs are not added, in a sentence that says why",
)
def test_an_earlier_version(path):
    """Its rows have their own checksums; who trained them is not known."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        old = COLUMNS[:-2]
        connection.create_function("checksum_of", -1, checksums.checksum)
        connection.execute(f"UPDATE runs SET checksum = checksum_of({', '.join(old)})")  # noqa: S608
        for table in ("runs", "damaged"):
            for column in ("trainer", "rounding"):
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 2")
    assert keys_in(path) == ["a", "b"]
    assert [row["trainer"] for row in store.read(path)[1]] == [None, None]
    refused(path, "made by an earlier version of initguide .*It can still be loaded; to add", ABOUT)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET seed = 7 WHERE key = 'a'")
    with pytest.warns(StoreWarning, match="has damaged runs: 'run a' with seed 7"):
        assert keys_in(path) == ["b"]
