"""How far layers move, by width."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from initguide import plots


def test_dots_and_dashes(checked, labelled):
    """Every seed is a dot; the dashes have the predicted power, through the last mean."""
    ax = plots.plot_coordinates(checked(), "muP")
    assert labelled(ax)["fc2"].get_ydata() == pytest.approx([0.01, 0.02, 0.04, 0.03, 0.06, 0.12])
    dashes = [line.get_ydata() for line in ax.lines if line.get_linestyle() == "--"]
    assert dashes[0] == pytest.approx([0.02, 0.02, 0.02])
    assert dashes[1] == pytest.approx([0.02, 0.04, 0.08])
    assert [ax.get_xscale(), ax.get_yscale()] == ["log", "log"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["64", "128", "256"]


def test_level_where_nothing_is_predicted(checked):
    """What rises then stands out from a level line."""
    ax = plots.plot_coordinates(checked(), "standard", legend=False)
    dashes = [line.get_ydata() for line in ax.lines if line.get_linestyle() == "--"]
    assert np.ptp(dashes[1]) == 0
    assert ax.get_legend() is None


def test_unknown_way(checked):
    """It names those that there are, before a figure is made."""
    with pytest.raises(ValueError, match="unknown way 'Adam'; there are muP, standard"):
        plots.plot_coordinates(checked(), "Adam")
    assert not plt.get_fignums()
