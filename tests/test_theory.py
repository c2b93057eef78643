"""Theory: closed forms, independent quadrature and Monte Carlo, published points, wide networks."""

import copy
import itertools
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import Generator, nn

import initguide
from initguide import initializers as init
from initguide import theory
from initguide.randomness import seeded
from initguide.theory import activations

SMOOTH = ("tanh", "sigmoid", "gelu", "silu", "erf", "softplus", "mish", "sin")
ROOT_2 = math.sqrt(2)


def _quad(f, *breaks):
    """E[f(z)] by scipy, an independent integration."""
    ends = [-12, *sorted({0, *breaks}), 12]
    density = stats.norm.pdf
    return sum(
        integrate.quad(lambda z: f(z) * density(z), a, b, epsabs=1e-13, epsrel=1e-12)[0]
        for a, b in itertools.pairwise(ends)
    )


def relu_correlation(c):
    """The arc-cosine kernel of degree 1 (Cho and Saul 2009)."""
    return (np.sqrt(1 - c**2) + c * (np.pi - np.arccos(c))) / np.pi


# Gains


@pytest.mark.parametrize(
    ("phi", "forward", "backward"),
    [
        ("relu", 1.41421, 1.41421),
        ("tanh", 1.59254, 1.46741),
        ("sigmoid", 1.84623, 4.72265),
        ("selu", 1.00000, 0.96603),
        ("gelu", 1.53353, 1.48111),
        ("silu", 1.67653, 1.62332),
    ],
)
def test_gains_of_the_reference(phi, forward, backward):
    """The recorded gains, to the digits recorded; a name, function and module say the same."""
    function = getattr(F, phi)
    module = {
        m.lower(): getattr(nn, m) for m in ("ReLU", "Tanh", "Sigmoid", "SELU", "GELU", "SiLU")
    }
    for given_as in (phi, function, module[phi](), lambda x: 1 * function(x)):
        assert theory.gain(given_as) == pytest.approx(forward, abs=5e-6)
        assert theory.backward_gain(given_as) == pytest.approx(backward, abs=5e-6)
    assert type(theory.gain(phi)) is float


@pytest.mark.parametrize(
    ("phi", "second", "prime"),
    [
        (torch.relu, 1 / 2, 1 / 2),
        (lambda x: F.leaky_relu(x, 0.3), 1.09 / 2, 1.09 / 2),
        (torch.abs, 1, 1),
        (torch.exp, math.e**2, math.e**2),
        (torch.sin, (1 - math.e**-2) / 2, (1 + math.e**-2) / 2),
        (torch.erf, 2 / math.pi * math.asin(2 / 3), 4 / math.pi / math.sqrt(5)),
        (lambda x: x**3, 15, 27),
        (lambda x: torch.exp(0.2 * x**2), 0.2**-0.5, 0.16 * 0.2**-1.5),
        (
            F.hardtanh,
            # 1 outside; z² within: P - 2 φ(1)
            math.erfc(0.5**0.5) + math.erf(0.5**0.5) - 2 * stats.norm.pdf(1),
            math.erf(0.5**0.5),
        ),
        (
            lambda x: (x - 0.7).relu(),
            1.49 * stats.norm.sf(0.7) - 0.7 * stats.norm.pdf(0.7),
            stats.norm.sf(0.7),
        ),
        (lambda x: x.clamp(-0.37, 5), None, stats.norm.cdf(5) - stats.norm.cdf(-0.37)),
    ],
)
def test_gains_against_closed_forms(phi, second, prime):
    """Moments with a closed form, smooth, kinked, growing: to ten digits."""
    if second is not None:
        assert theory.gain(phi) ** -2 == pytest.approx(second, rel=1e-10)
    assert theory.backward_gain(phi) ** -2 == pytest.approx(prime, rel=1e-10)


@pytest.mark.parametrize("phi", SMOOTH)
def test_gains_against_scipy(phi):
    """Smooth activations, integrated by scipy with a derivative by finite differences."""
    f = activations._NAMED[phi]

    def value(z):
        return float(f(torch.tensor(z, dtype=torch.float64)))

    assert theory.gain(phi) ** -2 == pytest.approx(_quad(lambda z: value(z) ** 2), rel=1e-9)
    slope = _quad(lambda z: ((value(z + 1e-5) - value(z - 1e-5)) / 2e-5) ** 2)
    assert theory.backward_gain(phi) ** -2 == pytest.approx(slope, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    kink=st.integers(-300, 300).map(lambda k: k / 100 + 0.0037),
    low=st.floats(-2, 2),
    high=st.floats(-2, 2),
)
def test_kinks_and_jumps_anywhere(kink, low, high):
    """Steps and bends at any place, found without being told; jumps to within 1e-8."""
    above = stats.norm.sf(kink)
    step = theory.length_map(1.0, lambda x: low + (high - low) * (x > kink).double(), 1.0)
    assert step == pytest.approx(high**2 * above + low**2 * (1 - above), abs=1e-8)
    bend = theory.length_map(1.0, lambda x: (x - kink).relu(), 1.0)
    exact = (1 + kink**2) * above - kink * stats.norm.pdf(kink)
    assert bend == pytest.approx(exact, rel=1e-7, abs=1e-9)


def test_modules_with_parameters():
    """PReLU holds float32 numbers; it works as it is and inside a lambda, and stays as it was."""
    module = nn.PReLU(init=0.3)
    expected = (1.09 / 2) ** -0.5
    assert theory.gain(module) == pytest.approx(expected, rel=1e-7)
    assert theory.backward_gain(lambda x: 1 * module(x)) == pytest.approx(expected, rel=1e-6)
    assert module.weight.dtype == torch.float32
    assert module.weight.grad is None
    in_place = nn.ReLU(inplace=True)
    assert theory.backward_gain(in_place) == pytest.approx(ROOT_2, rel=1e-12)
    with torch.inference_mode():
        assert theory.backward_gain(torch.tanh) == pytest.approx(1.46741, abs=5e-6)


