"""Standard deviations that rules give a layer's weights, and those that come of mistaking them."""

from math import sqrt

from initguide.exercises.trial import Layer


def lecun(layer: Layer) -> float:
    """1/√n, n the fan-in."""
    return 1 / sqrt(layer.fans.fan_in)


def lecun_variance(layer: Layer) -> float:
    """1/n, which is the variance of `lecun`."""
    return 1 / layer.fans.fan_in


def lecun_fan_out(layer: Layer) -> float:
    """1/√n with the fan-out."""
    return 1 / sqrt(layer.fans.fan_out)


def general(layer: Layer) -> float:
    """1/√(3n): the general rule, U(−1/√n, 1/√n)."""
    return 1 / sqrt(3 * layer.fans.fan_in)


def general_fan_out(layer: Layer) -> float:
    """1/√(3n) with the fan-out."""
    return 1 / sqrt(3 * layer.fans.fan_out)


def he(layer: Layer) -> float:
    """√(2/n)."""
    return sqrt(2 / layer.fans.fan_in)


def he_variance(layer: Layer) -> float:
    """2/n, which is the variance of `he`."""
    return 2 / layer.fans.fan_in


def he_fan_out(layer: Layer) -> float:
    """√(2/n) with the fan-out."""
    return sqrt(2 / layer.fans.fan_out)


def xavier(layer: Layer) -> float:
    """√(2/(fan-in + fan-out))."""
    return sqrt(2 / sum(layer.fans))
