"""Gains: what weights must be multiplied by so that an activation keeps the size of a signal."""

import math

from initguide.theory.activations import Activation, Phi

__all__ = ["backward_gain", "gain"]


def gain(phi: Phi) -> float:
    """Forward gain, 1 / √E[φ(z)²] with z ~ N(0, 1).

    Weights of standard deviation gain / √fan_in keep the mean square of pre-activations at 1.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.

    Returns
    -------
    float
        The gain, to about ten digits for smooth functions and kinked ones.

    Raises
    ------
    ValueError
        If ``phi`` is not elementwise, if the moment is 0 or not finite (as for exp(z²)), or the
        name is unknown.
    TypeError
        If ``phi`` is not callable.

    Examples
    --------
    >>> import torch
    >>> round(gain(torch.tanh), 5), round(gain("selu"), 5)
    (1.59254, 1.0)
    """
    activation = Activation(phi)
    return _one_over_root(activation, activation.second(1.0), "phi")


def backward_gain(phi: Phi) -> float:
    """Backward gain, 1 / √E[φ'(z)²] with z ~ N(0, 1).

    Weights of standard deviation backward gain / √fan_out keep the mean square of gradients, where
    pre-activations have mean square 1. The derivative is what autograd gives: jumps do not count.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.

    Returns
    -------
    float
        The gain.

    Raises
    ------
    ValueError
        As for `gain`, or if autograd finds no derivative, or one that is 0 everywhere.
    TypeError
        If ``phi`` is not callable.

    Examples
    --------
    >>> import torch
    >>> round(backward_gain(torch.tanh), 5)
    1.46741
    """
    activation = Activation(phi)
    return _one_over_root(activation, activation.second(1.0, prime=True), "phi'")


def _one_over_root(activation: Activation, moment: float, symbol: str) -> float:
    if not moment > 0:
        raise ValueError(
            f"{symbol} is 0 everywhere for phi = {activation.name}: no gain makes up for that"
        )
    return 1 / math.sqrt(moment)
