"""How many inputs a batch has, whatever it is made of."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def batch_size(inputs: Any) -> int:
    """How many inputs there are; a list, such as that of images of several sizes, is a batch."""
    if isinstance(inputs, list):
        return len(inputs)
    if isinstance(inputs, Mapping | tuple):
        parts = list(inputs.values() if isinstance(inputs, Mapping) else inputs)
        return next((size for part in parts if (size := batch_size(part))), 0)
    usable = isinstance(inputs, Tensor) and inputs.is_floating_point() and inputs.ndim
    return inputs.shape[0] if usable else 0


def all_the_same(inputs: Any, first: Tensor) -> bool:
    """Whether there are several inputs, and no difference; ``first`` is the first tensor."""
    if isinstance(inputs, list):
        tensors = [item for item in inputs if isinstance(item, Tensor)]
        return 1 < len(inputs) == len(tensors) and all(torch.equal(first, t) for t in tensors)
    return batch_size(inputs) > 1 and bool((first == first[:1]).all())


def split_batch(batch: Any) -> tuple[Any, Any]:
    """Take a batch as data loaders give it apart: into inputs, and targets or None.

    Parameters
    ----------
    batch
        A tuple or list of two, inputs and targets; a dictionary of ``inputs`` and, perhaps,
        ``targets``, and nothing else; a list of one tensor, as a loader of inputs alone gives it.
        Anything else is inputs alone, as `initguide.check_init` knows them.

    Examples
    --------
    >>> split_batch([torch.ones(2), torch.zeros(2)])
    (tensor([1., 1.]), tensor([0., 0.]))
    >>> split_batch({"input_ids": torch.ones(1)})
    ({'input_ids': tensor([1.])}, None)
    """
    # With other keys beside them, they are arguments of the model, all of which it needs.
    if isinstance(batch, Mapping) and "inputs" in batch and batch.keys() <= {"inputs", "targets"}:
        return batch["inputs"], batch.get("targets")
    if isinstance(batch, list) and len(batch) == 1 and isinstance(batch[0], Tensor):
        return batch[0], None
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    return batch, None
