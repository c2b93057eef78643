"""Layers that compute faster for a while, and for several networks at once."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from torch import Generator, Tensor, nn

from initguide.training.dropout import SeededDropout
from initguide.training.processor import device_of
from initguide.training.products import each_on_its_part, linears, onednn_pays

__all__ = ["quick_layers"]


@contextlib.contextmanager
def quick_layers(models: Sequence[nn.Module], masks: Sequence[Generator]) -> Iterator[None]:
    """Let the first of some networks compute for all of them, and its layers compute faster.

    While this lasts, ``models[0]`` takes the batches of all networks one behind the other, (S·n,
    …), and gives their outputs in the same order. Layers that hold parameters or buffers use those
    of each network for its part.

    `torch.nn.Dropout` draws its masks from the generators. torch's own draws from the global one,
    which threads would share: a run would depend on what the others do.

    Parameters
    ----------
    models
        S networks of the same shape, that `side_by_side` has found fit for it, or one network.
    masks
        A generator for each; networks that share one get the same masks.
    """
    first = models[0]
    changed: list[nn.Module] = []
    try:
        for name, module in layers_at_work(first, split=len(models) > 1):
            if "forward" in vars(module):
                continue  # a forward that somebody has replaced already is theirs
            # Found by name, which is the same in all networks: `shape_of` has compared them.
            twins = [model.get_submodule(name) for model in models]
            forward = _quicker_forward(twins, masks)
            if forward is not None:
                module.forward = forward
                changed.append(module)
        yield
    finally:
        for module in changed:
            del module.forward


def layers_at_work(model: nn.Module, *, split: bool) -> Iterator[tuple[str, nn.Module]]:
    """Layers of a network: all, or the outermost that hold tensors or drop units.

    The latter work on each network's part of a batch. All else is done once for the whole batch.
    """
    if not split:
        yield from model.named_modules()
        return
    seen: set[nn.Module] = set()

    def visit(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        if module in seen:  # a layer that is used in two places
            return
        seen.add(module)
        if holds_tensors(module) or type(module) is nn.Dropout:
            yield name, module
            return
        for child, part in module.named_children():
            yield from visit(f"{name}.{child}" if name else child, part)

    yield from visit("", model)


def holds_tensors(module: nn.Module) -> bool:
    """Whether a module has parameters or buffers of its own, not only its parts have."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return bool(own)


def _quicker_forward(
    twins: Sequence[nn.Module], masks: Sequence[Generator]
) -> Callable[[Tensor], Tensor] | None:
    """What takes the place of a layer's forward, or ``None`` if that may stay."""
    layer = twins[0]
    on_cpu = device_of(layer).type == "cpu"
    # By the exact type: a subclass may compute something else.
    if type(layer) is nn.Dropout and not layer.inplace and masks:
        return SeededDropout(layer, masks)
    if type(layer) is nn.Linear and on_cpu and (len(twins) > 1 or onednn_pays(layer.weight)):
        return functools.partial(linears, cast(Sequence[nn.Linear], twins))
    if len(twins) == 1:
        return None
    rest = [twin.forward for twin in twins]  # as they are before the first one's is replaced
    return functools.partial(each_on_its_part, rest)
