"""Laying out the files as torchvision reads them, so that its own class needs no network."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from initguide.data.finding import at_first_whole
from initguide.data.idx import SAMPLE, read_idx
from initguide.data.places import DataPlace, absolute, locate, raw_folder
from initguide.writing import no_file


@dataclass(frozen=True)
class LaidOut:
    """What `lay_out` did.

    Attributes
    ----------
    folder
        Where the four files are.
    source
        Which images they hold, and where those came from.
    is_sample
        Whether that is the embedded sample, and not the full data.
    """

    folder: Path
    source: str
    is_sample: bool


def lay_out(
    folder: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    *,
    source: str = "auto",
) -> LaidOut:
    """Put Fashion-MNIST where ``torchvision.datasets.FashionMNIST(folder)`` looks for it.

    The four files are written unpacked, which is how torchvision reads them: with them in place,
    its ``download=True`` asks no network for anything. Packed files would not do. Torchvision knows
    the MD5 sums of the originals, and the packages of Debian and Ubuntu pack the same images
    anew, with other sums.

    Parameters
    ----------
    folder
        What torchvision will get as its ``root``; it is made if need be. The files are in its
        ``FashionMNIST/raw``.
    root, source
        Where the images come from, as in `fashion_mnist`.

    Returns
    -------
    LaidOut
        Files that were there already, with the same content, are left as they are.

    Raises
    ------
    FileExistsError
        If a file of that name holds something else. None is written then. Only the sample, if it
        was laid out there before, is replaced by the full data.
    OSError, DamagedFileError, ValueError, TypeError
        If the files cannot be written; and as `fashion_mnist` does.

    Warns
    -----
    DataWarning
        As `fashion_mnist` does: if the sample is used in place of the data, or a damaged file was
        skipped.

    Examples
    --------
    >>> import tempfile
    >>> from torchvision.datasets import FashionMNIST
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     laid_out = lay_out(folder, source="sample")
    ...     len(FashionMNIST(folder, train=True, download=True))
    5000
    >>> laid_out.source
    'the embedded sample of Fashion-MNIST: 5,000 training and 1,000 test images, not the full data'
    """
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        raise ValueError(f'folder is {folder!r}; name one, such as "data"')
    raw = raw_folder(absolute(folder))
    return at_first_whole(root, source, lambda place: _write(place, raw))


def _write(place: DataPlace, raw: Path) -> LaidOut:
    """Read the files of the place, check them, and put those into the folder that it lacks."""
    paths = locate(place)
    contents = {
        file.name: file.header + read_idx(path, file, place.remedy).numpy().tobytes()
        for path, file in zip(paths, place.files, strict=True)
    }
    _put(contents, raw, may_replace_sample=not place.is_sample)
    train, test = (f"{place.files[at].shape[0]:,}" for at in (0, 2))
    counts = f"{train} training and {test} test images"
    if place.is_sample:
        source = f"{place.label} of Fashion-MNIST: {counts}, not the full data"
    else:
        source = f"Fashion-MNIST from {place.label} ({paths[0].parent}): {counts}"
    return LaidOut(raw, source, place.is_sample)


def _put(contents: dict[str, bytes], raw: Path, *, may_replace_sample: bool) -> None:
    for parent in (raw, *raw.parents):
        if parent.exists():
            if not parent.is_dir():
                raise NotADirectoryError(f"{parent} is a file; give the name of a folder")
            break
    missing = {
        name: content
        for name, content in contents.items()
        if not _has(raw / name, content, may_replace_sample=may_replace_sample)
    }
    if not missing:
        return
    try:
        raw.mkdir(parents=True, exist_ok=True)
        # As in a download: whole files only, each renamed into its place.
        with tempfile.TemporaryDirectory(prefix=".layout-", dir=raw.parent) as folder:
            for name, content in missing.items():
                (Path(folder) / name).write_bytes(content)
            for name in missing:
                (Path(folder) / name).replace(raw / name)
    except OSError as error:
        raise OSError(
            error.errno,
            f"Fashion-MNIST cannot be laid out in {raw}: {error.strerror}; free some space, or "
            "name another folder",
        ) from error


def _has(path: Path, content: bytes, *, may_replace_sample: bool) -> bool:
    """Whether the file is there as it must be; refuses one that would be lost."""
    if not path.exists():
        return False
    if (kind := no_file(path)) is None:
        old = path.read_bytes()
        if old == content:
            return True
        if may_replace_sample and hashlib.sha256(old).hexdigest() in {f.sha256 for f in SAMPLE}:
            return False
        kind = "a file with another content"
    raise FileExistsError(
        f"{path} is {kind}, and was left as it is; move it away, or name another folder"
    )
