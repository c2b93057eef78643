"""A model to try things on: a copy, or the model itself, put back afterwards."""

import contextlib
import copy
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from initguide.checkup.contents import contents_kept
from initguide.randomness import seeded


@contextlib.contextmanager
def sandbox(model: nn.Module, *values: Any, seed: int = 0) -> Iterator[tuple[Any, ...]]:
    """Yield a model and values (inputs, targets) that may be changed and trained.

    They are deep copies where that is possible. Of a model that cannot be copied, all that a
    remedy or a step of training changes is noted, and put back. Draws inside leave the global
    generators as they were.
    """
    generators = random.getstate(), np.random.get_state()  # noqa: NPY002  the global one is meant
    try:
        other = copy.deepcopy(model)
    except Exception:  # noqa: BLE001  whatever a model holds: locks, generators, tensors of a graph
        other = None
    try:
        # In somebody's inference mode or without gradients, nothing could be trained.
        with seeded(seed), torch.inference_mode(mode=False), torch.enable_grad():
            if other is not None:
                yield other, *(_copied(value) for value in values)
            else:
                with _kept(model), contents_kept(model):
                    yield model, *(_copied(value) for value in values)
    finally:
        random.setstate(generators[0])
        np.random.set_state(generators[1])  # noqa: NPY002


def _copied(value: Any) -> Any:
    """Copy inputs or targets; what cannot be copied stays what it is."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001
        return value


@contextlib.contextmanager
def _kept(model: nn.Module) -> Iterator[None]:
    """Put back a model's attributes, parts, numbers, gradients, and what is trained."""
    modules = list(model.modules())
    parts = ("_parameters", "_buffers", "_modules")
    attributes = [dict(vars(module)) for module in modules]
    held = [{part: dict(vars(module)[part]) for part in parts} for module in modules]
    tensors = [*model.parameters(), *model.buffers()]
    numbers = [
        (t, t.detach().clone(), t.requires_grad, None if t.grad is None else t.grad.clone(), t.grad)
        for t in tensors
    ]
    try:
        yield
    finally:
        for module, own, contents in zip(modules, attributes, held, strict=True):
            vars(module).clear()
            vars(module).update(own)
            for part, content in contents.items():
                own[part].clear()
                own[part].update(content)
        with torch.no_grad():
            for tensor, before, trained, slope, gradient in numbers:
                if not torch.equal(tensor, before):
                    tensor.copy_(before)
                if tensor.is_leaf:
                    tensor.requires_grad_(trained)
                    tensor.grad = gradient
                    if gradient is not None and slope is not None:
                        gradient.copy_(slope)
