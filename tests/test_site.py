"""The site's own extensions in docs/_ext, and that every module and section has its page."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sphinx_gallery", reason="the group `docs` is not installed")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402  after the backend
import typst  # noqa: E402
from docutils import nodes  # noqa: E402
from docutils.core import publish_doctree  # noqa: E402
from matplotlib.colors import to_rgba  # noqa: E402
from PIL import Image  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402
from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF  # noqa: E402
from sphinx_gallery.py_source_parser import Block  # noqa: E402
from sphinx_gallery.scrapers import ImagePathIterator  # noqa: E402

from initguide import plots  # noqa: E402
from initguide.tables import Table  # noqa: E402

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs" / "_ext"))


def extension(name):
    """Import a module of docs/_ext."""
    return importlib.import_module(name)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


# -- Figures ---------------------------------------------------------------------------------------


def scrape(folder, thumbnail=1, *, code="", value=None):
    """What Sphinx-Gallery does after a cell whose last expression has a value."""
    images = ImagePathIterator(str(folder / "images" / "sphx_glr_plot_x_{0:03}.png"))
    (folder / "images").mkdir()
    variables = {
        "image_path_iterator": images,
        "src_file": "plot_x.py",
        "file_conf": {"thumbnail_number": thumbnail},
        "example_globals": {"___": value},
    }
    conf = {"src_dir": str(folder), "thumbnail_size": (120, 80)}
    return extension("figures").scrape(Block("code", code, 1), variables, conf)


def test_scraper_saves_a_light_and_a_dark_figure_of_one_size(tmp_path):
    """Both are saved at two pixels a CSS pixel and shown at the same size, with the alt text."""
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, 1], [0, 1])
    plots.describe(figure, "A line\nthat rises.")
    text = scrape(tmp_path)
    light, dark = (
        plt.imread(tmp_path / "images" / f"sphx_glr_plot_x_001{end}.png") for end in ("", "_dark")
    )
    assert light.shape == dark.shape
    assert light[0, 0, :3].min() == 1
    assert dark[0, 0, :3].max() < 0.1
    assert text.count(":alt: A line that rises.") == 2
    assert ":class: initguide-figure only-light" in text
    assert ":class: initguide-figure only-dark" in text
    assert text.count(f":width: {round(light.shape[1] / 2)}\n") == 2
    assert text.count(":loading: lazy") == 2
    with Image.open(tmp_path / "images" / "thumb" / "sphx_glr_plot_x_thumb_dark.png") as thumbnail:
        assert thumbnail.mode == "P"  # few colours, few bytes
        assert thumbnail.size == (120, 80)
    assert not plt.get_fignums()


def test_thumbnails_are_shrunk_once(tmp_path):
    """Those that Sphinx-Gallery made become pictures of 256 colours that look the same."""
    folder = tmp_path / "auto_examples" / "lesson" / "images" / "thumb"
    folder.mkdir(parents=True)
    path = folder / "sphx_glr_plot_x_thumb.png"
    colours = np.random.default_rng(0).integers(0, 8, (40, 60, 3)) * 36  # 512 of them
    pixels = np.dstack([colours, np.full((40, 60), 255)]).astype(np.uint8)
    pixels[:, :10] = 0  # transparent
    Image.fromarray(pixels).save(path)
    before = path.stat().st_size
    figures = extension("figures")
    figures.shrink_thumbnails(SimpleNamespace(srcdir=tmp_path))
    assert path.stat().st_size < before
    with Image.open(path) as image:
        found = np.asarray(image.convert("RGBA")).astype(int)
    assert (found[:, :10, 3] == 0).all()
    assert (found[:, 10:, 3] == 255).all()
    assert np.abs(found[:, 10:, :3] - pixels[:, 10:, :3]).mean() < 20
    made = path.stat().st_mtime_ns
    figures.shrink_thumbnails(SimpleNamespace(srcdir=tmp_path))
    assert path.stat().st_mtime_ns == made


def test_scraper_refuses_a_figure_without_alt_text(tmp_path):
    """The error names the page and the remedy."""
    plt.subplots()
    with pytest.raises(ExtensionError, match=r"plot_x\.py: a figure has no alt text.*describe"):
        scrape(tmp_path)
    assert not plt.get_fignums()


def test_dark_figure_keeps_the_colours_of_data():
    """Text, spines and grey lines change; coloured lines, bars, bands and images do not."""
    figure, (left, right) = plt.subplots(1, 2)
    (line,) = left.plot([0, 1], [0, 1], color="#4477aa")
    (reference,) = left.plot([0, 1], [1, 1], color="black")
    band = left.fill_between([0, 1], [0, 1], [1, 2], color="#ee6677", alpha=0.2)
    (bar,) = left.bar([0], [1], color="#228833")
    image = right.imshow(np.arange(4).reshape(2, 2), cmap="gray")
    on_image = right.text(0, 0, "3", color="black")
    before = image.get_cmap()(image.norm(image.get_array()))
    figures = extension("figures")
    figures.recolour_for_dark(figure)
    assert line.get_color() == to_rgba("#4477aa")
    np.testing.assert_allclose(band.get_facecolor(), [to_rgba("#ee6677", 0.2)])
    assert bar.get_facecolor() == to_rgba("#228833")
    assert reference.get_color() == pytest.approx(figures.DARK_INK)
    assert left.title.get_color() == pytest.approx(figures.DARK_INK)
    assert left.spines["left"].get_edgecolor() == pytest.approx(figures.DARK_INK)
    assert figure.get_facecolor() == pytest.approx(figures.DARK_PAGE)
    assert to_rgba(on_image.get_color()) == to_rgba("black")
    np.testing.assert_array_equal(image.get_cmap()(image.norm(image.get_array())), before)


def test_darken_keeps_transparency():
    """A faint grid line stays faint."""
    assert extension("figures").darken((0, 0, 0, 0.25))[3] == 0.25


# -- Numbers behind figures and tables -------------------------------------------------------------


def numbers_of(figure):
    """The panels of a figure, after a round trip through JSON."""
    figure.canvas.draw()
    return json.loads(json.dumps(extension("figuredata").numbers_of(figure, "alt")))["panels"]


def test_numbers_of_curves_bands_and_axes():
    """Curves, bands and lines across come with their labels, the axes with names and scales."""
    figure, ax = plt.subplots()
    ax.plot([1, 2], [3.0, np.nan], label="loss")
    ax.fill_between([1, 2, 3], [0, 1, 2], [5, 6, 7], label="range")
    ax.set(xlabel="layer", ylabel="q", yscale="log", title="Growth")
    (panel,) = numbers_of(figure)
    assert panel["title"] == "Growth"
    assert panel["x"] == {"label": "layer", "scale": "linear"}
    assert panel["y"] == {"label": "q", "scale": "log"}
    assert panel["series"] == [
        {"label": "loss", "kind": "line", "x": [1, 2], "y": [3, None]},
        {"label": "range", "kind": "band", "x": [1, 2, 3], "from": [0, 1, 2], "to": [5, 6, 7]},
    ]


def test_numbers_of_histograms_bars_points_and_maps():
    """Whatever the pages draw is read, once: the outline of a histogram does not come twice."""
    figure, (left, right) = plt.subplots(1, 2)
    for fill in (True, False):
        left.stairs([4, 5], [0, 1, 2], fill=fill, label=None if fill else "weights")
    left.bar([0.5], [2], width=1)
    right.scatter([1], [2])
    right.pcolormesh([0, 1, 2], [0, 1], np.ma.masked_invalid([[7, np.nan]]))
    right.imshow([[0.25]])
    right.set_xticks([0, 1], ["sofa", "boot"])
    first, second = numbers_of(figure)
    assert first["series"] == [
        {"label": "weights", "kind": "histogram", "edges": [0, 1, 2], "y": [4, 5]},
        {"label": None, "kind": "bars", "x": [[0, 1]], "y": [[0, 2]]},
    ]
    kinds = {series["kind"]: series for series in second["series"]}
    assert kinds["points"]["x"] == [1]
    assert kinds["map"]["value"] == [[7, None]]
    assert kinds["map"]["x edges"] == [0, 1, 2]
    assert kinds["image"]["value"] == [[0.25]]
    assert second["x"]["ticks"] == {"sofa": 0, "boot": 1}


def test_numbers_of_equal_curves_levels_and_error_bars():
    """Coinciding curves are two; a line across is a level; error bars keep their label."""
    figure, ax = plt.subplots()
    for label in ("zeros", "ones"):
        ax.plot([1, 2], [3, 3], label=label)
    ax.axhline(7)
    ax.axvline(8)
    ax.errorbar([1, 2], [5, 6], [1, 1], label="measured")
    (panel,) = numbers_of(figure)
    lines = {series["label"]: series for series in panel["series"] if series["kind"] == "line"}
    assert lines["zeros"]["y"] == lines["ones"]["y"] == [3, 3]
    assert lines["measured"]["y"] == [5, 6]
    levels = [series for series in panel["series"] if series["kind"] == "level"]
    assert levels == [
        {"label": None, "kind": "level", "y": [7]},
        {"label": None, "kind": "level", "x": [8]},
    ]


def test_every_drawing_of_the_package_has_numbers(sample):
    """No plot function draws something that the reader of numbers does not know."""
    for draw in (
        lambda: plots.plot_histogram([1, 2, 3], bins=3, expected=lambda x: x),
        lambda: plots.plot_histograms({"a": [1, 2], "b": [2, 5]}, bins=4),
        lambda: plots.plot_images(sample.train, sample.classes, count=3),
    ):
        (panel,) = numbers_of(draw().figure)
        assert panel["series"]


def test_figures_and_tables_link_to_their_numbers(tmp_path):
    """The files lie beside the pictures, and the links say which figure or table they belong to."""
    _, ax = plt.subplots()
    ax.plot([0, 1], [0, 1])
    plots.describe(ax, "A line.")
    table = Table({"n": [1, 2], "1/n": [1.0, 0.5]}, caption="Inverses")
    text = scrape(tmp_path, code="x = 1\ntable", value=table)
    assert ":download:`Numbers of figure 1 (JSON) </images/sphx_glr_plot_x_001.json>`" in text
    assert ":download:`Numbers of table 1 (CSV) </images/sphx_glr_plot_x_table_1.csv>`" in text
    assert (tmp_path / "images/sphx_glr_plot_x_table_1.csv").read_text() == table.to_csv()
    numbers = json.loads((tmp_path / "images/sphx_glr_plot_x_001.json").read_text())
    assert numbers["description"] == "A line."


@pytest.mark.parametrize(("code", "value"), [("x = 1", Table({"n": [1]}, caption="")), ("x", 1)])
def test_only_a_table_at_the_end_of_a_cell_has_numbers(tmp_path, code, value):
    """A value left over from the cell before, or a plain number, is no table."""
    assert scrape(tmp_path, code=code, value=value) == ""


# -- Formulas --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latex", "part"),
    [
        (r"\frac{1}{\sqrt{n}}", "<msqrt>"),
        (r"a < b", "&lt;"),
        (r"\operatorname{Var}(z)", "Var"),
        (r"\mathbb{E}[\phi'(z)^2]", "𝔼"),
    ],
)
def test_formulas_become_mathml(latex, part):
    """Inline formulas are converted, and no LaTeX is left."""
    result = extension("mathml").convert(latex)
    assert result.startswith("<math")
    assert part in result
    assert "\\" not in result


def test_aligned_formulas_become_a_table():
    r"""``align`` and bare lines give the same rows."""
    convert = extension("mathml").convert
    lines = r"a &= b \\ &= c"
    assert convert(lines, block=True).count("<mtr>") == 2
    assert convert(rf"\begin{{align}}{lines}\end{{align}}", block=True) == convert(
        lines, block=True
    )


@pytest.mark.parametrize("latex", [r"\foo{x}", r"\frac{1", r"a & b", r"\tfrac13"])
def test_formulas_that_cannot_be_converted_are_refused(latex):
    """An unknown command, open braces and a stray ``&`` are errors that show the formula."""
    with pytest.raises(ValueError, match=re.escape(repr(latex))):
        extension("mathml").convert(latex)


# -- Notebooks -------------------------------------------------------------------------------------

PAGE = r'''r"""
Title of the page
=================

