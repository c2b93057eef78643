"""Temporary folders: removed in the end, and at the next start where a process was killed."""

import os
import re
import subprocess
import sys
import tempfile

import pytest

from initguide.experiments import processes
from initguide.experiments.jobs import scratch

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are those of POSIX")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary folder of the system that nobody else uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _dead():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_its_name_says_whose_it_is(temporary):
    """And nobody else may look into it."""
    with scratch.temporary_folder() as folder:
        assert folder.parent == temporary
        start = processes.started(os.getpid())
        assert re.fullmatch(rf"initguide-[\w.]+-\d+-{os.getpid()}-{start}-\w+", folder.name)
        assert folder.stat().st_mode & 0o777 == 0o700
        scratch.remove_those_of_the_dead()
        assert folder.is_dir()  # this process lives
    assert not list(temporary.iterdir())


KEPT = {
    "of a process that lives": lambda prefix: (
        f"{prefix}{os.getpid()}-{processes.started(os.getpid())}-x"
    ),
    "of another machine": lambda _: f"initguide-elsewhere-1-{_dead()}-1-x",
    "of another container": lambda prefix: prefix[:-2] + f"0-{_dead()}-1-x",
    "of something else": lambda prefix: f"{prefix}notes",
}


@pytest.mark.parametrize("whose", KEPT)
@pytest.mark.fault(
    "stopping",
    tried="folders of other processes, machines and containers lie in the same temporary folder",
    happens="they stay; only those of processes that are known to be dead are removed",
)
def test_what_stays(temporary, whose):
    """What belongs to somebody who may live, or is not ours."""
    folder = temporary / KEPT[whose](scratch._prefix())
    folder.mkdir()
    scratch.remove_those_of_the_dead()
    assert folder.is_dir()


def _left(temporary, process=None, start=1):
    folder = temporary / f"{scratch._prefix()}{process or _dead()}-{start}-x"
    folder.mkdir()
    (folder / "data.pt").write_bytes(bytes(1000))
    return folder


def test_what_goes(temporary):
    """What is left of a dead process, also if another one has its number by now."""
    _left(temporary)
    if processes.started(os.getpid()):
        _left(temporary, os.getpid())
    scratch.remove_those_of_the_dead()
    assert not list(temporary.iterdir())


@pytest.mark.fault(
    "stopping",
    tried="somebody puts a link, or a file, under the name of a dead process's temporary folder",
    happens="it is not followed, and stays",
)
def test_links(temporary, tmp_path_factory):
    """What a link leads to is not ours to remove."""
    target = tmp_path_factory.mktemp("precious")
    (target / "file").touch()
    folder = _left(temporary)
    link = folder.with_name(folder.name[:-1] + "y")
    link.symlink_to(target)
    file = folder.with_name(folder.name[:-1] + "z")
    file.touch()
    scratch.remove_those_of_the_dead()
    assert not folder.exists()
    assert link.is_symlink()
    assert file.exists()
    assert (target / "file").exists()


@pytest.mark.fault(
    "stopping",
    tried="a dead process's temporary folder belongs to another user",
    happens="it stays",
)
def test_of_another_user(temporary, monkeypatch):
    """Even where we may remove it, as root may."""
    folder = _left(temporary)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    scratch.remove_those_of_the_dead()
    assert folder.is_dir()


def test_a_zombie_has_ended():
    """A process that ended, and that nobody has asked for its status."""
    if not processes.started(os.getpid()):
        pytest.skip("needs /proc")
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    assert processes.started(process.pid) >= processes.started(os.getpid())
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert not processes.has_ended(process.pid)
    assert processes.started(process.pid) == 0
    process.communicate()


def test_no_temporary_folder(monkeypatch, tmp_path):
    """That it cannot be listed is no reason not to train."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing"))
    scratch.remove_those_of_the_dead()
