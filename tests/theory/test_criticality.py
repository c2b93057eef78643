"""Critical lines and depth scales: published points, and what iteration shows."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from initguide import theory

ROOT_2 = math.sqrt(2)


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
@example(phi="elu", b=1e-8)  # lengths are tiny there
@example(phi="hardtanh", b=3.6e-7)  # a line up to ±1: small lengths cannot be told from critical
def test_critical_line(phi, b):
    """On the critical line χ₁ is 1; a little below there is order, above it chaos."""
    w = theory.critical_sigma_w(phi, b)
    assert theory.chi(phi, w, b) == pytest.approx(1, abs=1e-6)
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
