"""Elementwise functions, checked, and their moments under a normal distribution.

All of `initguide.theory` stands on `Activation`: a function of each number of a tensor, with
E[φ(x)²] and E[φ(u) φ(v)] for normal x, u and v, and the same of its derivative. What is much
narrower than a standard deviation can be missed.
"""

import copy
import functools
import math
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor, nn

from initguide.randomness import seeded
from initguide.theory.gaussian import mean_product, mean_square, stein_gap
from initguide.theory.quadrature import Array, Function, NoMoment

__all__ = ["Activation", "Phi"]

Phi = str | Callable[[Tensor], Tensor]

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
TINY = 1e-26  # below this mean square, moments follow the power of q that they have here


class Activation:
    """A checked elementwise function, its derivative, and their normal moments.

    Moments that were computed are remembered: searches for fixed points ask for them again.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.

    Attributes
    ----------
    name
        What the function is called, in messages.
    tolerance
        Relative tolerance of its moments: coarser if ``phi`` computes in float32.

    Raises
    ------
    ValueError
        If ``phi`` is not elementwise or its name is unknown.
    TypeError
        If ``phi`` is not callable.
    """

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
        with seeded(0):  # dropout and the like draw, before they are refused
            precise = _check_elementwise(self._try, self.name)
        self.tolerance = 1e-13 if precise else 1e-7
        # Caches of each object, so that they end with it.
        self._square = functools.cache(self._compute_square)
        self._product = functools.cache(self._compute_product)

    def _call(self, x: Tensor) -> Tensor:
        """Call phi; whatever is wrong with the result is said by the caller."""
        return self._phi(x.to(self._dtype))

    def _try(self, x: Tensor) -> Tensor:
        """Call phi in float64, or in float32 from now on if it only takes that."""
        try:
            return self._call(x)
        except Exception as first:  # noqa: BLE001  phi is anyone's
            self._dtype = torch.float32  # parameters in float32 inside a lambda
            try:
                return self._call(x)
            except Exception:  # noqa: BLE001  the first reason is the one to tell
                raise _refusal(
                    self.name, f"on a tensor of shape {tuple(x.shape)} it raised {first}"
                ) from first

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

    def second(self, q: float, *, prime: bool = False) -> float:
        """E[φ(√q z)²], or of the derivative; at 0 the limit from above."""
        if q == 0 and not prime:
            return float(self.value(np.zeros(1))[0]) ** 2
        if 0 < q < TINY:
            least, more = (self.second(near, prime=prime) for near in (TINY, 100 * TINY))
            if not (least > 0 and more > 0):
                return least
            power = round(math.log(more / least) / math.log(100), 6)  # 1 where phi has a slope at 0
            return float(least * (q / TINY) ** power)
        return self._square(max(q, TINY), prime)[0]

    def second_slope(self, q: float) -> float:
        """The derivative d E[φ(√q z)²] / dq, by differentiating the density: phi may have kinks."""
        q = max(q, TINY)
        return self._square(q, weighed=True)[0] / (2 * q)

    def pair(self, q: float, c: float, *, prime: bool = False) -> float:
        """E[φ(u) φ(v)] for u, v ~ N(0, q) with correlation c, or of the derivative."""
        if q == 0 or c == 1:
            return self.second(q, prime=prime)
        if q < TINY:  # the share that the power of q leaves, as for `second`
            least = self.second(TINY, prime=prime)
            share = self.second(q, prime=prime) / least if least else 1.0
            return share * self.pair(TINY, c, prime=prime)
        return self._product(q, c, prime)

    def check_slope(self) -> None:
        """Refuse a derivative that does not add up to phi: E[φ'(z)] = E[z φ(z)] fails (Stein).

        It fails where phi jumps, or was detached, or has a backward pass of its own making.
        """
        gap = stein_gap(self.value, self.slope, self.tolerance) / math.sqrt(self.second(1.0) or 1.0)
        if gap > max(1e-7, 10 * self.tolerance):
            raise ValueError(
                f"the derivative that autograd gives of phi ({self.name}) does not add up to phi: "
                "it jumps, or its backward pass is not its derivative, so χ and the depth scales "
                "do not describe it"
            )

    def _compute_square(
        self, q: float, prime: bool = False, *, weighed: bool = False
    ) -> tuple[float, list[float]]:
        """E[φ(√q z)²] and the kinks of φ; weighed by z² − 1 for the derivative by q."""
        factor: Function | None = (lambda z: z**2 - 1) if weighed else None
        try:
            return mean_square(self.slope if prime else self.value, q, self.tolerance, factor)
        except NoMoment as reason:
            symbol = "phi'" if prime else "phi"
            raise NoMoment(
                f"E[{symbol}(x)²] is not finite, or cannot be computed, for x ~ N(0, {q:g}) and "
                f"phi = {self.name}: {reason}",
                diverges=reason.diverges,
            ) from None

    def _compute_product(self, q: float, c: float, prime: bool) -> float:
        _, kinks = self._square(q, prime)  # refuses infinite moments, too
        return mean_product(self.slope if prime else self.value, q, c, kinks, self.tolerance)


def _refusal(name: str, what: str) -> ValueError:
    return ValueError(
        f"phi ({name}) is not elementwise: {what}; "
        "give a function that maps each number of a tensor by itself, such as torch.tanh"
    )


def _check_elementwise(phi: Callable[[Tensor], Tensor], name: str) -> bool:
    """Refuse what does not map each number by itself; return whether it computes in float64.

    Softmax, normalization and cumulative sums show when the input is cut in two or reordered,
    dropout when it is called twice.
    """
    x = torch.linspace(-4.1, 3.9, 48, dtype=torch.float64)
    with torch.inference_mode(mode=False), torch.no_grad():
        y = phi(x.clone())  # copies throughout, for phi may work in place
        if not isinstance(y, Tensor):
            raise _refusal(name, f"it returned {type(y).__name__}, not a tensor")
        if y.shape != x.shape:
            raise _refusal(name, f"it made shape {tuple(y.shape)} out of shape {tuple(x.shape)}")
        if y.is_complex():
            raise _refusal(name, "it returned complex numbers")
        precise = y.dtype == torch.float64 or not y.is_floating_point()
        y = y.clone()
        order = torch.arange(48).flip(0)
        trials = {
            "called twice with the same numbers, it gave": phi(x.clone()),
            "with its input in another order, it gave": phi(x[order])[order],
            "with its input in two parts, it gave": torch.cat(
                [phi(x[:17].clone()), phi(x[17:].clone())]
            ),
        }
    limit = 1e-9 if precise else 1e-5
    for what, other in trials.items():
        close = torch.isclose(y.double(), other.double(), rtol=limit, atol=limit * 1e-3)
        close |= y.isnan() & other.isnan()
        if not close.all():
            i = int(close.int().argmin())
            raise _refusal(
                name, f"{what} {float(other[i]):.6g} instead of {float(y[i]):.6g} at x = {x[i]:.4g}"
            )
    return precise
