"""Networks whose weights lie in one tensor per layer, so that products are products of stacks.

For tiny networks by the thousand, and for GPUs. Each network gets the numbers that it gets alone to
rounding: a product of stacks adds in another order.
"""

import copy
import math
from collections.abc import Sequence
from types import BuiltinFunctionType, FunctionType
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Generator, Tensor, nn

from initguide.randomness import seeded
from initguide.training.generators import uses_global_generator
from initguide.training.hooks import is_hooked
from initguide.training.optimizers import is_named
from initguide.training.processor import device_of
from initguide.training.run import Evaluation, SplitLike, in_order
from initguide.training.settings import Settings, Task
from initguide.training.stack import Stack
from initguide.training.steps import StackedSteps
from initguide.training.streams import Feed
from initguide.training.trial import gradients, random_copies, shape_of, tried
from initguide.training.ways.way import Way, offered

SPARE = 0.75  # the share of networks below which the others are copied into a smaller stack
EVALUATED = 2**18  # images times networks that are evaluated at once, and at most 2,000 images


@offered
class Stacked(Way):
    """Copies of the models' parameters, stacked."""

    name = "stacked"
    trainer = "PyTorch's steps on stacks"
    together = True
    on_copies = True

    def __init__(self, tasks: Sequence[Task], settings: Settings, feed: Feed) -> None:
        super().__init__(tasks, settings, feed)
        self.stack = Stack.of([task.model for task in tasks], feed.masks)
        self.stack.model.train()
        on_cpu = self.stack.device.type == "cpu"
        # On a CPU, one product for all would round differently from one for each.
        self.shared = len(feed.orders) == 1 and not on_cpu
        self.optimizer = StackedSteps(
            cast(str, settings.optimizer),
            list(self.stack.parameters.values()),
            torch.tensor([task.rate for task in tasks]),
            fused=not on_cpu,
        )
        self.going = list(range(len(tasks)))

    @classmethod
    def accepts(cls, models: Sequence[nn.Module], settings: Settings) -> bool:
        """Networks that are found to get about what they get alone, and a named optimizer."""
        example = settings.data.train.images[:2]
        return (
            is_named(settings.optimizer)  # a function may look at a whole tensor at once
            and not uses_global_generator(models[0], example)
            and stackable(models, example)
        )

    def steps(self, orders: Sequence[Tensor]) -> Tensor:
        """Do some mini-batches."""
        rows = self.feed.stream_of[:1] if self.shared else self.feed.stream_of[self.going]
        found = []
        for order in orders:
            inputs, labels = self.feed.take(order[rows])
            if not self.shared:
                inputs = inputs.view(len(self.going), -1, *inputs.shape[1:])
                labels = labels.view(len(self.going), -1)
            losses = self.stack.losses(inputs, labels, shared=self.shared)
            losses.sum().backward()
            self.optimizer.step()
            found.append(losses.detach())
        return torch.stack(found)

    def keep(self, networks: Sequence[int]) -> Sequence[int]:
        """Go on with these, and with those that diverged while these are the most."""
        # Leaving some out costs a copy of the others.
        if len(networks) < SPARE * len(self.going):
            # Those that are left out end with the parameters that they have now.
            self.write_back()
            places = torch.tensor([self.going.index(i) for i in networks], dtype=torch.int64)
            self.stack.keep(places)
            self.optimizer.keep(list(self.stack.parameters.values()), places)
            self.going = list(networks)
        return self.going

    def write_back(self) -> None:
        """Fill the models that are still in the stack."""
        self.stack.write_back([self.tasks[i].model for i in self.going])

    def evaluate(self, networks: Sequence[int], split: SplitLike) -> list[Evaluation]:
        """Evaluate the stack, in which these networks are."""
        if not networks:
            return []
        stack, places = self.stack, {i: place for place, i in enumerate(self.going)}
        if len(networks) < SPARE * len(stack):  # others may have a split of their own
            stack = copy.copy(stack)
            stack.keep(torch.tensor([places[i] for i in networks]))
            places = {i: place for place, i in enumerate(networks)}
        stack.model.eval()
        count, device = len(stack), stack.device
        losses = torch.zeros(count, dtype=torch.float64, device=device)
        hits = torch.zeros(count, dtype=torch.int64, device=device)
        with torch.inference_mode():
            for images, labels in in_order(split, max(1, min(2000, EVALUATED // count))):
                scores = stack.outputs(images.to(device))
                targets = labels.to(device).repeat(count)
                each = F.cross_entropy(scores.flatten(0, 1), targets, reduction="none")
                losses += each.view(count, -1).sum(1, dtype=torch.float64)
                hits += (scores.argmax(dim=2).flatten() == targets).view(count, -1).sum(1)
        number = len(split.labels)
        found = [
            Evaluation(loss / number, hit / number)
            for loss, hit in zip(losses.tolist(), hits.tolist(), strict=True)
        ]
        return [found[places[i]] for i in networks]


def stackable(models: Sequence[nn.Module], example: Tensor) -> bool:
    """Whether some networks can be stacked: whether each gets about the numbers it gets alone.

    Found out by trying, as in `side_by_side`, with some of the networks if there are many.

    Parameters
    ----------
    models
        The networks.
    example
        (n, …) some inputs.
    """
    first = models[0]
    same = (shape_of(first), _plain_values(first))
    if any((shape_of(model), _plain_values(model)) != same for model in models):
        return False
    if any(True for _ in first.buffers()) or not all(p.requires_grad for p in first.parameters()):
        return False
    if any(is_hooked(p) for model in models for p in model.parameters()):
        return False  # a stack has parameters of its own
    try:
        copies = random_copies(models[:: math.ceil(len(models) / 16)])  # at most 16 of them
        count, example = len(copies), example.to(device_of(first))
        with seeded(0):
            alone = [tried([model], [0], example) for model in copies]
            stack = Stack.of(copies, [Generator(example.device).manual_seed(0)])
            outputs = stack.outputs(example)
            grads = gradients(outputs, count, list(stack.parameters.values()))
        found = [outputs.detach(), *(g for g in grads if g is not None)]
        expected = [torch.stack([one.outputs for one in alone])]
        expected += [
            torch.stack([torch.zeros_like(g[0]) if own is None else own for own in each])
            for g, each in zip(grads, zip(*(one.grads for one in alone), strict=True), strict=True)
            if g is not None
        ]
    except Exception:  # noqa: BLE001  whatever it is, alone it will show by itself
        return False
    if any(a.shape != b.shape for a, b in zip(found, expected, strict=True)):
        return False
    # Some gradients are nothing but rounding: of a bias behind which the mean is subtracted.
    slack = 1e-5 * torch.stack([b.norm() for b in expected]).max()
    return all(
        bool((a - b).norm() <= 1e-2 * b.norm() + slack)
        for a, b in zip(found, expected, strict=True)
    )


def _plain_values(model: nn.Module) -> list[Any]:
    """Attributes that may decide about what a network does: numbers, words and functions."""
    return [
        (name, key, getattr(value, "__code__", value))  # each has its own copy of a lambda
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if key != "training"
        and isinstance(value, int | float | str | FunctionType | BuiltinFunctionType)
    ]
