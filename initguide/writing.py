"""Files that users name: what may be one, and how one is written whole or not at all."""

import contextlib
import errno
import os
import stat
import uuid
from pathlib import Path

__all__ = ["no_file", "write_whole"]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def no_file(path: str | os.PathLike[str]) -> str | None:
    """Say what a path is, if it is something else than a file, without opening it.

    To open a pipe may wait for ever, and to write a device may destroy it.

    Parameters
    ----------
    path
        What a user named; links are followed.

    Returns
    -------
    str or None
        Such as ``"a folder"``; ``None`` for a regular file, and where nothing is.

    Examples
    --------
    >>> no_file(".")
    'a folder'
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  a Path would make "" the current folder
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a link that leads back to itself"
        raise
    if stat.S_ISREG(mode):
        return None
    kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
    return f"a link to {kind}" if Path(path).is_symlink() else kind


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file, in UTF-8, that appears whole or not at all.

    A link stays, and the file that it leads to is replaced. A file that is replaced hands on its
    mode and, where the system allows it, its owner.

    Parameters
    ----------
    path
        Where to.
    text
        What it is to hold.

    Raises
    ------
    ValueError
        If something else than a file is there, such as a folder, a pipe or a device.
    FileNotFoundError
        If the folder does not exist.
    OSError
        If it cannot be written. What was there before is intact.
    """
    if (kind := no_file(path)) is not None:
        raise ValueError(f"path is {os.fspath(path)}, {kind}; give the name of a file")
    target = Path(os.path.realpath(path) if Path(path).is_symlink() else path)
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"cannot save {os.fspath(path)}: there is no folder {target.parent}; make it first"
        )
    old = target.stat() if target.exists() else None
    # In the same folder: within one file system, the replacement is atomic. The umask is applied
    # by the system, and nobody who may not read the old file can read the new one meanwhile.
    temporary = target.with_name(f".{uuid.uuid4().hex}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        handle = os.open(temporary, flags, 0o666 if old is None else 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                # Otherwise the new name may survive a power cut, and the content may not.
                os.fsync(file.fileno())
            if old is not None:
                _hand_on(old, temporary)
            os.replace(temporary, target)  # noqa: PTH105
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot save {os.fspath(path)}: {error.strerror}; what was there before is intact",
        ) from error


def _hand_on(old: os.stat_result, new: Path) -> None:
    """Give a file the owner and the mode of the one that it is to replace."""
    # Only root may give files away; Windows has no such owners.
    with contextlib.suppress(OSError, AttributeError):
        os.chown(new, old.st_uid, old.st_gid)
    new.chmod(stat.S_IMODE(old.st_mode))
