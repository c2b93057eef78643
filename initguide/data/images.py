"""Fashion-MNIST: find it, check it, download it, split it; and the embedded sample."""

import contextlib
import difflib
import functools
import gzip
import hashlib
import http.client
import operator
import os
import shutil
import stat
import struct
import tempfile
import threading
import time
import urllib.request
import warnings
import weakref
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

__all__ = [
    "CLASSES",
    "SOURCES",
    "DamagedFileError",
    "DataWarning",
    "DownloadError",
    "FashionMNIST",
    "Split",
    "fashion_mnist",
]

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""Names of the labels 0 to 9."""

SOURCES = ("auto", "root", "cache", "debian", "download", "sample")
"""What `fashion_mnist` accepts as ``source``."""

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist
STALL_SECONDS = 15.0  # a download that receives nothing for so long is given up


class DataWarning(UserWarning):
    """`fashion_mnist` skipped a damaged file, or used the embedded sample in place of the data."""


class DamagedFileError(ValueError):
    """A file of Fashion-MNIST does not hold what it must; the message says what was found."""


class DownloadError(OSError):
    """Fashion-MNIST could not be downloaded; the message says why and what else to do."""


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images and their labels.

    Parameters
    ----------
    images
        (N, 1, 28, 28) for Fashion-MNIST, float32 in [0, 1].
    labels
        (N,), int64, each in 0 … 9.

    Raises
    ------
    ValueError
        If there are not as many labels as images.

    Examples
    --------
    >>> import torch
    >>> Split(torch.zeros(5, 1, 28, 28), torch.zeros(5, dtype=torch.int64))
    Split(5 images of 1 × 28 × 28)
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"images has shape {tuple(self.images.shape)} and labels has shape "
                f"{tuple(self.labels.shape)}; there must be one label for each image"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self):,} images of {' × '.join(map(str, self.images.shape[1:]))})"


@dataclass(frozen=True, eq=False, repr=False)
class FashionMNIST:
    """Fashion-MNIST [1]_, split for training, validation and the final test.

    `fashion_mnist` makes it. Calls with the same arguments share one object, so leave its tensors
    as they are: work on a clone to change pixels in place.

    Parameters
    ----------
    train, valid, test
        The three parts. ``test`` is the test set that every paper uses.
    source
        Where the images came from and how many there are, in words.
    is_sample
        Whether this is the embedded sample and not the full data.
    classes
        Names of the labels 0 to 9.

    References
    ----------
    .. [1] H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
       Machine Learning Algorithms", 2017, https://arxiv.org/abs/1708.07747
    """

    train: Split
    valid: Split
    test: Split
    source: str
    is_sample: bool
    classes: tuple[str, ...] = CLASSES

    def __repr__(self) -> str:
        return f"<{self.source[0].upper()}{self.source[1:]}>"

    @property
    def recipe(self) -> "Callable[[], FashionMNIST] | None":
        """A small function that makes the same data again, for instance in another process.

        It is known for what `fashion_mnist` returns, for a `subset` of it, and for what was
        `transformed` from it. ``None`` for an object that was put together in another way.
        """
        return getattr(self, "_recipe", None)

    def loaders(
        self, batch_size: int = 100, *, seed: int = 0
    ) -> tuple[
        DataLoader[tuple[Tensor, ...]],
        DataLoader[tuple[Tensor, ...]],
        DataLoader[tuple[Tensor, ...]],
    ]:
        """Ordinary PyTorch loaders of (images, labels) batches.

        Parameters
        ----------
        batch_size
            Images in a batch, at least 1. The last batch holds what is left.
        seed
            Decides the order of the training images, which is new in each epoch. Loaders with the
            same seed give the same batches, whatever else draws random numbers.

        Returns
        -------
        tuple of DataLoader
            Training (shuffled), validation and test (both in the order of their splits).

        Raises
        ------
        TypeError
            If ``batch_size`` or ``seed`` is not a whole number.
        ValueError
            If ``batch_size`` is below 1, or ``seed`` is outside 0 … 2⁶³ − 1.

        Examples
        --------
        >>> train_loader, valid_loader, test_loader = fashion_mnist(source="sample").loaders()
        >>> images, labels = next(iter(train_loader))
        >>> images.shape, labels.shape
        (torch.Size([100, 1, 28, 28]), torch.Size([100]))
        """
        size = _whole_number("batch_size", batch_size, least=1)
        seed = _whole_number("seed", seed)
        train, valid, test = (
            DataLoader(
                TensorDataset(split.images, split.labels),
                batch_size=size,
                shuffle=shuffle,
                # Also where nothing is shuffled: without one, each pass advances the global state.
                generator=torch.Generator(device="cpu").manual_seed(seed),
            )
            for split, shuffle in ((self.train, True), (self.valid, False), (self.test, False))
        )
        return train, valid, test

    def subset(
        self, train: int | None = None, valid: int | None = None, test: int | None = None
    ) -> "FashionMNIST":
        """Keep the first images of each part, for experiments that must be quick.

        The training and validation images lie in random order, so their first ones are a random
        sample; a smaller subset is part of a larger one.

        Parameters
        ----------
        train, valid, test
            How many images to keep, at least 1; all of a part if ``None``.

        Returns
        -------
        FashionMNIST
            It shares memory with this one. Its `source` says how many images were kept.

        Raises
        ------
        TypeError
            If a number is not whole.
        ValueError
            If a number is below 1, or a part has fewer images.

        Examples
        --------
        >>> fashion_mnist(source="sample").subset(train=500, valid=200).train
        Split(500 images of 1 × 28 × 28)
        """
        parts = {"train": (self.train, train), "valid": (self.valid, valid)}
        kept = {}
        for name, (split, asked) in (parts | {"test": (self.test, test)}).items():
            count = len(split) if asked is None else _whole_number(name, asked, least=1)
            if count > len(split):
                raise ValueError(
                    f"{name} is {count:,}, but there are only {len(split):,} such images; ask for "
                    "at most as many"
                )
            kept[name] = Split(split.images[:count], split.labels[:count])
        counts = ", ".join(f"{len(split):,} {name}" for name, split in kept.items())
        part = FashionMNIST(
            **kept,
            source=f"{self.source}; of these the first {counts}",
            is_sample=self.is_sample,
            classes=self.classes,
        )
        return _remember(part, self.recipe, "subset", *map(len, kept.values()))

    def transformed(self, function: Callable[[Tensor], Tensor], words: str) -> "FashionMNIST":
        """Apply a function to the images of all parts, to centre or scale them for instance.

        Parameters
        ----------
        function
            From images (N, 1, 28, 28) to as many images, as a floating-point tensor.
        words
            What it does, for `source` and so for the footnotes of tables: ``"standardized"``.

        Returns
        -------
        FashionMNIST
            With new images and the same labels.

        Raises
        ------
        TypeError
            If the function returns something else.
        ValueError
            If it returns another number of images.

        Examples
        --------
        >>> centred = fashion_mnist(source="sample").transformed(lambda x: x - 0.286, "centred")
        >>> print(f"{abs(centred.train.images.mean()):.2f}")
        0.00
        """

        def changed(split: Split) -> Split:
            # A copy, for the images are shared: a function that works in place must not reach them.
            images: Any = function(split.images.clone())
            if not isinstance(images, Tensor) or not images.is_floating_point():
                found = images.dtype if isinstance(images, Tensor) else type(images).__name__
                raise TypeError(
                    f"function returned {found}; it must return a tensor of floating-point images"
                )
            return Split(images.float(), split.labels)

        new = replace(
            self,
            train=changed(self.train),
            valid=changed(self.valid),
            test=changed(self.test),
            source=f"{self.source}; images {words}",
        )
        return _remember(new, self.recipe, "transformed", function, words)


def fashion_mnist(
    root: str | os.PathLike[str] | None = None,
    *,
    source: str = "auto",
    valid_fraction: float = 0.2,
    seed: int = 0,
) -> FashionMNIST:
    """Fashion-MNIST, from wherever this machine has it.

    With ``source="auto"`` it looks, in this order, at

    1. ``root``, or else the folder in the environment variable ``INITGUIDE_DATA``. A folder that
       was named must hold the data: nothing further is tried;
    2. folders that earlier downloads filled: ``initguide`` in ``$XDG_CACHE_HOME`` (``~/.cache``),
       ``~/.pytorch/F_MNIST_data``, ``./data`` and ``./F_MNIST_data``;
    3. the Debian and Ubuntu package ``dataset-fashion-mnist``;
    4. the addresses that torchvision knows, once in a process. The download goes to the first
       folder of step 2;
    5. the sample that is embedded in this package, with a warning.

    Every file is checked against its published content. A damaged one is an error if its folder was
    named, and a warning if another source follows.

    A second call that finds the same files gives the same object at no cost.

    Parameters
    ----------
    root
        A folder with the four files, plain or as ``.gz`` (plain ones are preferred): in
        torchvision's layout ``root/FashionMNIST/raw``, in ``root/raw``, or in ``root`` itself.
    source
        ``"auto"``, or the only place to use: ``"root"`` (``root`` or ``INITGUIDE_DATA``),
        ``"cache"`` (step 2), ``"debian"``, ``"download"`` (into ``root``, ``INITGUIDE_DATA`` or the
        cache, unless that holds the data already) or ``"sample"``.
    valid_fraction
        The share of the training images that is set aside for validation, above 0 and below 1.
    seed
        Decides which images those are, 0 … 2⁶³ − 1. The choice depends on nothing else, not on the
        source either, and draws nothing from PyTorch's global random state.

    Returns
    -------
    FashionMNIST
        48,000 training, 12,000 validation and 10,000 test images by default; 4,000, 1,000 and 1,000
        with as many of each class for the sample.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, PermissionError
        If the folder that was asked for lacks a file, is no folder, or cannot be read.
    DamagedFileError
        If a file there is truncated or otherwise not Fashion-MNIST. It is a `ValueError`.
    DownloadError
        If ``source="download"`` fails, or receives nothing for 15 seconds. It is an `OSError`.
    ValueError, TypeError
        If an argument is not as described above.

    Warns
    -----
    DataWarning
        If the sample is used in place of the data, or a damaged file was skipped.

    Examples
    --------
    >>> data = fashion_mnist(source="sample")
    >>> data.train.images.shape, data.train.labels.shape
    (torch.Size([4000, 1, 28, 28]), torch.Size([4000]))
    >>> data.source
    'the embedded sample of Fashion-MNIST: 4,000 training, 1,000 validation and 1,000 test images,
    not the full data'
    >>> data.classes[data.test.labels[0]]
    'Bag'
    """
    seed = _whole_number("seed", seed)
    valid_fraction = _fraction(valid_fraction)
    _check_source(source, root)
    if source == "sample":
        return _load_sample(valid_fraction, seed)
    place = _only_place(source, root)
    if place is None:
        return _search(source, valid_fraction, seed)
    if source == "download":
        # What is missing or damaged is what a download mends.
        with contextlib.suppress(FileNotFoundError, DamagedFileError):
            return _load(place, valid_fraction, seed)
        _download(place.root)
    return _load(place, valid_fraction, seed)


def _search(source: str, valid_fraction: float, seed: int) -> FashionMNIST:
    """Steps 2 to 5 of `fashion_mnist`, or step 2 alone. Its warnings point at that one's caller."""
    places = _cache_places()
    if source == "auto":
        places = [*places, _debian_place()]
    for place in places:
        try:
            _locate(place)
        except OSError:
            continue  # nothing there, or not ours to read: ./data may be anything
        try:
            return _load(place, valid_fraction, seed)
        except (OSError, DamagedFileError) as error:
            warnings.warn(f"{error} This place was skipped.", DataWarning, stacklevel=3)
    if source == "cache":
        folders = ", ".join(str(place.root) for place in places)
        raise FileNotFoundError(
            f"No whole earlier download of Fashion-MNIST was found in {folders}. "
            'fashion_mnist(source="download") downloads it.'
        )

    try:
        _download_once(places[0].root)
        return _load(places[0], valid_fraction, seed)
    except (OSError, DamagedFileError) as error:
        sample = _load_sample(valid_fraction, seed)
        warnings.warn(
            f"Using {sample.source}; what is measured on it differs from what the full data gives. "
            f'{error} source="sample" uses the sample without this warning.',
            DataWarning,
            stacklevel=3,
        )
        return sample