An introduction with :math:`1/\sqrt{n}`, :func:`initguide.initialize` and ``:func:`kept```.
See :class:`~initguide.models.Net`, :doc:`the next page </auto_examples/lesson/plot_2_x>`,
:doc:`/auto_examples/lesson/plot_2_zeros` and :ref:`numbers`.
"""

# %%
# .. _a-label:
#
# A section
# ---------
# .. note::
#
#    Mind the :py:meth:`gap <a.b.gap>`.
#
# .. math:: y = W x + b
#
# As code::
#
#     x = ":func:`not a role`"
#
# .. dropdown:: Solution
#    :open:
#
#    Count first:
#
#    .. code-block:: python
#
#       n = layer.in_features
#
#    Then draw.
#
# .. list-table:: Counts
#    :header-rows: 1
#
#    * - layer
#      - inputs
#    * - ``fc1``
#      - 784
#
# The end, see `the paper <https://example.org/paper>`_.
x = 1  # sphinx_gallery_thumbnail_number = 2
'''


def notebook(folder, site=""):
    """The notebook of PAGE."""
    script = folder / "plot_page.py"
    script.write_text(PAGE, encoding="utf-8")
    conf = {**DEFAULT_GALLERY_CONF, "first_notebook_cell": "# first", "pypandoc": False}
    return extension("downloads").notebook_of(script, conf, site)


def test_notebook_has_no_sphinx_in_it(tmp_path):
    """Roles, labels and directives become Markdown; code stays as it is."""
    cells = notebook(tmp_path)["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert extension("downloads").leftovers(text) == []
    for expected in (
        "# Title of the page",
        "## A section",
        r"$1/\sqrt{n}$",
        "`initguide.initialize`",
        "``:func:`kept```",
        "`Net`",
        "the next page",
        "> **Note**",
        "> Mind the `gap`.",
        "$$\ny = W x + b\n$$",
        "<summary><b>Solution</b></summary>",
        "```python\nn = layer.in_features\n```",
        "As code:",
        'x = ":func:`not a role`"',
        "| ``fc1`` | 784 |",
        "[the paper](https://example.org/paper)",
        "The end",
    ):
        assert expected in text, expected
    assert ".. " not in text
    assert "a-label" not in text


def test_notebook_is_the_same_when_written_twice(tmp_path):
    """Writing is idempotent, and so is the conversion of text."""
    assert notebook(tmp_path) == notebook(tmp_path)
    to_markdown = extension("downloads").to_markdown
    body = PAGE.partition("# %%")[2].replace("\n# ", "\n").replace("\n#\n", "\n\n")
    once = to_markdown(body)
    assert to_markdown(once) == once


def test_notebook_links_to_pages_where_the_site_is_known(tmp_path):
    """Its reader may have nothing but the notebook."""
    text = json.dumps(notebook(tmp_path, "https://example.org/")["cells"])
    target = "https://example.org/auto_examples/lesson/plot_2"
    assert f"[the next page]({target}_x.html)" in text
    assert f"[2 zeros]({target}_zeros.html)" in text or f"[zeros]({target}_zeros.html)" in text


def test_notebook_installs_the_package_where_the_repository_is_known():
    """A hosted notebook has no clone to install from."""
    first_cell = extension("downloads").first_cell
    assert "git+https://github.com/someone/initguide" in first_cell("someone/initguide")
    ast.parse(first_cell(""))
    ast.parse(first_cell("someone/initguide").replace("%pip", "pip = 1 #"))


def test_script_prints_its_tables_and_shows_its_figures():
    """What a cell ends with is printed unless it draws; loops, prints and docstrings stay."""
    page = (
        '"""\nTitle\n=====\n"""\n\n# %%\nx = 1\nx\n\n# %%\nplots.plot_losses(\n    x\n)\n\n'
        "# %%\nresult.select(\n    1\n)\n\n# %%\n# words\nfor i in x:\n    i\nprint(x)\n"
    )
    script = extension("downloads").script_of(page)
    assert "# %%\nx = 1\nprint(x)\n" in script
    assert "plots.plot_losses(\n    x\n)\n" in script
    assert "print(result.select(\n    1\n))\n" in script
    assert "for i in x:\n    i\nprint(x)\n" in script
    assert script.startswith('"""\nTitle')
    assert script.endswith("\nplt.show()\n")
    assert script.count("print(") == 4


