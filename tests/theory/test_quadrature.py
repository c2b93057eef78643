"""Kinks and jumps are found wherever they are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from initguide import theory


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
