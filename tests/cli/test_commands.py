"""What the commands do."""

import os
import re
import subprocess
import sys
import warnings

import pytest
import torchvision
from cli_words import _compare, _run, _sweep

import initguide
from initguide import cli
from initguide.cli import running
from initguide.cli.commands import sweep as sweep_command
from initguide.experiments import (
    Comparison,
    Sweep,
    compare_init_weights,
    sweep,
)
from initguide.experiments.jobs import work, worker


def test_help_does_not_wait_for_torch():
    """`initguide --help` and a wrong option need neither torch, numpy nor matplotlib."""
    code = (
        "import sys, initguide.cli\n"
        "for words in (['--help'], ['compare', '--help'], ['sweep', '--help'], ['compare']):\n"
        "    try: initguide.cli.main(words)\n"
        "    except SystemExit: pass\n"
        "print({'torch', 'numpy', 'scipy', 'matplotlib', 'torchvision'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "set()"
    assert "usage: initguide" in done.stdout


def test_help(capsys):
    """Help names the commands and ends with status 0; each option has a line."""
    assert _run("--help") == 0
    printed = capsys.readouterr().out
    assert "compare" in printed
    assert "data" in printed
    assert _run("compare", "--help") == 0
    printed = capsys.readouterr().out
    for option in ("--scheme", "--seeds", "--epochs", "--batch-size", "--learning-rate"):
        assert option in printed
    for option in ("--optimizer", "--save", "--plot", "--data", "--source"):
        assert option in printed


def test_version(capsys):
    """The version is the package's."""
    assert _run("--version") == 0
    assert capsys.readouterr().out == f"initguide {initguide.__version__}\n"


def test_as_a_module(tmp_path):
    """`python -m initguide.cli` is the command line, exit status and all."""
    done = subprocess.run(
        [sys.executable, "-m", "initguide.cli", "compare", "--scheme", "zeros", "--save", "no/x"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(cli.__file__))},  # noqa: PTH120
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"initguide: error: --save no/x: there is no folder no; .*\n", done.stderr)


# compare
def test_compare(sample, tmp_path, capfd):
    """The table is printed; the comparison and the picture are written and can be read."""
    words = ("--scheme", "zeros", "--scheme", "he_normal('fan_out')", "--seeds", "2")
    assert _compare(*words, "--save", "out.json", "--plot", "out.png") == 0
    printed = capfd.readouterr()
    assert not printed.err
    result = Comparison.load("out.json")
    assert printed.out == f"{result}\n"
    assert result.labels == ("zeros", "he_normal('fan_out')")
    assert result.settings["seeds"] == [0, 1]
    assert result.data_source == sample.source
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert {path.name for path in tmp_path.iterdir()} == {"out.json", "out.png"}


def test_compare_is_the_function(sample, capsys):
    """Every option reaches `compare_init_weights`: the numbers are those of the call."""
    words = ["--batch-size", "250", "--learning-rate", "0.01", "--optimizer", "momentum"]
    words += ["--split", "per-seed"]
    assert _compare("--scheme", "he_normal", *words, "--save", "out.json") == 0
    capsys.readouterr()
    expected = compare_init_weights(
        ["he_normal"],
        sample,
        epochs=1,
        batch_size=250,
        learning_rate=0.01,
        optimizer="momentum",
        seeds=1,
        split="per seed",
    )
    result = Comparison.load("out.json")
    assert result.settings == expected.settings
    assert result.values("he_normal").tolist() == expected.values("he_normal").tolist()


def test_defaults():
    """Without options: five seeds, two epochs, batches of 100, Adam at 0.001, any source."""
    options = running._parser().parse_args(["compare", "--scheme", "zeros"])
    assert (options.seeds, options.epochs, options.batch_size) == (5, 2, 100)
    assert (options.learning_rate, options.optimizer, options.source) == (1e-3, "adam", "auto")
    assert (options.save, options.plot, options.data) == (None, None, None)


@pytest.mark.parametrize("ending", ["svg", "pdf", "PNG", "jpg"])
def test_picture_formats(ending, tmp_path, capsys):
    """The ending decides about the format."""
    assert _compare("--scheme", "zeros", "--plot", f"out.{ending}") == 0
    capsys.readouterr()
    start = (tmp_path / f"out.{ending}").read_bytes()[:200]
    signs = {"svg": b"<svg", "pdf": b"%PDF", "PNG": b"\x89PNG", "jpg": b"\xff\xd8\xff"}
    assert signs[ending] in start or (ending == "svg" and b"<?xml" in start)


