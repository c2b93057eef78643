"""Fully connected networks of hidden layers that are more than an affine map and an activation."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from initguide.arguments import check_choice

__all__ = ["Gated", "Maxout", "Normalized", "NormalizedMLP", "of_blocks"]


class Gated(nn.Module):
    """A linear layer, times the sigmoid of another (a gated linear unit, Dauphin et al. 2017).

    Parameters
    ----------
    inputs, units
        How many there are.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(inputs, units), nn.Linear(inputs, units)

    def forward(self, x: Tensor) -> Tensor:
        """Values, as far as their gates are open: (N, inputs) to (N, units)."""
        value: Tensor = self.value(x)
        return value * torch.sigmoid(self.gate(x))


class Maxout(nn.Module):
    """The larger one of two linear functions for each unit (Goodfellow et al. 2013).

    Parameters
    ----------
    inputs, units
        How many there are.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 2 * units)

    def forward(self, x: Tensor) -> Tensor:
        """Maxima: (N, inputs) to (N, units)."""
        found: Tensor = self.linear(x)
        return torch.amax(found.unflatten(1, (-1, 2)), 2)


class Normalized(nn.Module):
    """A linear layer, batch norm and ReLU.

    Parameters
    ----------
    inputs, units
        How many there are.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, units), nn.BatchNorm1d(units)

    def forward(self, x: Tensor) -> Tensor:
        """Activations: (N, inputs) to (N, units)."""
        found: Tensor = self.norm(self.linear(x))
        return found.relu()


def of_blocks(
    block: Callable[[int, int], nn.Module], depth: int = 8, *, inputs: int = 196, units: int = 100
) -> nn.Sequential:
    """Classifier with hidden layers of one's own making.

    Parameters
    ----------
    block
        Makes a hidden layer, called as ``block(inputs, units)``: `Gated`, say.
    depth
        How many there are.
    inputs
        Pixels of an image: 196 for 14 × 14.
    units
        Of each hidden layer.

    Examples
    --------
    >>> of_blocks(Maxout, 3)(torch.zeros(5, 1, 14, 14)).shape
    torch.Size([5, 10])
    """
    hidden = [block(inputs if i == 0 else units, units) for i in range(depth)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(units, 10))


_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda _: nn.Identity(),
    # Running averages belong to one network, so they could not be trained side by side.
    "batch": lambda units: nn.BatchNorm1d(units, track_running_stats=False),
    "layer": nn.LayerNorm,
    "group": lambda units: nn.GroupNorm(4, units),
    "RMS": nn.RMSNorm,
}


class NormalizedMLP(nn.Module):
    """Three hidden layers of ReLU with a normalization before each, no biases, ten scores.

    Parameters
    ----------
    norm
        ``"batch"`` (by the batch in evaluation mode, too), ``"layer"``, ``"group"`` (four groups),
        ``"RMS"`` or ``"none"``; or what makes a normalization of so many units, such as
        `torch.nn.BatchNorm1d`.
    width
        Units of each hidden layer.
    inputs
        Numbers of an image, which comes flattened.

    Raises
    ------
    ValueError
        If there is no normalization of that name.

    Examples
    --------
    >>> NormalizedMLP("layer")(torch.zeros(5, 196)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self, norm: str | Callable[[int], nn.Module], *, width: int = 48, inputs: int = 196
    ) -> None:
        super().__init__()
        if isinstance(norm, str):
            norm = _NORMS[check_choice("norm", norm, list(_NORMS))]
        self.first, self.second, self.third = (
            nn.Sequential(nn.Linear(n, width, bias=False), norm(width), nn.ReLU())
            for n in (inputs, width, width)
        )
        self.head = nn.Linear(width, 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores: (N, inputs) to (N, 10)."""
        return self.head(self.third(self.second(self.first(x))))  # type: ignore[no-any-return]
