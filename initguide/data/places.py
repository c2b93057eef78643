"""Where the files may lie: a folder that is named, torchvision's cache, a Debian package."""

import contextlib
import difflib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from initguide.data import idx
from initguide.data.idx import SAMPLE, UNREADABLE, FourFiles

SOURCES = ("auto", "root", "cache", "debian", "download", "sample")
"""What `fashion_mnist` accepts as ``source``."""


DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist


def check_source(source: str, root: str | os.PathLike[str] | None) -> None:
    """Refuse an unknown source, or one that does not use the folder that is given."""
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


@dataclass(frozen=True)
class DataPlace:
    """A folder that may hold the data, and how to speak about it."""

    root: Path
    label: str  # "the Debian package", for `FashionMNIST.source`
    remedy: str  # a sentence: what to do where it lacks a file or holds a damaged one
    files: FourFiles

    @property
    def is_sample(self) -> bool:
        """Whether the embedded sample lies here, and not the full data."""
        return self.files is SAMPLE


def only_place(source: str, root: str | os.PathLike[str] | None) -> DataPlace | None:
    """Place that was asked for, or None where several may be tried."""
    if source == "debian":
        return debian_place()
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
        return cache_places()[0]
    return named


def _named_place(root: str | os.PathLike[str] | None) -> DataPlace | None:
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
        return DataPlace(absolute(value), "the folder", remedy, idx.FULL)
    remedy = f"The environment variable {name} names this folder; {remedy}"
    return DataPlace(absolute(value), name, remedy, idx.FULL)


def cache_places() -> list[DataPlace]:
    """Folders that earlier downloads filled: ours, the original lesson's, and two usual ones."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification asks to ignore a relative path.
    home = Path(cache) if Path(cache).is_absolute() else absolute("~/.cache")
    roots = (home / "initguide", "~/.pytorch/F_MNIST_data", "data", "F_MNIST_data")
    remedy = 'Delete it; fashion_mnist(source="download") downloads the data again.'
    return [DataPlace(absolute(root), "the cache", remedy, idx.FULL) for root in roots]


def debian_place() -> DataPlace:
    """Where Debian's and Ubuntu's package puts the files."""
    remedy = "apt install --reinstall dataset-fashion-mnist installs it on Debian and Ubuntu."
    return DataPlace(DEBIAN_FOLDER, "the Debian package", remedy, idx.FULL)


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return the whole path, with the home folder for "~"."""
    # os.path's version leaves "~" in place where nobody has a home folder; Path's raises.
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111  see above


def raw_folder(root: Path) -> Path:
    """Where torchvision keeps the files under ``root``, which may be that folder itself."""
    return root if root.parts[-2:] == ("FashionMNIST", "raw") else root / "FashionMNIST" / "raw"


def locate(place: DataPlace) -> list[Path]:
    """Path of each of the place's files, all in one folder."""
    root = place.root
    folders = list(dict.fromkeys([raw_folder(root), root / "raw", root]))
    try:
        found = {
            folder: [_present(folder, file.name) for file in place.files] for folder in folders
        }
        is_file, exists = root.is_file(), root.exists()
    except PermissionError as error:
        raise PermissionError(f"{error.filename} {UNREADABLE}") from None
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


def _present(folder: Path, name: str) -> Path | None:
    """Plain or else gzipped file of that name, if it is there."""
    for path in (folder / name, folder / f"{name}.gz"):
        # Not Path.is_file, which in newer versions of Python takes "not permitted" for "not there".
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISREG(path.stat().st_mode):
                return path
    return None
