"""Run pages again when what they measure may have changed.

Sphinx-Gallery runs a page when the page's own file changed. A page also depends on the package, on
the extensions that draw its figures, on the libraries and on the data. This extension keeps a
fingerprint of these beside the gallery; when it changes, Sphinx-Gallery's notes of what is up to
date are dropped, and every page runs again. Stale figures are never published.
"""

import hashlib
import platform
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

STAMP = "fingerprint.txt"
LIBRARIES = ("torch", "numpy", "scipy", "matplotlib", "sphinx-gallery")


def dependencies(root: Path) -> list[Path]:
    """Files in the repository that any page's figures and numbers may depend on."""
    patterns = ("initguide/**/*", "docs/_ext/*.py", "docs/conf.py")
    found = (path for pattern in patterns for path in root.glob(pattern))
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def surroundings() -> list[str]:
    """The interpreter, the libraries and the data source, in words."""
    from initguide.data import fashion_mnist  # noqa: PLC0415  loads the images

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the pages themselves say when they use the sample
        source = fashion_mnist().source
    libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    return [f"Python {platform.python_version()}", *libraries, source]


def fingerprint(root: Path, files: Iterable[Path], words: Iterable[str]) -> str:
    """A hash over the names and contents of files and over some words."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for word in words:
        digest.update(f"{word}\0".encode())
    return digest.hexdigest()


def drop_stale(gallery: Path, current: str) -> bool:
    """Forget which pages are up to date unless the fingerprint is the one of the last build.

    Returns
    -------
    bool
        Whether anything was out of date.
    """
    stamp = gallery / STAMP
    if stamp.exists() and stamp.read_text() == current:
        return False
    for note in gallery.rglob("*.py.md5"):
        note.unlink()
    gallery.mkdir(parents=True, exist_ok=True)
    stamp.write_text(current)
    return True


def prune(examples: Path, gallery: Path) -> None:
    """Delete what was generated from pages that no longer exist."""
    for script in gallery.rglob("*.py"):
        if not (examples / script.relative_to(gallery)).exists():
            for leftover in script.parent.rglob(f"*{script.stem}[._]*"):
                leftover.unlink()
    for index in gallery.glob("*/index.rst"):
        if not (examples / index.parent.name).exists():
            index.unlink()


def check(app: Sphinx) -> None:
    """Compare with the last build, before Sphinx-Gallery decides what to run."""
    docs = Path(app.srcdir)
    root, gallery = docs.parent, docs / "auto_examples"
    prune(root / "examples", gallery)
    if drop_stale(gallery, fingerprint(root, dependencies(root), surroundings())):
        logger.info("the package, its libraries or the data changed: every page runs again")


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before Sphinx-Gallery, which generates the pages at priority 500."""
    app.connect("builder-inited", check, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
