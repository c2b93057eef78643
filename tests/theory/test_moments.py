"""Truncated normal, finite width and residual growth: by scipy, by draws, by formula."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Generator, nn

from initguide import theory


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