def test_script_prints_values_and_not_what_the_page_calls():
    """A comment may follow; functions of the page and methods of figures return nothing to see."""
    page = "# %%\nx = 1\nx  # the value\n# %%\nrecord(\n    x\n)\n# %%\nfig.legend()\n"
    script = extension("downloads").script_of(page)
    assert "print(x)  # the value\n" in script
    assert script.count("print(") == 2


def test_notebook_refuses_a_directive_without_counterpart():
    """The error names the directive and says what to do."""
    with pytest.raises(ExtensionError, match=r"no notebook text for '\.\. tab-set:: '.*teach"):
        extension("downloads").to_markdown(".. tab-set::\n\n   text")


@pytest.mark.parametrize(
    "page", sorted((ROOT / "examples").rglob("plot_*.py")), ids=lambda p: p.stem
)
def test_every_page_becomes_a_clean_notebook(page, tmp_path):
    """The real pages use nothing that a notebook cannot show."""
    copy = tmp_path / page.name
    copy.write_bytes(page.read_bytes())
    conf = {**DEFAULT_GALLERY_CONF, "first_notebook_cell": "# first", "pypandoc": False}
    cells = extension("downloads").notebook_of(copy, conf)["cells"]  # raises if anything is left
    text = "\n".join("".join(cell["source"]) for cell in cells)
    assert "Try it" not in page.read_text(encoding="utf-8") or "> **Try it**" in text
    assert not re.search(r"^#+ >", text, re.MULTILINE)  # no quotation became a heading


