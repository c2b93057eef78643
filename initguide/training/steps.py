"""Steps of the optimizers for several networks, without the bookkeeping of `torch.optim`."""

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from initguide.training.optimizers import (
    BETA_1,
    BETA_2,
    EPSILON,
    MOMENTUM,
    OptimizerFactory,
    is_named,
    make_optimizer,
)
from initguide.training.settings import Task


def steps_of(tasks: Sequence[Task], optimizer: str | OptimizerFactory) -> "FusedSteps | OwnSteps":
    """Steps for the models of some tasks, each with its rate."""
    if is_named(optimizer):
        parameters = [list(task.model.parameters()) for task in tasks]
        return FusedSteps(optimizer, parameters, [task.rate for task in tasks])
    made = [make_optimizer(optimizer, task.model.parameters(), task.rate) for task in tasks]
    return OwnSteps(made)


class FusedSteps:
    """Steps of Adam or SGD for several networks, each with its learning rate.

    torch's own functions, without the bookkeeping of `torch.optim.Optimizer`, which takes longer
    than the steps of a small network.

    Parameters
    ----------
    name
        ``"adam"``, ``"sgd"`` or ``"momentum"``.
    parameters
        Those of each network.
    rates
        The learning rate of each network.
    """

    def __init__(
        self, name: str, parameters: Sequence[Sequence[Tensor]], rates: Sequence[float]
    ) -> None:
        self.name = name
        self.rates = list(rates)
        self.all = [[_with_state(p) for p in own if p.requires_grad] for own in parameters]
        self.keep(range(len(rates)))

    def keep(self, networks: Iterable[int]) -> None:
        """Go on with these networks alone."""
        # A fused step has one rate: networks that share theirs are stepped by one call.
        self.groups: dict[float, list[tuple[Tensor, ...]]] = {}
        for i in networks:
            self.groups.setdefault(self.rates[i], []).extend(self.all[i])

    def step(self) -> None:
        """Do a step."""
        for rate, rows in self.groups.items():
            _fused_step(self.name, rows, rate)

    def drop_gradients(self) -> None:
        """Forget the gradients of the step before."""
        for rows in self.groups.values():
            for parameter, *_ in rows:
                parameter.grad = None


def _with_state(parameter: Tensor) -> tuple[Tensor, ...]:
    """Return a parameter, its first and second moment, and the number of its steps."""
    # SGD keeps its momentum in the first. Begun at 0, the first step is the gradient, as in torch.
    # The count is a tensor on the same device, as torch's fused Adam demands.
    zeros = (torch.zeros_like(parameter) for _ in range(2))
    return parameter, *zeros, torch.zeros((), device=parameter.device)


@torch.no_grad()
def _fused_step(name: str, rows: Sequence[tuple[Tensor, ...]], rate: float) -> None:
    """Step with all parameters that have a gradient, in one call."""
    rows = [row for row in rows if row[0].grad is not None]
    if not rows:
        return
    parameters, first, second, counts = map(list, zip(*rows, strict=True))
    grads = [cast(Tensor, p.grad) for p in parameters]
    if name == "adam":
        adam(
            parameters, grads, first, second, [], counts,
            fused=True, amsgrad=False, beta1=BETA_1, beta2=BETA_2, lr=rate,
            weight_decay=0.0, eps=EPSILON, maximize=False,
        )  # fmt: skip
    else:
        sgd(
            parameters, grads, cast(list[Tensor | None], first),
            fused=True, weight_decay=0.0, momentum=MOMENTUM[name], lr=rate,
            dampening=0.0, nesterov=False, maximize=False,
        )  # fmt: skip


class OwnSteps:
    """The same for optimizers of torch's kind, one for each network."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.all = optimizers
        self.optimizers = list(optimizers)

    def keep(self, networks: Iterable[int]) -> None:
        """Go on with these networks alone."""
        self.optimizers = [self.all[i] for i in networks]

    def step(self) -> None:
        """Do a step."""
        for optimizer in self.optimizers:
            optimizer.step()

    def drop_gradients(self) -> None:
        """Forget the gradients of the step before."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()


class StackedSteps:
    """The same steps on stacked parameters, whose learning rates lie along the first dimension.

    Parameters
    ----------
    name
        ``"adam"``, ``"sgd"`` or ``"momentum"``.
    parameters
        (S, …) each.
    rates
        (S,) the learning rates.
    fused
        Whether to use torch's own functions where all rates are the same. They move less memory,
        which counts on a GPU; on a CPU, a network's numbers would depend on the others' rates.
    """

    def __init__(
        self, name: str, parameters: Sequence[Tensor], rates: Tensor, *, fused: bool = False
    ) -> None:
        self.name = name
        self.rates = rates.to(parameters[0])
        # One rate for all, if they can have torch's own functions; else 0.
        same = fused and bool((rates == rates[0]).all())
        self.rate = float(rates[0]) if same else 0.0
        self.steps = 0
        self.rows = [_with_state(p) for p in parameters]

    def keep(self, parameters: Sequence[Tensor], networks: Tensor) -> None:
        """Go on with these networks alone, whose parameters are given."""
        self.rates = self.rates[networks]
        self.rows = [
            (parameter, first[networks], second[networks], count)
            for parameter, (_, first, second, count) in zip(parameters, self.rows, strict=True)
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Do a step, and drop the gradients."""
        self.steps += 1
        if self.rate:
            _fused_step(self.name, self.rows, self.rate)
        else:
            for parameter, first, second, _ in self.rows:
                if parameter.grad is not None:
                    # (S,) -> (S, 1, …), which broadcasts along each network's own dimensions
                    rates = self.rates.view(-1, *[1] * (parameter.ndim - 1))
                    parameter.addcmul_(self._change(parameter.grad, first, second), rates, value=-1)
        for parameter, *_ in self.rows:
            parameter.grad = None

    def _change(self, grad: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Step that a gradient causes at a learning rate of 1."""
        if self.name == "adam":
            first.lerp_(grad, 1 - BETA_1)
            second.mul_(BETA_2).addcmul_(grad, grad, value=1 - BETA_2)
            # ε is added after the bias correction, as torch does.
            root = second.sqrt().div_(math.sqrt(1 - BETA_2**self.steps)).add_(EPSILON)
            return first.div(root).div_(1 - BETA_1**self.steps)
        if MOMENTUM[self.name]:
            return first.mul_(MOMENTUM[self.name]).add_(grad)
        return grad
