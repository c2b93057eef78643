"""Files of results: exact, whole, and refused where they are damaged."""

import functools
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from initguide import writing
from initguide.experiments import Comparison, Sweep
from initguide.training import Run


def _saved(result, path):
    result.save(path)
    return Comparison.load(path)


def test_save_and_load_diverged(tmp_path, made):
    """NaN and both infinities survive, in valid JSON; so do indices."""
    result = made()
    strange = Run("a", 0, np.float32([1, math.inf]), math.nan, math.nan, math.nan, 1, 0.1)
    minus = Run("a", 1, np.float32([1, -math.inf]), math.inf, -math.inf, 0.5, 1, 0.1)
    result = Comparison((strange, minus, *result.runs[2:]), result.schemes, result.settings, "x")
    path = tmp_path / "result.json"
    again = _saved(result, path)
    np.testing.assert_array_equal(again.runs[0].train_losses, strange.train_losses)
    np.testing.assert_array_equal(again.runs[1].train_losses, minus.train_losses)
    assert math.isnan(again.runs[0].valid_loss)
    assert (again.runs[1].valid_loss, again.runs[1].valid_accuracy) == (math.inf, -math.inf)
    assert [r.diverged_at for r in again.runs] == [r.diverged_at for r in result.runs]
    assert str(again) == str(result)

    def refuse(name):
        raise AssertionError(name)

    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)  # no bare NaN


