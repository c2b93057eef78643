"""Fashion-MNIST is found, checked, downloaded and split as `fashion_mnist` promises."""

import contextlib
import functools
import gc
import gzip
import hashlib
import http.server
import importlib.util
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import initguide
from initguide import data
from initguide.data import (
    DamagedFileError,
    DataWarning,
    DownloadError,
    Split,
    download,
    fashion_mnist,
    idx,
    loading,
    places,
)

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = (file.name for file in idx.FULL)
SAMPLE = Path(data.__file__).with_name("sample")


def raw(root):
    """Where torchvision keeps the files."""
    return root / "FashionMNIST" / "raw"


# The sample and the full data -------------------------------------------------------------------


def test_sample_is_balanced_and_typed(sample):
    """Each part of the sample has its size, as many of each class, and pixels in [0, 1]."""
    for split, count in ((sample.train, 4000), (sample.valid, 1000), (sample.test, 1000)):
        assert len(split) == count
        assert split.images.shape == (count, 1, 28, 28)
        assert split.images.dtype == torch.float32
        assert split.images.is_contiguous()
        assert (split.images.min(), split.images.max()) == (0, 1)
        assert split.labels.shape == (count,)
        assert split.labels.dtype == torch.int64
        assert split.labels.bincount().tolist() == [count // 10] * 10
    assert sample.is_sample
    assert sample.classes == tuple(torchvision.datasets.FashionMNIST.classes)
    assert sample.source == (
        "the embedded sample of Fashion-MNIST: 4,000 training, 1,000 validation and 1,000 test "
        "images, not the full data"
    )


def test_reprs_are_short(sample):
    """No tensor is printed."""
    assert repr(sample) == f"<T{sample.source[1:]}>"
    assert repr(sample.train) == "Split(4,000 images of 1 × 28 × 28)"


def test_sample_is_small_and_has_its_licence():
    """The sample takes at most 3 MB, and names whose work it is."""
    assert sum(path.stat().st_size for path in SAMPLE.glob("*.gz")) <= 3_000_000
    licence = (SAMPLE / "LICENSE").read_text(encoding="utf-8")
    assert "Copyright © 2017 Zalando SE, https://tech.zalando.com" in licence


def test_sample_has_no_image_twice(sample):
    """No image of the sample is in two of its parts."""
    parts = (sample.train, sample.valid, sample.test)
    images = [image.numpy().tobytes() for part in parts for image in part.images]
    assert len(set(images)) == 6000


@pytest.mark.full_data
def test_sample_is_part_of_the_full_data(sample, full):
    """Every image of the sample occurs in the same half of the full data, with its label."""

    def pairs(*splits):
        return {
            (image.numpy().tobytes(), int(label))
            for split in splits
            for image, label in zip(split.images, split.labels, strict=True)
        }

    assert pairs(sample.train, sample.valid) <= pairs(full.train, full.valid)
    assert pairs(sample.test) <= pairs(full.test)


@pytest.mark.full_data
def test_script_makes_the_sample_again(tmp_path, monkeypatch):
    """The sample's script writes the content that the package holds."""
    spec = importlib.util.spec_from_file_location("make", SAMPLE / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    monkeypatch.setattr(make, "__file__", str(tmp_path / "make.py"))
    make.main()
    for file in idx.SAMPLE:
        made = gzip.decompress((tmp_path / f"{file.name}.gz").read_bytes())
        assert hashlib.sha256(made).hexdigest() == file.sha256


@pytest.mark.full_data
def test_full_data(full):
    """The full data has the lesson's split and the recorded mean square of a pixel."""
    assert [len(split) for split in (full.train, full.valid, full.test)] == [48000, 12000, 10000]
    pixels = torch.cat([full.train.images, full.valid.images])
    assert pixels.square().mean().item() == pytest.approx(0.2064, abs=5e-5)
    labels = torch.cat([full.train.labels, full.valid.labels])
    assert labels.bincount().tolist() == [6000] * 10
    assert not full.is_sample
    assert full.source == (
        "Fashion-MNIST from the Debian package (/usr/share/datasets/fashion-mnist): "
        "48,000 training, 12,000 validation and 10,000 test images"
    )


@pytest.mark.full_data
def test_full_data_is_what_torchvision_reads(full, tmp_path):
    """torchvision, which reads these files on its own, finds the same test set."""
    raw(tmp_path).mkdir(parents=True)
    for file in idx.FULL:
        packed = places.DEBIAN_FOLDER / f"{file.name}.gz"
        (raw(tmp_path) / file.name).write_bytes(gzip.decompress(packed.read_bytes()))
    theirs = torchvision.datasets.FashionMNIST(tmp_path, train=False)
    assert torch.equal(full.test.images[:, 0], theirs.data / 255)
    assert torch.equal(full.test.labels, theirs.targets)
    ours = fashion_mnist(tmp_path)
    assert torch.equal(ours.train.images, full.train.images)
    assert torch.equal(ours.valid.labels, full.valid.labels)


def test_top_level_name():
    """The package gives the function at its top level."""
    assert initguide.fashion_mnist is fashion_mnist


def test_split_needs_a_label_for_each_image():
    """A split of unequal lengths is refused with both shapes."""
    with pytest.raises(ValueError, match=r"images has shape \(3, 1, 28, 28\).*shape \(2,\)"):
        Split(torch.zeros(3, 1, 28, 28), torch.zeros(2, dtype=torch.int64))


def test_pickle(sample):
    """Worker processes can be given the data."""
    again = pickle.loads(pickle.dumps(sample))  # noqa: S301  our own bytes
    assert torch.equal(again.test.images, sample.test.images)


# The split --------------------------------------------------------------------------------------


@given(
    st.integers(1, 20), st.floats(0.01, 0.99), st.integers(0, 2**63 - 1), st.booleans(), st.data()
)
def test_split_is_a_seeded_partition(each, fraction, seed, balanced, draw):
    """Every image is in one part, the seed decides alone, and balance means within one."""
    labels = torch.tensor(draw.draw(st.permutations([*range(10)] * each)), dtype=torch.uint8)
    count = round(fraction * len(labels))
    split = functools.partial(loading._split, labels, fraction, seed, balanced=balanced)
    if not 0 < count < len(labels):
        with pytest.raises(ValueError, match="images of the"):
            split()
        return
    state = torch.get_rng_state()
    train, valid = split()
    assert torch.equal(torch.get_rng_state(), state)
    assert len(valid) == count
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(len(labels)))
    torch.manual_seed(1)
    assert torch.equal(split()[0], train)
    if balanced:
        for part in (train, valid):
            counts = labels[part].bincount(minlength=10)
            assert counts.max() - counts.min() <= 1


def test_seed_and_fraction_choose_the_split():
    """Another seed gives another split, another fraction another size; the sample obeys both."""
    first, second = (fashion_mnist(source="sample", seed=seed) for seed in (0, 1))
    assert not torch.equal(first.valid.labels, second.valid.labels) or not torch.equal(
        first.valid.images, second.valid.images
    )
    assert torch.equal(first.test.images, second.test.images)
    half = fashion_mnist(source="sample", valid_fraction=0.5)
    assert (len(half.train), len(half.valid), len(half.test)) == (2500, 2500, 1000)
    assert half.valid.labels.bincount().tolist() == [250] * 10


def test_split_does_not_depend_on_the_source(fill, isolated):
    """Plain files, gzipped files and another place give the same split for the same seed."""
    fill(isolated / "plain")
    fill(isolated / "debian", packed=True)
    plain = fashion_mnist(isolated / "plain", seed=3)
    packed = fashion_mnist(source="debian", seed=3)
    assert plain is not packed
    for part in ("train", "valid", "test"):
        assert torch.equal(getattr(plain, part).images, getattr(packed, part).images)
        assert torch.equal(getattr(plain, part).labels, getattr(packed, part).labels)
    assert (len(plain.train), len(plain.valid), len(plain.test)) == (40, 10, 20)


def test_default_device_does_not_matter():
    """The data is on the CPU, also where another default device is set."""
    with torch.device("meta"):
        fresh = fashion_mnist(source="sample", seed=99)
    assert fresh.train.images.device.type == "cpu"


# Arguments --------------------------------------------------------------------------------------


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
    with pytest.raises(TypeError, match=rf"valid_fraction is .*type {type(fraction).__name__}"):
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


# Places -----------------------------------------------------------------------------------------


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


def test_damaged_cache_is_skipped_with_a_warning(fill, isolated):
    """A damaged file in a place that nobody named is reported, and the next place is used."""
    cache = fill(raw(isolated / "home" / ".cache" / "initguide"))
    (cache / LABELS).write_bytes((cache / LABELS).read_bytes()[:-1])
    fill(isolated / "debian", packed=True)
    with pytest.warns(DataWarning, match=rf"{LABELS} is damaged: truncated.*skipped") as caught:
        found = fashion_mnist()
    assert "the Debian package" in found.source
    assert caught[0].filename == __file__


def test_incomplete_cache_is_skipped_in_silence(fill, isolated):
    """A folder that another process is filling right now is no cause for a warning."""
    cache = fill(raw(isolated / "home" / ".cache" / "initguide"))
    (cache / LABELS).unlink()
    fill(isolated / "debian", packed=True)
    assert "the Debian package" in fashion_mnist().source


# Permissions ------------------------------------------------------------------------------------


def refuse(monkeypatch, method, path):
    """Let a method of Path refuse that file, as the system does for other users' files."""
    real = getattr(Path, method)

    def guarded(self, *args, **kwargs):
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, method, guarded)


