"""What docs/trust.rst shows is what was measured, and the figures are those that are wanted."""

import dataclasses
import importlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
if not FOLDER.exists():
    pytest.skip("the package is installed without its repository", allow_module_level=True)
sys.path += [str(FOLDER), str(ROOT / "docs" / "_ext")]

RESULTS = json.loads((FOLDER / "check_networks.json").read_text(encoding="utf-8"))
MEASURED = RESULTS["check_networks"]["measured"]
PAGE = (ROOT / "docs" / "trust.rst").read_text(encoding="utf-8")


def test_tables_of_the_page():
    """All that the page shows can be made of the file, and nothing else is in it."""
    pytest.importorskip("sphinx", reason="the group `docs` is not installed")
    directive = importlib.import_module("benchtables")
    assert directive.results_of("check_networks") == FOLDER / "check_networks.json"
    assert directive.results_of("growth") == FOLDER / "results.json"
    shown = re.findall(r"^\.\. benchmark:: check_networks ([\w-]+)$", PAGE, re.MULTILINE)
    tables = directive.tables_of("check_networks", RESULTS)
    assert set(shown) == set(tables)
    every = MEASURED["all"]
    assert f"{every['mended']} of {every['spoil']}" in str(tables["figures"])
    for row in MEASURED["missed"]:
        assert row[1] in str(tables["missed"])


def test_the_figures_are_those_that_are_wanted():
    """Found, placed and mended often enough; what trains is not called broken."""
    every, networks = MEASURED["all"], MEASURED["networks"].values()
    assert every["found"] >= 0.95 * every["spoil"]
    assert every["named"] >= 0.9 * every["found"]
    assert every["mended"] >= 0.8 * every["spoil"]
    train = sum(n["train"] for n in networks)
    assert train >= 30
    assert sum(n["error"] for n in networks) == 0
    assert sum(n["warning"] for n in networks) <= 0.02 * train
    assert every["harmless error"] == 0


@pytest.mark.parametrize(("count", "of"), [(3, 10), (102, 107), (0, 72), (5, 5)])
def test_intervals_of_shares(count, of):
    """Wilson's: its ends are the shares that are 1.96 standard errors from what was counted."""
    low, high = importlib.import_module("check_networks").share_interval(count, of)
    for share in (low, high):
        distance = abs(count / of - share) / max((share * (1 - share) / of) ** 0.5, 1e-12)
        assert distance == pytest.approx(1.959964) or share in (0, 1)
    assert 0 <= low <= count / of <= high <= 1
    assert low < high


def test_a_table_without_rows_is_a_sentence():
    """None of what it would list was found, which an empty table does not say."""
    pytest.importorskip("sphinx", reason="the group `docs` is not installed")
    directive = importlib.import_module("benchtables")
    tables = directive.tables_of("check_networks", RESULTS)
    empty = dataclasses.replace(tables["false"], columns={"network": [], "said": []})
    assert directive.shown(empty).astext() == f"{empty.caption}: none."
    assert "<table" in directive.shown(tables["figures"]).astext()


def test_only_libraries_that_were_checked_are_named():
    """A version below a table is that of something in it."""
    tables = importlib.import_module("check_networks").tables
    results = json.loads(json.dumps(RESULTS["check_networks"]))
    results["machine"]["versions"] |= {"timm": "9.8.7"}
    results["measured"]["networks"].pop("timm", None)
    assert "9.8.7" not in tables(results)["networks"].note
    results["measured"]["networks"]["timm"] = MEASURED["networks"]["small"]
    assert "9.8.7" in tables(results)["networks"].note


def test_counts_agree():
    """Those of the kinds of fault, and of the places, add up to all."""
    for kind in ("fault", "place"):
        for name, count in MEASURED["all"].items():
            assert sum(row[name] for row in MEASURED[kind].values()) == count
    assert len(MEASURED["missed"]) == MEASURED["all"]["spoil"] - MEASURED["all"]["found"]
    unmended = MEASURED["all"]["found"] - MEASURED["all"]["mended"]
    assert len(MEASURED["not mended"]) == unmended
