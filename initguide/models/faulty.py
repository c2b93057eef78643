"""A network with planted faults, for the check-up to find."""

import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor, nn

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Three convolutions, six hidden layers and a head, initialized as well-meaning people do.

    Images of 28 × 28 to ten scores. The faults: a convolution of equal weights, a bias that keeps
    units shut, a deep body of small weights, and a head of large ones.

    Examples
    --------
    >>> import torch
    >>> Classifier()(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.project = nn.Linear(32 * 4 * 4, 64)
        self.body = nn.ModuleList(nn.Linear(64, 64) for _ in range(5))
        self.head = nn.Linear(64, 10)
        self.reset()

    def reset(self) -> None:
        """Plant the faults."""
        for layer in (self.conv1, self.conv3):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.constant_(self.conv2.weight, 1 / 72)  # "start as an average": equal channels
        nn.init.constant_(self.project.bias, -3.0)  # "only strong features pass": dead units
        # With 64 inputs, He's rule is a standard deviation of √(2 / 64) = 0.18.
        for name, parameter in self.body.named_parameters():
            if name.endswith("weight"):
                nn.init.normal_(parameter, std=0.01)  # "small random numbers": a vanishing signal
            else:
                nn.init.zeros_(parameter)
        nn.init.normal_(self.head.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores: (N, 1, 28, 28) to (N, 10)."""
        x = F.relu(self.conv1(images))
        x = F.relu(self.conv2(x))
        x = F.relu(self.conv3(x))
        x = F.relu(self.project(x.flatten(start_dim=1)))
        for layer in self.body:
            x = F.relu(layer(x))
        return self.head(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped
