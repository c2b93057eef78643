"""Refusals: status 2, one line, nothing trained, nothing written."""

import json
import os
import re
import signal

import pytest
from cli_words import QUICK, _compare, _run, _sweep

from initguide import cli, writing
from initguide.cli import options as options_room
from initguide.cli import running
from initguide.experiments import grids
from initguide.experiments.jobs.signals import Ended
from initguide.initializers import INITIALIZERS


@pytest.mark.usefixtures("never_trains")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--scheme", "he_norml"), "unknown scheme 'he_norml', did you mean 'he_normal'?"),
        (("--scheme", "zeros", "--scheme", "x y"), "cannot read the scheme 'x y'"),
        (("--scheme", ""), "cannot read the scheme ''"),
        (("--scheme", "a\nb"), r"cannot read the scheme 'a\nb'"),
        (("--scheme", "constant"), "cannot make the scheme 'constant'"),
        (("--scheme", "uniform(1, 0)"), "high is 0; it must be finite and above 1"),
        (("--scheme", "zeros", "--scheme", "zeros"), "a name stands there twice"),
        (
            ("--scheme", "zeros", "--save", "no/out.json"),
            "--save no/out.json: there is no folder no",
        ),
        (("--scheme", "zeros", "--plot", "no/out.png"), "--plot no/out.png: there is no folder no"),
        (("--scheme", "zeros", "--save", "."), "--save . is a folder; give the name of a file"),
        (("--scheme", "zeros", "--plot", "."), "--plot . is a folder; give the name of a file"),
        (
            ("--scheme", "zeros", "--save", os.devnull),
            f"--save {os.devnull} is a device; give the name of a file",
        ),
        (
            ("--scheme", "zeros", "--store", os.devnull),
            f"--store {os.devnull} is a device; give the name of a file",
        ),
        (
            ("--scheme", "zeros", "--plot", "out.xyz"),
            "no picture format is called '.xyz'; use one of",
        ),
        (("--scheme", "zeros", "--plot", "out"), "no picture format is called ''"),
        (("--scheme", "zeros", "--seeds", "0"), "seeds is 0; it must be how many, at least 1"),
        (("--scheme", "zeros", "--seeds", "-3"), "seeds is -3; it must be how many, at least 1"),
        (("--scheme", "zeros", "--epochs", "0"), "epochs is 0; it must be a whole number"),
        (("--scheme", "zeros", "--batch-size", "0"), "batch_size is 0; it must be a whole number"),
        (
            ("--scheme", "zeros", "--learning-rate", "-1"),
            "learning_rate is -1.0; it must be a finite",
        ),
        (
            ("--scheme", "zeros", "--learning-rate", "nan"),
            "learning_rate is nan; it must be a finite",
        ),
        (
            ("--scheme", "zeros", "--learning-rate", "inf"),
            "learning_rate is inf; it must be a finite",
        ),
        (("--scheme", "zeros", "--optimizer", "Adam"), "unknown optimizer 'Adam'; the names are"),
        (("--scheme", "zeros", "--source", "here"), "'here'"),
        (("--scheme", "constant(1e300)"), "1e+300"),
        (("--scheme", f"normal({'9' * 400})"), "std is 999"),
        (("--scheme", "zeros", "--plot", "out.pgf"), "no picture format is called '.pgf'"),
        (("--scheme", "zeros", "--save", "x.png", "--plot", "x.png"), "--plot"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_bad_input(words, message, tmp_path, capfd):
    """One clear line on standard error, status 2, and it is the reason."""
    assert _compare(*words) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("initguide: error: ")
    assert message in printed.err
    assert not list(tmp_path.iterdir())


def test_unknown_scheme_lists_all(capsys):
    """The one line has every scheme."""
    assert _compare("--scheme", "qqqq") == 2
    line = capsys.readouterr().err
    assert all(re.search(rf"\b{name}\b", line) for name in INITIALIZERS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "required: command"),
        (("nonsense",), "invalid choice: 'nonsense'"),
        (("compare",), "required: --scheme"),
        (("sweep",), "required: --grid"),
        (("compare", "--scheme", "zeros", "--seeds", "five"), "--seeds: invalid int value: 'five'"),
        (("compare", "--scheme", "zeros", "--seeds", "1.5"), "--seeds: invalid int value: '1.5'"),
        (
            ("compare", "--scheme", "zeros", "--learning-rate", "fast"),
            "--learning-rate: invalid float value: 'fast'",
        ),
        (("compare", "--scheme", "zeros", "--sede", "3"), "unrecognized arguments: --sede 3"),
        (("compare", "--scheme"), "--scheme: expected one argument"),
    ],
    ids=str,
)
def test_usage(words, message, capsys):
    """What argparse refuses ends with its usage, its reason and status 2."""
    assert _run(*words) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.startswith("usage: initguide")
    assert message in printed.err.splitlines()[-1]


