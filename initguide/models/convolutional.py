"""Convolutional networks: a small one, a plain deep one, and one with all kinds of fans."""

from collections.abc import Callable
from typing import Any

from torch import nn

__all__ = ["hourglass", "plain_cnn", "small_cnn"]


def small_cnn() -> nn.Sequential:
    """Two convolutions and a linear layer: images of 28 × 28 to ten scores.

    Examples
    --------
    >>> import torch
    >>> small_cnn()(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """
    return nn.Sequential(
        nn.Conv2d(1, 8, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        # 28 pixels, halved twice.
        nn.Linear(16 * 7 * 7, 10),
    )


def plain_cnn(
    activation: Callable[[], nn.Module] = nn.Tanh,
    channels: int = 16,
    *,
    depth: int = 50,
    pixels: int = 49,
) -> nn.Sequential:
    """Convolutions of 3 × 3 without normalization or shortcuts, and a linear layer.

    Parameters
    ----------
    activation
        Makes the activation behind each convolution.
    channels
        Of each convolution.
    depth
        How many convolutions there are.
    pixels
        Of an image, which all of them keep: 49 for 7 × 7.

    Examples
    --------
    >>> import torch
    >>> plain_cnn(depth=3)(torch.zeros(5, 1, 7, 7)).shape
    torch.Size([5, 10])
    """
    parts: list[nn.Module] = []
    for i in range(depth):
        parts += [nn.Conv2d(channels if i else 1, channels, 3, padding=1), activation()]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(channels * pixels, 10))


def hourglass(channels: int = 64, *, separable: int = 8, transposed: int = 4) -> nn.Sequential:
    """Depthwise-separable blocks, then transposed convolutions that double the image.

    A network in which fan-ins differ from what the shapes of the weights suggest. The padding is
    circular, since at a border of zeros a fan-in would be smaller.

    Parameters
    ----------
    channels
        Of the blocks; each transposed convolution halves them.
    separable
        How many blocks there are: 3 × 3 on each channel, then 1 × 1 across them.
    transposed
        How many transposed convolutions of 2 × 2 there are.

    Examples
    --------
    >>> import torch
    >>> hourglass(8, separable=2, transposed=2)(torch.zeros(5, 1, 7, 7)).shape
    torch.Size([5, 2, 28, 28])
    """
    around: dict[str, Any] = {"padding": 1, "padding_mode": "circular"}
    n = channels
    parts: list[nn.Module] = [nn.Conv2d(1, n, 3, **around)]
    for _ in range(separable):
        parts += [nn.Conv2d(n, n, 3, groups=n, **around), nn.Conv2d(n, n, 1)]
    for i in range(transposed):
        parts.append(nn.ConvTranspose2d(n // 2**i, n // 2 ** (i + 1), 2, stride=2))
    return nn.Sequential(*(step for part in parts for step in (part, nn.ReLU())))
