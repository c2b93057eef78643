"""A new kind of layer is one registered function; typing errors and duplicates are refused."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, nn

from initguide import initializers as init
from initguide import theory
from initguide.prediction import protocol, rules
from initguide.prediction.belief import Gap


@pytest.fixture(autouse=True)
def _registered():
    """What a test registers is gone after it."""
    before = dict(protocol.RULES)
    yield
    protocol.RULES.clear()
    protocol.RULES.update(before)


class Between(nn.Module):
    """Two layers, and a function of the first one's outputs."""

    def __init__(self, function):
        super().__init__()
        self.a, self.b, self.function = nn.Linear(200, 200), nn.Linear(200, 200), function
        self.apply(init.normal(0.1, generator=Generator().manual_seed(0)))

    def forward(self, x):
        """The second layer sees what the function makes."""
        return self.b(self.function(self.a(x)))


def _second(function):
    x = torch.randn(50, 200, generator=Generator().manual_seed(1))
    return theory.predict_variances(Between(function), x)["b"]


def test_a_registered_rule_is_followed():
    """Before: measured, with the reason; with a rule of three lines: from the inputs."""
    assert "after sort (not elementwise" in _second(lambda h: h.sort(1)[0]).basis

    @protocol.rule("sort", takes=("input", "dim"))
    def sort(call):
        assert call["dim"] == 1
        return replace(call.known(call["input"]), normal=False, mean=math.nan, measured=False)

    for function in (lambda h: h.sort(1)[0], lambda h: torch.sort(input=h, dim=1)[0]):
        record = _second(function)
        assert record.basis == "the inputs"
        assert record.second_moment == pytest.approx(record.measured, rel=0.1)


def test_a_registered_layer_has_records():
    """A layer is recorded, predicted or declined; what fails in its rule is told."""

    class Bilinear(nn.Bilinear):
        def forward(self, x):
            return super().forward(x, x)

    def records(function):
        protocol.RULES.pop("bilinear", None)
        protocol.layer("bilinear", takes=("input", "other", "weight", "bias"))(function)
        return theory.predict_variances(Bilinear(4, 4, 3), torch.ones(2, 4))

    def declines(_):
        raise Gap("two inputs meet")

    (record,) = records(declines)
    assert (record.kind, record.predicted, record.reason) == (
        "Bilinear", False, "two inputs meet",
    )  # fmt: skip
    (record,) = records(lambda call: call["nothing"])
    assert record.reason == "its rule failed: KeyError: 'nothing'"
    (record,) = records(lambda call: call.before)
    assert (record.predicted, record.second_moment) == (True, 1.0)


def test_a_registered_reason_is_told():
    """The next layer starts from what was measured, for that reason."""
    protocol.reason("it depends on the order", "cumsum")
    assert _second(lambda h: h.cumsum(1)).basis == (
        "what was measured after cumsum (it depends on the order)"
    )


def test_names_that_cannot_be_registered():
    """Twice the same name."""
    for register in (protocol.rule, protocol.layer):
        with pytest.raises(ValueError, match="'relu_' has a rule or a reason already"):
            protocol.reason("no", "relu_", "relu_")
        protocol.RULES.pop("relu_")
        for name in ("linear", "softmax", "cat"):
            with pytest.raises(ValueError, match=f"'{name}' has a rule or a reason already"):
                register(name, takes=("input", "weight"))(lambda call: call.before)


def test_torch_has_every_name():
    """A typing error would be a rule that nobody asks; another torch may differ."""
    assert not protocol.UNKNOWN
    protocol.reason("no", "sofmax")
    assert {"sofmax"} == protocol.UNKNOWN
    protocol.UNKNOWN.clear()


def test_all_files_of_rules_are_imported():
    """A new file in the folder needs no mention elsewhere."""
    (folder,) = map(Path, rules.__path__)
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert len(files) > 10
    assert {f"{rules.__name__}.{name}" for name in files} <= set(sys.modules)
