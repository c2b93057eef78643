"""Notes on the tensors of a pass, which hold until a tensor is changed or gone."""

import weakref
from typing import Any, Generic, NamedTuple, TypeVar

from torch import Tensor

__all__ = ["TensorNotes"]

Note = TypeVar("Note")


class _Entry(NamedTuple, Generic[Note]):
    tensor: "weakref.ref[Tensor]"
    version: int
    note: Note


class TensorNotes(Generic[Note]):
    """Notes on tensors, which are lost when a tensor is gone or is changed in place.

    A dictionary by ``id`` would not do. An id is given again once a tensor is gone, and an in-place
    operation keeps it: only the same object in the same version is what was seen. And to hold the
    tensors would keep every activation of a pass in memory, also where no graph does.

    Examples
    --------
    >>> import torch
    >>> notes, x = TensorNotes(), torch.ones(3)
    >>> notes.write(x, "three ones")
    >>> notes.read(x)
    'three ones'
    >>> notes.read(x.add_(1)) is None
    True
    """

    def __init__(self) -> None:
        self._entries: dict[int, _Entry[Note]] = {}

    def write(self, tensor: Tensor, note: Note) -> None:
        """Note something on a tensor as it is now, in place of what was noted before."""
        self._entries[id(tensor)] = _Entry(weakref.ref(tensor), _version(tensor), note)

    def read(self, tensor: Any) -> Note | None:
        """Return what was noted; ``None`` if nothing was, or the tensor has changed since."""
        entry = self._entries.get(id(tensor))
        if entry is None or entry.tensor() is not tensor or entry.version != _version(tensor):
            return None
        return entry.note

    def clear(self) -> None:
        """Forget all notes."""
        self._entries.clear()


def _version(tensor: Any) -> int:
    """How often a tensor was changed in place."""
    return int(tensor._version)  # noqa: SLF001  torch documents it, under this name
