"""Figures for light and for dark pages.

Sphinx-Gallery hands every cell to :func:`scrape`. Each open matplotlib figure is saved twice at two
pixels a CSS pixel: as it is, and with its neutral parts (text, axes, grid, background) recoloured
for a dark page. Furo's classes ``only-light`` and ``only-dark`` show one of them, and a browser
fetches only that one, when it scrolls into view. A figure without alt text is an error. A drawing,
which shows no numbers, is shown as a vector graphic.

Below each figure stands a link to the numbers that it shows (JSON), and below each table one to the
numbers behind it: tables are objects with a method ``to_csv`` or ``to_json``.

Thumbnails get a dark twin in the same way, and ``.. gallery-figure::`` shows a page's figure on
another page.
"""

import colorsys
import hashlib
import json
import os
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import figuredata
import matplotlib.pyplot as plt
from cells import value_shown
from docutils import nodes
from docutils.parsers.rst.directives import positive_int
from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from PIL import Image
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx_gallery.utils import scale_image

logger = logging.getLogger(__name__)

CSS_DPI = 100  # an inch of figure is this many CSS pixels: matplotlib's 10 pt text gets 14 px
SCALE = 2  # pixels a CSS pixel
DARK_PAGE = to_rgba("#131416")  # furo's --color-background-primary in dark mode
DARK_INK = to_rgba("#d8d9da")  # a little brighter than furo's text, whose strokes are wider

EVERY_PAGE = "/plot_"  # the pattern of the files that a full build runs

IMAGE = """
.. image:: /{uri}
   :alt: {alt}
   :class: initguide-figure only-{scheme}
   :width: {width}
   :height: {height}
   :loading: lazy
"""

NUMBERS = """
.. rst-class:: {kind}-data

:download:`{text} </{uri}>`
"""

Colour = tuple[float, float, float, float]


def darken(colour: Any) -> Colour:
    """A neutral colour's counterpart on a dark page: white is the page, black the ink.

    Colours with a hue carry data and come back unchanged.
    """
    red, green, blue, alpha = to_rgba(colour)
    _, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    if saturation > 0.12 and 0.02 < lightness < 0.98:
        return red, green, blue, alpha
    red, green, blue = (
        lightness * page + (1 - lightness) * ink
        for page, ink in zip(DARK_PAGE[:3], DARK_INK[:3], strict=True)
    )
    return red, green, blue, alpha


def _darken_all(colours: Iterable[Any]) -> list[Colour]:
    return [darken(colour) for colour in colours]


def _is_on_data(text: Text) -> bool:
    """Whether a text lies on an image or, being white, on something coloured."""
    axes = text.axes
    inside = axes is not None and text in axes.texts
    return inside and (bool(axes.images) or min(to_rgba(text.get_color())[:3]) > 0.85)


def _recolour(artist: Artist) -> None:
    if isinstance(artist, Text):
        if not _is_on_data(artist):
            artist.set_color(darken(artist.get_color()))
    elif isinstance(artist, Line2D):
        face, edge = artist.get_markerfacecolor(), artist.get_markeredgecolor()
        artist.set_color(darken(artist.get_color()))
        artist.set_markeredgecolor(darken(edge))
        if isinstance(face, str) and face == "none":
            return
        artist.set_markerfacecolor(darken(face))
    elif isinstance(artist, Patch):
        face, edge = artist.get_facecolor(), artist.get_edgecolor()
        artist.set_facecolor(darken(face))
        artist.set_edgecolor(darken(edge))
    elif isinstance(artist, Collection) and artist.get_array() is None:
        artist.set_facecolor(_darken_all(artist.get_facecolor()))
        artist.set_edgecolor(_darken_all(artist.get_edgecolor()))


def recolour_for_dark(figure: Figure) -> None:
    """Recolour a figure's neutral parts in place. Images and colour maps stay as they are."""
    figure.canvas.draw()
    for artist in figure.findobj():
        _recolour(artist)


