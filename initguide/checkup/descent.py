"""Some steps of training on one batch, by which two starts of a network are compared."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from initguide.checkup.looking import Case
from initguide.checkup.passes import as_in_training
from initguide.introspection import arguments_of, run_model
from initguide.propagation import Measurement, loss_of, own_loss
from initguide.randomness import seeded


class _Adam:
    """Adam with the usual settings."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.means = [torch.zeros_like(p) for p in parameters]
        self.squares = [torch.zeros_like(p) for p in parameters]
        self.steps = [torch.tensor(0.0) for _ in parameters]

    def __call__(self, parameters: list[Tensor], which: list[int], grads: list[Tensor]) -> None:
        adam(
            parameters,
            grads,
            [self.means[i] for i in which],
            [self.squares[i] for i in which],
            [],
            [self.steps[i] for i in which],
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=3e-3,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


class _Descent:
    """Gradient descent with momentum."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.speeds = [torch.zeros_like(p) for p in parameters]

    def __call__(self, parameters: list[Tensor], which: list[int], grads: list[Tensor]) -> None:
        sgd(
            parameters,
            grads,
            [self.speeds[i] for i in which],
            weight_decay=0.0,
            momentum=0.9,
            lr=0.02,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )


# The functions, since the first of torch's optimizer objects imports its compiler, which takes
# longer than many a check-up.
OPTIMIZERS: Mapping[str, Callable[[list[Tensor]], _Adam | _Descent]] = {
    "Adam": _Adam,
    "SGD": _Descent,
}
"""What is trained with. Adam is blind to the scale of gradients and learns one batch by heart all
the faster from weights that are too large; the steps of SGD see that scale, and little else."""


def can_descend(case: Case, measured: Measurement) -> bool:
    """Whether there is a loss to descend, not only a projection of the outputs."""
    given = case.targets is not None or case.loss is not None
    return given or not measured.loss_name.startswith("sum of the outputs")


def descend(case: Case, steps: int) -> dict[str, float]:
    """Train a model on its batch, with each optimizer from the same start.

    Returns the mean loss over the last quarter of the steps: infinite if it is not finite, or if
    nothing is trained. The model stays trained.
    """
    trained: list[Tensor] = [p for p in case.model.parameters() if p.requires_grad]
    start = [tensor.detach().clone() for tensor in (*trained, *case.model.buffers())]
    reached = {}
    for name, optimizer in OPTIMIZERS.items():
        with torch.no_grad():
            for tensor, before in zip((*trained, *case.model.buffers()), start, strict=True):
                tensor.copy_(before)
        reached[name] = _trained(case, trained, optimizer(trained), steps) if trained else math.inf
    return reached


def _trained(case: Case, trained: list[Tensor], optimizer: _Adam | _Descent, steps: int) -> float:
    """Train with one optimizer."""
    args, kwargs = arguments_of(case.given)
    last = []
    with seeded(case.seed), as_in_training(case.model):
        for step in range(steps):
            for parameter in trained:
                parameter.grad = None
            output = run_model(case.runs, args, kwargs, type(case.model).__name__)
            own = own_loss(output) if case.loss is None and case.targets is None else None
            loss, _ = own or loss_of(output, case.targets, case.loss, case.seed, "the model")
            if not bool(loss.isfinite()) or not loss.requires_grad:
                return math.inf
            loss.backward()
            which = [i for i, p in enumerate(trained) if p.grad is not None]
            chosen = [trained[i] for i in which]
            with torch.no_grad():
                optimizer(chosen, which, [p.grad for p in chosen if p.grad is not None])
            if step >= steps - max(1, steps // 4):
                last.append(float(loss.detach()))
    return sum(last) / len(last)


def gained(now: float, before: float) -> float:
    """How much better one loss is than another, from -1 to 1, whatever their unit."""
    if math.isinf(now) or math.isinf(before):
        return float(math.isinf(before)) - float(math.isinf(now))
    size = abs(now) + abs(before)
    return (before - now) / size if size else 0.0
