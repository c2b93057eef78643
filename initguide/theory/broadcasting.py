"""Arguments of theory, numbers or arrays: what is allowed, and one call for each element."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from initguide.theory.quadrature import Array

__all__ = ["Numbers", "as_array", "checked", "over"]

Numbers = ArrayLike | Tensor

# What each of theory's arguments may be; another argument is another line.
_LIMITS: Mapping[str, tuple[Callable[[Array], Any], str]] = {
    "q": (lambda a: a >= 0, "a mean square, finite and at least 0"),
    "c": (lambda a: np.abs(a) <= 1, "a correlation, in [-1, 1]"),
    "sigma_w": (lambda a: a > 0, "a standard deviation, finite and above 0"),
    "sigma_b": (lambda a: a >= 0, "a standard deviation, finite and at least 0"),
    "bias": (lambda a: np.abs(a) >= 0, "finite"),
}


def as_array(name: str, value: Numbers) -> Array:
    """Turn a number, an array or a tensor of any type into a float64 array."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()  # NumPy has no bfloat16
        value = (value.double() if value.is_floating_point() else value).numpy()
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}; it must be a number or an array of them") from None
    return array


def checked(**arguments: Numbers) -> list[Array]:
    """Arrays of the arguments, all of whose numbers are allowed; the names are those of a call."""
    arrays = []
    for name, value in arguments.items():
        array = as_array(name, value)
        fits, allowed = _LIMITS[name]
        wrong = ~(np.isfinite(array) & fits(array))
        if wrong.any():
            first = repr(float(array[wrong].flat[0])).removesuffix(".0")  # all digits
            raise ValueError(f"{name} is {first}; it must be {allowed}")
        arrays.append(array)
    return arrays


def over(compute: Callable[..., float], **arguments: Numbers) -> Any:
    """Compute for numbers, or for every element of arrays that are broadcast.

    Examples
    --------
    >>> over(lambda q, w: q * w, q=2, sigma_w=[1, 3])
    array([2., 6.])
    """
    arrays = checked(**arguments)
    if all(array.ndim == 0 for array in arrays):
        return float(compute(*map(float, arrays)))
    try:
        together = np.broadcast_arrays(*arrays)
    except ValueError:
        shapes = ", ".join(f"{n} {a.shape}" for n, a in zip(arguments, arrays, strict=True))
        raise ValueError(f"these shapes do not go together: {shapes}") from None
    out = np.empty(together[0].shape)
    for index in np.ndindex(out.shape):
        out[index] = compute(*(float(array[index]) for array in together))
    return out
