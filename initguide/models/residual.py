"""Residual networks of fully connected blocks: x + branch(x)."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["FixupBlock", "ResidualBlock", "residual_net"]


class ResidualBlock(nn.Module):
    """x + branch(x), with a ReLU (and perhaps a normalization) before each of two layers.

    Pre-activation, so that nothing stands on the way from one sum to the next (He et al. 2016).

    Parameters
    ----------
    width
        Units of the stream, and of the branch.
    norm
        Makes a normalization of ``width`` units, such as `torch.nn.LayerNorm`; none if ``None``.

    Examples
    --------
    >>> [name for name, _ in ResidualBlock(8, nn.LayerNorm).branch.named_children()]
    ['norm0', 'relu0', 'first', 'norm1', 'relu1', 'last']
    """

    def __init__(self, width: int, norm: Callable[[int], nn.Module] | None = None) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for number, name in enumerate(("first", "last")):
            if norm is not None:
                parts[f"norm{number}"] = norm(width)
            parts[f"relu{number}"] = nn.ReLU()
            parts[name] = nn.Linear(width, width)
        self.branch = nn.Sequential(parts)
        self.sum = nn.Identity()  # a module, so that what watches layers sees the stream

    def forward(self, x: Tensor) -> Tensor:
        """Sum of the input and the branch: (N, width) to the same."""
        return self.sum(x + self.branch(x))  # type: ignore[no-any-return]  # nn.Module is untyped


class FixupBlock(nn.Module):
    """x + scale · branch(x), with a number added before each ReLU and each layer.

    The block of Fixup (Zhang et al. 2019), which trains deep residual networks without
    normalization: what batch norm adds and multiplies, as single numbers.

    Parameters
    ----------
    width
        Units of the stream, and of the branch.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width, bias=False)
        self.last = nn.Linear(width, width, bias=False)
        self.add = nn.Parameter(torch.zeros(4))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Sum of the input and the scaled branch: (N, width) to the same."""
        h: Tensor = self.first(torch.relu(x + self.add[0]) + self.add[1])
        h = self.last(torch.relu(h + self.add[2]) + self.add[3])
        return x + self.scale * h


def residual_net(
    block: Callable[..., nn.Module] = ResidualBlock,
    *,
    inputs: int = 196,
    width: int = 64,
    depth: int = 24,
    **settings: Any,
) -> nn.Sequential:
    """Classifier of images: a linear layer, blocks, and a linear layer.

    Parameters
    ----------
    block
        Makes a block, called as ``block(width, **settings)``: `ResidualBlock` or `FixupBlock`.
    inputs
        Pixels of an image: 196 for 14 × 14.
    width
        Units of the stream.
    depth
        How many blocks there are.
    **settings
        For every block.

    Returns
    -------
    nn.Sequential
        ``flatten``, ``stem``, ``blocks``, ``relu`` and ``head``, which gives ten scores.

    Examples
    --------
    >>> net = residual_net(width=8, depth=2, norm=nn.BatchNorm1d)
    >>> net(torch.zeros(5, 1, 14, 14)).shape
    torch.Size([5, 10])
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            stem=nn.Linear(inputs, width),
            blocks=nn.Sequential(*(block(width, **settings) for _ in range(depth))),
            # Each block begins with its activation, so the end of the stream has none yet.
            relu=nn.ReLU(),
            head=nn.Linear(width, 10),
        )
    )
