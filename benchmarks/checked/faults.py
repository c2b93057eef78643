"""Faults that can be planted in any network: of each kind, at the start, middle and end."""

import copy
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from checked.registry import Batch, Build, Planted

Part = tuple[str, nn.Module]


def weighted(model: nn.Module) -> list[Part]:
    """Layers that a fault can be planted in, in the order of the model."""
    kinds = (nn.Linear, nn.Conv2d, nn.RNNBase, nn.MultiheadAttention)
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, kinds) and any(p.ndim > 1 for p in module.parameters(recurse=False))
    ]


def _matrices(module: nn.Module) -> Iterable[nn.Parameter]:
    return [p for p in module.parameters(recurse=False) if p.ndim > 1]


def _biases(module: nn.Module) -> Iterable[nn.Parameter]:
    return [p for p in module.parameters(recurse=False) if p.ndim == 1]


def scale(factor: float) -> Callable[[nn.Module], None]:
    """Multiply the weights."""

    def plant(module: nn.Module) -> None:
        for weight in _matrices(module):
            weight.mul_(factor)

    return plant


def zero(module: nn.Module) -> None:
    """Weights and biases 0."""
    for parameter in module.parameters(recurse=False):
        parameter.zero_()


def duplicate(module: nn.Module) -> None:
    """Make every unit a copy of the first."""
    for parameter in module.parameters(recurse=False):
        parameter.copy_(parameter[:1].expand_as(parameter))


def shift_bias(by: float) -> Callable[[nn.Module], None]:
    """Add to the biases, or to the weights where there are none."""

    def plant(module: nn.Module) -> None:
        for bias in _biases(module) or _matrices(module):
            bias.add_(by)

    return plant


def shift_weights(module: nn.Module) -> None:
    """Move the weights' mean by two standard deviations."""
    for weight in _matrices(module):
        weight.add_(2 * weight.std())


FAULTS: dict[str, Callable[[nn.Module], None]] = {
    "scaled × 0.01": scale(0.01),
    "scaled × 100": scale(100.0),
    "zeroed": zero,
    "duplicated": duplicate,
    "bias − 10": shift_bias(-10.0),
    "bias + 10": shift_bias(10.0),
    "weights' mean shifted": shift_weights,
}
GAINS = {"all gains × 0.2": 0.2, "all gains × 4": 4.0}


def plant(_: str, build: Build) -> Iterator[Planted]:
    """Yield a network with each fault at each place, always from the same weights."""
    healthy, inputs, targets = build()
    parts = weighted(healthy)
    # By number, so that a layer which is both in the middle and at the end counts once.
    places = {len(parts) // 2: "middle", 0: "start", len(parts) - 1: "end"}
    for fault, change in FAULTS.items():
        for number, place in sorted(places.items()):
            model = copy.deepcopy(healthy)
            layer, module = weighted(model)[number]
            with torch.no_grad():
                change(module)
            yield Planted(fault, place, [layer], Batch(model, inputs, targets))
    for fault, gain in GAINS.items():
        model = copy.deepcopy(healthy)
        with torch.no_grad():
            for _, module in weighted(model):
                scale(gain)(module)
        layers = [layer for layer, _ in parts]
        yield Planted(fault, "everywhere", layers, Batch(model, inputs, targets))
