"""Ticks of logarithmic axes."""

import matplotlib.pyplot as plt
import pytest

from initguide import plots


@pytest.mark.parametrize("name", ["x", "y"])
def test_ticks_at(name):
    """The axis named is logarithmic, and has these ticks and no others."""
    _, ax = plt.subplots()
    ax.plot([0.1, 20], [0.1, 20])
    plots.ticks_at(getattr(ax, f"{name}axis"), [0.1, 2.3, 20], ["0.1", "ln 10", "20"])
    scales = {"x": ax.get_xscale(), "y": ax.get_yscale()}
    assert scales == {"x": "linear", "y": "linear"} | {name: "log"}
    axis = getattr(ax, f"{name}axis")
    assert list(axis.get_majorticklocs()) == [0.1, 2.3, 20]
    assert [text.get_text() for text in axis.get_ticklabels()] == ["0.1", "ln 10", "20"]
    assert not len(axis.get_minorticklocs())


def test_ticks_at_refuses_0():
    """A logarithmic axis has no place for it."""
    _, ax = plt.subplots()
    with pytest.raises(
        ValueError, match=r"values is \[0, 1\]; a logarithmic axis has ticks above 0"
    ):
        plots.ticks_at(ax.xaxis, [0, 1])
    assert ax.get_xscale() == "linear"
