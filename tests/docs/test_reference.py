"""A page of the reference: functions, classes and constants under headings, with a table."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes

pytest.importorskip("sphinx_gallery", reason="the group `docs` is not installed")
from sphinx import addnodes

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "_ext"))
import reference  # noqa: E402  one of the site's extensions

NAMES = {"LIMIT": "data", "Report": "class", "check": "function", "look": "function"}


def page(names):
    """A page that describes these, between a paragraph and a section."""
    section = nodes.section("", nodes.title(text="wing"), nodes.paragraph(text="About."))
    for name, kind in names.items():
        signature = addnodes.desc_signature(name, fullname=name, ids=[f"wing.{name}"])
        told = nodes.system_message("", nodes.paragraph(text="told by docutils"))
        content = addnodes.desc_content("", told, nodes.paragraph(text=f"About {name}."))
        section += [addnodes.index(), addnodes.desc("", signature, content, objtype=kind)]
    section += nodes.section("", nodes.title(text="Costs"))
    document = nodes.Element("", section)
    return document, section


def arranged(names, docname="api/wing"):
    """The page after the extension has seen it."""
    document, section = page(names)
    reference.arrange(SimpleNamespace(env=SimpleNamespace(docname=docname)), document)
    return section


def test_constants_come_last():
    """Under headings, all between what stood before and after them."""
    section = arranged(NAMES)
    heads = [part[0].astext() for part in section if isinstance(part, nodes.section)]
    assert heads == ["Functions", "Classes", "Constants", "Costs"]
    described = [desc[0]["fullname"] for desc in section.findall(addnodes.desc)]
    assert described == ["check", "look", "Report", "LIMIT"]
    assert len(list(section.findall(addnodes.index))) == len(NAMES)
    assert section[1].astext() == "About."


def test_the_table_leads_to_each():
    """With the first line of what is said of it."""
    (table,) = arranged(NAMES).findall(nodes.table)
    assert [link["refid"] for link in table.findall(nodes.reference)] == [
        "wing.check", "wing.look", "wing.Report", "wing.LIMIT",
    ]  # fmt: skip
    assert "About check." in table.astext()
    assert "told by docutils" not in table.astext()


@pytest.mark.parametrize(
    ("names", "docname"), [({"check": "function"}, "api/wing"), (NAMES, "glossary")]
)
def test_what_is_left_alone(names, docname):
    """A page with one name, and pages that are no reference."""
    assert not list(arranged(names, docname).findall(nodes.table))
