"""What theory predicts: gains, lengths and correlations from layer to layer, variances of a model.

The mean-field picture of a wide network (Poole et al. 2016, arXiv:1606.05340; Schoenholz et al.
2017, arXiv:1611.01232): with weights of variance σ_w²/n, n the fan-in, and biases of variance
σ_b², the pre-activations of a layer are normal with mean 0, and their variance q goes from layer
to layer by

    q' = σ_w² E[φ(√q z)²] + σ_b²,    z ~ N(0, 1).

>>> import torch
>>> round(gain(torch.relu), 6)
1.414214
>>> round(fixed_point(torch.tanh, sigma_w=1.5, sigma_b=0.1), 4)
0.8133
>>> round(chi(torch.tanh, sigma_w=1.5, sigma_b=0.1), 4)  # above 1: gradients explode
1.1291

``phi`` is any function that acts on each number of a tensor alone, such as `torch.tanh`,
``torch.nn.ReLU()`` or a lambda; a name such as ``"tanh"`` will do for common ones. It is evaluated
in float64. ``sigma_w`` and ``sigma_b`` are standard deviations, not variances. Numbers give
numbers; arrays and tensors are broadcast against each other and give arrays.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.optimize import brentq
from torch import Tensor

from initguide.theory.activations import NODES, WEIGHTS, Activation, Array, NoMoment, Numbers, Phi

__all__ = [
    "FiniteWidth",
    "FixedPoint",
    "Moments",
    "backward_gain",
    "chi",
    "correlation_map",
    "critical_sigma_w",
    "depth_scale",
    "finite_width_moments",
    "fixed_point",
    "fixed_points",
    "gain",
    "length_map",
    "residual_growth",
    "truncated_normal_moments",
]

# Arguments


def _array(name: str, value: Numbers) -> Array:
    if isinstance(value, Tensor):
        value = value.detach().cpu()  # NumPy has no bfloat16
        value = (value.double() if value.is_floating_point() else value).numpy()
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}; it must be a number or an array of them") from None
    return array


_LIMITS: Mapping[str, tuple[Callable[[Array], Any], str]] = {
    "q": (lambda a: a >= 0, "a mean square, finite and at least 0"),
    "c": (lambda a: np.abs(a) <= 1, "a correlation, in [-1, 1]"),
    "sigma_w": (lambda a: a > 0, "a standard deviation, finite and above 0"),
    "sigma_b": (lambda a: a >= 0, "a standard deviation, finite and at least 0"),
}


def _over(compute: Callable[..., float], **arguments: Numbers) -> Any:
    """Compute for numbers, or for every element of arrays that are broadcast."""
    arrays = []
    for name, value in arguments.items():
        array = _array(name, value)
        fits, allowed = _LIMITS[name]
        wrong = ~(np.isfinite(array) & fits(array))
        if wrong.any():
            first = repr(float(array[wrong].flat[0])).removesuffix(".0")  # all digits
            raise ValueError(f"{name} is {first}; it must be {allowed}")
        arrays.append(array)
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


# Gains


def gain(phi: Phi) -> float:
    """Forward gain, 1 / √E[φ(z)²] with z ~ N(0, 1).

    Weights of standard deviation gain / √fan_in keep the mean square of pre-activations at 1.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.

    Returns
    -------
    float
        The gain, to about ten digits for smooth functions and kinked ones.

    Raises
    ------
    ValueError
        If ``phi`` is not elementwise, if the moment is 0 or not finite (as for exp(z²)), or the
        name is unknown.
    TypeError
        If ``phi`` is not callable.

    Examples
    --------
    >>> import torch
    >>> round(gain(torch.tanh), 5), round(gain("selu"), 5)
    (1.59254, 1.0)
    """
    activation = Activation(phi)
    return _one_over_root(activation, activation.second(1.0), "phi")


def backward_gain(phi: Phi) -> float:
    """Backward gain, 1 / √E[φ'(z)²] with z ~ N(0, 1).

    Weights of standard deviation backward gain / √fan_out keep the mean square of gradients, where
    pre-activations have mean square 1. The derivative is what autograd gives: jumps do not count.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.

    Returns
    -------
    float
        The gain.

    Raises
    ------
    ValueError
        As for `gain`, or if autograd finds no derivative, or one that is 0 everywhere.
    TypeError
        If ``phi`` is not callable.

    Examples
    --------
    >>> import torch
    >>> round(backward_gain(torch.tanh), 5)
    1.46741
    """
    activation = Activation(phi)
    return _one_over_root(activation, activation.second(1.0, prime=True), "phi'")


def _one_over_root(activation: Activation, moment: float, symbol: str) -> float:
    if not moment > 0:
        raise ValueError(
            f"{symbol} is 0 everywhere for phi = {activation.name}: no gain makes up for that"
        )
    return 1 / math.sqrt(moment)


# Maps from layer to layer


def length_map(q: Numbers, phi: Phi, sigma_w: Numbers, sigma_b: Numbers = 0.0) -> Any:
    """Mean square of the next layer's pre-activations, σ_w² E[φ(√q z)²] + σ_b².

    Parameters
    ----------
    q
        Mean square of this layer's pre-activations, at least 0.
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.

    Returns
    -------
    float or ndarray
        The next mean square; an array of the arguments' common shape if any of them is an array.

    Raises
    ------
    ValueError
        If a number is out of range, ``phi`` is not elementwise or its moment is not finite.

    Examples
    --------
    >>> import torch
    >>> round(length_map(1.0, torch.relu, sigma_w=2.0, sigma_b=1.0), 6)
    3.0
    """
    activation = Activation(phi)
    return _over(
        lambda q, w, b: w**2 * activation.second(q) + b**2, q=q, sigma_w=sigma_w, sigma_b=sigma_b
    )


_SMALLEST, _LARGEST = 1e-12, 1e16  # lengths between which fixed points are looked for
_FLAT = 2e-13  # relative changes of a length below this are rounding


def _growth(activation: Activation, w: float, b: float, q: float) -> float:
    """(q' − q) / q; infinite where q' is, NaN where it cannot be computed."""
    try:
        change = (w**2 * activation.second(q) + b**2 - q) / q
    except NoMoment as error:
        return math.inf if error.diverges else math.nan
    return 0.0 if abs(change) < _FLAT else change


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    """Where f changes its sign, 0 < low < high."""
    log = brentq(
        lambda t: max(-1e300, min(1e300, f(math.exp(t)))),
        math.log(low),
        math.log(high),
        xtol=1e-14,
        rtol=1e-15,
    )
    return math.exp(log)


def _limit(activation: Activation, w: float, b: float) -> float:
    """Where lengths go from q = 1: a fixed point or ∞; NaN where that cannot be computed."""

    def growth(q: float) -> float:
        return _growth(activation, w, b, q)

    at_zero = w**2 * activation.second(0.0) + b**2
    low = high = 1.0
    first = growth(1.0)
    if first == 0:
        return 1.0
    if first < 0:
        bottom = at_zero * 1e-3 if at_zero else _SMALLEST
        while low > bottom:
            high, low = low, low / (1.5 if low > 1e-3 else 10)
            if growth(low) > 0:
                break
        else:
            return 0.0
    else:
        while high < _LARGEST:
            low, high = high, high * (1.5 if high < 1e3 else 10)
            if growth(high) < 0:
                break
            if math.isnan(growth(high)):
                return math.nan
        else:
            return math.inf
    return _root(growth, low, high)


def fixed_point(phi: Phi, sigma_w: Numbers, sigma_b: Numbers = 0.0) -> Any:
    """Where the lengths of a deep network settle: the stable q* that q = 1 leads to.

    Of several stable fixed points (see `fixed_points`) it is the one that normalized inputs, q = 1,
    end at. Where every length stays as it is (ReLU at σ_w = √2, σ_b = 0) it is 1.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.

    Returns
    -------
    float or ndarray
        q*, at least 0. **There is none where this is infinite**: lengths grow without bound. NaN
        if they grow to where moments cannot be computed.

    Notes
    -----
    Lengths never jump to and fro around a fixed point that repels them: whatever ``phi``, E[φ²]
    falls no faster than 1/√q (the density of a normal x at any place does not), so the map's slope
    at q* is at least -1/2.

    Raises
    ------
    ValueError
        If a number is out of range or ``phi`` is not elementwise.

    Examples
    --------
    >>> import torch
    >>> round(fixed_point(torch.relu, sigma_w=1.0, sigma_b=1.0), 6)
    2.0
    >>> fixed_point(torch.relu, sigma_w=1.5)  # none: lengths grow without bound
    inf
    """
    activation = Activation(phi)
    return _over(lambda w, b: _limit(activation, w, b), sigma_w=sigma_w, sigma_b=sigma_b)


class FixedPoint(NamedTuple):
    """A length that stays as it is.

    Attributes
    ----------
    q
        The mean square of pre-activations.
    slope
        Derivative of the length map there.
    stable
        Whether lengths near it come nearer: ``|slope| < 1``.
    """

    q: float
    slope: float
    stable: bool


def fixed_points(phi: Phi, sigma_w: float, sigma_b: float = 0.0) -> tuple[FixedPoint, ...]:
    """All fixed points of the length map, stable or not, by size; an empty tuple if there are none.

    Searched for at 0 and between 1e-12 and 1e16, at 12 places a decade: two that are nearer to
    each other than that can be missed. A point that draws lengths in though its slope is 1, as 0
    for tanh at σ_w = 1, σ_b = 0, is called stable.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.

    Returns
    -------
    tuple of FixedPoint
        Where every length is a fixed point (ReLU at σ_w = √2), only 0 is listed.

    Raises
    ------
    ValueError
        If a number is out of range or ``phi`` is not elementwise.

    Examples
    --------
    >>> import torch
    >>> [(round(p.q, 4), p.stable) for p in fixed_points(torch.tanh, sigma_w=1.5)]
    [(0.0, False), (0.7934, True)]
    >>> fixed_points(torch.relu, sigma_w=2.0, sigma_b=0.1)
    ()
    """
    activation = Activation(phi)

    def search(w: float, b: float) -> float:
        grid = np.geomspace(_SMALLEST, _LARGEST, 337)
        growth = [_growth(activation, w, b, float(q)) for q in grid]
        if w**2 * activation.second(0.0) + b**2 == 0:
            rises = next((g for g in growth if g), 0.0)
            slope = w**2 * activation.second_slope(0.0)
            found.append(FixedPoint(0.0, slope, rises < 0))
        signs = [(q, g) for q, g in zip(grid, growth, strict=True) if abs(g) > 0]
        for (low, before), (high, after) in itertools.pairwise(signs):
            if (before < 0) != (after < 0):
                q = _root(lambda q: _growth(activation, w, b, q), float(low), float(high))
                slope = w**2 * activation.second_slope(q)
                found.append(FixedPoint(q, slope, before > 0))
        return 0.0

    found: list[FixedPoint] = []
    if np.ndim(_over(search, sigma_w=sigma_w, sigma_b=sigma_b)):
        raise ValueError("sigma_w and sigma_b must be numbers here, not arrays")
    return tuple(found)


def _workable(q: float) -> float:
    """A finite length that stands for an infinite one, where only the limit counts."""
    return 1e14 if math.isinf(q) else q


def _correlation(activation: Activation, c: float, q: float, w: float, b: float) -> float:
    """The next correlation; NaN where lengths have no limit."""
    if math.isnan(q):
        return math.nan
    q = _workable(q) or 1e-26  # at 0 the limit from above
    try:
        same = w**2 * activation.second(q) + b**2
        return max(-1.0, min(1.0, (w**2 * activation.pair(q, c) + b**2) / same))
    except (NoMoment, ZeroDivisionError):
        return math.nan


def correlation_map(
    c: Numbers,
    phi: Phi,
    sigma_w: Numbers,
    sigma_b: Numbers = 0.0,
    *,
    q: Numbers | None = None,
) -> Any:
    """Correlation of two inputs' pre-activations in the next layer.

    (σ_w² E[φ(u) φ(v)] + σ_b²) / q', for normal u and v of variance q and correlation c, where
    q' is what the length map makes of q.

    Parameters
    ----------
    c
        The correlation in this layer, in [-1, 1].
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.
    q
        The length of both inputs; by default the one at which they settle (`fixed_point`), and its
        limit where that is 0 or infinite.

    Returns
    -------
    float or ndarray
        The next correlation, in [-1, 1]; NaN where lengths do not settle and no limit is known.

    Raises
    ------
    ValueError
        If a number is out of range or ``phi`` is not elementwise.

    Examples
    --------
    >>> import torch
    >>> round(correlation_map(0.0, torch.relu, sigma_w=2**0.5), 4)
    0.3183
    """
    activation = Activation(phi)
    if q is not None:
        return _over(
            lambda c, w, b, q: _correlation(activation, c, q, w, b),
            c=c,
            sigma_w=sigma_w,
            sigma_b=sigma_b,
            q=q,
        )
    return _over(
        lambda c, w, b: _correlation(activation, c, _limit(activation, w, b), w, b),
        c=c,
        sigma_w=sigma_w,
        sigma_b=sigma_b,
    )


# Criticality


def _prime_at(activation: Activation, q: float) -> float:
    """E[φ'(√q z)²], also in the limit of infinite q; NaN if there is none."""
    if math.isnan(q):
        return math.nan
    if math.isfinite(q):
        return activation.second(q, prime=True)
    near, far = (activation.slope(np.array([-x, x])) ** 2 for x in (1e6, 1e8))
    settled = np.isfinite(far).all() and np.allclose(near, far, rtol=1e-6, atol=1e-12)
    return float(far.mean()) if settled else math.nan


def _chi(activation: Activation, w: float, b: float) -> float:
    return w**2 * _prime_at(activation, _limit(activation, w, b))


def chi(phi: Phi, sigma_w: Numbers, sigma_b: Numbers = 0.0) -> Any:
    """χ₁ = σ_w² E[φ'(√q* z)²]: what a layer multiplies the mean square of gradients by.

    It is the slope of the correlation map at c = 1, too: below 1 inputs become alike (order),
    above 1 they come apart (chaos).

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.

    Returns
    -------
    float or ndarray
        χ₁, at least 0. Where lengths grow without bound, its limit (ReLU: σ_w²/2); NaN if there is
        none.

    Raises
    ------
    ValueError
        If a number is out of range, ``phi`` is not elementwise, or the derivative that autograd
        gives does not add up to ``phi``, as where it jumps.

    Examples
    --------
    >>> import torch
    >>> round(chi(torch.relu, sigma_w=1.0, sigma_b=0.3), 6)
    0.5
    """
    activation = Activation(phi)
    activation.check_slope()
    return _over(lambda w, b: _chi(activation, w, b), sigma_w=sigma_w, sigma_b=sigma_b)


def _critical(activation: Activation, b: float) -> float:
    """At a fixed point σ_w² E[φ²] + σ_b² = q; χ₁ = 1 says σ_w² = 1 / E[φ'²]. So solve for q."""

    def gap(q: float) -> float:
        try:
            change = activation.second(q) / activation.second(q, prime=True) + b**2 - q
        except (NoMoment, ZeroDivisionError):
            return math.nan
        return 0.0 if abs(change) < 10 * _FLAT * q else change / q

    # Below b = 3e-9 the length at which χ₁ = 1 cannot be told from 0.
    lengths = [0.0] if activation.second(0.0) == 0 and b**2 < 1e-17 else []
    start = max(b**2, 1e-6)
    grid = [start * 1.3**k for k in range(80)]
    gaps = [gap(q) for q in grid]
    for low, high, before, after in zip(grid, grid[1:], gaps, gaps[1:], strict=False):
        if before * after < 0:
            lengths.append(_root(gap, low, high))
    lengths.append(math.inf)
    candidates = [
        (1 / math.sqrt(prime), q) for q in lengths if (prime := _prime_at(activation, q)) > 0
    ]
    for w, q in sorted(candidates):
        # Lengths settle at a half-stable point, too, from one side; a search does not see it.
        half = 0 < q < math.inf and abs(w**2 * activation.second_slope(q) - 1) < 1e-5
        if half or abs(_chi(activation, w, b) - 1) < 1e-6:
            return w
    raise ValueError(
        f"phi ({activation.name}) has no critical sigma_w at sigma_b = {b:g}: χ₁ does not pass "
        "through 1 at a stable fixed point"
    )


def critical_sigma_w(phi: Phi, sigma_b: Numbers = 0.0) -> Any:
    """The σ_w at which χ₁ = 1: the edge between order and chaos.

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_b
        Standard deviation of the biases, at least 0.

    Returns
    -------
    float or ndarray
        The smallest such σ_w. For ReLU it is √2 for every σ_b: above 0 lengths then grow without
        bound, but gradients keep theirs.

    Raises
    ------
    ValueError
        If there is none, a number is out of range, ``phi`` is not elementwise or its derivative
        does not add up to it.

    Examples
    --------
    >>> import torch
    >>> round(critical_sigma_w(torch.tanh, 0.0), 6), round(critical_sigma_w(torch.relu, 0.0), 6)
    (1.0, 1.414214)
    >>> round(critical_sigma_w(torch.tanh, 0.05**0.5) ** 2, 2)  # σ_w² for σ_b² = 0.05
    1.76
    """
    activation = Activation(phi)
    activation.check_slope()
    return _over(lambda b: _critical(activation, b), sigma_b=sigma_b)


Kind = Literal["gradient", "correlation", "signal"]


def depth_scale(
    phi: Phi, sigma_w: Numbers, sigma_b: Numbers = 0.0, *, kind: Kind = "gradient"
) -> Any:
    """How many layers it takes to change something by the factor e: ξ = 1 / abs(ln slope).

    Parameters
    ----------
    phi
        An elementwise function of a tensor, or the name of a common one.
    sigma_w
        Standard deviation of the weights times √fan_in, above 0.
    sigma_b
        Standard deviation of the biases, at least 0.
    kind
        What: ``"gradient"``, the mean square of gradients, slope χ₁; ``"correlation"``, the
        distance of correlations from where they settle, slope of the correlation map there (in the
        ordered phase, where that is 1, again χ₁; where lengths shrink to 0 or grow without bound,
        that is divided out); ``"signal"``, the distance of lengths from q*,
        slope of the length map there.

    Returns
    -------
    float or ndarray
        ξ in layers, at least 0. In the ordered phase this is the −1 / ln χ₁ of Schoenholz et al.;
        in the chaotic phase, where that is negative, gradients *grow* by e in ξ layers. ``inf`` at
        criticality, 0 if nothing is left after one layer, NaN where there is no slope (`chi`).

    Raises
    ------
    ValueError
        If a number is out of range, ``kind`` is unknown, ``phi`` is not elementwise or its
        derivative does not add up to it.

    Examples
    --------
    >>> import torch
    >>> round(depth_scale(torch.tanh, 0.9), 4)
    4.7456
    """
    slopes = {"gradient": _chi, "correlation": _correlation_slope, "signal": _signal_slope}
    if kind not in slopes:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(map(repr, slopes))}")
    activation = Activation(phi)
    if kind != "signal":
        activation.check_slope()

    def scale(w: float, b: float) -> float:
        slope = abs(slopes[kind](activation, w, b))
        if math.isnan(slope) or slope == 0:
            return slope
        log = abs(math.log(slope))
        return 1 / log if log > 1e-11 else math.inf

    return _over(scale, sigma_w=sigma_w, sigma_b=sigma_b)


def _signal_slope(activation: Activation, w: float, b: float) -> float:
    q = _limit(activation, w, b)
    if math.isfinite(q):
        return w**2 * activation.second_slope(q)
    return math.nan


def _correlation_slope(activation: Activation, w: float, b: float) -> float:
    """Slope of the correlation map where it settles; lengths that grow are divided out."""
    q = _workable(_limit(activation, w, b))
    if math.isnan(q):
        return q
    q = q or 1e-26
    try:
        scale = w**2 * q / (w**2 * activation.second(q) + b**2)
        slope = scale * activation.second(q, prime=True)
        if slope <= 1 + 1e-9:
            return slope

        def rise(c: float) -> float:
            return _correlation(activation, c, q, w, b) - c

        # The map has no negative Taylor coefficient, so below 1 it meets the diagonal once.
        if rise(1 - 1e-9) >= 0:
            return slope  # it does so within rounding of 1
        c = 0.0 if rise(0.0) < 1e-12 else brentq(rise, 0.0, 1 - 1e-9, xtol=1e-12)
        return scale * activation.pair(q, c, prime=True)
    except NoMoment:
        return math.nan


# Moments


class Moments(NamedTuple):
    """Moments of a distribution.

    Attributes
    ----------
    mean
        The mean.
    std
        The standard deviation around it.
    second
        The mean square.
    """

    mean: float
    std: float
    second: float


def truncated_normal_moments(
    low: float, high: float, *, mean: float = 0.0, std: float = 1.0
) -> Moments:
    """Moments of N(mean, std²), redrawn outside of [low, high].

    As for `torch.nn.init.trunc_normal_`, the ends are absolute, not in units of ``std``.

    Parameters
    ----------
    low, high
        The ends, ``low`` below ``high``; infinite ones are allowed.
    mean, std
        Of the normal distribution before its tails are cut off; ``std`` above 0.

    Returns
    -------
    Moments
        What is left, by quadrature: no digits are lost far out in a tail.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> round(truncated_normal_moments(-2, 2).std, 6)
    0.879626
    """
    if not (std > 0 and math.isfinite(std) and math.isfinite(mean)):
        raise ValueError(f"mean is {mean!r} and std is {std!r}; they must be finite, std above 0")
    if not low < high:
        raise ValueError(f"low is {low!r} and high is {high!r}; low must be below high")
    a, b = (low - mean) / std, (high - mean) / std
    peak = min(max(0.0, a), b)  # where the density is highest, and 1e-20 of it is the end of it
    far = 92 / (abs(peak) + math.hypot(peak, math.sqrt(92)))
    # Distances from the peak, so that far out nothing is subtracted from its like.
    left = max(a - peak, -(far if peak < 0 else 10))
    right = min(b - peak, far if peak > 0 else 10)
    edges = np.linspace(left, right, 33)
    half = np.diff(edges) / 2
    t = (edges[:-1] + half)[:, None] + half[:, None] * NODES
    weights = half[:, None] * WEIGHTS * np.exp(-t * (peak + t / 2))
    weights /= weights.sum()
    offset = float((weights * t).sum())
    spread = math.sqrt(float((weights * (t - offset) ** 2).sum()))
    center = mean + std * (peak + offset)
    return Moments(center, std * spread, center**2 + (std * spread) ** 2)


class FiniteWidth(NamedTuple):
    """Moments of the mean square that leaves a ReLU network, relative to the input's.

    Attributes
    ----------
    mean
        E[M], over draws of the weights.
    second
        E[M²].
    """

    mean: float
    second: float


def finite_width_moments(widths: Sequence[int]) -> FiniteWidth:
    """Moments of the mean square in a He-initialized ReLU network of finite width.

    With weights from N(0, 2/fan_in), zero biases and ReLU after each of the layers of widths n₁ …
    n_L, M = (‖x_L‖² / n_L) / (‖x₀‖² / n₀) is a product of independent factors (2/n) Σ relu(gᵢ)²
    with normal gᵢ, so that *exactly* E[M] = 1 and E[M²] = Π (1 + 5/n) (after Hanin and Rolnick
    2018, arXiv:1803.01719). x_L is taken after the last ReLU. A linear layer of width m with the
    same weights makes it 2 M χ²_m / m: twice the mean, and 4 (1 + 2/m) times the mean square.

    Parameters
    ----------
    widths
        Units of each ReLU layer, at least 1 each, without the input; any number of layers.

    Returns
    -------
    FiniteWidth
        ``(1, Π (1 + 5/n))``.

    Raises
    ------
    ValueError
        If a width is not a whole number, at least 1.
    TypeError
        If ``widths`` is not a sequence.

    Examples
    --------
    >>> finite_width_moments([10, 10])
    FiniteWidth(mean=1.0, second=2.25)
    """
    if isinstance(widths, str) or not isinstance(widths, Iterable):
        raise TypeError(f"widths is {widths!r}; it must be a sequence of whole numbers")
    widths = list(widths)
    for width in widths:
        if not (isinstance(width, Real) and 1 <= width < math.inf and width == int(width)):
            raise ValueError(f"widths has {width!r}; a width is a whole number, at least 1")
    return FiniteWidth(1.0, math.prod((1 + 5 / n for n in widths), start=1.0))


def residual_growth(depth: Numbers, branch_scale: Numbers = 1.0) -> Any:
    """Variance after a stack of residual blocks x + s f(x), relative to the variance before.

    Each branch f keeps the variance of its input and is uncorrelated with it (its last layer has
    its own zero-mean weights), so a block multiplies the variance by 1 + s².

    Parameters
    ----------
    depth
        Number of blocks L, at least 0.
    branch_scale
        s: 1 for plain blocks (2^L); 1/√L gives (1 + 1/L)^L, which tends to e; 0, as a last
        layer of zeros in each branch, gives 1.

    Returns
    -------
    float or ndarray
        (1 + s²)^L; infinite where a float cannot hold it.

    Raises
    ------
    ValueError
        If ``depth`` is negative or a number is not finite.

    Examples
    --------
    >>> residual_growth(10), round(residual_growth(10, 10**-0.5), 4)
    (1024.0, 2.5937)
    """
    blocks, scale = _array("depth", depth), _array("branch_scale", branch_scale)
    if not (np.isfinite(blocks) & (blocks >= 0)).all():
        raise ValueError(f"depth is {depth!r}; it must be a number of blocks, at least 0")
    if not np.isfinite(scale).all():
        raise ValueError(f"branch_scale is {branch_scale!r}; it must be finite")
    with np.errstate(over="ignore"):
        growth = np.exp(blocks * np.log1p(scale**2))
    return float(growth) if growth.ndim == 0 else growth