@pytest.mark.parametrize(
    ("phi", "message"),
    [
        (nn.Softmax(dim=-1), r"phi \(Softmax\) is not elementwise: with its input in two parts"),
        (nn.Softmax(dim=1), r"on a tensor of shape \(48,\) it raised Dimension out of range"),
        (lambda x: x - x.mean(), "with its input in two parts, it gave -1.361"),
        (lambda x: x.cumsum(0), "with its input in another order"),
        (
            nn.Dropout(0.5),
            r"phi \(Dropout\) is not elementwise: called twice with the same numbers",
        ),
        (torch.sum, r"it made shape \(\) out of shape \(48,\)"),
        (F.glu, r"it made shape \(24,\) out of shape \(48,\)"),
        (lambda _: 3.0, "it returned float, not a tensor"),
        (lambda x: x + 1j, "it returned complex numbers"),
        (lambda x: torch.exp(x**2), r"E\[phi\(x\)²\] is not finite.*it grows too fast"),
        (lambda x: torch.exp(x**2 / 4), "grows too fast"),
        (lambda x: 1 / x, "the integral does not settle"),
        (torch.log, "its value is not a finite number"),
        (torch.zeros_like, "phi is 0 everywhere for phi = zeros_like"),
        ("rleu", "unknown activation 'rleu'; the names are linear, .*relu"),
    ],
)
def test_refusals_of_functions(phi, message):
    """What is not an elementwise function with finite moments is refused, with the reason."""
    state = torch.random.get_rng_state()
    with pytest.raises(ValueError, match=message):
        theory.gain(phi)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_refusals_of_derivatives():
    """No derivative, one that is 0, and one that does not add up to the function."""
    with pytest.raises(TypeError, match="phi is 3; it must be a function of a tensor"):
        theory.gain(3)
    with pytest.raises(ValueError, match="phi' is 0 everywhere for phi = sign"):
        theory.backward_gain(torch.sign)
    with pytest.raises(ValueError, match="autograd finds no derivative"):
        theory.backward_gain(lambda x: (x > 0).double())
    with pytest.raises(ValueError, match="not finite"):
        theory.backward_gain(lambda x: x.abs().sqrt())
    for phi in (torch.sign, F.hardshrink, lambda x: x.detach() + 0.5 * x):
        for function in (theory.chi, theory.depth_scale):
            with pytest.raises(ValueError, match="does not add up to phi"):
                function(phi, 1.0)
    with pytest.raises(ValueError, match="does not add up to phi"):
        theory.critical_sigma_w(torch.sign)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.length_map(1.0, "relu", 0.0), "sigma_w is 0; it must be .* above 0"),
        (lambda: theory.chi("relu", [1.0, -2.0]), "sigma_w is -2; it must be .* above 0"),
        (lambda: theory.fixed_point("relu", math.inf), "sigma_w is inf; it must be"),
        (lambda: theory.fixed_point("relu", 1.0, -0.1), "sigma_b is -0.1; it must be"),
        (lambda: theory.length_map(-1.0, "relu", 1.0), "q is -1; it must be a mean square"),
        (lambda: theory.length_map(math.nan, "relu", 1.0), "q is nan; it must be a mean square"),
        (lambda: theory.correlation_map(1.01, "relu", 1.0), r"c is 1.01; .* in \[-1, 1\]"),
        (lambda: theory.correlation_map(1 + 1e-15, "relu", 1.0), r"c is 1\.000000000000001\d*; it"),
        (lambda: theory.length_map(400.0, torch.exp, 1.0), r"not finite.* x ~ N\(0, 400\)"),
        (lambda: theory.depth_scale("tanh", 1.0, kind="x"), "kind is 'x'; it must be one of 'grad"),
        (lambda: theory.length_map([1, 2], "relu", [1, 2, 3]), r"do not go together: q \(2,\)"),
        (lambda: theory.truncated_normal_moments(1, 1), "low must be below high"),
        (lambda: theory.truncated_normal_moments(0, 1, std=0), "std above 0"),
        (lambda: theory.finite_width_moments([10, 0]), "widths has 0; a width is a whole number"),
        (lambda: theory.finite_width_moments([math.inf]), "widths has inf; a width is a whole"),
        (lambda: theory.finite_width_moments(["12"]), "widths has '12'; a width is a whole"),
        (lambda: theory.residual_growth(-1), "depth is -1; it must be"),
        (lambda: theory.residual_growth(1, math.nan), "branch_scale is nan; it must be finite"),
        (lambda: theory.fixed_points("relu", [1.0, 2.0]), "must be numbers here"),
        (lambda: theory.critical_sigma_w("gelu", 0.0), r"phi \(gelu\) has no critical sigma_w"),
    ],
)
def test_refusals_of_numbers(call, message):
    """Numbers out of range are refused by name."""
    with pytest.raises(ValueError, match=message):
        call()


def test_not_numbers():
    """Texts are no numbers."""
    with pytest.raises(TypeError, match="sigma_w is 'a'; it must be a number or an array"):
        theory.chi("relu", "a")
    for widths in (3, "12"):
        with pytest.raises(
            TypeError, match=f"widths is {widths!r}; it must be a sequence of whole"
        ):
            theory.finite_width_moments(widths)


def test_tiny_lengths():
    """Far below rounding, moments go on as the function does at 0."""
    assert theory.length_map(1e-40, "tanh", 1.0) == pytest.approx(1e-40, rel=1e-9)
    assert theory.length_map(1e-40, "relu", 2.0) == pytest.approx(2e-40, rel=1e-9)
    assert theory.length_map(1e-40, torch.square, 1.0) == pytest.approx(3e-80, rel=1e-9)
    assert theory.length_map(1e-40, "sigmoid", 2.0) == pytest.approx(1.0)
    near, far = (theory.correlation_map(0.3, "relu", 1.0, q=q) for q in (1e-40, 1.0))
    assert near == pytest.approx(far)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64])
def test_tensors_of_any_type(dtype):
    """Tensors that NumPy has no type for are numbers, too."""
    assert theory.length_map(torch.tensor([1, 2], dtype=dtype), "relu", 1.0) == pytest.approx(
        np.array([0.5, 1.0])
    )


# Lengths and correlations


@settings(max_examples=20, deadline=None)
@given(q=st.floats(1e-12, 1e8), w=st.floats(0.01, 10), b=st.floats(0, 10))
def test_length_map_closed_forms(q, w, b):
    """ReLU, erf and sine have closed forms at every length."""
    erf = 2 / math.pi * math.asin(2 * q / (1 + 2 * q))
    assert theory.length_map(q, "relu", w, b) == pytest.approx(w**2 * q / 2 + b**2, rel=1e-10)
    assert theory.length_map(q, "erf", w, b) == pytest.approx(w**2 * erf + b**2, rel=1e-9)
    if q < 100:
        sine = -math.expm1(-2 * q) / 2
        assert theory.length_map(q, "sin", w, b) == pytest.approx(w**2 * sine + b**2, rel=1e-9)


def test_arrays():
    """Arrays and tensors broadcast; numbers give Python's floats."""
    table = theory.length_map(torch.tensor([0.0, 1.0, 4.0]), "relu", np.array([[1.0], [2.0]]), 1)
    assert table == pytest.approx(np.array([[1, 1.5, 3], [1, 3, 9]]))
    assert type(theory.length_map(np.float64(1), "relu", torch.tensor(2.0), 1)) is float
    assert theory.chi("relu", [1.0, 2.0]) == pytest.approx([0.5, 2.0])
    assert theory.critical_sigma_w("relu", [0.0, 0.5]) == pytest.approx([ROOT_2, ROOT_2])
    assert theory.correlation_map([[0.5], [1]], "relu", [1, 2]).shape == (2, 2)