# Arguments --------------------------------------------------------------------------------------


def _whole_number(name: str, value: int, *, least: int = 0) -> int:
    """Integer of any library, within what torch takes as a seed."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, of type {type(value).__name__}; use an int")
    if not least <= number < 2**63:
        raise ValueError(f"{name} is {number}; it must be from {least} to 2**63 - 1")
    return number


def _fraction(valid_fraction: float) -> float:
    is_number = isinstance(valid_fraction, int | float | np.floating)
    if not is_number or isinstance(valid_fraction, bool):
        kind = type(valid_fraction).__name__
        raise TypeError(f"valid_fraction is {valid_fraction!r}, of type {kind}; use a float")
    if not 0 < valid_fraction < 1:  # also true for NaN
        raise ValueError(f"valid_fraction is {valid_fraction!r}; it must be above 0 and below 1")
    return float(valid_fraction)


def _check_source(source: str, root: str | os.PathLike[str] | None) -> None:
    if source not in SOURCES:
        near = difflib.get_close_matches(str(source), SOURCES, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise ValueError(f"source is {source!r}; the sources are {_listed(SOURCES)}.{hint}")
    if root is not None and source in {"cache", "debian", "sample"}:
        raise ValueError(
            f'root is {os.fspath(root)!r}, but source="{source}" does not use it; '
            'leave one of them out, or use source="auto", "root" or "download"'
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


# Places -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _IdxFile:
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
        return len(self.header) + int(np.prod(self.shape))


_Files = tuple[_IdxFile, _IdxFile, _IdxFile, _IdxFile]


def _files(train: int, test: int, sums: tuple[str, str, str, str]) -> _Files:
    return (
        _IdxFile("train-images-idx3-ubyte", (train, 28, 28), sums[0]),
        _IdxFile("train-labels-idx1-ubyte", (train,), sums[1]),
        _IdxFile("t10k-images-idx3-ubyte", (test, 28, 28), sums[2]),
        _IdxFile("t10k-labels-idx1-ubyte", (test,), sums[3]),
    )


_FULL = _files(
    60_000,
    10_000,
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)
_SAMPLE = _files(
    5_000,
    1_000,
    (
        "509467a071e893b9a968e04640ddfa513f1f764ca014c7577cbde4f60f43fb55",
        "c21606620ee4dd6d3a70610bdddfd994d502981afef9fa8e395f9765a73a0fc2",
        "e49a2ff15670b4827c1d0233f234bb9cd5371dd77650aadb49c6e42ed5179ef8",
        "3121e2bab9d09e4d2908ca3fbe3df85fb9fd4639f58db406f41fbe4ea8ecafa1",
    ),
)


@dataclass(frozen=True)
class _Place:
    """A folder that may hold the data, and how to speak about it."""

    root: Path
    label: str  # "the Debian package", for `FashionMNIST.source`
    remedy: str  # a sentence: what to do where it lacks a file or holds a damaged one
    files: _Files

    @property
    def is_sample(self) -> bool:
        return self.files is _SAMPLE


def _only_place(source: str, root: str | os.PathLike[str] | None) -> _Place | None:
    """Place that was asked for, or None where several may be tried."""
    if source == "debian":
        return _debian_place()
    if source == "cache":
        return None
    named = _named_place(root)
    if source == "root" and named is None:
        others = _listed(name for name in SOURCES if name != "root")
        raise ValueError(
            'source is "root", but neither root= nor INITGUIDE_DATA names a folder; '
            f"pass one, or use one of {others}"
        )
    if source == "download" and named is None:
        return _cache_places()[0]
    return named


def _named_place(root: str | os.PathLike[str] | None) -> _Place | None:
    """Place of ``root``, or else of ``INITGUIDE_DATA``."""
    name, value = "root", root
    if root is None:
        # An empty variable is an unset one.
        name, value = "INITGUIDE_DATA", os.environ.get("INITGUIDE_DATA") or None
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"root is {value!r}, of type {type(value).__name__}; use a str or a Path")
    if not os.fspath(value):
        raise ValueError('root is the empty string; for the current folder, pass root="."')
    remedy = f'fashion_mnist({os.fspath(value)!r}, source="download") downloads it there.'
    if name == "root":
        return _Place(_absolute(value), "the folder", remedy, _FULL)
    remedy = f"The environment variable {name} names this folder; {remedy}"
    return _Place(_absolute(value), name, remedy, _FULL)


def _cache_places() -> list[_Place]:
    """Folders that earlier downloads filled: ours, the original lesson's, and two usual ones."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification asks to ignore a relative path.
    home = Path(cache) if Path(cache).is_absolute() else _absolute("~/.cache")
    roots = (home / "initguide", "~/.pytorch/F_MNIST_data", "data", "F_MNIST_data")
    remedy = 'Delete it; fashion_mnist(source="download") downloads the data again.'
    return [_Place(_absolute(root), "the cache", remedy, _FULL) for root in roots]