# -- Freshness -------------------------------------------------------------------------------------


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


# -- What a build reads and writes -----------------------------------------------------------------


# Builds the site in the working directory whenever it is told for which builder.
BUILDER = """
import json, sys
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace
for name in map(str.strip, sys.stdin):
    read, written = [], []
    with docutils_namespace():
        app = Sphinx("docs", "docs", f"docs/_build/{name}", "docs/_build/trees", name, status=None)
        app.connect("source-read", lambda app, page, _: read.append(page))
        app.connect("html-page-context", lambda app, page, *c: c[-1] and written.append(page))
        app.build()
    print(json.dumps([read, written]), flush=True)
"""
GALLERY = "auto_examples/lesson"
SMALL_SITE = {
    "docs/index.rst": (
        "Home\n====\n\nText.\n\n.. gallery-figure:: lesson/plot_1_a\n\n"
        ".. toctree::\n\n   words\n   tables\n\n.. sections-toctree::\n"
    ),
    "docs/words.rst": f"Words\n=====\n\nSee :doc:`{GALLERY}/plot_2_b`.\n",
    "docs/tables.rst": "Tables\n======\n\nText.\n\n.. automodule:: initguide.tables\n",
    "examples/GALLERY_HEADER.rst": "All\n===\n\nText.\n",
    "examples/lesson/GALLERY_HEADER.rst": "Lesson\n======\n\nText.\n",
    "examples/lesson/plot_1_a.py": (
        '"""\nA\n=\n\nFirst.\n"""\n\n# %%\n# Now a figure.\n\nfrom initguide import plots\n'
        "from initguide.tables import Table\n\n_, ax = plots.subplots()\n"
        'plots.describe(ax, f"No {Table}.")\n'
    ),
    "examples/lesson/plot_2_b.py": '"""\nB\n=\n\nSecond.\n"""\n\n# %%\n# Nothing.\n\nx = 1\n',
}