@settings(deadline=None, max_examples=60)
@given(losses=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_float32_is_exact(losses, tmp_path_factory, made):
    """Every float32 comes back as the same float32, from the smallest to the largest."""
    result = made({"a": [0.5]})
    run = Run("a", 0, np.float32(losses), 1.0, 0.5, 0.5, len(losses), 1.0)
    result = Comparison((run,), result.schemes, result.settings, "")
    again = _saved(result, tmp_path_factory.mktemp("exact") / "result.json")
    np.testing.assert_array_equal(again.runs[0].train_losses, run.train_losses)


def test_floats_are_exact(tmp_path, made):
    """Accuracies and losses in double precision come back to the last bit."""
    run = Run("a", 0, np.float32([1]), 0.1 + 0.2, 1 / 3, 2 / 7, None, math.pi)
    result = made({"a": [0.5]})
    again = _saved(
        Comparison((run,), result.schemes, result.settings, ""), tmp_path / "r.json"
    ).runs[0]
    assert (again.valid_loss, again.valid_accuracy) == (0.1 + 0.2, 1 / 3)
    assert (again.test_accuracy, again.seconds) == (2 / 7, math.pi)


def test_file_has_a_version(tmp_path, made):
    """The file says what it is, and of which version."""
    path = tmp_path / "result.json"
    made().save(path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["format"] == "initguide comparison"
    assert document["version"] == 1
    assert set(document["runs"][0]) == {field for field in Run.__dataclass_fields__}  # noqa: C416


def test_path_as_text(tmp_path, monkeypatch, made):
    """A path may be a text, and a name alone is in the working directory."""
    monkeypatch.chdir(tmp_path)
    result = made()
    result.save("result.json")
    assert str(Comparison.load("result.json")) == str(result)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_saved_file_can_be_read_by_others(tmp_path, made):
    """The file has ordinary permissions, not those of a temporary one."""
    path = tmp_path / "result.json"
    made().save(path)
    assert path.stat().st_mode & 0o777 == 0o644


# What was written before results were one class: such files can still be read.
COMPARISON = """
{
    "format": "initguide comparison",
    "version": 1,
    "data_source": "x",
    "schemes": {"a": "a()", "b": "b()"},
    "settings": {
        "model": "Net", "epochs": 2, "batch_size": 100, "optimizer": "adam",
        "learning_rate": 0.001, "device": "cpu", "seeds": [0, 1], "torch": "2.6.0"
    },
    "runs": [
        {
            "label": "a",
            "seed": 0,
            "train_losses": [2.0, 1.5],
            "valid_loss": 1.0,
            "valid_accuracy": 0.5,
            "test_accuracy": 0.49,
            "diverged_at": null,
            "seconds": 1.5
        },
        {
            "label": "a",
            "seed": 1,
            "train_losses": [2.0, 1.5, "nan"],
            "valid_loss": "nan",
            "valid_accuracy": "nan",
            "test_accuracy": "nan",
            "diverged_at": 2,
            "seconds": 1.5
        },
        {
            "label": "b",
            "seed": 0,
            "train_losses": [2.0, 1.5],
            "valid_loss": 1.0,
            "valid_accuracy": 0.6,
            "test_accuracy": 0.59,
            "diverged_at": null,
            "seconds": 1.5
        },
        {
            "label": "b",
            "seed": 1,
            "train_losses": [2.0, 1.5],
            "valid_loss": 1.0,
            "valid_accuracy": 0.7,
            "test_accuracy": 0.69,
            "diverged_at": null,
            "seconds": 1.5
        }
    ]
}
"""
SWEEP = """
{
    "format": "initguide sweep",
    "version": 1,
    "data_source": "x",
    "grid": {"scheme": ["zeros", "ones"], "scale": [0.5]},
    "settings": {"model": "Net", "epochs": 2, "device": "cpu", "seeds": [3, 4], "torch": "2.6.0"},
    "runs": [
        {
            "label": "scheme zeros, scale 0.5",
            "seed": 3,
            "train_losses": [2.0, 1.5],
            "valid_loss": 1.25,
            "valid_accuracy": 0.25,
            "test_accuracy": 0.125,
            "diverged_at": null,
            "seconds": 1.5,
            "settings": {"scheme": "zeros", "scale": 0.5}
        }
    ],
    "failures": [
        {
            "label": "scheme ones, scale 0.5",
            "seed": 3,
            "settings": {"scheme": "ones", "scale": 0.5},
            "reason": "ValueError: no"
        }
    ]
}
"""


def test_a_comparison_written_before_is_read(tmp_path, made):
    """A file of an earlier version holds what it held."""
    path = tmp_path / "old.json"
    path.write_text(COMPARISON)
    found, expected = Comparison.load(path), made({"a": [0.5, None], "b": [0.6, 0.7]})
    for one, other in zip(found.runs, expected.runs, strict=True):
        np.testing.assert_equal(vars(one), vars(other))
    assert found.settings == expected.settings
    assert found.schemes == expected.schemes


def test_a_sweep_written_before_is_read(tmp_path):
    """So does a sweep's, with a run that failed and others that are missing."""
    path = tmp_path / "old.json"
    path.write_text(SWEEP)
    zeros, ones = Sweep.load(path).rows()
    assert zeros == ({"scheme": "zeros", "scale": 0.5}, 0.25, None, 0, 0)
    assert ones.failed == 1
    words = " ".join(str(Sweep.load(path)).split())
    assert "2 runs are missing. Why runs failed: ValueError: no." in words


def _document():
    return json.loads(COMPARISON)


def _without(document, *path):
    """The document without one entry."""
    inner = functools.reduce(lambda part, key: part[key], path[:-1], document)
    del inner[path[-1]]
    return document


def _with(document, value, *path):
    """The document with another value in one place."""
    inner = functools.reduce(lambda part, key: part[key], path[:-1], document)
    inner[path[-1]] = value
    return document


def test_the_document_for_these_tests_is_whole(tmp_path):
    """Unless something is taken away, it loads."""
    path = tmp_path / "whole.json"
    path.write_text(json.dumps(_document()))
    assert Comparison.load(path).labels == ("a", "b")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON"),
        (b"hello", "it is not JSON"),
        (json.dumps(_document()).encode()[:-40], "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"\x89PNG\r\n\x1a\n", "it is not JSON"),
    ],
    ids=["empty", "text", "truncated", "bytes", "picture"],
)
def test_files_that_are_not_json(tmp_path, content, reason):
    """A truncated file, and one of another kind, is refused with its name and the reason."""
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        Comparison.load(path)
    assert str(caught.value).startswith(f"{path} is not a saved comparison, or is damaged: ")


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"', "{}", '{"format": "other"}'])
@pytest.mark.fault(
    "saving",
    tried="JSON that is something else is loaded",
    happens="it is refused as such",
)
def test_files_that_are_other_json(tmp_path, content):
    """JSON that is something else is refused as such."""
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"is JSON, but not a saved comparison.*Comparison.save"):
        Comparison.load(path)


