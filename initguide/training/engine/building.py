"""Compile the C files, keep the library for the next process, and load it."""

import contextlib
import ctypes
import hashlib
import os
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from initguide.training.engine.keeping import keep, kept

SOURCE = Path(__file__).with_name("connected.c")
PROCESSOR = Path(__file__).with_name("processor.c")
FLAGS = (
    # -ffp-contract=fast: a product and a sum in one instruction. The others let vectors be used
    # where C's rules on errno and traps would forbid it; none allows sums in another order.
    *("-std=gnu11", "-O3", "-mtune=native", "-shared", "-fPIC"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)
# For `PROCESSOR`, which is to run everywhere: without optimization, none of the instructions that a
# processor may lack is used, whatever else the compiler was told.
ANYWHERE = ("-std=gnu11", "-O0", "-march=x86-64", "-mtune=generic", "-fPIC", "-c")
# What the vectors need of a processor: the narrow ones, and the wide ones. `-march=native` would
# let the compiler use more than can be asked for before it is used.
NARROW = ("avx2", "fma")
WIDE = (*NARROW, "avx512f", "avx512dq", "avx512bw", "avx512vl")
SECONDS = 60  # more than a compiler needs on any machine, less than somebody waits
LARGEST = 10_000_000  # bytes that a compiler prints: the macros are some 20,000


def load(compiler: list[str]) -> Any:
    """Compile the C files, unless that was done before, and load them."""
    found = shutil.which(compiler[0]) if compiler else None
    if found is None:
        raise FileNotFoundError("there is no such command")
    command = [found, *compiler[1:]]
    # What would be made depends on the compiler's version and on the processor: both are in here.
    macros = _run([*command, *FLAGS, "-march=native", "-dM", "-E", "-x", "c", os.devnull])
    features = features_in(macros)
    key = _key(command, features, macros)
    name = f"connected-{key.hex()[:32]}"
    content = None
    with contextlib.suppress(OSError):  # where nothing can be kept, each process compiles
        content = kept(name, key)
    if content is None:
        content = _compile(command, features)
        with contextlib.suppress(OSError):
            keep(name, key, content)
    library = _declare(_mapped(content))
    if not library.initguide_runs():
        needed = ", ".join(features)
        raise OSError(f"this processor, unlike the compiler's, has not all of {needed}")
    return library


def features_in(macros: bytes) -> tuple[str, ...]:
    """What to compile for, given the macros of the compiler that say what the processor has."""
    if b"__FAST_MATH__" in macros or b"__FINITE_MATH_ONLY__ 1" in macros:
        raise OSError("with -ffast-math, sums and NaN are not what they are in PyTorch")
    for features in (WIDE, NARROW):
        if all(b"#define __%s__ " % name.upper().encode() in macros for name in features):
            return features
    raise OSError("the processor has no AVX2")


def _key(command: list[str], features: tuple[str, ...], macros: bytes) -> bytes:
    """What follows from all that a library is made of: another one has another key."""
    compiler = os.stat(command[0])  # noqa: PTH116  an update of the same version is another one
    words = (command, compiler.st_size, compiler.st_mtime_ns, FLAGS, ANYWHERE, features)
    made_of = (
        repr((*words, sys.platform)).encode(),
        macros,
        *map(Path.read_bytes, (SOURCE, PROCESSOR)),
    )
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in made_of)).digest()


