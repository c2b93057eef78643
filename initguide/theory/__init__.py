"""Mean-field theory of signals and gradients at the start: pure numbers.

`initguide.prediction.predict_variances`, which applies it to a model, can be called from here, too.
"""

from importlib import import_module
from typing import Any

from initguide.theory.activations import Activation, Array, NoMoment
from initguide.theory.meanfield import (
    FiniteWidth,
    FixedPoint,
    Moments,
    backward_gain,
    chi,
    correlation_map,
    critical_sigma_w,
    depth_scale,
    finite_width_moments,
    fixed_point,
    fixed_points,
    gain,
    length_map,
    residual_growth,
    truncated_normal_moments,
)

__all__ = [
    "Activation",
    "Array",
    "FiniteWidth",
    "FixedPoint",
    "Moments",
    "NoMoment",
    "backward_gain",
    "chi",
    "correlation_map",
    "critical_sigma_w",
    "depth_scale",
    "finite_width_moments",
    "fixed_point",
    "fixed_points",
    "gain",
    "length_map",
    "residual_growth",
    "truncated_normal_moments",
]


def __getattr__(name: str) -> Any:
    # Theory knows nothing of models; this name leads on to the wing above it, when it is asked for.
    if name == "predict_variances":
        return import_module("initguide.prediction").predict_variances
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
