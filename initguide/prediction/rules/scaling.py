"""Products and quotients with numbers and parameters, as of a residual branch's scale."""

import math
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from initguide.prediction.belief import Belief, Gap
from initguide.prediction.protocol import Call, rule

_TWO = ("input", "other")


@rule(
    *("mul", "mul_", "multiply", "multiply_", "__mul__", "__rmul__", "__imul__"),
    takes=_TWO,
)
def multiply(call: Call) -> Belief:
    """A · B, of which one is an activation and the other is not."""
    a, b = call["input"], call["other"]
    x, factor = (a, b) if call.about(a) is not None else (b, a)
    if call.about(factor) is not None:
        raise Gap("a product of activations depends on how they correlate")
    if isinstance(factor, Tensor):
        return _times(call, x, factor, call.held(factor).double())
    return call.known(x).scaled(float(factor))


# `h /= 2` calls div_, so that there is no __itruediv__ to register.
@rule("div", "div_", "divide", "divide_", "true_divide", "true_divide_", "__truediv__", takes=_TWO)
def divide(call: Call) -> Belief:
    """A / B, where B is no activation."""
    x, divisor = call["input"], call["other"]
    if call.get("rounding_mode") is not None:
        raise Gap("it rounds")
    if call.about(x) is None or call.about(divisor) is not None:
        raise Gap("a product of activations depends on how they correlate")
    if isinstance(divisor, Tensor):
        return _times(call, x, divisor, call.held(divisor).double().reciprocal())
    return call.known(x).scaled(1 / divisor)


@rule("neg", "neg_", "__neg__", "negative", "negative_")
def negate(call: Call) -> Belief:
    """-A."""
    return call.known(call["input"]).scaled(-1)


def _times(call: Call, x: Any, factor: Tensor, values: Tensor) -> Belief:
    """What holds for x times the values, which are those of the factor or their reciprocals.

    Parameters of many numbers, such as a layer scale, are independent of the activations: their
    mean square multiplies. Other tensors may be a mask or a gate, computed from the activations.
    """
    if factor.numel() > 1 and not isinstance(factor, nn.Parameter):
        raise Gap("a product with a tensor that theory knows nothing of")
    belief = call.known(x)
    size = float(values.square().mean().sqrt())
    first = values.flatten()[0]
    if not bool((values == first).all()):  # normal numbers of different sizes are not normal
        belief = replace(belief, normal=False, mean=math.nan)
    elif float(first) < 0:
        size = -size
    scaled = belief.scaled(size)
    # Noted as a source: a later layer with this parameter as its weight is not independent of x.
    key = {call.knowledge.key(factor)} if isinstance(factor, nn.Parameter) else set()
    return replace(scaled, sources=scaled.sources | key)
