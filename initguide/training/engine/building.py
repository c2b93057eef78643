"""Compile the C file, keep the library for the next process, and load it."""

import contextlib
import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("connected.c")
FLAGS = (
    # -ffp-contract=fast: a product and a sum in one instruction. The others let vectors be used
    # where C's rules on errno and traps would forbid it; none allows sums in another order.
    *("-std=gnu11", "-O3", "-march=native", "-shared", "-fPIC"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)
SECONDS = 60  # more than a compiler needs on any machine, less than somebody waits


def load(compiler: list[str]) -> Any:
    """Compile the C file, unless that was done before, and load it."""
    if not compiler or not shutil.which(compiler[0]):
        raise FileNotFoundError("there is no such command")
    # What the compiler would make depends on its version and on the processor: both are in here.
    macros = _run([*compiler, *FLAGS, "-dM", "-E", "-x", "c", os.devnull])
    if not (b"__AVX512F__" in macros or (b"__AVX2__" in macros and b"__FMA__" in macros)):
        raise OSError("the processor has no AVX2")
    words = repr((compiler, FLAGS, sys.platform)).encode()
    name = f"connected-{digest(SOURCE.read_bytes() + words + macros)}"
    with contextlib.suppress(OSError):  # where nothing can be kept, each process compiles
        return _load_cached(cache_folder(), name, compiler)
    with tempfile.TemporaryDirectory(prefix="initguide-") as folder:
        return _declare(ctypes.CDLL(str(_compile(compiler, Path(folder)))))


def _load_cached(folder: Path, name: str, compiler: list[str]) -> Any:
    """Load what was compiled before, or else compile it, and keep it for the next process.

    The name ends with a digest of what the file holds: half a file is not loaded.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_owner(folder)
    for path in sorted(folder.glob(f"{name}-*.so")):
        _check_owner(path)
        if path.stem == f"{name}-{digest(path.read_bytes())}":
            return _declare(ctypes.CDLL(str(path)))
        path.unlink(missing_ok=True)
    # Moved into place when whole: processes that compile at once replace each other's file.
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = _compile(compiler, Path(place))
        path = made.replace(folder / f"{name}-{digest(made.read_bytes())}.so")
    return _declare(ctypes.CDLL(str(path)))


def _compile(compiler: list[str], folder: Path) -> Path:
    made = folder / "connected.so"
    _run([*compiler, *FLAGS, "-o", str(made), str(SOURCE), "-lm"])
    made.chmod(0o700)
    return made


def _run(command: list[str]) -> bytes:
    """What a command of the compiler prints."""
    done = subprocess.run(  # noqa: S603  the command is the user's compiler
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        *_, line = ["", *done.stderr.decode(errors="replace").strip().splitlines()]
        raise OSError(f"exit status {done.returncode}{line and f', {line}'}")
    return done.stdout


def digest(content: bytes) -> str:
    """Sixteen digits that follow from the content."""
    return hashlib.sha256(content).hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled files are kept: what the XDG specification says."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        # os.path's version leaves "~" in place where nobody has a home folder; Path's raises.
        home = Path(os.path.expanduser("~"))  # noqa: PTH111
        # An empty HOME would expand to the root folder.
        if not os.environ.get("HOME", "unset") or not (home.is_absolute() and home.is_dir()):
            raise FileNotFoundError("there is no home folder")
        cache = home / ".cache"
    return cache / "initguide" / "compiled"


def _check_owner(path: Path) -> None:
    """Refuse code that somebody else has put there, or could have."""
    # Loading runs the code: a folder that others can write to would let them run theirs as us.
    state = path.stat()
    if state.st_uid != os.geteuid() or state.st_mode & 0o022:
        raise PermissionError(f"{path} belongs to, or can be changed by, somebody else")


def _declare(library: Any) -> Any:
    """Say what the C functions take."""
    address, number = ctypes.c_void_p, ctypes.c_int64
    library.initguide_lanes.restype = library.initguide_vectors.restype = number
    library.initguide_seed.argtypes = [address, ctypes.c_uint32]
    library.initguide_draw.argtypes = [address, address, number]
    library.initguide_train.argtypes = [address, address, number, number, address]
    for name in ("seed", "draw", "train"):
        getattr(library, f"initguide_{name}").restype = None
    return library