def _debian_place() -> _Place:
    remedy = "apt install --reinstall dataset-fashion-mnist installs it on Debian and Ubuntu."
    return _Place(DEBIAN_FOLDER, "the Debian package", remedy, _FULL)


def _absolute(path: str | os.PathLike[str]) -> Path:
    # os.path's version leaves "~" in place where nobody has a home folder; Path's raises.
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111  see above


def _raw_folder(root: Path) -> Path:
    """Where torchvision keeps the files under ``root``, which may be that folder itself."""
    return root if root.parts[-2:] == ("FashionMNIST", "raw") else root / "FashionMNIST" / "raw"


def _locate(place: _Place) -> list[Path]:
    """Path of each of the place's files, all in one folder."""
    root = place.root
    folders = list(dict.fromkeys([_raw_folder(root), root / "raw", root]))
    try:
        found = {
            folder: [_present(folder, file.name) for file in place.files] for folder in folders
        }
        is_file, exists = root.is_file(), root.exists()
    except PermissionError as error:
        raise PermissionError(f"{error.filename} {_UNREADABLE}") from None
    for paths in found.values():
        whole = [path for path in paths if path is not None]
        if len(whole) == len(place.files):
            return whole
    if is_file:
        raise NotADirectoryError(
            f"{root} is a file; the place of Fashion-MNIST is a folder with its four files."
        )
    # Of the folders, the one that has most of the files is the one that was meant.
    folder = max(found, key=lambda folder: sum(path is not None for path in found[folder]))
    missing = [
        file.name for file, path in zip(place.files, found[folder], strict=True) if path is None
    ]
    if not exists:
        problem = "there is no such folder"
    elif len(missing) == len(place.files):
        looked = ", ".join(map(str, folders))
        problem = f"none of its files ({', '.join(missing)}; plain or .gz) is in {looked}"
    else:
        problem = f"{folder} lacks {', '.join(missing)} (plain or .gz)"
    raise FileNotFoundError(f"Fashion-MNIST is not in {root}: {problem}. {place.remedy}")


