"""How unequally a network treats directions: the spread of the Jacobian's singular values."""

import numpy as np

from initguide.arguments import check_whole
from initguide.theory.activations import TINY, Activation, Phi
from initguide.theory.broadcasting import checked
from initguide.theory.gaussian import mean_square
from initguide.theory.quadrature import Array

__all__ = ["jacobian_spread"]


def jacobian_spread(
    phi: Phi,
    sigma_w: float,
    depth: int,
    sigma_b: float = 0.0,
    *,
    q: float = 1.0,
    orthogonal: bool = False,
) -> Array:
    """Relative variance of the squared singular values of a Jacobian, after each layer.

    The Jacobian of a network of linear layers with activations between them is a product of weight
    matrices and of diagonal matrices of slopes. If the layers are square, wide and independent,
    the relative variances of the factors' squared singular values add up (Pennington, Schoenholz
    & Ganguli 2017, arXiv:1711.04735): a Gaussian matrix adds 1, an orthogonal one 0, and the slopes
    add E[φ'⁴] / E[φ'²]² − 1, at the length that the signal has there. It is 0 under dynamical
    isometry.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one. It stands behind each
        layer but the last.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0; of orthogonal ones, the gain.
    depth
        How many linear layers, at least 1.
    sigma_b
        Standard deviation of the biases, at least 0.
    q
        Mean square of the inputs, at least 0.
    orthogonal
        Whether the weights are orthogonal, not Gaussian.

    Returns
    -------
    ndarray
        (depth,) float64: for networks of 1, 2, ..., ``depth`` layers, at least 0.

    Raises
    ------
    ValueError
        If a number is out of range or an array, ``phi`` is not elementwise, a moment is not finite,
        the derivative that autograd gives does not add up to ``phi``, as where it jumps, or ``phi``
        is constant, so that the Jacobian is 0.

    Examples
    --------
    >>> import torch
    >>> jacobian_spread(torch.relu, 2**0.5, 4).round(6)
    array([1., 3., 5., 7.])
    >>> jacobian_spread(torch.relu, 2**0.5, 4, orthogonal=True).round(6)
    array([0., 1., 2., 3.])
    """
    activation = Activation(phi)
    activation.check_slope()
    depth = check_whole("depth", depth, 1)
    numbers = {"q": q, "sigma_w": sigma_w, "sigma_b": sigma_b}
    arrays = checked(**numbers)
    for name, array in zip(numbers, arrays, strict=True):
        if array.ndim:
            raise ValueError(f"{name} is an array of shape {array.shape}; it must be one number")
    length, w, b = map(float, arrays)
    length = w**2 * length + b**2
    adds = [0.0]  # in front of the first layer there are no slopes
    while len(adds) < depth:
        near = max(length, TINY)  # the slope at 0 is the limit of those near it
        second = activation.second(near, prime=True)
        if not second:
            raise ValueError(
                f"phi ({activation.name}) has no slope for x ~ N(0, {near:g}), so the Jacobian is "
                "0 and has no relative spread; give an activation that is not constant"
            )
        fourth, _ = mean_square(lambda x: activation.slope(x) ** 2, near, activation.tolerance)
        adds.append(max(0.0, fourth / second**2 - 1))  # below 0 by rounding only
        length = w**2 * activation.second(length) + b**2
    return np.cumsum(adds) + (0.0 if orthogonal else np.arange(1.0, depth + 1))
