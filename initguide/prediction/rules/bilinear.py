"""Bilinear layers: sums over pairs of numbers of two inputs."""

import numpy as np

from initguide.prediction.belief import Belief
from initguide.prediction.protocol import Call, layer
from initguide.prediction.weights import check_weights, weighted_sum


@layer("bilinear", takes=("input", "other", "weight", "bias"))
def bilinear(call: Call) -> Belief:
    """E[z²] = n₁ n₂ · E[w²] E[x₁²] E[x₂²] + E[b²], for inputs whose sizes are unrelated.

    Where they are related, as for x₁ = x₂, the mean of |x₁|² |x₂|² is larger than the product of
    the means. By how much is taken from this pass, as the shares of positions are.
    """
    other = call.known(call["other"])
    rows = call["weight"].detach().double().flatten(1)
    check_weights(rows)
    groups, (one, two) = call.knowledge.groups, (call["input"].detach(), call["other"].detach())
    # Per position, and only then averaged: that keeps the relation between the two.
    pairs = one.double().square().mean(-1, keepdim=True) * two.double().square().mean(-1, True)
    apart = groups.mean_square(one) * groups.mean_square(two)
    related = groups.mean_square(pairs.sqrt()) / np.where(apart > 0, apart, 1.0)
    return weighted_sum(call, rows, rows.shape[1] * related * call.before.second * other.second)
