"""Where a network is made, as reports for CI say it."""

import sys

from initguide.cli.naming import place_of


def test_a_factory_behind_a_decorator(tmp_path, monkeypatch):
    """The file is that of the factory, as the line is, and not the decorator's."""
    (tmp_path / "decorating.py").write_text(
        "import functools\n"
        "def logged(make):\n"
        "    @functools.wraps(make)\n"
        "    def wrapper(*args):\n"
        "        return make(*args)\n"
        "    return wrapper\n"
    )
    (tmp_path / "factories.py").write_text(
        "from decorating import logged\n" + "\n" * 8 + "@logged\ndef make():\n    return None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path, line = place_of("factories:make")
    for name in ("factories", "decorating"):
        monkeypatch.delitem(sys.modules, name)
    assert path is not None
    assert (path.name, line) == ("factories.py", 10)
