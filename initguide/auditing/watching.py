"""Who wrote each parameter: every write while a model is made, filled and loaded, with its line."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

__all__ = ["Write", "Writes", "watch"]

Kind = Literal["unfilled", "made", "filled", "loaded"]


@dataclass(frozen=True)
class Write:
    """One write to the memory of a tensor.

    Attributes
    ----------
    kind
        ``"unfilled"``: memory was taken without writing to it, as by `torch.empty`; ``"made"``: by
        a layer's own ``__init__`` or ``reset_parameters``; ``"loaded"``: by ``load_state_dict``;
        ``"filled"``: by anything else.
    by
        What wrote, and from which line: ``"normal_ in init_weights (train.py:12)"``.
    whole
        Whether it wrote to all of the memory.
    """

    kind: Kind
    by: str
    whole: bool


@dataclass(eq=False)
class Writes:
    """What was written while `watch` watched, in order; give it to the audit."""

    _of: dict[int, list[Write]] = field(default_factory=dict, repr=False)
    # A weak reference to the storage keeps its address from being used again, but not its memory.
    _held: dict[int, StorageWeakRef] = field(default_factory=dict, repr=False)

    def of(self, tensor: Tensor) -> tuple[Write, ...]:
        """All writes to a tensor's memory, the last one last; empty if it was not seen."""
        key = _key(tensor)
        return tuple(self._of.get(key, ())) if key is not None else ()

    def add(self, tensor: Tensor, kind: Kind, by: str) -> None:
        """Note a write."""
        if tensor.is_meta or tensor.layout is not torch.strided:
            return
        storage = StorageWeakRef(tensor.untyped_storage())
        self._held[storage.cdata] = storage
        writes = self._of.setdefault(storage.cdata, [])
        if kind == "unfilled":
            writes.clear()
        whole = tensor.numel() * tensor.element_size() >= tensor.untyped_storage().nbytes()
        new = Write(kind, by, whole)
        if not writes or writes[-1] != new:  # an optimizer's thousandth step says nothing new
            writes.append(new)


def _key(tensor: Tensor) -> int | None:
    if tensor.is_meta or tensor.layout is not torch.strided:
        return None
    return int(StorageWeakRef(tensor.untyped_storage()).cdata)


_UNFILLED = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}


class _Watching(TorchFunctionMode):
    def __init__(self, writes: Writes) -> None:
        super().__init__()
        self.writes = writes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in _UNFILLED:
            if isinstance(result, Tensor):
                self.writes.add(result, "unfilled", f"{name} {_place(sys._getframe(1))[1]}")  # noqa: SLF001
        elif name == "__setitem__" or (name.endswith("_") and not name.startswith("_")):
            target = args[0] if args else kwargs.get("tensor", kwargs.get("input"))
            if isinstance(target, Tensor) and name not in {"requires_grad_", "detach_"}:
                kind, where = _place(sys._getframe(1))  # noqa: SLF001
                self.writes.add(target, kind, f"{name} {where}")
        return result


def _place(frame: FrameType | None) -> tuple[Kind, str]:
    """What a line of code does, and where the nearest line outside torch is."""
    names, where = set(), ""
    while frame is not None:
        code = frame.f_code
        inside = str(frame.f_globals.get("__name__", "")).partition(".")[0] == "torch"
        if inside:
            names.add(code.co_name)
        elif not where:
            where = f"in {code.co_name} ({Path(code.co_filename).name}:{frame.f_lineno})"
            names |= {code.co_name} & {"reset_parameters"}
        frame = frame.f_back
    if names & {"load_state_dict", "_load_from_state_dict"}:
        return "loaded", where
    # `reset_parameters` of a layer that `apply` visits is a scheme, and not the layer's making.
    made = "apply" not in names and names & {"reset_parameters", "_reset_parameters"}
    return ("made" if made else "filled"), where


@contextlib.contextmanager
def watch() -> Iterator[Writes]:
    """Watch who writes to which tensor, to tell who wrote a parameter last.

    Make, fill and load the model inside, and give what this yields to the audit. Writes are seen
    that PyTorch's Python functions do in this thread: `torch.nn.init`, methods that end with ``_``,
    ``tensor[...] =``, ``load_state_dict``; not those of compiled code. Memory of `torch.empty` that
    nothing was written to is seen, too, whatever it happens to hold.

    Yields
    ------
    Writes
        To be passed on: ``audit(model, writes=...)``.

    Examples
    --------
    >>> from torch import nn
    >>> import initguide
    >>> with initguide.audit.watch() as writes:
    ...     net = nn.Linear(64, 32)
    ...     _ = initguide.initialize(net, "he_normal")
    ...     _ = net.apply(lambda layer: nn.init.normal_(layer.weight, std=0.02))
    >>> report = initguide.audit(net, writes=writes)
    >>> [finding.code for finding in report.findings]
    ['overwritten']
    """
    writes = Writes()
    with _Watching(writes):
        yield writes
