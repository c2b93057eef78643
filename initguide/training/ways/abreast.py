"""Networks side by side: their images go through the layers as one long batch.

Layers with parameters work on each network's part by itself; all else is done once for all. Each
network gets the same numbers, to the last bit, as if it were alone.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor, nn

from initguide.randomness import seeded
from initguide.training.generators import uses_global_generator
from initguide.training.processor import device_of
from initguide.training.quick import holds_tensors, layers_at_work, quick_layers
from initguide.training.settings import Settings, Task
from initguide.training.steps import steps_of
from initguide.training.streams import Feed
from initguide.training.trial import random_copies, shape_of, tried
from initguide.training.ways.way import Way, offered

__all__ = ["side_by_side"]

TRIED = 64  # inputs that are tried, or one mini-batch


@offered
class Abreast(Way):
    """Models whose layers take turns, mini-batch by mini-batch."""

    name = "side by side"
    together = True
    on_copies = False

    def __init__(self, tasks: Sequence[Task], settings: Settings, feed: Feed) -> None:
        super().__init__(tasks, settings, feed)
        self.optimizer = steps_of(tasks, settings.optimizer)
        self.going = list(range(len(tasks)))

    @classmethod
    def accepts(cls, models: Sequence[nn.Module], settings: Settings) -> bool:
        """Several networks that are each found to get what they get alone."""
        images = settings.data.train.images
        return (
            len(models) > 1
            and not uses_global_generator(models[0], images[:2])
            and side_by_side(models, images, settings.batch_size)
        )

    def steps(self, orders: Sequence[Tensor]) -> Tensor:
        """Do some mini-batches."""
        models = [self.tasks[i].model for i in self.going]
        count, rows = len(models), self.feed.stream_of[self.going]
        found = []
        with quick_layers(models, [self.feed.masks[i] for i in self.going]):
            for order in orders:
                inputs, labels = self.feed.take(order[rows])
                scores = models[0](inputs)
                each = F.cross_entropy(scores, labels, reduction="none")
                losses = each.view(count, -1).mean(1)  # each network's images lie together
                self.optimizer.drop_gradients()
                losses.sum().backward()  # no network's loss depends on another's parameters
                self.optimizer.step()
                found.append(losses.detach())
        return torch.stack(found)

    def keep(self, networks: Sequence[int]) -> Sequence[int]:
        """Go on with these networks."""
        if networks != self.going:
            self.optimizer.keep(networks)
            self.going = list(networks)
        return networks


def side_by_side(
    models: Sequence[nn.Module], inputs: Tensor, batch_size: int | None = None
) -> bool:
    """Whether some networks can go side by side: whether each gets the numbers it gets alone.

    Found out by trying, on copies in training mode whose parameters are random, so that networks
    which merely start out the same deceive nobody. Outputs and gradients must be the same to the
    last bit. That may depend on the size of the mini-batches: some functions and products round
    differently where a network's part of the batch does not begin at a round address.

    Parameters
    ----------
    models
        The networks.
    inputs
        (N, …) the data.
    batch_size
        How many of the data each step uses; all of them if ``None``. What is left over is taken to
        be a smaller mini-batch.
    """
    first = models[0]
    if any(shape_of(model) != shape_of(first) for model in models) or holds_tensors(first):
        return False
    for _, unit in layers_at_work(first, split=True):
        if unit is not first and any(type(m) is nn.Dropout for m in list(unit.modules())[1:]):
            return False  # its masks would be drawn once for each network
    count = len(inputs)
    batch = min(batch_size or count, count)
    sizes = {batch, count % batch or batch}  # the last mini-batch of an epoch may be smaller
    try:
        copies = random_copies(models)
        with seeded(0):  # the trial leaves the global generators as they were
            return all(
                _are_equal(copies, example.to(device_of(first)))
                for size in sizes
                for example in inputs[: size * max(1, TRIED // size)].split(size)
                if len(example) == size
            )
    except Exception:  # noqa: BLE001  whatever it is, alone it will show by itself
        return False


def _are_equal(models: Sequence[nn.Module], example: Tensor) -> bool:
    """Whether networks that go side by side and alone give the same to the last bit."""
    alone = [tried([model], [seed], example) for seed, model in enumerate(models)]
    outputs, grads = tried(models, range(len(models)), example)
    expected = [grad for one in alone for grad in one.grads]
    # Parameters that an output does not depend on have no gradient, either way.
    return torch.equal(outputs, torch.cat([one.outputs for one in alone])) and all(
        a is b or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(expected, grads, strict=True)
    )
