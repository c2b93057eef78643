"""How the data reach a worker: loaded once by each process, never sent with a job."""

import contextlib
import functools
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import NamedTuple, cast

import torch

from initguide.data import SplitPerSeed
from initguide.experiments.jobs.fingerprints import PARTS, fingerprint_of_data
from initguide.experiments.jobs.software import check_software, software
from initguide.training import Dataset


class Here(NamedTuple):
    """Data for workers in this process."""

    data: Dataset

    def load(self) -> Dataset:
        """Hand them on."""
        return self.data


class Elsewhere(NamedTuple):
    """How a worker in another process gets the data: a file, or a function that makes them."""

    mark: str
    make: Callable[[], Dataset]
    software: Mapping[str, str]
    divides: bool = False  # whether each seed divides them anew

    def load(self) -> Dataset:
        """Make them, unless this process has them, and check that they are those of the call.

        Raises
        ------
        WorkerError
            If this process has other versions than the one that made the call.
        ValueError
            If the data are others.
        """
        check_software(self.software)
        with _loading:
            if self.mark not in _loaded:
                data = SplitPerSeed(self.make()) if self.divides else self.make()
                if fingerprint_of_data(data) != self.mark:
                    raise ValueError(
                        "the data that this worker loaded are not those that the call was given; "
                        "was an image changed in place, or a file?"
                    )
                _loaded.clear()  # one at a time: they may be large
                _loaded[self.mark] = data
            return _loaded[self.mark]


_loaded: dict[str, Dataset] = {}
_loading = Lock()


def _from_file(path: str) -> Dataset:
    """Read what `_to_file` wrote; processes on one machine share its memory."""
    tensors = torch.load(path, weights_only=True, mmap=True)
    parts = {
        part: SimpleNamespace(images=tensors[part, 0], labels=tensors[part, 1]) for part in PARTS
    }
    return cast(Dataset, SimpleNamespace(**parts))


def _to_file(data: Dataset, path: Path) -> None:
    tensors = {}
    for part in PARTS:
        split = getattr(data, part)
        # Clones, since torch.save writes all of the memory that a view looks at.
        tensors[part, 0], tensors[part, 1] = (
            t.cpu().contiguous().clone() for t in (split.images, split.labels)
        )
    torch.save(tensors, path)


def ship(data: Dataset, folder: Path) -> Elsewhere:
    """Find the cheapest way in which another process can get the data."""
    mark = fingerprint_of_data(data)
    if isinstance(data, SplitPerSeed):  # the parts are sent as any data are, and put together there
        return ship(data.data, folder)._replace(mark=mark, divides=True)
    recipe = getattr(data, "recipe", None)
    if recipe is not None:
        with contextlib.suppress(Exception):  # whatever it may be that cannot be pickled
            pickle.dumps(recipe)
            return Elsewhere(mark, recipe, software())
    path = folder / "data.pt"
    _to_file(data, path)
    return Elsewhere(mark, functools.partial(_from_file, str(path)), software())