@pytest.mark.parametrize("method", ["open", "stat"])
def test_unreadable_file(fill, isolated, monkeypatch, method):
    """A file that may not be opened, or whose folder may not be entered, is named."""
    refuse(monkeypatch, method, fill(isolated / "d") / LABELS)
    with pytest.raises(
        PermissionError, match=rf"{LABELS} cannot be read.*Make it readable \(chmod"
    ):
        fashion_mnist(isolated / "d")


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


# Damage -----------------------------------------------------------------------------------------


def changed(content, at, value):
    """Content with other bytes at a position."""
    return content[:at] + value + content[at + len(value) :]


SIZE = 16 + 50 * 28 * 28
DAMAGES = {
    "empty": (lambda _: b"", f"truncated: 0 bytes of {SIZE:,}"),
    "in the magic": (lambda c: c[:3], f"truncated: 3 bytes of {SIZE:,}"),
    "in the header": (lambda c: c[:9], f"truncated: 9 bytes of {SIZE:,}"),
    "truncated": (lambda c: c[:1000], f"truncated: 1,000 bytes of {SIZE:,}"),
    "longer": (lambda c: c + b"1", f"it goes on after the expected {SIZE:,} bytes"),
    "labels": (
        lambda c: changed(c, 3, b"\1"),
        "it starts with the magic number 0x00000801; 0x00000803 was expected",
    ),
    "other count": (
        lambda c: changed(c, 7, b"\7"),
        r"its header gives the shape \(7, 28, 28\); \(50, 28, 28\) was expected",
    ),
    "other pixel": (
        lambda c: c[:-1] + bytes([c[-1] ^ 1]),
        "its content has the SHA-256 sum [0-9a-f]{64}; [0-9a-f]{64} was expected",
    ),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damage(fill, isolated, tiny, *, packed, damage, message):
    """Each kind of damage has its own message, with the file and the remedy."""
    folder = fill(isolated / "d", packed=packed)
    content = damage(tiny[IMAGES])
    name = f"{IMAGES}.gz" if packed else IMAGES
    (folder / name).write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DamagedFileError, match=rf"{name} is damaged: {message}\. fashion_mnist\("):
        fashion_mnist(isolated / "d")


