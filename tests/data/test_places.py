"""Where the files may lie."""

import os
from pathlib import Path

import pytest
from data_files import IMAGES, LABELS, TEST_LABELS, raw

from initguide.data import (
    DamagedFileError,
    DataWarning,
    DownloadError,
    download,
    fashion_mnist,
)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("d/FashionMNIST/raw", "d"),
        ("d/FashionMNIST/raw", "d/FashionMNIST"),
        ("d/FashionMNIST/raw", "d/FashionMNIST/raw"),
        ("d/raw", "d"),
        ("d/raw", "d/raw"),
        ("d", "d"),
    ],
)
def test_layouts(fill, isolated, monkeypatch, *, packed, folder, root):
    """Each layout is found from each of its roots, by argument and by environment variable."""
    fill(isolated / folder, packed=packed)
    found = fashion_mnist(str(isolated / root))
    assert found.source == (
        f"Fashion-MNIST from the folder ({isolated / folder}): "
        "40 training, 10 validation and 20 test images"
    )
    monkeypatch.setenv("INITGUIDE_DATA", str(isolated / root))
    assert f"from INITGUIDE_DATA ({isolated / folder})" in fashion_mnist().source


@pytest.mark.fault(
    "data",
    tried="rubbish lies beside the data under a name that could be theirs",
    happens="it is not read",
)
def test_plain_files_are_preferred(fill, isolated):
    """A gzipped file beside a plain one is not read."""
    fill(isolated / "d")
    (isolated / "d" / f"{IMAGES}.gz").write_bytes(b"not gzip")
    assert len(fashion_mnist(isolated / "d").train) == 40


def test_order(fill, isolated, monkeypatch):
    """The places are tried in the documented order."""
    home, work = isolated / "home", isolated / "work"
    places = [
        (isolated / "debian", "the Debian package"),
        (work / "F_MNIST_data", "the cache"),
        (work / "data", "the cache"),
        (home / ".pytorch" / "F_MNIST_data", "the cache"),
        (home / ".cache" / "initguide", "the cache"),
    ]
    for folder, label in places:  # from the last that is tried to the first
        fill(folder)
        assert fashion_mnist().source.startswith(f"Fashion-MNIST from {label} ({folder})")
    monkeypatch.setenv("XDG_CACHE_HOME", str(isolated / "xdg"))
    fill(raw(isolated / "xdg" / "initguide"))
    assert str(isolated / "xdg") in fashion_mnist(source="cache").source
    monkeypatch.setenv("INITGUIDE_DATA", str(fill(isolated / "env")))
    assert "INITGUIDE_DATA" in fashion_mnist().source
    assert "INITGUIDE_DATA" in fashion_mnist(source="root").source
    assert "the cache" in fashion_mnist(source="cache").source
    assert "the Debian package" in fashion_mnist(source="debian").source
    assert f"the folder ({work / 'data'})" in fashion_mnist("data").source


@pytest.mark.usefixtures("isolated")
@pytest.mark.fault(
    "data",
    tried="no data on the machine and no network",
    happens="the embedded sample stands in, with a warning that says what to do",
)
def test_sample_warns_when_it_stands_in():
    """With nothing else, the sample comes with a warning that points here and says what to do."""
    with pytest.warns(DataWarning, match="embedded sample") as caught:
        found = fashion_mnist()
    assert found.is_sample
    assert caught[0].filename == __file__
    message = str(caught[0].message)
    assert "4,000 training" in message
    assert "Connection refused" in message or "could not be downloaded" in message
    assert "dataset-fashion-mnist" in message
    assert 'source="sample" uses the sample without this warning' in message
    with pytest.warns(DataWarning, match="embedded sample"):
        assert fashion_mnist() is found


@pytest.mark.usefixtures("isolated")
def test_failed_download_is_not_tried_again(monkeypatch):
    """Offline, only the first call waits for the network; asking for the download tries again."""
    tries = []

    def fail(folder, mirrors):
        tries.append(folder)
        raise DownloadError(f"no way to {mirrors[0]}")

    monkeypatch.setattr(download, "_receive", fail)
    for _ in range(2):
        with pytest.warns(DataWarning, match="no way to http"):
            fashion_mnist()
    assert len(tries) == 1
    with pytest.raises(DownloadError, match="no way to http"):
        fashion_mnist(source="download")
    assert len(tries) == 2


