"""Descriptions, related pages, names in the reference, sections."""

from importlib import import_module as extension
from pathlib import Path

import pytest
from docutils.core import publish_doctree

ROOT = Path(__file__).parents[2]


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


def test_pages_are_in_the_order_of_their_numbers():
    """Ten comes after nine, not after one."""
    names = ["plot_10_b.py", "plot_1_c.py", "plot_9_a.py", "plot_start.py"]
    key = extension("sections").PageOrder("examples/lesson")
    assert sorted(names, key=key) == ["plot_start.py", "plot_1_c.py", "plot_9_a.py", "plot_10_b.py"]


def test_every_wing_has_a_page_in_the_reference():
    """A wing that is added is documented."""
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.rst")} - {"index"}
    assert pages == set(extension("uses").wings())