C = np.array([-1, -0.9999, -0.6, 0, 0.3, 0.9, 0.9999, 1 - 1e-9, 1])


def test_correlation_map_closed_forms():
    """Kinked, smooth and jumping functions, from c = -1 to 1."""
    ours = theory.correlation_map(C, torch.relu, ROOT_2)
    assert ours == pytest.approx(relu_correlation(C), abs=1e-12)
    steps = [0.0]
    for _ in range(3):
        steps.append(theory.correlation_map(steps[-1], torch.relu, ROOT_2))
    assert steps[1:] == pytest.approx([0.3183, 0.4937, 0.6048], abs=5e-5)
    for q in (1e-3, 2.0, 1e6):
        s = 2 * q / (1 + 2 * q)
        exact = np.arcsin(C * s) / np.arcsin(s)
        assert theory.correlation_map(C, "erf", 1.3, q=q) == pytest.approx(exact, abs=1e-9)
    sign = theory.correlation_map(C, torch.sign, 1.0, q=2.0)
    assert sign == pytest.approx(2 / np.pi * np.arcsin(C), abs=1e-9)
    exp = theory.correlation_map(C, torch.exp, 1.0, q=1.0)
    assert exp == pytest.approx(np.exp(C - 1), rel=1e-10)


def test_correlation_map_of_unaligned_kinks():
    """A step at 0.7: the probability that two correlated normals both exceed it."""
    c = np.array([-0.5, 0.2, 0.95])
    ours = theory.correlation_map(c, lambda x: (x > 0.7).double(), 1.0, q=1.0)
    both = [
        integrate.quad(
            lambda x, r=r: stats.norm.pdf(x) * stats.norm.sf((0.7 - r * x) / math.sqrt(1 - r * r)),
            0.7,
            12,
        )[0]
        for r in c
    ]
    assert ours == pytest.approx(np.array(both) / stats.norm.sf(0.7), abs=1e-8)


def test_correlation_map_with_biases():
    """Independent double integration by scipy for tanh with biases."""
    q = theory.fixed_point("tanh", 1.5, 0.3)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    for c in (-0.4, 0.0, 0.8):
        u = math.sqrt(q) * nodes[:, None]
        v = math.sqrt(q) * (c * nodes[:, None] + math.sqrt(1 - c * c) * nodes)
        mean = weights @ (np.tanh(u) * np.tanh(v)) @ weights
        exact = (2.25 * mean + 0.09) / q
        assert theory.correlation_map(c, "tanh", 1.5, 0.3) == pytest.approx(exact, abs=1e-8)


def test_fixed_points():
    """Closed forms for ReLU; each kind of "none" is told apart."""
    assert theory.fixed_point("relu", 1.0, 1.0) == pytest.approx(2.0, rel=1e-12)
    assert theory.fixed_point("relu", 1.0) == 0
    assert theory.fixed_point("relu", ROOT_2) == 1  # every length is a fixed point
    assert theory.fixed_point("relu", ROOT_2, 0.1) == math.inf
    assert theory.fixed_point("relu", 1.5) == math.inf
    assert theory.fixed_point("tanh", 0.9) == 0
    assert theory.fixed_point("tanh", 1.0) == 0
    assert theory.fixed_points("relu", 2.0, 0.1) == ()
    zero, other = theory.fixed_points("tanh", 1.5)
    assert zero == (0, pytest.approx(2.25), False)
    assert other.stable
    assert other.q == pytest.approx(theory.fixed_point("tanh", 1.5), rel=1e-9)
    assert theory.length_map(other.q, "tanh", 1.5) == pytest.approx(other.q, rel=1e-12)
    low, high = theory.fixed_points(torch.exp, 0.3)
    assert (low.stable, high.stable) == (True, False)
    assert low.slope == pytest.approx(2 * low.q, rel=1e-9)  # w² e^2q = q, so its slope is 2q


def test_lengths_do_not_oscillate():
    """Even a bump far out does not make the map fall faster than 1/√q: what draws in is stable."""

    def bump(x):
        return torch.exp(-50 * (x - 1) ** 2)

    (*_, only) = theory.fixed_points(bump, 60.0, 0.1)
    assert -0.5 < only.slope < -0.45
    assert only.stable
    q = 1.0
    for _ in range(60):
        q = theory.length_map(q, bump, 60.0, 0.1)
    assert theory.fixed_point(bump, 60.0, 0.1) == pytest.approx(q, rel=1e-9)


def test_tanh_at_criticality_does_not_settle():
    """At σ_w = 1 the length of tanh goes like 1 / 2l, not to 0.25."""
    q = 1.0
    for _ in range(400):
        q = theory.length_map(q, "tanh", 1.0)
    assert 2 * 400 * q == pytest.approx(1, abs=0.03)


# Criticality


def test_chi():
    """Closed forms, and the slope of the correlation map at 1."""
    assert theory.chi("relu", 1.0, 0.4) == pytest.approx(0.5, rel=1e-12)
    assert theory.chi("relu", 2.0) == pytest.approx(2.0)
    assert theory.chi("tanh", 0.9) == pytest.approx(0.81, rel=1e-12)
    assert theory.chi("gelu", 1.9, 1.0) == pytest.approx(1.9**2 / 2)  # lengths grow: the limit
    assert math.isnan(theory.chi(torch.exp, 1.0))
    h = 1e-4
    slope = (1 - theory.correlation_map(1 - h, "tanh", 1.5, 0.3)) / h
    assert theory.chi("tanh", 1.5, 0.3) == pytest.approx(slope, rel=1e-3)


def test_published_critical_points():
    """ReLU (2, 0) and tanh (1, 0); tanh, GELU and Swish as published.

    Tanh with σ_b² = 0.05: σ_w² = 1.76 (Xiao et al. 2018, arXiv:1806.05393). GELU and Swish: the
    half-stable points of Roberts, Yaida and Hanin (2022, arXiv:2106.10165),
    (C_b, C_W) to eight digits.
    """
    assert theory.critical_sigma_w("relu", 0.0) ** 2 == pytest.approx(2, rel=1e-12)
    assert theory.critical_sigma_w("tanh", 0.0) ** 2 == pytest.approx(1, rel=1e-12)
    assert theory.critical_sigma_w("tanh", 0.05**0.5) ** 2 == pytest.approx(1.76, abs=5e-3)
    gelu = theory.critical_sigma_w("gelu", 0.17292239**0.5) ** 2
    swish = theory.critical_sigma_w("silu", 0.55514317**0.5) ** 2
    assert gelu == pytest.approx(1.98305826, abs=1e-7)
    assert swish == pytest.approx(1.98800468, abs=1e-7)


