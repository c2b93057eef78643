"""Mean-field theory of signals and gradients at the start: pure numbers.

In the mean-field picture of a wide network (Poole et al. 2016, arXiv:1606.05340; Schoenholz et al.
2017, arXiv:1611.01232), with weights of variance σ_w²/n, n the fan-in, and biases of variance
σ_b², the pre-activations of a layer are normal with mean 0, and their variance q goes from layer
to layer by

    q' = σ_w² E[φ(√q z)²] + σ_b²,    z ~ N(0, 1).

>>> import torch
>>> round(gain(torch.relu), 6)
1.414214
>>> round(fixed_point(torch.tanh, sigma_w=1.5, sigma_b=0.1), 4)
0.8133
>>> round(chi(torch.tanh, sigma_w=1.5, sigma_b=0.1), 4)  # above 1: gradients explode
1.1291

``phi`` is any function that acts on each number of a tensor alone, such as `torch.tanh`,
``torch.nn.ReLU()`` or a lambda; a name such as ``"tanh"`` will do for common ones. It is evaluated
in float64. ``sigma_w`` and ``sigma_b`` are standard deviations, not variances. Numbers give
numbers; arrays and tensors are broadcast against each other and give arrays.

`initguide.prediction.predict_variances`, which applies theory to a model, can be called from here,
too.
"""

from importlib import import_module
from typing import Any

from initguide.theory.activations import Activation
from initguide.theory.correlations import chi, correlation_map
from initguide.theory.criticality import critical_sigma_w, depth_scale
from initguide.theory.gains import backward_gain, gain
from initguide.theory.isometry import jacobian_spread
from initguide.theory.lengths import FixedPoint, fixed_point, fixed_points, length_map
from initguide.theory.moments import (
    FiniteWidth,
    Moments,
    finite_width_moments,
    residual_growth,
    truncated_normal_moments,
)
from initguide.theory.quadrature import Array, NoMoment
from initguide.theory.transformers import StreamMoments, transformer_moments
from initguide.theory.units import dead_share

__all__ = [
    "Activation",
    "Array",
    "FiniteWidth",
    "FixedPoint",
    "Moments",
    "NoMoment",
    "StreamMoments",
    "backward_gain",
    "chi",
    "correlation_map",
    "critical_sigma_w",
    "dead_share",
    "depth_scale",
    "finite_width_moments",
    "fixed_point",
    "fixed_points",
    "gain",
    "jacobian_spread",
    "length_map",
    "predict_variances",
    "residual_growth",
    "transformer_moments",
    "truncated_normal_moments",
]


def __getattr__(name: str) -> Any:
    # Theory knows nothing of models; this name leads on to the wing above it, when it is asked for.
    if name == "predict_variances":
        return import_module("initguide.prediction").predict_variances
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