def test_fewer_labels_than_images(fill, isolated):
    """A labels file that does not fit the images is refused by its header."""
    folder = fill(isolated / "d")
    (folder / LABELS).write_bytes(b"\0\0\x08\x01\0\0\0\2" + b"\1\2")
    with pytest.raises(ValueError, match=r"gives the shape \(2,\); \(50,\) was expected"):
        fashion_mnist(isolated / "d")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "truncated: 0 bytes of"),
        (lambda c: c[: len(c) // 2], r"truncated: [\d,]+ bytes of 39,216"),
        (lambda c: c[:-4], "truncated: its gzip stream ends before its checksum"),
        (lambda _: b"<html>", r"it is not a whole gzip file \(Not a gzipped file"),
        (
            lambda c: changed(c, len(c) - 8, b"\0\0\0\0"),
            r"it is not a whole gzip file \(CRC check failed",
        ),
        (lambda c: changed(c, 10, b"\xff" * 9), r"it is not a whole gzip file \(Error -3"),
    ],
    ids=["empty", "truncated", "no checksum", "a web page", "checksum", "content"],
)
def test_damaged_gzip(fill, isolated, damage, message):
    """A file that is damaged in its compressed form is named with what gzip finds."""
    path = fill(isolated / "d", packed=True) / f"{IMAGES}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedFileError, match=rf"{IMAGES}\.gz is damaged: {message}"):
        fashion_mnist(isolated / "d")


