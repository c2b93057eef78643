"""The random numbers of a run, and the mini-batches that they make of the data."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from initguide.data import SplitPerSeed
from initguide.training.run import Batch, Dataset, SplitLike
from initguide.training.settings import Settings


class Streams:
    """Random numbers of several runs: the order of the data, and dropout masks.

    On a CPU, what a run gets follows from its seed alone. On a GPU, a stack draws the masks of all
    its networks at once, so that they depend on which others there are, too.

    Parameters
    ----------
    seeds
        One for each run; runs of one seed share their order and their masks.
    device
        Where the dropout masks are drawn.

    Attributes
    ----------
    orders
        Generators of the order of the data, one for each different seed.
    stream_of
        (S,) the one of these that is each run's.
    masks
        Each run's generator of dropout masks.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        places = {seed: place for place, seed in enumerate(dict.fromkeys(seeds))}
        # Two numbers per seed: the order must not depend on how many masks a network draws. Between
        # them, SeedSequence keeps neighbouring seeds apart.
        drawn = [np.random.SeedSequence(seed).generate_state(2) for seed in places]
        # Orders are drawn on the CPU, so that they are the same whatever trains the networks.
        self.orders = [Generator().manual_seed(int(order)) for order, _ in drawn]
        masks = [Generator(device).manual_seed(int(mask)) for _, mask in drawn]
        self.stream_of = torch.tensor([places[seed] for seed in seeds])
        self.masks = [masks[places[seed]] for seed in seeds]

    def shuffled(self, count: int) -> Tensor:
        """(seeds, count) the next epoch's order of so many data."""
        return torch.stack([torch.randperm(count, generator=g) for g in self.orders])


def drawn_from(data: Dataset) -> SplitLike:
    """Where the numbers of `Feed` point to: all images that may be trained on with some seed."""
    return data.pool if isinstance(data, SplitPerSeed) else data.train


class Feed(Streams):
    """The mini-batches of several runs.

    Parameters
    ----------
    seeds, device
        As for `Streams`; the images are moved to the device.
    settings
        Says which data they are, how many epochs, and the size of a mini-batch.
    """

    def __init__(self, seeds: Sequence[int], settings: Settings, device: torch.device) -> None:
        super().__init__(seeds, device)
        split = drawn_from(settings.data)
        self.count = len(settings.data.train.labels)
        self.parts: Tensor | None = None  # (different seeds, count) the images of each
        if isinstance(settings.data, SplitPerSeed):
            self.parts = torch.stack(
                [settings.data.numbers(seed)[0] for seed in dict.fromkeys(seeds)]
            )
        # On a GPU, all images lie there, as far as they are not there yet.
        self.images, self.labels = split.images.to(device), split.labels.to(device)
        self.epochs, self.batch_size = settings.epochs, settings.batch_size
        self.buffer = torch.empty(0)  # a mini-batch of several runs; allocating it anew is slow

    def chunks(self, size: int) -> Iterator[list[Tensor]]:
        """Mini-batches of all epochs, some at a time.

        A mini-batch is (seeds, n) numbers of images: a row for each different seed.
        """
        for _ in range(self.epochs):
            order = self.shuffled(self.count)
            if self.parts is not None:
                order = self.parts.gather(1, order)
            batches = order.split(self.batch_size, dim=1)
            for start in range(0, len(batches), size):
                yield list(batches[start : start + size])

    def take(self, numbers: Tensor) -> Batch:
        """Images and labels of these numbers, (runs, n), one run's behind the other's."""
        flat = numbers.reshape(-1).to(self.labels.device)
        labels = self.labels.index_select(0, flat)
        if len(self.stream_of) == 1:  # not in the buffer: a model of one's own may keep its inputs
            return self.images.index_select(0, flat), labels
        shape = (len(flat), *self.images.shape[1:])
        if self.buffer.shape != shape:
            self.buffer = torch.empty(shape, dtype=self.images.dtype, device=self.images.device)
        return torch.index_select(self.images, 0, flat, out=self.buffer), labels
