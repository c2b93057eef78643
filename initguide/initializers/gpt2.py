"""GPT-2's start, for a transformer of any width."""

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from initguide.arguments import check_number
from initguide.initializers.fans import fans
from initguide.initializers.residual import residual_scaled
from initguide.initializers.scheme import Scheme, filling, initializer

_WIDTH, _STD = 768, 0.02  # of GPT-2 itself


@initializer
def gpt2(
    size: float = _WIDTH * _STD**2,
    *,
    embedding: float = _STD,
    factor: float | None = None,
    last: str | Sequence[str] | None = None,
) -> Scheme:
    """A transformer as GPT-2 was started (Radford et al. 2019), at any width.

    Layers have weights from N(0, size/d), where d is the smaller of fan-in and fan-out: the width
    of the stream, in attention and in the wider layers on each token. At GPT-2's width of 768 that
    is its N(0, 0.02²), which says nothing about other widths. Embeddings are N(0, embedding²), a
    head that shares its weight with one included. The last layer of each residual branch is
    multiplied by 1/√(number of branches), as by `residual_scaled`. Biases are 0.

    Parameters
    ----------
    size
        Width times variance, above 0.
    embedding
        Standard deviation of embeddings, above 0.
    factor
        Multiplies the last weights of each branch, above 0; 1 leaves them alone. ``None`` for
        1/√(number of branches), two a block.
    last
        A pattern of names in ``model.named_modules()``, or several: the last layer of each branch,
        as for `residual_scaled`, which also says for which blocks ``None`` will do.

    Raises
    ------
    ValueError
        If a number is out of range. By `initialize`: if no branch is recognised, or a pattern fits
        no layer.

    Examples
    --------
    >>> from initguide.initializers import initialize
    >>> from initguide.models import GPT
    >>> ends = ["blocks.*.branches.0.out", "blocks.*.branches.1.2"]
    >>> net = initialize(GPT(width=192, depth=2), gpt2(last=ends), seed=0)
    >>> attention = net.blocks[0].branches[0]
    >>> for layer in net.tokens, attention.qkv, attention.out:
    ...     print(f"{layer.weight.std():.2f}")
    0.02
    0.04
    0.02
    """
    size = check_number("size", size, above=0)
    embedding = check_number("embedding", embedding, above=0)

    def fill_weight(layer: Any) -> None:
        known = isinstance(layer, nn.Embedding)
        nn.init.normal_(
            layer.weight, 0.0, embedding if known else math.sqrt(size / min(fans(layer)))
        )

    layers = filling("gpt2", fill_weight)

    def fill(model: nn.Module) -> None:
        embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding)]
        shared = {id(m.weight) for m in embeddings}

        def base(module: nn.Module) -> None:
            # A tied head comes after the embedding, whose size it must not change.
            if module in embeddings or id(getattr(module, "weight", None)) not in shared:
                layers(module)

        residual_scaled(base, factor=factor, last=last).fill(model)

    ends = residual_scaled(layers, factor=factor, last=last)  # refuses what it does not understand
    settings = {"size": size, "embedding": embedding, "factor": factor, "last": last}
    arguments = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    return Scheme(f"gpt2({arguments})", fill, ends.accepts, ends.require)
