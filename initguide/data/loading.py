"""`fashion_mnist`: find the data, read them once, and split them."""

import functools
import os
import weakref
from pathlib import Path

import torch
from torch import Tensor

from initguide.arguments import check_number, check_whole
from initguide.data.finding import at_first_whole
from initguide.data.idx import read_idx
from initguide.data.places import DataPlace, locate
from initguide.data.tensors import CLASSES, FashionMNIST, Split, as_pixels


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

    A sample that `lay_out` has put into a folder of step 2 is passed by.

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
    seed = check_whole("seed", seed, 0)
    valid_fraction = check_number("valid_fraction", valid_fraction, above=0, below=1)
    return at_first_whole(root, source, lambda place: _load(place, valid_fraction, seed))


# Data that is still in use is shared. Only the latest is kept alive beyond that: each is 220 MB.
_loaded: weakref.WeakValueDictionary[object, FashionMNIST] = weakref.WeakValueDictionary()


_latest: list[FashionMNIST] = []


def _load(place: DataPlace, valid_fraction: float, seed: int) -> FashionMNIST:
    """Read the place's files and split them, unless that was done before."""
    paths = locate(place)
    # What tells one state of the files from another, without reading them.
    states = [(path.resolve(), path.stat()) for path in paths]
    marks = tuple((path, state.st_mtime_ns, state.st_size) for path, state in states)
    key = (place.label, marks, valid_fraction, seed)
    data = _loaded.get(key)
    if data is None:
        data = _loaded[key] = _read_and_split(place, paths, valid_fraction, seed)
    _latest[:] = [data]
    return data


def _read_and_split(
    place: DataPlace, paths: list[Path], valid_fraction: float, seed: int
) -> FashionMNIST:
    images, labels, test_images, test_labels = (
        read_idx(path, file, place.remedy) for path, file in zip(paths, place.files, strict=True)
    )
    train, valid = _split(labels, valid_fraction, seed, balanced=place.is_sample)
    counts = (
        f"{len(train):,} training, {len(valid):,} validation and {len(test_labels):,} test images"
    )
    if place.is_sample:
        source = f"{place.label} of Fashion-MNIST: {counts}, not the full data"
    else:
        source = f"Fashion-MNIST from {place.label} ({paths[0].parent}): {counts}"
    # Pixels are chosen as bytes: as float32, both the whole and its parts would be in memory.
    data = FashionMNIST(
        train=Split(as_pixels(images.index_select(0, train)), labels[train].long()),
        valid=Split(as_pixels(images.index_select(0, valid)), labels[valid].long()),
        test=Split(as_pixels(test_images), test_labels.long()),
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
        return fashion_mnist(source="sample", valid_fraction=valid_fraction, seed=seed)
    if Path(root).is_dir():
        return fashion_mnist(root, source="root", valid_fraction=valid_fraction, seed=seed)
    data = fashion_mnist(valid_fraction=valid_fraction, seed=seed)
    if data.is_sample:
        raise FileNotFoundError(
            f"the full Fashion-MNIST, which was in {root} where the call was made, is not on this "
            "machine; install it here too"
        )
    return data


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
