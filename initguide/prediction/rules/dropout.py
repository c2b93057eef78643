"""Dropout, of units and of channels."""

from dataclasses import replace

from initguide.prediction.belief import Belief
from initguide.prediction.protocol import Call, rule


@rule(
    *("dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "feature_dropout"),
    takes=("input", "p", "training"),
)
def dropout(call: Call) -> Belief:
    """A share 1 - p is kept, and multiplied by 1 / (1 - p): the mean square grows by that."""
    belief, rate = call.known(call["input"]), call.get("p", 0.5)
    on = call.get("training", call.get("train", True))  # torch.dropout calls it `train`
    if not on or rate == 0:
        return belief
    # Not normal any more: a share of it is exactly 0. The signs stay with the weights (heads).
    second = belief.second / (1 - rate) if rate < 1 else 0 * belief.second
    return replace(belief, second=second, normal=False, measured=False)
