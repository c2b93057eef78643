"""Which layers are normalizations: known by what they do, whatever they are called."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

__all__ = ["NORMALIZING", "is_normalization"]

NORMALIZING = frozenset(
    {"layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm", "normalize"}
)
"""Names of torch's functions that normalize their first argument."""

_KINDS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def is_normalization(module: nn.Module, args: tuple[Any, ...], output: Any) -> bool:
    """Whether a module gives the same for its input as for four times that.

    Torch's own are known by their types: batch normalization in evaluation mode does not depend on
    the input's size only in training. Only a module of somebody's own is asked by running it again,
    and only one that might be a normalization: with one tensor in, one of the same shape out, and
    no matrix of its own.
    """
    if type(module).__module__.startswith("torch.nn") or isinstance(module, _KINDS):
        return isinstance(module, _KINDS)
    given = args[0] if len(args) == 1 else None
    if not isinstance(given, Tensor) or not isinstance(output, Tensor) or not output.numel():
        return False
    fits = given.shape == output.shape and given.is_floating_point() and given.ndim > 1
    large = any(sum(size > 1 for size in p.shape) > 1 for p in module.parameters(recurse=False))
    if not fits or large or next(module.children(), None) is not None:
        return False
    gave = output.detach()
    again = _again(module, 4 * given.detach())
    if again is None or again.shape != gave.shape or bool((gave == gave.flatten()[0]).all()):
        return False  # a constant is no normalization
    size, change = torch.linalg.vector_norm(gave), torch.linalg.vector_norm(again - gave)
    return bool(change < 1e-2 * size)


def _again(module: nn.Module, given: Tensor) -> Tensor | None:
    """Run a module once more without a trace; ``None`` if it cannot be."""
    before = {key: value.detach().clone() for key, value in module.named_buffers()}
    attributes = copy.copy(vars(module))
    devices = [given.device] if given.is_cuda else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        try:
            found = module.forward(given)
        except Exception:  # noqa: BLE001  somebody's code; what cannot be asked is none
            found = None
        finally:
            for key, value in attributes.items():
                vars(module)[key] = value
            for key, buffer in module.named_buffers():
                if key in before and not torch.equal(buffer, before[key]):
                    buffer.copy_(before[key])
    return found if isinstance(found, Tensor) else None
