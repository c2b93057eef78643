"""Padding as a step of its own; convolutions know about theirs."""

from dataclasses import replace

from initguide.prediction.belief import Belief, Gap
from initguide.prediction.protocol import Call, rule


@rule("pad", takes=("input", "pad", "mode", "value"))
def pad(call: Call) -> Belief:
    """Zeros take their share of the mean square; repeated borders add their own, as measured."""
    x, mode = call["input"], call.get("mode", "constant")
    belief = call.about(x)
    if belief is not None and mode == "circular":  # shares of the pass, as for convolutions
        before, after = (float(t.detach().double().square().mean()) for t in (x, call.out))
        share = after / before if before else 1.0
        return replace(belief, second=belief.second * share, measured=False)
    if belief is None or mode != "constant" or call.get("value"):
        raise Gap("what is padded with may differ from the rest")
    share = x.numel() / call.out.numel()  # not normal any more: the rest is exactly 0
    return replace(belief, second=belief.second * share, normal=False, measured=False)
