"""A compiler to be set up as a test needs it, and a folder of its own to keep what it makes."""

import shutil
import stat

import pytest

from initguide.training.engine import library

REAL = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A function that sets up a compiler: a command, or lines of a script around the real one."""
    library._library.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def use(command=REAL, lines=()):
        if lines:
            script = tmp_path / "compiler"
            script.write_text("\n".join(["#!/bin/sh", *lines, f'exec {REAL} "$@"', ""]))
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
            command = str(script)
        monkeypatch.setenv("INITGUIDE_CC", command)
        library._library.cache_clear()

    yield use
    library._library.cache_clear()
