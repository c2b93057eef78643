"""The command line."""

import json
import sys
from pathlib import Path

import pytest
import torch

from initguide import cli

SHAPE = ("--input", "16,1,28,28")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("good", *SHAPE), 0),
        (("network", *SHAPE, "--eval"), 0),
        (("good", "--data", "batch.pt"), 0),
        (("good", "--data", "named.pt", "--loss", "cross_entropy"), 0),
        (("good", "--data", "batch.pt", "--loss", "nets_of_mine:Loss"), 0),
        (("good", "--data", "inputs.pt"), 0),
        (("good", "--data", "keywords.pt"), 0),
        (("good", *SHAPE, "--dtype", "bfloat16"), 0),
        (("words", "--input", "8,5", "--dtype", "int64"), 0),
        (("bad", *SHAPE), 1),
    ],
)
def test_command(module, capsys, words, status):
    """The command prints the report, and its status says whether something was found."""
    state = torch.get_rng_state()
    before = list(sys.path)
    assert cli.main(["check", f"{module}:{words[0]}", *words[1:]]) == status
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "Loss: " in printed.out
    assert ("error" in printed.out) is bool(status)
    assert sys.path == before
    assert torch.equal(torch.get_rng_state(), state)


def test_command_imports_only_what_it_is_told_to(module, tmp_path):
    """Neither modules beside the network's nor code inside a saved batch are run."""
    (tmp_path / "other_of_mine.py").write_text("raise SystemExit(9)", encoding="utf-8")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(9)", encoding="utf-8")
    before = set(sys.modules)
    assert cli.main(["check", f"{module}:good", *SHAPE]) == 0
    theirs = {n for n in set(sys.modules) - before if not n.startswith(("torch", "initguide"))}
    assert module in theirs
    files = [getattr(sys.modules[name], "__file__", None) or "" for name in theirs]
    assert [f for f in files if f.startswith(str(tmp_path))] == [str(tmp_path / f"{module}.py")]


def test_command_does_not_run_what_is_in_a_batch(module, tmp_path, capsys):
    """A saved batch that is a program in disguise is refused, not run."""
    path = tmp_path / "trap.pt"
    path.write_bytes(b"cos\nmkdir\n(S'" + str(tmp_path / "ran").encode() + b"'\ntR.")
    assert cli.main(["check", f"{module}:good", "--data", "trap.pt"]) == 2
    assert capsys.readouterr().err.startswith("initguide: error: --data trap.pt holds something")
    assert not (tmp_path / "ran").exists()


def test_command_json_and_figure(module, capsys):
    """`--json` prints JSON, `--plot` saves a figure."""
    assert cli.main(["check", f"{module}:bad", *SHAPE, "--json", "--plot", "out.png"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["good", "bad", "network"])
def test_command_sarif(module, capsys, name):
    """`--sarif` says where the network is made, and the status stays what it is."""
    assert cli.main(["check", f"{module}:{name}", *SHAPE, "--sarif"]) == (name == "bad")
    results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert any(result["level"] == "error" for result in results) is (name == "bad")
    lines = {"good": 2, "bad": 3, "network": 1}
    for result in results:
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "nets_of_mine.py"
        assert place["region"]["startLine"] == lines[name]


@pytest.mark.parametrize("command", ["check", "audit"])
@pytest.mark.usefixtures("module")
def test_command_finds_neighbours_of_a_factory(capsys, command):
    """A factory, and a forward pass, may import modules beside theirs when they are called."""
    Path("sizes_of_mine.py").write_text("HIDDEN = 30\n", encoding="utf-8")
    Path("scales_of_mine.py").write_text("ONE = 1.0\n", encoding="utf-8")
    Path("late_nets_of_mine.py").write_text(
        "import torch\n"
        "class Late(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        from sizes_of_mine import HIDDEN\n"
        "        self.fc = torch.nn.Linear(20, HIDDEN)\n"
        "    def forward(self, x):\n"
        "        import scales_of_mine\n"
        "        return scales_of_mine.ONE * self.fc(x)\n",
        encoding="utf-8",
    )
    before = list(sys.path)
    words = ["--input", "16,20"] if command == "check" else []
    try:
        assert cli.main([command, "late_nets_of_mine:Late", *words]) == 0
    finally:
        for name in ("late_nets_of_mine", "sizes_of_mine", "scales_of_mine"):
            sys.modules.pop(name, None)
    assert capsys.readouterr().err == ""
    assert sys.path == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nets_of_mine", *SHAPE), "MODULE:NAME"),
        (("nets_of_mine.py:good", *SHAPE), "in its folder, say nets_of_mine:good"),
        (("./here/nets_of_mine.py:good", *SHAPE), "in its folder, say nets_of_mine:good"),
        (("no_such_module_here:x", *SHAPE), "No module named 'no_such_module_here'"),
        (("nets_of_mine:nothing", *SHAPE), "has no attribute 'nothing'"),
        (("nets_of_mine:number", *SHAPE), "it is of type int"),
        (("nets_of_mine:none", *SHAPE), "NoneType, not a network"),
        (("nets_of_mine:broken", *SHAPE), "KeyError: 'gone'"),
        (("nets_of_mine:good", "--input", "4,x"), "'4,x' is no shape"),
        (("nets_of_mine:good", "--input", "4,3"), "shapes cannot be multiplied"),
        (("nets_of_mine:good", "--data", "none.pt"), "No such file"),
        (
            ("nets_of_mine:good", "--data", "nets_of_mine.py"),
            'write it with torch.save((inputs, targets), "batch.pt")',
        ),
        (("nets_of_mine:good", *SHAPE, "--loss", "crossentropy"), "has no attribute"),
        (("nets_of_mine:good", *SHAPE, "--loss", "nets_of_mine:number"), "it is no function"),
        (("nets_of_mine:good", *SHAPE, "--seed", "-1"), "--seed is -1"),
        (("nets_of_mine:good", *SHAPE, "--plot", "out.xyz"), "no picture format"),
    ],
)
@pytest.mark.usefixtures("module")
def test_command_refuses(capsys, words, message):
    """What cannot be run ends with status 2 and one line that says why."""
    assert cli.main(["check", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("initguide: error: ")
    assert message in printed.err
