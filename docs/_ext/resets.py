"""What is put back to its default before each page runs."""

import warnings
from typing import Any

import torch


def reset_torch(gallery_conf: dict[str, Any], fname: str) -> None:  # noqa: ARG001  their signature
    """Give each page PyTorch's default type, the same global generator, and one thread.

    Pages pass seeds explicitly. This keeps one that forgets to from changing with the page before.
    Comparisons use all cores by themselves; what else a page computes is small, and on a busy
    machine several threads for one small product take many times as long as one.
    """
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    warnings.formatwarning = _without_path


def _without_path(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> str:  # noqa: ARG001
    """Write a warning without the line that it came from, whose path is that of this machine."""
    return f"{category.__name__}: {message}\n"
