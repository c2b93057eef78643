"""The code of the page "Checking in your training loop" runs as it stands there."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "integrations.rst"
NEEDS = {"Lightning": "lightning", "Hugging Face's Trainer": "accelerate"}


def blocks():
    """Title of each section with its Python."""
    found = {}
    for part in re.split(r"\n(?=[^\n]+\n=+\n)", PAGE.read_text(encoding="utf-8")):
        code = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", part)
        if code:
            found[part.splitlines()[0]] = textwrap.dedent("\n".join(code))
    return found


def test_all_sections_are_found():
    """One that is not run would go stale."""
    assert list(blocks()) == ["A loop of your own", "A test", *NEEDS]


@pytest.mark.parametrize("title", blocks())
def test_code_runs(title, tmp_path):
    """In a process of its own, as a reader's script, with no network."""
    if title in NEEDS:
        pytest.importorskip(
            NEEDS[title], reason="needs the library: install the group `integrations`"
        )
    code = blocks()[title]
    if title == "A test":
        code += "\ntest_initialization()\n"
    path = tmp_path / "script.py"
    path.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, path.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "was not checked" not in done.stderr
    assert "at fault" not in done.stderr
    if title == "A loop of your own":
        assert "nothing found" in done.stdout
