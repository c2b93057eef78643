"""Compilers that are not there, fail, hang or are wrong, and processors that lack something."""

import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
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
        pytest.param(
            "no-such-compiler -O3",
            "FileNotFoundError: there is no such command",
            marks=pytest.mark.fault(
                "compiled",
                tried="INITGUIDE_CC names a compiler that is not there",
                happens="a warning with the reason, once, and PyTorch's own steps",
            ),
        ),
        ("cc 'as you like", "ValueError: No closing quotation"),
        pytest.param(
            "false",
            "OSError: exit status 1",
            marks=pytest.mark.fault(
                "compiled",
                tried="the compiler fails and says nothing",
                happens="a warning with its exit status, and PyTorch's own steps",
            ),
        ),
        (f"{sys.executable} -c 'raise RuntimeError(1)'", "OSError: exit status 1, RuntimeError: 1"),
        pytest.param(
            f"{sys.executable} -c 1",
            "OSError: the processor has no AVX2",
            marks=pytest.mark.fault(
                "compiled",
                tried="a command that is no compiler succeeds at everything",
                happens="a warning, and PyTorch's own steps",
            ),
        ),
        pytest.param(
            f"{REAL} -ffast-math",
            "OSError: with -ffast-math, sums and NaN are not what they are in PyTorch",
            marks=pytest.mark.fault(
                "compiled",
                tried="the compiler is told -ffast-math, which reorders sums and assumes no NaN",
                happens="refused with a sentence",
            ),
        ),
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
        pytest.param(
            'case "$*" in *-dM*) ;; *) echo "no space" >&2; exit 3;; esac',
            "exit status 3, no space",
            marks=pytest.mark.fault(
                "compiled",
                tried="the disk is full while the compiler writes",
                happens="a warning with the compiler's own words, and PyTorch's own steps",
            ),
        ),
        pytest.param(
            'case "$*" in *-dM*) ;; *) while [ "$1" != -o ]; do shift; done; : >"$2"; exit; esac',
            "OSError: .*too short",
            marks=pytest.mark.fault(
                "compiled",
                tried="the compiler makes an empty library and says that all went well",
                happens="a warning, and PyTorch's own steps",
            ),
        ),
        pytest.param(
            'case "$*" in *-dM*) ;; *) exit 0;; esac',
            "FileNotFoundError: it makes no file",
            marks=pytest.mark.fault(
                "compiled",
                tried="the compiler makes nothing and says that all went well",
                happens="a warning, and PyTorch's own steps",
            ),
        ),
        pytest.param(
            'case "$*" in *-dM*) ;; *) while [ "$1" != -o ]; do shift; done; mkfifo $2; exit; esac',
            "FileNotFoundError: it makes no file",
            marks=pytest.mark.fault(
                "compiled",
                tried="the compiler makes a named pipe in place of a library",
                happens="a warning, and PyTorch's own steps; nobody waits for the pipe",
            ),
        ),
        ('set -- "$@" -mno-avx2 -mno-avx512f', "the processor has no AVX2"),
        pytest.param(
            'set -- "$@" -fvisibility=hidden',
            "AttributeError: .*undefined symbol",
            marks=pytest.mark.fault(
                "compiled",
                tried="a wrapper around the compiler hides the library's functions",
                happens="a warning, and PyTorch's own steps",
            ),
        ),
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
        pytest.param(
            "h[j] <= 0 ?",
            "h[j] > 0 ?",
            marks=pytest.mark.fault(
                "compiled",
                tried="a miscompiled library gives gradients of the wrong units",
                happens="found by a trial beside PyTorch; a warning, and PyTorch's own steps",
            ),
        ),
        pytest.param(
            "y << 7",
            "y << 8",
            marks=pytest.mark.fault(
                "compiled",
                tried="a miscompiled library draws other random numbers",
                happens="found by a trial beside PyTorch; a warning, and PyTorch's own steps",
            ),
        ),
        pytest.param(
            "first[i] += b1",
            "first[i] -= b1",
            marks=pytest.mark.fault(
                "compiled",
                tried="a miscompiled library has a wrong sign in Adam's moments",
                happens="found by a trial beside PyTorch; a warning, and PyTorch's own steps",
            ),
        ),
        pytest.param(
            "grads[r * l->stride + j]",
            "grads[j]",
            marks=pytest.mark.fault(
                "compiled",
                tried="a miscompiled library sums one image's gradients for a bias",
                happens="found by a trial beside PyTorch; a warning, and PyTorch's own steps",
            ),
        ),
        pytest.param(
            "tile[i * width + j] * scale",
            "tile[i * width + j]",
            marks=pytest.mark.fault(
                "compiled",
                tried="a miscompiled library forgets the scale of dropout",
                happens="found by a trial beside PyTorch; a warning, and PyTorch's own steps",
            ),
        ),
        pytest.param(
            "to[j * wide + k] = from",
            "to[j * wide + k] = 2 * from",
            marks=pytest.mark.fault(
                "compiled",
                tried="a miscompiled library doubles weights on the way back",
                happens="found by a trial beside PyTorch; a warning, and PyTorch's own steps",
            ),
        ),
        ("<= 0 ? 0 : z[j] + bias[j];", "> 0 ? z[j] + bias[j] : 0;"),  # NaN becomes 0
    ],
)
def test_a_compiler_that_is_wrong(compiler, tmp_path, monkeypatch, right, wrong):
    """What it makes is tried beside PyTorch before it is used."""
    source = building.SOURCE.read_text(encoding="utf-8")
    assert source.count(right) == 1
    copied = tmp_path / "connected.c"
    copied.write_text(source.replace(right, wrong), encoding="utf-8")
    monkeypatch.setattr(building, "SOURCE", copied)
    compiler()
    with pytest.warns(UserWarning, match="what it makes gives other numbers than PyTorch"):
        assert not engine.works()


