"""What is taken for an elementwise function, and what is refused with a reason."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initguide import theory


def test_modules_with_parameters():
    """PReLU holds float32 numbers; it works as it is and inside a lambda, and stays as it was."""
    module = nn.PReLU(init=0.3)
    expected = (1.09 / 2) ** -0.5
    assert theory.gain(module) == pytest.approx(expected, rel=1e-7)
    assert theory.backward_gain(lambda x: 1 * module(x)) == pytest.approx(expected, rel=1e-6)
    assert module.weight.dtype == torch.float32
    assert module.weight.grad is None
    in_place = nn.ReLU(inplace=True)
    assert theory.backward_gain(in_place) == pytest.approx(2**0.5, rel=1e-12)
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


def test_tiny_lengths():
    """Far below rounding, moments go on as the function does at 0."""
    assert theory.length_map(1e-40, "tanh", 1.0) == pytest.approx(1e-40, rel=1e-9)
    assert theory.length_map(1e-40, "relu", 2.0) == pytest.approx(2e-40, rel=1e-9)
    assert theory.length_map(1e-40, torch.square, 1.0) == pytest.approx(3e-80, rel=1e-9)
    assert theory.length_map(1e-40, "sigmoid", 2.0) == pytest.approx(1.0)
    near, far = (theory.correlation_map(0.3, "relu", 1.0, q=q) for q in (1e-40, 1.0))
    assert near == pytest.approx(far)
