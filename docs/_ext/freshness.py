"""Run a page again when what it measures may have changed, and only then.

Sphinx-Gallery runs a page when the page's own file changed. A page also depends on the modules of
the package that it uses, on the extensions that draw its figures, on the libraries, on the data,
and on the files beside it. This extension keeps a fingerprint of these for each page; where it
changes, Sphinx-Gallery's note that the page is up to date is dropped, and it runs again. Stale
figures are never published.
"""

import hashlib
import json
import platform
import re
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging
from uses import files_used

logger = logging.getLogger(__name__)

STAMP = "fingerprints.json"
LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "matplotlib", "sphinx-gallery")
DRAWING = ("figures.py", "figuredata.py", "resets.py")  # the extensions that act while a page runs


def dependencies(root: Path, page: Path) -> list[Path]:
    """Files of the repository on which a page's figures and numbers may depend, without its own."""
    drawing = [root / "docs" / "_ext" / name for name in DRAWING]
    beside = [
        path
        for path in page.parent.iterdir()
        if path.is_file() and path.suffix not in {".py", ".rst", ".toml"}
    ]
    return sorted({*files_used(page), *drawing, *beside, root / "docs" / "conf.py"})


def surroundings() -> list[str]:
    """The interpreter, the libraries, the data source and the way of training, in words."""
    from initguide.data import fashion_mnist  # noqa: PLC0415  loads the images
    from initguide.training import engine  # noqa: PLC0415  loads torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the pages themselves say when they use the sample
        source = fashion_mnist().source
    libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    steps = "compiled steps" if engine.works() else "no compiler"
    return [f"Python {platform.python_version()}", *libraries, source, steps]


def fingerprint(files: Iterable[Path], words: Iterable[str]) -> str:
    """A hash over the names and contents of files and over some words."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.parent.name}/{path.name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for word in words:
        digest.update(f"{word}\0".encode())
    return digest.hexdigest()


def drop_stale(gallery: Path, current: dict[str, str]) -> list[str]:
    """Forget that pages are up to date whose fingerprint is not the one of the last build.

    Parameters
    ----------
    gallery
        The folder that Sphinx-Gallery writes.
    current
        Path of each page's script within it -> its fingerprint now.

    Returns
    -------
    list of str
        The pages that were out of date.
    """
    stamp = gallery / STAMP
    before = json.loads(stamp.read_text()) if stamp.exists() else {}
    stale = [page for page, now in current.items() if before.get(page) != now]
    for page in stale:
        (gallery / f"{page}.md5").unlink(missing_ok=True)
    gallery.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps(current, indent=1, sort_keys=True))
    return stale


def prune(examples: Path, gallery: Path) -> None:
    """Delete what was generated from pages that no longer exist."""
    for script in list(gallery.rglob("*.py")):
        if not (examples / script.relative_to(gallery)).exists():
            own = re.compile(rf"(sphx_glr_)?{re.escape(script.stem)}(\..*|_\d+.*|_(table|thumb).*)")
            for leftover in list(script.parent.rglob("*")):
                if leftover.is_file() and own.fullmatch(leftover.name):
                    leftover.unlink()
    for index in gallery.glob("*/index.rst"):
        if not (examples / index.parent.name).exists():
            index.unlink()


def check(app: Sphinx) -> None:
    """Compare with the last build, before Sphinx-Gallery decides what to run."""
    docs = Path(app.srcdir)
    root, gallery = docs.parent, docs / "auto_examples"
    prune(root / "examples", gallery)
    words = surroundings()
    current = {
        page.relative_to(root / "examples").as_posix(): fingerprint(dependencies(root, page), words)
        for page in sorted((root / "examples").rglob("plot_*.py"))
    }
    if stale := drop_stale(gallery, current):
        logger.info("to run again, as what they use is new: %s", ", ".join(stale))


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before Sphinx-Gallery, which generates the pages at priority 500."""
    app.connect("builder-inited", check, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
