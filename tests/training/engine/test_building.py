"""Compilers that are not there, fail, or are wrong; and what is kept of the others' work."""

import contextlib
import ctypes
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn
from training_networks import needs_compiler

from initguide.models import Net
from initguide.training import Plan, engine, plan, train
from initguide.training.engine import building, library

REAL = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)

NEEDS_X86 = pytest.mark.skipif(
    sys.platform == "win32" or platform.machine() != "x86_64", reason="nothing is compiled here"
)


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


def _kept(tmp_path):
    """The files that are kept."""
    return list((tmp_path / "cache/initguide/compiled").iterdir())


def test_works_where_it_should():
    """With a compiler and AVX2; if it did not, most of the tests here would be skipped."""
    info = Path("/proc/cpuinfo")
    if os.environ.get("INITGUIDE_CC") == "off":
        pytest.skip("somebody wants to do without")
    if REAL is None or not info.exists() or " avx2 " not in info.read_text(encoding="utf-8"):
        pytest.skip("needs Linux, a C compiler and AVX2")
    assert engine.works()


@pytest.mark.parametrize("word", ["off", "OFF", "0"])
def test_switched_off(compiler, data, ways, word):
    """Everything goes on by PyTorch, and says nothing."""
    compiler(word)
    assert not engine.works()
    assert engine.knows(Net())
    assert not engine.fits(Net())
    assert plan(Net()) == Plan("side by side", 5)
    train(Net(8, 8), data, epochs=1)
    assert ways == [("alone", 1)]


def test_no_compiler_at_all(compiler, monkeypatch, tmp_path):
    """The same: nobody asked for one."""
    compiler("")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not engine.works()


@NEEDS_X86
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("no-such-compiler -O3", "FileNotFoundError: there is no such command"),
        ("cc 'as you like", "ValueError: No closing quotation"),
        ("false", "OSError: exit status 1"),
        (f"{sys.executable} -c 'raise RuntimeError(1)'", "OSError: exit status 1, RuntimeError: 1"),
        (f"{sys.executable} -c 1", "OSError: the processor has no AVX2"),
    ],
)
def test_a_named_compiler_that_cannot_be_used(compiler, command, reason):
    """The one who named it learns why, once."""
    compiler(command)
    with pytest.warns(UserWarning, match=re.escape(reason)) as seen:
        assert not engine.works()
    assert f"INITGUIDE_CC is {command!r}, which cannot be used" in str(seen[0].message)
    assert not engine.works()


@needs_compiler
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('case "$*" in *-dM*) ;; *) echo "no space" >&2; exit 3;; esac', "exit status 3, no space"),
        (
            'case "$*" in *-dM*) ;; *) while [ "$1" != -o ]; do shift; done; : >"$2"; exit; esac',
            "OSError: .*too short",
        ),
        ('set -- "$@" -mno-avx2 -mno-avx512f', "the processor has no AVX2"),
        ('set -- "$@" -fvisibility=hidden', "AttributeError: .*undefined symbol"),
    ],
)
def test_a_compiler_that_fails(compiler, line, reason):
    """It is as if there were none, but for a warning."""
    compiler(lines=[line])
    with pytest.warns(UserWarning, match=reason):
        assert not engine.works()


@needs_compiler
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("h[j] <= 0 ?", "h[j] > 0 ?"),  # gradients of the wrong units
        ("y << 7", "y << 8"),  # other random numbers
        ("first[i] += b1", "first[i] -= b1"),
        ("grads[r * l->stride + j]", "grads[j]"),
        ("tile[i * width + j] * scale", "tile[i * width + j]"),
        ("to[j * wide + k] = from", "to[j * wide + k] = 2 * from"),
    ],
)
def test_a_compiler_that_is_wrong(compiler, tmp_path, monkeypatch, right, wrong):
    """What it makes is tried beside PyTorch before it is used."""
    source = building.SOURCE.read_text(encoding="utf-8")
    assert source.count(right) == 1
    copied = tmp_path / "connected.c"
    copied.write_text(source, encoding="utf-8")
    monkeypatch.setattr(building, "SOURCE", copied)
    compiler()
    assert engine.works()
    copied.write_text(source.replace(right, wrong), encoding="utf-8")
    compiler()
    with pytest.warns(UserWarning, match="what it makes gives other numbers than PyTorch"):
        assert not engine.works()


