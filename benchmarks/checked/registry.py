"""Families of networks.

To add one, write a function in a file of this folder::

    @family("mine")
    def mine() -> Family:
        return Family({"a perceptron": build}, train)

``check_networks.py`` imports the file by itself, and ``--part mine`` runs it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Batch(NamedTuple):
    """What `initguide.check_init` is called with."""

    model: nn.Module
    inputs: Any
    targets: Any


class Planted(NamedTuple):
    """A network with a fault."""

    fault: str
    place: str
    layers: Sequence[str]  # to be blamed: these, what is in them, or what they are in
    batch: Batch


Build = Callable[[], Batch]


def no_faults(*_: Any) -> Iterator[Planted]:
    """Plant nothing."""
    return iter(())


class Family(NamedTuple):
    """Networks of a kind.

    ``networks`` are called with torch's generator seeded, and so is ``faults``, with a name and
    what builds it. ``train`` changes a model for so many steps, from a seed, with one of the
    ``optimizers``, and returns a number from 0 to 1: higher is better. If it trains on the batch
    that the check-up sees, advice may change inputs and targets.
    """

    networks: Mapping[str, Build]
    train: Callable[[Batch, str, int, int], float]
    optimizers: Sequence[str] = ("adam",)
    faults: Callable[[str, Build], Iterator[Planted]] = no_faults
    on_batch: bool = True


FAMILIES: dict[str, Callable[[], Family]] = {}


def family(name: str) -> Callable[[Callable[[], Family]], Callable[[], Family]]:
    """Register a family; its networks are made when it is asked for."""

    def register(function: Callable[[], Family]) -> Callable[[], Family]:
        FAMILIES[name] = function
        return function

    return register


def outputs_of(batch: Batch) -> Tensor:
    """What a model gives: the scores, of a library's output too."""
    if isinstance(batch.inputs, tuple):
        given = batch.model(*batch.inputs)
    elif isinstance(batch.inputs, dict):
        given = batch.model(**batch.inputs)
    else:
        given = batch.model(batch.inputs)
    given = getattr(given, "logits", given)
    return given[0] if isinstance(given, tuple) else given


def learnt(batch: Batch, _: str, steps: int, seed: int, rate: float = 3e-3) -> float:
    """Train on the batch, with AdamW alone; return how much of it is known by heart.

    Of the loss of whoever answers the same whatever the input (frequencies, or the mean), the share
    that is gone, at least 0.
    """
    model, _, targets = batch
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        return 0.0
    torch.manual_seed(seed)
    step = torch.optim.AdamW(trained, lr=rate)
    loss = math.inf
    for _ in range(steps):
        out = outputs_of(batch)
        if targets.is_floating_point():
            value = F.mse_loss(out, targets)
        else:
            value = F.cross_entropy(out.flatten(0, -2), targets.flatten())
        loss = float(value.detach())
        if not math.isfinite(loss) or not value.requires_grad:
            return 0.0
        step.zero_grad()
        value.backward()
        step.step()
    return max(0.0, 1 - loss / blind(targets))


def blind(targets: Tensor) -> float:
    """Loss of the best answer that is the same for all."""
    if targets.is_floating_point():
        return float(targets.var(correction=0))
    shares = torch.bincount(targets.flatten()).double() / targets.numel()
    shares = shares[shares > 0]
    return float(-(shares * shares.log()).sum())
