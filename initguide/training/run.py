"""The data and the result of a training run, and the evaluation of a model."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import NDArray
from torch import Tensor, nn

from initguide.training.processor import device_of

__all__ = ["Batch", "Dataset", "Evaluation", "Run", "SplitLike", "Stop", "evaluate"]

Batch = tuple[Tensor, Tensor]


class SplitLike(Protocol):
    """Images (N, …) and labels (N,), such as `initguide.data.Split`."""

    @property
    def images(self) -> Tensor:
        """(N, …) float32."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64, the number of each image's class."""


class Dataset(Protocol):
    """Three splits, such as what `initguide.fashion_mnist` returns."""

    @property
    def train(self) -> SplitLike:
        """What the model is trained on."""

    @property
    def valid(self) -> SplitLike:
        """What schemes are compared on."""

    @property
    def test(self) -> SplitLike:
        """What the chosen one is reported on."""


class Stop(Protocol):
    """Says whether to end early, as `threading.Event` does."""

    def is_set(self) -> bool:
        """Whether to end now."""


class Evaluation(NamedTuple):
    """How good a model is on some images.

    Attributes
    ----------
    loss
        Mean cross-entropy per image, in nats. 0 is perfect; guessing among 10 classes gives
        ln 10 = 2.303.
    accuracy
        Fraction of the images classified correctly, in [0, 1].
    """

    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Run:
    """One network trained once: what happened.

    Attributes
    ----------
    label
        What the run is called in tables and figures: the scheme.
    seed
        The seed of the weights, the order of the mini-batches and the dropout masks.
    train_losses
        (batches,) float32: the mean loss of each mini-batch, in the order of training, measured
        before the step that it causes. Ends with the first loss that is not finite.
    valid_loss
        Mean loss over the validation images after training, in evaluation mode. NaN if diverged.
    valid_accuracy, test_accuracy
        Fraction of images classified correctly, in [0, 1], in evaluation mode. NaN if diverged.
    diverged_at
        Index of the first mini-batch whose loss was NaN or infinite, or ``None``. If only the
        last step broke the network, their number: it showed on the validation images.
    seconds
        Wall-clock time of training and evaluation; of networks that were trained together, their
        share.
    trainer
        Whose steps they were: ``"compiled steps"``, ``"PyTorch's steps"`` or ``"PyTorch's steps on
        stacks"``. Empty where it is not known, as in files of earlier versions.
    rounding
        How the processor rounds, in a word or two, see `initguide.training`. Runs of one trainer
        and one rounding have the same numbers to the last bit; others differ in the last digits at
        first, and after hundreds of steps as runs of other seeds do.
    """

    label: str
    seed: int
    train_losses: NDArray[np.float32]
    valid_loss: float
    valid_accuracy: float
    test_accuracy: float
    diverged_at: int | None
    seconds: float
    # By keyword only, so that subclasses can add fields without a default.
    trainer: str = field(default="", kw_only=True)
    rounding: str = field(default="", kw_only=True)

    @property
    def trained_by(self) -> str:
        """Trainer and rounding as tables write them; empty where they are not known."""
        return f"{self.trainer} ({self.rounding})" if self.trainer and self.rounding else ""

    @property
    def diverged(self) -> bool:
        """Whether a loss of the run was NaN or infinite."""
        return self.diverged_at is not None

    @property
    def train_loss(self) -> float:
        """Mean training loss over the last 100 mini-batches; NaN if diverged.

        One mini-batch alone says little: its loss moves by a tenth from one to the next.
        """
        return math.nan if self.diverged else float(self.train_losses[-100:].mean(dtype=np.float64))


def evaluate(
    model: nn.Module, images: SplitLike | Iterable[Batch], *, batch_size: int = 2000
) -> Evaluation:
    """Mean loss and accuracy in evaluation mode (dropout off); the mode is put back afterwards.

    Parameters
    ----------
    model
        Takes (n, …) images to (n, classes) scores.
    images
        A split of a data set, or pairs of images and labels, such as a DataLoader gives.
    batch_size
        How many images of a split go through the model at once; changes memory and time, not the
        result.

    Raises
    ------
    ValueError
        If there are no images.
    """
    batches = in_order(cast(SplitLike, images), batch_size) if hasattr(images, "images") else images
    # Module by module: somebody may have put parts of the model into evaluation mode.
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    device = device_of(model)
    losses: list[Tensor] = []  # numbers stay in their tensors: reading them would make a GPU wait
    hits: list[Tensor] = []
    count = 0
    try:
        with torch.inference_mode():
            for inputs, labels in batches:
                scores, targets = model(inputs.to(device)), labels.to(device)
                losses.append(F.cross_entropy(scores, targets, reduction="sum"))
                hits.append((scores.argmax(dim=1) == targets).sum())
                count += len(labels)
    finally:
        for module, mode in modes:
            module.training = mode
    if not count:
        raise ValueError("there are no images to evaluate the model on")
    # fsum adds without rounding, so the size of the batches hardly matters.
    return Evaluation(
        math.fsum(loss.item() for loss in losses) / count,
        sum(int(hit) for hit in hits) / count,
    )


def in_order(split: SplitLike, batch_size: int) -> Iterator[Batch]:
    """Mini-batches of a split, in the order of its images."""
    return zip(split.images.split(batch_size), split.labels.split(batch_size), strict=True)
