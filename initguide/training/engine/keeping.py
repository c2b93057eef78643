"""Where a compiled library is kept for the next process, and how it is trusted.

To load a library is to run it. So what is read here must have been written by this user: the folder
and the file are opened first and looked at afterwards, through the open file, so that nobody can
exchange them in between; and neither may be a link, or be writable by others. The file ends with
a seal that follows from its content and from what it was made of, so that half a file, or one of
another version, is none. Whoever loads it loads these bytes, not the file.
"""

import contextlib
import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

SEAL = 32  # bytes of a SHA-256 sum


def kept(name: str, key: bytes) -> bytes | None:
    """What was kept under a name, if it is whole and was made of what the key says.

    Raises
    ------
    OSError
        If nothing can be kept, or if others could have written what is there.
    """
    with _folder() as folder:
        try:
            # Without O_NONBLOCK, to open a pipe waits for somebody who writes into it.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(name, flags, dir_fd=folder)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            _check_private(descriptor, stat.S_ISREG, name)
            sealed = file.read()
    content, seal = sealed[:-SEAL], sealed[-SEAL:]
    return content if seal == _seal(key, content) else None


def keep(name: str, key: bytes, content: bytes) -> None:
    """Keep a library under a name, in place of what is there.

    Raises
    ------
    OSError
        If that cannot be done; what was there is intact.
    """
    with _folder() as folder:
        # Moved into place when whole: processes that compile at once replace each other's file.
        place = f".{uuid.uuid4().hex}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(place, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content + _seal(key, content))
            os.replace(place, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(place, dir_fd=folder)
            raise


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


@contextlib.contextmanager
def _folder() -> Iterator[int]:
    """The folder, open, and made if it is missing; nobody else can write to it."""
    folder = cache_folder()
    _make(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _check_private(descriptor, stat.S_ISDIR, str(folder))
        yield descriptor
    finally:
        os.close(descriptor)


def _make(folder: Path) -> None:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    # With sudo, HOME may be somebody else's: a folder of root in there would be in their way.
    if there.stat().st_uid not in {os.geteuid(), 0}:
        raise PermissionError(f"{there} belongs to somebody else")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _check_private(descriptor: int, is_kind: Callable[[int], bool], name: str) -> None:
    """Refuse what somebody else has put there, or could have."""
    state = os.fstat(descriptor)
    if not is_kind(state.st_mode):
        raise PermissionError(f"{name} is of another kind, such as a pipe")
    if state.st_uid != os.geteuid() or state.st_mode & 0o022:
        raise PermissionError(f"{name} belongs to, or can be changed by, somebody else")


def _seal(key: bytes, content: bytes) -> bytes:
    return hashlib.sha256(key + content).digest()