_UNREADABLE = (
    "cannot be read by this user: permission denied. Make it readable (chmod -R a+rX on its "
    "folder), or use another copy with root= or INITGUIDE_DATA."
)


def _present(folder: Path, name: str) -> Path | None:
    """Plain or else gzipped file of that name, if it is there."""
    for path in (folder / name, folder / f"{name}.gz"):
        # Not Path.is_file, which in newer versions of Python takes "not permitted" for "not there".
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISREG(path.stat().st_mode):
                return path
    return None


# Files ------------------------------------------------------------------------------------------


def _read_idx(path: Path, file: _IdxFile, remedy: str) -> Tensor:
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
        raise PermissionError(f"{path} {_UNREADABLE}") from None
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


def _header_problem(content: NDArray[np.uint8], file: _IdxFile) -> str | None:
    header, expected = content[: len(file.header)].tobytes(), file.header
    if len(header) >= 4 and header[:4] != expected[:4]:
        found, right = header[:4].hex(), expected[:4].hex()
        return f"it starts with the magic number 0x{found}; 0x{right} was expected"
    if len(header) == len(expected) and header != expected:
        shape = struct.unpack(f">{len(file.shape)}I", header[4:])
        return f"its header gives the shape {shape}; {file.shape} was expected"
    return None


