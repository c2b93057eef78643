"""A store on a file system of the network, which is refused."""

import os

import pytest
from store_rows import ABOUT, row_of

from initguide.experiments import Store, StoreError
from initguide.experiments.store import places, read

LINE = "36 25 {device} / /mnt/my\\040home rw,relatime shared:1 - {kind} server:/home rw,vers=4.2\n"


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Function that lets the folder of the test be on a file system of some kind."""

    def mount(kind):
        device = tmp_path.stat().st_dev
        file = tmp_path / "mountinfo"
        other = LINE.format(device="250:251", kind="nfs4")
        name = f"{os.major(device)}:{os.minor(device)}"
        file.write_text(other + LINE.format(device=name, kind=kind))
        monkeypatch.setattr(places, "MOUNTS", file)

    return mount


@pytest.mark.fault(
    "cluster",
    tried="a store on NFS, SMB, Lustre or another file system that machines share",
    happens="refused, with the kind of file system and where to put it",
)
@pytest.mark.parametrize("kind", ["nfs4", "nfs", "cifs", "lustre", "fuse.sshfs", "beegfs"])
def test_a_store_on_the_network(mounted, tmp_path, kind):
    """Nothing is made there, and nothing that is there is changed."""
    path = tmp_path / "runs.sqlite"
    mounted(kind)
    message = rf"runs.sqlite is on a network file system \({kind}, mounted at /mnt/my home\)"
    with pytest.raises(StoreError, match=message):
        Store(path, ABOUT)
    assert not path.exists()


def test_what_is_allowed(mounted, tmp_path, monkeypatch):
    """To read there, to write there if somebody says so, and to write anywhere else."""
    path = tmp_path / "runs.sqlite"
    mounted("ext4")
    Store(path, ABOUT).add([row_of("a")])
    mounted("nfs4")
    assert len(read(path)[1]) == 1
    with pytest.raises(StoreError, match="copy it afterwards"):
        Store(path, ABOUT)
    monkeypatch.setenv("INITGUIDE_STORE", "anywhere")
    Store(path, ABOUT).add([row_of("b")])
    assert len(read(path)[1]) == 2


def test_where_it_is_not_known(tmp_path, monkeypatch):
    """Another system tells of no mounts: nothing is refused."""
    monkeypatch.setattr(places, "MOUNTS", tmp_path / "none")
    Store(tmp_path / "runs.sqlite", ABOUT)


def test_mounts_of_this_machine(tmp_path):
    """The kind that the system itself names, where it has the command for it."""
    kind, where = places._file_system(tmp_path / "new")
    if not kind:
        pytest.skip("the system does not say")
    assert os.stat(where).st_dev == tmp_path.stat().st_dev  # noqa: PTH116
