"""`draw_band`: several draws as one curve."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from initguide import plots


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_mean_and_band(kind):
    """The line is the mean, the band reaches from end to end and has the line's colour."""
    _, ax = plt.subplots()
    rows = [[1.0, 4.0], [3.0, 8.0]]
    plots.draw_band(kind(rows), at=[10, 20], color="#3c96dc", marker="s", label="a", ax=ax)
    (line,), (band,) = ax.lines, ax.collections
    assert line.get_xdata().tolist() == [10, 20]
    assert line.get_ydata().tolist() == [2, 6]
    assert (line.get_marker(), line.get_label()) == ("s", "a")
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
    assert corners == {(10, 1), (10, 3), (20, 4), (20, 8)}
    assert to_hex(band.get_facecolor()[0]) == "#3c96dc"


def test_one_draw_has_no_band():
    """A line alone, and without a label none in the legend."""
    _, ax = plt.subplots()
    plots.draw_band([1.0, 2.0], at=range(2), ax=ax)
    assert not ax.collections
    assert not ax.get_legend_handles_labels()[1]


@pytest.mark.parametrize("draws", [[], [1.0], np.ones((2, 3)), np.ones((1, 1, 2))])
def test_other_shapes_are_refused(draws):
    """The message has both shapes, and nothing is drawn."""
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"draws has shape \(.*\) and at \(2,\); draws must be"):
        plots.draw_band(draws, at=[1, 2], ax=ax)
    assert not ax.has_data()
