"""The scripts and notebooks that readers download."""

import ast
import json
import re
from importlib import import_module as extension
from pathlib import Path

import pytest
from sphinx.errors import ExtensionError
from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF

ROOT = Path(__file__).parents[2]


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
    assert script.startswith('"""\nTitle\n=====\n"""\n\nimport torch\n')
    assert script.index("torch.set_num_threads(1)") < script.index("x = 1")
    assert script.endswith("\nplt.show()\n")
    assert script.count("print(") == 4


def test_script_prints_values_and_not_what_the_page_calls():
    """A comment may follow; functions of the page and methods of figures return nothing to see."""
    page = "# %%\nx = 1\nx  # the value\n# %%\nrecord(\n    x\n)\n# %%\nfig.legend()\n"
    script = extension("downloads").script_of(page)
    assert "print(x)  # the value\n" in script
    assert script.count("print(") == 2


def test_script_prints_what_stands_in_brackets():
    """A sum of several lines, with its comment."""
    script = extension("downloads").script_of(
        "x = 1\n# %%\n(\n    x\n    + 2\n)  # three\n# %%\nx\n"
    )
    assert "# %%\nprint(x\n    + 2)  # three\n# %%\nprint(x)" in script


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
