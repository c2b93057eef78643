"""Tiny networks by the thousand, each with its own weights and learning rate.

This is apart from `loop`: there are no models to write back to, no splits to evaluate on and no
epochs, the loss is any function, and what a network needs for itself, such as a look at its losses,
would take longer than its steps. `Stack` and `StackedSteps` are those of stacked training.
"""

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import NDArray
from torch import Tensor, nn

from initguide.arguments import check_whole
from initguide.training.optimizers import OPTIMIZERS, is_named
from initguide.training.processor import cores, one_thread
from initguide.training.stack import Stack, warn_split
from initguide.training.steps import StackedSteps
from initguide.training.streams import Streams

__all__ = ["Fits", "fit_many"]

# Parameters of the networks that are stacked at a time on a CPU, so that a core's cache holds them.
# Fewer than `planning.STACK`, because the data that go through them are few.
PART = 2**19
LARGEST_PART = 1024  # networks
# Networks that diverged are sorted out where that pays: each look reads the losses, and sorting
# copies all others.
LOOK = 10  # steps between two looks
SPARE = 7 / 8  # the share of networks below which to sort


class Fits(NamedTuple):
    """What came of training many networks: what `fit_many` returns.

    Attributes
    ----------
    losses
        (steps, S) float32: the loss of each network before each step.
    parameters
        Name -> (S, …) the parameters after the last step.
    """

    losses: NDArray[np.float32]
    parameters: dict[str, Tensor]