@pytest.mark.usefixtures("isolated", "never_trains")
@pytest.mark.parametrize("command", [("data",), ("compare", "--scheme", "zeros")], ids=" ".join)
@pytest.mark.parametrize("kind", ["missing", "empty", "a file", "damaged", "wrong source"])
def test_bad_data(command, kind, tmp_path, fill, capfd):
    """A folder that is missing, empty or damaged is refused in one line that names it."""
    folder = tmp_path / "here"
    words = ["--data", str(folder)]
    if kind == "empty":
        folder.mkdir()
    elif kind == "a file":
        folder.write_text("")
    elif kind == "damaged":
        fill(folder)
        (folder / "train-labels-idx1-ubyte").write_bytes(b"short")
    elif kind == "wrong source":
        words = ["--source", "nowhere"]
    assert _run(*command, *words) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("initguide: error: ")
    assert (words[-1] if kind == "wrong source" else str(folder)) in printed.err


@pytest.mark.usefixtures("never_trains")
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("option", ["--save", "--plot"])
def test_a_folder_without_permission(option, tmp_path, capsys):
    """A file that cannot be written is refused before anything is trained."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert _compare("--scheme", "zeros", option, str(folder / "out.png")) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_file_without_permission(tmp_path, monkeypatch, capsys):
    """The same, as seen from somebody who is not root."""
    monkeypatch.setattr(options_room.os, "access", lambda path, mode: mode != os.W_OK)  # noqa: ARG005
    assert _compare("--scheme", "zeros", "--save", str(tmp_path / "out.json")) == 2
    assert "cannot be written; choose another folder" in capsys.readouterr().err


def test_a_full_disk(monkeypatch, tmp_path, capfd):
    """An error while writing: the table has been printed, one line says what, status 2."""

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "replace", no_space)
    assert _compare("--scheme", "zeros", "--save", "out.json") == 2
    printed = capfd.readouterr()
    assert "zeros" in printed.out
    assert printed.err == (
        "initguide: error: [Errno 28] cannot save out.json: No space left on device; what was "
        "there before is intact\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), 130), (Ended(signal.SIGTERM), 143)]
)
def test_ctrl_c(monkeypatch, capsys, error, status):
    """Ctrl-C is one word and status 130, as shells expect; SIGTERM has a status of its own."""

    def interrupted(*_, **__):
        raise error

    monkeypatch.setattr(grids, "run_jobs", interrupted)
    assert _compare("--scheme", "zeros") == status
    assert capsys.readouterr().err == "initguide: stopped\n"
    assert _sweep("--grid", "scale=1", "--store", "x.sqlite") == status
    assert capsys.readouterr().err == (
        "initguide: stopped; what was done is in x.sqlite, and the same command goes on from "
        "there\n"
    )


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    """An error that is not about the input is not dressed up as one."""

    def fault(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(grids, "run_jobs", fault)
    with pytest.raises(ZeroDivisionError):
        cli.main(["compare", *QUICK, "--scheme", "zeros"])


def test_saved_file_is_json(tmp_path, capsys):
    """Other programs can read what was saved."""
    assert _compare("--scheme", "zeros", "--save", "out.json") == 0
    capsys.readouterr()
    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert document["runs"][0]["label"] == "zeros"
    assert len(document["runs"][0]["train_losses"]) == 40


def test_a_command_is_a_file(monkeypatch, tmp_path, capsys):
    """What lies in the folder of commands is a command; nothing else names it."""
    (tmp_path / "greet.py").write_text(
        "def add_to(commands):\n"
        "    parser = commands.add_parser('greet', help='say hello')\n"
        "    parser.set_defaults(command=lambda options: print('hello'))\n"
    )
    folder = running.folder
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    assert cli.main(["greet"]) == 0
    assert capsys.readouterr().out == "hello\n"
