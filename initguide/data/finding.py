"""Which place has the files: the one that was asked for, or the first that has them whole."""

import contextlib
import os
import warnings
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Protocol, TypeVar

from initguide.data.download import download_once, fetch
from initguide.data.idx import SAMPLE
from initguide.data.places import (
    DataPlace,
    cache_places,
    check_source,
    debian_place,
    locate,
    only_place,
)
from initguide.data.problems import DamagedFileError, DataWarning


class _Told(Protocol):
    """What can say where it came from."""

    @property
    def source(self) -> str: ...


_Result = TypeVar("_Result", bound=_Told)


def at_first_whole(
    root: str | os.PathLike[str] | None, source: str, use: Callable[[DataPlace], _Result]
) -> _Result:
    """Return what ``use`` makes of the files of the place that `fashion_mnist` would read.

    Parameters
    ----------
    root, source
        As in `fashion_mnist`; so are the errors and warnings.
    use
        Reads the files of a place, and raises an `OSError` or a `DamagedFileError` where they are
        not whole.
    """
    check_source(source, root)
    if source == "sample":
        return _at_sample(use)
    place = only_place(source, root)
    if place is None:
        return _search(source, use)
    if source == "download":
        # Files that are missing or damaged are what a download is for.
        with contextlib.suppress(FileNotFoundError, DamagedFileError):
            return use(place)
        fetch(place.root)
    return use(place)


def _search(source: str, use: Callable[[DataPlace], _Result]) -> _Result:
    """Steps 2 to 5 of `fashion_mnist`, or step 2 alone. Its warnings point at that one's caller."""
    places = cache_places()
    if source == "auto":
        places = [*places, debian_place()]
    for place in places:
        try:
            if _are_sample(locate(place)):
                continue  # `lay_out` put it there, for want of the data
        except OSError:
            continue  # nothing there, or not ours to read: ./data may be anything
        try:
            return use(place)
        except (OSError, DamagedFileError) as error:
            warnings.warn(f"{error} This place was skipped.", DataWarning, stacklevel=4)
    if source == "cache":
        folders = ", ".join(str(place.root) for place in places)
        raise FileNotFoundError(
            f"No whole earlier download of Fashion-MNIST was found in {folders}. "
            'fashion_mnist(source="download") downloads it.'
        )

    try:
        download_once(places[0].root)
        return use(places[0])
    except (OSError, DamagedFileError) as error:
        sample = _at_sample(use)
        warnings.warn(
            f"Using {sample.source}; what is measured on it differs from what the full data gives. "
            f'{error} source="sample" uses the sample without this warning.',
            DataWarning,
            stacklevel=4,
        )
        return sample


def _are_sample(paths: list[Path]) -> bool:
    """Whether files have the sizes of the sample's: enough to tell them from the full data."""
    return [path.stat().st_size for path in paths] == [file.size for file in SAMPLE]


def _at_sample(use: Callable[[DataPlace], _Result]) -> _Result:
    with resources.as_file(resources.files("initguide.data.sample")) as folder:
        remedy = "It is a part of initguide: install the package again."
        return use(DataPlace(folder, "the embedded sample", remedy, SAMPLE))