def test_broken_installation(isolated, monkeypatch):
    """Without its sample, the package says that it must be installed again."""
    monkeypatch.setattr(
        loading.resources, "as_file", lambda _: contextlib.nullcontext(isolated / "gone")
    )
    with pytest.raises(FileNotFoundError, match=r"no such folder.*install the package again"):
        fashion_mnist(source="sample")
    folder = isolated / "gone"
    folder.mkdir()
    for file in idx.SAMPLE:
        (folder / file.name).write_bytes(b"?")
    with pytest.raises(DamagedFileError, match=r"truncated: 1 bytes.*install the package again"):
        fashion_mnist(source="sample")


@given(
    npst.arrays(np.uint8, st.sampled_from([(3, 28, 28), (1, 28, 28), (5,), (1,)])),
    st.sampled_from(["", ".gz"]),
)
def test_idx_round_trip(tmp_path_factory, array, suffix):
    """What is written as an IDX file is read back, plain or gzipped."""
    file = idx.IdxFile("x", array.shape, "")
    content = file.header + array.tobytes()
    file = idx.IdxFile("x", array.shape, hashlib.sha256(content).hexdigest())
    assert file.size == len(content)
    path = tmp_path_factory.getbasetemp() / f"x{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    assert np.array_equal(idx.read_idx(path, file, "").numpy(), array)


# One object for one state of the files ----------------------------------------------------------


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


# Loaders ----------------------------------------------------------------------------------------


def test_loaders(sample):
    """The loaders give every image once, and shuffle the training images anew in each epoch."""
    train, valid, test = sample.loaders(batch_size=300)
    images, labels = next(iter(train))
    assert images.shape == (300, 1, 28, 28)
    assert labels.shape == (300,)
    assert [len(loader) for loader in (train, valid, test)] == [14, 4, 4]
    assert torch.equal(torch.cat([labels for _, labels in valid]), sample.valid.labels)
    assert torch.equal(torch.cat([images for images, _ in test]), sample.test.images)
    epochs = [torch.cat([labels for _, labels in train]) for _ in range(2)]
    assert not torch.equal(*epochs)
    assert torch.equal(epochs[0].bincount(), epochs[1].bincount())


def test_loaders_use_their_own_seed(sample):
    """The same seed gives the same batches, and the global random state is left alone."""
    state = torch.get_rng_state()
    orders = []
    for seed in (0, 0, 1):
        for loader in sample.loaders(seed=seed):
            images, _ = next(iter(loader))
        train, _, _ = sample.loaders(seed=seed)
        images, _ = next(iter(train))
        orders.append(images)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


def test_loaders_refuse_a_bad_batch_size(sample):
    """A batch size below 1, or none, is refused by name."""
    with pytest.raises(ValueError, match="batch_size is 0; it must be a whole number, at least 1"):
        sample.loaders(0)
    with pytest.raises(ValueError, match=r"batch_size is 10\.0; it must be a whole number"):
        sample.loaders(10.0)


