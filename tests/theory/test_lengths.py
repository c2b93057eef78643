"""Lengths from layer to layer, and where they settle."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from initguide import theory

ROOT_2 = math.sqrt(2)


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
