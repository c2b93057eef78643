"""Weights of one distribution, whatever the layer."""

from torch import Generator, nn

from initguide.arguments import check_number
from initguide.initializers.scheme import Scheme, filling, initializer


@initializer
def uniform(low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None) -> Scheme:
    """Weights from U[low, high), whatever the layer.

    The standard deviation is ``(high - low) / √12``; the mean is not 0 unless ``low = -high``.

    Parameters
    ----------
    low, high
        The ends, finite, ``low`` below ``high``.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    low = check_number("low", low)
    high = check_number("high", high, above=low)
    return filling(
        "uniform",
        lambda layer: nn.init.uniform_(layer.weight, low, high, generator=generator),
        low=low,
        high=high,
    )


@initializer
def normal(std: float = 1.0, *, generator: Generator | None = None) -> Scheme:
    """Weights from N(0, std²), whatever the layer.

    Parameters
    ----------
    std
        The standard deviation (not the variance), above 0.
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    std = check_number("std", std, above=0)
    return filling(
        "normal",
        lambda layer: nn.init.normal_(layer.weight, 0.0, std, generator=generator),
        std=std,
    )


@initializer
def truncated_normal(
    std: float = 1.0, *, bound: float = 2.0, generator: Generator | None = None
) -> Scheme:
    """Weights from N(0, std²), redrawn where they are more than ``bound`` times ``std`` from 0.

    Cutting the tails off makes the weights narrower than ``std`` says: at 2 their standard
    deviation is 0.879626 times ``std``.

    Parameters
    ----------
    std
        The standard deviation before the tails are cut off, above 0.
    bound
        Where they are cut off, in units of ``std``, above 0. (The ``a`` and ``b`` of
        `torch.nn.init.trunc_normal_` are weights, not multiples of its ``std``.)
    generator
        Where the random numbers come from; torch's global generator if ``None``.
    """
    std = check_number("std", std, above=0)
    cut = check_number("bound", bound, above=0) * std
    return filling(
        "truncated_normal",
        lambda layer: nn.init.trunc_normal_(layer.weight, 0.0, std, -cut, cut, generator=generator),
        std=std,
        bound=bound,
    )
