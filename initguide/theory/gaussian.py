"""Moments of functions of normal numbers, E[f(x)²] and E[f(u) f(v)], by quadrature."""

import math

import numpy as np

from initguide.theory.quadrature import NODES, WEIGHTS, Array, Function, NoMoment, integrate

__all__ = ["mean_product", "mean_square", "stein_gap"]

_FARTHEST = 38.0  # the density of N(0, 1) is 1e-314 there
# Where activations tend to have kinks or bends. Kinks elsewhere are found by bisection.
_BENDS = np.array([0.125, 0.25, 0.5, 1, 2, 3, 4, 6, *(2.0 ** np.arange(3, 40))])


def mean_square(
    f: Function, q: float, tolerance: float, factor: Function | None = None
) -> tuple[float, list[float]]:
    """E[f(√q z)² factor(z)] with z ~ N(0, 1), and where f has its kinks and jumps.

    Parameters
    ----------
    f
        A function of each number of an array.
    q
        Variance of what f is applied to, above 0.
    tolerance
        Of the integral, relative.
    factor
        Another function, of z; 1 by default.

    Returns
    -------
    tuple
        The mean, and the places in f's own argument at which bisection went deep.

    Raises
    ------
    NoMoment
        If it is infinite or does not settle.

    Examples
    --------
    >>> round(mean_square(np.abs, 4.0, 1e-13)[0], 12)
    4.0
    """
    scale = math.sqrt(q)
    reach = _reach(f, scale)

    def density(z: Array) -> Array:
        half = f(scale * z) * np.exp(-(z**2) / 4)  # so that f² does not overflow
        return half**2 if factor is None else half**2 * factor(z)

    total, kinks = integrate(density, _edges(scale, reach), tolerance)
    return total / math.sqrt(2 * math.pi), [scale * z for z in kinks]


def mean_product(f: Function, q: float, c: float, kinks: list[float], tolerance: float) -> float:
    """E[f(u) f(v)] for normal u and v of variance q and correlation c.

    It integrates over z and w, where u = √q (a z + b w) and v = √q (a z − b w). For a given w,
    kinks of f at x are kinks of the integrand over z at (x ± √q b w) / √q a.

    Parameters
    ----------
    f
        A function of each number of an array, whose `mean_square` is finite.
    q
        The variance, above 0.
    c
        The correlation, in [-1, 1).
    kinks
        Where f has kinks and jumps, as `mean_square` finds them.
    tolerance
        Of the integral, relative; 1e-10 is the least.

    Returns
    -------
    float
        The mean.

    Raises
    ------
    NoMoment
        If the integral does not settle.
    """
    scale = math.sqrt(q)
    a, b = math.sqrt((1 + c) / 2), math.sqrt((1 - c) / 2)
    reach = _reach(f, scale)
    bends = _BENDS[scale * reach > _BENDS]
    bent = np.array(kinks)
    marks = np.concatenate([-bends, [0.0], bends, bent])
    grid = np.linspace(-reach, reach, 2 * math.ceil(reach / 1.5) + 1)

    def inner(w: Array) -> Array:
        """For each w, the integral over z."""
        shift = scale * b * w[:, None]
        if a < 1e-12:  # c = -1: u = -v whatever z
            u = shift
            both = f(u.ravel()) * f(-u.ravel())
            return math.sqrt(2 * math.pi) * both * np.exp(-(w**2) / 2)
        # Each w has panels of its own, between the kinks as they lie for it; one sum does all.
        edges = np.concatenate([marks - shift, marks + shift], axis=1) / (scale * a)
        edges = np.concatenate([edges, np.broadcast_to(grid, (len(w), len(grid)))], axis=1)
        edges = np.sort(np.clip(edges, -reach, reach), axis=1)
        half = np.diff(edges, axis=1) / 2
        row, column = np.nonzero(half > 1e-14)
        low, half = edges[row, column], half[row, column]
        z = (low + half)[:, None] + half[:, None] * NODES
        damping = np.exp(-(z**2 + w[row, None] ** 2) / 4)
        u = scale * a * z
        left = f((u + shift[row]).ravel()).reshape(z.shape) * damping
        right = f((u - shift[row]).ravel()).reshape(z.shape) * damping
        product = np.where(damping > 0, left * right, 0.0)  # 0 · ∞ far out is 0
        sums = np.bincount(row, half * (product @ WEIGHTS), minlength=len(w))
        return sums.astype(np.float64)

    edges = _edges(scale * b, reach, step=1.5)
    # Where a kink of f(u) meets one of f(v), the integral over z has a kink in w.
    meetings = np.abs(bent[:, None] - marks).ravel() / (2 * scale * b)
    edges = np.union1d(edges[edges >= 0], meetings[meetings < reach])
    total, _ = integrate(inner, edges, max(1e-10, tolerance))
    return total / math.pi  # half of the plane, twice, over 2π


def stein_gap(value: Function, slope: Function, tolerance: float) -> float:
    """abs(E[slope(z)] − E[z value(z)]), z ~ N(0, 1): 0 if slope is the derivative (Stein)."""
    reach = max(_reach(value, 1.0), _reach(slope, 1.0))
    edges = _edges(1.0, reach)

    def total(g: Function) -> float:
        return integrate(lambda z: g(z) * np.exp(-(z**2) / 2), edges, max(1e-10, tolerance))[0]

    return abs(total(slope) - total(lambda z: z * value(z))) / math.sqrt(2 * math.pi)


def _edges(scale: float, reach: float, *, step: float = 1.0) -> Array:
    """Ends of panels on [-reach, reach]: about one step apart, and at `_BENDS` / scale."""
    grid = np.linspace(0, reach, math.ceil(reach / step) + 1)
    bends = _BENDS / scale
    right = np.union1d(grid, bends[bends < reach])
    return np.concatenate([-right[:0:-1], right])


def _reach(f: Function, scale: float) -> float:
    """How many standard deviations of N(0, scale²) hold all of E[f²]; refuse where none do."""
    z = np.linspace(0.0, _FARTHEST, 610)[1:]
    values = np.maximum(np.abs(f(scale * z)), np.abs(f(-scale * z)))
    finite = np.isfinite(values)
    last = len(z) if finite.all() else int(finite.argmin())
    # exp and the like overflow far out, where it does not matter; before 8 deviations it does.
    if last == 0 or z[last - 1] < 8:
        raise NoMoment("its value is not a finite number", diverges=True)
    with np.errstate(divide="ignore"):
        logs = 2 * np.log(values[:last]) - z[:last] ** 2 / 2
    matters = np.flatnonzero(logs > logs.max() - 38)  # e^-38 is 3e-17
    if matters.size and matters[-1] == last - 1 and z[last - 1] > 9 and logs.max() > -700:
        raise NoMoment("it grows too fast", diverges=True)
    return float(max(9.0, z[matters[-1]] + 0.5)) if matters.size else 9.0