class SmallSite:
    """A copy of the frame and the package around two pages, and a process that builds them."""

    def __init__(self, root):
        self.root = root
        for name in ("conf.py", "references.bib", "card.typ", "cheatsheet.typ"):
            self.write(f"docs/{name}", (ROOT / "docs" / name).read_text(encoding="utf-8"))
        for name in ("docs/_ext", "docs/_static", "docs/_templates", "initguide"):
            shutil.copytree(ROOT / name, root / name)
        for name, text in SMALL_SITE.items():
            self.write(name, text)
        self.process = subprocess.Popen(
            [sys.executable, "-c", BUILDER],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def write(self, name, text):
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def change(self, name, old="", new=""):
        """Replace words in a file, or else add a line to it."""
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new, 1) if old else f"{text}{new}\n")

    def output(self, page):
        """Where a page is written."""
        return self.root / "docs/_build/html" / f"{page}.html"

    def text(self, page):
        """What was written."""
        return self.output(page).read_text(encoding="utf-8")

    def build(self, builder="html"):
        """Pages that a build reads, and those that it writes."""
        print(builder, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, "the build failed, see above"
        read, written = map(set, json.loads(answer))
        return read, written


@pytest.fixture(scope="module")
def small_site(tmp_path_factory):
    """The small site, built once."""
    site = SmallSite(tmp_path_factory.mktemp("site"))
    with site.process:
        site.pages = site.build()[1]
        assert site.pages >= {"index", "words", "tables", f"{GALLERY}/plot_1_a"}
        yield site
        site.process.stdin.close()


def test_a_build_after_no_change_reads_and_writes_nothing(small_site):
    """Not even at another time of the day, which archives note."""
    time.sleep(2)
    assert small_site.build() == (set(), set())


def test_a_changed_page_is_written_with_those_that_show_it(small_site):
    """They are the home page, with its figure, and the section's index."""
    small_site.change("examples/lesson/plot_1_a.py", new="# The end.")
    read, written = small_site.build()
    assert read == {f"{GALLERY}/plot_1_a", "index"}
    assert written == {f"{GALLERY}/plot_1_a", "index", f"{GALLERY}/index"}
    assert small_site.build() == (set(), set())


def test_a_changed_title_is_shown_everywhere(small_site):
    """In all sidebars, in the section's gallery, beside what the page uses in the reference."""
    small_site.change("examples/lesson/plot_1_a.py", "A\n=\n", "Anew\n====\n")
    read, written = small_site.build()
    indices = {f"{GALLERY}/index", "auto_examples/index"}
    assert read == {f"{GALLERY}/plot_1_a", "index", "tables", *indices}
    assert written == small_site.pages
    for page in small_site.pages:
        assert "Anew</a>" in small_site.text(page), page


def test_related_pages_follow_one_another(small_site):
    """A new link makes the page that it leads to show where it comes from."""
    link = f"\n# %%\n# See :doc:`/{GALLERY}/plot_2_b`."
    small_site.change("examples/lesson/plot_1_a.py", new=link)
    read, written = small_site.build()
    assert f"{GALLERY}/plot_2_b" in read
    assert not {"tables", "words"} & written
    assert "Related pages" in small_site.text(f"{GALLERY}/plot_2_b")


@pytest.mark.parametrize("name", ["docs/_ext/mathml.py", "docs/conf.py", "docs/references.bib"])
def test_all_pages_are_read_again_when_the_machinery_changed(small_site, name):
    """Whatever an extension does to a page may have changed."""
    small_site.change(name, new="# another" if name.endswith("py") else "@comment{another}")
    assert small_site.build() == (small_site.pages, small_site.pages)


@pytest.mark.parametrize(
    "name", ["docs/_static/initguide.css", "docs/_templates/page.html", "docs/card.typ"]
)
def test_all_pages_are_written_again_when_their_frame_changed(small_site, name):
    """There is no need to read them."""
    small_site.change(name)
    assert small_site.build() == (set(), small_site.pages)


def test_a_changed_module_is_followed_by_its_reference_and_the_pages_that_use_it(small_site):
    """Other pages stay."""
    small_site.change("initguide/tables.py", new="# another")
    read, written = small_site.build()
    assert read >= {f"{GALLERY}/plot_1_a", "tables"}
    assert not {f"{GALLERY}/plot_2_b", "words"} & written


def test_what_another_builder_has_read_is_written(small_site):
    """Checking links reads pages again, for the next build of the site too."""
    small_site.change("examples/lesson/plot_1_a.py", new="# The end, to check links.")
    assert small_site.build("dummy") == ({f"{GALLERY}/plot_1_a", "index"}, set())
    read, written = small_site.build()
    assert read == set()
    assert written >= {f"{GALLERY}/plot_1_a", "index"}


def test_sections_and_pages_come_and_go(small_site):
    """A new section is in the sidebar at once, and a deleted one nowhere."""
    small_site.write("examples/new/GALLERY_HEADER.rst", "New one\n=======\n\nText.\n")
    small_site.write("examples/new/plot_1.py", '"""\nC\n=\n\nThird.\n"""\n')
    small_site.build()
    assert "New one</a>" in small_site.text("index")
    assert ">C</a>" in small_site.text("words")
    shutil.rmtree(small_site.root / "examples/new")
    small_site.build()
    assert "New one" not in small_site.text("index")
    assert ">C</a>" not in small_site.text("words")
    assert not small_site.output("auto_examples/new/index").exists()
    assert not small_site.output("auto_examples/new/plot_1").exists()
    assert small_site.build() == (set(), set())


# -- Descriptions, names, sections -----------------------------------------------------------------


def test_description_is_the_introductions_first_sentences():
    """Whole sentences, on one line, without code."""
    shorten = extension("descriptions").shorten
    assert shorten("One\nsentence. Another one.", 200) == "One sentence. Another one."
    assert shorten("One sentence. " + "Long " * 50, 60) == "One sentence."
    document = publish_doctree("Title\n=====\n\n.. note:: Not this.\n\nBut this.\n\nNot that.\n")
    assert extension("descriptions").introduction(document) == "But this."


def test_related_pages_are_those_that_link_either_way(tmp_path):
    """First those that the page names, then those that name it; each once, and not itself."""
    for name, text in {
        "plot_a": "# :doc:`b </auto_examples/one/plot_b>`, :doc:`/auto_examples/plot_a`",
        "one/plot_b": "# :doc:`/auto_examples/one/plot_gone`",
        "one/plot_c": "# </auto_examples/plot_a> and again </auto_examples/plot_a>",
        "one/plot_d": "# :doc:`plot_c`, :doc:`that <plot_b>`, plot_a and :func:`plots.plot_b`",
    }.items():
        script = tmp_path / f"{name}.py"
        script.parent.mkdir(exist_ok=True)
        script.write_text(text, encoding="utf-8")
    pages = extension("pages")
    assert pages.related(tmp_path) == {
        "plot_a": ["one/plot_b", "one/plot_c"],
        "one/plot_b": ["one/plot_d", "plot_a"],
        "one/plot_c": ["plot_a", "one/plot_d"],
        "one/plot_d": ["one/plot_c", "one/plot_b"],
    }


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("initguide.Net", "initguide.models.Net"),
        ("initguide.Net.forward", "initguide.models.Net.forward"),
        ("initguide.INITIALIZERS", "initguide.initializers.INITIALIZERS"),
        ("initguide.models.Net", None),
        ("initguide.nothing", None),
        ("torch.Tensor", None),
    ],
)
def test_names_of_the_package_are_found_where_they_live(name, home):
    """``initguide.Net`` links to ``initguide.models.Net``."""
    assert extension("uses").home_of(name) == home


