"""`plot_trainability`: which of many tiny networks learn."""

import numpy as np

from initguide import plots


def test_colour_of_each_network(trainability):
    """Scale goes to the right and the rate up; what learns is below 0, the rest above."""
    found = trainability([[1, 0], [1, 1], [1, 0]], [0.1, 1.0, 10.0], [0.01, 0.1])
    ax = plots.plot_trainability(found)
    colours = ax.collections[0].get_array()
    assert (colours < 0).tolist() == [[True, True, True], [False, True, False]]
    assert np.array_equal(colours, found.speed.T)
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_alt_text_says_how_many_learn(trainability):
    """All in all, at the lowest and at the highest rate."""
    found = trainability([[1, 0], [1, 1], [1, 0], [1, 1]], [0.1, 1, 2, 10.0], [0.01, 0.1])
    text = plots.alt_text(plots.plot_trainability(found).figure)
    assert "4 × 2 networks over initial scale, 0.1 to 10, and learning rate, 0.01 to 0.1" in text
    assert "75% learn: 100% of those with the lowest rate, 50%" in text


def test_alt_text_of_falling_rates(trainability):
    """The lowest rate is the lowest number, wherever it stands."""
    found = trainability([[0, 1], [1, 1]], [10.0, 1.0], [0.1, 0.01])
    text = plots.alt_text(plots.plot_trainability(found).figure)
    assert "initial scale, 1 to 10, and learning rate, 0.01 to 0.1" in text
    assert "100% of those with the lowest rate, 50%" in text


def test_ticks_can_be_told_apart(trainability):
    """On a map that was zoomed far into, they have the digits that it takes."""
    scales = np.geomspace(1.23401, 1.23405, 9)
    ax = plots.plot_trainability(trainability(np.ones((9, 1)), scales, [0.1]))
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "1.23401", "1.23402", "1.23403", "1.23404", "1.23405",
    ]  # fmt: skip
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0.1"]
