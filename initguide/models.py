"""The lesson's network."""

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor, nn


class Net(nn.Module):
    """The lesson's classifier: 784 → ``hidden_1`` → ``hidden_2`` → 10, with ReLU and dropout.

    Parameters
    ----------
    hidden_1, hidden_2
        Units in the two hidden layers, at least 1 each.
    constant_weight
        Fill every weight with this number and every bias with 0. ``None`` leaves the layers as
        PyTorch initializes them.
    dropout
        The probability, in [0, 1), with which a hidden unit is left out of a training step.
        0 trains without dropout.

    Raises
    ------
    ValueError
        If a width is below 1 or ``dropout`` is outside [0, 1).

    Examples
    --------
    >>> import torch
    >>> net = Net()
    >>> net(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    >>> sum(p.numel() for p in net.parameters())
    235146
    """

    def __init__(
        self,
        hidden_1: int = 256,
        hidden_2: int = 128,
        constant_weight: float | None = None,
        *,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        for name, width in (("hidden_1", hidden_1), ("hidden_2", hidden_2)):
            if width < 1:
                raise ValueError(f"{name} is {width!r}; a layer needs at least 1 unit")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout!r}; it must be at least 0 and below 1")
        self.fc1 = nn.Linear(28 * 28, hidden_1)
        self.fc2 = nn.Linear(hidden_1, hidden_2)
        self.fc3 = nn.Linear(hidden_2, 10)
        self.dropout = nn.Dropout(dropout)
        if constant_weight is not None:
            for layer in (self.fc1, self.fc2, self.fc3):
                nn.init.constant_(layer.weight, constant_weight)
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (logits) for a batch of images.

        Parameters
        ----------
        images
            (N, 1, 28, 28), or any shape that flattens to 784 numbers an image.

        Returns
        -------
        Tensor
            (N, 10), one unnormalized score a class.
        """
        x = torch.flatten(images, start_dim=1)
        x = self.dropout(F.relu(self.fc1(x)))
        x = self.dropout(F.relu(self.fc2(x)))
        return self.fc3(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped
