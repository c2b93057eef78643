"""The site's own extensions, docs/_ext, can be imported; figures are drawn without a screen."""

import sys
from importlib.util import find_spec
from pathlib import Path

import matplotlib as mpl
import pytest

sys.path.append(str(Path(__file__).parents[2] / "docs" / "_ext"))
mpl.use("agg")

if find_spec("sphinx_gallery") is None:  # the dependency group `docs` is not installed
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture
def scrape(tmp_path):
    """What Sphinx-Gallery does after a cell whose last expression has a value."""
    import figures
    from sphinx_gallery.py_source_parser import Block
    from sphinx_gallery.scrapers import ImagePathIterator

    def run(thumbnail=1, *, code="", value=None):
        (tmp_path / "images").mkdir()
        variables = {
            "image_path_iterator": ImagePathIterator(
                str(tmp_path / "images" / "sphx_glr_plot_x_{0:03}.png")
            ),
            "src_file": "plot_x.py",
            "file_conf": {"thumbnail_number": thumbnail},
            "example_globals": {"___": value},
        }
        conf = {"src_dir": str(tmp_path), "thumbnail_size": (120, 80)}
        return figures.scrape(Block("code", code, 1), variables, conf)

    return run
