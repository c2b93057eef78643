"""Layers and gates of zeros, and gates that are small."""

import math
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts, is_factor, is_weight, lets_through
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies
from initguide.checkup.report import Severity
from initguide.propagation import ParameterRecord

SMALL = 0.1
"""A factor whose root mean square is below this is small enough to be told about: a note.

It starts what is behind it as nearly nothing, as LayerScale does on purpose with 10⁻¹ to 10⁻⁶. A
step of Adam moves it by the learning rate, whatever its size, so it grows as fast as any other.
"""


@finding({"zero-layer": "a layer's weights, or a gate, are all 0"}, order=30)
def zero_layers(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Weights and factors that are all 0: for good, until the first steps, or on purpose."""
    stuck_share = sum(w.grad == 0 for w in facts.trained) / max(1, len(facts.trained))
    first = {p.name: p for p in facts.before.parameters}
    for parameter in facts.measured.parameters:
        before = first[parameter.name]
        if before.second_moment != 0 or not parameter.trained or not math.prod(parameter.shape):
            continue
        if not (lets_through(before) or is_weight(parameter)):
            continue
        at = facts.where(parameter.layer)
        if at is None or math.isnan(before.grad_second_moment):
            continue
        severity: Severity = "note"
        if parameter.second_moment == 0 and parameter.grad_second_moment == 0:
            opens = any(w.grad > 0 and w.size == 0 for w in facts.trained)
            words = (
                f"and so is its gradient: it stays 0. {100 * stuck_share:.0f} % of the layers get "
                "no gradient at all."
            )
            severity = "error" if stuck_share > 0.5 and not opens else "warning"
        else:
            words = _why_it_is_fine(facts, parameter, before, at)
            if not words:
                severity = "warning"
                words = (
                    "nothing of the inputs gets through, and layers before it get no gradient, "
                    "until it has moved."
                )
        yield Draft(
            "zero-layer",
            severity,
            parameter.layer,
            f"{parameter.name} is all 0, {words}",
            # A start as nothing is meant: nobody is told to undo it.
            () if severity == "note" else _opening(facts, advise, parameter, at),
        )


def _why_it_is_fine(
    facts: Facts, parameter: ParameterRecord, before: ParameterRecord, at: int
) -> str:
    """Why zeros that move are as they may be; nothing if they are not."""
    if facts.trained and at == facts.trained[-1].at:
        return (
            "at the network's end: the outputs start equal. The layers before it get no gradient "
            "in the first step, and one from then on."
        )
    if before.grad_second_moment == 0:
        return (
            "behind another layer of zeros. It gets no gradient in the first step, and one as soon "
            "as that one has moved."
        )
    beside = any(w.at < at and w.grad > 0 and w.size > 0 for w in facts.first_weights)
    if beside or not facts.reached_nothing():
        return (
            "but gets a gradient, and the inputs reach the last layer beside it: as in a residual "
            "branch that is meant to start as nothing."
        )
    if is_factor(before):
        return "but gets a gradient: what it multiplies starts as nothing, and opens with it."
    return ""


def _opening(facts: Facts, advise: Remedies, parameter: ParameterRecord, at: int) -> Sequence[str]:
    """Code that fills what is all 0."""
    layer, name = parameter.layer, parameter.name.rpartition(".")[2]
    if is_factor(parameter) or len(parameter.shape) < 2 or facts.records[at].normalizes:
        return (f"torch.nn.init.ones_({advise.code(layer)}.{name})",)
    return advise.fill(layer)


@finding({"small-gate": "factors that start what is behind them as nearly nothing"}, order=125)
def small_gates(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Factors of a signal that are small, but get a gradient."""
    for p in facts.before.parameters:
        if not is_factor(p) or not p.grad_second_moment > 0:
            continue
        size = math.sqrt(p.second_moment)
        at = facts.where(p.layer)
        if 0 < size < SMALL and at is not None:
            yield Draft(
                "small-gate",
                "note",
                p.layer,
                f"the root mean square of {p.name} is {size:.2g}: what it multiplies starts as "
                "nearly nothing, and gets larger as it does. Where it is meant to, 1 to 1e-6 is "
                "usual, and 1 in a normalization.",
                _opening(facts, advise, p, at) if facts.records[at].normalizes else (),
            )
