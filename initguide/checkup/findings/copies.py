"""Modules beside each other that are copies, as experts may be, and stay so."""

import math
import re
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts, lets_through
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies
from initguide.propagation import ParameterRecord

ROUNDING = 1e-5
"""Gradients whose sizes differ by less than this share are the same but for rounding."""


@finding(
    {"equal-modules": "modules (experts, heads) are copies, and their gradients keep them so"},
    order=45,
)
def equal_modules(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Modules of equal weights that get equal gradients.

    Copies are no fault where their gradients differ, as those of layers one behind another do.
    """
    tensors = dict(facts.model.named_parameters())
    groups: dict[tuple[str, tuple[int, ...]], list[ParameterRecord]] = {}
    for p in facts.measured.parameters:
        if p.trained and p.second_moment > 0 and p.grad_second_moment > 0 and lets_through(p):
            groups.setdefault((re.sub(r"\d+", "#", p.name), p.shape), []).append(p)
    for members in groups.values():
        first = members[0]
        copies = [
            p
            for p in members
            if len(p.shape) > 1
            and math.isclose(p.second_moment, first.second_moment, rel_tol=ROUNDING)
            and math.isclose(p.grad_second_moment, first.grad_second_moment, rel_tol=ROUNDING)
            and tensors[p.name].equal(tensors[first.name])
        ]
        if len(copies) > 1:
            yield Draft(
                "equal-modules",
                "warning",
                first.layer,
                f"{first.name} and {len(copies) - 1} more, to {copies[-1].name}, have the same "
                "weights and get gradients of the same size: they are copies, and stay so.",
                advise.joined([p.layer for p in copies[1:]], advise.fill),
            )
