"""Which pages run again."""

import ast
import json
import subprocess
import sys
from importlib import import_module as extension
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


USING = (
    "from initguide import initializers as init, training\nimport initguide\ninitguide.train\n"
    "init.he()\ntraining.train()\n"
)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A small repository with a package and one built page, which uses some of it."""
    for name, text in {
        "initguide/__init__.py": "",
        "initguide/data/__init__.py": "x = 1",
        "initguide/initializers.py": "def f():\n    from initguide.tables import Table",
        "initguide/training/__init__.py": "from initguide.training.loop import train",
        "initguide/training/loop.py": "",
        "initguide/training/connected.c": "",
        "initguide/tables.py": "",
        "initguide/plots.py": "from initguide.tables import Table",
        "initguide/data/sample/images.bin": "pixels",
        "docs/conf.py": "",
        "docs/_ext/figures.py": "",
        "docs/_ext/figuredata.py": "",
        "docs/_ext/resets.py": "",
        "docs/_ext/mathml.py": "",
        "docs/index.rst": "",
        "examples/lesson/plot_1.py": USING,
        "examples/lesson/plot_2.py": "",
        "docs/auto_examples/lesson/plot_1.py": USING,
        "docs/auto_examples/lesson/plot_1.py.md5": "0",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(extension("uses"), "PACKAGE", tmp_path / "initguide")
    return tmp_path


def is_rebuilt(repository, words=("torch 2", "full data")):
    """Whether the page would run again; it is then marked as up to date."""
    freshness = extension("freshness")
    page = repository / "examples/lesson/plot_1.py"
    current = freshness.fingerprint(freshness.dependencies(repository, page), words)
    gallery = repository / "docs/auto_examples"
    named = freshness.drop_stale(gallery, {"lesson/plot_1.py": current})
    note = gallery / "lesson/plot_1.py.md5"
    stale = not note.exists()
    assert stale == (named == ["lesson/plot_1.py"])
    note.write_text("0")
    return stale


def test_pages_run_again_when_something_they_measure_changed(repository):
    """What the page imports, what that imports, the extensions, the libraries, the data source."""
    assert is_rebuilt(repository)  # nothing is known about the first build
    assert not is_rebuilt(repository)
    for name in (
        "initguide/__init__.py",
        "initguide/initializers.py",
        "initguide/tables.py",  # through initializers
        "initguide/training/loop.py",  # a room of a wing that the page uses
        "initguide/training/connected.c",  # and what lies beside it
        "docs/_ext/figures.py",
        "docs/conf.py",
        "examples/lesson/words.txt",  # beside the page
    ):
        path = repository / name
        path.write_text("from initguide.tables import Table  # changed")
        assert is_rebuilt(repository), name
        assert not is_rebuilt(repository), name
    assert is_rebuilt(repository, ("torch 3", "full data"))
    assert is_rebuilt(repository, ("torch 3", "embedded sample"))


def test_pages_that_load_images_depend_on_the_sample(repository):
    """Other data would be other numbers."""
    for page in repository.rglob("plot_1.py"):
        page.write_text("from initguide.data import fashion_mnist")
    assert is_rebuilt(repository)
    (repository / "initguide/data/sample/images.bin").write_text("other pixels")
    assert is_rebuilt(repository)


def test_pages_do_not_run_again_for_what_they_do_not_use(repository):
    """Another module, another page, prose, formulas and compiled files change no figure."""
    assert is_rebuilt(repository)
    cache = repository / "initguide/training/__pycache__"
    cache.mkdir()
    (cache / "loop.cpython-311.pyc").write_text("")
    for name in (
        "initguide/plots.py",
        "initguide/new.py",
        "initguide/data/sample/images.bin",
        "docs/index.rst",
        "docs/_ext/mathml.py",
        "examples/lesson/plot_2.py",
        "examples/lesson/GALLERY_HEADER.rst",
    ):
        (repository / name).write_text("new")
        assert not is_rebuilt(repository), name


# For lines of "page, import statements, names": which files of the package are then loaded?
LOADED = """
import json, operator, sys
found = {}
for page, (lines, names) in json.load(sys.stdin).items():
    for module in [name for name in sys.modules if name.partition(".")[0] == "initguide"]:
        del sys.modules[module]
    exec(lines)
    import initguide
    for name in names:
        operator.attrgetter(name.removeprefix("initguide."))(initguide)
    found[page] = [m.__file__ for n, m in sys.modules.items() if n.startswith("initguide.")]
print(json.dumps(found))
"""


def test_pages_import_no_more_than_is_known():
    """What running a page imports from the package is among the files it is known to depend on."""
    uses, asked = extension("uses"), {}
    pages = sorted((ROOT / "examples").rglob("plot_*.py"))
    for page in pages:
        tree = ast.walk(ast.parse(page.read_text(encoding="utf-8")))
        lines = [ast.unparse(n) for n in tree if isinstance(n, ast.Import | ast.ImportFrom)]
        names = [name for name in uses.names_used(page) if name.startswith("initguide.")]
        asked[str(page)] = ["\n".join(line for line in lines if "initguide" in line), names]
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(done.stdout)
    assert len(loaded) == len(pages) > 0
    for page in pages:
        files = {Path(file) for file in loaded[str(page)] if "sample" not in Path(file).parts}
        assert files <= set(uses.files_used(page)), page


def test_output_of_deleted_pages_is_deleted(repository):
    """Otherwise a page would stay on the site after its script is gone."""
    gallery = repository / "docs/auto_examples"
    others = ("plot_3_b.py", "plot_3_b.rst", "images/sphx_glr_plot_3_b_001.png")
    for name in others:
        path = gallery / "lesson" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (repository / "examples" / "lesson" / "plot_3_b.py").write_text("")
    for name in ("plot_3.py", "plot_3.rst", "plot_3.py.md5", "images/sphx_glr_plot_3_001.png"):
        path = gallery / "lesson" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    extension("freshness").prune(repository / "examples", gallery)
    left = sorted(path.name for path in gallery.rglob("*.*"))
    assert left == ["plot_1.py", "plot_1.py.md5", *sorted(Path(name).name for name in others)]