def test_sections_are_in_the_reading_order(tmp_path):
    """The lesson comes first; a new folder with a header is a section at once."""
    for name in ("architectures", "lesson", "extra", "no_header"):
        (tmp_path / name).mkdir()
        if name != "no_header":
            (tmp_path / name / "GALLERY_HEADER.rst").write_text("")
    assert extension("sections").names(tmp_path) == ["lesson", "architectures", "extra"]


def test_every_wing_has_a_page_in_the_reference():
    """A wing that is added is documented."""
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.rst")} - {"index"}
    assert pages == set(extension("uses").wings())


# -- Two builds ------------------------------------------------------------------------------------


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


# -- The cheat sheet -------------------------------------------------------------------------------


def test_cheat_sheet_is_one_page_with_the_measured_numbers(tmp_path):
    """Typst makes one page of it, with and without the accuracies that a page measured."""
    cheatsheet = extension("cheatsheet")
    (tmp_path / cheatsheet.TABLE).parent.mkdir(parents=True)
    lines = [f"scheme {i},{seed},0.8{seed}" for i in range(12) for seed in range(3)]
    empty = cheatsheet.contents(tmp_path)
    (tmp_path / cheatsheet.TABLE).write_text("\n".join(["label,seed,valid_accuracy", *lines]))
    full = cheatsheet.contents(tmp_path)
    assert empty["accuracies"] == []
    assert full["accuracies"][0] == ["scheme 0", "81.00", "2.48"]
    assert full["seeds"] == 3
    template = str(ROOT / "docs" / "cheatsheet.typ")
    for numbers in (empty, full):
        inputs = {"data": json.dumps(numbers)}
        pdf = typst.compile(template, sys_inputs=inputs, ignore_system_fonts=True)
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


