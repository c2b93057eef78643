"""For all tests: the sample, the full data where it is installed, a clean slate, one thread."""

import gzip
import hashlib
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.datasets import FashionMNIST as TorchvisionFashionMNIST

from initguide import data
from initguide.data import download, places
from initguide.data import idx as idx_format

NAMES = [file.name for file in idx_format.FULL]
# Programs for `nox -s mutants`, which has its own environment, and for `nox -s elsewhere`.
collect_ignore = ["mutants.py", "elsewhere.py", "offset"]


def pytest_runtest_setup(item):
    """Skip what needs the full data where the Debian package is not installed."""
    if item.get_closest_marker("full_data") and not all(
        (places.DEBIAN_FOLDER / f"{name}.gz").is_file() for name in NAMES
    ):
        pytest.skip("needs the Debian package dataset-fashion-mnist")


@pytest.fixture(scope="session")
def sample():
    """The embedded sample, which needs no files and no network."""
    return data.fashion_mnist(source="sample")


@pytest.fixture(scope="session")
def full():
    """The full data from the Debian package; mark the test with ``full_data``."""
    return data.fashion_mnist(source="debian")


@pytest.fixture(scope="session")
def noise():
    """A function that makes a split of so many images of noise from a seed."""

    def split(count, seed):
        generator = torch.Generator().manual_seed(seed)
        return SimpleNamespace(
            images=torch.rand(count, 1, 28, 28, generator=generator),
            labels=torch.randint(0, 10, (count,), generator=generator),
        )

    return split


@pytest.fixture(scope="session", name="data")
def data_of_noise(noise):
    """80 + 20 + 20 images of noise: two mini-batches of 32 an epoch, and one of 16."""
    return SimpleNamespace(train=noise(80, 0), valid=noise(20, 1), test=noise(20, 2))


@pytest.fixture
def isolated(tmp_path, monkeypatch):
    """Folder for a test that sees no data but the sample: no caches, no package, no network."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("INITGUIDE_DATA", raising=False)
    monkeypatch.chdir(work)
    monkeypatch.setattr(places, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(TorchvisionFashionMNIST, "mirrors", ["http://127.0.0.1:9/"])  # refused
    monkeypatch.setattr(download, "_failed", {})
    return tmp_path


def idx(array):
    """Content of an IDX file of unsigned bytes."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def tiny(isolated, monkeypatch):  # noqa: ARG001  nothing else may be found beside it
    """Content of the four files of a data set of 50 + 20 images that stands in for the full one."""
    rng = np.random.default_rng(0)
    contents = {}
    for part, count in (("train", 50), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        contents[f"{part}-images-idx3-ubyte"] = idx(images)
        contents[f"{part}-labels-idx1-ubyte"] = idx((np.arange(count) % 10).astype(np.uint8))
    sums = tuple(hashlib.sha256(contents[name]).hexdigest() for name in NAMES)
    monkeypatch.setattr(idx_format, "FULL", idx_format._files(50, 20, sums))
    return contents


@pytest.fixture
def fill(tiny):
    """Function that writes the tiny data set to a folder, plain or gzipped."""

    def write(folder, *, packed=False):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in tiny.items():
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
        return folder

    return write


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Such small networks take longer on several threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def assert_mean():
    """A function that holds a mean over independent draws against what is expected of it.

    The margin follows from the draws' own spread, so it hangs on no lucky seed: if they are about
    normal around what is expected, one comparison in a million fails. What is only nearly right,
    such as a theory of wide layers, may be off by a share ``bias`` more.
    """

    def check(values, expected, *, bias=0.0):
        values, expected = np.asarray(values, dtype=np.float64), np.asarray(expected)
        count = len(values)
        error = values.std(0, ddof=1) / np.sqrt(count)
        margin = stats.t.isf(0.5e-6, count - 1) * error + bias * np.abs(expected)
        off = np.abs(values.mean(0) - expected)
        assert (off <= margin).all(), f"off by {off}, where {margin} is chance"

    return check
