"""Units that are equal, and stay so."""

import math
from collections.abc import Iterator, Sequence

from initguide.checkup.facts import Facts, Weight
from initguide.checkup.findings.registry import Draft, finding
from initguide.checkup.remedies import Remedies
from initguide.checkup.report import Severity

ALIKE = 0.7
"""A warning, if the weights that all units share have this part of the mean square.

Independent weights around 0 share 1 / units; those whose mean is m standard deviations share
m² / (1 + m²), which is 0.7 for m = 1.5. In ``benchmarks/check_networks.py``, a mean of 2 spoils
convolutions in front of batch normalization and recurrent layers, though the size of their outputs
is healthy.
"""


@finding(
    {"equal-units": "units of a layer are equal, and their gradients keep them so (symmetry)"},
    order=40,
)
def equal_units(facts: Facts, advise: Remedies, found: Sequence[Draft]) -> Iterator[Draft]:
    """Units with the same weights, which their gradients part or do not."""
    first = {p.name: p for p in facts.before.parameters}
    for w in facts.weights:
        p, before = w.parameter, first[w.parameter.name]
        units = p.units
        if not p.trained or w.size == 0 or math.isnan(p.distinct) or units < 2:
            continue
        here = p.distinct
        grads = 0.0 if math.isnan(p.grad_distinct) else p.grad_distinct
        kept = int(max(here, grads))
        advice = advise.fill(p.layer)
        # Packed projections and gates have up to four parts, each of which may be symmetric.
        few = 1 if units < 16 else 4
        if before.distinct < p.distinct:  # the last layer, which the first step parts
            # Classes that the batch lacks still look alike; they part when they come.
            if before.second_moment > 0:  # zeros are told elsewhere
                yield Draft(
                    "equal-units",
                    "note",
                    p.layer,
                    f"all {units} outputs start with the same weights; their gradients differ, "
                    "so they part. The layers before get no gradient in the first step.",
                    advice,
                )
        elif kept < units:
            yield _copies(facts, advise, w, kept, few)
        elif (
            p.shared > ALIKE
            and here > few
            and math.prod(p.shape) > units >= 8
            and w.at < facts.weights[-1].at
            and facts.records[w.at].name not in facts.centred
            and getattr(facts.named.get(p.layer), "groups", 1) == 1
        ):
            yield Draft(
                "equal-units",
                "warning",
                p.layer,
                f"{100 * p.shared:.3g} % of the mean square of the weights is shared by all "
                f"{units} units, where {100 / units:.2g} % is expected: they do nearly "
                "the same.",
                advice,
            )
        elif here <= few < units and w.at < facts.weights[-1].at:
            yield Draft(
                "equal-units",
                "warning",
                p.layer,
                f"all {units} units start with the same weights; their gradients differ, so "
                "they part, but the layer starts with one unit's worth of information.",
                advice,
            )


def _copies(facts: Facts, advise: Remedies, w: Weight, kept: int, few: int) -> Draft:
    """Say that only some units of a layer differ, and that this will stay so."""
    units = w.parameter.units
    severity: Severity = "note"
    if kept <= few:
        # In a branch that is switched off, they do no harm to the trunk.
        off = w.grad == 0 and any(o.grad > 0 and o.at < w.at for o in facts.trained)
        severity = "warning" if off else "error"
    elif kept <= units / 2:
        severity = "warning"
    still = "get the same gradients, so they stay copies"
    if w.grad == 0:
        still = (
            "their gradients are all 0, as are those of the units that differ: nothing "
            "parts them before a gradient gets here"
            if kept > 1
            else "all gradients here are 0: nothing parts them before one gets here"
        )
    return Draft(
        "equal-units",
        severity,
        w.parameter.layer,
        f"only {kept} of {units} units {'is' if kept == 1 else 'are'} distinct; the others are "
        f"copies, and {still}.",
        advise.fill(w.parameter.layer),
    )