@needs_compiler
def test_a_copy_that_is_right(compiler, tmp_path, monkeypatch):
    """It is not for being a copy that those above are refused."""
    copied = tmp_path / "connected.c"
    copied.write_bytes(building.SOURCE.read_bytes())
    monkeypatch.setattr(building, "SOURCE", copied)
    compiler()
    assert engine.works()


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


# What must not happen to the process


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="the compiler hangs, and so does what it has started",
    happens="all of them are ended after the limit; a warning, and PyTorch's own steps",
)
def test_a_compiler_that_hangs(compiler, tmp_path, monkeypatch):
    """A process that the compiler started holds its output open, which would be waited for."""
    started = tmp_path / "started"
    compiler(lines=[f"sleep 600 & echo $! > {started}; wait"])
    monkeypatch.setattr(building, "SECONDS", 1)
    with pytest.warns(UserWarning, match="TimeoutError: it took longer than 1 seconds"):
        assert not engine.works()
    with pytest.raises(ProcessLookupError):
        _wait_for_the_end_of(int(started.read_text()))


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="the compiler prints without end",
    happens="it is ended after 10 MB; a warning, and PyTorch's own steps",
)
def test_a_compiler_that_prints_without_end(compiler):
    """The memory is not filled with it."""
    compiler(lines=["exec yes 'warning: something'"])
    with pytest.warns(UserWarning, match="OSError: it printed more than 10000000 bytes"):
        assert not engine.works()


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="the temporary folder lets others exchange what is in it (no sticky bit)",
    happens="nothing is compiled there; the warning names TMPDIR",
)
def test_a_temporary_folder_of_others(compiler, tmp_path, monkeypatch):
    """They could put code in place of what the compiler made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(building.tempfile, "tempdir", str(folder))
    folder.chmod(0o777)
    compiler()
    with pytest.warns(UserWarning, match=r"others can exchange what is in .*; set TMPDIR to"):
        assert not engine.works()
    folder.chmod(0o1777)
    compiler()
    assert engine.works()
    assert list(folder.iterdir()) == []


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="the compiler is killed at work, and leaves its temporary files",
    happens="they are deleted with ours",
)
def test_what_a_compiler_leaves(compiler, tmp_path, monkeypatch):
    """It works in a folder that is deleted whatever happens."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(building.tempfile, "tempdir", str(folder))
    monkeypatch.delenv("TMPDIR", raising=False)
    leave = ': > "${TMPDIR:-$PWD}/left"; kill -9 $$'
    compiler(lines=[f'case "$*" in *-dM*) ;; *) {leave};; esac'])
    monkeypatch.chdir(folder)
    with pytest.warns(UserWarning, match="exit status -9"):
        assert not engine.works()
    assert list(folder.iterdir()) == []


