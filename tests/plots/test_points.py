"""Points of a sweep, drawn as the schemes of a comparison are."""

import dataclasses

import numpy as np
import pytest

from initguide import plots


@pytest.mark.parametrize("plot", [plots.plot_losses, plots.plot_accuracy])
def test_a_sweep_over_schemes_looks_like_a_comparison(plot, swept, comparison, run):
    """The same curves and dots, in the schemes' own colours."""
    points = {"zeros": 0.3, "he_normal": 0.8}
    sweep = swept({"scheme": list(points)}, points.values())
    pair = comparison(
        [run(r.settings["scheme"], r.seed, [1.0], r.valid_accuracy) for r in sweep.runs]
    )
    for one, other in zip(plot(sweep).lines, plot(pair).lines, strict=True):
        assert one.get_color() == other.get_color()
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())


def test_differences_between_points(swept):
    """The reference is a point's label or its settings."""
    sweep = swept({"scheme": ["zeros", "he_normal"], "scale": [2]}, [0.3, 0.8])
    for reference in ({"scheme": "zeros"}, "scheme zeros, scale 2"):
        ax = plots.plot_differences(sweep, reference)
        assert [t.get_text() for t in ax.get_yticklabels()] == ["scheme he_normal, scale 2"]
        assert "minus that of “scheme zeros, scale 2”" in ax.get_title()


def test_a_point_without_runs_is_named(swept):
    """Where all runs of a point failed, the figures say so and draw the others."""
    sweep = swept({"scale": [1.0, 2.0, 3.0]}, [0.5, 0.6, 0.7])
    sweep = dataclasses.replace(sweep, runs=sweep.runs[1:4])  # the last point has no run
    ax = plots.plot_losses(sweep)
    assert "scale 3 (no run)" in ax.get_legend_handles_labels()[1]
    rows = [t.get_text() for t in plots.plot_accuracy(sweep).get_yticklabels()]
    assert rows == ["scale 1", "scale 2", "scale 3\n(no run)"]
    rows = [t.get_text() for t in plots.plot_differences(sweep, "scale 2").get_yticklabels()]
    assert rows[0] == "scale 1\n(1 of 2 pairs incomplete)"