def _compile(command: list[str], features: tuple[str, ...]) -> bytes:
    """The library's content."""
    with _private_folder() as folder:
        checked, made = folder / "processor.o", folder / "connected.so"
        needs = "-DFEATURES=" + "".join(f"NEED({name})" for name in features)
        _run([*command, *ANYWHERE, needs, "-o", str(checked), str(PROCESSOR)], folder)
        vectors = [f"-m{name}" for name in features]
        _run(
            [*command, *FLAGS, *vectors, "-o", str(made), str(SOURCE), str(checked), "-lm"], folder
        )
        if not made.is_file():
            raise FileNotFoundError("it makes no file")
        return made.read_bytes()


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder for a moment, in which nobody else can exchange anything."""
    parent = Path(tempfile.gettempdir())
    mode = parent.stat().st_mode
    # Without the sticky bit, whoever can write there can put a folder of theirs in place of ours.
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise PermissionError(
            f"others can exchange what is in {parent}; set TMPDIR to another folder"
        )
    with tempfile.TemporaryDirectory(prefix="initguide-", dir=parent) as folder:
        yield Path(folder)


def _run(command: list[str], folder: Path | None = None) -> bytes:
    """What a command of the compiler prints; its own temporary files go into a folder."""
    # In a process group of its own, so that what it started ends with it: a compiler is a command
    # that calls others, and what they hold open would be waited for.
    with subprocess.Popen(  # noqa: S603  the command is the user's compiler
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
        env=os.environ | ({"TMPDIR": str(folder)} if folder else {}),
    ) as process:
        try:
            out, errors = _printed(process)
        except BaseException:
            with contextlib.suppress(OSError):  # it may have ended
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        *_, line = ["", *errors.decode(errors="replace").strip().splitlines()]
        raise OSError(f"exit status {process.returncode}{line and f', {line}'}")
    return out


def _printed(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What a process prints until it ends, on both ways; not without limits."""
    printed: dict[Any, bytes] = {process.stdout: b"", process.stderr: b""}
    end = time.monotonic() + SECONDS
    with selectors.DefaultSelector() as waiting:
        for stream in printed:
            waiting.register(stream, selectors.EVENT_READ)
        while waiting.get_map():
            if not (ready := waiting.select(max(0.0, end - time.monotonic()))):
                raise TimeoutError(f"it took longer than {SECONDS} seconds")
            for key, _ in ready:
                some = os.read(key.fd, 2**16)
                printed[key.fileobj] += some
                if not some:
                    waiting.unregister(key.fileobj)
            if sum(map(len, printed.values())) > LARGEST:
                raise OSError(f"it printed more than {LARGEST} bytes")
    process.wait(max(0.0, end - time.monotonic()))
    return printed[process.stdout], printed[process.stderr]


def _mapped(content: bytes) -> Any:
    """Load a library from its content: what was checked is what runs.

    Where the system can, it lies in memory alone, so that no folder needs to allow programs.
    """
    flushed = _flushes()
    try:
        return _in_memory(content) or _in_a_file(content)
    finally:
        # With -ffast-math, some compilers add code that changes how the whole process computes.
        if _flushes() != flushed:
            torch.set_flush_denormal(flushed)


def _in_memory(content: bytes) -> Any:
    with contextlib.suppress(AttributeError, OSError):  # Linux alone has it, and needs /proc
        descriptor = os.memfd_create("initguide")
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(content)
            # It stays open: for the loader, the same path would be the same library.
            return ctypes.CDLL(f"/proc/self/fd/{descriptor}")
        except BaseException:
            os.close(descriptor)
            raise
    return None


def _in_a_file(content: bytes) -> Any:
    with _private_folder() as folder:
        path = folder / "connected.so"
        path.write_bytes(content)
        return ctypes.CDLL(str(path))


def _flushes() -> bool:
    """Whether this thread takes numbers that are nearly 0 for 0."""
    return sys.float_info.min / 2 == 0


def _declare(library: Any) -> Any:
    """Say what the C functions take."""
    address, number = ctypes.c_void_p, ctypes.c_int64
    library.initguide_runs.restype = ctypes.c_int
    library.initguide_lanes.restype = library.initguide_vectors.restype = number
    library.initguide_seed.argtypes = [address, ctypes.c_uint32]
    library.initguide_draw.argtypes = [address, address, number]
    library.initguide_train.argtypes = [address, address, number, number, address]
    for name in ("seed", "draw", "train"):
        getattr(library, f"initguide_{name}").restype = None
    return library
