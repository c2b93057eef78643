"""Every page of the site runs as a script of its own, and so does every solution on it."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PAGES = sorted(EXAMPLES.rglob("plot_*.py"))
SOLUTION = re.compile(
    r"\.\. dropdown:: Solution\n(?:#\s*\n)*#\s+\.\. code-block:: python\n((?:#.*\n)+)"
)

# Runs a page on the embedded sample, whatever else the machine has, and then its solutions.
RUN = """
import functools, runpy, sys
import initguide.data
initguide.data.fashion_mnist = functools.partial(initguide.data.fashion_mnist, source="sample")
names = runpy.run_path(sys.argv[1], run_name="__main__")
for solution in sys.argv[2:]:
    exec(solution, names)
"""


def solutions(page):
    """Return the code of the folded solutions on a page, taken out of its comments."""
    blocks = SOLUTION.findall(page.read_text(encoding="utf-8"))
    codes = []
    for block in blocks:
        lines = [line[1:] for line in block.splitlines()]
        code = []
        for line in lines:  # the block ends where the indentation does
            if line.strip() and not line.startswith(" " * 10):
                break
            code.append(line)
        codes.append(textwrap.dedent("\n".join(code)).strip())
    return codes


def test_pages_are_found():
    """The tests below have something to test."""
    assert len(PAGES) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_and_its_solutions_run_alone(page, tmp_path):
    """A downloaded page runs without a display and without the full data, with its solutions."""
    environment = {**os.environ, "MPLBACKEND": "agg"}
    environment.pop("DISPLAY", None)
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", RUN, page, *solutions(page)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_solution_is_found(page):
    """The pattern above misses none of the solutions that a page offers."""
    text = page.read_text(encoding="utf-8")
    found = solutions(page)
    assert len(found) == text.count(".. dropdown:: Solution")
    for code in found:
        compile(code, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_uses_public_names_only(page):
    """No page imports or calls a private name of the package."""
    assert not re.search(r"(import|initguide\.\w+|plots|init)[ .]_\w+", page.read_text("utf-8"))
