"""How figures are drawn, described and placed."""

from importlib import import_module as extension
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image
from sphinx.errors import ExtensionError

from initguide import plots


def test_scraper_saves_a_light_and_a_dark_figure_of_one_size(scrape, tmp_path):
    """Both are saved at two pixels a CSS pixel and shown at the same size, with the alt text."""
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, 1], [0, 1])
    plots.describe(figure, "A line\nthat rises.")
    text = scrape()
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


def test_a_drawing_is_shown_as_a_vector_graphic(scrape, tmp_path):
    """Both of its versions are SVG, always the same; it has no numbers to download."""
    plots.draw_residual_block()
    text = scrape()
    files = [tmp_path / "images" / f"sphx_glr_plot_x_001{end}.svg" for end in ("", "_dark")]
    light, dark = (file.read_text(encoding="utf-8") for file in files)
    assert all(f"/images/{file.name}\n" in text for file in files)
    assert ".png" not in text
    assert "only-light" in text
    assert "only-dark" in text
    assert ":download:" not in text
    assert plots.PALETTE[0] in light
    assert plots.PALETTE[0] in dark
    assert "#131416" in dark
    assert "#131416" not in light
    assert (tmp_path / "images" / "sphx_glr_plot_x_001.png").exists()  # for the thumbnail
    figure = plots.draw_residual_block().figure
    extension("figures").save_pair(figure, tmp_path / "again.png", vector=True)
    assert (tmp_path / "again.svg").read_text(encoding="utf-8") == light
    assert (tmp_path / "again_dark.svg").read_text(encoding="utf-8") == dark


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


def test_scraper_refuses_a_figure_without_alt_text(scrape):
    """The error names the page and the remedy."""
    plt.subplots()
    with pytest.raises(ExtensionError, match=r"plot_x\.py: a figure has no alt text.*describe"):
        scrape()
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