def _sum_problem(content: NDArray[np.uint8], file: _IdxFile) -> str | None:
    found = hashlib.sha256(content.data).hexdigest()
    if found != file.sha256:
        return f"its content has the SHA-256 sum {found}; {file.sha256} was expected"
    return None


# Loading ----------------------------------------------------------------------------------------

# Data that is still in use is shared. Only the latest is kept alive beyond that: each is 220 MB.
_loaded: weakref.WeakValueDictionary[object, FashionMNIST] = weakref.WeakValueDictionary()
_latest: list[FashionMNIST] = []


def _load(place: _Place, valid_fraction: float, seed: int) -> FashionMNIST:
    """Read the place's files and split them, unless that was done before."""
    paths = _locate(place)
    # What tells one state of the files from another, without reading them.
    states = [(path.resolve(), path.stat()) for path in paths]
    marks = tuple((path, state.st_mtime_ns, state.st_size) for path, state in states)
    key = (place.label, marks, valid_fraction, seed)
    data = _loaded.get(key)
    if data is None:
        data = _loaded[key] = _read_and_split(place, paths, valid_fraction, seed)
    _latest[:] = [data]
    return data


def _load_sample(valid_fraction: float, seed: int) -> FashionMNIST:
    with resources.as_file(resources.files("initguide.data.sample")) as folder:
        remedy = "It is a part of initguide: install the package again."
        return _load(_Place(folder, "the embedded sample", remedy, _SAMPLE), valid_fraction, seed)


