"""What a record is, and how a number is added to it."""

import dataclasses

import pytest
from torch import nn

from initguide.propagation import VALUES, Record, looks, measure, measurement, watching
from initguide.propagation.statistics import by_kind, number, numbers_of

FIELDS = (
    *("name", "kind", "fan_in", "fan_out", "weight_std", "output_mean", "output_var"),
    *("output_second_moment", "weight_grad_var", "output_grad_var", "dead_fraction"),
    *("saturated_fraction", "distinct_units"),
)


def test_contract(draws, lesson_net):
    """A record has the agreed fields, plain numbers, and cannot be changed."""
    found = measure(lesson_net(), draws(5, 784))
    record = found["fc1"]
    for name in FIELDS:
        assert isinstance(getattr(record, name), str | int | float), name
    assert set(VALUES) == set(FIELDS) - {"name", "kind"}
    with pytest.raises(AttributeError):
        record.output_var = 0.0
    with pytest.raises(AttributeError):
        found.loss = 0.0


def test_a_number_is_one_field(draws, monkeypatch):
    """A field made by `number` is measured, listed and printed without any other change."""

    @dataclasses.dataclass(frozen=True, eq=False)
    class Extended(Record):
        zero_fraction: float = number(
            "outputs that are 0 (fraction)",
            of="outputs",
            by=lambda seen: (seen.tensors[0] == 0).double().mean(),
            column="zeros",
        )

    extended = numbers_of(Extended)
    monkeypatch.setattr(watching, "Record", Extended)
    monkeypatch.setattr(measurement, "NUMBERS", extended)
    monkeypatch.setattr(looks, "_STATISTICS", by_kind(extended))
    x = draws(10, 4)
    found = measure(nn.Sequential(nn.Identity(), nn.ReLU()), x)
    assert [r.zero_fraction for r in found] == [0.0, (x <= 0).double().mean().item()]
    assert "zeros" in str(found)
