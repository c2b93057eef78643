"""Files are written whole, through links, with their modes; what is no file is refused."""

import os
import re
import socket
import stat

import pytest

from initguide import Table, writing
from initguide.writing import no_file, write_whole

posix = pytest.mark.skipif(os.name != "posix", reason="links, modes and pipes are those of POSIX")


@posix
@pytest.mark.fault(
    "saving",
    tried="a result is saved over a link",
    happens="the link stays, and the file that it leads to is replaced",
)
def test_a_link_stays(tmp_path):
    """The file that a link leads to is replaced, over two links, and where nothing was yet."""
    (tmp_path / "far").mkdir()
    target, link, first = tmp_path / "far" / "real", tmp_path / "link", tmp_path / "first"
    link.symlink_to("far/real")
    first.symlink_to(link)
    for text in ("new", "newer"):
        write_whole(first, text)
        assert first.is_symlink()
        assert link.is_symlink()
        assert target.read_text() == text
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["far", "first", "link", "real"]


@posix
@pytest.mark.fault(
    "saving",
    tried="a result is saved over a link that leads into a folder which is not there",
    happens="it is said which folder is missing",
)
def test_a_link_into_no_folder(tmp_path):
    """It is said which folder is missing."""
    (tmp_path / "link").symlink_to(tmp_path / "nothing" / "x")
    with pytest.raises(FileNotFoundError, match=r"link: there is no folder .*nothing; make it"):
        write_whole(tmp_path / "link", "")


@posix
@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(
            0o600,
            marks=pytest.mark.fault(
                "saving",
                tried="a result is saved over a file that only its owner can read",
                happens="so is the new one",
            ),
        ),
        0o640,
        0o664,
        pytest.param(
            0o400,
            marks=pytest.mark.fault(
                "saving",
                tried="a result is saved over a file that may only be read",
                happens="it is replaced, and its mode stays",
            ),
        ),
    ],
)
def test_the_mode_stays(tmp_path, mode):
    """What only its owner could read stays so."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
@pytest.mark.fault(
    "saving",
    tried="somebody looks at the new file of a private one before it has its name",
    happens="it is no more open than the old one",
)
def test_nobody_reads_it_meanwhile(tmp_path, monkeypatch):
    """Before the new file has its name, too, it is no more open than the old one."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o600)
    modes, real = [], os.fsync

    def look(handle):
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        real(handle)

    monkeypatch.setattr(writing.os, "fsync", look)
    write_whole(path, "new")
    assert modes == [0o600]


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_follows_the_umask(tmp_path, umask):
    """As any file that a program makes."""
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "file", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def _special(folder, kind):
    path = folder / "x"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a named pipe (FIFO)":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(path))  # the address of a socket may not be long
    elif kind == "a device":
        return "/dev/null"
    elif kind == "a link to a device":
        path.symlink_to("/dev/null")
    else:
        path.symlink_to(path)
    return path


KINDS = [
    pytest.param(
        "a folder",
        marks=pytest.mark.fault(
            "saving",
            tried="a result or a table is saved over a folder",
            happens="it is refused and named, without being opened",
        ),
    ),
    pytest.param(
        "a named pipe (FIFO)",
        marks=pytest.mark.fault(
            "saving",
            tried="a result or a table is saved over a named pipe (FIFO)",
            happens="it is refused and named, without being opened",
        ),
    ),
    pytest.param(
        "a socket",
        marks=pytest.mark.fault(
            "saving",
            tried="a result or a table is saved over a socket",
            happens="it is refused and named, without being opened",
        ),
    ),
    pytest.param(
        "a device",
        marks=pytest.mark.fault(
            "saving",
            tried="a result or a table is saved over a device",
            happens="it is refused and named, without being opened",
        ),
    ),
    pytest.param(
        "a link to a device",
        marks=pytest.mark.fault(
            "saving",
            tried="a result or a table is saved over a link to a device",
            happens="it is refused and named, without being opened",
        ),
    ),
    pytest.param(
        "a link that leads back to itself",
        marks=pytest.mark.fault(
            "saving",
            tried="a result or a table is saved over a link that leads back to itself",
            happens="it is refused and named, without being opened",
        ),
    ),
]


@posix
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file(tmp_path, monkeypatch, kind):
    """It is refused at once, named, and left as it is; a table refuses it as well."""
    monkeypatch.chdir(tmp_path)
    path = _special(tmp_path, kind)
    before = os.lstat(path)
    assert no_file(path) == kind
    expected = rf"path is {re.escape(f'{path}, {kind}')}; give the name of a file"
    with pytest.raises(ValueError, match=expected):
        write_whole(path, "new")
    with pytest.raises(ValueError, match=expected):
        Table({"a": [1]}, caption="").to_csv(path)
    after = os.lstat(path)
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)


@pytest.mark.fault(
    "saving",
    tried="the disk is full when the file is forced onto it",
    happens="the file from before is intact, and nothing is left beside it",
)
def test_a_full_disk(tmp_path, monkeypatch):
    """The file from before is intact, which is said, and nothing is left beside it."""
    path = tmp_path / "file"
    write_whole(path, "old")

    def no_space(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", no_space)
    with pytest.raises(OSError, match=r"cannot save .*file: No space left .*; what was there"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_empty_name_is_nothing():
    """Not the current folder, which a `Path` would make of it."""
    assert no_file("") is None
