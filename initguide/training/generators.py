"""Models that draw from torch's global generator: found out, and given a seed of their own."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from initguide.randomness import seeded
from initguide.training import engine
from initguide.training.processor import device_of
from initguide.training.quick import quick_layers

__all__ = ["uses_global_generator"]


def uses_global_generator(model: nn.Module, example: Tensor) -> bool:
    """Whether a training step draws from torch's global generator.

    Found out by running a copy of the model on the example and watching for operations that torch
    itself marks as random. `torch.nn.Dropout` does not count: `train` gives it a generator.
    """
    if engine.knows(model):
        return False  # watching would start parts of torch that take a second or more
    try:
        trial = copy.deepcopy(model).train()
    except (RuntimeError, TypeError):  # cannot be copied, so expect the worst
        return True
    # In training mode, and on a copy: the pass may draw, and it changes running statistics.
    watch = _WatchRandomness()
    with (
        seeded(0),
        quick_layers([trial], [Generator(device_of(trial))]),
        torch.no_grad(),
        watch,
    ):
        trial(example.to(device_of(trial)))
    return watch.seen


class _WatchRandomness(TorchDispatchMode):
    """Notices operations that draw from the global generators."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
            self.seen = True
        return func(*args, **kwargs)


@contextlib.contextmanager
def own_global_generator(model: nn.Module, example: Tensor, seed: int) -> Iterator[None]:
    """Seed the global generators for a model that uses them, and put them back afterwards."""
    if not uses_global_generator(model, example):
        yield
        return
    with seeded(seed):
        yield
