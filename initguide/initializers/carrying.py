"""Carry a plan out: fill what is to be filled, and put back what is to be kept."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn

from initguide.initializers.matrices import fill_stack
from initguide.initializers.planning import Work
from initguide.initializers.scheme import SKIPPING, Scheme, is_computed

__all__ = ["carry_out"]


def carry_out(model: nn.Module, scheme: Scheme | Callable[[nn.Module], object], work: Work) -> None:
    """Fill what is to be filled, or refuse the model before any of it is changed."""
    layerwise = isinstance(scheme, Scheme) and scheme.require is None
    if isinstance(scheme, Scheme):
        if scheme.require is not None:
            scheme.require(model)
        accepted = [module for module in model.modules() if scheme.accepts(module)]
        # One that is parametrized is left alone, unless there is no other, or the scheme needs the
        # architecture, of which it may be an essential part.
        usable = [module for module in accepted if layerwise and not is_computed(module)]
        for module in usable or accepted:
            scheme.check(module)
    if work.extra and isinstance(scheme, Scheme) and not layerwise:
        raise ValueError(
            f"fans and inputs are for schemes that fill layer by layer; {scheme} fills a model as "
            "a whole: fill these parameters first, by its base"
        )
    with _kept(model, scheme, work, layerwise=layerwise) as skipped:

        def visit(module: nn.Module) -> None:
            if module not in skipped:
                scheme(module)

        if isinstance(scheme, Scheme) and not layerwise:
            scheme(model)
        else:
            model.apply(visit)
        for parameter, roles, fans in work.extra:
            if id(parameter) not in work.kept:
                with torch.no_grad():
                    fill_stack(parameter, roles, fans, scheme)


@contextlib.contextmanager
def _kept(
    model: nn.Module,
    scheme: Scheme | Callable[[nn.Module], object],
    work: Work,
    *,
    layerwise: bool,
) -> Iterator[set[nn.Module]]:
    """Put back what is to be kept; yield the modules that need not be filled at all."""
    skipped: set[nn.Module] = set()
    whole = {key for key, (_, mask) in work.kept.items() if mask is None}
    saved = dict(work.kept)
    if layerwise and isinstance(scheme, Scheme):
        # A large pretrained part is neither filled nor copied, only to be put back.
        for module in model.modules():
            own = {id(module._parameters[name]) for name in scheme.fills(module)}  # noqa: SLF001
            if own and own <= whole:
                skipped.add(module)
        touched = {
            id(tensor)
            for module in model.modules()
            if module not in skipped
            for tensor in module.parameters(recurse=False)
        }
        saved = {key: kept for key, kept in work.kept.items() if key in touched}
    copies = {key: tensor.detach().clone() for key, (tensor, _) in saved.items()}
    token = SKIPPING.set(True)
    try:
        yield skipped
    finally:
        SKIPPING.reset(token)
        with torch.no_grad():
            for key, (tensor, mask) in saved.items():
                tensor.copy_(
                    copies[key] if mask is None else torch.where(mask, copies[key], tensor)
                )