@pytest.mark.parametrize("version", [2, 0, None, "1"])
@pytest.mark.fault(
    "saving",
    tried="a file of another version is loaded",
    happens="it is refused with both versions, and what to do",
)
def test_files_of_another_version(tmp_path, version):
    """A file of another version says which it is, which is read, and what to do."""
    path = tmp_path / "newer.json"
    path.write_text(json.dumps(_with(_document(), version, "version")))
    with pytest.raises(
        ValueError,
        match=rf"has version {version!r} of the file format; this initguide reads version 1",
    ):
        Comparison.load(path)


DAMAGES = {
    "no runs": (lambda d: _without(d, "runs"), "'runs' is missing"),
    "no schemes": (lambda d: _without(d, "schemes"), "'schemes' is missing"),
    "no settings": (lambda d: _without(d, "settings"), "'settings' is missing"),
    "no source": (lambda d: _without(d, "data_source"), "'data_source' is missing"),
    "no seeds": (lambda d: _without(d, "settings", "seeds"), "'seeds' is missing"),
    "no epochs": (lambda d: _without(d, "settings", "epochs"), "'epochs' is missing"),
    "no torch": (lambda d: _without(d, "settings", "torch"), "'torch' is missing"),
    "no losses": (lambda d: _without(d, "runs", 0, "train_losses"), "'train_losses' is missing"),
    "no diverged": (lambda d: _without(d, "runs", 0, "diverged_at"), "'diverged_at' is missing"),
    "a run less": (lambda d: _without(d, "runs", 1), "one for each scheme and seed"),
    "a run twice": (lambda d: _with(d, d["runs"][0], "runs", 1), "one for each scheme and seed"),
    "empty runs": (lambda d: _with(d, [], "runs"), "one for each scheme and seed"),
    "another label": (lambda d: _with(d, "z", "runs", 0, "label"), "one for each scheme and seed"),
    "runs is null": (lambda d: _with(d, None, "runs"), "NoneType"),
    "runs is a number": (lambda d: _with(d, 3, "runs"), "int"),
    "a run is a list": (lambda d: _with(d, [], "runs", 0), "list"),
    "schemes is a list": (lambda d: _with(d, ["a", "b"], "schemes"), "list"),
    "settings is a text": (lambda d: _with(d, "abc", "settings"), "sequence"),
    "loss is a word": (lambda d: _with(d, "low", "runs", 0, "valid_loss"), "'low'"),
    "losses hold a word": (lambda d: _with(d, ["low"], "runs", 0, "train_losses"), "'low'"),
    "seed is null": (lambda d: _with(d, None, "runs", 0, "seed"), "NoneType"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.fault(
    "saving",
    tried="a saved result lacks an entry, or has another value in its place",
    happens="it is refused with what is missing or wrong",
)
def test_damaged_files(tmp_path, damage):
    """A file that lacks something or holds something else is refused with what is wrong."""
    change, reason = DAMAGES[damage]
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(change(_document())))
    with pytest.raises(ValueError, match=reason) as caught:
        Comparison.load(path)
    assert str(caught.value).startswith(f"{path} is a damaged comparison: ")


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(_with(_document(), 0.0, "runs", 0, "seed")).replace(
            '"seed": 0.0', '"seed": 1e999'
        ),
        '{"a":' * 200_000,
    ],
    ids=["infinite seed", "deep"],
)
def test_files_that_are_damaged_otherwise(tmp_path, content):
    """Whatever a file holds, it is refused as a ValueError that names it."""
    path = tmp_path / "damaged.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="damaged") as caught:
        Comparison.load(path)
    assert str(path) in str(caught.value)


