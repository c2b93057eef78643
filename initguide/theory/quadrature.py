"""Integrals of any function over an interval, by panels that are bisected where it bends.

Panels of Gauss-Legendre nodes are bisected until halves agree with the whole, so that kinks and
jumps are resolved where they are. What is much narrower than the first panels can be missed.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["NODES", "WEIGHTS", "Array", "Function", "NoMoment", "integrate"]

Array = NDArray[np.float64]
Function = Callable[[Array], Array]  # of each number of a 1-D array

# 15 nodes integrate polynomials up to degree 29 exactly; smooth integrands take one or two levels.
NODES, WEIGHTS = (np.asarray(a) for a in np.polynomial.legendre.leggauss(15))
# Values at the two ends of a panel, of the polynomial through the values at its nodes.
_ENDS = np.polynomial.legendre.legvander(np.array([-1.0, 1.0]), 14) @ np.linalg.inv(
    np.polynomial.legendre.legvander(NODES, 14)
)
_INSIDE = np.array([-1 + 1e-9, 1 - 1e-9])


class NoMoment(ValueError):  # noqa: N818  says why, and is raised as a ValueError
    """A moment that cannot be computed; ``diverges`` where it is known to be infinite."""

    def __init__(self, reason: str, *, diverges: bool = False) -> None:
        super().__init__(reason)
        self.diverges = diverges


def integrate(f: Function, edges: Array, tolerance: float) -> tuple[float, list[float]]:
    """Integrate, bisecting panels until the halves agree with the whole.

    Parameters
    ----------
    f
        A function of each number of an array.
    edges
        (panels + 1,) ends of the first panels, ascending.
    tolerance
        Largest disagreement between halves and whole, relative to the integral of abs(f).

    Returns
    -------
    tuple
        The integral, and where the bisection went deep: the kinks and jumps of ``f``.

    Raises
    ------
    NoMoment
        If the halves never agree, as at a pole.

    Examples
    --------
    >>> value, kinks = integrate(np.abs, np.array([-0.4, 1.0]), 1e-13)
    >>> round(value, 12), abs(kinks[0]) < 1e-3
    (0.58, True)
    """
    low, high = edges[:-1], edges[1:]
    whole, _ = _panels(f, low, high)
    done = size = error = 0.0
    kinks: list[tuple[float, float]] = []
    for level in range(120):
        middle = low + (high - low) / 2
        (left, a), (right, b) = _panels(f, low, middle), _panels(f, middle, high)
        both = left + right
        with np.errstate(invalid="ignore"):
            off = np.abs(both - whole)
        total = size + np.abs(both).sum()
        # Written so that NaN is bad, too.
        bad = ~((off <= tolerance * total) & (a + b <= max(1e-9, tolerance) * total))
        # Between neighbouring floats there is nothing to bisect: a jump's last panel.
        bad &= (high - low) > 1e-15 * np.maximum(np.abs(low), np.abs(high))
        done += both[~bad].sum()
        size += np.abs(both[~bad]).sum()
        error += off[~bad].sum()
        if level > 12:  # a smooth function has settled long before
            kinks += zip(middle[~bad].tolist(), (high - low)[~bad].tolist(), strict=True)
        if not bad.any():
            break
        if bad.sum() > 4000:  # rough everywhere: bisection would double the work without end
            raise NoMoment("the integral does not settle")
        whole = np.concatenate([left[bad], right[bad]])
        low, high = (
            np.concatenate([low[bad], middle[bad]]),
            np.concatenate([middle[bad], high[bad]]),
        )
    else:
        raise NoMoment("the integral does not settle")
    if not error <= max(1e-8, 100 * tolerance) * size:
        raise NoMoment("the integral does not settle")
    return float(done), _merged(kinks)


def _panels(f: Function, low: Array, high: Array) -> tuple[Array, Array]:
    """Gauss-Legendre on every panel.

    Returns
    -------
    tuple
        (panels,) integrals, and what a jump between an end and the nearest node would add to each:
        the nodes alone do not see it.
    """
    half = ((high - low) / 2)[:, None]
    points = low[:, None] + half + half * np.concatenate([NODES, _INSIDE])
    with np.errstate(over="ignore", invalid="ignore"):  # told by the caller: it does not settle
        values = f(points.ravel()).reshape(points.shape)
        inner, ends = values[:, :-2], values[:, -2:]
        hidden = np.abs(inner @ _ENDS.T - ends).max(1) * half[:, 0] * (1 + NODES[0])
        return half[:, 0] * (inner @ WEIGHTS), hidden


def _merged(panels: list[tuple[float, float]]) -> list[float]:
    """One place for each cluster of small panels, given by middle and width: the smallest one's."""
    kept: list[tuple[float, float]] = []
    for middle, width in sorted(panels):
        if kept and middle - kept[-1][0] < 1e-2 * max(1.0, abs(middle)):
            kept[-1] = min(kept[-1], (middle, width), key=lambda panel: panel[1])
        else:
            kept.append((middle, width))
    return [middle for middle, _ in kept]
