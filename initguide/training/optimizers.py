"""Optimizers by name: what the names mean, and torch's own optimizers made from them.

The same numbers are written once more where steps are done without `torch.optim`: in `steps` for
PyTorch's tensors, in `engine` for compiled steps. Both take their constants from here.
"""

from collections.abc import Callable, Iterable
from typing import TypeGuard

import torch
from torch import nn

__all__ = ["OptimizerFactory", "check_optimizer", "make_optimizer"]

OptimizerFactory = Callable[..., torch.optim.Optimizer]

# The momentum of SGD by name, and torch's defaults for Adam.
MOMENTUM = {"sgd": 0.0, "momentum": 0.9}
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8

OPTIMIZERS: dict[str, OptimizerFactory] = {
    # "fused" updates all parameters in one call: the same numbers in a fraction of the time
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr, fused=True),
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, fused=True),
    "momentum": lambda parameters, lr: torch.optim.SGD(
        parameters, lr=lr, momentum=MOMENTUM["momentum"], fused=True
    ),
}


def is_named(optimizer: object) -> TypeGuard[str]:
    """Whether an optimizer is one of those with a name, whose steps are known."""
    return isinstance(optimizer, str) and optimizer in OPTIMIZERS


def make_optimizer(
    optimizer: str | OptimizerFactory, parameters: Iterable[nn.Parameter], learning_rate: float
) -> torch.optim.Optimizer:
    """Make an optimizer from a name or a function; see `train` for both."""
    check_name(optimizer)
    make = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
    return make(parameters, lr=learning_rate)


def check_optimizer(optimizer: str | OptimizerFactory, model: nn.Module, rate: float) -> None:
    """Refuse an unknown name, or a function that cannot make an optimizer for a model."""
    check_name(optimizer)
    if not any(True for _ in model.parameters()):
        raise ValueError("the model has no parameters, so there is nothing to train")
    # Named ones can always be made, and starting torch.optim takes a second or more.
    if not isinstance(optimizer, str):
        make_optimizer(optimizer, model.parameters(), rate)


def check_name(optimizer: str | OptimizerFactory) -> None:
    """Refuse the name of an optimizer that is none."""
    if isinstance(optimizer, str) and not is_named(optimizer):
        raise ValueError(
            f"unknown optimizer {optimizer!r}; the names are {', '.join(OPTIMIZERS)}, and a "
            "function such as torch.optim.RMSprop works too"
        )
