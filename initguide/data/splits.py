"""Training and validation images that each seed divides anew."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from initguide.data.tensors import Split

# Apart from all other numbers of a seed: the order of the mini-batches and the masks stay as they
# are with one split for all.
STREAM = 1


class SplitPerSeed:
    """Data whose training and validation images each seed divides anew.

    `initguide.compare_init_weights` and `initguide.sweep` make it for ``split="per seed"``, and
    `initguide.training.train` takes it like other data: a run with seed 3 is trained on ``of(3)``,
    to the last bit. As many images as before are for training, drawn without replacement from both
    parts together; the test images stay apart. A seed means the same division wherever and in
    whatever company it is trained.

    Parameters
    ----------
    data
        Three splits, such as what `initguide.fashion_mnist` returns. Training and validation images
        must be of one kind, so that either might as well have been the other: where the validation
        images are of a later year or of other people, dividing them anew would tell a network what
        it is to be tested on.

    Attributes
    ----------
    train, valid, test
        The parts as they came.
    pool
        Training and validation images together. This takes as much memory as both of them.

    Raises
    ------
    ValueError
        If training and validation images are of different shapes or types, or on different devices.

    Examples
    --------
    >>> from initguide import fashion_mnist
    >>> data = SplitPerSeed(fashion_mnist(source="sample"))
    >>> data.of(3).train, data.of(3).valid
    (Split(4,000 images of 1 × 28 × 28), Split(1,000 images of 1 × 28 × 28))
    """

    def __init__(self, data: Any) -> None:
        self.data = data
        for part in ("images", "labels"):
            train, valid = (_kind(getattr(split, part)) for split in (data.train, data.valid))
            if train != valid:
                raise ValueError(
                    f"data.train.{part} is {train} and data.valid.{part} is {valid}; with a split "
                    "per seed each of them may be in either part, so they must be alike"
                )
        self.pool = Split(
            torch.cat([data.train.images, data.valid.images]),
            torch.cat([data.train.labels, data.valid.labels]),
        )
        count = len(data.train.labels)
        self.train = Split(self.pool.images[:count], self.pool.labels[:count])
        self.valid = Split(self.pool.images[count:], self.pool.labels[count:])
        self.test = data.test

    @property
    def source(self) -> str:
        """Where the images came from, and that each seed divides them anew."""
        source = str(getattr(self.data, "source", "not stated"))
        return f"{source}; training and validation images divided anew by each seed"

    def numbers(self, seed: int) -> tuple[Tensor, Tensor]:
        """Which images of the pool a seed takes for training and for validation, ascending."""
        [drawn] = np.random.SeedSequence(seed, spawn_key=(STREAM,)).generate_state(1)
        generator = torch.Generator(device="cpu").manual_seed(int(drawn))
        order = torch.randperm(len(self.pool), generator=generator, device="cpu")
        train, valid = order.tensor_split([len(self.train)])
        return train.sort().values, valid.sort().values

    def valid_of(self, seed: int) -> Split:
        """The validation images of a seed, copied."""
        return self._part(self.numbers(seed)[1])

    def of(self, seed: int) -> SimpleNamespace:
        """The data as one seed divides them, with the same attributes; images are copied."""
        train, valid = map(self._part, self.numbers(seed))
        source = f"{self.source}, here by seed {seed}"
        return SimpleNamespace(train=train, valid=valid, test=self.test, source=source)

    def _part(self, numbers: Tensor) -> Split:
        numbers = numbers.to(self.pool.labels.device)
        return Split(self.pool.images[numbers], self.pool.labels[numbers])

    def __repr__(self) -> str:
        return f"<{self.source[0].upper()}{self.source[1:]}>"


def _kind(tensor: Tensor) -> str:
    shape = " × ".join(map(str, tensor.shape[1:])) or "numbers"
    return f"{shape}, {str(tensor.dtype).removeprefix('torch.')}, on {tensor.device}"