def test_load_a_missing_file(tmp_path):
    """A file that is not there is the usual error, with its name."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        Comparison.load(tmp_path / "nothing.json")


def _no_space(*_, **__):
    raise OSError(28, "No space left on device")


class _FullDisk:
    """A file that can be opened but not written."""

    def __init__(self, handle):
        self.handle = handle

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.handle)

    def write(self, text):
        os.write(self.handle, text[:10].encode())
        _no_space()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            "write",
            marks=pytest.mark.fault(
                "saving",
                tried="the disk fills up while a result is saved",
                happens="the file from before is whole, and nothing is left beside it",
            ),
        ),
        pytest.param(
            "rename",
            marks=pytest.mark.fault(
                "saving",
                tried="the new file cannot be given its name",
                happens="the file from before is whole, and nothing is left beside it",
            ),
        ),
        pytest.param(
            "interrupt",
            marks=pytest.mark.fault(
                "saving",
                tried="Ctrl-C while a result is saved",
                happens="the file from before is whole, and nothing is left beside it",
            ),
        ),
        pytest.param(
            "settings",
            marks=pytest.mark.fault(
                "saving",
                tried="a setting that JSON cannot hold",
                happens="the file from before is whole, and nothing is left beside it",
            ),
        ),
        pytest.param(
            "nan",
            marks=pytest.mark.fault(
                "saving",
                tried="NaN among the settings",
                happens="the file from before is whole, and nothing is left beside it",
            ),
        ),
        pytest.param(
            "surrogate",
            marks=pytest.mark.fault(
                "saving",
                tried="a label that is no valid Unicode",
                happens="the file from before is whole, and nothing is left beside it",
            ),
        ),
    ],
)
def test_a_failed_save_destroys_nothing(tmp_path, monkeypatch, fault, made):
    """Whatever goes wrong, the file from before is whole and nothing is left beside it."""
    path = tmp_path / "result.json"
    old = made({"old": [0.5]})
    old.save(path)
    before = path.read_bytes()
    new, expected = made({"new": [0.6]}), OSError
    if fault == "write":
        monkeypatch.setattr(writing.os, "fdopen", lambda handle, *_, **__: _FullDisk(handle))
    elif fault == "rename":
        monkeypatch.setattr(writing.os, "replace", _no_space)
    elif fault == "interrupt":
        expected = KeyboardInterrupt

        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(writing.os, "replace", interrupt)
    elif fault == "settings":
        new, expected = made({"new": [0.6]}, callback=object()), TypeError
    elif fault == "nan":
        new, expected = made({"new": [0.6]}, ratio=math.nan), ValueError
    elif fault == "surrogate":
        new, expected = made({"\ud800": [0.6]}), ValueError
    with pytest.raises(expected):
        new.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
    assert Comparison.load(path).labels == ("old",)


@pytest.mark.fault(
    "saving",
    tried="a result is saved into a folder that does not exist",
    happens="it is said, and the folder is not made",
)
def test_save_into_no_folder(tmp_path, made):
    """A folder that does not exist is the usual error, and is not made."""
    with pytest.raises(FileNotFoundError):
        made().save(tmp_path / "nothing" / "result.json")
    assert not list(tmp_path.iterdir())


def test_save_onto_a_folder(tmp_path, made):
    """A folder is not replaced by a file, and nothing is left in it or beside it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"folder, a folder; give the name of a file"):
        made().save(folder)
    assert folder.is_dir()
    assert list(tmp_path.rglob("*")) == [folder]