@settings(max_examples=10, deadline=None)
@given(phi=st.sampled_from(["tanh", "erf", "hardtanh", "elu", "relu"]), b=st.floats(0, 3))
def test_critical_line(phi, b):
    """On the critical line χ₁ is 1; a little below there is order, above it chaos."""
    w = theory.critical_sigma_w(phi, b)
    assert theory.chi(phi, w, b) == pytest.approx(1, abs=1e-7)
    assert theory.chi(phi, 0.97 * w, b) < 1 < theory.chi(phi, 1.03 * w, b)


def test_critical_line_by_another_way():
    """The line of tanh from nested bisection over Gauss-Hermite sums, written independently."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(160)
    weights = weights / weights.sum()

    def chi(w, b):
        q = 1.0
        for _ in range(3000):
            q = w**2 * weights @ np.tanh(math.sqrt(q) * nodes) ** 2 + b**2
        return w**2 * weights @ np.cosh(math.sqrt(q) * nodes) ** -4.0

    for b in (0.1, 0.5):
        low, high = 0.5, 3.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if chi(middle, b) < 1 else (low, middle)
        assert theory.critical_sigma_w("tanh", b) == pytest.approx(low, abs=1e-6)


def test_depth_scales():
    """-1/ln χ₁ in order, the same without its sign in chaos, infinite at criticality."""
    assert theory.depth_scale("tanh", 0.9) == pytest.approx(-1 / math.log(0.81), rel=1e-12)
    chaos = theory.chi("tanh", 1.5, 0.2)
    assert theory.depth_scale("tanh", 1.5, 0.2) == pytest.approx(1 / math.log(chaos), rel=1e-12)
    for phi, w in (("relu", ROOT_2), ("tanh", 1.0)):
        assert theory.depth_scale(phi, w) == math.inf
    ordered = [theory.depth_scale("tanh", 1.2, 0.5, kind=k) for k in ("gradient", "correlation")]
    assert ordered[0] == pytest.approx(ordered[1], rel=1e-12)


@pytest.mark.parametrize(("w", "b"), [(1.2, 0.5), (1.8, 0.3)])
def test_depth_scales_are_what_iteration_shows(w, b):
    """Distances from the fixed points shrink as the scales of length and correlation say."""
    star = theory.fixed_point("tanh", w, b)
    q = star * (1 + 1e-4)
    ratio = (theory.length_map(q, "tanh", w, b) - star) / (q - star)
    assert theory.depth_scale("tanh", w, b, kind="signal") == pytest.approx(
        -1 / math.log(ratio), rel=1e-3
    )
    c = 0.5
    for _ in range(60 if w < 1.5 else 40):
        before, c = c, theory.correlation_map(c, "tanh", w, b, q=star)
    after = theory.correlation_map(c, "tanh", w, b, q=star)
    following = theory.correlation_map(after, "tanh", w, b, q=star)
    if abs(c - before) > 1e-9:
        ratio = (following - after) / (after - c)
        assert theory.depth_scale("tanh", w, b, kind="correlation") == pytest.approx(
            -1 / math.log(ratio), rel=1e-2
        )


# Moments


@settings(max_examples=40, deadline=None)
@given(low=st.floats(-6, 5), width=st.floats(0.01, 8), mean=st.floats(-3, 3), std=st.floats(0.1, 5))
def test_truncated_normal_against_scipy(low, width, mean, std):
    """Any two ends, a mean and a spread; scipy's own formulas agree."""
    a, b = low, low + width
    ours = theory.truncated_normal_moments(mean + std * a, mean + std * b, mean=mean, std=std)
    theirs = stats.truncnorm(a, b, loc=mean, scale=std)
    assert ours.mean == pytest.approx(theirs.mean(), abs=1e-9)
    assert ours.std == pytest.approx(theirs.std(), rel=1e-5)
    assert ours.second == pytest.approx(ours.mean**2 + ours.std**2)


def test_truncated_normal():
    """The recorded 0.879626, no truncation at all, and torch's own draws with absolute ends."""
    assert theory.truncated_normal_moments(-2, 2).std == pytest.approx(0.879626, abs=5e-7)
    assert theory.truncated_normal_moments(-math.inf, math.inf) == pytest.approx((0, 1, 1))
    assert theory.truncated_normal_moments(50, math.inf).std == pytest.approx(0.01997606, rel=1e-6)
    far = theory.truncated_normal_moments(1e9, 2e9)
    assert (far.mean, far.std) == pytest.approx((1e9, 1e-9), rel=1e-6)
    drawn = torch.empty(200_000).double()
    nn.init.trunc_normal_(drawn, 0.5, 2.0, -1.0, 3.0, generator=Generator().manual_seed(0))
    ours = theory.truncated_normal_moments(-1, 3, mean=0.5, std=2)
    assert (float(drawn.mean()), float(drawn.std())) == pytest.approx(ours[:2], abs=0.01)


def test_finite_width_by_monte_carlo():
    """Many narrow He networks: mean 1, mean square the product; a linear layer on top as told."""
    generator = Generator().manual_seed(0)
    draws, widths = 200_000, (20, 30, 15)
    x = torch.full((draws, 4), 0.7)
    start = x.square().mean(1)
    for width in widths:
        # W x for Gaussian W is Gaussian with the length of x: no need to draw all of W.
        length = (2 * x.square().mean(1, keepdim=True)).sqrt()
        x = (length * torch.randn(draws, width, generator=generator)).relu()
    m = x.square().mean(1) / start
    exact = theory.finite_width_moments(widths)
    assert exact.second == pytest.approx((1 + 5 / 20) * (1 + 5 / 30) * (1 + 5 / 15))
    assert float(m.mean()) == pytest.approx(1, abs=0.01)
    assert float(m.square().mean()) == pytest.approx(exact.second, rel=0.03)
    z = (2 * m[:, None]).sqrt() * torch.randn(draws, 10, generator=generator)
    last = z.square().mean(1)
    assert float(last.mean()) == pytest.approx(2, abs=0.02)
    assert float(last.square().mean()) == pytest.approx(4 * 1.2 * exact.second, rel=0.04)
    assert theory.finite_width_moments([]) == (1, 1)


