"""Convolutions: a linear layer at each position, less what lies on the padding."""

import math
from typing import cast

import torch

from initguide.prediction.belief import Belief
from initguide.prediction.protocol import Call, layer
from initguide.prediction.weights import check_weights, weighted_sum
from initguide.theory import Array

_FIRST = ("input", "weight", "bias", "stride", "padding")
_USUAL = (*_FIRST, "dilation", "groups")
_TRANSPOSED = (*_FIRST, "output_padding", "groups", "dilation")


@layer("conv1d", "conv2d", "conv3d", takes=_USUAL)
def convolution(call: Call) -> Belief:
    """E[z²] = taps · E[w²] E[x²] + E[b²]; weights are (out, in / groups, *kernel)."""
    rows = call["weight"].detach().double().flatten(1)
    check_weights(rows)
    return weighted_sum(call, rows, _seen(call, rows.shape[1]))


@layer("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", takes=_TRANSPOSED)
def transposed_convolution(call: Call) -> Belief:
    """The same with weights (in, out / groups, *kernel): a unit's inputs are those of its group."""
    weight, groups = call["weight"].detach().double(), int(call.get("groups", 1))
    split = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    rows = split.transpose(1, 2).flatten(0, 1).flatten(1)
    check_weights(rows)
    return weighted_sum(call, rows, _seen(call, rows.shape[1]))


def _seen(call: Call, fan_in: int) -> Array:
    """(groups,) sum of x² that an output sees, on average: the padding's zeros left out.

    After layers with padding the borders hold less than the middle, so positions are weighed by
    what they hold in this pass. The function itself, with a kernel of ones and one channel, adds up
    what each output sees, whatever its stride, dilation and padding.
    """
    x, kernel, groups = call["input"], call["weight"].shape[2:], call.knowledge.groups
    squares = x.detach().double().square()
    each = call.before.measured and x.ndim == len(kernel) + 2 and len(x) == groups.inputs
    if each:  # as measured, input by input
        energy = squares.mean(1, keepdim=True)
    else:  # how it is spread over the positions; how large it is, theory says
        energy = squares.reshape(-1, *x.shape[-len(kernel) :]).mean(0)[None, None]
        whole = energy.mean()
        energy = energy / whole if whole else torch.ones_like(energy)
    one = torch.ones(1, 1, *kernel, dtype=torch.float64, device=x.device)
    changed = {"input": energy, "weight": one, "bias": None, "groups": 1}
    seen = call.func(**(call.values | changed)).flatten(1).mean(1).cpu().numpy()
    channels = fan_in / math.prod(kernel)
    if each:
        return cast(Array, channels * groups.means(seen))
    return cast(Array, channels * float(seen[0]) * call.before.second)
