"""The lesson's network, and the plain deep one that other pages share."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise

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
            (N, 1, 28, 28), or any shape that flattens to 784 numbers per image.

        Returns
        -------
        Tensor
            (N, 10), one unnormalized score per class.
        """
        # Compiled training steps follow this order: `initguide.training.engine.layers` has it once
        # more.
        x = torch.flatten(images, start_dim=1)
        x = self.dropout(F.relu(self.fc1(x)))
        x = self.dropout(F.relu(self.fc2(x)))
        return self.fc3(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


def mlp(
    widths: Sequence[int],
    activation: Callable[[], nn.Module] = nn.ReLU,
    *,
    bias: bool = True,
    norm: Callable[[int], nn.Module] | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Fully connected network of any depth, with a name for each layer.

    Parameters
    ----------
    widths
        Numbers of inputs, of units of each hidden layer, and of outputs: ``[784, 256, 128, 10]``.
    activation
        Makes the activation behind each hidden layer when it is called: ``nn.Tanh``, or
        ``nn.Identity`` for a linear network.
    bias
        Whether the layers have biases.
    norm
        Makes a normalization of so many units behind each hidden layer, before its activation:
        ``nn.BatchNorm1d``. None if ``None``.
    dropout
        The probability, in [0, 1), with which a hidden unit is left out of a training step.

    Returns
    -------
    nn.Sequential
        ``flatten``, then ``fc1`` (``norm1``), ``act1`` (``drop1``), ``fc2`` and so on; nothing
        after the last ``fc``. The layers are as PyTorch initializes them.

    Raises
    ------
    ValueError
        If there are fewer than two widths, a width is below 1, or ``dropout`` is outside [0, 1).
    TypeError
        If ``activation`` is a module and not what makes one.

    Examples
    --------
    >>> net = mlp([784, 50, 10], nn.Tanh)
    >>> [name for name, _ in net.named_children()]
    ['flatten', 'fc1', 'act1', 'fc2']
    >>> net(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """
    if len(widths) < 2:
        raise ValueError(f"widths is {widths!r}; give the inputs and the outputs at least")
    if bad := [width for width in widths if width < 1]:
        raise ValueError(f"widths holds {bad[0]!r}; a layer needs at least 1 unit")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout!r}; it must be at least 0 and below 1")
    if isinstance(activation, nn.Module):
        raise TypeError(
            f"activation is one {type(activation).__name__}; it must make a new one for each "
            f"layer: give the class, or a function such as lambda: {type(activation).__name__}(...)"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for i, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
        layers[f"fc{i}"] = nn.Linear(fan_in, fan_out, bias=bias)
        if i < len(widths) - 1:
            if norm is not None:
                layers[f"norm{i}"] = norm(fan_out)
            layers[f"act{i}"] = activation()
            if dropout:
                layers[f"drop{i}"] = nn.Dropout(dropout)
    return nn.Sequential(layers)