def alt_text(figure: Figure, where: str) -> str:
    """The figure's alt text on one line, as ``initguide.plots.describe`` stored it.

    Raises
    ------
    ExtensionError
        If it has none.
    """
    from initguide import plots  # noqa: PLC0415  after the pages' modules were reset

    text = " ".join(plots.alt_text(figure).split())
    if not text:
        raise ExtensionError(
            f"{where}: a figure has no alt text. Say what is to be seen in it with "
            "initguide.plots.describe(figure, text) in the cell that draws it."
        )
    return text


def save_pair(figure: Figure, light: Path, *, vector: bool = False) -> Path:
    """Save it as ``light`` and, recoloured, as ``…_dark.png``, and both as ``.svg``, if told."""
    dark = light.with_name(f"{light.stem}_dark.png")
    options = {"dpi": SCALE * CSS_DPI, "bbox_inches": "tight", "pad_inches": 0.05}
    for path in (light, dark):
        if path == dark:
            recolour_for_dark(figure)
        # The same figure gives the same files, without the date or names drawn by chance.
        figure.savefig(path, metadata={"Software": None}, **options)
        if vector:
            with plt.rc_context({"svg.hashsalt": "initguide"}):
                figure.savefig(path.with_suffix(".svg"), metadata={"Date": None}, **options)
    return dark


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the open figures of a cell, and the numbers behind them and behind a table.

    Returns
    -------
    str
        The reStructuredText that shows the figures and links to the numbers.
    """
    source = Path(gallery_conf["src_dir"])
    page = Path(block_vars["src_file"]).name
    thumbnail = (block_vars.get("file_conf") or {}).get("thumbnail_number", 1)
    result = _save_table(block, block_vars, source)
    try:
        for number in plt.get_fignums():
            figure = plt.figure(number)
            alt = alt_text(figure, page)
            light = Path(next(block_vars["image_path_iterator"]))
            figure.canvas.draw()  # ticks are made when they are drawn
            data = figuredata.numbers_of(figure, alt)
            drawing = not data["panels"]
            dark = save_pair(figure, light, vector=drawing)
            with Image.open(light) as image:
                width, height = (round(side / SCALE) for side in image.size)
            if len(block_vars["image_path_iterator"]) == thumbnail:
                _save_dark_thumbnail(dark, page, gallery_conf["thumbnail_size"], alt)
            for scheme, path in (("light", light), ("dark", dark)):
                shown = path.with_suffix(".svg") if drawing else path
                uri = shown.relative_to(source).as_posix()
                result += IMAGE.format(uri=uri, alt=alt, scheme=scheme, width=width, height=height)
            if drawing:
                continue
            numbers = light.with_suffix(".json")
            numbers.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
            result += NUMBERS.format(
                kind="figure",
                text=f"Numbers of figure {len(block_vars['image_path_iterator'])} (JSON)",
                uri=numbers.relative_to(source).as_posix(),
            )
    finally:
        plt.close("all")
    return result


def _save_table(block: Any, block_vars: dict[str, Any], source: Path) -> str:
    """Write the numbers behind the table that a cell ends with, if it does; return the link."""
    shown = value_shown(block, block_vars)
    kind = next((kind for kind in ("csv", "json") if hasattr(shown, f"to_{kind}")), None)
    if kind is None or not hasattr(shown, "_repr_html_"):
        return ""
    number = block_vars["tables"] = block_vars.get("tables", 0) + 1
    name = f"sphx_glr_{Path(block_vars['src_file']).stem}_table_{number}.{kind}"
    path = Path(block_vars["image_path_iterator"].image_path).with_name(name)
    path.write_text(getattr(shown, f"to_{kind}")(), encoding="utf-8")
    uri = path.relative_to(source).as_posix()
    return NUMBERS.format(kind="table", text=f"Numbers of table {number} ({kind.upper()})", uri=uri)


def _save_dark_thumbnail(dark: Path, page: str, size: tuple[int, int], alt: str) -> None:
    folder = dark.parent / "thumb"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sphx_glr_{Path(page).stem}_thumb"
    new = folder / f"{stem}_new.png"
    scale_image(dark, new, *size)
    _to_palette(new)
    _write(folder / f"{stem}_dark.png", new.read_bytes())
    new.unlink()
    words = textwrap.shorten(alt, 150, placeholder=" …")
    _write(folder / f"{stem}.txt", words.encode())


def _to_palette(path: Path) -> None:
    """Reduce a picture to 256 colours: a quarter of the bytes, hardly seen in a thumbnail."""
    with Image.open(path) as image:
        if image.mode == "P":
            return
        # The only method that knows transparency, which stands around the figure.
        small = image.convert("RGBA").quantize(
            256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
    small.save(path, optimize=True)


def shrink_thumbnails(app: Sphinx) -> None:
    """Reduce the thumbnails that Sphinx-Gallery has just made: the reference shows them all.

    One that comes out as it was keeps its time: pages that show it need not be read again.
    """
    for path in Path(app.srcdir).glob("auto_examples/**/images/thumb/*.png"):
        _to_palette(path)
        note, now = path.with_suffix(".time"), hashlib.sha256(path.read_bytes()).hexdigest()
        before, _, time = note.read_text().partition(" ") if note.exists() else ("", "", "")
        if before == now:
            os.utime(path, ns=(int(time), int(time)))
        else:
            note.write_text(f"{now} {path.stat().st_mtime_ns}")


def _write(path: Path, content: bytes) -> None:
    """Write a file, unless it is the same already: pages that show it need not be read again."""
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def pair_thumbnails(app: Sphinx, doctree: nodes.document) -> None:
    """Put each thumbnail's dark twin beside it, where there is one."""
    for image in list(doctree.findall(nodes.image)):
        uri = image["uri"]
        twin = f"{uri.removesuffix('.png')}_dark.png"
        if "/thumb/sphx_glr_" not in uri or not (Path(app.srcdir) / twin.lstrip("/")).exists():
            continue
        image["loading"] = "lazy"
        words = Path(app.srcdir) / f"{uri.removesuffix('.png')}.txt".lstrip("/")
        for beside in (twin.lstrip("/"), str(words)):
            app.env.note_dependency(beside)
        image["alt"] = (
            words.read_text(encoding="utf-8") if words.exists() else "A figure of the page"
        )
        dark = image.deepcopy()
        dark["uri"] = twin
        dark["candidates"] = {"*": twin}
        image["classes"].append("only-light")
        dark["classes"].append("only-dark")
        image.parent.insert(image.parent.index(image) + 1, dark)
        app.env.images.add_file(app.env.docname, twin)


