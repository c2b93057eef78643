"""Constant weights."""

from torch import nn

from initguide.arguments import check_number
from initguide.initializers.scheme import Scheme, filling, initializer


@initializer
def zeros() -> Scheme:
    """Every weight 0: only the biases of the last layer ever get a gradient."""
    return filling("zeros", lambda layer: nn.init.zeros_(layer.weight))


@initializer
def ones() -> Scheme:
    """Every weight 1: equal units, and outputs that grow by the fan-in at every layer."""
    return filling("ones", lambda layer: nn.init.ones_(layer.weight))


@initializer
def constant(value: float) -> Scheme:
    """Every weight the same number.

    All units of a layer then compute the same, and get the same gradient: they stay equal.

    Parameters
    ----------
    value
        The number, finite.
    """
    value = check_number("value", value)
    return filling("constant", lambda layer: nn.init.constant_(layer.weight, value), value=value)
