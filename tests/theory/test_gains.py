"""Gains: recorded ones, closed forms, and integrals by scipy."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from scipy import integrate, stats
from torch import nn

from initguide import theory
from initguide.theory import activations

SMOOTH = ("tanh", "sigmoid", "gelu", "silu", "erf", "softplus", "mish", "sin")


def _quad(f, *breaks):
    """E[f(z)] by scipy, an independent integration."""
    ends = [-12, *sorted({0, *breaks}), 12]
    density = stats.norm.pdf
    return sum(
        integrate.quad(lambda z: f(z) * density(z), a, b, epsabs=1e-13, epsrel=1e-12)[0]
        for a, b in itertools.pairwise(ends)
    )


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
