"""What is put back to its default before each page runs."""

from typing import Any

import torch


def reset_torch(gallery_conf: dict[str, Any], fname: str) -> None:  # noqa: ARG001  their signature
    """Give each page PyTorch's default type and the same global generator.

    Pages pass seeds explicitly. This keeps one that forgets to from changing with the page before.
    """
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
