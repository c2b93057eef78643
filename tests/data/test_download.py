"""The download."""

import gzip
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import pytest
import torchvision
from data_files import IMAGES, LABELS, TEST_LABELS, raw

import initguide
from initguide.data import (
    DataWarning,
    DownloadError,
    download,
    fashion_mnist,
    idx,
    places,
)


def leftovers(folder):
    """Files under a folder, temporary ones included."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_download(serve, tiny, isolated, capfd):
    """The download fills torchvision's layout with plain files, in silence, and is found again."""
    with serve(tiny):
        found = fashion_mnist("new", source="download")
    folder = raw(isolated / "work" / "new")
    assert {path.name: path.read_bytes() for path in leftovers(isolated / "work")} == tiny
    assert f"from the folder ({folder})" in found.source
    assert fashion_mnist("new") is found
    assert fashion_mnist("new", source="download") is found  # nothing is fetched again
    assert fashion_mnist(folder, source="download") is found
    assert len(torchvision.datasets.FashionMNIST("new", train=False)) == 20
    assert capfd.readouterr() == ("", "")


def test_automatic_download(serve, tiny, isolated):
    """With nothing on the machine, the data is downloaded to the cache, where it is found again."""
    with serve(tiny):
        found = fashion_mnist()
    assert f"from the cache ({raw(isolated / 'home' / '.cache' / 'initguide')})" in found.source
    assert fashion_mnist() is found
    assert fashion_mnist(source="cache") is found


def test_download_to_the_variable(serve, tiny, isolated, monkeypatch):
    """INITGUIDE_DATA says where the download goes."""
    monkeypatch.setenv("INITGUIDE_DATA", str(isolated / "env"))
    with serve(tiny):
        fashion_mnist(source="download")
    assert len(leftovers(raw(isolated / "env"))) == 4


@pytest.mark.fault(
    "data",
    tried="a mirror lacks a file, another sends one with a changed byte",
    happens="the next mirror is asked",
)
def test_next_mirror(serve, tiny):
    """A mirror that lacks a file, or has another one, is passed over."""
    other = {**tiny, IMAGES: tiny[IMAGES][:-1] + b"\0"}
    with serve({}, other, tiny):
        assert len(fashion_mnist(source="download").train) == 40


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param(
            "404",
            "HTTP Error 404: Not Found",
            marks=pytest.mark.fault(
                "data", tried="the server has no such file", happens="an error with its answer"
            ),
        ),
        pytest.param(
            "die",
            r"truncated: [\d,]+ bytes of",
            marks=pytest.mark.fault(
                "data",
                tried="the server dies in the middle of a file",
                happens="an error with the bytes that came, and nothing is left behind",
            ),
        ),
        pytest.param(
            "hang",
            "nothing arrived from http://127.0.0.1:.* for 0.3 seconds",
            marks=pytest.mark.fault(
                "data",
                tried="the server takes the request and never answers",
                happens="an error after the limit, and nothing is left behind; without a named "
                "folder the embedded sample is used, with a warning",
            ),
        ),
        pytest.param(
            "stall",
            "nothing arrived from http://127.0.0.1:.* for 0.3 seconds",
            marks=pytest.mark.fault(
                "data",
                tried="the server stops in the middle of a file and stays connected",
                happens="an error after the limit, and half a file is not kept",
            ),
        ),
    ],
)
def test_failing_server(serve, tiny, isolated, monkeypatch, *, behaviour, reason):
    """A server that fails, dies or hangs leaves nothing behind, and the wait is bounded."""
    monkeypatch.setattr(download, "STALL_SECONDS", 0.3)
    start = time.monotonic()
    with serve(tiny, tiny, behaviour=behaviour):
        with pytest.raises(
            DownloadError,
            match=rf"could not be downloaded to .*: .*{reason}.*install the Debian",
        ):
            fashion_mnist("new", source="download")
        with pytest.warns(DataWarning, match="embedded sample"):
            assert fashion_mnist().is_sample
    assert time.monotonic() - start < 10
    assert leftovers(isolated / "work") == leftovers(isolated / "home") == []