# Download ---------------------------------------------------------------------------------------


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``files`` gzipped; ``behaviour`` makes it fail."""

    files: dict
    behaviour: str
    released: threading.Event

    def do_GET(self):
        """Answer a request as ``behaviour`` says."""
        name = self.path.strip("/").removesuffix(".gz")
        content = self.files.get(name, b"")
        if self.behaviour == "hang":
            self.released.wait(30)
            return
        if self.behaviour == "404" or name not in self.files:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.behaviour == "stall":
            self.wfile.write(content[:100])
            self.wfile.flush()
            self.released.wait(30)
        elif self.behaviour == "die":
            self.wfile.write(content[: len(content) // 2])
        else:
            step = 1000 if self.behaviour == "slow" else 1 << 20
            for start in range(0, len(content), step):
                self.wfile.write(content[start : start + step])
                if self.behaviour == "slow":
                    time.sleep(0.01)

    def log_message(self, *args):
        """Keep quiet."""


@pytest.fixture
def serve(monkeypatch):
    """Context that serves the files over HTTP, on an address that torchvision is told."""

    @contextlib.contextmanager
    def server(*contents, behaviour=""):
        with contextlib.ExitStack() as stack:
            mirrors = []
            released = threading.Event()
            for files in contents:
                packed = {name: gzip.compress(files[name], compresslevel=1) for name in files}
                attributes = {"files": packed, "behaviour": behaviour, "released": released}
                running = http.server.ThreadingHTTPServer(
                    ("127.0.0.1", 0), type("Bound", (Handler,), attributes)
                )
                stack.callback(running.server_close)  # waits for the requests in progress
                thread = threading.Thread(target=running.serve_forever, args=(0.05,))
                thread.start()
                stack.callback(thread.join)
                stack.callback(running.shutdown)
                stack.callback(released.set)
                mirrors.append(f"http://127.0.0.1:{running.server_port}/")
            monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", mirrors)
            yield mirrors

    return server


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


def test_next_mirror(serve, tiny):
    """A mirror that lacks a file, or has another one, is passed over."""
    other = {**tiny, IMAGES: tiny[IMAGES][:-1] + b"\0"}
    with serve({}, other, tiny):
        assert len(fashion_mnist(source="download").train) == 40


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("404", "HTTP Error 404: Not Found"),
        ("die", r"truncated: [\d,]+ bytes of"),
        ("hang", "nothing arrived from http://127.0.0.1:.* for 0.3 seconds"),
        ("stall", "nothing arrived from http://127.0.0.1:.* for 0.3 seconds"),
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


def test_name_lookup_that_hangs(isolated, monkeypatch):
    """The wait is bounded also where a socket's time-out does not apply."""
    released = threading.Event()
    monkeypatch.setattr(download, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: released.wait(30))
    with pytest.raises(DownloadError, match=r"nothing arrived from .* for 0\.2 seconds"):
        fashion_mnist("new", source="download")
    released.set()
    assert leftovers(isolated / "work") == []


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


def test_download_without_a_place(isolated):
    """A target that cannot be made is an error that names it."""
    (isolated / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"could not be downloaded to .*file/sub.*Not a dir"):
        fashion_mnist(isolated / "file" / "sub", source="download")


@pytest.mark.usefixtures("isolated")
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


# Smaller and changed copies


def test_subset_keeps_the_first_images(sample):
    """Each part is cut as asked for, shares memory, and the source says so."""
    small = sample.subset(train=50, valid=20)
    assert (len(small.train), len(small.valid)) == (50, 20)
    assert len(small.test) == len(sample.test)
    assert small.train.images.data_ptr() == sample.train.images.data_ptr()
    torch.testing.assert_close(small.valid.labels, sample.valid.labels[:20])
    assert small.source.endswith("of these the first 50 train, 20 valid, 1,000 test")
    assert small.is_sample


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"train": 0}, ValueError, "train is 0; it must be a whole number, at least 1"),
        ({"valid": 1001}, ValueError, "valid is 1,001, but there are only 1,000"),
        ({"test": 1.5}, ValueError, "test is 1.5; it must be a whole number, at least 1"),
    ],
)
def test_subset_refuses(sample, options, error, message):
    """The message names the part."""
    with pytest.raises(error, match=message):
        sample.subset(**options)


def test_transformed_changes_all_parts(sample):
    """Images change, labels do not, and the original is left alone."""
    before = sample.train.images.clone()
    centred = sample.transformed(lambda x: x - 0.5, "centred at 0.5")
    for name in ("train", "valid", "test"):
        old, new = getattr(sample, name), getattr(centred, name)
        torch.testing.assert_close(new.images, old.images - 0.5)
        assert new.labels is old.labels
    assert centred.source == f"{sample.source}; images centred at 0.5"
    torch.testing.assert_close(sample.train.images, before)


def test_transformed_refuses_another_number_of_images(sample):
    """Labels would not fit."""
    with pytest.raises(ValueError, match="one label for each image"):
        sample.transformed(lambda x: x[:5], "cut")


def test_transformed_in_place_reaches_nobody_else(sample):
    """The images are shared by all callers, so a function gets a copy."""
    before = sample.train.images.clone()
    sample.transformed(lambda x: x.sub_(0.5), "centred")
    torch.testing.assert_close(sample.train.images, before)


def test_transformed_refuses_what_is_no_tensor(sample):
    """The message says what came."""
    with pytest.raises(TypeError, match="function returned ndarray; it must return a tensor"):
        sample.transformed(lambda x: x.numpy(), "as numbers")
