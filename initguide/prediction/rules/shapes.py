"""Changes of shape and type, and parts of a tensor."""

from dataclasses import replace

from initguide.prediction.belief import Belief, Gap
from initguide.prediction.protocol import Call, rule


@rule(
    *("flatten", "view", "reshape", "permute", "transpose", "t", "swapaxes", "swapdims", "movedim"),
    *("squeeze", "unsqueeze", "unflatten", "expand", "expand_as", "repeat", "view_as"),
    *("reshape_as", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "flip", "roll"),
    *("contiguous", "clone", "detach", "requires_grad_", "to", "cpu", "cuda", "type", "type_as"),
    *("float", "double", "half", "bfloat16"),
    "__get__",  # properties, such as x.T and x.data
)
def same_numbers(call: Call) -> Belief:
    """Each number once, or all of them equally often."""
    x = call.tensors[0]
    belief = call.known(x)
    # expand and repeat give each number equally often if the sizes divide.
    if call.out.numel() % x.numel():
        raise Gap("no rule for it")
    # In another shape, what was measured no longer says where in an image it was.
    return replace(belief, measured=False) if call.out.shape != x.shape else belief


@rule("__getitem__", "narrow", "select", "chunk", "split", "unbind", "index_select")
def part(call: Call) -> Belief:
    """Some units of all inputs: as good as others, where units are drawn alike."""
    # Only what is normal, fresh from a layer: in the inputs, or after pooling, a part may be
    # anything. And a part that leaves out inputs has other groups.
    x = call.tensors[0]
    belief = call.about(x)
    if belief is None or not belief.normal or not call.out.shape or len(call.out) != len(x):
        raise Gap("a part may differ from the whole")
    return belief
