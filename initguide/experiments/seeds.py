"""Which seeds the runs of a call have."""

from collections.abc import Iterable
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