@pytest.mark.fault(
    "data",
    tried="the folder that was named lacks the data, or one of its files",
    happens="an error with the file and the remedy; no other data are taken instead",
)
def test_named_folder_must_hold_the_data(fill, isolated, monkeypatch):
    """A folder that was named and lacks the data is an error with the remedy, never skipped."""
    fill(isolated / "debian")
    remedy = r'fashion_mnist\(.*, source="download"\) downloads it there'
    with pytest.raises(FileNotFoundError, match=rf"not in .*nowhere: there is no such.*{remedy}"):
        fashion_mnist(isolated / "nowhere")
    (isolated / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=rf"none of its files \({IMAGES}, .*{remedy}"):
        fashion_mnist(isolated / "empty")
    monkeypatch.setenv("INITGUIDE_DATA", str(fill(isolated / "part")))
    (isolated / "part" / TEST_LABELS).unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"part lacks {TEST_LABELS} .*variable INITGUIDE_DATA"
    ):
        fashion_mnist()
    with pytest.raises(NotADirectoryError, match=rf"{IMAGES} is a file; .* is a folder"):
        fashion_mnist(isolated / "part" / IMAGES)


def test_remedy_works(fill, isolated, serve, tiny):
    """What the error of a damaged folder advises mends it."""
    folder = fill(raw(isolated / "d"))
    (folder / IMAGES).write_bytes(b"")
    with pytest.raises(DamagedFileError) as caught:
        fashion_mnist("../d")
    call = str(caught.value).split(". ", 1)[1].removesuffix(" downloads it there.")
    assert call == "fashion_mnist('../d', source=\"download\")"
    with serve(tiny):
        fashion_mnist("../d", source="download")
    assert len(fashion_mnist("../d").train) == 40


@pytest.mark.usefixtures("isolated")
def test_missing_sources_say_what_to_do():
    """Where the cache or the package is asked for and absent, the error says how to get it."""
    with pytest.raises(FileNotFoundError, match=r'F_MNIST_data.*source="download"\) downloads it'):
        fashion_mnist(source="cache")
    with pytest.raises(FileNotFoundError, match=r"apt install .*dataset-fashion-mnist"):
        fashion_mnist(source="debian")


@pytest.mark.fault(
    "data",
    tried="a file in a cache that nobody named is cut by a byte",
    happens="a warning that names it, and the next place is used",
)
def test_damaged_cache_is_skipped_with_a_warning(fill, isolated):
    """A damaged file in a place that nobody named is reported, and the next place is used."""
    cache = fill(raw(isolated / "home" / ".cache" / "initguide"))
    (cache / LABELS).write_bytes((cache / LABELS).read_bytes()[:-1])
    fill(isolated / "debian", packed=True)
    with pytest.warns(DataWarning, match=rf"{LABELS} is damaged: truncated.*skipped") as caught:
        found = fashion_mnist()
    assert "the Debian package" in found.source
    assert caught[0].filename == __file__


@pytest.mark.fault(
    "data",
    tried="another process is just filling the cache",
    happens="the next place is used, and named in the data's source",
)
def test_incomplete_cache_is_skipped_in_silence(fill, isolated):
    """A folder that another process is filling right now is no cause for a warning."""
    cache = fill(raw(isolated / "home" / ".cache" / "initguide"))
    (cache / LABELS).unlink()
    fill(isolated / "debian", packed=True)
    assert "the Debian package" in fashion_mnist().source


def refuse(monkeypatch, method, path):
    """Let a method of Path refuse that file, as the system does for other users' files."""
    real = getattr(Path, method)

    def guarded(self, *args, **kwargs):
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, method, guarded)


@pytest.mark.parametrize("method", ["open", "stat"])
@pytest.mark.fault(
    "data",
    tried="a file of the named folder cannot be read",
    happens="an error that names it and says how to make it readable",
)
def test_unreadable_file(fill, isolated, monkeypatch, method):
    """A file that may not be opened, or whose folder may not be entered, is named."""
    refuse(monkeypatch, method, fill(isolated / "d") / LABELS)
    with pytest.raises(
        PermissionError, match=rf"{LABELS} cannot be read.*Make it readable \(chmod"
    ):
        fashion_mnist(isolated / "d")


@pytest.mark.fault(
    "data",
    tried="a file in the cache cannot be read",
    happens="a warning that names it, and the next place is used",
)
def test_unreadable_cache(fill, isolated, monkeypatch):
    """In an unnamed place, an unreadable file is a warning, and such a folder is passed over."""
    cache = fill(isolated / "work" / "data")
    debian = fill(isolated / "debian", packed=True)
    with monkeypatch.context() as patch:
        refuse(patch, "open", cache / LABELS)
        with pytest.warns(DataWarning, match=rf"{LABELS} cannot be read.*was skipped"):
            assert str(debian) in fashion_mnist().source
    refuse(monkeypatch, "stat", cache / LABELS)
    assert str(debian) in fashion_mnist().source


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may read everything")
def test_really_unreadable_file(fill, isolated):
    """The same without a mock."""
    (fill(isolated / "d") / LABELS).chmod(0)
    with pytest.raises(PermissionError, match=f"{LABELS} cannot be read"):
        fashion_mnist(isolated / "d")
