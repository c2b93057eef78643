"""`plot_layers`: a number a layer, measured and predicted."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from torch import nn

import initguide
from initguide import plots
from initguide.propagation import measure


class Prediction(NamedTuple):
    """What theory says of one layer."""

    name: str
    number: float

    def __float__(self):
        return float(self.number)


def test_curve_of_one_measurement(labelled, found):
    """The numbers drawn are those of the linear layers, named on the axis."""
    m = found()
    ax = plots.plot_layers(m)
    (line,) = labelled(ax).values()
    expected = [m[name].output_second_moment for name in ("fc1", "fc2", "fc3")]
    np.testing.assert_array_equal(line.get_ydata(), expected)
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["fc1", "fc2", "fc3"]
    assert ax.get_yscale() == "linear"
    assert ax.get_ylabel() == "mean square of the outputs"
    assert ax.get_legend() is None
    text = plots.alt_text(ax.figure)
    assert text.startswith("Mean square of the outputs, layer by layer: measured from ")
    assert text.endswith(" in fc3.")
    assert f"{expected[0]:.2f} in fc1" in text


def test_seeds_have_a_mean_and_a_band(labelled, found):
    """Several measurements are drawn as their mean, from the smallest to the largest."""
    several = [found(seed=seed) for seed in range(3)]
    ax = plots.plot_layers({"He normal": several}, value="output_var")
    values = np.array([[m[name].output_var for name in ("fc1", "fc2", "fc3")] for m in several])
    line = labelled(ax)["He normal"]
    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
    assert to_hex(line.get_color()) == plots.color_of("he_normal")
    (band,) = ax.collections
    ends = band.get_paths()[0].vertices[:, 1]
    assert ends.min() == pytest.approx(values.min())
    assert ends.max() == pytest.approx(values.max())
    title = ax.get_legend().get_title().get_text()
    assert title == "mean of 3 measurements; band: smallest to largest"


@pytest.mark.parametrize(
    "predicted",
    [
        [1.0, 2.0, 3.0],
        np.array([1.0, 2.0, 3.0]),
        {"fc1": 1.0, "fc2": 2.0, "fc3": 3.0, "other": 9.0},
        [
            Prediction("fc1", 1),
            Prediction("dropout", 5),
            Prediction("fc2", 2),
            Prediction("fc3", 3),
        ],
    ],
)
def test_predictions(predicted, labelled, found):
    """Numbers, names or records: all are drawn through the curves, with hollow markers."""
    ax = plots.plot_layers(found(), predicted=predicted)
    line = labelled(ax)["predicted"]
    np.testing.assert_array_equal(line.get_ydata(), [1, 2, 3])
    assert line.get_markerfacecolor() == "none"
    assert "predicted from 1.00 in layer 1 to 3.00 in layer 3" in plots.alt_text(ax.figure)


def test_predictions_with_gaps(labelled, found):
    """Where there is no prediction, or an infinite one, there is a gap."""
    ax = plots.plot_layers(found(), predicted={"fc1": 1.0, "fc3": math.inf})
    np.testing.assert_array_equal(labelled(ax)["predicted"].get_ydata(), [1, math.nan, math.nan])


def test_theory_draws_through_the_measured(labelled, inputs):
    """What theory's own function returns can be given as it is."""
    net = initguide.initialize(initguide.Net(), "he_normal", seed=0).eval()
    theory = pytest.importorskip("initguide.theory")
    predicted = theory.predict_variances(net, inputs)
    ax = plots.plot_layers(measure(net, inputs), predicted=predicted)
    np.testing.assert_allclose(
        labelled(ax)["predicted"].get_ydata(),
        [predicted[name].second_moment for name in ("fc1", "fc2", "fc3")],
    )


def test_predictions_of_each_label(labelled, found):
    """With several labels, each can have its own predictions, in its own colour."""
    ax = plots.plot_layers(
        {"He normal": found(), "General rule": found("general_rule")},
        predicted={"General rule": [1, 2, 3], "He normal": {"fc2": 5.0}},
    )
    lines = labelled(ax)
    assert set(lines) == {
        "He normal",
        "General rule",
        "He normal, predicted",
        "General rule, predicted",
    }
    for label in ("He normal", "General rule"):
        assert lines[label].get_color() == lines[f"{label}, predicted"].get_color()
    np.testing.assert_array_equal(lines["General rule, predicted"].get_ydata(), [1, 2, 3])


def test_a_layer_used_twice_has_two_predictions(labelled, inputs):
    """Uses are told apart by their order; one prediction serves for all."""
    layer = nn.Linear(784, 784)
    m = measure(nn.Sequential(layer, nn.ReLU(), layer), inputs)
    ax = plots.plot_layers(m, predicted=[Prediction("0", 1), Prediction("0", 2)])
    np.testing.assert_array_equal(labelled(ax)["predicted"].get_ydata(), [1, 2])
    ax = plots.plot_layers(m, predicted={"0": 4})
    np.testing.assert_array_equal(labelled(ax)["predicted"].get_ydata(), [4, 4])


