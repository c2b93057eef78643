"""`plot_prediction`: what it draws, what it says, and what it refuses."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

import initguide
from initguide import plots, theory
from initguide.propagation import measure


def dashed(ax):
    """Predictions drawn, as lists."""
    return [
        line.get_ydata().tolist()
        for line in ax.lines
        if line.get_linestyle() == "--" and len(line.get_xdata())
    ]


FEW = {"He": [[1.0, 2.0, 4.0], [3.0, 2.0, 2.0]], "LeCun": [[1.0, 0.5, 0.2], [1.0, 0.5, 0.4]]}
EXPECTED = {"He": [2.0, 2.0, 2.0], "LeCun": [1.0, 0.5, 0.25]}


def test_dots(labelled):
    """Few places: every draw is a dot, and predictions are dashed."""
    ax = plots.plot_prediction(FEW, EXPECTED, at=["fc1", "fc2", "fc3"])
    dots = labelled(ax)["He"]
    assert dots.get_xdata().tolist() == [1, 2, 3, 1, 2, 3]
    assert dots.get_ydata().tolist() == [1, 2, 4, 3, 2, 2]
    assert dots.get_linestyle() == "None"
    assert dashed(ax) == list(EXPECTED.values())
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["He", "LeCun", "measured, one dot per seed", "predicted"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["fc1", "fc2", "fc3"]
    assert ax.get_xlabel() == "layer"


def test_band(labelled):
    """Many places: the draws are their mean and a band from end to end."""
    draws = np.random.default_rng(0).uniform(1, 2, (4, 50))
    ax = plots.plot_prediction({"edge": draws}, np.full(50, 1.5))
    np.testing.assert_allclose(labelled(ax)["edge"].get_ydata(), draws.mean(0))
    (band,) = ax.collections
    vertices = band.get_paths()[0].vertices
    assert vertices[:, 1].min() == draws.min()
    assert vertices[:, 1].max() == draws.max()
    assert "measured, smallest to largest" in labelled(ax)
    assert labelled(ax)["predicted"].get_ydata().tolist() == [1.5] * 50


def test_one_draw(labelled):
    """One draw needs no explanation of draws in the legend."""
    ax = plots.plot_prediction({"a": [1.0, 2.0]}, [1.0, 2.0])
    assert list(labelled(ax)) == ["a", "predicted"]


def test_looks(labelled):
    """Colours are the schemes', and markers differ."""
    ax = plots.plot_prediction(
        FEW, EXPECTED, schemes={"He": "he_normal()", "LeCun": "lecun_normal()"}
    )
    lines = labelled(ax)
    assert to_hex(lines["He"].get_color()) == plots.color_of("he_normal")
    assert to_hex(lines["LeCun"].get_color()) == plots.color_of("lecun_normal")
    assert lines["He"].get_marker() != lines["LeCun"].get_marker()


def test_numbers_as_places(labelled):
    """Places can be numbers."""
    ax = plots.plot_prediction(FEW, EXPECTED, at=[0.1, 1.0, 10.0], xlabel="gain")
    assert labelled(ax)["predicted"].get_xdata().tolist() == [0.1, 1.0, 10.0]
    assert ax.get_xlabel() == "gain"


@pytest.mark.parametrize(
    ("factor", "log", "scale"),
    [(10, None, "linear"), (100, None, "log"), (100, False, "linear"), (10, True, "log")],
)
def test_logarithmic(factor, log, scale):
    """Numbers over a wide range are on a logarithmic axis, which says so."""
    ax = plots.plot_prediction({"a": [1.0, factor]}, [1.0, factor], log=log, ylabel="mean square")
    assert ax.get_yscale() == scale
    assert ("logarithmic" in ax.get_ylabel()) == (scale == "log")


def test_alt_text():
    """It has the ends of each prediction and the largest deviation."""
    ax = plots.plot_prediction(FEW, EXPECTED, at=["fc1", "fc2", "fc3"], title="Sizes")
    assert plots.alt_text(ax.figure) == (
        "Sizes: He predicted 2.00 in fc1 and 2.00 in fc3, mean of 2 draws off by at most 50.0 %; "
        "LeCun predicted 1.00 in fc1 and 0.25 in fc3, mean of 2 draws off by at most 20.0 %."
    )


