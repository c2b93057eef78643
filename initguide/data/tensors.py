"""The images and labels as tensors: splits, subsets, transformed copies, loaders."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from initguide.arguments import check_whole

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""Names of the labels 0 to 9."""


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images and their labels.

    Parameters
    ----------
    images
        (N, 1, 28, 28) for Fashion-MNIST, float32 in [0, 1].
    labels
        (N,), int64, each in 0 … 9.

    Raises
    ------
    ValueError
        If there are not as many labels as images.

    Examples
    --------
    >>> import torch
    >>> Split(torch.zeros(5, 1, 28, 28), torch.zeros(5, dtype=torch.int64))
    Split(5 images of 1 × 28 × 28)
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"images has shape {tuple(self.images.shape)} and labels has shape "
                f"{tuple(self.labels.shape)}; there must be one label for each image"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self):,} images of {' × '.join(map(str, self.images.shape[1:]))})"


@dataclass(frozen=True, eq=False, repr=False)
class FashionMNIST:
    """Fashion-MNIST [1]_, split for training, validation and the final test.

    `fashion_mnist` makes it. Calls with the same arguments share one object, so leave its tensors
    as they are: work on a clone to change pixels in place.

    Parameters
    ----------
    train, valid, test
        The three parts. ``test`` is the test set that every paper uses.
    source
        Where the images came from and how many there are, in words.
    is_sample
        Whether this is the embedded sample and not the full data.
    classes
        Names of the labels 0 to 9.

    References
    ----------
    .. [1] H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
       Machine Learning Algorithms", 2017, https://arxiv.org/abs/1708.07747
    """

    train: Split
    valid: Split
    test: Split
    source: str
    is_sample: bool
    classes: tuple[str, ...] = CLASSES

    def __repr__(self) -> str:
        return f"<{self.source[0].upper()}{self.source[1:]}>"

    @property
    def recipe(self) -> "Callable[[], FashionMNIST] | None":
        """A small function that makes the same data again, for instance in another process.

        It is known for what `fashion_mnist` returns, for a `subset` of it, and for what was
        `transformed` from it. ``None`` for an object that was put together in another way.
        """
        return getattr(self, "_recipe", None)

    def loaders(
        self, batch_size: int = 100, *, seed: int = 0
    ) -> tuple[
        DataLoader[tuple[Tensor, ...]],
        DataLoader[tuple[Tensor, ...]],
        DataLoader[tuple[Tensor, ...]],
    ]:
        """Ordinary PyTorch loaders of (images, labels) batches.

        Parameters
        ----------
        batch_size
            Images in a batch, at least 1. The last batch holds what is left.
        seed
            Decides the order of the training images, which is new in each epoch. Loaders with the
            same seed give the same batches, whatever else draws random numbers.

        Returns
        -------
        tuple of DataLoader
            Training (shuffled), validation and test (both in the order of their splits).

        Raises
        ------
        ValueError
            If ``batch_size`` is not a whole number from 1 on, or ``seed`` not one from 0 on.

        Examples
        --------
        >>> from initguide import fashion_mnist
        >>> train_loader, valid_loader, test_loader = fashion_mnist(source="sample").loaders()
        >>> images, labels = next(iter(train_loader))
        >>> images.shape, labels.shape
        (torch.Size([100, 1, 28, 28]), torch.Size([100]))
        """
        size = check_whole("batch_size", batch_size, 1)
        seed = check_whole("seed", seed, 0)
        train, valid, test = (
            DataLoader(
                TensorDataset(split.images, split.labels),
                batch_size=size,
                shuffle=shuffle,
                # Also where nothing is shuffled: without one, each pass advances the global state.
                generator=torch.Generator(device="cpu").manual_seed(seed),
            )
            for split, shuffle in ((self.train, True), (self.valid, False), (self.test, False))
        )
        return train, valid, test

    def subset(
        self, train: int | None = None, valid: int | None = None, test: int | None = None
    ) -> "FashionMNIST":
        """Keep the first images of each part, for experiments that must be quick.

        The training and validation images lie in random order, so their first ones are a random
        sample; a smaller subset is part of a larger one.

        Parameters
        ----------
        train, valid, test
            How many images to keep, at least 1; all of a part if ``None``.

        Returns
        -------
        FashionMNIST
            It shares memory with this one. Its `source` says how many images were kept.

        Raises
        ------
        ValueError
            If a number is not a whole one of at least 1, or a part has fewer images.

        Examples
        --------
        >>> from initguide import fashion_mnist
        >>> fashion_mnist(source="sample").subset(train=500, valid=200).train
        Split(500 images of 1 × 28 × 28)
        """
        parts = {"train": (self.train, train), "valid": (self.valid, valid)}
        kept = {}
        for name, (split, asked) in (parts | {"test": (self.test, test)}).items():
            count = len(split) if asked is None else check_whole(name, asked, 1)
            if count > len(split):
                raise ValueError(
                    f"{name} is {count:,}, but there are only {len(split):,} such images; ask for "
                    "at most as many"
                )
            kept[name] = Split(split.images[:count], split.labels[:count])
        counts = ", ".join(f"{len(split):,} {name}" for name, split in kept.items())
        part = FashionMNIST(
            **kept,
            source=f"{self.source}; of these the first {counts}",
            is_sample=self.is_sample,
            classes=self.classes,
        )
        return _remember(part, self.recipe, "subset", *map(len, kept.values()))

    def transformed(self, function: Callable[[Tensor], Tensor], words: str) -> "FashionMNIST":
        """Apply a function to the images of all parts, to centre or scale them for instance.

        Parameters
        ----------
        function
            From images (N, 1, 28, 28) to as many images, as a floating-point tensor.
        words
            What it does, for `source` and so for the footnotes of tables: ``"standardized"``.

        Returns
        -------
        FashionMNIST
            With new images and the same labels.

        Raises
        ------
        TypeError
            If the function returns something else.
        ValueError
            If it returns another number of images.

        Examples
        --------
        >>> from initguide import fashion_mnist
        >>> centred = fashion_mnist(source="sample").transformed(lambda x: x - 0.286, "centred")
        >>> print(f"{abs(centred.train.images.mean()):.2f}")
        0.00
        """

        def changed(split: Split) -> Split:
            # A copy, for the images are shared: a function that works in place must not reach them.
            images: Any = function(split.images.clone())
            if not isinstance(images, Tensor) or not images.is_floating_point():
                found = images.dtype if isinstance(images, Tensor) else type(images).__name__
                raise TypeError(
                    f"function returned {found}; it must return a tensor of floating-point images"
                )
            return Split(images.float(), split.labels)

        new = replace(
            self,
            train=changed(self.train),
            valid=changed(self.valid),
            test=changed(self.test),
            source=f"{self.source}; images {words}",
        )
        return _remember(new, self.recipe, "transformed", function, words)


def _remember(
    data: FashionMNIST, before: Callable[[], FashionMNIST] | None, method: str, *arguments: Any
) -> FashionMNIST:
    """Give derived data a recipe, if the data that they were derived from have one."""
    if before is not None:
        recipe = functools.partial(_derived, before, method, arguments)
        object.__setattr__(data, "_recipe", recipe)
    return data


def _derived(
    before: Callable[[], FashionMNIST], method: str, arguments: tuple[Any, ...]
) -> FashionMNIST:
    return getattr(before(), method)(*arguments)  # type: ignore[no-any-return]


def as_pixels(images: Tensor) -> Tensor:
    """Bytes (N, 28, 28) as float32 (N, 1, 28, 28) in [0, 1]."""
    return images.unsqueeze(1).to(torch.float32).div_(255)