def test_residual_growth():
    """2^L, (1 + 1/L)^L → e, and 1."""
    assert theory.residual_growth(20) == pytest.approx(2.0**20)
    assert theory.residual_growth(16, 0.25) == pytest.approx((1 + 1 / 16) ** 16)
    assert theory.residual_growth(10**8, 10**-4) == pytest.approx(math.e, rel=1e-7)
    assert theory.residual_growth(50, 0.0) == 1
    assert theory.residual_growth(5000) == math.inf
    table = theory.residual_growth([1, 2], [[1.0], [0.0]])
    assert table == pytest.approx(np.array([[2.0, 4.0], [1.0, 1.0]]))


# Wide networks


@pytest.mark.parametrize(
    ("phi", "w", "b"), [(torch.tanh, 1.5, 0.3), (torch.relu, ROOT_2, 0.0), (F.gelu, 1.2, 0.5)]
)
def test_maps_against_wide_networks(phi, w, b):
    """Length, correlation and gradient of drawn networks, 1,500 units wide."""
    generator = Generator().manual_seed(1)
    n, c, q = 1500, 0.5, 1.0
    shared, *own = torch.randn(3, n, generator=generator)
    pair = torch.stack([shared, c * shared + math.sqrt(1 - c**2) * own[0]])
    for _ in range(3):
        h = pair.requires_grad_()
        weight = torch.randn(n, n, generator=generator) * (w / math.sqrt(n))
        bias = b * torch.randn(n, generator=generator)
        after = phi(h) @ weight.T + bias
        c, q = (
            theory.correlation_map(c, phi, w, b, q=q),
            theory.length_map(q, phi, w, b),
        )
        pair = after.detach()
        assert pair.square().mean().item() == pytest.approx(q, rel=0.1)
        cosine = F.cosine_similarity(pair[0], pair[1], dim=0).item()
        assert cosine == pytest.approx(c, abs=0.05)
    delta = torch.randn(2, n, generator=generator)
    (gradient,) = torch.autograd.grad(after, h, delta)
    measured = float(gradient.square().mean() / delta.square().mean())
    previous = float(h.detach().square().mean())
    slope = activations.Activation(phi).second(previous, prime=True)
    assert measured == pytest.approx(w**2 * slope, rel=0.12)


# Predictions


@pytest.fixture(scope="module")
def images(sample):
    """200 images of the sample."""
    return sample.train.images[:200]


LESSON = {  # per E[x²] = 0.2064 of the full data, as recorded
    "general_rule": (0.0688, 0.01147, 0.00191),
    "normal": (0.2064, 0.1032, 0.0516),
    "he_normal": (0.4129, 0.4129, 0.4129),
    "uniform": (13.49, 143.9, 767),
}


@pytest.mark.parametrize("name", LESSON)
def test_the_lesson(name, images):
    """The recorded table, for draws of the weights; measured values agree on average."""
    schemes = {
        "general_rule": init.general_rule(),
        "normal": init.lecun_normal(),
        "he_normal": init.he_normal(),
        "uniform": init.uniform(-0.5, 0.5),
    }
    scale = float(images.square().mean()) / 0.2064
    net = initguide.Net().eval()
    predicted, measured = [], []
    for seed in range(12):
        table = theory.predict_variances(
            initguide.initialize(net, schemes[name], seed=seed), images
        )
        assert [(r.name, r.kind, r.basis, r.reason) for r in table] == [
            (f"fc{i}", "Linear", "the inputs", "") for i in (1, 2, 3)
        ]
        predicted.append([float(r) for r in table])
        measured.append([r.measured for r in table])
    expected = np.array(LESSON[name]) * scale
    assert np.mean(predicted, axis=0) == pytest.approx(expected, rel=0.03)
    assert np.mean(measured, axis=0) == pytest.approx(expected, rel=0.3)


def test_default_counts_biases(images):
    """PyTorch's default has random biases: E[b²] is in the prediction."""
    net = initguide.initialize(initguide.Net(), "default", seed=0).eval()
    first = theory.predict_variances(net, images)["fc1"].second_moment
    exact = 784 * net.fc1.weight.double().square().mean() * images.double().square().mean()
    exact += net.fc1.bias.double().square().mean()
    assert first == pytest.approx(float(exact.detach()), rel=1e-6)


def test_dropout_counts_while_training(images):
    """Each dropout of 0.2 multiplies the mean square by 1 / 0.8 while training."""
    net = initguide.initialize(initguide.Net(), "he_normal", seed=0)
    on = [r.second_moment for r in theory.predict_variances(net, images)]
    off = [r.second_moment for r in theory.predict_variances(net.eval(), images)]
    assert np.array(on) / off == pytest.approx([1, 1.25, 1.5625], rel=1e-9)


@pytest.mark.parametrize("scheme", ["ones()", "constant(0.1)", "uniform()", "normal(1.0)"])
def test_weights_with_a_mean_are_not_guessed(scheme, images):
    """Constants and U[0, 1) are declared unpredictable; the next layer starts from what is."""
    net = initguide.initialize(initguide.Net(), "he_normal", seed=0).eval()
    init.from_name(scheme)(net.fc1)
    table = theory.predict_variances(net, images)
    if scheme == "normal(1.0)":
        assert table["fc1"].predicted
        return
    assert [r.predicted for r in table] == [False, True, True]
    assert math.isnan(table["fc1"].second_moment)
    assert math.isnan(float(table["fc1"]))
    assert re.match(r"its weights have mean .*, not 0", table["fc1"].reason)
    assert table["fc2"].basis == "what was measured after fc1, then relu"
    hidden = F.relu(net.fc1(images.flatten(1))).double().square().mean()
    exact = 256 * net.fc2.weight.double().square().mean() * hidden
    assert table["fc2"].second_moment == pytest.approx(float(exact.detach()), rel=1e-5)
    assert "–" in str(table)
    assert "from what was measured after fc1, then relu" in str(table)


def test_zeros_and_structured_weights(images):
    """Zeros are predicted; equal units and weights that pick out some inputs are refused."""
    net = initguide.initialize(initguide.Net(), "zeros").eval()
    assert [r.second_moment for r in theory.predict_variances(net, images)] == [0, 0, 0]
    net = initguide.initialize(net, "he_normal", seed=0)
    with torch.no_grad():
        net.fc1.weight[:] = net.fc1.weight[:1] - net.fc1.weight[:1].mean()
        net.fc2.weight[:] = torch.linspace(-1, 1, 128)[:, None]
        net.fc3.weight[:] = torch.eye(10, 128)
    reasons = [r.reason for r in theory.predict_variances(net, images)]
    assert reasons == [
        "the weights of an input are alike, not drawn independently of each other",
        "the weights of a unit are alike, not drawn independently of each other",
        "its weights single out some of its inputs",
    ]