def _read_and_split(
    place: _Place, paths: list[Path], valid_fraction: float, seed: int
) -> FashionMNIST:
    images, labels, test_images, test_labels = (
        _read_idx(path, file, place.remedy) for path, file in zip(paths, place.files, strict=True)
    )
    train, valid = _split(labels, valid_fraction, seed, balanced=place.is_sample)
    counts = (
        f"{len(train):,} training, {len(valid):,} validation and {len(test_labels):,} test images"
    )
    if place.is_sample:
        source = f"{place.label} of Fashion-MNIST: {counts}, not the full data"
    else:
        source = f"Fashion-MNIST from {place.label} ({paths[0].parent}): {counts}"
    data = FashionMNIST(
        train=Split(_pixels(images.index_select(0, train)), labels[train].long()),
        valid=Split(_pixels(images.index_select(0, valid)), labels[valid].long()),
        test=Split(_pixels(test_images), test_labels.long()),
        source=source,
        is_sample=place.is_sample,
    )
    # Not a field: an object that `dataclasses.replace` makes of this one holds other data.
    root = None if place.is_sample else str(place.root.resolve())
    object.__setattr__(data, "_recipe", functools.partial(_again, root, valid_fraction, seed))
    return data


def _again(root: str | None, valid_fraction: float, seed: int) -> FashionMNIST:
    """Load the sample (``None``), or the full data: from that folder, or where it is here."""
    if root is None:
        return _load_sample(valid_fraction, seed)
    if Path(root).is_dir():
        return fashion_mnist(root, source="root", valid_fraction=valid_fraction, seed=seed)
    data = fashion_mnist(valid_fraction=valid_fraction, seed=seed)
    if data.is_sample:
        raise FileNotFoundError(
            f"the full Fashion-MNIST, which was in {root} where the call was made, is not on this "
            "machine; install it here too"
        )
    return data


def _remember(
    data: FashionMNIST, before: Callable[[], FashionMNIST] | None, method: str, *arguments: Any
) -> FashionMNIST:
    """Note that the data came from other data by a method, if it is known how to get the other."""
    if before is not None:
        recipe = functools.partial(_derived, before, method, arguments)
        object.__setattr__(data, "_recipe", recipe)
    return data


def _derived(
    before: Callable[[], FashionMNIST], method: str, arguments: tuple[Any, ...]
) -> FashionMNIST:
    return getattr(before(), method)(*arguments)  # type: ignore[no-any-return]


def _pixels(images: Tensor) -> Tensor:
    """Bytes (N, 28, 28) as float32 (N, 1, 28, 28) in [0, 1]."""
    return images.unsqueeze(1).to(torch.float32).div_(255)


