"""`plot_histogram`, `plot_histograms` and `hist_dist`."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from scipy import stats

from initguide import plots


def heights(ax, index=0):
    """Return what a histogram draws."""
    return ax.patches[index].get_data().values


@pytest.mark.parametrize(
    "values",
    [
        [0.5, 1.5, 1.5, 9.0],
        np.array([[0.5, 1.5], [1.5, 9.0]]),
        torch.tensor([0.5, 1.5, 1.5, 9.0], requires_grad=True),
        torch.tensor([0.5, 1.5, 1.5, 9.0], dtype=torch.bfloat16),
        [0.5, 1.5, 1.5, 9.0, math.nan, math.inf],
    ],
    ids=["list", "array", "grad", "bfloat16", "not finite"],
)
def test_histogram_counts(values):
    """Any kind of numbers is counted; those outside and not finite are left out."""
    ax = plots.plot_histogram(values, bins=2, value_range=(0, 2))
    np.testing.assert_array_equal(heights(ax), [1, 2])
    assert ax.get_xlim() == (0, 2)
    assert ax.get_ylabel() == "number of values"
    assert "Histogram of 4 values in 2 bins from 0.00 to 2.00: mean 3.12" in plots.alt_text(
        ax.figure
    )
    assert "1 outside" in plots.alt_text(ax.figure)


def test_histogram_density():
    """Densities are fractions of all values, so those outside take their part away."""
    ax = plots.plot_histogram([0.5, 1.5, 1.5, 9.0], bins=2, value_range=(0, 2), density=True)
    np.testing.assert_allclose(heights(ax), [0.25, 0.5])
    assert ax.get_ylabel() == "density"


@pytest.mark.parametrize("density", [False, True])
def test_histogram_with_expected_curve(density):
    """The curve has the units of the heights: it passes through bars of the right draws."""
    draws = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    ax = plots.plot_histogram(
        draws, bins=40, value_range=(-4, 4), expected=stats.norm.pdf, density=density
    )
    (curve,) = ax.lines
    bars = heights(ax)
    centers = np.linspace(-3.9, 3.9, 40)
    expected = np.interp(centers, curve.get_xdata(), curve.get_ydata())
    np.testing.assert_allclose(bars, expected, atol=0.01 * bars.max())
    assert "dashed line shows the expected density" in plots.alt_text(ax.figure)


def test_histograms_on_one_axes_differ_in_color():
    """The second gets another colour, and a scheme its own."""
    ax = plots.plot_histogram([1.0], label="first")
    plots.plot_histogram([2.0], label="second", ax=ax)
    plots.plot_histogram([2.0], label="normal(std=1.0)", ax=ax)
    colors = [to_hex(patch.get_edgecolor()) for patch in ax.patches[1::2]]
    assert colors == [*plots.PALETTE[:2], plots.color_of("normal")]


def test_rows_of_histograms_share_their_bins(rows_of):
    """One x range for all rows, a shared set of bins, heights scaled row by row."""
    ax = plots.plot_histograms({"a": [0.0, 1, 1], "b": torch.tensor([3.0, 3, 10])}, bins=5)
    assert ax.get_xlim() == (0, 10)
    assert rows_of(ax) == ["a", "b"]
    np.testing.assert_allclose(heights(ax, 0), [0.82, 0, 0, 0, 0])
    np.testing.assert_allclose(heights(ax, 2), [-1, -0.18, -1, -1, -0.59])
    assert [text.get_text() for text in ax.texts] == ["sd 0.47", "sd 3.30"]
    assert "standard deviations: a 0.47; b 3.30" in plots.alt_text(ax.figure)
    assert "heights: counts, each row scaled" in ax.get_xlabel()


def test_rows_of_histograms_with_log_heights():
    """Heights are logarithms of 1 + count, and the axis says so."""
    ax = plots.plot_histograms({"a": [0.0] * 9 + [1.0]}, bins=2, value_range=(0, 1), log=True)
    np.testing.assert_allclose(heights(ax), [0.82, 0.82 * math.log(2) / math.log(10)])
    assert "heights: log(1 + count)" in ax.get_xlabel()


def test_rows_named_as_schemes_have_their_colors():
    """A scheme's row has its colour; the others have the first of the palette."""
    ax = plots.plot_histograms({"he_normal": [0.0, 1], "layer 1": [0.0, 1]})
    colors = [to_hex(patch.get_facecolor()) for patch in ax.patches[::2]]
    assert colors == [plots.color_of("he_normal"), plots.PALETTE[0]]


def test_hist_dist_has_half_as_many_bins_as_values():
    """1,000 values give 500 bins between the ends, as in the original lesson."""
    ax = plots.hist_dist("Draws", torch.rand(1000))
    assert len(heights(ax)) == 500
    assert ax.get_xlim() == (-4, 4)
    assert ax.get_title() == "Draws"
    ax = plots.hist_dist("Draws", [0.5], (0, 1))
    np.testing.assert_array_equal(heights(ax), [1])


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (plots.plot_histogram, "values"),
        (lambda values: plots.plot_histograms({"layer 1": values}), "'layer 1'"),
        (lambda values: plots.hist_dist("Draws", values), "distribution_tensor"),
    ],
)
def test_histograms_refuse_values_that_cannot_be_counted(draw, name):
    """Nothing, and nothing finite: the message names the argument and tells the two apart."""
    with pytest.raises(ValueError, match=f"^{name} is empty; a histogram needs at least one numb"):
        draw([])
    with pytest.raises(ValueError, match=f"^{name} has 2 values, and all are NaN or infinite$"):
        draw([math.nan, math.inf])
    assert not plt.get_fignums()


def test_histograms_refuse_bad_settings():
    """Bins and ranges are checked before anything is drawn."""
    with pytest.raises(ValueError, match="bins is 0; it must be a whole number, at least 1"):
        plots.plot_histogram([1.0], bins=0)
    with pytest.raises(ValueError, match=r"value_range is \(1, 1\); it must be two finite numbers"):
        plots.plot_histogram([1.0], value_range=(1, 1))
    with pytest.raises(ValueError, match=r"hist_range is \(4, -4\); it must be two finite numbers"):
        plots.hist_dist("Draws", [1.0], (4, -4))
    with pytest.raises(ValueError, match="named_values is empty; give at least one name"):
        plots.plot_histograms({})
    assert not plt.get_fignums()
