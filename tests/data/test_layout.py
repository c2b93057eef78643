"""Laying the files out for torchvision: its own class reads them, and nobody's files are lost."""

import hashlib
import warnings

import pytest
import torch
from data_files import IMAGES, LABELS, raw
from torchvision import datasets

from initguide.data import DamagedFileError, DataWarning, fashion_mnist, idx, lay_out, layout

NAMES = [file.name for file in idx.FULL]


def contents(folder):
    """Name -> bytes of all that is in torchvision's folder."""
    return {path.name: path.read_bytes() for path in raw(folder).iterdir()}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_torchvision_reads_them_without_a_network(packed, fill, isolated, tiny):
    """From files that were packed anew, with other MD5 sums than torchvision knows."""
    fill(isolated / "debian", packed=packed)
    laid_out = lay_out("data")
    assert contents(isolated / "work" / "data") == tiny
    assert laid_out.folder == raw(isolated / "work" / "data")
    assert laid_out.source == (
        f"Fashion-MNIST from the Debian package ({isolated / 'debian'}): "
        "50 training and 20 test images"
    )
    assert not laid_out.is_sample
    train, test = (datasets.FashionMNIST("data", train=t, download=True) for t in (True, False))
    assert (len(train), len(test)) == (50, 20)
    assert train.data.numpy().tobytes() == tiny[IMAGES][16:]
    assert bytes(train.targets.tolist()) == tiny[LABELS][8:]


def test_the_sample(sample, isolated):
    """Without anything else, the sample is laid out, with a warning; or if it is asked for."""
    with pytest.warns(DataWarning, match=r"Using the embedded sample .* could not be downloaded"):
        laid_out = lay_out(isolated / "auto")
    assert laid_out.is_sample
    assert laid_out.source == (
        "the embedded sample of Fashion-MNIST: 5,000 training and 1,000 test images, "
        "not the full data"
    )
    lay_out(isolated / "asked", source="sample")
    assert contents(isolated / "auto") == contents(isolated / "asked")
    test = datasets.FashionMNIST(isolated / "asked", train=False, download=True)
    assert torch.equal(test.data, sample.test.images.mul(255).round().byte().squeeze(1))
    assert torch.equal(test.targets, sample.test.labels)


def test_the_warning_is_of_the_caller(isolated):
    """It names the line that asked for the files."""
    with pytest.warns(DataWarning) as caught:
        lay_out(isolated / "here")
    assert [warning.filename for warning in caught] == [__file__]


def test_a_sample_that_was_laid_out_is_no_damaged_download(fill, isolated):
    """`fashion_mnist` passes it by, in folders where a download is looked for."""
    lay_out("data", source="sample")
    fill(isolated / "debian")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "the Debian package" in fashion_mnist().source


def test_the_data_replace_the_sample(fill, isolated, tiny):
    """Once the data are there, the same call lays them out."""
    lay_out("data", source="sample")
    fill(isolated / "debian")
    lay_out("data")
    assert contents(isolated / "work" / "data") == tiny


def test_again(fill, isolated, tiny):
    """What is there is left as it is; what is missing is added; nothing else is touched."""
    fill(raw(isolated / "d"))
    (raw(isolated / "d") / "notes.txt").write_text("mine")
    (raw(isolated / "d") / LABELS).unlink()
    before = (raw(isolated / "d") / IMAGES).stat()
    fill(isolated / "from")
    lay_out(isolated / "d", isolated / "from")
    assert contents(isolated / "d") == {**tiny, "notes.txt": b"mine"}
    after = (raw(isolated / "d") / IMAGES).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [path.name for path in raw(isolated / "d").parent.iterdir()] == ["raw"]


@pytest.mark.parametrize("kind", ["another content", "a folder"])
@pytest.mark.fault(
    "data",
    tried="laying the data out for torchvision where a file of another content lies",
    happens="an error names the file; it is left as it is, and no other is written",
)
def test_what_would_be_lost_is_refused(kind, fill, isolated):
    """A file of another content stays, and none of the others is written."""
    fill(isolated / "from")
    file = raw(isolated / "d") / LABELS
    file.parent.mkdir(parents=True)
    if kind == "a folder":
        file.mkdir()
    else:
        file.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=f"{LABELS} is .*{kind}, and was left as it is"):
        lay_out(isolated / "d", isolated / "from")
    assert [path.name for path in file.parent.iterdir()] == [LABELS]
    assert file.is_dir() or file.read_bytes() == b"mine"


def test_the_sample_replaces_nothing(fill, isolated, tiny):
    """Not the full data, for one."""
    fill(raw(isolated / "d"))
    with pytest.raises(FileExistsError, match=r"move it away, or name another folder"):
        lay_out(isolated / "d", source="sample")
    assert contents(isolated / "d") == tiny


def test_damaged_files_are_not_laid_out(fill, isolated):
    """The files are checked before anything is written."""
    fill(isolated / "from")
    (isolated / "from" / LABELS).write_bytes(b"short")
    with pytest.raises(DamagedFileError, match=LABELS):
        lay_out(isolated / "d", isolated / "from")
    assert not (isolated / "d").exists()


@pytest.mark.parametrize("folder", [None, "", 3])
def test_bad_folder(folder):
    """A folder that is none is refused by what it is."""
    with pytest.raises(ValueError, match=r'folder is .*; name one, such as "data"'):
        lay_out(folder, source="sample")


def test_a_file_in_place_of_the_folder(isolated):
    """It is named, and stays."""
    (isolated / "d").write_text("mine")
    with pytest.raises(NotADirectoryError, match=r"d is a file; give the name of a folder"):
        lay_out(isolated / "d", source="sample")
    assert (isolated / "d").read_text() == "mine"


def test_a_full_disk(isolated, monkeypatch):
    """Half-written files do not stay, and the message says where and why."""

    def fail(self, _content):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(layout.Path, "write_bytes", fail)
    with pytest.raises(OSError, match=r"laid out in .*: No space left on device; free some space"):
        lay_out(isolated / "d", source="sample")
    assert not [path for path in (isolated / "d").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.full_data
def test_the_package_of_debian(tmp_path):
    """All 70,000 images, unpacked: the published files, by their sums."""
    laid_out = lay_out(tmp_path, source="debian")
    assert "60,000 training and 10,000 test images" in laid_out.source
    for file in idx.FULL:
        content = (laid_out.folder / file.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256
    assert len(datasets.FashionMNIST(tmp_path, download=True)) == 60_000