def fit_many(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    inputs: Tensor,
    targets: Tensor,
    *,
    steps: int,
    learning_rate: float | Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    optimizer: str = "sgd",
    batch_size: int | None = None,
    seeds: int | Sequence[int] = 0,
    workers: int | None = None,
) -> Fits:
    """Train many networks of one shape, each from its own weights and with its own learning rate.

    The networks are trained in parts that fit into a core's cache, and the parts are spread over
    the cores. A network whose loss becomes NaN or infinite disturbs no other, and once all of its
    parameters are NaN it is no longer computed.

    Parameters
    ----------
    model
        A network of this shape. It is left as it was; its own parameters do not matter. Dropout is
        on if it is in training mode.
    parameters
        Name of each of its parameters -> (S, …) what the S networks start from, on the CPU or on a
        GPU. They are left as they were.
    inputs, targets
        (N, …) the data, the same for all networks.
    steps
        How many steps, at least 1.
    learning_rate
        Above 0: a number, or (S,) one for each network.
    loss
        Function of one network's outputs (n, …) and its targets (n, …) that gives their mean loss,
        such as `torch.nn.functional.mse_loss`.
    optimizer
        ``"sgd"``, ``"momentum"`` (0.9) or ``"adam"``.
    batch_size
        How many of the data each step uses; all of them if ``None``.
    seeds
        Of the order of the data and of the dropout masks: a number for all networks, or one for
        each.
    workers
        How many parts are trained at once; as many as there are cores if ``None``.

    Returns
    -------
    Fits
        Losses and parameters.

    Raises
    ------
    ValueError
        If a parameter is missing or has another shape, or a number is out of its range.

    Warns
    -----
    StackWarning
        If a GPU's memory did not suffice, and a part was trained in two.

    Examples
    --------
    A thousand networks that learn ``y = |x|``, from the same weights with different learning rates:

    >>> model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> start = {n: p.detach().expand(1000, *p.shape) for n, p in model.named_parameters()}
    >>> x = torch.linspace(-1, 1, 16)[:, None]
    >>> rates = torch.logspace(-3, 2, 1000)
    >>> fits = fit_many(
    ...     model, start, x, x.abs(), steps=50, learning_rate=rates, loss=F.mse_loss)
    >>> fits.losses.shape
    (50, 1000)
    """
    parameters = _checked(model, parameters)
    count = len(next(iter(parameters.values())))
    rates = _rates(learning_rate, count, next(iter(parameters.values())).dtype)
    given = _seeds(seeds, count)
    if not is_named(optimizer):
        raise ValueError(f"optimizer is {optimizer!r}; it must be one of {', '.join(OPTIMIZERS)}")
    if len(inputs) != len(targets) or not len(inputs):
        raise ValueError(
            f"there are {len(inputs)} inputs and {len(targets)} targets; give as many of both, "
            "and at least one"
        )
    check_whole("steps", steps, 1)
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if value is not None:
            check_whole(name, value, 1)
    device = next(iter(parameters.values())).device
    inputs, targets = inputs.to(device), targets.to(device)
    batch = len(inputs) if batch_size is None else min(int(batch_size), len(inputs))

    def train_part(which: slice) -> list[Fits]:
        # Steps are done in place, so a part gets copies: the caller's tensors stay as they are.
        part = {name: tensor[which].detach().clone() for name, tensor in parameters.items()}
        how = _Part(int(steps), rates[which], loss, optimizer, batch, given[which])
        try:
            return [_fit(copy.deepcopy(model), part, inputs, targets, how)]
        except torch.OutOfMemoryError:
            # Nothing is retried in here: the traceback holds the memory of the failed try.
            size = which.stop - which.start
            if size == 1:
                raise
        del part
        warn_split(size)
        half = (which.start + which.stop) // 2
        return [
            *train_part(slice(which.start, half)),
            *train_part(slice(half, which.stop)),
        ]

    weights = sum(tensor[0].numel() for tensor in parameters.values())
    size = max(1, min(PART // weights, LARGEST_PART)) if device.type == "cpu" else count
    parts = [slice(i, min(i + size, count)) for i in range(0, count, size)]
    threads = (workers or cores()) if device.type == "cpu" else 1
    with (
        one_thread(),  # new threads start with the number that this one has
        ThreadPoolExecutor(int(threads), thread_name_prefix="initguide") as pool,
    ):
        done = [fits for part in pool.map(train_part, parts) for fits in part]
    return Fits(
        np.concatenate([fits.losses for fits in done], axis=1),
        {name: torch.cat([fits.parameters[name] for fits in done]) for name in parameters},
    )


class _Part(NamedTuple):
    """Settings of one part of the networks."""

    steps: int
    rates: Tensor
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: str
    batch: int
    seeds: list[int]


def _fit(
    model: nn.Module,
    parameters: dict[str, Tensor],
    inputs: Tensor,
    targets: Tensor,
    how: _Part,
) -> Fits:
    """Train one part of `fit_many`'s networks."""
    device = inputs.device
    streams = Streams(how.seeds, device)
    draws = any(type(m) is nn.Dropout and m.training for m in model.modules())
    stack = Stack(model, parameters, how.loss, streams.masks if draws else [])
    steps = StackedSteps(how.optimizer, list(stack.parameters.values()), how.rates)
    stream_of = streams.stream_of.to(device)
    everything = how.batch == len(inputs)
    shared = everything or len(streams.orders) == 1
    orders = torch.empty(len(streams.orders), 0, dtype=torch.int64)
    losses = torch.full((how.steps, len(stack)), math.nan, device=device)
    kept = torch.arange(len(stack), device=device)  # the networks that are not lost
    for step in range(how.steps):
        if everything:
            x, y = inputs, targets
        else:
            if orders.shape[1] < how.batch:  # a new epoch; what is left over is dropped
                orders = streams.shuffled(len(inputs)).to(device)
            now, orders = orders[:, : how.batch], orders[:, how.batch :]
            picked = now[0] if shared else now[stream_of[kept]]
            x, y = inputs[picked], targets[picked]
        each = stack.losses(x, y, shared=shared)
        losses[step, kept] = each.detach().to(losses.dtype)
        each.sum().backward()  # no network's loss depends on another's parameters
        steps.step()
        if step % LOOK == LOOK - 1:
            found = _not_lost(stack, each.detach())
            if len(found) < SPARE * len(stack):
                kept = kept[found]
                stack.keep(found)
                steps.keep(list(stack.parameters.values()), found)
                if not len(found):
                    break
    trained = {name: tensor.detach() for name, tensor in stack.parameters.items()}
    # The parameters of those that were left out were NaN, and so are their later losses.
    if len(kept) < losses.shape[1]:
        for name, tensor in trained.items():
            whole = tensor.new_full((losses.shape[1], *tensor.shape[1:]), math.nan)
            whole[kept] = tensor
            trained[name] = whole
    return Fits(losses.cpu().numpy(), trained)


def _not_lost(stack: Stack, losses: Tensor) -> Tensor:
    """Numbers of the networks that have anything left to train.

    Where every parameter is NaN, every later one will be, too.
    """
    lost = losses.isnan()
    if lost.any():
        for tensor in stack.parameters.values():
            lost &= tensor.detach().isnan().reshape(len(lost), tensor[0].numel()).all(1)
    return (~lost).nonzero()[:, 0]


def _checked(model: nn.Module, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Refuse parameters that do not belong to a network like the one given."""
    wanted = dict(model.named_parameters())
    if not wanted:
        raise ValueError("model has no parameters, so there is nothing to train")
    if buffers := [name for name, _ in model.named_buffers()]:
        raise ValueError(
            f"model has buffers ({', '.join(buffers)}), which the networks would share; use a "
            "normalization without running statistics"
        )
    if set(parameters) != set(wanted):
        raise ValueError(
            f"parameters has {', '.join(sorted(parameters)) or 'nothing'}; the model has "
            f"{', '.join(sorted(wanted))}"
        )
    counts = {len(tensor) if tensor.ndim else 0 for tensor in parameters.values()}
    for name, tensor in parameters.items():
        if tensor.shape[1:] != wanted[name].shape or len(counts) > 1 or 0 in counts:
            raise ValueError(
                f"parameters has {name} of shape {tuple(tensor.shape)}; it must be (S, "
                f"{', '.join(map(str, wanted[name].shape))}) for S networks, at least 1, and the "
                "same S for all parameters"
            )
    return {name: parameters[name] for name in wanted}


def _rates(learning_rate: float | Tensor, count: int, dtype: torch.dtype) -> Tensor:
    rates = torch.as_tensor(learning_rate, dtype=dtype).detach()
    if rates.ndim == 0:
        rates = rates.expand(count)
    if rates.shape != (count,):
        raise ValueError(
            f"learning_rate has shape {tuple(rates.shape)}; give a number, or ({count},): one for "
            "each network"
        )
    if not bool(((rates > 0) & rates.isfinite()).all()):
        bad = rates[~((rates > 0) & rates.isfinite())][0].item()
        raise ValueError(f"learning_rate is or has {bad!r}; it must be finite and above 0")
    return rates


def _seeds(seeds: int | Sequence[int], count: int) -> list[int]:
    numbers = list(seeds) if isinstance(seeds, Iterable) else [seeds] * count
    if len(numbers) != count:
        raise ValueError(f"seeds has {len(numbers)} numbers; give one, or {count}")
    return [check_whole("seeds", number, 0) for number in numbers]