def test_logarithmic_where_honest(found):
    """Wide ranges of numbers above 0 make the axis logarithmic, and it says so."""
    wide = {"Wide": found("normal(1.0)")}
    ax = plots.plot_layers(wide)
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel().endswith(",\nlogarithmic scale")
    assert "logarithmic scale" in plots.alt_text(ax.figure)
    assert plots.plot_layers(wide, log=False).get_yscale() == "linear"
    assert plots.plot_layers(found(), log=True).get_yscale() == "log"
    assert plots.plot_layers(wide, value="output_mean").get_yscale() == "linear"
    with pytest.raises(ValueError, match="log is True, but output_mean is negative in some layers"):
        plots.plot_layers(wide, value="output_mean", log=True)


def test_zero_on_a_logarithmic_axis(found):
    """A 0 is shown as a cross at the bottom, not dropped."""
    ax = plots.plot_layers({"Zeros": found("zeros"), "Wide": found("normal(1.0)")})
    assert ax.get_yscale() == "log"
    crosses = [line for line in ax.lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[1, 2, 3]]
    assert ax.get_legend().get_title().get_text() == "×: 0"
    assert "Zeros from 0.00 in fc1 to 0.00 in fc3" in plots.alt_text(ax.figure)
    assert plots.plot_layers(found("zeros"), log=True).get_yscale() == "linear"  # nothing above 0


def test_infinite_values():
    """An overflow is left out of the curve, and counted."""
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    m = measure(initguide.initialize(net, "constant(1e30)"), torch.ones(3, 2))
    ax = plots.plot_layers(m, value="output_mean")
    assert ax.get_legend().get_title().get_text() == "2 infinite values left out"
    assert "measured 2.0e+30 in 0" in plots.alt_text(ax.figure)


def test_other_kinds(labelled, found, inputs):
    """Any kind of layer can be shown; without a linear one, all are."""
    m = found()
    ax = plots.plot_layers(m, kinds=["Dropout"])
    np.testing.assert_array_equal(
        labelled(ax)["measured"].get_ydata(), [m[1].output_second_moment, m[3].output_second_moment]
    )
    assert len(labelled(plots.plot_layers(m, kinds="Dropout"))["measured"].get_xdata()) == 2
    ax = plots.plot_layers(measure(nn.ReLU(), inputs))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["ReLU"]


def test_deep_networks_have_numbers():
    """Fifty names do not fit: layers are numbered."""
    net = nn.Sequential(*[nn.Linear(8, 8) for _ in range(50)])
    m = measure(initguide.initialize(net, "general_rule", seed=0), torch.ones(3, 8))
    ax = plots.plot_layers(m)
    assert ax.get_xlabel() == "number of the layer"
    assert ax.get_yscale() == "log"


def test_gaps_where_a_layer_has_no_number(labelled, found):
    """The last layer has no activation, so no dead units: the curve ends before it."""
    ax = plots.plot_layers(found(), value="dead_fraction")
    assert list(np.isfinite(labelled(ax)["measured"].get_ydata())) == [True, True, False]
    assert plots.alt_text(ax.figure).endswith(" in fc2.")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: plots.plot_layers({}), "measured is empty"),
        (lambda _: plots.plot_layers({"a": []}), "'a' holds no measurement"),
        (
            lambda found: plots.plot_layers(found(), value="var"),
            "unknown value 'var'; the values are fan",
        ),
        (
            lambda found: plots.plot_layers(found(), kinds=["Conv2d"]),
            "kinds is .'Conv2d'., but no such layer ran; there are: Linear, Dropout",
        ),
        (
            lambda found: plots.plot_layers(found(), predicted=[1, 2]),
            "predicted has 2 numbers, but 3 layers are drawn: fc1, fc2, fc3",
        ),
        (
            lambda found: plots.plot_layers(found(), predicted={"x": 1}),
            "predicted is for x, but the layers drawn are fc1, fc2, fc3",
        ),
        (
            lambda found: plots.plot_layers(
                [found(), measure(nn.Linear(784, 2), torch.ones(2, 784))]
            ),
            "the measurements of 'measured' are of different layers",
        ),
        (
            lambda found: plots.plot_layers(found(), value="saturated_fraction"),
            "none of the layers drawn has a finite saturated_fraction",
        ),
        (
            lambda found: plots.plot_ridges(found()),
            "none of the layers has a histogram of outputs; meas",
        ),
        (
            lambda found: plots.plot_ridges(found(histograms=5), of="biases"),
            "unknown histograms 'biases'; of is one of weights, outputs, activations",
        ),
    ],
)
def test_refused(call, message, found):
    """What cannot be drawn is refused, with what is there."""
    with pytest.raises(ValueError, match=message):
        call(found)
