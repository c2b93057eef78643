"""The compiled C file, made and tried once in a process, and what it can be used for."""

import functools
import os
import platform
import shlex
import sys
import warnings
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _python_dispatch

from initguide.training.engine import building
from initguide.training.engine.agreement import agrees
from initguide.training.engine.connected import Connected
from initguide.training.engine.layers import Layer, flattens, is_plain, layers_of

__all__ = ["fits", "prepare", "takes", "works"]

# Parameters up to which compiled steps have been measured (benchmarks/ways.py): at 3.7 million they
# do 1.81 runs a second, and PyTorch's steps 1.57.
LARGEST = 4_000_000
LARGEST_BATCH = 4096  # images; with more, the activations leave the caches

# `functools.cache` alone would let two threads compile at the same time.
_ONE_AT_A_TIME = Lock()


def _renew_lock() -> None:
    """Give a forked process a lock of its own: a thread that held the old one is not in it."""
    global _ONE_AT_A_TIME  # noqa: PLW0603
    _ONE_AT_A_TIME = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def works() -> bool:
    """Whether there is a compiler, and what it makes computes what PyTorch computes.

    The first call in a process takes a few hundredths of a second, and compiling half a second.

    Warns
    -----
    UserWarning
        If a compiler is named by ``INITGUIDE_CC``, and cannot be used.
    """
    with _ONE_AT_A_TIME:
        return _library() is not None


@functools.cache
def _library() -> Any:
    """The compiled C file, or ``None`` where there is none."""
    if sys.platform == "win32" or platform.machine() not in {"x86_64", "AMD64"}:
        return None
    named = os.environ.get("INITGUIDE_CC", "")
    if named.lower() in {"off", "0"}:
        return None
    for command in [named] if named else ("cc", "gcc", "clang"):
        try:
            library = building.load(shlex.split(command))
            if agrees(library):
                return library
            reason = "what it makes gives other numbers than PyTorch"
        except Exception as error:  # noqa: BLE001  whatever it is, PyTorch can do without
            reason = f"{type(error).__name__}: {error}"
        if named:
            _warn(reason)
    return None


def _warn(reason: str) -> None:
    warnings.warn(
        f"INITGUIDE_CC is {os.environ['INITGUIDE_CC']!r}, which cannot be used ({reason}), so "
        "networks are trained by PyTorch's own steps; name another C compiler, or set "
        "INITGUIDE_CC=off",
        stacklevel=4,
    )


# What it can be used for


def fits(model: nn.Module) -> bool:
    """Whether a network can be trained by compiled steps, on this machine.

    Parameters
    ----------
    model
        The network.
    """
    return _fitting(model) is not None


def takes(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> bool:
    """Whether compiled steps can train a network on these data, and mini-batches are small enough.

    Parameters
    ----------
    model
        The network; one that does not fit cannot be trained on any.
    images
        (N, …) as the network takes them.
    labels
        (N,) numbers of the classes.
    batch_size
        Images in a mini-batch. With many thousands, PyTorch is as fast.
    """
    layers = _fitting(model)
    if layers is None or _is_watched():
        return False
    if not 0 < len(images) == len(labels) or min(batch_size, len(images)) > LARGEST_BATCH:
        return False
    if not (is_plain(images, torch.float32) and is_plain(labels, torch.int64)):
        return False
    if labels.ndim != 1 or (images.ndim != 2 and not flattens(model)):
        return False
    return (
        images[0].numel() == layers[0].weight.shape[1]
        and 0 <= int(labels.min()) <= int(labels.max()) < layers[-1].weight.shape[0]
    )


def prepare(model: nn.Module, images: Tensor, labels: Tensor, **settings: Any) -> Connected:
    """Lay out a network for the compiled steps.

    Parameters
    ----------
    model
        One that `fits`.
    images, labels
        Data that it `takes`.
    **settings
        As for `Connected`.

    Raises
    ------
    ValueError
        If it does not fit.
    """
    layers = _fitting(model)
    if layers is None:
        raise ValueError("model cannot be trained by compiled steps; ask `fits` first")
    return Connected(layers, _library(), images, labels, **settings)


def _fitting(model: nn.Module) -> list[Layer] | None:
    """Layers of a network that can be trained by compiled steps on this machine."""
    layers = layers_of(model)
    if layers is None or sum(p.numel() for k in layers for p in k.parameters) >= LARGEST:
        return None
    return layers if works() else None  # asked last: it may start a compiler


def _is_watched() -> bool:
    """Whether torch is in a mode that changes or watches its operations, which C would bypass."""
    return (
        torch.is_autocast_enabled("cpu")
        or torch.is_anomaly_enabled()
        or _python_dispatch._get_current_dispatch_mode() is not None  # noqa: SLF001  torch has no public name
    )
