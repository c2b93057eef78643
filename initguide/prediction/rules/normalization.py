"""Normalization, by statistics of the input or by running ones: E[γ²] + E[β²]."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from initguide.prediction.belief import Belief, Gap
from initguide.prediction.protocol import Call, rule
from initguide.theory import Array

_STATISTICS = ("input", "running_mean", "running_var", "weight", "bias")


@rule("batch_norm", takes=(*_STATISTICS, "training", "momentum", "eps"))
def batch_norm(call: Call) -> Belief:
    """Each channel by its variance over the batch, in which long and short inputs are together."""
    if not call.get("training", False):
        return _by_running_statistics(call)
    return _normalized(
        call, lambda x: x.transpose(0, 1).flatten(1).var(1, correction=0), together=True
    )


@rule("instance_norm", takes=(*_STATISTICS, "use_input_stats", "momentum", "eps"))
def instance_norm(call: Call) -> Belief:
    """Each channel of each input by its variance over positions."""
    if not call.get("use_input_stats", True):
        return _by_running_statistics(call)
    return _normalized(call, lambda x: x.flatten(2).var(2, correction=0))


@rule("layer_norm", takes=("input", "normalized_shape", "weight", "bias", "eps"))
def layer_norm(call: Call) -> Belief:
    """The last axes of each input by their variance."""
    axes = _last(call["normalized_shape"])
    return _normalized(call, lambda x: x.var(axes, correction=0))


@rule("group_norm", takes=("input", "num_groups", "weight", "bias", "eps"))
def group_norm(call: Call) -> Belief:
    """Groups of channels of each input by their variance."""
    count = call["num_groups"]
    return _normalized(call, lambda x: x.reshape(len(x), count, -1).var(2, correction=0))


@rule("rms_norm", takes=("input", "normalized_shape", "weight", "eps"))
def rms_norm(call: Call) -> Belief:
    """The last axes of each input by their mean square."""
    axes = _last(call["normalized_shape"])
    return _normalized(
        call, lambda x: x.square().mean(axes), eps=torch.finfo(call["input"].dtype).eps
    )


def _last(shape: Sequence[int]) -> list[int]:
    """The last axes, as many as the shape has."""
    return list(range(-len(shape), 0))


def _normalized(
    call: Call,
    spread: Callable[[Tensor], Tensor],
    *,
    together: bool = False,
    eps: float = 1e-5,
) -> Belief:
    """By the input's own statistics.

    Parameters
    ----------
    call
        The call, with ``weight``, ``bias`` and ``eps`` where it has them.
    spread
        The variances (or mean squares) by which the input is divided.
    together
        Whether inputs share a variance; else each is divided by its own.
    eps
        What is added to the variance by default.
    """
    gamma, beta = _scale_and_shift(call)
    belief, overall = call.known(call["input"]), call.knowledge.groups.overall
    eps = eps if call.get("eps") is None else call["eps"]
    q = belief.second
    q = np.full_like(q, overall(q)) if together else q
    # A constant feature comes out as 0, not with variance 1; q is a mean and cannot show that.
    variances = spread(call["input"].detach().double())
    kept, thought = float((variances / (variances + eps)).mean()), overall(q / (q + eps))
    if not abs(kept - thought) <= 0.05:
        raise Gap(
            f"it keeps {kept:.2g} of the mean square, not {thought:.2g}: part of its input "
            "is constant, or as small as eps"
        )
    second = float(gamma.square().mean()) * q / (q + eps) + float(beta.square().mean())
    return _rescaled(call, belief, second, uniform=_constant(gamma) and _constant(beta))


def _by_running_statistics(call: Call) -> Belief:
    """In evaluation mode: (x - mean) γ / √(var + eps) + β, whatever the input is."""
    gamma, beta = _scale_and_shift(call)
    belief = call.known(call["input"])
    eps = 1e-5 if call.get("eps") is None else call["eps"]
    mean, var = (call[k].detach().double() for k in ("running_mean", "running_var"))
    # E[(x - m)²] needs the unknown E[x m], except where m is negligible, as before any training.
    if float(mean.square().mean()) > 1e-2 * call.knowledge.groups.overall(belief.second):
        raise Gap("its running mean may or may not be that of its input")
    shift = gamma * mean / (var + eps).sqrt()
    factor = float((gamma.square() / (var + eps)).mean())
    second = factor * belief.second + float((beta - shift).square().mean())
    alike = all(_constant(t) for t in (gamma, beta, var)) and bool((mean == 0).all())
    return _rescaled(call, belief, second, uniform=alike)


def _rescaled(call: Call, belief: Belief, second: Array, *, uniform: bool) -> Belief:
    """What the output is like beside its mean square; ``uniform``: all units are treated alike."""
    gamma, beta = _scale_and_shift(call)
    normal = belief.normal and uniform and float(gamma.flatten()[0]) != 0
    # Without shifts worth mentioning, what flips the input's sign flips the output's.
    odd = float(beta.square().mean()) <= 1e-4 * call.knowledge.groups.overall(second)
    keys = {call.knowledge.key(t) for t in (call.get("weight"), call.get("bias")) if t is not None}
    return replace(
        belief,
        second=second,
        mean=float(beta.mean()) if normal else math.nan,
        normal=normal,
        sources=belief.sources | keys,
        heads=belief.heads if odd else None,
        measured=False,
    )


def _scale_and_shift(call: Call) -> tuple[Tensor, Tensor]:
    """γ and β in float64, 1 and 0 where there are none.

    They count as used whatever comes of the call: a normalization is no layer with a record.
    """
    weight, bias = call.get("weight"), call.get("bias")
    call.knowledge.use(weight, bias)
    gamma = torch.ones(1) if weight is None else weight.detach()
    beta = torch.zeros(1) if bias is None else bias.detach()
    return gamma.double(), beta.double()


def _constant(tensor: Tensor) -> bool:
    return bool((tensor == tensor.flatten()[0]).all())
