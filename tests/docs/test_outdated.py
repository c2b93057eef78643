"""Which pages a build reads and writes."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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
