"""Scales of weights that do not fit what is behind them."""

import math
from collections.abc import Iterator, Sequence

from torch.nn.modules.batchnorm import _BatchNorm

from initguide.checkup.facts import Facts, Scale
from initguide.checkup.findings.gradients import SLOW
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies, range_text

DRIFT = (1 / math.sqrt(SLOW), 1 / SLOW)
"""A stack of layers whose gain does not fit is a note, or a warning, if the size of the signal
changes by this factor from the first to the last of them: half-way to `SLOW`, and all the way.

Weights in front of a normalization that are off by the first factor are a note: a step of gradient
descent there, in units of their own size, is off by its square.
"""


@finding(
    {"wrong-gain": "the scale of the weights does not fit the activation behind them"}, order=110
)
def wrong_gain(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """A stack of layers whose gain does not fit the activation behind them."""
    stacks: dict[str, list[Scale]] = {}
    for scale in facts.scales:
        activation = facts.activation(scale.record)
        if activation is not None and not scale.record.normalizes:
            stacks.setdefault(activation, []).append(scale)
    for activation, stack in stacks.items():
        if len(stack) < 3 or not all(math.isfinite(s.excess) for s in stack):
            continue
        excesses = sorted(s.excess for s in stack)
        # One layer that is far off is no stack of them: it is told by what it does.
        middle, total = excesses[len(stack) // 2], sum(excesses) - max(excesses, key=abs)
        if middle == 0 or middle * total <= 0:
            continue
        # In a residual network the branches are small on purpose, and the trunk goes on.
        gone = 0.5 * math.log(
            stack[-1].record.input_second_moment / stack[0].record.input_second_moment
        )
        if gone * total <= 0 or min(abs(gone), abs(total)) < math.log(DRIFT[0]):
            continue
        bad = any(f.severity == "error" for f in found) or abs(gone) > math.log(DRIFT[1])
        low, high = stack[0].low, stack[0].high
        first = next(s for s in stack if s.excess / middle >= 0.5)
        yield Draft(
            "wrong-gain",
            "warning" if bad else "note",
            first.record.name,
            f"the {len(stack)} layers before {activation} multiply the size of their inputs by "
            f"{math.exp(middle) * (low if middle < 0 else high):.3g} (the median), where "
            f"{range_text(low, high)} fits {activation}; from the first to the last of them, the "
            f"signal is multiplied by {math.exp(gone):.2g}.",
            advise.fill_all(advise.scheme(activation)),
        )


@finding(
    {"effective-rate": "weights before a normalization, of a size that makes steps odd (a note)"},
    order=120,
)
def effective_rate(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Weights before a normalization, of a size that makes steps odd."""
    for w in facts.trained:
        name = facts.records[w.at].name
        if name not in facts.normalized or not w.size > 0 or not w.grad > 0:
            continue
        norms = [facts.named.get(r.name) for r in facts.records if r.given_by == name]
        if any(  # trained before: it does not normalize by the batch
            isinstance(n, _BatchNorm) and not n.training and n.num_batches_tracked for n in norms
        ):
            continue
        ratio = w.size / w.natural
        if 1 / DRIFT[0] <= ratio <= DRIFT[0]:
            continue
        yield Draft(
            "effective-rate",
            "note",
            w.parameter.layer,
            f"the size of {w.parameter.name} is {ratio:.2g} times that of a variance of "
            "1 / fan-in. The normalization behind it hides this from the outputs, but a step "
            f"of gradient descent is {ratio**-2:.2g} times as large in units of the weights, "
            f"and a step of Adam {1 / ratio:.2g} times.",
            advise.fill(w.parameter.layer),
        )
