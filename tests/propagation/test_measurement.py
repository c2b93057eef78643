"""The result as a sequence and as a table."""

import numpy as np
import pytest
import torch
from torch import nn

import initguide
from initguide.propagation import Measurement, Record, measure


def test_is_a_sequence(draws, lesson_net):
    """Records are found by number, slice and name, and by a loop."""
    found = measure(lesson_net(), draws(4, 784))
    assert isinstance(found, Measurement)
    assert isinstance(found[0], Record)
    assert [r.name for r in found] == ["fc1", "dropout", "fc2", "dropout", "fc3"]
    assert len(found) == len(found.layers) == 5
    assert found[-1] is found["fc3"]
    assert found[1:3] == (found[1], found[2])
    with pytest.raises(KeyError, match="no layer 'fc9' ran; those that did are fc1, dropout, fc2"):
        found["fc9"]
    with pytest.raises(IndexError):
        found[5]
    np.testing.assert_array_equal(found.values("output_var"), [r.output_var for r in found])
    with pytest.raises(ValueError, match="unknown value 'var'; the values are fan_in, fan_out"):
        found.values("var")


def test_table_fits(draws, lesson_net):
    """The table has a line a record, no empty column, and at most 100 characters a line."""
    text = str(measure(lesson_net(), draws(4, 784), torch.ones(4).long()))
    assert "flat" not in text  # nothing saturates
    assert "dropout #2" in text
    assert "Loss" in text
    assert "evaluation" not in text
    deep = nn.Sequential()
    inner = deep
    for name in ("a_long_name", "another_long_name", "and_one_more_for_good_measure"):
        inner.add_module(name, nn.Sequential())
        inner = inner[0]
    inner.append(nn.Linear(10, 1000)).append(nn.Tanh()).append(nn.Linear(1000, 2))
    found = measure(initguide.initialize(deep, "normal(1e-9)"), draws(3, 10))
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("Linear" in line for line in lines) == 2
    assert "flat" in lines[2]
    assert repr(found) == str(found)


def test_html_is_safe(draws, using):
    """Names are escaped, and row and column headers are marked as such."""
    html = measure(nn.Sequential(nn.ModuleDict({"<b>": nn.Linear(2, 2)})["<b>"]), draws(2, 2))
    model = using(lambda self, x: getattr(self, "<b>")(x), **{"<b>": nn.Linear(2, 2)})
    text = measure(model, draws(2, 2))._repr_html_()
    assert '<th scope="row">&lt;b&gt;</th>' in text
    assert "<b>" not in text
    assert html._repr_html_().count("<tr>") == 2
