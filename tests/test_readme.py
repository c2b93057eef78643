"""The README's Python runs as it stands there."""

import re
from pathlib import Path

import initguide

README = Path(__file__).parents[1] / "README.md"


def test_python_of_the_readme(tmp_path, monkeypatch, sample, capsys):
    """Block by block in one namespace, on a small part of the sample; no cluster is at hand."""
    small = sample.subset(400, 200, 200)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(initguide, "fashion_mnist", lambda: small)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    for block in blocks:
        if "tcp://" not in block:
            exec(block, names)  # noqa: S102
    assert len(blocks) == 5
    printed = capsys.readouterr().out
    assert "he_normal − default" in printed
    assert "equal-units" in printed
    assert "normal: right" in printed
    assert Path("runs.sqlite").is_file()
