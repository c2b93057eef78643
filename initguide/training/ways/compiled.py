"""Fully connected ReLU networks by compiled steps, one after the other; see `engine`.

What a network gets does not depend on which others there are. It is what PyTorch's steps give up to
rounding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from initguide.training import engine
from initguide.training.optimizers import is_named
from initguide.training.run import Evaluation, SplitLike
from initguide.training.settings import Settings, Task
from initguide.training.streams import Feed, drawn_from
from initguide.training.ways.way import Way, offered


@offered
class Compiled(Way):
    """A copy of a model's parameters, in the memory of the C file."""

    name = "compiled"
    trainer = "compiled steps"
    is_compiled = True
    together = False
    on_copies = True

    def __init__(self, tasks: Sequence[Task], settings: Settings, feed: Feed) -> None:
        super().__init__(tasks, settings, feed)
        [task] = tasks
        self.network = engine.prepare(
            task.model,
            feed.images,
            feed.labels,
            batch_size=settings.batch_size,
            optimizer=settings.optimizer,
            learning_rate=task.rate,
            masks=feed.masks[0],
        )
        self.batches = min(self.batches, self.network.batches_at_once)
        self.written = True  # whether the model has the parameters as they are

    @classmethod
    def accepts(cls, models: Sequence[nn.Module], settings: Settings) -> bool:
        """Models and data that the engine takes, and a named optimizer."""
        split = drawn_from(settings.data)
        return is_named(settings.optimizer) and all(
            engine.takes(model, split.images, split.labels, settings.batch_size) for model in models
        )

    def steps(self, orders: Sequence[Tensor]) -> Tensor:
        """Do some mini-batches."""
        # C cuts it up again. That is right because only the last mini-batch of a chunk may be
        # smaller.
        [order] = torch.cat(list(orders), dim=1)
        self.written = False
        return self.network.steps(order)[:, None]

    def write_back(self) -> None:
        """Fill the model."""
        if not self.written:
            self.network.write_back()
            self.written = True

    def evaluate(self, networks: Sequence[int], split: SplitLike) -> list[Evaluation]:
        """Evaluate the model."""
        self.write_back()
        return super().evaluate(networks, split)
