"""The numbers behind figures and tables."""

import json
from importlib import import_module as extension

import matplotlib.pyplot as plt
import numpy as np
import pytest

from initguide import plots
from initguide.tables import Table


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


def test_figures_and_tables_link_to_their_numbers(scrape, tmp_path):
    """The files lie beside the pictures, and the links say which figure or table they belong to."""
    _, ax = plt.subplots()
    ax.plot([0, 1], [0, 1])
    plots.describe(ax, "A line.")
    table = Table({"n": [1, 2], "1/n": [1.0, 0.5]}, caption="Inverses")
    text = scrape(code="x = 1\ntable", value=table)
    assert ":download:`Numbers of figure 1 (JSON) </images/sphx_glr_plot_x_001.json>`" in text
    assert ":download:`Numbers of table 1 (CSV) </images/sphx_glr_plot_x_table_1.csv>`" in text
    assert (tmp_path / "images/sphx_glr_plot_x_table_1.csv").read_text() == table.to_csv()
    numbers = json.loads((tmp_path / "images/sphx_glr_plot_x_001.json").read_text())
    assert numbers["description"] == "A line."


@pytest.mark.parametrize(("code", "value"), [("x = 1", Table({"n": [1]}, caption="")), ("x", 1)])
def test_only_a_table_at_the_end_of_a_cell_has_numbers(scrape, code, value):
    """A value left over from the cell before, or a plain number, is no table."""
    assert scrape(code=code, value=value) == ""