@pytest.mark.parametrize(
    "activation",
    [nn.Tanh(), nn.GELU(), nn.SELU(), nn.Hardswish(), nn.LeakyReLU(0.2), nn.PReLU(), nn.Softplus(),
     nn.Sigmoid(), nn.ReLU(inplace=True), nn.Sequential(nn.Identity(), nn.ELU())],
)  # fmt: skip
def test_activations_in_wide_networks(activation):
    """Predicted and measured agree within noise, with inputs of very different lengths."""
    generator = Generator().manual_seed(0)
    x = torch.randn(64, 600, generator=generator) * torch.linspace(0.1, 3, 64)[:, None]
    net = nn.Sequential(
        nn.Linear(600, 800), activation, nn.Linear(800, 800), activation, nn.Linear(800, 800)
    )
    initguide.initialize(net, init.he_normal(generator=generator))
    with torch.no_grad():
        net[2].bias.normal_(0.3, 0.2, generator=generator)  # a mean, too
    for record in theory.predict_variances(net, x):
        assert record.basis == "the inputs"
        assert record.second_moment == pytest.approx(record.measured, rel=0.06)


def test_convolutions():
    """Padding, stride, groups, dilation and transposes: the taps are counted exactly."""
    generator = Generator().manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(8, 64, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(64, 64, 5, padding=2, stride=2, groups=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding="same", dilation=2),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1, groups=4),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular"),
    )
    x = torch.randn(8, 8, 8, 8, generator=generator)
    ratios = []
    for _ in range(12):
        initguide.initialize(net, init.he_normal(generator=generator))
        ratios.append([r.measured / r.second_moment for r in theory.predict_variances(net, x)])
    assert np.mean(ratios, axis=0) == pytest.approx(np.ones(5), abs=0.06)
    single = nn.Conv1d(1, 500, 3, padding=1, bias=False)
    initguide.initialize(single, init.normal(1.0, generator=generator))
    # Three places: the outer ones see two numbers, the middle one three.
    second = float(single.weight.detach().double().square().mean())
    x = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert theory.predict_variances(single, x)[0].second_moment == pytest.approx(
        second * (5 + 14 + 13) / 3, rel=1e-6
    )


class Sum(nn.Module):
    """Two layers, and a function of what they give."""

    def __init__(self, function):
        super().__init__()
        self.one, self.two = nn.Linear(100, 100), nn.Linear(100, 100)
        self.last, self.function = nn.Linear(100, 100), function

    def forward(self, x):
        """The last layer sees the function's result."""
        return self.last(self.function(self.one(x), self.two(x)))


@pytest.mark.parametrize(
    ("function", "by_hand"),
    [
        (lambda a, _: torch.rsub(a, 1.0, alpha=2), lambda a, _: 1 - 2 * a),
        (lambda a, _: 1.0 - a, lambda a, _: 1 - a),
        (lambda a, _: torch.sub(a, 1.0, alpha=2), lambda a, _: a - 2),
        (lambda a, b: torch.rsub(a, b, alpha=2).relu(), lambda a, b: (b - 2 * a).relu()),
        (lambda a, b: torch.sub(a, b, alpha=2).relu(), lambda a, b: (a - 2 * b).relu()),
    ],
)
def test_differences(function, by_hand):
    """Differences either way round, with the factor that alpha is."""
    generator = Generator().manual_seed(0)
    net, x = Sum(function), torch.randn(200, 100, generator=generator)
    initguide.initialize(net, init.normal(0.1, generator=generator))
    nn.init.constant_(net.one.bias, 0.8)
    with torch.no_grad():
        q = by_hand(net.one(x), net.two(x)).square().mean() * net.last.weight.square().sum(1).mean()
    record = theory.predict_variances(net, x)["last"]
    assert record.basis == "the inputs"
    assert record.second_moment == pytest.approx(float(q), rel=0.1)


def test_embedding_bag_is_told_as_unpredicted():
    """A layer without a rule has a record that says so, also if whole numbers go in."""
    net = nn.Sequential(nn.EmbeddingBag(10, 8), nn.Linear(8, 3))
    table = theory.predict_variances(net, (torch.arange(20) % 10).reshape(4, 5))
    assert [(r.kind, r.predicted) for r in table] == [("EmbeddingBag", False), ("Linear", True)]
    assert table[0].reason == "no rule for EmbeddingBag"


@pytest.mark.parametrize("padded_before", [False, True])
def test_borders_of_deep_convolutions(padded_before):
    """On small maps zero padding takes what a box filter over the map says, 20 layers deep."""
    net, box = nn.Sequential(), torch.ones(1, 1, 3, 3) / 9
    for i in range(20):
        pad = [nn.ZeroPad2d(1)] if padded_before else []
        conv = nn.Conv2d(32 if i else 1, 32, 3, padding=0 if pad else 1)
        net.extend([*pad, conv, nn.ReLU()])
    initguide.initialize(net, init.he_normal(generator=Generator().manual_seed(0)))
    x = torch.randn(8, 1, 5, 5, generator=Generator().manual_seed(0))
    records = theory.predict_variances(net, x)
    q = F.conv2d(x.square().mean(0, keepdim=True), box, padding=1)
    kept = 1 / q.mean()
    for _ in range(19):
        q = F.conv2d(q, box, padding=1)
    kept = float(kept * q.mean())  # 0.02; with all positions equally strong it would be 0.0006
    assert records[-1].basis == "the inputs"
    assert 0.6 < records[-1].second_moment / records[0].second_moment / kept < 1.6


class Residual(nn.Module):
    """A residual block, with what a test wants in it."""

    def __init__(self, width, scale=1.0, *, tied=False):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, width)
        self.last = self.first if tied else nn.Linear(width, width)
        self.scale = scale

    def forward(self, x):
        """The block: x + s f(x)."""
        return x + self.scale * self.last(F.relu(self.first(self.norm(x))))


def test_residual_stacks():
    """Branches add up as `residual_growth` says, where they can be followed."""
    generator = Generator().manual_seed(0)
    blocks = [Residual(400, 0.5) for _ in range(6)]
    net = nn.Sequential(*blocks, nn.Linear(400, 400)).apply(init.he_normal(generator=generator))
    x = torch.randn(32, 400, generator=generator)
    table = theory.predict_variances(net, x)
    assert all(r.basis == "the inputs" for r in table)
    # LayerNorm makes each branch's output 2: six times 0.25 · 2, then He doubles.
    assert table[-1].second_moment == pytest.approx(2 * (1 + 6 * 0.5), rel=0.02)
    assert table[-1].measured == pytest.approx(table[-1].second_moment, rel=0.1)


