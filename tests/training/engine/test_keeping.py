"""What is kept of a compiler's work: found again if it is whole and ours, and never otherwise."""

import ctypes
import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from training_networks import needs_compiler

from initguide.training import engine
from initguide.training.engine import building, keeping, library

KEY, CONTENT = b"k" * 32, bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder, with one file in it, of which the content above is known."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keeping.keep("made", KEY, CONTENT)
    assert keeping.kept("made", KEY) == CONTENT
    return keeping.cache_folder()


def test_private_from_the_start(folder):
    """Nobody else reads or writes what is kept, whatever the umask is."""
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "made").stat().st_mode & 0o777 == 0o600


def test_nothing_kept(folder):
    """Nothing is found under another name."""
    assert folder.is_dir()
    assert keeping.kept("other", KEY) is None


@pytest.mark.fault(
    "compiled",
    tried="what was kept for another processor, compiler or source lies under this name",
    happens="not loaded: it is compiled anew",
)
def test_of_another_key(folder):
    """The seal binds the content to what it was made of, not only to itself."""
    (folder / "made").replace(folder / "other")
    assert keeping.kept("other", b"o" * 32) is None
    assert keeping.kept("other", KEY) == CONTENT


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            lambda _: b"",
            marks=pytest.mark.fault(
                "compiled", tried="the kept library is empty", happens="it is compiled anew"
            ),
        ),
        pytest.param(
            lambda content: content[: len(content) // 2],
            marks=pytest.mark.fault(
                "compiled",
                tried="half of the kept library is there, after a full disk",
                happens="not loaded, compiled anew",
            ),
        ),
        pytest.param(
            lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:],
            marks=pytest.mark.fault(
                "compiled",
                tried="one bit of the kept library is flipped",
                happens="not loaded, compiled anew",
            ),
        ),
        pytest.param(
            lambda content: content + b"\0",
            marks=pytest.mark.fault(
                "compiled",
                tried="something is appended to the kept library",
                happens="not loaded, compiled anew",
            ),
        ),
    ],
)
def test_damaged(folder, damage):
    """It is as if there were nothing, and the next one takes its place."""
    kept = folder / "made"
    kept.write_bytes(damage(kept.read_bytes()))
    assert keeping.kept("made", KEY) is None
    keeping.keep("made", KEY, CONTENT)
    assert keeping.kept("made", KEY) == CONTENT


def _writable_folder(folder):
    folder.chmod(0o777)


def _writable_file(folder):
    (folder / "made").chmod(0o622)


def _linked_file(folder):
    (folder / "made").rename(folder / "elsewhere")
    (folder / "made").symlink_to(folder / "elsewhere")


def _linked_folder(folder):
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


def _pipe(folder):
    (folder / "made").unlink()
    os.mkfifo(folder / "made")


def _file_as_folder(folder):
    folder.rename(folder.with_name("elsewhere"))
    folder.write_bytes(CONTENT)


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        pytest.param(
            _writable_folder,
            "can be changed by, somebody else",
            marks=pytest.mark.fault(
                "compiled",
                tried="others may write into the folder of kept libraries",
                happens="nothing is loaded from there, nor kept; each process compiles",
            ),
        ),
        pytest.param(
            _writable_file,
            "can be changed by, somebody else",
            marks=pytest.mark.fault(
                "compiled",
                tried="others may write into the kept library",
                happens="not loaded; each process compiles",
            ),
        ),
        pytest.param(
            _linked_file,
            "symbolic links",
            marks=pytest.mark.fault(
                "compiled", tried="the kept library is a link", happens="the link is not followed"
            ),
        ),
        pytest.param(
            _linked_folder,
            "elsewhere|symbolic links|Not a directory",
            marks=pytest.mark.fault(
                "compiled",
                tried="the folder of kept libraries is a link to another one",
                happens="the link is not followed",
            ),
        ),
        pytest.param(
            _pipe,
            "of another kind",
            marks=pytest.mark.fault(
                "compiled",
                tried="a named pipe lies where the kept library should be",
                happens="refused at once, without waiting for somebody to write into it",
            ),
        ),
        pytest.param(
            _file_as_folder,
            "exists|Not a directory",
            marks=pytest.mark.fault(
                "compiled",
                tried="a file lies where the folder of kept libraries should be",
                happens="each process compiles, and the file stays as it is",
            ),
        ),
    ],
)
def test_what_others_could_have_written(folder, plant, reason):
    """It is refused, and stays as it is."""
    plant(folder)
    with pytest.raises(OSError, match=reason):
        keeping.kept("made", KEY)


