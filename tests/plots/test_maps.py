"""`plot_map`: sweeps over two settings."""

import matplotlib as mpl
import numpy as np
import pytest

from initguide import plots


def test_map_shows_means_where_they_belong(typical_sweep):
    """Column by x, row by y, in percent; an axis is logarithmic if that spaces it evenly."""
    ax = plots.plot_map(typical_sweep())
    shown = ax.collections[0].get_array()
    np.testing.assert_allclose(shown, 100 * np.linspace(0.11, 0.66, 12).reshape(4, 3).T)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    corners = ax.collections[0].get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], np.geomspace(0.01, 100, 5) * 10**0.5)
    np.testing.assert_allclose(corners[:, 0, 1], [0.05, 0.15, 0.25, 0.35])
    assert "lowest 11.0 at scale 0.10, learning rate 0.10" in plots.alt_text(ax.figure)
    turned = plots.plot_map(typical_sweep(), x="learning_rate").collections[0].get_array()
    assert (turned == shown.T).all()


def test_map_sorts_numbers(swept):
    """Values may be given in any order."""
    ax = plots.plot_map(swept({"depth": [9, 1, 4], "scale": [2.0, 1.0]}, range(6)))
    np.testing.assert_allclose(ax.collections[0].get_array(), [[301, 501, 101], [201, 401, 1]])


def test_map_marks_what_diverged(typical_sweep):
    """The colour is the mean of the others, and there is none where all diverged."""
    ax = plots.plot_map(typical_sweep(diverged={(0, 0), (11, 0), (11, 1)}))
    shown = ax.collections[0].get_array()
    assert shown[0, 0] == pytest.approx(12)
    assert np.flatnonzero(np.ma.getmaskarray(shown)).tolist() == [11]
    assert ax.lines[0].get_xydata().tolist() == [[0.1, 0.1], [100.0, 0.3]]
    assert "×: diverged" in ax.get_title()
    assert ax.get_legend_handles_labels()[1] == ["diverged"]
    assert plots.plot_map(typical_sweep()).get_legend_handles_labels()[1] == []
    assert plots.alt_text(ax.figure).endswith("no number at 1 of 12 points.")
    plots.plot_map(typical_sweep(seeds=1, diverged={(i, 0) for i in range(12)}))


def test_map_of_names(swept):
    """Values that are no numbers stand in a row, in the order of the grid."""
    ax = plots.plot_map(swept({"scheme": ["zeros", "ones"], "epochs": [1, 2]}, range(4)))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["zeros", "ones"]
    assert ax.get_xlim() == (-0.5, 1.5)


def test_map_of_losses(swept):
    """In nats, with logarithmic colours where the range is large; a range can be shared."""
    grid = {"scale": [1.0, 2.0], "learning_rate": [0.1, 0.2]}
    wide = swept(grid, [0.0, 0.5, 0.9, 0.99], seeds=1)
    assert isinstance(
        plots.plot_map(wide, metric="valid_loss").collections[0].norm, mpl.colors.LogNorm
    )
    ax = plots.plot_map(wide, metric="train_loss", value_range=(0, 2))
    assert ax.collections[0].get_clim() == (0, 2)


def test_map_of_a_sweep_over_more(swept):
    """The rest must be fixed; the message shows how."""
    grid = {"optimizer": ["sgd", "adam"], "scale": [1.0, 2.0], "learning_rate": [0.1, 0.2]}
    result = swept(grid, np.arange(8) / 10)
    ax = plots.plot_map(result, x="scale", y="learning_rate", where={"optimizer": "adam"})
    np.testing.assert_allclose(ax.collections[0].get_array(), [[41, 61], [51, 71]])
    assert plots.plot_map(result, where={"optimizer": "adam"}).get_xlabel() == "scale"
    with pytest.raises(ValueError, match=r"also varies optimizer; .*where=\{'optimizer': 'sgd'\}"):
        plots.plot_map(result, x="scale", y="learning_rate")
    with pytest.raises(ValueError, match="'adagrad' is not in the grid"):
        plots.plot_map(result, where={"optimizer": "adagrad"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": "depth"}, "x is to be 'depth', which was not varied .* scale, learning_rate"),
        ({"where": {"depth": 1}}, "where is to be 'depth'"),
        ({"x": "scale", "y": "scale"}, "x and y are both 'scale'"),
        (
            {"where": {"scale": 1.0}},
            r"two settings .* has 1 that where= leaves free: learning_rate",
        ),
        ({"metric": "speed"}, "metric is 'speed'; the metrics are valid_accuracy"),
        ({"value_range": (1, 0)}, "value_range is"),
    ],
)
def test_map_refuses(arguments, message, typical_sweep):
    """The message says which argument, what came, and what is allowed."""
    with pytest.raises(ValueError, match=message):
        plots.plot_map(typical_sweep(), **arguments)


def test_maps_share_one_bar(typical_sweep):
    """Without its bar, a map adds nothing to its panel."""
    ax = plots.plot_map(typical_sweep(), colorbar=False)
    assert not ax.child_axes
    assert plots.plot_map(typical_sweep()).child_axes[0].get_ylabel() == "validation accuracy (%)"
