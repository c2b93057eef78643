"""`plot_ridges`: a histogram a layer."""

import numpy as np
import pytest
from torch import nn

from initguide import plots
from initguide.propagation import measure


def texts(ax):
    """All texts beside the rows."""
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(
    "of", ["weights", "outputs", "activations", "weight_grads", "output_grads"]
)
def test_ridges(of, found):
    """A row a layer, each with the shape of its histogram and its standard deviation."""
    m = found(histograms=20)
    ax = plots.plot_ridges(m, of=of, standardize=False)
    names = [name for name in ("fc1", "fc2", "fc3") if of in m[name].histograms]
    assert [t.get_text() for t in ax.get_yticklabels()] == names
    histogram = m["fc2"].histograms[of]
    outline = ax.patches[3]  # filled and outlined, row by row
    np.testing.assert_allclose(outline.get_data().edges, histogram.edges)
    heights = outline.get_data().values + 1
    np.testing.assert_allclose(heights, 0.82 * histogram.counts / histogram.counts.max())
    assert len(texts(ax)) == len(names)
    assert all(text.startswith("sd ") for text in texts(ax))


def test_ridges_of_very_different_widths(found):
    """Where one axis would make needles, rows have their own units, and the axis says so."""
    m = found("normal(1.0)", histograms=20)
    ax = plots.plot_ridges(m)
    assert "each row's standard deviation" in ax.get_xlabel()
    row = m["fc3"].histograms["outputs"]
    np.testing.assert_allclose(ax.patches[5].get_data().edges, row.edges / row.std)
    assert "in units of its standard deviation" in plots.alt_text(ax.figure)
    assert "standard deviation" not in plots.plot_ridges(m, standardize=False).get_xlabel()


def test_ridges_of_one_value(found):
    """Equal weights have no width: a line at their value, which stands beside it."""
    m = found("constant(0.25)", histograms=20)
    ax = plots.plot_ridges(m, of="weights")
    assert texts(ax) == ["all 0.25"] * 3
    assert [list(line.get_xdata()) for line in ax.lines] == [[0.25, 0.25]] * 3
    assert plots.plot_ridges(m, of="weights", standardize=True).get_xlim() == (-1.04, 1.04)


def test_ridges_of_a_shared_layer(inputs):
    """The weights of a layer that is used twice are one row, its outputs two."""
    layer = nn.Linear(784, 784)
    m = measure(nn.Sequential(layer, nn.Tanh(), layer), inputs, histograms=9)
    assert len(texts(plots.plot_ridges(m, of="weights"))) == 1
    ax = plots.plot_ridges(m)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "0 #2"]


def test_ridges_log(found):
    """Logarithmic heights show the tails beside the peak at 0, and the axis says so."""
    m = found(histograms=20)
    ax = plots.plot_ridges(m, of="activations", log=True)
    assert "heights: log(1 + count)" in ax.get_xlabel()
    counts = np.log1p(m["fc1"].histograms["activations"].counts)
    heights = 0.82 * counts / counts.max()
    np.testing.assert_allclose(ax.patches[1].get_data().values, heights)
