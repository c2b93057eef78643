"""Two builds held against each other."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(folder, *, printed="loss 0.41 in 1.5 s", accuracy="85.1", seconds="1.5", y="2.0"):
    """Write the parts of a built site that a comparison reads."""
    page = folder / "auto_examples" / "lesson" / "plot_1.html"
    page.parent.mkdir(parents=True)
    page.write_text(
        f'<div class="sphx-glr-script-out"><pre>first\n{printed}</pre></div>'
        f'<div class="initguide-table"><table><tr><th>He</th><td>{accuracy}</td></tr></table></div>'
        '<p class="page-facts">ran in 3 s</p>'
    )
    data = folder / "_downloads" / "0a"
    data.mkdir(parents=True)
    (data / "sphx_glr_plot_1_table_1.csv").write_text(f"label,seconds\nHe,{seconds}\n")
    (data / "sphx_glr_plot_1_001.json").write_text(f'{{"y": [1, {y}]}}')
    return folder


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, ["both builds measured the same"]),
        ({"seconds": "2.5"}, ["both builds measured the same"]),
        ({"printed": "loss 0.41 in 27 s"}, ["both builds measured the same"]),
        (
            {"printed": "loss 0.42 in 27 s"},
            [
                "auto_examples/lesson/plot_1.html:",
                "    -loss 0.41 in … s",
                "    +loss 0.42 in … s",
            ],
        ),
        (
            {"accuracy": "85.2"},
            ["auto_examples/lesson/plot_1.html:", "    -He | 85.1", "    +He | 85.2"],
        ),
        ({"y": "2.1"}, ["sphx_glr_plot_1_001.json: 2 of its lines"]),
    ],
)
def test_builds_are_compared(tmp_path, changes, lines):
    """What was printed, tabled or drawn counts; times do not. The exit status says which it was."""
    old, new = build(tmp_path / "old"), build(tmp_path / "new", **changes)
    command = [sys.executable, ROOT / "docs" / "compare_builds.py", old, new]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == lines, done.stderr
    assert done.returncode == (0 if lines[0].startswith("both") else 1)


def test_comparing_with_no_build_says_so(tmp_path):
    """A wrong folder is no agreement."""
    command = [sys.executable, ROOT / "docs" / "compare_builds.py", tmp_path, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds no built site" in done.stderr