def test_files_are_replaced(tmp_path, capsys):
    """What was saved before under the same name is replaced."""
    (tmp_path / "out.json").write_text("old")
    assert _compare("--scheme", "zeros", "--save", "out.json") == 0
    capsys.readouterr()
    assert Comparison.load("out.json").labels == ("zeros",)


def test_divergence_is_a_result(capsys):
    """Diverged runs end with a table that says so, and status 0."""
    words = ("--scheme", "normal", "--optimizer", "sgd", "--learning-rate", "1e20")
    assert _compare(*words) == 0
    printed = capsys.readouterr()
    assert "1 of 1 diverged" in printed.out
    assert not printed.err


def test_compare_with_a_store(tmp_path, capsys, monkeypatch):
    """Runs are kept; the same command does nothing again, and says so below the table."""
    assert _compare("--scheme", "zeros", "--store", "runs.sqlite") == 0
    capsys.readouterr()
    monkeypatch.setattr(worker, "train_many", pytest.fail)
    assert _compare("--scheme", "zeros", "--store", "runs.sqlite") == 0
    printed = capsys.readouterr()
    assert "1 of the 1 runs were found in runs.sqlite." in " ".join(printed.out.split())
    assert not printed.err
    assert Comparison.load("runs.sqlite").labels == ("zeros",)
    assert {path.name for path in tmp_path.iterdir()} == {"runs.sqlite"}


def test_sweep(sample, tmp_path, capfd):
    """The table is printed, the file is written, and all is as the function has it."""
    words = ("--grid", "scheme=zeros, uniform(-0.5, 0.5)", "--grid", "learning-rate=1e-3:0.1:log:3")
    more = ("--batch-size", "250", "--optimizer", "momentum", "--save", "out.json")
    assert _sweep(*words, "--grid", "hidden_1=4", *more) == 0
    printed = capfd.readouterr()
    assert not printed.err
    result = Sweep.load("out.json")
    assert printed.out == f"{result}\n"
    assert result.grid == {
        "scheme": ("zeros", "uniform(-0.5, 0.5)"),
        "learning_rate": (1e-3, 1e-2, 0.1),
        "hidden_1": (4,),
    }
    keywords = {"epochs": 1, "seeds": 1, "batch_size": 250, "optimizer": "momentum"}
    expected = sweep(result.grid, sample, **keywords)
    assert result.settings == expected.settings
    assert result.array().tolist() == expected.array().tolist()
    assert {path.name for path in tmp_path.iterdir()} == {"out.json"}


def test_sweep_with_a_store_and_a_model(tmp_path, capsys, monkeypatch):
    """A network of one's own, from the folder one is in; a larger grid does what is missing."""
    (tmp_path / "networks.py").write_text(
        "import initguide\n\n\ndef make(width):\n    return initguide.Net(width, 4)\n"
    )
    words = ("--model", "networks:make", "--scheme", "he_normal", "--store", "runs.sqlite")
    assert _sweep(*words, "--grid", "width=3") == 0
    assert "runs.sqlite" not in capsys.readouterr().out
    assert _sweep(*words, "--grid", "width=3,5") == 0
    monkeypatch.delitem(sys.modules, "networks")
    assert "1 of the 2 runs were found in runs.sqlite." in " ".join(capsys.readouterr().out.split())
    assert _sweep(*words, "--grid", "width=3", "--epochs", "2") == 2
    line = capsys.readouterr().err
    assert line.startswith("initguide: error: runs.sqlite holds runs made with other settings: ")
    assert "epochs is 1 there and 2 here" in line
    assert line.count("\n") == 1


def test_sweep_over_tuples(tmp_path, capsys):
    """They reach the network as such, and the table and the file have them."""
    (tmp_path / "tupled.py").write_text(
        "import initguide\n\n\ndef make(widths):\n"
        "    assert isinstance(widths, tuple)\n    return initguide.Net(*widths)\n"
    )
    words = ("--model", "tupled:make", "--save", "out.json")
    assert _sweep(*words, "--grid", "widths=(3,2),(4,2)") == 0
    assert "(4, 2)" in capsys.readouterr().out
    assert Sweep.load("out.json").grid == {"widths": ("(3, 2)", "(4, 2)")}


