"""How arrays, tensors and generators count: by what they hold."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

PLAIN = (torch.dtype, torch.device, torch.layout, torch.memory_format)
"""Types whose values torch writes out in full."""


def of_tensor(tensor: Tensor) -> str:
    """Type, shape and content of a tensor, wherever it is.

    Raises
    ------
    TypeError
        If it is laid out in another way than as an array of numbers.
    """
    if tensor.layout != torch.strided or tensor.is_quantized:
        layout = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
        raise TypeError(f"its layout is {layout}; give an ordinary one, as by to_dense()")
    kind = (str(tensor.dtype), tuple(tensor.shape), tensor.requires_grad, str(tensor.device))
    if tensor.is_meta:
        return f"tensor{kind}"
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return f"tensor{kind}{_digest(plain.reshape(-1).view(torch.uint8).numpy().data)}"


def of_array(array: "np.ndarray[Any, Any]") -> str:
    """Type, shape and content of an array of numbers or texts."""
    return (
        f"array{(array.dtype.descr, array.shape)}{_digest(np.ascontiguousarray(array).tobytes())}"
    )


def of_generator(generator: Generator) -> str:
    """Seed and state of a generator of torch."""
    state = _digest(generator.get_state().numpy().data)
    return f"generator{(str(generator.device), generator.initial_seed())}{state}"


def _digest(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
