"""Torch's global random generators: seeded for a while, by one thread at a time."""

import contextlib
from collections.abc import Iterator
from threading import RLock

import torch

__all__ = ["seeded"]

_GLOBAL_GENERATOR = RLock()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators for a while, then put them back as they were.

    All threads share these generators, so only one thread at a time gets in.
    """
    # Looking after the GPUs' generators would start CUDA where nobody uses it.
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=gpus):
        if gpus:
            torch.manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)
        yield
