"""Arguments, and one object for one state of the files."""

import gc

import numpy as np
import pytest
import torch
from data_files import LABELS

from initguide.data import (
    DamagedFileError,
    fashion_mnist,
    loading,
)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_fraction_out_of_range(fraction):
    """A fraction outside (0, 1) is refused with what came and what is allowed."""
    with pytest.raises(ValueError, match=r"valid_fraction is .*must be above 0 and below 1"):
        fashion_mnist(source="sample", valid_fraction=fraction)


@pytest.mark.parametrize(("fraction", "part"), [(1e-5, "validation"), (1 - 1e-5, "training")])
def test_fraction_that_leaves_nothing(fraction, part):
    """A fraction that leaves a part empty is refused with the values that do not."""
    with pytest.raises(
        ValueError,
        match=rf"leaves no {part} images of the 5,000; use a value from 0.0002 to 0.9998",
    ):
        fashion_mnist(source="sample", valid_fraction=fraction)


@pytest.mark.parametrize("fraction", ["0.2", None, True, torch.tensor(0.2)])
def test_fraction_of_wrong_type(fraction):
    """A fraction that is no number is named, with its type."""
    with pytest.raises(TypeError, match=r"valid_fraction is .*must be a number"):
        fashion_mnist(source="sample", valid_fraction=fraction)


@pytest.mark.parametrize("seed", [1.0, "1", None, True, -1, 2**63])
def test_seed_that_is_none(seed):
    """It is named, with what is allowed, in the words that all functions have."""
    with pytest.raises(ValueError, match=rf"^seed is {seed!r}; it must be (a whole|below 2⁶³)"):
        fashion_mnist(source="sample", seed=seed)


def test_numpy_numbers_are_numbers(sample):
    """Seeds and fractions may come from NumPy."""
    assert (
        fashion_mnist(source="sample", valid_fraction=np.float64(0.2), seed=np.int64(0)) is sample
    )


def test_unknown_source():
    """An unknown source lists the sources and the nearest."""
    with pytest.raises(ValueError, match=r'"root", "cache", .*Did you mean "debian"\?'):
        fashion_mnist(source="debain")
    with pytest.raises(ValueError, match='source is 7; the sources are "auto"'):
        fashion_mnist(source=7)


def test_root_that_is_not_used(tmp_path):
    """A root beside a source that ignores it is refused."""
    with pytest.raises(ValueError, match=r'root is .*, but source="sample" does not use it'):
        fashion_mnist(tmp_path, source="sample")


@pytest.mark.usefixtures("isolated")
def test_bad_roots():
    """A root that is no path, or an empty one, is refused; "root" needs one."""
    with pytest.raises(TypeError, match="root is 5, of type int; use a str or a Path"):
        fashion_mnist(5)
    with pytest.raises(TypeError, match=r"root is b'data', of type bytes"):
        fashion_mnist(b"data")
    with pytest.raises(ValueError, match=r'root is the empty string.*pass root="."'):
        fashion_mnist("")
    with pytest.raises(ValueError, match="neither root= nor INITGUIDE_DATA names a folder"):
        fashion_mnist(source="root")


@pytest.mark.fault(
    "data",
    tried="a file of the data is changed after it was loaded",
    happens="the next call reads it anew, and refuses it if it is damaged",
)
def test_second_call_gives_the_same_object(fill, isolated, monkeypatch):
    """The object is shared for as long as arguments and files are the same, and no longer."""
    fill(isolated / "a")
    fill(isolated / "b")
    first = fashion_mnist(isolated / "a")
    assert fashion_mnist(str(isolated / "a"), seed=0) is first
    assert fashion_mnist("../a") is first
    assert fashion_mnist(isolated / "a", seed=1) is not first
    assert fashion_mnist(isolated / "a") is first
    monkeypatch.setenv("INITGUIDE_DATA", str(isolated / "a"))
    by_variable = fashion_mnist()
    monkeypatch.setenv("INITGUIDE_DATA", str(isolated / "b"))
    assert fashion_mnist() is not by_variable
    (isolated / "b" / "inner").mkdir()
    fill(isolated / "b" / "a")
    monkeypatch.chdir(isolated / "b" / "inner")
    assert fashion_mnist("../a") is not first  # another folder of that name
    (isolated / "a" / LABELS).write_bytes(b"\0")
    with pytest.raises(DamagedFileError, match=LABELS):
        fashion_mnist(isolated / "a")


def test_only_the_latest_is_kept_alive(fill, isolated):
    """Going through many seeds does not fill the memory."""
    fill(isolated / "d")
    gc.collect()
    before = len(loading._loaded)
    for seed in range(5):
        fashion_mnist(isolated / "d", seed=seed)
    gc.collect()
    assert len(loading._loaded) <= before + 1
    assert fashion_mnist(isolated / "d", seed=4) is loading._latest[0]
