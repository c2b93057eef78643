"""Linear layers."""

from initguide.prediction.belief import Belief, Gap
from initguide.prediction.protocol import Call, layer
from initguide.prediction.weights import check_weights, weighted_sum


@layer("linear", takes=("input", "weight", "bias"))
def linear(call: Call) -> Belief:
    """E[z²] = fan-in · E[w²] E[x²] + E[b²]."""
    rows = call["weight"].detach().double().flatten(1)
    check_weights(rows)
    return weighted_sum(call, rows, rows.shape[1] * call.before.second)


@layer("addmm", takes=("bias", "input", "weight"))
def added(call: Call) -> Belief:
    """The same for weights (inputs, outputs), as in transformers' ``Conv1D``."""
    if call.about(call["weight"]) is not None or {"alpha", "beta"} & set(call.values):
        raise Gap("a product of two signals, or one that is scaled")
    rows = call["weight"].detach().double().T
    check_weights(rows)
    return weighted_sum(call, rows, rows.shape[1] * call.before.second)
