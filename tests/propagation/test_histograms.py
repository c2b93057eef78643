"""Histograms and quantiles on request."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from initguide.propagation import measure


def test_histograms_and_quantiles(draws, two_layers):
    """Histograms and quantiles are those of NumPy, of what each layer has."""
    model = two_layers(nn.Tanh())
    x = draws(50, 6)
    found = measure(model, x, histograms=11, quantiles=(0.0, 0.5, 0.9))
    expected = {"weights", "outputs", "activations", "weight_grads", "output_grads"}
    assert set(found["0"].histograms) == set(found["0"].quantiles) == expected
    assert set(found["1"].histograms) == {"outputs", "activations", "output_grads"}
    z = model[0](x).detach().numpy()
    for name, values in (
        ("weights", model[0].weight.detach().numpy()),
        ("outputs", z),
        ("activations", np.tanh(z)),
    ):
        histogram = found["0"].histograms[name]
        counts, edges = np.histogram(values.astype(np.float64), bins=11)
        np.testing.assert_array_equal(histogram.counts, counts)
        np.testing.assert_allclose(histogram.edges, edges)
        assert histogram.mean == pytest.approx(values.mean(), rel=1e-5)
        assert histogram.std == pytest.approx(values.std(), rel=1e-5)
        np.testing.assert_allclose(
            found["0"].quantiles[name], np.quantile(values, (0, 0.5, 0.9)), rtol=1e-5
        )
    assert measure(model, x)[0].histograms == {}
    assert measure(model, x)[0].quantiles == {}


def test_histograms_of_odd_values():
    """One value, huge values and values that are not finite are no trouble."""
    odd = torch.tensor([[1e30, 1e30, math.inf, math.nan]])
    for values, count in ((odd, 2), (torch.full((2, 3), 5.0), 6), (torch.zeros(1, 1), 1)):
        (record,) = measure(nn.Identity(), values, histograms=4, quantiles=[0.5])
        assert record.histograms["outputs"].counts.sum() == count
        assert record.histograms["outputs"].std == 0
    (record,) = measure(nn.Identity(), torch.full((1, 2), math.nan), histograms=4, quantiles=[0.5])
    assert "outputs" not in record.histograms
