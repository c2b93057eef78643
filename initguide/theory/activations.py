"""Elementwise functions, and their moments under a normal distribution, by quadrature.

The ground on which `initguide.theory` stands: an `Activation` is a checked function of each number
of a tensor, with E[φ(x)²] and E[φ(u) φ(v)] for normal x, u and v, and the same of its derivative.
Panels of Gauss-Legendre nodes are bisected until halves agree with the whole, so that kinks and
jumps are resolved where they are; what is much narrower than the first panels, a standard deviation
or less wide, can be missed.
"""

import copy
import math
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from initguide.randomness import seeded

__all__ = ["Activation", "NoMoment"]

Phi = str | Callable[[Tensor], Tensor]
Numbers = ArrayLike | Tensor
Array = NDArray[np.float64]

_NAMED: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "identity": lambda x: x,
    "sin": torch.sin,
    "erf": torch.erf,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "hardtanh": F.hardtanh,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
}


class NoMoment(ValueError):  # noqa: N818  says why, and is raised as a ValueError
    """A moment that is infinite, or that cannot be computed."""

    diverges = False


def _diverging(reason: str) -> NoMoment:
    error = NoMoment(reason)
    error.diverges = True
    return error


# Integrals


NODES, WEIGHTS = (np.asarray(a) for a in np.polynomial.legendre.leggauss(15))
_TINY = 1e-26  # below this mean square, moments follow the power of q that they have here
_FARTHEST = 38.0  # the density of N(0, 1) is 1e-314 there
# Where activations tend to have kinks or bends. Kinks elsewhere are found by bisection.
_BENDS = np.array([0.125, 0.25, 0.5, 1, 2, 3, 4, 6, *(2.0 ** np.arange(3, 40))])


# Values at the two ends of a panel, of the polynomial through the values at its nodes.
_ENDS = np.polynomial.legendre.legvander(np.array([-1.0, 1.0]), 14) @ np.linalg.inv(
    np.polynomial.legendre.legvander(NODES, 14)
)
_INSIDE = np.array([-1 + 1e-9, 1 - 1e-9])


def _edges(scale: float, reach: float, *, step: float = 1.0) -> Array:
    """Ends of panels on [-reach, reach]: about one step apart, and at `_BENDS` / scale."""
    grid = np.linspace(0, reach, math.ceil(reach / step) + 1)
    bends = _BENDS / scale
    right = np.union1d(grid, bends[bends < reach])
    return np.concatenate([-right[:0:-1], right])


def _panels(f: Callable[[Array], Array], low: Array, high: Array) -> tuple[Array, Array]:
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


def _integrate(
    f: Callable[[Array], Array], edges: Array, tolerance: float
) -> tuple[float, list[float]]:
    """Integrate, bisecting panels until the halves agree with the whole.

    Returns
    -------
    tuple
        The integral, and where the bisection went deep: the kinks and jumps of ``f``.
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
        bad = ~((off <= tolerance * total) & (a + b <= max(1e-9, tolerance) * total))
        # Between neighbouring floats there is nothing to bisect: a jump's last panel.
        bad &= (high - low) > 1e-15 * np.maximum(np.abs(low), np.abs(high))
        done += both[~bad].sum()
        size += np.abs(both[~bad]).sum()
        error += off[~bad].sum()
        if level > 12:
            kinks += zip(middle[~bad].tolist(), (high - low)[~bad].tolist(), strict=True)
        if not bad.any():
            break
        if bad.sum() > 4000:
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


def _merged(panels: list[tuple[float, float]]) -> list[float]:
    """One place for each cluster of small panels, given by middle and width: the smallest one's."""
    kept: list[tuple[float, float]] = []
    for middle, width in sorted(panels):
        if kept and middle - kept[-1][0] < 1e-2 * max(1.0, abs(middle)):
            kept[-1] = min(kept[-1], (middle, width), key=lambda panel: panel[1])
        else:
            kept.append((middle, width))
    return [middle for middle, _ in kept]


def _reach(f: Callable[[Array], Array], scale: float) -> float:
    """How many standard deviations of N(0, scale²) hold all of E[f²]; refuse where none do."""
    z = np.linspace(0.0, _FARTHEST, 610)[1:]
    values = np.maximum(np.abs(f(scale * z)), np.abs(f(-scale * z)))
    finite = np.isfinite(values)
    last = len(z) if finite.all() else int(finite.argmin())
    if last == 0 or z[last - 1] < 8:
        raise _diverging("its value is not a finite number")
    with np.errstate(divide="ignore"):
        logs = 2 * np.log(values[:last]) - z[:last] ** 2 / 2
    matters = np.flatnonzero(logs > logs.max() - 38)  # e^-38 is 3e-17
    if matters.size and matters[-1] == last - 1 and z[last - 1] > 9 and logs.max() > -700:
        raise _diverging("it grows too fast")
    return float(max(9.0, z[matters[-1]] + 0.5)) if matters.size else 9.0


