"""Whether networks can be trained together, tried out on copies of them.

Whether a model mixes the images of a batch, counts its calls or decides by its values cannot be
read off its modules. So what a way would do is done once, on copies with random parameters, and
held against each network alone.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from initguide.training.hooks import is_changed
from initguide.training.quick import quick_layers


def shape_of(model: nn.Module) -> list[Any]:
    """What must be the same in all networks: their modules, and the shapes of their parameters."""
    held = [(n, t.shape, t.dtype, t.device, t.requires_grad) for n, t in model.named_parameters()]
    modules = [(name, type(m)) for name, m in model.named_modules()]
    # A changed or hooked network must go alone: a new object equals no other, so it fits none.
    changed = [object() for m in model.modules() if is_changed(m)]
    return [held, modules, changed]


def random_copies(models: Sequence[nn.Module]) -> list[nn.Module]:
    """Copies in training mode, each with parameters of its own."""
    copies = [copy.deepcopy(model).train() for model in models]
    with torch.no_grad():
        for seed, model in enumerate(copies):
            generator = Generator().manual_seed(seed)
            for p in model.parameters():
                # Of a size that keeps outputs away from 0 and from where activations saturate.
                spread = 1 / math.sqrt(max(1, p.shape[-1] if p.ndim > 1 else 1))
                p.copy_(torch.randn(p.shape, generator=generator) * spread)
    return copies


class Tried(NamedTuple):
    """What networks gave for an example: outputs, and gradients of all their parameters."""

    outputs: Tensor
    grads: tuple[Tensor | None, ...]


def tried(models: Sequence[nn.Module], seeds: Iterable[int], example: Tensor) -> Tried:
    """Try networks side by side, or one alone; the seeds are those of their dropout masks."""
    masks = [Generator(example.device).manual_seed(seed) for seed in seeds]
    count = len(models)
    with quick_layers(models, masks):
        outputs = models[0](example.repeat(count, *[1] * (example.ndim - 1)))
    parameters = [p for model in models for p in model.parameters() if p.requires_grad]
    return Tried(outputs.detach(), gradients(outputs, count, parameters))


def gradients(
    outputs: Tensor, count: int, parameters: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Gradients of a sum of several networks' outputs, whose weights are random."""
    # Of a plain sum, gradients may cancel: the outputs of a softmax always add up to 1.
    pattern = torch.randn(outputs.numel() // count, generator=Generator().manual_seed(0))
    total = (outputs.reshape(count, -1) * pattern.to(outputs)).sum()
    return torch.autograd.grad(total, parameters, allow_unused=True)