def test_deviation_from_0():
    """Where 0 is predicted, the deviation is a difference, not a share."""
    ax = plots.plot_prediction({"a": [0.5, 1.0]}, [0.0, 1.0])
    assert plots.alt_text(ax.figure).endswith("measured off by at most 0.50.")


def test_alt_text_of_many():
    """Of many labels it keeps the deviations only."""
    measured = {f"a scheme with the number {i}": [[1.0 + i, 2.0]] for i in range(6)}
    text = plots.alt_text(plots.plot_prediction(measured, [1.0, 2.0]).figure)
    assert len(text) <= 400
    assert "number 5 500 %" in text


def test_gaps():
    """A draw that overflowed and a place without a prediction leave gaps."""
    ax = plots.plot_prediction({"a": [[1.0, np.inf, 3.0]]}, [1.0, 2.0, np.nan])
    assert "predicted 1.00 in 1 and 2.00 in 2" in plots.alt_text(ax.figure)
    assert "off by at most 0.00 %" in plots.alt_text(ax.figure)
    ax.figure.canvas.draw()


def test_panels():
    """Panels can share a legend, and the alt text is added to what was there."""
    figure, ax = plots.subplots()
    plots.describe(ax, "Before.")
    ax.plot([1, 2], [1, 1])
    same = plots.plot_prediction(FEW, EXPECTED, legend=False, ax=ax)
    assert same is ax
    assert ax.get_legend() is None
    assert ax.get_legend_handles_labels()[1][-1] == "predicted"
    assert plots.alt_text(figure).startswith("Before. Measured and predicted: He")


def test_theory():
    """It takes tensors, and what `predict_variances` returns."""
    x = torch.randn(40, 784, generator=torch.Generator().manual_seed(0))
    net = initguide.initialize(initguide.Net(), "he_normal", seed=0).eval()
    found = [r for r in measure(net, x) if r.kind == "Linear"]
    sums = torch.tensor([[r.output_second_moment for r in found]])
    predictions = theory.predict_variances(net, x)
    chosen = [p for p in predictions if p.name in {r.name for r in found}]
    ax = plots.plot_prediction({"He": sums}, {"He": chosen}, at=[r.name for r in found])
    assert dashed(ax) == [[float(p) for p in chosen]]


@pytest.mark.parametrize(
    ("measured", "predicted", "kw", "words"),
    [
        ({}, [1.0], {}, "measured is empty"),
        ({"a": []}, [1.0], {}, r"measured\['a'\] has shape \(0,\); it must be \(draws, places\)"),
        ({"a": np.ones((2, 2, 2))}, [1.0, 1.0], {}, r"shape \(2, 2, 2\)"),
        ({"a": [1.0], "b": [1.0, 2.0]}, [1.0], {}, "'b'.* has 2 places, but .*'a'.* has 1"),
        ({"a": [1.0]}, {"b": [1.0]}, {}, "predicted is for b, but measured is for a"),
        ({"a": [1.0]}, {}, {}, "predicted is for no label, but measured is for a"),
        ({"a": [1.0]}, [1.0, 2.0], {}, "predicted has 2 numbers, but one place was measured"),
        ({"a": [1.0, 2.0]}, {"a": [1.0]}, {}, r"predicted\['a'\] has one number, but 2 places"),
        ({"a": [1.0, 2.0]}, [1.0, 2.0], {"at": ["fc1"]}, "at has one place, but 2 numbers"),
        ({"a": [np.nan]}, [np.inf], {}, "no finite number"),
        ({"a": [-1.0]}, [1.0], {"log": True}, "log is True, but .* negative"),
    ],
)
def test_refusals(measured, predicted, kw, words):
    """Errors say what came and what is allowed, before a figure is made."""
    with pytest.raises(ValueError, match=words):
        plots.plot_prediction(measured, predicted, **kw)
    assert not plt.get_fignums()