def _split(
    labels: Tensor, valid_fraction: float, seed: int, *, balanced: bool
) -> tuple[Tensor, Tensor]:
    """Positions of the training and of the validation images, each in random order.

    The first images of a random order are for validation, as in the original lesson. ``balanced``
    needs as many labels of each class, and takes one of each class in turn.
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator, device="cpu")
    count = round(valid_fraction * len(labels))
    if not 0 < count < len(labels):
        empty = "training" if count else "validation"
        raise ValueError(
            f"valid_fraction is {valid_fraction!r}, which leaves no {empty} images of the "
            f"{len(labels):,}; use a value from {1 / len(labels):g} to {1 - 1 / len(labels):g}"
        )
    if balanced:
        class_after_class = order[torch.argsort(labels[order], stable=True)]
        order = class_after_class.view(len(CLASSES), -1).T.flatten()
    return order[count:], order[:count]


# Download ---------------------------------------------------------------------------------------

_failed: dict[Path, str] = {}  # why a download into that folder failed, in this process


def _download_once(root: Path) -> None:
    """Download, unless that failed before: offline, only the first call may wait for a time-out."""
    if root in _failed:
        raise DownloadError(_failed[root])
    try:
        _download(root)
    except DownloadError as error:
        _failed[root] = str(error)
        raise


class _Transfer:
    """What the thread that downloads and the one that watches it tell each other."""

    def __init__(self) -> None:
        self.received = 0  # bytes
        self.error: Exception | None = None
        self.abandoned = False


def _download(root: Path) -> None:
    """Download the files to ``root`` in torchvision's layout.

    They arrive and are checked in a new folder beside the final one, and are moved one by one when
    all are good. So no half-written file is ever found, and processes that do this at once only
    replace good files by equal ones.
    """
    raw = _raw_folder(root)
    try:
        mirrors = _mirrors()
        raw.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".download-", dir=raw.parent, ignore_cleanup_errors=True
        ) as folder:
            _receive(Path(folder), mirrors)
            for file in _FULL:
                (Path(folder) / file.name).replace(raw / file.name)
    except OSError as error:
        raise DownloadError(
            f"Fashion-MNIST could not be downloaded to {raw}: {error}. "
            'Check the connection and call fashion_mnist(source="download"), or install the Debian '
            "or Ubuntu package dataset-fashion-mnist, or name a folder that has the files with "
            "root= or INITGUIDE_DATA."
        ) from error


def _mirrors() -> list[str]:
    """Addresses that torchvision knows, each a prefix of a file's name."""
    try:
        # Late: it takes a second, and most calls need no download.
        from torchvision import datasets  # noqa: PLC0415  see above

        return list(datasets.FashionMNIST.mirrors)
    except Exception as error:  # a torchvision that does not fit torch fails in its own ways
        raise DownloadError(
            f"torchvision, which knows the addresses, cannot be imported ({error})"
        ) from error


def _receive(folder: Path, mirrors: list[str]) -> None:
    """Fill the folder, and give up when nothing arrives for ``STALL_SECONDS``."""
    transfer = _Transfer()
    # A thread, because nothing else bounds the look-up of a host's name; a daemon, so that the
    # interpreter can end while that hangs.
    thread = threading.Thread(target=_receive_files, args=(folder, mirrors, transfer), daemon=True)
    thread.start()
    seen, since = 0, time.monotonic()
    try:
        # disable=None: only on a terminal.
        with tqdm(
            desc="Fashion-MNIST", total=30_878_645, unit="B", unit_scale=True, disable=None
        ) as bar:
            while thread.is_alive():
                thread.join(0.05)
                received = transfer.received
                if received > seen:
                    bar.update(received - seen)
                    seen, since = received, time.monotonic()
                elif time.monotonic() - since > STALL_SECONDS:
                    raise DownloadError(
                        f"nothing arrived from {', '.join(mirrors)} for {STALL_SECONDS:g} seconds"
                    )
    finally:
        transfer.abandoned = True
    if transfer.error is not None:
        raise DownloadError(str(transfer.error)) from transfer.error


def _receive_files(folder: Path, mirrors: list[str], transfer: _Transfer) -> None:
    try:
        for file in _FULL:
            _receive_file(file, folder, mirrors, transfer)
    except Exception as error:  # noqa: BLE001  the thread that waits raises it
        transfer.error = error


def _receive_file(file: _IdxFile, folder: Path, mirrors: list[str], transfer: _Transfer) -> None:
    """Download, check and unpack one file from the first mirror that gives it whole."""
    problems = []
    for mirror in mirrors:
        url = f"{mirror}{file.name}.gz"
        packed = folder / f"{file.name}.gz"
        try:
            # The file comes first: once the folder is gone, no further connection is opened.
            with (
                packed.open("wb") as target,
                # The time-out ends the thread some time after it was given up.
                urllib.request.urlopen(url, timeout=2 * STALL_SECONDS) as response,  # noqa: S310  torchvision's own addresses
            ):
                while chunk := response.read1(1 << 16):
                    if transfer.abandoned:
                        return
                    target.write(chunk)
                    transfer.received += len(chunk)
            _read_idx(packed, file, "")
            with gzip.open(packed) as content, (folder / file.name).open("wb") as plain:
                shutil.copyfileobj(content, plain, 1 << 20)
        except (OSError, http.client.HTTPException, DamagedFileError) as error:
            problems.append(f"{url}: {error}".strip(" ."))
        else:
            packed.unlink()
            return
    raise DownloadError("; ".join(problems))
