"""Arguments that many functions have, and what they may be."""

from numbers import Integral

__all__ = ["check_whole"]


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