def test_correlated_sums_and_tied_weights():
    """A sum of a thing and what was made of it by the same layer is not followed."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out = nn.Linear(200, 200), nn.Linear(200, 5)

        def forward(self, x):
            y = self.layer(x)
            return self.out(y + torch.tanh(y))

    table = theory.predict_variances(Twice(), torch.randn(20, 200))
    assert table["out"].basis.endswith("add (the summands may be correlated)")
    table = theory.predict_variances(Residual(100, tied=True), torch.randn(20, 100))
    assert [r.name for r in table] == ["first", "first"]
    assert [r.predicted for r in table] == [True, False]
    assert table[1].reason.startswith("its weights were used before")


def test_norms():
    """Batch norm in both modes, group, instance and RMS norm: E[γ²] + E[β²]."""
    generator = Generator().manual_seed(0)
    for norm in (nn.BatchNorm2d(64), nn.GroupNorm(4, 64), nn.InstanceNorm2d(64, affine=True)):
        with torch.no_grad():
            norm.weight.uniform_(0.5, 1.5, generator=generator)
        net = nn.Sequential(nn.Conv2d(3, 64, 3, bias=False), norm, nn.Conv2d(64, 256, 3))
        for layer in (net[0], net[2]):
            init.he_normal(generator=generator)(layer)
        record = theory.predict_variances(net, torch.randn(16, 3, 9, 9, generator=generator))[1]
        assert record.second_moment == pytest.approx(record.measured, rel=0.15)
        assert record.second_moment == pytest.approx(
            2 * float(norm.weight.detach().square().mean()),
            rel=0.04,  # by chance not the same everywhere, and the middle is seen more often
        )
    net = nn.Sequential(nn.Linear(300, 300), nn.BatchNorm1d(300), nn.ReLU(), nn.Linear(300, 300))
    net.apply(init.normal(0.2, generator=generator)).eval()  # running statistics: 0 and 1
    record = theory.predict_variances(net, torch.randn(50, 300, generator=generator))[1]
    assert record.basis == "the inputs"
    assert record.second_moment == pytest.approx(record.measured, rel=0.1)
    net[1].running_mean += 5
    record = theory.predict_variances(net, torch.randn(50, 300, generator=generator))[1]
    assert "running mean" in record.basis


def test_pools_attention_and_recurrent_layers():
    """What cannot be followed is named, and the next layer goes on from the measurement."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 10), nn.Softmax(-1), nn.Linear(10, 3),
    )  # fmt: skip
    table = theory.predict_variances(net, torch.randn(4, 1, 28, 28))
    assert [r.predicted for r in table] == [True] * 4
    bases = [r.basis for r in table]
    assert bases[0] == "the inputs"
    assert bases[1].startswith("what was measured after max_pool2d (pooling depends")
    assert bases[2].startswith("what was measured after avg_pool2d (pooling depends")
    assert bases[3].startswith("what was measured after softmax")

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 32)
            self.mix = nn.MultiheadAttention(32, 4, batch_first=True)
            self.rnn = nn.GRU(32, 16, batch_first=True)
            self.out = nn.Linear(16, 2)

        def forward(self, tokens):
            x = self.embed(tokens)
            x = x + self.mix(x, x, x, need_weights=False)[0]
            return self.out(self.rnn(x)[0][:, -1])

    table = theory.predict_variances(Tokens(), torch.arange(20).reshape(4, 5))
    assert [(r.name, r.predicted, r.reason) for r in table] == [
        ("embed", True, ""),
        ("mix", False, "no rule for MultiheadAttention"),
        ("rnn", False, "no rule for GRU"),
        ("out", True, ""),
    ]


def test_inputs_as_tuples_and_dictionaries():
    """Arguments by place and by name; a bare layer; a record by number, name and slice."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(300, 300), nn.Linear(200, 300)

        def forward(self, x, y):
            return self.a(x) + self.b(y)

    net, x, y = Two(), torch.ones(4, 300), 2 * torch.ones(4, 200)
    by_place = theory.predict_variances(net, (x, y))
    assert by_place == theory.predict_variances(net, {"y": y, "x": x})
    assert by_place["b"] is by_place[1]
    assert [r.name for r in by_place[:1]] == ["a"]
    assert len(by_place) == 2
    assert hash(by_place) == hash(by_place[:])
    assert "<table>" in by_place._repr_html_()
    with pytest.raises(KeyError, match=r"no layer 'c' was predicted; the layers are: a, b"):
        by_place["c"]
    assert theory.predict_variances(nn.Linear(3, 4), torch.ones(2, 3))[0].name == "Linear"


def _state(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_comes_back_as_it_was(fails):
    """Weights, buffers, gradients, mode, hooks, inputs and generators, also after an error."""

    class Fails(nn.Module):
        def forward(self, x):
            if fails:
                raise RuntimeError("no")
            return x

    net = nn.Sequential(
        nn.ReLU(inplace=True), nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(), Fails()
    )
    x = torch.randn(8, 6)
    before, given_x, generators = _state(net), x.clone(), torch.random.get_rng_state()
    net[1].weight.grad = torch.ones(6, 6)
    if fails:
        with pytest.raises(RuntimeError, match=r"^no\n"):
            theory.predict_variances(net, x)
    else:
        assert theory.predict_variances(net, x) == theory.predict_variances(net, x)
    after = net.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert torch.equal(x, given_x)
    assert torch.equal(torch.random.get_rng_state(), generators)
    assert net[1].weight.grad.sum() == 36
    assert net.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_edits_and_attributes_are_put_back():
    """What a forward pass leaves in attributes and in an embedding with a maximal norm."""

    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.fc = nn.Embedding(6, 4, max_norm=1.0), nn.Linear(4, 2)
            self.n = 0

        def forward(self, tokens):
            self.n += 1
            return self.fc(self.table(tokens))

    net = Counts()
    with torch.no_grad():
        net.table.weight.fill_(3.0)
    theory.predict_variances(net, torch.arange(6))
    assert net.n == 0
    assert (net.table.weight == 3).all()


def test_a_list_is_one_argument():
    """Only a tuple is positional, as for measure."""

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, parts):
            return self.fc(parts[0] if isinstance(parts, list) else parts)

    x = torch.randn(3, 4, generator=Generator().manual_seed(0))
    listed = theory.predict_variances(First(), [x, x])
    assert [r.name for r in listed] == ["fc"]


def test_computed_weights_are_not_mistaken_for_each_other():
    """Memory that one computed weight leaves may become the next one's: still another weight."""
    generator = Generator().manual_seed(0)
    net = nn.Sequential()
    for _ in range(5):
        layer = nn.Linear(50, 50)
        init.he_normal(generator=generator)(layer)
        net.append(nn.utils.parametrizations.weight_norm(layer)).append(nn.ReLU())
    table = theory.predict_variances(net, torch.randn(20, 50, generator=generator))
    assert [r.reason for r in table] == [""] * 5