@needs_compiler
def test_whoever_asks_first(compiler):
    """The caller's defaults and modes do not decide about the whole process."""

    def asked(*contexts):
        library._library.cache_clear()
        with contextlib.ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context)
            return engine.works()

    compiler()
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert asked()
    finally:
        handle.remove()
    assert asked(torch.inference_mode())
    assert asked(torch.no_grad())
    assert asked(torch.autocast("cpu", torch.bfloat16))
    assert asked(torch.device("meta"))
    torch.set_default_dtype(torch.float64)
    try:
        assert asked()
    finally:
        torch.set_default_dtype(torch.float32)


@needs_compiler
def test_the_global_generator_is_left_alone(compiler):
    """Nobody's stream is disturbed by trying."""
    compiler()
    state = torch.get_rng_state()
    assert engine.works()
    assert torch.equal(torch.get_rng_state(), state)


# What is kept


@needs_compiler
def test_compiled_once(compiler, tmp_path):
    """What was compiled is kept, and found by the next process."""
    log = tmp_path / "log"
    compiler(lines=[f'echo "$*" >> {log}'])
    for _ in range(3):
        library._library.cache_clear()
        assert engine.works()
    calls = log.read_text().splitlines()
    assert sum("-dM" not in call for call in calls) == 1
    [kept] = _kept(tmp_path)
    assert kept.suffix == ".so"


@needs_compiler
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_kept_file_that_is_damaged(compiler, tmp_path, share):
    """It is made again."""
    compiler()
    assert engine.works()
    [kept] = _kept(tmp_path)
    content = kept.read_bytes()
    kept.unlink()  # this process has it loaded
    kept.write_bytes(content[: int(share * len(content))])
    kept.chmod(0o700)
    library._library.cache_clear()
    assert engine.works()
    [made] = _kept(tmp_path)
    assert made.stem.rpartition("-")[2] == building.digest(made.read_bytes())


@needs_compiler
@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_place_that_others_can_write_to(compiler, tmp_path, what):
    """Nothing is loaded from there: it would be somebody else's code."""
    compiler()
    assert engine.works()
    [kept] = _kept(tmp_path)
    (kept if what == "file" else kept.parent).chmod(0o777)
    inside = kept.read_bytes()
    loaded = []
    real = ctypes.CDLL
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ctypes, "CDLL", lambda path: loaded.append(path) or real(path))
        library._library.cache_clear()
        assert engine.works()
    assert loaded
    assert not any(path.startswith(str(tmp_path / "cache")) for path in loaded)
    assert kept.read_bytes() == inside


@needs_compiler
@pytest.mark.parametrize("home", ["a file", "none", "empty", "missing"])
def test_no_place_to_keep_it(compiler, tmp_path, monkeypatch, home):
    """It works all the same, each process compiles, and nobody's home is made."""
    compiler()
    monkeypatch.chdir(tmp_path)
    if home == "a file":
        (tmp_path / "cache").write_text("no folder")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
        monkeypatch.setenv("HOME", {"missing": str(tmp_path / "home")}.get(home, ""))
        if home == "none":
            monkeypatch.setattr(os.path, "expanduser", str)
        with pytest.raises(FileNotFoundError, match="there is no home folder"):
            building.cache_folder()
    before = sorted(tmp_path.iterdir())
    assert engine.works()
    assert sorted(tmp_path.iterdir()) == before


@needs_compiler
def test_several_processes_at_once(compiler, tmp_path):
    """All of them end with a whole file."""
    compiler()
    program = "from initguide.training import engine; print(engine.works())"
    command = [sys.executable, "-c", program]
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: subprocess.check_output(command, text=True), range(3)))
    assert [words.strip() for words in done] == ["True"] * 3
    assert {path.suffix for path in _kept(tmp_path)} == {".so"}


@needs_compiler
def test_several_threads_at_once(compiler):
    """They wait for each other."""
    compiler()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: engine.works(), range(4)))
    assert library._library.cache_info().misses == 1


@needs_compiler
def test_compiled_without_warnings(tmp_path):
    """By the strictest of the compilers at hand."""
    for compiler in filter(shutil.which, ("gcc", "clang")):
        made = tmp_path / "connected.so"
        words = ["-Wall", "-Wextra", "-Werror", "-o", str(made), str(building.SOURCE), "-lm"]
        subprocess.run([compiler, *building.FLAGS, *words], check=True)


def test_the_c_file_is_part_of_the_package():
    """Beside the module that compiles it."""
    assert building.SOURCE.parent == Path(building.__file__).parent
    assert building.SOURCE.is_file()