@pytest.mark.fault(
    "data",
    tried="looking up the server's name hangs",
    happens="an error after the limit, and nothing is left behind",
)
def test_name_lookup_that_hangs(isolated, monkeypatch):
    """The wait is bounded also where a socket's time-out does not apply."""
    released = threading.Event()
    monkeypatch.setattr(download, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: released.wait(30))
    with pytest.raises(DownloadError, match=r"nothing arrived from .* for 0\.2 seconds"):
        fashion_mnist("new", source="download")
    released.set()
    assert leftovers(isolated / "work") == []


@pytest.mark.fault(
    "data",
    tried="the server sends another data set",
    happens="refused on arrival, with the shapes, and nothing is left behind",
)
def test_wrong_content(serve, tiny, isolated):
    """What is not Fashion-MNIST is refused on arrival."""
    with (
        serve({**tiny, TEST_LABELS: tiny[LABELS]}),
        pytest.raises(
            DownloadError, match=rf"{TEST_LABELS}.gz is damaged: its header gives the shape \(50,\)"
        ),
    ):
        fashion_mnist("new", source="download")
    assert leftovers(isolated / "work") == []


def test_slow_is_not_stalled(serve, tiny, monkeypatch):
    """A download that takes longer than the limit goes on for as long as something arrives."""
    monkeypatch.setattr(download, "STALL_SECONDS", 0.4)
    start = time.monotonic()
    with serve(tiny, behaviour="slow"):
        fashion_mnist(source="download")
    assert time.monotonic() - start > 0.4


@pytest.mark.fault(
    "data",
    tried="the folder to download to cannot be made",
    happens="an error that names the folder",
)
def test_download_without_a_place(isolated):
    """A target that cannot be made is an error that names it."""
    (isolated / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"could not be downloaded to .*file/sub.*Not a dir"):
        fashion_mnist(isolated / "file" / "sub", source="download")


@pytest.mark.usefixtures("isolated")
@pytest.mark.fault(
    "data",
    tried="torchvision cannot be imported",
    happens="the embedded sample is used, with a warning",
)
def test_broken_torchvision(monkeypatch):
    """A torchvision that cannot be imported stops the download, not the fallback."""
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.warns(DataWarning, match="torchvision, which knows the addresses, cannot be"):
        assert fashion_mnist().is_sample


TWO = """
    import pathlib, re, sys, torchvision, warnings
    warnings.simplefilter("error")
    from initguide.data import fashion_mnist
    import initguide.data
    torchvision.datasets.FashionMNIST.mirrors = [sys.argv[1]]
    found = fashion_mnist("shared", source="download")
    print(len(found.train), len(found.valid), len(found.test))
    # Not ru_maxrss: it counts the process that started this one, too.
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        peak = re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())
        assert int(peak[1]) < 1_500_000
"""


@pytest.mark.slow
@pytest.mark.full_data
@pytest.mark.fault(
    "data",
    tried="two processes download into one folder at once",
    happens="both end with whole files",
)
def test_two_processes_at_once(serve, tmp_path, monkeypatch):
    """Two processes that download the full data at once both end with whole files."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PYTHONPATH", str(Path(initguide.__file__).parents[1]))
    contents = {
        file.name: gzip.decompress((places.DEBIAN_FOLDER / f"{file.name}.gz").read_bytes())
        for file in idx.FULL
    }
    with serve(contents) as mirrors:
        command = [sys.executable, "-c", textwrap.dedent(TWO), *mirrors]
        processes = [
            subprocess.Popen(
                command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        results = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    assert results == [("48000 12000 10000\n", "", 0)] * 2
    assert {path.name for path in leftovers(tmp_path)} == set(contents)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(fashion_mnist(tmp_path / "shared").test) == 10_000
