"""How many units do nothing, against closed forms and drawn signs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from initguide import theory


@settings(max_examples=20, deadline=None)
@given(bias=st.floats(-5, 5), c=st.floats(0, 1), inputs=st.integers(1, 2000))
def test_limits(bias, c, inputs):
    """One input is silent with Φ(−b); equal inputs are one; independent ones multiply."""
    silent = stats.norm.cdf(-bias)
    assert theory.dead_share(bias, c, 1) == pytest.approx(silent, abs=1e-9)
    assert theory.dead_share(bias, 1.0, inputs) == pytest.approx(silent, rel=1e-12)
    assert theory.dead_share(bias, 0.0, inputs) == pytest.approx(silent**inputs, abs=1e-9)
    between = theory.dead_share(bias, c, inputs)
    assert silent**inputs - 1e-9 <= between <= silent + 1e-9


@pytest.mark.parametrize("c", [0.0, 0.3, 0.9, 0.999999])
def test_two_inputs(c):
    """Two correlated signs are both negative with 1/4 + asin(c) / 2π."""
    assert theory.dead_share(0.0, c, 2) == pytest.approx(0.25 + math.asin(c) / (2 * math.pi))


def test_many_inputs_with_a_bias():
    """A thousand correlated normal numbers, drawn."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((4000, 1))
    z = math.sqrt(0.6) * common + math.sqrt(0.4) * rng.standard_normal((4000, 1000)) - 2.0
    drawn = (z <= 0).all(axis=1).mean()
    assert theory.dead_share(-2.0, 0.6, 1000) == pytest.approx(drawn, abs=0.03)


def test_arrays_are_broadcast():
    """Biases and correlations may be arrays."""
    found = theory.dead_share([-1.0, 0.0], [[0.2], [0.8]], 10)
    assert found.shape == (2, 2)
    assert found[1, 0] == theory.dead_share(-1.0, 0.8, 10)
    assert (np.diff(found, axis=0) > 0).all()  # like inputs are silent together


def test_what_is_refused():
    """Correlations out of range, and no inputs."""
    with pytest.raises(ValueError, match=r"c is -0\.1; it must be"):
        theory.dead_share(0.0, -0.1, 5)
    with pytest.raises(ValueError, match=r"c is 1\.5; it must be"):
        theory.dead_share(0.0, 1.5, 5)
    with pytest.raises(ValueError, match="inputs is 0; it must be a whole number, at least 1"):
        theory.dead_share(0.0, 0.5, 0)
    with pytest.raises(ValueError, match="bias is nan; it must be finite"):
        theory.dead_share(math.nan, 0.5, 5)
