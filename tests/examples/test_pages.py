"""Every page runs as a downloaded script, with every solution on it; notebooks have the same cells.

A page is run in miniature here, with few images and few steps: what takes time is the training on
it, which the site's build does on the full data. So little training comes out otherwise, too, and a
page has to have words for that.
"""

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("sphinx_gallery", reason="the group `docs` is not installed")
from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))
import downloads  # noqa: E402  one of the site's extensions

# Run as notebooks, too: tables and figures, folded solutions, a process that is started and killed.
NOTEBOOKS = ("plot_start_here", "plot_3_uniform", "plot_10_a_sweep_on_a_cluster")

EXAMPLES = ROOT / "examples"
PAGES = sorted(EXAMPLES.rglob("plot_*.py"))
SOLUTION = re.compile(
    r"\.\. dropdown:: Solution\n(?:#\s*\n)*#\s+\.\. code-block:: python\n((?:#.*\n)+)"
)

# What a reader adds who has no full data set, and what a test adds so that there is none.
ON_THE_SAMPLE = """
import functools
import initguide.data
initguide.data.fashion_mnist = functools.partial(initguide.data.fashion_mnist, source="sample")
"""

# On few images, and with few steps where a page counts them itself.
IN_MINIATURE = f"""{ON_THE_SAMPLE}
from initguide import experiments
from initguide.data import FashionMNIST

whole, subset = initguide.data.fashion_mnist, FashionMNIST.subset
trainability_map = experiments.trainability_map

def few_images(*arguments, **keywords):
    data = whole(*arguments, **keywords)
    return subset(data, train=images, valid=images // 5, test=images // 5)

def what_there_is(data, train=None, valid=None, test=None):
    asked = {{"train": train, "valid": valid, "test": test}}
    there = {{name: min(n, len(getattr(data, name))) for name, n in asked.items() if n is not None}}
    return subset(data, **there)

def few_steps(*arguments, steps=20, **keywords):
    return trainability_map(*arguments, steps=min(steps, 20), **keywords)

initguide.data.fashion_mnist, FashionMNIST.subset = few_images, what_there_is
experiments.trainability_map = few_steps
"""
IMAGES = 500
# One pairs a thousand images with as many draws, one plans with a spread that fewer make too large.
MORE_IMAGES = {"plot_7_inputs": 1000, "plot_8_how_many_seeds": 1000}
WHOLE = ("plot_10_a_sweep_on_a_cluster",)  # another process of it loads the same data

# Runs a downloaded script, and then its solutions.
RUN_SCRIPT = """
import runpy, sys
exec(sys.argv[1])
names = runpy.run_path(sys.argv[2], run_name="__main__")
for solution in sys.argv[3:]:
    exec(solution, names)
"""

RUN_NOTEBOOK = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells.insert(0, nbformat.v4.new_code_cell(sys.argv[2]))
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
print(sum("image/png" in output.get("data", {}) for output in outputs), "figures")
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


def data_of(page):
    """What is run before a page, so that it gets its data."""
    if page.stem in WHOLE:
        return ON_THE_SAMPLE
    return f"images = {MORE_IMAGES.get(page.stem, IMAGES)}\n{IN_MINIATURE}"


def run(folder, code, *arguments):
    """Run code in another interpreter, without a display; return what it printed."""
    environment = {**os.environ}
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(folder.iterdir()) == []  # nothing is left behind
    return done


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_downloaded_script_and_solutions_run_alone(page, tmp_path):
    """It needs no display and no full data, prints its tables, and warns of nothing."""
    script, work = tmp_path / page.name, tmp_path / "work"
    work.mkdir()
    script.write_text(downloads.script_of(page.read_text(encoding="utf-8")), encoding="utf-8")
    done = run(work, RUN_SCRIPT, data_of(page), script, *solutions(page))
    assert "non-interactive" not in done.stderr  # matplotlib's word for "no display"
    assert "There is no screen for the figures" in done.stdout
    if "\nprint(result)\n" in script.read_text(encoding="utf-8"):
        assert "Validation accuracy after" in done.stdout


def notebook_of(page):
    """Its notebook, as a document of Jupyter's format."""
    conf = {**DEFAULT_GALLERY_CONF, "first_notebook_cell": downloads.first_cell("")}
    return downloads.notebook_of(page, conf)


def statements(code):
    """A program without its comments and its introduction, one statement a line."""
    return [
        ast.unparse(node)
        for node in ast.parse(code).body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_notebook_has_the_code_of_the_page(page):
    """After the first cell, which prepares: so that what runs as a script runs as a notebook."""
    cells = [c for c in notebook_of(page)["cells"] if c["cell_type"] == "code"]
    first, *rest = ["".join(cell["source"]) for cell in cells]
    assert "torch.set_num_threads(1)" in first
    assert statements("\n".join(rest)) == statements(page.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_from_top_to_bottom(name, tmp_path):
    """In a fresh kernel, in order, and its figures appear."""
    (page,) = (page for page in PAGES if page.stem == name)
    notebook, work = tmp_path / "page.ipynb", tmp_path / "work"
    work.mkdir()
    notebook.write_text(json.dumps(notebook_of(page)), encoding="utf-8")
    figures = int(run(work, RUN_NOTEBOOK, notebook, data_of(page)).stdout.split()[0])
    assert figures >= 1


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
