"""Train on somebody's own mini-batches, such as a DataLoader gives.

This is apart from `loop`: the loader decides about order and end of the data, the optimizer is
given, and dropout draws from torch's global generator as ever. The two would share no more than the
loop over batches, six lines.
"""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import NDArray
from torch import Tensor, nn

from initguide.training.processor import device_of
from initguide.training.run import Batch, Stop

__all__ = ["fit"]


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    stop: Stop | None = None,
) -> NDArray[np.float32]:
    """Train in place on the batches, once each in the order given, with the cross-entropy loss.

    Parameters
    ----------
    model
        Takes (n, …) images to (n, classes) scores; left in training mode.
    batches
        Pairs of images and labels: a DataLoader, or any other iterable.
    optimizer
        Holds the model's parameters.
    stop
        Training ends early when somebody sets this event, such as a `threading.Event`.

    Returns
    -------
    numpy.ndarray
        (batches,) float32: the loss of each batch, before the step that it causes. Training ends
        within 16 batches of a loss that is NaN or infinite, and the array ends with that loss.
    """
    model.train()
    device = device_of(model)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    losses: list[Tensor] = []
    for images, labels in batches:
        loss = F.cross_entropy(model(images.to(device)), labels.to(device))
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        optimizer.step()
        # The number stays in its tensor: reading it would make a GPU wait for every batch.
        losses.append(loss.detach())
        if len(losses) % 16 == 0 and (
            not torch.stack(losses[-16:]).isfinite().all() or (stop and stop.is_set())
        ):
            break
    recorded = torch.stack(losses).float().cpu().numpy() if losses else np.empty(0, np.float32)
    bad = np.flatnonzero(~np.isfinite(recorded))
    return recorded[: bad[0] + 1] if len(bad) else recorded