def _wait_for_the_end_of(process):
    """Until the system has put away what was killed."""
    state = Path(f"/proc/{process}/stat")
    for _ in range(600):
        os.kill(process, 0)
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            raise ProcessLookupError  # killed; nobody has asked for it yet
        time.sleep(0.05)


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="a wrapper adds -ffast-math in secret, with code that flushes small numbers to 0",
    happens="small numbers (denormals) of the process stay what they were",
)
def test_the_process_computes_as_before(compiler):
    """Loading a library can change how the whole process rounds."""
    compiler(lines=['case "$*" in *-dM*) ;; *) set -- "$@" -ffast-math;; esac'])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whether it passes the trial is the compiler's business
        engine.works()
    assert sys.float_info.min / 2 > 0
    assert torch.tensor(1e-40).mul(1).item() > 0


@needs_compiler
def test_small_numbers_stay_as_somebody_set_them(compiler):
    """Who wants them to be 0 keeps that, too."""
    compiler()
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot")
    try:
        assert engine.works()
        assert sys.float_info.min / 2 == 0
    finally:
        torch.set_flush_denormal(False)


# Processors


MACROS = {
    "narrow": ["AVX2", "FMA"],
    "wide": ["AVX2", "FMA", "AVX512F", "AVX512DQ", "AVX512BW", "AVX512VL"],
    "Xeon Phi": ["AVX2", "FMA", "AVX512F", "AVX512CD", "AVX512ER"],
}


@pytest.mark.parametrize(("name", "features"), [
    ("narrow", building.NARROW), ("wide", building.WIDE), ("Xeon Phi", building.NARROW),
])  # fmt: skip
def test_what_is_compiled_for(name, features):
    """The widest vectors of which the processor has all that they need."""
    macros = "".join(f"#define __{macro}__ 1\n" for macro in MACROS[name])
    assert building.features_in(macros.encode()) == features


def test_processors_that_are_not_compiled_for():
    """Without AVX2 or without FMA."""
    for macros in (b"", b"#define __AVX2__ 1\n", b"#define __FMA__ 1\n#define __AVX__ 1\n"):
        with pytest.raises(OSError, match="the processor has no AVX2"):
            building.features_in(macros)


def test_the_key_follows_from_all_that_a_library_is_made_of(tmp_path, monkeypatch):
    """Sources, compiler, its arguments, our flags, and what the processor has."""
    compiler = tmp_path / "cc"
    compiler.write_text("1")
    command = [str(compiler), "-g"]

    def key(command=command, features=building.NARROW, macros=b"#define __AVX2__ 1\n"):
        return building._key(command, features, macros)

    keys = {key(), key(), key([*command, "-O1"]), key(features=building.WIDE), key(macros=b"")}
    with monkeypatch.context() as patch:
        patch.setattr(building, "FLAGS", (*building.FLAGS, "-g"))
        keys.add(key())
    for name in ("SOURCE", "PROCESSOR"):
        (tmp_path / name).write_bytes(getattr(building, name).read_bytes() + b" ")
        with monkeypatch.context() as patch:
            patch.setattr(building, name, tmp_path / name)
            keys.add(key())
    compiler.write_text("22")
    keys.add(key())
    assert len(keys) == 8


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="a library of AVX2 or AVX-512 is loaded where the processor has none",
    happens="refused before any of its vector code runs; PyTorch's own steps",
)
def test_a_processor_that_lacks_something(compiler, tmp_path, monkeypatch):
    """As a machine that shares the home folder of a newer one."""
    text = building.PROCESSOR.read_text(encoding="utf-8")
    lacking = text.replace("&&__builtin_cpu_supports(#feature)", "&& 0")
    assert lacking != text
    (tmp_path / "processor.c").write_text(lacking, encoding="utf-8")
    monkeypatch.setattr(building, "PROCESSOR", tmp_path / "processor.c")
    monkeypatch.setattr(library, "agrees", lambda _: pytest.fail("it was called"))
    compiler()
    with pytest.warns(UserWarning, match=r"this processor, unlike the compiler's, .*avx2, fma"):
        assert not engine.works()


