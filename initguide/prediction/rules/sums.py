"""Sums and differences, as in residual blocks."""

import math
from dataclasses import replace
from typing import Any

from torch import Tensor

from initguide.prediction.belief import Belief, Gap, apart, first_basis
from initguide.prediction.protocol import Call, rule

_TWO = ("input", "other")


@rule("add", "add_", "__add__", "__radd__", "__iadd__", takes=_TWO)
def add(call: Call) -> Belief:
    """A + α B."""
    return _sum(call, call["input"], call["other"], call.get("alpha", 1))


@rule("sub", "sub_", "subtract", "subtract_", "__sub__", "__isub__", takes=_TWO)
def subtract(call: Call) -> Belief:
    """A - α B."""
    return _sum(call, call["input"], call["other"], -call.get("alpha", 1))


@rule("rsub", "__rsub__", takes=_TWO)
def subtract_from(call: Call) -> Belief:
    """B - α A."""
    return _sum(call, call["other"], call["input"], -call.get("alpha", 1))


def _sum(call: Call, a: Any, b: Any, factor: float) -> Belief:
    """What holds for a + factor · b."""
    if a is b:  # wholly correlated, but by a factor that is known
        return call.known(a).scaled(1 + factor)
    if not isinstance(b, Tensor):
        return _shifted(call.known(a), factor * b)
    if not isinstance(a, Tensor):
        return _shifted(call.known(b).scaled(factor), a)
    one = call.about(a) or call.knowledge.constant(a, call.held(a))
    two = (call.about(b) or call.knowledge.constant(b, call.held(b))).scaled(factor)
    # One of them flips its sign by itself, so that E[one · two] = 0: see `Belief`.
    if not (apart(one, two) or apart(two, one)):
        raise Gap("the summands may be correlated")
    # The sum flips its sign if both summands do, so with all weights of both.
    heads = None if one.heads is None or two.heads is None else one.heads | two.heads
    return Belief(
        one.second + two.second,
        mean=one.mean + two.mean,
        normal=one.normal and two.normal,
        sources=one.sources | two.sources,
        heads=heads,
        basis=first_basis([one, two]),
    )


def _shifted(belief: Belief, number: float) -> Belief:
    """E[(x + c)²] = E[x²] + 2 c E[x] + c²."""
    if math.isnan(belief.mean):
        raise Gap("the mean of what a number is added to is unknown")
    # x + c flips no sign: hence no heads.
    second = belief.second + 2 * number * belief.mean + number**2
    return replace(belief, second=second, mean=belief.mean + number, heads=None, measured=False)
