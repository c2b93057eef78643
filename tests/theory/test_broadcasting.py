"""Numbers, arrays and tensors; those out of range are refused by name."""

import math

import numpy as np
import pytest
import torch

from initguide import theory

ROOT_2 = math.sqrt(2)


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64])
def test_tensors_of_any_type(dtype):
    """Tensors that NumPy has no type for are numbers, too."""
    assert theory.length_map(torch.tensor([1, 2], dtype=dtype), "relu", 1.0) == pytest.approx(
        np.array([0.5, 1.0])
    )


def test_arrays():
    """Arrays and tensors broadcast; numbers give Python's floats."""
    table = theory.length_map(torch.tensor([0.0, 1.0, 4.0]), "relu", np.array([[1.0], [2.0]]), 1)
    assert table == pytest.approx(np.array([[1, 1.5, 3], [1, 3, 9]]))
    assert type(theory.length_map(np.float64(1), "relu", torch.tensor(2.0), 1)) is float
    assert theory.chi("relu", [1.0, 2.0]) == pytest.approx([0.5, 2.0])
    assert theory.critical_sigma_w("relu", [0.0, 0.5]) == pytest.approx([ROOT_2, ROOT_2])
    assert theory.correlation_map([[0.5], [1]], "relu", [1, 2]).shape == (2, 2)