@pytest.mark.parametrize("faults", ["yes", "no,yes"])
def test_failed_runs_are_told_by_the_status(tmp_path, capsys, monkeypatch, faults):
    """1 if some runs failed or all; the table and the file are there all the same."""
    (tmp_path / "faulty.py").write_text(
        "import initguide\n\n\nclass make(initguide.Net):\n"
        "    def __init__(self, fault):\n        super().__init__(3, 2)\n        self.fault = fault"
        "\n\n    def forward(self, x):\n        if self.fault == 'yes':\n"
        "            raise RuntimeError('a fault')\n        return super().forward(x)\n"
    )
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    words = ("--model", "faulty:make", "--save", "out.json")
    assert _sweep(*words, "--grid", f"fault={faults}") == 1
    assert "a fault" in capsys.readouterr().out
    assert len(Sweep.load("out.json").failures) == 1


@pytest.mark.usefixtures("never_trains")
def test_a_network_that_cannot_be_made(tmp_path, capsys):
    """One line, and status 2."""
    (tmp_path / "unmade.py").write_text(
        "def make(width):\n    raise RuntimeError('too wide\\nby far')\n"
    )
    assert _sweep("--model", "unmade:make", "--grid", "width=3") == 2
    assert capsys.readouterr().err == (
        "initguide: error: model make(width=3) cannot be made: RuntimeError: too wide\n"
    )


def test_sweep_shows_its_progress(capsys, monkeypatch):
    """In a terminal: runs done, rate and time left."""
    monkeypatch.setattr(work, "somebody_watches", lambda: True)
    assert _sweep("--grid", "hidden_1=3", "--grid", "hidden_2=3", "--scheme", "zeros") == 0
    assert re.search(r"1/1 \[\d\d:\d\d<\d\d:\d\d, .*(run/s|s/run)", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1,2.5,-3e-2", [1, 2.5, -0.03]),
        ("a=he_normal(mode='fan_out'),zeros", ["he_normal(mode='fan_out')", "zeros"]),
        ("a=True,None,x", [True, None, "x"]),
        ("a=1e-4:1e-1:log:4", [1e-4, 1e-3, 1e-2, 1e-1]),
        ("a=0:1:linear:5", [0, 0.25, 0.5, 0.75, 1]),
        ("a=1:0:linear:2", [1, 0]),
        ("a=0.1:0.001:log:3", [0.1, 0.01, 0.001]),
        ("a=[1,2]", [[1, 2]]),
        ("a=(1,2), (3,4),5", [(1, 2), (3, 4), 5]),
        ("a=(8,(1,2)),(3,)", [(8, (1, 2)), (3,)]),
        (
            "a=zero_last(last='fc3', base='he_normal()'),default",
            ["zero_last(last='fc3', base='he_normal()')", "default"],
        ),
        ("a=zero_last(last=['b(', \"c',)\"]),'x,y'", ["zero_last(last=['b(', \"c',)\"])", "x,y"]),
        ("a=uniform(-0.5,0.5", ["uniform(-0.5,0.5"]),
        ("a=x),y", ["x)", "y"]),
    ],
)
def test_values_of_a_grid(text, expected):
    """Numbers are numbers, words are words, ranges end where they say."""
    assert sweep_command._axis(text) == ("a", expected)


def test_sweep_has_help(capsys):
    """Each option has a line."""
    assert _run("sweep", "--help") == 0
    printed = capsys.readouterr().out
    for option in ("--grid", "--model", "--scheme", "--seeds", "--store", "--save", "--source"):
        assert option in printed


