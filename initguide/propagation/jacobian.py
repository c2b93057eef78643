"""The derivative of a model's output by its input, and by how much it stretches."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from initguide.introspection import describe_arguments, run_model, tensors_in
from initguide.propagation.losses import needed_tensor
from initguide.propagation.running import prepared

__all__ = ["singular_values"]


# Gradients that are taken at once: each needs the memory of a backward pass.
_VECTORS = 256


def singular_values(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], count: int, source: str
) -> NDArray[np.float64]:
    """Singular values of the derivative of each of the first outputs by its own input.

    Parameters
    ----------
    model
        The model, which runs once more, on the first entries of the batch only.
    args, kwargs
        What it is given. The derivative is by the first floating-point tensor among them.
    count
        Of how many entries of the batch.
    source
        What came, in words, for an error of the model's own.

    Returns
    -------
    NDArray
        (count, min(inputs, outputs)) in falling order; NaN where a derivative is not finite.
    """
    first = next((t for t in tensors_in((args, kwargs)) if t.is_floating_point()), None)
    if first is None:
        raise ValueError(
            f"jacobian is {count}, but the inputs hold no floating-point tensor to differentiate "
            f"by: {describe_arguments(args, kwargs)}; leave it at 0"
        )
    batch = first.shape[0] if first.ndim else 0
    if count > batch:
        raise ValueError(f"jacobian is {count}, but the batch has {batch} inputs")
    leaves: list[Tensor] = []
    few_args, few_kwargs = prepared(_first_entries((args, kwargs), count, batch), leaves)
    output = needed_tensor(run_model(model, few_args, few_kwargs, source), type(model).__name__)
    if output.ndim == 0 or output.shape[0] != count or not output.requires_grad:
        raise ValueError(
            f"jacobian is {count}, but the output of {type(model).__name__} for {count} inputs has "
            f"shape {tuple(output.shape)}, or does not depend on them; it must have the batch first"
        )
    rows = []
    for i in range(count):
        matrix = _derivative(output.reshape(count, -1), leaves[0], i)
        finite = bool(matrix.isfinite().all())  # LAPACK fails on NaN
        rows.append(
            torch.linalg.svdvals(matrix).numpy() if finite else np.full(min(matrix.shape), math.nan)
        )
    return np.stack(rows)


def _first_entries(value: Any, count: int, batch: int) -> Any:
    """Cut every tensor that has the batch first, in the same nesting; others stay whole."""
    if isinstance(value, Tensor):
        return value[:count] if value.ndim and value.shape[0] == batch else value
    if isinstance(value, Mapping):
        return {key: _first_entries(item, count, batch) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_first_entries(item, count, batch) for item in value)
    return value


def _derivative(output: Tensor, leaf: Tensor, entry: int) -> Tensor:
    """Matrix of one entry of the batch, (outputs, inputs) in float64: a gradient for each output.

    Only the entry itself is looked at. With batch norm, it also depends on the others.
    """
    count, size = output.shape
    parts = []
    for start in range(0, size, _VECTORS):
        chosen = torch.arange(start, min(size, start + _VECTORS))
        vectors = output.new_zeros(len(chosen), count, size)
        vectors[torch.arange(len(chosen)), entry, chosen] = 1
        parts.append(_vector_products(output, leaf, vectors)[:, entry].flatten(1).double().cpu())
    return torch.cat(parts)


def _vector_products(output: Tensor, leaf: Tensor, vectors: Tensor) -> Tensor:
    """Gradients of the output along each of the vectors: (vectors, *leaf)."""
    try:
        found = torch.autograd.grad(
            output, leaf, vectors, retain_graph=True, allow_unused=True, is_grads_batched=True
        )[0]
    except RuntimeError:  # an operation that torch cannot do for many vectors at once
        each = [
            torch.autograd.grad(output, leaf, vector, retain_graph=True, allow_unused=True)[0]
            for vector in vectors
        ]
        found = None if each[0] is None else torch.stack(each)
    return leaf.new_zeros(len(vectors), *leaf.shape) if found is None else found
