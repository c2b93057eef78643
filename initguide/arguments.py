"""Arguments that many functions have, and what they may be."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TypeVar, cast

import numpy as np

__all__ = ["check_choice", "check_number", "check_whole"]

Choice = TypeVar("Choice")


def check_whole(name: str, value: object, least: int) -> int:
    """Refuse what is not a whole number in a range, naming the argument and the range.

    Parameters
    ----------
    name
        What the argument is called.
    value
        What came.
    least
        The smallest number that is allowed; the largest is 2⁶³ − 1, as for torch.

    Returns
    -------
    int
        The number.

    Raises
    ------
    ValueError
        If it is not one, or out of the range.

    Examples
    --------
    >>> check_whole("epochs", 0, 1)
    Traceback (most recent call last):
    ValueError: epochs is 0; it must be a whole number, at least 1
    """
    # A bool counts as a number in Python, but nobody means it as one.
    number = None if isinstance(value, bool) or not isinstance(value, Integral) else int(value)
    if number is None or number < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, at least {least}")
    if number >= 2**63:
        raise ValueError(f"{name} is {value!r}; it must be below 2⁶³")
    return number


def check_number(
    name: str, value: object, *, above: float = -math.inf, below: float = math.inf
) -> float:
    """Refuse what is not a finite number strictly between two ends, naming both.

    Parameters
    ----------
    name
        What the argument is called.
    value
        What came.
    above, below
        The ends, which are not allowed themselves; infinite where there is none.

    Returns
    -------
    float
        The number, as one of Python's own.

    Raises
    ------
    TypeError
        If it is no number at all.
    ValueError
        If it is not finite, or out of the range.

    Examples
    --------
    >>> check_number("std", -1, above=0)
    Traceback (most recent call last):
    ValueError: std is -1; it must be finite and above 0
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; it must be a number")
    plain = cast(float, value.item() if isinstance(value, np.generic) else value)
    try:
        fits = math.isfinite(plain) and above < plain < below
    except OverflowError:  # a whole number that no float can hold
        fits = False
    if not fits:
        bounds = {f"above {above:g}": above, f"below {below:g}": below}
        allowed = [words for words, end in bounds.items() if math.isfinite(end)]
        if len(allowed) < 2:
            allowed.insert(0, "finite")
        raise ValueError(f"{name} is {value!r}; it must be {' and '.join(allowed)}")
    return plain


def check_choice(name: str, value: Choice, allowed: Sequence[object]) -> Choice:
    """Refuse what is not one of a few values, listing them.

    Parameters
    ----------
    name
        What the argument is called.
    value
        What came.
    allowed
        What may come.

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> check_choice("mode", "fan", ("fan_in", "fan_out"))
    Traceback (most recent call last):
    ValueError: mode is 'fan'; it must be one of 'fan_in', 'fan_out'
    """
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, allowed))}")
    return value
