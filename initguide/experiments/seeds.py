"""Which seeds the runs of a call have."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import cast


def seed_list(seeds: int | Iterable[int]) -> list[int]:
    """The seeds, given how many or which.

    Parameters
    ----------
    seeds
        How many, at least 1: they are then 0, 1, 2, …. Or the seeds themselves.

    Raises
    ------
    ValueError
        If there is none, one stands there twice, or something else is no whole number.

    Examples
    --------
    >>> seed_list(3), seed_list([7, 1])
    ([0, 1, 2], [7, 1])
    """

    def whole(number: object) -> bool:
        return isinstance(number, Integral) and not isinstance(number, bool)

    given = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str) else seeds
    if whole(given):
        given = list(range(cast(int, given)))
    if (
        not isinstance(given, list)
        or not given
        or not all(map(whole, given))
        or len(set(given)) < len(given)
    ):
        raise ValueError(
            f"seeds is {seeds!r}; it must be how many, at least 1, or a list of different numbers"
        )
    return [int(seed) for seed in given]


def in_ranges(numbers: Sequence[int]) -> str:
    """Seeds in words: 0, 1, 2, … by their ends.

    Examples
    --------
    >>> in_ranges([0, 1, 2]), in_ranges([7, 1])
    ('0 to 2', '7, 1')
    """
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
