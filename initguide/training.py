"""Train models on tensors in memory, and record what happened."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
        Index of the first mini-batch whose loss was NaN or infinite, or ``None``.
    seconds
        Wall-clock time of training and evaluation.
    """

    label: str
    seed: int
    train_losses: NDArray[np.float32]
    valid_loss: float
    valid_accuracy: float
    test_accuracy: float
    diverged_at: int | None
    seconds: float

    @property
    def diverged(self) -> bool:
        """Whether a loss of the run was NaN or infinite."""
        return self.diverged_at is not None