ASK = "import ctypes, sys; print(*(ctypes.CDLL(p).initguide_runs() for p in sys.argv[1:]))"


@needs_compiler
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs qemu-user")
@pytest.mark.fault(
    "compiled",
    tried="the library is loaded on emulated processors without AVX-512, and without AVX2",
    happens="it answers that it cannot run there; where it can, that it can",
)
def test_on_emulated_processors(tmp_path):
    """What it asks the processor is what runs, not what the compiler saw."""
    paths = [tmp_path / "narrow.so", tmp_path / "wide.so"]
    for path, features in zip(paths, (building.NARROW, building.WIDE), strict=True):
        path.write_bytes(building._compile([shutil.which(REAL)], features))
    for processor, expected in (("Haswell", "1 0"), ("Nehalem", "0 0")):
        emulated = ["qemu-x86_64", "-cpu", processor, sys.executable, "-S", "-c", ASK]
        done = subprocess.run([*emulated, *paths], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected


# Together


@needs_compiler
def test_several_threads_at_once(compiler):
    """They wait for each other."""
    compiler()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: engine.works(), range(4)))
    assert library._library.cache_info().misses == 1


def _answer_of_a_fork():
    """What a forked process says about the compiler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tried
        child = os.fork()
    if not child:
        os._exit(0 if engine.works() else 3)
    for _ in range(1200):
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the child waits for ever")


NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")


@needs_compiler
@NEEDS_FORK
@pytest.mark.fault(
    "compiled",
    tried="the process forks while another thread of it compiles",
    happens="parent and child both compile, and neither waits for the other",
)
def test_fork_while_compiling(compiler, tmp_path):
    """The child has no thread that would let go of the lock."""
    begun = tmp_path / "begun"
    compiler(lines=[f": > {begun}; sleep 0.5"])
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(engine.works)
        while not begun.exists():
            time.sleep(0.01)
        assert _answer_of_a_fork()
        assert answer.result()


@needs_compiler
@NEEDS_FORK
@pytest.mark.fault(
    "compiled",
    tried="the process forks after torch has computed with several threads",
    happens="the child compiles and trains: it does not wait for threads that it does not have",
)
def test_fork_after_several_threads(compiler):
    """The trial beside PyTorch asks for one thread alone."""
    compiler()
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        torch.rand(10, 100_000).log_softmax(1)  # now it has them
        assert _answer_of_a_fork()
    finally:
        torch.set_num_threads(threads)


@needs_compiler
def test_compiled_without_warnings(tmp_path):
    """By the strictest of the compilers at hand."""
    for compiler in filter(shutil.which, ("gcc", "clang")):
        made = tmp_path / "connected.so"
        strict = [compiler, "-Wall", "-Wextra", "-Werror", "-o", str(made)]
        words = [*building.FLAGS, "-mavx2", "-mfma", str(building.SOURCE), "-lm"]
        subprocess.run([*strict, *words], check=True)
        words = [*building.ANYWHERE, "-DFEATURES=NEED(avx2)", str(building.PROCESSOR)]
        subprocess.run([*strict, *words], check=True)


def test_the_c_files_are_part_of_the_package():
    """Beside the module that compiles them."""
    for path in (building.SOURCE, building.PROCESSOR):
        assert path.parent == Path(building.__file__).parent
        assert path.is_file()
