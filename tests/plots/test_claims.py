"""Claims beside what was measured."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

from initguide import plots
from initguide.experiments import judge

BETTER = (1, math.inf)


def bars(ax):
    """Return the ends of the grey bars, from the top."""
    return [tuple(line.get_xdata()) for line in ax.lines if line.get_linewidth() == 9][:-1]


def test_a_row_for_each_setting(labelled):
    """Bar, interval and mark of a setting lie on its row; each outcome has its own mark."""
    two = judge({"few": BETTER, "many": BETTER}, {"few": [2.0, 2.1, 1.9], "many": [0.5, 0.6, 0.4]})
    one = judge({"": (-1, 1)}, {"": [0.0, 3.0, 0.0, 3.0]})
    ax = plots.plot_claims({"better": two, "same": one})
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["better\nfew", "better\nmany", "same\n"]
    assert list(labelled(ax)) == ["claimed", "holds", "smaller than claimed", "cannot tell"]
    marks = {line.get_marker() for line in labelled(ax).values()} - {"None"}
    assert len(marks) == 3
    right = ax.get_xlim()[1]
    assert bars(ax) == [(1, right), (1, right), (-1, 1)]
    middle = [x.get_xdata()[0] for x in ax.lines if x.get_marker() in marks and len(x.get_xdata())]
    assert middle == pytest.approx([2, 0.5, 1.5])
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_xscale() == "linear"
    assert "better, many: 0.50, smaller than claimed" in plots.alt_text(ax.figure)


def test_axis_is_bent_where_numbers_lie_far_out():
    """A loss of forty points and a gain of half a point can both be read."""
    found = judge({"a": BETTER, "b": BETTER}, {"a": [-40.0, -41], "b": [0.4, 0.6]})
    ax = plots.plot_claims({"x": found}, title="Far", xlabel="points")
    assert ax.get_xscale() == "symlog"
    assert ax.get_xlim()[0] < -41
    ax.figure.canvas.draw()
    assert "−10" in [label.get_text() for label in ax.get_xticklabels()]
    assert (ax.get_title(), ax.get_xlabel()) == ("Far", "points")


def test_runs_that_diverged():
    """Without an interval there is a mark alone, and without any number no figure."""
    found = judge({"a": BETTER}, {"a": [2.0, np.nan]})
    assert "cannot tell" in plots.alt_text(plots.plot_claims({"x": found}).figure)
    plt.close("all")
    for judged, message in (
        ({}, "judged is empty"),
        ({"x": judge({"a": BETTER}, {"a": [np.nan]})}, "no measurement is finite"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.plot_claims(judged)
    assert not plt.get_fignums()


def test_a_judgement_without_its_claim_is_refused():
    """The claim is what the rows are called."""
    judgement = judge({"a": (0, 1)}, {"a": [0.5, 0.6]})
    with pytest.raises(TypeError, match="judged is of type Judgement; give a dictionary of claims"):
        plots.plot_claims(judgement)
