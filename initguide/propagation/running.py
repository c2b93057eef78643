"""What a pass is given: arguments checked, and inputs that a graph can start from."""

import copy
from collections.abc import MutableMapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor, nn

from initguide.introspection import check_kind

__all__ = ["check_model", "check_quantiles", "prepared"]


def check_model(model: nn.Module) -> None:
    """Refuse what cannot be watched, and weights that cannot have gradients."""
    check_kind(model)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_inference():
            raise ValueError(
                f"{name} was made in torch.inference_mode(), so it cannot have gradients; make the "
                "model outside of it"
            )


def check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Refuse what is no number in [0, 1]; one number alone is a sequence of one."""
    numbers = tuple(quantiles) if isinstance(quantiles, Sequence | np.ndarray) else (quantiles,)
    if not all(isinstance(q, Real) and 0 <= q <= 1 for q in numbers):
        raise ValueError(f"quantiles is {quantiles!r}; each must be a number in [0, 1]")
    return tuple(float(q) for q in numbers)


def prepared(value: Any, leaves: list[Tensor] | None) -> Any:
    """Make inputs that a graph can start from, in the same nesting.

    Parameters
    ----------
    value
        A tensor, or tuples, lists and dictionaries with tensors inside; what else there is stays.
    leaves
        A list to which the tensors are added that get a gradient: all floating-point ones.
        ``None`` if the graph need not reach the inputs.
    """
    if isinstance(value, Tensor):
        if value.is_inference():  # what inference mode made cannot be saved for a backward pass
            value = value.clone()
        if leaves is not None and value.is_floating_point():
            leaves.append(value.detach().requires_grad_())
            return leaves[-1].clone()  # a model may change its input in place, as no leaf allows
        return value
    if isinstance(value, MutableMapping):  # of any class, as one whose keys are attributes, too
        changed = copy.copy(value)
        for key, item in value.items():
            changed[key] = prepared(item, leaves)
        return changed
    if isinstance(value, list):
        return [prepared(item, leaves) for item in value]
    if isinstance(value, tuple):
        # A named tuple takes its fields one by one, a plain one takes them all in a sequence.
        items = [prepared(item, leaves) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value