def test_norms_of_constant_features():
    """Features that never change come out as 0, not as 1: measured, and told."""
    generator = Generator().manual_seed(0)
    x = torch.randn(50, 200, generator=generator)
    x[:, :100] = 3.0
    net = nn.Sequential(nn.BatchNorm1d(200), nn.Linear(200, 200))
    init.normal(0.05, generator=generator)(net[1])
    record = theory.predict_variances(net, x)[0]
    assert "batch_norm (it keeps 0.5 of the mean square, not 1: part of its" in record.basis
    assert record.second_moment == pytest.approx(record.measured, rel=0.1)
    net = nn.Sequential(nn.LayerNorm(200), nn.Linear(200, 200))
    init.normal(0.05, generator=generator)(net[1])
    assert "is constant, or as small as eps" in theory.predict_variances(net, x.mul(1e-3))[0].basis
    other = nn.InstanceNorm1d(4, track_running_stats=True).eval()  # running statistics: 0 and 1
    net = nn.Sequential(other, nn.Flatten(), nn.Linear(40, 100))
    init.normal(0.1, generator=generator)(net[2])
    record = theory.predict_variances(net, 3 * torch.randn(50, 4, 10, generator=generator))[0]
    assert record.second_moment == pytest.approx(record.measured, rel=0.1)


@pytest.mark.parametrize(
    ("step", "basis"),
    [
        (lambda h: torch.add(input=h, other=torch.zeros(60)), "the inputs"),
        (lambda h: torch.mul(input=h, other=2.0), "the inputs"),
        (lambda h: torch.sub(h, other=torch.zeros(60)), "the inputs"),
        (lambda h: torch.div(h, 2.0, rounding_mode="floor"), r"measured after div \(it rounds\)"),
        (lambda h: torch.cat([h, h[:, :0].reshape(len(h), 0)], 1), "its result is not finite"),
        (lambda h: (h / 0).clamp(-1, 1), r"rule failed: ZeroDivisionError: .*division by zero"),
        (lambda h: (h / torch.tensor(0.0)).clamp(-1, 1), "its result is not finite"),
    ],
)
def test_any_call_is_followed_or_told(step, basis):
    """Keywords, rounding, empty parts and divisions by 0: a prediction, or why not; no crash."""

    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(60, 60), nn.Linear(60, 60)

        def forward(self, x):
            return self.b(step(self.a(x)))

    generator = Generator().manual_seed(0)
    net, x = Steps(), torch.randn(20, 60, generator=generator)
    for layer in (net.a, net.b):
        init.he_normal(generator=generator)(layer)
    first, second = theory.predict_variances(net, x)
    assert (first.name, second.name) == ("a", "b")
    assert re.search(basis, second.basis)


def test_other_modes_of_the_caller():
    """Under no_grad, in inference mode, in half precision and with computed weights."""
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(64, 64)), nn.ReLU())
    net.append(nn.Linear(64, 64))
    x = torch.randn(16, 64)
    table = theory.predict_variances(net, x)
    assert [r.name for r in table] == ["0", "2"]
    with torch.inference_mode():
        assert theory.predict_variances(net, x.clone()) == table
    half = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64)).to(torch.bfloat16)
    assert all(r.predicted for r in theory.predict_variances(half, x.to(torch.bfloat16)))


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_refusals_of_models_and_inputs():
    """Wrong models and inputs are refused by name."""
    net = nn.Linear(3, 3)
    with pytest.raises(TypeError, match=r"model is of type int; it must be a torch.nn.Module"):
        theory.predict_variances(3, torch.ones(2, 3))
    with pytest.raises(TypeError, match=r"model is a torch\.jit\.ScriptModule.* pass the original"):
        theory.predict_variances(torch.jit.script(net), torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"weight has no shape yet .a lazy layer"):
        theory.predict_variances(nn.LazyLinear(3), torch.ones(2, 3))
    with pytest.raises(ValueError, match="inputs hold NaN or infinite numbers"):
        theory.predict_variances(net, torch.full((2, 3), math.nan))
    for nothing in (torch.ones(0, 3), ()):
        with pytest.raises(ValueError, match="inputs holds no numbers"):
            theory.predict_variances(net, nothing)
    with pytest.raises(ValueError, match="weight is on the meta device, which holds no numbers"):
        theory.predict_variances(nn.Linear(3, 3, device="meta"), torch.ones(2, 3))
    with pytest.raises(TypeError, match=r"inputs is of type ndarray; .* torch.from_numpy"):
        theory.predict_variances(net, np.ones((2, 3)))
    with pytest.raises(RuntimeError, match=r"Linear in training mode; inputs: \(2, 5\) float32"):
        theory.predict_variances(net, torch.ones(2, 5))


def test_weights_used_without_a_module(images):
    """Functions with a model's own weights are layers, too."""

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = nn.Parameter(torch.randn(50, 784, generator=Generator().manual_seed(0)))

        def forward(self, x):
            return F.linear(x.flatten(1), self.matrix)

    (record,) = theory.predict_variances(Own(), images)
    assert (record.name, record.kind, record.predicted) == ("matrix", "linear", True)


def test_public_names():
    """Every public name exists and is documented; the package offers the module."""
    assert initguide.theory is theory
    for name in theory.__all__:
        assert getattr(theory, name).__doc__


class Pause(nn.Module):
    """Lets other threads in."""

    def forward(self, x):
        """Wait a moment."""
        time.sleep(0.002)
        return x


def test_threads_do_not_disturb_each_other():
    """In several threads the results are those of one, and the global generator is put back."""
    net = nn.Sequential(nn.Linear(20, 20), Pause(), nn.Dropout(0.5), nn.ReLU(), nn.Linear(20, 20))
    x = torch.randn(10, 20, generator=Generator().manual_seed(0))
    alone, before = theory.predict_variances(net, x), torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: theory.predict_variances(copy.deepcopy(net), x), range(12)))
    # To rounding: how torch splits a product may depend on the thread that asks for it. Another
    # mask of the dropout changes more than a tenth.
    for one in found:
        assert [r.measured for r in one] == pytest.approx([r.measured for r in alone], rel=1e-4)
        assert list(map(float, one)) == pytest.approx(list(map(float, alone)), rel=1e-4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("call", ["gain", "predict_variances"])
def test_one_thread_at_a_time_has_the_global_generator(call):
    """What uses the global generator waits until another thread has put it back."""
    args = (torch.sin,) if call == "gain" else (nn.Linear(2, 2), torch.ones(3, 2))
    with ThreadPoolExecutor(1) as pool:
        with seeded(0):
            waiting = pool.submit(getattr(theory, call), *args)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
        assert waiting.result(timeout=20)
