"""Linear layers."""

from initguide.prediction.belief import Belief
from initguide.prediction.protocol import Call, layer
from initguide.prediction.weights import check_weights, weighted_sum


@layer("linear", takes=("input", "weight", "bias"))
def linear(call: Call) -> Belief:
    """E[z²] = fan-in · E[w²] E[x²] + E[b²]."""
    rows = call["weight"].detach().double().flatten(1)
    check_weights(rows)
    return weighted_sum(call, rows, rows.shape[1] * call.before.second)