class GalleryFigure(SphinxDirective):
    """``.. gallery-figure:: lesson/plot_7_choose``, the first figure made by a page of the gallery.

    ``:number: 2`` takes its second one. The figure, its sizes and its alt text are those of that
    page. A build that runs only some of the pages may have none; in any other that is a warning.
    """

    required_arguments = 1
    option_spec = {"number": positive_int}  # noqa: RUF012  docutils' own way

    def run(self) -> list[nodes.Node]:
        """Find the image directives in the text that Sphinx-Gallery generated."""
        page = Path(self.env.srcdir, "auto_examples", self.arguments[0]).with_suffix(".rst")
        name = f"sphx_glr_{page.stem}_{self.options.get('number', 1):03}"
        self.env.note_dependency(str(page))
        text = page.read_text(encoding="utf-8") if page.exists() else ""
        image = re.compile(
            rf"^\.\. image:: \S+/{name}(?:_dark)?\.(?:png|svg)\n(?: {{3}}.*\n)+", re.MULTILINE
        )
        pair = image.findall(text)
        if not pair and self.config.sphinx_gallery_conf["filename_pattern"] == EVERY_PAGE:
            logger.warning("the page %s has no figure %s", page, name, location=self.get_location())
        return self.parse_text_to_nodes("\n".join(pair))


def setup(app: Sphinx) -> dict[str, bool]:
    """Shrink thumbnails once there are some, and pair them once a page is read."""
    app.connect("builder-inited", shrink_thumbnails, priority=900)  # after Sphinx-Gallery
    app.connect("doctree-read", pair_thumbnails)
    app.add_directive("gallery-figure", GalleryFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