@pytest.mark.usefixtures("never_trains")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--grid", "scheme"),
            "--grid 'scheme' is not NAME=VALUES, as in scheme=he_normal,general",
        ),
        (("--grid", "=3"), "--grid '=3' is not NAME=VALUES"),
        (("--grid", "scale="), "--grid 'scale=' is not NAME=VALUES"),
        (("--grid", "scale=1,,2"), "--grid 'scale=1,,2' has an empty value"),
        (("--grid", "scale=1", "--grid", "scale=2"), "--grid has scale twice; give all its values"),
        (
            ("--grid", "hiden_1=3"),
            "grid has the unknown setting 'hiden_1', did you mean 'hidden_1'?",
        ),
        (("--grid", "scheme=he_norml"), "unknown scheme 'he_norml', did you mean 'he_normal'?"),
        (("--grid", "learning_rate=fast"), "learning_rate is 'fast'; it must be a finite number"),
        (("--grid", "learning_rate=0.1,-1"), "learning_rate is -1; it must be a finite number"),
        (
            ("--grid", "learning_rate=1:2:log:x"),
            "has no numbers where they belong; a range is FROM",
        ),
        (
            ("--grid", "learning_rate=1:2:cubic:3"),
            "has the spacing 'cubic'; a range is FROM:TO:log",
        ),
        (("--grid", "learning_rate=1e-4:1e-1"), "is half a range; a range is FROM:TO:log:N"),
        (("--grid", "learning_rate=0:1:log:3"), "needs ends above 0 for a logarithmic range"),
        (("--grid", "learning_rate=1:inf:log:3"), "needs two finite ends and at least 2 values"),
        (("--grid", "learning_rate=1:2:log:1"), "needs two finite ends and at least 2 values"),
        (("--grid", "scale=1,1"), "grid has [1, 1] for 'scale'; one stands there twice"),
        (("--grid", "scale=1", "--store", "no/x"), "--store no/x: there is no folder no"),
        (
            ("--grid", "scale=1", "--store", "x", "--save", "x"),
            "--save x is the file of --store too",
        ),
        (("--grid", "scale=1", "--model", "nothing:here"), "nothing:here: ModuleNotFoundError"),
        (("--grid", "scale=1", "--model", "math:pi"), "math:pi: it does not make a network"),
        (("--grid", "scale=1", "--seeds", "0"), "seeds is 0; it must be how many, at least 1"),
        (("--grid", "scale=1", "--source", "here"), "'here'"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_bad_sweeps(words, message, tmp_path, capfd):
    """One clear line on standard error, status 2, and it is the reason."""
    assert _sweep(*words) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("initguide: error: ")
    assert message in printed.err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("never_trains")
def test_a_file_that_is_no_store(tmp_path, capsys):
    """Refused in one line, and left as it is."""
    (tmp_path / "mine.txt").write_text("mine")
    assert _sweep("--grid", "scale=1", "--store", "mine.txt") == 2
    assert capsys.readouterr().err == (
        "initguide: error: mine.txt is no SQLite file, or a damaged one; it is left as it is. "
        "Give a store the name of a new file\n"
    )
    assert (tmp_path / "mine.txt").read_text() == "mine"


# data
def test_data(sample, capsys):
    """`initguide data` says where the images are from, and how many there are."""
    assert _run("data", "--source", "sample") == 0
    printed = capsys.readouterr()
    assert printed.out == f"{sample.source}\n"
    assert not printed.err


def test_data_from_a_folder(fill, tmp_path, capsys):
    """`--data` names the folder."""
    folder = fill(tmp_path / "mine")
    assert _run("data", "--data", str(folder)) == 0
    assert str(folder) in capsys.readouterr().out


def test_data_for_torchvision(fill, tmp_path, capsys):
    """`--torchvision` lays the files out where torchvision looks, and says what they are."""
    folder = fill(tmp_path / "mine")
    assert _run("data", "--torchvision", "data", "--data", str(folder)) == 0
    printed = capsys.readouterr().out
    assert "FashionMNIST/raw holds Fashion-MNIST from the folder" in printed
    assert "50 training and 20 test images" in printed
    assert len(torchvision.datasets.FashionMNIST("data", download=True)) == 50


@pytest.mark.usefixtures("isolated")
def test_warnings_are_one_line(capsys, monkeypatch):
    """A warning is printed as a line of the command, without a line of source code."""
    monkeypatch.setattr(initguide.data, "fashion_mnist", _warns)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert _run("data") == 0
    printed = capsys.readouterr()
    assert printed.err == "initguide: look out\n"
    assert printed.out == "nowhere\n"


class _Nowhere:
    source = "nowhere"


def _warns(*_, **__):
    warnings.warn("look out", stacklevel=2)
    return _Nowhere
