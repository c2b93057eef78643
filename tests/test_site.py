"""The site's own extensions in docs/_ext, and that every module and section has its page."""

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sphinx_gallery", reason="the group `docs` is not installed")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402  after the backend
from docutils.core import publish_doctree  # noqa: E402
from matplotlib.colors import to_rgba  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402
from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF  # noqa: E402
from sphinx_gallery.scrapers import ImagePathIterator  # noqa: E402

from initguide import plots  # noqa: E402

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


def scrape(folder, thumbnail=1):
    """What Sphinx-Gallery does after a cell with open figures."""
    images = ImagePathIterator(str(folder / "images" / "sphx_glr_plot_x_{0:03}.png"))
    (folder / "images").mkdir()
    variables = {
        "image_path_iterator": images,
        "src_file": "plot_x.py",
        "file_conf": {"thumbnail_number": thumbnail},
    }
    conf = {"src_dir": str(folder), "thumbnail_size": (120, 80)}
    return extension("figures").scrape(None, variables, conf)


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
    assert (tmp_path / "images" / "thumb" / "sphx_glr_plot_x_thumb_dark.png").exists()
    assert not plt.get_fignums()


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


@pytest.mark.parametrize("latex", [r"\foo{x}", r"\frac{1", r"a & b"])
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


def notebook(folder):
    """The notebook of PAGE."""
    script = folder / "plot_page.py"
    script.write_text(PAGE, encoding="utf-8")
    conf = {**DEFAULT_GALLERY_CONF, "first_notebook_cell": "# first", "pypandoc": False}
    extension("notebooks").write_notebook(script, conf)
    return json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))


def test_notebook_has_no_sphinx_in_it(tmp_path):
    """Roles, labels and directives become Markdown; code stays as it is."""
    cells = notebook(tmp_path)["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert extension("notebooks").leftovers(text) == []
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
    to_markdown = extension("notebooks").to_markdown
    body = PAGE.partition("# %%")[2].replace("\n# ", "\n").replace("\n#\n", "\n\n")
    once = to_markdown(body)
    assert to_markdown(once) == once


def test_notebook_refuses_a_directive_without_counterpart():
    """The error names the directive and says what to do."""
    with pytest.raises(ExtensionError, match=r"no notebook text for '\.\. tab-set:: '.*teach"):
        extension("notebooks").to_markdown(".. tab-set::\n\n   text")


@pytest.mark.parametrize(
    "page", sorted((ROOT / "examples").rglob("plot_*.py")), ids=lambda p: p.stem
)
def test_every_page_becomes_a_clean_notebook(page, tmp_path):
    """The real pages use nothing that a notebook cannot show."""
    copy = tmp_path / page.name
    copy.write_bytes(page.read_bytes())
    conf = {**DEFAULT_GALLERY_CONF, "first_notebook_cell": "# first", "pypandoc": False}
    extension("notebooks").write_notebook(copy, conf)  # raises if anything is left
    cells = json.loads(copy.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    assert "Try it" not in page.read_text(encoding="utf-8") or "> **Try it**" in text
    assert not re.search(r"^#+ >", text, re.MULTILINE)  # no quotation became a heading


# -- Freshness -------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path):
    """A small repository with one built page."""
    for name, text in {
        "initguide/data.py": "x = 1",
        "initguide/sample/images.bin": "pixels",
        "docs/conf.py": "",
        "docs/_ext/figures.py": "",
        "docs/index.rst": "",
        "examples/lesson/plot_1.py": "",
        "docs/auto_examples/lesson/plot_1.py": "",
        "docs/auto_examples/lesson/plot_1.py.md5": "0",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def is_rebuilt(repository, words=("torch 2", "full data")):
    """Whether the page would run again; it is then marked as up to date."""
    freshness = extension("freshness")
    current = freshness.fingerprint(repository, freshness.dependencies(repository), words)
    freshness.drop_stale(repository / "docs/auto_examples", current)
    note = repository / "docs/auto_examples/lesson/plot_1.py.md5"
    stale = not note.exists()
    note.write_text("0")
    return stale


def test_pages_run_again_when_something_they_measure_changed(repository):
    """The package, its data, the extensions, the libraries and the data source all count."""
    assert is_rebuilt(repository)  # nothing is known about the first build
    assert not is_rebuilt(repository)
    for name in ("initguide/data.py", "initguide/sample/images.bin", "docs/_ext/figures.py"):
        (repository / name).write_text("changed")
        assert is_rebuilt(repository), name
        assert not is_rebuilt(repository), name
    (repository / "initguide/new.py").write_text("")
    assert is_rebuilt(repository)
    assert is_rebuilt(repository, ("torch 3", "full data"))
    assert is_rebuilt(repository, ("torch 3", "embedded sample"))


def test_pages_do_not_run_again_for_prose(repository):
    """A page of prose or a compiled file changes no figure."""
    assert is_rebuilt(repository)
    (repository / "docs/index.rst").write_text("new words")
    cache = repository / "initguide/__pycache__"
    cache.mkdir()
    (cache / "data.cpython-311.pyc").write_text("")
    assert not is_rebuilt(repository)


def test_output_of_deleted_pages_is_deleted(repository):
    """Otherwise a page would stay on the site after its script is gone."""
    gallery = repository / "docs/auto_examples"
    for name in ("plot_2.py", "plot_2.rst", "plot_2.py.md5", "images/sphx_glr_plot_2_001.png"):
        path = gallery / "lesson" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    extension("freshness").prune(repository / "examples", gallery)
    assert sorted(path.name for path in gallery.rglob("*.*")) == ["plot_1.py", "plot_1.py.md5"]


# -- Descriptions, names, sections -----------------------------------------------------------------


def test_description_is_the_introductions_first_sentences():
    """Whole sentences, on one line, without code."""
    shorten = extension("descriptions").shorten
    assert shorten("One\nsentence. Another one.", 200) == "One sentence. Another one."
    assert shorten("One sentence. " + "Long " * 50, 60) == "One sentence."
    document = publish_doctree("Title\n=====\n\n.. note:: Not this.\n\nBut this.\n\nNot that.\n")
    assert extension("descriptions").introduction(document) == "But this."


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
    assert extension("crossrefs").home_of(name) == home


def test_sections_are_in_the_reading_order(tmp_path):
    """The lesson comes first; a new folder with a header is a section at once."""
    for name in ("architectures", "lesson", "extra", "no_header"):
        (tmp_path / name).mkdir()
        if name != "no_header":
            (tmp_path / name / "GALLERY_HEADER.rst").write_text("")
    assert extension("sections").names(tmp_path) == ["lesson", "architectures", "extra"]


def test_every_module_has_a_page_in_the_reference():
    """A module that is added is documented."""
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.rst")} - {"index"}
    assert pages == {path.stem for path in extension("crossrefs").module_files()}