@pytest.mark.fault(
    "compiled",
    tried="the folder and the kept library belong to another user",
    happens="nothing is loaded from there",
)
def test_of_somebody_else(folder, monkeypatch):
    """Whoever owns a file can change it at any time."""
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    with pytest.raises(PermissionError, match="belongs to"):
        keeping.kept("made", KEY)
    with pytest.raises(PermissionError, match="belongs to"):
        keeping.keep("other", KEY, CONTENT)
    assert [path.name for path in folder.iterdir()] == ["made"]


@pytest.mark.fault(
    "compiled",
    tried="root works with the home folder of a user (sudo without -H)",
    happens="no folder of root's is made in there",
)
def test_the_home_of_somebody_else(tmp_path, monkeypatch):
    """The user could not keep anything afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    real = Path.stat

    def of_a_user(self, **keywords):
        state = real(self, **keywords)
        return os.stat_result((*state[:4], 12345, *state[5:]))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", of_a_user)
        with pytest.raises(PermissionError, match="belongs to somebody else"):
            keeping.keep("made", KEY, CONTENT)
    assert not (tmp_path / "cache").exists()


@pytest.mark.fault(
    "compiled",
    tried="the disk is full while a library is being kept",
    happens="what was kept before is intact, and nothing else is left",
)
def test_a_full_disk(folder, monkeypatch):
    """Half a file never has the name of a whole one."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            keeping.keep("made", KEY, b"new")
    assert keeping.kept("made", KEY) == CONTENT
    assert [path.name for path in folder.iterdir()] == ["made"]


# With a compiler


def _kept(tmp_path):
    """The files that are kept."""
    return list((tmp_path / "cache/initguide/compiled").iterdir())


@needs_compiler
def test_compiled_once(compiler, tmp_path):
    """What was compiled is kept, and found by the next process."""
    log = tmp_path / "log"
    compiler(lines=[f'echo "$*" >> {log}'])
    for _ in range(3):
        library._library.cache_clear()
        assert engine.works()
    calls = log.read_text().splitlines()
    assert sum("connected.c" in call for call in calls) == 1
    assert sum("processor.c" in call for call in calls) == 1
    assert len(_kept(tmp_path)) == 1


@needs_compiler
def test_damaged_and_made_again(compiler, tmp_path):
    """The whole way: a damaged file is replaced by a good one."""
    compiler()
    assert engine.works()
    [kept] = _kept(tmp_path)
    content = kept.read_bytes()
    kept.write_bytes(content[:-1])
    library._library.cache_clear()
    assert engine.works()
    [made] = _kept(tmp_path)
    assert made == kept
    assert len(made.read_bytes()) >= len(content)