# Activations


class Activation:
    """A checked elementwise function, its derivative, and their normal moments."""

    def __init__(self, phi: Phi) -> None:
        if isinstance(phi, str):
            if phi not in _NAMED:
                raise ValueError(f"unknown activation {phi!r}; the names are {', '.join(_NAMED)}")
            self.name, phi = phi, _NAMED[phi]
        elif not callable(phi):
            raise TypeError(
                f"phi is {phi!r}; it must be a function of a tensor, such as torch.tanh, or a name"
            )
        else:
            self.name = getattr(phi, "__name__", type(phi).__name__)
        self._phi = phi
        if isinstance(phi, nn.Module):  # a copy, for its parameters are float32 and may be on a GPU
            self._phi = copy.deepcopy(phi).to("cpu", torch.float64).requires_grad_(False)
        self._dtype = torch.float64
        self._known: dict[tuple[str, float, float], float] = {}
        self._kinks: dict[tuple[bool, float], list[float]] = {}
        with seeded(0):
            self._check()
        self.tolerance = 1e-13 if self._precise else 1e-7

    def _call(self, x: Tensor) -> Tensor:
        """Call phi; whatever is wrong with the result is said by the caller."""
        return self._phi(x.to(self._dtype))

    def _refusal(self, what: str) -> ValueError:
        return ValueError(
            f"phi ({self.name}) is not elementwise: {what}; "
            "give a function that maps each number of a tensor by itself, such as torch.tanh"
        )

    def _try(self, x: Tensor) -> Tensor:
        try:
            return self._call(x)
        except Exception as first:  # noqa: BLE001  phi is anyone's
            self._dtype = torch.float32  # parameters in float32 inside a lambda
            try:
                return self._call(x)
            except Exception:  # noqa: BLE001  the first reason is the one to tell
                raise self._refusal(
                    f"on a tensor of shape {tuple(x.shape)} it raised {first}"
                ) from first

    def _check(self) -> None:
        x = torch.linspace(-4.1, 3.9, 48, dtype=torch.float64)
        with torch.inference_mode(mode=False), torch.no_grad():
            y = self._try(x.clone())
            if not isinstance(y, Tensor):
                raise self._refusal(f"it returned {type(y).__name__}, not a tensor")
            if y.shape != x.shape:
                raise self._refusal(f"it made shape {tuple(y.shape)} out of shape {tuple(x.shape)}")
            if y.is_complex():
                raise self._refusal("it returned complex numbers")
            self._precise = y.dtype == torch.float64 or not y.is_floating_point()
            y = y.clone()
            order = torch.arange(48).flip(0)
            trials = {
                "called twice with the same numbers, it gave": self._try(x.clone()),
                "with its input in another order, it gave": self._try(x[order])[order],
                "with its input in two parts, it gave": torch.cat(
                    [self._try(x[:17].clone()), self._try(x[17:].clone())]
                ),
            }
        limit = 1e-9 if self._precise else 1e-5
        for what, other in trials.items():
            close = torch.isclose(y.double(), other.double(), rtol=limit, atol=limit * 1e-3)
            close |= y.isnan() & other.isnan()
            if not close.all():
                i = int(close.int().argmin())
                raise self._refusal(
                    f"{what} {float(other[i]):.6g} instead of {float(y[i]):.6g} at x = {x[i]:.4g}"
                )

    def value(self, x: Array) -> Array:
        """phi(x)."""
        with torch.inference_mode(mode=False), torch.no_grad():
            return cast(Array, self._call(torch.tensor(x)).double().numpy())

    def slope(self, x: Array) -> Array:
        """phi'(x), as autograd gives it."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            leaf = torch.tensor(x, requires_grad=True)
            y = self._call(leaf.clone())  # a copy, for phi may work in place
            if not y.requires_grad:
                raise ValueError(
                    f"autograd finds no derivative of phi ({self.name}): its result does not "
                    "depend on its input through differentiable steps"
                )
            (gradient,) = torch.autograd.grad(y.sum(), leaf)
            return cast(Array, gradient.numpy())

    # Moments. "prime" asks for those of the derivative.

    def _f(self, prime: bool) -> Callable[[Array], Array]:
        return self.slope if prime else self.value

    def _expect(self, q: float, prime: bool, factor: Callable[[Array], Array] | None) -> float:
        """E[f(√q z)² factor(z)]."""
        f, scale = self._f(prime), math.sqrt(q)
        symbol = "phi'" if prime else "phi"
        try:
            reach = _reach(f, scale)

            def density(z: Array) -> Array:
                half = f(scale * z) * np.exp(-(z**2) / 4)  # so that f² does not overflow
                return half**2 if factor is None else half**2 * factor(z)

            total, kinks = _integrate(density, _edges(scale, reach), self.tolerance)
        except NoMoment as reason:
            error = NoMoment(
                f"E[{symbol}(x)²] is not finite, or cannot be computed, for x ~ N(0, {q:g}) and "
                f"phi = {self.name}: {reason}"
            )
            error.diverges = reason.diverges
            raise error from None
        self._kinks[prime, q] = [scale * z for z in kinks]
        return total / math.sqrt(2 * math.pi)

    def _remember(self, kind: str, a: float, b: float, compute: Callable[[], float]) -> float:
        key = (kind, a, b)
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def second(self, q: float, *, prime: bool = False) -> float:
        """E[φ(√q z)²], or of the derivative; at 0 the limit from above."""
        if q == 0 and not prime:
            return float(self.value(np.zeros(1))[0]) ** 2
        if 0 < q < _TINY:
            least, more = (self.second(near, prime=prime) for near in (_TINY, 100 * _TINY))
            if not (least > 0 and more > 0):
                return least
            power = round(math.log(more / least) / math.log(100), 6)  # 1 where phi has a slope at 0
            return float(least * (q / _TINY) ** power)
        q = max(q, _TINY)
        return self._remember(f"second{prime}", q, 0, lambda: self._expect(q, prime, None))

    def second_slope(self, q: float) -> float:
        """The derivative d E[φ(√q z)²] / dq, by differentiating the density: phi may have kinks."""
        q = max(q, _TINY)
        return self._remember(
            "slope", q, 0, lambda: self._expect(q, False, lambda z: z**2 - 1) / (2 * q)
        )

    def pair(self, q: float, c: float, *, prime: bool = False) -> float:
        """E[φ(u) φ(v)] for u, v ~ N(0, q) with correlation c, or of the derivative."""
        if q == 0 or c == 1:
            return self.second(q, prime=prime)
        if q < _TINY:
            least = self.second(_TINY, prime=prime)
            share = self.second(q, prime=prime) / least if least else 1.0
            return share * self.pair(_TINY, c, prime=prime)
        return self._remember(f"pair{prime}", q, c, lambda: self._pair(q, c, prime))

    def _pair(self, q: float, c: float, prime: bool) -> float:
        """Integrate over z and w, where u = √q (a z + b w) and v = √q (a z − b w).

        For a given w, kinks of f at x are kinks of the integrand over z at (x ± √q b w) / √q a.
        """
        f, scale = self._f(prime), math.sqrt(q)
        self.second(q, prime=prime)  # refuses infinite moments, finds the kinks
        a, b = math.sqrt((1 + c) / 2), math.sqrt((1 - c) / 2)
        reach = _reach(f, scale)
        bends = _BENDS[scale * reach > _BENDS]
        kinks = np.array(self._kinks.get((prime, q), []))
        marks = np.concatenate([-bends, [0.0], bends, kinks])
        grid = np.linspace(-reach, reach, 2 * math.ceil(reach / 1.5) + 1)

        def inner(w: Array) -> Array:
            shift = scale * b * w[:, None]
            if a < 1e-12:
                u = shift
                both = f(u.ravel()) * f(-u.ravel())
                return math.sqrt(2 * math.pi) * both * np.exp(-(w**2) / 2)
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
            product = np.where(damping > 0, left * right, 0.0)
            sums = np.bincount(row, half * (product @ WEIGHTS), minlength=len(w))
            return sums.astype(np.float64)

        edges = _edges(scale * b, reach, step=1.5)
        meetings = np.abs(kinks[:, None] - marks).ravel() / (2 * scale * b)  # of two kinks
        edges = np.union1d(edges[edges >= 0], meetings[meetings < reach])
        total, _ = _integrate(inner, edges, max(1e-10, self.tolerance))
        return total / math.pi  # half of the plane, twice, over 2π

    def check_slope(self) -> None:
        """Refuse a derivative that does not add up to phi: E[φ'(z)] = E[z φ(z)] fails (Stein).

        It fails where phi jumps, or was detached, or has a backward pass of its own making.
        """
        if self._remember("stein", 0, 0, self._stein) > max(1e-7, 10 * self.tolerance):
            raise ValueError(
                f"the derivative that autograd gives of phi ({self.name}) does not add up to phi: "
                "it jumps, or its backward pass is not its derivative, so χ and the depth scales "
                "do not describe it"
            )

    def _stein(self) -> float:
        reach = max(_reach(self.value, 1.0), _reach(self.slope, 1.0))
        edges = _edges(1.0, reach)
        tolerance = max(1e-10, self.tolerance)

        def total(g: Callable[[Array], Array]) -> float:
            return _integrate(lambda z: g(z) * np.exp(-(z**2) / 2), edges, tolerance)[0]

        gap = abs(total(self.slope) - total(lambda z: z * self.value(z)))
        return gap / math.sqrt(2 * math.pi * self.second(1.0) or 1.0)