def test_cheat_sheet_numbers():
    """Closed forms: the gain of ReLU, and what Xavier does to ten ReLU layers."""
    cheatsheet = extension("cheatsheet")
    assert cheatsheet.gains()[0] == ["ReLU", "1.414", "1.414", "1.414"]
    he, xavier, default = cheatsheet.decays()
    assert he[1:] == ["1", "1", "1"]
    assert xavier[2] == "9.8 · 10⁻⁴"  # 2^-10
    assert default[2] == "1.7 · 10⁻⁸"  # 6^-10


# -- Cards -----------------------------------------------------------------------------------------


@pytest.fixture
def carded(tmp_path):
    """A folder of documents with one page of the gallery and its figure, and an app to build it."""
    docs = tmp_path / "docs"
    images = docs / "auto_examples" / "images"
    images.mkdir(parents=True)
    (docs / "card.typ").write_bytes((ROOT / "docs" / "card.typ").read_bytes())
    (docs / "auto_examples" / "plot_x.py").write_text("")
    plt.figure(figsize=(2, 1)).savefig(images / "sphx_glr_plot_x_001.png")
    pages = {
        name: {"description": 'Is "He" < Xavier?'} for name in ("index", "auto_examples/plot_x")
    }
    builder = SimpleNamespace(format="html", get_target_uri=lambda page: f"{page}.html")
    return SimpleNamespace(
        srcdir=docs,
        outdir=tmp_path / "html",
        doctreedir=tmp_path / "doctrees",
        builder=builder,
        env=SimpleNamespace(metadata=pages),
        config=SimpleNamespace(project="initguide", html_baseurl="https://example.org/guide/"),
    )


