"""How unequally a network treats directions, against closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from initguide import theory


def slopes_add(phi, sigma_w, depth, **settings):
    """What each layer's slopes add, without the weights."""
    return np.diff(theory.jacobian_spread(phi, sigma_w, depth, orthogonal=True, **settings))


@pytest.mark.parametrize("sigma_b", [0.0, 0.5])
def test_piecewise_linear_slopes_add_the_same_everywhere(sigma_b):
    """Linear layers add 0, ReLU 1, and leaky ReLU what its two slopes say, whatever the length."""
    leaky = 2 * (1 + 0.2**4) / (1 + 0.2**2) ** 2 - 1
    for phi, expected in (("linear", 0), ("relu", 1), (torch.nn.LeakyReLU(0.2), leaky)):
        found = slopes_add(phi, 1.3, 8, sigma_b=sigma_b)
        np.testing.assert_allclose(found, expected, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(q=st.floats(0, 100), w=st.floats(0.05, 5), b=st.floats(0, 2))
def test_erf_has_a_closed_form_at_every_length(q, w, b):
    """E[φ'⁴] / E[φ'²]² = (1 + 4q) / √(1 + 8q) for erf, at the lengths on the way."""
    lengths = [w**2 * q + b**2]
    while len(lengths) < 4:
        lengths.append(theory.length_map(lengths[-1], "erf", w, b))
    expected = [(1 + 4 * q) / math.sqrt(1 + 8 * q) - 1 for q in lengths]
    found = slopes_add("erf", w, 5, sigma_b=b, q=q)
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_hard_tanh_adds_what_is_flat():
    """With slopes 0 and 1, 1/p - 1 is added, p the share of slopes that are 1."""
    inside = math.erf(1 / math.sqrt(2))
    (found,) = slopes_add("hardtanh", 1.0, 2)
    assert found == pytest.approx(1 / inside - 1, rel=1e-9)


def test_a_gaussian_matrix_adds_1():
    """Gaussian weights add 1 per layer to whatever the slopes add; no slopes before the first."""
    both = [theory.jacobian_spread("tanh", 1.2, 6, orthogonal=o) for o in (False, True)]
    np.testing.assert_allclose(both[0] - both[1], np.arange(1, 7))
    assert both[1][0] == 0
    assert (both[1][1:] > 0).all()


def test_what_is_refused():
    """A number of layers below 1, scales out of range, and functions that jump."""
    with pytest.raises(ValueError, match="depth is 0; it must be a whole number, at least 1"):
        theory.jacobian_spread("relu", 1.0, 0)
    with pytest.raises(ValueError, match="sigma_w is 0; it must be"):
        theory.jacobian_spread("relu", 0.0, 2)
    with pytest.raises(ValueError, match="it jumps"):
        theory.jacobian_spread(lambda x: (x > 0).double() * (1 + 0 * x), 1.0, 2)


@pytest.mark.parametrize("name", ["sigma_w", "sigma_b", "q"])
def test_arrays_are_refused_by_name(name):
    """It is a curve over the depth of one network."""
    numbers = {"sigma_w": 1.0, "sigma_b": 0.0, "q": 1.0} | {name: [1.0, 2.0]}
    with pytest.raises(ValueError, match=rf"{name} is an array of shape \(2,\); it must be one"):
        theory.jacobian_spread("tanh", depth=3, **numbers)


def test_a_constant_activation_has_no_spread():
    """A Jacobian of 0 has no relative variance."""
    with pytest.raises(ValueError, match=r"has no slope .* the Jacobian is 0"):
        theory.jacobian_spread(lambda x: 0 * x, 1.0, 3)
