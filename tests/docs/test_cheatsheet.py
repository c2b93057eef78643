"""The cheat sheet."""

import json
import re
import shutil
from importlib import import_module as extension
from pathlib import Path

import typst

ROOT = Path(__file__).parents[2]


def test_cheat_sheet_is_one_page_with_the_measured_numbers(tmp_path):
    """Typst makes one page of it, with and without the accuracies that a page measured."""
    cheatsheet, which = extension("cheatsheet"), extension("which")
    (tmp_path / cheatsheet.TABLE).parent.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / which.SOURCE, tmp_path)
    lines = [f"scheme {i},{seed},0.8{seed}" for i in range(12) for seed in range(3)]
    empty = cheatsheet.contents(tmp_path)
    (tmp_path / cheatsheet.TABLE).write_text("\n".join(["label,seed,valid_accuracy", *lines]))
    full = cheatsheet.contents(tmp_path)
    assert empty["accuracies"] == []
    assert full["accuracies"][0] == ["scheme 0", "81.00", "2.48"]
    assert full["seeds"] == 3
    cells = [
        row["start"]
        for table in which.tables(tmp_path)
        for row in table["row"]
        if "sheet" in row["start"]
    ]
    longest = [max((c.get(o, "") for o in ("no", "undecided")), key=len) for c in cells]
    otherwise = [
        [network, words or said]  # whatever comes out
        for (network, said), words in zip(full["choices"], longest, strict=True)
    ]
    template = str(ROOT / "docs" / "cheatsheet.typ")
    for numbers in (empty, full, full | {"choices": otherwise}):
        inputs = {"data": json.dumps(numbers)}
        pdf = typst.compile(template, sys_inputs=inputs, ignore_system_fonts=True)
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


def test_cheat_sheet_numbers():
    """Closed forms: the gain of ReLU, and what Xavier does to ten ReLU layers."""
    cheatsheet = extension("cheatsheet")
    assert cheatsheet.gains()[0] == ["ReLU", "1.414", "1.414", "1.414"]
    he, xavier, default = cheatsheet.decays()
    assert he[1:] == ["1", "1", "1"]
    assert xavier[2] == "9.8 · 10⁻⁴"  # 2^-10
    assert default[2] == "1.7 · 10⁻⁸"  # 6^-10
