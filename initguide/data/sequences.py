"""Images as sequences of grey levels, for a network that predicts each pixel from those before."""

from typing import Any, NamedTuple

import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor

from initguide.arguments import check_whole


class Tokens(NamedTuple):
    """Sequences, and what comes next at each place.

    Attributes
    ----------
    images
        (N, T) whole numbers: the token that marks the start, then all pixels but the last.
    labels
        (N, T) whole numbers: the pixels.
    """

    images: Tensor
    labels: Tensor


class Sequences(NamedTuple):
    """The three parts of a data set as tokens; what `initguide.compare_init_weights` takes.

    Attributes
    ----------
    train, valid, test
        Each with ``images`` and ``labels``, both (N, T).
    """

    train: Tokens
    valid: Tokens
    test: Tokens


def as_sequences(data: Any, *, levels: int = 16, side: int = 7) -> Sequences:
    """Read each image as a sequence of pixels, for `initguide.models.GPT` to predict.

    Images are averaged down to ``side`` × ``side`` pixels, and these rounded down to one of
    ``levels`` grey levels, row by row.

    Parameters
    ----------
    data
        What `fashion_mnist` returns, or anything with the same three splits, whose images are
        (N, 1, height, width) with numbers in [0, 1].
    levels
        How many grey levels, at least 2. The next number, ``levels`` itself, marks the start.
    side
        Pixels in a row and in a column, at least 1. Sequences have T = side².

    Returns
    -------
    Sequences
        The labels of ``data`` play no part.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> from initguide import fashion_mnist
    >>> tokens = as_sequences(fashion_mnist(source="sample").subset(train=5)).train
    >>> tokens.images.shape, tokens.images[0, 0].item()
    (torch.Size([5, 49]), 16)
    """
    levels, side = check_whole("levels", levels, 2), check_whole("side", side, 1)

    def tokens(images: Tensor) -> Tokens:
        grey = F.adaptive_avg_pool2d(images, side).flatten(1)
        labels = (grey * levels).long().clamp(max=levels - 1)  # white, 1.0, is the last level
        return Tokens(F.pad(labels[:, :-1], (1, 0), value=levels), labels)

    return Sequences(*(tokens(split.images) for split in (data.train, data.valid, data.test)))
