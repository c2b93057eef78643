"""Activations: any function of each number by itself, also those that nobody has registered."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor

from initguide.introspection import tensors_in
from initguide.prediction.belief import INPUTS, Belief, Gap
from initguide.prediction.protocol import Call, rule
from initguide.theory import Activation


@rule("prelu", takes=("input", "weight"))
def prelu(call: Call) -> Belief:
    """E[φ²] is linear in the squared slope, so the channels' mean square serves all of them."""
    slope = float(call["weight"].detach().double().square().mean().sqrt())
    return _activated(call, F.leaky_relu, (slope,), {})


def elementwise(call: Call) -> Belief:
    """E[φ(z)²] with normal z of the believed mean square; whether φ is elementwise is tried out."""
    settings = {name: value for name, value in call.kwargs.items() if name != "input"}
    return _activated(call, call.func, call.args[1:], settings)


def _activated(
    call: Call, phi: Callable[..., Tensor], rest: tuple[Any, ...], settings: Mapping[str, Any]
) -> Belief:
    """What holds for ``phi(input, *rest, **settings)``."""
    x = call.get("input")
    belief = call.known(x)
    if tensors_in([rest, settings]) or call.out.shape != x.shape:
        raise Gap("no rule for it")
    if belief.measured and belief.basis != INPUTS:  # pooled, mixed: its distribution is unknown
        raise Gap  # for the same reason as before
    if not belief.normal or math.isnan(belief.mean):
        raise Gap("its input is not normal")
    groups = call.knowledge.groups
    # A mean within rounding of 0 is 0, so that the integrals are shared with other layers.
    mean = belief.mean if belief.mean**2 > 1e-8 * belief.second.min() else 0.0
    try:
        moment = _moment(call, phi, rest, settings, mean)
        second = np.array([moment(float(q)) for q in np.maximum(belief.second - mean**2, 0)])
        q = groups.overall(belief.second)
        here = moment(max(q - mean**2, 0))
        if here > 0:  # positions differ in strength, and phi may be curved
            there = [
                moment(max(q * share - mean**2, 0)) for share in _position_shares(call.held(x))
            ]
            second = second * (sum(there) / len(there) / here)
    except ValueError as error:
        # The middle of the message: what is wrong, without the argument's name and the advice.
        wrong = str(error).split(": ", 1)[-1].split(";")[0].split("\n")[0]
        raise Gap(f"not elementwise, or without finite moments: {wrong}") from error
    return replace(belief, second=second, mean=math.nan, normal=False, heads=None, measured=False)


def _moment(
    call: Call,
    phi: Callable[..., Tensor],
    rest: tuple[Any, ...],
    settings: Mapping[str, Any],
    mean: float,
) -> Callable[[float], float]:
    """E[φ(mean + √q z)²] as a function of q; layers with the same φ share its integrals."""
    key = (phi, repr(rest), repr(settings), mean)
    if key not in call.knowledge.memo:
        call.knowledge.memo[key] = Activation(
            lambda z: phi(z + mean if mean else z, *rest, **settings)
        )
    return cast(Activation, call.knowledge.memo[key]).second


def _position_shares(x: Tensor) -> list[float]:
    """Mean squares of up to eight equal parts of an image's positions, relative to the whole."""
    if x.ndim < 4:
        return [1.0]
    energy = x.double().square().mean((0, 1)).flatten().sort().values
    if not energy.any():
        return [1.0]
    parts = energy.tensor_split(min(8, len(energy)))
    means = torch.stack([part.mean() for part in parts])
    return cast(list[float], (means / means.mean()).tolist())