def tags(app, page):
    """The tags that a page gets."""
    context = {"metatags": "", "pathto": lambda name, **_: f"../{name}"}
    doctree = publish_doctree("A title\n=======\n\nText\n\nOther\n=====\n\nx")
    extension("cards").add_tags(app, page, "page.html", context, doctree)
    return context["metatags"]


def test_each_page_has_a_card(carded):
    """Title, description and a picture of the size that is asked for, with a full address."""
    text = tags(carded, "auto_examples/plot_x")
    name = "_images/cards/auto_examples-plot_x.png"
    assert f'"og:image" content="https://example.org/guide/{name}"' in text
    assert '"og:url" content="https://example.org/guide/auto_examples/plot_x.html"' in text
    assert "Is &quot;He&quot; &lt; Xavier?" in text
    assert plt.imread(carded.outdir / name).shape[:2] == (630, 1200)
    carded.config.html_baseurl = ""
    assert f'"og:image" content="../{name}"' in tags(carded, "auto_examples/plot_x")


def test_cards_are_made_again_only_for_a_reason(carded):
    """Another build leaves them; a new figure makes a new one."""
    tags(carded, "auto_examples/plot_x")
    tags(carded, "index")
    (card,) = carded.outdir.rglob("auto_examples-plot_x.png")
    before = card.stat().st_mtime_ns
    tags(carded, "auto_examples/plot_x")
    assert card.stat().st_mtime_ns == before
    plt.figure(figsize=(3, 1)).savefig(
        carded.srcdir / "auto_examples" / "images" / "sphx_glr_plot_x_001.png"
    )
    tags(carded, "auto_examples/plot_x")
    assert card.stat().st_mtime_ns > before


# -- Citations -------------------------------------------------------------------------------------


def test_entries_of_the_bibliography_are_paragraphs():
    """The anchor, the label and the text stay; the role that browsers reject goes."""
    doctree = publish_doctree("See [He15]_.\n\n.. [He15] He and others. *Rectifiers*. 2015.")
    extension("citations").simplify(None, doctree, "bibliography")
    assert not list(doctree.findall(nodes.citation))
    (entry,) = doctree.findall(nodes.container)
    assert entry["ids"] == ["he15"]
    assert entry.astext() == "He15 He and others. Rectifiers. 2015."