EVIL = """
#include <stdio.h>
__attribute__((constructor)) static void run(void) { fclose(fopen(MARK, "w")); }
"""


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="the kept library is exchanged after it was checked and before it is loaded",
    happens="what was checked is what runs: it is loaded from memory",
)
def test_no_gap_between_check_and_load(compiler, tmp_path, monkeypatch):
    """Code that is put in place in the last moment does not run."""
    compiler()
    assert engine.works()
    [kept] = _kept(tmp_path)
    mark, evil = tmp_path / "evil ran", tmp_path / "evil.so"
    (tmp_path / "evil.c").write_text(EVIL)
    command = os.environ["INITGUIDE_CC"]
    words = [f'-DMARK="{mark}"', "-shared", "-fPIC", "-o", str(evil), str(tmp_path / "evil.c")]
    subprocess.run([command, *words], check=True)
    real, exchanged = ctypes.CDLL, []

    def exchanging(path):
        kept.unlink()
        kept.write_bytes(evil.read_bytes())
        kept.chmod(0o700)
        exchanged.append(path)
        return real(path)

    monkeypatch.setattr(ctypes, "CDLL", exchanging)
    library._library.cache_clear()
    assert engine.works()
    assert exchanged
    assert not mark.exists()
    real(str(evil))  # it would have run
    assert mark.exists()


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="no folder at all allows programs (noexec)",
    happens="works, from memory",
)
def test_where_no_folder_allows_programs(compiler, monkeypatch):
    """On Linux, the loader is given no file of any folder."""
    if not hasattr(os, "memfd_create"):
        pytest.skip("Linux alone loads from memory")
    compiler()
    real = ctypes.CDLL

    def noexec(path):
        if not path.startswith("/proc/self/fd/"):
            raise OSError("failed to map segment from shared object")
        return real(path)

    monkeypatch.setattr(ctypes, "CDLL", noexec)
    assert engine.works()


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="nothing can be loaded from memory (no /proc, or macOS)",
    happens="works, through a private folder that is gone at once",
)
def test_without_files_in_memory(compiler, tmp_path, monkeypatch):
    """Nothing is left in the temporary folder."""
    compiler()
    monkeypatch.delattr(os, "memfd_create", raising=False)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(building.tempfile, "tempdir", str(tmp_path / "temporary"))
    assert engine.works()
    assert list((tmp_path / "temporary").iterdir()) == []


@needs_compiler
@pytest.mark.parametrize(
    "home",
    [
        pytest.param(
            "a file",
            marks=pytest.mark.fault(
                "compiled", tried="a file lies where the cache should be", happens="works, unkept"
            ),
        ),
        pytest.param(
            "none",
            marks=pytest.mark.fault(
                "compiled",
                tried="a user without a home folder",
                happens="works, each process compiles",
            ),
        ),
        "empty",
        pytest.param(
            "missing",
            marks=pytest.mark.fault(
                "compiled",
                tried="the home folder does not exist",
                happens="works, each process compiles, and nobody's home is made",
            ),
        ),
        pytest.param(
            "read-only",
            marks=pytest.mark.fault(
                "compiled",
                tried="the home folder is read-only",
                happens="works, each process compiles",
            ),
        ),
    ],
)
def test_no_place_to_keep_it(compiler, tmp_path, monkeypatch, home):
    """It works all the same, each process compiles, and nobody's home is made."""
    compiler()
    monkeypatch.chdir(tmp_path)
    if home == "a file":
        (tmp_path / "cache").write_text("no folder")
    elif home == "read-only":
        _make_read_only(monkeypatch, tmp_path)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
        monkeypatch.setenv("HOME", {"missing": str(tmp_path / "home")}.get(home, ""))
        if home == "none":
            monkeypatch.setattr(os.path, "expanduser", str)
        with pytest.raises(FileNotFoundError, match="there is no home folder"):
            keeping.cache_folder()
    before = sorted(tmp_path.iterdir())
    assert engine.works()
    assert sorted(tmp_path.iterdir()) == before


def _make_read_only(monkeypatch, home):
    """Refuse to make a folder there, as a mounted read-only disk does, also for root."""
    real = Path.mkdir

    def mkdir(self, *args, **keywords):
        if self.is_relative_to(home / "cache"):
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        real(self, *args, **keywords)

    monkeypatch.setattr(Path, "mkdir", mkdir)


@needs_compiler
@pytest.mark.fault(
    "compiled",
    tried="several processes compile at once, for the same folder",
    happens="all of them work, and one whole library is left",
)
def test_several_processes_at_once(compiler, tmp_path):
    """All of them end with a whole file."""
    compiler()
    program = "from initguide.training import engine; print(engine.works())"
    command = [sys.executable, "-c", program]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: subprocess.check_output(command, text=True), range(2)))
    assert [words.strip() for words in done] == ["True"] * 2
    assert len(_kept(tmp_path)) == 1


@needs_compiler
def test_kept_for_one_compiler(compiler, tmp_path):
    """Another command, or the same one after an update, has a library of its own."""
    compiler(lines=["true"])
    for changes in (lambda: None, lambda: os.utime(tmp_path / "compiler", (1, 1))):
        changes()
        library._library.cache_clear()
        assert engine.works()
    assert len(_kept(tmp_path)) == 2
