"""Damaged files."""

import contextlib
import gzip
import hashlib

import numpy as np
import pytest
from data_files import IMAGES, LABELS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from initguide.data import (
    DamagedFileError,
    fashion_mnist,
    finding,
    idx,
)


def changed(content, at, value):
    """Content with other bytes at a position."""
    return content[:at] + value + content[at + len(value) :]


SIZE = 16 + 50 * 28 * 28


DAMAGES = [
    pytest.param(
        lambda _: b"",
        f"truncated: 0 bytes of {SIZE:,}",
        id="empty",
        marks=pytest.mark.fault(
            "data",
            tried="a file of images is empty",
            happens="named as truncated, with 0 bytes of those expected",
        ),
    ),
    pytest.param(
        lambda c: c[:3],
        f"truncated: 3 bytes of {SIZE:,}",
        id="in the magic",
        marks=pytest.mark.fault(
            "data", tried="a file ends within its magic number", happens="named as truncated"
        ),
    ),
    pytest.param(
        lambda c: c[:9],
        f"truncated: 9 bytes of {SIZE:,}",
        id="in the header",
        marks=pytest.mark.fault(
            "data", tried="a file ends within its header", happens="named as truncated"
        ),
    ),
    pytest.param(
        lambda c: c[:1000],
        f"truncated: 1,000 bytes of {SIZE:,}",
        id="truncated",
        marks=pytest.mark.fault(
            "data",
            tried="a file of images is cut",
            happens="named as truncated, with the bytes that are there",
        ),
    ),
    pytest.param(
        lambda c: c + b"1",
        f"it goes on after the expected {SIZE:,} bytes",
        id="longer",
        marks=pytest.mark.fault(
            "data", tried="a byte is added to a file", happens="named as longer than expected"
        ),
    ),
    pytest.param(
        lambda c: changed(c, 3, b"\1"),
        "it starts with the magic number 0x00000801; 0x00000803 was expected",
        id="labels",
        marks=pytest.mark.fault(
            "data",
            tried="a file of images says that it holds labels",
            happens="named, with both magic numbers",
        ),
    ),
    pytest.param(
        lambda c: changed(c, 7, b"\7"),
        r"its header gives the shape \(7, 28, 28\); \(50, 28, 28\) was expected",
        id="other count",
        marks=pytest.mark.fault(
            "data",
            tried="a header promises another number of images",
            happens="named, with both shapes",
        ),
    ),
    pytest.param(
        lambda c: c[:-1] + bytes([c[-1] ^ 1]),
        "its content has the SHA-256 sum [0-9a-f]{64}; [0-9a-f]{64} was expected",
        id="other pixel",
        marks=pytest.mark.fault(
            "data", tried="one bit of one pixel is flipped", happens="named, with both SHA-256 sums"
        ),
    ),
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_damage(fill, isolated, tiny, *, packed, damage, message):
    """Each kind of damage has its own message, with the file and the remedy."""
    folder = fill(isolated / "d", packed=packed)
    content = damage(tiny[IMAGES])
    name = f"{IMAGES}.gz" if packed else IMAGES
    (folder / name).write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DamagedFileError, match=rf"{name} is damaged: {message}\. fashion_mnist\("):
        fashion_mnist(isolated / "d")


@pytest.mark.fault(
    "data",
    tried="a file of labels is whole, but for fewer images",
    happens="refused by its header, with both shapes",
)
def test_fewer_labels_than_images(fill, isolated):
    """A labels file that does not fit the images is refused by its header."""
    folder = fill(isolated / "d")
    (folder / LABELS).write_bytes(b"\0\0\x08\x01\0\0\0\2" + b"\1\2")
    with pytest.raises(ValueError, match=r"gives the shape \(2,\); \(50,\) was expected"):
        fashion_mnist(isolated / "d")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda _: b"",
            "truncated: 0 bytes of",
            id="empty",
            marks=pytest.mark.fault(
                "data", tried="a gzipped file is empty", happens="named as truncated"
            ),
        ),
        pytest.param(
            lambda c: c[: len(c) // 2],
            r"truncated: [\d,]+ bytes of 39,216",
            id="truncated",
            marks=pytest.mark.fault(
                "data",
                tried="a gzipped file is cut in the middle",
                happens="named as truncated, with the bytes that could be read",
            ),
        ),
        pytest.param(
            lambda c: c[:-4],
            "truncated: its gzip stream ends before its checksum",
            id="no checksum",
            marks=pytest.mark.fault(
                "data",
                tried="a gzipped file lacks its checksum",
                happens="named: the stream ends before its checksum",
            ),
        ),
        pytest.param(
            lambda _: b"<html>",
            r"it is not a whole gzip file \(Not a gzipped file",
            id="a web page",
            marks=pytest.mark.fault(
                "data",
                tried="a server's error page was saved as the data",
                happens="named as no gzip file",
            ),
        ),
        pytest.param(
            lambda c: changed(c, len(c) - 8, b"\0\0\0\0"),
            r"it is not a whole gzip file \(CRC check failed",
            id="checksum",
            marks=pytest.mark.fault(
                "data",
                tried="the checksum of a gzipped file is changed",
                happens="named: the check failed",
            ),
        ),
        pytest.param(
            lambda c: changed(c, 10, b"\xff" * 9),
            r"it is not a whole gzip file \(Error -3",
            id="content",
            marks=pytest.mark.fault(
                "data",
                tried="bytes of a gzipped file are overwritten",
                happens="named as no whole gzip file",
            ),
        ),
    ],
)
def test_damaged_gzip(fill, isolated, damage, message):
    """A file that is damaged in its compressed form is named with what gzip finds."""
    path = fill(isolated / "d", packed=True) / f"{IMAGES}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedFileError, match=rf"{IMAGES}\.gz is damaged: {message}"):
        fashion_mnist(isolated / "d")


@pytest.mark.fault(
    "data",
    tried="the package's own sample is missing or damaged",
    happens="an error that says to install the package again",
)
def test_broken_installation(isolated, monkeypatch):
    """Without its sample, the package says that it must be installed again."""
    monkeypatch.setattr(
        finding.resources, "as_file", lambda _: contextlib.nullcontext(isolated / "gone")
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
