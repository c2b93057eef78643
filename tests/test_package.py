"""The package as a whole: what it offers, and which module may import which."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import initguide

ROOT = Path(initguide.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(ROOT.rglob("*.py"))
    if path.stem not in {"__init__", "__main__", "make"}
}


@pytest.mark.parametrize("name", initguide.__all__)
def test_names_resolve(name):
    """Every public name exists and `dir` lists it."""
    assert getattr(initguide, name) is not None
    assert name in dir(initguide)


def test_names_are_the_objects_themselves():
    """A name at the top is the object of its own module, not a copy."""
    for name in initguide.__all__:
        value = getattr(initguide, name)
        if isinstance(value, type(initguide)):
            assert value is importlib.import_module(f"initguide.{name}")
        elif hasattr(value, "__module__"):
            assert getattr(sys.modules[value.__module__], name) is value


def test_all_is_sorted_and_unique():
    """`__all__` can be read: constants, classes, the rest, each in the order of the alphabet."""

    def place(name):
        return (not name.isupper(), name[0].islower(), name)

    assert initguide.__all__ == sorted(set(initguide.__all__), key=place)


@pytest.mark.parametrize("module", ["experiments", "initializers", "training", "plots", "helpers"])
def test_modules_offer_what_they_name(module):
    """Every name in a module's own `__all__` is defined there."""
    home = importlib.import_module(f"initguide.{module}")
    for name in home.__all__:
        assert hasattr(home, name), name


@pytest.mark.parametrize("name", ["nothing", "Nett", "_private", "os"])
def test_unknown_names(name):
    """An unknown name is an AttributeError that says which, and `from … import` an ImportError."""
    with pytest.raises(AttributeError, match=f"^module 'initguide' has no attribute '{name}'$"):
        getattr(initguide, name)
    with pytest.raises(ImportError):
        exec(f"from initguide import {name}", {})  # noqa: S102  the statement is what is tested


def test_star_import():
    """`from initguide import *` gives exactly the public names."""
    names = {}
    exec("from initguide import *", names)  # noqa: S102  the statement is what is tested
    assert set(names) - {"__builtins__"} == set(initguide.__all__)


def test_version():
    """The version is written in three places, and all say the same."""
    path = ROOT.parent / "pyproject.toml"
    if not path.exists():
        pytest.skip("the package is installed without its repository")
    assert tomllib.loads(path.read_text())["project"]["version"] == initguide.__version__
    citation = path.with_name("CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {initguide.__version__}\n" in citation


def test_is_typed():
    """The marker for type checkers is shipped."""
    assert (ROOT / "py.typed").is_file()


LAZY = """
import sys, initguide
before = sorted({"torch", "matplotlib", "numpy", "scipy"} & set(sys.modules))
initguide.Net
print(before, "torch" in sys.modules, "matplotlib" in sys.modules)
# Each module alone: torch and the like stay loaded, or this would take a minute.
for module in sys.argv[1:]:
    for name in [name for name in sys.modules if name.split(".")[0] == "initguide"]:
        del sys.modules[name]
    __import__(f"initguide.{module}")
    print(module)
"""


@pytest.mark.slow
def test_importing():
    """`import initguide` loads nothing heavy, and each module can be the first to be imported."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LAZY, *MODULES],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lazy, *imported = done.stdout.splitlines()
    assert lazy == "[] True False"
    assert imported == list(MODULES)


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.split(".")[0] not in {"cli", "helpers"}]
)
def test_only_the_edge_prints(module):
    """No module prints, reads a line or exits, but the command line and the lesson's report."""
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    assert not calls & {"print", "input", "exit", "quit", "sys.exit", "sys.stdout.write"}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_to_files_are_alive(name):
    """Whatever a page of the repository links to within the repository exists."""
    root = Path(__file__).parent.parent
    links = re.findall(r"\]\(([^)\s]+)\)", (root / name).read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert all((root / link).exists() for link in local), local
