"""Inputs that are drawn, and answers that can be learnt from them."""

import torch
from torch import Tensor


def vectors(number: int = 64, width: int = 16) -> tuple[Tensor, Tensor]:
    """Draw vectors, and four classes by the signs of two coordinates."""
    x = torch.randn(number, width)
    return x, (x[:, 0] > 0).long() * 2 + (x[:, 1] > 0).long()


def tokens(number: int = 16, length: int = 12, width: int = 32) -> tuple[Tensor, Tensor]:
    """Draw sequences of vectors, and four classes by signs, one for each position."""
    x = torch.randn(number, length, width)
    return x, (x[..., 0] > 0).long() * 2 + (x[..., 1] > 0).long()


def pictures(number: int = 32) -> tuple[Tensor, Tensor]:
    """Draw images, and four classes by the means of two channels."""
    x = torch.randn(number, 3, 12, 12) + torch.randn(number, 3, 1, 1)
    means = x.mean(dim=(2, 3))
    return x, (means[:, 0] > 0).long() * 2 + (means[:, 1] > 0).long()
