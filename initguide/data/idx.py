"""The IDX file format, and the files of the full data and of the sample with their sums."""

import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from initguide.data.problems import DamagedFileError


@dataclass(frozen=True)
class IdxFile:
    """What one of the files must hold: unsigned bytes in LeCun's IDX format."""

    name: str
    shape: tuple[int, ...]
    sha256: str  # of the uncompressed content

    @property
    def header(self) -> bytes:
        """Magic number (type 8 = unsigned byte, number of dimensions), then the dimensions."""
        return struct.pack(f">{1 + len(self.shape)}I", 0x0800 + len(self.shape), *self.shape)

    @property
    def size(self) -> int:
        """Bytes of the uncompressed file."""
        return len(self.header) + int(np.prod(self.shape))


FourFiles = tuple[IdxFile, IdxFile, IdxFile, IdxFile]


def _files(train: int, test: int, sums: tuple[str, str, str, str]) -> FourFiles:
    return (
        IdxFile("train-images-idx3-ubyte", (train, 28, 28), sums[0]),
        IdxFile("train-labels-idx1-ubyte", (train,), sums[1]),
        IdxFile("t10k-images-idx3-ubyte", (test, 28, 28), sums[2]),
        IdxFile("t10k-labels-idx1-ubyte", (test,), sums[3]),
    )


FULL = _files(
    60_000,
    10_000,
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


SAMPLE = _files(
    5_000,
    1_000,
    (
        "509467a071e893b9a968e04640ddfa513f1f764ca014c7577cbde4f60f43fb55",
        "c21606620ee4dd6d3a70610bdddfd994d502981afef9fa8e395f9765a73a0fc2",
        "e49a2ff15670b4827c1d0233f234bb9cd5371dd77650aadb49c6e42ed5179ef8",
        "3121e2bab9d09e4d2908ca3fbe3df85fb9fd4639f58db406f41fbe4ea8ecafa1",
    ),
)


UNREADABLE = (
    "cannot be read by this user: permission denied. Make it readable (chmod -R a+rX on its "
    "folder), or use another copy with root= or INITGUIDE_DATA."
)


def read_idx(path: Path, file: IdxFile, remedy: str) -> Tensor:
    """Read and check an IDX file.

    Parameters
    ----------
    path
        The file, gzipped if its name ends in ``.gz``.
    file
        What it must hold.
    remedy
        A sentence that ends each error message.

    Returns
    -------
    Tensor
        uint8 of the file's shape.
    """
    try:
        content, broken = _read_bytes(path, file.size)
    except PermissionError:
        raise PermissionError(f"{path} {UNREADABLE}") from None
    # The most telling first: a checksum only says that something is wrong.
    problem = _header_problem(content, file) or broken or _sum_problem(content, file)
    if problem is not None:
        raise DamagedFileError(f"{path} is damaged: {problem}. {remedy}")
    return torch.from_numpy(content[len(file.header) :]).view(file.shape)


def _read_bytes(path: Path, size: int) -> tuple[NDArray[np.uint8], str | None]:
    """Up to ``size`` bytes of the uncompressed content, and what is wrong if there are not as many.

    The bytes are taken as they come, so that a broken gzip stream still gives those before the
    break, and nothing is held twice.
    """
    content = np.empty(size, np.uint8)
    length, problem = 0, None
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            while length < size and (chunk := stream.read1(min(1 << 17, size - length))):
                content[length : length + len(chunk)] = np.frombuffer(chunk, np.uint8)
                length += len(chunk)
            # Reading on also makes gzip compare its own checksum.
            if stream.read(1):
                problem = f"it goes on after the expected {size:,} bytes"
    except EOFError:
        problem = "truncated: its gzip stream ends before its checksum"
    except (gzip.BadGzipFile, zlib.error) as error:
        return content[:length], f"it is not a whole gzip file ({error})"
    if length < size:
        problem = f"truncated: {length:,} bytes of {size:,}"
    return content[:length], problem


def _header_problem(content: NDArray[np.uint8], file: IdxFile) -> str | None:
    header, expected = content[: len(file.header)].tobytes(), file.header
    if len(header) >= 4 and header[:4] != expected[:4]:
        found, right = header[:4].hex(), expected[:4].hex()
        return f"it starts with the magic number 0x{found}; 0x{right} was expected"
    if len(header) == len(expected) and header != expected:
        shape = struct.unpack(f">{len(file.shape)}I", header[4:])
        return f"its header gives the shape {shape}; {file.shape} was expected"
    return None


def _sum_problem(content: NDArray[np.uint8], file: IdxFile) -> str | None:
    found = hashlib.sha256(content.data).hexdigest()
    if found != file.sha256:
        return f"its content has the SHA-256 sum {found}; {file.sha256} was expected"
    return None
