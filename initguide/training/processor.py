"""The processor: where a model is, how many cores there are, and computing on one of them."""

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import nn

__all__ = ["cores", "one_thread"]


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters are; the CPU if it has none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on the calling thread alone, and put its number of threads back after."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def cores() -> int:
    """How many cores this process may use, as far as is known."""
    # A container or a job of a cluster may be given fewer than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
