"""What stands before the loss, held against what the loss wants."""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from torch import nn

from initguide.checkup.facts import Facts
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies
from initguide.propagation import Comparison

_LOGITS = {
    "cross_entropy": "takes the softmax itself",
    "log_softmax": "begins with a softmax",
    "softmax": "begins with a softmax",
    "binary_cross_entropy_with_logits": "takes the sigmoid itself",
    "sigmoid": "begins with a sigmoid",
    "logsigmoid": "begins with a sigmoid",
}
# Losses that want any real numbers, and in what the harm of an ending before them shows. After one
# softmax, two classes differ by at most 1, so a second one gives neither more than e = 2.7 times as
# much as the other; with a sigmoid it is the same, with tanh e² = 7.4 times.
_HARM = {
    "softmax": "no answer can be made sure: what it gives differs by 1 at most",
    "sigmoid": "no answer can be made sure: what it gives differs by 1 at most",
    "tanh": "no answer can be made sure: what it gives differs by 2 at most",
    "ReLU": "it cuts off all that is below 0, and half of the gradients with it",
}
_RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"softmax": (0, 1), "sigmoid": (0, 1), "tanh": (-1, 1), "ReLU": (0, math.inf)}
)
DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
_MODULES = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.Hardsigmoid, nn.ReLU, nn.Tanh, nn.Hardtanh)


@finding(
    {"output-and-loss": "what the network gives is not what the loss wants, or of another shape"},
    order=26,
)
def output_and_loss(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """An activation before a loss that wants none, the reverse, and numbers out of reach."""
    layer = facts.records[-1].name
    for seen in facts.measured.comparisons:
        if wrong := _broadcast(seen):
            yield wrong
            return
        said = _before_logits(seen) or _no_logarithms(seen) or _out_of_range(seen)
        if said is None:
            continue
        severe, text, losses = said
        remedies = [*_without_ending(facts, advise, layer, seen), *losses]
        yield Draft("output-and-loss", "error" if severe else "warning", layer, text, remedies)
        return


def _broadcast(seen: Comparison) -> Draft | None:
    """(N, 1) against (N,), which becomes (N, N)."""
    ours, theirs = seen.shape, seen.target_shape
    if seen.loss not in DISTANCES or ours == theirs or not theirs:
        return None
    if math.prod(ours) != math.prod(theirs) or math.prod(ours) == 1:
        return None
    rank = max(len(ours), len(theirs))
    pairs = zip(_padded(ours, rank), _padded(theirs, rank), strict=True)
    return Draft(
        "output-and-loss",
        "error",
        "targets",
        f"outputs of shape {ours} are compared with targets of shape {theirs} as arrays of "
        f"shape {tuple(max(pair) for pair in pairs)}: each output with the targets of all "
        "others. The best answer is then the mean of the targets, whatever the input.",
        [f"targets = targets.reshape({', '.join(map(str, (-1, *ours[1:])))})"],
    )


def _padded(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + shape


Said = tuple[bool, str, tuple[str, ...]] | None


def _before_logits(seen: Comparison) -> Said:
    """An activation before a loss that wants the numbers as they are."""
    if seen.loss not in _LOGITS or seen.ending not in _HARM:
        return None
    if seen.loss == "binary_cross_entropy_with_logits" and not (
        seen.target_low >= 0 and seen.target_high <= 1
    ):
        return _out_of_range(seen)
    text = (
        f"the outputs end with {seen.ending} and lie between {seen.low:.3g} and {seen.high:.3g}, "
        f"but the loss ({seen.loss}) {_LOGITS[seen.loss]}: {_HARM[seen.ending]}."
    )
    losses: tuple[str, ...] = ()
    if seen.loss == "cross_entropy" and seen.ending == "softmax":
        losses = (_nll("output.log()"),)
    elif seen.loss == "binary_cross_entropy_with_logits" and seen.ending == "sigmoid":
        losses = ("loss = torch.nn.functional.binary_cross_entropy",)
    return False, text, losses


def _nll(output: str) -> str:
    return f"def loss(output, targets):\n    return torch.nn.functional.nll_loss({output}, targets)"


def _no_logarithms(seen: Comparison) -> Said:
    """A loss that wants log-probabilities and gets something else."""
    if seen.loss not in ("nll_loss", "kl_div") or seen.ending == "log-softmax":
        return None
    what = f"end with {seen.ending}" if seen.ending else "are no logarithms of probabilities"
    if seen.loss == "kl_div" and seen.ending != "softmax" and seen.high <= 0:
        return None  # of densities, which need not add up to 1
    text = (
        f"the outputs {what} and lie between {seen.low:.3g} and {seen.high:.3g}, but the loss "
        f"({seen.loss}) wants log-probabilities: "
    )
    if seen.ending in ("softmax", "sigmoid"):
        text += "it does not take the logarithm, so what is far off costs hardly more than a doubt."
        return False, text, (_nll("output.log()"),) * (seen.loss == "nll_loss")
    text += "it has no lowest value, so outputs grow without end."
    losses = ("loss = torch.nn.functional.cross_entropy",) if seen.loss == "nll_loss" else ()
    return True, text, losses


# A tenth of the range beyond its ends costs little.
_MARGIN = 0.1


def _out_of_range(seen: Comparison) -> Said:
    """Targets that no output can reach, or that the loss does not know."""
    low, high = seen.target_low, seen.target_high
    if seen.loss.startswith("binary_cross_entropy"):
        if low >= 0 and high <= 1:
            return None
        text = (
            f"the targets reach from {low:.3g} to {high:.3g}, but the loss ({seen.loss}) wants "
            "probabilities, from 0 to 1: beyond them it has no lowest value, so outputs grow "
            "without end."
        )
        two = ("targets = (targets == targets.max()).float()",)
        return True, text, two
    ends_of = _RANGES.get(seen.ending or "")
    if seen.loss not in DISTANCES or ends_of is None:
        return None
    least, most = ends_of
    room = _MARGIN * (most - least if math.isfinite(most) else high - low)
    if least - room <= low and high <= most + room:
        return None
    ends = f"{least:g} to {most:g}" if math.isfinite(most) else f"{least:g} and above"
    text = (
        f"the targets reach from {low:.3g} to {high:.3g}, but the outputs end with {seen.ending}, "
        f"which gives {ends}: the rest is out of reach."
    )
    return False, text, ()


def _without_ending(facts: Facts, advise: Remedies, layer: str, seen: Comparison) -> Iterator[str]:
    """Take away the module that is the last one, or put in the one that is wanted."""
    module = facts.named.get(layer)
    if not layer or not isinstance(module, _MODULES):
        return
    parent, _, key = layer.rpartition(".")
    if seen.loss in ("nll_loss", "kl_div"):
        new = "torch.nn.LogSoftmax(dim=1)"
    elif seen.loss == "binary_cross_entropy":
        return
    else:
        new = "torch.nn.Identity()"
    owner = advise.code(parent) if parent else "model"
    yield f'setattr({owner}, "{key}", {new})'
