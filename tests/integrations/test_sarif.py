"""Reports in SARIF."""

import json

import pytest
import torch

import initguide
from initguide.checkup import CODES
from initguide.integrations import sarif

IMAGES = torch.randn(20, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def report():
    """Of a network of equal weights."""
    model = initguide.initialize(initguide.Net(), "ones")
    return initguide.check_init(model, IMAGES, torch.arange(20) % 10)


def test_what_the_format_asks_for(report):
    """Each result has a rule that is described, a level, a message and a place."""
    log = json.loads(sarif(report, "nets/mine.py", 7))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(report.findings) > 1
    for result, finding in zip(run["results"], report.findings, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.code
        assert rules[result["ruleIndex"]]["shortDescription"]["text"] == CODES[finding.code]
        assert result["level"] == finding.severity
        assert finding.evidence in result["message"]["text"]
        assert finding.advice in result["message"]["text"]
        (place,) = result["locations"]
        assert place["physicalLocation"] == {
            "artifactLocation": {"uri": "nets/mine.py"},
            "region": {"startLine": 7},
        }
        assert place["logicalLocations"][0]["fullyQualifiedName"] == finding.layer
    assert len({rule["id"] for rule in rules}) == len(rules)


def test_places(report, tmp_path):
    """An absolute path is an address; without a file, the layer is the place."""
    place = json.loads(sarif(report, tmp_path / "a b.py"))["runs"][0]["results"][0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"].startswith("file:///")
    assert place["physicalLocation"]["artifactLocation"]["uri"].endswith("a%20b.py")
    place = json.loads(sarif(report, "my nets/a.py"))["runs"][0]["results"][0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "my%20nets/a.py"
    place = json.loads(sarif(report))["runs"][0]["results"][0]["locations"][0]
    assert list(place) == ["logicalLocations"]


@pytest.mark.parametrize("line", [0, 1.5, True, "3"])
def test_lines_that_are_none(report, line):
    """What the format would not take is refused."""
    with pytest.raises(ValueError, match=rf"line is {line!r}; it must be a whole number, at lea"):
        sarif(report, "nets.py", line)


def test_nothing_found():
    """An empty list of results says that all is well; no list would say that nothing was run."""
    model = initguide.initialize(initguide.Net(), "he_normal", seed=0)
    report = initguide.check_init(model, IMAGES)
    log = json.loads(sarif(report))
    assert log["runs"][0]["results"] == []
